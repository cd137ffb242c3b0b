"""Form rows from declared options: label left, field right, tooltip, accessible name, range and unit."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from qtpy.QtCore import QEvent, QObject, QSettings, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QPaintEvent
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_dojo.paths import home
from napari_dojo.settings import Field

__all__ = ["NO_ARROW", "Fold", "Form", "NameBox", "PathEdit", "calm", "described", "form_layout", "narrow", "sentence"]

MOST = 2**31 - 1  # the largest number of a spin box
NO_ARROW = "QToolButton::menu-indicator { image: none; }"


class Form(QWidget):
    """One row for each option; ``changed`` says that a value is another one now."""

    changed = Signal()

    def __init__(self, fields: Sequence[Field], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._fields = tuple(fields)
        layout = form_layout(self)
        self._editors: dict[str, QWidget] = {}
        for field in self._fields:
            editor = _editor(field)
            described(editor, field.option.label, _tip(field))
            _signal(editor).connect(self._said)
            self._editors[field.name] = editor
            label = QLabel(field.option.label)
            label.setToolTip(editor.toolTip())
            label.setBuddy(editor)
            layout.addRow(label, editor)

    def editor(self, name: str) -> QWidget:
        """The field of an option."""
        return self._editors[name]

    def values(self) -> dict[str, Any]:
        """What is set now, by the option's name; None where an option may be left open and is."""
        return {f.name: _read(f, self._editors[f.name]) for f in self._fields}

    def set_values(self, values: Mapping[str, Any]) -> None:
        """Show these values; names that the form does not have are passed over. Says nothing."""
        for field in self._fields:
            if field.name in values:
                editor = self._editors[field.name]
                editor.blockSignals(True)
                _write(field, editor, values[field.name])
                editor.blockSignals(False)

    def _said(self, *_: Any) -> None:
        self.changed.emit()


class Fold(QWidget):
    """A heading that shows or hides what belongs to it; under a ``key``, whether it is open is remembered."""

    def __init__(self, title: str, body: QWidget, key: str = "", is_open: bool = False) -> None:
        super().__init__()
        self._key = key
        self.button = QToolButton()
        self.button.setText(title)
        self.button.setCheckable(True)
        self.button.setAutoRaise(True)
        self.button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.button.setArrowType(Qt.ArrowType.RightArrow)
        self.button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.button.setStyleSheet("QToolButton { border: none; background: transparent; text-align: left; }")
        described(self.button, title, f"Show or hide: {title}")
        self.body = body
        body.setVisible(False)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.button)
        layout.addWidget(body)
        self.button.toggled.connect(self._show)
        self.button.setChecked(_memory().value(f"open/{key}", is_open, bool) if key else is_open)
        self.button.toggled.connect(self._remember)

    def _remember(self, on: bool) -> None:
        if self._key:
            _memory().setValue(f"open/{self._key}", on)

    def _show(self, on: bool) -> None:
        self.button.setArrowType(Qt.ArrowType.DownArrow if on else Qt.ArrowType.RightArrow)
        self.body.setVisible(on)


class NameBox(QComboBox):
    """A choice among names, of which long ones lose their middle: what tells them apart stands at their ends."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setStyleSheet("QComboBox { padding: 3px 0px 3px 6px; }")

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802
        """Draw the box, and of the name what there is room for."""
        option, style = QStyleOptionComboBox(), self.style()
        self.initStyleOption(option)
        if style is None:
            return
        field = style.subControlRect(
            QStyle.ComplexControl.CC_ComboBox, option, QStyle.SubControl.SC_ComboBoxEditField, self
        )
        text = option.currentText if self.currentIndex() >= 0 else self.placeholderText()
        option.currentText = option.fontMetrics.elidedText(text, Qt.TextElideMode.ElideMiddle, field.width() - 2)
        painter = QStylePainter(self)
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)


class PathEdit(QWidget):
    """A folder, typed or browsed for. ``changed`` says that it is another one."""

    changed = Signal()

    def __init__(self, name: str, tip: str) -> None:
        super().__init__()
        self.edit = QLineEdit()
        described(self.edit, name, tip)
        self.button = QPushButton("...")
        self.button.setFixedWidth(28)
        described(self.button, f"Browse: {name}", f"Choose a folder. {tip}")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(3)
        row.addWidget(self.edit, 1)
        row.addWidget(self.button)
        self.edit.textChanged.connect(lambda *_: self.changed.emit())
        self.button.clicked.connect(self._browse)

    @property
    def path(self) -> str:
        """What stands in it; empty where nothing does."""
        return self.edit.text().strip()

    def ask(self) -> str:
        """Let a person choose a folder; empty where they did not."""
        return QFileDialog.getExistingDirectory(self, self.edit.accessibleName(), self.path or str(Path.home()))

    def _browse(self) -> None:
        if chosen := self.ask():
            self.edit.setText(chosen)


def _memory() -> QSettings:
    """What panels remember from one session to the next."""
    return QSettings(str(home() / "panels.ini"), QSettings.Format.IniFormat)


class _Calm(QObject):
    """Lets the wheel scroll the panel, unless the field was chosen first."""

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802
        if (
            event is not None
            and event.type() == QEvent.Type.Wheel
            and isinstance(watched, QWidget)
            and not watched.hasFocus()
        ):
            event.ignore()
            return True
        return False


def calm(editor: QWidget) -> None:
    """Keep the wheel from changing a field that was not chosen."""
    editor.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    editor.installEventFilter(_Calm(editor))


def narrow(box: QComboBox) -> None:
    """Let a box be as wide as there is room, however long its texts are; the wheel does not change it."""
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(6)
    box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    calm(box)


def described(widget: QWidget, name: str, tip: str) -> None:
    """Give a control its accessible name and its tooltip."""
    widget.setAccessibleName(name)
    widget.setToolTip(tip)


def sentence(text: str = "", lines: int = 1) -> QLabel:
    """A label that wraps, with room for so many lines from the start."""
    label = QLabel(text)
    label.setWordWrap(True)
    label.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    label.setMinimumHeight(lines * label.fontMetrics().lineSpacing())
    label.setMinimumWidth(10)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
    return label


def form_layout(parent: QWidget | None = None) -> QFormLayout:
    """One column of labels, one of fields, no margins."""
    layout = QFormLayout()
    if parent is not None:
        parent.setLayout(layout)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setVerticalSpacing(3)
    layout.setHorizontalSpacing(8)
    layout.setLabelAlignment(Qt.AlignmentFlag.AlignLeft)
    layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    return layout


def _tip(field: Field) -> str:
    o = field.option
    return f"{o.help} ({o.unit})" if o.unit else o.help


def _zero_decides(field: Field) -> bool:
    return field.default == 0 and re.search(r"\b0\b", field.option.help) is not None


def _editor(field: Field) -> QWidget:
    if field.choices:
        box = QComboBox()
        for choice, words in zip_longest(field.choices, field.option.words):
            box.addItem(words or str(choice), choice)
        calm(box)
        _write(field, box, field.default)
        return box
    if field.kind is bool:
        tick = QCheckBox()
        tick.setChecked(bool(field.default))
        return tick
    if field.kind in (int, float):
        spin = _spin(field)
        _write(field, spin, field.default)
        return spin
    line = QLineEdit()
    line.setPlaceholderText("automatic")
    _write(field, line, field.default)
    return line


def _spin(field: Field) -> QSpinBox | QDoubleSpinBox:
    low = -MOST if field.option.low is None else field.option.low
    high = MOST if field.option.high is None else min(field.option.high, MOST)
    spin: Any
    if field.kind is int:
        spin = QSpinBox()
        step = 1.0
    else:
        spin = QDoubleSpinBox()
        spin.setDecimals(4 if high <= 1 else 2)
        step = 0.05 if high <= 1 else 1.0
    if field.optional:
        low = low - step if low >= step else low  # one below the range: left open
    spin.setRange(int(low) if field.kind is int else low, int(high) if field.kind is int else high)
    spin.setSingleStep(field.kind(step))
    spin.setStepType(QAbstractSpinBox.StepType.DefaultStepType)
    spin.setKeyboardTracking(False)
    spin.setMaximumWidth(160)
    if field.option.unit:
        spin.setSuffix(" " + field.option.unit)
    if field.optional or _zero_decides(field):
        spin.setSpecialValueText("automatic")
    calm(spin)
    return spin


def _signal(editor: QWidget) -> Any:
    if isinstance(editor, QComboBox):
        return editor.currentIndexChanged
    if isinstance(editor, QCheckBox):
        return editor.toggled
    if isinstance(editor, (QSpinBox, QDoubleSpinBox)):
        return editor.valueChanged
    assert isinstance(editor, QLineEdit)
    return editor.editingFinished


def _read(field: Field, editor: QWidget) -> Any:
    if isinstance(editor, QComboBox):
        return editor.currentData()
    if isinstance(editor, QCheckBox):
        return editor.isChecked()
    if isinstance(editor, (QSpinBox, QDoubleSpinBox)):
        open_ = field.optional and editor.value() == editor.minimum()
        return None if open_ else field.kind(editor.value())
    assert isinstance(editor, QLineEdit)
    text = editor.text().strip()
    if field.kind is tuple:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    return None if field.optional and not text else text


def _write(field: Field, editor: QWidget, value: Any) -> None:
    if isinstance(editor, QComboBox):
        editor.setCurrentIndex(max(0, editor.findData(value)))
    elif isinstance(editor, QCheckBox):
        editor.setChecked(bool(value))
    elif isinstance(editor, QSpinBox):
        editor.setValue(editor.minimum() if value is None else int(value))
    elif isinstance(editor, QDoubleSpinBox):
        editor.setValue(editor.minimum() if value is None else float(value))
    elif isinstance(editor, QLineEdit):
        editor.setText(", ".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value or ""))
