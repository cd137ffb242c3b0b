from __future__ import annotations

import math
import time
from copy import deepcopy
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from napari_dojo.data.augment import Intensity
from napari_dojo.data.batches import Batches, Patches, Source
from napari_dojo.data.dataset import Sample
from napari_dojo.data.kinds import LABELS
from napari_dojo.data.normalize import Normalization
from napari_dojo.data.split import Crop
from napari_dojo.device import Device, choose, cores, is_out_of_memory, prepare
from napari_dojo.errors import DojoError
from napari_dojo.events import Control, Message, Step, Validated
from napari_dojo.nets.losses import binary_cross_entropy
from napari_dojo.nets.unet import UNet
from napari_dojo.training.learner import Learner
from napari_dojo.training.loop import Budget, Work, _Checks, fit

CPU = Device("cpu", "CPU", 10**9, 1)


def record(y, region):
    return (y > 0)[None].astype(np.uint8)


def targets(crops, random):
    return crops.x, crops.record.float(), torch.ones_like(crops.x)


def batches(seed=0, start=0, batch=4, intensity=None):
    rng = np.random.default_rng(5)
    y = np.kron(rng.integers(0, 2, (6, 6)), np.ones((8, 8), int))
    x = (y + rng.normal(0, 0.1, y.shape)).astype(np.float32)
    source = Source.of(Sample("a", x[None], y), Crop(0, ((0, 48), (0, 48))), Normalization((0.0,), (1.0,)), LABELS)
    return Batches([source], Patches((16, 16), record, targets, intensity), batch, seed, start)


def learner(seed=0, rate=3e-2):
    torch.manual_seed(seed)
    made = Learner(UNet(1, 1, (1, 1), ((2, 2),), 8), CPU, rate)
    made.lowered = False  # no trial steps
    return made


def loss(out, target, weight):
    return binary_cross_entropy(out, target, weight)


class Judge:
    """Checks with given headlines (else the step), and what was kept."""

    def __init__(self, values=()):
        self.values, self.checked, self.kept = list(values), [], []

    def check(self, net, step, train_loss):
        self.checked.append((step, train_loss, net.training))
        value = self.values.pop(0) if self.values else float(step)
        return Validated(step, train_loss, None, {"value": value}, {}), value

    def keep(self, learner, better):
        self.kept.append((learner.step, better))


def run(
    judge=None,
    steps=20,
    who=None,
    many=None,
    control=None,
    seed=0,
    fn=loss,
    intensity=None,
    listen=None,
    began=None,
    **budget,
):
    judge, who = judge or Judge(), who or learner()
    said = []
    work = Work(many or batches(seed, who.step, intensity=intensity), fn, judge.check, judge.keep)
    limits = Budget(time.monotonic() if began is None else began, **(budget or {"steps": steps}))
    for event in fit(who, work, limits, control or Control()):
        said.append(event)
        if listen:
            listen(event)
    return said, who


def weights(who):
    return torch.cat([p.detach().flatten() for p in who.net.parameters()])


def test_the_loss_decreases_and_the_steps_are_counted():
    said, who = run(steps=40)
    steps = [e for e in said if isinstance(e, Step)]
    assert [e.step for e in steps] == list(range(1, 41))
    assert {e.steps for e in steps} == {40}
    assert np.mean([e.loss for e in steps[-5:]]) < 0.5 * steps[0].loss
    assert steps[-1].seconds_left == 0
    assert who.step == 40
    assert isinstance(said[-1], Validated)
    assert said[-1].step == 40


def test_the_rate_warms_up_and_cools_down():
    rates = [e.rate for e in run(steps=40)[0] if isinstance(e, Step)]
    assert rates[0] == pytest.approx(1.5e-2, rel=0.05)
    assert max(rates) == pytest.approx(3e-2, rel=0.05)
    assert rates[-1] < 1e-3
    assert np.argmax(rates) < 5


def test_the_same_seed_gives_the_same_weights():
    a, b = (weights(run(steps=6, intensity=Intensity())[1]) for _ in range(2))
    assert torch.equal(a, b)
    assert not torch.equal(a, weights(run(steps=6, intensity=Intensity(), seed=1)[1]))


def test_the_average_follows_the_weights():
    who = run(steps=30)[1]
    near = torch.cat([p.flatten() for p in who.average.parameters()])
    start = weights(learner())
    assert 0 < (near - weights(who)).norm() < 0.5 * (start - weights(who)).norm()
    assert not who.average.training
    assert not any(p.requires_grad for p in who.average.parameters())


def test_checks_come_on_the_way_and_the_better_ones_are_kept():
    judge = Judge([1, 3, 2, 3, 5, 4])
    run(judge, steps=30)
    assert [s for s, *_ in judge.checked] == list(range(3, 31, 3))
    assert not any(training for *_, training in judge.checked)
    assert judge.kept[:6] == [(3, True), (6, True), (9, False), (12, True), (15, True), (18, False)]


@pytest.mark.parametrize(("took", "next_one"), [(0.5, 4.0), (4.0, 12.0)])
def test_a_slow_first_check_does_not_put_off_the_next_for_long(took, next_one):
    who = learner()
    checks = _Checks(who, Budget(time.monotonic(), minutes=1.2))
    assert not checks.due(2.0)
    assert checks.due(3.5)
    checks.took(took, 10.0)
    due = [t / 10 for t in range(600) if checks.due(10.0 + t / 10)]
    assert due[0] == pytest.approx(next_one, abs=0.1)
    assert who.check_seconds == took


def test_stop_ends_and_keeps():
    control, judge = Control(), Judge()
    said, who = run(judge, 1000, control=control, listen=lambda e: setattr(control, "stop", e.step >= 3))
    assert who.step == 3
    assert judge.kept == [(3, True)]
    assert [type(e) for e in said] == [Step] * 3


def test_stop_after_a_worse_check_keeps_the_older_model():
    control, judge = Control(), Judge([5, 1])

    def listen(event):
        control.stop = isinstance(event, Step) and event.step == 9

    run(judge, 40, control=control, listen=listen)
    assert judge.kept == [(4, True), (8, False), (9, False)]


def test_a_resumed_run_is_the_uninterrupted_one(tmp_path):
    whole = run(steps=12)[1]
    control, first = Control(), learner()
    run(steps=12, who=first, control=control, listen=lambda e: setattr(control, "stop", e.step >= 6))
    torch.save(first.state(), tmp_path / "state.pt")
    second = learner(seed=9, rate=1.0)
    second.load(torch.load(tmp_path / "state.pt", weights_only=True))
    assert (second.step, second.best, second.seconds) == (6, first.best, first.seconds)
    said, _ = run(steps=12, who=second)
    assert [e.step for e in said if isinstance(e, Step)] == list(range(7, 13))
    assert second.step == 12
    assert second.seconds > first.seconds
    torch.testing.assert_close(weights(second), weights(whole), rtol=1e-5, atol=1e-7)


def test_state_is_plain():
    state = run(steps=2)[1].state()
    assert set(state) == {"net", "average", "optimizer", *Learner.kept}
    other = learner(3)
    other.load(deepcopy(state))
    torch.testing.assert_close(other.net.state_dict(), state["net"])


def small_memory(limit):
    def fn(out, target, weight):
        if len(out) > limit:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return loss(out, target, weight)

    return fn


def test_out_of_memory_halves_the_batch_size_and_continues():
    many = batches(batch=8)
    said, who = run(steps=10, many=many, fn=small_memory(2))
    assert [e.text for e in said if isinstance(e, Message)] == [
        f"Not enough memory. Continuing with batch size {n}." for n in (4, 2)
    ]
    assert many.batch == 2
    assert who.step == 10


def test_not_even_one_piece_fits():
    with pytest.raises(MemoryError, match="not even batch size 1"):
        run(many=batches(batch=4), fn=small_memory(0))


def test_another_error_is_not_taken_for_memory():
    def broken(out, target, weight):
        raise RuntimeError("sizes differ")

    with pytest.raises(RuntimeError, match="sizes differ"):
        run(fn=broken)


def test_a_loss_that_is_not_a_number_is_left_out():
    calls = []

    def fn(out, target, weight):
        calls.append(len(calls))
        return loss(out, target, weight) * (math.nan if 3 <= calls[-1] < 8 else 1)

    said, who = run(steps=10, fn=fn)
    assert who.step == 10
    assert len(calls) == 15
    assert all(math.isfinite(e.loss) for e in said if isinstance(e, Step))
    assert torch.isfinite(weights(who)).all()
    with pytest.raises(DojoError, match="20 times"):
        run(fn=lambda out, target, weight: out.sum() * math.nan)


@pytest.fixture
def clock(monkeypatch):
    """Each look at the clock takes 20 ms; ``clock[0]`` is the time, in seconds."""
    now = [0.0]

    def look():
        now[0] += 0.02
        return now[0]

    monkeypatch.setattr("napari_dojo.training.loop.time", SimpleNamespace(monotonic=look))
    return now


def test_minutes_are_kept(clock):
    judge = Judge()
    said, who = run(judge, minutes=5 / 60, reserve=0.3, steps=None, began=0.0)
    assert 4.2 < clock[0] < 5
    assert who.step > 5
    assert isinstance(said[-1], Validated)
    assert said[-1].step == who.step
    assert said[0].seconds_left < 5


def test_a_budget_that_is_spent_already_makes_one_step():
    judge = Judge()
    _, who = run(judge, minutes=0.001, reserve=2.0, steps=None)
    assert (who.step, judge.kept) == (1, [(1, True)])


def test_a_pause_does_not_count(clock):
    def listen(event):
        clock[0] += 100 * (event.step == 1)

    assert run(steps=3, began=0.0, listen=listen)[1].seconds < 1


def test_device():
    assert choose("cpu").kind == "cpu"
    assert choose().memory > 0
    assert cores() >= 1
    assert prepare(Device("cpu", "CPU", 1, torch.get_num_threads())) == torch.device("cpu")
    if not torch.backends.mps.is_available():
        with pytest.raises(DojoError, match="'mps' is not available"):
            choose("mps")


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (torch.OutOfMemoryError("x"), True),
        (MemoryError(), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate"), True),
        (RuntimeError("shapes"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_is_out_of_memory(error, wanted):
    assert is_out_of_memory(error) is wanted


@pytest.mark.parametrize("first", [0, 5])
def test_targets_are_renewed_at_their_shares(first):
    renewed, one, judge = [], learner(), Judge()
    one.step = first
    parts = batches(start=first), loss, judge.check, judge.keep
    work = Work(*parts, lambda net: renewed.append((net is one.average, one.step)), (0.6, 0.2))
    list(fit(one, work, Budget(time.monotonic(), steps=10), Control()))
    assert renewed == [(True, step) for step in (2, 6) if step > first]
