from __future__ import annotations

import math

import pytest
import torch

from napari_dojo.nets.losses import binary_cross_entropy, cross_entropy, l1, soft_dice

ALL = {
    "binary_cross_entropy": (binary_cross_entropy, 2),
    "cross_entropy": (cross_entropy, 1),
    "l1": (l1, 2),
    "soft_dice": (lambda out, target, weight: soft_dice(out.sigmoid(), target, weight), 2),
}


def batch(maps, dims=2, seed=0):
    g = torch.Generator().manual_seed(seed)
    size = (6,) * dims
    out = torch.randn(3, 2, *size, generator=g)
    target = torch.randint(0, 2, (3, maps, *size), generator=g).float()
    weight = torch.randint(0, 2, (3, 1, *size), generator=g).float()
    return out, target, weight


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dims", [2, 3])
def test_what_has_no_weight_does_not_count(name, dims):
    fn, maps = ALL[name]
    out, target, weight = batch(maps, dims)
    other = torch.where(weight > 0, out, out + 5)
    wrong = torch.where(weight > 0, target, 1 - target)
    assert fn(out, target, weight).item() == pytest.approx(fn(other, wrong, weight).item(), rel=1e-6)


@pytest.mark.parametrize("name", ALL)
def test_no_weight_at_all_is_finite_and_teaches_nothing(name):
    fn, maps = ALL[name]
    out, target, weight = batch(maps)
    out.requires_grad_()
    value = fn(out, target, weight * 0)
    value.backward()
    assert value.item() == 0
    assert not out.grad.any()


def test_by_hand():
    one = torch.ones(1, 1, 1, 2)
    out = torch.tensor([[[[0.0, 2.0]], [[0.0, 0.0]]]])  # (1, 2, 1, 2)
    assert l1(out, torch.zeros_like(out), one).item() == pytest.approx(0.5)
    assert binary_cross_entropy(out[:, 1:], torch.ones(1, 1, 1, 2), one).item() == pytest.approx(math.log(2))
    classes = torch.tensor([[[[1.0, 0.0]]]])
    wanted = (math.log(2) - math.log(math.exp(2) / (math.exp(2) + 1))) / 2
    assert cross_entropy(out, classes, one).item() == pytest.approx(wanted, rel=1e-5)
    half = torch.tensor([[[[1.0, 0.0]]]])
    assert soft_dice(torch.ones(1, 1, 1, 2), half, one).item() == pytest.approx(1 - (2 * 1 + 1) / (3 + 1))


def test_soft_dice_of_the_truth_and_of_an_absent_map_is_0():
    _, target, weight = batch(2)
    assert soft_dice(target, target, weight).item() == pytest.approx(0)
    assert soft_dice(target * 0, target * 0, weight).item() == 0
