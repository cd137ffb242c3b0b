"""Suggest a plane: where a stack or a series is shown, lead to the plane or frame that is least sure."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from napari_dojo.errors import explained
from napari_dojo.inference.planes import Plane, next_plane
from napari_dojo.widgets.annotate.editing import Editing, Sight
from napari_dojo.widgets.common.camera import look_at
from napari_dojo.widgets.common.form import described, sentence
from napari_dojo.widgets.common.latest import Latest
from napari_dojo.widgets.common.numbering import STROKES

__all__ = ["PlaneSection"]

WORDS = {"T": "frame"}  # of an axis; all others have planes
NO_IMAGE = "Choose the image that the labels lie on."


class PlaneSection(QWidget):
    """The button and what it found. ``failed`` : why there is no plane."""

    failed = Signal(str)

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self._editing: Editing | None = None
        self._asked: tuple[Sight, int] | None = None  # what was shown then, and the axis
        self._finding = Latest(self)
        self._finding.told.connect(self._found)
        self.button, self.text = QPushButton(), sentence(lines=2)
        self.text.setAccessibleName("The suggested plane")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(self.button)
        column.addWidget(self.text)
        self.button.clicked.connect(self.next_plane)
        self._viewer.dims.events.order.connect(self._show)
        self._show()

    def use(self, editing: Editing | None) -> None:
        """Suggest planes of another layer, or none."""
        if editing is not self._editing:
            self._finding.forget()
            self._editing = editing
            self.text.setText("")
        self._show()

    def end(self) -> None:
        """The panel is closing."""
        self._finding.forget()
        self._editing = None
        self._viewer.dims.events.order.disconnect(self._show)

    @property
    def _axis(self) -> int | None:
        """The axis of the labels that a slider moves along: the last one that is not shown."""
        sight = None if self._editing is None else self._editing.sight()
        if sight is None or self._editing is None:
            return None
        hidden = [a for a in range(len(sight.plane)) if a not in sight.axes]
        return max(hidden) if hidden else None

    @property
    def _word(self) -> str:
        axis = self._axis
        return "plane" if axis is None or self._editing is None else WORDS.get(self._editing.names[axis], "plane")

    def next_plane(self) -> None:
        """Look for the plane along the axis of the slider that is least sure, and go there."""
        editing, axis = self._editing, self._axis
        sight = None if editing is None else editing.sight()
        if editing is None or axis is None or sight is None:
            return
        if editing.image is None:
            self.text.setText(NO_IMAGE)
            return
        self._asked = (sight, axis)
        self.text.setText(f"Comparing {self._word}s ...")
        self._finding.ask(_look, editing, sight, axis)

    def _found(self, found: Any) -> None:
        if isinstance(found, Exception):
            self.text.setText("")
            self.failed.emit(explained(found))
            return
        if found is None:
            self.text.setText(f"All {self._word}s are annotated already.")
            return
        self._lead(found)

    def _lead(self, plane: Plane) -> None:
        if self._editing is None or self._asked is None:
            return
        sight, axis = self._asked
        where = [(s.start + s.stop - 1) / 2 for s in sight.view]
        where[axis] = plane.index
        look_at(self._viewer, self._editing.labels.data_to_world(where))
        # numbered as at napari's slider
        self.text.setText(f"{self._word.capitalize()} {plane.index}. {plane.reason(self._word)}")

    def _show(self, event: Any = None) -> None:
        editing = self._editing
        self.setVisible(editing is not None and self._axis is not None and isinstance(editing.data, np.ndarray))
        word = self._word
        tip = f"Go to the {word} that a classifier, fitted to what is annotated so far, is least sure of. Annotate it."
        self.button.setText(f"Suggest a {word}")
        described(self.button, f"Suggest a {word}", tip)


def _look(editing: Editing, sight: Sight, axis: int) -> Plane | None:
    """Compare planes along an axis. In a thread."""
    classes = _classes(editing, sight, axis)

    def image(index: int) -> NDArray[np.float32]:
        here = Sight(_at(sight.plane, axis, index), sight.objects, sight.axes, sight.view)
        rows, columns = (sight.plane[a] for a in sight.axes)
        found = editing.channels_of_plane((rows, columns), here)
        if found is None:
            raise ValueError("The image does not lie on the labels. Choose another one.")
        return found

    return next_plane(image, classes)


def _at(plane: tuple[slice, ...], axis: int, index: int) -> tuple[slice, ...]:
    return tuple(slice(index, index + 1) if a == axis else s for a, s in enumerate(plane))


def _classes(editing: Editing, sight: Sight, axis: int) -> NDArray[np.int32]:
    """What is annotated in the planes along an axis (planes, rows, columns): 0 is nothing, else classes."""
    key = tuple(slice(None) if a == axis else s for a, s in enumerate(sight.plane))
    labels = np.asarray(editing.data[key])
    kind = str(editing.labels.metadata.get(STROKES, ""))
    if kind:
        classes = labels if kind == "classes" else np.minimum(labels, 2)
    elif editing.accepted is not None:
        classes = np.where(np.asarray(editing.accepted.data[key]) > 0, 1 + (labels > 0), 0)
    else:  # planes with labels are annotated
        others = tuple(a for a in range(labels.ndim) if a != axis)
        classes = np.where(labels.any(axis=others, keepdims=True), 1 + (labels > 0), 0)
    order = [axis, *sight.axes, *(a for a in range(labels.ndim) if a not in (axis, *sight.axes))]
    found = classes.transpose(order)
    return np.asarray(found.reshape(found.shape[:3]), np.int32)
