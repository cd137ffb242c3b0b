"""Which object of one labelling is which of another: through the planes of a volume, and before and after a change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_dojo.data.axes import Axes
from napari_dojo.data.kinds import Kind

__all__ = ["Planes", "link_planes", "linked_axes", "same_numbers"]

Planes = Literal["link", "number"]
SHARED = 0.5  # of the smaller of two objects in neighbouring planes, which makes them one


def linked_axes(axes: Axes, kind: Kind, planes: Planes) -> Axes:
    """The axes of a prediction: volumes where the objects of its planes are linked, else those of the model."""
    by_plane = kind.objects and "Z" in axes.names and "Z" not in axes.spatial
    return Axes(axes.names, "ZYX") if by_plane and planes == "link" else axes


def link_planes(labels: NDArray[Any], axes: Axes, planes: Planes) -> None:
    """Give objects that were numbered in each plane numbers of the volume, in place.

    Parameters
    ----------
    labels : whole numbers with axes ``axes``, from 1 in each plane; numpy or memory-mapped.
    planes : "link": an object in neighbouring planes that shares half of the smaller area is one object in 3-D;
        "number": each object of each plane has another number.
    """
    if "Z" not in axes.names or "Z" in axes.spatial:
        return
    volumes = Axes(axes.names, "ZYX")
    for i in range(volumes.count(labels.shape)):
        volume, count = volumes.sample(labels, i)[0], 0
        before: NDArray[Any] | None = None
        for plane in volume:
            numbers = np.zeros(int(plane.max(initial=0)) + 1, np.int64)
            if planes == "link" and before is not None:
                pairs = _overlaps(before, plane)
                for old, new in _one_to_one(pairs, pairs.shared >= SHARED):
                    numbers[new] = old
            others = np.setdiff1d(np.unique(plane), np.append(np.flatnonzero(numbers), 0))
            numbers[others] = np.arange(count + 1, count + 1 + len(others))
            count += len(others)
            plane[...] = numbers[plane]
            before = np.asarray(plane)


def same_numbers(before: NDArray[Any], after: NDArray[Any]) -> NDArray[np.int32]:
    """The objects of ``after`` with the numbers that they had in ``before``, where most of them was; others get free numbers."""
    pairs = _overlaps(before, after)
    numbers = np.zeros(int(pairs.there.max(initial=0)) + 1, np.int32)
    for old, new in _one_to_one(pairs, pairs.shared > 0):
        numbers[new] = old
    others = np.setdiff1d(pairs.there, np.append(np.flatnonzero(numbers), 0))
    free = np.setdiff1d(np.arange(1, len(numbers) + len(others) + 1), numbers)
    numbers[others] = free[: len(others)]
    return numbers[after]


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Objects that overlap: their numbers in both, the overlap over the union, and over the smaller of them.

    ``there`` : all numbers of the second labelling, 0 among them where it is there.
    """

    a: NDArray[np.int64]
    b: NDArray[np.int64]
    iou: NDArray[np.float64]
    shared: NDArray[np.float64]
    there: NDArray[np.int64]


def _overlaps(a: NDArray[Any], b: NDArray[Any]) -> _Pairs:
    """Of two labellings of the same shape."""
    a, b = np.asarray(a).ravel(), np.asarray(b).ravel()
    starts = np.flatnonzero(
        np.r_[len(a) > 0, (a[1:] != a[:-1]) | (b[1:] != b[:-1])]
    )  # of pixels in a row that are alike
    lengths, a, b = np.diff(starts, append=len(a)), a[starts], b[starts]
    areas, other = (np.bincount(numbers, lengths) for numbers in (a, b))
    both = (a > 0) & (b > 0)
    found, at = np.unique(a[both].astype(np.int64) * len(other) + b[both], return_inverse=True)
    common = np.bincount(at, lengths[both], len(found))
    first, second = found // max(1, len(other)), found % max(1, len(other))
    mine, theirs = areas[first], other[second]
    return _Pairs(
        first,
        second,
        common / (mine + theirs - common),
        common / np.maximum(1, np.minimum(mine, theirs)),
        np.flatnonzero(other),
    )


def _one_to_one(pairs: _Pairs, wanted: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Pairs of which no object is in two, the best first."""
    order = np.argsort(-pairs.iou, kind="stable")
    taken: tuple[set[int], set[int]] = set(), set()
    chosen = []
    for i in order[wanted[order]]:
        a, b = int(pairs.a[i]), int(pairs.b[i])
        if a not in taken[0] and b not in taken[1]:
            taken[0].add(a)
            taken[1].add(b)
            chosen.append((a, b))
    return chosen
