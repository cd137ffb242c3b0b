"""What a model is asked for: an image as it was when Apply was pressed, whole or the part that the viewer shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo.data.axes import Axes
from napari_dojo.data.kinds import renumbered
from napari_dojo.data.normalize import Normalization
from napari_dojo.errors import DojoError
from napari_dojo.models.card import Card
from napari_dojo.models.library import Model
from napari_dojo.widgets.common.layers import finer_place, joined, moved, result_placement, source_of

__all__ = ["Asked", "Box", "Run", "axis_words", "cut", "seen_box", "unfit", "write_request"]

Box = tuple[tuple[int, int], ...]  # from and to, for each axis of an array
MARGIN, GRID = 512, 64  # px; more than any net sees, and a multiple of every net's stride


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
    box : the part to answer; None is all of it.
    finer : pixels of the answer for each pixel of the image, along the axes where they are not one.
    """

    name: str
    array: Any
    axes: Axes
    pixel_size: tuple[float, ...] | None
    unit: str | None
    voxel_size: tuple[float, ...] | None
    beside: Path | None
    place: dict[str, Any]
    box: Box | None = None
    finer: dict[str, int] = field(default_factory=dict)

    @staticmethod
    def of(layer: Any, names: str, card: Card, box: Box | None = None, more: Sequence[Any] = ()) -> Asked:
        """An image layer, with further ones as its channels, as it is now; DojoError where the model does not fit."""
        source = source_of(layer, names, volumes=card.spatial == "ZYX")
        array, taken = joined((layer, *more)), f"C{source.axes.names}" if more else source.axes.names
        if why := unfit(card, array.shape, taken):
            raise DojoError(f"{layer.name}: {why}")
        axes = Axes(card.axes_for(taken, array.shape), card.spatial).with_neighbours(card.reach)
        place = result_placement(layer, source.axes if more else axes)
        box = ((0, len(more) + 1), *box) if more and box is not None else box
        size, unit, voxel = source.pixel_size, source.unit, source_of(layer, names).pixel_size
        beside = Path(layer.source.path).parent if layer.source.path else None
        return Asked(layer.name, array, axes, size, unit, voxel, beside, place, box, card.finer)

    @property
    def wide(self) -> Box:
        """The part to compute: as wide as the net may see around ``box``, on a grid that its stride divides."""
        shape = self.array.shape
        if self.box is None:
            return tuple((0, n) for n in shape)
        near, wide = self.axes.reach, []
        for name, n, (a, b) in zip(self.axes.names, shape, self.box, strict=True):
            if name in self.axes.spatial and (a, b) != (0, n):
                a, b = max(0, (a - MARGIN) // GRID * GRID), min(n, -(-(b + MARGIN) // GRID) * GRID)
            elif name == self.axes.along:
                a, b = max(0, a - near), min(n, b + near)
            wide.append((a, b))
        return tuple(wide)

    def part(self, box: Box) -> Any:
        """A part of the image, as it lies."""
        return self.array[tuple(slice(a, b) for a, b in box)]

    @property
    def image(self) -> Any:
        """What the answer belongs to: the image, or the part."""
        return self.array if self.box is None else self.part(self.box)

    def inner(self, names: str) -> tuple[slice, ...]:
        """Where ``box`` lies in an answer to ``wide`` that has these axes."""
        box, found = self.box or self.wide, {"C": slice(None)}
        for name, (w, _), (a, b) in zip(self.axes.names, self.wide, box, strict=True):
            f = self.finer.get(name, 1)
            found |= {name: slice(f * (a - w), f * (b - w))} if name != "C" else {}
        return tuple(found[name] for name in names)

    @property
    def placement(self) -> dict[str, Any]:
        """Where the answer lies, as arguments of a new layer."""
        place = self.place
        if self.box is not None:
            starts = [a for name, (a, _) in zip(self.axes.names, self.box, strict=True) if name != "C"]
            place = moved(place, starts)
        return finer_place(place, [self.finer.get(a, 1) for a in self.axes.names if a != "C"])

    def numbers(self, card: Card, frames: str | None = None) -> Normalization | None:
        """How the whole image is normalised; None where ``array`` is what is computed anyhow, and measured there.

        ``frames`` : "whole" or "each"; None: as the model does.
        """
        if self.box is None:
            return None
        axes, shape = self.axes, self.array.shape
        if axes.count(shape) == 1 or (frames or card.rule.frames) != "each":
            return card.numbers(self.array, axes)
        others = [i for i, a in enumerate(axes.names) if a != "C" and a not in axes.spatial]
        if any(self.box[i][1] - self.box[i][0] > 1 for i in others):
            return None  # several frames in sight: each is measured by itself
        index = np.ravel_multi_index([self.box[i][0] for i in others], [shape[i] for i in others])
        return card.rule.measure(axes.sample(self.array, int(index)))


@dataclass(frozen=True, eq=False)
class Run:
    """What is asked of a model at once, with which diameter (px) and values of the decoding, and how uncertain it is.

    ``frames`` : "each" measures the brightness of each frame of a series by itself, "whole" once; None: as the model does.
    """

    model: Model
    asked: tuple[Asked, ...]
    diameter: float | None
    values: dict[str, Any]
    spread: bool = False
    frames: str | None = None


def write_request(folder: Path, run: Run) -> Path:
    """Measure and write what the job needs; takes as long as the images are large."""
    from napari_dojo.jobs.job import predict_request

    asked = run.asked
    return predict_request(
        folder,
        run.model.path,
        [np.asarray(a.part(a.wide)) for a in asked],
        axes=[a.axes.names for a in asked],
        names=[a.name for a in asked],
        settings={"diameter": run.diameter, "spread": run.spread, "frames": run.frames},
        pixel_sizes=[a.pixel_size for a in asked],
        norms=[a.numbers(run.model.card, run.frames) for a in asked],
        decoding=run.values,
    )


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


def unfit(card: Card, shape: Sequence[int], names: str) -> str:
    """Why a model cannot be applied to such an image; empty where it can."""
    axes = Axes.resolve(shape, names)
    if card.spatial == "ZYX" and "Z" not in names:
        what = "is flat. Choose a stack" if len(shape) == 2 else "has no axis Z. Choose Z as its third axis"
        return f"This model is for volumes, and this image {what}, or a 2-D model."
    axes = Axes(card.axes_for(axes.names, shape), axes.spatial if card.spatial == "ZYX" else "YX")
    channels, needed = axes.channels(shape), card.channels // (1 + 2 * card.reach)
    if channels != needed:
        return (
            f"This model needs {needed} channel{'s' if needed > 1 else ''}; this image has {channels}. "
            "Choose another model or image."
        )
    if "Z" in card.finer and "Z" not in names:
        return "This model makes stacks finer along Z, and this image has no axis Z. Choose a stack."
    return ""


def axis_words(axes: Axes, shape: Sequence[int], seen: bool = False) -> str:
    """What is done with the axes beyond Y and X: "20 time points, one by one"; of what is seen, "this time point only"."""
    sizes = dict(zip(axes.names, shape, strict=True))

    def many(letter: str, word: str) -> str:
        return f"{sizes[letter]} {word}{'' if sizes[letter] == 1 else 's'}"

    words = []
    if "T" in sizes:
        words.append("this time point only" if seen else f"{many('T', 'time point')}, one by one")
    if "Z" in sizes and axes.spatial == "ZYX":
        one = "a" if seen else "each a" if words else "one"
        words.append(f"{one} volume of {many('Z', 'plane')}")
    elif "Z" in sizes and seen:
        words.append("this plane only")
    elif "Z" in sizes:
        words.append(f"{many('Z', 'plane')}, one by one (the model is 2-D)")
    if "C" in sizes:
        words.append(many("C", "channel"))
    return "; ".join(words)


def cut(found: NDArray[Any], asked: Asked, names: str, objects: bool) -> NDArray[Any]:
    """The answer to the part that was asked for, from that to the part that was computed; objects become 1..n again.

    ``names`` : the axes of the answer.
    """
    if asked.box is None:
        return found
    out = np.ascontiguousarray(found[asked.inner(names)])
    ours = asked.axes.without_channels()
    for i in range(ours.count(out.shape) if objects else 0):
        part = ours.sample(out, i)[0]
        part[...] = renumbered(part)
    return out
