"""The tools in the hand: mouse and keys on the Labels layer that is edited."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from napari_dojo.widgets.annotate.editing import Editing
from napari_dojo.widgets.annotate.gestures import TOOLS, Gesture, Tool, accept_at
from napari_dojo.widgets.annotate.trace import Trace

__all__ = ["Tools"]

HOST = "pick"  # the mode of napari in which the tools have the mouse: it neither paints nor moves the camera
REST = ("pick", "pan_zoom")  # modes that keep the tool: Space moves the camera meanwhile
FLAT = "Corrections are made in 2-D. Press Ctrl+Y to leave the 3-D view."


class Tools(QObject):
    """Puts one of `TOOLS` into the hand and takes it back. ``changed``: another tool, or none. ``said``: a sentence.

    Attributes
    ----------
    tool : in the hand, or None.
    """

    changed = Signal()
    said = Signal(str)

    def __init__(self, viewer: Any, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._editing: Editing | None = None
        self.tool: Tool | None = None
        self._first: NDArray[np.float64] | None = None  # where was clicked first, of two objects
        self._before: tuple[str, int] | None = None  # mode and number before the tool was taken
        self._canvas = viewer.window._qt_viewer.canvas.native
        self._trace = Trace(self._canvas)
        self._bound: list[str] = []

    def attach(self, editing: Editing | None) -> None:
        """Work on another layer, or on none."""
        self.put_down()
        if self._editing is not None:
            layer = self._editing.labels
            layer.events.mode.disconnect(self._mode_changed)
            with suppress(ValueError):
                layer.mouse_drag_callbacks.remove(self._drag)
            self._unbind()
        self._editing = editing
        if editing is not None:
            editing.labels.events.mode.connect(self._mode_changed)
            editing.labels.mouse_drag_callbacks.append(self._drag)
            self._bind()

    def close(self) -> None:
        """Give everything back."""
        self.attach(None)
        self._trace.deleteLater()

    def take(self, name: str) -> None:
        """Take a tool, or put it down where it is in the hand already."""
        editing = self._editing
        if editing is None or editing.strokes:  # strokes are painted, not corrected as objects
            return
        if self.tool is not None and self.tool.name == name:
            self.put_down()
            return
        layer = editing.labels
        if not layer.visible:  # a hidden layer has no mode
            layer.visible = True
        if self._before is None:
            self._before = (str(layer.mode), int(layer.selected_label))
        self._viewer.layers.selection.active = layer
        self.tool, self._first = TOOLS[name], None
        if str(layer.mode) != HOST:
            layer.mode = HOST
        layer.cursor = "circle" if self.tool.brush else "cross"
        self._viewer.help = self.tool.hint
        self._canvas.setFocus()  # so that keys reach the image
        self.changed.emit()

    def put_down(self) -> None:
        """No tool; the brush and mode of before come back."""
        if self.tool is None or self._editing is None:
            return
        layer, before = self._editing.labels, self._before
        self.tool, self._before, self._first = None, None, None
        self._trace.clear()
        if before is not None:
            layer.selected_label = before[1]
            layer.mode = before[0]
        self.changed.emit()

    def cancel(self) -> None:
        """Forget the first click of two, else put the tool down."""
        if self._first is not None:
            self._first = None
            self.said.emit("")
        else:
            self.put_down()

    def accept_under_mouse(self) -> None:
        """Accept the object below the mouse."""
        if self._editing is None or self._editing.strokes:
            return
        sight = self._editing.sight()
        if sight is None:
            self.said.emit(FLAT)
            return
        place = self._editing.labels.world_to_data(self._viewer.cursor.position)
        self.said.emit(accept_at(self._editing, [float(p) for p in place], sight))

    # keys

    def _bind(self) -> None:
        """The keys of the tools, on this layer alone; napari's own keys stay."""
        keys = {tool.key: self._taking(tool.name) for tool in TOOLS.values() if len(tool.key) == 1}
        if self._editing is not None:
            undo, redo = self._editing.undo, self._editing.redo
            keys |= {"Control-Z": lambda layer: self.said.emit(undo())}
            keys |= {"Control-Shift-Z": lambda layer: self.said.emit(redo())}
        if self._editing is not None and str(self._editing.labels.mode) != "polygon":  # where napari needs these two
            keys |= {"Enter": lambda layer: self.accept_under_mouse(), "Escape": lambda layer: self.cancel()}
        for key, act in keys.items():
            self._editing.labels.bind_key(key, act, overwrite=True)  # type: ignore[union-attr]
            self._bound.append(key)

    def _taking(self, name: str) -> Callable[[Any], None]:
        return lambda layer: self.take(name)

    def _unbind(self) -> None:
        for key in self._bound:
            self._editing.labels.bind_key(key, None)  # type: ignore[union-attr]
        self._bound = []

    def _mode_changed(self, event: Any) -> None:
        """A person chose one of napari's own tools: ours is put down."""
        layer = event.source
        mode = str(layer.mode)
        self._unbind()
        self._bind()
        if self.tool is None:
            return
        if mode not in REST:
            self.tool, self._before, self._first = None, None, None
            self._trace.clear()
            self.changed.emit()
        elif mode == HOST:
            layer.cursor = "circle" if self.tool.brush else "cross"

    # mouse

    def _drag(self, layer: Any, event: Any) -> Generator[None, None, None]:
        """From press to release; the path is shown while it is drawn."""
        tool, editing = self.tool, self._editing
        if tool is None or editing is None or str(layer.mode) != HOST or event.button != 1:
            return
        sight = editing.sight()
        if sight is None:
            self.said.emit(FLAT)
            return
        shift = "Shift" in [str(getattr(m, "name", m)) for m in event.modifiers]
        kind = "box" if shift and tool.boxes else tool.draws
        places, points = [layer.world_to_data(event.position)], [tuple(event.pos)]
        yield
        while event.type == "mouse_move":
            places.append(layer.world_to_data(event.position))
            points.append(tuple(event.pos))
            if kind:
                self._trace.draw(points, kind)
            yield
        self._trace.clear()
        path = np.array([[float(p) for p in place] for place in places])
        reach = float(np.linalg.norm(np.subtract(points, points[0]), axis=1).max())
        self._act(tool, editing, Gesture(path, sight, shift, self._first, reach))

    def _act(self, tool: Tool, editing: Editing, gesture: Gesture) -> None:
        if tool.pairs and gesture.click and self._first is None:
            number = editing.number_at(gesture.start)
            self._first = gesture.start if number else None
            then = f"Now click the object that belongs to object {number}. Esc: not this one."
            self.said.emit(then if number else "There is no object. Click two objects, one after the other.")
            return
        self._first = None
        if self._before is not None:
            editing.labels.selected_label = self._before[1]  # napari picks what is clicked
        self.said.emit(tool.act(editing, gesture))
