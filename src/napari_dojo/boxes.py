"""Boxes: parts of an array from a first pixel to one behind the last, for each axis."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["Box", "middle", "scaled", "slices", "wider", "within"]

Box = tuple[tuple[int, int], ...]  # from and to, px by axis


def slices(box: Sequence[tuple[int, int]]) -> tuple[slice, ...]:
    """A box as a key for an array (*S)."""
    return tuple(slice(a, b) for a, b in box)


def within(box: Sequence[tuple[int, int]], outer: Sequence[tuple[int, int]]) -> Box:
    """Where a box lies in a larger one."""
    return tuple((a - o, b - o) for (a, b), (o, _) in zip(box, outer, strict=True))


def wider(box: Sequence[tuple[int, int]], by: int, size: Sequence[int]) -> Box:
    """A box with this much more on each side, where there is more."""
    return tuple((max(0, a - by), min(n, b + by)) for (a, b), n in zip(box, size, strict=True))


def scaled(box: Sequence[tuple[int, int]], factors: Sequence[int]) -> Box:
    """A box in an array with this many pixels for each one, by axis."""
    return tuple((a * f, b * f) for (a, b), f in zip(box, factors, strict=True))


def middle(size: Sequence[int], edge: int | Sequence[int]) -> tuple[slice, ...]:
    """The middle of an array (*S), at most ``edge`` px long, one figure or one for each axis."""
    edges = (edge,) * len(size) if isinstance(edge, int) else edge
    lengths = [min(n, e) for n, e in zip(size, edges, strict=True)]
    return tuple(slice((n - e) // 2, (n - e) // 2 + e) for n, e in zip(size, lengths, strict=True))
