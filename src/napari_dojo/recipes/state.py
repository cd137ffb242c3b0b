"""An image on its way through the steps of a recipe, and what filter and measure steps do with it. No torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_dojo.data.axes import Axes
from napari_dojo.data.kinds import Kind
from napari_dojo.errors import DojoError
from napari_dojo.inference import filters
from napari_dojo.inference.geometry import Image, Input
from napari_dojo.inference.tables import (
    MEASUREMENTS,
    NO_CLASS,
    NamedObjects,
    Table,
    named_objects,
    objects_in,
    table_of,
    with_classes,
)
from napari_dojo.models.card import Card
from napari_dojo.recipes.recipe import Classify, Filter, Measure
from napari_dojo.tasks import TASKS
from napari_dojo.tasks.classify import probabilities

if TYPE_CHECKING:
    from napari_dojo.inference.predict import Prediction

__all__ = ["Found", "State", "classified", "filtered", "measured", "to_classify"]


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
    classes : of the objects; None: they have none.
    table : measurements of what was found.
    """

    raw: Image
    image: Image
    predicted: Found | None = None
    found: Found | None = None
    classes: NamedObjects | None = None
    table: Table | None = None

    def after(self, found: Found) -> State:
        """With a new prediction: an image is what the next model is applied to."""
        if not found.kind.intensities:
            return replace(self, found=found, classes=None, table=None)
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
    if step.classes and state.classes is not None:
        named = [state.classes.get(key, NO_CLASS)[0] for key in objects_in(labels, found.axes)]
        labels = filters.without(labels, found.axes, np.isin(np.array(named, object), list(step.classes)))
    return replace(state, found=replace(found, prediction=replace(found.prediction, array=labels)), table=None)


def measured(step: Measure, state: State) -> State:
    """With a table of what was found."""
    found = state.found
    assert found is not None
    image, axes = state.seen(step.image)
    table = table_of(found.card, found.prediction.array, image, axes, found.pixel_size, found.given.unit, step.columns)
    if state.classes is not None:
        table = with_classes(table, state.classes, found.prediction.array, found.axes)
    return replace(state, table=table)


def classified(made: Found, state: State) -> State:
    """With the classes that a model gives to the objects."""
    prediction = made.prediction
    assert prediction.objects is not None
    maps = np.zeros((len(prediction.objects), 1), np.float32) if prediction.maps is None else prediction.maps
    chances = probabilities(maps) if len(maps) else maps
    classes = named_objects(made.card, prediction.array, chances, prediction.objects)
    return replace(state, classes=classes, table=None)


def to_classify(step: Classify, state: State) -> Image:
    """The image with the labels whose objects get a class; DojoError where it has another size than they."""
    found = state.found
    assert found is not None
    array, axes = state.seen(step.image)
    picture = replace(state.raw.picture, data=array, axes=axes.names, pixel_size=found.given.pixel_size, notes=())
    return Image(state.raw.name, picture, axes.names, labels=found.prediction.array)


def _times(sizes: Any) -> str:
    return " x ".join(map(str, sizes))
