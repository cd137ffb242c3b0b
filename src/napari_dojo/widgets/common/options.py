"""Declared options as magicgui widgets: range, step, unit, choices in words, tooltip, accessible name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any, Protocol

from magicgui.widgets import ComboBox, FloatSlider, FloatSpinBox, LineEdit, Slider, create_widget
from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QAbstractSpinBox, QCheckBox, QComboBox, QLabel, QLineEdit, QSlider, QWidget

from napari_dojo.settings import Field
from napari_dojo.widgets.common.form import calm, described, form_layout, narrow

__all__ = ["Form", "NumberEdit", "field_widget", "slider"]

MOST = 2**31 - 1  # the largest number of a field
NUMBER = 46  # px of the number beside a slider, up to five digits
AUTOMATIC = "automatic"


class Editor(Protocol):
    """What a form shows an option in: a magicgui widget, or one that behaves like it."""

    value: Any

    @property
    def native(self) -> QWidget:
        """The Qt widget."""

    @property
    def changed(self) -> Any:
        """The signal that another value is set."""


class Form(QWidget):
    """One row for each option, label left and field right; ``changed`` says that a value has changed.

    Parameters
    ----------
    fields : the options, in the order of their rows.
    special : editors by option name, where magicgui's own does not do.
    """

    changed = Signal()

    def __init__(
        self, fields: Sequence[Field], parent: QWidget | None = None, special: Mapping[str, Editor] | None = None
    ) -> None:
        super().__init__(parent)
        self._rows = form_layout(self)
        self._editors: dict[str, Editor] = {}
        for field in fields:
            self._append(field, (special or {}).get(field.name) or field_widget(field))

    def _append(self, field: Field, editor: Editor) -> None:
        native = editor.native
        label = QLabel(field.option.label)
        label.setBuddy(native)
        self._rows.addRow(label, native)
        self._editors[field.name] = editor
        self.describe(field.name, field.option.label, _tip(field))
        # a line of text counts when it is complete, not at each key
        (native.editingFinished if isinstance(native, QLineEdit) else editor.changed).connect(self._said)

    def editor(self, name: str) -> QWidget:
        """The Qt widget that an option is set in."""
        return self._editors[name].native

    def label(self, name: str) -> QLabel:
        """What stands before it."""
        label = self._rows.labelForField(self.editor(name))
        assert isinstance(label, QLabel)
        return label

    def describe(self, name: str, title: str, tip: str) -> None:
        """Give an option its accessible name, and field and label their tooltip."""
        described(self.editor(name), title, tip)
        self.label(name).setToolTip(tip)

    def show_row(self, name: str, on: bool) -> None:
        """Show or hide an option with its label."""
        for widget in (self.label(name), self.editor(name)):
            widget.setVisible(on)

    def values(self) -> dict[str, Any]:
        """What is set, by the option's name; None where an option is left to the plan."""
        return {name: editor.value for name, editor in self._editors.items()}

    def shown_values(self) -> dict[str, Any]:
        """What is set in the rows that are not hidden."""
        return {name: editor.value for name, editor in self._editors.items() if not editor.native.isHidden()}

    def set_values(self, values: Mapping[str, Any]) -> None:
        """Show these values without emitting ``changed``; names that the form does not have are ignored."""
        blocked = self.blockSignals(True)
        for name, editor in self._editors.items():
            if name in values:
                _show(editor, values[name])
        self.blockSignals(blocked)

    def offer(self, name: str, choices: Sequence[tuple[str, Any]]) -> None:
        """Offer these words and values in the place of an option's choices, without emitting ``changed``."""
        editor, value = self._editors[name], self._editors[name].value
        blocked = self.blockSignals(True)
        editor.choices = choices  # type: ignore[attr-defined]  # only choices have them
        _show(editor, value)
        self.blockSignals(blocked)

    def show_automatic(self, values: Mapping[str, Any]) -> None:
        """Say what the plan chose for options that are left to it: "automatic (128)"."""
        for name, editor in self._editors.items():
            if isinstance(editor, NumberEdit | ChoiceEdit):
                editor.show_automatic(values.get(name))

    def _said(self, *_: Any) -> None:
        self.changed.emit()


class NumberEdit(FloatSpinBox):
    """A number with its unit. Where it may be left open, None is one step below the range, and shown as a word.

    For whole numbers, too: magicgui's SpinBox shows neither a unit nor a word in the place of a number.
    """

    def __init__(
        self, *, whole: bool = False, unit: str = "", word: str = "", decimals: int = 2, **kwargs: Any
    ) -> None:
        value, self._low, high = kwargs.pop("value"), kwargs.pop("min"), kwargs.pop("max")
        self._whole = whole
        super().__init__(**kwargs)
        spin = self.native
        spin.setDecimals(0 if whole else decimals)  # before range and value, which it rounds
        self.range = (self._low - kwargs["step"] if self._nullable else self._low, high)
        spin.setSuffix(f" {unit}" if unit else "")
        self._word = word
        spin.setSpecialValueText(word)
        spin.setKeyboardTracking(False)
        spin.setMaximumWidth(180)
        spin.valueChanged.connect(self._snap)
        calm(spin)
        self.value = value

    def get_value(self) -> Any:
        """The number, None where it is left open."""
        number = super().get_value()
        if self._nullable and number < self._low:
            return None
        return round(number) if self._whole else number

    def set_value(self, value: float | None) -> None:
        """Show a number, the nearest that the range has."""
        super().set_value(self.min if value is None else min(max(value, self._low), self.max))

    def show_automatic(self, value: float | None) -> None:
        """Say in the place of a number that is left open what it will be; None: not known."""
        if self._word:
            self.native.setSpecialValueText(self._word if value is None else f"{self._word} ({value:.4g})")

    def _snap(self, number: float) -> None:
        """Below the range there is only None."""
        if self.min < number < self._low:
            self.native.setValue(self.min)


class ChoiceEdit(ComboBox):
    """A choice that may be left open: None is its first entry, and shown as a word."""

    null_string = AUTOMATIC

    def show_automatic(self, value: Any) -> None:
        """Say in the place of a choice that is left open what it will be; None: not known."""
        box: QComboBox = self.native
        if box.count() and box.itemData(0) is None:
            words = box.itemText(box.findData(value)) if value is not None else ""
            box.setItemText(0, f"{AUTOMATIC} ({words})" if words else AUTOMATIC)


class TextEdit(LineEdit):
    """A text. Where it may be left open, None is an empty one."""

    def get_value(self) -> Any:
        """The text without blanks around it."""
        return str(super().get_value()).strip() or (None if self._nullable else "")

    def set_value(self, value: Any) -> None:
        """Show a text."""
        super().set_value("" if value is None else value)


class NamesEdit(LineEdit):
    """Several names as a tuple, typed with commas between them."""

    def get_value(self) -> Any:
        """The names."""
        return tuple(part.strip() for part in str(super().get_value()).split(",") if part.strip())

    def set_value(self, value: Any) -> None:
        """Show these names."""
        super().set_value(", ".join(map(str, value or ())))


def field_widget(field: Field) -> Any:
    """The magicgui widget of an option, with its default value, tooltip and accessible name."""
    hint: Any = field.kind | None if field.optional and not field.choices else field.kind
    widget = create_widget(field.default, hint, name=field.name, options=_options(field))
    native: Any = widget.native
    if isinstance(native, QCheckBox):
        native.setText("")  # its label stands before it
    elif isinstance(native, QComboBox):
        narrow(native)
    elif isinstance(native, QLineEdit):
        native.setPlaceholderText(AUTOMATIC)
    described(native, field.option.label, _tip(field))
    return widget


def slider(title: str, tip: str, low: float, high: float, step: float) -> Any:
    """A magicgui slider with the number beside it, which can be typed; of whole numbers where the step is one."""
    kind: Any = Slider if isinstance(step, int) else FloatSlider
    made = kind(min=low, max=high, step=step, value=low)
    (bar,), (number,) = made.native.findChildren(QSlider), made.native.findChildren(QAbstractSpinBox)
    for part in (made.native, bar, number):
        described(part, title, tip)
    calm(bar)
    calm(number)
    number.setStyleSheet(
        "min-width: 0px; padding: 0px; margin: 0px;"
    )  # napari's leaves room for arrows, which it does not have
    number.setFixedWidth(NUMBER)
    bar.setPageStep(10 * bar.singleStep())
    return made


def _tip(field: Field) -> str:
    o = field.option
    return f"{o.help} ({o.unit})" if o.unit else o.help


def _zero_decides(field: Field) -> bool:
    return field.default == 0 and re.search(r"\b0\b", field.option.help) is not None


def _options(field: Field) -> dict[str, Any]:
    """The options for magicgui of a setting, besides its type."""
    if field.choices:
        words = [(words or str(c), c) for c, words in zip_longest(field.choices, field.option.words)]
        return {"widget_type": ChoiceEdit, "choices": words, "nullable": field.optional}
    if field.kind is tuple:
        return {"widget_type": NamesEdit}
    if field.kind is str:
        return {"widget_type": TextEdit}
    return {} if field.kind is bool else _range(field)


def _range(field: Field) -> dict[str, Any]:
    """Range, step and unit of a number, and the word for one that is left to the plan."""
    o, whole = field.option, field.kind is int
    low = -MOST if o.low is None else o.low
    high = MOST if o.high is None else min(o.high, MOST)
    step = 0.05 if high <= 1 and not whole else 1
    return {
        "widget_type": NumberEdit,
        "whole": whole,
        "unit": o.unit,
        "word": AUTOMATIC if field.optional or _zero_decides(field) else "",
        "decimals": 4 if high <= 1 else 2,
        **{"min": low, "max": high, "step": step},
    }


def _show(editor: Editor, value: Any) -> None:
    """Show a value; of choices the first where it is none of them."""
    choices = getattr(editor, "choices", None)
    editor.value = choices[0] if choices and value not in choices else value
