"""A U-Net on a volume that does not fit in memory at once, exactly: each level box by box, coarser levels as a whole before.

A tile of a volume would need a halo as wide as the receptive radius, which is most of it. What the coarser levels make of the whole
is small, and then a box of a level needs no more than a few cells around it. The encoder of a level is computed twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import pairwise, product
from math import ceil, prod
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_dojo.nets.base import Box
from napari_dojo.nets.geometry import CUBIC
from napari_dojo.nets.unet import REACH, UNet, add, cells_of, cut, fold, pixels_of, pool, unfold, wider

__all__ = ["Staged"]

Read = Callable[[Box], Tensor]  # (1, C, *box)
Write = Callable[[Box, Tensor], None]


@dataclass(frozen=True, eq=False)
class Staged:
    """A network and an image.

    Attributes
    ----------
    read : a box of the image, normalised, (1, C, *box).
    size : S of the image, multiples of the stride.
    pixels : of a box at the finest level, about; levels with fewer cells than it has are computed at once.
    computing : the state of torch in which it is computed.
    """

    net: UNet
    read: Read
    size: tuple[int, ...]
    pixels: float
    computing: Callable[[], AbstractContextManager[Any]]

    def run(self, write: Write) -> Iterator[None]:
        """Compute all and hand it over, (1, K, *box * scale) with its box of pixels; yields after each step."""
        net = self.net
        grid = tuple(n // s for n, s in zip(self.size, net.stem, strict=True))
        fine = tuple(s * f for s, f in zip(net.stem, net.scale, strict=True))

        def put(box: Box, x: Tensor) -> None:
            where, y = pixels_of(box, net.stem), unfold(net.head(x), fine)
            if net.line is not None:
                near = wider(where, CUBIC, self.size)
                line = unfold(net.line(self.read(near)), net.scale)
                y = y + cut(line, pixels_of(where, net.scale), pixels_of(near, net.scale))
            write(where, y)

        yield from self._level(0, lambda box: fold(self.read(pixels_of(box, net.stem)), net.stem), grid, put)

    @property
    def steps(self) -> int:
        """How often `run` yields."""
        grid, count = [n // s for n, s in zip(self.size, self.net.stem, strict=True)], 1
        for step in self.net.pools:
            if prod(grid) <= self._cells:
                break
            coarse = [n // s for n, s in zip(grid, step, strict=True)]
            count += len(_boxes(grid, self._cells)) + len(_boxes(coarse, self._cells / prod(step)))
            grid = coarse
        return count

    @property
    def _cells(self) -> float:
        return self.pixels / prod(self.net.stem)

    def _level(self, level: int, read: Read, grid: Sequence[int], write: Write) -> Iterator[None]:
        """A level and all below it: from what it is given to what its decoder makes of that."""
        net = self.net
        if level == len(net.pools) or prod(grid) <= self._cells:
            whole = tuple((0, n) for n in grid)
            with self.computing():
                write(whole, net.levels(read(whole), whole, level))
            yield
            return
        step = net.pools[level]
        coarse = tuple(n // s for n, s in zip(grid, step, strict=True))
        pooled, deep = _Filled(coarse), _Filled(coarse)
        for core in _boxes(coarse, self._cells / prod(step)):
            with self.computing():
                pooled.write(core, self._pooled(level, read, grid, core))
            yield
        narrow = net.narrow[level]
        yield from self._level(level + 1, pooled.read, coarse, lambda box, x: deep.write(box, narrow(x)))
        del pooled
        for core in _boxes(grid, self._cells):
            with self.computing():
                write(core, self._decoded(level, read, deep.read, grid, core))
            yield

    def _pooled(self, level: int, read: Read, grid: Sequence[int], core: Box) -> Tensor:
        """What the encoder hands to the next level, of whose cells ``core`` is a box."""
        net, step = self.net, self.net.pools[level]
        wide = wider(core, int(net.smooth), [n // s for n, s in zip(grid, step, strict=True)])
        fine = pixels_of(wide, step)
        near = wider(fine, REACH, grid)
        return cut(pool(cut(net.down[level](read(near)), fine, near), step, net.smooth), core, wide)

    def _decoded(self, level: int, read: Read, deep: Read, grid: Sequence[int], core: Box) -> Tensor:
        """What the decoder makes of a box of its level."""
        net, step = self.net, self.net.pools[level]
        coarse = cells_of(wider(core, REACH, grid), step)
        box = pixels_of(coarse, step)
        x = F.interpolate(deep(coarse), scale_factor=[float(p) for p in step], mode="nearest")
        if not (net.smooth and level == 0):
            near = wider(box, REACH, grid)
            x = add(x, cut(net.down[level](read(near)), box, near))
        return cut(net.up[level](x), core, box)


class _Filled:
    """An array (1, C, *grid) that is filled box by box."""

    def __init__(self, grid: Sequence[int]) -> None:
        self._grid = tuple(grid)
        self._array: Tensor | None = None

    def write(self, box: Box, x: Tensor) -> None:
        """Put a box."""
        if self._array is None:
            self._array = torch.empty((*x.shape[:2], *self._grid), dtype=x.dtype, device=x.device)
        self._array[_key(box)] = x

    def read(self, box: Box) -> Tensor:
        """A box."""
        assert self._array is not None
        return self._array[_key(box)]


def _key(box: Box) -> tuple[Any, ...]:
    return (..., *(slice(a, b) for a, b in box))


def _boxes(grid: Sequence[int], cells: float) -> list[Box]:
    """Boxes that cover a grid, each of about this many cells."""
    left, room, edges = (
        sorted(range(len(grid)), key=lambda a: grid[a]),
        max(1.0, cells),
        dict.fromkeys(range(len(grid)), 1),
    )
    while left:
        a = left.pop(0)
        edges[a] = min(grid[a], max(1, int(room ** (1 / (len(left) + 1)))))
        room = max(1.0, room / edges[a])
    cuts = []
    for a, n in enumerate(grid):
        count = ceil(n / edges[a])
        ends = [round(n * i / count) for i in range(count + 1)]
        cuts.append(list(pairwise(ends)))
    return list(product(*cuts))
