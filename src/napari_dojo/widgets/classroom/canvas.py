"""Points and decision surface as two layers of the viewer: x to the right, y up, (1, 1) at the top right."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from napari_dojo.playground import Session
from napari_dojo.playground.surface import Grid
from napari_dojo.widgets.classroom.borrowed import borrowed, camera_of, units_of
from napari_dojo.widgets.classroom.colours import of_classes, of_numbers
from napari_dojo.widgets.classroom.lesson import Lesson, unit_name
from napari_dojo.widgets.classroom.picture import neuron_picture, span, surface_picture
from napari_dojo.widgets.common.later import later
from napari_dojo.widgets.common.layers import provenance

__all__ = ["SYMBOLS", "Canvas"]

SIZE = 80  # fields of the surface along each side
SYMBOLS = ("disc", "square", "diamond")  # training, validation, test
SURFACE, POINTS = "Decision surface", "Points"
PLANE = (-1.05, 1.05, -1.05, 1.05)  # what is shown where points are still to be drawn
ROOM = 1.06  # around the plane
RING = "black"
LEAST, MOST = 0.01, 1000.0  # widths of planes that are shown in the world as they are


class Canvas(QObject):
    """Shows a lesson on the canvas of a viewer.

    Signals
    -------
    edited : rows (x, y, class) of the points, after the user changed them on the canvas.
    lost : the user removed a layer of the classroom; `show` restores it.

    Attributes
    ----------
    surface, points : the two layers.
    hard : show the predicted class instead of the probability.
    ringed : mark misclassified points with a ring.
    neuron : layer and unit whose output is shown instead of the decision surface; layer -1 are the inputs; or None.
    klass : the class that new points get.
    aside : whether the user's own layers are shown instead.
    """

    edited = Signal(object)
    lost = Signal()

    def __init__(self, viewer: Any, lesson: Lesson, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer, self._lesson = viewer, lesson
        self.surface: Any = None
        self.points: Any = None
        self.hard = self.ringed = self.aside = False
        self.neuron: tuple[int, int] | None = None
        self.klass = 0
        self._ours = self._black = self._revealed = self._ended = False
        self._drawn: tuple[Any, Any] = (None, None)  # points drawn by the user, and the extent in which they were drawn
        self._fitted: tuple[Any, Any] | None = None  # the plane that was shown whole, and the camera that did it
        self._grid: Grid | None = None
        self._grid_of: tuple[Any, ...] = (None, None, None)
        self._soon = later(self, 40, self._read)
        self._fitting = later(self, 0, self.fit)
        viewer.layers.events.removed.connect(self._removed)
        if hasattr(viewer, "canvas"):
            viewer.canvas.events.size.connect(self._resized)
        lesson.changed.connect(self.show)
        lesson.moved.connect(self.draw)

    # coming and going

    def enter(self) -> None:
        """Hide the user's layers and show the lesson."""
        if self._ended:
            return
        self.aside = False
        borrowed(self._viewer).take(self, self._turn, [x for x in (self.surface, self.points) if x is not None])
        self.show()
        self._select()
        self._fitting.start()

    def step_aside(self) -> None:
        """Show the user's layers until `enter` is called."""
        self.aside, self._fitted = True, None
        self._turn(False)
        borrowed(self._viewer).give_back(self)

    def leave(self) -> None:
        """Remove the classroom's layers and restore the viewer."""
        if self._ended:
            return
        self._ended = True
        self._soon.stop()
        self._fitting.stop()
        viewer = self._viewer
        viewer.layers.events.removed.disconnect(self._removed)
        if hasattr(viewer, "canvas"):
            viewer.canvas.events.size.disconnect(self._resized)
        self._lesson.changed.disconnect(self.show)
        self._lesson.moved.disconnect(self.draw)
        for layer in (self.points, self.surface):
            if layer is not None and layer in viewer.layers:
                viewer.layers.remove(layer)
        self.surface = self.points = None
        borrowed(viewer).give_back(self)

    def _turn(self, on: bool) -> None:
        """Show or hide the two layers."""
        for layer in (self.surface, self.points):
            if layer is not None and layer in self._viewer.layers:
                layer.visible = on
        if on:
            self._fitting.start()

    def _eye(self, event: Any = None) -> None:
        """Update a layer that becomes visible again."""
        if event is not None and event.source.visible and not self._ours:
            self.show()

    def _removed(self, event: Any) -> None:
        if event.value is self.surface or event.value is self.points:
            self.lost.emit()

    # what is shown

    @property
    def front(self) -> bool:
        """Whether this classroom has the canvas, not another one or the user's layers."""
        return borrowed(self._viewer).front is self

    @property
    def there(self) -> bool:
        """Whether both layers are in the viewer."""
        layers = self._viewer.layers
        return self.surface in layers and self.points in layers

    def show(self) -> None:
        """Show points and surface of a changed lesson; restore missing layers."""
        if self._ended:
            return
        if self.neuron is not None and not self._is_unit(*self.neuron):
            self.show_neuron(None)
        grid = self._fresh_grid()
        with self._by_us():
            if not self.there:
                self._add(grid)
            self._place(grid)
            self._show_points()
        self.draw()
        if self._fitted is not None and self._fitted[0] != grid.extent:
            self.fit()

    def draw(self) -> None:
        """Update the surface in place; this happens up to 20 times per second."""
        layer = self.surface
        if self._ended or layer is None or layer not in self._viewer.layers or not layer.visible:
            return
        picture = self._picture()
        data = layer.data
        if not isinstance(data, np.ndarray) or data.shape != picture.shape or not data.flags.writeable:
            layer.data = picture  # somebody gave it other data
        else:
            data[:] = picture
            layer.refresh(extent=False, thumbnail=False, highlight=False)
        with self._by_us():
            if self._revealed != self._lesson.revealed and self.points in self._viewer.layers:
                self._show_points()
            elif self.ringed:
                self._ring()

    def rest(self) -> None:
        """Training paused: update the thumbnail in the layer list, too."""
        if self.there and not self._ended:
            self.surface.refresh(extent=False, highlight=False)

    def set_look(self, hard: bool | None = None, ringed: bool | None = None) -> None:
        """Switch hard decisions and the rings of wrong points on or off."""
        self.hard = self.hard if hard is None else hard
        if ringed is not None and ringed != self.ringed:
            self.ringed = ringed
            if self.points in self._viewer.layers:
                with self._by_us():
                    self._ring()
        self.draw()

    def show_neuron(self, neuron: tuple[int, int] | None) -> None:
        """Show the output of a neuron, or the decision surface again."""
        self.neuron = neuron
        if self.surface in self._viewer.layers:
            self.surface.name = SURFACE if neuron is None else f"Output of {unit_name(self._lesson, *neuron)}"
        self.draw()

    def fit(self) -> None:
        """Fit the view to the plane."""
        if self._ended or self.aside or self._grid is None or not self.front:
            return
        viewer, camera, surface = self._viewer, camera_of(self._viewer), self.surface
        if surface not in viewer.layers:
            return
        size = viewer.canvas.size if hasattr(viewer, "canvas") else viewer._canvas_size
        camera.center = (0, *(surface.translate + surface.scale * (SIZE - 1) / 2))
        camera.zoom = min(size) / (ROOM * SIZE * surface.scale[0])
        self._fitted = (self._grid.extent, (*camera.center, camera.zoom))

    def _resized(self, event: Any = None) -> None:
        """Fit the view after the canvas was resized, unless the user has zoomed in."""
        camera = camera_of(self._viewer)
        if self._fitted is not None and np.allclose(self._fitted[1], (*camera.center, camera.zoom)):
            self._fitting.start()

    def _is_unit(self, layer: int, unit: int) -> bool:
        net = self._lesson.session.setup.net
        sizes = (len(net.inputs), *net.hidden, net.outputs)
        return layer + 1 < len(sizes) and unit < sizes[layer + 1]

    def _add(self, grid: Grid) -> None:
        """Add missing layers, the surface below the points."""
        from napari.layers import Image, Points

        layers = self._viewer.layers
        selected, active = set(layers.selection), layers.selection.active
        units = units_of(layers)
        if self.points is None or self.points not in layers:
            self.points = Points(
                np.zeros((0, 2)),
                name=POINTS,
                axis_labels=("y", "x"),
                units=units,
                features={"class": np.zeros(0)},
                border_color="white",
                size=0.03,
                canvas_size_limits=(2, 40),  # with more, napari draws small points as rings
                metadata=provenance("classroom", ""),
            )
            self.points.events.data.connect(self._edited)
            self.points.events.visible.connect(self._eye)
            layers.append(self.points)
            self.set_class(self.klass)
        if self.surface is None or self.surface not in layers:
            self.surface = Image(
                np.zeros((SIZE, SIZE, 3), np.uint8),
                rgb=True,
                name=SURFACE,
                axis_labels=("y", "x"),
                units=units,
                interpolation2d="linear",
                metadata=provenance("classroom", ""),
            )
            self.surface.events.visible.connect(self._eye)
            layers.insert(layers.index(self.points), self.surface)
        layers.selection = {x for x in selected if x in layers}
        layers.selection.active = active if active in layers else self.points
        if self.aside or not self.front:
            self._turn(False)

    def _select(self) -> None:
        """Select the points layer, so that the next click applies to it."""
        if self.points in self._viewer.layers:
            self._viewer.layers.selection.active = self.points

    def _fresh_grid(self) -> Grid:
        """The grid of the surface for the current points."""
        lesson = self._lesson
        session, points = lesson.session, lesson.wanted.points
        before, inputs = self._grid_of, session.setup.net.inputs
        if before[0] is not session.data or before[1] is not points or before[2] != inputs or self._grid is None:
            xy, (rows, plane) = self._places()[0], self._drawn
            if points.kind != "custom":
                extent = _around(_plane_of(session))
            elif points.rows != rows:
                extent = _around(xy)
            else:  # keep the extent while the user draws
                left, right, bottom, top = extent = plane
                if len(xy) and ((xy < [left, bottom]) | (xy > [right, top])).any():
                    extent = _around(np.concatenate([xy, [[left, bottom], [right, top]]]))
            self._grid_of = (session.data, points, inputs)
            self._grid = Grid.of(session.data, inputs, SIZE, extent)
        return self._grid

    def begin_drawing(self) -> None:
        """Start with an empty plane of the same extent, and activate napari's tool for adding points."""
        self._drawn = ((), PLANE)
        self._lesson.set_rows(())
        self._select()
        if self.points in self._viewer.layers and self._editable:
            self.points.mode = "add"

    # the points

    def _places(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.intp]]:
        """Positions x, y (n, 2), values (n,) and sets (n,) of the points, in the order of the layer.

        Test points are excluded until the test is revealed (napari's `shown` has no effect in 2-D), except for points
        that the user drew.
        """
        lesson, data = self._lesson, self._lesson.session.data
        if lesson.wanted.points.kind == "custom":
            rows = np.array(lesson.wanted.points.rows, np.float64).reshape(-1, 3)
            sets = np.zeros(len(rows), np.intp)
            if not lesson.problem:
                sets[data.order] = np.repeat(np.arange(3), data.counts)
            return rows[:, :2], rows[:, 2], sets
        n = len(data.xy) if lesson.revealed else sum(data.counts[:2])
        xy, value, sets = data.xy[:n], data.value[:n], np.repeat(np.arange(3), data.counts)[:n]
        if lesson.session.setup.points.kind == "curve":
            return _plane_of(lesson.session)[:n], value, sets
        return xy, value, sets

    def _show_points(self) -> None:
        """Set positions, colours and symbols where they changed.

        Not while the layer is hidden: napari then confuses which points to show. `_eye` updates them later.
        """
        layer, lesson = self.points, self._lesson
        if not layer.visible:
            return
        xy, value, sets = self._places()
        self._revealed = lesson.revealed
        if layer.data.shape != (len(xy), 2) or not np.array_equal(layer.data, xy[:, ::-1]):
            layer.selected_data = set()
            layer.data = xy[:, ::-1].copy()
        left, right, bottom, top = self._fresh_grid().extent
        size = max(right - left, top - bottom) * (0.016 if len(xy) > 100 else 0.024)
        if len(xy):
            if lesson.wanted.points.n_classes:
                layer.face_color = of_classes(value)
            elif lesson.session.setup.points.kind == "curve":  # y is the target value
                layer.face_color = of_classes(0 * value)
            else:
                layer.face_color = of_numbers(value, *span(lesson.session))
            layer.symbol = np.array(SYMBOLS)[sets]
            layer.size = size
        layer.features = {"class": value}
        with layer.block_update_properties():
            layer.current_size = size
            layer.feature_defaults = {"class": float(self.klass)}  # of new points; setting features resets it
        layer.editable = self._editable
        self._ring()

    @property
    def _editable(self) -> bool:
        """Whether the user can edit the points; points for regression cannot be edited."""
        return self._lesson.may("kind") and self._lesson.wanted.points.n_classes > 0

    def set_class(self, klass: int) -> None:
        """Set the class of new points and of selected points."""
        layer, self.klass = self.points, klass
        if layer is None:
            return
        with layer.block_update_properties():
            layer.feature_defaults = {"class": float(klass)}
            layer.current_face_color = of_classes([klass])[0]
            layer.current_symbol = SYMBOLS[0]
        chosen = sorted(layer.selected_data) if layer.mode == "select" and self._editable else []
        values = np.array(layer.features["class"], float)
        if chosen and (values[chosen] != klass).any():
            values[chosen] = klass
            layer.features = {"class": values}
            self._read()

    def selected_training_point(self) -> int | None:
        """The index of the selected training point; None if no training point is selected."""
        lesson = self._lesson
        chosen = sorted(self.points.selected_data) if self.points in self._viewer.layers else []
        if not chosen or lesson.problem:
            return None
        found = np.flatnonzero(self._order() == chosen[0])
        return int(found[0]) if found.size and found[0] < lesson.session.data.counts[0] else None

    def _ring(self) -> None:
        """Mark misclassified points with a ring, if that is switched on."""
        layer, lesson = self.points, self._lesson
        if layer is None or layer not in self._viewer.layers or not len(layer.data) or not layer.visible:
            return
        session, width = lesson.session, np.zeros(len(layer.data))
        ringed = self.ringed and not lesson.problem and session.data.classes > 0
        if ringed:
            wrong = session.decide(session.data.xy) != session.data.value
            width = np.where(wrong[np.argsort(self._order())], 0.4, 0.0)[: len(width)]
        if ringed != self._black:
            layer.border_color, self._black = RING if ringed else "white", ringed
        if not np.array_equal(layer.border_width, width):
            layer.border_width = width

    def _order(self) -> NDArray[np.intp]:
        """The index in the layer of each point of the session."""
        data = self._lesson.session.data
        return data.order if self._lesson.wanted.points.kind == "custom" else np.arange(len(data.xy))

    @contextmanager
    def _by_us(self) -> Iterator[None]:
        """Changes of the points inside this context do not count as edits of the user."""
        before, self._ours = self._ours, True
        try:
            yield
        finally:
            self._ours = before

    def _edited(self, event: Any) -> None:
        """The user added, moved or removed points; report it after a short pause."""
        if not self._ours and not self._ended:
            self._soon.start()

    def _read(self) -> None:
        """Emit the points as they are on the canvas."""
        layer = self.points
        if self._ended or layer is None or layer not in self._viewer.layers:
            return
        try:
            value = np.nan_to_num(np.asarray(layer.features["class"], float))
        except (KeyError, ValueError, TypeError):  # the user changed the features table, too
            value = None
        if value is None or not self._editable or layer.data.shape[1] != 2:
            self.show()
            return
        xy = layer.data[:, ::-1]
        rows = tuple((float(x), float(y), float(v)) for (x, y), v in zip(xy, value, strict=True))
        self._drawn = (rows, self._fresh_grid().extent)
        self.edited.emit(rows)

    # the surface

    def _place(self, grid: Grid) -> None:
        """Scale and translation of the layers: the identity, except for extents that napari's sliders cannot handle."""
        left, right, bottom, top = grid.extent
        span, middle = right - left, np.array([bottom + top, left + right]) / 2
        size = 1.0 if LEAST < span < MOST else 2 / span
        shift = np.zeros(2) if np.abs(middle).max() < MOST * min(span, 1) else middle
        step = np.full(2, size * span / SIZE)
        start = size * (np.array([bottom, left]) - shift) + step / 2
        if not np.allclose([*self.points.scale, *self.points.translate], [size, size, *(-size * shift)]):
            self.points.data = np.zeros((0, 2))  # those of another plane could lie anywhere in this one
            self.points.scale, self.points.translate = (size, size), -size * shift
        if not np.array_equal(self.surface.scale, step):
            self.surface.scale = step
        if not np.array_equal(self.surface.translate, start):
            self.surface.translate = start

    def _picture(self) -> NDArray[np.uint8]:
        """The picture to show, (SIZE, SIZE, 3); row 0 is at the bottom."""
        session, grid = self._lesson.session, self._fresh_grid()
        if self.neuron is not None:
            return neuron_picture(session, grid, *self.neuron)
        return surface_picture(session, grid, self.hard)


def _plane_of(session: Session) -> NDArray[np.float64]:
    """Positions of all points, (n, 2), with the test set, so that nothing moves when it is revealed."""
    data = session.data
    return np.stack([data.xy[:, 0], data.value], axis=1) if session.setup.points.kind == "curve" else data.xy


def _around(xy: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """A square around positions (n, 2) with a margin; its size is never 0."""
    low, high = (xy.min(0), xy.max(0)) if len(xy) else (np.full(2, -1.0), np.ones(2))
    middle, half = (low + high) / 2, float((high - low).max()) / 2 * 1.05
    half = half if half > 1e-12 * max(1.0, float(np.abs(middle).max())) else 1.0
    return (
        float(middle[0] - half),
        float(middle[0] + half),
        float(middle[1] - half),
        float(middle[1] + half),
    )
