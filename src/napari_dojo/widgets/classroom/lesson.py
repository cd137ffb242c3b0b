"""The model of the Classroom panel: an exercise, its session and the requested settings."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from napari_dojo.errors import DojoError
from napari_dojo.playground import Score, Session, Setup
from napari_dojo.playground.advice import mismatch
from napari_dojo.playground.exercise import Exercise, load
from napari_dojo.playground.kinds import AnySession, session_of
from napari_dojo.playground.slow import Stage, slow_motion

__all__ = ["BaseLesson", "Lesson", "fitting", "unit_name"]

FORMULA = "y < 0.6 sin(6x)"  # the default formula


class BaseLesson(QObject):
    """The state that the parts of a classroom show and change, whatever its examples and networks are.

    Signals
    -------
    changed : the exercise, the points, the network or a setting changed.
    moved : the weights changed: by training, by a reset or by hand.
    said : a level ("ok", "warning" or "error") and a message; empty to clear it.
    elsewhere : an exercise of another kind was chosen, and a session of it or None; another lesson shows it.

    Attributes
    ----------
    exercise, session : the current ones.
    wanted : the requested setup; differs from the session's while its points are not sufficient for training.
    problem : why training is not possible, in one sentence; empty if it is.
    met : whether the goal is met.
    revealed, test : whether the test score is revealed, and the score; training hides it again.
    hints : the number of hints shown.
    """

    KIND: type  # of the setups of its exercises
    DRAW = ""  # tooltip of the button for drawing beside those for training; empty: there is none

    changed = Signal()
    moved = Signal()
    said = Signal(str, str)
    elsewhere = Signal(object, object)
    session: Any
    wanted: Any

    def __init__(self, exercise: Exercise, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._kept: dict[str, tuple[Exercise, AnySession, int]] = {}  # sessions of the other exercises
        self._take(exercise)

    def _take(self, exercise: Exercise, session: AnySession | None = None, hints: int = 0) -> None:
        self.exercise = exercise
        self.session = session or session_of(exercise.start)
        self.wanted, self.problem = self.session.setup, ""
        self.revealed, self.hints = False, hints
        self.test: Score | None = None
        self._judge()

    # exercises

    def choose(self, name: str) -> None:
        """Switch to a built-in exercise, with its previous session if there is one."""
        if name != self.exercise.name:
            known = self._kept.get(name) or (load(name),)
            if not isinstance(known[0].start, self.KIND):
                self.elsewhere.emit(known[0], None)
                return
            self._keep()
            self._take(*known)
            self._all_new()

    def open(self, exercise: Exercise, session: AnySession | None = None) -> None:
        """Switch to an exercise, with a shared session or from its initial setup."""
        if not isinstance(exercise.start, self.KIND):
            self.elsewhere.emit(exercise, session)
            return
        self._keep()
        self._take(exercise, session)
        self._all_new()

    def start_over(self) -> None:
        """Restart the exercise with its initial settings; only the count of test looks remains."""
        looks = self.session.looks
        self._take(self.exercise)
        self.session.looks = looks
        self._all_new()

    def solve(self) -> None:
        """Apply the settings of the solution."""
        if self.exercise.solution is not None:
            self._change(self.exercise.solution)
            self.reset()

    def _keep(self) -> None:
        self._kept[self.exercise.name] = (self.exercise, self.session, self.hints)

    def _all_new(self) -> None:
        self.leave_slow()
        self.said.emit("", "")
        self.changed.emit()
        self.moved.emit()

    def may(self, control: str) -> bool:
        """Whether the exercise allows a control: an option by name, "seed" or "weights"."""
        return control not in self.exercise.hidden and (not self.exercise.allowed or control in self.exercise.allowed)

    # settings

    def _change(self, setup: Any, told: str = "") -> None:
        self.wanted = setup
        try:
            self.session.change(setup)
        except DojoError as error:
            self.problem = str(error)
        else:
            self.problem = ""
        self._touched()
        self.said.emit("warning" if told else "", told)
        self.changed.emit()
        self.moved.emit()

    # training

    @property
    def goes(self) -> bool:
        """Whether training is possible: the points are sufficient and it has not diverged."""
        return not self.problem and not self.session.diverged

    def step(self) -> None:
        """Make one update of the weights."""
        if self._may_learn():
            self.session.step()
            self.learned()

    def learn(self, updates: float, seconds: float, last: int) -> float:
        """Train for up to ``updates`` updates, ``seconds`` seconds and epoch ``last``; returns the number of updates.

        ``updates`` may be infinite.
        """
        session = self.session
        before, end = session.updates, time.perf_counter() + seconds
        if updates == float("inf"):
            session.advance(seconds, last)
        else:
            while session.updates - before + 1 <= updates and not session.ended and session.epochs < last:
                session.step()
                if time.perf_counter() >= end:
                    break
        return session.updates - before

    def learned(self) -> None:
        """Announce new weights."""
        self._touched()
        self.moved.emit()

    def reset(self, new: bool = False) -> None:
        """Reset to the same initial weights, or to new ones."""
        if new and self.session.setup.attempt >= 1000:
            new = False
        self.session.reset(new)
        self.wanted = replace(self.wanted, attempt=self.session.setup.attempt)
        self._touched()
        self.said.emit("", "")
        self.changed.emit()
        self.moved.emit()

    def reveal(self) -> None:
        """Reveal the test score; each look is counted."""
        if not self.problem:
            self.test = self.session.score("test")
            self.revealed = True
            looks = self.session.looks
            if looks > 1:
                text = f"Test score revealed {looks} times. If you choose settings by it, you need new test points."
                self.said.emit("warning", text)
            self.changed.emit()

    def _may_learn(self) -> bool:
        why = self.problem or (str(self.session.ended) if self.session.diverged else "")
        if why:
            self.said.emit("error", why)
        return not why

    def _touched(self) -> None:
        """Drop what depends on the previous weights."""
        self.leave_slow()
        self.revealed, self.test = False, None
        self._judge()

    def _judge(self) -> None:
        self.met = not self.problem and self.exercise.met(self.session)

    # what a kind of lesson adds

    @property
    def remarks(self) -> list[str]:
        """Warnings about the settings."""
        return list(self.session.notes)

    @property
    def pending(self) -> bool:
        """Whether more examples are needed before training."""
        return False

    @property
    def drawn(self) -> bool:
        """Whether the examples are the user's own."""
        return False

    def fitting(self, wanted: Any) -> tuple[Any, str]:
        """A setup changed so that its parts fit together, and a message if something was changed."""
        return wanted, ""

    def leave_slow(self) -> None:
        """End slow motion, where there is one."""

    def set(self, **values: Any) -> bool:
        """Change options by name; returns whether that worked."""
        try:
            wanted, told = self.fitting(self.wanted.with_(**values))
        except DojoError as error:
            self.said.emit("error", str(error))
            self.changed.emit()  # reset the forms
            return False
        self._change(wanted, told)
        return True


class Lesson(BaseLesson):
    """A lesson on points of the plane.

    Signals
    -------
    staged : slow motion reached another stage or ended.

    Attributes
    ----------
    stage : the stage of slow motion; None if it is off.
    """

    KIND = Setup
    DRAW = "Start with an empty plane and draw points of your own."
    staged = Signal()
    session: Session
    wanted: Setup

    def __init__(self, exercise: Exercise | None = None, parent: QObject | None = None) -> None:
        super().__init__(exercise or load("line"), parent)
        self._slow: Iterator[Stage] | None = None
        self.stage: Stage | None = None

    @property
    def remarks(self) -> list[str]:
        """Warnings about the settings, except for the initial ones of the exercise, which may be its task."""
        start = self.exercise.start
        assert isinstance(start, Setup)
        known = mismatch(start.points.n_classes, start.net, start.learning.loss)
        return [note for note in self.session.notes if note not in known]

    def fitting(self, wanted: Setup) -> tuple[Setup, str]:
        """The setup with outputs and inputs that fit its points."""
        return fitting(wanted)

    def set(self, **values: Any) -> bool:
        """Change options by name; returns whether that worked."""
        if values.get("kind") == "custom" and not self.wanted.points.rows:
            values.setdefault("rows", self._as_rows())
        return super().set(**values)

    def _as_rows(self) -> tuple[tuple[float, float, float], ...]:
        """The current points as custom points, without the test set."""
        data = self.session.data
        n = sum(data.counts[:2])
        return tuple((float(x), float(y), float(v)) for (x, y), v in zip(data.xy[:n], data.value[:n], strict=True))

    def set_rows(self, rows: tuple[tuple[float, float, float], ...], **values: Any) -> bool:
        """Set custom points (x, y, class); too few of them wait until there are enough."""
        return self.set(kind="custom", rows=rows, **values)

    @property
    def drawn(self) -> bool:
        """Whether the points are the user's own."""
        return self.session.setup.points.kind == "custom"

    @property
    def pending(self) -> bool:
        """Whether there are custom points, but too few for training."""
        return bool(self.problem) and self.wanted.points.kind == "custom"

    def set_weight(self, layer: int, before: int | None, unit: int, value: float) -> None:
        """Set one weight by hand, or with ``before`` None a bias."""
        try:
            self.session.set_weight(layer, before, unit, value)
        except DojoError as error:
            self.said.emit("error", str(error))
        self.learned()

    # slow motion

    def next_stage(self, point: int | None = None) -> None:
        """Go to the next stage, or start an update of a mini-batch or of one point."""
        if self._slow is None:
            if not self._may_learn():
                return
            self._slow = slow_motion(self.session, point)
        before = self.session.updates
        self.stage = next(self._slow, None)
        if self.stage is None or self.stage.kind == "done":
            self._slow = None
        self.staged.emit()
        if self.session.updates != before:
            self.revealed, self.test = False, None
            self._judge()
            self.moved.emit()

    def leave_slow(self) -> None:
        """End slow motion; an unfinished update changes nothing."""
        if self._slow is not None:
            self._slow.close()  # type: ignore[attr-defined]
        self._slow = None
        if self.stage is not None:
            self.stage = None
            self.staged.emit()


def fitting(setup: Setup) -> tuple[Setup, str]:
    """The setup with outputs and inputs that fit its points, and a message if something was changed."""
    points, net = setup.points, setup.net
    if points.kind == "formula" and not points.formula:
        setup = setup.with_(formula=FORMULA)
    if points.kind == "curve" and any("y" in name for name in net.inputs):
        inputs = tuple(name for name in net.inputs if "y" not in name) or ("x",)
        return setup.with_(inputs=inputs, outputs=1), "The curve depends on x alone: inputs with y were removed."
    classes = points.n_classes
    if net.outputs in (1, classes) or (points.kind == "custom" and not points.rows):
        return setup, ""
    if not classes:
        return setup.with_(outputs=1), "Regression needs one output: the number of outputs is now 1."
    return setup.with_(outputs=classes), f"The output layer now has {classes} neurons, one per class."


def unit_name(lesson: Lesson, layer: int, unit: int) -> str:
    """The name of a neuron; layer -1 are the inputs."""
    net = lesson.session.setup.net
    if layer < 0:
        return net.sources(0)[unit]
    if layer < len(net.hidden):
        return f"h{unit + 1}" if len(net.hidden) == 1 else f"h{unit + 1} of layer {layer + 1}"
    return "out" if net.outputs == 1 else f"out{unit + 1}"
