"""A small drawing of a network: its levels, with feature maps and parameters, and the connections between them."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QPointF, QRectF, QSize, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QColor, QPainter, QPen
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_dojo.widgets.common.form import described
from napari_dojo.widgets.common.plot import TRAINING, theme_colours

__all__ = ["Drawing"]

BOX, STEP = 2.4, 3.4  # lines: height of a level, and from one to the next
TIP = (
    "Left: the way down, right: the way up; each level halves the resolution. Arrows across are skip connections. "
    "Click a level to show its feature maps."
)


class Drawing(QWidget):
    """Levels as boxes, the way down at the left and the way up at the right.

    Signals
    -------
    picked : the number of the stage that was clicked.
    """

    picked = Signal(int)

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self.stages: list[dict[str, Any]] = []
        self.shown = -1
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        described(self, "Network", TIP)
        viewer.events.theme.connect(self._recolour)

    def end(self) -> None:
        """Disconnect from the viewer."""
        self._viewer.events.theme.disconnect(self._recolour)

    def _recolour(self, event: Any = None) -> None:
        self.update()

    def show_stages(self, stages: list[dict[str, Any]]) -> None:
        """Draw these stages: name, level, maps, cell and parameters of each."""
        self.stages, self.shown = stages, -1
        described(self, "Network", f"{TIP} {'; '.join(map(words, stages))}.")
        self.updateGeometry()
        self.update()

    def mark(self, number: int) -> None:
        """Mark the stage whose maps are shown."""
        self.shown = number
        self.update()

    def sizeHint(self) -> QSize:  # noqa: N802
        """As high as it has levels."""
        levels = 1 + max((s["level"] for s in self.stages), default=-1)
        return QSize(200, int(levels * STEP * self.fontMetrics().height()) if levels else 0)

    def place(self, number: int) -> QRectF:
        """Where a stage is drawn."""
        stage, line = self.stages[number], self.fontMetrics().height()
        deepest = max(s["level"] for s in self.stages)
        wide = 0.42 * self.width()
        left = 1.0
        if stage["name"].startswith("up"):
            left = self.width() - wide - 1
        elif stage["level"] == deepest and len(self.stages) > deepest + 1:
            left = (self.width() - wide) / 2
        return QRectF(left, stage["level"] * STEP * line + 1, wide, BOX * line)

    def paintEvent(self, event: Any) -> None:  # noqa: N802
        """Draw connections, boxes and words."""
        painter, colours = QPainter(self), theme_colours(self._viewer)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        text = QColor(colours["text"])
        for one, other in self._links():
            painter.setPen(QPen(text, 1, Qt.PenStyle.SolidLine))
            self._arrow(painter, one, other)
        names = {s["name"]: i for i, s in enumerate(self.stages)}
        for name, i in names.items():
            partner = names.get(name.replace("down", "up")) if name.startswith("down") else None
            if partner is not None and partner != i:
                painter.setPen(QPen(QColor(TRAINING), 1.5, Qt.PenStyle.DashLine))
                left, right = self.place(i), self.place(partner)
                start = QPointF(left.right(), left.center().y())
                end = QPointF(right.left(), right.center().y())
                self._arrow(painter, start, end)
        for i, stage in enumerate(self.stages):
            box = self.place(i)
            painter.setPen(QPen(QColor(TRAINING) if i == self.shown else text, 2 if i == self.shown else 1))
            painter.setBrush(QColor(colours["background"]))
            painter.drawRoundedRect(box, 3, 3)
            painter.setPen(text)
            said = f"{stage['maps']} maps, {_cell(stage)}\n{_short(stage['parameters'])} parameters"
            painter.drawText(box, Qt.AlignmentFlag.AlignCenter, said)
        painter.end()

    def _links(self) -> list[tuple[QPointF, QPointF]]:
        """From each stage to the next."""
        found = []
        for i in range(len(self.stages) - 1):
            one, other = self.place(i), self.place(i + 1)
            down = other.top() > one.top()
            found.append(
                (
                    QPointF(one.center().x(), one.bottom() if down else one.top()),
                    QPointF(other.center().x(), other.top() if down else other.bottom()),
                )
            )
        return found

    def _arrow(self, painter: Any, one: QPointF, other: QPointF) -> None:
        painter.drawLine(one, other)
        painter.drawEllipse(other, 2.5, 2.5)

    def mousePressEvent(self, event: Any) -> None:  # noqa: N802
        """Choose a stage."""
        for i in range(len(self.stages)):
            if self.place(i).contains(QPointF(event.pos())):
                self.picked.emit(i)
                return


def words(stage: dict[str, Any]) -> str:
    """A stage in words."""
    return f"{stage['name']}: {stage['maps']} feature maps, {_cell(stage)}, {stage['parameters']:,} parameters"


def _cell(stage: dict[str, Any]) -> str:
    return f"{stage['cell'][-1]:g} px"


def _short(number: int) -> str:
    return f"{number:,}" if number < 10_000 else f"{number / 1000:,.0f} k"
