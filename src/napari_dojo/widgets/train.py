"""The Train panel: choose a task and layers, start, watch, stop when happy, apply."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QStackedWidget,
    QWidget,
)

from napari_dojo.axes import Axes
from napari_dojo.errors import DojoError
from napari_dojo.events import Checked, Done, Event, Failed, Said, Started, Step
from napari_dojo.home import models_folder
from napari_dojo.pairs import Pairs
from napari_dojo.pretrained import models
from napari_dojo.settings import TrainSettings, checked, fields_of
from napari_dojo.tasks import TASKS, Facts, Finding, Task
from napari_dojo.widgets.form import Fold, Form, calm, described, form_layout, narrow, sentence
from napari_dojo.widgets.layers import array_of, axes_choices, source_of
from napari_dojo.widgets.panel import Panel, open_panel, said
from napari_dojo.widgets.plot import LossPlot
from napari_dojo.widgets.preview import Preview
from napari_dojo.widgets.rows import PairRows
from napari_dojo.widgets.run import run_folder, time_left

__all__ = ["TrainPanel", "free_name", "look_at"]

QUICK = 1.5e6  # pixels that are checked while the user waits
LARGEST = 6e7  # pixels that are checked at all before the start


def look_at(task: Task, pairs: Sequence[tuple[Any, Any]], names: str, options: dict[str, Any]) -> tuple[Facts, Pairs]:
    """What the task understands of these layers.

    Raises
    ------
    DojoError : where they cannot be learned from.
    """
    sources = [source_of(image, names) for image, _ in pairs]
    read = Pairs.of(
        [np.asarray(s.array) for s in sources],
        [np.asarray(array_of(labels)) for _, labels in pairs],
        sources[0].axes,
        labels=task.target == "labels",
        names=[s.name for s in sources],
        pixel_size=sources[0].pixel_size,
        unit=sources[0].unit,
    )
    return task.check(read, checked(task.options, options)), read


def free_name(wanted: str) -> str:
    """A name for a model that no folder has yet: "nuclei", then "nuclei-2"."""
    stem = re.sub(r"[^\w.-]+", "-", wanted.strip()).strip("-._") or "model"
    name, k = stem, 2
    while (models_folder() / name).exists():
        name, k = f"{stem}-{k}", k + 1
    return name


class TrainPanel(Panel):
    """Train a model on layers of the viewer.

    Parameters
    ----------
    napari_viewer : the viewer; given by napari.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self._model: Path | None = None
        self._where = "validation"
        self._generation = 0
        self._facts: tuple[Facts, Pairs] | None = None
        self._warnings: list[str] = []
        self._ask()
        self._tune()
        self._go()
        self._tell()
        self.column.addStretch(1)
        self.align()
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(350)
        self._soon.timeout.connect(self._look)
        self.preview = Preview(self.viewer, self.runner)
        self.watch.changed.connect(self._layers_changed)
        self.watch.painted.connect(self._later)
        self.viewer.layers.selection.events.active.connect(self._active_changed)
        self.runner.said.connect(self._heard)
        self.task_box.currentIndexChanged.connect(self._task_changed)
        self.rows.changed.connect(self._rows_changed)
        self._task_changed()

    # what is shown

    def _ask(self) -> None:
        form = form_layout()
        self.task_box = QComboBox()
        described(self.task_box, "I want to", "What the model shall learn.")
        narrow(self.task_box)
        for task in TASKS.values():
            if task.target == "labels":
                self.task_box.addItem(task.title, task.name)
        form.addRow("I want to", self.task_box)
        self.column.addLayout(form)
        self.task_sentence = sentence()
        self.column.addWidget(self.task_sentence)
        self.rows = PairRows(self.viewer)
        self.column.addWidget(self.rows)
        self._form = form_layout()
        self.third_box = QComboBox()
        described(
            self.third_box, "Third axis", "What the axes before Y and X are: planes of a volume, or images one by one."
        )
        narrow(self.third_box)
        self.third_box.activated.connect(self._later)
        self.third_label = QLabel("Third axis")
        self._form.addRow(self.third_label, self.third_box)
        self.column.addLayout(self._form)
        self.options: dict[str, tuple[Form, Form]] = {}
        for task in TASKS.values():
            fields = fields_of(task.options)
            plain = Form([f for f in fields if not f.option.advanced])
            hidden = Form([f for f in fields if f.option.advanced])
            plain.changed.connect(self._later)
            hidden.changed.connect(self._later)
            self.options[task.name] = (plain, hidden)
            self.column.addWidget(plain)

    def _tune(self) -> None:
        form = form_layout()
        self.start_box = QComboBox()
        described(
            self.start_box, "Start from", "A trained model to go on from, which takes fewer images and less time."
        )
        narrow(self.start_box)
        self.minutes_box = QDoubleSpinBox()
        self.minutes_box.setRange(0.1, 10080)
        self.minutes_box.setDecimals(1)
        self.minutes_box.setValue(5)
        self.minutes_box.setSuffix(" minutes")
        self.minutes_box.setMaximumWidth(160)
        described(self.minutes_box, "Time", "How long training may take. You can stop earlier and keep the model.")
        calm(self.minutes_box)
        self.name_edit = QLineEdit()
        described(self.name_edit, "Model name", "What the model will be called. A name that is taken gets a number.")
        self.start_box.addItem("Nothing (new model)", None)
        form.addRow("Start from", self.start_box)
        form.addRow("Time", self.minutes_box)
        form.addRow("Name", self.name_edit)
        self.column.addLayout(form)
        body = QWidget()
        layout = form_layout()
        layout.setContentsMargins(12, 0, 0, 0)
        body.setLayout(layout)
        for _, hidden in self.options.values():
            layout.addRow(hidden)
        self.settings = Form([f for f in fields_of(TrainSettings) if f.option.advanced])
        layout.addRow(self.settings)
        self.advanced = Fold("Advanced", body)
        self.column.addWidget(self.advanced)

    def _go(self) -> None:
        self.findings = sentence(lines=3)
        self.findings.setAccessibleName("Check before the start")
        self.column.addWidget(self.findings)
        self.start_button = QPushButton("Start training")
        described(self.start_button, "Start training", "Learn from the pairs above. Nothing in your layers is changed.")
        self.apply_button = QPushButton("Apply it")
        described(self.apply_button, "Apply this model", "Open the Apply panel with the model that was trained.")
        self.apply_button.setVisible(False)
        self.apply_button.clicked.connect(self._apply)
        self.pause_button = QPushButton("Pause")
        described(self.pause_button, "Pause", "Wait, and go on later; the time does not run meanwhile.")
        self.stop_button = QPushButton("Stop and keep")
        described(self.stop_button, "Stop and keep", "End the training now and keep the best model so far.")
        self.start_button.clicked.connect(self.start)
        self.pause_button.clicked.connect(self._pause)
        self.stop_button.clicked.connect(self._stop)
        running = QWidget()
        row = QHBoxLayout(running)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.pause_button)
        row.addWidget(self.stop_button, 1)
        self.buttons = QStackedWidget()
        idle = QWidget()
        row = QHBoxLayout(idle)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.start_button, 1)
        row.addWidget(self.apply_button, 1)
        self.buttons.addWidget(idle)
        self.buttons.addWidget(running)
        self.buttons.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.column.addWidget(self.buttons)
        self.progress = QProgressBar()
        self.progress.setRange(0, 1000)
        self.progress.setFormat("")
        described(self.progress, "Progress", "How far the training is.")
        self.column.addWidget(self.progress)

    def _tell(self) -> None:
        self.plot = LossPlot(self.viewer)
        self.column.addWidget(self.plot)
        grid = QGridLayout()
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(8)
        grid.setVerticalSpacing(1)
        grid.setColumnMinimumWidth(0, 84)
        grid.setColumnStretch(1, 1)
        self.score_name, self.score = sentence("Model"), sentence()
        self.baseline_name, self.baseline = sentence("Without learning"), sentence()
        for i, pair in enumerate(((self.score_name, self.score), (self.baseline_name, self.baseline))):
            for j, widget in enumerate(pair):
                grid.addWidget(widget, i, j)
            grid.setRowMinimumHeight(i, 26)
        self.score_name.setToolTip("How good the model is now, on the part that it does not learn from.")
        self.baseline_name.setToolTip("What a simple method without learning reaches on the same images.")
        self.column.addLayout(grid)
        self.preview_box = QCheckBox("Show what it sees now")
        described(
            self.preview_box,
            "Show what it sees now",
            "A layer with what the model finds in the active image, new at each check.",
        )
        self.preview_box.setChecked(True)
        self.preview_box.toggled.connect(self._preview_turned)
        self.column.addWidget(self.preview_box)
        self.message = sentence(lines=2)
        self.message.setAccessibleName("What happened")
        self.column.addWidget(self.message)

    # what is chosen

    @property
    def task(self) -> Task:
        """The chosen task."""
        return TASKS[self.task_box.currentData()]

    @property
    def axes_names(self) -> str | None:
        """The axes of the images as chosen; None where there are no images."""
        return self.third_box.currentData()

    def option_values(self) -> dict[str, Any]:
        """The task's options as set."""
        plain, hidden = self.options[self.task.name]
        return {**plain.values(), **hidden.values()}

    def setting_values(self) -> dict[str, Any]:
        """The training's settings as set; steps and epochs take the place of minutes."""
        values = self.settings.values()
        counted = values.get("steps") or values.get("epochs")
        return {**values, "minutes": None if counted else self.minutes_box.value()}

    def _task_changed(self, *_: Any) -> None:
        self.task_sentence.setText(self.task.sentence)
        for name, (plain, hidden) in self.options.items():
            plain.setVisible(name == self.task.name and bool(plain.values()))
            hidden.setVisible(name == self.task.name and bool(hidden.values()))
        self._rows_changed()

    def _layers_changed(self) -> None:
        self.rows.refresh()
        self.preview.follow()

    def _rows_changed(self) -> None:
        pairs = self.rows.pairs()
        chosen = self.axes_names
        choices = axes_choices(pairs[0][0]) if pairs else ()
        if pairs:
            array, wanted = array_of(pairs[0][0]), tuple(array_of(pairs[0][1]).shape)
            choices = tuple(c for c in choices if Axes(c[0]).result(array.shape, None)[1] == wanted) or choices
        self.third_box.clear()
        for names, words in choices:
            self.third_box.addItem(words, names)
        self.third_box.setCurrentIndex(max(0, self.third_box.findData(chosen)))
        for widget in (self.third_box, self.third_label):
            widget.setVisible(len(choices) > 1)
        self.third_label.setText(
            "Third axis" if not choices or len(choices[0][0].replace("C", "")) < 4 else "First axes"
        )
        if self.runner.job is None:
            self.name_edit.setPlaceholderText(free_name(pairs[0][0].name if pairs else "model"))
        self._later()

    # the check before the start

    def _later(self, *_: Any) -> None:
        if self.runner.job is None:
            self._soon.start()

    def _look(self) -> None:
        if self.runner.job is not None:
            return
        pairs, names = self.rows.pairs(), self.axes_names
        self._generation += 1
        self._facts = None
        if not pairs or names is None:
            self._found([Finding("error", self._why_nothing())])
            return
        pixels = sum(float(np.prod(array_of(image).shape)) for image, _ in pairs)
        lazy = any(not isinstance(array_of(x), np.ndarray) for pair in pairs for x in pair)
        if pixels > LARGEST or (lazy and pixels > QUICK):
            self._fill_starts(pairs)
            self._found([Finding("ok", f"{len(pairs)} large images; they are looked at when training starts")])
        elif pixels > QUICK:
            self._look_aside(pairs, names)
        else:
            self._looked(self._generation, _try(look_at, self.task, pairs, names, self.option_values()))

    def _look_aside(self, pairs: list[tuple[Any, Any]], names: str) -> None:
        from napari.qt.threading import create_worker

        generation = self._generation
        self.findings.setText("Looking at the images ...")
        worker: Any = create_worker(_try, look_at, self.task, pairs, names, self.option_values())
        worker.returned.connect(lambda answer: self._looked(generation, answer))
        worker.start()

    def _looked(self, generation: int, answer: Any) -> None:
        if generation != self._generation or self._ended:
            return
        if isinstance(answer, Exception):
            self._found([Finding("error", said(answer))])
            return
        self._facts = answer
        self._fill_starts(self.rows.pairs())
        self._found(list(answer[0].findings))

    def _found(self, findings: list[Finding]) -> None:
        worst = sorted(findings, key=lambda f: ("error", "warning", "ok").index(f.level))
        self.findings.setText("<br>".join(self.marked(f.level, _short(f.text)) for f in worst[:4]))
        self.findings.setToolTip("\n".join(f.text for f in worst))
        errors = [f.text for f in findings if f.level == "error"]
        self.start_button.setEnabled(not errors and self.runner.job is None)
        self.lead(self.start_button if self.apply_button.isHidden() else self.apply_button)
        self.start_button.setToolTip(
            errors[0] if errors else "Learn from the pairs above. Nothing in your layers is changed."
        )

    def _why_nothing(self) -> str:
        layers = list(self.viewer.layers)
        if not any(x._type_string == "image" for x in layers):
            return "An image is needed. Open one (File > Open, or File > Open Sample > Dojo)."
        if not any(x._type_string == "labels" for x in layers):
            return "Labels are needed: what to find in the image. Add a Labels layer and paint some objects."
        return "No Labels layer has the size of an image. Choose the image and press the New Labels button."

    def _fill_starts(self, pairs: list[tuple[Any, Any]]) -> None:
        axes = Axes.resolve(array_of(pairs[0][0]).shape, self.axes_names)
        channels = axes.channels(array_of(pairs[0][0]).shape)
        chosen = self.start_box.currentData()
        self.start_box.clear()
        self.start_box.addItem("Nothing (new model)", None)
        for model in models():
            card = model.card
            if (card.task, card.channels, card.spatial) == (self.task.name, channels, axes.spatial):
                self.start_box.addItem(model.name, str(model.path))
        self.start_box.setCurrentIndex(max(0, self.start_box.findData(chosen)))

    # the job

    def start(self) -> None:
        """Start training with what is chosen."""
        if self.runner.job is not None:
            return
        try:
            folder = self._request()
            self.runner.start(folder)
        except Exception as error:
            self._failed(said(error))
            return
        self._warnings = []
        self.plot.reset()
        self.score.setText("")
        self.baseline.setText("")
        self.score_name.setText("Model")
        self.message.setText("Starting ...")
        self.progress.setRange(0, 1000)
        self.progress.setValue(0)
        self.progress.setFormat("Starting ...")
        self.apply_button.setVisible(False)
        self._turn(True)
        self.lead(self.stop_button)
        self.preview.begin(self.rows.pairs(), self.axes_names, folder)
        self.preview.turn(self.preview_box.isChecked())

    def _request(self) -> Path:
        from napari_dojo.jobs import train_request

        pairs, names = self.rows.pairs(), self.axes_names
        if not pairs or names is None:
            raise DojoError(self._why_nothing())
        sources = [source_of(image, names) for image, _ in pairs]
        self._model = models_folder() / free_name(self.name_edit.text() or self.name_edit.placeholderText())
        start = self.start_box.currentData()
        return train_request(
            run_folder(self._model.name),
            self.task.name,
            [s.array for s in sources],
            [array_of(labels) for _, labels in pairs],
            axes=names,
            out=self._model,
            options=self.option_values(),
            settings=self.setting_values(),
            names=[s.name for s in sources],
            name=self._model.name,
            pixel_size=sources[0].pixel_size,
            unit=sources[0].unit,
            volumes=True,
            **({"start": start} if start else {}),
        )

    def _turn(self, running: bool) -> None:
        self.buttons.setCurrentIndex(int(running))
        self.start_button.setEnabled(not running)
        self.pause_button.setEnabled(running)
        self.stop_button.setEnabled(running)
        self.pause_button.setText("Pause")
        self.stop_button.setText("Stop and keep")
        for widget in (
            self.task_box,
            self.rows,
            self.third_box,
            self.start_box,
            self.minutes_box,
            self.name_edit,
            self.advanced.body,
        ):
            widget.setEnabled(not running)
        for plain, _ in self.options.values():
            plain.setEnabled(not running)

    def _pause(self) -> None:
        if self.runner.paused:
            self.runner.go_on()
        else:
            self.runner.pause()
        self.pause_button.setText("Go on" if self.runner.paused else "Pause")
        if self.runner.paused:
            self.progress.setFormat("Paused")

    def _stop(self) -> None:
        self.stop_button.setEnabled(False)
        self.pause_button.setEnabled(False)
        self.stop_button.setText("Stopping ...")
        self.runner.stop()

    def _heard(self, event: Event) -> None:
        if isinstance(event, Started):
            self.message.setText(escape(event.plan.get("sentence", "")))
            self.progress.setFormat("Learning ...")
            self._where = (
                "validation" if not str(event.plan.get("split", "")).startswith("No validation") else "training images"
            )
            self.score_name.setToolTip(str(event.plan.get("split", "")))
        elif isinstance(event, Step):
            self._stepped(event)
        elif isinstance(event, Checked):
            self._checked(event)
        elif isinstance(event, Said) and event.level == "warning":
            self._warnings.append(event.text)
            self.message.setText("<br>".join(self.marked("warning", w) for w in self._warnings[-2:]))
        elif isinstance(event, Done):
            self._done(event)
        elif isinstance(event, Failed):
            self._failed(event.sentence)

    def _stepped(self, event: Step) -> None:
        self.plot.add(event.step, event.loss)
        self.plot.redraw_soon()
        left = event.seconds_left
        if left is not None and not self.runner.paused:
            self.progress.setFormat(time_left(left))
            if self.setting_values()["minutes"]:
                share = 1 - left / (60 * self.minutes_box.value())
            else:
                share = event.step / event.steps if event.steps else 0
            self.progress.setValue(max(self.progress.value(), int(1000 * min(1, max(0, share)))))

    def _checked(self, event: Checked) -> None:
        if event.validation_loss is not None:
            self.plot.judge(event.step, event.validation_loss)
            self.plot.redraw_soon()
        self.score_name.setText("Training images" if self._where != "validation" else "Validation")
        self.score.setText(event.score.get("sentence", ""))
        self.score.setToolTip(_figures(event.score))
        self.baseline.setText(event.baseline.get("sentence", ""))
        self.baseline.setToolTip(_figures(event.baseline))
        if event.preview:
            self.preview.show(event.preview)

    def _done(self, event: Done) -> None:
        self._turn(False)
        self._model = Path(event.result)
        self.plot.redraw()
        self.progress.setValue(1000)
        self.progress.setFormat(f"Done: {event.facts.get('steps', '')} steps".replace(":  steps", ""))
        rising = " It was still improving: more time would help." if event.facts.get("rising") else ""
        text = escape(f"Saved as {self._model.name}.{rising}")
        if self._warnings:
            text += "<br>" + self.marked("warning", self._warnings[-1])
        self.message.setText(text)
        self.message.setToolTip(str(self._model))
        if event.facts.get("sentence"):
            self.score.setText(event.facts["sentence"])
        self.apply_button.setVisible(True)
        self.lead(self.apply_button)
        self.preview.end()
        self._rows_changed()

    def _failed(self, text: str) -> None:
        self._turn(False)
        self.progress.setFormat("")
        self.progress.setValue(0)
        self.message.setText(self.marked("error", text))
        self.preview.end()
        self.warn(text)
        self._later()

    def _preview_turned(self, on: bool) -> None:
        self.preview.turn(on)

    def _active_changed(self, event: Any = None) -> None:
        self.preview.follow()

    def end(self) -> None:
        """The panel is closing."""
        if not self._ended:
            self.viewer.layers.selection.events.active.disconnect(self._active_changed)
            self.plot.end()
            self._soon.stop()
        super().end()

    def _apply(self) -> None:
        from napari_dojo.widgets.apply import ApplyPanel

        panel = open_panel(self.viewer, ApplyPanel, "Apply")
        panel.refresh_models()
        panel.choose_model(self._model)


def _try(function: Any, *arguments: Any) -> Any:
    """The answer, or the error as a value."""
    try:
        return function(*arguments)
    except Exception as error:
        return error


def _short(text: str, most: int = 150) -> str:
    return text if len(text) <= most else text[: most - 4].rsplit(" ", 1)[0] + " ..."


def _figures(score: dict[str, Any]) -> str:
    """Figures for a tooltip."""

    def short(value: Any) -> str:
        if isinstance(value, dict):
            return ", ".join(f"{k}: {short(v)}" for k, v in value.items() if not isinstance(v, (list, dict)))
        return f"{value:.3g}" if isinstance(value, float) else str(value)

    return "\n".join(f"{k}: {short(v)}" for k, v in score.items() if k != "sentence" and not isinstance(v, list))
