"""Brightness along a line: all visible images together, as a small plot that follows the line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_dojo.widgets.common.form import described
from napari_dojo.widgets.common.layers import array_of
from napari_dojo.widgets.common.pick import images_of, shapes_of
from napari_dojo.widgets.common.plot import Plot

__all__ = ["Profile", "along", "line_of"]

COLOURS = ("#56B4E9", "#E69F00", "#009E73", "#CC79A7")  # Okabe-Ito; more images are not shown
POINTS = 400


def line_of(layers: Sequence[Any]) -> NDArray[np.float64] | None:
    """The ends of the last straight line of the Shapes layers, in world coordinates (2, n); None where there is none."""
    for layer in reversed(shapes_of(layers)):
        lines = [v for v, kind in zip(layer.data, layer.shape_type, strict=True) if kind in ("line", "path")]
        if lines:
            ends = np.asarray(lines[-1], float)[[0, -1]]
            return np.asarray([layer.data_to_world(p) for p in ends])
    return None


def along(layer: Any, ends: NDArray[np.float64], point: Sequence[float]) -> NDArray[np.float64]:
    """Values of an image layer at `POINTS` places of a line, NaN outside of it.

    ``ends`` : in world coordinates of the last axes; ``point`` : where the viewer is along all axes.
    """
    from scipy.ndimage import map_coordinates

    at = np.repeat(np.asarray(point, float)[None], POINTS, 0)
    n = min(ends.shape[1], at.shape[1])
    at[:, -n:] = ends[0, -n:] + np.linspace(0, 1, POINTS)[:, None] * (ends[1, -n:] - ends[0, -n:])
    at = at[:, -layer.ndim :] if at.shape[1] >= layer.ndim else np.pad(at, ((0, 0), (layer.ndim - at.shape[1], 0)))
    first, last = (np.asarray(layer.world_to_data(at[k]), float) for k in (0, -1))
    places = first + np.linspace(0, 1, POINTS)[:, None] * (last - first)
    array = array_of(layer)
    where = tuple(int(np.clip(round(v), 0, m - 1)) for v, m in zip(places[0, :-2], array.shape, strict=False))
    plane = np.asarray(array[where], np.float64)
    plane = plane.mean(-1) if layer.rgb else plane
    return np.asarray(map_coordinates(plane, places[:, -2:].T, order=1, mode="constant", cval=np.nan))


class Profile(QWidget):
    """The plot, and a button to draw the line."""

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self._followed: list[Any] = []
        self.button = QPushButton("Draw a line")
        described(
            self.button, "Draw a line", "Draw a line across the images: their brightness along it is shown together."
        )
        self.plot = ProfilePlot(viewer)
        row, column = QHBoxLayout(), QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        row.addWidget(QLabel("Along a line"), 1)
        row.addWidget(self.button)
        column.addLayout(row)
        column.addWidget(self.plot)
        self.button.clicked.connect(self._draw)
        viewer.dims.events.point.connect(self.later)
        self.follow()

    def follow(self) -> None:
        """Follow the layers that there are now."""
        self._leave()
        self._followed = [*shapes_of(self._viewer.layers), *images_of(self._viewer.layers)]
        for layer in self._followed:
            layer.events.data.connect(self.later)
            layer.events.visible.connect(self.later)
        self.later()

    def later(self, event: Any = None) -> None:
        """Redraw the line after the pending events."""
        self.plot.redraw_soon()

    def end(self) -> None:
        """Listen no more."""
        self._leave()
        self._viewer.dims.events.point.disconnect(self.later)
        self.plot.end()

    def _leave(self) -> None:
        for layer in self._followed:
            layer.events.data.disconnect(self.later)
            layer.events.visible.disconnect(self.later)
        self._followed = []

    def _draw(self) -> None:
        layer = next((x for x in shapes_of(self._viewer.layers) if x.name == "line"), None)
        if layer is None:
            layer = self._viewer.add_shapes(ndim=2, name="line", edge_color="#F0E442", edge_width=2)
        self._viewer.layers.selection.active = layer
        layer.mode = "add_line"


class ProfilePlot(Plot):
    """Brightness over the distance along the line, in its layers' units."""

    def __init__(self, viewer: Any) -> None:
        super().__init__(viewer, "Brightness along the line", "Draw a line to fill this plot.", ())
        self.blank(True)

    def redraw(self) -> None:
        """Show the visible images along the last line that was drawn."""
        self.plotItem.clear()
        ends = line_of(self._viewer.layers)
        shown = [x for x in images_of(self._viewer.layers) if x.visible][-len(COLOURS) :] if ends is not None else []
        self._legend = tuple((colour, "━", _short(x.name)) for x, colour in zip(shown, COLOURS, strict=False))
        self.recolour()
        self.blank(ends is None)
        if ends is None:
            return
        length = float(np.linalg.norm(ends[1] - ends[0]))
        for layer, colour in zip(shown, COLOURS, strict=False):
            values = along(layer, ends, self._viewer.dims.point)
            self.plotItem.plot(
                np.linspace(0, length, POINTS), values, pen=pg.mkPen(colour, width=1.5), connect="finite"
            )


def _short(name: str, most: int = 14) -> str:
    return name if len(name) <= most else f"{name[: most // 2]}…{name[-most // 2 :]}"
