"""Hide the user's layers while a classroom uses the viewer, and restore the view afterwards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from qtpy.QtCore import QObject

from napari_dojo.widgets.common.provenance import made
from napari_dojo.widgets.common.single import single

__all__ = ["Borrowed", "axes_of", "borrowed", "camera_of", "grid_of", "units_of"]

CAMERA = ("orientation", "perspective", "angles", "center", "zoom")
AXES = ("visible", "labels")


def camera_of(viewer: Any) -> Any:
    """The camera, in napari 0.9 and earlier versions."""
    return getattr(viewer, "scene", viewer).camera


def axes_of(viewer: Any) -> Any:
    """The axes overlay."""
    return viewer.scene.overlays.axes if hasattr(viewer, "scene") else viewer.axes


def grid_of(viewer: Any) -> Any:
    """The grid of layers on the canvas."""
    return viewer.canvas.grid if hasattr(viewer, "canvas") else viewer.grid


def units_of(layers: Any) -> tuple[str, str] | None:
    """The units of the last two axes of all layers; None if they differ, because then napari warns anyway."""
    found = {tuple(str(unit) for unit in layer.units[-2:]) for layer in layers}
    only = found.pop() if len(found) == 1 else ()
    return (only[0], only[1]) if len(only) == 2 else None


@dataclass(frozen=True)
class _Look:
    """The state of the viewer: visible layers, selection, camera, axes and dimensions."""

    visible: tuple[tuple[Any, bool], ...]
    selected: tuple[Any, ...]
    active: Any
    camera: dict[str, Any]
    axes: dict[str, Any]
    grid: bool
    ndisplay: int
    ndim: int
    order: tuple[int, ...]
    point: tuple[float, ...]
    labels: tuple[str, ...]

    @classmethod
    def of(cls, viewer: Any) -> _Look:
        dims, camera, axes = viewer.dims, camera_of(viewer), axes_of(viewer)
        return cls(
            visible=tuple((layer, layer.visible) for layer in viewer.layers),
            selected=tuple(viewer.layers.selection),
            active=viewer.layers.selection.active,
            camera={name: getattr(camera, name) for name in CAMERA if hasattr(camera, name)},
            axes={name: getattr(axes, name) for name in AXES},
            grid=grid_of(viewer).enabled,
            ndisplay=dims.ndisplay,
            ndim=dims.ndim,
            order=tuple(dims.order),
            point=tuple(dims.point),
            labels=tuple(dims.axis_labels),
        )

    def with_new(self, viewer: Any, ours: Sequence[Any]) -> _Look:
        """The same state with the layers that were added since."""
        known = [layer for layer, _ in self.visible] + list(ours)
        new = [(x, x.visible) for x in viewer.layers if not any(x is y for y in known) and not _is_classroom(x)]
        return replace(self, visible=(*self.visible, *new))

    def put_back(self, viewer: Any) -> None:
        """Restore the state; layers that were removed meanwhile are ignored."""
        dims, camera, axes = viewer.dims, camera_of(viewer), axes_of(viewer)
        for layer, visible in self.visible:
            if layer in viewer.layers:
                layer.visible = visible
        viewer.layers.selection = {layer for layer in self.selected if layer in viewer.layers}
        if self.active in viewer.layers:
            viewer.layers.selection.active = self.active
            viewer.layers.selection.update(layer for layer in self.selected if layer in viewer.layers)
        grid_of(viewer).enabled = self.grid
        dims.ndisplay = self.ndisplay
        if dims.ndim == self.ndim:
            dims.order, dims.point, dims.axis_labels = self.order, self.point, self.labels
        for name, value in self.axes.items():
            setattr(axes, name, value)
        for name, value in self.camera.items():
            setattr(camera, name, value)


def _is_classroom(layer: Any) -> bool:
    return made(layer.metadata).get("kind") == "classroom"


class Borrowed(QObject):
    """Shares a viewer's canvas between classrooms: the one in front has it. There is one per viewer."""

    def __init__(self, viewer: Any) -> None:
        super().__init__(viewer.window._qt_window)
        self._viewer = viewer
        self._look: _Look | None = None
        self._labels: tuple[str, ...] = ()
        self._guests: list[tuple[object, Callable[[bool], None]]] = []  # the last one is in front

    def take(self, guest: object, show: Callable[[bool], None], keep: Sequence[Any] = ()) -> None:
        """Hide the other layers and bring a guest to the front; ``show`` shows or hides the guest's layers.

        ``keep`` are the guest's layers, which are not hidden.
        """
        if self.front is guest:
            return
        if self._look is None:
            self._look = _Look.of(self._viewer)
            if self._labels and any(_is_classroom(x) for x in self._viewer.layers):  # then they are the classroom's
                self._look = replace(self._look, labels=self._labels)
            self._labels = self._look.labels
        else:  # layers may have come since
            self._look = self._look.with_new(self._viewer, keep)
        self._guests = [g for g in self._guests if g[0] is not guest]
        if self._guests:
            self._guests[-1][1](False)
        for layer in self._viewer.layers:
            if not any(layer is own for own in keep):
                layer.visible = False
        self._guests.append((guest, show))
        viewer = self._viewer
        viewer.dims.ndisplay = 2
        viewer.dims.order = tuple(range(viewer.dims.ndim))
        grid_of(viewer).enabled = False
        axes_of(viewer).visible = axes_of(viewer).labels = True
        camera_of(viewer).orientation2d = ("up", "right")
        show(True)

    def give_back(self, guest: object) -> None:
        """Remove a guest; after the last one, the viewer is restored."""
        was_front = self.front is guest
        self._guests = [g for g in self._guests if g[0] is not guest]
        if self._guests:
            if was_front:
                self._guests[-1][1](True)
        elif self._look is not None:
            look, self._look = self._look, None
            look.put_back(self._viewer)

    @property
    def front(self) -> object:
        """The guest that has the canvas, or None."""
        return self._guests[-1][0] if self._guests else None


def borrowed(viewer: Any) -> Borrowed:
    """The `Borrowed` of a viewer; made if there is none."""
    return single(viewer.window._qt_window, Borrowed, lambda: Borrowed(viewer))
