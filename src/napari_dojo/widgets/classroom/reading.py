"""What both networks make of an image: the probabilities of all classes, buttons that move it, and their scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QRectF, QSize, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QColor, QPainter
from qtpy.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from napari_dojo.playground import Score
from napari_dojo.playground.counts import cnn_sum, dense_sum, shared_words
from napari_dojo.playground.glossary import explain
from napari_dojo.widgets.classroom.image_lesson import ImageLesson
from napari_dojo.widgets.common.form import described, sentence
from napari_dojo.widgets.common.plot import TRAINING, VALIDATION, theme_colours

__all__ = ["Bars", "Networks", "Reading"]

COLOURS = {"CNN": TRAINING, "dense": VALIDATION}  # Okabe-Ito
DRAW = "Clear the drawing and choose the brush. Both networks read the {} after each stroke."
ROWS = ("parameters", "accuracy", "shifted by 1 px")
MOVES = (("←", "left", (0, -1)), ("↑", "up", (-1, 0)), ("↓", "down", (1, 0)), ("→", "right", (0, 1)))


class Bars(QWidget):
    """The probabilities of the classes, a bar for each network."""

    def __init__(self, viewer: Any, lesson: ImageLesson) -> None:
        super().__init__()
        self._viewer, self._lesson = viewer, lesson
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        tip = f"Blue: the convolutional network; orange: the dense one. {explain('softmax')}"
        described(self, "Probabilities of the classes", tip)
        lesson.seen.connect(self.update)

    def sizeHint(self) -> QSize:  # noqa: N802
        """Five lines high."""
        return QSize(200, 5 * self.fontMetrics().height())

    def paintEvent(self, event: Any) -> None:  # noqa: N802
        """Draw bars and the names of the classes."""
        painter, line = QPainter(self), self.fontMetrics().height()
        text = QColor(theme_colours(self._viewer)["text"])
        classes = self._lesson.content.classes
        each, high = self.width() / len(classes), self.height() - line - 2
        painter.setPen(text)
        painter.drawLine(0, high, self.width(), high)
        for k, name in enumerate(classes):
            painter.setPen(text)
            below = QRectF(k * each, high + 2, each, line)
            painter.drawText(below, Qt.AlignmentFlag.AlignCenter, name)
            for place, (p, colour) in enumerate(
                zip((self._lesson.cnn, self._lesson.dense), COLOURS.values(), strict=True)
            ):
                if p is not None:
                    tall = float(p[k]) * (high - 1)
                    left = k * each + each * (0.12 + 0.4 * place)
                    painter.fillRect(QRectF(left, high - tall, 0.36 * each, tall), QColor(colour))
        painter.end()


class Reading(QWidget):
    """The image that is read: draw one, take the next one, shift it, and see what both networks predict.

    Signals
    -------
    draw : start to draw.
    """

    draw = Signal()

    def __init__(self, viewer: Any, lesson: ImageLesson) -> None:
        super().__init__()
        self._lesson = lesson
        self.bars = Bars(viewer, lesson)
        self.said = QLabel()
        self.said.setTextFormat(Qt.TextFormat.RichText)
        self.said.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.said.setMinimumHeight(2 * self.fontMetrics().lineSpacing())  # a network each
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        for row in self._buttons():
            layout.addLayout(row)
        layout.addWidget(self.said)
        layout.addWidget(self.bars)
        lesson.changed.connect(self._name)
        lesson.seen.connect(self.refresh)
        self._name()
        self.refresh()

    def _name(self) -> None:
        """Name the buttons after what the images show."""
        word = self._lesson.content.word
        self.draw_button.setText(f"Draw a {word}")
        self.next_button.setText(f"Next {word}")
        self.shift_label.setText(f"Shift the {word}")
        described(self.draw_button, f"Draw a {word}", DRAW.format(word))
        described(self.next_button, f"Next {word}", "Read the next image of the validation set.")

    def _buttons(self) -> tuple[QHBoxLayout, QHBoxLayout]:
        self.draw_button, self.next_button = QPushButton(), QPushButton()
        row = QHBoxLayout()
        row.setSpacing(3)
        row.addWidget(self.draw_button, 1)
        row.addWidget(self.next_button, 1)
        moves = QHBoxLayout()
        moves.setSpacing(3)
        self.shift_label = QLabel()
        moves.addWidget(self.shift_label)
        self.move_buttons: dict[str, QToolButton] = {}
        for sign, name, (down, right) in MOVES:
            button = self.move_buttons[name] = QToolButton()
            button.setText(sign)
            button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
            described(button, f"Shift {name}", f"Shift the image by one pixel: {name}.")
            button.clicked.connect(lambda *_, by=(down, right): self._lesson.move(*by))
            moves.addWidget(button, 1)
        self.centre_button = QToolButton()
        self.centre_button.setText("⊙")
        self.centre_button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        described(self.centre_button, "Centre", "Undo the shifts.")
        moves.addWidget(self.centre_button, 1)
        for each in (self.draw_button, self.next_button, *self.move_buttons.values(), self.centre_button):
            each.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.draw_button.clicked.connect(self.draw)
        self.next_button.clicked.connect(lambda: self._lesson.next_image())
        self.centre_button.clicked.connect(lambda: self._lesson.move(0, 0))
        return row, moves

    def refresh(self) -> None:
        """Show what both networks predict."""
        lesson = self._lesson
        if lesson.cnn is None or lesson.dense is None:
            text = f"Draw a {lesson.content.word} with the brush in the square “draw here”."
        else:
            parts = [
                f"{_square(name)} {name}: {_top(p, lesson.content.classes)}"
                for name, p in zip(COLOURS, (lesson.cnn, lesson.dense), strict=True)
            ]
            truth = "" if lesson.known is None else f"true: <b>{lesson.content.classes[lesson.known]}</b>"
            cnn, dense = parts
            text = f"{cnn} &nbsp; {truth}<br>{dense}"
        if self.said.text() != text:
            self.said.setText(text)
        self.centre_button.setEnabled(lesson.shift != (0, 0))
        self.next_button.setEnabled(lesson.session.data.counts[1] > 0)


class Networks(QWidget):
    """Parameters and scores of both networks, side by side."""

    def __init__(self, lesson: ImageLesson) -> None:
        super().__init__()
        self._lesson = lesson
        self.cells: dict[tuple[str, str], QLabel] = {}
        grid = QGridLayout()
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(6)
        grid.setVerticalSpacing(0)
        tips = (explain("parameters"), "On the validation set.", "On validation images that are shifted by one pixel.")
        for row, (title, tip) in enumerate(zip(ROWS, tips, strict=True), 1):
            head = QLabel(title)
            head.setToolTip(tip)
            grid.addWidget(head, row, 0)
        for column, name in enumerate(COLOURS, 1):
            head = QLabel(f"{_square(name)} {name}")
            head.setToolTip(explain("CNN" if name == "CNN" else "dense layer"))
            grid.addWidget(head, 0, column)
            grid.setColumnStretch(column, 1)
            for row, title in enumerate(ROWS, 1):
                cell = self.cells[name, title] = QLabel()
                grid.addWidget(cell, row, column)
        self.sums = sentence()
        self.sums.setAccessibleName("Parameters, written out")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addLayout(grid)
        layout.addWidget(self.sums)
        lesson.changed.connect(self.refresh)
        lesson.moved.connect(self.show_scores)
        self.refresh()

    def refresh(self) -> None:
        """Show the networks of the lesson."""
        net = self._lesson.session.setup.architecture
        for name, count in (("CNN", net.parameters), ("dense", net.dense_parameters)):
            self.cells[name, "parameters"].setText(f"{count:,}")
        self.cells["CNN", "parameters"].setToolTip(cnn_sum(net))
        self.cells["dense", "parameters"].setToolTip(dense_sum(net))
        self.sums.setText(f"CNN: {cnn_sum(net)}. Dense: {dense_sum(net)}. {shared_words(net)}")
        self.show_scores()

    def show_scores(self) -> None:
        """Show the scores of the last epoch."""
        last = self._lesson.session.history[-1]
        scores = {"CNN": (last.validation, last.shifted), "dense": (last.dense, last.dense_shifted)}
        for name, found in scores.items():
            for title, score in zip(ROWS[1:], found, strict=True):
                text = _percent(score)
                if self.cells[name, title].text() != text:
                    self.cells[name, title].setText(text)


def _square(name: str) -> str:
    return f'<span style="color:{COLOURS[name]}">■</span>'


def _top(p: NDArray[np.float64], classes: Sequence[str]) -> str:
    """The most probable class, and its probability."""
    return f"<b>{classes[int(p.argmax())]}</b> ({100 * float(p.max()):.0f} %)"


def _percent(score: Score | None) -> str:
    return "-" if score is None else f"{100 * score.value:.1f} %"
