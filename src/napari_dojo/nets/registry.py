"""The networks, by the name that a model file holds. Nothing but these is ever built from a file."""

from __future__ import annotations

from typing import Any

import torch

from napari_dojo.errors import DojoError
from napari_dojo.nets.base import Network
from napari_dojo.nets.classifier import Classifier
from napari_dojo.nets.unet import UNet

__all__ = ["NETS", "UNet", "build"]

NETS: dict[str, type[Network]] = {"unet": UNet, "classifier": Classifier}
LARGEST = 500_000_000  # weights


def build(name: str, **kwargs: Any) -> Network:
    """The network of this name; DojoError where it is unknown or its arguments do not fit."""
    if name not in NETS:
        raise DojoError(
            f"The model needs a network called {name!r}, which this version does not have; it has {', '.join(NETS)}."
        )
    try:
        with torch.device("meta"):  # counts the weights without making them
            many = sum(p.numel() for p in NETS[name](**kwargs).parameters())
        net = NETS[name](**kwargs) if many <= LARGEST else None
    except (TypeError, ValueError, KeyError, RuntimeError, OverflowError) as e:
        raise DojoError(f"The model's description of its network {name!r} does not fit: {e}.") from e
    if net is None:
        raise DojoError(f"The model describes a network of unreasonable size ({many} weights) and is refused.")
    return net
