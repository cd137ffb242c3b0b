"""Changes of intensity on whole batches, on the device, after the targets were made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Generator, Tensor

__all__ = ["Intensity"]


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
            x = torch.where(x > 1e-6, above.pow(torch.exp(draw(n, 1) * self.gamma)), x)
        if self.noise:
            noise = torch.randn(x.shape, generator=random, device=random.device).to(x.device)
            x = x + noise * ((draw(n, 1) + 1) * (self.noise / 2))
        return x
