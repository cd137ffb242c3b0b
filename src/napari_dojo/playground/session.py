"""A training session: points, network and optimizer, trained step by step or to the end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from napari_dojo.errors import DojoError
from napari_dojo.playground.activations import Array
from napari_dojo.playground.advice import mismatch
from napari_dojo.playground.losses import decide, loss_gradient, point_losses, targets
from napari_dojo.playground.net import LARGEST, Net, initial_weights
from napari_dojo.playground.optimizers import OPTIMIZERS
from napari_dojo.playground.points import Data, check_inputs, draw_points
from napari_dojo.playground.settings import Setup

__all__ = ["Record", "Score", "Session"]


@dataclass(frozen=True)
class Score:
    """How good the predictions for a set of points are.

    ``accuracy`` is the fraction of right classes; for regression it is None, and ``r2`` is the coefficient of
    determination R², at most 1. ``loss`` is the mean over the points, without the L1 and L2 penalties.
    """

    count: int
    loss: float
    accuracy: float | None
    r2: float | None

    @property
    def value(self) -> float:
        """The score that goals use: accuracy, or R² for regression."""
        return float(self.r2 if self.accuracy is None else self.accuracy)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Record:
    """The scores after an epoch; None for a set without points."""

    epoch: int
    training: Score | None
    validation: Score | None


class Session:
    """A network in training. To pause, do not ask for the next step.

    One random generator draws points, split, initial weights, the order of each epoch and the dropout masks, in that
    order. The same setup gives the same numbers on every machine.

    Parameters
    ----------
    setup : points, network and training settings.
    parameters : (parameters,), initial weights and biases instead of random ones.
    looks : how often the test score was revealed before.

    Attributes
    ----------
    data, net, optimizer : the current state; change weights with `set_weight`.
    epochs, updates : how many are done.
    history : the scores before training and after every epoch.
    ended : why training stopped, in one sentence; None while it can continue. ``diverged``: whether it diverged.
    looks : how often the test score was revealed.
    altered : whether weights were set by hand or settings changed during training, so that the setup alone does not
        reproduce the result.

    Raises
    ------
    DojoError : if points, network and settings do not fit together.
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
        """Generate the points, and remember the state of the random generator after them."""
        rng = np.random.default_rng(setup.seed)
        self._fit(setup, draw_points(setup.points, rng))
        self._after_points = rng.bit_generator.state

    def _fit(self, setup: Setup, data: Data) -> None:
        """Compute inputs and targets of the points."""
        check_inputs(setup.points, setup.net.inputs)
        goals = targets(data.value, data.classes, setup.net.outputs)
        self._x, self._targets = data.inputs(data.xy, setup.net.inputs), goals
        self.setup, self.data = setup, data

    def reset(self, new: bool = False) -> None:
        """Reset to the same initial weights, or with ``new`` to other random ones."""
        if new:
            self.setup = replace(self.setup, attempt=self.setup.attempt + 1)
        self._rng = np.random.default_rng()
        self._rng.bit_generator.state = self._after_points
        for _ in range(self.setup.attempt + 1):
            start = initial_weights(self.setup.net, self._rng)
        self.net = Net(self.setup.net, start)
        self.altered = False
        self._begin()

    def _begin(self) -> None:
        self.epochs = self.updates = 0
        self.optimizer = OPTIMIZERS[self.setup.learning.optimizer](self.setup.net.parameters)
        self._at = 0  # position in the order of this epoch; 0: the order is not drawn yet
        self.ended: str | None = None
        self.diverged = False
        self.history = [self._scores()]
        self._good = self.net.parameters.copy()
        self._best: tuple[float, int, Array] = (np.inf, 0, self._good)

    def change(self, setup: Setup) -> None:
        """Change the settings during training. DojoError if they do not fit; then nothing changes.

        Other points reset everything, except that custom points can be added and removed while the network stays. A
        network of another shape restarts on the same points. All other settings change without a restart.
        """
        before = self.setup
        if setup == before:
            return
        shapes = [
            (s.net.inputs, s.net.widths, s.net.skip, s.net.initializer, s.seed, s.attempt) for s in (before, setup)
        ]
        kinds = {before.points.kind, setup.points.kind}
        if (setup.points, setup.seed) != (before.points, before.seed):
            self._draw(setup)
            self._at = 0
        else:
            self._fit(setup, self.data)
        if shapes[0] != shapes[1] or (setup.points != before.points and kinds != {"custom"}):
            return self.reset()
        self.net = Net(setup.net, self.net.parameters)
        if setup.learning.optimizer != before.learning.optimizer or self.diverged:
            self.optimizer = OPTIMIZERS[setup.learning.optimizer](setup.net.parameters)
        now = setup.learning
        same = replace(
            before.learning, epochs=now.epochs, patience=now.patience
        )  # a different end does not change the way
        self.altered = self.altered or (self.updates > 0 and setup != replace(before, learning=same))
        self.ended, self.diverged = None, False
        if not self.updates:
            self._begin()

    def set_weight(self, layer: int, before: int | None, unit: int, value: float) -> None:
        """Set one weight by hand, or with ``before`` None the bias of a unit."""
        if not abs(value) <= LARGEST:
            raise DojoError(f"A weight must lie between -{LARGEST:g} and {LARGEST:g}; got {value}.")
        chosen = self.net.layers[layer]
        if before is None:
            chosen.biases[unit] = value
        else:
            chosen.weights[before, unit] = value
        self.altered = True
        self._good = self.net.parameters.copy()

    @property
    def notes(self) -> list[str]:
        """Warnings about these settings, one sentence each."""
        learning, n = self.setup.learning, self.data.counts[0]
        notes = list(mismatch(self.data.classes, self.setup.net, learning.loss))
        if learning.batch_size > n:
            notes.append(
                f"The batch size {learning.batch_size} exceeds the {n} training points: each update uses all of them."
            )
        if learning.patience and not self.data.counts[1]:
            notes.append("Early stopping has no effect, because there are no validation points.")
        if self.setup.net.skip and not self.setup.net.hidden:
            notes.append("The skip connection has no effect, because there are no hidden layers.")
        if learning.dropout and not self.setup.net.hidden:
            notes.append("Dropout has no effect, because there are no hidden layers.")
        return notes

    # Training

    def step(self) -> None:
        """One update of the weights, from the next mini-batch."""
        self._ready()
        with np.errstate(all="ignore"):
            self._update(*self.next_batch())
        self._end_update()

    def epoch(self) -> Record:
        """Train to the end of the current epoch, and return the latest finite scores."""
        self._ready()
        n = self.data.counts[0]
        with np.errstate(all="ignore"):
            self._update(*self.next_batch())
            while self._at < n:
                self._update(*self.next_batch())
        self._end_update()
        return self.history[-1]

    def run(self, epochs: int | None = None) -> Iterator[Record]:
        """Train epoch by epoch and yield the scores after each: ``epochs`` more, or up to the number in the settings.

        Stops early if ``ended`` is set.
        """
        last = self.setup.learning.epochs if epochs is None else self.epochs + epochs
        while self.epochs < last:
            record = self.epoch()
            if not self.diverged:
                yield record
            if self.ended:
                return

    def advance(self, seconds: float, last: int | None = None) -> None:
        """Train for some seconds, at least one update, but not beyond epoch ``last``."""
        self._ready()
        n, end = self.data.counts[0], time.perf_counter() + seconds
        while not self.ended and (last is None or self.epochs < last):
            with np.errstate(all="ignore"):
                self._update(*self.next_batch())
                while self._at < n and time.perf_counter() < end:
                    self._update(*self.next_batch())
            self._end_update()
            if time.perf_counter() >= end:
                return

    def next_batch(self) -> tuple[Array, Array]:
        """Inputs, (points, inputs), and targets, (points, outputs), of the next mini-batch.

        The points are shuffled at the start of each epoch.
        """
        n = self.data.counts[0]
        if self._at == 0:
            order = self._rng.permutation(n)
            self._shuffled = self._x[order], self._targets[order]
        first, self._at = self._at, min(self._at + (self.setup.learning.batch_size or n), n)
        x, target = self._shuffled
        return x[first : self._at], target[first : self._at]

    def training_point(self, number: int) -> tuple[Array, Array]:
        """Inputs, (1, inputs), and targets, (1, outputs), of one training point."""
        if not 0 <= number < self.data.counts[0]:
            raise DojoError(f"There are {self.data.counts[0]} training points; number {number} is not among them.")
        return self._x[number : number + 1], self._targets[number : number + 1]

    def dropout_masks(self, points: int) -> list[Array] | None:
        """One mask per hidden layer, (points, units): 0 for units that are off, 1 / (1 - dropout) for the others.

        None without dropout.
        """
        dropout = self.setup.learning.dropout
        if not dropout:
            return None
        return [(self._rng.random((points, units)) >= dropout) / (1 - dropout) for units in self.setup.net.hidden]

    def penalty_gradient(self) -> Array:
        """Gradient of the L1 and L2 penalties, (parameters,); biases are not penalized."""
        weights, learning = self.net.parameters * self.net.is_weight, self.setup.learning
        slope: Array = learning.l1 * np.sign(weights) + 2 * learning.l2 * weights
        return slope

    def apply(self, change: Array) -> None:
        """Subtract a change, (parameters,), from the parameters: the end of an update in slow motion."""
        self._ready()
        with np.errstate(all="ignore"):
            self.net.parameters -= change
        self.updates += 1
        self._end_update()

    def _update(self, x: Array, target: Array) -> None:
        """One training step: forward pass, backward pass, optimizer step."""
        net, learning = self.net, self.setup.learning
        masks = self.dropout_masks(len(x))
        output = net.forward(x, masks)
        net.backward(loss_gradient(learning.loss, net.shape.output, output, target), masks)
        if learning.l1 or learning.l2:
            net.gradient += self.penalty_gradient()
        net.parameters -= self.optimizer.step(net.gradient, learning.learning_rate)
        self.updates += 1

    def _ready(self) -> None:
        if self.diverged:
            raise DojoError(str(self.ended))
        self.ended = None

    def _end_update(self) -> None:
        """At the end of an epoch, record the scores; after divergence, restore the last good weights."""
        if self._at < self.data.counts[0]:
            if not np.isfinite(self.net.parameters).all():
                self._diverge()
            return
        self._at = 0
        record = self._scores()
        fine = (np.abs(self.net.parameters) <= LARGEST).all()
        if not fine or not all(np.isfinite(s.loss) for s in (record.training, record.validation) if s):
            return self._diverge()
        self.epochs += 1
        self.history.append(replace(record, epoch=self.epochs))
        self._good = self.net.parameters.copy()
        if self.setup.learning.patience and record.validation:
            self._stop_early(record.validation.loss)

    def _diverge(self) -> None:
        self.net.parameters[:] = self._good
        self.optimizer = OPTIMIZERS[self.setup.learning.optimizer](self.setup.net.parameters)
        self._at, self.diverged = 0, True
        rate = self.setup.learning.learning_rate
        cures = [f"Try a learning rate of {min(rate / 10, 0.05):g}."]
        cures += mismatch(self.data.classes, self.setup.net, self.setup.learning.loss)[:1]
        self.ended = (
            f"Training diverged in epoch {self.epochs + 1}: the weights or the loss became too large. "
            f"The weights of epoch {self.epochs} are restored. {' '.join(cures)}"
        )

    def _stop_early(self, loss: float) -> None:
        """Keep the best weights, and restore them if the validation loss has not fallen for ``patience`` epochs."""
        if loss < self._best[0]:
            self._best = loss, self.epochs, self._good
        elif self.epochs - self._best[1] >= self.setup.learning.patience:
            self.net.parameters[:] = self._best[2]
            self._good = self._best[2].copy()
            self.ended = (
                f"Early stopping after epoch {self.epochs}: the validation loss has not fallen for "
                f"{self.epochs - self._best[1]} epochs. The weights of epoch {self._best[1]} are restored."
            )

    # Scoring

    def score(self, part: str) -> Score | None:
        """The score on "training", "validation" or "test" (which counts as one look); None without points."""
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
            loss = float(point_losses(self.setup.learning.loss, shape.output, sums, p, target).mean())
            found = decide(p, data.classes)
            if data.classes:
                return Score(len(value), loss, float((found == value).mean()), None)
            spread = float(((value - value.mean()) ** 2).sum())
            return Score(len(value), loss, None, 1 - float(((found - value) ** 2).sum()) / spread if spread else 0.0)

    def predict(self, xy: Array) -> Array:
        """The outputs, (n, outputs), for points (n, 2) of the plane."""
        with np.errstate(all="ignore"):
            return self.net.forward(self.data.inputs(np.asarray(xy, np.float64), self.setup.net.inputs))

    def decide(self, xy: Array) -> Array:
        """The predicted classes (for regression values), (n,), for points (n, 2) of the plane."""
        return decide(self.predict(xy), self.data.classes)
