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

__all__ = ["Measured"]


@dataclass(frozen=True, eq=False)
class Measured:
    """What `tables.measure` takes.

    Attributes
    ----------
    axes : of the image; of the labels where there is none.
    """

    labels: Any
    image: Any
    axes: Axes
    pixel_size: tuple[float, ...] | None
    unit: str | None

    @classmethod
    def of(cls, labels: Any, image: Any = None) -> Measured:
        """From layers; an image of another size is ignored."""
        array, names = array_of(labels), axes_of_labels(labels)
        spatial = str(made(labels.metadata).get("spatial", "")) or ("ZYX" if "Z" in names else "YX")
        source = source_of(labels, names, volumes=spatial == "ZYX")
        for choice, _ in () if image is None else axes_choices(image):
            pixels = array_of(image)
            if choice.replace("C", "") == names and Axes(choice).result(pixels.shape, None)[1] == tuple(array.shape):
                return cls(array, pixels, Axes(choice, spatial), source.pixel_size, source.unit)
        return cls(array, None, Axes(names, spatial), source.pixel_size, source.unit)

    def table(self, chosen: Sequence[str]) -> Table:
        """One row for each object; see `tables.measure`."""
        return measure(self.labels, self.image, self.axes, self.pixel_size, self.unit, chosen)

    def table_for(self, limits: Limits) -> Table:
        """What limits need; see `filters.measure_for`."""
        return measure_for(limits, self.labels, self.image, self.axes, self.pixel_size, self.unit)
