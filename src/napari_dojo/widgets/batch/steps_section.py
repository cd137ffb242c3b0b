"""The steps: models one after the other, a filter, what is measured, what is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QLineEdit, QPushButton, QToolButton, QVBoxLayout, QWidget

from napari_dojo.inference.filters import Limits
from napari_dojo.models.card import settings_of
from napari_dojo.models.library import Model
from napari_dojo.recipes.recipe import Classify, Export, Filter, Measure, OfModel, Predict, Recipe, Step
from napari_dojo.settings import PredictSettings, fields_of
from napari_dojo.tasks import TASKS
from napari_dojo.widgets.batch.filter_rows import RangeRows
from napari_dojo.widgets.common.form import NameBox, described
from napari_dojo.widgets.common.measurements import MeasurementsButton, chosen_here
from napari_dojo.widgets.common.options import Form

__all__ = ["ModelRow", "StepsSection"]


LOST = "This model is no longer there. Choose another one."
SET = (
    "diameter",
    "channel",
    "frames",
    "planes",
    "uncertainty",
)  # the settings that are shown; others stay as a recipe says


class ModelRow(QWidget):
    """A model, on or off, with its settings folded below; what a recipe says of its decoding stays.

    Attributes
    ----------
    lost : whether the chosen model is no longer there; it stays chosen, marked.
    """

    changed = Signal()

    def __init__(self, models: Sequence[Model], step: OfModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._step, self._models = step, models
        self.on = QCheckBox()
        described(self.on, "Use this model", "Off: the step is left out, and the image stays as it is.")
        self.on.setChecked(step.enabled)
        self.box = NameBox()
        described(self.box, "Model of a step", "It is applied to the image as the steps before left it.")
        self._fill(models, step.model)
        self.more, self.up, self.remove = QToolButton(), QToolButton(), QToolButton()
        for button, text, tip in (
            (self.more, "⚙", "Show or hide the settings of this step: diameter, channel, frames, planes."),
            (self.up, "▲", "Apply this model before the one above."),
            (self.remove, "✕", "Remove this step."),
        ):
            button.setText(text)
            button.setAutoRaise(True)
            described(button, tip.partition(":")[0].rstrip("."), tip)
        fields = {f.name: f for f in fields_of(PredictSettings)}
        self._fields = [fields[name] for name in SET]
        self.form = Form(self._fields)
        self.form.set_values({k: v for k, v in asdict(step.settings).items() if v is not None})
        self.form.hide()
        self.more.setCheckable(True)
        row = QHBoxLayout()
        row.setSpacing(1)
        row.addWidget(self.on)
        row.addWidget(self.box, 1)
        for button in (self.more, self.up, self.remove):
            row.addWidget(button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(row)
        column.addWidget(self.form)
        self.more.toggled.connect(self.form.setVisible)
        self.form.changed.connect(self.changed)
        self.on.toggled.connect(lambda *_: self.changed.emit())
        self.box.currentIndexChanged.connect(self._chosen)
        self._show_settings()

    def _chosen(self, *_: Any) -> None:
        self._show_settings()
        self.changed.emit()

    def _show_settings(self) -> None:
        """Offer what means something for the model; of one that is not known, all."""
        card = next((m.card for m in self._models if m.name == self.box.currentData()), None)
        meant = {f.name for f in (self._fields if card is None else settings_of(card))}
        for field in self._fields:
            self.form.show_row(field.name, field.name in meant)

    def _kind(self, model: str) -> type[Predict | Classify]:
        """Whether a model classifies objects."""
        card = next((m.card for m in self._models if m.name == model), None)
        if card is None:
            return Classify if isinstance(self._step, Classify) else Predict
        return Predict if TASKS[card.task].result.dense else Classify

    def _fill(self, models: Sequence[Model], chosen: str) -> None:
        names = dict.fromkeys(m.name for m in models)
        for m in models:
            if m.name in names and self.box.findData(m.name) < 0:
                self.box.addItem(m.name, m.name)
                tip = f"{TASKS[m.card.task].title}. {m.card.score.get('sentence', '')}"
                self.box.setItemData(self.box.count() - 1, tip.strip(), Qt.ItemDataRole.ToolTipRole)
        self.lost = False
        if chosen and self.box.findData(chosen) < 0:
            self.lost = not Path(chosen).expanduser().exists()
            self.box.addItem(f"✗ {chosen}" if self.lost else chosen, chosen)
            if self.lost:
                self.box.setItemData(self.box.count() - 1, LOST, Qt.ItemDataRole.ToolTipRole)
        self.box.setCurrentIndex(max(0, self.box.findData(chosen)) if chosen else 0)

    def set_models(self, models: Sequence[Model]) -> None:
        """List the models that there are now; what was chosen stays."""
        self._models, chosen = models, str(self.box.currentData() or "")
        self.box.blockSignals(True)
        self.box.clear()
        self._fill(models, chosen)
        self.box.blockSignals(False)
        self._show_settings()

    @property
    def step(self) -> OfModel:
        """What is chosen."""
        model = str(self.box.currentData() or "")
        kind = self._kind(model)
        kept = self._step if (model, kind) == (self._step.model, type(self._step)) else kind(model)
        usual = {f.name: f.default for f in self._fields}
        settings = replace(kept.settings, **{**usual, **self.form.shown_values()})
        return replace(kept, settings=settings, enabled=self.on.isChecked(), line=0)


class StepsSection(QWidget):
    """All steps. ``changed`` says that something else is chosen."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._models: Sequence[Model] = ()
        self.rows: list[ModelRow] = []
        self._kept: dict[str, Any] = {}  # of a recipe that was opened: where it measures
        self._list = QVBoxLayout()
        self._list.setSpacing(2)
        self.add_button = QPushButton("+ model")
        described(self.add_button, "Add a model", "Add a step that applies a model, after the others.")
        self.filter_on, self.border = QCheckBox("Filter"), QCheckBox("remove at border")
        described(self.filter_on, "Filter", "Remove objects before they are measured and written.")
        described(self.border, "Remove at the border", "Remove objects that touch the border of the image.")
        self.ranges = RangeRows()
        self.classes = QLineEdit()
        described(self.classes, "Keep classes", "Keep the objects of these classes, separated by commas; empty: all.")
        self.classes.setPlaceholderText("keep all classes, or names separated by commas")
        self.classes.textChanged.connect(self._changed)
        self.measure_on, self.columns = QCheckBox("Measure"), MeasurementsButton()
        described(self.measure_on, "Measure", "Measure each object: one row in the table of all objects.")
        self.measure_on.setChecked(True)
        shown = [f for f in fields_of(Export) if f.kind is not bool]
        self.table = Form(shown)
        self.files = {f.name: QCheckBox(f.option.label) for f in fields_of(Export) if f.kind is bool}
        for field in fields_of(Export):
            if field.kind is bool:
                described(self.files[field.name], field.option.label, field.option.help)
                self.files[field.name].setChecked(bool(field.default))
        self._lay_out()
        for box in (self.filter_on, self.border, self.measure_on, *self.files.values()):
            box.toggled.connect(self._changed)
        for signal in (self.ranges.changed, self.columns.changed, self.table.changed):
            signal.connect(self._changed)
        self.add_button.clicked.connect(lambda *_: self._append(Predict("")))
        self._changed()

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addLayout(self._list)
        column.addWidget(_line(self.add_button))
        column.addWidget(_line(self.filter_on, self.border, self.ranges.add_button))
        column.addWidget(self.ranges)
        column.addWidget(self.classes)
        column.addWidget(_line(self.measure_on, self.columns))
        boxes = list(self.files.values())
        column.addWidget(_line(*boxes))
        column.addWidget(self.table)

    def set_models(self, models: Sequence[Model]) -> None:
        """The models that there are; a first one is chosen where there is no step yet."""
        self._models, lost = models, [row.lost for row in self.rows]
        for row in self.rows:
            row.set_models(models)
        if [row.lost for row in self.rows] != lost:
            self._changed()
        if not self.rows and models:
            found = next((m.name for m in models if TASKS[m.card.task].result.objects), models[0].name)
            self._append(Predict(found))

    @property
    def steps(self) -> tuple[Step, ...]:
        """What is chosen."""
        found: list[Step] = [row.step for row in self.rows if row.step.model]
        if self.filter_on.isChecked():
            limits = Limits(self.border.isChecked(), self.ranges.ranges)
            found.append(Filter(limits, self._kept_classes if self._classifies else ()))
        if self.measure_on.isChecked():
            found.append(replace(Measure(chosen_here()), **self._kept))
        written: dict[str, Any] = {name: box.isChecked() for name, box in self.files.items()}
        return (*found, Export(**written, **self.table.values()))

    @property
    def _classifies(self) -> bool:
        """Whether objects get classes."""
        return any(isinstance(row.step, Classify) and row.step.enabled for row in self.rows)

    @property
    def _kept_classes(self) -> tuple[str, ...]:
        return tuple(name.strip() for name in self.classes.text().split(",") if name.strip())

    def show_recipe(self, recipe: Recipe) -> None:
        """Show the steps of a recipe; of several filters the last."""
        for row in list(self.rows):
            self._remove(row)
        filtering = measuring = None
        for step in recipe.steps:
            if isinstance(step, OfModel):
                self._append(step)
            elif isinstance(step, Filter):
                filtering = step
            elif isinstance(step, Measure):
                measuring = step
        self.filter_on.setChecked(filtering is not None and filtering.enabled)
        if filtering is not None:
            self.border.setChecked(filtering.limits.border)
            self.classes.setText(", ".join(filtering.classes))
        self.ranges.set_ranges(() if filtering is None else filtering.limits.ranges)
        self.measure_on.setChecked(measuring is not None and measuring.enabled)
        if measuring is not None:
            self._kept = {"image": measuring.image}
            self.columns.choose(measuring.columns)
        for name, box in self.files.items():
            box.setChecked(getattr(recipe.export, name))
        self.table.set_values({"table": recipe.export.table})
        self._changed()

    def _append(self, step: OfModel) -> None:
        row = ModelRow(self._models, step)
        self.rows.append(row)
        self._list.addWidget(row)
        row.changed.connect(self._changed)
        row.remove.clicked.connect(lambda *_: self._remove(row))
        row.up.clicked.connect(lambda *_: self._raise(row))
        self._changed()

    def _remove(self, row: ModelRow) -> None:
        self.rows.remove(row)
        self._list.removeWidget(row)
        row.hide()
        row.deleteLater()
        self._changed()

    def _raise(self, row: ModelRow) -> None:
        at = self.rows.index(row)
        if at:
            self.rows.insert(at - 1, self.rows.pop(at))
            self._list.removeWidget(row)
            self._list.insertWidget(at - 1, row)
            self._changed()

    def _changed(self, *_: object) -> None:
        on = self.filter_on.isChecked()
        for widget in (self.border, self.ranges.add_button):
            widget.setEnabled(on)
        self.ranges.setVisible(on and bool(self.ranges.rows))
        self.classes.setVisible(on and self._classifies)
        self.columns.setEnabled(self.measure_on.isChecked())
        for k, row in enumerate(self.rows):
            row.up.setEnabled(k > 0)
        self.changed.emit()


def _line(*widgets: QWidget) -> QWidget:
    """Widgets beside each other, at the left."""
    line = QWidget()
    row = QHBoxLayout(line)
    row.setContentsMargins(0, 0, 0, 0)
    for widget in widgets:
        row.addWidget(widget)
    row.addStretch(1)
    return line
