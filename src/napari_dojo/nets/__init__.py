"""The networks, by the name that a model file holds, and their losses. Nothing but torch."""

from napari_dojo.nets.build import NETS, build
from napari_dojo.nets.unet import UNet

__all__ = ["NETS", "UNet", "build", "losses", "unet"]
