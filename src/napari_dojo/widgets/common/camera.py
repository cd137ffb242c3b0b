"""The camera and the dimensions of the viewer: bring a place into the middle of the view."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["fill", "look_at"]

WELL_SEEN = 60.0  # screen px for an object that is gone to


def look_at(viewer: Any, world: Sequence[float], width: float = 0.0) -> None:
    """Show a place of the world in the middle; where ``width`` is given, zoomed in until what is so wide is well seen."""
    first, shown = viewer.dims.ndim - len(world), list(viewer.dims.displayed)
    for axis, at in enumerate(world, first):
        if axis not in shown:
            viewer.dims.set_point(axis, at)
    camera = getattr(viewer, "scene", viewer).camera  # napari 0.9 moved it
    centre = list(camera.center)
    for k, axis in enumerate(shown, len(centre) - len(shown)):
        if axis >= first:
            centre[k] = world[axis - first]
    camera.center = tuple(centre)
    if width > 0 and len(shown) == 2:
        camera.zoom = max(camera.zoom, WELL_SEEN / width)


def fill(viewer: Any, width: float, share: float = 1 / 3) -> None:
    """Zoom so that what is so wide in the world takes this share of the canvas."""
    canvas = viewer.window._qt_viewer.canvas.native
    camera = getattr(viewer, "scene", viewer).camera  # napari 0.9 moved it
    camera.zoom = share * min(canvas.width(), canvas.height()) / width
