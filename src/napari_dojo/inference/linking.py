"""Which object of one labelling is which of another: through the planes of a volume, and before and after a change."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_dojo.data.axes import Axes
from napari_dojo.data.kinds import Kind
from napari_dojo.metrics.objects import Overlap, overlap

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
        _number(volumes.sample(labels, i)[0], linked=planes == "link")


def _number(volume: NDArray[Any], linked: bool) -> None:
    """Give the objects of the planes of one volume (Z, Y, X) its numbers, in place."""
    before, count = None, 0
    for plane in volume:
        numbers = np.zeros(int(plane.max(initial=0)) + 1, np.int64)
        if linked and before is not None:
            for old, new in _one_to_one(overlap(before, plane), SHARED):
                numbers[new] = old
        others = np.setdiff1d(np.unique(plane), np.append(np.flatnonzero(numbers), 0))
        numbers[others] = np.arange(count + 1, count + 1 + len(others))
        count += len(others)
        plane[...] = numbers[plane]
        before = np.asarray(plane)


def same_numbers(before: NDArray[Any], after: NDArray[Any]) -> NDArray[np.int32]:
    """The objects of ``after`` (*S) with the numbers that they had in ``before`` (*S), where most of them was; others get free ones."""
    pairs = overlap(before, after)
    numbers = np.zeros(int(pairs.predicted.max(initial=0)) + 1, np.int32)
    for old, new in _one_to_one(pairs):
        numbers[new] = old
    others = np.setdiff1d(pairs.predicted, np.flatnonzero(numbers))
    free = np.setdiff1d(np.arange(1, len(numbers) + len(others) + 1), numbers)
    numbers[others] = free[: len(others)]
    return numbers[after]


def _one_to_one(pairs: Overlap, shared: float = 0.0) -> list[tuple[int, int]]:
    """The numbers of pairs that share at least so much of the smaller object; no object is in two, the best IoU comes first."""
    smaller = np.minimum(pairs.true_sizes[pairs.rows], pairs.predicted_sizes[pairs.columns])
    order = np.argsort(-pairs.iou, kind="stable")
    taken: tuple[set[int], set[int]] = set(), set()
    chosen = []
    for i in order[(pairs.pixels >= shared * smaller)[order]]:
        a, b = int(pairs.true[pairs.rows[i]]), int(pairs.predicted[pairs.columns[i]])
        if a not in taken[0] and b not in taken[1]:
            taken[0].add(a)
            taken[1].add(b)
            chosen.append((a, b))
    return chosen
