from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from napari_dojo.data.augment import Intensity

NONE = Intensity(0, 0, 0, 0)


def x(*shape):
    return torch.rand(*shape or (8, 2, 6, 6), generator=torch.Generator().manual_seed(0))


def change(strength, images, seed=1):
    return strength(images, torch.Generator().manual_seed(seed))


def test_no_strength_changes_nothing():
    torch.testing.assert_close(change(NONE, x()), x())


def test_the_seed_says_what_comes():
    assert torch.equal(change(Intensity(), x()), change(Intensity(), x()))
    assert not torch.equal(change(Intensity(), x()), change(Intensity(), x(), 2))


def test_the_input_stays():
    images = x()
    change(Intensity(), images)
    assert torch.equal(images, x())


@pytest.mark.parametrize("shape", [(400, 2, 4, 4), (400, 1, 3, 4, 4)])
def test_gain(shape):
    ratio = (change(replace(NONE, gain=0.3), x(*shape)) / x(*shape)).flatten(2)
    torch.testing.assert_close(ratio, ratio[..., :1].expand_as(ratio), rtol=1e-4, atol=1e-5)  # one factor for a channel
    logs = ratio[..., 0].log()
    assert 0.3 < logs.abs().max() < 0.4
    if shape[1] == 2:
        assert 0 < (logs[:, 0] - logs[:, 1]).abs().max() < 0.2


def test_offset():
    added = (change(replace(NONE, offset=0.1), x(400, 2, 4, 4)) - x(400, 2, 4, 4)).flatten(2)
    assert added.std(-1).max() < 1e-6
    assert 0.09 < added.max() < 0.1001
    assert -0.1001 < added.min() < -0.09


def test_gamma_keeps_0_and_1_and_the_order():
    ramp = torch.linspace(-0.2, 1, 13).expand(50, 1, 2, 13)
    y = change(replace(NONE, gamma=0.4), ramp)
    torch.testing.assert_close(y[ramp <= 0], ramp[ramp <= 0])
    torch.testing.assert_close(y[..., -1], torch.ones(50, 1, 2))
    assert (y.diff(dim=-1) > 0).all()
    assert y[..., 7].std() > 0.02


def test_noise():
    added = (change(replace(NONE, noise=0.06), x(200, 1, 32, 32)) - x(200, 1, 32, 32)).flatten(1)
    assert added.mean().abs() < 1e-3
    assert 0.05 < added.std(-1).max() < 0.065
    assert added.std(-1).min() < 0.01
