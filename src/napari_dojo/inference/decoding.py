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

from napari_dojo.boxes import Box, slices, wider
from napari_dojo.events import Progress
from napari_dojo.tasks import Task
from napari_dojo.tasks.watershed import Rule, Terrain, joined, part_of

__all__ = ["Land", "decode_steps", "objects_in_blocks", "parts_of", "rule_of"]

EDGE = {2: 512, 3: 96}  # px of the blocks that objects are found in, by the number of spatial axes

# Mask and distance (*S) of a part of an image.
Land = tuple[NDArray[np.bool_], NDArray[np.float32]]


def decode_steps(task: Task, maps: Any, decoding: Any, options: Any) -> Generator[Progress, None, NDArray[Any]]:
    """What ``task.decode`` makes of maps (K, *S), block by block where objects are found in a large image. Labels are 1..n."""
    size = maps.shape[1:]
    cores = parts_of(tuple((0, n) for n in size), EDGE[len(size)]) if isinstance(decoding, Terrain) else []
    if len(cores) < 2:
        return task.decode(np.asarray(maps), decoding, options)
    out = np.zeros(size, np.int32)
    yield from objects_in_blocks(
        lambda _, box: decoding.terrain(np.asarray(maps[(slice(None), *slices(box))])), cores, decoding, out
    )
    return out


def objects_in_blocks(
    land_of: Callable[[int, Box], Land], cores: Sequence[Box], decoding: Terrain, out: Any
) -> Generator[Progress, None, int]:
    """Objects of an image, written to ``out`` (*S), zeros; their number.

    Holds one block in memory, and a few numbers for each object at a border. Yields Progress before each block.

    Parameters
    ----------
    land_of : mask and distance for block number i: of a box of the image, the block and a margin.
    cores : boxes that cover the image once.
    """
    size, parts = out.shape, []
    for i, core in enumerate(cores):
        yield Progress(i, len(cores))
        wide = wider(core, decoding.margin, size)
        part = part_of(*land_of(i, wide), wide, core, size, rule_of(decoding))
        out[slices(core)] = part.objects
        parts.append(replace(part, objects=part.objects[:0]))
    numbers = joined(parts, rule_of(decoding))
    for core, of in zip(cores, numbers, strict=True):
        out[slices(core)] = of[out[slices(core)]]
    return int(max(of.max() for of in numbers))


def rule_of(decoding: Terrain) -> Rule:
    """When two maxima of the distance are two objects."""
    return Rule(decoding.split, decoding.lowest, decoding.minimum_area)


def parts_of(box: Box, edge: float) -> list[Box]:
    """Equal boxes of about this edge that cover a box; one where it is not much larger."""
    cuts = [np.linspace(a, b, max(1, round((b - a) / edge)) + 1).astype(int).tolist() for a, b in box]
    return list(product(*(list(pairwise(c)) for c in cuts)))
