"""Residual U-Net in 2-D and 3-D (Ronneberger et al. 2015, arXiv:1505.04597; residual as He et al. 2015).

It works on a coarser grid than the image: a stem folds each block of pixels into channels, and the head unfolds them
(Shi et al. 2016, arXiv:1609.05158). On a CPU that makes a step four to five times faster at the same accuracy.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["UNet"]

CONV = {2: nn.Conv2d, 3: nn.Conv3d}
NORM = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


class Block(nn.Module):
    """Two 3 x 3 convolutions and a way around them."""

    def __init__(self, dims: int, inside: int, out: int) -> None:
        super().__init__()
        conv, norm = CONV[dims], NORM[dims]
        self.body = nn.Sequential(
            conv(inside, out, 3, padding=1, bias=False),
            norm(out),
            nn.ReLU(inplace=True),
            conv(out, out, 3, padding=1, bias=False),
            norm(out),
        )
        self.around = nn.Identity() if inside == out else conv(inside, out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inside, *S) -> (N, out, *S)."""
        return F.relu(self.body(x) + self.around(x), inplace=True)


class UNet(nn.Module):
    """Encoder, decoder, and sums of equal size between them.

    Parameters
    ----------
    in_channels, out_channels : C and K.
    stem : pixels that one cell of the finest level covers, for each spatial axis; (1, 1) works on the pixels.
    pools : by how much each further level is coarser, for each spatial axis.
    width : feature maps of the finest level.
    growth : their factor from level to level.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 1,
        stem: Sequence[int] = (2, 2),
        pools: Sequence[Sequence[int]] = ((2, 2), (2, 2), (2, 2)),
        width: int = 32,
        growth: float = 1.5,
    ) -> None:
        super().__init__()
        self.stem = tuple(int(s) for s in stem)
        self.pools = tuple(tuple(int(p) for p in pool) for pool in pools)
        self.out_channels = int(out_channels)
        dims = len(self.stem)
        steps = [*self.stem, *(p for pool in self.pools for p in pool)]
        if (
            dims not in CONV
            or len(self.pools) > 12
            or any(len(pool) != dims for pool in self.pools)
            or not all(1 <= s <= 16 for s in steps)
        ):
            raise ValueError(f"stem {stem} and pools {pools}: 2 or 3 steps each, of 1 to 16 pixels")
        if min(in_channels, out_channels, width) < 1 or not 0 < growth <= 8:
            raise ValueError(f"{in_channels} to {out_channels} channels, width {width}, growth {growth}")
        conv = CONV[dims]
        widths = [max(8, round(width * growth**i / 8) * 8) for i in range(len(self.pools) + 1)]
        inputs = [in_channels * prod(self.stem), *widths[:-1]]
        self.down = nn.ModuleList(Block(dims, i, o) for i, o in zip(inputs, widths, strict=True))
        self.narrow = nn.ModuleList(conv(b, a, 1) for a, b in pairwise(widths))
        self.up = nn.ModuleList(Block(dims, w, w) for w in widths[:-1])
        self.head = conv(widths[0], out_channels * prod(self.stem), 1)
        with (
            torch.no_grad()
        ):  # the pixels of a cell begin alike, so that no checkerboard has to be unlearned (arXiv:1707.02937)
            for values in self.head.parameters():
                values.copy_(values[:: prod(self.stem)].repeat_interleave(prod(self.stem), 0))

    @property
    def stride(self) -> tuple[int, ...]:
        """Image sizes must be multiples of this, for each spatial axis."""
        return tuple(prod(steps) for steps in zip(self.stem, *self.pools, strict=True))

    @property
    def reach(self) -> tuple[int, ...]:
        """How far, in pixels, an output pixel sees (an upper bound), for each spatial axis."""
        far = []
        for a in range(len(self.stem)):
            cells = [self.stem[a]]
            for pool in self.pools:
                cells.append(cells[-1] * pool[a])
            # two convolutions down and two up at each level but the coarsest, and the place inside a coarse cell
            far.append(4 * sum(cells[:-1]) + 2 * cells[-1] + cells[-1])
        return tuple(far)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, *S) -> (N, K, *S); S a multiple of `stride`."""
        x = fold(x, self.stem)
        skips = []
        for i, block in enumerate(self.down):
            x = block(x if i == 0 else pool(x, self.pools[i - 1]))
            skips.append(x)
        for i in reversed(range(len(self.up))):
            x = F.interpolate(self.narrow[i](x), scale_factor=[float(p) for p in self.pools[i]], mode="nearest")
            x = self.up[i](x + skips[i])
        return unfold(self.head(x), self.stem)


def pool(x: Tensor, size: tuple[int, ...]) -> Tensor:
    """Largest value of each cell."""
    return F.max_pool2d(x, size) if len(size) == 2 else F.max_pool3d(x, size)


def fold(x: Tensor, cell: tuple[int, ...]) -> Tensor:
    """(N, C, *S) -> (N, C * prod(cell), *S / cell): the pixels of a cell become channels."""
    if prod(cell) == 1:
        return x
    n, c, *size = x.shape
    split = [v for s, f in zip(size, cell, strict=True) for v in (s // f, f)]
    x = x.reshape(n, c, *split)  # (N, C, S0/f0, f0, S1/f1, f1, ...)
    d = len(cell)
    x = x.permute(0, 1, *range(3, 3 + 2 * d, 2), *range(2, 2 + 2 * d, 2))
    return x.reshape(n, c * prod(cell), *[s // f for s, f in zip(size, cell, strict=True)])


def unfold(x: Tensor, cell: tuple[int, ...]) -> Tensor:
    """The inverse of `fold`."""
    if prod(cell) == 1:
        return x
    n, c, *size = x.shape
    d = len(cell)
    x = x.reshape(n, c // prod(cell), *cell, *size)
    order = [axis for i in range(d) for axis in (2 + d + i, 2 + i)]
    return x.permute(0, 1, *order).reshape(n, c // prod(cell), *[s * f for s, f in zip(size, cell, strict=True)])


def fuse(net: nn.Module) -> nn.Module:
    """The same net in evaluation with each batch norm folded into the convolution before it; the net is changed."""
    for child in net.modules():
        if isinstance(child, nn.Sequential):
            for i in range(len(child) - 1):
                conv, norm = child[i], child[i + 1]
                if isinstance(conv, nn.Conv2d | nn.Conv3d) and isinstance(norm, nn.BatchNorm2d | nn.BatchNorm3d):
                    child[i] = torch.nn.utils.fusion.fuse_conv_bn_eval(conv, norm)
                    child[i + 1] = nn.Identity()
    return net
