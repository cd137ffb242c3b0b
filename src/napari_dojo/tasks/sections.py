"""Stacks of which single planes are annotated: what is cut there is known, and nothing else.

An object's section says where it ends in its plane, not how far it is to its end above and below. So its labels are taken for strokes:
what lies between the planes is completed from them (`napari_dojo.tasks.strokes`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo.data.dataset import Dataset

__all__ = ["BACKGROUND", "annotated_planes", "as_strokes", "strokes_of_planes"]

BACKGROUND = 1  # the number of the background's strokes
MOST = 0.5  # of the annotated pixels, that lie in single planes


def annotated_planes(dataset: Dataset) -> int:
    """How many planes are annotated, across any axis, where single planes of stacks are; 0 where the annotation is thicker."""
    if len(dataset.spatial) != 3 or any(s.region is None for s in dataset.samples):
        return 0
    regions = [np.asarray(s.region) for s in dataset.samples]
    known = sum(int(r.sum()) for r in regions)
    single = sum(int(_single(r).sum()) for r in regions)
    return sum(_planes(r) for r in regions) if known and single > MOST * known else 0


def as_strokes(y: NDArray[np.integer[Any]], region: NDArray[np.bool_] | None) -> NDArray[np.int32]:
    """Strokes (*S) that say what complete labels say in their region: 0 outside of it, 1 on background, 2 and above in objects."""
    strokes = np.asarray(y, np.int32) + BACKGROUND
    return strokes if region is None else np.where(region, strokes, 0)


def strokes_of_planes(dataset: Dataset) -> Dataset:
    """The same with strokes in place of labels and regions."""
    samples = (replace(s, y=as_strokes(np.asarray(s.y), s.region), region=None) for s in dataset.samples)
    return replace(dataset, samples=tuple(samples))


def _single(region: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels that along some axis have no annotated neighbour."""
    found = np.zeros(region.shape, bool)
    for axis in range(region.ndim):
        alone = np.moveaxis(region.copy(), axis, 0)
        along = np.moveaxis(region, axis, 0)
        alone[1:] &= ~along[:-1]
        alone[:-1] &= ~along[1:]
        found |= np.moveaxis(alone, 0, axis)
    return found


def _planes(region: NDArray[np.bool_]) -> int:
    """Planes across all axes of which a tenth is annotated, more than by planes that cross them."""
    count = 0
    for axis in range(region.ndim):
        others = tuple(a for a in range(region.ndim) if a != axis)
        share = region.mean(axis=others)
        count += int(np.count_nonzero(share > np.median(share) + 0.1))
    return max(1, count)
