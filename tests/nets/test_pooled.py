"""Sums over several processes, here two that hold the same: their sum is twice that of one."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import nn

from napari_dojo.nets.losses import binary_cross_entropy, edges, soft_dice
from napari_dojo.nets.pooled import PooledNorm, pool_norms, pooled, total
from napari_dojo.nets.unet import UNet


def twice(value: torch.Tensor) -> torch.Tensor:
    """As if another process had the same."""
    return 2 * value


def test_sums_are_plain_outside() -> None:
    x = torch.arange(24.0).reshape(2, 3, 4)
    assert total(x) == x.sum()
    assert torch.equal(total(x, [0, 2]), x.sum((0, 2)))
    with pooled(twice):
        assert total(x) == 2 * x.sum()
    assert total(x) == x.sum()


@pytest.mark.parametrize("loss", [binary_cross_entropy, soft_dice, edges])
def test_a_loss_is_of_the_batches_of_both(loss) -> None:
    torch.manual_seed(0)
    out, target, weight = (torch.rand(2, 3, 8, 8) for _ in range(3))
    whole = [torch.cat([t, t]) for t in (out, target, weight[:, :1])]
    whole[0].requires_grad_()
    expected = loss(*whole)
    expected.backward()
    mine = out.clone().requires_grad_()
    with pooled(twice):
        found = loss(mine, target, weight[:, :1])
    found.backward()
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)
    # each has the gradient of the sum of two equal losses: their mean over the processes is that of the whole batch
    torch.testing.assert_close(mine.grad / 2, whole[0].grad[:2])


@pytest.mark.parametrize("dims", [2, 3])
def test_batch_norm_is_by_the_whole_batch(dims: int) -> None:
    torch.manual_seed(0)
    norm = (nn.BatchNorm2d if dims == 2 else nn.BatchNorm3d)(4)
    nn.init.normal_(norm.weight)
    alike = deepcopy(norm)
    pool_norms(nn.Sequential(alike), on_gpu=False)
    assert isinstance(alike, PooledNorm)
    x = torch.randn(2, 4, *(6,) * dims) * 3 + 5
    with pooled(twice):
        found = alike(x)
    torch.testing.assert_close(found, norm(torch.cat([x, x]))[:2], atol=1e-4, rtol=1e-4)
    for mine, usual in zip(alike.state_dict().values(), norm.state_dict().values(), strict=True):
        torch.testing.assert_close(mine, usual, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(alike.eval()(x), norm.eval()(x), atol=1e-4, rtol=1e-4)


def test_a_network_keeps_its_parameters_and_their_names() -> None:
    net = UNet(1, 1, (1, 1), ((2, 2),), 8)
    before = dict(net.state_dict())
    after = pool_norms(net, on_gpu=False).state_dict()
    assert list(before) == list(after)
    assert all(before[k] is after[k] or torch.equal(before[k], after[k]) for k in before)
