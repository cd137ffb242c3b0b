"""The Classroom panel: train a small dense network and watch it on the canvas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDockWidget, QHBoxLayout, QMainWindow, QPushButton, QVBoxLayout, QWidget

from napari_dojo.playground.exercise import NAMES, Exercise
from napari_dojo.playground.glossary import explain, terms
from napari_dojo.playground.image_session import ImageSession
from napari_dojo.playground.kinds import AnySession
from napari_dojo.playground.session import Session
from napari_dojo.widgets.classroom.canvas import Canvas
from napari_dojo.widgets.classroom.choose import HowToChoose
from napari_dojo.widgets.classroom.code import CodeWindow, TextWindow
from napari_dojo.widgets.classroom.controls import ChoicesForm, InputsRow, MainChoices, fields_named
from napari_dojo.widgets.classroom.curves import Curves
from napari_dojo.widgets.classroom.data import DataSection
from napari_dojo.widgets.classroom.exercises import ExerciseBox
from napari_dojo.widgets.classroom.image_page import ImagePage
from napari_dojo.widgets.classroom.lesson import BaseLesson, Lesson
from napari_dojo.widgets.classroom.net import NetSection
from napari_dojo.widgets.classroom.play import Player, PlayRow
from napari_dojo.widgets.classroom.progress import Progress
from napari_dojo.widgets.classroom.representation import RepresentationView
from napari_dojo.widgets.classroom.slow import SlowMotion
from napari_dojo.widgets.classroom.tabs import Tabs
from napari_dojo.widgets.common.form import STEADY, Fold, described
from napari_dojo.widgets.common.later import later
from napari_dojo.widgets.common.panel import Panel

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
        self._gone = False  # whether the user removed a layer of the classroom
        self._windows: dict[str, TextWindow] = {}
        self.images: ImagePage | None = None  # made for the first exercise on images
        self.large = False
        self._build()
        self._connect()
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.setStyleSheet(STEADY + BOXES)
        self._entering = later(self, ENTER, self.canvas.enter)
        self._entering.start()
        self._changed()

    def _build(self) -> None:
        lesson, viewer = self.lesson, self.viewer
        self.exercise = ExerciseBox(lesson)
        self.play = PlayRow(lesson, self.player)
        self.progress = Progress(viewer, lesson, self.player)
        self.net = NetSection(viewer, lesson)
        self.choices = MainChoices(lesson)
        self.curves = Curves(viewer, lesson)
        self.slow = SlowMotion(lesson, self.canvas)
        self.representation = RepresentationView(viewer, lesson)
        self.tabs = Tabs()
        self.tabs.add("Curves", f"Loss and accuracy during training. {explain('loss')}", self.curves)
        self.tabs.add("Slow motion", f"One update, stage by stage. {explain('back-propagation')}", self.slow)
        self.tabs.add("Representation", explain("representation"), self.representation)
        self.points = QWidget()  # what belongs to points of the plane; `images` takes its place
        self.page = QVBoxLayout(self.points)
        self.page.setContentsMargins(0, 0, 0, 0)
        self.page.setSpacing(4)
        for widget in (self.exercise, self.play, self.progress, self.net, self.choices, self.tabs):
            self.page.addWidget(widget)
        self.column.addWidget(self.points)
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
        lesson.elsewhere.connect(self._open_images)
        self.code_button.clicked.connect(self.show_code)
        self.copy_button.clicked.connect(lambda: self._shown.exercise.copy(False))
        self.play.pressed.connect(self.setFocus)  # so that the panel receives the next key

    # what happens

    def _changed(self) -> None:
        self._gone = False  # the canvas has restored its layers
        hidden = set(self.lesson.exercise.hidden)
        for key, names in FOLDED.items():
            self.folds[key].setVisible(self._shown is self and not set(names) <= hidden)
        self.folds["points"].setVisible(self._shown is self)

    def _moved(self) -> None:
        if not self.player.playing:
            self._rest()

    def _turned(self) -> None:
        """Playing started or stopped."""
        if self.player.playing and not self.canvas.front and not self.canvas.aside:
            self.canvas.enter()
        self.slow.refresh()
        self._rest()
        self.lead(self.play.play_button)

    def _rest(self) -> None:
        """Restore removed layers and update status and message."""
        if self._gone:
            self._gone = False
            self.progress.clear()
            self.canvas.show()
        self.canvas.rest()

    def _lost(self) -> None:
        if not self._ended:
            self._gone = True
            self.progress.said(
                "warning", "A layer of the classroom was removed. Press any button in this panel to restore it."
            )

    # points and images

    @property
    def _shown(self) -> ClassroomPanel | ImagePage:
        """What has exercise, lesson, player and controls of the current kind of exercise."""
        return self if self.images is None or self.images.isHidden() else self.images

    def _open_images(self, exercise: Exercise, session: ImageSession | None) -> None:
        """Show an exercise on images."""
        self.player.pause()
        if self.images is None:
            self.images = page = ImagePage(self.viewer, self)
            self.column.insertWidget(0, page)
            page.lesson.elsewhere.connect(self._open_points)
            page.exercise.large.connect(self.enlarge)
            page.exercise.words.connect(self.show_words)
            page.play.pressed.connect(self.setFocus)
            page.player.turned.connect(lambda: self.lead(page.play.play_button))
        self._move(self.images.lesson, exercise, session)
        self._turn_to(images=True)
        self.images.enter()

    def _open_points(self, exercise: Exercise, session: Session | None) -> None:
        """Show an exercise on points again."""
        assert self.images is not None
        self.images.step_aside()
        self._move(self.lesson, exercise, session)
        self._turn_to(images=False)

    def _move(self, lesson: BaseLesson, exercise: Exercise, session: AnySession | None) -> None:
        """Open an exercise in the lesson of its kind; a built-in one continues where it was."""
        if session is None and exercise.name in NAMES:
            lesson.choose(exercise.name)
        else:
            lesson.open(exercise, session)

    def _turn_to(self, images: bool) -> None:
        assert self.images is not None
        if (code := self._windows.pop("code", None)) is not None:
            code.close()
        self.points.setVisible(not images)
        self.images.setVisible(images)
        self._changed()
        for page in (self, self.images):
            page.exercise.refresh()
            page.exercise.large_action.setChecked(self.large)
        self.lead(self._shown.play.play_button)
        self.align()

    # other actions

    def _step_aside(self, on: bool) -> None:
        if on:
            self.canvas.step_aside()
        else:
            self.canvas.enter()

    def show_code(self) -> None:
        """Show the script in a window."""
        self._show_window("code", lambda: CodeWindow(self._shown.lesson, self))

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
        self.large = on
        self.setStyleSheet(STEADY + BOXES + (f"* {{ font-size: {LARGE}pt; }}" if on else ""))
        for page in (self, self.images):
            if page is not None:
                page.curves.enlarge(LARGE if on else 0)
        self.net.view.refresh()
        dock = self.parent()
        window = dock.parent() if isinstance(dock, QDockWidget) else None
        if isinstance(dock, QDockWidget) and isinstance(window, QMainWindow):
            window.resizeDocks([dock], [LARGE_WIDTH if on else WIDTH], Qt.Orientation.Horizontal)

    def keyPressEvent(self, event: Any) -> None:  # noqa: N802
        """Handle the panel's keyboard shortcuts."""
        if event.key() == Qt.Key.Key_M and not event.modifiers() and self._shown is self:
            self.tabs.turn(1)
            self.slow.next()
        elif not self._shown.play.key(event):
            super().keyPressEvent(event)

    def showEvent(self, event: Any) -> None:  # noqa: N802
        """Highlight the button to press first."""
        super().showEvent(event)
        self.lead(self._shown.play.play_button)

    def end(self) -> None:
        """Stop everything and restore the viewer when the panel closes."""
        if not self._ended:
            self.player.pause()
            self.progress.end()
            if self.images is not None:
                self.images.end()
            self._entering.stop()
            super().end()
            self.slow.end()
            self.net.end()
            for window in self._windows.values():
                window.close()
            self.data.end()
            self.curves.end()
            self.canvas.leave()
