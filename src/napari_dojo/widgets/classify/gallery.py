"""The objects as small pictures in a grid: sorted, chosen by a click, given a class by a key or by dragging."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import (  # type: ignore[attr-defined]
    QAbstractListModel,
    QItemSelectionModel,
    QMimeData,
    QModelIndex,
    QRect,
    QSize,
    Qt,
    Signal,
)
from qtpy.QtGui import QColor, QImage, QKeyEvent, QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import QAbstractItemView, QListView, QStyle, QStyledItemDelegate, QStyleOptionViewItem

from napari_dojo.objects.classes import MOST
from napari_dojo.objects.heads import nearest
from napari_dojo.widgets.classify.colours import colour_of
from napari_dojo.widgets.classify.crops import Cutter
from napari_dojo.widgets.classify.rows import MIME
from napari_dojo.widgets.classify.subject import UNSURE, MeasuredObjects, Seen
from napari_dojo.widgets.common.form import described
from napari_dojo.widgets.common.later import later

__all__ = ["ORDERS", "Gallery", "Order"]

EDGE, FRAME, GAP = 44, 3, 4  # px of a picture, of the frame around it, between two
KEPT = 4000  # pictures
CUTTING = 0.012  # s that pictures are cut for at each painting; the others follow
PAUSE = 5  # ms until then
Order = Callable[[MeasuredObjects, Seen | None, int | None], NDArray[np.int64]]


def _by_class(m: MeasuredObjects, seen: Seen | None, row: int | None) -> NDArray[np.int64]:
    if seen is None:
        return np.arange(len(m.objects))
    certain = np.zeros(len(m.objects)) if seen.prediction is None else seen.prediction.certainty
    return np.lexsort((-certain, np.where(seen.numbers == 0, UNSURE + 1, seen.numbers)))


def _by_probability(m: MeasuredObjects, seen: Seen | None, row: int | None) -> NDArray[np.int64]:
    return _doubtful(m, seen, row)[::-1]


def _doubtful(m: MeasuredObjects, seen: Seen | None, row: int | None) -> NDArray[np.int64]:
    if seen is None or seen.prediction is None:
        return np.arange(len(m.objects))
    return np.argsort(seen.prediction.certainty, kind="stable")


def _alike(m: MeasuredObjects, seen: Seen | None, row: int | None) -> NDArray[np.int64]:
    everything = np.arange(len(m.objects))
    return everything if row is None or row >= len(everything) else nearest(m.x, row, everything, len(everything))


def _examples_alike(m: MeasuredObjects, seen: Seen | None, row: int | None) -> NDArray[np.int64]:
    if seen is None or row is None or row >= len(m.objects):
        return np.zeros(0, np.int64)
    others = seen.examples.rows[seen.examples.rows != row]
    return np.concatenate([[row], nearest(m.x, row, others, len(others))]).astype(np.int64)


# What the gallery may be sorted by: words, a tip, the order of the rows that are shown.
ORDERS: tuple[tuple[str, str, Order], ...] = (
    ("class", "Class by class, the most certain first.", _by_class),
    ("most doubtful first", "The objects whose class is least certain come first: show these.", _doubtful),
    ("most certain first", "The objects whose class is most certain come first.", _by_probability),
    ("similar to the selected", "The objects that look most like the selected one.", _alike),
    ("examples like the selected", "Of the objects you have shown, those that look most like it.", _examples_alike),
    ("number", "In the order of the labels.", lambda m, seen, row: np.arange(len(m.objects))),
)


class _Pictures(QAbstractListModel):
    """The rows of objects in an order; pictures are cut when they are asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.measured: MeasuredObjects | None = None
        self.seen: Seen | None = None
        self.shown: NDArray[np.int64] = np.zeros(0, np.int64)
        self._cutter: Cutter | None = None
        self._pictures: dict[int, QImage] = {}
        self._until = 0.0  # when no more pictures are cut
        self._cut = 0  # since the painting began
        self.missing = False  # whether some could not be cut in time
        self._examples: frozenset[int] = frozenset()

    def see(self, seen: Seen) -> None:
        """The classes of the objects."""
        self.seen, self._examples = seen, frozenset(seen.examples.rows.tolist())

    def take(self, m: MeasuredObjects | None) -> None:
        """Other objects."""
        self.measured, self.seen, self._examples = m, None, frozenset()
        self._cutter = None if m is None else Cutter(m, EDGE)
        self._pictures = {}

    def order(self, rows: NDArray[np.int64]) -> None:
        """Show these rows, in this order."""
        if np.array_equal(rows, self.shown):
            return
        self.beginResetModel()
        self.shown = rows
        self.endResetModel()

    def rowCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802
        """Of pictures."""
        return len(self.shown)

    def flags(self, index: QModelIndex) -> Any:
        """They can be selected and dragged."""
        base = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
        return base | Qt.ItemFlag.ItemIsDragEnabled if index.isValid() else base

    def mimeTypes(self) -> list[str]:  # noqa: N802
        """What is dragged."""
        return [MIME]

    def mimeData(self, indexes: Any) -> QMimeData:  # noqa: N802
        """The rows of objects, as text."""
        data = QMimeData()
        data.setData(MIME, " ".join(str(int(self.shown[i.row()])) for i in indexes).encode())
        return data

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Words about an object, for the tooltip and for screen readers."""
        if not index.isValid() or index.row() >= len(self.shown) or self.measured is None:
            return None
        if role in (Qt.ItemDataRole.ToolTipRole, Qt.ItemDataRole.AccessibleTextRole):
            return self._words(int(self.shown[index.row()]))
        return None

    def begin(self) -> None:
        """A painting begins: pictures are cut for `CUTTING`, but one at least."""
        self._until, self._cut, self.missing = time.perf_counter() + CUTTING, 0, False

    def picture(self, row: int) -> QImage | None:
        """The picture of an object; None where there is no time to cut it at this painting."""
        if row not in self._pictures and self._cutter is not None:
            if self._cut and time.perf_counter() > self._until:
                self.missing = True
                return None
            self._cut += 1
            if len(self._pictures) >= KEPT:
                self._pictures.clear()
            pixels = np.ascontiguousarray(self._cutter.picture(row))
            image = QImage(pixels.tobytes(), EDGE, EDGE, 3 * EDGE, QImage.Format.Format_RGB888)
            self._pictures[row] = image.copy()
        return self._pictures.get(row)

    def number(self, row: int) -> int:
        """Of the class of an object."""
        return 0 if self.seen is None or row >= len(self.seen.numbers) else int(self.seen.numbers[row])

    def is_example(self, row: int) -> bool:
        """Whether a person has shown it."""
        return row in self._examples

    def _words(self, row: int) -> str:
        assert self.measured is not None
        sample, label = self.measured.objects.key(row)
        where = f"object {label}" + (f" of sample {sample}" if int(self.measured.objects.sample[-1]) else "")
        if self.seen is None or self.number(row) == 0:
            return where
        if self.is_example(row):
            return f"{where}: {self.seen.examples.names[self.number(row) - 1]}, shown by you"
        assert self.seen.prediction is not None
        best = int(self.seen.prediction.best[row])
        sure = f"{self.seen.prediction.certainty[row]:.0%}"
        unsure = "unsure, perhaps " if self.number(row) == UNSURE else ""
        return f"{where}: {unsure}{self.seen.examples.names[best]}, {sure}"


class _Paint(QStyledItemDelegate):
    """A picture in the colour of its class; a full frame where it was shown, a line below where it is predicted."""

    def __init__(self, model: _Pictures, view: QListView) -> None:
        super().__init__(view)
        self._model = model

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex) -> QSize:  # noqa: N802
        """All are of one size."""
        return QSize(EDGE + 2 * FRAME, EDGE + 2 * FRAME)

    def paint(self, painter: QPainter | None, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        """The picture, its frame, and a white one where it is selected."""
        if painter is None or index.row() >= len(self._model.shown):
            return
        row = int(self._model.shown[index.row()])
        image = self._model.picture(row)
        box = QRect(option.rect.x(), option.rect.y(), EDGE + 2 * FRAME, EDGE + 2 * FRAME)
        number = self._model.number(row)
        if number and self._model.is_example(row):
            painter.fillRect(box, QColor(colour_of(number)))
        elif number:
            painter.fillRect(QRect(box.left(), box.bottom() - FRAME + 1, box.width(), FRAME), QColor(colour_of(number)))
        if image is None:
            painter.fillRect(box.adjusted(FRAME, FRAME, -FRAME, -FRAME), option.palette.mid())
        else:
            painter.drawImage(box.x() + FRAME, box.y() + FRAME, image)
        if option.state & QStyle.StateFlag.State_Selected:
            painter.setPen(QPen(option.palette.text().color(), 2, Qt.PenStyle.DotLine))
            painter.drawRect(box.adjusted(1, 1, -2, -2))


class Gallery(QListView):
    """``visited``: the row of an object that was chosen. ``given``: rows of objects, and the place of a class."""

    visited = Signal(int)
    given = Signal(object, int)

    def __init__(self) -> None:
        super().__init__()
        self.pictures = _Pictures()
        self.setModel(self.pictures)
        self.setItemDelegate(_Paint(self.pictures, self))
        self.setViewMode(QListView.ViewMode.IconMode)
        self.setResizeMode(QListView.ResizeMode.Adjust)
        self.setMovement(QListView.Movement.Static)
        self.setUniformItemSizes(True)
        self.setSpacing(GAP // 2)
        self.setLayoutMode(QListView.LayoutMode.Batched)
        self.setBatchSize(2000)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setDragEnabled(True)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setMinimumHeight(3 * (EDGE + 2 * FRAME + GAP))
        described(
            self,
            "Gallery",
            "Click: go to the object. Keys 1 to 9, or dragging onto a class: give the selected objects this class.",
        )
        self.order: Order = ORDERS[0][2]
        self._only: NDArray[np.int64] | None = None
        self._visiting = False
        self._soon = later(self, PAUSE, self._repaint)
        selection = self.selectionModel()
        if selection is not None:
            selection.currentChanged.connect(self._current_changed)

    @property
    def current(self) -> int | None:
        """The row of the object that was chosen last; None where none is."""
        k = self.currentIndex().row()
        return int(self.pictures.shown[k]) if 0 <= k < len(self.pictures.shown) else None

    @property
    def chosen(self) -> list[int]:
        """The rows of the selected objects."""
        return [int(self.pictures.shown[i.row()]) for i in self.selectedIndexes()]

    def take(self, m: MeasuredObjects | None) -> None:
        """Show other objects."""
        self.pictures.take(m)
        self._only = None
        self.sort()

    def show_seen(self, seen: Seen) -> None:
        """The classes of the objects are known; then the order stays, so that nothing jumps under the mouse."""
        before = self.pictures.seen
        self.pictures.see(seen)
        if before is None or (before.prediction is None and seen.prediction is not None):
            self.sort()
        self._repaint()

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802
        """Paint what is in view; pictures that there was no time for follow, so that the window stays free."""
        self.pictures.begin()
        super().paintEvent(event)
        if self.pictures.missing:
            self._soon.start()

    def _repaint(self) -> None:
        """Paint what is in view; thousands of pictures are not asked one by one whether they have changed."""
        view = self.viewport()
        if view is not None:
            view.update()

    def show_only(self, rows: NDArray[np.int64] | None) -> None:
        """Show these objects alone; None: all."""
        self._only = rows
        self.sort()

    def sort(self, order: Order | None = None, by: int | None = None) -> None:
        """Sort again; ``by``: the row of the object that others are compared with, else the current one."""
        self.order = order or self.order
        m, by = self.pictures.measured, self.current if by is None else by
        rows = np.zeros(0, np.int64) if m is None else self.order(m, self.pictures.seen, by)
        if self._only is not None:
            rows = rows[np.isin(rows, self._only)]
        self._visiting = True
        self.pictures.order(rows)
        if by is not None:
            self.choose(by)
        self._visiting = False
        self._repaint()

    def choose(self, row: int) -> None:
        """Select an object alone and scroll to it; says nothing. Of one that is just being clicked the click says what is selected."""
        if self._visiting and self.current == row:
            return
        at = np.flatnonzero(self.pictures.shown == row)
        selection = self.selectionModel()
        if len(at) and selection is not None:
            before, self._visiting = self._visiting, True
            selection.setCurrentIndex(self.pictures.index(int(at[0])), QItemSelectionModel.SelectionFlag.ClearAndSelect)
            self._visiting = before

    def keyPressEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802
        """1 to 9 give a class."""
        text = event.text() if event is not None else ""
        if event is not None and len(text) == 1 and text in "123456789"[:MOST]:
            if self.chosen:
                self.given.emit(self.chosen, int(text) - 1)
            event.accept()
            return
        super().keyPressEvent(event)

    def _current_changed(self, index: QModelIndex, before: QModelIndex) -> None:
        if index.isValid() and not self._visiting and index.row() < len(self.pictures.shown):
            self._visiting = True
            self.visited.emit(int(self.pictures.shown[index.row()]))
            self._visiting = False
