"""One classroom at work: its points, its net, its training, step by step or in one go."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from napari_dojo.errors import DojoError
from napari_dojo.playground.activations import Array
from napari_dojo.playground.advice import mismatch
from napari_dojo.playground.losses import answers, loss_slope, losses_of, targets
from napari_dojo.playground.net import LARGEST, Net, draw_start
from napari_dojo.playground.optimizers import OPTIMIZERS
from napari_dojo.playground.points import Data, check_inputs, draw_points
from napari_dojo.playground.settings import Setup

__all__ = ["Record", "Score", "Session"]


@dataclass(frozen=True)
class Score:
    """How well a set is answered.

    ``accuracy`` is the share of right classes; in regression it is None, and ``r2`` is the share of the variation that
    is explained, 1 at best. The loss is that of the answers alone, without the prices of L1 and L2.
    """

    count: int
    loss: float
    accuracy: float | None
    r2: float | None

    @property
    def value(self) -> float:
        """What is judged by: accuracy or, in regression, r2."""
        return float(self.r2 if self.accuracy is None else self.accuracy)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Record:
    """The scores at the end of an epoch; None for a set without points."""

    epoch: int
    training: Score | None
    validation: Score | None


class Session:
    """A net that learns. Pausing is not asking for the next step.

    One random generator draws points, split, start weights, the order of each epoch and the masks of dropout, in that
    order: the same setup gives the same numbers wherever it runs.

    Parameters
    ----------
    setup : what to learn with what.
    parameters : (parameters,), weights and biases to begin with instead of drawn ones.
    looks : how often the test points were looked at before.

    Attributes
    ----------
    data, net, optimizer : as they are now; weights may be changed with `set_weight`.
    epochs, updates : how many are done.
    history : the scores at the start and after every epoch.
    ended : why no more is learned, in a sentence; None while it goes on. ``diverged``: because numbers ran away.
    looks : how often the test points were looked at.
    altered : whether weights were set by hand or choices changed on the way, so that the setup alone no longer gives
        these numbers.

    Raises
    ------
    DojoError : where points, net and choices do not fit together.
    """

    def __init__(self, setup: Setup, parameters: Any = None, looks: int = 0) -> None:
        self.looks = looks
        self._draw(setup)
        self.reset()
        if parameters is not None:
            self.net.set(parameters)
            self.altered = True
            self._begin()

    def _draw(self, setup: Setup) -> None:
        """The points, and what the random generator was after them."""
        rng = np.random.default_rng(setup.seed)
        self._fit(setup, draw_points(setup.points, rng))
        self._after_points = rng.bit_generator.state

    def _fit(self, setup: Setup, data: Data) -> None:
        """What the net sees of the points, and what it should say."""
        check_inputs(setup.points, setup.net.inputs)
        goals = targets(data.value, data.classes, setup.net.outputs)
        self._x, self._targets = data.inputs(data.xy, setup.net.inputs), goals
        self.setup, self.data = setup, data

    def reset(self, new: bool = False) -> None:
        """Back to the start: the same start weights, or new ones."""
        if new:
            self.setup = replace(self.setup, attempt=self.setup.attempt + 1)
        self._rng = np.random.default_rng()
        self._rng.bit_generator.state = self._after_points
        for _ in range(self.setup.attempt + 1):
            start = draw_start(self.setup.net, self._rng)
        self.net = Net(self.setup.net, start)
        self.altered = False
        self._begin()

    def _begin(self) -> None:
        self.epochs = self.updates = 0
        self.optimizer = OPTIMIZERS[self.setup.learning.optimizer](self.setup.net.parameters)
        self._at = 0  # of the order of this epoch; at 0 it is not drawn yet
        self.ended: str | None = None
        self.diverged = False
        self.history = [self._scores()]
        self._good = self.net.parameters.copy()
        self._best: tuple[float, int, Array] = (np.inf, 0, self._good)

    def change(self, setup: Setup) -> None:
        """Take over other choices while it learns; where they do not fit, DojoError, and all stays as it was.

        Other points draw everything anew, but points of one's own may come and go while the net stays; another net
        begins anew on the same points, unless its weights fit; all else is changed on the way.
        """
        before = self.setup
        if setup == before:
            return
        shapes = [(s.net.inputs, s.net.widths, s.net.skip, s.net.start, s.seed, s.attempt) for s in (before, setup)]
        kinds = {before.points.kind, setup.points.kind}
        if (setup.points, setup.seed) != (before.points, before.seed):
            self._draw(setup)
            self._at = 0
        else:
            self._fit(setup, self.data)
        if shapes[0] != shapes[1] or (setup.points != before.points and kinds != {"own"}):
            return self.reset()
        self.net = Net(setup.net, self.net.parameters)
        if setup.learning.optimizer != before.learning.optimizer or self.diverged:
            self.optimizer = OPTIMIZERS[setup.learning.optimizer](setup.net.parameters)
        now = setup.learning
        same = replace(before.learning, epochs=now.epochs, patience=now.patience)  # another end is no other way
        self.altered = self.altered or (self.updates > 0 and setup != replace(before, learning=same))
        self.ended, self.diverged = None, False
        if not self.updates:
            self._begin()

    def set_weight(self, layer: int, before: int | None, unit: int, value: float) -> None:
        """Change one weight by hand, or with ``before`` None the bias of a unit."""
        if not abs(value) <= LARGEST:
            raise DojoError(f"A weight is a number from -{LARGEST:g} to {LARGEST:g}; got {value}.")
        chosen = self.net.layers[layer]
        if before is None:
            chosen.biases[unit] = value
        else:
            chosen.weights[before, unit] = value
        self.altered = True
        self._good = self.net.parameters.copy()

    @property
    def notes(self) -> list[str]:
        """What a person should know about these choices, a sentence each."""
        learning, n = self.setup.learning, self.data.counts[0]
        notes = list(mismatch(self.data.classes, self.setup.net, learning.loss))
        if learning.batch_size > n:
            notes.append(
                f"A mini-batch of {learning.batch_size} is more than the {n} training points: each update takes all."
            )
        if learning.patience and not self.data.counts[1]:
            notes.append("Early stopping needs validation points; there are none, so it does nothing.")
        if self.setup.net.skip and not self.setup.net.hidden:
            notes.append("A skip connection goes around hidden layers; there are none, so it does nothing.")
        if learning.dropout and not self.setup.net.hidden:
            notes.append("Dropout switches hidden units off; there are none, so it does nothing.")
        return notes

    # Learning

    def step(self) -> None:
        """One update of the weights, from the next mini-batch."""
        self._ready()
        with np.errstate(all="ignore"):
            self._update(*self.next_batch())
        self._settle()

    def epoch(self) -> Record:
        """Updates to the end of the running epoch; the last scores that are good."""
        self._ready()
        n = self.data.counts[0]
        with np.errstate(all="ignore"):
            self._update(*self.next_batch())
            while self._at < n:
                self._update(*self.next_batch())
        self._settle()
        return self.history[-1]

    def run(self, epochs: int | None = None) -> Iterator[Record]:
        """Learn epoch by epoch, and yield the scores after each: so many more, or to the number that is set.

        It ends early where ``ended`` says why.
        """
        last = self.setup.learning.epochs if epochs is None else self.epochs + epochs
        while self.epochs < last:
            record = self.epoch()
            if not self.diverged:
                yield record
            if self.ended:
                return

    def advance(self, seconds: float, last: int | None = None) -> None:
        """As many updates as fit into a slice of time, at least one; no further than to the end of epoch ``last``."""
        self._ready()
        n, end = self.data.counts[0], time.perf_counter() + seconds
        while not self.ended and (last is None or self.epochs < last):
            with np.errstate(all="ignore"):
                self._update(*self.next_batch())
                while self._at < n and time.perf_counter() < end:
                    self._update(*self.next_batch())
            self._settle()
            if time.perf_counter() >= end:
                return

    def next_batch(self) -> tuple[Array, Array]:
        """Inputs (points, inputs) and targets (points, outputs) of the next mini-batch.

        At the start of an epoch the order of the points is drawn anew.
        """
        n = self.data.counts[0]
        if self._at == 0:
            order = self._rng.permutation(n)
            self._shuffled = self._x[order], self._targets[order]
        first, self._at = self._at, min(self._at + (self.setup.learning.batch_size or n), n)
        x, target = self._shuffled
        return x[first : self._at], target[first : self._at]

    def training_point(self, number: int) -> tuple[Array, Array]:
        """Inputs (1, inputs) and targets (1, outputs) of one training point."""
        if not 0 <= number < self.data.counts[0]:
            raise DojoError(f"There are {self.data.counts[0]} training points; number {number} is not among them.")
        return self._x[number : number + 1], self._targets[number : number + 1]

    def masks(self, points: int) -> list[Array] | None:
        """Dropout: which hidden units take part, for each point; those that do are made larger to make up for it."""
        dropout = self.setup.learning.dropout
        if not dropout:
            return None
        return [(self._rng.random((points, units)) >= dropout) / (1 - dropout) for units in self.setup.net.hidden]

    def price_slope(self) -> Array:
        """What L1 and L2 add to the gradient, (parameters,): weights have a price, biases are free."""
        weights, learning = self.net.parameters * self.net.is_weight, self.setup.learning
        slope: Array = learning.l1 * np.sign(weights) + 2 * learning.l2 * weights
        return slope

    def apply(self, change: Array) -> None:
        """Take a change (parameters,) off the parameters: the end of an update in slow motion."""
        self._ready()
        with np.errstate(all="ignore"):
            self.net.parameters -= change
        self.updates += 1
        self._settle()

    def _update(self, x: Array, target: Array) -> None:
        """Forward, backward, and a small step downhill: the heart of it all."""
        net, learning = self.net, self.setup.learning
        kept = self.masks(len(x))
        output = net.forward(x, kept)
        net.backward(loss_slope(learning.loss, net.shape.output, output, target), kept)
        if learning.l1 or learning.l2:
            net.gradient += self.price_slope()
        net.parameters -= self.optimizer.change(net.gradient, learning.learning_rate)
        self.updates += 1

    def _ready(self) -> None:
        if self.diverged:
            raise DojoError(str(self.ended))
        self.ended = None

    def _settle(self) -> None:
        """After updates: at the end of an epoch keep the scores; where numbers ran away go back to the last good ones."""
        if self._at < self.data.counts[0]:
            if not np.isfinite(self.net.parameters).all():
                self._run_away()
            return
        self._at = 0
        record = self._scores()
        fine = (np.abs(self.net.parameters) <= LARGEST).all()
        if not fine or not all(np.isfinite(s.loss) for s in (record.training, record.validation) if s):
            return self._run_away()
        self.epochs += 1
        self.history.append(replace(record, epoch=self.epochs))
        self._good = self.net.parameters.copy()
        if self.setup.learning.patience and record.validation:
            self._stop_early(record.validation.loss)

    def _run_away(self) -> None:
        self.net.parameters[:] = self._good
        self.optimizer = OPTIMIZERS[self.setup.learning.optimizer](self.setup.net.parameters)
        self._at, self.diverged = 0, True
        rate = self.setup.learning.learning_rate
        cures = [f"The steps are too large: try a learning rate of {min(rate / 10, 0.05):g}."]
        cures += mismatch(self.data.classes, self.setup.net, self.setup.learning.loss)[:1]
        self.ended = (
            f"Learning stopped in epoch {self.epochs + 1}, because the weights or the loss grew beyond all bounds; "
            f"the weights of epoch {self.epochs} are kept. {' '.join(cures)}"
        )

    def _stop_early(self, loss: float) -> None:
        """Keep the best weights; go back to them when the validation loss has not fallen for long."""
        if loss < self._best[0]:
            self._best = loss, self.epochs, self._good
        elif self.epochs - self._best[1] >= self.setup.learning.patience:
            self.net.parameters[:] = self._best[2]
            self._good = self._best[2].copy()
            self.ended = (
                f"Stopped early after epoch {self.epochs}: the validation loss has not fallen for "
                f"{self.epochs - self._best[1]} epochs; the weights of epoch {self._best[1]} are back."
            )

    # Judging

    def score(self, part: str) -> Score | None:
        """How well a set is answered: "training", "validation" or "test". Asking for the test is counted as a look."""
        if part == "test":
            self.looks += 1
        return self._score(part)

    def _scores(self) -> Record:
        return Record(self.epochs, self._score("training"), self._score("validation"))

    def _score(self, part: str) -> Score | None:
        where, data = self.data.part(part), self.data
        value, target = data.value[where], self._targets[where]
        if not len(value):
            return None
        with np.errstate(all="ignore"):
            p = self.net.forward(self._x[where])
            sums, shape = self.net.layers[-1].sums, self.net.shape
            loss = float(losses_of(self.setup.learning.loss, shape.output, sums, p, target).mean())
            found = answers(p, data.classes)
            if data.classes:
                return Score(len(value), loss, float((found == value).mean()), None)
            spread = float(((value - value.mean()) ** 2).sum())
            return Score(len(value), loss, None, 1 - float(((found - value) ** 2).sum()) / spread if spread else 0.0)

    def predict(self, xy: Array) -> Array:
        """The outputs, (n, outputs), for points of the plane (n, 2)."""
        with np.errstate(all="ignore"):
            return self.net.forward(self.data.inputs(np.asarray(xy, np.float64), self.setup.net.inputs))

    def answer(self, xy: Array) -> Array:
        """The classes, (n,), for points of the plane (n, 2); in regression the numbers."""
        return answers(self.predict(xy), self.data.classes)
