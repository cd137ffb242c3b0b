"""A look inside a network: the feature maps are those of its levels, kernels are in pixels, the influence is local."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from napari_dojo.inference.inside import look
from napari_dojo.nets import UNet
from napari_dojo.nets.base import Network
from napari_dojo.nets.geometry import field_words
from napari_dojo.nets.unet import fold, pool


@pytest.fixture(scope="module")
def net() -> UNet:
    torch.manual_seed(0)
    return UNet(2, 3, width=8, pools=((2, 2), (2, 2))).eval()


def test_stages_are_the_levels_with_their_maps(net: UNet) -> None:
    x = np.random.default_rng(0).normal(size=(2, 40, 45)).astype(np.float32)
    found = look(net, x)
    assert [s.name for s in found.stages] == ["down 1", "down 2", "down 3", "up 2", "up 1"]
    assert [s.maps for s in found.stages] == [8, 16, 16, 16, 8]
    assert [s.cell for s in found.stages] == [(2, 2), (4, 4), (8, 8), (4, 4), (2, 2)]
    assert [m.shape for m in found.maps] == [(8, 20, 23), (16, 10, 12), (16, 5, 6), (16, 10, 12), (8, 20, 23)]
    assert found.stages[0].parameters == sum(p.numel() for p in net.down[0].parameters())
    with torch.no_grad():
        first = net.down[0](fold(torch.from_numpy(np.pad(x, ((0, 0), (0, 0), (0, 3)), mode="reflect"))[None], (2, 2)))
        second = net.down[1](pool(first, (2, 2)))
    np.testing.assert_allclose(found.maps[0], first[0, :, :, :23], atol=1e-6)
    np.testing.assert_allclose(found.maps[1], second[0, :, :, :12], atol=1e-6)


def test_kernels_are_unfolded_to_pixels(net: UNet) -> None:
    """The first convolution of the folded image is one of the image itself, with a step of a cell."""
    x = torch.from_numpy(np.random.default_rng(1).normal(size=(1, 2, 16, 16)).astype(np.float32))
    kernels = look(net, x[0].numpy()).kernels
    assert kernels.shape == (8, 2, 6, 6)
    with torch.no_grad():
        wanted = net.down[0].body[0](fold(x, (2, 2)))
        got = nn.functional.conv2d(x, torch.from_numpy(kernels), stride=2, padding=2)
    np.testing.assert_allclose(got, wanted, atol=1e-5)


def test_the_influence_lies_within_the_receptive_field(net: UNet) -> None:
    x = np.random.default_rng(2).normal(size=(2, 128, 128)).astype(np.float32)
    effective = look(net, x).effective
    assert all(0 < e <= r for e, r in zip(effective, net.receptive_radius, strict=True))


def test_a_network_of_one_convolution_sees_its_kernel_alone() -> None:
    class One(Network):
        scale = (1, 1)
        stride = (1, 1)  # type: ignore[assignment]

        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 4, 3, padding=1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(x)

    found = look(One(), np.random.default_rng(3).normal(size=(1, 9, 9)).astype(np.float32))
    assert found.effective == (1, 1)
    assert [(s.name, s.maps, s.cell) for s in found.stages] == [("layer 1", 4, (1, 1))]


def test_volumes() -> None:
    net = UNet(1, 1, stem=(1, 2, 2), pools=((1, 2, 2),), width=8).eval()
    found = look(net, np.random.default_rng(4).normal(size=(1, 5, 16, 16)).astype(np.float32))
    assert [s.cell for s in found.stages] == [(1, 2, 2), (1, 4, 4), (1, 2, 2)]
    assert found.kernels.shape == (8, 1, 3, 6, 6)


def test_the_field_in_words() -> None:
    assert field_words({}) == "4 levels, receptive field 209 x 209 px"
    assert field_words({"stem": [1, 1], "pools": [[2, 2]]}).startswith("2 levels, ")
