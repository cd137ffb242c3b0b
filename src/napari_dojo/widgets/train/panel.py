"""The Train panel: choose a task and images, start, watch, stop when happy, apply."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from qtpy.QtCore import QTimer
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QHBoxLayout, QLabel, QLineEdit, QVBoxLayout, QWidget

from napari_dojo.device import Device
from napari_dojo.errors import DojoError, explained
from napari_dojo.events import Done, Event
from napari_dojo.jobs.autosave import Draft
from napari_dojo.jobs.claims import claim
from napari_dojo.jobs.runs import Run, run_folder
from napari_dojo.jobs.scripts import as_command, as_python, saved_data
from napari_dojo.models.library import Model
from napari_dojo.paths import models_folder
from napari_dojo.settings import TrainSettings, checked, fields_of
from napari_dojo.tasks import TASKS, Finding, Fix, Task
from napari_dojo.training.prepare import Setup
from napari_dojo.widgets.common.closing import watch_window
from napari_dojo.widgets.common.form import Fold, calm, described, form_layout, narrow, sentence
from napari_dojo.widgets.common.icons import icon
from napari_dojo.widgets.common.latest import Latest
from napari_dojo.widgets.common.layers import array_of, source_of
from napari_dojo.widgets.common.options import Form
from napari_dojo.widgets.common.panel import Panel, open_panel
from napari_dojo.widgets.common.pick import images_of
from napari_dojo.widgets.train.autosave import Autosave
from napari_dojo.widgets.train.check import Asked, Findings, Seen, best_device, look_at
from napari_dojo.widgets.train.classes import ClassTable
from napari_dojo.widgets.train.data_section import NO_LABELS, DataSection
from napari_dojo.widgets.train.fixes import correct, opened, work_on
from napari_dojo.widgets.train.progress import START, ProgressSection
from napari_dojo.widgets.train.queue import Training, desk
from napari_dojo.widgets.train.rows import Row, Targets
from napari_dojo.widgets.train.starts import offer, possible_starts
from napari_dojo.widgets.train.training_data import Files, Layers
from napari_dojo.widgets.train.unfinished import Unfinished

__all__ = ["TrainPanel", "free_name"]

MORE = 5.0  # minutes, of "Train 5 more minutes"


def free_name(wanted: str) -> str:
    """A name for a model that no folder has yet: "nuclei", then "nuclei-2"."""
    stem = re.sub(r"[^\w.-]+", "-", wanted.strip()).strip("-._") or "model"
    name, k = stem, 2
    taken = {t.name for t in desk().trainings}
    while (models_folder() / name).exists() or name in taken:
        name, k = f"{stem}-{k}", k + 1
    return name


class TrainPanel(Panel):
    """Train a model on layers of the viewer or on files.

    Parameters
    ----------
    napari_viewer : the viewer; given by napari.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self._seen: Seen | None = None
        self._fine: set[str] = set()
        self._device: tuple[str, Device | None] = ("", None)
        self._at_once: Any = None  # the image of `at_once`
        self._start = ""  # and the model that it fine-tunes
        self._tried: list[Fix] = []
        self._predicted = 0  # predictions that nobody corrected
        self.once = sentence(lines=2)  # all that is said of a training that a click in the menu started
        self.once.setVisible(False)
        self.body = QWidget()
        self.form = QVBoxLayout(self.body)
        self.form.setContentsMargins(0, 0, 0, 0)
        self.form.setSpacing(4)
        for widget in (self.once, self.body):
            self.column.addWidget(widget)
        self._ask()
        self._tune()
        self._go()
        self.column.addStretch(1)
        self.align()
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(350)
        self._soon.timeout.connect(self._look)
        self._looking = Latest(self)
        self._looking.told.connect(self._looked)
        self._probing = Latest(self)
        self._probing.told.connect(self._probed)
        self._copying = Latest(self)
        self._copying.told.connect(self._copied)
        self.autosave = Autosave(self.viewer, self._state, self)
        self.autosave.failed.connect(self.warn)
        left = watch_window(self.viewer).left.pop("draft", None)
        if left is not None:
            self.autosave.adopt(left)
        self._connect()
        self._task_changed()
        self.unfinished.refresh()
        there = desk().of(self.viewer)
        if there is not None:
            self._choose(there)
            self._show(there)

    # what is shown

    def _ask(self) -> None:
        self.unfinished = Unfinished()
        self.form.addWidget(self.unfinished)
        form = form_layout()
        self.task_box = QComboBox()
        described(self.task_box, "I want to", "The task of the model.")
        narrow(self.task_box)
        for task in TASKS.values():
            self.task_box.addItem(icon(task.name), task.title, task.name)
        form.addRow("I want to", self.task_box)
        self.form.addLayout(form)
        self.task_sentence = sentence()
        self.form.addWidget(self.task_sentence)
        self.data = DataSection(self.viewer)
        self.form.addWidget(self.data)
        self.options: dict[str, tuple[Form, Form]] = {}
        for task in TASKS.values():
            fields = [f for f in fields_of(task.options) if f.name != "classes"]  # they have a table
            plain = Form([f for f in fields if not f.option.advanced])
            hidden = Form([f for f in fields if f.option.advanced])
            for form_ in (plain, hidden):
                form_.changed.connect(self._option_changed)
            self.options[task.name] = (plain, hidden)
            self.form.addWidget(plain)
        self.classes = ClassTable(lambda: [row.target for row in self.data.rows.rows()])
        self.classes_fold = Fold("Classes", self.classes, "train classes", is_open=True)
        self.form.addWidget(self.classes_fold)

    def _tune(self) -> None:
        form = form_layout()
        self.start_box = QComboBox()
        described(self.start_box, "Start from", "A trained model to fine-tune, which needs fewer images and less time.")
        narrow(self.start_box)
        self.minutes_box = QDoubleSpinBox()
        self.minutes_box.setRange(0.1, 10080)
        self.minutes_box.setDecimals(1)
        self.minutes_box.setValue(5)
        self.minutes_box.setSuffix(" min")
        self.minutes_box.setFixedWidth(112)
        described(self.minutes_box, "Time", "How long training may take. You can stop earlier and keep the model.")
        calm(self.minutes_box)
        self.name_edit = QLineEdit()
        described(self.name_edit, "Model name", "What the model will be called. A name that is taken gets a number.")
        self.start_box.addItem("Nothing (new model)", None)
        form.addRow("Start from", self.start_box)
        row = QHBoxLayout()
        row.addWidget(self.minutes_box)
        row.addWidget(QLabel("Name"))
        row.addWidget(self.name_edit, 1)
        form.addRow("Time", row)
        self.form.addLayout(form)
        body = QWidget()
        layout = form_layout()
        layout.setContentsMargins(12, 0, 0, 0)
        body.setLayout(layout)
        for _, hidden in self.options.values():
            layout.addRow(hidden)
        self.settings = Form([f for f in fields_of(TrainSettings) if f.option.advanced])
        layout.addRow(self.settings)
        self.folder_label = QLabel(f"Models are saved in {models_folder()}")
        self.folder_label.setWordWrap(True)
        layout.addRow(self.folder_label)
        self.advanced = Fold("Advanced", body, "train advanced")
        self.form.addWidget(self.advanced)

    def _go(self) -> None:
        self.findings = Findings(self.marked)
        self.form.addWidget(self.findings)
        self.labels_button = self.data.rows.labels_button
        self.progress = ProgressSection(self)
        self.column.addWidget(self.progress)
        self.start_button, self.apply_button = self.progress.start_button, self.progress.apply_button
        self.start_button.setEnabled(False)  # until the check says that it may

    def _connect(self) -> None:
        self.watch.changed.connect(self._layers_changed)
        self.watch.painted.connect(self._painted)
        self.task_box.currentIndexChanged.connect(self._task_changed)
        self.data.changed.connect(self._data_changed)
        for signal in (self.minutes_box.valueChanged, self.start_box.activated, self.settings.changed):
            signal.connect(self._later)
        self.classes.changed.connect(self._later)
        self.findings.fix.connect(self._fix)
        self.start_button.clicked.connect(self.start)
        self.apply_button.clicked.connect(self._apply)
        self.progress.more_button.clicked.connect(self._more)
        self.progress.copy_command.triggered.connect(lambda: self._copy(as_command))
        self.progress.copy_python.triggered.connect(lambda: self._copy(as_python))
        self.progress.over.connect(self._over)
        self.progress.paused.connect(self._lead)
        self.unfinished.draft_wanted.connect(self._restore)
        self.unfinished.run_wanted.connect(self._continue)
        self.unfinished.changed.connect(self._lead)
        desk().changed.connect(self._queue_moved)

    # what is chosen

    @property
    def task(self) -> Task:
        """The chosen task."""
        return TASKS[self.task_box.currentData()]

    @property
    def rows(self) -> Any:
        """The table of pairs."""
        return self.data.rows

    def option_values(self) -> dict[str, Any]:
        """The task's options as set."""
        plain, hidden = self.options[self.task.name]
        return {**plain.values(), **hidden.values()}

    def setting_values(self) -> dict[str, Any]:
        """The training's settings as set; steps and epochs take the place of minutes."""
        values = self.settings.values()
        counted = values.get("steps") or values.get("epochs")
        if self._at_once is not None:
            values["validation"] = 0.0  # all of the one image teaches
        return {**values, "minutes": None if counted else self.minutes_box.value()}

    def _state(self) -> tuple[list[Row], dict[str, Any]]:
        """What an autosave keeps: the table and all other choices as plain values."""
        choices = {
            "task": self.task.name,
            "options": self.option_values(),
            "settings": self.settings.values(),
            "minutes": self.minutes_box.value(),
            "start": self.start_box.currentData(),
            "name": self.name_edit.text(),
            "classes": self.classes.custom(),
            "data": self.data.choices(),
        }
        return self.data.rows.rows(), choices

    def _task_changed(self, *_: Any) -> None:
        self.task_sentence.setText(self.task.sentence)
        for name, (plain, hidden) in self.options.items():
            plain.setVisible(name == self.task.name and bool(plain.values()))
            hidden.setVisible(name == self.task.name and bool(hidden.values()))
        self.rows.classes = self.task.result.classes
        self._take_targets()
        self.classes_fold.setVisible(self.rows.classes)
        self.align()
        self._data_changed()

    def _take_targets(self) -> None:
        """Ask for the targets that the task takes with its options."""
        try:
            options: Any = checked(self.task.options, self.option_values())
        except DojoError:
            return  # the check says it
        self.data.take(Targets.of(self.task, options))

    def _option_changed(self, *_: Any) -> None:
        self._take_targets()
        self._later()

    def _layers_changed(self) -> None:
        self.rows.refresh()
        training = self.progress.training
        if training is not None:
            training.preview.follow()

    def _painted(self) -> None:
        predicted = len(self.rows.predictions())
        if predicted != self._predicted:  # one was corrected: now it is a person's
            self.rows.refresh()
        self._predicted = len(self.rows.predictions())
        self._later()

    def _data_changed(self) -> None:
        self._predicted = len(self.rows.predictions())
        material = self.data.material()
        if not self.progress.busy:
            self.name_edit.setPlaceholderText(free_name(material.name if material else "model"))
        self.autosave.follow()
        self._later()

    # the check before the start

    def _later(self, *_: Any) -> None:
        if not self.progress.busy:
            self._soon.start()

    def _look(self) -> None:
        if self.progress.busy:
            return
        material, problem = self.data.material(), self.data.problem()
        self._seen = None
        if material is None or problem is not None:
            self._looking.forget()
            offered = self._offered(self._fitting()) if material is None else []
            self._found([*([problem] if problem is not None else []), *offered])
            return
        settings = self.setting_values()
        if self._device[0] != settings["device"]:
            self._device = (settings["device"], None)
            self._probing.ask(best_device, settings["device"])
        asked = Asked(
            self.task, material, self.option_values(), settings, self.start_box.currentData(), self._device[1]
        )
        self._looking.ask(look_at, asked)
        if not self.findings.findings:
            self.findings.show_findings([Finding("ok", "Looking at the images ...")])

    def _probed(self, found: Any) -> None:
        self._device = (self._device[0], found if isinstance(found, Device) else None)
        self._later()

    def _looked(self, found: Any) -> None:
        if self._ended or self.progress.busy:
            return
        if isinstance(found, Exception):
            self._found([Finding("error", explained(found))])
            return
        self._seen = found
        starts: list[Model] = []
        if (setup := found.setup) is not None:
            upsampling = self.task.layout(setup.options).upsampling
            starts = possible_starts(self.task, setup.dataset.channels, setup.dataset.spatial, upsampling)
            self.classes.show_painted(setup.summary.painted)
            self._show_automatic(setup)
        self._fill_starts(starts)
        said = (*found.findings, *self.data.notes(), *self._offered(starts))
        lines = (replace(f, text=self.classes.worded(f.text)) for f in said)
        self._found([f for f in lines if f.text not in self._fine])
        self._go_at_once()

    def _show_automatic(self, setup: Setup) -> None:
        """Say in Advanced what the plan chose."""
        plan = setup.plan
        if plan is None:
            return
        chosen = {"patch": plan.patch[-1], "batch": plan.batch, "depth": 1 + len(plan.pools), "width": plan.width}
        self.settings.show_automatic({**chosen, "learning_rate": plan.learning_rate})
        for form in self.options[self.task.name]:
            form.show_automatic({"diameter": setup.summary.diameter})

    def _found(self, findings: list[Finding]) -> None:
        self.findings.show_findings(findings)
        errors = [f.text for f in findings if f.level == "error"]
        self.start_button.setEnabled(not errors and not self.progress.busy)
        self.start_button.setToolTip(errors[0] if errors else START)
        self.order_tabs()
        self._lead()

    def _lead(self) -> None:
        """The one button that is the natural next step."""
        first = [f for f in self.findings.findings if f.level == "error"]
        asked = [f for f in self.findings.findings if f.level == "warning" and f.fixes]
        if self.progress.busy:
            paused = self.progress.training is not None and self.progress.training.runner.paused
            self.lead(self.progress.pause_button if paused else None)  # to wait is the natural next step
        elif self.progress.after.isEnabled():
            self.lead(self.progress.more_button if self.progress.rising else self.apply_button)
        elif self.unfinished.draft is not None or self.unfinished.run is not None:
            line = self.unfinished.draft_line if self.unfinished.draft else self.unfinished.run_line
            self.lead(line.findChildren(type(self.start_button))[0])
        elif first and first[0].fixes and first[0].fixes[0].kind != "take":
            self.lead(self.findings.button(first[0].fixes[0].label))
        elif first and first[0].code == NO_LABELS:
            self.lead(self.labels_button)
        elif asked and not first:
            self.lead(self.findings.button(asked[0].fixes[0].label))
        else:
            self.lead(self.start_button)

    def _fix(self, fix: Fix, finding: Finding) -> None:
        material = self.data.material()
        if fix.kind == "fine":
            self._fine.add(finding.text)
        elif fix.kind == "option":
            plain, hidden = self.options[self.task.name]
            for form in (plain, hidden):
                form.set_values(dict([fix.value]))
        elif fix.kind == "task":
            self.task_box.setCurrentIndex(self.task_box.findData(fix.value))
        elif fix.kind == "try":
            self._try(fix.samples[0])
        elif fix.kind == "start":
            self._start_from(fix.value)
        elif fix.kind == "correct":
            correct(self.viewer, fix.samples[0])
        elif fix.kind == "take":
            self.data.take_predictions()
        elif material is None:
            self.data.take_masks()
        else:
            try:
                if isinstance(material, Files):
                    self.data.take_rows(opened(self.viewer, material, self.data.rows.takes.drawn))
                    material = self.data.material()
                if isinstance(material, Layers):
                    work_on(self.viewer, self.rows, material, fix)
            except Exception as error:
                self.warn(explained(error))
        self._later()

    def _fill_starts(self, found: Sequence[Model]) -> None:
        chosen = self.start_box.currentData()
        self.start_box.clear()
        self.start_box.addItem("Nothing (new model)", None)
        for model in found:
            self.start_box.addItem(model.name, str(model.path))
        self.start_box.setCurrentIndex(max(0, self.start_box.findData(chosen)))

    def _offered(self, found: Sequence[Model]) -> list[Finding]:
        """A shipped model that fits, before the first training."""
        if self._at_once is not None or self.progress.after.isEnabled():
            return []
        made = offer(found, self.task, self.start_box.currentData())
        return [made] if made is not None else []

    def _fitting(self) -> list[Model]:
        """Models for the active image, or the first, while there are no labels."""
        images = images_of(self.viewer.layers, ours=False)
        if not images or self.data.source_box.currentData() == "files":
            return []
        image = self._image_in_view(images)
        source = source_of(image)
        channels = 1 if "C" not in source.axes.names else array_of(image).shape[source.axes.names.index("C")]
        upsampling = self.task.layout(self.task.options()).upsampling
        return possible_starts(self.task, channels, source.axes.spatial, upsampling)

    def _image_in_view(self, images: Sequence[Any]) -> Any:
        active = self.viewer.layers.selection.active
        return next((x for x in images if x is active), images[0])

    def _try(self, name: str) -> None:
        """Apply a model to the image in view."""
        from napari_dojo.widgets.apply.panel import ApplyPanel

        panel = open_panel(self.viewer, ApplyPanel, "Apply")
        panel.refresh_models()
        panel.choose_model(name)
        panel.image_box.choose(self._image_in_view(images_of(self.viewer.layers, ours=False)))
        panel.request.whole_button.setChecked(True)
        if panel.apply_button.isEnabled():
            panel.apply()
        else:
            self.warn(panel.apply_button.toolTip())

    # one click

    def at_once(self, task: str, image: Any, minutes: float, start: str = "") -> None:
        """Learn a task from one image alone and apply it to that image, with the fixes that the check offers.

        ``start`` names a model to fine-tune if it suits the image.
        """
        if self.progress.busy:
            self.warn("A training is already running. Wait until it has ended, or stop it, and try again.")
            return
        self.task_box.setCurrentIndex(self.task_box.findData(task))
        self.rows.set_rows([Row((image,), None)])
        self.minutes_box.setValue(minutes)
        self._at_once, self._start, self._tried = image, start, []
        self.once.setText(f"Denoising {image.name}, about {60 * minutes:.0f} s. The result opens by itself.")
        self._reduce(True)
        self._data_changed()

    def _reduce(self, on: bool) -> None:
        """Show one line, the progress and a button to stop; or all."""
        self.once.setVisible(on)
        self.body.setVisible(not on)
        self.progress.reduce(on)

    def _go_at_once(self) -> None:
        """After each check: fix what can be fixed, else start, else show the reason."""
        if self._at_once is None:
            return
        errors = [f.text for f in self.findings.findings if f.level == "error"]
        offered = ((fix, f) for f in self.findings.findings if f.level == "warning" for fix in f.fixes)
        fixing = next(((fix, f) for fix, f in offered if fix.kind == "option" and fix not in self._tried), None)
        if errors:
            self._at_once = None
            self._reduce(False)
            self.warn(errors[0])
        elif fixing is not None:
            self._tried.append(fixing[0])
            self._fix(*fixing)
        else:
            self.start_box.setCurrentIndex(max(0, self.start_box.findText(self._start)))
            self.start()

    def _apply_at_once(self) -> None:
        image, self._at_once = self._at_once, None
        if image in self.viewer.layers:
            panel = self._apply()
            panel.image_box.choose(image)
            panel.request.whole_button.setChecked(True)
            panel.apply()

    # the job

    def start(self) -> None:
        """Start training with what is chosen, or let it wait its turn."""
        material = self.data.material()
        if self.progress.busy or material is None:
            return
        model = models_folder() / free_name(self.name_edit.text() or self.name_edit.placeholderText())
        folder, task, start = run_folder(model.name), self.task, self.start_box.currentData()
        options = self.option_values()
        if self.rows.classes and self.classes.named:
            options["classes"] = self.classes.names()
        more: dict[str, Any] = {
            "out": model,
            "name": model.name,
            "options": options,
            "settings": self.setting_values(),
            **({"start": start} if start else {}),
        }
        choices = {**self._state()[1], "name": model.name}
        make = lambda: material.request(folder, task, **more)  # noqa: E731
        training = Training(self.viewer, folder, model, make, material, choices)
        training.preview.on = self.progress.preview_box.isChecked()
        self._show(training)
        desk().add(training)

    def _show(self, training: Training) -> None:
        self._soon.stop()
        self._looking.forget()
        self.progress.show_training(training, None)
        self._turn(training.state != "over")
        self._queue_moved()

    def _queue_moved(self) -> None:
        training = self.progress.training
        if training is not None and training.state == "waiting" and training in desk().trainings:
            first = desk().before(training)
            if first is not None:
                self.progress.waits_for(first.name)

    def _turn(self, running: bool) -> None:
        for widget in (self.task_box, self.data, self.start_box, self.minutes_box, self.name_edit, self.advanced.body):
            widget.setEnabled(not running)
        for widget in (self.unfinished, self.findings, self.classes, *(plain for plain, _ in self.options.values())):
            widget.setEnabled(not running)
        self.findings.setVisible(not running)  # the curves and scores take their room
        self.start_button.setEnabled(not running)
        self._lead()

    def _over(self, event: Event) -> None:
        self._turn(False)
        self._reduce(False)
        if self._at_once is not None and isinstance(event, Done):
            self._apply_at_once()
        self._at_once = None
        if not isinstance(event, Done):
            self.warn(event.sentence)  # type: ignore[attr-defined]
            self.unfinished.refresh()
        self._data_changed()

    def _more(self) -> None:
        training = self.progress.training
        if training is None or training.state != "over":
            return
        training.again(MORE)
        self._show(training)
        desk().add(training)

    def _continue(self, run: Run) -> None:
        """Resume a run that was interrupted."""
        claim(run.folder)
        training = Training(self.viewer, run.folder, run.model, run.again, None, _choices_of(run))
        self._choose(training)
        self._show(training)
        desk().add(training)

    def _restore(self, draft: Draft) -> None:
        """Bring back what was painted in an earlier session."""
        try:
            back = self.autosave.restore(draft)
        except DojoError as error:
            self.warn(str(error))
            return
        rows = [Row(images, labels, region, role) for images, labels, region, role in back.rows if labels]
        self._set_choices(back.choices, rows)
        if back.sentence:
            self.warn(back.sentence)
        self._data_changed()

    def _choose(self, training: Training) -> None:
        """Show what a training was started with."""
        rows, material = None, training.material
        if isinstance(material, Layers):
            rows = [row for row in material.rows if all(x in self.viewer.layers for x in row.layers)]
        self._set_choices(training.choices, rows)
        self.name_edit.setPlaceholderText(training.name)

    def _set_choices(self, choices: Mapping[str, Any], rows: Sequence[Row] | None) -> None:
        """Choose what was saved; ``rows`` None leaves the table."""
        self.task_box.setCurrentIndex(max(0, self.task_box.findData(choices.get("task"))))
        for form in self.options[self.task.name]:
            form.set_values(choices.get("options", {}))
        self._take_targets()
        self.settings.set_values(choices.get("settings", {}))
        self.minutes_box.setValue(choices.get("minutes") or 5)
        self.name_edit.setText(choices.get("name", ""))
        if rows is not None:
            self.rows.set_rows(rows)
        self.data.set_choices(choices.get("data", {}))
        self.classes.set_custom(choices.get("classes", {}))
        self._start_from(choices.get("start"))

    def _start_from(self, path: str | None) -> None:
        """Choose a model to start from."""
        if path and self.start_box.findData(path) < 0:
            self.start_box.addItem(Path(path).name, path)
        self.start_box.setCurrentIndex(max(0, self.start_box.findData(path)))

    # afterwards

    def _apply(self) -> Any:
        from napari_dojo.widgets.apply.panel import ApplyPanel

        training = self.progress.training
        panel = open_panel(self.viewer, ApplyPanel, "Apply")
        panel.refresh_models()
        panel.choose_model(training.model if training is not None else None)
        active = self.viewer.layers.selection.active
        image = next(
            (row.images[0] for row in self.rows.rows() if row.target is not None and row.target is active), None
        )
        if image is not None:  # what it should give is not what it is given
            panel.image_box.choose(image)
        return panel

    def _copy(self, tell: Any) -> None:
        training = self.progress.training
        run = Run.read(training.folder) if training is not None else None
        if run is None:
            self.warn("The images of this training are no longer there. Train again to copy it.")
            return
        self.progress.message.setText("Writing the images as files ...")
        self._copying.ask(_copied_text, run, tell)

    def _copied(self, found: Any) -> None:
        if isinstance(found, Exception):
            self.warn(explained(found))
            self.progress.message.setText(self.marked("error", explained(found)))
            return
        text, place = found
        clipboard = QGuiApplication.clipboard()
        if clipboard is not None:
            clipboard.setText(text)
        self.progress.message.setText(f"Copied. It trains on files in {place}.")

    def end(self) -> None:
        """The panel is closing; its training continues."""
        if not self._ended:
            desk().changed.disconnect(self._queue_moved)
            self._soon.stop()
            for latest in (self._looking, self._probing, self._copying):
                latest.forget()
            self.unfinished.end()
            self.progress.end()
            watch_window(self.viewer).left["draft"] = self.autosave.left
            self.autosave.end(keep=True)
        super().end()


def _choices_of(run: Run) -> dict[str, Any]:
    """What a run was started with, as the panel keeps it."""
    request = run.request
    settings = asdict(request.settings)
    return {
        "task": request.task,
        "options": request.options,
        "settings": settings,
        "minutes": settings["minutes"],
        "start": str(request.start) if request.start else None,
        "name": run.model.name,
    }


def _copied_text(run: Run, tell: Any) -> tuple[str, str]:
    given = saved_data(run)
    return tell(run, given), str(Path(given.input).parent)
