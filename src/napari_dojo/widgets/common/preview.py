"""The current prediction: one layer, added once and changed in place while training runs."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_dojo.data.axes import Axes
from napari_dojo.widgets.common.alone import Alone, lies_on, pair_in_view
from napari_dojo.widgets.common.background import in_background
from napari_dojo.widgets.common.kinds import LOOKS
from napari_dojo.widgets.common.layers import add_quietly, array_of, finer_place, joined, moved, placement, provenance
from napari_dojo.widgets.common.pick import previews_of
from napari_dojo.widgets.common.run import Runner
from napari_dojo.widgets.common.training_data import Layers

__all__ = ["Preview"]

EDGE = {2: (1024, 1024), 3: (24, 256, 256)}  # the largest part that is shown, px


@dataclass(frozen=True, eq=False)
class _Look:
    """A part of an image to predict for the preview.

    ``outline`` : as outlines, where a person has labels of their own under them; else filled, and in 3-D. The job draws them: napari
    would for each preview in the window's thread.
    """

    images: tuple[Any, ...]
    sample: int
    box: tuple[slice, ...]
    place: dict[str, Any]
    outline: bool = False

    @property
    def opacity(self) -> float:
        """Of a layer of labels."""
        return 1.0 if self.outline else 0.5

    def placed(self, shape: Sequence[int]) -> dict[str, Any]:
        """The place of a prediction of this shape, whose pixels may be finer."""
        factors = [n / (b.stop - b.start) for n, b in zip(shape, self.box, strict=True)]
        return finer_place(self.place, factors)

    def same(self, other: _Look | None) -> bool:
        mine = (self.images, self.sample, self.box, self.outline)
        return other is not None and mine == (other.images, other.sample, other.box, other.outline)


class Preview:
    """The live layer of one training: what it makes of the image and the place that the user looks at."""

    def __init__(self, viewer: Any, runner: Runner, folder: Path, material: Layers | None) -> None:
        self._viewer, self._runner, self._folder, self._material = viewer, runner, folder, material
        self._layer: Any = None
        self._looks: list[_Look] = []
        self._labels = material is not None and material.layout.kind.drawn
        self._colours = {}
        if material is not None and self._labels:
            self._colours = {id(row.images[0]): deepcopy(row.target.colormap) for row in material.rows}
        self.on = True
        self._running = False
        self._removed = self._fresh = self._showing = False
        self._alone = Alone(viewer.layers)
        self._shown: tuple[Any, ...] = ()  # the images that are shown alone

    @property
    def layer(self) -> Any:
        """The live layer, where there is one."""
        return self._layer if self._viewer is not None and self._layer in self._viewer.layers else None

    def begin(self) -> None:
        """The training starts."""
        self._looks, self._removed = [], False
        self._running = self._material is not None
        if self._running:
            self._layer = next((x for x in previews_of(self._viewer.layers)), None)  # of the training before
            self._fresh = True
            self._viewer.layers.selection.events.active.connect(self._moved)
            self._viewer.dims.events.ndisplay.connect(self._moved)  # again and again is once

    def end(self) -> None:
        """The training is over; what it saw last stays to be looked at."""
        if self._running:
            self._running = False
            self._viewer.layers.selection.events.active.disconnect(self._moved)
            shown = self._shown
            self._put_back()
            if self.layer is not None and not lies_on(shown, self._stack):
                self.layer.visible = False  # it would lie over another image

    def forget(self) -> None:
        """Let go of the viewer and its layers."""
        self.end()
        if self._viewer is not None:
            self._viewer.dims.events.ndisplay.disconnect(self._moved)
        self._viewer = self._material = self._layer = None
        self._looks, self._colours, self._alone = [], {}, Alone(())

    def turn(self, on: bool) -> None:
        """Show it or not."""
        self.on = on
        if not on and self._running:
            self._looks = []
            self._runner.look(None)
            self._put_back()
        if self.layer is not None:
            self.layer.visible = on
        self.follow()

    def follow(self) -> None:
        """Ask for what the user looks at now, where that is something new."""
        if self._layer is not None and self.layer is None:
            self._put_back()  # a person has removed it
        if not (self.on and self._running and self._folder.exists() and self._runner.job):
            return
        look = self._where()
        if look is None or look.same(self._looks[-1] if self._looks else None):
            return
        path = self._folder / f"look-{len(self._looks)}.npy"
        self._looks.append(look)
        in_background("look", self._write, look, path)

    def show(self, path: str | None) -> None:
        """Show what the job wrote, and ask for the next."""
        look = self._look_of(path)
        if look is not None and self.on and self._running and look.images[0] in self._viewer.layers:
            try:
                found = np.load(str(path))
            except (OSError, ValueError):  # it is just being replaced: the next one comes soon
                return
            self._showing = True  # a layer that is added is the active one for a moment
            try:
                self._put(found if self._labels else found[0], look)
            finally:
                self._showing = False
        self.follow()

    @property
    def _stack(self) -> list[tuple[Any, bool]]:
        """All layers but the live one from the lowest to the topmost, and whether each is visible."""
        return [(x, x.visible) for x in self._viewer.layers if x is not self._layer]

    def _show_alone(self, look: _Look) -> None:
        """Show the image of the live layer without the others, its labels and region as they are."""
        if self._shown != look.images:
            row = self._row(look.images[0])
            beside = () if row is None else (row.region, *(row.targets if self._labels else ()))
            self._alone.show((*look.images, self._layer), beside)
            self._shown = look.images

    def _put_back(self) -> None:
        self._alone.put_back()
        self._shown = ()

    def _row(self, image: Any) -> Any:
        """The row that an image belongs to; None for an image that is not trained on."""
        rows = self._material.rows if self._material is not None else ()
        return next((row for row in rows if row.images[0] is image), None)

    def _moved(self, event: Any = None) -> None:
        chosen = self._viewer.layers.selection.active is not None  # none for a moment: another one is being selected
        if chosen and not self._showing:
            self.follow()

    def _look_of(self, path: str | None) -> _Look | None:
        number = Path(path).stem.rpartition("-")[2] if path else ""
        return self._looks[int(number)] if number.isdigit() and int(number) < len(self._looks) else None

    def _put(self, found: Any, look: _Look) -> None:
        if self.layer is None and self._layer is not None:
            self._removed = True  # a person does not want it
        if self._removed:
            return
        assert self._material is not None
        kind = LOOKS[self._material.layout.kind].layer
        layer = self.layer
        if layer is not None and layer.data.ndim == found.ndim and layer._type_string == kind:
            self._change(layer, found, look)
        else:
            if layer is not None:
                self._viewer.layers.remove(layer)
            more = provenance("preview", look.images[0], training=True)
            dress, place = self._dress(found, look), look.placed(found.shape)
            name = _name(look)
            self._layer = add_quietly(self._viewer, found, name, kind, metadata=more, **dress, **place)
        self._fresh = False
        if self._labels and self.layer.opacity != look.opacity:  # napari draws the layer at each change
            self.layer.opacity = look.opacity
        self._show_alone(look)

    def _change(self, layer: Any, found: Any, look: _Look) -> None:
        """Show another prediction in the layer, perhaps of another image or place."""
        if (layer.data.shape, layer.data.dtype) == (found.shape, found.dtype):
            np.copyto(layer.data, found)  # for new data napari would measure all layers again
            layer.refresh(extent=False)
        else:
            layer.data = found
        if self._fresh:
            for attribute, value in self._dress(found, look).items():
                setattr(layer, attribute, value)
            layer.visible = True
            self._viewer.layers.move(self._viewer.layers.index(layer), len(self._viewer.layers))
        place = look.placed(found.shape)
        if layer.name != _name(look) or not np.array_equal(layer.translate, place["translate"]):
            layer.name = _name(look)
            for attribute in ("scale", "rotate", "shear", "affine", "translate"):
                setattr(layer, attribute, place[attribute])

    def _dress(self, found: Any, look: _Look) -> dict[str, Any]:
        """How it looks: labels as those that are painted, an image as the one it is made from where it has its range."""
        image = look.images[0]
        if self._labels:
            known = self._colours.get(id(image)) or next(iter(self._colours.values()))
            return {"colormap": deepcopy(known), "opacity": look.opacity}
        low, high = image.contrast_limits
        if not low - (high - low) < float(np.median(found)) < high + (high - low):  # of another kind
            low, high = (float(v) for v in np.percentile(found, [0.5, 99.8]))
        return {"colormap": "gray", "opacity": 1.0, "contrast_limits": (low, max(high, low + 1e-6))}

    def _where(self) -> _Look | None:
        """What is in view: an image, its plane and its part."""
        material = self._material
        images = self._images_in_view()
        if material is None or not images:
            return None
        image = images[0]
        array = array_of(image)
        axes = Axes.resolve(array.shape, material.axes)
        if material.layout.kind.intensities:
            axes = Axes(
                material.sample_axes(images).names.replace("C", "")
                if len(images) > 1
                else material.sample_axes(images).names,
                axes.spatial,
            )
        world = axes.names.replace("C", "") if getattr(image, "rgb", False) else axes.names
        step = dict(zip(world, self._viewer.dims.current_step[-image.ndim :], strict=True))
        others = [a for a in axes.names if a != "C" and a not in axes.spatial]
        sizes = [array.shape[axes.names.index(a)] for a in others]
        where = [min(max(0, int(step.get(a, 0))), n - 1) for a, n in zip(others, sizes, strict=True)]
        sample = int(np.ravel_multi_index(where, sizes)) if where else 0
        size = axes.size(array.shape)
        box = _box(size, _middle(image, [world.index(a) for a in axes.spatial], size))
        place = placement(image, [world.index(a) for a in axes.spatial])
        own = self._labels and self._row(image) is not None
        return _Look(images, sample, box, moved(place, [b.start for b in box]), own and self._viewer.dims.ndisplay == 2)

    def _images_in_view(self) -> tuple[Any, ...]:
        """The images of the pair that a person looks at, or the active image where the model fits it; else none."""
        rows = [] if self._material is None else list(self._material.rows)
        rows = [row for row in rows if row.images[0] in self._viewer.layers]
        active = self._viewer.layers.selection.active
        if active is not None and active is self._layer:
            active = self._looks[-1].images[0] if self._looks else None
        pairs = [row.layers for row in rows]
        known = any(active is x for pair in pairs for x in pair)
        if rows and len(rows[0].images) == 1 and not known and _alike(active, rows[0].images[0]):
            return (active,)
        k = pair_in_view(pairs, active, self._stack)
        return () if k is None else tuple(rows[k].images)

    def _write(self, look: _Look, path: Path) -> None:
        """The part of the image as a file (C, *S), in a thread; then tell the job."""
        assert self._material is not None
        array = joined(look.images)
        x = self._material.sample_axes(look.images).sample(array, look.sample)
        try:
            np.save(path, np.asarray(x[(slice(None), *look.box)]))
        except OSError:  # a preview that cannot be written is not worth a word; the training says it soon enough
            return
        if self._looks[-1:] == [look]:  # else a person looks elsewhere by now, and that may have been written first
            self._runner.look(path, look.outline)


def _name(look: _Look) -> str:
    return f"{look.images[0].name} (current prediction)"


def _alike(layer: Any, other: Any) -> bool:
    """Whether the model can look at this layer, too: an image of the same kind."""
    if layer is None or other is None or layer._type_string != "image":
        return False
    return bool(layer.ndim == other.ndim and layer.rgb == other.rgb)


def _middle(image: Any, where: Sequence[int], size: Sequence[int]) -> list[float]:
    """The middle of the view in the image's pixels, for each spatial axis; the image's where it was not drawn yet."""
    corners = np.asarray(image.corner_pixels, float)
    seen = corners[1] - corners[0]
    return [float(corners[:, i].mean()) if seen[i] > 1 else n / 2 for i, n in zip(where, size, strict=True)]


def _box(size: tuple[int, ...], middle: list[float]) -> tuple[slice, ...]:
    """As much around the middle as is shown, on a grid of 64 px so that small moves change nothing."""
    box = []
    for n, m, edge in zip(size, middle, EDGE[len(size)], strict=True):
        start = max(0, min(n - edge, int(m - edge / 2) // 64 * 64))
        box.append(slice(start, min(n, start + edge)))
    return tuple(box)
