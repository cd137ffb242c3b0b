"""What is classified: the objects of a Labels or Points layer, and the images they are looked at in. Work for threads."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo.data.axes import Axes
from napari_dojo.data.normalize import Normalization
from napari_dojo.data.objects import painted as objects_painted
from napari_dojo.objects.features import Objects, joined, measure_sample, normalization
from napari_dojo.objects.heads import Examples, Prediction, predictions, projected, scaled
from napari_dojo.widgets.common.layers import Source, array_of, axes_choices, fits_as, source_of
from napari_dojo.widgets.common.layers import joined as stacked

__all__ = ["UNSURE", "MeasuredObjects", "Seen", "Subject", "axes_of", "classified", "measured", "painted"]

UNSURE = 10  # the number of objects that are in no class with enough certainty, in the layer of classes


@dataclass(frozen=True, eq=False)
class Subject:
    """The layers that are classified, as they were chosen.

    Attributes
    ----------
    layer : Labels, or Points, of which each is a disc of its size.
    images : image layers of one size; several are channels.
    axes : of the array of the images, which `image` gives.
    """

    layer: Any
    images: tuple[Any, ...]
    axes: Axes

    @property
    def image(self) -> Any:
        """The images as one array."""
        return stacked(self.images)

    @property
    def source(self) -> Source:
        """The first image, read with the axes that were chosen."""
        return source_of(self.images[0], self.own, volumes=self.axes.spatial == "ZYX")

    @property
    def own(self) -> str:
        """The axes of each image; several lie along a first axis of the joined array."""
        return self.axes.names[1:] if len(self.images) > 1 else self.axes.names

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the labels."""
        return self.axes.result(self.image.shape, None)[1]

    def labels(self) -> Any:
        """The labels as they are now; of points, discs that are numbered from 1 on."""
        if self.layer._type_string == "labels":
            return array_of(self.layer)
        return _discs(self.layer, self.images[0], self.shape)

    def place_at(self, world: Sequence[float]) -> tuple[int, tuple[int, ...]] | None:
        """The sample and the pixel in it of a place in the world; None outside."""
        ours, shape = self.axes.without_channels(), self.shape
        at = self._carrier.world_to_data(tuple(world)[-len(self._names) :])
        found = {a: int(np.floor(float(v) + 0.5)) for a, v in zip(self._names, at, strict=True)}
        if any(not 0 <= found[a] < n for a, n in zip(ours.names, shape, strict=True)):
            return None
        letters = [(a, n) for a, n in zip(ours.names, shape, strict=True) if a not in ours.spatial]
        index = int(np.ravel_multi_index([found[a] for a, _ in letters], [n for _, n in letters])) if letters else 0
        return index, tuple(found[a] for a in ours.spatial)

    def world_of(self, sample: int, place: Sequence[float]) -> tuple[float, ...]:
        """Where a place of a sample, px, lies in the world."""
        ours, shape = self.axes.without_channels(), self.shape
        letters = [a for a in ours.names if a not in ours.spatial]
        where = np.unravel_index(sample, [shape[ours.names.index(a)] for a in letters]) if letters else ()
        at = dict(zip(letters, map(float, where), strict=True)) | dict(
            zip(ours.spatial, map(float, place), strict=True)
        )
        return tuple(self._carrier.data_to_world([at.get(a, 0.0) for a in self._names]))

    @property
    def _carrier(self) -> Any:
        """The layer whose place in the world is that of the labels."""
        return self.layer if self.layer._type_string == "labels" else self.images[0]

    @property
    def _names(self) -> str:
        """The axes of the carrier, as napari counts them."""
        if self._carrier is self.layer or self._carrier.rgb:
            return self.axes.names.replace("C", "")
        return self.own


def axes_of(images: Sequence[Any], layer: Any) -> list[tuple[Axes, str]]:
    """How images and the layer of objects may be read together: axes of the joined array, and words for the choice."""
    first, several = images[0], len(images) > 1
    found = []
    for names, words in axes_choices(first):
        if several and "C" in names:
            continue
        if layer._type_string == "labels" and not fits_as(first, layer, names):
            continue
        joint = ("C" if several else "") + names
        found.append((Axes(joint, "ZYX" if "Z" in names else "YX"), words))
    return found


def _discs(points: Any, image: Any, shape: Sequence[int]) -> NDArray[np.int32]:
    """Points as labels of the image's size: discs (in volumes balls) around them; the nearest counts where they overlap."""
    out = np.zeros(tuple(shape), np.int32)
    nearest = np.full(out.shape, np.inf, np.float32)
    for k, at in enumerate(points.data):
        world = points.data_to_world(at)
        place = np.asarray(world)[-out.ndim :]
        place = np.pad(place, (out.ndim - len(place), 0))
        place = np.asarray(_data_place(image, place))[-out.ndim :]
        radius = max(1.0, float(np.atleast_1d(points.size)[k]) / 2 * float(points.scale[-1]) / float(image.scale[-1]))
        reach = [radius if a >= out.ndim - 2 else 0.5 for a in range(out.ndim)]
        box = tuple(
            slice(max(0, int(np.ceil(c - r))), max(0, min(n, int(np.floor(c + r)) + 1)))
            for c, r, n in zip(place, reach, out.shape, strict=True)
        )
        grid = np.meshgrid(*(np.arange(s.start, s.stop) for s in box), indexing="ij", sparse=True)
        far = sum(((g - c) / r) ** 2 for g, c, r in zip(grid, place, reach, strict=True))
        if np.size(far):
            closer = (far <= 1) & (far < nearest[box])
            nearest[box][closer], out[box][closer] = np.broadcast_to(far, closer.shape)[closer], k + 1
    return out


def _data_place(image: Any, world: NDArray[np.float64]) -> NDArray[np.float64]:
    missing = image.ndim - len(world)
    return np.asarray(image.world_to_data(np.pad(world, (max(0, missing), 0))))


@dataclass(frozen=True, eq=False)
class MeasuredObjects:
    """The objects of a subject, measured.

    Attributes
    ----------
    objects : with their features.
    x : the features as heads want them.
    plane : (N, 2) two principal components.
    labels : the array that was measured.
    parts : of each sample what it was measured from (a checksum) and its objects, so that others need not be again.
    scale : of the intensities.
    """

    subject: Subject
    objects: Objects
    x: NDArray[np.float32]
    plane: NDArray[np.float32]
    labels: Any
    parts: tuple[tuple[int, Objects], ...] = ()
    scale: Normalization | None = field(default=None)


def measured(subject: Subject, before: MeasuredObjects | None = None) -> MeasuredObjects | None:
    """Measure all objects; None where they are as they were ``before``, of which samples without a change are taken over."""
    labels, image, axes = subject.labels(), subject.image, subject.axes
    ours = axes.without_channels()
    known = before if before is not None and before.subject is subject else None
    scale = known.scale if known is not None and known.scale is not None else normalization(image, axes)
    old = {} if known is None else dict(enumerate(known.parts))
    parts, same = [], known is not None
    for i in range(ours.count(labels.shape)):
        y = np.asarray(ours.sample(labels, i)[0])
        print_ = zlib.crc32(np.ascontiguousarray(y).reshape(-1).data)
        if i in old and old[i][0] == print_:
            parts.append(old[i])
            continue
        same = False
        parts.append((print_, measure_sample(y, np.asarray(axes.sample(image, i)), scale, i)))
    if same:
        return None
    objects = joined([part for _, part in parts])
    x = scaled(objects.values)
    return MeasuredObjects(subject, objects, x, projected(x), labels, tuple(parts), scale)


@dataclass(frozen=True, eq=False)
class Seen:
    """What follows from what was shown.

    Attributes
    ----------
    measured, examples : what it follows from.
    prediction : None where fewer than two classes were shown.
    numbers : (N,) for each object 0 (no class), 1, 2, ... or `UNSURE`.
    picture : uint8, these numbers at the pixels of the labels.
    final : no better one follows.
    threshold : of certainty, below which objects are unsure.
    """

    measured: MeasuredObjects
    examples: Examples
    prediction: Prediction | None
    numbers: NDArray[np.uint8]
    picture: NDArray[np.uint8]
    final: bool = True
    threshold: float = 0.0

    def at(self, threshold: float) -> Seen:
        """The same with another threshold of certainty."""
        numbers = _numbers(self.measured, self.examples, self.prediction, threshold)
        return replace(self, numbers=numbers, picture=painted(self.measured, numbers), threshold=threshold)


def classified(m: MeasuredObjects, examples: Examples, temperature: float, threshold: float) -> Iterator[Seen | None]:
    """The classes of all objects: soon, and with cross-validation where that is possible; None in between."""

    def seen(prediction: Prediction | None) -> Seen:
        numbers = _numbers(m, examples, prediction, threshold)
        final = prediction is None or prediction.checked is not None or not examples.checkable
        return Seen(m, examples, prediction, numbers, painted(m, numbers), final, threshold)

    found = False
    for prediction in predictions(m.x, examples, temperature):
        found = True
        yield None if prediction is None else seen(prediction)
    if not found:
        yield seen(None)


def _numbers(
    m: MeasuredObjects, examples: Examples, prediction: Prediction | None, threshold: float
) -> NDArray[np.uint8]:
    numbers = np.zeros(len(m.objects), np.uint8)
    if prediction is not None:
        found = prediction.classes(threshold)
        numbers[:] = np.where(found >= 0, found + 1, UNSURE)
    numbers[examples.rows] = examples.classes + 1
    return numbers


def painted(m: MeasuredObjects, numbers: NDArray[Any]) -> NDArray[Any]:
    """A number for each object (N,), at its pixels, in an array like the labels."""
    keys = np.stack([m.objects.sample, m.objects.label], 1)
    return objects_painted(m.labels, m.subject.axes.without_channels(), keys, numbers)
