"""Training with an optimizer, step by step or to the end, whatever the examples and the network are."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from napari_dojo.errors import DojoError
from napari_dojo.playground.activations import Array
from napari_dojo.playground.net import LARGEST, set_parameters
from napari_dojo.playground.optimizers import OPTIMIZERS
from napari_dojo.playground.settings import Learning

__all__ = ["Record", "Score", "Trainer"]


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


class Examples(Protocol):
    """Examples in the order training, validation, test."""

    @property
    def counts(self) -> tuple[int, int, int]: ...

    @property
    def classes(self) -> int: ...

    def part(self, name: str) -> slice: ...


class Trainable(Protocol):
    """What an optimizer needs of a network: one vector each of weights and biases, their gradient, and which are weights."""

    parameters: Array
    gradient: Array
    is_weight: Array


class Described(Protocol):
    """What training needs of the settings."""

    @property
    def learning(self) -> Learning: ...

    @property
    def seed(self) -> int: ...

    @property
    def attempt(self) -> int: ...


S = TypeVar("S", bound=Described)


class Trainer(ABC, Generic[S]):
    """A network in training. To pause, do not ask for the next step.

    A subclass draws its examples (`_draw`) and its network (`_network`), and computes gradients and scores. One random
    generator draws examples, split, initial weights, the order of each epoch and what else is random, in that order.
    The same setup gives the same numbers on every machine.

    Parameters
    ----------
    setup : examples, network and training settings.
    parameters : (parameters,), initial weights and biases instead of random ones.
    looks : how often the test score was revealed before.

    Attributes
    ----------
    data, net, optimizer : the current state.
    epochs, updates : how many are done.
    history : the scores before training and after every epoch.
    ended : why training stopped, in one sentence; None while it can continue. ``diverged``: whether it diverged.
    looks : how often the test score was revealed.
    altered : whether weights were set by hand or settings changed during training, so that the setup alone does not
        reproduce the result.

    Raises
    ------
    DojoError : if examples, network and settings do not fit together.
    """

    word = "points"  # what the examples are
    data: Examples
    net: Trainable
    setup: S
    _x: Array  # inputs of all examples
    _targets: Array  # (examples, outputs)
    _after_data: Any  # the state of the random generator after the examples

    def __init__(self, setup: S, parameters: Any = None, looks: int = 0) -> None:
        self.looks = looks
        self._draw(setup)
        self.reset()
        if parameters is not None:
            set_parameters(self.net.parameters, parameters)
            self.altered = True
            self._begin()

    @abstractmethod
    def _draw(self, setup: S) -> None:
        """Draw the examples: set ``setup``, ``data``, ``_x``, ``_targets`` and ``_after_data``."""

    @abstractmethod
    def _network(self, rng: np.random.Generator) -> Any:
        """A network with random initial weights."""

    @abstractmethod
    def _backward(self, x: Array, target: Array) -> None:
        """Compute the gradient of a mini-batch's mean loss."""

    @abstractmethod
    def _score(self, part: str) -> Score | None:
        """The score on a part of the examples; None if it has none."""

    @property
    @abstractmethod
    def own_figures(self) -> dict[str, float | None]:
        """The quantities of this network that a goal can use, beside the scores: parameters, layers, units."""

    @property
    def mismatches(self) -> list[str]:
        """Why output layer and loss do not suit the examples."""
        return []

    @property
    def notes(self) -> list[str]:
        """Warnings about these settings, one sentence each."""
        learning, n, notes = self.setup.learning, self.data.counts[0], list(self.mismatches)
        if learning.batch_size > n:
            notes.append(
                f"The batch size {learning.batch_size} exceeds the {n} training {self.word}: each update uses all of them."
            )
        if learning.patience and not self.data.counts[1]:
            notes.append(f"Early stopping has no effect, because there are no validation {self.word}.")
        return notes

    def reset(self, new: bool = False) -> None:
        """Reset to the same initial weights, or with ``new`` to other random ones."""
        if new:
            self.setup = replace(self.setup, attempt=self.setup.attempt + 1)  # type: ignore[type-var]
        self._rng = np.random.default_rng()
        self._rng.bit_generator.state = self._after_data
        for _ in range(self.setup.attempt + 1):
            self.net = self._network(self._rng)
        self.altered = False
        self._begin()

    def _begin(self) -> None:
        self.epochs = self.updates = 0
        self.optimizer = OPTIMIZERS[self.setup.learning.optimizer](len(self.net.parameters))
        self._at = 0  # position in the order of this epoch; 0: the order is not drawn yet
        self.ended: str | None = None
        self.diverged = False
        self.history = [self._scores()]
        self._good = self.net.parameters.copy()
        self._best: tuple[float, int, Array] = (np.inf, 0, self._good)

    def _keep_on(self, before: Learning, more: bool) -> None:
        """Training continues with changed settings; ``more`` : others than those of ``learning`` changed, too."""
        now = self.setup.learning
        if now.optimizer != before.optimizer or self.diverged:
            self.optimizer = OPTIMIZERS[now.optimizer](len(self.net.parameters))
        same = replace(before, epochs=now.epochs, patience=now.patience)  # a different end does not change the way
        self.altered = self.altered or (self.updates > 0 and (more or now != same))
        self.ended, self.diverged = None, False
        if not self.updates:
            self._begin()

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

    def penalty_gradient(self) -> Array:
        """Gradient of the L1 and L2 penalties, (parameters,); biases are not penalized."""
        weights, learning = self.net.parameters * self.net.is_weight, self.setup.learning
        slope: Array = learning.l1 * np.sign(weights) + 2 * learning.l2 * weights
        return slope

    def _update(self, x: Array, target: Array) -> None:
        """One training step: forward pass, backward pass, optimizer step."""
        net, learning = self.net, self.setup.learning
        self._backward(x, target)
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
        self.optimizer = OPTIMIZERS[self.setup.learning.optimizer](len(self.net.parameters))
        self._at, self.diverged = 0, True
        rate = self.setup.learning.learning_rate
        cures = [f"Try a learning rate of {min(rate / 10, 0.05):g}."]
        cures += self.mismatches[:1]
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

    def score(self, part: str) -> Score | None:
        """The score on "training", "validation" or "test" (which counts as one look); None without examples."""
        if part == "test":
            self.looks += 1
        return self._score(part)

    def _scores(self) -> Record:
        return Record(self.epochs, self._score("training"), self._score("validation"))
