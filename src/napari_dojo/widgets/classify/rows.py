"""The classes as rows: key and colour, name, how many objects; a click chooses the one that is given."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QButtonGroup, QHBoxLayout, QLabel, QLineEdit, QPushButton, QToolButton, QVBoxLayout, QWidget

from napari_dojo.objects.classes import MOST, Classes
from napari_dojo.objects.heads import Count
from napari_dojo.widgets.classify.colours import colour_of
from napari_dojo.widgets.common.form import described
from napari_dojo.widgets.common.words import counted

__all__ = ["MIME", "ClassRows"]

MIME = "application/x-napari-dojo-objects"  # rows of objects that are dragged, as text
SWATCH = 24  # px


class _Row(QWidget):
    """One class. ``dropped``: objects were dropped on it, rows as text."""

    dropped = Signal(str)

    def __init__(self, k: int) -> None:
        super().__init__()
        self.setAcceptDrops(True)
        self.swatch, self.name, self.count, self.bin = QToolButton(), QLineEdit(), QLabel(), QToolButton()
        self.swatch.setText(str(k + 1))
        self.swatch.setCheckable(True)
        self.swatch.setFixedSize(SWATCH, SWATCH)
        colour = colour_of(k + 1)
        self.swatch.setStyleSheet(
            f"QToolButton {{ background-color: {colour}; color: {_readable(colour)}; border: 2px solid {colour}; }}"
            "QToolButton:checked { border: 2px solid white; font-weight: bold; text-decoration: underline; }"
            "QToolButton:focus { border: 2px dashed white; }"
        )
        self.name.setMinimumWidth(60)
        self.bin.setText("×")
        self.bin.setAutoRaise(True)
        line = QHBoxLayout(self)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(5)
        line.addWidget(self.swatch)
        line.addWidget(self.name, 1)
        line.addWidget(self.count)
        line.addWidget(self.bin)

    def dragEnterEvent(self, event: QDragEnterEvent | None) -> None:  # noqa: N802
        """Objects from the gallery are welcome."""
        data = event.mimeData() if event is not None else None
        if event is not None and data is not None and data.hasFormat(MIME):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent | None) -> None:  # noqa: N802
        """They get this class."""
        data = event.mimeData() if event is not None else None
        if event is not None and data is not None:
            event.acceptProposedAction()
            self.dropped.emit(bytes(data.data(MIME).data()).decode())


class ClassRows(QWidget):
    """All classes. ``picked``: one was chosen; ``renamed``: place and name; ``removed``, ``added``; ``dropped``: objects, place."""

    picked = Signal(int)
    renamed = Signal(int, str)
    removed = Signal(int)
    added = Signal()
    dropped = Signal(object, int)

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[_Row] = []
        self._group = QButtonGroup(self)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(2)
        self.add_button = QPushButton("+ class")
        described(self.add_button, "New class", f"Add a class. There are at most {MOST}: one for each key.")
        self.add_button.clicked.connect(lambda *_: self.added.emit())
        self._column.addWidget(self.add_button)

    @property
    def current(self) -> int:
        """The place of the class that a click gives."""
        return next((k for k, row in enumerate(self.rows) if row.swatch.isChecked()), 0)

    def choose(self, k: int) -> None:
        """Choose a class; one that is not there changes nothing."""
        if 0 <= k < len(self.rows) and not self.rows[k].swatch.isChecked():
            self.rows[k].swatch.setChecked(True)
            self.picked.emit(k)

    def show_classes(self, classes: Classes) -> None:
        """Show these names, and how many objects were shown for each."""
        while len(self.rows) > len(classes.names):
            row = self.rows.pop()
            checked = row.swatch.isChecked()
            self._group.removeButton(row.swatch)
            self._column.removeWidget(row)
            row.hide()
            row.deleteLater()
            if checked and self.rows:
                self.rows[-1].swatch.setChecked(True)
        while len(self.rows) < len(classes.names):
            self._add(len(self.rows))
        shown = list(classes.shown.values())
        for k, (row, name) in enumerate(zip(self.rows, classes.names, strict=True)):
            if row.name.text() != name:
                row.name.setText(name)
            described(row.swatch, f"Class {k + 1}", f"Click objects to show them as {name}. Key: {k + 1}")
            row.count.setText(_words(shown.count(k), None))
            row.count.setToolTip(f"Shown as {name}: {counted(shown.count(k), 'object')}.")
            row.bin.setEnabled(len(classes.names) > 1)
        self.add_button.setEnabled(len(classes.names) < MOST)

    def show_counts(self, counts: Sequence[Count]) -> None:
        """Show how many objects have each class."""
        for row, count in zip(self.rows, counts, strict=False):
            row.count.setText(_words(count.shown, count))
            row.count.setToolTip(
                f"{counted(count.found, 'object')}: {count.shown} shown by you, the others predicted. 95 % interval "
                f"{count.low:,} to {count.high:,}, from precision and recall in cross-validation (Wilson)."
            )

    def _add(self, k: int) -> None:
        row = _Row(k)
        self._group.addButton(row.swatch)
        row.swatch.setChecked(k == 0)
        described(row.name, f"Name of class {k + 1}", "What this class is called in tables and files.")
        described(row.bin, f"Remove class {k + 1}", "Remove this class, and what was shown for it. It can be undone.")
        row.swatch.clicked.connect(partial(self._picked, row))
        row.name.editingFinished.connect(partial(self._renamed, row))
        row.bin.clicked.connect(partial(self._removed, row))
        row.dropped.connect(partial(self._dropped, row))
        self.rows.append(row)
        self._column.insertWidget(len(self.rows) - 1, row)

    def _picked(self, row: _Row, *_: object) -> None:
        self.picked.emit(self.rows.index(row))

    def _renamed(self, row: _Row) -> None:
        if row in self.rows:
            self.renamed.emit(self.rows.index(row), row.name.text())

    def _removed(self, row: _Row, *_: object) -> None:
        self.removed.emit(self.rows.index(row))

    def _dropped(self, row: _Row, text: str) -> None:
        self.dropped.emit([int(v) for v in text.split()], self.rows.index(row))


def _words(shown: int, count: Count | None) -> str:
    if count is None:
        return f"{shown} shown" if shown else "none shown"
    return f"{count.found:,} ({count.low:,}-{count.high:,}), {count.shown} shown"


def _readable(colour: str) -> str:
    """Black or white, which is better seen on a colour."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "black" if 0.3 * red + 0.59 * green + 0.11 * blue > 130 else "white"
