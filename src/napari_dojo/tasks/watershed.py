"""Objects from a distance map: basins whose maxima are joined where no deep enough dip lies between them.

Each pixel belongs to the maximum that the steepest way uphill from it ends at. That looks at the neighbours of a pixel
and at nothing else, in a few vectorised operations over the pixels of the mask, so that it is several times faster than a
flooding from seeds, and a part of an image gives what the whole image gives.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from napari_dojo.boxes import Box, slices

__all__ = ["Part", "Rule", "Terrain", "joined", "part_of", "split_objects"]

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
    everything = np.arange(len(basins))
    owner = _owners(heights, grid.passes(basins, everything, basins), Rule(split, lowest))
    found = owner[basins]
    keep = np.bincount(found, minlength=len(owner)) >= max(1.0, minimum_area)
    keep[0] = False
    return grid.image((np.cumsum(keep) * keep).astype(np.int32)[found])


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
    """The objects of a part of an image: those that are known whatever lies beyond it, and those that are open.

    Places are pixels of the whole image, flattened. Open objects may continue beyond the part, or join others that do.

    Attributes
    ----------
    objects : (*S) of the part: 0 outside of objects, 1..known, then the open ones.
    known : the number of objects that are complete.
    heights, sizes : of each open object, the highest distance and the pixels.
    passes : (open, open, distance): the highest place where two of them meet, which decides whether they are one.
    ways : (open, place): the way uphill leads to that pixel beyond the part.
    borders : (open, place, distance): it lies beside that pixel beyond the part, the smaller distance of the two.
    edge : (place, open): the pixels of open objects that lie beside pixels of the mask beyond the part.

    The open ones are counted from 0.
    """

    objects: NDArray[np.int32]
    known: int
    heights: NDArray[np.float32]
    sizes: NDArray[np.int64]
    passes: tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]
    ways: tuple[NDArray[np.int32], Index]
    borders: tuple[NDArray[np.int32], Index, NDArray[np.float32]]
    edge: tuple[Index, NDArray[np.int32]]


@dataclass(frozen=True)
class Rule:
    """When two maxima are two objects, and what is an object: see `split_objects`."""

    split: float
    lowest: float
    minimum_area: float = 0.0

    def apart(self, lower: float, distance: float) -> bool:
        """Whether a maximum is an object beside a higher one, with which it meets at that distance."""
        return lower - distance > self.split and lower > self.lowest


def part_of(
    inside: NDArray[np.bool_], distance: NDArray[np.float32], wide: Box, core: Box, size: Sequence[int], rule: Rule
) -> Part:
    """The objects in ``core`` of an image of this ``size``; mask and distance (*S) are those of ``wide``.

    ``wide`` has at least one more pixel on each side, but where the image ends.
    """
    grid = _Grid.of(inside, distance)
    inner = tuple((a - w, b - w) for (a, b), (w, _) in zip(core, wide, strict=True))
    ours = grid.pixels_in(inner)
    places, outer = np.flatnonzero(ours), np.flatnonzero(~ours)
    roots = grid.roots(outer)[places]
    used = np.zeros(len(ours), bool)
    used[roots] = True
    maxima, basins = np.flatnonzero(used), np.cumsum(used, dtype=np.int32)[roots]
    everywhere = np.zeros(len(grid.pixels), np.int32)
    everywhere[places], everywhere[outer] = basins, -1
    heights = np.append(np.float32(-np.inf), grid.distance[grid.pixels[maxima]])
    leaving = np.flatnonzero(~ours[maxima]).astype(np.int32)
    contacts = grid.contacts(inner, everywhere)
    owners, known, kept = _settled(heights, grid.passes(basins, places, everywhere), leaving + 1, contacts, rule)
    sizes = np.bincount(owners[basins], minlength=len(owners))
    is_object = known & (heights > rule.lowest) & (sizes >= rule.minimum_area)
    is_object[0] = False
    open_ = (owners == np.arange(len(owners))) & ~known
    open_[0] = False
    numbers = np.cumsum(is_object) * is_object + (is_object.sum() + np.cumsum(open_)) * open_
    count, at = int(is_object.sum()), (np.cumsum(open_) - 1).astype(np.int32)[owners]
    everywhere[places], everywhere[outer] = numbers[owners][basins], 0
    image = grid.image(everywhere)[slices(inner)]
    basin, here, there, low = contacts

    def global_places(pixels: Index) -> Index:
        return grid.places(pixels, wide, size)

    here, first = np.unique(here, return_index=True)
    return Part(
        np.ascontiguousarray(image),
        count,
        heights[open_],
        sizes[open_],
        (at[kept[0]], at[kept[1]], kept[2]),
        (at[leaving + 1], global_places(grid.pixels[maxima[leaving]])),
        (at[basin], global_places(there), low),
        (global_places(here), at[basin[first]]),
    )


def _settled(
    heights: NDArray[np.float32],
    passes: Sequence[tuple[int, int, float]],
    leaving: NDArray[np.int32],
    contacts: tuple[NDArray[np.int32], Index, Index, NDArray[np.float32]],
    rule: Rule,
) -> tuple[NDArray[np.int32], NDArray[np.bool_], tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]]:
    """Basins of a part joined as far as that does not depend on what lies beyond.

    From the highest pass down, what meets the outside, above a pass, is open there: it may be higher than is known. Where the lower
    one of two basins is closed, they are joined or not as in the whole image; where it is open, they are not, if even
    its known height is enough, and else both are open.

    Returns
    -------
    owners : of each basin.
    known : whether it is closed to the end.
    kept : the passes that are left to decide.
    """
    touching = np.full(len(heights), -np.inf, np.float32)
    np.maximum.at(touching, contacts[0], contacts[3])
    touching[leaving] = np.inf
    meeting = np.flatnonzero(touching > -np.inf)
    events = [*((int(b), 0, float(touching[b])) for b in meeting), *passes]
    events.sort(key=lambda event: (-event[2], event[1] > 0))
    parents, maxima, is_open = list(range(len(heights))), heights.tolist(), [False] * len(heights)
    kept: list[tuple[int, int, float]] = []
    for a, b, distance in events:
        high, low = _root(parents, a), _root(parents, b)
        if not b:
            is_open[high] = True
            continue
        if maxima[high] < maxima[low]:
            high, low = low, high
        if high == low or rule.apart(maxima[low], distance):
            continue
        if is_open[low]:
            kept.append((high, low, distance))
            is_open[high] = True
        else:
            parents[low] = high
    owners = np.array([_root(parents, i) for i in range(len(parents))], np.int32)
    known = ~np.array(is_open)[owners] & (owners == np.arange(len(owners)))
    table = np.array(kept, np.float64).reshape(-1, 3)
    ends = table[:, :2].astype(np.int32)
    return owners, known, (ends[:, 0], ends[:, 1], table[:, 2].astype(np.float32))


def joined(parts: Sequence[Part], rule: Rule) -> list[NDArray[np.int32]]:
    """For each part the numbers of its objects, (objects + 1,), as `split_objects` finds them in the whole image; 1..n.

    The parts cover the image once. ``Part.objects`` is not used.
    """
    before = np.cumsum([1, *(len(part.heights) for part in parts)]).tolist()
    heights = np.concatenate([np.full(1, -np.inf, np.float32), *(part.heights for part in parts)])
    sizes = np.concatenate([np.zeros(1, np.int64), *(part.sizes for part in parts)])
    places = np.concatenate([np.zeros(0, np.intp), *(part.edge[0] for part in parts)])
    nodes = np.concatenate([np.zeros(0, np.int64), *(part.edge[1] + n for part, n in zip(parts, before, strict=False))])
    order = np.argsort(places)
    places, nodes = places[order], nodes[order]

    def node_at(wanted: Index) -> NDArray[np.int64]:
        if not len(places):
            return np.zeros(len(wanted), np.int64)
        at = np.minimum(np.searchsorted(places, wanted), len(places) - 1)
        return np.where(places[at] == wanted, nodes[at], 0)

    met, ways = [], dict[int, int]()
    for part, n in zip(parts, before, strict=False):
        met.append((part.passes[0] + n, part.passes[1] + n, part.passes[2]))
        met.append((part.borders[0] + n, node_at(part.borders[1]), part.borders[2]))
        ways |= dict(zip((part.ways[0] + n).tolist(), node_at(part.ways[1]).tolist(), strict=True))
    a, b, low = (np.concatenate(column) for column in zip(*met, strict=True))
    there = b > 0
    found = _highest(a[there], b[there], low[there])
    order = np.argsort(-found[2], kind="stable")
    passes = list(zip(*(column[order].tolist() for column in found), strict=True))
    owner = _owners(heights, passes, rule, {k: v for k, v in ways.items() if v})
    keep = np.bincount(owner, sizes, len(heights)) >= rule.minimum_area
    return _numbered(parts, before, owner, keep)


def _numbered(
    parts: Sequence[Part], before: Sequence[int], owner: NDArray[np.int32], keep: NDArray[np.bool_]
) -> list[NDArray[np.int32]]:
    """The numbers of the objects of each part, counted on from part to part."""
    keep = keep.copy()
    keep[0] = False
    numbers, count, made = np.zeros(len(owner), np.int32), 0, []
    for part, n in zip(parts, before, strict=False):
        known = np.arange(count + 1, count + part.known + 1, dtype=np.int32)
        count += part.known
        mine = np.unique(owner[n : n + len(part.heights)])
        mine = mine[keep[mine] & (numbers[mine] == 0)]
        numbers[mine] = np.arange(count + 1, count + len(mine) + 1)
        count += len(mine)
        made.append((known, n, len(part.heights)))
    return [np.concatenate([np.zeros(1, np.int32), known, numbers[owner[n : n + m]]]) for known, n, m in made]


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

    def passes(
        self, basins: NDArray[np.int32], chosen: Index, everywhere: NDArray[np.int32]
    ) -> list[tuple[int, int, float]]:
        """Where basins of chosen pixels meet: (basin, basin, distance at the highest pass), highest first.

        ``basins`` are those of the chosen pixels, ``everywhere`` those of all; what is below 0 does not count.
        """
        met = [(np.zeros(0, np.int32),) * 3, *self._beside(chosen, basins, everywhere)]
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

    def contacts(
        self, inner: Box, basins: NDArray[np.int32]
    ) -> tuple[NDArray[np.int32], Index, Index, NDArray[np.float32]]:
        """Where pixels of a box lie beside those with a basin below 0: the basin, both pixels, the smaller distance."""
        within = self.pixels_in(inner)
        within &= ~self.pixels_in(tuple((a + 1, b - 1) for a, b in inner))
        rim = np.flatnonzero(within & (basins > 0))
        numbers, here, ours = self._numbers(basins), self.pixels[rim], basins[rim]
        found = [(np.zeros(0, np.int32), np.zeros(0, np.intp), np.zeros(0, np.intp), np.zeros(0, np.float32))]
        for step in self.steps:
            at = np.flatnonzero(numbers[here + step] < 0)
            place = here[at]
            found.append((ours[at], place, place + step, np.minimum(self.distance[place], self.distance[place + step])))
        basin, place, beyond, low = (np.concatenate(column) for column in zip(*found, strict=True))
        return basin, place, beyond, low

    def _beside(
        self, chosen: Index, basins: NDArray[np.int32], everywhere: NDArray[np.int32]
    ) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]]:
        """Where chosen pixels lie beside others of another basin: the two basins, the smaller distance."""
        numbers = self._numbers(everywhere)
        for i in range(0, len(chosen), CHUNK):
            here, ours = self.pixels[chosen[i : i + CHUNK]], basins[i : i + CHUNK]
            for step in self.steps[len(self.steps) // 2 :]:
                theirs = numbers[here + step]
                at = np.flatnonzero((theirs != ours) & (theirs > 0))
                place = here[at]
                yield ours[at], theirs[at], np.minimum(self.distance[place], self.distance[place + step])

    def _numbers(self, values: NDArray[np.int32]) -> NDArray[np.int32]:
        """Values of the pixels of the mask on the flattened image; 0 outside."""
        made = np.zeros(len(self.distance), np.int32)
        made[self.pixels] = values
        return made


def _owners(
    heights: NDArray[np.float32],
    passes: Sequence[tuple[int, int, float]],
    rule: Rule,
    ways: Mapping[int, int] | None = None,
) -> NDArray[np.int32]:
    """Of each basin the number of the one that it belongs to; 0: of none.

    ``passes`` : (basin, basin, distance at the highest pass between them), highest first; ``ways`` : basins that are parts of
    others.
    """
    parents, maxima = list(range(len(heights))), heights.tolist()
    for part, of in (ways or {}).items():
        parents[part] = of

    for a, b, distance in passes:
        high, low = _root(parents, a), _root(parents, b)
        if maxima[high] < maxima[low]:
            high, low = low, high
        if high != low and not rule.apart(maxima[low], distance):
            parents[low] = high
    owners = np.array([_root(parents, i) for i in range(len(parents))], np.int32)
    owners[heights[owners] <= rule.lowest] = 0
    return owners


def _root(parents: list[int], i: int) -> int:
    """What a basin belongs to."""
    while parents[i] != i:
        parents[i] = i = parents[parents[i]]
    return i
