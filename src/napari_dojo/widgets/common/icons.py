"""Small pictures of what each task makes, drawn in the colours of classes."""

from __future__ import annotations

from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QIcon, QPainter, QPen, QPixmap

from napari_dojo.data.kinds import CATEGORY, CLASSES, IMAGE, LABELS
from napari_dojo.tasks import TASKS

__all__ = ["OF_KINDS", "icon"]

SIZE = 32
DISCS = ((9.0, 9.0, 6.5), (21.5, 12.0, 7.0), (12.0, 23.0, 6.5))
COLOURS = ("#0072B2", "#E69F00", "#009E73")
BEFORE, AFTER = QColor("#888888"), QColor("#56B4E9")


def icon(task: str) -> QIcon:
    """The picture of a task: its own, else that of what it gives."""
    picture = QPixmap(SIZE, SIZE)
    picture.fill(Qt.GlobalColor.transparent)
    painter = QPainter(picture)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    (PICTURES.get(task) or OF_KINDS[TASKS[task].result])(painter)
    painter.end()
    return QIcon(picture)


def _objects(painter: QPainter) -> None:
    for (x, y, r), colour in zip(DISCS, COLOURS, strict=True):
        painter.setBrush(QColor(colour))
        painter.drawEllipse(QPointF(x, y), r, r)


def _classes(painter: QPainter) -> None:
    painter.setBrush(AFTER)
    painter.drawRoundedRect(QRectF(2, 2, 28, 28), 4, 4)
    painter.setBrush(QColor("#E69F00"))
    for x, y, r in DISCS:
        painter.drawEllipse(QPointF(x, y), r, r)


def _category(painter: QPainter) -> None:
    for k, colour in enumerate(COLOURS[:2]):
        painter.setBrush(QColor(colour))
        painter.drawRoundedRect(QRectF(2 + 15 * k, 2, 13, 28), 4, 4)
        painter.setBrush(QColor("white"))
        painter.drawEllipse(QPointF(8.5 + 15 * k, 16), 4 - 1.5 * k, 4 + 4 * k)


def _frame(painter: QPainter) -> None:
    """Around an image: its left half before, its right half after."""
    painter.setPen(QPen(BEFORE, 1.5))
    painter.drawRoundedRect(QRectF(2, 2, 28, 28), 4, 4)
    painter.setPen(Qt.PenStyle.NoPen)


def _denoised(painter: QPainter) -> None:
    _frame(painter)
    painter.setBrush(BEFORE)
    for k in range(26):
        painter.drawRect(QRectF(5 + (7 * k) % 11, 5 + (5 * k) % 22, 1.6, 1.6))
    painter.setBrush(AFTER)
    painter.drawEllipse(QPointF(22, 16), 6, 7)


def _translated(painter: QPainter) -> None:
    _frame(painter)
    painter.setBrush(BEFORE)
    painter.drawEllipse(QPointF(11, 12), 6, 6)
    painter.setBrush(QColor("#CC79A7"))
    painter.drawEllipse(QPointF(21, 20), 6, 6)


def _upscaled(painter: QPainter) -> None:
    _frame(painter)
    for k, (edge, colour) in enumerate(((10.0, BEFORE), (5.0, AFTER))):
        painter.setBrush(colour)
        for i in range(int(20 // edge)):
            for j in range(int(10 // edge)):
                if (i + j) % 2 == 0:
                    painter.drawRect(QRectF(6 + 10 * k + edge * j, 6 + edge * i, edge, edge))


OF_KINDS = {LABELS: _objects, CLASSES: _classes, CATEGORY: _category, IMAGE: _denoised}
PICTURES = {"translate": _translated, "upscale": _upscaled}
