"""A model that needs no training, and images that it predicts exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from napari_dojo.models.bundle import Bundle
from napari_dojo.models.card import Card
from napari_dojo.nets.base import Network


class Bright(Network):
    """A net that knows its task: inside and deep where the normalised image is above a half."""

    stride, receptive_radius, scale, out_channels = (4, 4), (0, 0), (1, 1), 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        last = x[:, -1:]
        return torch.cat([20 * (last - 0.5), (last > 0.5).float()], 1)


def bright(**more: Any) -> Bundle:
    """Finds what is bright in the last channel; ``more`` are values of its card."""
    about = {
        "name": "bright", "task": "instances", "options": {"diameter": 8.0}, "decoding": {"minimum_area": 5.0},
        "net": "unet", "net_options": {}, "axes": "YX", "spatial": "YX", "channels": 1, "maps": ("inside", "depth"),
    }  # fmt: skip
    return Bundle(Card(**{**about, **more}), Bright().eval())  # type: ignore[arg-type]


def squares(n: int) -> np.ndarray:
    """So many bright squares of 8 x 8 px, at most 3."""
    x = np.full((48, 52), 100, np.uint16)
    for k in range(n):
        x[4 + 12 * k : 12 + 12 * k, 4 + 16 * k : 12 + 16 * k] = 900
    return x
