"""An image on its way through the steps of a recipe, and what filter and measure steps do with it. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo.data.axes import Axes
from napari_dojo.data.kinds import Kind
from napari_dojo.errors import DojoError
from napari_dojo.inference.geometry import Image, Input
from napari_dojo.inference.tables import MEASUREMENTS, Table, measure, table_of
from napari_dojo.models.card import Card
from napari_dojo.recipes.recipe import FEATURE, Filter, Measure, Range
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

    def _seen(self, which: str) -> tuple[Any, Axes]:
        """The image that intensities are measured in, and its axes, which are those of what was found, with C or without."""
        found = self.found
        assert found is not None
        last = self.predicted if which == "predicted" else None
        candidates = [(found.given.array, found.given.axes.names)]
        if last is not None:
            candidates.insert(0, (last.prediction.array, last.axes.names))
        elif self.raw.picture.data is not None:
            picture = self.raw.picture
            names = self.raw.axes or picture.axes or (found.card.axes if picture.data.ndim == len(found.card.axes) else "")
            candidates = [(picture.data, names)] if self.predicted is not None else [(picture.data, names), *candidates]
        wanted = dict(zip(found.axes.names, found.prediction.array.shape, strict=True))
        for array, names in candidates:
            sizes = dict(zip(names, array.shape, strict=False))
            sizes.pop("C", None)
            if len(names) == array.ndim and list(sizes.items()) == list(wanted.items()):
                return array, Axes(names, found.axes.spatial)
        raise DojoError(
            f"The labels have {_times(wanted.values())} px, and the image that is measured has another size. "
            "Measure in the predicted image: image: predicted."
        )


def filtered(step: Filter, state: State) -> State:
    """The objects that a filter keeps; those that are left keep their numbers. DojoError: a feature cannot be measured."""
    found = state.found
    assert found is not None
    labels, axes = np.array(found.prediction.array), found.axes
    image, seen = state._seen("input") if _looks(step) else (None, axes)
    features = tuple(dict.fromkeys(_base(r.feature) for r in step.ranges))
    for i in range(axes.count(labels.shape)):
        y = found.kind.at(labels, axes, i)
        y = y[0] if y.ndim > len(axes.spatial) else y
        values = np.unique(y)
        keep = values > 0
        keep &= ~np.isin(values, _cut_off(y, axes.spatial, step))
        if step.ranges and keep.any():
            x = None if image is None else np.asarray(seen.sample(image, i))
            own = Axes(("C" if x is not None else "") + axes.spatial, axes.spatial)
            table = measure(y, x, own, found.pixel_size, found.given.unit, features)
            keep &= np.isin(values, table["index"][_within(step.ranges, table)])
        y[~np.isin(y, values[keep])] = 0
    return replace(state, found=replace(found, prediction=replace(found.prediction, array=labels)), table=None)


def measured(step: Measure, state: State) -> State:
    """With a table of what was found."""
    found = state.found
    assert found is not None
    image, axes = state._seen(step.image)
    table = table_of(
        found.card, found.prediction.array, image, axes, found.pixel_size, found.given.unit, step.columns
    )
    return replace(state, table=table)


def column_of(feature: str, columns: Sequence[str]) -> str | None:
    """The column of a table that holds a feature: ``area`` is that in px, also where it is a volume."""
    names = [feature, f"{feature}_px", *(["volume_px"] if feature == "area" else [])]
    return next((n for n in names if n in columns), None)


def _within(ranges: Sequence[Range], table: Table) -> NDArray[np.bool_]:
    keep = np.ones(len(table["index"]), bool)
    for r in ranges:
        column = column_of(r.feature, list(table))
        if column is None:
            raise DojoError(
                f"{r.feature} cannot be measured in this image; there are {', '.join(k for k in table if k != 'index')}."
            )
        values = np.asarray(table[column], float)
        keep &= (values >= (-np.inf if r.low is None else r.low)) & (values <= (np.inf if r.high is None else r.high))
    return keep


def _cut_off(y: NDArray[Any], spatial: str, step: Filter) -> NDArray[Any]:
    """The numbers of the objects that touch an edge."""
    axes = [i for i, a in enumerate(spatial) if (step.border if a in "YX" else step.border_planes)]
    return np.unique(np.concatenate([np.zeros(0, y.dtype), *(np.take(y, k, i).ravel() for i in axes for k in (0, -1))]))


def _base(feature: str) -> str:
    """The measurement that a feature is a column of: mean_intensity of mean_intensity_c1."""
    match = FEATURE.fullmatch(feature)
    return match.group(1) if match else feature


def _looks(step: Filter) -> bool:
    """Whether intensities are needed."""
    needed = {m.name for m in MEASUREMENTS if m.intensity}
    return any(_base(r.feature) in needed for r in step.ranges)


def _times(sizes: Any) -> str:
    return " x ".join(map(str, sizes))
