"""What a network computes on the way: its kernels, the feature maps of each level, and how far it sees."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from napari_dojo.inference.tiles import padded
from napari_dojo.nets import Network

__all__ = ["Inside", "Stage", "influence", "look"]

SHARE = 0.95  # of the influence on a pixel, that lies in the effective receptive field
BRIGHT = 99.8  # percentile of the values of a level that is shown as the brightest


@dataclass(frozen=True)
class Stage:
    """One level of a network on the way down or up.

    Attributes
    ----------
    name : such as "down 1"; of a network without levels, that of the layer.
    level : from 0, the finest.
    maps : feature maps.
    cell : pixels of the image that one value covers, for each spatial axis.
    parameters : weights and biases.
    bright : the size of a value that hardly one of its feature maps exceeds.
    """

    name: str
    level: int
    maps: int
    cell: tuple[float, ...]
    parameters: int
    bright: float


@dataclass(frozen=True, eq=False)
class Inside:
    """What a network makes of an image.

    Attributes
    ----------
    stages, maps : the levels, and the feature maps of each, (maps, *S of the level).
    kernels : of the first layer in pixels of the image, (maps, C, *K).
    effective : how far, in pixels, 95 % of the influence on the middle pixel lie away from it, for each spatial axis.
    """

    stages: tuple[Stage, ...]
    maps: tuple[NDArray[np.float32], ...]
    kernels: NDArray[np.float32]
    effective: tuple[int, ...]


def look(net: Network, x: NDArray[np.float32]) -> Inside:
    """Apply a network to a normalised image (C, *S), of any size, mirrored at its end as for predictions, and keep what it computes.

    Of a network that looks at several orientations of an image, the first is kept.
    """
    size = x.shape[1:]
    image = torch.from_numpy(padded(np.asarray(x, np.float32), net.stride))[None].requires_grad_()
    kept: dict[str, Any] = {}

    def keep(name: str, out: torch.Tensor) -> None:
        kept.setdefault(name, out.detach()[0].numpy())

    hooks = [module.register_forward_hook(lambda _, __, out, name=n: keep(name, out)) for n, module in _modules(net)]
    try:
        out = net(image)
    finally:
        for hook in hooks:
            hook.remove()
    modules = dict(_modules(net))
    stages, maps = [], []
    for name, values in kept.items():
        cell = tuple(n / v for n, v in zip(image.shape[2:], values.shape[1:], strict=True))
        parameters = sum(p.numel() for p in modules[name].parameters())
        part = tuple(slice(0, int(np.ceil(n / c))) for n, c in zip(size, cell, strict=True))
        maps.append(np.ascontiguousarray(values[(slice(None), *part)], np.float32))
        bright = float(np.nanpercentile(np.abs(maps[-1]), BRIGHT))
        stages.append(Stage(name, _level(name), len(values), cell, parameters, bright))
    return Inside(tuple(stages), tuple(maps), _kernels(net), influence(net, image, out))


def influence(net: Network, image: torch.Tensor, out: torch.Tensor) -> tuple[int, ...]:
    """How far, px, 95 % of the influence on the middle output pixel lie away from it, by the gradient, for each spatial axis.

    Parameters
    ----------
    image : (1, C, *S), which requires its gradient; ``out`` : what the network made of it, (1, K, *S * scale) or (1, K).
    """
    if out.ndim != image.ndim:  # one output for the whole image
        return tuple(n // 2 for n in image.shape[2:])
    middle = tuple(n // 2 for n in out.shape[2:])
    flat = int(np.ravel_multi_index(middle, tuple(out.shape[2:])))
    (slope,) = torch.autograd.grad(out[0].flatten(1)[:, flat].sum(), image)
    strength = slope[0].abs().sum(0)
    found = []
    for axis, (n, scale) in enumerate(zip(image.shape[2:], net.scale, strict=True)):
        others = [i for i in range(strength.ndim) if i != axis]
        along = strength.sum(others) if others else strength
        away = (torch.arange(n) - middle[axis] // scale).abs()
        order = torch.argsort(away)
        share = torch.cumsum(along[order], 0) / along.sum().clamp_min(1e-30)
        found.append(int(away[order][int(torch.searchsorted(share, SHARE).clamp_max(n - 1))]))
    return tuple(found)


def _modules(net: Network) -> Iterator[tuple[str, nn.Module]]:
    """The stages in the order of the data: the levels of a U-Net; of other networks, their convolutions."""
    down, up = getattr(net, "down", None), getattr(net, "up", None)
    if isinstance(down, nn.ModuleList) and isinstance(up, nn.ModuleList):
        yield from ((f"down {i + 1}", block) for i, block in enumerate(down))
        yield from ((f"up {i + 1}", up[i]) for i in reversed(range(len(up))))
        return
    for number, module in enumerate(m for m in net.modules() if isinstance(m, nn.Conv2d | nn.Conv3d)):
        yield f"layer {number + 1}", module


def _level(name: str) -> int:
    return int(name.rpartition(" ")[2]) - 1


def _kernels(net: Network) -> NDArray[np.float32]:
    """The kernels of the first convolution; where a stem has folded pixels into channels, unfolded to pixels again."""
    first = next(m for m in net.modules() if isinstance(m, nn.Conv2d | nn.Conv3d))
    weight = first.weight.detach().numpy()  # (maps, C * stem, *3)
    stem = tuple(getattr(net, "stem", (1,) * (weight.ndim - 2)))
    d, n, size = len(stem), len(weight), weight.shape[2:]
    split = weight.reshape(n, -1, *stem, *size)  # (maps, C, *stem, *3)
    order = [axis for i in range(d) for axis in (2 + d + i, 2 + i)]
    shape = [k * f for k, f in zip(size, stem, strict=True)]
    assert split.shape[1] * prod(stem) == weight.shape[1]
    return np.ascontiguousarray(split.transpose(0, 1, *order).reshape(n, split.shape[1], *shape), np.float32)
