"""What is annotated in the open images, as the rows that a training and its tests are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo.data.axes import Axes
from napari_dojo.metrics.corrections import (
    Checked,
    classes_fixed_and_broken,
    fixed_and_broken,
    strokes_fixed_and_broken,
)
from napari_dojo.tasks import TASKS
from napari_dojo.widgets.common.accepted import accepted_places
from napari_dojo.widgets.common.layers import array_of, axes_choices, fits
from napari_dojo.widgets.common.numbering import STROKES
from napari_dojo.widgets.common.pick import images_of, labels_of, paired
from napari_dojo.widgets.common.provenance import is_prediction, made, source_among
from napari_dojo.widgets.common.rows import Row
from napari_dojo.widgets.common.training_data import Layers

__all__ = ["KINDS", "Annotated", "Kind", "annotated", "axes_for"]


@dataclass(frozen=True)
class Kind:
    """What annotation of one kind is trained as, and how it tests a model.

    Attributes
    ----------
    task, options : of the training.
    minutes : by default; with start, prediction and check, the result of a retraining on corrections is there within a minute.
    check : (annotation, prediction of the old and the new model, accepted places or None, leading axes apart) -> what changed.
    unit : what is counted.
    """

    task: str
    options: dict[str, Any]
    minutes: float
    check: Callable[..., Checked]
    unit: str


KINDS = {
    "": Kind("instances", {"annotation": "complete"}, 0.8, fixed_and_broken, "accepted object"),
    "objects": Kind("instances", {"annotation": "strokes"}, 5.0, strokes_fixed_and_broken, "stroke"),
    "classes": Kind("semantic", {}, 2.0, classes_fixed_and_broken, "stroke"),
}


@dataclass(frozen=True, eq=False)
class Annotated:
    """The annotated images of one kind, the first of which is the one that is edited.

    Attributes
    ----------
    kind : what strokes in the labels stand for; empty: they are whole objects.
    rows : images with labels and accepted places.
    axes : of the image layers.
    """

    kind: str
    rows: tuple[Row, ...]
    axes: str

    @property
    def how(self) -> Kind:
        """How it is trained and tested."""
        return KINDS[self.kind]

    @property
    def material(self) -> Layers:
        """What a training learns from."""
        task = TASKS[self.how.task]
        return Layers(self.rows, self.axes, task.layout(task.options(**self.how.options)))

    def check(self, before: Sequence[NDArray[Any] | None], after: Sequence[NDArray[Any]]) -> Tested:
        """All that is accepted, with the predictions of the old model (None: there is none) and the new one."""
        found = []
        for i, (row, old, new) in enumerate(zip(self.rows, before, after, strict=True)):
            accepted = None if row.region is None else np.array(array_of(row.region))
            apart = sum(n == "T" for n in self.axes)
            labels = np.array(array_of(row.target))
            found.append((i, self.how.check(labels, new if old is None else old, new, accepted=accepted, apart=apart)))
        return Tested(tuple(found), any(old is not None for old in before))


@dataclass(frozen=True)
class Tested:
    """What the new model made of the annotation, row by row; ``compared`` : with an old model."""

    rows: tuple[tuple[int, Checked], ...]
    compared: bool

    @property
    def all(self) -> Checked:
        """Of all rows together."""
        total = self.rows[0][1]
        for _, checked in self.rows[1:]:
            total = total + checked
        return total

    @property
    def fixed(self) -> list[tuple[int, Any]]:
        """The row and the object of each that is right now."""
        return [(i, change) for i, checked in self.rows for change in checked.fixed]

    @property
    def broken(self) -> list[tuple[int, Any]]:
        """The row and the object of each that is wrong now."""
        return [(i, change) for i, checked in self.rows for change in checked.broken]


def axes_for(image: Any, labels: Any) -> str | None:
    """The axes of an image layer with which the labels fit it."""
    wanted, shape = tuple(array_of(labels).shape), tuple(array_of(image).shape)
    choices = (names for names, _ in axes_choices(image))
    return next((n for n in choices if Axes(n).result(shape, None)[1] == wanted), None)


def annotated(viewer: Any, labels: Any, image: Any) -> Annotated | None:
    """The labels over their image, and those of the other open images that are annotated in the same way.

    Of other images the topmost labels with accepted places count; else strokes of the same kind, or labels of the user's.
    None where the labels do not fit the image.
    """
    axes = axes_for(image, labels)
    if axes is None:
        return None
    kind = str(labels.metadata.get(STROKES, ""))
    rows = [Row((image,), labels, accepted_places(viewer.layers, labels))]
    for other, its in _others(viewer, labels, image, kind):
        if axes_for(other, its) == axes and other.rgb == image.rgb:
            rows.append(Row((other,), its, accepted_places(viewer.layers, its)))
    return Annotated(kind, tuple(rows), axes)


def _others(viewer: Any, labels: Any, image: Any, kind: str) -> list[tuple[Any, Any]]:
    """Other images and their labels."""
    there = [x for x in labels_of(viewer.layers) if x is not labels and _counts(viewer, x, kind)]
    images = [x for x in images_of(viewer.layers, ours=False) if x is not image]
    named = {id(source): x for x in there if (source := source_among(x.metadata, viewer.layers)) is not None}
    sure = [(x, named[id(x)]) for x in images if id(x) in named and fits(x, named[id(x)])]
    left = [x for x in images if id(x) not in named]
    free = [x for x in there if not made(x.metadata).get("image")]
    # an image that the labels in hand belong to takes part, so that older labels of it do not go to another one
    likely = paired([image, *left], free, fits)
    return [*sure, *((a, b) for a, b in likely if a is not image)]


def _counts(viewer: Any, labels: Any, kind: str) -> bool:
    """Whether labels hold annotation of this kind."""
    if str(labels.metadata.get(STROKES, "")) != kind or labels.multiscale or not isinstance(labels.data, np.ndarray):
        return False
    if accepted_places(viewer.layers, labels) is not None:
        return True
    return not is_prediction(labels.metadata) and bool(np.any(labels.data > 0))
