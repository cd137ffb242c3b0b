"""Finding out what to start from: each start is trained with for a moment, and the best one continues.

No time goes to what is clear before: a model that is further from the targets than a new network is not tried, and a trial ends
at its half where its loss is `FAR` times that of another at its half.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from napari_dojo.events import Control, Event, Message, Progress, Tried, Validated
from napari_dojo.models.library import Model
from napari_dojo.training.start import Comparison

if TYPE_CHECKING:
    from napari_dojo.training.learner import Learner

__all__ = ["Candidate", "find_start"]

NOTHING = "nothing"
FAR = 2.0  # times the loss of another one after half of a trial; mean AP .7 and 0 differ by four times, .82 and .72 by 1.3


class Candidate(Protocol):
    """A training that can be tried."""

    learner: Learner
    paused: float  # seconds of its trial that somebody waited
    halfway: float | None  # validation loss after half of its trial, None before

    @property
    def baseline(self) -> dict[str, Any] | None:
        """The baseline's score, None before the first check."""
        ...

    @property
    def took(self) -> float:
        """Seconds of the last check."""
        ...

    @property
    def checked(self) -> Validated | None:
        """The last check."""
        ...

    @property
    def hopeless(self) -> bool:
        """Whether its start is no nearer to the targets, before any training, than a new network."""
        ...

    def leave(self: C, better: C) -> None:
        """Another one continues."""
        ...

    @property
    def reached(self) -> float:
        """The best score so far."""
        ...

    @property
    def figure(self) -> str:
        """The same with its name and unit."""
        ...

    @property
    def best_step(self) -> int:
        """The step that had the best score so far."""
        ...

    def begin(self) -> None:
        """Make the learner and its batches; with a start, measure it before any training."""
        ...

    def attempt(
        self, seconds: float, steps: int, most: float = float("inf")
    ) -> Generator[float | Validated, None, None]:
        """Train for so long (0: the other rules), and measure; yields the share that is done, and checks.

        Ends at its half where the loss is more than ``most`` then.
        """
        ...


C = TypeVar("C", bound=Candidate)


@dataclass(frozen=True)
class _Outcome:
    """How far a candidate came, in words."""

    name: str
    figure: str
    when: str


def find_start(
    make: Callable[[Model | None, C | None], C], comparison: Comparison, control: Control
) -> Generator[Event, None, tuple[C, str]]:
    """The training that does best, with what it has learned so far, and a sentence that says why.

    Parameters
    ----------
    make : (model or None for nothing, a training before it that it may share data with) -> a training.
    """
    if comparison.by == "trials":
        yield Message("info", f"Comparing starts: nothing, {comparison.names}.")
    training = make(None if comparison.by == "nothing" else comparison.models[0], None)
    training.begin()
    slow = bool(comparison.seconds) and training.took > comparison.seconds and comparison.scores
    if comparison.by == "trials" and not slow:
        return (yield from _by_trials(make, training, comparison, control))
    if comparison.by == "nothing":
        why = f"{comparison.names} cannot be compared with it ({comparison.why})"
        return training, f"Started from nothing: {why}."
    training, name = _best_start(make, training, comparison.models[:1] if slow else comparison.models)
    assert training.baseline is not None
    held, method = training.baseline["selection_score"], training.baseline["method"]
    told = f"{training.figure} before any training, against {held:.3f} for the baseline ({method})"
    if training.reached > held or training.reached == held > 0:
        return training, f"Started from {name}: {told}."
    nothing = make(None, training)
    nothing.begin()
    training.leave(nothing)
    return nothing, f"Started from nothing: {name} has {told}."


def _best_start(make: Callable[[Model | None, C | None], C], best: C, models: Sequence[Model]) -> tuple[C, str]:
    """The training whose start scores best before any training, and that start; ``best`` : from the first model, which has begun."""
    name = models[0].name
    for model in models[1:]:
        other = make(model, best)
        other.begin()
        if other.reached > best.reached:
            best.leave(other)
            best, name = other, model.name
        else:
            other.leave(best)
    return best, name


def _by_trials(
    make: Callable[[Model | None, C | None], C], first: C, comparison: Comparison, control: Control
) -> Generator[Event, None, tuple[C, str]]:
    """``first`` is the training from the first model, which has begun."""
    trials: _Trials[C] = _Trials(comparison, comparison.steps)
    last = first
    for i, model in enumerate((*comparison.models, None)):
        training = first
        if i:
            training = make(model, trials.best or last)
            training.begin()
            if trials.best is None:
                last.leave(training)
        last = training
        name = NOTHING if model is None else model.name
        if training.checked is not None:  # before any training
            yield _tried(name, training, training.checked)
        if model is None and trials.best is None:
            return training, f"Started from nothing: {_worse(trials.hopeless)}"
        if model is not None and training.hopeless:
            trials.hopeless.append(name)
            if trials.best is not None:
                training.leave(trials.best)
            continue
        yield from trials.attempt(i, name, training)
        if control.stop:
            break
    best = trials.best
    assert best is not None
    best.paused = trials.paused
    return best, trials.sentence


@dataclass
class _Trials(Generic[C]):
    """What was tried.

    Attributes
    ----------
    steps : of each trial, 0 before the first one where time rules.
    best : the training that did best so far; ``told`` what is said of it first, and of the others.
    hopeless : names of models that were not tried.
    paused : seconds that somebody waited.
    """

    comparison: Comparison
    steps: int
    best: C | None = None
    told: list[_Outcome] = field(default_factory=list)
    hopeless: list[str] = field(default_factory=list)
    paused: float = 0.0

    def attempt(self, place: int, name: str, training: C) -> Generator[Event, None, None]:
        """Try one, the ``place``-th; the better one of it and the best so far is kept."""
        best, comparison = self.best, self.comparison
        count = len(comparison.models) + 1
        most = float("inf") if best is None or best.halfway is None else FAR * best.halfway
        for said in training.attempt(comparison.seconds, self.steps, most):
            if isinstance(said, Validated):
                yield _tried(name, training, said)
            else:
                yield Progress(round(100 * (place + said)), 100 * count)
        self.paused += training.paused
        self.steps = self.steps or training.learner.step
        outcome, reached = _Outcome(name, training.figure, _when(training)), training.reached
        same = best is not None and name == NOTHING and reached == best.reached
        if best is None or reached > best.reached or (same and comparison.held is None):
            if best is not None:
                best.leave(training)
            self.best, self.told = training, [outcome, *self.told]
        else:
            training.leave(best)
            self.told.append(outcome)

    @property
    def sentence(self) -> str:
        """What it starts from, and why: ``Started from a: mean AP 0.71 after 20 s, against 0.42 after 20 s from nothing.``"""
        first, *others = self.told
        against = " and ".join(f"{o.figure} {o.when} from {o.name}" for o in others)
        said = [
            f"Started from {first.name}: {first.figure} {first.when}" + (f", against {against}." if against else ".")
        ]
        if self.hopeless:
            said.append(_worse(self.hopeless))
        held = self.comparison.held
        if held is not None:
            said.append(f"Compared on {held.pieces} of {held.of} annotated places; now all are trained on.")
        return " ".join(said)


def _tried(name: str, training: Candidate, check: Validated) -> Tried:
    return Tried(name, check.step, training.figure, check.score, check.baseline, check.preview)


def _when(training: Candidate) -> str:
    return "before any training" if training.best_step == 0 else f"after {max(1, round(training.learner.seconds))} s"


def _worse(names: list[str]) -> str:
    """Why models were not tried."""
    predict = "predicts" if len(names) == 1 else "predict"
    return f"{' and '.join(names)} {predict} these data worse, before any training, than a new network."
