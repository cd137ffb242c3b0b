"""Any function of (C, *s) on an image of any size, tile by tile, as if it were done at once.

Tiles start at multiples of the network's stride and carry a halo. Where the halo is at least as wide as the receptive
radius, the result equals that of the whole image exactly; where it is not, tiles that touch are blended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo.events import Progress

__all__ = ["Tile", "padded", "tile_edge", "tiled", "tiles_of"]


@dataclass(frozen=True)
class Tile:
    """One tile, each figure (start, stop) for each axis of S: what is read, what is written, and what is its own.

    ``core`` boxes cover the image once; ``write`` is the core and the blending zone; ``read`` has the halo on.
    """

    read: tuple[tuple[int, int], ...]
    write: tuple[tuple[int, int], ...]
    core: tuple[tuple[int, int], ...]


def tiles_of(
    size: Sequence[int], edge: Sequence[int], halo: Sequence[int], stride: Sequence[int], blend: Sequence[int] | int = 0
) -> list[Tile]:
    """Cover an image of ``size`` with tiles of at most ``edge`` px, halo included, on the grid of ``stride``.

    ``blend`` px on either side of an inner border are computed twice and faded over; at most the halo, and
    less where tiles are short.
    """
    dims = len(size)
    blends = [blend] * dims if isinstance(blend, int) else list(blend)
    along = [_along(n, e, h, s, b) for n, e, h, s, b in zip(size, edge, halo, stride, blends, strict=True)]
    return [Tile(*zip(*parts, strict=True)) for parts in product(*along)]


def _along(n: int, edge: int, halo: int, stride: int, blend: int) -> list[tuple[tuple[int, int], ...]]:
    halo = -(-halo // stride) * stride
    if n <= edge:
        return [((0, n), (0, n), (0, n))]
    step = max(stride, (edge - 2 * halo) // stride * stride)
    count = -(-n // step)
    step = ceil(ceil(n / count) / stride) * stride  # tiles of about the same size
    cores = [(a, min(n, a + step)) for a in range(0, n, step)]
    room = [b - a if a == 0 or b == n else (b - a) // 2 for a, b in cores]  # never three tiles over one pixel
    fade = [0, *(min(blend, halo, *pair) for pair in pairwise(room)), 0]  # the same on both sides of a border
    return [
        ((max(0, a - halo), min(n, b + halo)), (a - before, b + after), (a, b))
        for (a, b), (before, after) in zip(cores, pairwise(fade), strict=True)
    ]


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
    fn: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    x: Any,
    out: Any,
    tiles: Sequence[Tile],
    stride: Sequence[int],
    scale: Sequence[int] = (),
) -> Iterator[Progress]:
    """Apply ``fn`` (C, *s) -> (K, *s * scale) tile by tile, from ``x`` (C, *S) into ``out`` (K, *S * scale).

    ``scale`` holds a factor for each axis of S; empty: 1. ``x`` and ``out`` may be numpy, memory-mapped or zarr, ``x``
    also dask; ``out`` starts as zeros where tiles blend.
    Yields Progress after each tile.
    """
    factors = tuple(scale) or (1,) * len(stride)
    for i, tile in enumerate(tiles):
        part = np.asarray(x[(slice(None), *(slice(a, b) for a, b in tile.read))])
        y = fn(padded(part, stride))
        inner = tuple(
            slice((a - r) * f, (b - r) * f) for (a, b), (r, _), f in zip(tile.write, tile.read, factors, strict=True)
        )
        where = (slice(None), *(slice(a * f, b * f) for (a, b), f in zip(tile.write, factors, strict=True)))
        if tile.write == tile.core:
            out[where] = y[(slice(None), *inner)]
        else:
            out[where] = out[where] + y[(slice(None), *inner)] * _weight(tile, factors)
        yield Progress(i + 1, len(tiles))


def padded(x: NDArray[Any], stride: Sequence[int]) -> NDArray[Any]:
    """(C, *S) mirrored beyond its end up to multiples of ``stride``."""
    more = [(0, 0)] + [(0, -n % s) for n, s in zip(x.shape[1:], stride, strict=True)]
    while any(b for _, b in more):
        now = [(0, min(b, max(n - 1, 0))) for (_, b), n in zip(more, x.shape, strict=True)]
        if not any(b for _, b in now):
            return np.pad(x, more, mode="edge")  # one pixel has no mirror image
        x = np.pad(x, now, mode="reflect")
        more = [(0, b - d) for (_, b), (_, d) in zip(more, now, strict=True)]
    return x


def _weight(tile: Tile, scale: Sequence[int]) -> NDArray[np.float32]:
    """Ramps that add up to 1 where tiles overlap, (*write * scale)."""
    weight = np.ones((1,) * len(tile.core), np.float32)
    for axis, ((w0, w1), (c0, c1), f) in enumerate(zip(tile.write, tile.core, scale, strict=True)):
        at = (np.arange(w0 * f, w1 * f) + 0.5) / f
        ramp = np.ones(len(at), np.float32)
        if w0 < c0:
            ramp = np.minimum(ramp, (at - w0) / (2 * (c0 - w0)))
        if w1 > c1:
            ramp = np.minimum(ramp, (w1 - at) / (2 * (w1 - c1)))
        weight = weight * ramp.reshape([-1 if i == axis else 1 for i in range(len(tile.core))]).astype(np.float32)
    return weight
