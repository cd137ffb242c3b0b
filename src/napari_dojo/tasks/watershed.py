"""Objects from a distance map: basins whose maxima are joined where no deep enough dip lies between them.

Each pixel belongs to the maximum that the steepest way uphill from it ends at. That looks at the neighbours of a pixel
and at nothing else, in a few vectorised operations over the pixels of the mask, so that it is several times faster than a
flooding from seeds, and a part of an image gives what the whole image gives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

__all__ = ["Box", "Part", "Terrain", "joined", "part_of", "split_objects"]

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


Box = tuple[tuple[int, int], ...]  # from and to, px by axis


@runtime_checkable
class Terrain(Protocol):
    """A decoding whose objects are those of `split_objects`.

    Attributes
    ----------
    split, lowest, minimum_area : see there.
    margin : px of the maps around a place that mask and distance follow from, and one more.
    """

    @property
    def split(self) -> float:
        """The dip between two objects."""

    @property
    def lowest(self) -> float:
        """What an object must exceed somewhere."""

    @property
    def minimum_area(self) -> float:
        """Of an object, px."""

    @property
    def margin(self) -> int:
        """How far around a place its mask and distance look, px."""

    def terrain(self, maps: NDArray[np.float32]) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        """Mask and distance (*S) from maps (K, *S)."""


@dataclass(frozen=True, eq=False)
class Part:
    """The basins of a part of an image, numbered from 1, and how they lie to pixels beyond it.

    Attributes
    ----------
    basins : (*S) of the part, 0 outside the mask.
    heights, sizes : of each basin and of 0, the highest distance and the pixels.
    ways : (basin, place): the way uphill from a basin leads to that pixel of another part. Places are in the flattened image.
    passes : (basin, basin, distance at the highest pass between them).
    borders : (basin, place, distance): it lies beside that pixel of another part, the smaller distance of the two.
    """

    basins: NDArray[np.int32]
    heights: NDArray[np.float32]
    sizes: NDArray[np.int64]
    ways: tuple[NDArray[np.int32], Index]
    passes: tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]
    borders: tuple[NDArray[np.int32], Index, NDArray[np.float32]]


def part_of(
    inside: NDArray[np.bool_], distance: NDArray[np.float32], wide: Box, core: Box, size: Sequence[int]
) -> Part:
    """The basins in ``core`` of an image of this ``size``; mask and distance (*S) are those of ``wide``.

    ``wide`` has at least one more pixel on each side, but where the image ends.
    """
    grid = _Grid.of(inside, distance)
    ours = grid.pixels_in(tuple((a - w, b - w) for (a, b), (w, _) in zip(core, wide, strict=True)))
    places, outer = np.flatnonzero(ours), np.flatnonzero(~ours)
    roots = grid.roots(outer)[places]
    used = np.zeros(len(ours), bool)
    used[roots] = True
    maxima, basins = np.flatnonzero(used), np.cumsum(used, dtype=np.int32)[roots]
    leaving = ~ours[maxima]
    everywhere = np.zeros(len(grid.pixels), np.int32)
    everywhere[places], everywhere[outer] = basins, -1
    found = [(np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0, np.intp), np.zeros(0, np.float32))]
    found += list(grid.beside(places, everywhere))
    a, b, there, low = (np.concatenate(column) for column in zip(*found, strict=True))
    far = b < 0
    image = grid.image(np.maximum(everywhere, 0))[
        tuple(slice(a - w, b - w) for (a, b), (w, _) in zip(core, wide, strict=True))
    ]
    return Part(
        image,
        np.append(np.float32(-np.inf), grid.distance[grid.pixels[maxima]]),
        np.bincount(basins, minlength=len(maxima) + 1),
        (np.flatnonzero(leaving).astype(np.int32) + 1, grid.places(grid.pixels[maxima[leaving]], wide, size)),
        _highest(a[~far], b[~far], low[~far]),
        (a[far], grid.places(there[far], wide, size), low[far]),
    )


def joined(
    parts: Sequence[Part],
    basin_at: Callable[[Index], NDArray[np.int64]],
    split: float,
    lowest: float,
    minimum_area: float,
) -> list[NDArray[np.int32]]:
    """For each part its basins' numbers, (basins + 1,), as `split_objects` finds objects in the whole image; 1..n.

    ``basin_at`` : of places in the flattened image the basin there, counted on from part to part, each without its 0.
    Of the parts all but ``basins`` is used.
    """
    counts = [len(part.heights) - 1 for part in parts]
    before = np.cumsum([0, *counts]).tolist()
    heights = np.concatenate([np.full(1, -np.inf, np.float32), *(part.heights[1:] for part in parts)])
    sizes = np.concatenate([[0], *(part.sizes[1:] for part in parts)])
    ways = [(part.ways[0] + n, basin_at(part.ways[1])) for part, n in zip(parts, before, strict=False)]
    inner = [(part.passes[0] + n, part.passes[1] + n, part.passes[2]) for part, n in zip(parts, before, strict=False)]
    outer = [
        (part.borders[0] + n, basin_at(part.borders[1]), part.borders[2])
        for part, n in zip(parts, before, strict=False)
    ]
    a, b, low = (np.concatenate(column) for column in zip(*inner, *outer, strict=True))
    met = _highest(a, b, low)
    order = np.argsort(-met[2], kind="stable")
    passes = list(zip(*(column[order].tolist() for column in met), strict=True))
    start, to = (np.concatenate(column).tolist() for column in zip(*ways, strict=True))
    owner = _owners(heights, passes, split, lowest, dict(zip(start, to, strict=True)))
    keep = np.bincount(owner, sizes, len(heights)) >= minimum_area
    keep[0] = False
    numbers = (np.cumsum(keep) * keep).astype(np.int32)[owner]
    return [np.append(np.int32(0), numbers[n + 1 : n + 1 + count]) for n, count in zip(before, counts, strict=False)]


def _highest(a: Any, b: Any, distance: Any) -> tuple[Any, Any, Any]:
    """Of each pair of basins the highest place where they meet: the lower number, the higher number, the distance."""
    low, high = np.minimum(a, b), np.maximum(a, b)
    order = np.lexsort((-distance, high, low))
    low, high, distance = low[order], high[order], distance[order]
    first = np.ones(len(low), bool)
    first[1:] = (np.diff(low) != 0) | (np.diff(high) != 0)
    return low[first], high[first], distance[first]


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

    def roots(self, ends: Index | None = None) -> NDArray[np.int32]:
        """Of each pixel of the mask the one that the way uphill ends at, counted in the mask; ways end at ``ends``, too."""
        parents = self._numbers(np.arange(len(self.pixels), dtype=np.int32))[self._uphill()]
        if ends is not None:
            parents[ends] = ends
        while True:
            above = parents[parents]
            if np.array_equal(above, parents):
                return above
            parents = above

    def basins(self) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Of each pixel of the mask the number of its basin, from 1; of each basin, and of 0, the highest distance."""
        roots = self.roots()
        maxima = np.flatnonzero(roots == np.arange(len(roots)))
        numbers = np.zeros(len(roots), np.int32)
        numbers[maxima] = np.arange(1, len(maxima) + 1)
        heights = np.append(np.float32(-np.inf), self.distance[self.pixels[maxima]])
        return numbers[roots], heights

    def passes(self, basins: NDArray[np.int32]) -> list[tuple[int, int, float]]:
        """Where neighbouring basins meet: (basin, basin, distance at the highest pass), highest first."""
        met = [
            (np.zeros(0, np.int32),) * 3,
            *((a, b, low) for a, b, _, low in self.beside(np.arange(len(basins)), basins)),
        ]
        found = _highest(*(np.concatenate(column) for column in zip(*met, strict=True)))
        order = np.argsort(-found[2], kind="stable")
        return list(zip(*(column[order].tolist() for column in found), strict=True))

    def pixels_in(self, box: Box) -> NDArray[np.bool_]:
        """Of each pixel of the mask, whether it lies in a box of the image."""
        mask = np.zeros(self.shape, bool)
        mask[tuple(slice(a + 1, b + 1) for a, b in box)] = True
        return mask.ravel()[self.pixels]

    def places(self, pixels: Index, wide: Box, size: Sequence[int]) -> Index:
        """Pixels of this grid, which is the part ``wide`` of an image of this size, as places in that image, flattened."""
        at = np.unravel_index(pixels, self.shape)
        return np.ravel_multi_index([i - 1 + w for i, (w, _) in zip(at, wide, strict=True)], tuple(size))

    def image(self, values: NDArray[np.int32]) -> NDArray[np.int32]:
        """Values of the pixels of the mask as an image (*S) without the rim; 0 outside."""
        made = self._numbers(values).reshape(self.shape)
        return np.ascontiguousarray(made[(slice(1, -1),) * len(self.shape)])

    def _uphill(self) -> Index:
        """Of each pixel its highest neighbour, or itself where none is higher; steepest first, of equals the last."""
        found = self.pixels.copy()
        for i in range(0, len(found), CHUNK):
            here, up = self.pixels[i : i + CHUNK], found[i : i + CHUNK]
            level, best = self.distance[here], np.zeros(len(here), np.float32)
            for step, far in zip(self.steps, self.lengths, strict=True):
                beside = here + step
                rise = (self.distance[beside] - level) / far
                higher = rise > best if step < 0 else rise >= best
                np.copyto(best, rise, where=higher)
                np.copyto(up, beside, where=higher)
        return found

    def beside(
        self, chosen: Index, basins: NDArray[np.int32]
    ) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int32], Index, NDArray[np.float32]]]:
        """Where chosen pixels lie beside others of another basin: the two basins, the other pixel, the smaller distance."""
        numbers = self._numbers(basins)
        for i in range(0, len(chosen), CHUNK):
            part = chosen[i : i + CHUNK]
            here, ours = self.pixels[part], basins[part]
            for step in self.steps[len(self.steps) // 2 :]:
                theirs = numbers[here + step]
                at = np.flatnonzero((theirs != ours) & (theirs != 0))
                place = here[at]
                yield ours[at], theirs[at], place + step, np.minimum(self.distance[place], self.distance[place + step])

    def _numbers(self, values: NDArray[np.int32]) -> NDArray[np.int32]:
        """Values of the pixels of the mask on the flattened image; 0 outside."""
        made = np.zeros(len(self.distance), np.int32)
        made[self.pixels] = values
        return made


def _owners(
    heights: NDArray[np.float32],
    passes: Sequence[tuple[int, int, float]],
    split: float,
    lowest: float,
    ways: Mapping[int, int] | None = None,
) -> NDArray[np.int32]:
    """Of each basin the number of the one that it belongs to; 0: of none.

    ``passes`` : (basin, basin, distance at the highest pass between them), highest first; ``ways`` : basins that are parts of
    others.
    """
    parents, maxima = list(range(len(heights))), heights.tolist()
    for part, of in (ways or {}).items():
        parents[part] = of

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
