"""Test-time augmentation: the mean prediction for an image flipped and rotated in up to eight ways, and how far they differ.

Networks are given flipped and rotated tiles, not images: so the mean is the same however an image is cut.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_dojo.boxes import Box
from napari_dojo.nets.base import oriented

__all__ = ["Views", "orientations", "turned"]


def orientations(wanted: int, stride: Sequence[int], scale: Sequence[int], quarter: bool = True) -> int:
    """In how many ways an image is flipped and rotated: at most 4 where the network, or the task, tells Y from X."""
    square = scale[-1] == scale[-2] and stride[-1] == stride[-2]
    return min(wanted, 8 if square and quarter else 4)


class Disagreement:
    """How far two views of an image disagree about what is foreground, whatever its tiles."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin with nothing: the tiles are predicted again."""
        self._total: Tensor | float = 0.0
        self._pixels: Tensor | float = 0.0

    def add(self, first: Tensor, second: Tensor) -> None:
        """Logits (N, K, *s) of two views; those of the first map count."""
        inside = first[:, :1] > 0
        self._total = self._total + torch.where(inside, second[:, :1] - first[:, :1], 0).abs().sum()
        self._pixels = self._pixels + inside.sum()

    @property
    def mean(self) -> float:
        """Half of the mean absolute difference where the first one sees foreground, 0 or more; 0 without foreground."""
        return float(self._total) / 2 / max(1.0, float(self._pixels))


@dataclass(frozen=True)
class Views:
    """In how many orientations a network sees an image, and what becomes of the maps.

    Attributes
    ----------
    count : 1: as it is.
    deviation : whether the standard deviation of the maps is wanted behind their mean.
    disagreement : adds up that of the first two orientations; None: nobody asks.
    """

    count: int = 1
    deviation: bool = False
    disagreement: Disagreement | None = None

    def maps(self, outputs: int) -> int:
        """How many maps there are in the end, of a network with ``outputs`` maps."""
        return outputs * (2 if self.deviation else 1)

    def of(self, net: Callable[[Tensor, Box], Tensor], x: Tensor, wanted: Box) -> Tensor:
        """What a network makes of a box of images (N, C, *S), (N, K or 2 K, *wanted * scale)."""
        if self.count == 1 and not self.deviation:
            return net(x, wanted)
        size, sums = x.shape[2:], list[Tensor]()
        for k in range(self.count):
            y = oriented(net(oriented(x, k), turned(wanted, size, k)), k, back=True)
            sums = sums or self.sums(y)
            self.add(sums, y, k)
        return self.done(sums, 1)

    def sums(self, like: Tensor) -> list[Tensor]:
        """Room for the sums of the maps of all views, to be filled by `add`."""
        return [torch.empty_like(like) if k == 0 else torch.zeros_like(like) for k in range(3 if self.deviation else 1)]

    def add(self, sums: Sequence[Tensor], y: Tensor, k: int) -> None:
        """Add the maps of view ``k``; with the deviation, differences from the first: float32 loses nothing."""
        if k == 1 and self.disagreement:
            self.disagreement.add(sums[0], y)
        if k == 0:
            sums[0].copy_(y)
        elif not self.deviation:
            sums[0].add_(y)
        else:
            difference = y - sums[0]
            sums[1].add_(difference)
            sums[2].add_(difference.square_())

    def done(self, sums: Sequence[Tensor], axis: int = 0) -> Tensor:
        """The mean, in the memory of the sums; where it is wanted with the standard deviation behind it, along the axis of maps."""
        if not self.deviation:
            return sums[0].div_(self.count)
        first, total, squares = sums
        mean = total.div_(self.count)
        return torch.cat([first.add_(mean), squares.div_(self.count).sub_(mean.square_()).clamp_(min=0).sqrt_()], axis)


def turned(box: Sequence[tuple[int, int]], size: Sequence[int], k: int, back: bool = False) -> Box:
    """Where a box of images of this size (before they are oriented) lies after `oriented`, and the way back."""
    *planes, y, x = box
    if k & 4 and back:
        y, x = x, y
    x = (size[-1] - x[1], size[-1] - x[0]) if k & 1 else x
    y = (size[-2] - y[1], size[-2] - y[0]) if k & 2 else y
    return (*planes, x, y) if k & 4 and not back else (*planes, y, x)
