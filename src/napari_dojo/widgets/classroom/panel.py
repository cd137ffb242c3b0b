"""The Classroom panel: train a small dense network and watch it on the canvas."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QDockWidget, QHBoxLayout, QLabel, QMainWindow, QPushButton, QSizePolicy

from napari_dojo.playground.counts import split_words, update_sum
from napari_dojo.playground.glossary import explain, terms
from napari_dojo.widgets.classroom.canvas import Canvas
from napari_dojo.widgets.classroom.choose import HowToChoose
from napari_dojo.widgets.classroom.code import CodeWindow, TextWindow
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
from napari_dojo.widgets.common.form import Fold, described, sentence
from napari_dojo.widgets.common.panel import Panel
from napari_dojo.widgets.common.plot import theme_colours

__all__ = ["ClassroomPanel"]

ENTER = 30  # ms until the layers are added, after the panel is shown
STATUS = 180  # ms between updates of the status line
WIDTH, LARGE, LARGE_WIDTH = 340, 13, 420  # px, pt, px
SAFE_RATE = 0.05
# Combo boxes with less padding than elsewhere in napari.
BOXES = (
    "QComboBox { padding: 3px 2px 3px 6px; } QComboBox::drop-down { width: 17px; } "
    "QComboBox::down-arrow { width: 10px; height: 10px; } "
)
# The options of each section; a section is hidden if the exercise hides all of them.
FOLDED = {
    "inputs": ("inputs",),
    "choose": ("output", "loss", "outputs"),
    "more": ("dropout", "l1", "l2", "patience", "initializer", "skip"),
}


class ClassroomPanel(Panel):
    """Teach and learn deep learning with a small network.

    Parameters
    ----------
    napari_viewer : the viewer; given by napari.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self.lesson = Lesson(parent=self)
        self.canvas = Canvas(self.viewer, self.lesson, self)
        self.player = Player(self.lesson, self)
        self._remark = ("", "")  # the latest message: level and text
        self._gone = False  # whether the user removed a layer of the classroom
        self._windows: dict[str, TextWindow] = {}
        self._build()
        self._connect()
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.setStyleSheet(BOXES)
        self._status = QTimer(self)
        self._status.setInterval(STATUS)
        self._status.timeout.connect(self._show_status)
        self._entering = QTimer(self)
        self._entering.setSingleShot(True)
        self._entering.timeout.connect(self.canvas.enter)
        self._entering.start(ENTER)
        self._changed()

    def _build(self) -> None:
        lesson, viewer = self.lesson, self.viewer
        self.exercise = ExerciseBox(lesson)
        self.play = PlayRow(lesson, self.player)
        self.status = QLabel()
        self.status.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.message = sentence()
        self.message.setAccessibleName("Message")
        self.message.setTextInteractionFlags(Qt.TextInteractionFlag.TextBrowserInteraction)
        self.net = NetSection(viewer, lesson)
        self.choices = MainChoices(lesson)
        self.curves = Curves(viewer, lesson)
        self.slow = SlowMotion(lesson, self.canvas)
        self.representation = RepresentationView(viewer, lesson)
        self.tabs = Tabs()
        self.tabs.add("Curves", f"Loss and accuracy during training. {explain('loss')}", self.curves)
        self.tabs.add("Slow motion", f"One update, stage by stage. {explain('back-propagation')}", self.slow)
        self.tabs.add("Representation", explain("representation"), self.representation)
        for widget in (self.exercise, self.play, self.status, self.message, self.net, self.choices, self.tabs):
            self.column.addWidget(widget)
        self.column.addLayout(self._buttons())
        self._sections()
        self.column.addStretch(1)
        self.column.setSpacing(4)
        self.column.setContentsMargins(5, 4, 5, 4)

    def _buttons(self) -> QHBoxLayout:
        self.code_button, self.copy_button = QPushButton("Show code"), QPushButton("Copy exercise")
        described(self.code_button, "Show code", "Show the network and its training as a PyTorch or Keras script.")
        tip = "Copy the exercise with its settings, without weights, as one line of text to share."
        described(self.copy_button, "Copy exercise", tip)
        row = QHBoxLayout()
        row.setSpacing(4)
        for button in (self.code_button, self.copy_button):
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            row.addWidget(button, 1)
        return row

    def _sections(self) -> None:
        lesson = self.lesson
        self.data = DataSection(self.viewer, lesson, self.canvas)
        self.inputs, self.how = InputsRow(lesson), HowToChoose(lesson)
        self.more = ChoicesForm(lesson, fields_named(*FOLDED["more"]))
        self.folds = {
            "points": Fold("Points", self.data, "classroom-points"),
            "inputs": Fold("Inputs", self.inputs, "classroom-inputs"),
            "choose": Fold("How to choose", self.how, "classroom-choose"),
            "more": Fold("Regularization and initialization", self.more, "classroom-more"),
        }
        for fold in self.folds.values():
            self.column.addWidget(fold)

    def _connect(self) -> None:
        lesson = self.lesson
        lesson.said.connect(self._said)
        self.play.draw.connect(self.data.draw)
        lesson.changed.connect(self._changed)
        lesson.moved.connect(self._moved)
        self.player.turned.connect(self._turned)
        self.slow.begun.connect(self.player.pause)
        self.net.shown.connect(self.canvas.show_neuron)
        self.canvas.lost.connect(self._lost)
        self.data.aside.connect(self._step_aside)
        self.exercise.large.connect(self.enlarge)
        self.exercise.words.connect(self.show_words)
        self.message.linkActivated.connect(self._fix)
        self.code_button.clicked.connect(self.show_code)
        self.copy_button.clicked.connect(lambda: self.exercise.copy(False))
        self.play.pressed.connect(self.setFocus)  # so that the panel receives the next key

    # messages

    def _said(self, level: str, text: str) -> None:
        self._remark = (level, text)
        self._say()

    def _say(self) -> None:
        """Show the most important message: a problem, the latest event, why training ended, or a warning."""
        lesson, session = self.lesson, self.lesson.session
        level, text, more = "", "", ""
        if self._remark[0] == "error":
            level, text = self._remark
        elif lesson.problem:
            level, text = "warning" if lesson.pending else "error", lesson.problem
        elif self._remark[1]:
            level, text = self._remark
        elif session.ended:
            level, text, more = "error" if session.diverged else "ok", str(session.ended), self._fix_link()
        elif lesson.remarks:
            level, text = "warning", lesson.remarks[0]
        elif self._done():
            level, text = "ok", f"Finished {session.epochs:,} epochs. Press Play to continue."
        # A tick in the normal font size, so that nothing below moves.
        shown = f"✓ {escape(text)}" if level == "ok" else self.marked(level, text) + more if text else ""
        if self.message.text() != shown:
            self.message.setText(shown)

    def _fix_link(self) -> str:
        """A link that fixes the problem, if one click can."""
        if not self.lesson.session.diverged or not self.lesson.may("learning_rate"):
            return ""
        return f' <a href="rate" style="color:{theme_colours(self.viewer)["text"]}">Use {self._smaller():g}.</a>'

    def _smaller(self) -> float:
        """The learning rate that the session suggests after divergence."""
        return min(self.lesson.wanted.learning.learning_rate / 10, SAFE_RATE)

    def _fix(self, link: str) -> None:
        self.lesson.set(learning_rate=self._smaller())

    def _done(self) -> bool:
        return not self.player.playing and self.lesson.session.epochs >= self.lesson.session.setup.learning.epochs

    def _show_status(self) -> None:
        session = self.lesson.session
        n, batch = session.data.counts[0], session.setup.learning.batch_size
        epochs = f"epoch {session.epochs:,} of {session.setup.learning.epochs:,}"
        updates = f"{session.updates:,} update{'' if session.updates == 1 else 's'}"
        drawn = session.setup.points.kind == "custom"
        text = split_words(session.data.counts) if drawn and not session.updates else f"{epochs}, {updates}"
        if self.status.text() != text:
            self.status.setText(text)
            tip = f"Updates per epoch: {update_sum(n, batch)}. {explain('epoch')} {explain('update')}"
            self.status.setToolTip(f"{split_words(session.data.counts)}. {tip} Speed: {SPEEDS[self.player.speed][0]}.")

    def _changed(self) -> None:
        self._gone = False  # the canvas has restored its layers
        hidden = set(self.lesson.exercise.hidden)
        for key, names in FOLDED.items():
            self.folds[key].setVisible(not set(names) <= hidden)
        self._show_status()
        self._say()

    def _moved(self) -> None:
        if not self.player.playing:
            self._rest()

    def _turned(self) -> None:
        """Playing started or stopped."""
        if self.player.playing:
            self._remark = ("", "")
            if not self.canvas.front and not self.canvas.aside:
                self.canvas.enter()
            self._status.start()
        else:
            self._status.stop()
        self.slow.refresh()
        self._rest()
        self.lead(self.play.play_button)

    def _rest(self) -> None:
        """Restore removed layers and update status and message."""
        if self._gone:
            self._gone, self._remark = False, ("", "")
            self.canvas.show()
        self.canvas.rest()
        self._show_status()
        self._say()

    def _lost(self) -> None:
        if not self._ended:
            self._gone = True
            self._said("warning", "A layer of the classroom was removed. Press any button in this panel to restore it.")

    # other actions

    def _step_aside(self, on: bool) -> None:
        if on:
            self.canvas.step_aside()
        else:
            self.canvas.enter()

    def show_code(self) -> None:
        """Show the script in a window."""
        self._show_window("code", lambda: CodeWindow(self.lesson, self))

    def show_words(self) -> None:
        """Show the glossary in a window."""
        text = "\n\n".join(f"{term}: {meaning}" for term, meaning in terms().items())
        self._show_window("words", lambda: TextWindow("Dojo: classroom glossary", text, self))

    def _show_window(self, name: str, make: Callable[[], TextWindow]) -> None:
        window = self._windows.get(name) or self._windows.setdefault(name, make())
        window.show()
        window.raise_()

    def align(self) -> None:
        """Align the fields of each of the two columns."""
        self.choices.align()

    def enlarge(self, on: bool) -> None:
        """Switch large type for a projector on or off."""
        self.setStyleSheet(BOXES + (f"* {{ font-size: {LARGE}pt; }}" if on else ""))
        self.curves.enlarge(LARGE if on else 0)
        self.net.view.refresh()
        dock = self.parent()
        window = dock.parent() if isinstance(dock, QDockWidget) else None
        if isinstance(dock, QDockWidget) and isinstance(window, QMainWindow):
            window.resizeDocks([dock], [LARGE_WIDTH if on else WIDTH], Qt.Orientation.Horizontal)

    def keyPressEvent(self, event: Any) -> None:  # noqa: N802
        """Handle the panel's keyboard shortcuts."""
        if event.key() == Qt.Key.Key_M and not event.modifiers():
            self.tabs.turn(1)
            self.slow.next()
        elif not self.play.key(event):
            super().keyPressEvent(event)

    def showEvent(self, event: Any) -> None:  # noqa: N802
        """Highlight the button to press first."""
        super().showEvent(event)
        self.lead(self.play.play_button)

    def end(self) -> None:
        """Stop everything and restore the viewer when the panel closes."""
        if not self._ended:
            self.player.pause()
            self._status.stop()
            self._entering.stop()
            super().end()
            self.slow.end()
            self.net.end()
            for window in self._windows.values():
                window.close()
            self.data.end()
            self.curves.end()
            self.canvas.leave()
