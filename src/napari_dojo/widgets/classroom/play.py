"""Controls for training: play, pause, one step, one epoch, reset, and speed."""

from __future__ import annotations

import time
from html import escape
from math import inf
from typing import Any

from qtpy.QtCore import QObject, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QAbstractButton, QHBoxLayout, QPushButton, QSlider, QToolButton, QWidget

from napari_dojo.errors import DojoError
from napari_dojo.playground.counts import updates_per_epoch
from napari_dojo.widgets.classroom.lesson import BaseLesson
from napari_dojo.widgets.common.form import calm, described
from napari_dojo.widgets.common.later import later

__all__ = ["SPEEDS", "PlayRow", "Player"]

FRAME, SLICE, REST = 0.033, 0.012, 0.004  # s: frame interval, training time per frame, pause for the window
# Speeds: title, number per second, and whether the number counts epochs.
SPEEDS = (
    ("1 update per second", 1.0, False),
    ("5 updates per second", 5.0, False),
    ("25 updates per second", 25.0, False),
    ("1 epoch per second", 1.0, True),
    ("5 epochs per second", 5.0, True),
    ("25 epochs per second", 25.0, True),
    ("full speed", inf, True),
)
USUAL = 4


class Player(QObject):
    """Trains in short slices of time, so that the window stays responsive.

    Signals
    -------
    turned : playing started or stopped.
    """

    turned = Signal()

    def __init__(self, lesson: BaseLesson, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._lesson = lesson
        self.playing = False
        self.speed = USUAL
        self._fast = False  # full speed to the end of one epoch
        self._last = 0  # the epoch at which it stops
        self._session = lesson.session  # the session that is playing
        self._due = 0.0  # updates that are due
        self._then = 0.0
        self._timer = later(self, 0, self._tick)
        lesson.changed.connect(self._follow)

    def play(self, epochs: int | None = None) -> None:
        """Train to the number of epochs in the settings, or the same number again; or for ``epochs`` more."""
        lesson = self._lesson
        if self.playing or not lesson.goes:
            return
        lesson.leave_slow()
        self._session = session = lesson.session
        wanted = session.setup.learning.epochs
        self._last = wanted if session.epochs < wanted else session.epochs + wanted
        if epochs is not None:
            self._last = session.epochs + epochs
        self._fast = epochs is not None
        self._due, self._then = 1.0, time.perf_counter()
        self.playing = True
        self.turned.emit()
        self._timer.start(0)

    def pause(self) -> None:
        """Stop training until `play` is called."""
        self._timer.stop()
        if self.playing:
            self.playing = False
            self.turned.emit()

    def toggle(self) -> None:
        """Play, or pause."""
        if self.playing:
            self.pause()
        else:
            self.play()

    def _tick(self) -> None:
        """Train for one slice of time, then update the display."""
        began = time.perf_counter()
        lesson = self._lesson
        session = lesson.session
        _, rate, epochs = SPEEDS[-1 if self._fast else self.speed]
        if epochs:
            rate *= updates_per_epoch(session.data.counts[0], session.setup.learning.batch_size)
        due = min(self._due + rate * (began - self._then), max(rate, 1.0)) if rate != inf else inf
        self._then = began
        try:
            done = lesson.learn(due, SLICE, self._last)
        except DojoError as error:
            self.pause()
            lesson.said.emit("error", str(error))
            return
        self._due = due - done if rate != inf else 0.0
        if done:
            lesson.learned()
        if session.ended or session.epochs >= self._last or not lesson.goes:
            self.pause()
        elif self.playing:  # an update of the display may have stopped it
            self._timer.start(max(int(1000 * REST), int(1000 * (FRAME - (time.perf_counter() - began)))))

    def _follow(self) -> None:
        """Follow changed settings: another number of epochs; pause for another exercise."""
        session = self._lesson.session
        if not self.playing:
            return
        if not self._lesson.goes or session is not self._session:
            self.pause()
        elif session.epochs < session.setup.learning.epochs and not self._fast:
            self._last = session.setup.learning.epochs


class PlayRow(QWidget):
    """The buttons and the speed slider of a player.

    Signals
    -------
    pressed : a button was pressed with the mouse.
    draw : start to draw points.
    """

    pressed = Signal()
    draw = Signal()

    def __init__(self, lesson: BaseLesson, player: Player) -> None:
        super().__init__()
        self._lesson, self._player = lesson, player
        self.play_button = QPushButton("▶ Play")
        self.step_button, self.epoch_button = QToolButton(), QToolButton()
        self.reset_button, self.new_button = QToolButton(), QToolButton()
        self.draw_button = QToolButton()
        texts = (
            (self.step_button, "▶|"),
            (self.epoch_button, "▶▶|"),
            (self.reset_button, "↺"),
            (self.new_button, "↺ new"),
            (self.draw_button, "✎"),
        )
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, len(SPEEDS) - 1)
        self.slider.setPageStep(1)
        self.slider.setValue(USUAL)
        calm(self.slider)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(3)
        row.addWidget(self.play_button, 2)
        for button, text in texts:
            button.setText(text)
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            row.addWidget(button)
        row.addWidget(self.slider, 1)
        self.play_button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        described(self.step_button, "One step", "Make one update of the weights with one mini-batch (S).")
        described(
            self.epoch_button,
            "One epoch",
            f"Train to the end of the epoch, one pass through all {lesson.session.word} (E).",
        )
        described(self.reset_button, "Reset", "Reset to the same initial weights (R).")
        described(self.new_button, "New weights", "Reset with new random initial weights (N).")
        self.draw_button.clicked.connect(self.draw)
        self.play_button.clicked.connect(player.toggle)
        self.step_button.clicked.connect(self.step)
        self.epoch_button.clicked.connect(self.epoch)
        self.reset_button.clicked.connect(lambda: self.reset(False))
        self.new_button.clicked.connect(lambda: self.reset(True))
        for pressed in (self.play_button, self.step_button, self.epoch_button, self.reset_button, self.new_button):
            pressed.clicked.connect(self._focus)
        self.slider.valueChanged.connect(self._set_speed)
        player.turned.connect(self.refresh)
        lesson.changed.connect(self.refresh)
        self._set_speed(USUAL)
        self.refresh()

    def refresh(self) -> None:
        """Enable the buttons and update their tooltips."""
        playing, lesson = self._player.playing, self._lesson
        self.play_button.setText("❚❚ Pause" if playing else "▶ Play")
        why = lesson.problem or str(lesson.session.ended or "") if not lesson.goes else ""
        for button in (self.play_button, self.step_button, self.epoch_button):
            button.setEnabled(not why)
        tip = (
            f"<qt>{escape(why)}</qt>"
            if why
            else ("Pause training (space)." if playing else "Train the network (space).")
        )
        self.draw_button.setVisible(bool(lesson.DRAW) and "kind" not in lesson.exercise.hidden)
        self.draw_button.setEnabled(lesson.may("kind"))
        locked = "" if lesson.may("kind") else " The points are locked in this exercise."
        described(self.draw_button, "Draw my own points", lesson.DRAW + locked)
        described(self.play_button, "Pause" if playing else "Play", tip)

    def step(self) -> None:
        """Make one update."""
        self._player.pause()
        self._lesson.step()

    def epoch(self) -> None:
        """Train to the end of one epoch."""
        self._player.pause()
        self._player.play(1)

    def reset(self, new: bool) -> None:
        """Reset to the same initial weights, or to new ones."""
        self._player.pause()
        self._lesson.reset(new)

    def _focus(self, *_: Any) -> None:
        if not any(button.hasFocus() for button in self.findChildren(QAbstractButton)):
            self.pressed.emit()

    def _set_speed(self, speed: int) -> None:
        self._player.speed = speed
        described(self.slider, "Speed", f"Speed: {SPEEDS[speed][0]}.")

    def key(self, event: Any) -> bool:
        """Handle a key; returns whether it is a shortcut."""
        does = {
            Qt.Key.Key_Space: self._player.toggle,
            Qt.Key.Key_S: self.step,
            Qt.Key.Key_E: self.epoch,
            Qt.Key.Key_R: lambda: self.reset(False),
            Qt.Key.Key_N: lambda: self.reset(True),
        }.get(event.key())
        if does is None or event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier:
            return False
        does()
        return True
