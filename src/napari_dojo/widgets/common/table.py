"""The measurements of layers as a table below the image: a click on a row leads to the object, and the other way round."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from qtpy.QtCore import QAbstractTableModel, QModelIndex, QSortFilterProxyModel, Qt
from qtpy.QtWidgets import QAbstractItemView, QMainWindow, QTableView, QVBoxLayout, QWidget

from napari_dojo.inference.tables import POSITION, place_of
from napari_dojo.widgets.common.camera import look_at
from napari_dojo.widgets.common.closing import watch_window
from napari_dojo.widgets.common.form import NameBox, described
from napari_dojo.widgets.common.layers import axes_of_labels
from napari_dojo.widgets.common.panel import plain_viewer, raised

__all__ = ["Measurements", "go_to", "open_table"]

TITLE = "Measurements (Dojo)"
PAINTING = {"paint", "fill", "erase", "polygon"}
ROW, HEIGHT = 22, 170  # px of a row, and of the table when it opens
RAW = Qt.ItemDataRole.UserRole


class _Rows(QAbstractTableModel):
    """The features of a layer; ``RAW`` is what is sorted by."""

    def __init__(self) -> None:
        super().__init__()
        self._names: list[str] = []
        self._columns: list[Any] = []

    def show_features(self, features: Any) -> None:
        """Show these, a data frame; None for nothing."""
        self.beginResetModel()
        columns = [] if features is None else list(features.columns)
        self._names = [str(c) for c in columns]
        self._columns = [features[c].to_numpy() for c in columns]
        self.endResetModel()

    def row(self, k: int) -> dict[str, Any]:
        """The values of a row, by the names of the columns."""
        return {name: column[k] for name, column in zip(self._names, self._columns, strict=True)}

    def find(self, number: int, where: dict[str, int]) -> int | None:
        """The row of an object: its number, and its frame and plane where the table has them; None where there is none."""
        if "index" not in self._names or not self.rowCount():
            return None
        same = self._columns[self._names.index("index")] == number
        for name, at in where.items():
            if name in self._names:
                same = same & (self._columns[self._names.index(name)] == at)
        found = np.flatnonzero(same)
        return int(found[0]) if len(found) else None

    def rowCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802
        """Of objects."""
        return len(self._columns[0]) if self._columns else 0

    def columnCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802
        """Of measurements."""
        return len(self._names)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """A value: as text, and as it is sorted by."""
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        if not index.isValid() or role not in (Qt.ItemDataRole.DisplayRole, RAW):
            return None
        value = self._columns[index.column()][index.row()]
        value = value.item() if isinstance(value, np.generic) else value
        return value if role == RAW else f"{value:.5g}" if isinstance(value, float) else str(value)

    def headerData(  # noqa: N802
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """The names of the columns; rows have none, for their first column is their number."""
        shown = orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole
        return self._names[section] if shown else None


class Measurements(QWidget):
    """The measurements of one of some layers, as they are at any time."""

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self._layer: Any = None
        self._following = False  # the layer chose the row, so the camera stays
        self.box = NameBox()
        described(self.box, "Layer", "The layer whose measurements are shown.")
        self.view, self._rows, sorted_rows = QTableView(), _Rows(), QSortFilterProxyModel(self)
        described(self.view, "Measurements", "A click on a row leads to its object; a click on a heading sorts by it.")
        sorted_rows.setSourceModel(self._rows)
        sorted_rows.setSortRole(RAW)
        self.view.setModel(sorted_rows)
        self.view.setSortingEnabled(True)
        self.view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.view.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.view.sortByColumn(-1, Qt.SortOrder.AscendingOrder)
        head = self.view.verticalHeader()
        if head is not None:
            head.hide()
            head.setDefaultSectionSize(ROW)
        column = QVBoxLayout(self)
        column.setContentsMargins(4, 4, 4, 4)
        column.addWidget(self.box)
        column.addWidget(self.view)
        self.box.currentIndexChanged.connect(self._chosen)
        selection = self.view.selectionModel()
        if selection is not None:
            selection.currentRowChanged.connect(self._clicked)
        viewer.layers.events.removed.connect(self._removed)
        watch_window(viewer).closing.connect(self.end)

    def show_layers(self, layers: Sequence[Any]) -> None:
        """Offer these layers, and show the first."""
        self.box.clear()
        for layer in layers:
            self.box.addItem(layer.name, layer)
        self.box.setVisible(len(layers) > 1)

    def shows(self, layer: Any) -> bool:
        """Whether it is a layer's measurements that can be seen."""
        return self._layer is layer and self.isVisible()

    def end(self) -> None:
        """Listen no more."""
        self._follow(None)
        self._viewer.layers.events.removed.disconnect(self._removed)

    def _chosen(self, *_: Any) -> None:
        self._follow(self.box.currentData())

    def _follow(self, layer: Any) -> None:
        if self._layer is not None:
            self._layer.events.features.disconnect(self._refresh)
            if _is_labels(self._layer):
                self._layer.events.selected_label.disconnect(self._selected)
            with suppress(ValueError):
                self._layer.mouse_drag_callbacks.remove(self._pressed)
        self._layer = layer
        if layer is not None:
            layer.events.features.connect(self._refresh)
            if _is_labels(layer):
                layer.events.selected_label.connect(self._selected)
                layer.mouse_drag_callbacks.append(self._pressed)
        self._refresh()

    def _refresh(self, *_: Any) -> None:
        self._rows.show_features(None if self._layer is None else self._layer.features)
        self.view.resizeColumnsToContents()

    def _selected(self, event: Any = None) -> None:
        """A label was selected in the layer."""
        self.choose(int(self._layer.selected_label))

    def _pressed(self, layer: Any, event: Any) -> Generator[None, None, None]:
        """A click on an object chooses its row; a drag moves the camera, as ever."""
        yield
        if event.type == "mouse_move" or str(layer.mode) in PAINTING or layer is not self._layer:
            return
        value = layer.get_value(
            event.position, view_direction=event.view_direction, dims_displayed=event.dims_displayed, world=True
        )
        value = value[-1] if layer.multiscale and value else value  # (level, value)
        if value:
            self.choose(int(value))

    def choose(self, number: int) -> None:
        """Choose the row of an object in what is shown; the camera stays."""
        layer, model = self._layer, self.view.model()
        if layer is None or not isinstance(model, QSortFilterProxyModel):
            return
        point = np.rint(np.asarray(layer.world_to_data(self._viewer.dims.point))).astype(int)
        where = {POSITION[a]: int(p) for a, p in zip(axes_of_labels(layer), point, strict=True) if a in POSITION}
        row = self._rows.find(number, where)
        if row is None:
            return
        index = model.mapFromSource(self._rows.index(row, 0))
        self._following = True
        self.view.setCurrentIndex(index)
        self.view.scrollTo(index)
        self._following = False

    def _removed(self, event: Any) -> None:
        at = self.box.findData(event.value)
        if at >= 0:
            self.box.removeItem(at)

    def _clicked(self, current: QModelIndex, before: QModelIndex) -> None:
        model = self.view.model()
        follows = self._layer is not None and not self._following
        if follows and current.isValid() and isinstance(model, QSortFilterProxyModel):
            row = model.mapToSource(current).row()
            if _is_labels(self._layer):
                go_to(self._viewer, self._layer, self._rows.row(row))
            else:
                look_at(self._viewer, self._layer.data_to_world(self._layer.data[row]))


def _is_labels(layer: Any) -> bool:
    """Whether the rows are objects of a Labels layer; else they are points."""
    return bool(layer._type_string == "labels")


def go_to(viewer: Any, layer: Any, row: dict[str, Any]) -> None:
    """Show the object of a row of measurements in the middle of the canvas, and select its label unless a brush is in hand."""
    place = place_of(row, axes_of_labels(layer))
    if place is None:
        return
    look_at(viewer, layer.data_to_world(place))
    if str(layer.mode) not in PAINTING:
        layer.selected_label = int(row["index"])


def open_table(viewer: Any, layers: Sequence[Any]) -> Measurements:
    """Show the measurements of layers below the canvas."""
    viewer = plain_viewer(viewer)
    table = next((w for w in viewer.window.dock_widgets.values() if isinstance(w, Measurements)), None)
    if table is None:
        table = Measurements(viewer)
        dock = viewer.window.add_dock_widget(table, name=TITLE, area="bottom")
        window = dock.parent()
        if isinstance(window, QMainWindow):
            window.resizeDocks([dock], [HEIGHT], Qt.Orientation.Vertical)
    table.show_layers(layers)
    raised(table)
    return table
