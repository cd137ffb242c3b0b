"""The Classify panel: click some objects, see the class of all others, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QPushButton, QToolButton, QVBoxLayout, QWidget

from napari_dojo.errors import DojoError
from napari_dojo.jobs.autosave import Draft
from napari_dojo.objects.classes import Classes
from napari_dojo.widgets.classify.gallery import ORDERS, Gallery
from napari_dojo.widgets.classify.inputs import Inputs
from napari_dojo.widgets.classify.live import LiveClasses
from napari_dojo.widgets.classify.network import NetworkSection
from napari_dojo.widgets.classify.picking import Picking
from napari_dojo.widgets.classify.rows import ClassRows
from napari_dojo.widgets.classify.saving import SaveButton
from napari_dojo.widgets.classify.subject import UNSURE, Subject
from napari_dojo.widgets.classify.why import Confusion, Likeness
from napari_dojo.widgets.common.autosave import Autosave
from napari_dojo.widgets.common.camera import look_at
from napari_dojo.widgets.common.form import Fold, described, narrow, sentence
from napari_dojo.widgets.common.later import later
from napari_dojo.widgets.common.options import slider
from napari_dojo.widgets.common.panel import Panel
from napari_dojo.widgets.common.unfinished import Unfinished
from napari_dojo.widgets.common.words import counted

__all__ = ["ClassifyPanel"]

START = "Choose a class (keys 1 to 9) and click objects that belong to it; right-click takes it back."
MORE = "Now show an object of another class."
FLAT = "Objects are clicked in 2-D. Press Ctrl+Y to leave the 3-D view."


@dataclass(frozen=True, eq=False)
class _Pair:
    """The labels and their images, as `Autosave` keeps them."""

    images: tuple[Any, ...]
    target: Any
    region: Any = None
    role: str = "automatic"


class ClassifyPanel(Panel):
    """Give objects classes by clicking some of them.

    Parameters
    ----------
    napari_viewer : the viewer; given by napari.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self.live = LiveClasses(self.viewer, self)
        self._why_later = later(self, 0, self._show_why)
        self.picking = Picking(self.viewer, self)
        self.unfinished = Unfinished(self.viewer, "classes", runs=False)
        self.column.addWidget(self.unfinished)
        self._choose()
        self._classes()
        self._look()
        self.network = NetworkSection(self, self.live)
        self.column.addWidget(Fold("Network", self.network, "classify/network", is_open=True))
        self.column.addStretch(1)
        self.align()
        self.autosave = Autosave(self.viewer, self._state, self, "classes")
        self.autosave.adopt_left("classify")
        self._connect()
        self.refresh()
        self.unfinished.refresh()

    # what is shown

    def _choose(self) -> None:
        self.inputs = Inputs(self.viewer)
        self.column.addWidget(self.inputs)
        self.message = sentence(lines=3)
        self.message.setAccessibleName("What to do next")
        self.column.addWidget(self.message)

    def _classes(self) -> None:
        self.rows = ClassRows()
        self.column.addWidget(self.rows)
        self.unsure_button = QPushButton("? unsure")
        described(self.unsure_button, "Go to an unsure object", "Go to the next object whose class is unsure.")
        tip = "Objects whose class is less probable than this are unsure."
        self.threshold = slider("Unsure below", tip, 0.3, 0.99, 0.01)
        self.threshold.value = self.live.threshold
        line = QHBoxLayout()
        line.setSpacing(6)
        line.addWidget(self.unsure_button)
        line.addWidget(QLabel("below"))
        line.addWidget(self.threshold.native, 1)
        self.column.addLayout(line)
        self.score = sentence(lines=4)
        self.score.setAccessibleName("How good the classes are")
        self.column.addWidget(self.score)
        self.click_button, self.undo_button, self.redo_button = (QPushButton(t) for t in ("Click", "Undo", "Redo"))
        self.click_button.setCheckable(True)
        self.click_button.setChecked(True)
        described(self.click_button, "Click objects", "While it is pressed, clicks and the keys 1 to 9 give classes.")
        described(self.undo_button, "Undo", "Undo the last click, or the last change of the classes (Ctrl+Z).")
        described(self.redo_button, "Redo", "Do again what was undone (Ctrl+Shift+Z).")
        self.table_button = QPushButton("Table")
        described(self.table_button, "Table", "Show the objects and their classes as a table below the image.")
        self.save_button = SaveButton()
        for buttons in ((self.click_button, self.undo_button, self.redo_button), (self.table_button, self.save_button)):
            line = QHBoxLayout()
            line.setSpacing(4)
            for button in buttons:
                line.addWidget(button)
            self.column.addLayout(line)

    def _look(self) -> None:
        self.gallery = Gallery()
        self.order_box = QComboBox()
        described(self.order_box, "Sorted by", "The order of the pictures.")
        narrow(self.order_box)
        for words, tip, order in ORDERS:
            self.order_box.addItem(words, order)
            self.order_box.setItemData(self.order_box.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        self.sort_button = QToolButton()
        self.sort_button.setText("↻")
        described(self.sort_button, "Sort again", "Sort by what is known now; the order stays while you click.")
        line = QHBoxLayout()
        line.setSpacing(4)
        line.addWidget(QLabel("by"))
        line.addWidget(self.order_box, 1)
        line.addWidget(self.sort_button)
        self.only = QPushButton()
        described(self.only, "Show all objects", "The gallery shows some objects only. Click: show all.")
        self.only.setVisible(False)
        body = QWidget()
        column = QVBoxLayout(body)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(3)
        column.addLayout(line)
        column.addWidget(self.only)
        column.addWidget(self.gallery)
        self.gallery_fold = Fold("Gallery", body, "classify/gallery", is_open=True)
        self.column.addWidget(self.gallery_fold)
        self.confusion, self.likeness = Confusion(), Likeness(self.viewer)
        self.confusion_note = sentence("Confusion matrix: show at least 3 objects of each of two classes.")
        why = QWidget()
        column = QVBoxLayout(why)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(3)
        for widget in (self.confusion_note, self.confusion, self.likeness):
            column.addWidget(widget)
        self.why_fold = Fold("Why", why, "classify/why")
        self.column.addWidget(self.why_fold)

    def _connect(self) -> None:
        self.inputs.changed.connect(self._subject_changed)
        self.watch.changed.connect(self.refresh)
        live, rows = self.live, self.rows
        live.measuring.connect(self._measuring)
        live.ready.connect(self._ready)
        live.shown.connect(self._shown)
        live.predicted.connect(self._predicted)
        live.failed.connect(self._failed)
        self.picking.clicked.connect(self._clicked)
        self.picking.key.connect(self._key)
        self.picking.undo.connect(live.undo)
        self.picking.redo.connect(live.redo)
        rows.renamed.connect(lambda k, name: live.step(live.classes.rename(k, name)))
        rows.removed.connect(lambda k: live.step(live.classes.remove(k)))
        rows.added.connect(self._add_class)
        rows.dropped.connect(self._give)
        self.undo_button.clicked.connect(lambda *_: live.undo())
        self.redo_button.clicked.connect(lambda *_: live.redo())
        self.click_button.toggled.connect(self.picking.turn)
        self.unsure_button.clicked.connect(lambda *_: self._next_unsure())
        self.threshold.changed.connect(live.set_threshold)
        self.gallery.visited.connect(self._visit)
        self.gallery.given.connect(self._give)
        self.order_box.activated.connect(lambda *_: self.gallery.sort(self.order_box.currentData()))
        self.sort_button.clicked.connect(lambda *_: self.gallery.sort())
        self.only.clicked.connect(lambda *_: self._show_only(None, ""))
        self.confusion.picked.connect(self._show_confused)
        self.likeness.picked.connect(self._visit)
        self.why_fold.button.toggled.connect(lambda *_: self._show_why())
        self.table_button.clicked.connect(lambda *_: self._open_table())
        self.save_button.failed.connect(self.warn)
        self.save_button.saved.connect(self._say)
        self.autosave.failed.connect(self.warn)
        self.network.changed.connect(self._lead)
        self.unfinished.draft_wanted.connect(self._restore)
        self.unfinished.changed.connect(self._lead)

    # layers

    def refresh(self) -> None:
        """Follow the viewer's layers; what was chosen stays."""
        self.inputs.refresh()

    def choose(self, layer: Any, *images: Any) -> None:
        """Classify the objects of a Labels or Points layer, in these images."""
        self.inputs.choose(layer, images)

    def _subject_changed(self) -> None:
        subject = self.inputs.subject
        old = self.live.subject
        if subject is not None and old is not None and _same(subject, old):
            return
        if subject is None and old is None:
            self._say_state()
            return
        self._take(subject)

    def _take(self, subject: Subject | None, classes: Classes | None = None) -> None:
        self.gallery.take(None)
        self.likeness.show_objects(None, None)
        self.confusion.show_prediction(None)
        self._show_only(None, "")
        self.live.take(subject, classes)
        self.picking.turn(subject is not None and self.click_button.isChecked())
        self.autosave.follow()
        self._say_state()

    # what happens

    def _measuring(self) -> None:
        self._say_state("Measuring the objects ...")

    def _ready(self) -> None:
        self.gallery.take(self.live.measured)
        self.network.fill()
        self._show_why()
        self._say_state()

    def _shown(self) -> None:
        """Other objects were shown, or other classes are there."""
        self.rows.show_classes(self.live.classes)
        if self.live.subject is not None and self.live.classes.shown:
            self.autosave.touch(self.live.subject.layer)
        self._say_state()

    def _predicted(self) -> None:
        seen = self.live.seen
        if seen is None:
            return
        if seen.prediction is not None:
            self.rows.show_counts(seen.prediction.counts(self.live.threshold))
        self.gallery.show_seen(seen)
        if seen.final:
            self._why_later.start()  # after the window has painted the classes
        self._say_state()

    def _failed(self, text: str) -> None:
        self.message.setText(self.marked("error", text))

    def _say(self, text: str) -> None:
        self.message.setText(text)
        self.viewer.status = text

    def _say_state(self, text: str = "") -> None:
        """What to do next, and what may be pressed."""
        live = self.live
        objects, shown = live.objects, len(set(live.classes.shown.values()))
        if live.subject is None:
            self.message.setText(self.marked("error", self.inputs.why))
        elif objects is None or text:
            self.message.setText(text or "Measuring the objects ...")
        elif not len(objects):
            self.message.setText(
                self.marked("error", f"{live.subject.layer.name} holds no objects. Paint some, or apply a model.")
            )
        else:
            self.message.setText(f"{counted(len(objects), 'object')}. {(START, MORE, START)[min(shown, 2)]}")
        unsure = 0 if live.seen is None else int((live.seen.numbers == UNSURE).sum())
        self.unsure_button.setText(
            f"? unsure {unsure:,} ▸" if live.seen is not None and live.seen.prediction else "? unsure"
        )
        self.unsure_button.setEnabled(unsure > 0)
        self.undo_button.setEnabled(live.history.can_undo)
        self.redo_button.setEnabled(live.history.can_redo)
        done = live.seen is not None
        for button in (self.table_button, self.save_button):
            button.setEnabled(done)
        self.save_button.take(live.seen)
        self.network.refresh()
        self._say_score()
        self._lead()

    def _say_score(self) -> None:
        """How good the classes are, beside what guessing reaches."""
        prediction = self.live.seen.prediction if self.live.seen is not None else None
        counts = None if prediction is None else prediction.confusion
        if prediction is None or counts is None:
            need = "Accuracy is shown once two classes have 3 examples each."
            self.score.setText(need if self.live.objects is not None else "")
            return
        right, n = int(np.trace(counts)), int(counts.sum())
        guess = int(counts.sum(axis=1).max())
        self.score.setText(
            f"In cross-validation {right} of {n} shown objects get their class ({right / n:.0%}); "
            f"always the most frequent class: {guess} ({guess / n:.0%})."
        )
        self.score.setToolTip(
            "Each shown object is classified by a head that was trained on the others (5 folds). Objects you chose to "
            "click may be easier or harder than the rest."
        )

    def _lead(self) -> None:
        """The one button that is the natural next step."""
        if self.unfinished.draft is not None:
            self.lead(self.unfinished.draft_line.findChildren(QPushButton)[0])
        else:
            self.lead(self.unsure_button if self.unsure_button.isEnabled() else None)

    # objects and classes

    def _clicked(self, world: Sequence[float], button: int) -> None:
        """An object was clicked: it gets the class, or gives it back."""
        live = self.live
        if live.subject is None or live.measured is None:
            return
        if self.viewer.dims.ndisplay == 3:
            self._say(FLAT)
            return
        place = live.subject.place_at(world)
        if place is None:
            return
        sample, at = place
        label = int(np.asarray(live.subject.axes.without_channels().sample(live.measured.labels, sample)[0][at]))
        key = (sample, label)
        if label <= 0:
            return
        if key not in live.measured.objects.rows:
            self._say(f"Object {label} is new: it is being measured. Click it again in a moment.")
            return
        if button == 2:
            live.give([key], None)
        else:
            again = live.classes.shown.get(key) == self.rows.current
            live.give([key], None if again else self.rows.current)
        row = live.measured.objects.rows[key]
        live.look_at(None)
        self.gallery.choose(row)
        self.likeness.look_at(row)

    def _key(self, k: int) -> None:
        """A key chooses a class; an object that was gone to gets it."""
        if k > len(self.live.classes.names):
            return
        self.rows.choose(k - 1)
        if self.live.here is not None:
            self._give([self.live.here], k - 1)

    def _give(self, rows: Sequence[int], k: int) -> None:
        """Show these objects for a class."""
        objects = self.live.objects
        if objects is not None and k < len(self.live.classes.names):
            self.live.give([objects.key(r) for r in rows if r < len(objects)], k)

    def _add_class(self) -> None:
        self.live.step(self.live.classes.add())
        self.rows.choose(len(self.live.classes.names) - 1)

    def _visit(self, row: int) -> None:
        """Bring an object into the middle of the view."""
        live, objects = self.live, self.live.objects
        if live.subject is None or objects is None or row >= len(objects):
            return
        sample, label = objects.key(row)
        carrier = live.layer if live.layer is not None else live.subject.images[0]
        sides = (objects.stop - objects.start)[:, -2:].max(axis=1)
        wide = float(max(sides[row], np.median(sides))) * abs(float(carrier.scale[-1]))
        look_at(self.viewer, live.subject.world_of(sample, objects.centre[row]), wide)
        live.look_at(row)
        self.gallery.choose(row)
        self.likeness.look_at(row)
        self._say(f"Object {label}. Keys 1 to {len(live.classes.names)} give it a class.")

    def _next_unsure(self) -> None:
        """Go to the unsure object whose class is least certain, then to the next."""
        seen = self.live.seen
        if seen is None or seen.prediction is None:
            return
        rows = np.flatnonzero(seen.numbers == UNSURE)
        if not len(rows):
            return
        rows = rows[np.argsort(seen.prediction.certainty[rows], kind="stable")]
        here = np.flatnonzero(rows == self.live.here)
        self._visit(int(rows[(int(here[0]) + 1) % len(rows)] if len(here) else rows[0]))

    # gallery and why

    def _show_only(self, rows: Any, words: str) -> None:
        self.only.setText(words)
        self.only.setVisible(rows is not None)
        self.gallery.show_only(rows)

    def _show_confused(self, true: int, predicted: int) -> None:
        prediction = self.live.seen.prediction if self.live.seen is not None else None
        if prediction is None:
            return
        rows, names = prediction.confused(true, predicted), prediction.examples.names
        if len(rows):
            self.gallery_fold.button.setChecked(True)
            as_what = "as it" if true == predicted else f"as {names[predicted]}"
            self._show_only(rows, f"{len(rows)} {names[true]}, predicted {as_what}: show all  ×")
            self._visit(int(rows[0]))

    def _show_why(self) -> None:
        if not self.why_fold.button.isChecked():
            return
        seen = self.live.seen
        prediction = None if seen is None else seen.prediction
        self.confusion.show_prediction(prediction)
        self.confusion_note.setVisible(prediction is None or prediction.confusion is None)
        self.likeness.show_objects(self.live.measured, seen)
        self.likeness.look_at(self.live.here)

    def _open_table(self) -> None:
        from napari_dojo.widgets.common.table import open_table

        if self.live.subject is not None:
            self.live.write()
            open_table(self.viewer, [self.live.subject.layer])

    # what is kept

    def _state(self) -> tuple[list[_Pair], dict[str, Any]]:
        """What an autosave keeps."""
        choices = {"task": "instances", "classes": self.live.classes.plain()}
        subject = self.live.subject
        if subject is None or subject.layer._type_string != "labels":
            return [], choices
        return [_Pair(subject.images, subject.layer)], choices

    def _restore(self, draft: Draft) -> None:
        """Bring back what was shown in an earlier session."""
        try:
            back = self.autosave.restore(draft)
        except DojoError as error:
            self.warn(str(error))
            return
        self.refresh()
        row = next((r for r in back.rows if r[1] is not None and r[1]._type_string == "labels"), None)
        if row is not None:
            images, labels, *_ = row
            self.inputs.blockSignals(True)
            self.inputs.choose(labels, images)
            self.inputs.blockSignals(False)
            kept = back.choices.get("classes")
            self._take(self.inputs.subject, Classes.from_plain(kept) if kept else None)
        if back.sentence:
            self.warn(back.sentence)

    def end(self) -> None:
        """The panel is closing; the layers stay."""
        if not self._ended:
            self.picking.turn(False)
            self._why_later.stop()
            self.live.write()
            self.autosave.leave("classify")  # before the classes are let go: they are kept, too
            self.live.close()
            self.unfinished.end()
            self.likeness.end()
            self.network.end()
        super().end()


def _same(a: Subject, b: Subject) -> bool:
    """Whether two subjects are of the same layers, read in the same way, of the same size."""
    return a.layer is b.layer and a.images == b.images and a.axes == b.axes and a.shape == b.shape
