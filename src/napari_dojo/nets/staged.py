"""A U-Net on an image that does not fit in memory at once, exactly: each level box by box, coarser levels as a whole before.

A tile of a volume would need a halo as wide as the receptive radius, which is most of it. What the coarser levels make of the whole
is small, and then a box of a level needs no more than a few cells around it. What the encoder of a level makes is kept for
its decoder (planes), or computed twice (volumes).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import pairwise, product
from math import ceil, prod
from threading import local
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_dojo.boxes import Box, scaled, wider
from napari_dojo.nets.geometry import CUBIC
from napari_dojo.nets.unet import REACH, UNet, add, cells_of, cut, fold, pool, unfold

__all__ = ["Kept", "Staged"]

ROWS = 32  # of a band at least

Read = Callable[[Box], Tensor]  # (1, C, *box)
Write = Callable[[Box, Tensor], None]


class Kept(local):
    """Memory that a thread keeps from block to block: new memory is cleared by the system page by page, and leaves holes."""

    def __init__(self) -> None:
        self._of: dict[tuple[int, str], Tensor] = {}

    def empty(self, name: tuple[int, str], like: Tensor, shape: Sequence[int]) -> Tensor:
        """An array of this shape in the memory of this name, which is made larger where that is needed."""
        there, count = self._of.get(name), prod(shape)
        if there is None or there.numel() < count or there.dtype != like.dtype:
            self._of.pop(name, None)
            # blocks at the image's edge are smaller; memory that nobody wrote to is not taken
            room = count + count // 4
            there = self._of[name] = torch.empty(room, dtype=like.dtype, device=like.device)
        return there[:count].view(*shape)


@dataclass(frozen=True, eq=False)
class Staged:
    """A network and an image.

    Attributes
    ----------
    read : a box of the image, normalised, (1, C, *box).
    size : S of the image, multiples of the stride.
    pixels : of a box at the finest level, about; levels with fewer cells than it has are computed at once.
    computing : the state of torch in which it is computed.
    wanted : the box of the image whose prediction is wanted; empty: all.
    kept : memory for what the levels of a plane keep for each other.
    """

    net: UNet
    read: Read
    size: tuple[int, ...]
    pixels: float
    computing: Callable[[], AbstractContextManager[Any]]
    wanted: Box = ()
    kept: Kept = field(default_factory=Kept)

    def run(self, write: Write) -> Iterator[None]:
        """Compute what is wanted and hand it over, (1, K, *box * scale) with its box of pixels; yields after each step.

        What is handed over may reach beyond what is wanted, to the end of a cell.
        """
        net = self.net
        fine = tuple(s * f for s, f in zip(net.stem, net.scale, strict=True))

        def put(box: Box, x: Tensor) -> None:
            where, y = scaled(box, net.stem), unfold(net.head(x), fine)
            if net.line is not None:
                near = wider(where, CUBIC, self.size)
                line = unfold(net.line(self.read(near)), net.scale)
                y = y + cut(line, scaled(where, net.scale), scaled(near, net.scale))
            write(where, y)

        def image(box: Box) -> Tensor:
            return fold(self.read(scaled(box, net.stem)), net.stem)

        yield from self._level(0, image, self._cells, put)

    @staticmethod
    def bytes_per_pixel(net: UNet) -> float:
        """Memory for a pixel of an image that is computed so: what the levels keep for each other."""
        handed = [net.values(i) / prod(step) for i, step in enumerate(net.pools)]
        if net.dims == 3:
            return 8 * sum(handed)
        return 4 * (sum(handed) + sum(net.values(i) for i in range(len(handed))))

    @property
    def steps(self) -> int:
        """How often `run` yields."""
        cells, count = self._cells, 1
        for level, step in enumerate(self.net.pools):
            grid = self._grid_of(level)
            if prod(grid) <= self._most:
                break
            count += len(_boxes(_whole(self._grid_of(level + 1)), self._most / prod(step)))
            count += len(_boxes(cells, self._most))
            cells = _below(cells, grid, step)
        return count

    def _grid_of(self, level: int) -> tuple[int, ...]:
        """The number of cells of a level along each axis."""
        cell = [prod(steps) for steps in zip(self.net.stem, *self.net.pools[:level], strict=True)]
        return tuple(n // s for n, s in zip(self.size, cell, strict=True))

    @property
    def _cells(self) -> Box:
        """Those of the finest level that are wanted."""
        return cells_of(self.wanted, self.net.stem) if self.wanted else _whole(self._grid_of(0))

    @property
    def _most(self) -> float:
        """Cells of a box."""
        return self.pixels / prod(self.net.stem)

    @property
    def _keeps(self) -> bool:
        return len(self.size) == 2

    def _level(self, level: int, read: Read, wanted: Box, write: Write) -> Iterator[None]:
        """A level and all below it: from what it is given to what its decoder makes of that, for a box of its cells."""
        net = self.net
        grid = self._grid_of(level)
        if level == len(net.pools) or prod(grid) <= self._most:
            with self.computing():
                write(wanted, net.levels(read(_whole(grid)), wanted, level))
            yield
            return
        step, coarse = net.pools[level], self._grid_of(level + 1)
        near = _below(wanted, grid, step)
        pooled, skips = (
            self._filled(level, "pooled", _whole(coarse)),
            self._filled(level, "skips", scaled(near, step)),
        )
        for core in _boxes(_whole(coarse), self._most / prod(step)):
            with self.computing():
                pooled.write(core, self._pooled(level, read, grid, core, skips))
            yield
        # what is pooled is read no more when the next level writes, unless its encoder is computed again
        deep, narrow = self._filled(level, "pooled", near), net.narrow[level]
        yield from self._level(level + 1, pooled.read, near, lambda box, x: deep.write(box, narrow(x)))
        del pooled
        for core in _boxes(wanted, self._most):
            with self.computing():
                write(core, self._decoded(level, skips.read if self._keeps else read, deep.read, grid, core))
            yield

    def _filled(self, level: int, name: str, box: Box) -> _Filled:
        return _Filled(box, (level, name), self.kept if self._keeps else Kept())

    def _pooled(self, level: int, read: Read, grid: Sequence[int], core: Box, skips: _Filled) -> Tensor:
        """What the encoder hands to the next level, of whose cells ``core`` is a box; what it makes goes to ``skips``."""
        net, step = self.net, self.net.pools[level]
        wide = wider(core, int(net.smooth), [n // s for n, s in zip(grid, step, strict=True)])
        fine = scaled(wide, step)
        near = wider(fine, REACH, grid)
        x = cut(net.down[level](read(near)), fine, near)
        if self._keeps and not self._unused(level):
            skips.write(fine, x)
        return cut(pool(x, step, net.smooth), core, wide)

    def _unused(self, level: int) -> bool:
        """Whether the decoder of a level does not see its encoder."""
        return self.net.smooth and level == 0

    def _decoded(self, level: int, read: Read, deep: Read, grid: Sequence[int], core: Box) -> Tensor:
        """What the decoder makes of a box of its level; ``read`` : what its encoder made, or is given."""
        net, step = self.net, self.net.pools[level]
        coarse = _below(core, grid, step)
        box = scaled(coarse, step)
        x = F.interpolate(deep(coarse), scale_factor=[float(p) for p in step], mode="nearest")
        if not self._unused(level):
            near = box if self._keeps else wider(box, REACH, grid)
            skip = read(near) if self._keeps else cut(net.down[level](read(near)), box, near)
            x = add(x, skip)
        return cut(net.up[level](x), core, box)


class _Filled:
    """An array (1, C, *box) of a box of a grid, which is filled box by box."""

    def __init__(self, box: Box, name: tuple[int, str], kept: Kept) -> None:
        self._box, self._name, self._kept = box, name, kept
        self._array: Tensor | None = None

    def write(self, box: Box, x: Tensor) -> None:
        """Put the part of a box that lies in this one."""
        inner = tuple((max(a, c), min(b, d)) for (a, b), (c, d) in zip(box, self._box, strict=True))
        if any(a >= b for a, b in inner):
            return
        if self._array is None:
            (n, c), grid = x.shape[:2], [b - a for a, b in self._box]
            flat = len(grid) == 2  # planes have their channels last
            made = self._kept.empty(self._name, x, (n, *grid, c) if flat else (n, c, *grid))
            self._array = made.movedim(-1, 1) if flat else made
        cut(self._array, inner, self._box).copy_(cut(x, inner, box))

    def read(self, box: Box) -> Tensor:
        """A box."""
        assert self._array is not None
        return cut(self._array, box, self._box)


def _whole(grid: Sequence[int]) -> Box:
    return tuple((0, n) for n in grid)


def _below(box: Box, grid: Sequence[int], step: Sequence[int]) -> Box:
    """The cells of the next level that the decoder of a level needs for one of its boxes."""
    return cells_of(wider(box, REACH, grid), step)


def _boxes(box: Box, cells: float) -> list[Box]:
    """Boxes that cover a box, each of about this many cells."""
    cuts = []
    for (first, last), edge in zip(box, _edges([b - a for a, b in box], max(1.0, cells)), strict=True):
        count = ceil((last - first) / edge)
        ends = [first + round((last - first) * i / count) for i in range(count + 1)]
        cuts.append(list(pairwise(ends)))
    return list(product(*cuts))


def _edges(grid: Sequence[int], cells: float) -> list[int]:
    """Of boxes: bands of planes, which lie in memory as they are computed (channels last), and cubes."""
    if len(grid) == 2 and cells >= ROWS * grid[1]:
        return [int(cells / grid[1]), grid[1]]
    left, edges = sorted(range(len(grid)), key=lambda a: grid[a]), [1] * len(grid)
    while left:
        a = left.pop(0)
        edges[a] = min(grid[a], max(1, int(cells ** (1 / (len(left) + 1)))))
        cells = max(1.0, cells / edges[a])
    return edges
