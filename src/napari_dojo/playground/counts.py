"""The number of parameters and of updates per epoch, with the calculation written out."""

from __future__ import annotations

from collections.abc import Sequence

from napari_dojo.playground.settings import NetShape

__all__ = ["parameter_sum", "split_words", "update_sum", "updates_per_epoch"]


def parameter_sum(net: NetShape) -> str:
    """The parameter count written out, such as "2·4+4 + 4·1+1 = 17": weights and biases of each layer."""
    layers = [f"{before}·{units}+{units}" for before, units in net.widths]
    return f"{' + '.join(layers)} = {net.parameters}"


def split_words(counts: Sequence[int]) -> str:
    """How points are split: "60 points: ● 36 training, ■ 12 validation, ◆ 12 test"."""
    parts = zip("●■◆", counts, ("training", "validation", "test"), strict=True)
    total = sum(counts)
    return f"{total} point{'' if total == 1 else 's'}: {', '.join(f'{sign} {n} {name}' for sign, n, name in parts)}"


def updates_per_epoch(points: int, batch_size: int) -> int:
    """Mini-batches per epoch; the last may be smaller. Batch size 0 means all points."""
    return -(-points // (batch_size or points))


def update_sum(points: int, batch_size: int) -> str:
    """The updates per epoch written out, such as "500 / 16 = 32 (rounded up)"."""
    size = min(batch_size or points, points)
    rounded = " (rounded up)" if points % size else ""
    return f"{points} / {size} = {updates_per_epoch(points, size)}{rounded}"
