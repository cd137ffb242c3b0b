"""What a person chooses for a training: task, images, options, a model to start from, time, name and settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QFormLayout, QLabel, QLineEdit, QVBoxLayout, QWidget

from napari_dojo.device import ALL
from napari_dojo.errors import DojoError
from napari_dojo.models.library import Model
from napari_dojo.paths import models_folder
from napari_dojo.settings import TrainSettings, checked, fields_of
from napari_dojo.tasks import TASKS, Finding, Fix, Task
from napari_dojo.training.prepare import Setup
from napari_dojo.training.start import AUTO, NONE
from napari_dojo.widgets.common.form import Fold, calm, described, form_layout, narrow, sentence
from napari_dojo.widgets.common.icons import icon
from napari_dojo.widgets.common.options import Form
from napari_dojo.widgets.common.rows import Row, Targets
from napari_dojo.widgets.common.starts import is_there, start_lost
from napari_dojo.widgets.common.training_data import Files, Layers
from napari_dojo.widgets.train.classes import ClassTable
from napari_dojo.widgets.train.data_section import DataSection
from napari_dojo.widgets.train.fixes import correct, opened, work_on
from napari_dojo.widgets.train.pair_rows import PairRows

__all__ = ["Choices"]

MINUTES = 5.0


class Choices(QWidget):
    """All choices of a training, from the task to the folds.

    ``changed`` : something else is chosen, so the check is out of date; ``data_changed`` : it is the images or the labels;
    ``task_changed`` : it is the task, and other fields are shown.
    """

    changed = Signal()
    data_changed = Signal()
    task_changed = Signal()

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addLayout(self._make_task())
        self.task_sentence = sentence()
        self.data = DataSection(viewer)
        self.options = {task.name: self._make_options(task) for task in TASKS.values()}
        self.classes = ClassTable(self._class_layers)
        self.classes_fold = Fold("Classes", self.classes, "train classes", is_open=True)
        plain = [plain for plain, _ in self.options.values()]
        for widget in (self.task_sentence, self.data, *plain, self.classes_fold):
            column.addWidget(widget)
        column.addLayout(self._make_run())
        self.settings = Form([f for f in fields_of(TrainSettings) if f.option.advanced])
        self.show_gpus(0)
        self._gpus: int | None = None
        self.advanced = Fold("Advanced", self._make_advanced(), "train advanced")
        column.addWidget(self.advanced)
        self._show_task()
        self._connect()

    def _make_task(self) -> QFormLayout:
        self.task_box = QComboBox()
        described(self.task_box, "I want to", "The task of the model.")
        narrow(self.task_box)
        for task in TASKS.values():
            self.task_box.addItem(icon(task.name), task.title, task.name)
        form = form_layout()
        form.addRow("I want to", self.task_box)
        return form

    def _make_options(self, task: Task) -> tuple[Form, Form]:
        """The fields of a task's options: those in sight, and those under Advanced."""
        fields = [f for f in fields_of(task.options) if f.name != "classes"]  # they have a table
        forms = Form([f for f in fields if not f.option.advanced]), Form([f for f in fields if f.option.advanced])
        for form in forms:
            form.changed.connect(self._option_changed)
        return forms

    def _make_run(self) -> QFormLayout:
        """The model to start from, the time and the name."""
        self.start_box = QComboBox()
        tip = "A trained model to fine-tune, which needs fewer images and less time. Automatic: models that fit and a new one "
        described(self.start_box, "Start from", tip + "are compared for a moment, and the best one continues.")
        narrow(self.start_box)
        self.minutes_box = QDoubleSpinBox()
        self.minutes_box.setRange(0.1, 10080)
        self.minutes_box.setDecimals(1)
        self.minutes_box.setValue(MINUTES)
        self.minutes_box.setSuffix(" min")
        described(self.minutes_box, "Time", "How long training may take. You can stop earlier and keep the model.")
        calm(self.minutes_box)
        self.name_edit = QLineEdit()
        described(self.name_edit, "Model name", "What the model will be called. A name that is taken gets a number.")
        self._lost = ""  # what to say of the model to start from that is no longer there
        self.start_box.activated.connect(lambda *_: self._start_chosen())
        self._list_starts(())
        form = form_layout()
        form.addRow("Start from", self.start_box)
        form.addRow("Time", self.minutes_box)
        form.addRow("Name", self.name_edit)
        return form

    def _make_advanced(self) -> QWidget:
        body = QWidget()
        layout = form_layout()
        layout.setContentsMargins(12, 0, 0, 0)
        body.setLayout(layout)
        for _, hidden in self.options.values():
            layout.addRow(hidden)
        layout.addRow(self.settings)
        folder = QLabel(f"Models are saved in {models_folder()}")
        folder.setWordWrap(True)
        layout.addRow(folder)
        return body

    def _connect(self) -> None:
        self.task_box.currentIndexChanged.connect(self._task_changed)
        self.data.changed.connect(self.data_changed)
        for signal in (self.minutes_box.valueChanged, self.start_box.activated):
            signal.connect(lambda *_: self.changed.emit())
        for changed in (self.settings.changed, self.classes.changed, self.data_changed, self.task_changed):
            changed.connect(self.changed)

    # what is chosen

    @property
    def task(self) -> Task:
        """The chosen task."""
        return TASKS[self.task_box.currentData()]

    @property
    def rows(self) -> PairRows:
        """The table of pairs."""
        return self.data.rows

    @property
    def start(self) -> str:
        """The folder of the model to start from, "auto" or "none"."""
        found: str = self.start_box.currentData()
        return found

    @property
    def name(self) -> str:
        """The name that the model gets, unless it is taken."""
        return self.name_edit.text() or self.name_edit.placeholderText()

    def _class_layers(self) -> list[Any]:
        """The Labels layers whose classes are learned; none where files are."""
        rows = [] if isinstance(self.data.material(), Files) else self.rows.rows()
        return [row.target for row in rows if row.target is not None and row.target._type_string == "labels"]

    def option_values(self) -> dict[str, Any]:
        """The task's options as set; without the names of classes."""
        plain, hidden = self.options[self.task.name]
        return {**plain.values(), **hidden.values()}

    def setting_values(self) -> dict[str, Any]:
        """The training's settings as set; steps and epochs take the place of minutes."""
        values = self.settings.values()
        counted = values.get("steps") or values.get("epochs")
        return {**values, "minutes": None if counted else self.minutes_box.value()}

    def saved(self) -> tuple[list[Row], dict[str, Any]]:
        """What an autosave keeps: the table, and all other choices as plain values."""
        choices = {
            "task": self.task.name,
            "options": self.option_values(),
            "settings": self.settings.values(),
            "minutes": self.minutes_box.value(),
            "start": self.start,
            "name": self.name_edit.text(),
            "classes": self.classes.custom(),
            "data": self.data.choices(),
        }
        return self.rows.rows(), choices

    def restore(self, choices: Mapping[str, Any], rows: Sequence[Row] | None) -> None:
        """Choose what was saved; ``rows`` None leaves the table."""
        self.choose_task(choices.get("task"))
        for form in self.options[self.task.name]:
            form.set_values(choices.get("options", {}))
        self._take_targets()
        self.show_gpus(self._gpus)
        self.settings.set_values(choices.get("settings", {}))
        self.minutes_box.setValue(choices.get("minutes") or MINUTES)
        self.name_edit.setText(choices.get("name", ""))
        self.name_edit.setCursorPosition(0)  # where it is narrow, its beginning is seen
        if rows is not None:
            self.rows.set_rows(rows)
        self.data.set_choices(choices.get("data", {}))
        self.classes.set_custom(choices.get("classes", {}))
        self.choose_start(choices.get("start"))

    def choose_task(self, name: str | None) -> None:
        """Choose a task by its name; one that is not known leaves the first."""
        self.task_box.setCurrentIndex(max(0, self.task_box.findData(name)))

    def choose_start(self, path: str | None) -> None:
        """Choose what to start from: "auto", "none" or the folder of a model; None: "auto"."""
        if path and self.start_box.findData(path) < 0:
            self.start_box.addItem(Path(path).name, path)
        self.start_box.setCurrentIndex(max(0, self.start_box.findData(path)))
        self._lost = ""
        self.check_start()

    def check_start(self) -> Finding | None:
        """Choose the start automatically where the model that was chosen is no longer there; what to say of it, until another is."""
        start = self.start
        if not is_there(start):
            self._lost = start_lost(start)
            self.start_box.removeItem(self.start_box.currentIndex())
            self.start_box.setCurrentIndex(0)
        return Finding("warning", self._lost, code="start lost") if self._lost else None

    def _start_chosen(self) -> None:
        self._lost = ""

    def set_options(self, values: Mapping[str, Any]) -> None:
        """Set options of the task; the others stay."""
        for form in self.options[self.task.name]:
            form.set_values(values)
        self._option_changed()

    def fix(self, fix: Fix) -> None:
        """Do what a finding offers: choose something else, or change the layers.

        Raises
        ------
        Exception : what went wrong with the layers or files; the choices are as they were.
        """
        material = self.data.material()
        if fix.kind == "option":
            self.set_options(dict([fix.value]))
        elif fix.kind == "task":
            self.choose_task(fix.value)
        elif fix.kind == "start":
            self.choose_start(fix.value)
        elif fix.kind == "correct":
            correct(self._viewer, fix.samples[0])
        elif fix.kind == "take":
            self.data.take_predictions()
        elif material is None:
            self.data.take_masks()
        else:
            if isinstance(material, Files):
                self.data.take_rows(opened(self._viewer, material, self.rows.takes.layout.kind))
                material = self.data.material()
            if isinstance(material, Layers):
                work_on(self._viewer, self.rows, material, fix)

    # what is shown

    def show_starts(self, found: Sequence[Model]) -> None:
        """Offer these models to start from; the choice stays where it is among them."""
        chosen = self.start
        self._list_starts(found)
        self.start_box.setCurrentIndex(max(0, self.start_box.findData(chosen)))

    def _list_starts(self, found: Sequence[Model]) -> None:
        self.start_box.clear()
        for text, value in (("Automatic", AUTO), ("Nothing (new model)", NONE)):
            self.start_box.addItem(text, value)
        for model in found:
            self.start_box.addItem(model.name, str(model.path))

    def show_gpus(self, count: int | None) -> None:
        """Offer all GPUs together where there are several; None: it is not known yet."""
        self._gpus = count
        device = next(f for f in fields_of(TrainSettings) if f.name == "device")
        words = [(text, value) for text, value in zip(device.option.words, device.choices, strict=True) if value != ALL]
        if count is None or count > 1:
            words.append((f"All GPUs ({count})" if count else "All GPUs", ALL))
        self.settings.offer("device", words)

    def show_automatic(self, setup: Setup) -> None:
        """Show the values that the plan chose in the fields that are set to automatic."""
        self.classes.show_painted(setup.summary.painted)
        plan = setup.plan
        if plan is None:
            return
        chosen = {"patch": plan.patch[-1], "batch": plan.batch, "depth": 1 + len(plan.pools), "width": plan.width}
        self.settings.show_automatic({**chosen, "learning_rate": plan.learning_rate})
        for form in self.options[self.task.name]:
            form.show_automatic({"diameter": setup.summary.diameter})

    def lock(self, running: bool) -> None:
        """While a training is running nothing can be chosen; the folds still open."""
        for widget in (self.task_box, self.data, self.start_box, self.minutes_box, self.name_edit, self.advanced.body):
            widget.setEnabled(not running)
        for widget in (self.classes, *(plain for plain, _ in self.options.values())):
            widget.setEnabled(not running)

    def _show_task(self) -> None:
        self.task_sentence.setText(self.task.sentence)
        for name, forms in self.options.items():
            for form in forms:
                form.setVisible(name == self.task.name and bool(form.values()))
        self.rows.classes = self.task.result.classes
        self._take_targets()
        self.classes_fold.setVisible(self.rows.classes)

    def _take_targets(self) -> None:
        """Ask for the targets that the task takes with its options."""
        try:
            options: Any = checked(self.task.options, self.option_values())
        except DojoError:
            return  # the check says it
        self.data.take(Targets.of(self.task, options))

    def _task_changed(self, *_: Any) -> None:
        self._show_task()
        self.task_changed.emit()

    def _option_changed(self, *_: Any) -> None:
        self._take_targets()
        self.changed.emit()
