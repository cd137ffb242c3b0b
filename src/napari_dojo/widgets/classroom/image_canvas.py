"""A digit, the kernels and the feature maps of the convolutional network as layers of the viewer, from left to right."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer, Signal  # type: ignore[attr-defined]

from napari_dojo.playground.convolution import Convolution, Dense, mosaic
from napari_dojo.playground.image_settings import SIDE
from napari_dojo.widgets.classroom.borrowed import axes_of, borrowed, camera_of, units_of
from napari_dojo.widgets.classroom.colours import NEGATIVE, POSITIVE
from napari_dojo.widgets.classroom.image_lesson import ImageLesson
from napari_dojo.widgets.common.layers import provenance

__all__ = ["ImageCanvas"]

FINE = 4  # px of the drawing along each side of one px of the image
BRUSH = 7  # px of the drawing
GAP = 2.5  # px of the image between layers
HEIGHT = 2 * SIDE + GAP  # of all columns
DRAWING, SEEN, TITLES = "Draw here", "What the networks read", "Titles"
PAUSE = 120  # ms between updates of the feature maps while training runs
READ = 20  # ms after a stroke
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
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(PAUSE)
        self._soon.timeout.connect(self.draw)
        self._reading = QTimer(self)
        self._reading.setSingleShot(True)
        self._reading.setInterval(READ)
        self._reading.timeout.connect(self._read)
        self._fitting = QTimer(self)
        self._fitting.setSingleShot(True)
        self._fitting.timeout.connect(self.fit)
        viewer.layers.events.removed.connect(self._removed)
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
            self._fitting.start(0)

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
        """Update the layers: at once while training rests, else a few times per second."""
        if not self._soon.isActive():
            self._soon.start()

    def draw(self) -> None:
        """Update the layers in place."""
        if self._ended or not self.layers or not self.front:
            return
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
        viewer, camera = self._viewer, camera_of(self._viewer)
        width = max(p.left + p.width for p in self._pictures().values())
        size = viewer.canvas.size if hasattr(viewer, "canvas") else viewer._canvas_size
        high, wide = HEIGHT + 2 * GAP, width + GAP
        camera.center = (0, HEIGHT / 2 - GAP / 2, width / 2)
        camera.zoom = min(size[0] / high, size[1] / wide) * 0.97

    def _pictures(self) -> dict[str, _Picture]:
        """Image, kernels and feature maps, from left to right."""
        lesson = self._lesson
        net = lesson.session.net.cnn
        found = {SEEN: _Picture(lesson.image, SIDE + GAP, 0, 1.0, (0.0, 1.0), "gray")}
        first = net.convolutions[0].kernels[:, 0]
        left = SIDE + GAP
        most = float(np.abs(first).max()) or 1.0
        tiles = _tiles(first)
        scale = min(HEIGHT / len(tiles), SIDE / 8)
        found["Kernels 1"] = _Picture(tiles, 0.0, left, scale, (-most, most), _diverging())
        left += found["Kernels 1"].width + GAP
        number = 0
        for stage in net.stages:
            if isinstance(stage, Dense) or not len(stage.outputs):
                continue
            number += isinstance(stage, Convolution)
            tiles = _tiles(stage.outputs[0].transpose(2, 0, 1))
            name = f"{stage.title.capitalize()} {number}"
            high = float(np.nanmax(tiles)) or 1.0
            found[name] = _Picture(tiles, 0.0, left, HEIGHT / len(tiles), (0.0, high), "gray")
            left += found[name].width + GAP
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
        layer.scale = (picture.scale, picture.scale)
        layer.translate = (picture.top + picture.scale / 2, picture.left + picture.scale / 2)

    def _place_drawing(self) -> None:
        from napari.layers import Labels

        layer = self.layers.get(DRAWING)
        if layer is not None and layer in self._viewer.layers:
            return
        layer = Labels(
            np.zeros((FINE * SIDE, FINE * SIDE), np.uint8),
            name=DRAWING,
            scale=(1 / FINE, 1 / FINE),
            translate=(0.5 / FINE, 0.5 / FINE),
            axis_labels=("y", "x"),
            units=units_of(self._viewer.layers),
            opacity=1.0,
            metadata=provenance("classroom", ""),
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
        names |= {n: (p.top, p.left, _title(n, p.sizes)) for n, p in pictures.items()}
        at = np.array([(top - 0.4, left) for top, left, _ in names.values()])
        words = [text for *_, text in names.values()]
        if layer is None or layer not in self._viewer.layers:
            layer = Points(
                at,
                name=TITLES,
                features={"title": words},
                text={"string": "{title}", "anchor": "lower_left", "size": 9, "color": "#888888"},
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
            self._fitting.start(0)


class _Picture:
    """What a layer shows and where: top, left and scale in px of the image."""

    def __init__(
        self, data: Array, top: float, left: float, scale: float, limits: tuple[float, float], colormap: Any
    ) -> None:
        self.data, self.top, self.left, self.scale = data, top, left, scale
        self.limits, self.colormap = limits, colormap

    @property
    def width(self) -> float:
        return self.data.shape[1] * self.scale

    sizes = ""


def _tiles(maps: Array) -> Array:
    """Maps (n, Y, X) in about twice as many rows as columns."""
    return mosaic(maps, 2 ** int(np.log2(max(1.0, np.sqrt(len(maps))))))


def _title(name: str, sizes: str) -> str:
    return f"{name.lower()} {sizes}".strip()


def _diverging() -> Any:
    from napari.utils.colormaps import Colormap

    return Colormap([NEGATIVE, "#ffffff", POSITIVE], name="kernels", nan_color="transparent")
