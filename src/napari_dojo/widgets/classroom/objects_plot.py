"""A scatter plot of objects by two measurements, in the panel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from qtpy.QtCore import QPointF, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QColor

from napari_dojo.widgets.common.layers import class_look
from napari_dojo.widgets.common.plot import Plot, theme_colours

__all__ = ["COLOURS", "GREY", "NONE", "NUMBERS", "ObjectsPlot"]

NONE = 8  # the number of an object without a class; 1 to 7 are classes
NUMBERS = range(1, NONE)
GREY = "#888888"
COLOURS = tuple(class_look(NUMBERS, [])["colormap"][k] for k in NUMBERS)
NEAR = 14  # px from an object that still count as a click on it


class ObjectsPlot(Plot):
    """A scatter plot of objects. ``clicked`` gives the row of the object that the user clicked."""

    clicked = Signal(int)

    def __init__(self, viewer: Any) -> None:
        legend = ((GREY, "●", "no class"), (None, "◎", "class assigned"))
        tip = (
            "Each object of the image is a point, in standard deviations from the mean (z-score). "
            "Click an object to assign the selected class."
        )
        super().__init__(viewer, "Scatter plot of the objects", tip, legend)
        self.setFixedHeight(190)
        self._picture = pg.ImageItem()
        self._picture.setOpacity(0.25)
        self._all, self.rings = pg.ScatterPlotItem(), pg.ScatterPlotItem()
        for item in (self._picture, self._all, self.rings):
            self.addItem(item)
        self._xy: NDArray[np.float64] = np.zeros((0, 2))
        self.scene().sigMouseClicked.connect(self._on_click)

    def show_objects(self, xy: NDArray[np.float64], numbers: NDArray[np.uint8], assigned: dict[int, int]) -> None:
        """Show objects (n, 2) in the colours of their classes (n,), with rings for assigned classes."""
        self._xy = xy
        fine = np.isfinite(xy[:, 0])
        brushes = [pg.mkBrush(_colour(n)) for n in range(NONE + 1)]  # one for each colour: pyqtgraph draws each once
        self._all.setData(pos=xy[fine], brush=[brushes[n] for n in numbers[fine]], pen=None, size=6)
        rows = [row for row in assigned if fine[row]]
        brushes = [pg.mkBrush(COLOURS[assigned[row]]) for row in rows]
        self.rings.setData(pos=xy[rows], brush=brushes, pen=self._ring(), size=12)

    def recolour(self, event: Any = None) -> None:
        """Use the colours of the viewer's theme."""
        super().recolour(event)
        rings = getattr(self, "rings", None)  # the first call comes before it exists
        if rings is not None:
            rings.setPen(self._ring())

    def _ring(self) -> Any:
        return pg.mkPen(theme_colours(self._viewer)["text"], width=2)

    def show_titles(self, x: str, y: str) -> None:
        """Set the titles of the two axes."""
        for axis, title in (("bottom", x), ("left", y)):
            self.setLabel(axis, title, **{"font-size": "8pt"})

    def extent(self) -> tuple[float, float, float, float]:
        """Left, right, bottom, top of the objects, with a margin."""
        fine = self._xy[np.isfinite(self._xy[:, 0])]
        if not len(fine):
            return (-1.0, 1.0, -1.0, 1.0)
        low, high = fine.min(0) - 0.3, fine.max(0) + 0.3
        return (float(low[0]), float(high[0]), float(low[1]), float(high[1]))

    def show_surface(self, numbers: NDArray[np.uint8] | None) -> None:
        """Show the decision surface (size, size) behind the objects, row 0 at the bottom; None: nothing."""
        left, right, bottom, top = self.extent()
        self.setRange(xRange=(left, right), yRange=(bottom, top), padding=0)
        if numbers is None:
            self._picture.clear()
            return
        table = np.array([QColor(_colour(k)).getRgb() for k in range(NONE + 1)], np.uint8)
        self._picture.setImage(table[numbers].transpose(1, 0, 2), levels=None)  # (x, y, rgba)
        self._picture.setRect(left, bottom, right - left, top - bottom)

    def nearest(self, place: QPointF) -> int | None:
        """The row of the object at a position of the widget, px; None if none is near."""
        box = self.plotItem.vb
        fine = np.flatnonzero(np.isfinite(self._xy[:, 0]))
        if not len(fine):
            return None
        seen = [box.mapViewToScene(QPointF(*map(float, self._xy[row]))) for row in fine]
        far = [(p.x() - place.x()) ** 2 + (p.y() - place.y()) ** 2 for p in seen]
        best = int(np.argmin(far))
        return int(fine[best]) if far[best] <= NEAR**2 else None

    def _on_click(self, event: Any) -> None:
        row = self.nearest(event.scenePos())
        if row is not None and event.button() == Qt.MouseButton.LeftButton:
            self.clicked.emit(row)


def _colour(number: int) -> str:
    return COLOURS[number - 1] if 1 <= number < NONE else GREY
