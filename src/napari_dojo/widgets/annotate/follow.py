"""The section "Table and tracks" of the Annotate panel: objects measured, and followed through a series."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QAction  # type: ignore[attr-defined]
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QMenu, QPushButton, QVBoxLayout, QWidget

from napari_dojo.data.axes import Axes
from napari_dojo.errors import DojoError, explained
from napari_dojo.inference.tables import Table, write_csv
from napari_dojo.inference.tracking import Tracked, series_axes, track, write_geff
from napari_dojo.widgets.annotate.editing import Editing
from napari_dojo.widgets.common.form import described, form_layout, sentence
from napari_dojo.widgets.common.latest import Latest
from napari_dojo.widgets.common.layers import add_quietly, array_of, axes_of_labels, placement, provenance, source_of
from napari_dojo.widgets.common.measured import Measured
from napari_dojo.widgets.common.measurements import MeasurementsButton, chosen_here
from napari_dojo.widgets.common.options import NumberEdit
from napari_dojo.widgets.common.provenance import made, made_from
from napari_dojo.widgets.common.table import Measurements, open_table

__all__ = ["FollowSection"]

TRACK_TIP = "Follow the objects through the frames: a Tracks layer, and labels with one number for each track."


@dataclass(frozen=True, eq=False)
class _Series:
    """A labelled series that is followed."""

    labels: NDArray[Any]
    axes: Axes
    size: tuple[float, ...] | None
    unit: str | None
    guessed: bool

    @classmethod
    def of(cls, layer: Any) -> _Series:
        """From a layer; DojoError says why it is no series."""
        names, array = axes_of_labels(layer), array_of(layer)
        if "Z" in names and "T" not in names and "axes" in made(layer.metadata):
            raise DojoError("Tracking needs a series of images (an axis T). These labels are a stack of planes.")
        axes = series_axes(names, array.ndim)
        source = source_of(layer, axes.names)
        return cls(array, axes, source.pixel_size, source.unit, "T" not in names)

    def track(self, longest: float | None) -> tuple[_Series, Tracked]:
        """Follow the objects."""
        return self, track(self.labels, self.axes, longest, self.size, self.unit)


class FollowSection(QWidget):
    """Measurements and tracks of one Labels layer. ``said`` gives a sentence, ``failed`` why something did not work."""

    said = Signal(str)
    failed = Signal(str)

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self._editing: Editing | None = None
        self._tracked: tuple[_Series, Tracked] | None = None
        self._table: Measurements | None = None  # while it shows this layer
        self._measuring, self._tracking = Latest(self), Latest(self)
        self._measuring.told.connect(self._measured)
        self._tracking.told.connect(self._followed)
        self.table_button = QPushButton("Table")
        tip = "Size, place, shape and intensity of each object, in a table below the image. A click on a row leads to the object, a click on an object to its row."
        described(self.table_button, "Table", tip)
        self.columns_button = MeasurementsButton()
        self.track_button = QPushButton("Track")
        described(self.track_button, "Track", TRACK_TIP)
        self.step_edit = NumberEdit(
            value=None, min=1, max=10_000, step=1, nullable=True, unit="px", word="automatic", decimals=0
        )
        tip = "How far an object may move from frame to frame; automatic: as far as it is wide."
        described(self.step_edit.native, "Largest step", tip)
        self.export_button = QPushButton("Export")
        described(self.export_button, "Export tracks", "Save the tracks as a table (CSV), or as a graph (GEFF).")
        menu = QMenu(self)
        self._actions: dict[str, QAction] = {}
        for kind, title in (("csv", "Table (CSV) ..."), ("geff", "Graph (GEFF) ...")):
            self._actions[kind] = QAction(title, menu)
            self._actions[kind].triggered.connect(lambda _=False, kind=kind: self._export(kind))
            menu.addAction(self._actions[kind])
        self.export_button.setMenu(menu)
        self.why = sentence(lines=1)
        self.why.setAccessibleName("What tracking needs")
        self._lay_out()
        self.table_button.clicked.connect(self._open)
        self.columns_button.changed.connect(self._measure)
        self.track_button.clicked.connect(self._track)
        self._show()

    def _lay_out(self) -> None:
        column, first, second, form = QVBoxLayout(self), QHBoxLayout(), QHBoxLayout(), form_layout()
        column.setContentsMargins(0, 0, 0, 0)
        for layout in (column, first, second):
            layout.setSpacing(4)
        first.addWidget(self.table_button, 1)
        first.addWidget(self.columns_button)
        second.addWidget(self.track_button, 1)
        second.addWidget(self.export_button)
        form.addRow("Largest step", self.step_edit.native)
        column.addLayout(first)
        column.addLayout(second)
        column.addLayout(form)
        column.addWidget(self.why)

    def use(self, editing: Editing | None) -> None:
        """Of another layer, or of none."""
        if editing is not self._editing:
            if self._editing is not None:
                self._editing.counted.disconnect(self._measure)
            for latest in (self._measuring, self._tracking):
                latest.forget()
            self._editing, self._tracked, self._table = editing, None, None
            if editing is not None:
                editing.counted.connect(self._measure)
        self._show()

    def end(self) -> None:
        """The panel is closing."""
        self.use(None)

    def ask_path(self, suggestion: Path, pattern: str) -> Path | None:
        """Let a person name the file; None where they did not."""
        named, _ = QFileDialog.getSaveFileName(self, "Export tracks", str(suggestion), pattern)
        return Path(named) if named else None

    def _show(self) -> None:
        why = ""
        if self._editing is not None:
            try:
                series = _Series.of(self._editing.labels)
                why = "The first axis is taken as time." if series.guessed else ""
                self.track_button.setEnabled(True)
            except DojoError as error:
                why = str(error)
                self.track_button.setEnabled(False)
        on = self._editing is not None and isinstance(self._editing.data, np.ndarray)
        self.track_button.setEnabled(on and self.track_button.isEnabled() and not self._tracking.busy)
        self.table_button.setEnabled(on)
        self.export_button.setEnabled(self._tracked is not None)
        self.why.setText(why)

    # table

    def _open(self) -> None:
        if self._editing is not None:
            self._table = open_table(self._viewer, [self._editing.labels])
            self._measure()

    def _measure(self, *_: Any) -> None:
        """Measure, where the table shows it."""
        editing, table = self._editing, self._table
        if editing is not None and table is not None and table.shows(editing.labels):
            measured = Measured.of(editing.labels, editing.image)
            self._measuring.ask(measured.table, chosen_here())

    def _measured(self, found: Any) -> None:
        if isinstance(found, Exception):
            self.failed.emit(explained(found))
        elif self._editing is not None:
            labels = self._editing.labels
            labels.features = _kept_columns(found, labels.features)

    # tracks

    def _track(self) -> None:
        if self._editing is None:
            return
        try:
            series = _Series.of(self._editing.labels)
        except DojoError as error:
            self.failed.emit(str(error))
            return
        self.said.emit("Tracking ...")
        self._tracking.ask(series.track, self.step_edit.value)
        self._show()

    def _followed(self, found: Any) -> None:
        if isinstance(found, Exception):
            self.said.emit("")
            self.failed.emit(explained(found))
        elif self._editing is not None:
            self._tracked = found
            self._add(*found)
            self.said.emit(found[1].sentence + ".")
        self._show()

    def _add(self, series: _Series, tracked: Tracked) -> None:
        """A Tracks layer, and labels with the numbers of the tracks; those of before are replaced."""
        from napari.layers import Tracks

        assert self._editing is not None
        layer, viewer = self._editing.labels, self._viewer
        names = f"{layer.name} by track", f"{layer.name} tracks"
        for old in made_from(layer, viewer.layers, "tracked"):
            viewer.layers.remove(old)
        place = placement(layer, range(layer.ndim))
        facts = provenance("tracked", layer, axes=series.axes.names, spatial=series.axes.spatial)
        add_quietly(viewer, tracked.labels, names[0], metadata=facts, **place)
        selected, active = set(viewer.layers.selection), viewer.layers.selection.active
        place.pop("axis_labels", None)
        viewer.add_layer(Tracks(tracked.tracks, name=names[1], metadata=facts, **place))
        viewer.layers.selection = selected
        viewer.layers.selection.active = active
        layer.visible = False

    def _export(self, kind: str) -> None:
        if self._tracked is None or self._editing is None:
            return
        series, tracked = self._tracked
        path = self.ask_path(Path.home() / f"{self._editing.labels.name} tracks.{kind}", f"*.{kind}")
        if path is None:
            return
        path = path if path.suffix == f".{kind}" else path.with_name(f"{path.name}.{kind}")
        try:
            if kind == "csv":
                write_csv(path, tracked.table)
            else:
                write_geff(path, tracked, series.axes, series.size, series.unit)
        except (DojoError, OSError) as error:
            self.failed.emit(explained(error))
            return
        self.said.emit(f"Written {path.name} to {path.parent}.")


def _kept_columns(table: Table, before: Any) -> dict[str, Any]:
    """A new table with the columns that others wrote into the features (classes), by number and position."""
    keys = [k for k in ("index", "frame", "plane") if k in table]
    others = [] if any(k not in before for k in keys) else [c for c in before.columns if c not in table]
    if not others or not len(before):
        return dict(table)
    old = {tuple(row): i for i, row in enumerate(zip(*(before[k].to_numpy().tolist() for k in keys), strict=True))}
    rows = [old.get(row, -1) for row in zip(*(table[k].tolist() for k in keys), strict=True)]
    kept = {c: before[c].to_numpy() for c in others if c in ("class", "probability") or c.startswith("p_")}
    return dict(table) | {c: [v[i] if i >= 0 else _nothing(v) for i in rows] for c, v in kept.items()}


def _nothing(values: NDArray[Any]) -> Any:
    return np.nan if values.dtype.kind in "iuf" else ""
