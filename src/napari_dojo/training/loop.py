"""The loop that learns. It yields events, and knows nothing of images, files or windows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from math import cos, isfinite, pi
from typing import Any

import torch
from torch import Tensor, nn

from napari_dojo.data.augment import Intensity
from napari_dojo.data.batches import Batch, Batches
from napari_dojo.device import Device, is_out_of_memory
from napari_dojo.errors import DojoError
from napari_dojo.events import Control, Event, Message, Step, Validated

__all__ = ["Budget", "Learner", "Work", "fit"]

CHECK_SHARE = 0.08  # of the time may go into checks
SELDOM = 0.15  # of the time may pass without one, however slow they are: somebody waits for the picture
KEEP_EVERY = 20.0  # seconds between two saved states
WARM_UP = 50  # steps, or 5 % of them
PAUSE = 0.5  # a consumer that waits longer than this, in seconds, has paused


class Learner:
    """The net, its running average and its optimizer: all that is needed to resume.

    The average of the weights over the last steps is what is judged and saved (Polyak averaging; on
    nuclei it finds 3 to 5 % more objects than the last weights).
    """

    kept = ("step", "seconds", "check_seconds", "best", "rising", "loss")

    def __init__(self, net: nn.Module, device: torch.device, rate: float) -> None:
        self.device = device
        self.net = net.to(device)
        self.average = deepcopy(self.net).eval().requires_grad_(False)
        self.optimizer = torch.optim.AdamW(self.net.parameters(), lr=rate, weight_decay=1e-3)
        self.step = 0
        self.seconds = 0.0  # spent, without pauses
        self.check_seconds = 0.0
        self.best = float("-inf")
        self.rising = True  # the last check was the best so far
        self.loss = float("nan")  # running mean

    def state(self) -> dict[str, Any]:
        """Tensors and plain values."""
        return {
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            **{k: getattr(self, k) for k in self.kept},
        }

    def load(self, state: dict[str, Any]) -> None:
        """Restore a `state`."""
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        for k in self.kept:
            setattr(self, k, state[k])

    def move(self, device: torch.device) -> None:
        """To another device."""
        self.device = device
        self.net.to(device)
        self.average.to(device)
        for state in self.optimizer.state.values():
            for k, v in state.items():
                if isinstance(v, Tensor):
                    state[k] = v.to(device)

    def update(self, loss: Tensor) -> None:
        """One step of the optimizer and of the average."""
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), 5.0)
        self.optimizer.step()
        self.step += 1
        decay = min(0.995, (self.step + 1) / (self.step + 10))
        old = [t for t in self.average.state_dict().values() if t.is_floating_point()]
        new = [t for t in self.net.state_dict().values() if t.is_floating_point()]
        with torch.no_grad():
            torch._foreach_lerp_(old, new, 1 - decay)


@dataclass(frozen=True)
class Budget:
    """How long to learn: ``steps``, or ``minutes`` from ``began`` (time.monotonic) to the saved model.

    ``reserve`` seconds are kept for the saving, and time for ``last_checks`` checks.
    """

    began: float
    steps: int | None = None
    minutes: float | None = None
    reserve: float = 2.0
    last_checks: int = 1


@dataclass(frozen=True)
class Work:
    """What the loop is made of.

    Attributes
    ----------
    batches : where patches come from.
    loss : (out, target, weight) -> scalar tensor.
    intensity : changes of intensity on the device.
    check : (average net, step, training loss) -> Checked and its headline (larger is better); may look at control.
    keep : (learner, better) -> None, saves the state, and the model where ``better`` is True.
    """

    batches: Batches
    loss: Callable[[Tensor, Tensor, Tensor], Tensor]
    intensity: Intensity | None
    check: Callable[[nn.Module, int, float], tuple[Validated, float]]
    keep: Callable[[Learner, bool], None]


@dataclass
class Clock:
    """Time spent on this training, pauses left out, earlier sessions counted in."""

    began: float
    before: float
    paused: float = field(default=0.0)

    def seconds(self) -> float:
        """Spent until now."""
        return self.before + time.monotonic() - self.began - self.paused

    def told(self, event: Event) -> Iterator[Event]:
        """Yield an event, and leave out the time until the next is asked for where that is a pause."""
        asked = time.monotonic()
        yield event
        away = time.monotonic() - asked
        if away > PAUSE:
            self.paused += away


def fit(
    learner: Learner, work: Work, budget: Budget, device: Device, control: Control, seed: int = 0
) -> Iterator[Event]:
    """Learn until the budget is spent or control.stop, judging on the way; ends with a last check.

    Stopped before a step was made, nothing is kept.

    The best weights by the check's headline are handed to ``work.keep`` with ``better=True``.
    """
    clock = Clock(budget.began, learner.seconds)
    peak = [group["lr"] for group in learner.optimizer.param_groups] if learner.step == 0 else None
    rates = peak or [group["initial_lr"] for group in learner.optimizer.param_groups]
    for group, rate in zip(learner.optimizer.param_groups, rates, strict=True):
        group["initial_lr"] = rate
    random = torch.Generator(device="cpu" if device.kind == "mps" else learner.device).manual_seed(seed + learner.step)
    first = learner.step
    last_check, last_kept, checks, bad = first, time.monotonic(), _Checks(learner, budget), 0
    learner.net.train()
    while not control.stop and not checks.over(clock.seconds()):
        rate = _rate(rates[0], learner.step, checks.progress(clock.seconds()), budget.steps)
        for group in learner.optimizer.param_groups:
            group["lr"] = rate
        try:
            loss = _step(learner, next(work.batches), work, random, device.mixed)
        except Exception as e:
            if not is_out_of_memory(e):
                raise
            yield from clock.told(_smaller(learner, work.batches))
            continue
        if not isfinite(loss):
            bad += 1
            if bad >= 20:
                raise DojoError("The loss was not a number 20 times in a row. Choose a lower learning rate.")
            continue
        bad = 0
        learner.loss = loss if learner.step <= 1 else learner.loss + (loss - learner.loss) * max(0.02, 1 / learner.step)
        learner.seconds = clock.seconds()
        yield from clock.told(Step(learner.step, *checks.ahead(clock.seconds()), loss, rate))
        if checks.due(clock.seconds()):
            last_check = learner.step
            yield from _judge(learner, work, checks, clock)
            last_kept = time.monotonic()
        elif time.monotonic() - last_kept > KEEP_EVERY:
            work.keep(learner, False)
            last_kept = time.monotonic()
    if control.stop:  # no time for a check: the newest weights, unless the last check found older ones better
        learner.seconds = clock.seconds()
        if learner.step > first:
            work.keep(learner, learner.rising)
    elif learner.step > last_check or learner.best == float("-inf"):
        yield from _judge(learner, work, checks, clock)


def _step(learner: Learner, batch: Batch, work: Work, random: torch.Generator, mixed: bool) -> float:
    """Forward, loss, backward, update; the loss, NaN where the update was left out."""
    x, target, weight = (t.to(learner.device, non_blocking=True) for t in (batch.x, batch.target, batch.weight))
    if work.intensity is not None:
        x = work.intensity(x, random)
    with torch.autocast(learner.device.type, torch.bfloat16, enabled=mixed):
        out = learner.net(x)
    loss = work.loss(out.float(), target, weight)
    value = float(loss.detach())
    if isfinite(value):
        learner.update(loss)
    return value


def _judge(learner: Learner, work: Work, checks: _Checks, clock: Clock) -> Iterator[Event]:
    began = time.monotonic()
    said, value = work.check(learner.average, learner.step, learner.loss)
    learner.rising = value >= learner.best
    learner.best = max(learner.best, value)
    learner.seconds = clock.seconds()
    checks.took(time.monotonic() - began, learner.seconds)
    work.keep(learner, learner.rising)
    learner.net.train()
    yield from clock.told(said)


def _smaller(learner: Learner, batches: Batches) -> Message:
    """After running out of memory: half the batch, in the end the CPU."""
    learner.optimizer.zero_grad(set_to_none=True)
    if learner.device.type == "cuda":
        torch.cuda.empty_cache()
    if batches.batch > 1:
        batches.batch //= 2
        return Message("warning", f"Not enough memory. Continuing with batch size {batches.batch}.")
    if learner.device.type == "cpu":
        raise MemoryError("not even batch size 1 fits into memory")
    learner.move(torch.device("cpu"))
    return Message("warning", "Not enough GPU memory even for batch size 1. Continuing on the CPU, which is slower.")


def _rate(peak: float, step: int, progress: float, steps: int | None) -> float:
    """Warm-up, then a cosine down to 1 % (Loshchilov & Hutter 2017, arXiv:1608.03983)."""
    warm = min(WARM_UP, max(1, (steps or 1000) // 20))
    return peak * min(1.0, (step + 1) / warm) * (0.01 + 0.99 * 0.5 * (1 + cos(pi * min(1.0, progress))))


class _Checks:
    """When to judge and when to end."""

    def __init__(self, learner: Learner, budget: Budget) -> None:
        self._learner, self._budget = learner, budget
        self._first = learner.step
        self._longest = 0.0
        self._checked = 0.0
        self._every = max(1, (budget.steps or 0) // 10)
        self._entered = learner.seconds + time.monotonic() - budget.began

    @property
    def _total(self) -> float:
        return (self._budget.minutes or 0) * 60

    def took(self, seconds: float, now: float) -> None:
        """A check took so long, and ended at ``now`` of the training's time."""
        self._checked = now
        self._learner.check_seconds += seconds
        self._longest = max(self._longest * 0.7, seconds)

    def over(self, seconds: float) -> bool:
        """Whether the budget is spent."""
        if self._budget.steps is not None:
            return self._learner.step >= self._budget.steps
        if self._learner.step == self._first and self._first == 0:
            return False  # at least one step
        return seconds >= self._total - self._budget.reserve - 1.1 * self._budget.last_checks * self._longest

    def due(self, seconds: float) -> bool:
        """Whether it is time for a check."""
        if self._budget.steps is not None:
            return self._learner.step % self._every == 0 or self._learner.step >= self._budget.steps
        if self._longest == 0.0:
            return seconds - self._entered >= max(3.0, min(0.04 * self._total, 30.0))
        if seconds >= self._total - self._budget.reserve - (1.1 + 1.1 * self._budget.last_checks) * self._longest:
            return False  # the last one comes at the end
        waited, seldom = seconds - self._checked, SELDOM * self._total
        if waited < max(0.03 * self._total, min(8 * self._longest, max(seldom, 3 * self._longest))):
            return False
        spent = self._learner.check_seconds + self._longest
        return waited >= seldom or spent <= CHECK_SHARE * max(seconds, 0.25 * self._total)

    def progress(self, seconds: float) -> float:
        """Share of the budget that is spent, 0 to 1."""
        if self._budget.steps is not None:
            return self._learner.step / self._budget.steps
        return min(1.0, seconds / max(1e-9, self._total - self._budget.reserve - self._longest))

    def ahead(self, seconds: float) -> tuple[int, float]:
        """Steps in all, as far as one can tell, and seconds left."""
        done = self._learner.step
        pace = (seconds - self._learner.check_seconds) / max(1, done)
        if self._budget.steps is not None:
            return self._budget.steps, (self._budget.steps - done) * pace
        left = max(0.0, self._total - seconds)
        return done + int(left / max(pace, 1e-9)), left
