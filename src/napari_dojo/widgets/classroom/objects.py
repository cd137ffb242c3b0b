"""Objects of an image as points, and their predicted classes in the image."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QSize, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import QButtonGroup, QComboBox, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_dojo.errors import explained
from napari_dojo.playground.settings import PointSet
from napari_dojo.widgets.classroom.measured import Key, Objects, objects_of, own_table, title_of
from napari_dojo.widgets.classroom.objects_plot import COLOURS, GREY, NONE, NUMBERS, ObjectsPlot
from napari_dojo.widgets.common.form import described, form_layout, narrow, sentence
from napari_dojo.widgets.common.later import later
from napari_dojo.widgets.common.latest import Latest
from napari_dojo.widgets.common.layers import add_quietly, class_look, placement, provenance
from napari_dojo.widgets.common.measured import axes_over
from napari_dojo.widgets.common.panel import plain_viewer
from napari_dojo.widgets.common.pick import LayerBox, LayerWatch, images_of, labels_of, paired

__all__ = ["ObjectsSource"]

CLASSES = 3
OWN, ALONE = "own", "alone"  # measurements from the layer's table; of the labels without an image
FIELDS = 48  # grid cells of the surface along each side


class ObjectsSource(QWidget):
    """Objects of an image as points of the classroom.

    The user assigns classes to a few of them by clicks; these are the training points. All objects are coloured by their
    predicted class. While the widget is hidden, nothing is measured and the layers are restored. Call `end` when the
    panel closes.

    Signals
    -------
    points : a `napari_dojo.playground.PointSet` of kind "custom", all of it training, after a class or a measurement
        changed; only if each class up to the highest has an object. Coordinates are z-scored over all objects.

    Attributes
    ----------
    objects : the measured objects; None until they are measured.
    assigned : the class that the user assigned, by (frame, number) of the object.

    Parameters
    ----------
    viewer : the napari viewer.
    """

    points = Signal(object)

    def __init__(self, viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.viewer = plain_viewer(viewer)
        self._asked: tuple[Any, Any] = (None, None)
        self.objects: Objects | None = None
        self.assigned: dict[Key, int] = {}
        self._numbers: NDArray[np.uint8] | None = None  # (n,) predicted classes, as numbers of the layer
        self._layer: Any = None
        self._hidden: Any = None
        self._unwanted = self._awake = self._stale = self._ended = False
        self._build()
        self._work = Latest(self)
        self._work.told.connect(self._measured)
        self._soon = later(self, 400, self._measure_again)
        self._watch = LayerWatch(self.viewer, self)
        self._watch.changed.connect(self.refresh)

    def showEvent(self, event: Any) -> None:  # noqa: N802
        """Start when the widget is shown."""
        super().showEvent(event)
        if not event.spontaneous() and not self._ended:
            self._awake = True
            self._swap(True)
            self.refresh()

    def hideEvent(self, event: Any) -> None:  # noqa: N802
        """Stop when the widget is hidden, unless the window was minimized."""
        super().hideEvent(event)
        if not event.spontaneous() and not self._ended:
            self._awake = False
            self.click_button.setChecked(False)
            self._swap(False)

    # display

    def _build(self) -> None:
        self.labels_box = LayerBox("Objects", "The Labels layer whose objects are the points.")
        self.measured_box, self.x_box, self.y_box = QComboBox(), QComboBox(), QComboBox()
        described(
            self.measured_box, "Measured on", "The source of the measurements: an image, the shape only, or a table."
        )
        described(self.x_box, "x axis", "The measurement for x, from left to right.")
        described(self.y_box, "y axis", "The measurement for y, from bottom to top.")
        form = form_layout()
        rows = ("Objects", "Measured on", "x axis", "y axis")
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
        self.classes, self.class_buttons = QButtonGroup(self), [QPushButton() for _ in range(CLASSES)]
        row = QHBoxLayout()
        row.setSpacing(4)
        for k, button in enumerate(self.class_buttons):
            button.setCheckable(True)
            picture = QPixmap(12, 12)
            picture.fill(QColor(COLOURS[k]))
            button.setIcon(QIcon(picture))
            button.setIconSize(QSize(12, 12))
            tip = "Assign this class to the objects that you click. Click an object again to remove its class."
            described(button, f"class {k}", tip)
            self.classes.addButton(button, k)
            row.addWidget(button, 1)
        self.class_buttons[0].setChecked(True)
        return row

    def _button_row(self) -> QHBoxLayout:
        self.click_button, self.clear_button = QPushButton("Click objects in the image"), QPushButton("Clear")
        self.click_button.setCheckable(True)
        described(self.clear_button, "Clear", "Remove all assigned classes.")
        row = QHBoxLayout()
        row.setSpacing(4)
        row.addWidget(self.click_button, 1)
        row.addWidget(self.clear_button)
        self.click_button.toggled.connect(self._turn)
        self.clear_button.clicked.connect(self._clear)
        return row

    def _say(self, first: str = "") -> None:
        """Show counts on the buttons, and what to do next."""
        assigned = list(self._assigned_rows().values())
        for k, button in enumerate(self.class_buttons):
            button.setText(f"class {k} ({assigned.count(k)})")
        ready = self.objects is not None
        why = "" if ready else "No objects are measured yet."
        tip = why or "Click an object in the image to assign the selected class. Drag to move the image."
        self.click_button.setEnabled(ready)
        described(self.click_button, "Click objects in the image", tip)
        self.clear_button.setEnabled(bool(assigned))
        text = [first or self._next(assigned)]
        if self.objects is not None:
            text += [*self.objects.notes, *self._without_figures()]
        self.message.setText(" ".join(t for t in text if t))

    def _next(self, assigned: list[int]) -> str:
        """What to do next, or the number of assigned classes."""
        if self.objects is None:
            return ""
        n, missing = len(self.objects.keys), _missing_class(assigned)
        if not assigned:
            return f"{n:,} objects. Choose a class and click a few of its objects, here or in the image."
        if missing is not None:
            return f"{len(assigned)} of {n:,} objects have a class. Assign class {missing} to some, too."
        return (
            f"{len(assigned)} of {n:,} objects have a class; the network trains on these. During training, all objects are "
            "coloured by their predicted class."
        )

    def _without_figures(self) -> Iterator[str]:
        n = int(np.isnan(self._xy()[:, 0]).sum())
        if n:
            yield f"{n:,} object{' has' if n == 1 else 's have'} no value in these two columns and {_is(n)} not shown."

    # what is chosen

    def refresh(self) -> None:
        """Follow the viewer's layers; choices are kept."""
        if self._ended or not self._awake:
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
        """The possible sources of measurements, the likeliest first."""
        box, labels = self.measured_box, self.labels_box.layer
        chosen = self._asked[1] if labels is self._asked[0] else None
        box.clear()
        if labels is None:
            return
        if own_table(labels) is not None:
            box.addItem("the layer's table", OWN)
        fitting = [x for x in images_of(self.viewer.layers) if axes_over(x, labels)]
        likely = [x for x, _ in paired(fitting, [labels], lambda *_: True)]
        for image in sorted(fitting, key=lambda x: not any(x is y for y in likely)):
            box.addItem(image.name, image)
        box.addItem("shape only", ALONE)
        box.setCurrentIndex(next((i for i in range(box.count()) if box.itemData(i) == chosen), 0))

    def _follow(self, *_: Any) -> None:
        """Measure if another layer or image was chosen."""
        asked = (self.labels_box.layer, self.measured_box.currentData())
        if asked == self._asked and not self._stale and (asked[0] is not None or self.message.text()):
            return
        before, self._asked = self._asked[0], asked
        if before is not asked[0]:
            self._leave(before)
            if asked[0] is not None:
                for event in _events(asked[0]):
                    event.connect(self._changed)
        self._measure(before)

    def _leave(self, labels: Any) -> None:
        """Forget everything about the previous objects."""
        self.click_button.setChecked(False)
        self._unpaint()
        self.assigned, self._unwanted = {}, False
        if labels is not None:
            for event in _events(labels):
                event.disconnect(self._changed)

    def _changed(self, event: Any = None) -> None:
        """The labels or their table changed."""
        self._soon.start()

    def _measure_again(self) -> None:
        """Measure again after a change; assigned classes are kept."""
        self._stale = not self._awake
        if self._stale:
            return
        self._list_measured()
        self._asked = (self._asked[0], self.measured_box.currentData())
        self._measure()

    def _measure(self, before: Any = None) -> None:
        """Measure in a thread."""
        labels, how = self._asked
        self._stale = False
        self._work.forget()
        self._soon.stop()
        self._forget()
        if labels is None:
            gone = f"{before.name} was removed. " if before is not None else ""
            self._say(f"{gone}A Labels layer with objects is needed. Open one, or segment an image with Apply.")
            return
        self._say("Measuring the objects ...")
        table = own_table(labels) if how == OWN else None
        self._work.ask(objects_of, labels, None if how in (OWN, ALONE) else how, table)

    def _forget(self) -> None:
        """Show no objects."""
        self.objects = self._numbers = None
        self.plot.show_objects(np.zeros((0, 2)), np.zeros(0, np.uint8), {})
        self.plot.show_surface(None)

    def _measured(self, answer: Any) -> None:
        if isinstance(answer, Exception):
            self.click_button.setChecked(False)
            self._unpaint()
            self._say(explained(answer))
            return
        self.objects = answer
        for box, default in zip((self.x_box, self.y_box), _likely_columns(list(answer.columns)), strict=True):
            chosen = box.currentData()
            box.clear()
            for name in answer.columns:
                box.addItem(title_of(name), name)
            box.setCurrentIndex(box.findData(chosen if chosen in answer.columns else default))
        self._plane_changed()

    def _plane_changed(self, *_: Any) -> None:
        """Show the new measurements and drop the predictions."""
        self._numbers = None
        self._show()
        self.plot.show_titles(self.x_box.currentText(), self.y_box.currentText())
        self.plot.show_surface(None)
        self._tell()

    # classes

    def give(self, row: int) -> None:
        """Assign the selected class to an object, or remove it if the object has it already."""
        if self.objects is None or not np.isfinite(self._xy()[row, 0]):
            self._say("This object has no value in the two columns. Choose another.")
            return
        key, chosen = self.objects.keys[row], self.classes.checkedId()
        if self.assigned.get(key) == chosen:
            del self.assigned[key]
            self.viewer.status = f"object {key[1]}: no class"
        else:
            self.assigned[key] = chosen
            self.viewer.status = f"object {key[1]}: class {chosen}"
        self._unwanted = False
        self._show()
        self._tell()

    def _clear(self) -> None:
        self.assigned = {}
        self._show()
        self._tell()

    def _tell(self) -> None:
        """Emit the points if they are sufficient for training."""
        assigned = self._assigned_rows()
        self._say()
        if self.objects is None or not assigned or _missing_class(list(assigned.values())) is not None:
            return
        xy = self._xy()
        rows = tuple((float(xy[r, 0]), float(xy[r, 1]), float(k)) for r, k in assigned.items())
        self.points.emit(PointSet(kind="custom", training=len(rows), validation=0, test=0, rows=rows))

    def _xy(self) -> NDArray[np.float64]:
        """The z-scored coordinates of the objects, (n, 2)."""
        if self.objects is None:
            return np.zeros((0, 2))
        return self.objects.plane((self.x_box.currentData(), self.y_box.currentData()))

    def _assigned_rows(self) -> dict[int, int]:
        """The assigned classes by row, of objects that have coordinates."""
        if self.objects is None:
            return {}
        rows, fine = {key: row for row, key in enumerate(self.objects.keys)}, np.isfinite(self._xy()[:, 0])
        return {rows[key]: k for key, k in self.assigned.items() if key in rows and fine[rows[key]]}

    # predictions

    def show_prediction(self, predict: Callable[[NDArray[np.float64]], NDArray[Any]]) -> None:
        """Colour all objects, in the image and in the plot, by their predicted class.

        Parameters
        ----------
        predict : returns class numbers (n,), from 0, for points (n, 2) in z-scored coordinates; invalid numbers get no
            colour.
        """
        if self.objects is None or self._ended:
            return
        xy = self._xy()
        fine = np.isfinite(xy[:, 0])
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

    def _show(self, in_image: bool = False) -> None:
        """Show the objects in plot and image with predicted classes, before training with assigned ones."""
        if self.objects is None:
            return
        assigned = self._assigned_rows()
        numbers = self._numbers
        if numbers is None:
            numbers = np.full(len(self.objects.keys), NONE, np.uint8)
            for row, k in assigned.items():
                numbers[row] = k + 1
        self.plot.show_objects(self._xy(), numbers, assigned)
        if in_image or self._layer is not None or assigned or self._numbers is not None:
            self._paint(self.objects, numbers)

    def _paint(self, objects: Objects, numbers: NDArray[np.uint8]) -> None:
        """Show the class of each object in an extra layer, updated in place; the objects' layer is hidden."""
        labels = self._asked[0]
        if self._unwanted or labels not in self.viewer.layers:
            return
        data = np.concatenate([[0], numbers]).astype(np.uint8)[objects.rows]
        name = f"{labels.name}: {'assigned' if self._numbers is None else 'predicted'} class"
        if self._layer is not None:
            self._layer.data = data
            if not self._layer.name.startswith(name):  # napari may have added a number
                self._layer.name = name
            return
        look = class_look(NUMBERS, [f"class {k - 1}" for k in NUMBERS])
        look["colormap"][NONE] = GREY
        look["features"] = {
            k: [*v, more] for (k, v), more in zip(look["features"].items(), (NONE, "no class"), strict=True)
        }
        where = placement(labels, range(labels.ndim))
        made = provenance("preview", labels.name)
        self._layer = add_quietly(self.viewer, data, name, metadata=made, opacity=0.6, **look, **where)
        self._swap(True)

    def _swap(self, on: bool) -> None:
        """Show the classes instead of the objects' layer, or that again."""
        labels, layers = self._asked[0], self.viewer.layers
        if self._layer is not None and self._layer in layers:
            self._layer.visible = on
            if on and labels in layers and labels.visible:
                labels.visible, self._hidden = False, labels
        if not on and self._hidden is not None:
            if self._hidden in layers:
                self._hidden.visible = True
            self._hidden = None

    def _unpaint(self) -> None:
        """Show the objects' layer again. A layer of assigned classes is removed, one of predictions is hidden."""
        self._swap(False)
        layer, self._layer = self._layer, None
        if layer is not None and layer in self.viewer.layers and self._numbers is None:
            self.viewer.layers.remove(layer)

    # clicks in the image

    def _turn(self, on: bool) -> None:
        """Start or stop to handle clicks in the image."""
        selection = self.viewer.layers.selection
        selection.events.active.disconnect(self._other_active)
        if on and self.objects is not None:
            self._unwanted = False
            self._show(in_image=True)
            selection.active = self._layer
            self._layer.mode = "pan_zoom"
            self._layer.mouse_drag_callbacks.append(self._click)
            selection.events.active.connect(self._other_active)
        elif self._layer is not None and self._click in self._layer.mouse_drag_callbacks:
            self._layer.mouse_drag_callbacks.remove(self._click)
            if selection.active is self._layer and self._asked[0] in self.viewer.layers:
                selection.active = self._asked[0]

    def _other_active(self, event: Any = None) -> None:
        """Attach to the active layer, the only one that receives clicks."""
        if self.viewer.layers.selection.active is not self._layer:
            self.click_button.setChecked(False)

    def _click(self, layer: Any, event: Any) -> Iterator[None]:
        """Handle a left click without a drag."""
        if event.button != 1:
            return
        start = np.asarray(event.pos, float)
        yield
        while event.type == "mouse_move":
            yield
        if np.abs(np.asarray(event.pos, float) - start).max() <= 3:
            row = self.row_at(layer, event)
            if row is not None:
                self.give(row)

    def row_at(self, layer: Any, event: Any) -> int | None:
        """The row of the object under the mouse; in 3-D the first one along the view ray."""
        if self.objects is None:
            return None
        place = np.asarray(layer.world_to_data(event.position), float)[None]
        if len(event.dims_displayed) == 3 and layer.ndim >= 3:
            ends = layer.get_ray_intersections(event.position, event.view_direction, event.dims_displayed)
            if ends[0] is None:
                return None
            place = np.linspace(ends[0], ends[1], 2 * max(self.objects.rows.shape))
        where = np.round(place).astype(int)
        where = where[((where >= 0) & (where < self.objects.rows.shape)).all(1)]
        rows = self.objects.rows[tuple(where.T)]
        return int(rows[rows > 0][0]) - 1 if (rows > 0).any() else None

    # the end

    def end(self) -> None:
        """Disconnect and restore the layers; a layer of predictions stays, hidden."""
        if self._ended:
            return
        self._ended = True
        self._soon.stop()
        self._work.forget()
        self._watch.close()
        self._leave(self._asked[0])
        self._asked, self.objects = (None, None), None
        self.plot.end()

    def closeEvent(self, event: Any) -> None:  # noqa: N802
        """End when the widget is closed."""
        self.end()
        super().closeEvent(event)


def _missing_class(assigned: list[int]) -> int | None:
    """The first class without an object although it is needed; None if there is none."""
    return next((k for k in range(max([1, *assigned]) + 1) if k not in assigned), None)


def _likely_columns(names: list[str]) -> tuple[str, str]:
    """Default columns: size and brightness if available, else size and shape, else the first two."""
    first = next((k for k in reversed(names) if k.startswith(("area", "volume"))), names[0])
    rest = [k for k in names if k != first]
    wanted = ("mean_intensity", "intensity", "eccentricity")
    return first, next((k for start in wanted for k in rest if k.startswith(start)), rest[0])


def _numbers(classes: Any) -> NDArray[np.uint8]:
    """Class numbers, (n,), as numbers of the layer."""
    classes = np.asarray(classes, np.float64)
    return np.where((classes >= 0) & (classes < NONE - 1), classes + 1, NONE).astype(np.uint8)


def _events(labels: Any) -> tuple[Any, ...]:
    return labels.events.data, labels.events.paint, labels.events.features


def _is(n: int) -> str:
    return "is" if n == 1 else "are"
