"""What a run has done so far: a row for each image, and one for each that was skipped; a click shows an image with its result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

from napari_dojo.io import images
from napari_dojo.io.images import Picture
from napari_dojo.widgets.common.form import described
from napari_dojo.widgets.common.layers import provenance
from napari_dojo.widgets.common.provenance import is_prediction, is_uncorrected, watch_corrections

__all__ = ["Opened", "Rows", "RowsView", "opened", "show"]

ROW = 22  # px
SHOWN = 6  # rows that are seen at once
TAG = "napari-dojo batch"


class Rows(QAbstractTableModel):
    """Rows of text; each has a value that belongs to it."""

    def __init__(self, titles: Sequence[str]) -> None:
        super().__init__()
        self._titles = tuple(titles)
        self.rows: list[tuple[tuple[str, ...], Any]] = []

    def replace(self, rows: Iterable[tuple[tuple[str, ...], Any]]) -> None:
        """Show these rows."""
        self.beginResetModel()
        self.rows = list(rows)
        self.endResetModel()

    def add(self, rows: Sequence[tuple[tuple[str, ...], Any]]) -> None:
        """Add rows at the end."""
        if rows:
            at = len(self.rows)
            self.beginInsertRows(QModelIndex(), at, at + len(rows) - 1)
            self.rows += rows
            self.endInsertRows()

    def rowCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802
        """Of images."""
        return len(self.rows)

    def columnCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802
        """Of what is said of them."""
        return len(self._titles)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """A text, also as a tooltip: reasons are long."""
        if not index.isValid() or role not in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):
            return None
        return self.rows[index.row()][0][index.column()]

    def headerData(  # noqa: N802
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """The titles of the columns."""
        shown = orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole
        return self._titles[section] if shown else None


class RowsView(QTableView):
    """Rows in a table; ``chosen`` gives the value of the row that is clicked or reached by the arrow keys."""

    chosen = Signal(object)

    def __init__(self, rows: Rows, name: str, tip: str, stretched: int, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows = rows
        self.setModel(rows)
        described(self, name, tip)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setWordWrap(False)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setTabKeyNavigation(False)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        vertical, horizontal = self.verticalHeader(), self.horizontalHeader()
        if vertical is not None and horizontal is not None:
            vertical.hide()
            vertical.setDefaultSectionSize(ROW)
            horizontal.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
            horizontal.setSectionResizeMode(stretched, QHeaderView.ResizeMode.Stretch)
        self.setFixedHeight(ROW * (SHOWN + 1) + 6)
        self.setMinimumWidth(100)
        selection = self.selectionModel()
        if selection is not None:
            selection.currentRowChanged.connect(self._clicked)

    def _clicked(self, current: QModelIndex, before: QModelIndex) -> None:
        if current.isValid():
            self.chosen.emit(self.rows.rows[current.row()][1])


class Opened(NamedTuple):
    """An image of a run as read, and its result: labels, or a predicted image, where one was written."""

    name: str
    image: Picture
    result: Picture | None
    is_labels: bool


def opened(stored: Mapping[str, Any]) -> Opened:
    """Read an image and its result; DojoError where one is gone."""
    image = images.read(stored["source"], image=int(stored["number"]))
    path = stored.get("prediction")
    if path is None:
        return Opened(str(stored["name"]), image, None, False)
    result = images.read(path, labels=True)
    return Opened(str(stored["name"]), image, result, result.data.dtype.kind in "ui")


def show(viewer: Any, found: Opened) -> None:
    """Show an image and its result as layers.

    Those that this function showed before get the new data, or go where they do not fit. A result that a person has painted
    in is theirs: it stays, hidden.
    """
    tag = {TAG: True}
    wanted = [_Shown(found.name, found.image.data, False, tag, _place(found.image, found.image))]
    if found.result is not None:
        name, made = f"{found.name}: {'labels' if found.is_labels else 'predicted'}", provenance("result", found.name)
        wanted.append(_Shown(name, found.result.data, found.is_labels, tag | made, _place(found.result, found.image)))
    ours = [layer for layer in viewer.layers if layer.metadata.get(TAG)]
    for layer in [x for x in ours if is_prediction(x.metadata) and not is_uncorrected(x.metadata)]:
        ours.remove(layer)  # a person has painted in it: it is theirs
        del layer.metadata[TAG]
        layer.visible = False
    if len(ours) == len(wanted) and all(new.fits(old) for new, old in zip(wanted, ours, strict=True)):
        for new, old in zip(wanted, ours, strict=True):
            new.replace(old)
    else:
        for layer in ours:
            viewer.layers.remove(layer)
        for new in wanted:
            new.add(viewer)
    viewer.reset_view()


class _Shown(NamedTuple):
    """What a layer is to show, and where: arguments of napari's layers."""

    name: str
    data: Any
    labels: bool
    metadata: dict[str, Any]
    place: dict[str, Any]

    def fits(self, layer: Any) -> bool:
        """Whether a layer can show it, too; adding layers to a window and removing them takes long."""
        if "channel_axis" in self.place or layer._type_string != ("labels" if self.labels else "image"):
            return False
        if layer.ndim != len(self.place["scale"]):
            return False
        return self.labels or bool(self.place.get("rgb")) == layer.rgb

    def replace(self, layer: Any) -> None:
        """Show it in a layer that fits; how the layer looks stays as it is."""
        layer.data, layer.name, layer.units = self.data, self.name, self.place["units"]
        layer.scale, layer.metadata = self.place["scale"], self.metadata
        if not (self.labels or layer.rgb):
            layer.reset_contrast_limits()

    def add(self, viewer: Any) -> None:
        """Show it in a new layer."""
        add = viewer.add_labels if self.labels else viewer.add_image
        added = add(self.data, name=self.name, metadata=self.metadata, **self.place)
        for layer in added if isinstance(added, list) else [added]:
            watch_corrections(layer)


def _place(picture: Picture, image: Picture) -> dict[str, Any]:
    """Scale and channels of a picture's layer; of an axis that is not known, 1."""
    names = picture.axes or ("TZYX"[-picture.data.ndim :] if not picture.rgb else "YXC")
    size = dict(zip("XYZ", (picture.pixel_size or image.pixel_size or ())[::-1], strict=False))
    unit = picture.unit or image.unit or "pixel"
    more: dict[str, Any] = {}
    if picture.rgb:
        names, more["rgb"] = names.replace("C", ""), True
    elif "C" in names:
        more["channel_axis"] = names.index("C")
        names = names.replace("C", "")
    more["scale"] = [float(size.get(a, 1.0)) for a in names]
    more["units"] = [unit if a in size else "pixel" for a in names]
    return more
