"""One slider for each number that decides how maps become labels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QLabel, QLineEdit, QWidget

from napari_dojo.settings import Field
from napari_dojo.widgets.common.form import calm, described, form_layout

__all__ = ["Sliders", "size_words"]

MOST = 1000  # an option that may be larger gets a slider as long as its value asks for


def size_words(pixels: float, pixel_size: Sequence[float] | None) -> str:
    """So many pixels, in um² or um³ where known, and how wide a disc or ball of them is: "9 px: 3 µm², 2 µm across"."""
    if pixel_size is None:
        return f"{pixels:g} px"
    n = len(pixel_size)
    size = pixels * math.prod(pixel_size)
    across = 2 * math.sqrt(size / math.pi) if n == 2 else (6 * size / math.pi) ** (1 / 3)
    return f"{pixels:g} px: {size:.3g} µm{'²³'[n - 2]}, {across:.2g} µm across"


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
        """Show these numbers with these values; says nothing."""
        if tuple(f.name for f in fields) != tuple(self._sliders):
            while self._layout.rowCount():
                self._layout.removeRow(0)
            self._sliders, self._words = {}, {}
            for field in fields:
                self._add(field)
        for name, (field, slider) in self._sliders.items():
            _show(field, slider, values[name])
            self._given[name] = slider.value(), values[name]
        self._say()

    def set_pixel_size(self, size: Sequence[float] | None) -> None:
        """Say sizes in um, too; the spatial axes of what is decoded, None where unknown."""
        self._pixel_size = tuple(size) if size is not None else None
        self._say()

    def slider(self, name: str) -> Any:
        """The slider of a number."""
        return self._sliders[name][1]

    def values(self) -> dict[str, Any]:
        """What they show, by name; one that was not moved has its value to the last digit."""
        found = {}
        for name, (field, slider) in self._sliders.items():
            shown, value = self._given[name]
            found[name] = value if slider.value() == shown else field.kind(slider.value())
        return found

    def _add(self, field: Field) -> None:
        from superqt import QLabeledDoubleSlider, QLabeledSlider

        whole = field.kind is int or (field.option.high or 0) > MOST
        slider: Any = (QLabeledSlider if whole else QLabeledDoubleSlider)(Qt.Orientation.Horizontal)
        for part in (slider, *slider.findChildren(QLineEdit)):
            described(part, field.option.label, field.option.help)
        calm(slider)
        slider.valueChanged.connect(self._moved)
        in_pixels = whole and field.option.unit == "px"
        label = QLabel(field.option.label + (f" ({field.option.unit})" if field.option.unit and not in_pixels else ""))
        label.setToolTip(field.option.help)
        self._layout.addRow(label, slider)
        self._sliders[field.name] = (field, slider)
        if in_pixels:
            self._words[field.name] = QLabel()
            self._layout.addRow("", self._words[field.name])

    def _moved(self, *_: Any) -> None:
        self._say()
        self.changed.emit()

    def _say(self) -> None:
        for name, label in self._words.items():
            label.setText(size_words(self.values()[name], self._pixel_size))


def _show(field: Field, slider: Any, value: Any) -> None:
    """Set range and value, silently."""
    low, high = field.option.low or 0, field.option.high or 1
    high = high if high <= MOST else max(200, 4 * value)
    whole = isinstance(slider.value(), int)
    slider.blockSignals(True)
    slider.setRange(*((int(low), math.ceil(high)) if whole else (low, high)))
    if high <= 1:
        slider.setDecimals(2)
        slider.setSingleStep(0.01)
    slider.setValue(round(value) if whole else value)
    slider.blockSignals(False)
