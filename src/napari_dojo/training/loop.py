"""The loop that learns. It yields events, and knows nothing of images, files or windows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import cos, pi

from torch import Tensor

from napari_dojo.data.batches import Batches
from napari_dojo.device import is_out_of_memory, use_free_cores
from napari_dojo.events import Control, Event, Message, Step, Validated
from napari_dojo.nets import Network
from napari_dojo.training.learner import Learner, Stepper

__all__ = ["Budget", "Work", "fit", "follow"]

CHECK_SHARE = 0.08  # of the time may go into checks
SOONEST = 3.0  # s until the first one
SELDOM = 0.15  # of the time may pass without one, however slow they are: somebody waits for the picture
KEEP_EVERY = 8.0  # seconds between two saved states; a crash may lose no more than 10 s
WARM_UP = 50  # steps, or 5 % of them
UNRECORDED = "Steps cannot be recorded as a CUDA graph, so training is slower than it could be: {}"
PAUSE = 0.5  # a consumer that waits longer than this, in seconds, has paused


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
    check : (average net, step, training loss) -> Checked and its headline (larger is better); may look at control.
    keep : (learner, better) -> None, saves the state, and the model where ``better`` is True.
    renew : (average net) -> None, makes the targets again with what was learned; at each of these shares ``renewals``.
    """

    batches: Batches
    loss: Callable[[Tensor, Tensor, Tensor], Tensor]
    check: Callable[[Network, int, float], tuple[Validated, float]]
    keep: Callable[[Learner, bool], None]
    renew: Callable[[Network], None] = lambda net: None
    renewals: tuple[float, ...] = ()


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


def fit(learner: Learner, work: Work, budget: Budget, control: Control) -> Iterator[Event]:
    """Learn until the budget is spent or control.stop, judging on the way; ends with a last check.

    Stopped before a step was made, nothing is kept.

    The best weights by the check's headline are handed to ``work.keep`` with ``better=True``.
    """
    clock = Clock(budget.began, learner.seconds)
    stepper = Stepper(learner, work.batches, work.loss)
    first = learner.step
    last_check, last_kept, checks = first, time.monotonic(), _Checks(learner, budget)
    learner.net.train()
    told = False
    ahead = [share for share in sorted(work.renewals) if share > checks.progress(clock.seconds())]
    while not control.stop and not checks.over(clock.seconds()):
        if ahead and checks.progress(clock.seconds()) >= ahead[0]:
            del ahead[0]
            work.renew(learner.average)
        rate = _rate(learner.peak, stepper.made, checks.progress(clock.seconds()), budget.steps)
        learner.world.tell(rate, control.stop)
        loss, full = None, False
        try:
            stepper.step(rate)
            loss = stepper.read() if stepper.due(checks.until_due) else None
        except Exception as e:
            full = is_out_of_memory(e)
            if not full:
                raise
        if full:  # out of the handler: the exception keeps what the step took
            yield from clock.told(stepper.smaller())
            continue
        if stepper.unrecorded and not told:
            told = True
            yield from clock.told(Message("warning", UNRECORDED.format(stepper.unrecorded)))
        control.stop = control.stop or learner.world.stopped
        if loss is None:
            continue
        if budget.minutes and learner.world.size == 1:  # a fixed number of steps is the same every time
            use_free_cores(learner.device)
        learner.seconds = clock.seconds()
        yield from clock.told(Step(learner.step, *checks.ahead(clock.seconds()), loss, rate))
        if checks.due(clock.seconds()):
            last_check = learner.step
            yield from _judge(learner, work, checks, clock)
            last_kept = time.monotonic()
        elif time.monotonic() - last_kept > KEEP_EVERY:
            work.keep(learner, False)
            last_kept = time.monotonic()
    stepper.read()
    learner.world.tell(None)
    if control.stop:  # no time for a check: the newest weights, unless the last check found older ones better
        learner.seconds = clock.seconds()
        if learner.step > first:
            work.keep(learner, learner.rising)
    elif learner.step > last_check or learner.best == float("-inf"):
        yield from _judge(learner, work, checks, clock)


def follow(learner: Learner, work: Work, control: Control) -> None:
    """Make the same steps as the first process does in `fit`, which alone looks at the time, judges and keeps."""
    stepper = Stepper(learner, work.batches, work.loss)
    learner.net.train()
    for rate in learner.world.told(control):
        full = False
        try:
            stepper.step(rate)
        except Exception as e:
            full = is_out_of_memory(e)
            if not full:
                raise
        if full:
            stepper.smaller()
            continue
        if stepper.due(None):
            stepper.read()


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

    @property
    def until_due(self) -> int | None:
        """Steps until one of them has to be looked at; None where time rules."""
        if self._budget.steps is None:
            return None
        return min(self._every - self._learner.step % self._every, self._budget.steps - self._learner.step)

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
            return seconds - self._entered >= max(SOONEST, min(0.04 * self._total, 30.0))
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
