"""A Labels layer with its image as arrays that can be measured: axes, pixel size and unit out of the layers. No Qt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from napari_dojo.data.axes import Axes
from napari_dojo.inference.filters import Limits, measure_for
from napari_dojo.inference.tables import Table, measure
from napari_dojo.widgets.common.layers import array_of, axes_choices, axes_of_labels, source_of
from napari_dojo.widgets.common.provenance import made

__all__ = ["Measured", "axes_over"]


@dataclass(frozen=True, eq=False)
class Measured:
    """What `tables.measure` takes.

    Attributes
    ----------
    axes : of the image; of the labels where there is none.
    pixel_size, unit : of the labels; where they have none, of the image.
    on : the name of the image; empty without one.
    """

    labels: Any
    image: Any
    axes: Axes
    pixel_size: tuple[float, ...] | None
    unit: str | None
    on: str = ""

    @classmethod
    def of(cls, labels: Any, *images: Any) -> Measured:
        """From a Labels layer, and the first of some image layers (None: none) that has its size; the others are ignored."""
        array, names = array_of(labels), axes_of_labels(labels)
        volumes = made(labels.metadata).get("spatial") != "YX"
        own = source_of(labels, names, volumes=volumes)
        for image in images:
            if image is not None and (over := axes_over(image, labels)):
                source = source_of(image, over, volumes=volumes)
                known = own if own.pixel_size and own.axes.spatial == source.axes.spatial else source
                return cls(array, source.array, source.axes, known.pixel_size, known.unit, str(image.name))
        return cls(array, None, own.axes, own.pixel_size, own.unit)

    def table(self, chosen: Sequence[str]) -> Table:
        """One row for each object; see `tables.measure`."""
        return measure(self.labels, self.image, self.axes, self.pixel_size, self.unit, chosen)

    def table_for(self, limits: Limits) -> Table:
        """What limits need; see `filters.measure_for`."""
        return measure_for(limits, self.labels, self.image, self.axes, self.pixel_size, self.unit)


def axes_over(image: Any, labels: Any) -> str | None:
    """The axes of an image that the labels may belong to: theirs, and channels; None where the sizes differ."""
    size, shape, names = array_of(image).shape, tuple(array_of(labels).shape), axes_of_labels(labels)
    fits = [choice for choice, _ in axes_choices(image) if Axes(choice).result(size, None)[1] == shape]
    return next((choice for choice in fits if choice.replace("C", "") == names), fits[0] if fits else None)
