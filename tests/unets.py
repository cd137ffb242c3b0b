"""Small U-Nets of all kinds, as after training."""

from __future__ import annotations

import torch

from napari_dojo.nets.unet import UNet

KINDS = {
    "2-D, stem": {"stem": (2, 2), "pools": ((2, 2), (2, 2)), "width": 8},
    "2-D, pixels": {"stem": (1, 1), "pools": ((2, 2),), "width": 8},
    "2-D, no pools": {"stem": (2, 2), "pools": (), "width": 8},
    "3-D, flat": {"stem": (1, 2, 2), "pools": ((2, 2, 2),), "width": 8},
    "uneven": {"stem": (2, 1), "pools": ((1, 2), (2, 2)), "width": 8},
    "no norm": {"stem": (2, 2), "pools": ((2, 2),), "width": 8, "norm": False},
    "smooth": {"stem": (2, 2), "pools": ((2, 2), (2, 2)), "width": 8, "norm": False, "smooth": True},
    "smooth, 3-D": {"stem": (1, 2, 2), "pools": ((2, 2, 2),), "width": 8, "smooth": True},
}


def net(kind, **more):
    torch.manual_seed(0)
    made = UNet(**(KINDS[kind] | more))
    for values in made.parameters():
        if not values.any():  # as after training: what begins as nothing
            torch.nn.init.normal_(values, 0, 0.2)
    for m in made.modules():  # and statistics that are not 0 and 1
        if hasattr(m, "running_mean"):
            m.running_mean.normal_(0, 0.2)
            m.running_var.uniform_(0.5, 2)
            m.weight.data.uniform_(0.5, 1.5)
            m.bias.data.normal_(0.2, 0.2)
    return made.eval()
