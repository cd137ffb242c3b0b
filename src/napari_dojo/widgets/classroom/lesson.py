"""What all parts of the classroom show and change: an exercise, its session, and what was asked of it."""

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
from napari_dojo.playground.slow import Stage, slow_motion

__all__ = ["Lesson", "fitting", "unit_name"]

FORMULA = "y < 0.6 sin(6x)"  # where a formula is asked for and none was typed yet


class Lesson(QObject):
    """One exercise at work. Its parts change it here, and show it when it says so.

    Signals
    -------
    changed : the exercise, the points, the net or a choice is another one.
    moved : the weights are others: something was learned, reset or set by hand.
    staged : slow motion is at another stage, or over.
    said : a level ("ok", "warning" or "error") and a sentence for the person; empty where all is well again.

    Attributes
    ----------
    exercise, session : as they are now.
    wanted : the setup that was asked for; the session's own, but where its points cannot teach anything yet.
    problem : why nothing can be learned, in a sentence; empty where it can.
    met : whether the goal is met.
    revealed, test : whether the test is uncovered, and what it said; learning covers it again.
    hints : how many were asked for.
    stage : where slow motion stands; None where it is off.
    """

    changed = Signal()
    moved = Signal()
    staged = Signal()
    said = Signal(str, str)

    def __init__(self, exercise: Exercise | None = None, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._kept: dict[str, tuple[Exercise, Session, int]] = {}  # other exercises, as they were left
        self._slow: Iterator[Stage] | None = None
        self.stage: Stage | None = None
        self._take(exercise or load("line"))

    def _take(self, exercise: Exercise, session: Session | None = None, hints: int = 0) -> None:
        self.exercise = exercise
        self.session = session or Session(exercise.start)
        self.wanted, self.problem = self.session.setup, ""
        self.revealed, self.hints = False, hints
        self.test: Score | None = None
        self._judge()

    # exercises

    def choose(self, name: str) -> None:
        """An exercise of the course; one that was begun goes on where it was left."""
        if name != self.exercise.name:
            self._keep()
            self._take(*(self._kept.get(name) or (load(name),)))
            self._all_new()

    def open(self, exercise: Exercise, session: Session | None = None) -> None:
        """Another exercise, with the session of who shared it or from its start."""
        self._keep()
        self._take(exercise, session)
        self._all_new()

    def start_over(self) -> None:
        """The exercise as it begins; nothing that was set or learned remains but the count of looks at the test."""
        looks = self.session.looks
        self._take(self.exercise)
        self.session.looks = looks
        self._all_new()

    def solve(self) -> None:
        """Set what the solution of the exercise sets."""
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
        """Whether the exercise lets a person use a control: an option by its name, "seed" or "weights"."""
        return control not in self.exercise.hidden and (not self.exercise.allowed or control in self.exercise.allowed)

    @property
    def remarks(self) -> list[str]:
        """What a person should know about the choices; not what the exercise begins with: to find that is its task."""
        start = self.exercise.start
        known = mismatch(start.points.n_classes, start.net, start.learning.loss)
        return [note for note in self.session.notes if note not in known]

    # choices

    def set(self, **values: Any) -> bool:
        """Change options by their names, whichever part they belong to; whether they could be taken over."""
        if values.get("kind") == "own" and not self.wanted.points.rows:
            values.setdefault("rows", self._as_rows())
        try:
            wanted, told = fitting(self.wanted.with_(**values))
        except DojoError as error:
            self.said.emit("error", str(error))
            self.changed.emit()  # forms show again what is
            return False
        self._change(wanted, told)
        return True

    def _as_rows(self) -> tuple[tuple[float, float, float], ...]:
        """The points as one's own to begin with; those of the test stay what they are: never seen."""
        data = self.session.data
        n = sum(data.counts[:2])
        return tuple((float(x), float(y), float(v)) for (x, y), v in zip(data.xy[:n], data.value[:n], strict=True))

    def set_rows(self, rows: tuple[tuple[float, float, float], ...], **values: Any) -> bool:
        """Points of one's own, x, y and class; too few of them wait until there are enough."""
        return self.set(kind="own", rows=rows, **values)

    def _change(self, setup: Setup, told: str = "") -> None:
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

    @property
    def pending(self) -> bool:
        """Whether there are points of one's own that are not enough to learn from yet."""
        return bool(self.problem) and self.wanted.points.kind == "own"

    # learning

    @property
    def goes(self) -> bool:
        """Whether there is something to learn from, and the net has not run away."""
        return not self.problem and not self.session.diverged

    def step(self) -> None:
        """One update of the weights."""
        if self._may_learn():
            self.session.step()
            self.learned()

    def learn(self, updates: float, seconds: float, last: int) -> float:
        """So many updates, but no longer than a slice of time and to the end of epoch ``last``; how many were done.

        Where ``updates`` is infinite, as many as fit.
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
        """Say that weights are others."""
        self._touched()
        self.moved.emit()

    def reset(self, new: bool = False) -> None:
        """Back to the start: the same start weights, or new ones."""
        if new and self.session.setup.attempt >= 1000:
            new = False
        self.session.reset(new)
        self.wanted = replace(self.wanted, attempt=self.session.setup.attempt)
        self._touched()
        self.said.emit("", "")
        self.changed.emit()
        self.moved.emit()

    def set_weight(self, layer: int, before: int | None, unit: int, value: float) -> None:
        """Change one weight, or with ``before`` None a bias, by hand."""
        try:
            self.session.set_weight(layer, before, unit, value)
        except DojoError as error:
            self.said.emit("error", str(error))
        self.learned()

    def reveal(self) -> None:
        """Uncover the test; each look is counted."""
        if not self.problem:
            self.test = self.session.score("test")
            self.revealed = True
            looks = self.session.looks
            if looks > 1:
                text = f"The test was looked at {looks} times. Who chooses by it needs new points for the last word."
                self.said.emit("warning", text)
            self.changed.emit()

    def _may_learn(self) -> bool:
        why = self.problem or (str(self.session.ended) if self.session.diverged else "")
        if why:
            self.said.emit("error", why)
        return not why

    def _touched(self) -> None:
        """What was said of the weights before holds no more."""
        self.leave_slow()
        self.revealed, self.test = False, None
        self._judge()

    def _judge(self) -> None:
        self.met = not self.problem and self.exercise.met(self.session)

    # slow motion

    def next_stage(self, point: int | None = None) -> None:
        """One stage further; the first one of an update where there is none yet, of a mini-batch or of one point."""
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
        """End slow motion; an update that did not come to its end has changed nothing."""
        if self._slow is not None:
            self._slow.close()  # type: ignore[attr-defined]
        self._slow = None
        if self.stage is not None:
            self.stage = None
            self.staged.emit()


def fitting(setup: Setup) -> tuple[Setup, str]:
    """The setup with as many outputs and such inputs as its points allow, and a sentence where something was changed."""
    points, net = setup.points, setup.net
    if points.kind == "formula" and not points.formula:
        setup = setup.with_(formula=FORMULA)
    if points.kind == "curve" and any("y" in name for name in net.inputs):
        inputs = tuple(name for name in net.inputs if "y" not in name) or ("x",)
        return setup.with_(inputs=inputs, outputs=1), "The curve depends on x alone: inputs with y were taken away."
    classes = points.n_classes
    if net.outputs in (1, classes) or (points.kind == "own" and not points.rows):
        return setup, ""
    if not classes:
        return setup.with_(outputs=1), "A number is to be predicted: the last layer has one neuron now."
    return setup.with_(outputs=classes), f"The last layer has {classes} neurons now, one for each class."


def unit_name(lesson: Lesson, layer: int, unit: int) -> str:
    """What a neuron is called; layer -1 are the inputs."""
    net = lesson.session.setup.net
    if layer < 0:
        return net.sources(0)[unit]
    if layer < len(net.hidden):
        return f"h{unit + 1}" if len(net.hidden) == 1 else f"h{unit + 1} of layer {layer + 1}"
    return "out" if net.outputs == 1 else f"out{unit + 1}"
