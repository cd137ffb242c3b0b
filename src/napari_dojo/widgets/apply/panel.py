"""The Apply panel: a model on images or files; results are new layers that can be decoded again without the network."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QPushButton

from napari_dojo.errors import DojoError
from napari_dojo.events import Done, Event, Failed, Filling, Message, Progress, Skipped
from napari_dojo.inference.sinks import Stored
from napari_dojo.jobs.runs import sweep
from napari_dojo.models.card import options_of
from napari_dojo.models.library import Model, models
from napari_dojo.tasks import TASKS
from napari_dojo.widgets.apply.export import link_to
from napari_dojo.widgets.apply.request_section import Request, Work
from napari_dojo.widgets.apply.results_section import ResultsSection
from napari_dojo.widgets.common.background import discard, in_background
from napari_dojo.widgets.common.form import described, job_strip
from napari_dojo.widgets.common.panel import Panel
from napari_dojo.widgets.common.plot import theme_colours
from napari_dojo.widgets.common.run import BRIEFLY, PATIENCE, Runner
from napari_dojo.widgets.common.words import done_of

__all__ = ["ApplyPanel"]

APPLY_TIP = "Apply the model to this image. The result is a new layer; the image does not change."
LOOK = 500  # ms between two looks at what is in sight, which is computed first
SHOWN = 2  # warnings that are shown at once


class ApplyPanel(Panel):
    """Apply a model to image layers or to files.

    Parameters
    ----------
    napari_viewer : the viewer; given by napari.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self._work: Work | None = None  # what is being done
        self._warnings: list[str] = []
        self._why_shown = False
        self._took = ""  # how long the last job took, in words
        self._text_colour = theme_colours(self.viewer)["text"]
        self.request = Request(self.viewer, self.marked)
        self.outcome = ResultsSection(self.viewer)
        self.model_box, self.image_box = self.request.model_box, self.request.image_box
        self.third_box = self.request.third_box
        self.about, self.batch = self.request.about, self.request.batch
        self.results, self.sliders, self.count = self.outcome.results, self.outcome.sliders, self.outcome.count
        self.column.addWidget(self.request)
        self._go()
        self.column.addWidget(self.outcome)
        self.column.addStretch(1)
        self.align()
        self.request.changed.connect(self._judge)
        self.request.model_changed.connect(self._model_changed)
        self.request.class_box.activated.connect(lambda *_: self.outcome.classes.use(self.request.classifier))
        for part in (self.request, self.outcome):
            part.said.connect(self._said)
            part.failed.connect(self._failed)
        self.outcome.working.connect(self._working)
        self.watch.changed.connect(self._layers_changed)
        self.watch.painted.connect(self.request.data_changed)
        self.runner = Runner(self)
        self.runner.said.connect(self._heard)
        self._looking = QTimer(self)
        self._looking.setInterval(LOOK)
        self._looking.timeout.connect(self._look)
        self._box: list[tuple[int, int]] | None = None  # what of a growing prediction is in sight
        in_background("sweep", sweep)
        self.refresh_models()
        self.request.refresh()
        self.lead(self.apply_button)

    def _go(self) -> None:
        self.apply_button, self.stop_button = QPushButton("Apply"), QPushButton("Stop")
        described(self.apply_button, "Apply", APPLY_TIP)
        described(self.stop_button, "Stop", "Stop; images that are done are kept.")
        self.buttons, self.progress, self.message = job_strip(
            self.apply_button, self.stop_button, "How much of the work is done."
        )
        for widget in (self.buttons, self.progress, self.message):
            self.column.addWidget(widget)
        self.apply_button.clicked.connect(self.apply)
        self.stop_button.clicked.connect(self._stop)

    @property
    def model(self) -> Model | None:
        """The chosen model."""
        return self.request.model

    def refresh_models(self) -> None:
        """List the models that there are now."""
        there = [m for m in models() if m.card.task in TASKS]
        self.request.set_models([m for m in there if not _of_objects(m)], [m for m in there if _of_objects(m)])

    def showEvent(self, event: Any) -> None:  # noqa: N802
        """There may be new models."""
        super().showEvent(event)
        self.refresh_models()

    def choose_model(self, path_or_name: str | Path | None) -> bool:
        """Choose a model by its folder or name; whether it is there."""
        return self.request.choose_model(path_or_name)

    def _layers_changed(self) -> None:
        self.results.follow()
        self.request.refresh()

    def _model_changed(self) -> None:
        self.outcome.set_model(self.model)

    def _judge(self) -> None:
        """Say why Apply cannot be pressed, where it cannot."""
        size, unit = self.request.pixel_size()
        self.sliders.set_pixel_size(size if unit == "um" else None)
        if self.runner.busy:
            return
        why = self.request.why_not
        self.apply_button.setEnabled(not why)
        self.apply_button.setToolTip(why or APPLY_TIP)
        if not self.request.waiting:
            if why or self._why_shown:
                self.message.setText(self.marked("error", why) if why else "")
            self._why_shown = bool(why)

    # the job

    def apply(self) -> None:
        """Apply the chosen model to what is chosen."""
        if self.runner.busy:
            return
        chosen = (self.request.model_box, self.model), (self.request.class_box, self.request.classifier)
        self.refresh_models()
        if any(model is not None and not box.holds(model) for box, model in chosen):
            return  # one was deleted meanwhile, which is said
        try:
            self._work = self.request.work(self.outcome.values)
        except DojoError as error:
            self._failed(str(error))
            return
        self.outcome.classes.use(self.request.classifier)
        self._warnings, self._box = [], None
        self.message.setText("")
        self.progress.tell(0, 1, "Starting ...")
        self._turn(True)
        self.runner.start(self._work.make)

    def _turn(self, running: bool) -> None:
        self.buttons.setCurrentIndex(int(running))
        self.stop_button.setEnabled(running)
        self.request.setEnabled(not running)

    def _stop(self) -> None:
        self.stop_button.setEnabled(False)
        self.progress.setFormat("Stopping ...")
        self.runner.stop()

    def _heard(self, event: Event) -> None:
        work = self._work
        if work is None:
            return
        if isinstance(event, Progress):
            now = min(work.count, 1 + event.done * work.count // max(1, event.total))
            text = f"Image {now} of {work.count}, %p %" if work.count > 1 else "%p %"
            self.progress.tell(event.done, event.total, text)
        elif isinstance(event, Filling) and work.run is not None:
            self.outcome.results.fill(event, work.run)
            self._looking.start()
        elif isinstance(event, Message) and event.level == "info":
            self._said(escape(event.text))
        elif isinstance(event, Message):
            self._warnings.append(event.text)
            self._said("")
        elif isinstance(event, Skipped):
            self._warnings.append(f"Skipped: {event.sentence}")
            self._said("")
        elif isinstance(event, Failed):
            if str(work.folder) not in event.sentence:  # else it holds the details
                discard(work.folder)
            self._work = None
            partly = self.outcome.results.stores.filling
            self._failed(
                event.sentence + (" Blocks that are done are kept: apply again to continue." if partly else "")
            )
        elif isinstance(event, Done):
            self._work = None
            self._done(work, event)

    def _look(self) -> None:
        """Let the job know which part of a prediction that is computed block by block is in sight."""
        box, job = self.outcome.results.stores.seen(), self.runner.job
        if box is not None and box != self._box and job is not None:
            self._box = box
            job.ask({"box": box})

    def _working(self, done: int, total: int) -> None:
        """Results are being decoded again; (0, 0) : they are not."""
        if self.runner.busy:
            return
        if total:
            self.progress.tell(done, total, "Updating, %p %")
        else:
            self.progress.tell(int(bool(self._took)), 1, self._took)

    def _done(self, work: Work, event: Done) -> None:
        facts = event.facts
        self._ready(f"Done in {facts.get('seconds', 0):.1f} s")
        found = [Stored(**r) for r in facts["results"]]
        done, count = len(found), facts["images"]
        if facts["stopped"]:
            self._warnings.append(f"Stopped: {done_of(done, count)} and kept.")
        if work.run is not None:
            self.outcome.take(work.folder, work.run, found)
            return
        discard(work.folder)
        self._said(f"{done_of(done, count)}: {link_to(self.viewer, Path(event.result))}")
        self.batch.written(done)

    def _ready(self, took: str = "") -> None:
        """Another job may be started."""
        self._took = took
        self._looking.stop()
        self.outcome.results.stores.stop()
        self._turn(False)
        self._working(0, 0)
        self._judge()

    def _said(self, text: str) -> None:
        """Show a sentence, below what the job warned of."""
        lines = [self.marked("warning", warning) for warning in self._warnings[-SHOWN:]]
        self.message.setText("<br>".join([*lines, text] if text else lines))
        self.message.setToolTip("\n".join(self._warnings))

    def _failed(self, text: str) -> None:
        if not self.runner.busy:
            self._ready()
        self.message.setText(self.marked("error", text))
        self.warn_failed(text)

    def _recolour(self, event: Any = None) -> None:
        super()._recolour(event)
        before, self._text_colour = self._text_colour, theme_colours(self.viewer)["text"]
        self.message.setText(self.message.text().replace(before, self._text_colour))  # of a link

    def end(self) -> None:
        """The panel is closing."""
        if not self._ended:
            work, self._work = self._work, None
            keeps = work is not None and (work.run is None or self.outcome.results.stores.filling)
            self.runner.close(PATIENCE if keeps else BRIEFLY)
            super().end()
            self.request.end()
            self.outcome.end()
            if work is not None:
                discard(work.folder, wait=True)


def _of_objects(model: Model) -> bool:
    """Whether a model gives classes to objects, for which it needs their labels, too."""
    return TASKS[model.card.task].layout(options_of(model.card)).side > 0
