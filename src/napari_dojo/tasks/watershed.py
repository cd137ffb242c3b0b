"""Objects from a distance map: basins whose maxima are joined where no deep enough dip lies between them.

Each pixel belongs to the maximum that the steepest way uphill from it ends at. That looks at the neighbours of a pixel
and at nothing else, in a few vectorised operations over the pixels of the mask, so that it is several times faster than a
flooding from seeds, and a part of an image gives what the whole image gives.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

__all__ = ["split_objects"]

CHUNK = 2**16  # pixels that are looked at together: what is computed of them stays in the processor's cache

Index = NDArray[np.intp]


def split_objects(
    inside: NDArray[np.bool_], distance: NDArray[np.float32], split: float, lowest: float, minimum_area: float = 0.0
) -> NDArray[np.int32]:
    """Labels (*S), 1..n, of the objects in ``inside`` (*S).

    Two maxima of the distance (*S) are two objects where the way between them dips by more than ``split`` below the lower one:
    the watershed from the h-maxima of each connected part of the mask (Soille 2003), without grey reconstruction. Objects whose
    distance is nowhere above ``lowest`` join a neighbour, or are removed without one, and so are those of less than
    ``minimum_area`` px.
    """
    grid = _Grid.of(inside, distance)
    basins, heights = grid.basins()
    owner = _owners(heights, grid.passes(basins), split, lowest)
    found = owner[basins]
    keep = np.bincount(found, minlength=len(owner)) >= minimum_area
    keep[0] = False
    return grid.image((np.cumsum(keep) * keep).astype(np.int32)[found])


@dataclass(frozen=True, eq=False)
class _Grid:
    """The pixels of a mask in an image with a rim of one pixel, which is outside, and their neighbours.

    Attributes
    ----------
    shape : of the image with its rim.
    pixels : places of the mask in the flattened image, ascending.
    distance : of the flattened image; -inf outside the mask.
    steps, lengths : from a place to each of its neighbours, ascending, and how far that is, px.
    """

    shape: tuple[int, ...]
    pixels: Index
    distance: NDArray[np.float32]
    steps: tuple[int, ...]
    lengths: tuple[np.float32, ...]

    @staticmethod
    def of(inside: NDArray[np.bool_], distance: NDArray[np.float32]) -> _Grid:
        shape = tuple(n + 2 for n in inside.shape)
        inner = (slice(1, -1),) * inside.ndim
        values = np.full(shape, -np.inf, np.float32)
        np.copyto(values[inner], distance, where=inside)
        mask = np.zeros(shape, bool)
        mask[inner] = inside
        strides = [int(np.prod(shape[i + 1 :])) for i in range(inside.ndim)]
        moves = [move for move in product((-1, 0, 1), repeat=inside.ndim) if any(move)]
        steps = tuple(sum(m * s for m, s in zip(move, strides, strict=True)) for move in moves)
        lengths = tuple(np.float32(np.linalg.norm(move)) for move in moves)
        return _Grid(shape, np.flatnonzero(mask), values.ravel(), steps, lengths)

    def basins(self) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Of each pixel of the mask the number of its basin, from 1; of each basin, and of 0, the highest distance."""
        parents = self._numbers(np.arange(len(self.pixels), dtype=np.int32))[self._uphill()]
        while True:
            above = parents[parents]
            if np.array_equal(above, parents):
                break
            parents = above
        maxima = np.flatnonzero(parents == np.arange(len(parents)))
        numbers = np.zeros(len(parents), np.int32)
        numbers[maxima] = np.arange(1, len(maxima) + 1)
        heights = np.append(np.float32(-np.inf), self.distance[self.pixels[maxima]])
        return numbers[parents], heights

    def passes(self, basins: NDArray[np.int32]) -> list[tuple[int, int, float]]:
        """Where neighbouring basins meet: (basin, basin, distance at the highest pass), highest first."""
        n, numbers = int(basins.max(initial=0)) + 1, self._numbers(basins)
        met = [(np.zeros(0, np.int64), np.zeros(0, np.float32)), *self._meetings(basins, numbers, n)]
        keys, distances = (np.concatenate(parts) for parts in zip(*met, strict=True))
        order = np.lexsort((-distances, keys))
        keys, distances = keys[order], distances[order]
        first = np.diff(keys, prepend=-1) != 0
        keys, distances = keys[first], distances[first]
        highest = np.argsort(-distances, kind="stable")
        keys, distances = keys[highest], distances[highest]
        return list(zip((keys // n).tolist(), (keys % n).tolist(), distances.tolist(), strict=True))

    def image(self, values: NDArray[np.int32]) -> NDArray[np.int32]:
        """Values of the pixels of the mask as an image (*S) without the rim; 0 outside."""
        made = self._numbers(values).reshape(self.shape)
        return np.ascontiguousarray(made[(slice(1, -1),) * len(self.shape)])

    def _uphill(self) -> Index:
        """Of each pixel its highest neighbour, or itself where none is higher; steepest first, of equals the last."""
        found = self.pixels.copy()
        for part in self._parts():
            here, up = self.pixels[part], found[part]
            level, best = self.distance[here], np.zeros(len(here), np.float32)
            for step, far in zip(self.steps, self.lengths, strict=True):
                beside = here + step
                rise = (self.distance[beside] - level) / far
                higher = rise > best if step < 0 else rise >= best
                np.copyto(best, rise, where=higher)
                np.copyto(up, beside, where=higher)
        return found

    def _meetings(
        self, basins: NDArray[np.int32], numbers: NDArray[np.int32], n: int
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Pixels beside each other of two basins: lower number * ``n`` + higher number, and the smaller distance."""
        for part in self._parts():
            here, ours = self.pixels[part], basins[part]
            for step in self.steps[len(self.steps) // 2 :]:
                theirs = numbers[here + step]
                at = np.flatnonzero((theirs != ours) & (theirs > 0))
                a, b, place = ours[at], theirs[at], here[at]
                keys = np.minimum(a, b).astype(np.int64) * n + np.maximum(a, b)
                yield keys, np.minimum(self.distance[place], self.distance[place + step])

    def _numbers(self, values: NDArray[np.int32]) -> NDArray[np.int32]:
        """Values of the pixels of the mask on the flattened image; 0 outside."""
        made = np.zeros(len(self.distance), np.int32)
        made[self.pixels] = values
        return made

    def _parts(self) -> Iterator[slice]:
        return (slice(a, a + CHUNK) for a in range(0, len(self.pixels), CHUNK))


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
