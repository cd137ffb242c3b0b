"""The section "Filter" of the Annotate panel: which objects go is seen while sliders move, and removing them is one step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QSignalBlocker, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)
from superqt import QRangeSlider

from napari_dojo.data import edits
from napari_dojo.data.axes import Axes
from napari_dojo.data.edits import Edit
from napari_dojo.errors import explained
from napari_dojo.inference import filters
from napari_dojo.inference.filters import Limits, Range
from napari_dojo.inference.tables import MEASUREMENTS, Table
from napari_dojo.widgets.annotate.editing import Editing, Tidied
from napari_dojo.widgets.common.form import calm, described, narrow, sentence
from napari_dojo.widgets.common.latest import Latest
from napari_dojo.widgets.common.layers import add_quietly, array_of, placement, provenance
from napari_dojo.widgets.common.measured import Measured

__all__ = ["FilterSection"]

STEPS = 1000  # of a slider
NUMBER = 58  # px of a number, up to seven digits
GOES = "#D55E00"
OFFERED = (
    "eccentricity",
    "solidity",
    "circularity",
    "equivalent_diameter",
    "major_axis",
    "mean_intensity",
    "std_intensity",
)
NOTHING = "Choose a Labels layer."
CHANGED = "The labels were changed meanwhile. Try again."
SMOOTHED = 2.0  # px, as the tool Smooth does


class RangeRow(QWidget):
    """A measurement with its range: two numbers, and a slider with two handles below. ``changed`` : another range.

    Along the slider lie the objects, equally far apart from the smallest to the largest: each step takes as many of them.
    """

    changed = Signal()
    closed = Signal()

    def __init__(self, column: str, title: str, removable: bool = True) -> None:
        super().__init__()
        self.column = column
        self._values: NDArray[np.float64] = np.zeros(0)
        self._open = [True, True]  # no limit at this end
        self.low, self.high = QDoubleSpinBox(), QDoubleSpinBox()
        self.slider = QRangeSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, STEPS)
        self.slider.setValue((0, STEPS))
        label = QLabel(title)
        label.setToolTip("Objects outside of this range are removed.")
        label.setMinimumWidth(10)
        label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        top, column_layout = QHBoxLayout(), QVBoxLayout(self)
        for layout in (top, column_layout):
            layout.setContentsMargins(0, 0, 0, 0)
            layout.setSpacing(2)
        top.addWidget(label, 1)
        for box, which in ((self.low, "minimum"), (self.high, "maximum")):
            box.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)
            box.setKeyboardTracking(False)
            box.setRange(-1e12, 1e12)
            box.setStyleSheet("min-width: 0px; padding: 1px 2px;")  # napari's leaves room for arrows
            box.setFixedWidth(NUMBER)
            described(box, f"{title}, {which}", f"The {which} of what stays: {title}.")
            calm(box)
            box.valueChanged.connect(self._typed)
        top.addWidget(self.low)
        top.addWidget(QLabel("to"))
        top.addWidget(self.high)
        described(self.slider, f"{title}, range", "Drag the two handles: objects outside of this range are removed.")
        calm(self.slider)
        self.slider.valueChanged.connect(self._slid)
        if removable:
            close = QToolButton()
            close.setText("✕")
            described(close, f"Remove: {title}", f"Filter no longer by this: {title}.")
            close.clicked.connect(lambda: self.closed.emit())
            top.addWidget(close)
        column_layout.addLayout(top)
        column_layout.addWidget(self.slider)

    @property
    def range(self) -> Range:
        """What is set; no limit where a handle is at the end."""
        ends = [None if free else box.value() for box, free in zip((self.low, self.high), self._open, strict=True)]
        return Range(self.column, *ends)

    def show_values(self, values: NDArray[Any]) -> None:
        """The values of the objects, which the slider runs along; limits that are set stay."""
        found = np.asarray(values, float)
        self._values = np.sort(found[np.isfinite(found)])
        self.setEnabled(bool(len(self._values)))
        if not len(self._values):
            return
        large = max(abs(self._values[0]), abs(self._values[-1]))
        for box, free, end in zip((self.low, self.high), self._open, (self._values[0], self._values[-1]), strict=True):
            with QSignalBlocker(box):
                box.setDecimals(0 if large >= 1000 or not (self._values % 1).any() else 2 if large >= 2 else 3)
                if free:
                    box.setValue(end)
        self._place()

    def reset(self) -> None:
        """No limits."""
        self._open = [True, True]
        self.show_values(self._values)

    def _place(self) -> None:
        """Put the handles where the numbers are."""
        at = np.searchsorted(self._values, [self.low.value(), self.high.value()], "left") / max(
            1, len(self._values) - 1
        )
        places = [0 if self._open[0] else at[0], 1 if self._open[1] else at[1]]
        with QSignalBlocker(self.slider):
            self.slider.setValue(tuple(int(np.clip(round(STEPS * p), 0, STEPS)) for p in places))

    def _slid(self, places: Sequence[int]) -> None:
        if not len(self._values):
            return
        self._open = [places[0] <= 0, places[1] >= STEPS]
        last = len(self._values) - 1
        for box, place in zip((self.low, self.high), places, strict=True):
            with QSignalBlocker(box):
                box.setValue(float(self._values[round(last * place / STEPS)]))
        self.changed.emit()

    def _typed(self, value: float) -> None:
        if not len(self._values):
            return
        self._open = [self.low.value() <= self._values[0], self.high.value() >= self._values[-1]]
        self._place()
        self.changed.emit()


@dataclass(frozen=True, eq=False)
class _Marked:
    """Where the objects lie that go, and the labels that this is true for."""

    mask: NDArray[np.uint8]
    axes: Axes


class FilterSection(QWidget):
    """Filters of one Labels layer. ``said`` gives a sentence.

    Attributes
    ----------
    remove_button : removes what goes, as one step that can be undone.
    """

    said = Signal(str)

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self._editing: Editing | None = None
        self._table: Table | None = None
        self._stay: NDArray[np.bool_] = np.zeros(0, bool)
        self._layer: Any = None  # what shows which objects go
        self._measuring, self._marking, self._changing = Latest(self), Latest(self), Latest(self)
        self._measuring.told.connect(self._measured)
        self._marking.told.connect(self._marked)
        self._changing.told.connect(self._done)
        self.border_box = QCheckBox("Remove objects at the border")
        described(
            self.border_box,
            "Border",
            "Objects that touch the border of the image, which are seen in part only, are removed.",
        )
        self.rows: list[RangeRow] = []
        self.more_box = QComboBox()
        described(self.more_box, "Filter by", "Filter by another measurement, too.")
        narrow(self.more_box)
        self.count = sentence(NOTHING, lines=1)
        self.count.setAccessibleName("How many objects will be removed")
        self.remove_button, self.reset_button = QPushButton("Remove them"), QPushButton("Reset")
        described(
            self.remove_button, "Remove them", "Remove the objects outside of the limits. Ctrl+Z brings them back."
        )
        described(self.reset_button, "Reset filters", "No limits: all objects stay.")
        self.holes_button, self.smooth_button = QPushButton("Fill all holes"), QPushButton("Smooth all")
        described(self.holes_button, "Fill all holes", "Fill the holes of all objects. Ctrl+Z undoes it.")
        described(self.smooth_button, "Smooth all", "Smooth the outlines of all objects. Ctrl+Z undoes it.")
        self._lay_out()
        self.border_box.toggled.connect(self._ask)
        self.more_box.activated.connect(self._add_chosen)
        self.remove_button.clicked.connect(self._remove)
        self.reset_button.clicked.connect(self._reset)
        self.holes_button.clicked.connect(lambda: self._change(_all_filled, "Filling holes ..."))
        self.smooth_button.clicked.connect(lambda: self._change(_all_smoothed, "Smoothing ..."))
        self._add("area_px", "Area (px)", removable=False)
        self._offer()
        self._show()

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(self.border_box)
        self._rows = QVBoxLayout()
        self._rows.setSpacing(4)
        column.addLayout(self._rows)
        column.addWidget(self.more_box)
        column.addWidget(self.count)
        grid = QGridLayout()
        grid.setSpacing(4)
        for k, button in enumerate((self.remove_button, self.reset_button, self.holes_button, self.smooth_button)):
            grid.addWidget(button, k // 2, k % 2)
            grid.setColumnStretch(k % 2, 1)
        column.addLayout(grid)

    @property
    def limits(self) -> Limits:
        """What is set."""
        ranges = (row.range for row in self.rows)
        return Limits(self.border_box.isChecked(), tuple(r for r in ranges if r.low is not None or r.high is not None))

    def use(self, editing: Editing | None) -> None:
        """Filter the objects of another layer, or of none."""
        if editing is not self._editing:
            if self._editing is not None:
                self._editing.counted.disconnect(self._ask)
            self._editing, self._table = editing, None
            for latest in (self._measuring, self._marking, self._changing):
                latest.forget()
            self._clear()
            if editing is not None:
                editing.counted.connect(self._ask)
        self._ask()

    def end(self) -> None:
        """The panel is closing."""
        if self._editing is not None:
            self._editing.counted.disconnect(self._ask)
            self._editing = None
        for latest in (self._measuring, self._marking, self._changing):
            latest.forget()
        self._clear()

    def showEvent(self, event: Any) -> None:  # noqa: N802
        """The section is unfolded: look at the objects."""
        super().showEvent(event)
        self._ask()

    def hideEvent(self, event: Any) -> None:  # noqa: N802
        """The section is folded: its marks are gone."""
        super().hideEvent(event)
        if not event.spontaneous():
            self._clear()

    # what goes

    def _ask(self, *_: Any) -> None:
        """Measure the objects as they are now, where that is seen."""
        if self._editing is None or not self.isVisible() or not isinstance(self._editing.data, np.ndarray):
            self._show()
            return
        columns = tuple(Range(row.column) for row in self.rows)
        measured = Measured.of(self._editing.labels, self._editing.image)
        limits = Limits(self.border_box.isChecked(), columns)
        self._measuring.ask(measured.table_for, limits)

    def _measured(self, found: Any) -> None:
        if isinstance(found, Exception):
            self._table = None
            self.count.setText(explained(found))
            return
        self._table = found
        for row in self.rows:
            row.show_values(found[row.column] if row.column in found else np.zeros(0))
        self._offer()
        self._choose()

    def _choose(self) -> None:
        """Count what goes, and mark it."""
        if self._table is None or self._editing is None:
            return
        known = {r.column for r in self.limits.ranges} <= set(self._table)
        if not known or (self.border_box.isChecked() and filters.BORDER not in self._table):
            return  # it is being measured
        self._stay = filters.kept(self._table, self.limits)
        self._show()
        if self._stay.all():
            self._marking.forget()
            self._clear()
        else:
            self._marking.ask(_mark, self._editing.data, Measured.of(self._editing.labels).axes, self._stay)

    def _marked(self, found: Any) -> None:
        if self._editing is None or not isinstance(found, _Marked) or not self.isVisible():
            return
        labels = self._editing.labels
        if found.mask.shape != tuple(array_of(labels).shape):
            return
        if self._layer is None or self._layer not in self._viewer.layers:
            colours = {None: "transparent", 0: "transparent", 1: GOES}
            made, place = provenance("comparison", labels), placement(labels, range(labels.ndim))
            self._layer = add_quietly(
                self._viewer,
                found.mask,
                f"{labels.name} to remove",
                metadata=made,
                colormap=colours,
                opacity=1.0,
                **place,
            )
        elif self._layer.data.shape == found.mask.shape:
            np.copyto(self._layer.data, found.mask)  # for new data napari would measure all layers again
            self._layer.refresh(extent=False)
        else:
            self._layer.data = found.mask

    def _clear(self) -> None:
        layer, self._layer = self._layer, None
        if layer is not None and layer in self._viewer.layers:
            self._viewer.layers.remove(layer)

    def _show(self) -> None:
        """How many go, and what may be pressed."""
        ready = self._editing is not None and isinstance(self._editing.data, np.ndarray)
        total = len(self._stay) if ready and self._table is not None else 0
        gone = int(np.count_nonzero(~self._stay)) if total else 0
        if not ready:
            self.count.setText(NOTHING)
        elif self._table is None:
            self.count.setText("Measuring ...")
        else:
            self.count.setText(f"{gone:,} of {total:,} objects will be removed." if total else "No objects yet")
        self.remove_button.setEnabled(gone > 0 and not self._changing.busy)
        for button in (self.holes_button, self.smooth_button):
            button.setEnabled(ready and not self._changing.busy)

    # measurements

    def _offer(self) -> None:
        """Offer the measurements that there are and that no row has."""
        self.more_box.clear()
        self.more_box.addItem("+ filter by ...", None)
        volumes = self._editing is not None and len(Measured.of(self._editing.labels).axes.spatial) == 3
        image = self._editing is not None and self._editing.image is not None
        taken = {row.column for row in self.rows}
        for m in MEASUREMENTS:
            fits = m.name in OFFERED and not (m.flat and volumes) and (image or not m.intensity)
            column = f"{m.name}_px" if m.length else m.name
            if fits and column not in taken:
                self.more_box.addItem(m.name.replace("_", " ") + (" (px)" if m.length else ""), column)
        if self.rows and volumes != (self.rows[0].column == "volume_px"):
            self._renamed(volumes)

    def _renamed(self, volumes: bool) -> None:
        """The first row is of areas or of volumes."""
        column, title = ("volume_px", "Volume (px)") if volumes else ("area_px", "Area (px)")
        self._close(self.rows[0])
        self._add(column, title, removable=False, at=0)

    def _add_chosen(self, *_: Any) -> None:
        column = self.more_box.currentData()
        if column:
            self._add(column, self.more_box.currentText())
            self._offer()
            self._ask()

    def _add(self, column: str, title: str, removable: bool = True, at: int | None = None) -> None:
        row = RangeRow(column, title[0].upper() + title[1:], removable)
        row.setEnabled(False)
        row.changed.connect(self._choose)
        row.closed.connect(lambda: self._drop(row))
        at = len(self.rows) if at is None else at
        self.rows.insert(at, row)
        self._rows.insertWidget(at, row)

    def _close(self, row: RangeRow) -> None:
        self.rows.remove(row)
        self._rows.removeWidget(row)
        row.deleteLater()

    def _drop(self, row: RangeRow) -> None:
        self._close(row)
        self._offer()
        self._choose()

    def _reset(self) -> None:
        with QSignalBlocker(self.border_box):
            self.border_box.setChecked(False)
        for row in self.rows:
            row.reset()
        self._choose()

    # changes

    def _remove(self) -> None:
        if self._editing is not None and not self._stay.all():
            self._change(_without, "Removing ...", Measured.of(self._editing.labels).axes, self._stay)

    def _change(self, make: Callable[..., Any], wait: str, *more: Any) -> None:
        if self._editing is not None and not self._changing.busy:
            self.said.emit(wait)
            self._changing.ask(_worked_out, make, self._editing.data, self._editing.mask, *more)
            self._show()

    def _done(self, found: Any) -> None:
        if isinstance(found, Exception):
            self.said.emit(explained(found))
        elif self._editing is not None:
            tidied, words = found
            if tidied is not None and not self._editing.tidy(tidied):
                words = CHANGED
            self.said.emit(words if tidied is not None else "Nothing to change.")
        self._show()
        self._ask()


def _worked_out(
    make: Callable[..., tuple[Edit | None, str]], data: NDArray[Any], accepted: Any, *more: Any
) -> tuple[Tidied | None, str]:
    """The edit, None where nothing changes, and a sentence."""
    edit, words = make(data, *more)
    return None if edit is None else Tidied.of(edit, accepted), words


def _mark(data: NDArray[Any], axes: Axes, stay: NDArray[np.bool_]) -> _Marked:
    return _Marked(((data > 0) & (filters.without(data, axes, stay) == 0)).astype(np.uint8), axes)


def _without(data: NDArray[Any], axes: Axes, stay: NDArray[np.bool_]) -> tuple[Edit | None, str]:
    gone = int(np.count_nonzero(~stay))
    text = f"Removed {gone:,} object{'s' * (gone != 1)}. Ctrl+Z brings them back."
    return _edit(data, filters.without(data, axes, stay)), text


def _all_filled(data: NDArray[Any]) -> tuple[Edit | None, str]:
    after, count = edits.fill_all_holes(data)
    return _edit(data, after), f"Filled the holes of {count:,} object{'s' * (count != 1)}."


def _all_smoothed(data: NDArray[Any]) -> tuple[Edit | None, str]:
    after, count = edits.smooth_all(data, SMOOTHED)
    return _edit(data, after), f"Smoothed {count:,} object{'s' * (count != 1)}."


def _edit(data: NDArray[Any], after: NDArray[Any]) -> Edit | None:
    return Edit.of(data, tuple(slice(0, n) for n in data.shape), after)
