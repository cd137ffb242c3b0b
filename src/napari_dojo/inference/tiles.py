"""Any function of (C, *s) on an image of any size, tile by tile, as if it were done at once.

Tiles start at multiples of the network's stride and carry a halo. Where that is at least as wide as the receptive radius,
the result equals that of the whole image exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo.boxes import Box, scaled, slices, within
from napari_dojo.events import Progress

__all__ = ["Tile", "mirrored", "padded", "tile_edge", "tiled", "tiles_of"]


@dataclass(frozen=True)
class Tile:
    """One tile: its ``core`` is written, ``read`` has the halo on. Cores cover the image once."""

    read: Box
    core: Box


def tiles_of(
    size: Sequence[int],
    edge: Sequence[int],
    halo: Sequence[int],
    stride: Sequence[int],
    grid: Sequence[int] = (),
) -> list[Tile]:
    """Cover an image of ``size`` with tiles of at most ``edge`` px, halo included, read on the grid of ``stride``.

    ``grid`` : multiples of the stride that cores start at; empty: the stride.
    """
    along = [_along(*each) for each in zip(size, edge, halo, stride, grid or stride, strict=True)]
    return [Tile(*zip(*parts, strict=True)) for parts in product(*along)]


def _along(n: int, edge: int, halo: int, stride: int, grid: int) -> list[Box]:
    """Cores of about the same size on a grid, and what is read for each: the halo in steps of the stride on."""
    if n <= edge:
        return [((0, n), (0, n))]
    halo = -(-halo // stride) * stride
    step = max(grid, (edge - 2 * halo) // grid * grid)
    step = ceil(ceil(n / ceil(n / step)) / grid) * grid
    cores = [(a, min(n, a + step)) for a in range(0, n, step)]
    return [((max(0, a - halo), min(n, a + step + halo)), (a, b)) for a, b in cores]


def tile_edge(pixels: float, halo: Sequence[int], stride: Sequence[int], size: Sequence[int]) -> tuple[int, ...]:
    """The largest cubic edge, halo included, with at most ``pixels`` pixels; short axes leave room for long ones."""
    edges = dict.fromkeys(range(len(size)), 0)
    left, room = sorted(range(len(size)), key=lambda a: size[a]), float(pixels)
    while left:
        a = left.pop(0)
        edge = int(room ** (1 / (len(left) + 1)))
        edges[a] = min(size[a], max(edge // stride[a] * stride[a], 2 * halo[a] + stride[a]))
        room = max(1.0, room / edges[a])
    return tuple(edges[a] for a in range(len(size)))


def tiled(
    fn: Callable[[Sequence[Any], Box], Iterable[Any]],
    x: Any,
    out: Any,
    tiles: Sequence[Tile],
    stride: Sequence[int],
    scale: Sequence[int] = (),
    batch: int = 1,
) -> Iterator[Progress]:
    """Apply ``fn`` tile by tile, from ``x`` (C, *S) into ``out`` (K, *S * scale), both numpy, memory-mapped, zarr or tensors.

    ``fn`` takes up to ``batch`` parts (C, *s) of about one size, and the box of them that is wanted, and gives for each
    (K, *wanted * scale). A result is asked for once the next parts were handed over, so that ``fn`` may give what is still being
    computed and waits in its iterator.
    ``scale`` holds a factor for each axis of S; empty: 1. ``x`` may be dask, too.
    Yields Progress after each batch.
    """
    factors = tuple(scale) or (1,) * len(stride)
    begun: tuple[Sequence[Tile], Box, Iterable[Any]] = ((), (), ())
    done = 0
    for group in _batches(tiles, stride, batch):
        wanted = _wanted(group)
        made = fn([x[(slice(None), *slices(tile.read))] for tile in group], wanted)
        _put(out, *begun, factors)
        begun, done = (group, wanted, made), done + len(group)
        if done == len(tiles):
            _put(out, *begun, factors)
        yield Progress(done, len(tiles))


def _batches(tiles: Sequence[Tile], stride: Sequence[int], batch: int) -> Iterator[list[Tile]]:
    """Up to ``batch`` tiles at a time that have the same size once they are padded."""
    if batch == 1:
        yield from ([tile] for tile in tiles)
        return
    alike: dict[tuple[int, ...], list[Tile]] = {}
    for tile in tiles:
        alike.setdefault(tuple(-(-(b - a) // s) for (a, b), s in zip(tile.read, stride, strict=True)), []).append(tile)
    for same in alike.values():
        yield from (same[i : i + batch] for i in range(0, len(same), batch))


def _wanted(tiles: Sequence[Tile]) -> Box:
    """The box of what is read that holds what is written of each tile."""
    own = [within(tile.core, tile.read) for tile in tiles]
    return tuple((min(a for a, _ in along), max(b for _, b in along)) for along in zip(*own, strict=True))


def _put(out: Any, tiles: Sequence[Tile], wanted: Box, made: Iterable[Any], factors: Sequence[int]) -> None:
    """Write what was made of some tiles."""
    for tile, y in zip(tiles, made, strict=True):
        inner = within(within(tile.core, tile.read), wanted)
        where = (slice(None), *slices(scaled(tile.core, factors)))
        out[where] = y[(slice(None), *slices(scaled(inner, factors)))]


def mirrored(n: int, wanted: int) -> NDArray[np.intp]:
    """The places (wanted,) that continue an axis of ``n`` px as its mirror image, again and again; one pixel is repeated."""
    period = max(1, 2 * (n - 1))
    at = np.arange(wanted) % period
    return np.minimum(at, period - at) if n > 1 else at


def padded(x: NDArray[Any], stride: Sequence[int]) -> NDArray[Any]:
    """(C, *S) mirrored beyond its end up to multiples of ``stride``."""
    for axis, s in enumerate(stride, 1):
        n = x.shape[axis]
        x = np.take(x, mirrored(n, n + -n % s), axis) if n % s else x
    return x
