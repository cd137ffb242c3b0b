"""The points in the space of the last hidden layer, with the straight decision boundary."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import QPointF, QRectF
from qtpy.QtGui import QColor, QImage, QPainter, QPen
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from napari_dojo.errors import DojoError
from napari_dojo.playground.glossary import explain
from napari_dojo.playground.representation import Representation, represent
from napari_dojo.widgets.classroom.colours import Colours, of_classes, of_numbers, of_outputs
from napari_dojo.widgets.classroom.lesson import Lesson
from napari_dojo.widgets.classroom.picture import span
from napari_dojo.widgets.common.form import described, narrow, sentence
from napari_dojo.widgets.common.plot import theme_colours

__all__ = ["RepresentationView"]

SIZE = 60  # grid cells of the surface along each side
DISC = tuple((dy, dx) for dy in range(-2, 3) for dx in range(-2, 3) if dy * dy + dx * dx <= 5)  # px around a point
RIM = tuple((dy, dx) for dy in range(-3, 4) for dx in range(-3, 4) if dy * dy + dx * dx <= 10)
COMPONENTS = -1


class RepresentationView(QWidget):
    """The points of a lesson, projected onto two directions of its last hidden layer."""

    def __init__(self, viewer: Any, lesson: Lesson) -> None:
        super().__init__()
        self._lesson = lesson
        self.shown: Representation | None = None
        self.plane = _Plane(viewer)
        self.across_box, self.up_box = QComboBox(), QComboBox()
        tip = f"{explain('representation')} {explain('principal components')}"
        for box, name in ((self.across_box, "x axis"), (self.up_box, "y axis")):
            described(box, name, f"The quantity on the {name}. {tip}")
            narrow(box)
            box.setMinimumWidth(60)
            box.activated.connect(self._chosen)
        row = QHBoxLayout()
        row.setSpacing(4)
        for word, box in (("x axis", self.across_box), ("y axis", self.up_box)):
            row.addWidget(QLabel(word))
            row.addWidget(box, 1)
        self.text = sentence()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addLayout(row)
        layout.addWidget(self.plane, 1)
        layout.addWidget(self.text)
        lesson.changed.connect(self.refresh)
        lesson.moved.connect(self.draw)
        self.refresh()

    def refresh(self) -> None:
        """Show a changed lesson."""
        hidden = self._lesson.session.setup.net.hidden
        units = hidden[-1] if hidden else 0
        for box in (self.across_box, self.up_box):
            chosen = box.currentData()
            box.clear()
            box.addItem("principal component", COMPONENTS)
            for unit in range(units):
                box.addItem(f"unit {unit + 1}", unit)
            box.setCurrentIndex(max(0, box.findData(chosen)))
            box.setEnabled(bool(units))
        self.shown = None
        self.draw()

    @property
    def units(self) -> tuple[int, int] | None:
        """The two selected units; None for the principal components."""
        chosen = (self.across_box.currentData(), self.up_box.currentData())
        return None if COMPONENTS in chosen or None in chosen else chosen

    def _chosen(self, index: int) -> None:
        """Keep both boxes at units or both at components."""
        sender, other = self.across_box, self.up_box
        if self.sender() is self.up_box:
            sender, other = other, sender
        if sender.currentData() == COMPONENTS:
            other.setCurrentIndex(0)
        elif other.currentData() == COMPONENTS:
            units = other.count() - 1
            other.setCurrentIndex(1 + (sender.currentData() + 1) % units)
        self.shown = None
        self.draw()

    def draw(self) -> None:
        """Show the current projection."""
        if not self.isVisible():
            return
        session = self._lesson.session
        try:
            self.shown = represent(session, self.units, SIZE, self.shown)
        except DojoError as error:
            self.shown = None
            self.plane.show_nothing()
            self._say(str(error))
            return
        data, shown = session.data, self.shown
        n = sum(data.counts[:2])  # the test set stays hidden
        surface = of_outputs(*_as_outputs(shown.surface, data.classes), span(session), hard=True)
        value = data.value[:n]
        colours = of_classes(value) if data.classes else of_numbers(value, *span(session))
        self.plane.show_points(shown, surface, shown.points[:n], (255 * colours[:, :3]).astype(np.uint8))
        self._say("In this space the decision boundary is a straight line.")

    def _say(self, text: str) -> None:
        if self.text.text() != text:
            self.text.setText(text)

    def showEvent(self, event: Any) -> None:  # noqa: N802
        """Update when the widget is shown."""
        super().showEvent(event)
        self.draw()


class _Plane(QWidget):
    """A plot of points on a decision surface."""

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self._surface = np.zeros((0, 0, 3), np.uint8)
        self._points, self._colours = np.zeros((0, 2)), np.zeros((0, 3), np.uint8)
        self._shown: Representation | None = None
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumHeight(90)
        described(self, "Representation", explain("representation"))

    def show_nothing(self) -> None:
        """Clear the plot."""
        self._shown = None
        self.update()

    def show_points(self, shown: Representation, surface: Colours, points: Any, colours: Colours) -> None:
        """Show points (n, 2) in their colours (n, 3) on a surface (size, size, 3) with row 0 at the bottom."""
        self._shown, self._surface, self._points, self._colours = shown, surface[::-1], points, colours
        self.update()

    def place(self, u: Any, v: Any) -> tuple[Any, Any]:
        """Pixel coordinates in the widget of positions u, v."""
        assert self._shown is not None
        left, right, bottom, top = self._shown.extent
        return (u - left) / (right - left) * self.width(), (top - v) / (top - bottom) * self.height()

    def picture(self) -> Colours:
        """The surface with the points on it, (height, width, 3)."""
        width, height, n = self.width(), self.height(), len(self._surface)
        rows, columns = np.arange(height) * n // height, np.arange(width) * n // width
        picture = np.ascontiguousarray(self._surface[rows[:, None], columns])
        fine = np.isfinite(self._points).all(1)
        x, y = (np.round(v[fine]).astype(int) for v in self.place(*self._points.T))
        for disc, colours in ((RIM, np.full((1, 3), 255, np.uint8)), (DISC, self._colours[fine])):
            for dy, dx in disc:
                inside = (x + dx >= 0) & (x + dx < width) & (y + dy >= 0) & (y + dy < height)
                picture[y[inside] + dy, x[inside] + dx] = colours[inside] if len(colours) > 1 else colours
        return picture

    def paintEvent(self, event: Any) -> None:  # noqa: N802
        """Paint surface, points and boundary."""
        painter = QPainter(self)
        data: Any
        if self._shown is None:
            painter.setPen(QColor(theme_colours(self._viewer)["secondary"]))
            painter.drawRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5))
        else:
            picture = self.picture()
            height, width = picture.shape[:2]
            data = picture.data
            painter.drawImage(0, 0, QImage(data, width, height, 3 * width, QImage.Format.Format_RGB888))
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            self._paint_boundary(painter)
        painter.end()

    def _paint_boundary(self, painter: QPainter) -> None:
        assert self._shown is not None
        boundary = self._shown.boundary
        if boundary is None or not np.isfinite(boundary).all() or not (boundary[0] or boundary[1]):
            return
        a, b, c = boundary
        left, right, bottom, top = self._shown.extent
        if abs(b) * (right - left) > abs(a) * (top - bottom):
            ends = [(u, -(a * u + c) / b) for u in (left, right)]
        else:
            ends = [(-(b * v + c) / a, v) for v in (bottom, top)]
        (x0, y0), (x1, y1) = (self.place(*end) for end in ends)
        painter.setPen(QPen(QColor("black"), 1.6))
        painter.drawLine(QPointF(x0, y0), QPointF(x1, y1))


def _as_outputs(said: Any, classes: int) -> tuple[Any, int]:
    """Class numbers (size, size) as one-hot outputs (size, size, classes); for regression the values."""
    if not classes:
        return said[..., None], 0
    return np.eye(classes)[np.clip(said, 0, classes - 1).astype(int)], classes
