"""Forms for the settings of the classroom, made from the declared options; an exercise can lock them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_dojo.playground.glossary import explain
from napari_dojo.playground.image_settings import Cnn, ImageLearning, ImageSet
from napari_dojo.playground.points import KINDS
from napari_dojo.playground.settings import FEATURES, TITLES, Learning, NetShape, PointSet
from napari_dojo.settings import Field, Option, fields_of
from napari_dojo.widgets.classroom.lesson import BaseLesson, Lesson
from napari_dojo.widgets.common.form import described, narrow
from napari_dojo.widgets.common.options import Form

__all__ = ["ChoicesForm", "InputsRow", "MainChoices", "NumberBox", "fields_named"]

LEAST = 56  # px of a field
LOCKED = "Locked in this exercise."
SHORT = {"output": "Output", "learning_rate": "Rate", "batch_size": "Batch", "hidden": "Dense", "shifts": "Shifts"}
# Suggested values; any other can be typed.
USUAL: dict[str, tuple[float, ...]] = {
    "learning_rate": (0.0001, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 10),
    "batch_size": (1, 2, 4, 8, 16, 32, 64, 128, 0),
    "epochs": (1, 5, 10, 20, 30, 50, 100, 150, 200, 500),
    "noise": (0, 0.05, 0.1, 0.2, 0.3, 0.5),
    "label_noise": (0, 0.01, 0.05, 0.1, 0.2),
    "dropout": (0, 0.1, 0.2, 0.3, 0.5),
    "l1": (0, 0.0001, 0.001, 0.003, 0.01, 0.03, 0.1),
    "l2": (0, 0.0001, 0.001, 0.003, 0.01, 0.02, 0.03, 0.1),
    "shifts": (0, 1, 2),
}
LISTS: dict[str, tuple[Any, ...]] = {
    "kernels": ((2,), (4,), (8,), (8, 16), (16, 32), (8, 16, 32)),
    "hidden": ((), (17,), (32,), (32, 16)),
}
WORDS: dict[str, dict[float | None, str]] = {"batch_size": {0.0: "all points"}, "noise": {None: "default"}}
SPECIAL = {"patience": "never"}


class NumberBox(QComboBox):
    """An editable box with suggested numbers. ``changed`` is emitted when the number changes.

    magicgui has no box that does both, and its fields have too few digits for rates from .0001 to 10.
    """

    changed = Signal()

    def __init__(self, usual: Iterable[Any], words: Mapping[Any, str] | None = None) -> None:
        super().__init__()
        self._words = dict(words or {})
        self.setEditable(True)
        self.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        for value in (*(v for v in self._words if v is None), *usual):
            self.addItem(self._text(value), value)
        narrow(self)
        self._before = self.currentText()
        self.activated.connect(self._said)
        line = self.lineEdit()
        assert line is not None
        line.editingFinished.connect(self._said)

    @property
    def native(self) -> QWidget:
        """Itself, as a form asks its editors for what to show."""
        return self

    @property
    def value(self) -> Any:
        """The number, or None for a word that stands for None; invalid text is returned as it is."""
        text = self.currentText().strip()
        for value, word in self._words.items():
            if text == word or (value is None and not text):
                return value
        try:
            return float(text.replace(",", "."))
        except ValueError:
            return text

    @value.setter
    def value(self, value: Any) -> None:
        self._before = self._text(value)
        self.setEditText(self._before)

    def _text(self, value: Any) -> str:
        word = self._words.get(value)
        return f"{value:g}" if word is None else word

    def _said(self, *_: Any) -> None:
        if self.currentText() != self._before:
            self._before = self.currentText()
            self.changed.emit()


class ListBox(NumberBox):
    """The same for several whole numbers with commas between them."""

    @property
    def value(self) -> Any:
        """The numbers; what is none is returned as text."""
        parts = (part.strip() for part in self.currentText().split(","))
        return tuple(int(part) if part.isdecimal() else part for part in parts if part)

    @value.setter
    def value(self, value: Any) -> None:
        self._before = self._text(value)
        self.setEditText(self._before)

    def _text(self, value: Any) -> str:
        return ",".join(map(str, value))


class ChoicesForm(Form):
    """A form of some options of a lesson; changes apply at once.

    Parameters
    ----------
    only : gives the names of the options to show for a setup; None: all.
    """

    def __init__(
        self, lesson: BaseLesson, fields: Sequence[Field], only: Callable[[Any], Collection[str]] | None = None
    ) -> None:
        boxes = {f.name: NumberBox(USUAL[f.name], WORDS.get(f.name)) for f in fields if f.name in USUAL}
        boxes |= {f.name: ListBox(LISTS[f.name]) for f in fields if f.name in LISTS}
        super().__init__([_worded(f) for f in fields], special=boxes)
        self._lesson, self._only = lesson, only
        self._rows.setHorizontalSpacing(5)
        self._tips = {f.name: _explained(f.option) for f in fields}
        for field in fields:
            self._finish(field)
        self.changed.connect(self._take_over)
        lesson.changed.connect(self.show_lesson)
        self.show_lesson()

    def _finish(self, field: Field) -> None:
        """Explain the choices with the glossary, and make the field narrow enough for two columns."""
        editor = self.editor(field.name)
        editor.setMinimumWidth(LEAST)
        if isinstance(editor, QComboBox) and field.choices:
            for k, choice in enumerate(field.choices):
                editor.setItemData(k, explain(choice), Qt.ItemDataRole.ToolTipRole)
            narrow(editor)
        if isinstance(editor, QDoubleSpinBox):
            editor.setSpecialValueText(SPECIAL.get(field.name, ""))
            editor.setMaximumWidth(1000)
        self.describe(field.name, field.option.label, self._tips[field.name])

    def show_lesson(self) -> None:
        """Show the settings of the lesson; hide or lock options as the exercise says."""
        wanted, hidden = self._lesson.wanted, self._lesson.exercise.hidden
        self.set_values(wanted.flat())
        for name, tip in self._tips.items():
            may = self._lesson.may(name)
            self.show_row(name, name not in hidden and (self._only is None or name in self._only(wanted)))
            self.editor(name).setEnabled(may)
            self.editor(name).setToolTip(tip if may else f"{LOCKED} {tip}")

    def _take_over(self) -> None:
        before = self._lesson.wanted.flat()
        new = {k: v for k, v in self.values().items() if v != before[k]}
        if new:
            self._lesson.set(**new)


class MainChoices(QWidget):
    """The most important options in two columns."""

    def __init__(self, lesson: Lesson) -> None:
        super().__init__()
        columns = (("activation", "optimizer", "batch_size"), ("output", "learning_rate", "epochs"))
        self.forms = [ChoicesForm(lesson, fields_named(*names)) for names in (*columns, ("loss",))]
        row = QHBoxLayout()
        row.setSpacing(6)
        row.addWidget(self.forms[0], 9)
        row.addWidget(self.forms[1], 8)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addLayout(row)
        layout.addWidget(self.forms[2])

    def align(self) -> None:
        """Align the fields of the left column with the loss field."""
        labels = [form.label(name) for form in (self.forms[0], self.forms[2]) for name in form.values()]
        width = max(label.sizeHint().width() for label in labels)
        for label in labels:
            label.setMinimumWidth(width)

    def editor(self, name: str) -> QWidget:
        """The field of an option."""
        return next(form.editor(name) for form in self.forms if name in form.values())


class InputsRow(QWidget):
    """One button for each possible input of the network."""

    def __init__(self, lesson: Lesson) -> None:
        super().__init__()
        self._lesson = lesson
        self.buttons: dict[str, QPushButton] = {}
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(2)
        for name, formula in FEATURES.items():
            button = QPushButton(TITLES.get(name, name))
            button.setCheckable(True)
            button.setMinimumWidth(20)
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            title = TITLES.get(name, name)
            described(
                button, f"Input {title}", f"Use {title} as an input of the network ({formula}). {explain('inputs')}"
            )
            button.clicked.connect(self._take_over)
            self.buttons[name] = button
            row.addWidget(button, 1)
        lesson.changed.connect(self.show_lesson)
        self.show_lesson()

    def show_lesson(self) -> None:
        """Show the inputs of the lesson; lock them if the exercise says so."""
        self.setEnabled(self._lesson.may("inputs"))
        for name, button in self.buttons.items():
            button.setChecked(name in self._lesson.wanted.net.inputs)

    def _take_over(self, *_: Any) -> None:
        self._lesson.set(inputs=tuple(name for name, button in self.buttons.items() if button.isChecked()))


def fields_named(*names: str) -> tuple[Field, ...]:
    """Options of the classroom by their names."""
    classes = (ImageSet, Cnn, ImageLearning, PointSet, NetShape, Learning)  # names that both have are those of points
    known = {f.name: f for cls in classes for f in fields_of(cls)}
    return tuple(known[name] for name in names)


def _worded(field: Field) -> Field:
    """The same option with a short label, and its choices in words."""
    titles = {**TITLES, **{name: kind.title for name, kind in KINDS.items()}}
    words = tuple(titles.get(choice, choice) for choice in field.choices)
    return replace(field, option=replace(field.option, label=SHORT.get(field.name, field.option.label), words=words))


def _explained(option: Option) -> str:
    """What an option does, and what the glossary says of it."""
    term = explain(option.label)
    return f"{option.help} {term}" if term and term != option.help else option.help
