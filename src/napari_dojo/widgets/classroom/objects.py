"""From toys to microscopy: measured objects of a Labels layer as points, and what the net makes of them in the image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from qtpy.QtCore import QPointF, QSize, QTimer, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import QButtonGroup, QComboBox, QHBoxLayout, QPushButton, QToolButton, QVBoxLayout, QWidget

from napari_dojo.axes import Axes
from napari_dojo.errors import DojoError, explained
from napari_dojo.measure import POSITION, Table, measure
from napari_dojo.playground.settings import PointSet
from napari_dojo.widgets.actions import _axes_of, _axes_over
from napari_dojo.widgets.form import described, form_layout, narrow, sentence
from napari_dojo.widgets.latest import Latest
from napari_dojo.widgets.layers import add_quietly, array_of, class_look, placement, provenance, source_of
from napari_dojo.widgets.panel import plain_viewer
from napari_dojo.widgets.pick import LayerBox, LayerWatch, images_of, labels_of, paired
from napari_dojo.widgets.plot import Plot, theme_colours

__all__ = ["Objects", "ObjectsSource", "objects_of"]

Key: TypeAlias = tuple[int, int]

CLASSES = 3
NONE = 8  # the number in the layer of an object without a class; 1 to 7 are classes
GREY = "#888888"
NUMBERS = range(1, NONE)
COLOURS = tuple(class_look(NUMBERS, [])["colormap"][k] for k in NUMBERS)
POSITIONS = tuple(POSITION.values())
OWN, ALONE = "own", "alone"  # figures of the layer's own table; of the labels without an image
NEAR = 14  # px from an object that still are a click on it
FIELDS = 48  # of the plane's picture, along each side
UNITS = {"px": "px", "um": "µm", "um2": "µm²", "um3": "µm³"}


@dataclass(frozen=True, eq=False)
class Objects:
    """Objects and their figures.

    Attributes
    ----------
    keys : (n,), the sample of the array (0 where there is one only) and the number of each object.
    columns : float64 (n,) by name; NaN where an object has no figure. Those that tell no objects apart are left out.
    rows : int32, as the labels lie: 0 where no object is, else 1 + the row of the object.
    notes : what was left out, a sentence each.
    """

    keys: tuple[Key, ...]
    columns: Table
    rows: NDArray[np.int32]
    notes: tuple[str, ...]

    def plane(self, names: Sequence[str]) -> NDArray[np.float64]:
        """Two columns z-scored over all objects, (n, 2); NaN in both where an object lacks one of them."""
        xy = np.stack([self.columns[name] for name in names], axis=1)
        fine = np.isfinite(xy).all(1)
        xy[~fine] = np.nan
        if fine.any():
            deviation = xy[fine].std(0)
            xy = (xy - xy[fine].mean(0)) / np.where(deviation > 0, deviation, 1)
        return xy


def objects_of(labels: Any, image: Any = None, table: Table | None = None) -> Objects:
    """The objects of a Labels layer, measured on an image layer, or with figures that are known already.

    Parameters
    ----------
    labels : a Labels layer; numbers above 0 are objects, in a series anew in each frame.
    image : an Image layer of the same size; None: shape alone.
    table : ``index`` (the numbers), ``frame`` and ``plane`` where there are such, and figures; None: measure.

    Raises
    ------
    DojoError : where there are fewer than two objects, or fewer than two columns that tell them apart.
    """
    source = source_of(labels if image is None else image, _names(labels, image), volumes=not _flat(labels))
    axes, array = source.axes.without_channels(), array_of(labels)
    x = None if image is None else source.array
    known = table is not None
    table = measure(array, x, source.axes, source.pixel_size, source.unit) if table is None else table
    keys = _keys(table, axes, array.shape)
    rows = _rows(array, axes, keys)
    there = np.bincount(rows.ravel(), minlength=len(keys) + 1)[1:] > 0
    rows = np.concatenate([[0], there.cumsum() * there]).astype(np.int32)[rows]
    _enough(int(there.sum()), labels.name)
    columns = {k: v[there] for k, v in _figures(table).items()}
    notes = list(_missing(array, rows, known))
    kept = {k: v for k, v in columns.items() if _varies(v)}
    if len(kept) < 2:
        raise DojoError(
            f"Two measurements that tell objects apart are needed; {labels.name} has {len(kept)}. Take more objects, "
            "or measure them on an image."
        )
    if len(kept) < len(columns):
        names = ", ".join(_title(k) for k in columns if k not in kept)
        notes.append(f"Left out, since all objects have the same or no value: {names}.")
    return Objects(tuple(key for key, on in zip(keys, there, strict=True) if on), kept, rows, tuple(notes))


class ObjectsPlot(Plot):
    """Objects in the plane of two measurements. ``clicked`` gives the row of the object that a person clicked."""

    clicked = Signal(int)

    def __init__(self, viewer: Any) -> None:
        legend = ((GREY, "●", "no class yet"), (None, "◎", "class given"))
        tip = "Each object of the image as a point. Click one to give it the class that is chosen."
        super().__init__(viewer, "Objects in the plane", tip, legend)
        self.setFixedHeight(190)
        self._picture = pg.ImageItem()
        self._picture.setOpacity(0.25)
        self._all, self._given = pg.ScatterPlotItem(), pg.ScatterPlotItem()
        for item in (self._picture, self._all, self._given):
            self.addItem(item)
        self._xy: NDArray[np.float64] = np.zeros((0, 2))
        self.scene().sigMouseClicked.connect(self._on_click)

    def show_objects(self, xy: NDArray[np.float64], numbers: NDArray[np.uint8], given: dict[int, int]) -> None:
        """Show objects (n, 2) in the colours of the classes (n,) that they seem to have, and rings for given classes."""
        self._xy = xy
        fine = np.isfinite(xy).all(1)
        colours = [_colour(int(n)) for n in numbers[fine]]
        self._all.setData(pos=xy[fine], brush=[pg.mkBrush(c) for c in colours], pen=None, size=6)
        rows = [row for row in given if fine[row]]
        text = theme_colours(self._viewer)["text"]
        self._given.setData(
            pos=xy[rows], brush=[pg.mkBrush(COLOURS[given[r]]) for r in rows], pen=pg.mkPen(text, width=2), size=12
        )

    def extent(self) -> tuple[float, float, float, float]:
        """Left, right, bottom, top: where the objects lie, and a little more."""
        fine = self._xy[np.isfinite(self._xy).all(1)]
        if not len(fine):
            return (-1.0, 1.0, -1.0, 1.0)
        low, high = fine.min(0) - 0.3, fine.max(0) + 0.3
        return (float(low[0]), float(high[0]), float(low[1]), float(high[1]))

    def show_surface(self, numbers: NDArray[np.uint8] | None) -> None:
        """Show the classes (fields, fields) of the plane behind the objects, row 0 the lowest; None: nothing."""
        left, right, bottom, top = self.extent()
        self.setRange(xRange=(left, right), yRange=(bottom, top), padding=0)
        if numbers is None:
            self._picture.clear()
            return
        table = np.array([QColor(_colour(k)).getRgb() for k in range(NONE + 1)], np.uint8)
        self._picture.setImage(table[numbers].transpose(1, 0, 2), levels=None)  # (x, y, rgba)
        self._picture.setRect(left, bottom, right - left, top - bottom)

    def nearest(self, place: QPointF) -> int | None:
        """The row of the object at a place of the widget, px; None where none is near."""
        box = self.plotItem.vb
        fine = np.flatnonzero(np.isfinite(self._xy).all(1))
        if not len(fine):
            return None
        seen = [box.mapViewToScene(QPointF(*map(float, self._xy[row]))) for row in fine]
        far = [(p.x() - place.x()) ** 2 + (p.y() - place.y()) ** 2 for p in seen]
        best = int(np.argmin(far))
        return int(fine[best]) if far[best] <= NEAR**2 else None

    def _on_click(self, event: Any) -> None:
        row = self.nearest(event.scenePos())
        if row is not None:
            self.clicked.emit(row)


class ObjectsSource(QWidget):
    """Objects of an image as points of the classroom.

    A few of them get a class by clicks; these are what is learned from. All of them are coloured by what the net says.
    Call `end` when the panel closes.

    Signals
    -------
    points : a `napari_dojo.playground.PointSet` of kind "own", all of it training, each time that a class was given or
        the plane is another one; only while each class up to the highest has an object. The coordinates are z-scored
        over all objects of the layer.

    Parameters
    ----------
    viewer : with the layers.
    """

    points = Signal(object)

    def __init__(self, viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.viewer = plain_viewer(viewer)
        self._asked: tuple[Any, Any] = (None, None)
        self._objects: Objects | None = None
        self._given: dict[Key, int] = {}
        self._numbers: NDArray[np.uint8] | None = None  # (n,) what the net says, as numbers of the layer
        self._layer: Any = None
        self._hidden: Any = None
        self._unwanted = self._ended = False
        self._build()
        self._work = Latest(self)
        self._work.told.connect(self._measured)
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(400)
        self._soon.timeout.connect(self._measure)
        self._watch = LayerWatch(self.viewer, self)
        self._watch.changed.connect(self.refresh)
        self.refresh()

    # what is shown

    def _build(self) -> None:
        self.labels_box = LayerBox("Objects", "The Labels layer whose objects are the points.")
        self.measured_box, self.x_box, self.y_box = QComboBox(), QComboBox(), QComboBox()
        described(
            self.measured_box, "Measured on", "Where the figures come from: an image, the shape alone, or a table."
        )
        described(self.x_box, "Across", "The measurement that becomes x, from left to right.")
        described(self.y_box, "Up", "The measurement that becomes y, from bottom to top.")
        form = form_layout()
        rows = ("Objects", "Measured on", "Across", "Up")
        for title, box in zip(rows, (self.labels_box, self.measured_box, self.x_box, self.y_box), strict=True):
            form.addRow(title, box)
        for box in (self.measured_box, self.x_box, self.y_box):
            narrow(box)
        self.plot = ObjectsPlot(self.viewer)
        self.message = sentence(lines=4)
        self.message.setAccessibleName("What to do")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(form)
        layout.addWidget(self.plot)
        layout.addLayout(self._class_row())
        layout.addLayout(self._button_row())
        layout.addWidget(self.message)
        self.labels_box.picked.connect(self.refresh)
        self.measured_box.activated.connect(self._follow)
        for box in (self.x_box, self.y_box):
            box.activated.connect(self._plane_changed)
        self.plot.clicked.connect(self.give)

    def _class_row(self) -> QHBoxLayout:
        self.classes = QButtonGroup(self)
        row = QHBoxLayout()
        row.setSpacing(4)
        for k in range(CLASSES):
            button = QToolButton()
            button.setCheckable(True)
            picture = QPixmap(12, 12)
            picture.fill(QColor(COLOURS[k]))
            button.setIcon(QIcon(picture))
            button.setIconSize(QSize(12, 12))
            button.setToolButtonStyle(button.toolButtonStyle().ToolButtonTextBesideIcon)
            tip = "What you click now gets this class; clicked again, an object loses it."
            described(button, f"class {k}", tip)
            self.classes.addButton(button, k)
            row.addWidget(button, 1)
        self.classes.button(0).setChecked(True)
        return row

    def _button_row(self) -> QHBoxLayout:
        self.click_button, self.clear_button = QPushButton("Click objects in the image"), QPushButton("Clear")
        self.click_button.setCheckable(True)
        described(self.clear_button, "Clear", "Take all given classes back.")
        row = QHBoxLayout()
        row.setSpacing(4)
        row.addWidget(self.click_button, 1)
        row.addWidget(self.clear_button)
        self.click_button.toggled.connect(self._turn)
        self.clear_button.clicked.connect(self._clear)
        return row

    def _say(self, first: str = "") -> None:
        """Counts on the buttons, and what to do next."""
        given = list(self._rows_given().values())
        for k in range(CLASSES):
            self.classes.button(k).setText(f"class {k} ({given.count(k)})")
        ready = self._objects is not None
        why = "" if ready else "There are no measured objects yet."
        tip = why or "Each click on an object in the image gives it the class that is chosen; a drag moves the image."
        self.click_button.setEnabled(ready)
        described(self.click_button, "Click objects in the image", tip)
        self.clear_button.setEnabled(bool(given))
        text = [first or self._next(given)]
        if self._objects is not None:
            text += [*self._objects.notes, *self._without_figures()]
        self.message.setText(" ".join(t for t in text if t))

    def _next(self, given: list[int]) -> str:
        """What a person does next, or what was given."""
        if self._objects is None:
            return ""
        n, missing = len(self._objects.keys), _missing_class(given)
        if not given:
            return f"{n:,} objects. Choose a class and click a few objects of it, here or in the image."
        if missing is not None:
            return f"{len(given)} of {n:,} objects have a class. Give class {missing} to some, too."
        return (
            f"{len(given)} of {n:,} objects have a class: from these the net learns. All are coloured by what it says."
        )

    def _without_figures(self) -> Iterator[str]:
        n = int(np.isnan(self._xy()[:, 0]).sum())
        if n:
            yield f"{n:,} object{' has' if n == 1 else 's have'} no number in these two columns and {_is(n)} left out."

    # what is chosen

    def refresh(self) -> None:
        """Follow the viewer's layers; what was chosen stays."""
        if self._ended:
            return
        layers = self.viewer.layers
        active = layers.selection.active
        candidates = labels_of(layers)
        default = active if any(active is x for x in candidates) else (candidates[-1] if candidates else None)
        self.labels_box.fill(candidates, default)
        if self._layer is not None and self._layer not in layers:
            self._layer, self._unwanted = None, True
            self.click_button.setChecked(False)
        self._list_measured()
        self._follow()

    def _list_measured(self) -> None:
        """Where figures of the chosen objects may come from, the likeliest first."""
        box, labels = self.measured_box, self.labels_box.layer
        chosen = self._asked[1] if labels is self._asked[0] else None
        box.clear()
        if labels is None:
            return
        if _own_table(labels) is not None:
            box.addItem("the layer's own table", OWN)
        fitting = [x for x in images_of(self.viewer.layers) if _axes_over(x, labels)]
        likely = [x for x, _ in paired(fitting, [labels], lambda *_: True)]
        for image in sorted(fitting, key=lambda x: not any(x is y for y in likely)):
            box.addItem(image.name, image)
        box.addItem("their shape alone", ALONE)
        box.setCurrentIndex(next((i for i in range(box.count()) if box.itemData(i) is chosen), 0))

    def _follow(self, *_: Any) -> None:
        """Measure where another layer or another image is chosen now."""
        asked = (self.labels_box.layer, self.measured_box.currentData())
        if asked[0] is self._asked[0] and asked[1] is self._asked[1] and (asked[0] is not None or self.message.text()):
            return
        before, self._asked = self._asked[0], asked
        if before is not asked[0]:
            self._leave(before)
            if asked[0] is not None:
                for event in _events(asked[0]):
                    event.connect(self._changed)
        self._measure(before)

    def _leave(self, labels: Any) -> None:
        """Other objects: nothing is known of them."""
        self.click_button.setChecked(False)
        self._unpaint()
        self._given, self._unwanted = {}, False
        if labels is not None:
            for event in _events(labels):
                event.disconnect(self._changed)

    def _changed(self, event: Any = None) -> None:
        """The labels were painted, or their table is another one."""
        self._soon.start()

    def _measure(self, before: Any = None) -> None:
        """Measure in a thread."""
        labels, how = self._asked
        self._work.forget()
        self._soon.stop()
        self._forget()
        if labels is None:
            gone = f"{before.name} is gone. " if before is not None else ""
            self._say(f"{gone}A Labels layer with objects is needed: open one, or find objects with Apply.")
            return
        self._say("Measuring the objects ...")
        table = _own_table(labels) if how is OWN else None
        self._work.ask(objects_of, labels, None if how in (OWN, ALONE) else how, table)

    def _forget(self) -> None:
        """Show no objects."""
        self._objects = self._numbers = None
        self.plot.show_objects(np.zeros((0, 2)), np.zeros(0, np.uint8), {})
        self.plot.show_surface(None)

    def _measured(self, answer: Any) -> None:
        if isinstance(answer, Exception):
            self.click_button.setChecked(False)
            self._unpaint()
            self._say(explained(answer))
            return
        self._objects = answer
        for box, default in zip((self.x_box, self.y_box), _likely_columns(list(answer.columns)), strict=True):
            chosen = box.currentData()
            box.clear()
            for name in answer.columns:
                box.addItem(_title(name), name)
            box.setCurrentIndex(box.findData(chosen if chosen in answer.columns else default))
        self._plane_changed()

    def _plane_changed(self, *_: Any) -> None:
        """The objects lie elsewhere now, and what the net said of them holds no more."""
        self._numbers = None
        self._show()
        self.plot.show_surface(None)
        self._tell()

    # classes

    def give(self, row: int) -> None:
        """Give the chosen class to an object, or take it back where it has it already."""
        if self._objects is None or not np.isfinite(self._xy()[row]).all():
            self._say("This object has no number in the two columns, so that it cannot be a point. Choose another.")
            return
        key, chosen = self._objects.keys[row], self.classes.checkedId()
        if self._given.get(key) == chosen:
            del self._given[key]
            self.viewer.status = f"object {key[1]}: no class"
        else:
            self._given[key] = chosen
            self.viewer.status = f"object {key[1]}: class {chosen}"
        self._unwanted = False
        self._show()
        self._tell()

    def _clear(self) -> None:
        self._given = {}
        self._show()
        self._tell()

    def _tell(self) -> None:
        """Give the points where they can teach something."""
        given = self._rows_given()
        self._say()
        if self._objects is None or not given or _missing_class(list(given.values())) is not None:
            return
        xy = self._xy()
        rows = tuple((float(xy[r, 0]), float(xy[r, 1]), float(k)) for r, k in given.items())
        self.points.emit(PointSet(kind="own", training=len(rows), validation=0, test=0, rows=rows))

    def _xy(self) -> NDArray[np.float64]:
        """The objects in the plane, (n, 2)."""
        if self._objects is None:
            return np.zeros((0, 2))
        return self._objects.plane((self.x_box.currentData(), self.y_box.currentData()))

    def _rows_given(self) -> dict[int, int]:
        """The classes given to objects that are there and lie in the plane, by their rows."""
        if self._objects is None:
            return {}
        rows, fine = {key: row for row, key in enumerate(self._objects.keys)}, np.isfinite(self._xy()).all(1)
        return {rows[key]: k for key, k in self._given.items() if key in rows and fine[rows[key]]}

    # what the net says

    def show_prediction(self, predict: Callable[[NDArray[np.float64]], NDArray[Any]]) -> None:
        """Colour all objects, in the image and in the plane, by their predicted class.

        Parameters
        ----------
        predict : gives the class numbers (n,), from 0, of points (n, 2) in the z-scored plane; what is no class number
            gets no colour.
        """
        if self._objects is None or self._ended:
            return
        xy = self._xy()
        fine = np.isfinite(xy).all(1)
        left, right, bottom, top = self.plot.extent()
        middles = (np.arange(FIELDS) + 0.5) / FIELDS
        x, y = np.meshgrid(left + (right - left) * middles, bottom + (top - bottom) * middles)
        said = _numbers(predict(np.concatenate([xy[fine], np.stack([x.ravel(), y.ravel()], axis=1)])))
        numbers = np.full(len(xy), NONE, np.uint8)
        numbers[fine] = said[: fine.sum()]
        self.plot.show_surface(said[fine.sum() :].reshape(FIELDS, FIELDS))
        if self._numbers is None or not np.array_equal(numbers, self._numbers):
            self._numbers = numbers
            self._show()

    def _show(self) -> None:
        """Objects in the plane and in the image: as predicted, before that as given."""
        if self._objects is None:
            return
        given = self._rows_given()
        numbers = self._numbers
        if numbers is None:
            numbers = np.full(len(self._objects.keys), NONE, np.uint8)
            for row, k in given.items():
                numbers[row] = k + 1
        self.plot.show_objects(self._xy(), numbers, given)
        if self._layer is not None or given or self._numbers is not None:
            self._paint(self._objects, numbers)

    def _paint(self, objects: Objects, numbers: NDArray[np.uint8]) -> None:
        """The class of each object in a layer of its own, in place where there is one; the objects' layer is hidden."""
        labels = self._asked[0]
        if self._unwanted or labels not in self.viewer.layers:
            return
        data = np.concatenate([[0], numbers]).astype(np.uint8)[objects.rows]
        name = f"{labels.name}: {'given' if self._numbers is None else 'predicted'} class"
        if self._layer is not None:
            self._layer.data = data
            self._layer.name = name
            return
        look = class_look(NUMBERS, [f"class {k - 1}" for k in NUMBERS])
        look["colormap"][NONE] = GREY
        look["features"] = {
            k: [*v, more] for (k, v), more in zip(look["features"].items(), (NONE, "none yet"), strict=True)
        }
        where = placement(labels, range(labels.ndim))
        made = provenance("preview", labels.name)
        self._layer = add_quietly(self.viewer, data, name, metadata=made, opacity=0.6, **look, **where)
        if labels.visible:
            labels.visible, self._hidden = False, labels

    def _unpaint(self) -> None:
        """Show the objects' own layer again; a layer that only shows what was given goes, one of predictions stays."""
        layer, hidden, self._layer, self._hidden = self._layer, self._hidden, None, None
        if layer is not None and layer in self.viewer.layers and self._numbers is None:
            self.viewer.layers.remove(layer)
        if hidden is not None and hidden in self.viewer.layers:
            hidden.visible = True

    # clicks in the image

    def _turn(self, on: bool) -> None:
        """Listen to clicks in the image, or no more."""
        selection = self.viewer.layers.selection
        selection.events.active.disconnect(self._other_active)
        if on and self._objects is not None:
            self._unwanted = False
            self._show_all_grey()
            selection.active = self._layer
            self._layer.mode = "pan_zoom"
            self._layer.mouse_drag_callbacks.append(self._click)
            selection.events.active.connect(self._other_active)
        elif self._layer is not None and self._click in self._layer.mouse_drag_callbacks:
            self._layer.mouse_drag_callbacks.remove(self._click)
            if selection.active is self._layer and self._asked[0] in self.viewer.layers:
                selection.active = self._asked[0]

    def _show_all_grey(self) -> None:
        """A layer to click on."""
        objects = self._objects
        if self._layer is None and objects is not None:
            self._paint(objects, np.full(len(objects.keys), NONE, np.uint8))
            self._show()

    def _other_active(self, event: Any = None) -> None:
        """napari hands clicks to the active layer only."""
        if self.viewer.layers.selection.active is not self._layer:
            self.click_button.setChecked(False)

    def _click(self, layer: Any, event: Any) -> Iterator[None]:
        """A click without a drag, on the left."""
        if event.button != 1:
            return
        start = np.asarray(event.pos, float)
        yield
        while event.type == "mouse_move":
            yield
        if np.abs(np.asarray(event.pos, float) - start).max() <= 3:
            row = self._row_at(layer, event)
            if row is not None:
                self.give(row)

    def _row_at(self, layer: Any, event: Any) -> int | None:
        """The row of the object under the mouse; in 3-D of the first one on the way."""
        if self._objects is None:
            return None
        place = np.asarray(layer.world_to_data(event.position), float)[None]
        if len(event.dims_displayed) == 3 and layer.ndim >= 3:
            ends = layer.get_ray_intersections(event.position, event.view_direction, event.dims_displayed)
            if ends[0] is None:
                return None
            place = np.linspace(*ends, 2 * max(self._objects.rows.shape))
        where = np.round(place).astype(int)
        where = where[((where >= 0) & (where < self._objects.rows.shape)).all(1)]
        rows = self._objects.rows[tuple(where.T)]
        return int(rows[rows > 0][0]) - 1 if (rows > 0).any() else None

    # the end

    def end(self) -> None:
        """Listen no more, and leave the layers as they were; a layer of predictions stays."""
        if self._ended:
            return
        self._ended = True
        self._soon.stop()
        self._work.forget()
        self._watch.close()
        self._leave(self._asked[0])
        self._asked, self._objects = (None, None), None
        self.plot.end()

    def closeEvent(self, event: Any) -> None:  # noqa: N802
        """The widget is closed by itself."""
        self.end()
        super().closeEvent(event)


# layers to figures


def _flat(labels: Any) -> bool:
    """Whether the maker of the labels worked plane by plane."""
    made = labels.metadata.get("napari_dojo")
    return isinstance(made, dict) and made.get("spatial") == "YX"


def _names(labels: Any, image: Any) -> str:
    """The axes of what is measured on."""
    names = _axes_of(labels) if image is None else _axes_over(image, labels)
    if names is None:
        raise DojoError(f"{image.name} is not as large as {labels.name}. Choose another image, or the shape alone.")
    return names


def _own_table(labels: Any) -> Table | None:
    """The features of a layer as a table, one row for each object; None where they do not make a plane."""
    features = labels.features
    table = {str(k): np.asarray(features[k]) for k in features.columns}
    table.setdefault("index", np.arange(len(features)))
    rows = table["index"] > 0
    table = {k: v[rows] for k, v in table.items()}
    return table if sum(map(_varies, _figures(table).values())) >= 2 else None


def _figures(table: Table) -> Table:
    """The columns of numbers, as float64; places come last."""
    names = [k for k, v in table.items() if k not in ("index", "label", *POSITIONS) and v.dtype.kind in "iufb"]
    return {k: table[k].astype(np.float64) for k in sorted(names, key=lambda k: k.startswith("centroid"))}


def _varies(column: NDArray[Any]) -> bool:
    """Whether a column tells objects apart."""
    fine = column[np.isfinite(column)]
    return len(fine) > 1 and bool(fine.max() > fine.min())


def _keys(table: Table, axes: Axes, shape: Sequence[int]) -> tuple[Key, ...]:
    """The sample and number of each row."""
    letters = [a for a in axes.names if a not in axes.spatial]
    sizes = [shape[axes.names.index(a)] for a in letters]
    where = [table.get(POSITION[a], np.zeros(len(table["index"]), int)).astype(int) for a in letters]
    samples = np.ravel_multi_index(where, sizes, mode="clip") if letters else np.zeros(len(table["index"]), int)
    return tuple(zip(samples.tolist(), (int(i) for i in table["index"]), strict=True))


def _rows(array: Any, axes: Axes, keys: tuple[Key, ...]) -> NDArray[np.int32]:
    """1 + the row of the object in each pixel, 0 where there is none of these."""
    out = np.zeros(array.shape, np.int32)
    samples, numbers = np.asarray(keys, np.int64).reshape(-1, 2).T
    for i in range(axes.count(array.shape)):
        mine = np.flatnonzero(samples == i)
        mine = mine[np.argsort(numbers[mine], kind="stable")]
        if len(mine):
            y = np.asarray(axes.sample(array, i)[0])
            at = np.searchsorted(numbers[mine], y).clip(max=len(mine) - 1)
            axes.sample(out, i)[0] = np.where(numbers[mine][at] == y, mine[at] + 1, 0)
    return out


def _enough(n: int, name: str) -> None:
    if n < 2:
        what = "no object" if n == 0 else "one object only"
        raise DojoError(f"At least two objects are needed, better twenty; {name} has {what}. Choose another layer.")


def _missing(array: Any, rows: NDArray[np.int32], known: bool) -> Iterator[str]:
    """Objects that the layer's own table does not have."""
    if known and bool(((np.asarray(array) > 0) & (rows == 0)).any()):
        yield "Some objects are not in the layer's table and are left out: measure anew to have them."


def _missing_class(given: list[int]) -> int | None:
    """The first class that no object has although it is needed; None where all have one."""
    return next((k for k in range(max([1, *given]) + 1) if k not in given), None)


def _likely_columns(names: list[str]) -> tuple[str, str]:
    """Size and brightness where there are such; else size and form; else the first two."""
    first = next((k for k in names if k.startswith(("area", "volume"))), names[0])
    rest = [k for k in names if k != first]
    for start in ("mean_intensity", "mean intensity", "eccentricity"):
        rest.sort(key=lambda k, start=start: not k.startswith(start))
        if rest[0].startswith(start):
            break
    return first, rest[0]


def _title(column: str) -> str:
    """A column's name in words: "area (µm²)"."""
    words = column.split("_")
    unit = f" ({UNITS[words.pop()]})" if words[-1] in UNITS and len(words) > 1 else ""
    return " ".join(words) + unit


def _numbers(classes: Any) -> NDArray[np.uint8]:
    """Class numbers (n,) as numbers of the layer."""
    classes = np.asarray(classes, np.float64)
    return np.where((classes >= 0) & (classes < NONE - 1), classes + 1, NONE).astype(np.uint8)


def _colour(number: int) -> str:
    return COLOURS[number - 1] if 1 <= number < NONE else GREY


def _events(labels: Any) -> tuple[Any, ...]:
    return labels.events.data, labels.events.paint, labels.events.features


def _is(n: int) -> str:
    return "is" if n == 1 else "are"
