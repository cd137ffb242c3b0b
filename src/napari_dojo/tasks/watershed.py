"""Objects from a distance map: a watershed whose basins are joined where no deep enough dip lies between them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

__all__ = ["split_objects"]


def split_objects(
    inside: NDArray[np.bool_], distance: NDArray[np.float32], split: float, lowest: float
) -> NDArray[np.int32]:
    """Labels (*S) of the objects in ``inside`` (*S), numbered from 1 with gaps.

    Two maxima of the distance (*S) are two objects where the way between them dips by more than ``split`` below the lower one:
    the watershed from the h-maxima of each connected part of the mask (Soille 2003), without the grey reconstruction, which
    takes ten times as long. Objects whose distance is nowhere above ``lowest`` join a neighbour, or are removed without one.
    """
    from scipy import ndimage as ndi
    from skimage.morphology import local_maxima
    from skimage.segmentation import watershed

    distance = np.where(inside, distance, np.float32(distance.min() - 1))
    maxima = local_maxima(distance) & inside  # a plateau is one
    seeds, count = ndi.label(maxima, np.ones((3,) * inside.ndim))
    basins = watershed(-distance, seeds, mask=inside)
    heights = np.full(count + 1, -np.inf, np.float32)
    heights[seeds[maxima]] = distance[maxima]
    owner = _owners(heights, _passes(basins, distance), split, lowest)
    return np.asarray(owner[basins], np.int32)


def _owners(
    heights: NDArray[np.float32], passes: Sequence[tuple[int, int, float]], split: float, lowest: float
) -> NDArray[np.int32]:
    """Of each basin the number of the one that it belongs to; 0: of none.

    ``passes`` : (basin, basin, distance at the highest pass between them), highest first.
    """
    parents, maxima = list(range(len(heights))), heights.tolist()

    def root(i: int) -> int:
        while parents[i] != i:
            parents[i] = i = parents[parents[i]]
        return i

    for a, b, distance in passes:
        high, low = root(a), root(b)
        if maxima[high] < maxima[low]:
            high, low = low, high
        if high != low and (maxima[low] - distance <= split or maxima[low] <= lowest):
            parents[low] = high
    owners = np.array([root(i) for i in range(len(parents))], np.int32)
    owners[heights[owners] <= lowest] = 0
    return owners


def _passes(basins: NDArray[np.int32], distance: NDArray[np.float32]) -> list[tuple[int, int, float]]:
    """Where neighbouring basins meet: (basin, basin, distance at the highest pass), highest first."""
    n = int(basins.max()) + 1
    found = [_meetings(basins, distance, *parts) for parts in _neighbours(basins.shape)]
    keys = np.concatenate([low.astype(np.int64) * n + high for low, high, _ in found])
    distances = np.concatenate([d for _, _, d in found])
    order = np.lexsort((-distances, keys))
    keys, distances = keys[order], distances[order]
    first = np.diff(keys, prepend=-1) != 0
    keys, distances = keys[first], distances[first]
    highest = np.argsort(-distances, kind="stable")
    return list(
        zip((keys // n)[highest].tolist(), (keys % n)[highest].tolist(), distances[highest].tolist(), strict=True)
    )


def _meetings(
    basins: NDArray[np.int32], distance: NDArray[np.float32], a: tuple[slice, ...], b: tuple[slice, ...]
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]:
    """Pixels beside each other of two basins: the lower number, the higher number, the smaller distance."""
    p, q = basins[a], basins[b]
    where = np.nonzero((p != q) & (p > 0) & (q > 0))
    p, q = p[where], q[where]
    return np.minimum(p, q), np.maximum(p, q), np.minimum(distance[a][where], distance[b][where])


def _neighbours(shape: Sequence[int]) -> Iterator[tuple[tuple[slice, ...], tuple[slice, ...]]]:
    """Two views of an array in which each pixel lies where its neighbour does, for half of the 3^n - 1 directions."""
    for step in product((-1, 0, 1), repeat=len(shape)):
        if step > (0,) * len(shape):
            here = tuple(slice(max(0, -s), n - max(0, s)) for s, n in zip(step, shape, strict=True))
            there = tuple(slice(max(0, s), n - max(0, -s)) for s, n in zip(step, shape, strict=True))
            yield here, there
