"""Changes of intensity on whole batches, on the device, after the targets were made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Generator, Tensor

__all__ = ["Intensity"]

TABLE = 2**21  # normal numbers of which a CPU cuts its noise


@dataclass(frozen=True)
class Intensity:
    """How strongly normalised images (N, C, *S) are changed; each figure is the half width of what is drawn.

    Attributes
    ----------
    gain : of the logarithm of a factor, for each image and, a third of it, each channel.
    offset : added, for each image and channel.
    gamma : of the logarithm of an exponent.
    noise : largest standard deviation of added white noise.
    """

    gain: float = 0.3
    offset: float = 0.1
    gamma: float = 0.4
    noise: float = 0.06

    def __call__(self, x: Tensor, random: Generator) -> Tensor:
        """Changed copies of (N, C, *S)."""
        import torch

        n, c = x.shape[:2]
        flat = (1,) * (x.ndim - 2)

        def draw(*shape: int) -> Tensor:
            return torch.rand(*shape, *flat, generator=random, device=random.device).to(x.device) * 2 - 1

        x = x * torch.exp(draw(n, 1) * self.gain + draw(n, c) * (self.gain / 3)) + draw(n, c) * self.offset
        if self.gamma:
            above = x.clamp(min=1e-6)
            x = torch.where(x > 1e-6, (above.log() * torch.exp(draw(n, 1) * self.gamma)).exp_(), x)
        if self.noise:
            x = torch.addcmul(x, _white(x.shape, random).to(x.device), (draw(n, 1) + 1) * (self.noise / 2))
        return x


def _white(shape: Sequence[int], random: Generator) -> Tensor:
    """Normal numbers; on a CPU a random part of a table, since drawing them takes a tenth of the time of a batch."""
    import torch

    count = prod(shape)
    if random.device.type != "cpu" or count > TABLE // 4:
        return torch.randn(*shape, generator=random, device=random.device)
    first = int(torch.randint(TABLE - count, (), generator=random))
    return _table()[first : first + count].view(*shape)


@cache
def _table() -> Tensor:
    import torch

    return torch.randn(TABLE, generator=torch.Generator().manual_seed(0))
