"""How a model takes an image, decided once and without torch: axes, channels, numbers, scale, and the part around a view."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo.boxes import Box
from napari_dojo.data.axes import Axes
from napari_dojo.data.kinds import as_image
from napari_dojo.data.normalize import Normalization, dim_frames, is_blank, sampled
from napari_dojo.data.units import size_doubt, size_ratio, unit_text
from napari_dojo.errors import DojoError
from napari_dojo.io.datasets import axes_of
from napari_dojo.io.images import Picture, with_channels
from napari_dojo.models.card import Card
from napari_dojo.nets import geometry as nets
from napari_dojo.settings import PredictSettings
from napari_dojo.tasks import TASKS

__all__ = [
    "Image",
    "Input",
    "box_around",
    "expected_diameter",
    "fitted_axes",
    "misfit",
    "numbers_of",
    "resolve",
    "zoom_for",
]


@dataclass(frozen=True, eq=False)
class Image:
    """One image as it lies, and what is known of it.

    Attributes
    ----------
    name : for messages.
    picture : the array, and what its file or layer says of it.
    axes : as a person names them; None: as the picture says, else as in the training images, else by its shape.
    numbers : how it is normalised, where it is a part of a larger image; None: measured on it.
    in_context : its channels include those of its context frames, as those of samples do.
    labels : of the objects in it that get a class, its axes without C; None: the image itself gets one.
    clean : its padding and hot pixels are filled, as those of a crop that was cut out of a cleaned image.
    """

    name: str
    picture: Picture
    axes: str | None = None
    numbers: Normalization | None = None
    in_context: bool = False
    labels: Any = None
    clean: bool = False


@dataclass(frozen=True, eq=False)
class Input:
    """An image as a model takes it.

    Attributes
    ----------
    name : for messages.
    array : numpy, memory-mapped or dask, its channels in the model's order, with axes ``axes``.
    axes : with the spatial axes and context frames of the model.
    pixel_size, unit : of the axes of ``array`` that are spatial, (Y, X) or (Z, Y, X); None where unknown.
    zoom : factor from its pixels to those that the network is applied to.
    numbers : how it is normalised; None: each sample by its own numbers.
    warnings : sentences for the user.
    number : among the images of its file, from 1; 0 where it is the only one.
    path, named : of its file, None where it is not from one; its axes as a person named them.
    labels, clean : as of the `Image`.
    few : of one sample that is not in memory, every n-th pixel (C, *s), and n, see `sampled`; None: not looked at.
    """

    name: str
    array: Any
    axes: Axes
    pixel_size: tuple[float, ...] | None
    unit: str | None
    zoom: float
    numbers: Normalization | None
    warnings: tuple[str, ...] = ()
    number: int = 0
    path: Path | None = None
    named: str | None = None
    labels: Any = None
    few: tuple[NDArray[Any], int] | None = None
    clean: bool = False


def resolve(card: Card, image: Image, settings: PredictSettings) -> Input:
    """Everything that is decided of an image before a model is applied to it.

    Raises
    ------
    DojoError : the image is empty or holds no numbers, what its axes are is not known, or the model does not fit.
    """
    picture = replace(image.picture, data=as_image(image.picture.data, image.name))
    image = replace(image, picture=picture)
    _same_pixels(card, picture.pixel_size, settings)
    names = _names(card, image)
    if image.in_context:
        if why := _wrong_channels(card.channels, names, picture.data.shape):
            raise DojoError(why)
        axes = Axes(names, card.spatial)
    else:
        names = card.axes_for(names, picture.data.shape)
        named = picture if picture.path.name else replace(picture, path=Path(image.name))
        picture, names = with_channels(named, names, card.own_channels, settings.channel)
        axes = fitted_axes(card, names, picture.data.shape)
    array = card.in_order(picture.data, axes.names, picture.channel_names)
    few = _looked_at(array, axes)
    numbers = image.numbers or (
        card.rule.measure(few[0]) if few else numbers_of(card, array, axes, frames=settings.frames)
    )
    zoom = zoom_for(card, settings.diameter, picture.pixel_size)
    warnings = (*picture.notes, *_doubts(card, array, axes, picture.pixel_size, settings))
    number = picture.image + 1 if picture.images > 1 else 0
    path = image.picture.path if image.picture.path.name else None
    labels = _fitting_labels(image, array, axes)
    about = (picture.pixel_size, picture.unit, zoom, numbers, warnings, number, path, image.axes, labels, few)
    return Input(image.name, array, axes, *about, clean=image.clean)


def _looked_at(array: Any, axes: Axes) -> tuple[NDArray[Any], int] | None:
    """Every n-th pixel of an image of one sample that stays on the disk, so that it is read for its numbers and its padding once."""
    if not hasattr(array, "dask") or axes.context or axes.count(array.shape) > 1:
        return None
    return sampled(axes, array, 0)


def _fitting_labels(image: Image, array: Any, axes: Axes) -> Any:
    """The labels of an image; DojoError where they are not of its size."""
    if image.labels is None:
        return None
    plain = tuple(n for a, n in zip(axes.names, array.shape, strict=True) if a != "C")
    if tuple(image.labels.shape) != plain:
        ours, theirs = (" x ".join(map(str, shape)) for shape in (plain, image.labels.shape))
        raise DojoError(f"The labels must have the size of the image: the image has {ours}, its labels {theirs}.")
    return image.labels


def _doubts(
    card: Card, array: Any, axes: Axes, pixel_size: Sequence[float] | None, settings: PredictSettings
) -> Iterator[str]:
    """What may be wrong with an image: nothing in it, frames that differ in brightness, an unlikely pixel size."""
    if isinstance(array, np.ndarray) and is_blank(array):
        known = array[np.isfinite(array)]
        only = f"{known[0]:g}" if known.size else "NaN"
        yield f"This image is constant ({only} everywhere), so there is nothing to predict."
    series = axes.count(array.shape) > 1 and (settings.frames or card.rule.frames) == "whole"
    if series and (hint := dim_frames(axes.frames(array))):
        yield hint
    if not settings.diameter and (doubt := size_doubt(pixel_size, card.pixel_size, card.unit)):
        yield doubt


def _names(card: Card, image: Image) -> str:
    """The axes of an image: as a person says, else its file, else as in the training images, else by its shape."""
    picture, named = image.picture, image.axes
    if not named and not picture.axes:
        rgb = card.axes == "YXC" and picture.data.ndim == 3 and picture.data.shape[-1] in (3, 4)
        picture = replace(picture, rgb=picture.rgb or rgb)
        named = card.axes if picture.data.ndim == len(card.axes) and not rgb else None
    return axes_of(picture, named, card.spatial == "ZYX").names


def misfit(card: Card, names: str, shape: Sequence[int]) -> str:
    """Why a model cannot be applied to an image with these axes; empty where it can."""
    if card.spatial == "ZYX" and "Z" not in names:
        what = "is flat. Choose a stack" if len(shape) == 2 else "has no axis Z. Choose Z as its third axis"
        return f"This model is for volumes, and this image {what}, or a 2-D model."
    if why := _wrong_channels(card.own_channels, card.axes_for(names, shape), shape):
        return why
    if "Z" in card.upsampling and "Z" not in names:
        return "This model upsamples stacks along Z, and this image has no axis Z. Choose a stack."
    return ""


def _wrong_channels(needed: int, names: str, shape: Sequence[int]) -> str:
    channels = Axes(names).own_channels(shape)
    if channels == needed:
        return ""
    return (
        f"This model needs {needed} channel{'s (or planes)' if needed > 1 else ''}; this image has {channels} "
        f"({names}, {' x '.join(map(str, shape))}). Choose another model or image."
    )


def fitted_axes(card: Card, names: str, shape: Sequence[int]) -> Axes:
    """The axes of an image as a model takes them: planes as channels where they are, context frames; DojoError: a misfit."""
    if why := misfit(card, names, shape):
        raise DojoError(why)
    return Axes(card.axes_for(names, shape), card.spatial).with_context(card.context)


def zoom_for(card: Card, diameter: float | None, pixel_size: Sequence[float] | None) -> float:
    """Factor from an image's pixels to the network's: by the diameter given, else by pixel sizes where both are known."""
    if not TASKS[card.task].result.zooms:
        return 1.0
    if diameter and card.diameter:
        return card.zoom * card.diameter / diameter
    return card.zoom * size_ratio(pixel_size, card.pixel_size)


def expected_diameter(card: Card, pixel_size: Sequence[float] | None) -> float | None:
    """The diameter, in an image's pixels, that a model takes where nobody gives one; None for models without objects."""
    if not card.diameter or not TASKS[card.task].result.zooms:
        return None
    return round(card.diameter * card.zoom / zoom_for(card, None, pixel_size), 1)


def numbers_of(
    card: Card, array: Any, axes: Axes, box: Box | None = None, frames: str | None = None
) -> Normalization | None:
    """How an image is normalised, or the part of it in ``box``, measured on the whole.

    ``frames`` : a series as a "whole" or "each" frame by itself; None: as the model does.

    None where each frame has its own numbers and there are several: they are measured one by one.
    """
    shape = array.shape
    if axes.count(shape) == 1 or (frames or card.rule.frames) != "each":
        return card.numbers(array, axes)
    others = [i for i, a in enumerate(axes.names) if a != "C" and a not in axes.spatial]
    if box is None or any(box[i][1] - box[i][0] > 1 for i in others):
        return None
    index = np.ravel_multi_index([box[i][0] for i in others], [shape[i] for i in others])
    return card.rule.measure(axes.sample(array, int(index)))


def box_around(
    card: Card, axes: Axes, shape: Sequence[int], box: Box, pixel_size: Sequence[float] | None = None
) -> Box:
    """The part of an image to compute so that ``box`` comes out as in the whole image.

    It is wider by the receptive radius, by two objects, so that none that shows is cut, and by context frames, and starts on
    the network's stride.
    """
    zoom, objects = zoom_for(card, None, pixel_size), 2 * (expected_diameter(card, pixel_size) or 0.0)
    options = card.net_options
    sizes = {k: options[k] for k in ("stem", "pools") if k in options}
    smooth, direct = bool(options.get("smooth")), bool(options.get("direct"))
    radius = dict(zip(axes.spatial, nets.receptive_radius(**sizes, smooth=smooth, direct=direct), strict=True))
    stride = dict(zip(axes.spatial, nets.stride(**sizes), strict=True))
    wide = []
    for name, n, (a, b) in zip(axes.names, shape, box, strict=True):
        if name in axes.spatial and (a, b) != (0, n):
            margin, step = ceil(radius[name] / zoom + objects), stride[name]
            a, b = max(0, (a - margin) // step * step), min(n, -(-(b + margin) // step) * step)
        elif name == axes.along:
            a, b = max(0, a - axes.context), min(n, b + axes.context)
        wide.append((a, b))
    return tuple(wide)


def _same_pixels(card: Card, pixel_size: Sequence[float] | None, settings: PredictSettings) -> None:
    """Refuse to upsample what has other pixels than the training images: its detail would be of another size."""
    if not card.upsampling or not card.pixel_size or not pixel_size or settings.any_size:
        return
    mine, there = card.pixel_size[-1], pixel_size[-1]
    if not 0.9 < there / mine < 1.1:
        unit = unit_text(card.unit)
        raise DojoError(
            f"The model {card.name} was trained on pixels of {mine:.3g} {unit}, and this image has {there:.3g} {unit}. "
            "Apply it to images of that pixel size, or allow any pixel size."
        )
