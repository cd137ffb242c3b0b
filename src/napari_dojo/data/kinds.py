"""What a target or a prediction is: labels, classes, an image or a category. Values with behaviour, so that nobody asks.

A dense kind has one value for each pixel; a category has one for a whole sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo.data.axes import Axes
from napari_dojo.data.normalize import Normalization
from napari_dojo.data.resample import resize, resize_labels
from napari_dojo.errors import DojoError

__all__ = ["CATEGORY", "CLASSES", "IMAGE", "LABELS", "Kind", "as_image", "as_labels", "renumbered"]

MOST_PLACES = 4000  # annotated places that are kept of one crop
MEASURED = 1e15  # no camera counts so far: larger values mark what is missing, and their squares overflow
LISTED = 2**24  # numbers below it are looked up in a list
LOOKED_THROUGH = 2_000_000_000  # bytes; larger arrays in a file are not searched for such values


@dataclass(frozen=True, eq=False)
class Kind:
    """How values of one kind behave: as targets of samples, in crops and as predictions.

    Attributes
    ----------
    gives : what a model gives that predicts it, in words.
    dense : one value (or one for each channel) for each pixel; else one for the sample.
    intensities : values are intensities: they are interpolated, averaged over views, and have units.
    zooms : images are scaled to the size of objects that the model was trained on.
    drawn : a person paints targets of this kind; images are measured, not painted.
    objects, classes : what numbers stand for: one object each, or classes, which have names.
    tta : how many flipped and rotated versions of an image a prediction is averaged over (test-time augmentation, TTA).
    """

    gives: str
    dense: bool = True
    intensities: bool = False
    zooms: bool = False
    drawn: bool = False
    objects: bool = False
    classes: bool = False
    tta: int = 1

    # as a target

    def checked(self, y: Any, name: str) -> Any:
        """A target as this kind is stored; DojoError, naming the image, where it is none."""
        return as_labels(y, name)

    def place(
        self, given: Sequence[int], axes: Axes, shape: Sequence[int], scale: Sequence[int]
    ) -> tuple[Axes, tuple[int, ...]]:
        """The axes and the shape that a target, which came in the shape ``given``, must have.

        Its input has ``axes`` and ``shape``; ``scale`` is target px per input px. C may differ.
        """
        return axes.result(shape, None, scale)

    def sample(self, axes: Axes, y: Any, index: int) -> Any:
        """The target of sample ``index`` out of an array with ``axes``: (*S)."""
        return axes.sample(y, index)[0]

    def channels(self, y: Any) -> int | None:
        """Channels of the target of a sample, which all samples must share; None where there are none."""
        return None

    def crop(self, y: Any, box: tuple[slice, ...], scale: Sequence[int]) -> Any:
        """The part of a sample's target that belongs to a box of its input; ``scale`` target px per input px."""
        return y[(..., *(slice(s.start * f, s.stop * f) for s, f in zip(box, scale or (1,) * len(box), strict=True)))]

    def resize(self, y: Any, size: Sequence[int]) -> Any:
        """A sample's target on another grid of spatial size ``size``."""
        return resize_labels(np.asarray(y), tuple(size))

    def places(self, y: Any, region: NDArray[np.bool_] | None, seed: int) -> NDArray[np.int32]:
        """Places worth training on, (n, dims) px: each label value as often as the others; none: anywhere."""
        where = np.asarray(y) != 0
        return _places_of_each(np.asarray(y), where if region is None else where & region, seed)

    def strata(
        self, y: Any, region: NDArray[np.bool_] | None, numbers: Sequence[int]
    ) -> NDArray[np.integer[Any]] | None:
        """What should lie in training and in validation, see `napari_dojo.data.coverage`; None where nothing has to.

        ``numbers`` are the label values that count as classes.
        """
        return None

    def scores(self, both: int) -> bool:
        """Whether a score means something where this many strata lie in training and in validation."""
        return True

    # as a prediction

    def dtype(self, wanted: Any) -> np.dtype[Any]:
        """Of a prediction; ``wanted`` is that of the input where it was asked for, else None."""
        return np.dtype(np.int32)

    def predicted_channels(self, outputs: int, has_channels: bool, channels: int) -> int | None:
        """Channels of the prediction for an input with this many ``channels``; None: no channel axis."""
        return None

    def in_units(self, decoded: NDArray[Any], numbers: Normalization) -> NDArray[Any]:
        """A decoded prediction, labels (*S) or an image (K, *S), in the units that ``numbers`` bring it back to."""
        return decoded

    def padded(self, decoded: NDArray[Any], where: NDArray[np.bool_], level: Any) -> NDArray[Any]:
        """A decoded prediction, (*S) or (K, *S), with the value ``level`` where the sample is padding: ``where``, bool of its shape."""
        decoded = decoded.copy()
        decoded[where] = level
        return decoded

    def predicted(
        self, axes: Axes, shape: Sequence[int], channels: int | None, scale: Sequence[int]
    ) -> tuple[Axes, tuple[int, ...]]:
        """Axes and shape of the prediction for an image with ``axes`` and ``shape``."""
        return axes.result(shape, channels, scale)

    def at(self, prediction: Any, axes: Axes, index: int) -> Any:
        """The place of sample ``index`` in a prediction with ``axes``, to be written to."""
        return axes.sample(prediction, index)

    def blank(self, size: Sequence[int], outputs: int, level: Sequence[float]) -> NDArray[Any]:
        """The prediction, (*S) or (K, *S), for a sample of this size that shows nothing; ``level`` is the value of each channel of an image."""
        return np.zeros(tuple(size), np.int32)


@dataclass(frozen=True, eq=False)
class _Labels(Kind):
    """A number for each object, 1..n."""

    def places(self, y: Any, region: NDArray[np.bool_] | None, seed: int) -> NDArray[np.int32]:
        """Of a part that is annotated, the background is one of the values: an object may have been deleted there."""
        if region is None or region.all():
            return super().places(y, None, seed)
        return _places_of_each(np.asarray(y), region, seed)

    def strata(
        self, y: Any, region: NDArray[np.bool_] | None, numbers: Sequence[int]
    ) -> NDArray[np.integer[Any]] | None:
        """1 in the middle of each object."""
        from scipy.ndimage import find_objects

        y = np.asarray(y) if region is None else np.where(region, y, 0)
        middle = np.zeros(y.shape, np.uint8)
        for box in find_objects(renumbered(y)):
            if box is not None:
                middle[tuple((s.start + s.stop) // 2 for s in box)] = 1
        return middle

    def scores(self, both: int) -> bool:
        return both > 0

    def padded(self, decoded: NDArray[Any], where: NDArray[np.bool_], level: Any) -> NDArray[Any]:
        return renumbered(super().padded(decoded, where, level))


@dataclass(frozen=True, eq=False)
class _Classes(Kind):
    """A class for each pixel."""

    def checked(self, y: Any, name: str) -> Any:
        y = as_labels(y, name)
        if y.dtype.itemsize >= 4 and y.size and int(y.max()) >= 2**31:
            raise DojoError(
                f"Classes are numbers below 2147483648; those of {name} go up to {int(y.max())}. Number the classes from 1."
            )
        return y

    def strata(
        self, y: Any, region: NDArray[np.bool_] | None, numbers: Sequence[int]
    ) -> NDArray[np.integer[Any]] | None:
        """The place of each class among the numbers, from 1 on."""
        y, found = np.asarray(y), np.zeros(np.shape(y), np.uint16)
        for k, value in enumerate(numbers, 1):
            found[y == value] = k
        return found if region is None else np.where(region, found, 0)

    def scores(self, both: int) -> bool:
        return both > 1


@dataclass(frozen=True, eq=False)
class _Image(Kind):
    """One or more channels of intensities, (K, *S)."""

    def checked(self, y: Any, name: str) -> Any:
        return as_image(y, f"The target of {name}")

    def place(
        self, given: Sequence[int], axes: Axes, shape: Sequence[int], scale: Sequence[int]
    ) -> tuple[Axes, tuple[int, ...]]:
        if len(given) == len(axes.names.replace("C", "")):
            return axes.result(shape, None, scale)
        if "C" not in axes.names and len(given) == len(axes.names) + 1:  # several channels beside an image of one
            at = min(axes.names.index(a) for a in axes.spatial)
            several = axes.result(shape, given[at], scale)
            return several if several[1] == tuple(given) else axes.result(shape, None, scale)
        return axes.result(shape, axes.own_channels(shape), scale)

    def sample(self, axes: Axes, y: Any, index: int) -> Any:
        return axes.sample(y, index)

    def channels(self, y: Any) -> int | None:
        return len(y)

    def resize(self, y: Any, size: Sequence[int]) -> Any:
        return resize(np.asarray(y), tuple(size))

    def places(self, y: Any, region: NDArray[np.bool_] | None, seed: int) -> NDArray[np.int32]:
        return np.zeros((0, np.ndim(y) - 1), np.int32)

    def dtype(self, wanted: Any) -> np.dtype[Any]:
        return np.dtype(np.float32 if wanted is None else wanted)

    def predicted_channels(self, outputs: int, has_channels: bool, channels: int) -> int | None:
        return outputs if outputs > 1 or (channels == 1 and has_channels) else None

    def in_units(self, decoded: NDArray[Any], numbers: Normalization) -> NDArray[Any]:
        return numbers.invert(decoded)

    def blank(self, size: Sequence[int], outputs: int, level: Sequence[float]) -> NDArray[Any]:
        image = np.zeros((outputs, *size), np.float32)
        image[: len(level)] = np.reshape(level, (-1,) + (1,) * len(size))
        return image


@dataclass(frozen=True, eq=False)
class _Category(Kind):
    """One whole number for a sample, from 1 on; 0 stands for none."""

    def place(
        self, given: Sequence[int], axes: Axes, shape: Sequence[int], scale: Sequence[int]
    ) -> tuple[Axes, tuple[int, ...]]:
        return axes, (axes.count(shape),) if axes.count(shape) > 1 else tuple(given)

    def sample(self, axes: Axes, y: Any, index: int) -> Any:
        return np.asarray(y).reshape(-1)[index]

    def crop(self, y: Any, box: tuple[slice, ...], scale: Sequence[int]) -> Any:
        return y

    def resize(self, y: Any, size: Sequence[int]) -> Any:
        return y

    def predicted(
        self, axes: Axes, shape: Sequence[int], channels: int | None, scale: Sequence[int]
    ) -> tuple[Axes, tuple[int, ...]]:
        return axes, (axes.count(shape),)

    def at(self, prediction: Any, axes: Axes, index: int) -> Any:
        return prediction[index : index + 1]

    def places(self, y: Any, region: NDArray[np.bool_] | None, seed: int) -> NDArray[np.int32]:
        return np.zeros((0, 0), np.int32)

    def padded(self, decoded: NDArray[Any], where: NDArray[np.bool_], level: Any) -> NDArray[Any]:
        return decoded

    def blank(self, size: Sequence[int], outputs: int, level: Sequence[float]) -> NDArray[Any]:
        return np.zeros((), np.int32)


LABELS = _Labels("objects", zooms=True, drawn=True, objects=True, tta=2)  # one number for each object, 0: background
CLASSES = _Classes("a class for each pixel", zooms=True, drawn=True, classes=True, tta=2)  # one class for each pixel
IMAGE = _Image("an image", intensities=True, tta=8)
CATEGORY = _Category("a class", dense=False)


def as_image(x: Any, name: str) -> Any:
    """An image in a type that can be computed with; most come back as they are.

    Booleans become uint8, halves float32; values beyond `MEASURED`, which programs use for "nothing here", become NaN.

    Parameters
    ----------
    x : any axes, numpy, memory-mapped or dask.
    name : what the user knows it by.

    Raises
    ------
    DojoError : no real numbers, or no pixels at all.
    """
    x = x if hasattr(x, "ndim") else np.asarray(x)
    dtype = np.dtype(x.dtype)
    if dtype.kind not in "biuf":
        raise DojoError(f"An image of numbers is needed; {name} is of type {dtype}.")
    if 0 in x.shape:
        raise DojoError(f"{name} is empty: {' x '.join(map(str, x.shape))}.")
    if dtype.kind == "b":
        return x.view(np.uint8) if isinstance(x, np.ndarray) else x.astype(np.uint8)
    if dtype == np.float16:
        return x.astype(np.float32)
    if dtype.itemsize < 4 or not isinstance(x, np.ndarray) or x.nbytes > LOOKED_THROUGH:
        return x
    if np.fmin.reduce(x, axis=None) >= -MEASURED and np.fmax.reduce(x, axis=None) <= MEASURED:
        return x
    if dtype.kind == "f" and not np.isfinite(x).any():
        return x
    return np.where((x >= -MEASURED) & (x <= MEASURED), x, np.nan).astype(np.float32)


def as_labels(y: Any, name: str) -> Any:
    """Labels as whole numbers: booleans and whole floats are accepted.

    Raises
    ------
    DojoError : fractions, negative numbers, NaN, or floats from 2^31 on, naming the image.
    """
    kind = np.dtype(y.dtype).kind
    if kind == "b":
        return y.astype(np.uint8)
    if kind not in "iuf":
        raise DojoError(
            f"Labels are whole numbers; those of {name} are of type {y.dtype}. Save them as an integer image."
        )
    if kind == "u":
        return y
    y = np.asarray(y)
    if kind == "f" and not np.isfinite(y).all():
        raise DojoError(
            f"Labels are whole numbers; those of {name} hold NaN or infinite values. Set these pixels to 0."
        )
    if y.size and y.min() < 0:
        raise DojoError(f"Labels are 0 or larger; those of {name} go down to {y.min():g}. Set negative pixels to 0.")
    if kind == "f":
        if y.size and (y != np.round(y)).any():
            raise DojoError(
                f"Labels are whole numbers; those of {name} hold fractions such as {y[y != np.round(y)].flat[0]:g}. "
                "Is this an image, or a probability map? Choose the labels."
            )
        if y.size and y.max() >= 2**31:
            raise DojoError(
                f"Labels are below 2147483648; those of {name} go up to {y.max():g}. Renumber the objects from 1."
            )
        return y.astype(np.int32)
    return y


def renumbered(labels: NDArray[Any]) -> NDArray[np.int32]:
    """The same objects (*S) as 1..n, in the order of their numbers; numbers below 1 are background."""
    if labels.size and int(labels.min()) >= 0 and int(labels.max()) < min(4 * labels.size, LISTED):
        present = np.bincount(labels.ravel().astype(np.int64, copy=False)) > 0
        present[0] = False
        return np.asarray((np.cumsum(present) * present).astype(np.int32)[labels])
    values, ranks = np.unique(labels, return_inverse=True)
    numbers = np.cumsum(values > 0) * (values > 0)
    return np.asarray(numbers.astype(np.int32)[ranks].reshape(labels.shape))


def _places_of_each(y: NDArray[Any], mask: NDArray[np.bool_], seed: int) -> NDArray[np.int32]:
    """Places of (*S) in the mask, each label value as often as the others: (n, dims)."""
    where = np.flatnonzero(mask)
    if not len(where):
        return np.zeros((0, y.ndim), np.int32)
    rng = np.random.default_rng(seed)
    values = y.ravel()[where]
    order = np.argsort(values, kind="stable")
    where, values = where[order], values[order]
    first = np.flatnonzero(np.r_[True, values[1:] != values[:-1]])
    last = np.r_[first[1:], len(values)]
    each = max(1, min(ceil(MOST_PLACES / len(first)), 500))
    picks = (first[:, None] + rng.random((len(first), each)) * (last - first)[:, None]).astype(int)
    return np.stack(np.unravel_index(where[picks.ravel()], y.shape), 1).astype(np.int32)
