"""Test-time augmentation: the mean prediction for an image flipped and rotated in up to eight ways, and how far they differ."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import Any

import numpy as np

from napari_dojo.events import Event, Progress, changed

__all__ = ["Maps", "averaged", "orientations"]

Maps = Any  # an array or a tensor (K, *S * scale)


def orientations(wanted: int, stride: Sequence[int], scale: Sequence[int], quarter: bool = True) -> int:
    """In how many ways an image is flipped and rotated: at most 4 where the network, or the task, tells Y from X."""
    square = scale[-1] == scale[-2] and stride[-1] == stride[-2]
    return min(wanted, 8 if square and quarter else 4)


def averaged(
    maps_of: Callable[[Any], Generator[Any, None, Maps]], x: Any, count: int
) -> Generator[Event, None, tuple[Maps, Maps]]:
    """Mean and standard deviation of the maps (K, *S * scale) of an image (C, *S), an array or a tensor, in ``count`` orientations."""
    first, total, squares = yield from _sums(maps_of, x, count)
    mean = total / count
    return first + mean, (squares / count - mean**2).clip(0) ** 0.5


def _sums(
    maps_of: Callable[[Any], Generator[Any, None, Maps]], x: Any, count: int
) -> Generator[Event, None, tuple[Maps, Maps, Maps]]:
    """The first maps, and sums of the differences from them and of their squares: float32 loses nothing."""
    first = yield from changed(maps_of(x), partial(_among, index=0, count=count))
    total, squares = 0 * first, 0 * first
    for k in range(1, count):
        found = yield from changed(maps_of(_oriented(x, k)), partial(_among, index=k, count=count))
        difference = _oriented(found, k, back=True) - first
        total += difference
        squares += difference**2
    return first, total, squares


def _among(event: Progress, index: int, count: int) -> Progress:
    return event.among(index, count)


def _oriented(x: Any, k: int, back: bool = False) -> Any:
    """One of eight ways to flip and rotate the plane of an image (C, *S), and the way back."""
    x = x.swapaxes(-1, -2) if k & 4 and back else x
    x = _flipped(x, -1) if k & 1 else x
    x = _flipped(x, -2) if k & 2 else x
    return x.swapaxes(-1, -2) if k & 4 and not back else x


def _flipped(x: Any, axis: int) -> Any:
    return x.flip(axis) if hasattr(x, "flip") else np.flip(x, axis)
