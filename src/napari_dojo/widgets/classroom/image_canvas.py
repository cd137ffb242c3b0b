"""An image, the kernels and the feature maps of the convolutional network as layers of the viewer, from left to right."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from napari_dojo.playground.convolution import Convolution, mosaic
from napari_dojo.playground.image_settings import KERNEL
from napari_dojo.widgets.classroom.borrowed import axes_of, borrowed, camera_of, units_of
from napari_dojo.widgets.classroom.colours import NEGATIVE, POSITIVE
from napari_dojo.widgets.classroom.image_lesson import ImageLesson
from napari_dojo.widgets.common.later import later
from napari_dojo.widgets.common.layers import class_look, provenance

__all__ = ["ImageCanvas"]

PAD, BRUSH = 48, 7  # px of the drawing along each side, and of its brush
BOX = 24.0  # height of a layer on the canvas; that of feature maps is up to twice as wide
GAP, LINE = 3.0, 4.0  # between layers, and above them for their titles
DRAWING, SEEN, TITLES = "Draw here", "What the networks read", "Titles"
PAUSE = 120  # ms between updates of the feature maps while training runs
READ = 0  # ms after a stroke: as soon as its events are through
Array = NDArray[np.float64]


class ImageCanvas(QObject):
    """Shows a lesson on images on the canvas of a viewer.

    Signals
    -------
    lost : the user removed a layer of the classroom; `show` restores it.

    Attributes
    ----------
    layers : the layers by their names.
    """

    lost = Signal()

    def __init__(self, viewer: Any, lesson: ImageLesson, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer, self._lesson = viewer, lesson
        self.layers: dict[str, Any] = {}
        self._ours = self._ended = False
        self._drawn = 0.0  # when the layers were updated
        self._soon = later(self, 0, self.draw)
        self._reading = later(self, READ, self._read)
        self._fitting = later(self, 0, self.fit)
        self._fitted: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)  # the camera that showed all
        viewer.layers.events.removed.connect(self._removed)
        if hasattr(viewer, "canvas"):
            viewer.canvas.events.size.connect(self._resized)
        lesson.seen.connect(self.draw_soon)
        lesson.changed.connect(self._changed)

    # coming and going

    def enter(self) -> None:
        """Hide the user's layers and show the lesson."""
        if not self._ended:
            borrowed(self._viewer).take(self, self._turn, list(self.layers.values()))
            self.show()
            self.fit()

    def step_aside(self) -> None:
        """Show what was there before, until `enter` is called."""
        self._turn(False)
        borrowed(self._viewer).give_back(self)

    def leave(self) -> None:
        """Remove the layers and restore the viewer."""
        if self._ended:
            return
        self._ended = True
        for timer in (self._soon, self._reading, self._fitting):
            timer.stop()
        self._viewer.layers.events.removed.disconnect(self._removed)
        if hasattr(self._viewer, "canvas"):
            self._viewer.canvas.events.size.disconnect(self._resized)
        for layer in self.layers.values():
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)
        self.layers = {}
        borrowed(self._viewer).give_back(self)

    @property
    def front(self) -> bool:
        """Whether this classroom has the canvas."""
        return borrowed(self._viewer).front is self

    def _turn(self, on: bool) -> None:
        """Show or hide the layers; y points down while they are shown, as in images."""
        for layer in self.layers.values():
            if layer in self._viewer.layers:
                layer.visible = on
        camera_of(self._viewer).orientation2d = ("down" if on else "up", "right")
        axes_of(self._viewer).visible = not on
        if on:
            self._fitting.start()

    def _removed(self, event: Any) -> None:
        if not self._ours and any(event.value is layer for layer in self.layers.values()):
            self.lost.emit()

    # what is shown

    def show(self) -> None:
        """Show all layers; restore missing ones, and remove those of stages that are no longer there."""
        if self._ended:
            return
        pictures = self._pictures()
        viewer = self._viewer
        self._ours = True
        for name in [n for n in self.layers if n not in {*pictures, DRAWING, TITLES}]:
            layer = self.layers.pop(name)
            if layer in viewer.layers:
                viewer.layers.remove(layer)
        self._ours = False
        for name, picture in pictures.items():
            self._place(name, picture)
        self._place_drawing()
        self._place_titles(pictures)
        self.draw()

    def draw_soon(self) -> None:
        """Update the layers, at once if the last time is long enough ago."""
        if not self._soon.isActive():
            wait = self._drawn + PAUSE / 1000 - time.perf_counter()
            self._soon.start(max(0, int(1000 * wait)))

    def draw(self) -> None:
        """Update the layers in place."""
        if self._ended or not self.layers or not self.front:
            return
        self._drawn = time.perf_counter()
        for name, picture in self._pictures().items():
            layer = self.layers.get(name)
            if layer is None or layer not in self._viewer.layers:
                continue
            data, shown = layer.data, picture.data
            if data.shape != shown.shape:
                layer.data = shown
            else:
                data[:] = shown
                layer.refresh(extent=False, thumbnail=False, highlight=False)
            low, high = picture.limits
            if not np.allclose(layer.contrast_limits, (low, high), rtol=0.1):
                layer.contrast_limits = (low, high)

    def fit(self) -> None:
        """Fit the view to the layers."""
        if self._ended or not self.front or not self.layers:
            return
        viewer, camera, pictures = self._viewer, camera_of(self._viewer), self._pictures().values()
        wide, high = max(p.left + p.size[1] for p in pictures), max(p.top + p.size[0] for p in pictures)
        size = viewer.canvas.size if hasattr(viewer, "canvas") else viewer._canvas_size
        camera.center = (0, (high - LINE) / 2, wide / 2)
        camera.zoom = min(size[0] / (high + LINE + GAP), size[1] / (wide + GAP))
        self._fitted = (*camera.center, camera.zoom)

    def _resized(self, event: Any = None) -> None:
        """Fit the view after the canvas was resized, unless the user has zoomed in."""
        camera = camera_of(self._viewer)
        if self.front and np.allclose(self._fitted, (*camera.center, camera.zoom)):
            self._fitting.start()

    def _pictures(self) -> dict[str, _Picture]:
        """In the first row beside the drawing: image and kernels; in a row for each layer: feature maps, and pooled ones."""
        lesson, net = self._lesson, self._lesson.session.net.cnn
        lesson.session.read(lesson.image)  # training has left other feature maps
        first, size = net.convolutions[0].kernels[:, 0], lesson.content.side
        most = float(np.abs(first).max()) or 1.0
        limits, title = (-most, most), f"{len(first)} kernels {KERNEL} x {KERNEL}"
        found = {
            SEEN: _Picture(lesson.image, f"image {size} x {size}", 0.0, BOX + GAP, (0.0, 1.0)),
            "Kernels 1": _Picture(_tiles(first), title, 0.0, 2 * (BOX + GAP), limits, _diverging()),
        }
        number, left = 0, 0.0
        for stage in net.stages[:-1]:
            maps = stage.outputs[0].transpose(2, 0, 1)
            if isinstance(stage, Convolution):
                number, left = number + 1, 0.0
            title = f"{len(maps)} {stage.title} {maps.shape[1]} x {maps.shape[2]}"
            top, limits = number * (BOX + LINE), (0.0, float(maps.max()) or 1.0)
            found[f"{stage.title.capitalize()} {number}"] = _Picture(_tiles(maps), title, top, left, limits)
            left += 2 * BOX + GAP
        return found

    def _place(self, name: str, picture: _Picture) -> None:
        """Add a layer if it is missing, and put it in its place."""
        from napari.layers import Image

        viewer = self._viewer
        layer = self.layers.get(name)
        if layer is None or layer not in viewer.layers:
            layer = Image(
                picture.data.copy(),
                name=name,
                colormap=picture.colormap,
                contrast_limits=picture.limits,
                axis_labels=("y", "x"),
                units=units_of(viewer.layers),
                metadata=provenance("classroom", ""),
            )
            self._add(name, layer)
        elif layer.data.shape != picture.data.shape:
            layer.data = picture.data.copy()
        scale = picture.scale
        layer.scale = (scale, scale)
        layer.translate = (picture.top + scale / 2, picture.left + scale / 2)

    def _place_drawing(self) -> None:
        from napari.layers import Labels

        layer = self.layers.get(DRAWING)
        if layer is not None and layer in self._viewer.layers:
            return
        layer = Labels(
            np.zeros((PAD, PAD), np.uint8),
            name=DRAWING,
            scale=(BOX / PAD, BOX / PAD),
            translate=(BOX / PAD / 2, BOX / PAD / 2),
            axis_labels=("y", "x"),
            units=units_of(self._viewer.layers),
            opacity=1.0,
            metadata=provenance("classroom", ""),
            **class_look([1], ["drawing"]),
        )
        layer.brush_size = BRUSH
        layer.bounding_box.visible = True
        layer.events.paint.connect(lambda *_: self._reading.start())
        layer.events.labels_update.connect(lambda *_: self._reading.start())
        self._add(DRAWING, layer)

    def _place_titles(self, pictures: dict[str, _Picture]) -> None:
        """The names of the layers above them."""
        from napari.layers import Points

        layer = self.layers.get(TITLES)
        names = {DRAWING: (0.0, 0.0, "draw here")}
        names |= {n: (p.top, p.left, p.title) for n, p in pictures.items()}
        at = np.array([(top - 0.3, left) for top, left, _ in names.values()])
        words = [text for *_, text in names.values()]
        if layer is None or layer not in self._viewer.layers:
            layer = Points(
                at,
                name=TITLES,
                features={"title": words},
                text={"string": "{title}", "anchor": "upper_left", "size": 8, "color": "#888888"},
                face_color="transparent",
                border_color="transparent",
                axis_labels=("y", "x"),
                units=units_of(self._viewer.layers),
                metadata=provenance("classroom", ""),
            )
            self._add(TITLES, layer)
        elif list(layer.features["title"]) != words or not np.array_equal(layer.data, at):
            layer.selected_data = set()
            layer.data = at
            layer.features = {"title": words}
            layer.refresh_text()

    def _add(self, name: str, layer: Any) -> None:
        """Add a layer; the drawing stays the selected one."""
        layers = self._viewer.layers
        self.layers[name] = layer
        layers.append(layer)
        titles = self.layers.get(TITLES)
        if titles is not None and titles in layers:
            layers.move(layers.index(titles), len(layers))
        drawing = self.layers.get(DRAWING)
        if drawing is not None and drawing in layers:
            layers.selection.active = drawing
        layer.visible = self.front

    # drawing

    def begin_drawing(self) -> None:
        """Clear the drawing and choose the brush."""
        self.show()
        layer = self.layers[DRAWING]
        layer.data = np.zeros_like(layer.data)
        layer.selected_label = 1
        self._viewer.layers.selection.active = layer
        layer.mode = "paint"
        self._lesson.read_drawing(layer.data > 0)

    def _read(self) -> None:
        layer = self.layers.get(DRAWING)
        if layer is not None and not self._ended:
            self._lesson.read_drawing(np.asarray(layer.data) > 0)

    def _changed(self) -> None:
        if self.front:
            self.show()
            self._fitting.start()


@dataclass(frozen=True, eq=False)
class _Picture:
    """What a layer shows and where: top and left in px of the canvas."""

    data: Array
    title: str
    top: float
    left: float
    limits: tuple[float, float]
    colormap: Any = "gray"

    @property
    def scale(self) -> float:
        """Of one of its px on the canvas, so that it fits its place."""
        high, wide = self.data.shape
        return min(BOX / high, 2 * BOX / wide)

    @property
    def size(self) -> tuple[float, float]:
        """Height and width on the canvas."""
        return self.data.shape[0] * self.scale, self.data.shape[1] * self.scale


def _tiles(maps: Array) -> Array:
    """Maps (n, Y, X) in about twice as many columns as rows."""
    return mosaic(maps, int(np.ceil(np.sqrt(2 * len(maps)))))


def _diverging() -> Any:
    from napari.utils.colormaps import Colormap

    return Colormap([NEGATIVE, "#ffffff", POSITIVE], name="kernels", nan_color="transparent")
