from __future__ import annotations

import math
from contextlib import nullcontext

import numpy as np
import pytest
import torch

from napari_dojo.data.batches import Batch
from napari_dojo.device import Device
from napari_dojo.nets.unet import UNet
from napari_dojo.training import learner as learner_module
from napari_dojo.training.learner import WARM, Learner, Stepper
from napari_dojo.training.optimizer import Optimizer

CPU = Device("cpu", "CPU", 10**9, 1)
GRAPH = learner_module._Graph


class Zeros:
    """Batches without content."""

    batch = 4

    def __next__(self):
        x = torch.linspace(0, 1, 4 * 256).reshape(4, 1, 16, 16)
        return Batch(x, x, torch.ones_like(x))


def learner(steps=0, dims=2):
    torch.manual_seed(0)
    return Learner(UNet(1, 1, (1,) * dims, ((2,) * dims,), 8), CPU, 1e-2, steps)


def squared(out, target, weight):
    return ((out - target) ** 2 * weight).mean()


def test_a_step_is_that_of_the_optimizer_with_clipped_gradients():
    who, twin = learner(), UNet(1, 1, (1, 1), ((2, 2),), 8)
    twin.load_state_dict(who.net.state_dict())
    other, fine = Optimizer(twin, 1e-2, torch.device("cpu")), torch.tensor(True)
    batch = next(Zeros())
    for _ in range(3):
        loss = who.loss_of(batch, lambda *a: 1e4 * squared(*a), False)
        who.optimizer.zero_grad()
        who.update(loss, 0.1)
        other.zero_grad()
        (1e4 * squared(twin(batch.x), batch.target, batch.weight)).backward()
        assert torch.nn.utils.clip_grad_norm_(twin.parameters(), 5.0) > 5
        other.step(torch.ones(()), fine)
    for a, b in zip(who.net.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_a_loss_that_is_not_a_number_changes_no_weight():
    who = learner()
    before = [p.detach().clone() for p in who.net.parameters()]
    loss = who.loss_of(next(Zeros()), squared, False) * math.nan
    who.update(loss, 0.1)
    assert all(torch.equal(a, b) for a, b in zip(before, who.net.parameters(), strict=True))


@pytest.mark.parametrize(("steps", "weights"), [(0, 1 / 200), (20_000, 1 / 1000)])
def test_the_average_reaches_over_more_steps_where_there_are_more(steps, weights):
    who = learner(steps)
    assert who.share(0) == pytest.approx(9 / 11)
    assert who.share(10**6) == pytest.approx(weights)


@pytest.mark.parametrize("dims", [2, 3])
def test_convolutions_lie_channels_last(dims):
    layout = torch.channels_last if dims == 2 else torch.channels_last_3d
    weights = [p for p in learner(dims=dims).net.parameters() if p.ndim == dims + 2]
    assert all(p.is_contiguous(memory_format=layout) for p in weights)


@pytest.mark.parametrize(("full", "low", "wanted"), [(0.2, 0.1, True), (0.2, 0.19, False)])
def test_bfloat16_where_it_is_clearly_faster(monkeypatch, full, low, wanted):
    who = learner()
    monkeypatch.setattr("napari_dojo.training.learner.LITTLE", 0)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr(Stepper, "_seconds", lambda self, batch, lowered: low if lowered else full)
    Stepper(who, Zeros(), squared).step(1e-3)
    assert who.lowered is wanted


def test_what_is_small_is_not_left_to_the_clock(monkeypatch):
    who = learner()
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr(Stepper, "_seconds", lambda self, batch, lowered: 1 / 0)
    Stepper(who, Zeros(), squared).step(1e-3)
    assert who.lowered is False


def test_other_processors_do_not_try(monkeypatch):
    who = learner()
    monkeypatch.setattr("napari_dojo.training.learner.LITTLE", 0)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    monkeypatch.setattr(Stepper, "_seconds", lambda self, batch, lowered: 1 / 0)
    Stepper(who, Zeros(), squared).step(1e-3)
    assert who.lowered is False


def test_how_precise_steps_are_is_a_matter_of_the_device_that_goes_on(monkeypatch):
    processor, card = learner(), learner()
    processor.lowered = False
    state = processor.state()
    again = learner()
    again.load(state)
    assert again.lowered is False  # of the same processor, as it was tried
    monkeypatch.setattr(learner_module, "bfloat16", lambda device: True)
    card.load(state)
    assert card.lowered is True
    state = card.state()
    monkeypatch.undo()
    again.load(state)
    assert again.lowered is None  # to be tried


def test_nothing_that_adds_up_gradients_outlives_a_step():
    """It would belong to the stream of that step, and wait for it while another one is recorded as a CUDA graph."""
    who = learner()

    def nodes():
        return [p.view_as(p).grad_fn.next_functions[0][0] for p in who.net.parameters()]

    def marked(*args):
        for node in nodes():
            node.metadata["step"] = 1
        assert all("step" in node.metadata for node in nodes())
        return squared(*args)

    Stepper(who, Zeros(), marked).step(1e-3)
    assert not any("step" in node.metadata for node in nodes())


def test_the_trial_changes_nothing():
    who = learner()
    before = {k: v.clone() for k, v in who.net.state_dict().items()}
    stepper = Stepper(who, Zeros(), squared)
    assert stepper._seconds(next(Zeros()), True) > 0
    torch.testing.assert_close(who.net.state_dict(), before, rtol=0, atol=0)
    assert all(p.grad is None for p in who.net.parameters())


def test_bfloat16_gives_nearly_the_same_loss():
    who, batch = learner(), next(Zeros())
    a, b = (float(who.loss_of(batch, squared, lowered).detach()) for lowered in (False, True))
    assert a == pytest.approx(b, rel=0.02)
    assert a != b


def test_losses_are_counted_when_they_are_read():
    who = learner()
    stepper = Stepper(who, Zeros(), squared)
    for _ in range(3):
        stepper.step(1e-3)
    assert (who.step, stepper.made) == (0, 3)
    last = stepper.read()
    assert (who.step, stepper.made) == (3, 3)
    assert last is not None
    assert np.isfinite(who.loss)
    assert stepper.read() is None


class Drawn(Zeros):
    """The same, whose places are drawn before."""

    forgot, number = 0, 0

    def drawn(self):
        return torch.full((4, 6), float(self.number)), True

    def made(self, where):
        return next(self)

    def forget_graph(self):
        self.forgot += 1


class NoPace:
    def __init__(self, ahead):
        pass

    def keep(self):
        pass


@pytest.fixture
def recording(monkeypatch):
    """Steps as on a CUDA GPU; gives a function that sets the error of the graph."""
    monkeypatch.setattr(Stepper, "_records", True)
    monkeypatch.setattr(learner_module, "Pace", NoPace)

    def fails(error):
        def graph(*args):
            raise error

        monkeypatch.setattr(learner_module, "_Graph", graph)

    return fails


def test_where_steps_cannot_be_recorded_they_are_made_as_before(recording):
    recording(RuntimeError("operation not permitted when stream is capturing\nmore"))
    who, batches = learner(), Drawn()
    stepper = Stepper(who, batches, squared)
    before = [p.detach().clone() for p in who.net.parameters()]
    for _ in range(WARM + 2):
        stepper.step(1e-3)
    assert stepper.unrecorded == "RuntimeError: operation not permitted when stream is capturing"
    assert stepper.made == WARM + 2
    assert batches.forgot == 1
    assert float(who.optimizer.rate) == pytest.approx(1e-3)
    assert not any(torch.equal(a, b) for a, b in zip(before, who.net.parameters(), strict=True))


def test_memory_that_is_short_while_a_step_is_recorded_makes_the_batch_smaller(recording):
    recording(torch.OutOfMemoryError("CUDA out of memory"))
    stepper = Stepper(learner(), Drawn(), squared)
    for _ in range(WARM):
        stepper.step(1e-3)
    with pytest.raises(torch.OutOfMemoryError):
        stepper.step(1e-3)
    assert not stepper.unrecorded


class FakeGraph:
    """Computes nothing when it is replayed."""

    def __init__(self):
        self.generators, self.replayed = [], 0

    def register_generator_state(self, generator):
        self.generators.append(generator)

    def replay(self):
        self.replayed += 1


def test_what_a_recorded_step_reads_changes_from_step_to_step(recording, monkeypatch):
    graph = FakeGraph()
    monkeypatch.setattr(learner_module, "_Graph", GRAPH)
    monkeypatch.setattr(learner_module, "recording", lambda graph: nullcontext())
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: graph)
    who, batches = learner(), Drawn()
    batches.random = torch.Generator()
    stepper = Stepper(who, batches, squared)
    for k in range(WARM + 2):
        batches.number = k
        stepper.step(1e-3 * (k + 1))
    assert (graph.replayed, graph.generators) == (2, [batches.random])
    assert float(who.optimizer.rate) == pytest.approx(1e-3 * (WARM + 2))
    found = stepper._graph
    assert float(found._share) == pytest.approx(who.share(WARM + 1))
    assert (found._where == WARM + 1).all()
    assert stepper.made == WARM + 2
