"""Crops around labelled objects, all of one size, cut for thousands of objects at once. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo.data.axes import Axes
from napari_dojo.data.kinds import LISTED
from napari_dojo.errors import DojoError

__all__ = ["CONTEXT", "boxes_by_number", "boxes_of", "crops_of", "extent_of", "outlined", "painted"]

CONTEXT = 0.25  # of an object's size that a crop shows of its surroundings, to each side
FINEST = 4  # points for each pixel of a crop, along an axis, that a larger object is averaged from
TOGETHER = 4_000_000  # points that are looked up at once


def boxes_by_number(labels: Any) -> dict[int, tuple[slice, ...]]:
    """The tight box of each object of labels (*S), by its number, above 0 and in ascending order."""
    from scipy.ndimage import find_objects

    y = np.asarray(labels)
    if not y.size:
        return {}
    if int(y.max()) < min(LISTED, max(2**20, 4 * y.size)):
        numbers: Iterable[int] = count(1)
    else:  # by their rank
        values, ranks = np.unique(y, return_inverse=True)
        y, numbers = np.where(y > 0, ranks.reshape(y.shape) + 1, 0), values.tolist()
    return {
        n: box for n, box in zip(numbers, find_objects(y.astype(np.int32, copy=False)), strict=False) if box is not None
    }


def boxes_of(labels: Any) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[np.int64]]:
    """The same as arrays: numbers (n,), first and last + 1 pixel of each (n, d).

    Numbers are int64, or uint64 where they are too large for it.
    """
    found, dims = boxes_by_number(labels), np.ndim(labels)
    large = max(found, default=0) > np.iinfo(np.int64).max
    ends = np.array([[(s.start, s.stop) for s in box] for box in found.values()], np.int64).reshape(len(found), dims, 2)
    return np.array(list(found), np.uint64 if large else np.int64), ends[..., 0], ends[..., 1]


def painted(labels: Any, axes: Axes, objects: NDArray[np.int64], values: NDArray[Any]) -> NDArray[Any]:
    """A value (n,) of 0 or more for each object at its pixels, 0 elsewhere, of the shape of labels with these axes and of the
    smallest type that holds all values (uint8, uint16, ...); ``objects`` : sample and number of each (n, 2), both rising.
    """
    values = values.astype(np.min_scalar_type(values.max(initial=0)))
    out = np.zeros(labels.shape, values.dtype)
    ends = np.searchsorted(objects[:, 0], np.arange(axes.count(labels.shape) + 1))
    for i, (first, last) in enumerate(pairwise(ends)):
        mine = slice(first, last)
        axes.sample(out, i)[0][...] = _at_pixels(np.asarray(axes.sample(labels, i)[0]), objects[mine, 1], values[mine])
    return out


def _at_pixels(labels: NDArray[Any], numbers: NDArray[np.int64], values: NDArray[Any]) -> NDArray[Any]:
    """A value for each object at its pixels (*S), 0 elsewhere; ``numbers`` of the objects rise."""
    if not len(numbers):
        return np.zeros(labels.shape, values.dtype)
    if numbers[-1] < LISTED:
        table = np.zeros(int(numbers[-1]) + 2, values.dtype)
        table[numbers] = values
        return table[np.clip(labels, 0, numbers[-1] + 1).astype(np.intp, copy=False)]
    at = np.searchsorted(numbers, labels).clip(0, len(numbers) - 1)
    return np.where(numbers[at] == labels, values[at], 0).astype(values.dtype)


def outlined(labels: NDArray[Any], width: int = 2) -> NDArray[Any]:
    """Labels (*S) where another value, background too, is at most ``width`` px away in their plane (Y, X); 0 elsewhere."""
    from scipy.ndimage import generate_binary_structure, iterate_structure, maximum_filter, minimum_filter

    near = iterate_structure(generate_binary_structure(2, 1), width)
    near = near.reshape((1,) * (labels.ndim - 2) + near.shape)
    apart = maximum_filter(labels, footprint=near) != minimum_filter(labels, footprint=near)
    return np.where(apart, labels, 0).astype(labels.dtype)


def crops_of(
    image: Any,
    labels: Any,
    numbers: Sequence[int] | NDArray[Any],
    edge: int,
    context: float = CONTEXT,
    side: float | None = None,
    *,
    alone: bool = False,
) -> NDArray[np.float32]:
    """Cut a square (cube) around each of some objects: (n, C, *(edge,) * d) float32, in the image's units.

    The object lies in the middle; what lies beyond the image's border is mirrored. Larger objects are averaged down,
    smaller ones enlarged linearly. In a volume the extent along Z is the object's own.

    Parameters
    ----------
    image : (C, *S); labels : (*S) of whole numbers, 0 is the background.
    numbers : of the objects, in the order of the crops; each must be there.
    edge : of the crops, px.
    context : of the object's size that is shown around it, to each side.
    side : px of the image that each crop shows along an axis; None: as the size of each object and ``context`` say.
    alone : other objects are replaced by the level of the background, so that touching ones can be distinguished.

    Raises
    ------
    DojoError : the sizes differ, or an object is not there.
    """
    image, labels = np.asarray(image), np.asarray(labels)
    if image.shape[1:] != labels.shape:
        raise DojoError(
            f"Image and labels differ in size: {image.shape[1:]} and {labels.shape}. Choose those that fit."
        )
    d = labels.ndim
    wanted = np.asarray(numbers, np.int64)
    out = np.empty((len(wanted), len(image), *(edge,) * d), np.float32)
    if not len(wanted):
        return out
    first, last = _ends_of(labels, wanted)
    middle = (first + last) / 2  # (n, d) px from the outer edge
    extent = _sides(last - first, context, side)
    finer = np.clip(np.ceil(extent.max(1) / edge), 1, FINEST).astype(int)
    source = _Source(np.asarray(image, np.float32), labels if alone else None, _level(image, labels) if alone else None)
    for k in np.unique(finer):
        which = np.flatnonzero(finer == k)
        each = max(1, TOGETHER // (int(k) * edge) ** d)
        for part in np.array_split(which, -(-len(which) // each)):
            out[part] = source.crops(wanted[part], middle[part], extent[part], edge, int(k))
    return out


def _ends_of(labels: NDArray[Any], wanted: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and last + 1 pixel of some objects, (n, d) each; DojoError where one is not there."""
    values, first, last = boxes_of(labels)
    lost = wanted[~np.isin(wanted, values)]
    if len(lost):
        raise DojoError(
            f"Object {int(lost[0])} is not in the labels (nor are {len(lost) - 1} more). Look for it again."
        )
    at = np.searchsorted(values, wanted)
    return first[at], last[at]


def extent_of(
    first: NDArray[np.int64], last: NDArray[np.int64], side: float | None, context: float = CONTEXT
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Where the crop of an object from pixel ``first`` to ``last`` - 1 begins and ends, px from the outer edge; see `crops_of`."""
    half = _sides((last - first)[None], context, side)[0] / 2
    middle = (first + last) / 2
    return tuple(map(float, middle - half)), tuple(map(float, middle + half))


def _sides(size: NDArray[np.int64], context: float, side: float | None) -> NDArray[np.float64]:
    """Extent (n, d) px of each crop along each axis: in the plane the same for both axes."""
    if side is not None:
        return np.full(size.shape, float(side))
    wide = size.astype(np.float64)
    wide[:, -2:] = wide[:, -2:].max(1, keepdims=True)
    return np.asarray(np.maximum(wide * (1 + 2 * context), 1.0))


def _level(image: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.float32]:
    """The level of the background of each channel (C,): the median outside of objects, the minimum where there is none."""
    outside = labels == 0
    levels = [float(np.median(c[outside])) if outside.any() else float(c.min()) for c in image]
    return np.asarray(levels, np.float32)


@dataclass(frozen=True, eq=False)
class _Source:
    """What crops are looked up in: an image (C, *S); labels (*S) and the level (C,) of what is to be hidden, or None."""

    image: NDArray[np.float32]
    labels: NDArray[Any] | None
    level: NDArray[np.float32] | None

    def crops(
        self,
        numbers: NDArray[np.int64],
        middle: NDArray[np.float64],
        extent: NDArray[np.float64],
        edge: int,
        finer: int,
    ) -> NDArray[np.float32]:
        """Crops (n, C, *(edge,) * d), each pixel the mean of ``finer`` points along each axis."""
        d, n, points = middle.shape[1], len(middle), edge * finer
        low, high, part = [], [], []
        for a, size in enumerate(self.image.shape[1:]):
            steps = (np.arange(points) + 0.5) / points - 0.5
            at = middle[:, a, None] + steps * extent[:, a, None]  # (n, points) px from the outer edge
            at = np.abs((at + size) % (2 * size) - size)  # mirrored at both borders
            at = np.clip(at - 0.5, 0, size - 1)
            floor = at.astype(np.int64)
            flat = (n, *(1,) * a, points, *(1,) * (d - 1 - a))
            low.append(floor.reshape(flat))
            high.append(np.minimum(floor + 1, size - 1).reshape(flat))
            part.append((at - floor).astype(np.float32).reshape(flat))
        found = np.zeros((len(self.image), n, *(points,) * d), np.float32)
        for corner in np.ndindex(*(2,) * d):
            index = tuple((high if c else low)[a] for a, c in enumerate(corner))
            weight = np.float32(1)
            for a, c in enumerate(corner):
                weight = weight * (part[a] if c else 1 - part[a])
            found += self.image[(slice(None), *index)] * weight
        if self.labels is not None and self.level is not None:
            nearest = tuple(np.where(p < 0.5, a, b) for p, a, b in zip(part, low, high, strict=True))
            seen = self.labels[nearest]
            other = (seen != 0) & (seen != numbers.reshape(-1, *(1,) * d))
            found = np.where(other, self.level.reshape(-1, *(1,) * (d + 1)), found)
        if finer > 1:
            split = [v for _ in range(d) for v in (edge, finer)]
            found = found.reshape(len(self.image), n, *split).mean(axis=tuple(range(3, 3 + 2 * d, 2)))
        return np.moveaxis(found, 0, 1)
