"""The Classroom panel: a small dense net that learns on the canvas, before one's eyes."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QDockWidget, QHBoxLayout, QLabel, QMainWindow, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from napari_dojo.playground.counts import update_sum
from napari_dojo.playground.glossary import explain
from napari_dojo.widgets.classroom.canvas import Canvas
from napari_dojo.widgets.classroom.choose import HowToChoose
from napari_dojo.widgets.classroom.code import CodeWindow
from napari_dojo.widgets.classroom.controls import ChoicesForm, InputsRow, MainChoices, fields_named
from napari_dojo.widgets.classroom.curves import Curves
from napari_dojo.widgets.classroom.data import DataSection
from napari_dojo.widgets.classroom.exercises import ExerciseBox
from napari_dojo.widgets.classroom.lesson import Lesson
from napari_dojo.widgets.classroom.net import NetSection
from napari_dojo.widgets.classroom.play import SPEEDS, Player, PlayRow
from napari_dojo.widgets.classroom.representation import RepresentationView
from napari_dojo.widgets.classroom.slow import SlowMotion
from napari_dojo.widgets.classroom.tabs import Tabs
from napari_dojo.widgets.form import Fold, described, sentence
from napari_dojo.widgets.panel import Panel

__all__ = ["ClassroomPanel"]

STATUS = 180  # ms between two looks at how far it is
LARGE, LARGE_WIDTH = 15, 480  # pt, px
NOTES = 2  # lines that what is to be said has from the start


class ClassroomPanel(Panel):
    """Teach and learn with a small net.

    Parameters
    ----------
    napari_viewer : the viewer; given by napari.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self.lesson = Lesson(parent=self)
        self.canvas = Canvas(self.viewer, self.lesson, self)
        self.player = Player(self.lesson, self)
        self._remark = ("", "")
        self._code: CodeWindow | None = None
        self._build()
        self._connect()
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self._status = QTimer(self)
        self._status.setInterval(STATUS)
        self._status.timeout.connect(self._show_status)
        self._entering = QTimer(self)
        self._entering.setSingleShot(True)
        self._entering.timeout.connect(self.canvas.enter)
        self._entering.start(0)  # the panel is seen before napari makes its first layers
        self._show_status()
        self._say()

    def _build(self) -> None:
        lesson, viewer = self.lesson, self.viewer
        self.exercise = ExerciseBox(lesson)
        self.play = PlayRow(lesson, self.player)
        self.status = QLabel()
        self.status.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.message = sentence(lines=NOTES)
        self.message.setAccessibleName("What happened")
        self.net = NetSection(viewer, lesson)
        self.choices = MainChoices(lesson)
        self.curves = Curves(viewer, lesson)
        self.slow = SlowMotion(lesson, self.canvas)
        self.representation = RepresentationView(viewer, lesson)
        self.tabs = Tabs()
        self.tabs.add("Curves", f"How it learns. {explain('loss')}", self.curves)
        self.tabs.add("Slow motion", f"One update, stage by stage. {explain('back-propagation')}", self.slow)
        self.tabs.add("Representation", explain("representation"), self.representation)
        self.data = DataSection(viewer, lesson, self.canvas)
        self.inputs = InputsRow(lesson)
        self.how = HowToChoose(lesson)
        against = fields_named("dropout", "l1", "l2", "patience", "start", "skip")
        self.more = ChoicesForm(lesson, against)
        for widget in (self.exercise, self.play, self.status, self.message, self.net, self.choices, self.tabs):
            self.column.addWidget(widget)
        self.column.addLayout(self._buttons())
        folds = (
            ("Points", "points", self.data),
            ("Inputs", "inputs", self.inputs),
            ("How to choose", "choose", self.how),
            ("Against over-fitting, start values", "more", self.more),
        )
        self.folds = {key: Fold(title, body, f"classroom-{key}") for title, key, body in folds}
        for fold in self.folds.values():
            self.column.addWidget(fold)
        self.column.addStretch(1)
        self.column.setSpacing(4)

    def _buttons(self) -> QHBoxLayout:
        self.code_button, self.copy_button = QPushButton("Show the code"), QPushButton("Copy this exercise")
        described(self.code_button, "Show the code", "This very net and its learning as a script in PyTorch or Keras.")
        tip = "As one line of text, to give out: the exercise with its settings, without weights."
        described(self.copy_button, "Copy this exercise", tip)
        row = QHBoxLayout()
        row.setSpacing(4)
        for button in (self.code_button, self.copy_button):
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            row.addWidget(button, 1)
        self.code_button.clicked.connect(self.show_code)
        self.copy_button.clicked.connect(lambda: self.exercise.copy(False))
        return row

    def _connect(self) -> None:
        lesson = self.lesson
        lesson.said.connect(self._said)
        lesson.changed.connect(self._changed)
        lesson.moved.connect(self._moved)
        self.player.turned.connect(self._turned)
        self.slow.begun.connect(self.player.pause)
        self.net.shown.connect(self.canvas.show_neuron)
        self.canvas.lost.connect(self._lost)
        self.data.aside.connect(self._step_aside)
        self.exercise.large.connect(self.enlarge)
        self.exercise.words.connect(self.show_words)

    # what is said

    def _said(self, level: str, text: str) -> None:
        self._remark = (level, text)
        self._say()

    def _say(self) -> None:
        """What is most important now: a problem, what just happened, why it ended, a pairing that does not fit."""
        lesson, session = self.lesson, self.lesson.session
        if lesson.problem:
            level, text = "warning" if lesson.pending else "error", lesson.problem
        elif self._remark[1]:
            level, text = self._remark
        elif session.ended:
            level, text = "error" if session.diverged else "ok", str(session.ended)
        elif session.notes:
            level, text = "warning", session.notes[0]
        elif self._done():
            level = "ok"
            text = f"The {session.epochs} epochs are done. Play goes on; ↺ begins anew."
        else:
            level, text = "", ""
        shown = self.marked(level, text) if level else text
        if self.message.text() != shown:
            self.message.setText(shown)

    def _done(self) -> bool:
        return not self.player.playing and self.lesson.session.epochs >= self.lesson.session.setup.learning.epochs

    def _show_status(self) -> None:
        session = self.lesson.session
        n, batch = session.data.counts[0], session.setup.learning.batch_size
        epochs = f"epoch {session.epochs} of {session.setup.learning.epochs}"
        text = f"{epochs}, {session.updates:,} updates, {SPEEDS[self.player.speed][0]}"
        if self.status.text() != text:
            self.status.setText(text)
            self.status.setToolTip(f"Updates an epoch: {update_sum(n, batch)}. {explain('epoch')} {explain('update')}")

    def _changed(self) -> None:
        self._show_status()
        self._say()

    def _moved(self) -> None:
        if not self.player.playing:
            self._show_status()
            self._say()

    def _turned(self) -> None:
        """It plays now, or no more."""
        if self.player.playing:
            self._remark = ("", "")
            if not self.canvas.there:
                self.canvas.show()
            self._status.start()
        else:
            self._status.stop()
            self.canvas.rest()
        self._show_status()
        self._say()
        self._lead()

    def _lead(self) -> None:
        """The natural next step."""
        self.lead(self.play.play_button)

    def _lost(self) -> None:
        if not self._ended:
            self._said("warning", "A layer of the classroom was taken away. Press any button here, and it comes back.")

    # what else a person does

    def _step_aside(self, on: bool) -> None:
        if on:
            self.canvas.step_aside()
        else:
            self.canvas.enter()

    def show_code(self) -> None:
        """The script in a window."""
        if self._code is None:
            self._code = CodeWindow(self.lesson, self)
        self._code.show()
        self._code.raise_()

    def show_words(self) -> None:
        """The glossary in a window."""

    def enlarge(self, on: bool) -> None:
        """Large type, for the projector, or the usual one."""
        self.setStyleSheet(f"* {{ font-size: {LARGE}pt; }}" if on else "")
        self.curves.enlarge(LARGE if on else 0)
        self.net.view.refresh()
        dock = self.parent()
        window = dock.parent() if isinstance(dock, QDockWidget) else None
        if isinstance(dock, QDockWidget) and isinstance(window, QMainWindow):
            window.resizeDocks([dock], [LARGE_WIDTH if on else 340], Qt.Orientation.Horizontal)

    def keyPressEvent(self, event: Any) -> None:  # noqa: N802
        """The panel's own keys, where no field takes them."""
        if event.key() == Qt.Key.Key_M and not event.modifiers():
            self.tabs.turn(1)
            self.slow.next()
        elif not self.play.key(event):
            super().keyPressEvent(event)

    def showEvent(self, event: Any) -> None:  # noqa: N802
        """The button to press first."""
        super().showEvent(event)
        self._lead()

    def end(self) -> None:
        """The panel is closing."""
        if not self._ended:
            self.player.pause()
            self._status.stop()
            self._entering.stop()
            super().end()
            self.slow.end()
            self.net.end()
            if self._code is not None:
                self._code.close()
            self.data.end()
            self.curves.end()
            self.canvas.leave()
