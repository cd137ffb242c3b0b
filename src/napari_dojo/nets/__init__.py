"""The networks, by the name that a model file holds, and their losses. Nothing but torch, which loads with the first net."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_dojo.nets.base import Network
    from napari_dojo.nets.classifier import Classifier
    from napari_dojo.nets.registry import NETS, build
    from napari_dojo.nets.unet import UNet

__all__ = [
    "NETS",
    "Classifier",
    "Network",
    "UNet",
    "base",
    "build",
    "classifier",
    "geometry",
    "losses",
    "pooled",
    "staged",
    "unet",
]

LATER = {"Classifier": "classifier", "NETS": "registry", "Network": "base", "UNet": "unet", "build": "registry"}


def __getattr__(name: str) -> Any:
    """What needs torch, loaded when it is asked for: sizes are known without it."""
    if name not in LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{LATER[name]}"), name)
