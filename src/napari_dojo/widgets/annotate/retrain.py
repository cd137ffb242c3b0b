"""The section "Retrain" of the Annotate panel: the full model from all that is accepted, and what it fixed and broke."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QDoubleSpinBox,
    QHBoxLayout,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_dojo.data.normalize import is_blank
from napari_dojo.errors import DojoError
from napari_dojo.events import Event, Message, Progress, Started, Step
from napari_dojo.metrics.corrections import Changed
from napari_dojo.models.card import read_card
from napari_dojo.models.library import Model, find
from napari_dojo.tasks import TASKS
from napari_dojo.training.start import AUTO, NONE
from napari_dojo.widgets.annotate.annotated import KINDS, Annotated, annotated
from napari_dojo.widgets.annotate.editing import Editing
from napari_dojo.widgets.annotate.retraining import Outcome, Retraining, Wish
from napari_dojo.widgets.common.accepted import accepted_places, add_accepted
from napari_dojo.widgets.common.camera import look_at
from napari_dojo.widgets.common.form import (
    NameBox,
    brief,
    calm,
    described,
    form_layout,
    job_strip,
    narrow,
    sentence,
    side_by_side,
)
from napari_dojo.widgets.common.kinds import look_of
from napari_dojo.widgets.common.latest import Latest
from napari_dojo.widgets.common.layers import add_quietly, array_of, placement, provenance
from napari_dojo.widgets.common.panel import marked
from napari_dojo.widgets.common.provenance import made, made_from
from napari_dojo.widgets.common.run import share_done, time_left
from napari_dojo.widgets.common.starts import is_there, start_lost, starts_for_layer

__all__ = ["RetrainSection"]

TIP = (
    "Train a model on all that is accepted in the open images, and apply it to this image. It is trained from the base "
    "model, not from the last retraining, so that mistakes do not add up."
)
NONE_FOUND = "It found nothing in this image: train longer, or annotate more."
NO_IMAGE = "Choose the image that the labels belong to: the model is trained on it."
NO_LABELS = "Make labels first (+ new), and paint: the model is trained on them."
BLANK = "This image shows nothing: its pixels have a single value, or none. Choose another image."
NOTHING = "Paint or accept objects first: the model is trained on them."


class RetrainSection(QWidget):
    """The full model. ``made`` : a layer with its prediction is there; ``said``, ``failed`` : sentences; ``changed`` : it may lead.

    Attributes
    ----------
    model : the panel's model: the last one that was taken; None: none yet.
    outcome : of the last retraining; None where its model was not refused, or another one began.
    """

    made = Signal(object)
    said = Signal(str)
    failed = Signal(str)
    changed = Signal()

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self._editing: Editing | None = None
        self._ready = True
        self._minutes_by_hand = False
        self._start_by_hand: str | None = None  # what a person chose
        self._lost = ""  # what to say of it where it is no longer there
        self._base_before = AUTO  # what was chosen by itself
        self._minutes: float | None = None  # of the training that runs
        self._why = ""  # stands in the message: why the button is disabled
        self.settings: dict[str, Any] = {}  # more settings of the training
        self.model: Model | None = None
        self.outcome: Outcome | None = None
        self._blank = False  # the image shows nothing
        self._looked_at: Any = None  # the data of which that is known, or asked
        self._looking = Latest(self)
        self._looking.told.connect(self._looked)
        self.retraining = Retraining(viewer, self)
        self.retraining.said.connect(self._progress)
        self.retraining.heard.connect(self._heard)
        self.retraining.ended.connect(self._ended)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addLayout(self._make_choices())
        self._make_strip(column)
        self._make_results(column)
        self._show()

    def _make_choices(self) -> Any:
        form = form_layout()
        self.start_box = NameBox()
        described(
            self.start_box,
            "Start from",
            "The base model of every retraining: where a model has predicted the labels, that one. Automatic: those that fit "
            "and nothing are compared on annotation that is held out for it, and the best is trained on all of it.",
        )
        narrow(self.start_box)
        self.start_box.activated.connect(self._start_chosen)
        self.minutes_box = QDoubleSpinBox()
        self.minutes_box.setRange(0.1, 600.0)
        self.minutes_box.setDecimals(1)
        self.minutes_box.setSuffix(" min")
        described(self.minutes_box, "Time", "How long the training takes.")
        calm(self.minutes_box)
        self.minutes_box.valueChanged.connect(self._minutes_chosen)
        form.addRow("Start from", self.start_box)
        form.addRow("Time", self.minutes_box)
        return form

    def _make_strip(self, column: QVBoxLayout) -> None:
        self.train_button, self.stop_button = QPushButton("Train the full model"), QPushButton("Stop and keep")
        described(self.train_button, "Train the full model", TIP)
        described(self.stop_button, "Stop and keep", "End now: the best model so far is kept and applied.")
        self.more_button = QPushButton("In Train ...")
        described(self.more_button, "Open in Train", "Open the Train panel with these labels: all options, and curves.")
        self.buttons, self.progress, self.message = job_strip(
            side_by_side(self.train_button, self.more_button, stretch=2), self.stop_button, "How far the retraining is."
        )
        self.message.setAccessibleName("What the retraining did")
        self.progress.setRange(0, 1000)
        for widget in (self.buttons, self.progress, self.message):
            column.addWidget(widget)
        self.train_button.clicked.connect(self.start)
        self.stop_button.clicked.connect(self._stop)

    def _make_results(self, column: QVBoxLayout) -> None:
        self.checked = sentence(lines=1)
        self.checked.setAccessibleName("What it fixed and broke")
        self.lists = QWidget()
        row = QHBoxLayout(self.lists)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        self.fixed_list, self.broken_list = NameBox(), NameBox()
        for found, name, tip in (
            (self.fixed_list, "Fixed", "Wrong with the old model, right with the new one. Choose one: go there."),
            (self.broken_list, "Broke", "Right with the old model, wrong with the new one. Choose one: go there."),
        ):
            described(found, name, tip)
            found.activated.connect(lambda _=0, box=found: self._go(box))
            row.addWidget(found, 1)
        self.old_test = sentence(lines=1)
        self.old_test.setAccessibleName("The base model's test images")
        self.take_button = QPushButton("Take it anyway")
        described(self.take_button, "Take it anyway", "Make the new model the panel's model, and show its prediction.")
        self.take_button.clicked.connect(self._take_refused)
        for widget in (self.checked, self.lists, self.old_test, self.take_button):
            column.addWidget(widget)

    # what it works on

    def use(self, editing: Editing | None) -> None:
        """Retrain on these labels; None: on nothing."""
        if editing is not self._editing:
            self._ready = True
            if not self.busy and (editing is None or self._speaks_of_others(editing.labels)):
                self._forget()
                self.message.setText("")
        self._editing = editing
        kind = KINDS[self._kind]
        if not self._minutes_by_hand:
            self.minutes_box.blockSignals(True)
            self.minutes_box.setValue(kind.minutes)
            self.minutes_box.blockSignals(False)
        start = self._start_by_hand or self.start_box.currentData()
        if start is not None and not is_there(start):
            self._lost, self._start_by_hand = start_lost(start), None
            self.message.setText("")  # it says this
        chosen = self._start_wanted()
        self.start_box.clear()
        self.start_box.addItem("automatic", AUTO)
        image = None if editing is None else editing.image
        for model in [] if image is None else starts_for_layer(TASKS[kind.task], image):
            if not model.card.data.get("corrections"):
                self.start_box.addItem(model.name, str(model.path))
        self.start_box.addItem("nothing", NONE)
        self.start_box.setCurrentIndex(max(0, self.start_box.findData(chosen)))
        self._look_at(image)
        self._show()

    def _look_at(self, image: Any) -> None:
        """Find out, in a thread, whether the image shows anything; one on the disk is taken to."""
        data = None if image is None else image.data
        if data is self._looked_at:
            return
        self._looked_at, self._blank = data, False
        self._looking.forget()
        if image is not None and type(array_of(image)) is np.ndarray:
            self._looking.ask(is_blank, array_of(image))

    def _looked(self, found: Any) -> None:
        self._blank = found is True
        self._show()

    def _start_wanted(self) -> Any:
        """What was chosen; where nobody chose, the base model of the prediction that is corrected."""
        chosen, before = self.start_box.currentData(), self._base_before
        if self._start_by_hand is not None:
            return self._start_by_hand
        self._base_before = self._base()
        return chosen if self._base_before == AUTO and chosen != before else self._base_before

    def _base(self) -> str:
        """What corrections of a prediction are trained from: its model, or the one that this was retrained from."""
        model = self._panel_model()
        if model is None or not model.card.data.get("corrections"):
            return AUTO if model is None else str(model.path)
        try:
            return str(find(model.card.parent)) if model.card.parent else AUTO
        except DojoError:
            return AUTO

    def _speaks_of_others(self, labels: Any) -> bool:
        """Whether a retraining is spoken of that has nothing to do with these labels."""
        path = made(labels.metadata).get("path")
        known = self.outcome
        ours = known is not None and (path == str(known.model.path) or labels is known.annotated.rows[0].target)
        return bool(self.message.text()) and not ours

    def allow(self, ready: bool) -> None:
        """Whether enough is annotated."""
        self._ready = ready
        self._show()

    @property
    def busy(self) -> bool:
        """Whether a retraining is under way."""
        return self.retraining.busy

    @property
    def _kind(self) -> str:
        return "" if self._editing is None else self._editing.strokes

    @property
    def why_not(self) -> str:
        """Why it cannot be started; empty where it can."""
        if self._editing is None:
            return NO_LABELS
        if self._editing.image is None:
            return NO_IMAGE
        if self._blank:
            return BLANK
        return "" if self._ready else NOTHING

    def _annotated(self) -> Annotated | None:
        editing = self._editing
        return None if editing is None else annotated(self._viewer, editing.labels, editing.image)

    def _panel_model(self) -> Model | None:
        """The model that a new one has to beat: that of the prediction that is corrected, else the last one taken."""
        path = made(self._editing.labels.metadata).get("path") if self._editing is not None else None
        if path and Path(str(path)).exists():
            try:
                return Model(Path(str(path)).stem, Path(str(path)), read_card(Path(str(path))), "own")
            except DojoError:
                return None
        fits = self.model is not None and self.model.card.task == KINDS[self._kind].task and self.model.path.exists()
        return self.model if fits else None

    # the retraining

    def start(self) -> None:
        """Train on all that is annotated."""
        if self.busy or self.why_not:
            return
        chosen = self.start_box.currentData()
        self.use(self._editing)
        if self.start_box.currentData() != chosen:  # a model was deleted meanwhile, and no other is used at this press
            if not self._lost:
                now = self.start_box.currentText()
                self.message.setText(escape(f"The model of the prediction is no longer there. Start from: {now}."))
            return
        found = self._annotated()
        if found is None:
            self.failed.emit(NO_IMAGE)
            return
        self._forget()
        self._lost = ""
        wish = Wish(self.minutes_box.value(), str(self.start_box.currentData()), self.settings)
        self._told: list[str] = []
        self.retraining.start(found, self._panel_model(), wish)
        count = len(found.rows)
        images = f"{count} images" if count > 1 else brief(found.rows[0].name)
        self.message.setText(escape(f"Training on what is annotated in {images}."))
        self._show()

    def _stop(self) -> None:
        self.stop_button.setEnabled(False)
        self.progress.setFormat("Stopping ...")
        self.retraining.stop()

    def _progress(self, text: str, share: float) -> None:
        self.progress.tell(round(1000 * share), 1000, text)

    def _heard(self, event: Event) -> None:
        """An event of the training."""
        if isinstance(event, Progress):
            self._progress("Comparing starts ...", event.done / max(1, event.total))
        elif isinstance(event, Started):
            self.message.setText(escape(str(event.plan.get("start") or event.plan.get("sentence") or "")))
            self._minutes = event.plan.get("minutes")
        elif isinstance(event, Step) and event.seconds_left is not None:
            self._progress(time_left(event.seconds_left), share_done(event, self._minutes))
        elif isinstance(event, Message) and event.level == "warning":
            self.message.setText(marked(self._viewer, "warning", event.text))

    def _ended(self, what: Outcome | str) -> None:
        self.progress.setFormat("")
        self.progress.setValue(0)
        self.stop_button.setEnabled(True)
        if isinstance(what, str):
            self.message.setText(marked(self._viewer, "error", what))
            self.failed.emit(what)
        else:
            self.outcome = what
            self._show_results(what)
            if not what.lost:
                self._take(what)
            else:
                self._refuse(what)
        self._show()

    def _show_results(self, outcome: Outcome) -> None:
        tested, counts = outcome.tested, outcome.tested.all
        unit = outcome.annotated.how.unit
        if not tested.compared:
            right = f"{counts.after:,} of {counts.objects:,} {unit}s are right."
            self.checked.setText(right)
        else:
            self.checked.setText(counts.counted(f"{unit}s") if outcome.annotated.kind else counts.sentence)
        for box, word, found in (
            (self.fixed_list, "fixed", tested.fixed),
            (self.broken_list, "broke", tested.broken),
        ):
            box.clear()
            for row, change in found:
                box.addItem(_words(change), (row, change.place))
                box.setItemData(box.count() - 1, outcome.annotated.rows[row].name, Qt.ItemDataRole.ToolTipRole)
            box.setPlaceholderText(f"{word} {len(found):,}")
            box.setCurrentIndex(-1)
            box.setEnabled(bool(found))
        old = outcome.facts.get("old_test") or {}
        self.old_test.setText(escape(old.get("sentence", "")))

    def _take(self, outcome: Outcome) -> None:
        """The new model becomes the panel's, and its prediction a layer."""
        self.model, self.outcome = outcome.model, outcome
        said = [f"Saved as {brief(outcome.model.name)}, and applied.", str(outcome.facts.get("start") or "")]
        if outcome.annotated.kind:
            said.insert(1, "To correct it, choose it under Labels.")
        if np.any(outcome.labels):
            self.message.setText(escape(" ".join(filter(None, said))))
        else:
            said[1] = NONE_FOUND
            self.message.setText(marked(self._viewer, "warning", " ".join(filter(None, said))))
        self.made.emit(self._add_result(outcome))

    def _refuse(self, outcome: Outcome) -> None:
        """The old model stays the panel's."""
        counts = outcome.tested.all
        old = brief(outcome.old.name) if outcome.old is not None else "the old one"
        text = (
            f"The new model broke {len(counts.broken):,} and fixed {len(counts.fixed):,} of what is accepted, so {old} stays. "
            "Accept or correct more, or train longer."
        )
        self.message.setText(marked(self._viewer, "warning", text))

    def _take_refused(self) -> None:
        if self.outcome is not None:
            self._take(self.outcome)
            self._show()

    def _add_result(self, outcome: Outcome) -> Any:
        """A layer with the prediction over the first image; accepted places come along."""
        row, card = outcome.annotated.rows[0], outcome.model.card
        labels = row.target
        axes = outcome.annotated.axes.replace("C", "")
        facts = {"model": outcome.model.name, "path": str(outcome.model.path), "task": card.task}
        about = provenance("result", row.images[0], **facts, axes=axes, spatial=card.spatial)
        place = placement(labels, range(labels.ndim))
        name = outcome.model.name if outcome.model.name.startswith(row.name) else f"{row.name} {outcome.model.name}"
        if outcome.annotated.kind:  # strokes stay; of predictions one can be seen at a time
            self._hide_older(row.images[0])
        layer = add_quietly(self._viewer, outcome.labels, name, metadata=about, **place, **look_of(card).dress(card))
        if not outcome.annotated.kind:
            accepted = accepted_places(self._viewer.layers, labels)
            if accepted is not None:
                add_accepted(self._viewer, layer).data = np.array(accepted.data)
                accepted.visible = False
            labels.visible = False
        return layer

    def _hide_older(self, image: Any) -> None:
        """Hide earlier predictions for an image, and what is accepted in them."""
        for layer in made_from(image, self._viewer.layers, "result"):
            if layer._type_string == "labels":
                accepted = accepted_places(self._viewer.layers, layer)
                for hidden in (layer, accepted):
                    if hidden is not None:
                        hidden.visible = False

    def _forget(self) -> None:
        """What the last retraining gave is of the past."""
        self.outcome = None
        for found in (self.fixed_list, self.broken_list):
            found.clear()
        for text in (self.checked, self.old_test):
            text.setText("")

    def _go(self, box: NameBox) -> None:
        """Show the object that was chosen in the middle."""
        if self.outcome is None or box.currentIndex() < 0:
            return
        row, place = box.currentData()
        labels = self.outcome.annotated.rows[row].target
        width = self._editing.tally.diameter if self._editing is not None else None
        look_at(self._viewer, labels.data_to_world(place), (width or 0) * abs(float(labels.scale[-1])))

    # how it looks

    def _start_chosen(self, *_: Any) -> None:
        self._start_by_hand, self._lost = str(self.start_box.currentData()), ""
        self._show()

    def _minutes_chosen(self, *_: Any) -> None:
        self._minutes_by_hand = True

    def _show(self) -> None:
        why, busy = self.why_not, self.busy
        self.buttons.setCurrentIndex(int(busy))
        self.train_button.setEnabled(not why and not busy)
        self.train_button.setToolTip(why or TIP)
        if not busy and self.message.text() in ("", self._why):
            said = why or self._lost
            self._why = said if self._editing is not None else ""  # without labels the panel says more, above
            self.message.setText(self._why)
        for widget in (self.start_box, self.minutes_box):
            widget.setEnabled(not busy)
        outcome = self.outcome
        found = outcome is not None and outcome.tested.compared
        self.checked.setVisible(bool(self.checked.text()))
        self.lists.setVisible(found)
        self.old_test.setVisible(bool(self.old_test.text()))
        self.take_button.setVisible(outcome is not None and outcome.lost and self.model is not outcome.model)
        self.changed.emit()

    @property
    def next_button(self) -> QPushButton | None:
        """The button that is the natural next step, where it is one of these."""
        return None if self.busy or self.why_not else self.train_button

    def end(self) -> None:
        """The panel is closing; a training continues."""
        self.retraining.close()
        self._looking.forget()
        self._looked_at = None
        self._editing = self.outcome = None


def _words(change: Changed) -> str:
    return f"object {change.number}" if change.number else "background"
