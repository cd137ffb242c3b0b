"""Maps of a network decoded in steps, so that decoding a large image shows its progress and can be stopped."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo.events import Progress
from napari_dojo.tasks import Task

__all__ = ["decode_steps"]

EDGE = {2: 512, 3: 96}  # px of the blocks that objects are found in, by the number of spatial axes
HALO = {2: 48, 3: 16}  # px around a block, at first
OBJECTS = 1.25  # halo of a block, in typical extents of its objects
NEAR = 6  # px from the edge of a block where the image beyond it changes what is found

Core = tuple[tuple[int, int], ...]  # from and to, px by axis


@dataclass(frozen=True)
class _Block:
    """A part of an image: ``core`` belongs to it, ``wide`` is looked at, both from and to, px by axis."""

    core: Core
    wide: Core

    @staticmethod
    def of(core: Core, size: Sequence[int], halo: int) -> _Block:
        return _Block(core, tuple((max(0, a - halo), min(n, b + halo)) for (a, b), n in zip(core, size, strict=True)))

    @property
    def where(self) -> tuple[slice, ...]:
        """The part that is looked at."""
        return tuple(slice(a, b) for a, b in self.wide)

    def owns(self, box: tuple[slice, ...]) -> bool:
        """Whether the middle of an object lies in the core; ``box`` in px of the part that is looked at."""
        middles = (w + (s.start + s.stop) // 2 for s, (w, _) in zip(box, self.wide, strict=True))
        return all(a <= middle < b for middle, (a, b) in zip(middles, self.core, strict=True))

    def cuts(self, box: tuple[slice, ...], size: Sequence[int]) -> bool:
        """Whether an object may lie in part beyond what is looked at."""
        return any(
            (s.start < NEAR and a > 0) or (s.stop > b - a - NEAR and b < n)
            for s, (a, b), n in zip(box, self.wide, size, strict=True)
        )


def decode_steps(task: Task, maps: Any, decoding: Any, options: Any) -> Generator[Progress, None, NDArray[Any]]:
    """What ``task.decode`` makes of maps (K, *S), block by block where objects are found in a large image.

    Each block is looked at with a halo of an object, and more where one is cut, so that an object is found as in the whole
    image; the block that has its middle keeps it. Labels are 1..n.
    """
    size = maps.shape[1:]
    cores = list(_cores(size)) if task.result.objects else []
    if len(cores) < 2:
        return task.decode(np.asarray(maps), decoding, options)
    out, count, halo = np.zeros(size, np.int32), 0, HALO[len(size)]
    for i, core in enumerate(cores):
        yield Progress(i, len(cores))
        block, found, own, halo = _found(lambda x: task.decode(x, decoding, options), maps, core, halo)
        numbers = np.zeros(int(found.max()) + 1, np.int32)
        numbers[own] = np.arange(count + 1, count + 1 + len(own))
        count += len(own)
        place, ours = out[block.where], numbers[found]
        np.copyto(place, ours, where=(ours > 0) & (place == 0))
    return out


def _found(
    decode: Callable[[NDArray[Any]], NDArray[Any]], maps: Any, core: Core, halo: int
) -> tuple[_Block, NDArray[Any], NDArray[np.int64], int]:
    """A block with what is found in it, which of the objects are its own, and the halo that the next one starts with."""
    from scipy.ndimage import find_objects

    size, typical = maps.shape[1:], halo
    while True:
        block = _Block.of(core, size, halo)
        found = decode(np.asarray(maps[(slice(None), *block.where)]))
        own = {k: box for k, box in enumerate(find_objects(found), 1) if box is not None and block.owns(box)}
        extents = [max(s.stop - s.start for s in box) for box in own.values()]
        needed = ceil(OBJECTS * float(np.median(extents))) if own else 0
        typical = max(typical, needed)
        whole = all(w == (0, n) for w, n in zip(block.wide, size, strict=True))
        if whole or (halo >= needed and not any(block.cuts(box, size) for box in own.values())):
            return block, found, np.asarray(list(own), np.int64), typical
        halo = max(2 * halo if halo >= needed else halo, needed)


def _cores(size: Sequence[int]) -> Iterator[Core]:
    """Equal blocks that cover an image; one where it is not much larger than a block."""
    edge = EDGE[len(size)]
    cuts = [np.linspace(0, n, max(1, round(n / edge)) + 1).astype(int).tolist() for n in size]
    return product(*(list(pairwise(c)) for c in cuts))
