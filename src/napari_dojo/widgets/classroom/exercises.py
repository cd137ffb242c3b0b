"""The exercise: its text, its goal with a live tick, hints one by one; opening, pasting, copying and saving."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from qtpy.QtCore import QEvent, QObject, QSize, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QInputDialog,
    QLabel,
    QMenu,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_dojo.errors import explained
from napari_dojo.playground.exercise import NAMES, as_toml, load
from napari_dojo.playground.settings import TITLES
from napari_dojo.playground.share import Shared, from_text, to_text
from napari_dojo.widgets.classroom.lesson import Lesson
from napari_dojo.widgets.common.form import NO_ARROW, described, narrow, sentence

__all__ = ["ExerciseBox"]

MET = "#009E73"
TIGHT = "padding: 0px 7px;"  # no room above and below
LINES = 6  # of an exercise's text, with hints and solution


class ExerciseBox(QWidget):
    """Which exercise it is, and what it asks.

    Signals
    -------
    large : large type is wanted, or no more.
    words : the list of words is wanted.
    """

    large = Signal(bool)
    words = Signal()

    def __init__(self, lesson: Lesson) -> None:
        super().__init__()
        self._lesson = lesson
        self.box = QComboBox()
        described(self.box, "Exercise", "The exercises of the course, in the order of teaching.")
        narrow(self.box)
        self._titles = {name: load(name).title for name in NAMES}
        for name, title in self._titles.items():
            self.box.addItem(title, name)
        self.menu_button = QToolButton()
        self.menu_button.setText("⋯")
        self.menu_button.setStyleSheet(NO_ARROW)
        self.menu_button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        described(self.menu_button, "More", "Start over, the solution, open, paste, save, large type, the words.")
        self.menu_button.setMenu(self._menu())
        self.text, self.help, self.goal = sentence(), sentence(), sentence()
        self.help.setVisible(False)
        self.reader = _Reader(self.text, self.help)
        for label in (self.text, self.goal, self.help):
            label.setTextFormat(Qt.TextFormat.PlainText)  # it may come from a stranger's file
            label.setTextInteractionFlags(Qt.TextInteractionFlag.NoTextInteraction)  # which takes room around it
            label.setIndent(0)
            label.setStyleSheet(TIGHT)
        self.hint_button = QPushButton("Hint")
        self._lay_out()
        self.box.activated.connect(lambda *_: lesson.choose(self.box.currentData()))
        self.hint_button.clicked.connect(self._hint)
        self._solved = False
        lesson.changed.connect(self.refresh)
        lesson.moved.connect(self._show_goal)
        self.refresh()

    def _lay_out(self) -> None:
        top = QHBoxLayout()
        top.setSpacing(3)
        top.addWidget(self.box, 1)
        top.addWidget(self.hint_button)
        top.addWidget(self.menu_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addLayout(top)
        layout.addWidget(self.reader)
        layout.addWidget(self.goal)

    def _menu(self) -> QMenu:
        menu = QMenu(self)
        menu.setToolTipsVisible(True)

        def add(text: str, tip: str, does: Any) -> Any:
            action = menu.addAction(text)
            assert action is not None
            action.setToolTip(tip)
            action.triggered.connect(does)
            return action

        add("Start over", "The exercise with the settings that it begins with.", lambda: self._again())
        self.solution_action = add("Show the solution", "Set what solves it, and say why.", lambda: self.solve())
        menu.addSeparator()
        add("Open an exercise...", "An exercise file (.toml) of a teacher.", lambda: self._ask_open())
        add("Paste an exercise", "From the text that somebody gave you.", lambda: self.paste())
        add(
            "Save as an exercise...",
            "A file with these settings as the start, to be given out.",
            lambda: self._ask_save(),
        )
        add("Copy this exercise", "As one line of text, without the weights.", lambda: self.copy(False))
        add(
            "Copy to hand in...",
            "As one line of text, with your name and what the net has learned.",
            lambda: self._hand_in(),
        )
        menu.addSeparator()
        self.large_action = add("Large type", "For the projector.", lambda on: self.large.emit(on))
        self.large_action.setCheckable(True)
        add("The words", "What all the terms mean.", lambda: self.words.emit())
        return menu

    # what is shown

    def refresh(self) -> None:
        """Follow the lesson."""
        exercise, lesson = self._lesson.exercise, self._lesson
        while self.box.count() > len(NAMES):
            self.box.removeItem(self.box.count() - 1)
        at = self.box.findData(exercise.name)
        if self._titles.get(exercise.name) != exercise.title:
            self.box.addItem(exercise.title, exercise.name)
            at = self.box.count() - 1
        if self.box.currentIndex() != at or self.text.property("of") is not exercise:
            self._solved = False
        self.text.setProperty("of", exercise)
        self.box.setCurrentIndex(at)
        text = " ".join(exercise.text)
        if exercise.allowed:
            text += f" You can change: {', '.join(_title(name) for name in exercise.allowed)}."
        self.text.setText(text)
        n = len(exercise.hints)
        left = n - lesson.hints
        self.hint_button.setText("Hint" if lesson.hints == 0 else f"Hint {lesson.hints + 1}" if left else "Hint")
        self.hint_button.setEnabled(left > 0)
        tip = f"{left} of {n} hints are left." if left else "There are no more hints."
        described(self.hint_button, "Hint", tip)
        self.solution_action.setEnabled(exercise.solution is not None)
        said = list(exercise.hints[: lesson.hints])
        said += [f"Solution: {exercise.why}"] if self._solved else []
        if self.help.text() != "\n".join(said):
            self.help.setText("\n".join(said))
            self.help.setVisible(bool(said))
            self.reader.show_last()
        self._show_goal()

    def _show_goal(self) -> None:
        met = self._lesson.met
        sentence = self._lesson.exercise.goal.sentence
        short = (
            sentence.replace("at least", "≥")
            .replace("at most", "≤")
            .replace("more than", ">")
            .replace("less than", "<")
        )
        other = self._lesson.exercise.other_points(self._lesson.wanted)
        text = f"{'✓' if met else 'Not judged:' if other else 'Goal:'} {short}"
        if self.goal.text() != text:
            self.goal.setText(text)
            self.goal.setStyleSheet(TIGHT + (f"color: {MET};" if met else ""))
            self.goal.setToolTip(f"The goal: {sentence}{'; judged with the points of the exercise' if other else ''}.")

    # what a person does

    def _hint(self) -> None:
        self._lesson.hints = min(self._lesson.hints + 1, len(self._lesson.exercise.hints))
        self.refresh()

    def _again(self) -> None:
        self._solved = False
        self._lesson.start_over()

    def solve(self) -> None:
        """Set the solution, and say why it is one."""
        self._lesson.solve()
        self._solved = True
        self.refresh()

    def _ask_open(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Open an exercise", str(Path.home()), "Exercises (*.toml)")
        if name:
            self.open(Path(name))

    def open(self, path: Path) -> None:
        """Take an exercise from a file; what is wrong with it is said."""
        try:
            self._lesson.open(load(path))
        except Exception as error:  # whatever the file is
            self._lesson.said.emit("error", explained(error))

    def paste(self) -> None:
        """Take an exercise from the clipboard's text; what is wrong with it is said."""
        board = QGuiApplication.clipboard()
        try:
            shared = from_text(board.text() if board is not None else "")
            self._lesson.open(shared.exercise, shared.session())
        except Exception as error:  # whatever the text is
            self._lesson.said.emit("error", explained(error))
            return
        self._lesson.said.emit("ok", f"This is {shared.exercise.title}{f', from {shared.by}' if shared.by else ''}.")

    def copy(self, weights: bool, by: str = "") -> str:
        """Put the exercise into the clipboard as one line of text."""
        lesson = self._lesson
        try:
            shared = Shared.of(lesson.exercise, lesson.session, weights, by)
            text = to_text(shared, solution=not weights)
        except ValueError as error:
            lesson.said.emit("error", explained(error))
            return ""
        board = QGuiApplication.clipboard()
        if board is not None:
            board.setText(text)
        what = "The exercise, with its solution and without weights," if not weights else "What you hand in"
        lesson.said.emit("ok", f"{what} is in the clipboard: {len(text):,} letters. Paste it into a message.")
        return text

    def _hand_in(self) -> None:
        name, done = QInputDialog.getText(self, "Copy to hand in", "Your name")
        if done:
            self.copy(True, name[:100])

    def _ask_save(self) -> None:
        name, _ = QFileDialog.getSaveFileName(self, "Save as an exercise", "exercise.toml", "Exercises (*.toml)")
        if name:
            self.save(Path(name))

    def save(self, path: Path) -> None:
        """Write an exercise file that begins with the settings as they are now."""
        lesson = self._lesson
        try:
            path.write_text(as_toml(replace(lesson.exercise, start=lesson.session.setup)), encoding="utf-8")
        except OSError as error:
            lesson.said.emit("error", explained(error))
            return
        lesson.said.emit("ok", f"Written: {path.name}. Title, text, goal and hints can be changed in any text editor.")


class _Reader(QScrollArea):
    """Labels one below the other in a place that keeps its height: what does not fit is scrolled to."""

    def __init__(self, *labels: QLabel) -> None:
        super().__init__()
        inside = QWidget()
        layout = QVBoxLayout(inside)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        for label in labels:
            layout.addWidget(label)
        layout.addStretch(1)
        self._first = labels[0]
        self._last = False  # what was said last is to be seen
        self.setWidget(inside)
        self.setWidgetResizable(True)
        self.setFrameShape(QScrollArea.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        described(self, "The task", "What the exercise asks, and the hints that were given.")
        self.setToolTip("")
        bar = self.verticalScrollBar()
        assert bar is not None
        self._bar = bar
        bar.rangeChanged.connect(self._follow)

    def show_last(self) -> None:
        """Scroll to what was said last, or where nothing was said to the beginning."""
        self._last = True
        self._follow()

    def _follow(self, *_: Any) -> None:
        if self._last:
            self._bar.setValue(self._bar.maximum())

    def sizeHint(self) -> QSize:  # noqa: N802
        """So many lines."""
        return QSize(100, LINES * (self._first.fontMetrics().lineSpacing() + 1) + 2)

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """No fewer."""
        return self.sizeHint()

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802
        """Other letters inside need another height."""
        if event is not None and event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
        return bool(super().eventFilter(watched, event))


def _title(name: str) -> str:
    """A control in words."""
    from napari_dojo.widgets.classroom.controls import fields_named

    if name in ("seed", "weights"):
        return name if name == "seed" else "weights by hand"
    label = fields_named(name)[0].option.label
    return TITLES.get(name, label if label.isupper() or (label[:1] == "L" and label[1:].isdigit()) else label.lower())
