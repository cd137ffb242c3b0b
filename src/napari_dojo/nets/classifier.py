"""A residual network that says what a whole image shows (He et al. 2015, arXiv:1512.03385), in 2-D and 3-D."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn

from napari_dojo.nets import geometry
from napari_dojo.nets.base import Network, oriented
from napari_dojo.nets.geometry import POOLS, STEM
from napari_dojo.nets.unet import CONV, Block, fold, pool

__all__ = ["Classifier"]

LARGEST = 1024  # px; images are padded to multiples of the stride


class Classifier(Network):
    """Levels of residual blocks, each coarser than the one before; mean and largest value of each map; one linear layer.

    (N, C, *S) -> logits (N, K). As the pooling is global, it takes images of any size that is a multiple of its stride;
    it was trained on images of ``size``.

    Parameters
    ----------
    in_channels, out_channels : C and K.
    stem : pixels that one cell of the finest level covers, for each spatial axis; (1, 1) works on the pixels.
    pools : by how much each further level is coarser, for each spatial axis.
    width : feature maps of the finest level; ``growth`` : their factor from level to level.
    size, padded : see `napari_dojo.nets.base.Network`.
    dropout : share of the pooled values that are left out in training.
    orientations : after training, logits are the mean over this many flipped and rotated versions of an image, 1 to 8; at most
        4, without rotations, where the steps along Y and X differ.
    """

    dense = False

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 2,
        stem: Sequence[int] = STEM,
        pools: Sequence[Sequence[int]] = POOLS,
        width: int = 32,
        growth: float = 1.5,
        size: Sequence[int] = (),
        padded: bool = True,
        dropout: float = 0.2,
        orientations: int = 1,
    ) -> None:
        super().__init__()
        self.stem = tuple(int(s) for s in stem)
        self.pools = tuple(tuple(int(p) for p in step) for step in pools)
        self.size, self.padded = tuple(int(n) for n in size), bool(padded)
        self.out_channels, self.scale = int(out_channels), (1,) * len(self.stem)
        dims = len(self.stem)
        steps = [*self.stem, *(p for step in self.pools for p in step)]
        if dims not in CONV or len(self.pools) > 12 or any(len(step) != dims for step in self.pools):
            raise ValueError("stem and pools need 2 or 3 steps each")
        if not all(1 <= s <= 16 for s in steps) or max(self.stride) > LARGEST:
            raise ValueError("stem and pools need steps of 1 to 16 pixels")
        if self.size and (len(self.size) != dims or not all(1 <= n <= 4096 for n in self.size)):
            raise ValueError(f"size {self.size}")
        if min(in_channels, out_channels, width) < 1 or not 0 < growth <= 8 or not 0 <= dropout < 1:
            raise ValueError(f"{in_channels} to {out_channels} channels, width {width}, growth {growth}")
        if not 1 <= orientations <= 8:
            raise ValueError(f"{orientations} orientations of images")
        self.orientations = min(int(orientations), 8 if self.stride[-1] == self.stride[-2] else 4)
        widths = [max(8, round(width * growth**i / 8) * 8) for i in range(len(self.pools) + 1)]
        inputs = [in_channels * prod(self.stem), *widths[:-1]]
        self.down = nn.ModuleList(Block(dims, i, o) for i, o in zip(inputs, widths, strict=True))
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(2 * widths[-1], self.out_channels)

    @property
    def stride(self) -> tuple[int, ...]:
        """Image sizes must be multiples of this, for each spatial axis."""
        return geometry.stride(self.stem, self.pools)

    @property
    def receptive_radius(self) -> tuple[int, ...]:
        """How far, in pixels, a value of the coarsest level depends on the image; the logits depend on all of it."""
        return geometry.receptive_radius(self.stem, self.pools)

    def sharpen(self, factor: float) -> None:
        """Multiply the logits by a factor: above 1 the probabilities get closer to 0 and 1."""
        with torch.no_grad():
            for values in self.head.parameters():
                values.mul_(factor)

    def features(self, x: Tensor) -> Tensor:
        """What the last layer decides by: (N, C, *S) -> (N, F)."""
        x = fold(x, self.stem)
        for i, block in enumerate(self.down):
            x = block(x if i == 0 else pool(x, self.pools[i - 1]))
        flat = x.flatten(2)
        return torch.cat([flat.mean(2), flat.amax(2)], 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, *S) -> logits (N, K)."""
        if self.training or self.orientations == 1:
            return self._logits(x)
        return torch.stack([self._logits(oriented(x, k)) for k in range(self.orientations)]).mean(0)

    def _logits(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.drop(self.features(x)))
        return out
