"""Small pictures of what each task makes, drawn in the colours of classes."""

from __future__ import annotations

from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QIcon, QPainter, QPen, QPixmap

__all__ = ["icon"]

SIZE = 32
DISCS = ((9.0, 9.0, 6.5), (21.5, 12.0, 7.0), (12.0, 23.0, 6.5))
COLOURS = ("#0072B2", "#E69F00", "#009E73")


def icon(task: str) -> QIcon:
    """The picture of a task, an empty one where there is none."""
    picture = QPixmap(SIZE, SIZE)
    picture.fill(Qt.GlobalColor.transparent)
    painter = QPainter(picture)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    if task == "instances":
        for (x, y, r), colour in zip(DISCS, COLOURS, strict=True):
            painter.setBrush(QColor(colour))
            painter.drawEllipse(QPointF(x, y), r, r)
    elif task == "semantic":
        painter.setBrush(QColor("#56B4E9"))
        painter.drawRoundedRect(QRectF(2, 2, 28, 28), 4, 4)
        painter.setBrush(QColor("#E69F00"))
        for x, y, r in DISCS:
            painter.drawEllipse(QPointF(x, y), r, r)
    else:
        painter.setPen(QPen(QColor("#888888"), 2))
        painter.drawRoundedRect(QRectF(3, 3, 26, 26), 4, 4)
    painter.end()
    return QIcon(picture)
