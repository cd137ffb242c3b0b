"""The optimizer: which weights turn, how, and that nothing is lost."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch

from napari_dojo.nets.unet import UNet
from napari_dojo.training.optimizer import Optimizer, orthogonal

CPU = torch.device("cpu")
ONE, YES, NO = torch.ones(()), torch.tensor(True), torch.tensor(False)


def net(seed=0, dims=2):
    torch.manual_seed(seed)
    return UNet(1, 3, (2,) * dims, ((2,) * dims,), 16)


def with_gradients(found, seed=0):
    torch.manual_seed(seed)
    for values in found.parameters():
        values.grad = torch.randn_like(values)
    return found


@pytest.mark.parametrize("shape", [(2, 16, 144), (1, 24, 24), (1, 40, 20)])
def test_all_directions_of_an_orthogonal_step_are_alike(shape):
    torch.manual_seed(0)
    matrices = torch.randn(shape) * torch.logspace(-1, 0, shape[1])[:, None]
    found = torch.linalg.svdvals(orthogonal(matrices))
    assert found.min() > 0.6
    assert found.max() < 1.3
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    assert 0.7 < float(((left @ right) * orthogonal(matrices)).sum((1, 2)).mean()) / min(shape[1:]) < 1.1


@torch.no_grad()
def adamw(values, state, k, rate=1e-2, decay=1e-3):
    """Step ``k`` as in Loshchilov & Hutter 2019, algorithm 2 (torch.optim would load torch's compiler)."""
    state[0] = 0.9 * state[0] + 0.1 * values.grad
    state[1] = 0.999 * state[1] + 0.001 * values.grad**2
    step = state[0] / (1 - 0.9**k) / ((state[1] / (1 - 0.999**k)).sqrt() + 1e-8)
    values -= rate * (step + decay * values)


@pytest.mark.parametrize("fused", [("cpu",), ()])
def test_kernels_between_hidden_maps_turn_and_all_else_is_left_to_adamw(monkeypatch, fused):
    monkeypatch.setattr("napari_dojo.training.optimizer.FUSED", fused)
    one, twin = net(), net()
    optimizer, kept = Optimizer(one, 1e-2, CPU), [[torch.zeros_like(p)] * 2 for p in twin.parameters()]
    for k in range(3):
        with_gradients(one, k), with_gradients(twin, k)
        optimizer.step(ONE, YES)
        for values, state in zip(twin.parameters(), kept, strict=True):
            adamw(values, state, k + 1)
    alike = {n for (n, a), b in zip(one.named_parameters(), twin.parameters(), strict=True) if torch.allclose(a, b)}
    turned = {n for n, p in one.named_parameters() if p.ndim == 4 and p.shape[-1] == 3 and p.shape[1] >= 16}
    assert turned
    assert alike == {n for n, _ in one.named_parameters()} - turned


@pytest.mark.parametrize("dims", [2, 3])
def test_a_step_has_the_size_of_adams(dims):
    found = with_gradients(net(dims=dims))
    before = deepcopy(found)
    Optimizer(found, 1e-2, CPU).step(ONE, YES)
    kernel, old = found.down[1].body[3].weight, before.down[1].body[3].weight
    assert (kernel - old).detach().square().mean().sqrt().item() == pytest.approx(4 * 0.2e-2, rel=0.2)


def test_the_scale_of_the_gradients_matters_to_no_kernel():
    one, other = with_gradients(net()), with_gradients(net())
    Optimizer(one, 1e-2, CPU).step(ONE, YES)
    Optimizer(other, 1e-2, CPU).step(torch.tensor(100.0), YES)
    torch.testing.assert_close(one.down[1].body[0].weight, other.down[1].body[0].weight, rtol=1e-3, atol=1e-5)


def test_no_step_where_the_gradients_are_not_fine():
    found = with_gradients(net())
    for values in found.parameters():
        values.grad = values.grad * torch.nan
    before, optimizer = deepcopy(found), Optimizer(found, 1e-2, CPU)
    optimizer.step(ONE, NO)
    assert all(torch.equal(a, b) for a, b in zip(found.parameters(), before.parameters(), strict=True))
    with_gradients(found)
    optimizer.step(ONE, YES)
    assert all(p.isfinite().all() for p in found.parameters())


def test_resumed_steps_are_those_of_one_run():
    straight, first = net(), net()
    a, b = Optimizer(straight, 1e-2, CPU), Optimizer(first, 1e-2, CPU)
    for seed in range(2):
        with_gradients(straight, seed), with_gradients(first, seed)
        a.step(ONE, YES), b.step(ONE, YES)
    second = deepcopy(first)
    c = Optimizer(second, 1e-2, CPU)
    c.load_state_dict(deepcopy(b.state_dict()))
    with_gradients(straight, 2), with_gradients(second, 2)
    a.step(ONE, YES), c.step(ONE, YES)
    for x, y in zip(straight.parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(x, y)


def test_a_higher_rate_makes_larger_steps():
    found = with_gradients(net())
    before, optimizer = deepcopy(found), Optimizer(found, 1e-2, CPU)
    optimizer.set_rate(2e-2)
    optimizer.step(ONE, YES)
    kernel, old = found.down[1].body[3].weight, before.down[1].body[3].weight
    assert (kernel - old).detach().square().mean().sqrt().item() == pytest.approx(8 * 0.2e-2, rel=0.2)


def test_without_batch_norm_steps_are_half_as_large():
    torch.manual_seed(0)
    found = with_gradients(UNet(1, 1, (2, 2), ((2, 2),), 16, norm=False))
    before = deepcopy(found)
    Optimizer(found, 1e-2, CPU).step(ONE, YES)
    kernel, old = found.down[1].body[3].weight, before.down[1].body[3].weight
    assert (kernel - old).detach().square().mean().sqrt().item() == pytest.approx(2 * 0.2e-2, rel=0.2)
