"""The section "Next" of the Annotate panel: it leads to places that are far from all that is accepted."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_dojo.errors import explained
from napari_dojo.inference.places import Place, next_places
from napari_dojo.widgets.annotate.editing import Editing
from napari_dojo.widgets.common.camera import fill, look_at
from napari_dojo.widgets.common.form import described, sentence
from napari_dojo.widgets.common.latest import Latest
from napari_dojo.widgets.common.layers import add_quietly, placement, provenance

__all__ = ["SuggestSection"]

MANY = 8  # places that are suggested together
SMALL, LARGE, TIMES = 64, 256, 5  # px of a box; it is this many times as wide as the objects
FRAME = "#F0E442"
TIP = (
    "Go to a place that is far from all that is accepted, with a box around it. Correct and accept what is in it. "
    "Spread places teach a model more than neighbouring ones."
)


class SuggestSection(QWidget):
    """Places to annotate, one after the other. ``failed`` : why there are none."""

    failed = Signal(str)

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self._editing: Editing | None = None
        self._places: list[Place] = []
        self._at = -1
        self._layer: Any = None  # the box
        self._finding = Latest(self)
        self._finding.told.connect(self._found)
        self.button = QPushButton("Suggest a place")
        described(self.button, "Suggest a place", TIP)
        self.hide_button = QPushButton("Hide box")
        described(self.hide_button, "Hide box", "Remove the box around the suggested place.")
        self.text = sentence(lines=2)
        self.text.setAccessibleName("The suggested place")
        row, column = QHBoxLayout(), QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        row.setSpacing(4)
        row.addWidget(self.button, 2)
        row.addWidget(self.hide_button, 1)
        column.addLayout(row)
        column.addWidget(self.text)
        self.button.clicked.connect(self.next_place)
        self.hide_button.clicked.connect(self._clear)
        self._show()

    def use(self, editing: Editing | None) -> None:
        """Suggest places of another layer, or none."""
        if editing is not self._editing:
            self._finding.forget()
            self._editing, self._places, self._at = editing, [], -1
            self._clear()
            self.text.setText("")
        self._show()

    def end(self) -> None:
        """The panel is closing."""
        self._finding.forget()
        self._editing = None
        self._clear()

    def next_place(self) -> None:
        """Lead to the next place; after the last one, others are looked for."""
        if self._editing is None:
            return
        if self._at + 1 < len(self._places):
            self._at += 1
            self._lead()
            return
        accepted = self._editing.accepted
        self.text.setText("Looking for places ...")
        mask = None if accepted is None else accepted.data
        self._finding.ask(next_places, self._editing.data, mask, self._edge, MANY)

    @property
    def _edge(self) -> int:
        """Of a box, px: some objects lie in it."""
        diameter = None if self._editing is None else self._editing.tally.diameter
        return int(np.clip(round(TIMES * diameter), SMALL, LARGE)) if diameter else 128

    def _found(self, found: Any) -> None:
        if isinstance(found, Exception):
            self.text.setText("")
            self.failed.emit(explained(found))
            return
        self._places, self._at = found, -1
        if found:
            self.next_place()
        else:
            self.text.setText("All of it is accepted already.")

    def _lead(self) -> None:
        """Show the place, with a box around it."""
        editing, place = self._editing, self._places[self._at]
        assert editing is not None
        leading = np.unravel_index(place.image, editing.data.shape[:-2])
        where = (*(int(k) for k in leading), *place.middle)
        labels = editing.labels
        look_at(self._viewer, labels.data_to_world(where))
        fill(self._viewer, max(place.edge) * abs(float(labels.scale[-1])))
        self._draw(np.asarray(leading, int), place)
        self.text.setText(f"{self._at + 1} of {len(self._places)}: {place.reason}")
        self._show()

    def _draw(self, leading: NDArray[np.intp], place: Place) -> None:
        editing = self._editing
        assert editing is not None
        frame = _frame(tuple(editing.data.shape), tuple(int(k) for k in leading), place)
        if self._layer is not None and self._layer in self._viewer.layers:
            self._layer.data = frame
            return
        labels = editing.labels
        colours = {None: "transparent", 0: "transparent", 1: FRAME}
        made, at = provenance("comparison", labels), placement(labels, range(labels.ndim))
        name = f"{labels.name} next place"
        self._layer = add_quietly(self._viewer, frame, name, metadata=made, colormap=colours, opacity=1.0, **at)

    def _clear(self, *_: Any) -> None:
        layer, self._layer = self._layer, None
        if layer is not None and layer in self._viewer.layers:
            self._viewer.layers.remove(layer)
        self._show()

    def _show(self) -> None:
        self.button.setEnabled(self._editing is not None and isinstance(self._editing.data, np.ndarray))
        self.hide_button.setEnabled(self._layer is not None)


def _frame(shape: tuple[int, ...], leading: tuple[int, ...], place: Place) -> NDArray[np.uint8]:
    """The outline of a place, as wide as napari needs to draw all of it where the place fills a third of the canvas."""
    frame = np.zeros(shape, np.uint8)
    box = frame[leading][place.slices]
    width = 1 + max(place.edge) // 100  # px
    box[:] = 1
    box[width:-width, width:-width] = 0
    return frame
