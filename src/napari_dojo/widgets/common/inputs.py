"""What a model is asked for: an image as it was when Apply was pressed, whole or the part that the viewer shows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo.boxes import Box, slices
from napari_dojo.data.axes import Axes
from napari_dojo.data.kinds import renumbered
from napari_dojo.errors import DojoError
from napari_dojo.inference.geometry import Image, box_around, fitted_axes, misfit, numbers_of
from napari_dojo.io.images import Picture
from napari_dojo.models.card import Card
from napari_dojo.models.library import Model
from napari_dojo.settings import PredictSettings
from napari_dojo.widgets.common.layers import finer_place, joined, moved, result_placement, source_of
from napari_dojo.widgets.common.words import counted

__all__ = ["Asked", "Run", "axis_words", "cut", "seen_box", "write_request"]


@dataclass(frozen=True, eq=False)
class Asked:
    """One image, or a part of it.

    Attributes
    ----------
    name : of the layer.
    array : the whole image, with axes ``axes``; ``axes.spatial`` is what the model works in.
    pixel_size, unit : of ``axes.spatial``; unit is "um" where it is a length.
    voxel_size : the same, with Z also where the model works plane by plane.
    beside : the folder of its file, where it has one.
    place : where labels of the whole image lie, as arguments of a new layer.
    box : the part to predict; None is all of it. ``wide`` : the part to compute, which is larger.
    finer : predicted pixels for each pixel of the image, along the axes where they are not one.
    layer_id : of the layer, which stays when it is renamed.
    """

    name: str
    array: Any
    axes: Axes
    pixel_size: tuple[float, ...] | None
    unit: str | None
    voxel_size: tuple[float, ...] | None
    beside: Path | None
    place: dict[str, Any]
    wide: Box
    box: Box | None = None
    finer: dict[str, int] = field(default_factory=dict)
    layer_id: str = ""

    @staticmethod
    def of(layer: Any, names: str, card: Card, box: Box | None = None, more: Sequence[Any] = ()) -> Asked:
        """An image layer, with further ones as its channels, as it is now; DojoError where the model does not fit."""
        source = source_of(layer, names, volumes=card.spatial == "ZYX")
        array, taken = joined((layer, *more)), f"C{source.axes.names}" if more else source.axes.names
        if why := misfit(card, taken, array.shape):
            raise DojoError(f"{layer.name}: {why}")
        axes = fitted_axes(card, taken, array.shape)
        place = result_placement(layer, source.axes if more else axes)
        box = ((0, len(more) + 1), *box) if more and box is not None else box
        size, unit, voxel = source.pixel_size, source.unit, source_of(layer, names).pixel_size
        beside = Path(layer.source.path).parent if layer.source.path else None
        whole = tuple((0, n) for n in array.shape)
        wide = whole if box is None else box_around(card, axes, array.shape, box, size)
        return Asked(
            layer.name, array, axes, size, unit, voxel, beside, place, wide, box, card.upsampling, str(layer.unique_id)
        )

    def layer(self, layers: Iterable[Any]) -> Any:
        """The layer among these; None where it was removed."""
        return next((x for x in layers if str(x.unique_id) == self.layer_id), None)

    def part(self, box: Box) -> Any:
        """A part of the image, as it lies."""
        return self.array[slices(box)]

    @property
    def image(self) -> Any:
        """What the prediction belongs to: the image, or the part."""
        return self.array if self.box is None else self.part(self.box)

    def inner(self, names: str) -> tuple[slice, ...]:
        """Where ``box`` lies in a prediction for ``wide`` that has these axes."""
        box, found = self.box or self.wide, {"C": slice(None)}
        for name, (w, _), (a, b) in zip(self.axes.names, self.wide, box, strict=True):
            f = self.finer.get(name, 1)
            found |= {name: slice(f * (a - w), f * (b - w))} if name != "C" else {}
        return tuple(found[name] for name in names)

    @property
    def placement(self) -> dict[str, Any]:
        """Where the prediction lies, as arguments of a new layer."""
        return self._placed(self.box or self.wide)

    @property
    def wide_placement(self) -> dict[str, Any]:
        """Where the prediction for the part that is computed lies, as arguments of a new layer."""
        return self._placed(self.wide)

    def _placed(self, box: Box) -> dict[str, Any]:
        """Where a prediction for a box of the image lies."""
        starts = [a for name, (a, _) in zip(self.axes.names, box, strict=True) if name != "C"]
        return finer_place(moved(self.place, starts), [self.finer.get(a, 1) for a in self.axes.names if a != "C"])

    def request(self, card: Card, frames: str | None = None) -> Image:
        """What the job gets: the part to compute, with the numbers of the whole image; takes as long as that is large."""
        numbers = None if self.box is None else numbers_of(card, self.array, self.axes, self.box, frames)
        picture = Picture(self.part(self.wide), None, pixel_size=self.pixel_size, unit=self.unit)
        return Image(self.name, picture, self.axes.names, numbers)


@dataclass(frozen=True, eq=False)
class Run:
    """What is asked of a model at once: for which images, with which settings and values of the decoding."""

    model: Model
    asked: tuple[Asked, ...]
    settings: PredictSettings
    values: dict[str, Any]


def write_request(folder: Path, run: Run, stores: Sequence[Path] = ()) -> Path:
    """Measure and write what the job needs; takes as long as the images are large.

    ``stores`` : where predictions go that do not fit in memory.
    """
    from napari_dojo.jobs.image_requests import predict_request

    images = [asked.request(run.model.card, run.settings.frames) for asked in run.asked]
    return predict_request(folder, run.model.path, images, run.settings, run.values, stores=stores)


def seen_box(viewer: Any, layer: Any, axes: Axes) -> Box:
    """The part of an image layer that the viewer shows: of axes on a slider the place where it is.

    Channels are all taken, and so is Z where the model works in volumes (``axes.spatial``).

    Raises
    ------
    DojoError : where nothing of the image is in sight.
    """
    rgb = getattr(layer, "rgb", False)
    shape = (layer.data[0] if layer.multiscale else layer.data).shape
    world = [a for a in axes.names if not (rgb and a == "C")]
    shown = {d - (viewer.dims.ndim - layer.ndim) for d in viewer.dims.displayed}
    point = layer.world_to_data(viewer.dims.point)
    corners = np.asarray(layer.corner_pixels, float)
    if layer.multiscale:
        corners = corners * layer.downsample_factors[layer.data_level]
    box = []
    for name, n in zip(axes.names, shape, strict=True):
        k = world.index(name) if name in world else -1
        if name == "C" or (k not in shown and name in axes.spatial):
            box.append((0, n))
        elif k not in shown:
            at = int(np.clip(round(float(point[k])), 0, n - 1))
            box.append((at, at + 1))
        else:
            low, high = (int(v) for v in np.clip([np.floor(corners[0, k]), np.ceil(corners[1, k])], 0, n - 1))
            if low >= high and n > 1:
                raise DojoError(f"Nothing of {layer.name} is in sight. Move the view to it, or choose the whole image.")
            box.append((low, high + 1))
    return tuple(box)


def axis_words(axes: Axes, shape: Sequence[int], seen: bool = False) -> str:
    """What is done with the axes beyond Y and X: "20 time points, one by one"; of what is seen, "this time point only"."""
    sizes = dict(zip(axes.names, shape, strict=True))

    words = []
    if "T" in sizes:
        words.append("this time point only" if seen else f"{counted(sizes['T'], 'time point')}, one by one")
    if "Z" in sizes and axes.spatial == "ZYX":
        one = "a" if seen else "each a" if words else "one"
        words.append(f"{one} volume of {counted(sizes['Z'], 'plane')}")
    elif "Z" in sizes and seen:
        words.append("this plane only")
    elif "Z" in sizes:
        words.append(f"{counted(sizes['Z'], 'plane')}, one by one (the model is 2-D)")
    if "C" in sizes:
        words.append(counted(sizes["C"], "channel"))
    return "; ".join(words)


def cut(found: NDArray[Any], asked: Asked, axes: Axes, numbered: bool) -> NDArray[Any]:
    """The prediction for the part that was asked for, out of that for the part that was computed.

    ``axes`` : of the prediction, C of labels aside; ``numbered`` : its values number objects, which become 1..n again.
    """
    if asked.box is None:
        return found
    ours = axes.without_channels() if numbered else axes
    out = np.ascontiguousarray(found[asked.inner(ours.names)])
    for i in range(ours.count(out.shape) if numbered else 0):
        part = ours.sample(out, i)[0]
        part[...] = renumbered(part)
    return out
