"""The section "Enough?": what more annotation would bring, and how well a person agrees with what they annotated before."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from napari_dojo.data.edits import Box
from napari_dojo.errors import explained
from napari_dojo.events import Done, Event, Failed, Progress
from napari_dojo.metrics.classes import ClassCounts
from napari_dojo.metrics.learning_curve import Gain
from napari_dojo.metrics.objects import InstanceCounts
from napari_dojo.tasks import TASKS
from napari_dojo.widgets.annotate.annotated import annotated
from napari_dojo.widgets.annotate.editing import Editing, Sight
from napari_dojo.widgets.common.form import described, sentence
from napari_dojo.widgets.common.layers import add_quietly, moved, placement, provenance
from napari_dojo.widgets.common.numbering import STROKES, number_by_itself
from napari_dojo.widgets.common.run import BRIEFLY, Runner

__all__ = ["EnoughSection", "agreement"]

MINUTES = 2.0  # of all trainings together
EDGE = 256  # px of the part that is annotated again
GAIN = ("How much would more help?", "Stop")
AGAIN = ("Annotate a part again", "Compare")


class EnoughSection(QWidget):
    """What more annotation would bring, and the own ceiling. ``failed`` : why there is none."""

    failed = Signal(str)

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self._editing: Editing | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._again: tuple[Any, Any, Box] | None = None  # the copy of the image, the labels over it, and where
        self._hidden: list[Any] = []
        self._runner = Runner(self)
        self._runner.said.connect(self._heard)
        self.settings: dict[str, Any] = {"minutes": MINUTES}
        self.gain_button, self.again_button = QPushButton(GAIN[0]), QPushButton(AGAIN[0])
        self.text = sentence(lines=3)
        self.text.setAccessibleName("Whether more annotation helps")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(self.gain_button)
        column.addWidget(self.again_button)
        column.addWidget(self.text)
        self.gain_button.clicked.connect(self._ask)
        self.again_button.clicked.connect(self._turn)
        self._viewer.layers.events.removed.connect(self._removed)
        self._show()

    def use(self, editing: Editing | None) -> None:
        """Ask about another layer, or none."""
        if editing is not self._editing:
            self._stop()
            self._finish()
            self._editing = editing
            self.text.setText("")
        self._show()

    def end(self) -> None:
        """The panel is closing."""
        self._stop()
        self._finish()
        self._editing = None
        self._viewer.layers.events.removed.disconnect(self._removed)

    # what more would bring

    def _ask(self) -> None:
        """Train on parts of what is annotated, or stop that."""
        editing = self._editing
        if self._runner.busy:
            self._stop()
            self.text.setText("Stopped.")
        elif editing is not None:
            image = editing.image
            found = None if image is None else annotated(self._viewer, editing.labels, image)
            if found is None:
                self.text.setText("Choose the image that the labels lie on.")
                return
            self._stop()
            task, material, options = TASKS[found.how.task], found.material, dict(found.how.options)
            self._folder = tempfile.TemporaryDirectory(prefix="dojo-curve-", ignore_cleanup_errors=True)
            job, settings = Path(self._folder.name), dict(self.settings)
            more = {"out": job / "model", "options": options, "settings": settings, "curve": True}
            self.text.setText("Training on a quarter of it, on half and on all ...")
            self._runner.start(lambda: material.request(job, task, **more))
        self._show()

    def _heard(self, event: Event) -> None:
        if isinstance(event, Progress):
            share = event.done / max(event.total, 1)
            self.text.setText(f"Training on a quarter of it, on half and on all: {share:.0%}")
        elif isinstance(event, Failed):
            self.text.setText(event.sentence)
        elif isinstance(event, Done):
            self.text.setText(_said(event.facts, self._kind))
        self._show()

    def _stop(self) -> None:
        if self._runner.busy:
            self._runner.close(BRIEFLY)
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    # the person's own ceiling

    @property
    def _kind(self) -> str:
        return "" if self._editing is None else str(self._editing.labels.metadata.get(STROKES, ""))

    def _turn(self) -> None:
        """Begin to annotate a part again, or compare."""
        if self._again is not None:
            self._compare()
        elif self._editing is not None:
            try:
                self._begin()
            except ValueError as error:
                self.failed.emit(explained(error))
        self._show()

    def _begin(self) -> None:
        """Copy the part in view without its labels, and take the brush."""
        editing = self._editing
        assert editing is not None
        sight = editing.sight()
        if sight is None:
            self.text.setText("Show the image in 2-D first.")
            return
        box = _part(sight)
        if not np.any(np.asarray(editing.data[box]) > 0):
            self.text.setText("Nothing is annotated in the middle of the view. Move to objects that are.")
            return
        image = editing.channels_of_plane(tuple(box[a] for a in sight.axes), sight)  # type: ignore[arg-type]
        if image is None:
            self.text.setText("Choose the image that the labels lie on.")
            return
        self._copy(editing, sight, box, image)
        self.text.setText("Annotate this part as if for the first time, then press Compare.")

    def _copy(self, editing: Editing, sight: Sight, box: Box, image: NDArray[np.float32]) -> None:
        labels = editing.labels
        shape = tuple(s.stop - s.start for s in box)
        flat = image.sum(0) if sight.axes[0] < sight.axes[1] else image.sum(0).T
        place = moved(placement(labels, range(labels.ndim)), [s.start for s in box])
        self._hidden = [x for x in self._viewer.layers if x.visible]
        for layer in self._hidden:
            layer.visible = False
        about = provenance("comparison", labels)
        name = f"{labels.name} again"
        shown = add_quietly(self._viewer, flat.reshape(shape), f"{name}: image", kind="image", metadata=about, **place)
        drawn = self._viewer.add_labels(
            np.zeros(shape, labels.data.dtype), name=name, metadata={**about, STROKES: self._kind}, **place
        )
        drawn.selected_label, drawn.mode, drawn.contiguous = 1, "paint", False
        if self._kind != "classes":
            number_by_itself(self._viewer, drawn)
        self._viewer.layers.selection.active = drawn
        self._again = (shown, drawn, box)

    def _compare(self) -> None:
        """Say how well both agree."""
        editing, again = self._editing, self._again
        if editing is None or again is None:
            return
        before, now = np.asarray(editing.data[again[2]]), np.asarray(again[1].data)
        if not now.any():
            self.text.setText("Nothing is annotated again yet. Paint the objects, then press Compare.")
            return
        self.text.setText(agreement(before, now, self._kind == "classes"))
        self._finish()

    def _finish(self) -> None:
        """The layers of before are back."""
        again, self._again = self._again, None
        if again is not None and self._editing is not None and self._editing.labels in self._viewer.layers:
            self._viewer.layers.selection.active = self._editing.labels
        for layer in again[:2] if again is not None else ():
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)
        for layer in self._hidden:
            if layer in self._viewer.layers:
                layer.visible = True
        self._hidden = []

    def _removed(self, event: Any) -> None:
        """A person removed one of the copies: it is not compared."""
        if self._again is not None and event.value in self._again[:2]:
            self._finish()
            self._show()

    def _show(self) -> None:
        editing = self._editing
        on = editing is not None and isinstance(editing.data, np.ndarray)
        self.gain_button.setText(GAIN[self._runner.busy])
        self.again_button.setText(AGAIN[self._again is not None])
        self.gain_button.setEnabled(on)
        self.again_button.setEnabled(on and self._kind != "objects")
        described(
            self.gain_button,
            "How much would more help",
            "Train for two minutes on parts of what is annotated, and estimate what more of it would bring.",
        )
        why = " Strokes on objects cannot be compared." if self._kind == "objects" else ""
        described(
            self.again_button,
            "Annotate a part again",
            "Annotate the middle of the view once more without seeing what you did. How well both agree is what "
            f"a model can reach at best.{why}",
        )


def agreement(before: NDArray[Any], now: NDArray[Any], classes: bool) -> str:
    """How well two annotations of one part agree, in words; of classes only where both are painted."""
    if classes:
        both = (before > 0) & (now > 0)
        names = {int(v): f"class {v}" for v in np.union1d(before[both], now[both])}
        counts = ClassCounts.of(before, now, names, both)
        figure = f"a mean IoU of {counts.selection_score:.2f}"
    else:
        objects = InstanceCounts.of(before, now)
        figure = f"an AP of {objects.as_dict()['ap']['0.5']:.2f} (IoU .5; {objects.n_true} and {objects.n_predicted} objects)"
    return f"You agree with yourself at {figure}: a model cannot be expected to beat this."


def _said(facts: dict[str, Any], kind: str) -> str:
    """What the trainings say."""
    gain = Gain(**facts["gain"])
    scores, objects = facts["scores"], facts["objects"]
    unit = "stroke" if kind else "object"
    reached = f"{facts['measure']} with {max(objects)} {unit}s: {scores[objects.index(max(objects))]:.2f}"
    return f"{reached[0].upper()}{reached[1:]}. {gain.sentence(unit, '')}"


def _part(sight: Sight) -> Box:
    """The middle of what is in view."""
    box = list(sight.view)
    for a in sight.axes:
        s = sight.view[a]
        edge = min(EDGE, s.stop - s.start)
        start = (s.start + s.stop - edge) // 2
        box[a] = slice(start, start + edge)
    return tuple(box)
