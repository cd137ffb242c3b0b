"""What a comparison says of objects: a legend that leads to them, and the AP curve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyqtgraph as pg
from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import QSizePolicy, QToolButton, QVBoxLayout, QWidget

from napari_dojo.evaluation.compare import THRESHOLDS
from napari_dojo.metrics.matching import Verdict, Verdicts
from napari_dojo.widgets.common.form import described
from napari_dojo.widgets.common.plot import TRAINING, VALIDATION, Plot

__all__ = ["COLOURS", "ApPlot", "Legend"]

COLOURS = {  # Okabe and Ito
    Verdict.MATCHED: "#009E73",
    Verdict.MISSED: "#D55E00",
    Verdict.FALSE_POSITIVE: "#F0E442",
    Verdict.SPLIT: "#56B4E9",
    Verdict.MERGED: "#CC79A7",
}
PLAIN = """
QToolButton { border: none; background: transparent; text-align: left; padding: 1px; }
QToolButton:hover, QToolButton:focus { text-decoration: underline; }
"""
MEANING = {
    Verdict.MATCHED: "Objects of the ground truth that have a partner in the result: their IoU reaches the threshold.",
    Verdict.MISSED: "Objects of the ground truth that have no partner.",
    Verdict.FALSE_POSITIVE: "Objects of the result that have no partner.",
    Verdict.SPLIT: "Objects of the ground truth without partner that hold most of two or more objects of the result.",
    Verdict.MERGED: "Objects of the ground truth of which two or more lie for the most part in one object of the result.",
}


class Legend(QWidget):
    """A coloured square, a word and a count for each verdict; ``clicked`` says which verdict a person wants to see."""

    clicked = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        self.rows: dict[Verdict, QToolButton] = {}
        for verdict in Verdict:
            row = QToolButton()
            row.setIcon(_square(COLOURS[verdict]))
            row.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
            row.setAutoRaise(True)
            row.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
            row.setStyleSheet(PLAIN)
            row.clicked.connect(lambda _=False, verdict=verdict: self.clicked.emit(verdict))
            described(row, verdict.words.capitalize(), f"{MEANING[verdict]} Click: go to the next one.")
            layout.addWidget(row)
            self.rows[verdict] = row
        self.show_counts(None)

    def show_counts(self, verdicts: Verdicts | None) -> None:
        """Show how many objects have each verdict; None: nothing is known yet."""
        for verdict, row in self.rows.items():
            words = verdict.words
            if verdicts is not None:
                true, predicted = verdicts.count(verdict)
                n = len(verdicts.places(verdict))
                into = f" into {predicted:,}" if true and verdict in (Verdict.SPLIT, Verdict.MERGED) else ""
                words = f"{verdict.counted(n)}{into}"
            row.setText(" " + words)
            row.setEnabled(verdicts is not None and len(verdicts.places(verdict)) > 0)


class ApPlot(Plot):
    """AP over the IoU threshold, with a mark at the chosen one."""

    def __init__(self, viewer: Any) -> None:
        tip = (
            "AP (average precision): matched / (matched + all others of both layers), by the IoU threshold. "
            "A curve that falls early has found the objects, but not their outlines."
        )
        super().__init__(viewer, "AP curve", tip, ((TRAINING, "━", "AP by IoU threshold"),))
        self.setXRange(THRESHOLDS[0], THRESHOLDS[-1], padding=0.02)
        self.setYRange(0, 1, padding=0.05)
        self.curve = self.plot(pen=pg.mkPen(TRAINING, width=1.5))
        self.line = pg.InfiniteLine(angle=90, pen=pg.mkPen(VALIDATION, width=1, style=Qt.PenStyle.DashLine))
        self.dot = self.plot(pen=None, symbol="o", symbolSize=7, symbolBrush=VALIDATION, symbolPen=VALIDATION)
        self.addItem(self.line)
        self.show_curve((), ())

    def show_curve(self, thresholds: Sequence[float], values: Sequence[float]) -> None:
        """Show the AP at these thresholds; the mark is gone until `mark`."""
        self.curve.setData(list(thresholds), list(values))
        self.dot.setData([], [])
        self.line.setVisible(False)

    def mark(self, threshold: float, value: float) -> None:
        """Mark the AP at the chosen threshold."""
        self.line.setValue(threshold)
        self.line.setVisible(True)
        self.dot.setData([threshold], [value])


def _square(colour: str) -> QIcon:
    picture = QPixmap(12, 12)
    picture.fill(QColor(colour))
    icon = QIcon(picture)
    icon.addPixmap(picture, QIcon.Mode.Disabled)  # the colours explain the layer also where there is none of them
    return icon
