"""One slider for each number that decides how maps become labels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QLabel, QWidget

from napari_dojo.settings import Field
from napari_dojo.widgets.common.form import form_layout
from napari_dojo.widgets.common.options import slider

__all__ = ["Sliders", "size_words"]

MOST = 1000  # an option that may be larger gets a slider as long as its value asks for


def size_words(pixels: float, pixel_size: Sequence[float] | None) -> str:
    """A size in pixels in µm² or µm³, and how wide such a disc or ball is: "3 µm², 2 µm across"; empty where unknown."""
    if pixel_size is None:
        return ""
    n = len(pixel_size)
    size = pixels * math.prod(pixel_size)
    across = 2 * math.sqrt(size / math.pi) if n == 2 else (6 * size / math.pi) ** (1 / 3)
    return f"{size:.3g} µm{'²³'[n - 2]}, {across:.2g} µm across"


class Sliders(QWidget):
    """One slider for each number of a decoding; ``changed`` says that one was moved."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._layout = form_layout(self)
        self._sliders: dict[str, tuple[Field, Any]] = {}
        self._given: dict[str, tuple[Any, Any]] = {}  # what a slider showed at first, and what for
        self._words: dict[str, QLabel] = {}
        self._pixel_size: tuple[float, ...] | None = None

    def show_fields(self, fields: tuple[Field, ...], values: Mapping[str, Any]) -> None:
        """Show these numbers with these values, without emitting ``changed``."""
        if tuple(f.name for f in fields) != tuple(self._sliders):
            while self._layout.rowCount():
                self._layout.removeRow(0)
            self._sliders, self._words = {}, {}
            for field in fields:
                self._add(field)
        for name, (field, made) in self._sliders.items():
            with made.changed.blocked():
                made.range = _range(field, values[name])
                value = math.ceil(values[name]) if _whole(field) else values[name]  # what is at least 10.5 px has 11
                made.value = min(max(value, made.min), made.max)
            self._given[name] = made.value, field.kind(value)
        self._say()

    def set_pixel_size(self, size: Sequence[float] | None) -> None:
        """Give sizes in µm, too; of the spatial axes of what is decoded, None where unknown."""
        self._pixel_size = tuple(size) if size is not None else None
        self._say()

    def slider(self, name: str) -> Any:
        """The magicgui slider of a number."""
        return self._sliders[name][1]

    def values(self) -> dict[str, Any]:
        """What they show, by name; one that was not moved has its value to the last digit."""
        found = {}
        for name, (field, made) in self._sliders.items():
            shown, value = self._given[name]
            found[name] = value if made.value == shown else field.kind(round(made.value, 2))
        return found

    def _add(self, field: Field) -> None:
        o, whole = field.option, _whole(field)
        made = slider(o.label, o.help, *_range(field), step=1 if whole else 0.01)
        made.changed.connect(self._moved)
        in_pixels = whole and o.unit == "px"
        label = QLabel(o.label + (f" ({o.unit})" if o.unit else ""))
        label.setToolTip(o.help)
        label.setBuddy(made.native)
        self._layout.addRow(label, made.native)
        self._sliders[field.name] = (field, made)
        if in_pixels:
            self._words[field.name] = QLabel()
            self._layout.addRow("", self._words[field.name])

    def _moved(self, *_: Any) -> None:
        self._say()
        self.changed.emit()

    def _say(self) -> None:
        for name, label in self._words.items():
            label.setText(size_words(self.values()[name], self._pixel_size))
            label.setVisible(bool(label.text()))


def _whole(field: Field) -> bool:
    return field.kind is int or (field.option.high or 0) > MOST


def _range(field: Field, value: float = 0) -> tuple[float, float]:
    """The ends of a slider that has room for a value."""
    low, high = field.option.low or 0, field.option.high or 1
    high = high if high <= MOST else max(200, 4 * value)
    return (int(low), math.ceil(high)) if _whole(field) else (low, high)
