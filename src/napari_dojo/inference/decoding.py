"""Maps of a network decoded in steps, so that decoding a large image shows its progress and can be stopped.

Objects are found block by block, and joined across the borders of blocks to exactly those of the whole image. The maps of a block
may be predicted when its turn comes, so that an image can be larger than memory.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from itertools import pairwise, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo.events import Progress
from napari_dojo.tasks import Task
from napari_dojo.tasks.watershed import Box, Part, Terrain, joined, part_of

__all__ = ["decode_steps", "objects_in_blocks"]

EDGE = {2: 512, 3: 96}  # px of the blocks that objects are found in, by the number of spatial axes

# Mask and distance (*S) of a part of an image.
Land = tuple[NDArray[np.bool_], NDArray[np.float32]]


def decode_steps(task: Task, maps: Any, decoding: Any, options: Any) -> Generator[Progress, None, NDArray[Any]]:
    """What ``task.decode`` makes of maps (K, *S), block by block where objects are found in a large image. Labels are 1..n."""
    size = maps.shape[1:]
    cores = _cores(size) if isinstance(decoding, Terrain) else []
    if len(cores) < 2:
        return task.decode(np.asarray(maps), decoding, options)
    out = np.zeros(size, np.int32)
    yield from objects_in_blocks(
        lambda _, box: decoding.terrain(np.asarray(maps[(slice(None), *_slices(box))])), cores, decoding, out
    )
    return out


def objects_in_blocks(
    land_of: Callable[[int, Box], Land], cores: Sequence[Box], decoding: Terrain, out: Any
) -> Generator[Progress, None, int]:
    """Objects of an image, written to ``out`` (*S), zeros, numpy or memory-mapped; their number.

    Holds one block in memory, and a few numbers for each basin. Yields Progress before each block.

    Parameters
    ----------
    land_of : mask and distance for block number i: of a box of the image, the block and a margin.
    cores : boxes that cover the image once.
    """
    size, count = out.shape, 0
    parts: list[Part] = []
    for i, core in enumerate(cores):
        yield Progress(i, len(cores))
        wide = tuple(
            (max(0, a - decoding.margin), min(n, b + decoding.margin)) for (a, b), n in zip(core, size, strict=True)
        )
        inside, distance = land_of(i, wide)
        part = part_of(inside, distance, wide, core, size)
        out[_slices(core)] = part.basins + count * (part.basins > 0)
        count += len(part.heights) - 1
        parts.append(replace(part, basins=part.basins[:0]))
    numbers = joined(
        parts,
        lambda places: out[np.unravel_index(places, size)],
        decoding.split,
        decoding.lowest,
        decoding.minimum_area,
    )
    of = np.concatenate([np.zeros(1, np.int32), *(n[1:] for n in numbers)])
    for core in cores:
        out[_slices(core)] = of[out[_slices(core)]]
    return int(of.max())


def _cores(size: Sequence[int]) -> list[Box]:
    """Equal blocks that cover an image; one where it is not much larger than a block."""
    edge = EDGE[len(size)]
    cuts = [np.linspace(0, n, max(1, round(n / edge)) + 1).astype(int).tolist() for n in size]
    return list(product(*(list(pairwise(c)) for c in cuts)))


def _slices(box: Box) -> tuple[slice, ...]:
    return tuple(slice(a, b) for a, b in box)
