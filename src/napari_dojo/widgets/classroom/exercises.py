"""The exercise: text, goal and hints; open, paste, copy and save exercises."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from qtpy.QtCore import QSize, Qt, Signal  # type: ignore[attr-defined]
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
from napari_dojo.widgets.classroom.lesson import BaseLesson
from napari_dojo.widgets.common.form import NO_ARROW, TIGHT, described, narrow, sentence, tight

__all__ = ["ExerciseBox"]

MET = "#009E73"
LINES = 6  # of an exercise's text, with hints and solution


class ExerciseBox(QWidget):
    """Choose an exercise; shows its text, hints and goal.

    Signals
    -------
    large : large type is switched on or off.
    words : show the glossary.
    """

    large = Signal(bool)
    words = Signal()

    def __init__(self, lesson: BaseLesson) -> None:
        super().__init__()
        self._lesson = lesson
        self.box = QComboBox()
        described(self.box, "Exercise", "The built-in exercises, in teaching order.")
        narrow(self.box)
        self._titles = {name: load(name).title for name in NAMES}
        for name, title in self._titles.items():
            self.box.addItem(title, name)
        self.menu_button = QToolButton()
        self.menu_button.setText("⋯")
        self.menu_button.setStyleSheet(NO_ARROW)
        self.menu_button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        described(self.menu_button, "More", "Restart, solution, open, paste, save, large type, glossary.")
        self.menu_button.setMenu(self._menu())
        self.text, self.help, self.goal = sentence(), sentence(), sentence()
        self.help.setVisible(False)
        self.reader = _Reader(self.text, self.help)
        for label in (self.text, self.goal, self.help):
            label.setTextFormat(Qt.TextFormat.PlainText)  # the file may come from anyone
            label.setTextInteractionFlags(Qt.TextInteractionFlag.NoTextInteraction)  # selectable text needs more space
            tight(label)
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
        layout.addWidget(_Block(self.reader, self.goal))

    def _menu(self) -> QMenu:
        menu = QMenu(self)
        menu.setToolTipsVisible(True)

        def add(text: str, tip: str, does: Any) -> Any:
            action = menu.addAction(text)
            assert action is not None
            action.setToolTip(tip)
            action.triggered.connect(does)
            return action

        add("Restart", "Reset the exercise to its initial settings.", lambda: self._again())
        self.solution_action = add(
            "Show the solution", "Apply the settings of the solution and explain them.", lambda: self.solve()
        )
        menu.addSeparator()
        add("Open exercise...", "Open an exercise file (.toml).", lambda: self._ask_open())
        add("Paste exercise", "Load an exercise from the text in the clipboard.", lambda: self.paste())
        add(
            "Save as exercise...",
            "Save an exercise file that starts with the current settings.",
            lambda: self._ask_save(),
        )
        add("Copy exercise", "Copy the exercise as one line of text, without the weights.", lambda: self.copy(False))
        add(
            "Copy submission...",
            "Copy your settings and weights as one line of text, with your name.",
            lambda: self._hand_in(),
        )
        menu.addSeparator()
        self.large_action = add("Large type", "Use a larger font, for a projector.", lambda on: self.large.emit(on))
        self.large_action.setCheckable(True)
        add("Glossary", "Explain all terms.", lambda: self.words.emit())
        return menu

    # what is shown

    def refresh(self) -> None:
        """Show the exercise of the lesson."""
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
        tip = f"{left} of {n} hints left." if left else "No more hints."
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
        text = f"{'✓' if met else 'Not scored (other points):' if other else 'Goal:'} {short}"
        if self.goal.text() != text:
            self.goal.setText(text)
            self.goal.setStyleSheet(TIGHT + (f"color: {MET};" if met else ""))
            self.goal.setToolTip(
                f"Goal: {sentence}{'. It counts only with the points of the exercise' if other else ''}."
            )

    # actions

    def _hint(self) -> None:
        self._lesson.hints = min(self._lesson.hints + 1, len(self._lesson.exercise.hints))
        self.refresh()

    def _again(self) -> None:
        self._solved = False
        self._lesson.start_over()

    def solve(self) -> None:
        """Apply the solution and explain it."""
        self._lesson.solve()
        self._solved = True
        self.refresh()

    def _ask_open(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Open exercise", str(Path.home()), "Exercises (*.toml)")
        if name:
            self.open(Path(name))

    def open(self, path: Path) -> None:
        """Load an exercise from a file; errors are shown as a message."""
        try:
            self._lesson.open(load(path))
        except Exception as error:  # whatever the file is
            self._lesson.said.emit("error", explained(error))

    def paste(self) -> None:
        """Load an exercise from the clipboard; errors are shown as a message."""
        board = QGuiApplication.clipboard()
        try:
            shared = from_text(board.text() if board is not None else "")
            self._lesson.open(shared.exercise, shared.session())
        except Exception as error:  # whatever the text is
            self._lesson.said.emit("error", explained(error))
            return
        self._lesson.said.emit("ok", f"Loaded {shared.exercise.title}{f' from {shared.by}' if shared.by else ''}.")

    def copy(self, weights: bool, by: str = "") -> str:
        """Copy the exercise, or with weights a submission, to the clipboard as one line of text."""
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
        what = "The exercise (with its solution, without weights)" if not weights else "Your submission"
        lesson.said.emit("ok", f"{what} is in the clipboard ({len(text):,} characters). Paste it into a message.")
        return text

    def _hand_in(self) -> None:
        name, done = QInputDialog.getText(self, "Copy submission", "Your name")
        if done:
            self.copy(True, name[:100])

    def _ask_save(self) -> None:
        name, _ = QFileDialog.getSaveFileName(self, "Save as exercise", "exercise.toml", "Exercises (*.toml)")
        if name:
            self.save(Path(name))

    def save(self, path: Path) -> None:
        """Save an exercise file that starts with the current settings."""
        lesson = self._lesson
        try:
            path.write_text(as_toml(replace(lesson.exercise, start=lesson.session.setup)), encoding="utf-8")
        except OSError as error:
            lesson.said.emit("error", explained(error))
            return
        lesson.said.emit("ok", f"Saved {path.name}. Title, text, goal and hints can be changed in any text editor.")


class _Reader(QScrollArea):
    """Labels one below the other; what does not fit is scrolled to."""

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
        self._last = False  # whether to scroll to the latest hint
        self.setWidget(inside)
        self.setWidgetResizable(True)
        self.setFrameShape(QScrollArea.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        described(self, "Exercise text", "The text of the exercise, with its hints.")
        self.setToolTip("")
        bar = self.verticalScrollBar()
        assert bar is not None
        self._bar = bar
        bar.rangeChanged.connect(self._follow)

    def show_last(self) -> None:
        """Scroll to the latest hint, if there is one."""
        self._last = True
        self._follow()

    def _follow(self, *_: Any) -> None:
        if self._last:
            self._bar.setValue(self._bar.maximum())

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """Two lines; the block around it gives it what is left."""
        return QSize(100, 2 * self._first.fontMetrics().lineSpacing())


class _Block(QWidget):
    """The text and the goal in a place that keeps its height: a goal of two lines leaves one line less to the text."""

    def __init__(self, reader: _Reader, goal: QLabel) -> None:
        super().__init__()
        self._goal = goal
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addWidget(reader, 1)
        layout.addWidget(goal)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def hasHeightForWidth(self) -> bool:  # noqa: N802
        """It has not, though the goal has."""
        return False

    def sizeHint(self) -> QSize:  # noqa: N802
        """Fits `LINES` lines and a goal of one."""
        return QSize(100, LINES * (self._goal.fontMetrics().lineSpacing() + 1) + 5 + self._goal.fontMetrics().height())

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """The same as the size hint."""
        return self.sizeHint()


def _title(name: str) -> str:
    """The label of a control."""
    from napari_dojo.widgets.classroom.controls import fields_named

    if name in ("seed", "weights"):
        return name if name == "seed" else "weights (by hand)"
    label = fields_named(name)[0].option.label
    return TITLES.get(name, label if label.isupper() or (label[:1] == "L" and label[1:].isdigit()) else label.lower())
