"""The upper part of the Apply panel: which model, on which images, and what is done with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QButtonGroup,
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QRadioButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_dojo.data.axes import Axes
from napari_dojo.errors import DojoError
from napari_dojo.inference.geometry import expected_diameter, misfit
from napari_dojo.inference.linking import linked_axes
from napari_dojo.inference.tiff_sink import further_files
from napari_dojo.jobs.runs import run_folder
from napari_dojo.models.card import Card, settings_of
from napari_dojo.models.library import Model
from napari_dojo.settings import PredictSettings, fields_of
from napari_dojo.tasks import TASKS
from napari_dojo.widgets.apply.channels import ChannelRows, beside
from napari_dojo.widgets.apply.diameter import DiameterRow
from napari_dojo.widgets.apply.folder_rows import FolderRows
from napari_dojo.widgets.apply.image_box import Group, ImageBox, Subject
from napari_dojo.widgets.apply.stores import store_for
from napari_dojo.widgets.common.form import described, form_layout, narrow, sentence, side_by_side
from napari_dojo.widgets.common.inputs import Asked, Run, axis_words, seen_box, write_request
from napari_dojo.widgets.common.layers import array_of, likely_axes
from napari_dojo.widgets.common.model_box import ModelBox, model_details, model_words
from napari_dojo.widgets.common.options import Form
from napari_dojo.widgets.common.panel import open_panel
from napari_dojo.widgets.common.pick import images_of
from napari_dojo.widgets.inside.panel import InsidePanel

__all__ = ["Request", "Work"]

HOW = ("diameter", "frames", "planes", "uncertainty")  # the settings that are shown, in this order
NO_CLASSES = "none"
CLASS_TIP = (
    "A model that gives each object a class, as a second layer and a column of the table. Models that classify objects come from "
    "the Classify panel."
)
INSIDE_TIP = "Open the Look inside panel with this model and this image: kernels, feature maps, receptive field."
NO_MODEL = "There is no model yet. Train one in the Train panel."


@dataclass(frozen=True, eq=False)
class Work:
    """A job to be started: ``make`` writes its request to ``folder``; ``run`` is None where it is for files."""

    make: Callable[[], Path]
    folder: Path
    run: Run | None
    count: int


class Request(QWidget):
    """What a model is asked for. ``changed`` says that something else is chosen, ``model_changed`` that the model is.

    ``said`` gives a sentence for the user, ``failed`` one that something did not work.

    Parameters
    ----------
    viewer : whose layers there are to choose from.
    marked : (level, text) -> a finding as rich text.
    """

    changed = Signal()
    model_changed = Signal()
    said = Signal(str)
    failed = Signal(str)

    def __init__(self, viewer: Any, marked: Callable[[str, str], str]) -> None:
        super().__init__()
        self._viewer, self._marked = viewer, marked
        self._models: Sequence[Model] = ()
        self._classifiers: Sequence[Model] = ()
        self._subject: Subject | None = None
        self._axes_by_hand = self._model_by_hand = False
        form = form_layout()
        self._choose_model(form)
        self._choose_images(form)
        self._choose_how(form)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(form)
        self.model_box.currentIndexChanged.connect(self._model_changed)
        self.model_box.activated.connect(self._model_chosen)
        self.image_box.currentIndexChanged.connect(self._image_changed)
        self.image_box.regrouped.connect(self.refresh)
        self.seen_button.toggled.connect(self._judge)
        self.third_box.activated.connect(self._axes_chosen)
        self.batch.changed.connect(self._image_changed)
        self.channels.changed.connect(self._judge)
        self.how.changed.connect(self._show_classes)
        self.class_box.currentIndexChanged.connect(self._show_further)
        self.diameter.said.connect(self.said)
        self.diameter.failed.connect(self.failed)

    # what is shown

    def _choose_model(self, form: QFormLayout) -> None:
        self.model_box = ModelBox()
        self.about = sentence(lines=3)
        self.about.setAccessibleName("About the model")
        self.inside_button = QPushButton("Inside")
        described(self.inside_button, "Look inside", INSIDE_TIP)
        self.inside_button.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.inside_button.clicked.connect(self.look_inside)
        row = side_by_side(self.model_box, self.inside_button)
        form.addRow("Model", row)
        form.addRow(self.model_box.note)
        form.addRow(self.about)

    def _choose_images(self, form: QFormLayout) -> None:
        tip = "The image to apply the model to, several, or a folder of files."
        self.image_box = ImageBox(self._viewer, "Image", tip)
        self.what = sentence()
        self.what.setAccessibleName("What is done with the image")
        self.third_box, self.third_label = QComboBox(), QLabel("Third axis")
        described(self.third_box, "Third axis", "What the axes before Y and X are.")
        narrow(self.third_box)
        self.batch = FolderRows()
        form.addRow("Image", self.image_box)
        form.addRow(self.what)
        form.addRow(self.third_label, self.third_box)
        self.channels = ChannelRows(self._viewer)
        form.addRow(self.channels)
        form.addRow(self.batch)

    def _choose_how(self, form: QFormLayout) -> None:
        self.whole_button, self.seen_button = QRadioButton("whole image"), QRadioButton("what I see")
        described(self.whole_button, "Whole image", "Predict the whole image.")
        tip = "Predict only the visible part, of a series this time point: fast, for tests."
        described(self.seen_button, "What I see", tip)
        self.whole_button.setChecked(True)
        self.where, self.where_label = QWidget(), QLabel("Where")
        row, group = QHBoxLayout(self.where), QButtonGroup(self)
        row.setContentsMargins(0, 0, 0, 0)
        for button in (self.whole_button, self.seen_button):
            group.addButton(button)
            row.addWidget(button)
        row.addStretch(1)
        self.diameter = DiameterRow()
        fields = {f.name: f for f in fields_of(PredictSettings)}
        self.how = Form([fields[name] for name in HOW], special={"diameter": self.diameter})
        self.class_box, self.class_label = ModelBox(none=NO_CLASSES), QLabel("Classes")
        described(self.class_box, "Classes", CLASS_TIP)
        form.addRow(self.where_label, self.where)
        form.addRow(self.how)
        form.addRow(self.class_label, self.class_box)
        form.addRow(self.class_box.note)

    # what is chosen

    @property
    def model(self) -> Model | None:
        """The chosen model."""
        return self.model_box.chosen

    @property
    def for_files(self) -> bool:
        """Whether a folder of files is chosen."""
        return self.image_box.group is Group.FOLDER

    @property
    def classifier(self) -> Model | None:
        """The model that gives objects their classes; None where there is none, or the chosen one does not fit."""
        chosen = None if self.class_box.isHidden() else self.class_box.chosen
        return None if chosen is None or self._why_no_classes(chosen.card) else chosen

    def set_models(self, models: Sequence[Model], classifiers: Sequence[Model] = ()) -> None:
        """List these models, and those that give classes to objects; what was chosen stays, and so does the diameter."""
        self._models, self._classifiers, before = models, classifiers, self.model
        self.model_box.fill(models, self._why_unfit)
        if before is None or self.model != before:
            self._model_changed()
        else:
            self._judge()

    def choose_model(self, path_or_name: str | Path | None) -> bool:
        """Choose a model by its folder or name; whether it is there."""
        there = self.model_box.choose(path_or_name)
        self._model_by_hand |= there
        self._model_changed()
        return there

    def refresh(self) -> None:
        """List the layers that there are now."""
        images = images_of(self._viewer.layers)
        active = self._viewer.layers.selection.active
        self.image_box.fill(images, active if any(active is x for x in images) else None)
        self._image_changed()

    def data_changed(self) -> None:
        """The first image may have got data of another size."""
        layer = None if self.for_files else self.image_box.layer
        if layer is not None and self._subject is not None and self._subject.shape != tuple(array_of(layer).shape):
            self._image_changed()

    def pixel_size(self) -> tuple[tuple[float, ...] | None, str | None]:
        """Of the first image, in the axes that the model works in, with its unit."""
        if self._subject is None or self.model is None or self._why_unfit(self.model.card):
            return None, None
        return self._subject.pixel_size(self.third_box.currentData(), self.model.card.spatial)

    def look_inside(self) -> InsidePanel:
        """Open the panel that shows what this model computes on the way, for this image."""
        panel: InsidePanel = open_panel(self._viewer, InsidePanel, "Look inside")
        panel.choose(self.model, self.image_box.layer)
        return panel

    def end(self) -> None:
        """The panel is closing."""
        self.diameter.end()
        self.image_box.end()
        self.batch.end()

    def _model_changed(self, *_: Any) -> None:
        model = self.model
        self.about.setText(model_words(model.card) if model else NO_MODEL)
        self.about.setToolTip(model_details(model.card) if model else "")
        self.inside_button.setEnabled(model is not None)
        self.how.show_row("uncertainty", "uncertainty" in self._meant)
        if model is not None:
            self.batch.set_model(model.name, TASKS[model.card.task].result)
        self._show_axes()
        self.model_changed.emit()
        self._judge()

    def _model_chosen(self, *_: Any) -> None:
        self._model_by_hand = True

    def _image_changed(self, *_: Any) -> None:
        opened = self.for_files and self.batch.isHidden()
        self.batch.setVisible(self.for_files)
        if opened:
            self.batch.look_again()
        for widget in (self.where, self.where_label):
            widget.setVisible(not self.for_files)
        before, self._subject = self._subject, self._look()
        if before is None or self._subject is None or before.key != self._subject.key:
            self._axes_by_hand = False
            self._show_axes()
        self.model_box.fill(self._models, self._why_unfit)
        if self.model is not None and not self._model_by_hand and self._why_unfit(self.model.card):
            self.model_box.setCurrentIndex(0)
        self._judge()

    def _look(self) -> Subject | None:
        """The first of the chosen images."""
        if self.for_files:
            return Subject.of_file(self.batch.looked.first) if self.batch.looked else None
        layer = self.image_box.layer
        return None if layer is None else Subject.of_layer(layer)

    def _show_axes(self) -> None:
        """Offer what the axes may be; unless a person chose, those that the image states, or the first that fit."""
        subject, model, chosen = self._subject, self.model, self.third_box.currentData()
        choices = subject.choices if subject else ()
        if not self._axes_by_hand and subject and model:
            fits = (names for names, _ in choices if not misfit(model.card, names, subject.shape))
            chosen = subject.stated or next(fits, choices[0][0])
        self.third_box.clear()
        for names, words in choices:
            self.third_box.addItem(words, names)
        self.third_box.setCurrentIndex(max(0, self.third_box.findData(chosen)))
        for widget in (self.third_box, self.third_label):
            widget.setVisible(len(choices) > 1)
        self._show_diameter()

    def _axes_chosen(self, *_: Any) -> None:
        self._axes_by_hand = True
        self._show_diameter()
        self.model_box.fill(self._models, self._why_unfit)
        self._judge()

    def _show_diameter(self) -> None:
        subject, model = self._subject, self.model
        expected = expected_diameter(model.card, self.pixel_size()[0]) if model else None
        self.how.show_row("diameter", expected is not None)
        known = subject is not None and model is not None and not self._why_unfit(model.card)
        names, spatial = self.third_box.currentData(), model.card.spatial if model else "YX"
        self.diameter.expect(expected, partial(subject.sample, names, spatial) if subject and known else None)

    def _show_frames(self) -> None:
        """Offer how frames are measured where the first image has several."""
        subject, card = self._subject, self.model.card if self.model else None
        count = 1
        if subject is not None and card is not None and not self._why_unfit(card):
            count = Axes(card.axes_for(self.third_box.currentData(), subject.shape), card.spatial).count(subject.shape)
        self.how.show_row("frames", count > 1 and "frames" in self._meant)
        self.how.show_automatic({"frames": card.rule.frames if card else None})
        linked = False
        if count > 1 and card is not None:
            axes = Axes(self.third_box.currentData(), card.spatial)
            linked = linked_axes(axes, TASKS[card.task].result, "link") != axes
        self.how.show_row("planes", linked)

    def _show_classes(self) -> None:
        """Offer models that give classes to objects where the model detects objects."""
        objects = self.model is not None and TASKS[self.model.card.task].result.objects
        if objects:
            self.class_box.fill(self._classifiers, self._why_no_classes)
        for widget in (self.class_box, self.class_label):
            widget.setVisible(objects and bool(self._classifiers))
        self.class_box.note.setVisible(objects and bool(self.class_box.lost))
        self._show_further()

    def _show_further(self, *_: Any) -> None:
        """Tell the rows of files what is written beside the predictions. They look for it, whether the classifier fits or not."""
        chosen = None if self.class_box.isHidden() else self.class_box.chosen
        also = further_files(self.model.card, self._settings) if self.model else ()
        self.batch.set_further(also, str(chosen.path) if chosen else "")

    def _why_no_classes(self, card: Card) -> str:
        """Why a model cannot give classes to the objects; empty where it can."""
        if self.model is None:
            return ""
        if card.spatial != self.model.card.spatial:
            return "It classifies objects in volumes." if card.spatial == "ZYX" else "It classifies objects in planes."
        if self.how.shown_values().get("planes") == "link":
            return "It classifies objects in planes: number them in each plane."
        return self._why_unfit(card)

    @property
    def _meant(self) -> set[str]:
        """The settings that mean something for the model."""
        return {field.name for field in settings_of(self.model.card)} if self.model else set()

    @property
    def _settings(self) -> PredictSettings:
        """How the model is applied."""
        return PredictSettings(**self.how.shown_values())

    # what will be done, or why not

    @property
    def waiting(self) -> bool:
        """Whether it is not known yet."""
        return self.for_files and self.batch.looking

    @property
    def why_not(self) -> str:
        """Why this cannot be done; empty where it can."""
        if self.model is None:
            return "Train a model first."
        if self.for_files:
            return self.batch.why_not or self._why_unfit(self.model.card)
        if self.image_box.layer is None:
            return "Open an image to apply the model to (File > Open, or File > Open Sample)."
        skipped = self._skipped(self.model.card)
        return next(iter(skipped.values())) if len(skipped) == len(self.image_box.layers) else ""

    def _why_unfit(self, card: Card) -> str:
        """Why a model cannot be applied to the first image; empty where it can, or there is none."""
        if self._subject is None:
            return ""
        shape, names, channels = self._subject.shape, self.third_box.currentData(), card.own_channels
        if not self._several and 1 < channels <= 1 + len(beside(self.image_box.layer, self._viewer.layers)):
            return min(misfit(card, names, shape), misfit(card, f"C{names}", (channels, *shape)), key=len)
        return misfit(card, names, shape)

    @property
    def _several(self) -> bool:
        """Whether several images are chosen, or files."""
        return self.image_box.group is not None

    def _names(self, layer: Any) -> str:
        """The axes of a layer: as chosen for the first, where they fit."""
        chosen, first = self.third_box.currentData(), self.image_box.layer
        fits = chosen is not None and array_of(layer).ndim == len(chosen) and layer.rgb == first.rgb
        return str(chosen) if fits else likely_axes(layer)

    def _skipped(self, card: Card) -> dict[str, str]:
        """The chosen layers that the model does not fit, and why."""
        if not self._several:
            why = self._why_unfit(card)
            return {x.name: why for x in self.image_box.layers if why}
        reasons = {x.name: misfit(card, self._names(x), array_of(x).shape) for x in self.image_box.layers}
        return {name: why for name, why in reasons.items() if why}

    def _judge(self, *_: Any) -> None:
        single = None if self._several else self.image_box.layer
        self.channels.show_for(self.model.card if self.model else None, single)
        self._show_frames()
        self._show_classes()
        self.what.setText("<br>".join(self._plan()))
        self.what.setVisible(bool(self.what.text()))
        self.changed.emit()

    def _plan(self) -> Iterator[str]:
        """What is done with the chosen images, as rich text."""
        subject, model, count = self._subject, self.model, len(self.image_box.layers)
        if subject is None or model is None:
            return
        if not self._why_unfit(model.card):
            seen = self.seen_button.isChecked() and not self.for_files
            words = axis_words(Axes(self.third_box.currentData(), model.card.spatial), subject.shape, seen)
            if words:
                yield escape(f"The first: {words}" if self.image_box.group else words[0].upper() + words[1:])
        skipped = self._skipped(model.card)
        if 0 < len(skipped) < count:
            name, why = next(iter(skipped.items()))
            what = "does not fit and is skipped" if len(skipped) == 1 else "do not fit and are skipped"
            text = f"{len(skipped)} of {count} images {what}. {name}: {why}"
            yield self._marked("warning", text)

    # the job

    def work(self, values: dict[str, Any]) -> Work:
        """What is chosen as a job, decoded with these values.

        Raises
        ------
        DojoError : where it cannot be done.
        """
        model = self.model
        if model is None or self.why_not:
            raise DojoError(self.why_not)
        return self._files_work(model, values) if self.for_files else self._layers_work(model, values)

    def _layers_work(self, model: Model, values: dict[str, Any]) -> Work:
        skipped, seen = self._skipped(model.card), self.seen_button.isChecked()
        asked: list[Asked] = []
        wrong: DojoError | None = None
        for layer in self.image_box.layers:
            if layer.name in skipped:
                continue
            names = self._names(layer)
            try:
                more = self.channels.layers
                taken = names if more else model.card.axes_for(names, array_of(layer).shape)
                box = seen_box(self._viewer, layer, Axes(taken, model.card.spatial)) if seen else None
                asked.append(Asked.of(layer, names, model.card, box, more))
            except DojoError as error:
                wrong = error
        if wrong is not None and not asked:
            raise wrong
        run = Run(model, tuple(asked), self._settings, values)
        folder = run_folder("apply")
        stores = [store_for(one, model.name) for one in asked]
        return Work(lambda: write_request(folder, run, stores), folder, run, len(asked))

    def _files_work(self, model: Model, values: dict[str, Any]) -> Work:
        from napari_dojo.jobs.image_requests import predict_files_request

        subject, names = self._subject, self.third_box.currentData()
        stated = subject is None or subject.stated == names or len(subject.choices) == 1
        sink, folder, settings, axes = self.batch.sink(), run_folder("apply"), self._settings, None if stated else names
        sink = replace(sink, then=str(self.classifier.path) if self.classifier else "", device=settings.device)
        return Work(
            lambda: predict_files_request(folder, model.path, sink, axes, settings, values),
            folder,
            None,
            len(sink.inputs),
        )
