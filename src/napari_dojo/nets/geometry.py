"""What a U-Net needs of sizes, from its arguments alone and without torch: its stride and its receptive radius."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

__all__ = ["CUBIC", "POOLS", "STEM", "field_words", "receptive_radius", "stride"]

STEM = (2, 2)
POOLS = ((2, 2), (2, 2), (2, 2))
CUBIC = 2  # px to each side that an interpolated pixel is made of


def stride(stem: Sequence[int] = STEM, pools: Sequence[Sequence[int]] = POOLS) -> tuple[int, ...]:
    """Image sizes must be multiples of this, for each spatial axis."""
    return tuple(prod(steps) for steps in zip(stem, *pools, strict=True))


def receptive_radius(
    stem: Sequence[int] = STEM, pools: Sequence[Sequence[int]] = POOLS, *, smooth: bool = False, direct: bool = False
) -> tuple[int, ...]:
    """How far, in pixels, an output pixel depends on the image (an upper bound), for each spatial axis.

    ``smooth`` and ``direct`` : whether pools are blurred, and the net adds to the interpolated image.
    """
    far = []
    for a in range(len(stem)):
        cells = [stem[a]]
        for pool in pools:
            cells.append(cells[-1] * pool[a])
        # two convolutions down and two up at each level but the coarsest, and the place inside a coarse cell
        radius = 4 * sum(cells[:-1]) + 2 * cells[-1] + cells[-1]
        # a blurred pool depends on one cell more to each side
        radius += sum(c for c, pool in zip(cells[:-1], pools, strict=True) if pool[a] > 1) if smooth else 0
        far.append(max(radius, CUBIC if direct else 0))
    return tuple(far)


def field_words(options: Mapping[str, Any]) -> str:
    """Levels and receptive field of a U-Net with these arguments, such as "4 levels, receptive field 209 x 209 px"."""
    stem, pools = options.get("stem", STEM), options.get("pools", POOLS)
    radius = receptive_radius(
        stem, pools, smooth=bool(options.get("smooth", False)), direct=bool(options.get("direct", ()))
    )
    return f"{len(pools) + 1} levels, receptive field {' x '.join(str(2 * r + 1) for r in radius)} px"
