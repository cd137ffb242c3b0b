"""The classes that were painted: number, colour, name, how much; a new one at one click."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QGridLayout, QLabel, QLineEdit, QPushButton, QToolButton, QWidget

from napari_dojo.widgets.common.form import described

__all__ = ["ClassTable"]


class ClassTable(QWidget):
    """One line for each class. ``changed`` says that a name is another one.

    ``layers`` gives the labels layers that are learned from: the names belong to them, as features. Where there are none, as
    of files, the table keeps them.
    """

    changed = Signal()

    def __init__(self, layers: Callable[[], Sequence[Any]]) -> None:
        super().__init__()
        self._layers = layers
        self._names: dict[int, str] = {}
        self._painted: tuple[tuple[int, str, int], ...] = ()
        self._shown: Any = None  # what the lines are about
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setVerticalSpacing(2)
        self._grid.setColumnStretch(2, 1)
        self.add_button = QPushButton("+ class")
        described(self.add_button, "New class", "Take the next free number: what you paint now is a new class.")
        self.add_button.clicked.connect(self._add)
        self._grid.addWidget(self.add_button, 0, 0, 1, 4)

    def name_of(self, value: int, default: str) -> str:
        """The name that a class has in its layers, else the default."""
        return self._known().get(value) or default

    def names(self) -> tuple[str, ...]:
        """The names of the classes that are shown, in the order of their numbers."""
        return tuple(self.name_of(value, name) for value, name, _ in self._painted)

    @property
    def named(self) -> bool:
        """Whether a class has a custom name."""
        return any(self.name_of(value, name) != name for value, name, _ in self._painted)

    def worded(self, text: str) -> str:
        """A text about classes with their names of their own."""
        given = {name: self.name_of(value, name) for value, name, _ in self._painted}
        words = "|".join(rf"{re.escape(name)}(?!\d)" for name in given)
        return re.sub(rf"\b(?:{words})", lambda found: given[found[0]], text) if given else text

    def custom(self) -> dict[str, str]:
        """The names that are known, by number as text; for saving."""
        return {str(k): v for k, v in self._known().items()}

    def set_custom(self, names: dict[str, str]) -> None:
        """Take names that were saved; layers that have names keep theirs."""
        layers, saved = self._layers(), {int(k): v for k, v in names.items()}
        self._names = {} if layers else saved
        for layer in layers:
            _tell(layer, {**saved, **_featured([layer])})
        self._rebuild()

    def show_painted(self, painted: Sequence[tuple[int, str, int]]) -> None:
        """Show these classes: number, name, annotated pixels."""
        self._painted = tuple(painted)
        if self._shown != self._about():
            self._rebuild()
        for row, (_, _, pixels) in enumerate(self._painted):
            item = self._grid.itemAtPosition(row, 3)
            label = item.widget() if item is not None else None
            if isinstance(label, QLabel):
                label.setText(f"{pixels:,} px")

    def _known(self) -> dict[int, str]:
        layers = self._layers()
        return _featured(layers) if layers else self._names

    def _about(self) -> Any:
        known = self._known()
        return [id(x) for x in self._layers()], [(value, known.get(value)) for value, *_ in self._painted]

    def _rebuild(self) -> None:
        self._shown = self._about()
        self._grid.removeWidget(self.add_button)
        while (item := self._grid.takeAt(0)) is not None:
            if (old := item.widget()) is not None:
                old.hide()
                old.deleteLater()
        for row, (value, name, pixels) in enumerate(self._painted):
            self._line(row, value, name, pixels)
        self._grid.addWidget(self.add_button, len(self._painted), 0, 1, 4)

    def _line(self, row: int, value: int, name: str, pixels: int) -> None:
        swatch = QToolButton()
        swatch.setStyleSheet(f"background-color: {self._colour(value)};")
        swatch.setFixedSize(18, 18)
        described(swatch, f"Paint class {value}", f"Paint with number {value}.")
        swatch.clicked.connect(lambda: self._paint(value))
        edit = QLineEdit(self.name_of(value, name))
        described(edit, f"Name of class {value}", "What this class is called in the result.")
        edit.editingFinished.connect(lambda: self._named(value, edit.text().strip()))
        for column, widget in enumerate((swatch, QLabel(str(value)), edit, QLabel(f"{pixels:,} px"))):
            self._grid.addWidget(widget, row, column)

    def _named(self, value: int, name: str) -> None:
        default = next((n for v, n, _ in self._painted if v == value), "")
        if name and name != self.name_of(value, default):
            layers = self._layers()
            if not layers:
                self._names[value] = name
            for layer in layers:
                _tell(layer, {**_featured([layer]), value: name})
            self._shown = self._about()
            self.changed.emit()

    def _colour(self, value: int) -> str:
        layer = next(iter(self._layers()), None)
        if layer is None:
            return "transparent"
        colour = layer.get_color(value)
        return "transparent" if colour is None else QColor.fromRgbF(*(float(c) for c in colour)).name()

    def _paint(self, value: int) -> None:
        for layer in self._layers():
            layer.selected_label = value
            layer.mode = "paint"

    def _add(self) -> None:
        numbers = [value for value, *_ in self._painted]
        self._paint(max(numbers, default=0) + 1)


def _tell(layer: Any, names: dict[int, str]) -> None:
    """Write names into the layer's features, which napari shows under the mouse and an autosave keeps."""
    if names != _featured([layer]):
        names = dict(sorted(names.items()))
        layer.features = {"index": list(names), "class": list(names.values())}


def _featured(layers: Sequence[Any]) -> dict[int, str]:
    """Names of classes as features of the layers give them."""
    found: dict[int, str] = {}
    for layer in layers:
        table = layer.features
        if {"index", "class"} <= set(table.columns):
            found |= {int(i): str(name) for i, name in zip(table["index"], table["class"], strict=True)}
    return found
