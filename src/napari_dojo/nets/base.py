"""What every network says about itself: the rest of the program asks nothing else of it."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from napari_dojo.boxes import Box, scaled, slices

__all__ = ["Network", "oriented"]


class Network(nn.Module):
    """A network (N, C, *S) -> maps (N, K, *S * scale), or, where it is not dense, (N, K).

    Attributes
    ----------
    dense : it predicts a value for each pixel, tile by tile; else for the whole image, which it takes at once.
    dims : number of spatial axes, 2 or 3.
    out_channels : K.
    scale : output pixels per input pixel, for each spatial axis.
    stride : image sizes must be multiples of this, for each spatial axis.
    receptive_radius : how far, in pixels, an output pixel depends on the image (an upper bound).
    size : where it is not dense, the spatial size that images are brought to; empty: any.
    padded : how: small images get a border of their own level; else they are enlarged.
    """

    dense = True
    size: tuple[int, ...] = ()
    padded = True
    out_channels: int
    scale: tuple[int, ...]

    @property
    def dims(self) -> int:
        """Number of spatial axes."""
        return len(self.scale)

    @property
    def stride(self) -> tuple[int, ...]:
        """Image sizes must be multiples of this, for each spatial axis."""
        raise NotImplementedError

    @property
    def receptive_radius(self) -> tuple[int, ...]:
        """How far, in pixels, an output pixel depends on the image, for each spatial axis."""
        raise NotImplementedError

    @property
    def bytes_per_pixel(self) -> float:
        """Memory that it takes for a pixel of an image, about."""
        return 400.0

    def keep(self, maps: int) -> None:
        """Predict the first maps only, where that is cheaper; else all stay."""

    def sharpen(self, factor: float) -> None:
        """Multiply the outputs by a factor, for good, where these are logits of a whole image."""

    def part(self, x: Tensor, wanted: Box) -> Tensor:
        """The prediction for a box of the image, (N, K, *wanted * scale); a network may compute only what that follows from."""
        y: Tensor = self(x)
        key: tuple[Any, ...] = (..., *slices(scaled(wanted, self.scale)))
        return y[key]

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, *S) -> (N, K, *S * scale), or (N, K) where it is not dense; S a multiple of `stride`."""
        raise NotImplementedError


def oriented(x: Tensor, k: int, back: bool = False) -> Tensor:
    """One of eight ways to flip and rotate the plane of images (..., Y, X), and the way back."""
    x = x.transpose(-1, -2) if k & 4 and back else x
    flips = [axis for bit, axis in ((1, -1), (2, -2)) if k & bit]
    x = x.flip(flips) if flips else x
    return x.transpose(-1, -2) if k & 4 and not back else x
