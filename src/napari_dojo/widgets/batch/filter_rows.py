"""Rows of limits: a measurement between two values."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QDoubleValidator
from qtpy.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QPushButton, QToolButton, QVBoxLayout, QWidget

from napari_dojo.inference.filters import Range
from napari_dojo.inference.tables import MEASUREMENTS
from napari_dojo.widgets.common.form import NameBox, described

__all__ = ["RangeRow", "RangeRows"]

COLUMNS = ("area_px", "area_um2", *(f"{m.name}_px" if m.length else m.name for m in MEASUREMENTS))


class RangeRow(QWidget):
    """A column of the table, and the least and the largest value that objects may have there."""

    changed = Signal()

    def __init__(self, limit: Range, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.box = NameBox()
        described(self.box, "Measurement", "Objects are kept by this measurement.")
        for column in dict.fromkeys((*COLUMNS, limit.column)):
            self.box.addItem(column.replace("_um2", " µm²").replace("_px", " px").replace("_", " "), column)
        self.box.setCurrentIndex(self.box.findData(limit.column))
        self.low, self.high = _number("Minimum", limit.low), _number("Maximum", limit.high)
        self.remove = QToolButton()
        self.remove.setText("✕")
        self.remove.setAutoRaise(True)
        described(self.remove, "Remove this limit", "Remove this limit.")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(3)
        row.addWidget(self.box, 1)
        for widget in (self.low, QLabel("to"), self.high, self.remove):
            row.addWidget(widget)
        self.box.currentIndexChanged.connect(lambda *_: self.changed.emit())
        for edit in (self.low, self.high):
            edit.textChanged.connect(lambda *_: self.changed.emit())

    @property
    def range(self) -> Range:
        """What is chosen."""
        return Range(str(self.box.currentData()), _value(self.low), _value(self.high))


class RangeRows(QWidget):
    """All limits. ``changed`` says that something else is chosen; ``add_button`` is for the panel to place."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows: list[RangeRow] = []
        self.add_button = QPushButton("+ limit")
        described(self.add_button, "Add a limit", "Keep only objects whose measurement lies between two values.")
        self._list = QVBoxLayout(self)
        self._list.setContentsMargins(16, 0, 0, 0)
        self._list.setSpacing(2)
        self.add_button.clicked.connect(lambda *_: self._append(Range("area_px")))

    @property
    def ranges(self) -> tuple[Range, ...]:
        """What is chosen; rows without a number do not count."""
        found = (row.range for row in self.rows)
        return tuple(r for r in found if r.low is not None or r.high is not None)

    def set_ranges(self, ranges: Sequence[Range]) -> None:
        """Show these."""
        for row in list(self.rows):
            self._remove(row)
        for limit in ranges:
            self._append(limit)

    def _append(self, limit: Range) -> None:
        row = RangeRow(limit)
        self.rows.append(row)
        self._list.addWidget(row)
        row.changed.connect(self.changed)
        row.remove.clicked.connect(lambda *_: self._remove(row))
        self.changed.emit()

    def _remove(self, row: RangeRow) -> None:
        self.rows.remove(row)
        self._list.removeWidget(row)
        row.hide()
        row.deleteLater()
        self.changed.emit()


def _number(name: str, value: float | None) -> QLineEdit:
    edit = QLineEdit("" if value is None else f"{value:g}")
    edit.setValidator(QDoubleValidator())
    edit.setPlaceholderText(name[:3].lower())
    edit.setFixedWidth(56)
    described(edit, name, f"{name} of the measurement; empty: no limit.")
    return edit


def _value(edit: QLineEdit) -> float | None:
    try:
        return float(edit.text().replace(",", "."))
    except ValueError:
        return None
