"""How many parameters a net has and how often they are updated, with the sum written out."""

from __future__ import annotations

from napari_dojo.playground.settings import NetShape

__all__ = ["parameter_sum", "update_sum", "updates_per_epoch"]


def parameter_sum(net: NetShape) -> str:
    """For example 2·4+4 + 4·1+1 = 17: for each layer the weights of its links, and a bias for each of its units."""
    layers = [f"{before}·{units}+{units}" for before, units in net.widths]
    return f"{' + '.join(layers)} = {net.parameters}"


def updates_per_epoch(points: int, batch_size: int) -> int:
    """Mini-batches that it takes to see all points; the last may be smaller. Batch size 0 means all points."""
    return -(-points // (batch_size or points))


def update_sum(points: int, batch_size: int) -> str:
    """For example 500 / 16 = 32, and where the last mini-batch is smaller, that it was rounded up."""
    size = min(batch_size or points, points)
    rounded = " (rounded up)" if points % size else ""
    return f"{points} / {size} = {updates_per_epoch(points, size)}{rounded}"
