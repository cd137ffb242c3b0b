"""Curves and values of loss and accuracy, and the test score, hidden until it is revealed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import Qt
from qtpy.QtGui import QFont
from qtpy.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from napari_dojo.playground import Score
from napari_dojo.playground.glossary import explain
from napari_dojo.widgets.classroom.lesson import BaseLesson
from napari_dojo.widgets.common.form import described
from napari_dojo.widgets.common.plot import Plot, theme_colours

__all__ = ["Curves"]

HEIGHT = 82  # px of a plot
HEADS = {  # sets have shapes and line styles; colours mean classes
    "training": "<small>{}training ━</small>",
    "validation": "<small>{}validation ┅</small>",
    "dense": "<small>dense ╍</small>",  # on validation
    "test": "<small>{}test{}</small>",
}
SHAPES = {"training": "● ", "validation": "■ ", "dense": "", "test": "◆ "}  # of points; images have none
STYLES = {
    "training": Qt.PenStyle.SolidLine,
    "validation": Qt.PenStyle.DotLine,
    "dense": Qt.PenStyle.DashDotLine,
}
NARROW_SPACE = "\u202f"
LEAST = 5  # minimum range of the epoch axis, so that its ticks are whole numbers
MOST = 600  # points per curve
DENSE = "The dense network on the validation set."
REVEAL = "Show the score on the test set. It is a fair estimate for new points only if you choose nothing by it."


class Curves(QWidget):
    """Loss and accuracy of a lesson's session, epoch by epoch; with ``dense`` those of a second network, too."""

    def __init__(self, viewer: Any, lesson: BaseLesson, dense: bool = False) -> None:
        super().__init__()
        self._lesson = lesson
        self._dense = dense
        self._parts = ("training", "validation", *(["dense"] if dense else []))
        self._shown: tuple[Any, int] = (None, -1)
        self.loss = _Curve(viewer, "Loss", f"{explain('loss')} Lower is better. Horizontal axis: epochs.")
        self.accuracy = _Curve(viewer, "Accuracy", explain("accuracy"))
        plots = QHBoxLayout()
        plots.setSpacing(4)
        plots.addWidget(self.loss, 1)
        plots.addWidget(self.accuracy, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addLayout(self._figures())
        layout.addLayout(plots)
        layout.addStretch(1)
        lesson.changed.connect(self.refresh)
        lesson.moved.connect(self.draw)
        self.refresh()

    def _figures(self) -> QGridLayout:
        """The table of loss and accuracy; its header is the legend of the curves and of the canvas."""
        grid = QGridLayout()
        grid.setHorizontalSpacing(1 if self._dense else 4)
        grid.setVerticalSpacing(0)
        self.cells: dict[tuple[str, str], QLabel] = {}
        self.heads: dict[str, QLabel] = {}
        self.value_title = QLabel("accuracy")
        for row, label in ((1, QLabel("loss")), (2, self.value_title)):
            label.setToolTip(explain(label.text()))
            label.setIndent(4)
            grid.addWidget(label, row, 0)
        for column, part in enumerate((*self._parts, "test"), 1):
            head = self.heads[part] = QLabel(self._head(part))
            head.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            head.setToolTip(explain(part) if part != "dense" else DENSE)
            head.setIndent(0)
            grid.addWidget(head, 0, column)
            grid.setColumnStretch(column, max(head.sizeHint().width(), head.fontMetrics().horizontalAdvance("100.0 %")))
            for row, kind in ((1, "loss"), (2, "value")):
                cell = self.cells[part, kind] = QLabel()
                cell.setIndent(0)
                cell.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
                grid.addWidget(cell, row, column)
        self.reveal_button = QPushButton("Reveal")
        self.reveal_button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        grid.addWidget(self.reveal_button, 1, len(self._parts) + 1, 2, 1)
        self.reveal_button.clicked.connect(self._lesson.reveal)
        return grid

    def _head(self, part: str, times: str = "") -> str:
        if self._dense:  # a column more: less room for each
            return HEADS[part].format("", times).replace(" ", NARROW_SPACE)
        return HEADS[part].format(SHAPES[part], times)

    def refresh(self) -> None:
        """Follow a lesson that changed."""
        classes = self._lesson.session.data.classes
        word = "accuracy" if classes else "R²"
        self.value_title.setText(word)
        tip = (
            explain("accuracy") if classes else "R², the fraction of the variance that the network explains; at most 1."
        )
        self.value_title.setToolTip(tip)
        described(self.accuracy, word.capitalize(), f"{tip} Horizontal axis: epochs. Dashed: the goal for validation.")
        self.accuracy.set_title(word)
        self.accuracy.set_goal(
            next(
                (n for what, sign, n in self._lesson.exercise.goal.parts if what == "validation" and ">" in sign), None
            )
        )
        self._shown = (None, -1)
        self.draw()

    def draw(self) -> None:
        """Show the current scores; the plots are updated a few times per second."""
        session, lesson = self._lesson.session, self._lesson
        self._show_test()
        now = (session, len(session.history))
        if now == self._shown:
            return
        self._shown = now
        for part in self._parts:
            self._show_score(part, getattr(session.history[-1], part))
        for plot, kind in ((self.loss, "loss"), (self.accuracy, "value")):
            plot.show_history(lesson.session.history, kind)

    def _show_score(self, part: str, score: Score | None) -> None:
        for kind, text in (("loss", "-" if score is None else f"{score.loss:.3f}"), ("value", _percent(score))):
            self.cells[part, kind].setText(text)

    def _show_test(self) -> None:
        lesson = self._lesson
        covered, count, looks = not lesson.revealed, lesson.session.data.counts[2], lesson.session.looks
        if self.reveal_button.isHidden() == covered:
            self.reveal_button.setVisible(covered)
            for kind in ("loss", "value"):
                self.cells["test", kind].setVisible(not covered)
        if not covered:
            self._show_score("test", lesson.test)
        able = count > 0 and not lesson.problem
        if self.reveal_button.isEnabled() != able or not self.reveal_button.toolTip():
            self.reveal_button.setEnabled(able)
            described(self.reveal_button, "Reveal test", REVEAL if able else "There are no test points.")
        times = f" ({looks}×)" if looks > 1 else ""
        if self.heads["test"].text() != (head := self._head("test", times)):
            self.heads["test"].setText(head)
            often = f"Test score revealed {looks} times: it may be too optimistic. " if times else ""
            self.heads["test"].setToolTip(often + explain("test"))

    def enlarge(self, points: int) -> None:
        """Set the font size in points; 0 for the default."""
        for plot in (self.loss, self.accuracy):
            plot.enlarge(points)

    def end(self) -> None:
        """Disconnect from the viewer."""
        self.loss.end()
        self.accuracy.end()


class _Curve(Plot):
    """A plot of one score of training and validation over the epochs."""

    def __init__(self, viewer: Any, name: str, tip: str) -> None:
        self._history: list[Any] = []
        self._kind = "loss"
        self._curves: dict[str, Any] = {}
        super().__init__(viewer, name, tip, ((None, "", name.lower()),))
        self.setFixedHeight(HEIGHT)
        self._curves = {part: self.plot() for part in STYLES}
        self._goal = pg.InfiniteLine(angle=0, pen=pg.mkPen("#888888", width=1.2, style=Qt.PenStyle.DashLine))
        self._goal.setVisible(False)
        self.addItem(self._goal)
        self.recolour()

    def recolour(self, event: Any = None) -> None:
        """Follow the theme: curves have the colour of the text, and differ by their style."""
        super().recolour(event)
        for part, curve in self._curves.items():
            curve.setPen(pg.mkPen(theme_colours(self._viewer)["text"], width=1.5, style=STYLES[part]))

    def set_title(self, word: str) -> None:
        """Set the title."""
        self._legend = ((None, "", word),)
        self.recolour()

    def set_goal(self, value: float | None) -> None:
        """Show a dashed line at the goal, or hide it."""
        self._goal.setVisible(value is not None)
        if value is not None:
            self._goal.setValue(value)

    def show_history(self, history: list[Any], kind: str) -> None:
        """Show these records at the next redraw."""
        self._history, self._kind = history, kind
        self.redraw_soon()

    def redraw(self) -> None:
        """Draw the records."""
        history = self._history[:: max(1, len(self._history) // MOST)]
        lowest = 1.0
        for part, curve in self._curves.items():
            scores = [(r.epoch, getattr(s, self._kind)) for r in history if (s := getattr(r, part, None)) is not None]
            xy = np.array(scores, float).reshape(-1, 2)
            xy = xy[np.isfinite(xy[:, 1])]
            curve.setData(xy[:, 0], xy[:, 1])
            lowest = min(lowest, float(xy[:, 1].min()) if len(xy) else lowest)
        if self._kind == "value":
            self.setYRange(max(0.0, lowest - 0.02), 1, padding=0.02)
        if history:
            self.setXRange(0, max(LEAST, history[-1].epoch), padding=0.01)

    def enlarge(self, points: int) -> None:
        """Set the font size in points; 0 for the default."""
        font = QFont(self.font())
        if points:
            font.setPointSize(points)
        for name in ("left", "bottom"):
            self.getAxis(name).setTickFont(font if points else None)
        self.getAxis("left").setWidth(46 if points else 30)
        self.setFixedHeight(int(1.5 * HEIGHT) if points else HEIGHT)


def _percent(score: Score | None) -> str:
    return "-" if score is None else f"{100 * score.value:.1f} %"
