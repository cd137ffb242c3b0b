"""What is being drawn with the mouse, above the canvas: a line, an outline or a box. It is no layer and leaves no trace."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPen, QPolygonF
from qtpy.QtWidgets import QWidget

__all__ = ["Trace"]


class Trace(QWidget):
    """A see-through sheet on the canvas that lets the mouse through."""

    def __init__(self, canvas: QWidget) -> None:
        super().__init__(canvas)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setAttribute(Qt.WidgetAttribute.WA_NoSystemBackground)
        self._points: list[QPointF] = []
        self._kind = "line"
        self.hide()

    def draw(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        """Show a path in canvas pixels (x, y), as "line", "outline" (closed) or "box" (from corner to corner)."""
        self._points, self._kind = [QPointF(x, y) for x, y in points], kind
        parent = self.parentWidget()
        if parent is not None:
            self.setGeometry(parent.rect())
        self.show()
        self.raise_()
        self.update()

    def clear(self) -> None:
        """Show nothing."""
        self._points = []
        self.hide()

    def paintEvent(self, event: object) -> None:  # noqa: N802
        """White on black, to be seen on every image."""
        if len(self._points) < 2:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for colour, width in (("#000000", 4.0), ("#ffffff", 2.0)):
            painter.setPen(QPen(QColor(colour), width))
            if self._kind == "box":
                painter.drawRect(QRectF(self._points[0], self._points[-1]).normalized())
            elif self._kind == "outline":
                painter.drawPolygon(QPolygonF(self._points))
            else:
                painter.drawPolyline(QPolygonF(self._points))
        painter.end()
