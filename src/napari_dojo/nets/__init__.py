"""The nets, by the name that a model file holds. Nothing but these is ever built from a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from napari_dojo.errors import DojoError
from napari_dojo.nets.unet import UNet

if TYPE_CHECKING:
    from torch import nn

__all__ = ["NETS", "UNet", "build"]

NETS = {"unet": UNet}


def build(name: str, **kwargs: Any) -> nn.Module:
    """The net of this name; DojoError where it is unknown or its arguments do not fit."""
    if name not in NETS:
        raise DojoError(f"The model needs a net called {name!r}, which this version does not have; it has {', '.join(NETS)}.")
    try:
        return NETS[name](**_plain(kwargs))
    except (TypeError, ValueError, KeyError, RuntimeError) as e:
        raise DojoError(f"The model's description of its net {name!r} does not fit: {e}.") from e


def _plain(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    return dict(kwargs)
