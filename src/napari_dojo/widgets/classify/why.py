"""Why objects get their class: which classes are confused, and which objects look alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from napari_dojo.objects.heads import Prediction
from napari_dojo.widgets.classify.colours import colour_of
from napari_dojo.widgets.classify.subject import UNSURE, MeasuredObjects, Seen
from napari_dojo.widgets.common.form import described
from napari_dojo.widgets.common.plot import Plot

__all__ = ["Confusion", "Likeness"]

ROW = 22  # px


class Confusion(QTableWidget):
    """Shown objects by their class (rows) and the one that cross-validation gave them. ``picked``: true, predicted."""

    picked = Signal(int, int)

    def __init__(self) -> None:
        super().__init__()
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setMinimumWidth(60)
        for header in (self.horizontalHeader(), self.verticalHeader()):
            if header is not None:
                header.setSectionsClickable(False)
                header.setMinimumSectionSize(12)
        across, down = self.horizontalHeader(), self.verticalHeader()
        if across is not None and down is not None:
            across.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
            across.setFixedHeight(ROW)
            down.setDefaultSectionSize(ROW)
            down.setMaximumWidth(110)
        described(
            self,
            "Confusion matrix",
            "Objects you have shown: a row for each class, a column for the class that a head gave them which was "
            "trained on the others (cross-validation). Click a cell: the gallery shows these objects.",
        )
        self.cellClicked.connect(self.picked)
        self.show_prediction(None)

    def show_prediction(self, prediction: Prediction | None) -> None:
        """Show the confusion of a prediction; nothing where there is none yet."""
        counts = None if prediction is None else prediction.confusion
        n = 0 if counts is None else len(counts)
        self.setRowCount(n)
        self.setColumnCount(n)
        self.setFixedHeight(ROW * (n + 1) + 4 if n else ROW)
        if counts is None or prediction is None:
            return
        names = prediction.examples.names
        self.setVerticalHeaderLabels([f"{k + 1} {name}" for k, name in enumerate(names)])
        self.setHorizontalHeaderLabels([str(k + 1) for k in range(n)])
        share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        for i in range(n):
            for j in range(n):
                item = QTableWidgetItem(str(counts[i, j]) if counts[i, j] else "·")
                item.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
                colour = QColor(colour_of(j + 1))
                colour.setAlphaF(0.75 * float(share[i, j]))
                item.setBackground(colour)
                item.setToolTip(f"{counts[i, j]} shown as {names[i]}, predicted as {names[j]}")
                self.setItem(i, j, item)


class Likeness(Plot):
    """Objects as points: those that look alike lie close together. ``picked``: the row of an object."""

    picked = Signal(int)

    def __init__(self, viewer: Any) -> None:
        tip = (
            "Each point is an object; those with similar features lie close together (first two principal components). "
            "Large points were shown by you. Click a point: go to the object."
        )
        super().__init__(viewer, "Objects by likeness", tip, ((None, "●", "objects by likeness"),))
        self.setFixedHeight(170)
        self.blank(True)
        self._rows: np.ndarray[Any, Any] = np.zeros(0, np.int64)
        self._plane = np.zeros((0, 2))
        self._parts: dict[tuple[int, int], tuple[pg.ScatterPlotItem, NDArray[np.float32]]] = {}
        self._here = pg.ScatterPlotItem(size=13, pen=pg.mkPen("#888888", width=2), brush=None)
        self.addItem(self._here)
        self.scene().sigMouseClicked.connect(self._clicked)

    def show_objects(self, m: MeasuredObjects | None, seen: Seen | None) -> None:
        """Show these objects in the colours of their classes."""
        self._plane = np.zeros((0, 2)) if m is None else np.asarray(m.plane)
        numbers = np.zeros(len(self._plane), np.uint8) if seen is None else seen.numbers
        shown = np.zeros(len(self._plane), bool)
        if seen is not None:
            shown[seen.examples.rows] = True
        for number in (0, UNSURE, *range(1, UNSURE)):
            colour = "#888888" if number == 0 else colour_of(number)
            for mine, size in (((numbers == number) & ~shown, 4), ((numbers == number) & shown, 9)):
                self._draw((number, size), self._plane[mine], colour)

    def _draw(self, key: tuple[int, int], places: NDArray[np.float32], colour: str) -> None:
        """The points of one class and size; those that are drawn already are moved only where they have changed."""
        part, before = self._parts.get(key, (None, np.zeros((0, 2))))
        if np.array_equal(before, places):
            return
        if part is None:
            part = pg.ScatterPlotItem(size=key[1], pen=None, brush=colour)
            self.addItem(part)
        part.setData(*places.T)
        self._parts[key] = part, places

    def look_at(self, row: int | None) -> None:
        """Mark an object."""
        there = row is not None and row < len(self._plane)
        self._here.setData(*(self._plane[row : row + 1].T if there and row is not None else ((), ())))

    def _clicked(self, event: Any) -> None:
        """The object whose point is nearest, where it is near."""
        box = self.plotItem.vb
        if not len(self._plane) or not box.sceneBoundingRect().contains(event.scenePos()):
            return
        at = box.mapSceneToView(event.scenePos())
        size = box.viewPixelSize()
        far = np.hypot((self._plane[:, 0] - at.x()) / size[0], (self._plane[:, 1] - at.y()) / size[1])
        if far.min() < 12:
            self.picked.emit(int(far.argmin()))
