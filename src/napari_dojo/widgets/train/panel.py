"""The Train panel: choose a task and images, start, watch, stop when happy, apply."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_dojo.errors import DojoError, explained
from napari_dojo.events import Done, Event
from napari_dojo.jobs.autosave import Draft
from napari_dojo.jobs.runs import Run, run_folder
from napari_dojo.jobs.scripts import as_command, as_python
from napari_dojo.models.library import Model
from napari_dojo.paths import models_folder
from napari_dojo.tasks import Finding, Fix, Task
from napari_dojo.training.start import possible_starts
from napari_dojo.widgets.common.autosave import Autosave
from napari_dojo.widgets.common.form import sentence
from napari_dojo.widgets.common.latest import Latest
from napari_dojo.widgets.common.panel import Panel
from napari_dojo.widgets.common.queue import Training, desk, free_name, resumed
from napari_dojo.widgets.common.rows import Row
from napari_dojo.widgets.common.starts import offer, starts_for_layer
from napari_dojo.widgets.common.training_data import Layers
from napari_dojo.widgets.common.unfinished import Unfinished
from napari_dojo.widgets.train.apply import apply_to, image_in_view, open_with
from napari_dojo.widgets.train.check import Asked, Check, Findings, Seen
from napari_dojo.widgets.train.choices import Choices
from napari_dojo.widgets.train.copying import copied, to_clipboard
from napari_dojo.widgets.train.data_section import NO_LABELS
from napari_dojo.widgets.train.one_click import OneClick
from napari_dojo.widgets.train.pair_rows import PairRows
from napari_dojo.widgets.train.progress import START, ProgressSection

__all__ = ["TrainPanel"]

MORE = 5.0  # minutes, of "Train 5 more minutes"


class TrainPanel(Panel):
    """Train a model on layers of the viewer or on files.

    Parameters
    ----------
    napari_viewer : the viewer; given by napari.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self.seen: Seen | None = None
        self._fine: set[str] = set()
        self._once: OneClick | None = None
        self._predicted = 0  # predictions that nobody corrected
        self._make_parts()
        self.column.addStretch(1)
        self.align()
        self.check = Check(self)
        self._copying = Latest(self)
        self.autosave = Autosave(self.viewer, self.choices.saved, self)
        self.autosave.adopt_left("train", "annotate")
        self._connect()
        self._task_changed()
        self.unfinished.refresh()
        there = desk().of(self.viewer)
        if there is not None and (there.state != "over" or self.data.can_show(there.material)):
            self._choose(there)
            self._show(there)

    def _make_parts(self) -> None:
        self.once = sentence(lines=2)  # all that is said of a training that a click in the menu started
        self.once.setVisible(False)
        self.unfinished = Unfinished(self.viewer)
        self.choices = choices = Choices(self.viewer)
        self.findings = Findings(self.marked)
        self.progress = ProgressSection(self)
        self.body = QWidget()
        form = QVBoxLayout(self.body)
        form.setContentsMargins(0, 0, 0, 0)
        form.setSpacing(4)
        parts: list[tuple[QVBoxLayout, QWidget]] = [(form, w) for w in (self.unfinished, choices, self.findings)]
        for layout, widget in (*parts, *((self.column, w) for w in (self.once, self.body, self.progress))):
            layout.addWidget(widget)
        self.task_box, self.data, self.options = choices.task_box, choices.data, choices.options
        self.classes, self.classes_fold = choices.classes, choices.classes_fold
        self.start_box, self.minutes_box, self.name_edit = choices.start_box, choices.minutes_box, choices.name_edit
        self.settings, self.advanced = choices.settings, choices.advanced
        self.labels_button = self.rows.labels_button
        self.start_button, self.apply_button = self.progress.start_button, self.progress.apply_button
        self.start_button.setEnabled(False)  # until the check says that it may

    def _connect(self) -> None:
        self.watch.changed.connect(self._layers_changed)
        self.watch.painted.connect(self._painted)
        self.choices.changed.connect(self._later)
        self.choices.task_changed.connect(self._task_changed)
        self.choices.data_changed.connect(self._data_changed)
        self.check.due.connect(self._look)
        self.check.looked.connect(self._looked)
        self.check.probed.connect(lambda device: self.choices.show_gpus(device.gpus))
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
        self.autosave.failed.connect(self.warn)
        self._copying.told.connect(self._copied)
        desk().changed.connect(self._queue_moved)

    # what is chosen

    @property
    def task(self) -> Task:
        """The chosen task."""
        return self.choices.task

    @property
    def rows(self) -> PairRows:
        """The table of pairs."""
        return self.data.rows

    def option_values(self) -> dict[str, Any]:
        """The task's options as set."""
        return self.choices.option_values()

    def use(self, image: Any, labels: Any, strokes: str = "") -> None:
        """Train on this image and these labels, and on the other pairs of the table.

        ``strokes`` : what strokes in them stand for, "objects" or "classes"; else they are whole objects.
        """
        if not self.progress.busy and (strokes or not self.rows.takes.drawn):
            self.choices.choose_task("semantic" if strokes == "classes" else "instances")
        if not self.progress.busy and "annotation" in self.option_values():
            self.choices.set_options({"annotation": "strokes" if strokes else "complete"})
        rows = [row for row in self.rows.rows() if row.target is not labels]
        self.rows.set_rows([*rows, Row((image,), labels)])

    def setting_values(self) -> dict[str, Any]:
        """The training's settings as set; a training on one image alone validates on none."""
        alone = {"validation": 0.0} if self._once is not None else {}
        return {**self.choices.setting_values(), **alone}

    def _task_changed(self) -> None:
        self.align()
        self._data_changed()

    def _layers_changed(self) -> None:
        self.data.class_rows.refresh()
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

    def _later(self) -> None:
        if not self.progress.busy:
            self.check.later()

    def _look(self) -> None:
        if self.progress.busy:
            return
        material, problem = self.data.material(), self.data.problem()
        self.seen = None
        if material is None or problem is not None:
            self.check.forget()
            offered = self._offered(self._fitting()) if material is None else []
            self._found([*([problem] if problem is not None else []), *offered])
            return
        self.choices.check_start()
        asked = Asked(self.task, material, self.option_values(), self.setting_values(), self.choices.start)
        self.check.look(asked)
        if not self.findings.findings:
            self.findings.show_findings([Finding("ok", "Looking at the images ...")])

    def _looked(self, found: Any) -> None:
        if self._ended or self.progress.busy:
            return
        if isinstance(found, Exception):
            self._found([Finding("error", explained(found))])
            return
        self.seen = found
        starts: list[Model] = []
        if (setup := found.setup) is not None:
            upsampling = self.task.layout(setup.options).upsampling
            starts = possible_starts(self.task, setup.dataset.channels, setup.dataset.spatial, upsampling)
            self.choices.show_automatic(setup)
        self.choices.show_starts(starts)
        lost = self.choices.check_start()
        offered = [] if any(f.code == "no images" for f in found.findings) else self._offered(starts)
        said = (*([lost] if lost else []), *found.findings, *self.data.notes(), *offered)
        lines = (replace(f, text=self.classes.worded(f.text)) for f in said)
        self._found([f for f in lines if f.text not in self._fine])
        self._go_on_once()

    def _found(self, findings: list[Finding]) -> None:
        self._make_room()
        self.findings.show_findings(findings)
        errors = [f.text for f in findings if f.level == "error"]
        self.start_button.setEnabled(not errors and not self.progress.busy)
        self.start_button.setToolTip(errors[0] if errors else START)
        self._lead()

    def _make_room(self) -> None:
        """What a training reaches has the room of what else is said."""
        brief = self.progress.busy or self.progress.after.isEnabled()
        self.findings.be_brief(brief)
        self.unfinished.be_brief(brief)

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
        if fix.kind == "fine":
            self._fine.add(finding.text)
        elif fix.kind == "try":
            self._apply_to(fix.samples[0], image_in_view(self.viewer))
        else:
            try:
                self.choices.fix(fix)
            except Exception as error:
                self.warn(explained(error))
        self._later()

    def _offered(self, found: Sequence[Model]) -> list[Finding]:
        """A shipped model that fits, before the first training."""
        if self._once is not None or self.progress.after.isEnabled():
            return []
        made = offer(found, self.task, self.choices.start)
        return [made] if made is not None else []

    def _fitting(self) -> list[Model]:
        """Models for the active image, or the first, while there are no labels."""
        image = image_in_view(self.viewer)
        from_files = self.data.source_box.currentData() == "files"
        return [] if image is None or from_files else starts_for_layer(self.task, image)

    # one click

    def at_once(self, task: str, image: Any, minutes: float, start: str = "") -> None:
        """Learn a task from one image alone and apply it to that image, with the fixes that the check offers.

        ``start`` names a model to fine-tune if it suits the image.
        """
        if self.progress.busy:
            self.warn("A training is already running. Wait until it has ended, or stop it, and try again.")
            return
        self.choices.choose_task(task)
        self.rows.set_rows([Row((image,), None)])
        self.minutes_box.setValue(minutes)
        self._once = OneClick(image, start)
        self.once.setText(f"Denoising {image.name}, about {60 * minutes:.0f} s. The result opens by itself.")
        self._reduce(True)
        self._data_changed()

    def _reduce(self, on: bool) -> None:
        """Show one line, the progress and a button to stop; or all."""
        self.once.setVisible(on)
        self.body.setVisible(not on)
        self.progress.reduce(on)

    def _go_on_once(self) -> None:
        """After each check: apply the next fix, else start, else show the reason."""
        if self._once is None:
            return
        findings = self.findings.findings
        problem = self._once.problem(findings)
        if problem is not None:
            self._once = None
            self._reduce(False)
            self.warn(problem)
        elif (fixing := self._once.next_fix(findings)) is not None:
            self._fix(*fixing)
        else:
            self.start_box.setCurrentIndex(max(0, self.start_box.findText(self._once.start)))
            self.start()

    # the job

    def start(self) -> None:
        """Start training with what is chosen, or let it wait its turn."""
        material = self.data.material()
        if self.progress.busy or material is None:
            return
        model = models_folder() / free_name(self.choices.name)
        folder, task = run_folder(model.name), self.task
        options = self.option_values()
        if self.rows.classes and self.classes.named:
            options["classes"] = self.classes.names()
        more: dict[str, Any] = {
            "out": model,
            "name": model.name,
            "options": options,
            "settings": self.setting_values(),
            "start": self.choices.start,
        }
        choices = {**self.choices.saved()[1], "name": model.name}
        make = lambda: material.request(folder, task, **more)  # noqa: E731
        training = Training(self.viewer, folder, model, make, material, choices)
        training.preview.on = self.progress.preview_box.isChecked()
        self._show(training)
        desk().add(training)

    def _show(self, training: Training) -> None:
        self.check.stop()
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
        self.choices.lock(running)
        for widget in (self.unfinished, self.findings):
            widget.setEnabled(not running)
        self.findings.setVisible(not running)  # the curves and scores take their room
        self.start_button.setEnabled(not running)
        self._make_room()
        self.reveal(self.progress)
        self._lead()

    def _over(self, event: Event) -> None:
        self._turn(False)
        self._reduce(False)
        once, self._once = self._once, None
        if once is not None and isinstance(event, Done) and once.image in self.viewer.layers:
            self._apply_to(self._trained(), once.image)
        if not isinstance(event, Done):
            self.warn_failed(event.sentence)  # type: ignore[attr-defined]
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
        training = resumed(self.viewer, run)
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
        self.choices.restore(back.choices, rows)
        if back.sentence:
            self.warn(back.sentence)
        self._data_changed()

    def _choose(self, training: Training) -> None:
        """Show what a training was started with."""
        rows, material = None, training.material
        if isinstance(material, Layers):
            rows = [row for row in material.rows if all(x in self.viewer.layers for x in row.layers)]
        self.choices.restore(training.choices, rows)
        self.name_edit.setPlaceholderText(training.name)

    # afterwards

    def _trained(self) -> Path | None:
        """The model of the training that is shown."""
        training = self.progress.training
        return training.model if training is not None else None

    def _apply(self) -> Any:
        return open_with(self.viewer, self._trained(), self.rows.rows())

    def _apply_to(self, model: Path | str | None, image: Any) -> None:
        """Open the Apply panel and apply a model to an image."""
        problem = apply_to(open_with(self.viewer, model), image)
        if problem is not None:
            self.warn(problem)

    def _copy(self, tell: Callable[..., str]) -> None:
        training = self.progress.training
        run = Run.read(training.folder) if training is not None else None
        if run is None:
            self.warn("The images of this training are no longer there. Train again to copy it.")
            return
        self.progress.message.setText("Writing the images as files ...")
        self._copying.ask(copied, run, tell)

    def _copied(self, found: Any) -> None:
        if isinstance(found, Exception):
            self.warn(explained(found))
            self.progress.message.setText(self.marked("error", explained(found)))
        else:
            to_clipboard(found.text)
            self.progress.message.setText(f"Copied. It trains on files in {found.folder}.")

    def end(self) -> None:
        """The panel is closing; its training continues."""
        if not self._ended:
            desk().changed.disconnect(self._queue_moved)
            self.check.end()
            self._copying.forget()
            self.unfinished.end()
            self.progress.end()
            self.autosave.leave("train")
        super().end()
