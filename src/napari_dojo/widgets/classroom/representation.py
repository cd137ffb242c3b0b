"""A better representation: the points as the last hidden layer sees them, with the straight border of the output."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QImage, QPainter, QPen, QPolygonF
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from napari_dojo.errors import DojoError
from napari_dojo.playground.glossary import explain
from napari_dojo.playground.representation import Representation, represent
from napari_dojo.widgets.classroom.colours import CLASSES, of_answers, of_numbers
from napari_dojo.widgets.classroom.lesson import Lesson
from napari_dojo.widgets.classroom.picture import span
from napari_dojo.widgets.form import described, narrow, sentence
from napari_dojo.widgets.plot import theme_colours

__all__ = ["RepresentationView"]

SIZE = 60  # fields of the surface along each side
MOST = 1200  # points that are drawn
COMPONENTS = -1


class RepresentationView(QWidget):
    """The points of a lesson in two directions of its last hidden layer."""

    def __init__(self, viewer: Any, lesson: Lesson) -> None:
        super().__init__()
        self._lesson = lesson
        self.shown: Representation | None = None
        self.plane = _Plane(viewer)
        self.across_box, self.up_box = QComboBox(), QComboBox()
        tip = f"{explain('representation')} {explain('principal components')}"
        for box, name in ((self.across_box, "Across"), (self.up_box, "Up")):
            described(box, name, f"What goes {name.lower()}. {tip}")
            narrow(box)
            box.activated.connect(self._chosen)
        row = QHBoxLayout()
        row.setSpacing(4)
        for word, box in (("across", self.across_box), ("up", self.up_box)):
            row.addWidget(QLabel(word))
            row.addWidget(box, 1)
        self.text = sentence(lines=2)
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
        """Follow a lesson that changed."""
        hidden = self._lesson.session.setup.net.hidden
        units = hidden[-1] if hidden else 0
        for box in (self.across_box, self.up_box):
            chosen = box.currentData()
            box.clear()
            box.addItem("main spread", COMPONENTS)
            for unit in range(units):
                box.addItem(f"unit {unit + 1}", unit)
            box.setCurrentIndex(max(0, box.findData(chosen)))
            box.setEnabled(bool(units))
        self.shown = None
        self.draw()

    @property
    def units(self) -> tuple[int, int] | None:
        """The two units that are chosen; None for the main directions of spread."""
        chosen = (self.across_box.currentData(), self.up_box.currentData())
        return None if COMPONENTS in chosen or None in chosen else chosen

    def _chosen(self, index: int) -> None:
        """Both are units, or both are components."""
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
        """Show the points as they are seen now."""
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
        n = sum(data.counts[:2])  # the test stays covered
        surface = of_answers(*_as_outputs(shown.surface, data.classes), span(session), hard=True)
        if data.classes:
            groups = [(CLASSES[k], shown.points[:n][data.value[:n] == k]) for k in range(data.classes)]
        else:
            groups = _by_value(shown.points[:n], data.value[:n], span(session))
        self.plane.show_points(shown, surface, groups)
        what = (
            "two main directions of spread" if self.units is None and session.setup.net.hidden[-1] > 2 else "two units"
        )
        self._say(f"The points as the last hidden layer sees them, in {what}. Here a straight border is enough.")

    def _say(self, text: str) -> None:
        if self.text.text() != text:
            self.text.setText(text)

    def showEvent(self, event: Any) -> None:  # noqa: N802
        """Somebody looks at it."""
        super().showEvent(event)
        self.draw()


class _Plane(QWidget):
    """Points on a surface, painted."""

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self._surface = np.zeros((0, 0, 3), np.uint8)
        self._groups: list[tuple[str, Any]] = []
        self._shown: Representation | None = None
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumHeight(110)
        described(self, "Representation", explain("representation"))

    def show_nothing(self) -> None:
        """There is none."""
        self._shown = None
        self.update()

    def show_points(self, shown: Representation, surface: Any, groups: list[tuple[str, Any]]) -> None:
        """Show points by their colours on a surface (size, size, 3) whose row 0 lies lowest."""
        self._shown, self._groups = shown, groups
        self._surface = np.ascontiguousarray(surface[::-1])
        self.update()

    def place(self, u: Any, v: Any) -> tuple[Any, Any]:
        """Where places of the plane lie in the widget, px."""
        assert self._shown is not None
        left, right, bottom, top = self._shown.extent
        return (u - left) / (right - left) * self.width(), (top - v) / (top - bottom) * self.height()

    def paintEvent(self, event: Any) -> None:  # noqa: N802
        """The surface, the border, the points."""
        painter = QPainter(self)
        colours = theme_colours(self._viewer)
        if self._shown is None:
            painter.setPen(QColor(colours["secondary"]))
            painter.drawRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5))
            painter.end()
            return
        n = len(self._surface)
        painter.drawImage(self.rect(), QImage(self._surface.data, n, n, 3 * n, QImage.Format.Format_RGB888))
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        each = max(1, sum(len(p) for _, p in self._groups) // MOST)
        for name, points in self._groups:
            x, y = self.place(points[::each, 0], points[::each, 1])
            polygon = QPolygonF([QPointF(a, b) for a, b in zip(x, y, strict=True) if np.isfinite(a) and np.isfinite(b)])
            for colour, width in (("#FFFFFF", 5.5), (name, 4.0)):
                painter.setPen(QPen(QColor(colour), width, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
                painter.drawPoints(polygon)
        self._paint_border(painter)
        painter.end()

    def _paint_border(self, painter: QPainter) -> None:
        assert self._shown is not None
        border = self._shown.border
        if border is None or not np.isfinite(border).all() or not (border[0] or border[1]):
            return
        a, b, c = border
        left, right, bottom, top = self._shown.extent
        if abs(b) * (right - left) > abs(a) * (top - bottom):
            ends = [(u, -(a * u + c) / b) for u in (left, right)]
        else:
            ends = [(-(b * v + c) / a, v) for v in (bottom, top)]
        (x0, y0), (x1, y1) = (self.place(*end) for end in ends)
        painter.setPen(QPen(QColor("black"), 1.6))
        painter.drawLine(QPointF(x0, y0), QPointF(x1, y1))


def _as_outputs(said: Any, classes: int) -> tuple[Any, int]:
    """Class numbers (size, size) as one-hot outputs (size, size, classes), in regression the numbers themselves."""
    if not classes:
        return said[..., None], 0
    return np.eye(classes)[np.clip(said, 0, classes - 1).astype(int)], classes


def _by_value(points: Any, value: Any, limits: tuple[float, float]) -> list[tuple[str, Any]]:
    """Points in eight groups of like numbers, each with its colour."""
    low, high = limits
    number = np.clip(((value - low) / ((high - low) or 1) * 8).astype(int), 0, 7)
    middles = of_numbers((np.arange(8) + 0.5) / 8, 0, 1)
    names = [QColor.fromRgbF(*map(float, c)).name() for c in middles]
    return [(names[k], points[number == k]) for k in range(8)]
