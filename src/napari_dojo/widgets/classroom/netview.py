"""The network diagram: neurons with their response maps, connections with their weights, buttons for units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QEvent, QLineF, QPointF, QRectF, QSize, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QColor, QFont, QImage, QPainter, QPainterPath, QPen
from qtpy.QtWidgets import QSizePolicy, QToolButton, QToolTip, QWidget

from napari_dojo.playground.settings import MOST_UNITS
from napari_dojo.playground.surface import Grid
from napari_dojo.widgets.classroom.colours import NEGATIVE, POSITIVE
from napari_dojo.widgets.classroom.lesson import Lesson, unit_name
from napari_dojo.widgets.classroom.picture import neuron_pictures
from napari_dojo.widgets.common.form import described
from napari_dojo.widgets.common.plot import theme_colours

__all__ = ["Link", "NetView"]

MAP, LARGE_MAP = 24, 48  # grid cells of a neuron's map along each side
FOLDED = 6  # units drawn per layer, unless it is unfolded
USUAL = 1.25  # height of a neuron in the panel, in lines of text
STAGES = {"gradient": "gradient", "update": "new weight"}  # stages of slow motion with values for connections
WIDTHS = 6  # number of line widths
TAGS = (0.5, 0.2, 0.8, 0.35, 0.65)  # possible positions of a value along its connection
MOST_TAGS = 12  # connections of a layer that get a value
NEAR = 5.0  # px from a connection that still count as a click on it
TIP = (
    "Each neuron shows its output over the plane: blue is negative, orange positive. Connections are blue for negative "
    "and orange for positive weights; the width shows the absolute value. Click a neuron to show its output on the "
    "canvas, or a connection to change its weight. The arrow keys move from neuron to neuron."
)


@dataclass(frozen=True)
class Link:
    """A weight of a dense layer, from row ``before`` to a unit; with ``before`` None the bias of the unit."""

    layer: int
    before: int | None
    unit: int


class NetView(QWidget):
    """The network diagram of a lesson.

    Signals
    -------
    unit_picked : layer and unit that the user clicked; layer -1 are the inputs.
    link_picked : the `Link` that the user clicked.
    """

    unit_picked = Signal(int, int)
    link_picked = Signal(object)

    def __init__(self, viewer: Any, lesson: Lesson) -> None:
        super().__init__()
        self._viewer, self._lesson = viewer, lesson
        self.unit: tuple[int, int] | None = None
        self.link: Link | None = None
        self.alone = False  # whether it fills a separate window
        self.unfolded: set[int] = set()  # unfolded layers
        self._places: list[dict[int, QPointF]] = []  # the centres of the units of each column
        self._more: list[QRectF] = []  # where to click to unfold or fold a column
        self._ends: list[tuple[NDArray[np.intp], list[QLineF]]] = []  # connections to draw: (n, 2) row, unit
        self._size = 22.0
        self._maps: list[NDArray[np.uint8]] = []
        self._grid: tuple[Any, Any, Grid] | None = None
        self._buttons: list[tuple[QToolButton, QToolButton]] = []
        described(self, "Network", TIP)
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        lesson.changed.connect(self.refresh)
        lesson.moved.connect(self.draw)
        lesson.staged.connect(self.update)
        self.refresh()

    # layout

    def refresh(self) -> None:
        """Show a network of another shape."""
        net = self._lesson.session.setup.net
        self._columns = (len(net.inputs), *net.hidden, net.outputs)
        self.unfolded &= set(range(len(self._columns)))
        if self.unit is not None and not self._has(*self.unit):
            self.unit = None
        link = self.link
        if link is not None and not (
            link.layer < len(net.widths)
            and (link.before or 0) < net.widths[link.layer][0]
            and link.unit < net.widths[link.layer][1]
        ):
            self.link = None
        self._arrange()
        self.draw()

    def draw(self) -> None:
        """Show the current weights and maps."""
        if self.isVisible():
            self._maps = neuron_pictures(self._lesson.session, self._fields())
            self.update()

    def enlarge(self, on: bool) -> None:
        """Fill a separate window, or use the default size."""
        self.alone, self._grid = on, None
        self.setSizePolicy(
            QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding if on else QSizePolicy.Policy.Fixed
        )
        if on:
            self.setMinimumHeight(120)
            self.setMaximumHeight(10_000)
        else:
            self.setFont(QFont())
        self._arrange()
        self.draw()

    def showEvent(self, event: Any) -> None:  # noqa: N802
        """Update the layout when the font size is known."""
        super().showEvent(event)
        self._arrange()
        self.draw()

    def resizeEvent(self, event: Any) -> None:  # noqa: N802
        """Update the layout."""
        super().resizeEvent(event)
        self._arrange()

    def sizeHint(self) -> QSize:  # noqa: N802
        """The height of the highest column."""
        return QSize(300, self.minimumHeight())

    def _fields(self) -> Grid:
        session = self._lesson.session
        data, inputs = session.data, session.setup.net.inputs
        if self._grid is None or self._grid[0] is not data or self._grid[1] != inputs:
            fields = LARGE_MAP if self.alone else MAP
            self._grid = (data, inputs, Grid.of(data, inputs, fields))
        return self._grid[2]

    def _has(self, layer: int, unit: int) -> bool:
        return layer + 1 < len(self._columns) and unit < self._columns[layer + 1]

    def _drawn(self, column: int) -> int:
        """The number of units drawn in a column; always all for inputs and outputs."""
        units, hidden = self._columns[column], 0 < column < len(self._columns) - 1
        return min(units, FOLDED) if hidden and column not in self.unfolded else units

    def _arrange(self) -> None:
        """Compute all positions."""
        if self.alone:
            font = self.font()
            font.setPixelSize(max(12, min(self.height() // 24, 30)))
            self.setFont(font)
        line = self.fontMetrics().lineSpacing()
        columns, head = len(self._columns), line + 4
        left = self.fontMetrics().horizontalAdvance("sin x") + 6
        pitch = (self.width() - left - 8) / columns
        rows = max(self._drawn(c) for c in range(columns))
        if self.alone:
            self._size = max(14.0, min(0.88 * (self.height() - head - line) / rows, 0.45 * pitch))
            step = self._size / 0.88
        else:
            self._size = max(14.0, min(USUAL * line, pitch - 8))
            step = self._size + 3
        self._places, self._more = [], []
        for column in range(columns):
            x = left + pitch * (column + 0.5)
            self._places.append(
                {unit: QPointF(x, head + step * unit + self._size / 2) for unit in range(self._drawn(column))}
            )
            bottom = head + step * self._drawn(column)
            folds = 0 < column < columns - 1 and self._columns[column] > FOLDED
            self._more.append(QRectF(x - pitch / 2, bottom - 2, pitch, line) if folds else QRectF())
        self._ends = [self._links(layer) for layer in range(columns - 1)]
        height = int(head + step * max(FOLDED, rows) + line)
        if not self.alone and height != self.minimumHeight():
            self.setFixedHeight(height)
        self._set_buttons(line)
        self.update()

    def _links(self, layer: int) -> tuple[NDArray[np.intp], list[QLineF]]:
        """Connections between drawn units: (n, 2) row and unit, and their lines."""
        half, found, lines = self._size / 2, [], []
        for before, start in self._places[layer].items():
            for unit, end in self._places[layer + 1].items():
                found.append((before, unit))
                lines.append(QLineF(start.x() + half, start.y(), end.x() - half, end.y()))
        return np.array(found, np.intp).reshape(-1, 2), lines

    def _set_buttons(self, line: int) -> None:
        """Place the buttons for fewer and more units above each hidden layer."""
        hidden = self._lesson.session.setup.net.hidden
        while len(self._buttons) < len(hidden):
            pair = (QToolButton(self), QToolButton(self))
            for button, text in zip(pair, "−+", strict=True):
                button.setText(text)
                button.setStyleSheet("QToolButton { padding: 0px; margin: 0px; }")
                button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            number = len(self._buttons)
            pair[0].clicked.connect(lambda *_, n=number: self._resize(n, -1))
            pair[1].clicked.connect(lambda *_, n=number: self._resize(n, 1))
            self._buttons.append(pair)
        may = self._lesson.may("hidden")
        why = "" if may else " Locked in this exercise."
        for number, (less, more) in enumerate(self._buttons):
            there = number < len(hidden)
            for button, sign, word in ((less, -1, "Fewer"), (more, 1, "More")):
                button.setVisible(there)
                if there:
                    side = min(line + 2, 18)
                    x = self._places[number + 1][0].x() + (sign - 1) * side / 2
                    button.setGeometry(int(x), 1, side, side)
                    button.setEnabled(may and 1 <= hidden[number] + sign <= MOST_UNITS)
                    name = f"{word} units in hidden layer {number + 1}"
                    described(button, name, f"{name} (now {hidden[number]}).{why}")

    def _resize(self, number: int, by: int) -> None:
        hidden = list(self._lesson.session.setup.net.hidden)
        hidden[number] += by
        self._lesson.set(hidden=tuple(hidden))

    # painting

    def paintEvent(self, event: Any) -> None:  # noqa: N802
        """Paint connections, then neurons, then the values of slow motion."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        colours = theme_colours(self._viewer)
        stage = self._lesson.stage
        for layer, part in enumerate(self._lesson.session.net.layers):
            faint = stage is not None and (stage.kind not in STAGES or stage.layer != layer)
            value = stage.values if stage is not None and stage.kind == "gradient" and not faint else part.weights
            self._paint_links(painter, layer, value, faint)
        self._paint_link(painter, colours["text"])
        for column in range(len(self._columns)):
            self._paint_column(painter, column, colours)
        if stage is not None:
            self._paint_stage(painter, colours)
        painter.end()

    def _paint_links(self, painter: Any, layer: int, value: NDArray[np.float64], faint: bool) -> None:
        """Paint the connections of a layer, grouped by colour and width."""
        found, lines = self._ends[layer]
        if not lines or found[:, 0].max() >= value.shape[0] or found[:, 1].max() >= value.shape[1]:
            return
        weight = np.nan_to_num(value[found[:, 0], found[:, 1]])
        stage = self._lesson.stage
        size = (
            np.abs(weight) / max(float(np.abs(weight).max()), 1e-30)
            if stage is not None
            else np.tanh(np.abs(weight) / 2)
        )
        bins = np.minimum((size * WIDTHS).astype(int), WIDTHS - 1)
        for sign, name in ((False, NEGATIVE), (True, POSITIVE)):
            for k in range(WIDTHS):
                chosen = np.flatnonzero((bins == k) & ((weight > 0) == sign))
                if chosen.size:
                    colour = QColor(name)
                    colour.setAlphaF(0.15 if faint else 0.45 + 0.55 * k / (WIDTHS - 1))
                    painter.setPen(QPen(colour, 0.7 + 0.75 * k))
                    painter.drawLines([lines[i] for i in chosen])
        if layer == len(self._ends) - 1 and self._lesson.session.setup.net.skip and layer:
            self._paint_skips(painter, value, faint)

    def _paint_skips(self, painter: Any, value: NDArray[np.float64], faint: bool) -> None:
        """Paint the skip connections below the hidden layers."""
        before = self._columns[-2]
        for row, unit, path in self._skips():
            weight = float(value[before + row, unit])
            colour = QColor(POSITIVE if weight > 0 else NEGATIVE)
            colour.setAlphaF(0.15 if faint else 0.6)
            painter.setPen(QPen(colour, 0.7 + 4 * float(np.tanh(abs(weight) / 2))))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawPath(path)

    def _skips(self) -> list[tuple[int, int, QPainterPath]]:
        """The curves of the skip connections: input, output, path."""
        found = []
        deep = self.height() + 0.1 * self.height()
        for row, start in self._places[0].items():
            for unit, end in self._places[-1].items():
                path = QPainterPath(start)
                path.cubicTo(start.x() + 40, deep, end.x() - 40, deep, end.x(), end.y())
                found.append((row, unit, path))
        return found

    def _paint_link(self, painter: Any, colour: str) -> None:
        """Paint the selected connection."""
        link = self.link
        if link is None or link.before is None:
            return
        found, lines = self._ends[link.layer]
        for (before, unit), line in zip(found, lines, strict=True):
            if (before, unit) == (link.before, link.unit):
                painter.setPen(QPen(QColor(colour), 1.4, Qt.PenStyle.DashLine))
                painter.drawLine(line)

    def _paint_column(self, painter: Any, column: int, colours: dict[str, str]) -> None:
        """Paint neurons with their maps, and the names of the inputs at the left."""
        half, layer = self._size / 2, column - 1
        names = self._lesson.session.setup.net.sources(0)
        maps = self._maps[column] if column < len(self._maps) else np.zeros((0, 1, 1, 3), np.uint8)
        n = maps.shape[1]
        for unit, middle in self._places[column].items():
            box = QRectF(middle.x() - half, middle.y() - half, self._size, self._size)
            if unit < len(maps):
                image = QImage(maps[unit].data, n, n, 3 * n, QImage.Format.Format_RGB888)
                painter.drawImage(box, image)
            chosen = self.unit == (layer, unit)
            painter.setPen(QPen(QColor(colours["text" if chosen else "secondary"]), 2.5 if chosen else 1))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRect(box)
            if layer < 0:
                painter.setPen(QColor(colours["text"]))
                name = QRectF(0, box.top(), box.left() - 4, self._size)
                painter.drawText(name, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, names[unit])
            else:
                self._paint_bias(painter, layer, unit, box)
        if not self._more[column].isEmpty():
            hidden = self._columns[column] - self._drawn(column)
            painter.setPen(QColor(colours["text"]))
            text = f"+{hidden} more" if hidden else "fold"
            if self.fontMetrics().horizontalAdvance(text) > 0.9 * self._more[column].width():
                text = f"+{hidden}" if hidden else "−"
            painter.drawText(self._more[column], Qt.AlignmentFlag.AlignCenter, text)

    def _paint_bias(self, painter: Any, layer: int, unit: int, box: QRectF) -> None:
        """Paint the bias as a small square in the corner: blue or orange, larger for larger values."""
        layers = self._lesson.session.net.layers
        if layer >= len(layers) or unit >= layers[layer].biases.size:
            return
        value = float(np.nan_to_num(layers[layer].biases[unit]))
        side = 2 + 4 * float(np.tanh(abs(value) / 2))
        painter.fillRect(QRectF(box.left(), box.bottom() - side, side, side), QColor("black"))
        painter.fillRect(
            QRectF(box.left(), box.bottom() - side, side - 1, side - 1).translated(0.5, 0.5),
            QColor(POSITIVE if value > 0 else NEGATIVE),
        )

    def _paint_stage(self, painter: Any, colours: dict[str, str]) -> None:
        """Paint the values of slow motion at their neurons, for the first point."""
        stage = self._lesson.stage
        assert stage is not None
        if stage.kind in ("input", "sum", "activation", "slope"):
            column, figures = stage.layer + 1, stage.values[0]
        elif stage.kind in ("loss", "done"):
            column, figures = len(self._columns) - 1, np.array([stage.values.mean()])
        else:
            return self._paint_link_figures(painter, colours)
        for unit, middle in self._places[column].items():
            if unit < len(figures):
                text = f"{figures[unit]:.3g}"
                self._paint_tag(painter, self._tag(text, middle), text, colours)

    def _paint_link_figures(self, painter: Any, colours: dict[str, str]) -> None:
        """Paint gradients or new weights at their connections, if there are few and there is room."""
        stage = self._lesson.stage
        assert stage is not None
        ends, lines = self._ends[stage.layer]
        taken: list[QRectF] = []
        for (before, unit), line in zip(ends, lines, strict=True):
            text = f"{stage.values[before, unit]:.3g}"
            boxes = (self._tag(text, line.pointAt(share)) for share in TAGS)
            box = next((b for b in boxes if not any(b.intersects(other) for other in taken)), None)
            if box is not None and len(lines) <= MOST_TAGS:
                self._paint_tag(painter, box, text, colours)
                taken.append(box)

    def _tag(self, text: str, middle: QPointF) -> QRectF:
        """The box of a value."""
        metrics = self.fontMetrics()
        box = QRectF(0, 0, metrics.horizontalAdvance(text) + 6, metrics.height())
        box.moveCenter(middle)
        box.moveRight(min(box.right(), self.width() - 1.0))
        return box

    def _paint_tag(self, painter: Any, box: QRectF, text: str, colours: dict[str, str]) -> None:
        painter.setPen(QPen(QColor(colours["text"]), 1))
        painter.setBrush(QColor(colours["background"]))
        painter.drawRoundedRect(box, 3, 3)
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)

    # mouse and keys

    def unit_at(self, place: QPointF) -> tuple[int, int] | None:
        """Layer and unit at a position of the widget."""
        half = self._size / 2 + 1
        for column, units in enumerate(self._places):
            for unit, middle in units.items():
                if abs(place.x() - middle.x()) <= half and abs(place.y() - middle.y()) <= half:
                    return column - 1, unit
        return None

    def link_at(self, place: QPointF) -> Link | None:
        """The nearest connection at a position of the widget."""
        best, found = NEAR, None
        x, y = place.x(), place.y()
        for layer, (ends, lines) in enumerate(self._ends):
            if not lines or not lines[0].x1() <= x <= lines[0].x2():
                continue
            for (before, unit), line in zip(ends, lines, strict=True):
                share = (x - line.x1()) / max(line.dx(), 1e-9)
                away = abs(line.y1() + share * line.dy() - y) * abs(line.dx()) / max(line.length(), 1e-9)
                if away < best:
                    best, found = away, Link(layer, int(before), int(unit))
        if found is None and self._lesson.session.setup.net.skip and len(self._columns) > 2:
            around = QRectF(x - NEAR / 2, y - NEAR / 2, NEAR, NEAR)
            for row, unit, path in self._skips():
                if path.intersects(around) and not path.contains(around):
                    return Link(len(self._ends) - 1, self._columns[-2] + row, unit)
        return found

    def words(self, place: QPointF) -> str:
        """Description and value of what is at a position."""
        net = self._lesson.session.net
        unit = self.unit_at(place)
        if unit is not None:
            name = unit_name(self._lesson, *unit)
            if unit[0] < 0:
                return f"input {name}"
            return f"{name}: bias {net.layers[unit[0]].biases[unit[1]]:.4g}"
        link = self.link_at(place)
        if link is not None and link.before is not None:
            source = self._lesson.session.setup.net.sources(link.layer)[link.before]
            weight = net.layers[link.layer].weights[link.before, link.unit]
            name = f"{source} to {unit_name(self._lesson, link.layer, link.unit)}"
            return f"{name}: weight {weight:.4g}{self._of_stage(link)}"
        return ""

    def _of_stage(self, link: Link) -> str:
        """The value of slow motion for a connection."""
        stage = self._lesson.stage
        if stage is None or stage.layer != link.layer or stage.kind not in STAGES:
            return ""
        return f", {STAGES[stage.kind]} {stage.values[link.before, link.unit]:.4g}"

    def pick(self, unit: tuple[int, int] | None) -> None:
        """Select a neuron, or none."""
        self.unit, self.link = unit, None
        self.update()

    def event(self, event: QEvent | None) -> bool:
        """Show the value under the mouse."""
        if event is not None and event.type() == QEvent.Type.ToolTip:
            help_: Any = event
            text = self.words(QPointF(help_.pos()))
            QToolTip.showText(help_.globalPos(), text or TIP, self)
            return True
        return bool(super().event(event))

    def mouseMoveEvent(self, event: Any) -> None:  # noqa: N802
        """Show the value under the mouse at once."""
        text = self.words(event.position())
        self.setCursor(Qt.CursorShape.PointingHandCursor if text else Qt.CursorShape.ArrowCursor)
        QToolTip.showText(event.globalPosition().toPoint(), text, self)

    def mousePressEvent(self, event: Any) -> None:  # noqa: N802
        """Handle a click on a neuron, a connection, or the text that unfolds a layer."""
        place = event.position()
        for column, box in enumerate(self._more):
            if box.contains(place):
                self.unfolded ^= {column}
                self._arrange()
                self.draw()
                return
        unit = self.unit_at(place)
        if unit is not None:
            self._pick_unit(None if unit == self.unit else unit)
            return
        link = self.link_at(place)
        if link is not None:
            self.link = link
            self.update()
            self.link_picked.emit(link)

    def _pick_unit(self, unit: tuple[int, int] | None) -> None:
        self.pick(unit)
        self.unit_picked.emit(*(unit or (-2, 0)))

    def keyPressEvent(self, event: Any) -> None:  # noqa: N802
        """Arrow keys move from neuron to neuron; Escape clears the selection."""
        steps = {
            Qt.Key.Key_Left: (-1, 0),
            Qt.Key.Key_Right: (1, 0),
            Qt.Key.Key_Up: (0, -1),
            Qt.Key.Key_Down: (0, 1),
        }
        step = steps.get(event.key())
        if event.key() == Qt.Key.Key_Escape and self.unit is not None:
            self._pick_unit(None)
        elif step is not None:
            layer, unit = self.unit or (-1 - step[0], -step[1])
            layer = min(max(layer + step[0], -1), len(self._columns) - 2)
            self._pick_unit((layer, min(max(unit + step[1], 0), self._drawn(layer + 1) - 1)))
        else:
            super().keyPressEvent(event)
