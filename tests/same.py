"""A model that needs no training and gives back its first channel."""

from __future__ import annotations

from typing import Any

from napari_dojo.models.bundle import Bundle
from napari_dojo.models.card import Card
from napari_dojo.nets import build


def same(name: str = "same", task: str = "denoise", channels: int = 1, **more: Any) -> Bundle:
    """``more`` are values of its card."""
    options = {"stem": [1, 1], "pools": [], "width": 8, "direct": [0], "norm": False, **more.pop("net_options", {})}
    about = {
        "name": name, "task": task, "options": {}, "decoding": {}, "net": "unet", "net_options": options,
        "axes": "YX", "spatial": "YX", "channels": channels, "maps": ("image 1",),
    }  # fmt: skip
    net = build("unet", in_channels=channels, out_channels=1, **options)
    return Bundle(Card(**{**about, **more}), net.eval())
