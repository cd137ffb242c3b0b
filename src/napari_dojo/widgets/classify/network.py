"""A network that is trained on the objects that were shown, and what it is good for: a folder, and why an object has its class."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QDoubleSpinBox, QPushButton, QVBoxLayout, QWidget

from napari_dojo.data.axes import Axes
from napari_dojo.events import Done, Event, Failed, Message, Progress, Started, Step
from napari_dojo.inference.geometry import Image, misfit
from napari_dojo.io.images import Picture
from napari_dojo.io.selection import Selection
from napari_dojo.jobs.image_requests import objects_request
from napari_dojo.jobs.runs import run_folder
from napari_dojo.models.library import Model, models
from napari_dojo.paths import models_folder
from napari_dojo.recipes.recipe import Classify, Export, Measure, Predict, Recipe
from napari_dojo.tasks import TASKS
from napari_dojo.widgets.batch.panel import BatchPanel
from napari_dojo.widgets.classify.live import HERE, LiveClasses, class_layer
from napari_dojo.widgets.classify.shown import ShownObjects
from napari_dojo.widgets.classify.subject import UNSURE, MeasuredObjects, Subject, painted
from napari_dojo.widgets.common.background import discard
from napari_dojo.widgets.common.form import described, form_layout, job_strip, side_by_side
from napari_dojo.widgets.common.layers import add_quietly, finer_place, moved, provenance, result_placement
from napari_dojo.widgets.common.model_box import ModelBox
from napari_dojo.widgets.common.panel import Panel, open_panel
from napari_dojo.widgets.common.provenance import made
from napari_dojo.widgets.common.queue import Training, desk, free_name
from napari_dojo.widgets.common.run import BRIEFLY, Runner, share_done, time_left

__all__ = ["NetworkSection"]

TASK = "classify"
MINUTES = 3.0
TRAIN = (
    "Train a convolutional network on the objects you have shown. It sees the pixels, so it is better than the live classes "
    "where the difference is in fine detail, and it can be applied to other images. The live classes stay."
)
FOLDER = (
    "Open the Batch panel with a recipe: find the objects in each image, then give each its class with this network."
)
THESE = "Give all objects of this image their classes with the chosen network, as a new layer."
WHY = "A map over the selected object: hiding the bright parts makes its class less likely, hiding the dark ones more."
NO_OBJECT = "Select an object first: click its picture in the gallery."
NO_MODEL = "Train a CNN first."


class NetworkSection(QWidget):
    """Buttons to train a network and to use it. ``changed``: another button may be the next step.

    Parameters
    ----------
    panel : that holds it; ``live`` : the objects and their classes.
    """

    changed = Signal()

    def __init__(self, panel: Panel, live: LiveClasses) -> None:
        super().__init__()
        self._panel, self._live = panel, live
        self.training: Training | None = None
        self.runner = Runner(self)
        self.layer: Any = None  # why the last object has its class
        self._folder: Path | None = None
        self._asked: tuple[MeasuredObjects, int | None, Model] | None = None  # the row of an object, None: all
        self._told_of: Any = None  # the layer of the objects that the message is of
        self._make()
        self.train_button.clicked.connect(self.train)
        self.stop_button.clicked.connect(self._stop)
        self.folder_button.clicked.connect(self.to_folder)
        self.here_button.clicked.connect(self.classify)
        self.why_button.clicked.connect(self.explain)
        self.runner.said.connect(self._told)
        self.model_box.activated.connect(lambda *_: self.refresh())

    def _make(self) -> None:
        self.train_button, self.stop_button = QPushButton("Train a CNN"), QPushButton("Stop and keep")
        described(self.train_button, "Train a CNN", TRAIN)
        described(self.stop_button, "Stop and keep", "End the training, and keep the best network so far.")
        self.minutes = QDoubleSpinBox()
        described(self.minutes, "Minutes", "How long the training takes, from start to saved model.")
        self.minutes.setRange(0.5, 600.0)
        self.minutes.setDecimals(1)
        self.minutes.setSuffix(" min")
        self.minutes.setValue(MINUTES)
        start = side_by_side(self.train_button, self.minutes)
        self.buttons, self.progress, self.message = job_strip(start, self.stop_button, "How far the training is.")
        self.model_box = ModelBox()
        described(
            self.model_box, "Network", "The trained network that is applied: those that fit these images come first."
        )
        self.folder_button, self.why_button = QPushButton("Apply to a folder"), QPushButton("Why this class?")
        self.here_button = QPushButton("Apply to these objects")
        described(self.here_button, "Apply to these objects", THESE)
        described(self.folder_button, "Apply to a folder", FOLDER)
        described(self.why_button, "Why this class?", WHY)
        form = form_layout()
        form.addRow("Network", self.model_box)
        form.addRow(self.model_box.note)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(3)
        column.addWidget(self.buttons)
        column.addWidget(self.progress)
        column.addWidget(self.message)
        column.addLayout(form)
        column.addWidget(self.here_button)
        column.addWidget(side_by_side(self.folder_button, self.why_button))

    # what is there

    @property
    def busy(self) -> bool:
        """Whether a network is trained, or will be."""
        return self.training is not None and self.training.state != "over"

    def fill(self) -> None:
        """List the networks that there are, those that fit the images first."""
        subject = self._live.subject
        found = [m for m in models() if m.card.task == TASK and m.card.options.get("side")]
        self.model_box.fill(found, lambda card: "" if subject is None else _misfit(card, subject))
        self.refresh()

    def _still_there(self) -> Model | None:
        """The chosen network; None where it was deleted, which is said."""
        chosen = self.model_box.chosen
        self.fill()
        return chosen if self.model_box.holds(chosen) else None

    def showEvent(self, event: Any) -> None:  # noqa: N802
        """There may be new models."""
        super().showEvent(event)
        self.fill()

    def refresh(self) -> None:
        """Follow what was shown."""
        measured, subject = self._live.measured, self._live.subject
        if self._told_of is not None and (subject is None or subject.layer is not self._told_of):
            self._told_of = None
            self.message.setText("")
        why = "" if measured is None else ShownObjects(measured, self._live.classes).why_not
        self.train_button.setEnabled(measured is not None and not why and not self.busy)
        described(self.train_button, "Train a CNN", f"{TRAIN} {why}".strip())
        there = self.model_box.chosen is not None
        self.model_box.setEnabled(there)
        self.folder_button.setEnabled(there)
        for button in (self.here_button, self.why_button):
            button.setEnabled(there and measured is not None and not self.runner.busy)
        for button, tip in ((self.here_button, THESE), (self.folder_button, FOLDER), (self.why_button, WHY)):
            button.setToolTip(tip if there else f"{tip} {NO_MODEL}")

    # the training

    def train(self) -> None:
        """Train a network on what was shown until now."""
        measured = self._live.measured
        if measured is None or self.busy:
            return
        material = ShownObjects(measured, self._live.classes)
        name = free_name(f"{material.name}-classes")
        folder, model = run_folder(name), models_folder() / name
        minutes = round(self.minutes.value(), 1)
        options: dict[str, Any] = {}
        more = {"out": model, "name": name, "options": options, "settings": {"minutes": minutes}, "start": "none"}
        make = lambda: material.request(folder, TASKS[TASK], **more)  # noqa: E731
        self.show_training(Training(self._panel.viewer, folder, model, make, material, {"task": TASK, "name": name}))
        assert self.training is not None
        desk().add(self.training)

    def show_training(self, training: Training) -> None:
        """Show this one from now on."""
        self._leave()
        self.training = training
        training.said.connect(self._heard)
        training.watched = True
        self.buttons.setCurrentIndex(1)
        self.stop_button.setEnabled(True)
        self.progress.setRange(0, 1000)
        self.progress.setValue(0)
        self.progress.setFormat("Waiting ..." if desk().before(training) else "Starting ...")
        self.message.setText("")
        self.refresh()
        self.changed.emit()

    def _leave(self) -> None:
        if self.training is not None:
            self.training.said.disconnect(self._heard)
            self.training.watched = False
            self.training = None

    def _stop(self) -> None:
        self.stop_button.setEnabled(False)
        if self.training is not None:
            self.training.stop()

    def _heard(self, event: Event) -> None:
        if isinstance(event, Started):
            self.message.setText(escape(str(event.plan.get("split", ""))))
        elif isinstance(event, Step):
            left = event.seconds_left
            self.progress.tell(int(1000 * share_done(event)), 1000, "Training ..." if left is None else time_left(left))
        elif isinstance(event, Progress):
            self.progress.tell(int(1000 * event.done / max(1, event.total)), 1000, "Cross-validation ...")
        elif isinstance(event, Message):
            self.message.setText(escape(event.text))
        elif isinstance(event, (Done, Failed)):
            self._over(event)

    def _over(self, event: Done | Failed) -> None:
        self.buttons.setCurrentIndex(0)
        self.progress.setValue(1000 if isinstance(event, Done) else 0)
        self.progress.setFormat("Done" if isinstance(event, Done) else "")
        if isinstance(event, Failed):
            self.message.setText(self._panel.marked("error", event.sentence))
        else:
            source = str(event.facts.get("score_from", "validation")).capitalize()
            self.message.setText(escape(f"{Path(event.result).name}. {source}: {event.facts.get('sentence', '')}"))
        self.fill()
        if isinstance(event, Done):
            self.model_box.choose(event.result)
        self.changed.emit()

    # what it is good for

    def to_folder(self) -> Any:
        """Open the Batch panel with the pair of models: objects, then their classes."""
        chosen = self._still_there()
        if chosen is None:
            return None
        subject = self._live.subject
        first = _segmentation(subject)
        path = None if subject is None else subject.images[0].source.path
        files = Selection((str(Path(path).parent),)) if path else Selection(())
        steps = (*([Predict(first)] if first else []), Classify(chosen.name), Measure(), Export())
        panel = open_panel(self._panel.viewer, BatchPanel, "Batch")
        panel.show_recipe(Recipe(files, steps=steps))
        if not first:
            self.message.setText(
                self._panel.marked("warning", "No model for objects is there: add one in the Batch panel.")
            )
        return panel

    def classify(self) -> None:
        """Give all objects their classes by the network."""
        self._ask(None, "Classifying ...")

    def explain(self) -> None:
        """Ask the network why the selected object has its class."""
        if self._live.here is None:
            self.message.setText(NO_OBJECT)
        else:
            self._ask(self._live.here, "Hiding parts of the object ...")

    def _ask(self, row: int | None, text: str) -> None:
        measured, model = self._live.measured, self._still_there()
        if measured is None or model is None or self.runner.busy:
            return
        subject, labels = measured.subject, measured.labels
        key = None if row is None else measured.objects.key(row)
        folder = self._folder = run_folder("objects")
        self._asked = measured, row, model
        self.message.setText(text)
        image = Image(subject.layer.name, Picture(subject.image, None), subject.axes.names, labels=labels)
        self.runner.start(lambda: objects_request(folder, model.path, [image], key))
        self.refresh()

    def _told(self, event: Event) -> None:
        if not isinstance(event, Done | Failed) or self._folder is None or self._asked is None:
            return
        if isinstance(event, Failed):
            self.message.setText(self._panel.marked("error", event.sentence))
        else:
            measured, row, model = self._asked
            with np.load(self._folder / "classes-0.npz") as found:
                self._told_of = measured.subject.layer
                if row is None:
                    self._show_classes(dict(found), event.facts["classes"], measured, model)
                else:
                    self._show_why(dict(found), event.facts["classes"], measured, row, model)
        discard(self._folder)
        self._folder = self._asked = None
        self.refresh()

    def _show_classes(self, found: dict[str, Any], classes: list[str], measured: MeasuredObjects, model: Model) -> None:
        """A layer with the classes of all objects, and how many of each there are."""
        objects, p = measured.objects, found["probability"]
        if not np.array_equal(found["objects"], np.stack([objects.sample, objects.label], 1)):
            self.message.setText(self._panel.marked("error", "The objects have changed meanwhile. Try again."))
            return
        sure = p.max(1) >= self._live.threshold
        each = [k if k < UNSURE else k + 1 + HERE - UNSURE for k in range(1, 1 + len(classes))]
        numbers = np.where(sure, np.array(each)[p.argmax(1)], UNSURE)
        named = np.where(sure, np.array(classes, object)[p.argmax(1)], "unsure")
        subject = measured.subject
        features = {"index": [*each, UNSURE], "class": [*classes, "unsure"]}
        name = f"{subject.layer.name} classes ({model.name})"
        class_layer(self._panel.viewer, subject, painted(measured, numbers), name, features=features)
        listed = ", ".join(f"{n} {int((named == n).sum()):,}" for n in (*classes, "unsure") if (named == n).any())
        self.message.setText(escape(f"{model.name}: {listed}."))

    def _show_why(
        self, found: dict[str, Any], classes: list[str], measured: MeasuredObjects, row: int, model: Model
    ) -> None:
        """A layer over the object, and a sentence."""
        viewer, subject = self._panel.viewer, measured.subject
        best = int(found["probability"].argmax())
        said = f"{classes[best]} {found['probability'][best]:.0%}"
        sample, label = measured.objects.key(row)
        data, place = _over_object(found, subject, sample)
        high = float(np.abs(data).max()) or 1.0
        if self.layer is not None and self.layer in viewer.layers:
            viewer.layers.remove(self.layer)
        look = {"colormap": "PiYG", "contrast_limits": (-high, high), "opacity": 0.6, "blending": "translucent"}
        about = provenance("classes", subject.layer, model=model.name)
        name = f"why {said}: object {label} ({model.name})"
        self.layer = add_quietly(viewer, data, name, "image", metadata=about, **look, **place)
        self.message.setText(
            escape(
                f"Object {label}: {said} ({model.name}). Green: hiding this makes it less likely; pink: more likely."
            )
        )

    def end(self) -> None:
        """The panel is closing; a training continues."""
        self._leave()
        folder, self._folder = self._folder, None
        self.runner.close(BRIEFLY)
        if folder is not None:
            discard(folder, wait=True)


def _misfit(card: Any, subject: Subject) -> str:
    return misfit(card, subject.axes.names, subject.image.shape) or (
        ""
        if card.spatial == subject.axes.spatial
        else "It is for volumes."
        if card.spatial == "ZYX"
        else "It is for planes."
    )


def _segmentation(subject: Subject | None) -> str:
    """The model that found the objects; else the first one for objects that fits; empty where there is none."""
    maker = None if subject is None else made(subject.layer.metadata).get("model")
    there = [m for m in models() if TASKS[m.card.task].result.objects]
    known = [m.name for m in there if m.name == maker]
    fit = [m.name for m in there if subject is None or not _misfit(m.card, subject)]
    return next(iter((*known, *fit)), "")


def _over_object(found: dict[str, Any], subject: Subject, sample: int) -> tuple[Any, dict[str, Any]]:
    """A map of a crop as data and arguments of a layer over its object."""
    axes, shape = subject.axes, subject.shape
    ours = axes.without_channels()
    place = result_placement(subject.images[0], Axes(subject.own, axes.spatial))
    letters = [a for a in ours.names if a not in axes.spatial]
    where = np.unravel_index(sample, [shape[ours.names.index(a)] for a in letters]) if letters else ()
    at = dict(zip(letters, map(float, where), strict=True)) | dict(zip(axes.spatial, found["start"], strict=True))
    importance = found["importance"]
    wide = dict(zip(axes.spatial, found["stop"] - found["start"], strict=True))
    factors = [importance.shape[axes.spatial.index(a)] / wide[a] if a in wide else 1.0 for a in ours.names]
    data = importance.reshape([importance.shape[axes.spatial.index(a)] if a in wide else 1 for a in ours.names])
    return data, finer_place(moved(place, [at[a] for a in ours.names]), factors)
