"""An image on its way through the steps of a recipe, and what filter and measure steps do with it. No torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from napari_dojo.data.axes import Axes
from napari_dojo.data.kinds import Kind
from napari_dojo.errors import DojoError
from napari_dojo.inference import filters
from napari_dojo.inference.geometry import Image, Input
from napari_dojo.inference.tables import MEASUREMENTS, Table, table_of
from napari_dojo.models.card import Card
from napari_dojo.recipes.recipe import Filter, Measure
from napari_dojo.tasks import TASKS

if TYPE_CHECKING:
    from napari_dojo.inference.predict import Prediction

__all__ = ["Found", "State", "filtered", "measured"]


@dataclass(frozen=True, eq=False)
class Found:
    """A prediction, the image as the model took it, and the model's card."""

    card: Card
    given: Input
    prediction: Prediction

    @property
    def kind(self) -> Kind:
        """What the prediction is."""
        return TASKS[self.card.task].result

    @property
    def axes(self) -> Axes:
        """Of the prediction."""
        return self.prediction.axes

    @property
    def pixel_size(self) -> tuple[float, ...] | None:
        """Of the spatial axes of the prediction; None where it is not known for each."""
        size, n = self.card.predicted_size(self.given.pixel_size), len(self.axes.spatial)
        return size[-n:] if size and len(size) >= n else None


@dataclass(frozen=True, eq=False)
class State:
    """What is known of an image after a step.

    Attributes
    ----------
    raw : the image as it was read.
    image : what the next model is applied to.
    predicted : the last predicted image; ``found`` : objects or classes. None: there is none yet.
    table : measurements of what was found.
    """

    raw: Image
    image: Image
    predicted: Found | None = None
    found: Found | None = None
    table: Table | None = None

    def after(self, found: Found) -> State:
        """With a new prediction: an image is what the next model is applied to."""
        if not found.kind.intensities:
            return replace(self, found=found, table=None)
        prediction, picture = found.prediction, self.image.picture
        picture = replace(
            picture,
            data=prediction.array,
            axes=prediction.axes.names,
            rgb=False,
            pixel_size=found.card.predicted_size(found.given.pixel_size),
            unit=found.given.unit,
            channel_names=found.card.maps if len(found.card.maps) > 1 else (),
            notes=(),
        )
        return replace(self, image=Image(self.image.name, picture, picture.axes), predicted=found)

    def seen(self, which: str) -> tuple[Any, Axes]:
        """The image that intensities are measured in, with axes that are those of what was found, with C or without.

        ``which`` : "input", as it was read, with all its channels, or "predicted".
        """
        found = self.found
        assert found is not None
        wanted = dict(zip(found.axes.names, found.prediction.array.shape, strict=True))
        for array, names in self._candidates(found, which):
            sizes = dict(zip(names, array.shape, strict=True))
            if {k: n for k, n in sizes.items() if k != "C"} == wanted:
                return array, Axes(names, found.axes.spatial)
        raise DojoError(
            f"What was found has {_times(wanted.values())} px, and the image that is measured has another size. "
            "Measure in the predicted image: image: predicted."
        )

    def _candidates(self, found: Found, which: str) -> list[tuple[Any, str]]:
        taken = (found.given.array, found.given.axes.names)  # the predicted image, where there is one before
        if which == "predicted":
            return [taken]
        picture, card = self.raw.picture, found.card
        names = self.raw.axes or picture.axes or (card.axes if picture.data.ndim == len(card.axes) else "")
        raw = [(picture.data, names)] if len(names) == picture.data.ndim else []
        return raw if self.predicted is not None else [*raw, taken]


def filtered(step: Filter, state: State) -> State:
    """Without the objects that a filter removes; the others keep their numbers. DojoError: something cannot be measured."""
    found, limits = state.found, step.limits
    assert found is not None
    looks = any(m.intensity and m.name in limits.measurements for m in MEASUREMENTS)
    image, axes = state.seen("input") if looks else (None, found.axes)
    labels = found.prediction.array
    labels, _ = filters.filtered(labels, image, axes, limits, found.pixel_size, found.given.unit)
    return replace(state, found=replace(found, prediction=replace(found.prediction, array=labels)), table=None)


def measured(step: Measure, state: State) -> State:
    """With a table of what was found."""
    found = state.found
    assert found is not None
    image, axes = state.seen(step.image)
    table = table_of(found.card, found.prediction.array, image, axes, found.pixel_size, found.given.unit, step.columns)
    return replace(state, table=table)


def _times(sizes: Any) -> str:
    return " x ".join(map(str, sizes))
