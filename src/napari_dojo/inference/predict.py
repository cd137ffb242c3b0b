"""A model applied to one image: normalise, scale, tile, average, decode, join the samples."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo.data.axes import Axes
from napari_dojo.data.normalize import Normalization
from napari_dojo.data.objects import boxes_of, crops_of
from napari_dojo.errors import DojoError
from napari_dojo.events import Control, Event, Message, Progress, among, changed, result_of
from napari_dojo.inference import blocks
from napari_dojo.inference.cores import under_way
from napari_dojo.inference.geometry import Image, Input, resolve, zoom_for
from napari_dojo.inference.linking import link_planes, linked_axes
from napari_dojo.inference.predictor import Predictor
from napari_dojo.inference.samples import Places, Ready, Sample, decoded, is_blank, predicted
from napari_dojo.inference.scale import at_own_scale, scale_is_open
from napari_dojo.io.images import Picture
from napari_dojo.metrics.domain_shift import middle_of, profile_of, unlike
from napari_dojo.models.bundle import Bundle
from napari_dojo.models.card import Card
from napari_dojo.settings import PredictSettings, fields_of

__all__ = [
    "Prediction",
    "Ready",
    "Storage",
    "decoded",
    "domain_shift",
    "memory_for",
    "predict",
    "predict_image",
    "predict_sample",
    "too_large",
]

AT_ONCE = 0.5  # share of the free memory from which on an image is predicted block by block

Storage = Callable[[tuple[int, ...], Any], Any]  # (shape, dtype) -> zeros: numpy, memory-mapped or zarr


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a model predicts for an image.

    Attributes
    ----------
    array : labels or classes int32 without C, or an image with the predicted channels; else in the image's axes.
    axes : of ``array``; volumes where the objects of planes are linked.
    maps : of the network, (samples, K, *S) float32, from which it may be decoded again; None unless asked for.
    uncertainty : of images, where asked for: how large the error is likely to be, in the units of ``array``.
    objects : where objects get a class: the sample and the label number of each, (n, 2); ``array`` and ``maps`` are theirs.
    """

    array: Any
    axes: Axes
    maps: NDArray[np.float32] | None = None
    uncertainty: NDArray[np.float32] | None = None
    objects: NDArray[np.int64] | None = None


def predict_image(
    ready: Ready, image: Input, control: Control, storage: Storage = np.zeros, keep_maps: bool = False
) -> Generator[Event, None, Prediction]:
    """Apply a model to one image, sample by sample; yields Progress, and Message where the image looks unusual.

    Parameters
    ----------
    storage : makes the array that the prediction is written to.
    keep_maps : give the maps back, too, where they can be decoded in other ways.

    Raises
    ------
    DojoError : there is not enough memory.
    StoppedError : where ``control`` says so.
    """
    if not ready.predictor.dense and (image.labels is not None or _is_of_objects(ready, image)):
        yield Progress(0, 1)
        return _classified(ready, image)
    places = Places.of(ready, image)
    keep_maps = (keep_maps or not ready.predictor.dense) and bool(fields_of(ready.task.decoding))
    in_blocks = too_large(ready, image, keep_maps)
    _check_memory(ready, image, keep_maps)
    for warning in (*image.warnings, *domain_shift(ready.card, image)):
        yield Message("warning", warning)
    out = storage(places.shape, places.dtype)
    uncertainty = np.zeros(places.shape, np.float32) if ready.uncertainty else None
    maps = None
    if in_blocks:
        image = yield from at_own_scale(ready, image, control)
        yield from blocks.in_blocks(
            blocks.Work.of(ready, image), blocks.Room(out, out, places.views[0][1]), blocks.in_threads, control
        )
    else:
        maps = yield from _at_once(ready, image, places, (out, uncertainty), keep_maps, control)
    axes = places.axes
    if ready.task.result.objects:
        link_planes(out, axes, ready.settings.planes)
        axes = linked_axes(axes, ready.task.result, ready.settings.planes)
    return Prediction(out, axes, maps, uncertainty)


def _at_once(
    ready: Ready, image: Input, places: Places, out: tuple[Any, Any], keep_maps: bool, control: Control
) -> Generator[Event, None, NDArray[np.float32] | None]:
    """Write a prediction and its uncertainty (or None), sample by sample; the maps, where they are kept."""
    size = image.axes.size(image.array.shape)
    maps = np.stack([ready.predictor.zeros(size)] * places.count) if keep_maps else None
    image, only = yield from _scaled(ready, image, places, control)
    for i, (x, where) in enumerate(places.samples(image.array)):
        with under_way():
            share = partial(among, i, places.count)
            found = only or (yield from changed(_sample(ready, image, x, control), share))
            places.add(out[0], where, found.values)
        if out[1] is not None and found.uncertainty is not None:
            places.add(out[1], where, found.uncertainty)
        if maps is not None and found.maps is not None:
            maps[i] = found.maps
    return maps


def _scaled(
    ready: Ready, image: Input, places: Places, control: Control
) -> Generator[Event, None, tuple[Input, Sample | None]]:
    """The image at the scale at which it is predicted, and the prediction of its only sample, where the scale was decided by it."""
    if places.count > 1 or not scale_is_open(ready, image):
        return (yield from at_own_scale(ready, image, control)), None
    x = next(places.samples(image.array))[0]
    with under_way():
        found = yield from _sample(ready, image, x, control)
        scaled = yield from at_own_scale(ready, image, control, found)
        if scaled is not image:  # smaller, so it takes less time than what the progress has counted
            found = result_of(_sample(ready, scaled, x, control))
    return scaled, found


def _sample(ready: Ready, image: Input, x: Any, control: Control) -> Generator[Event, None, Sample]:
    """What is predicted for a sample (C, *S) of an image."""
    norm = image.numbers or ready.card.rule.measure(x)
    return (yield from predicted(ready, x, norm, image.zoom, control, _as_it_is if image.clean else None))


def _as_it_is(x: NDArray[Any]) -> tuple[NDArray[Any], None]:
    return x, None


def _is_of_objects(ready: Ready, image: Input) -> bool:
    """Whether a model classifies objects, and the image is not the crop of one."""
    layout = ready.task.layout(ready.options)
    return layout.side > 0 and image.axes.size(image.array.shape) != layout.size


def _classified(ready: Ready, image: Input) -> Prediction:
    """The class of each object of an image; DojoError where nobody says where they are."""
    if image.labels is None:
        raise DojoError(
            f"The model {ready.card.name} classifies objects, so it needs their labels. Name them with --target, or segment "
            "first: predict SEGMENTATION_MODEL IMAGE --then CLASSIFIER."
        )
    layout, axes = ready.task.layout(ready.options), image.axes
    plain, at, maps = axes.without_channels(), [np.zeros((0, 2), np.int64)], []
    for i in range(axes.count(image.array.shape)):
        x, labels = np.asarray(axes.sample(image.array, i)), np.asarray(plain.sample(image.labels, i)[0])
        norm = image.numbers or ready.card.rule.measure(x)
        numbers = boxes_of(labels)[0]
        clean, side = norm.apply(norm.clean(x)[0]), layout.side or None
        maps.append(ready.predictor.values(crops_of(clean, labels, numbers, layout.size[-1], side=side, alone=True)))
        at.append(np.stack([np.full(len(numbers), i), numbers], 1))
    found = np.concatenate(maps)
    values = [decoded(ready.card, m, Normalization((), ()), ready.decoding) for m in found]
    return Prediction(np.array(values, np.int32), axes, found, objects=np.concatenate(at))


def predict(
    bundle: Bundle,
    array: Any,
    axes: str | None = None,
    *,
    settings: PredictSettings | None = None,
    pixel_size: Sequence[float] | None = None,
    decoding: Any = None,
) -> NDArray[Any]:
    """What a model predicts for an array, in one call.

    Parameters
    ----------
    array : numpy or dask, as it lies; ``axes`` names its dimensions, "YX" or those of the training images where None.
    pixel_size : of the spatial axes, in the model's unit.
    decoding : how maps become a result; the model's own where None.

    Raises
    ------
    DojoError : where the model does not fit the array.
    """
    ready = Ready.of(bundle, settings, decoding)
    size = None if pixel_size is None else tuple(pixel_size)
    image = resolve(ready.card, Image("the image", Picture(array, None, pixel_size=size), axes), ready.settings)
    found: NDArray[Any] = result_of(predict_image(ready, image, Control())).array
    return found


def predict_sample(
    card: Card, predictor: Predictor, x: Any, control: Control, decoding: Any = None
) -> Generator[Event, None, NDArray[Any]]:
    """What a model predicts for one raw sample (C, *S), context frames among its channels, once and as it lies.

    For previews: no test-time augmentation, no checks. Raises StoppedError where ``control`` says so.
    """
    norm = card.rule.measure(x)
    maps = yield from predictor.maps(norm.clean(np.asarray(x))[0], norm, zoom_for(card, None, None), control)
    return decoded(card, maps, norm, decoding)


def domain_shift(card: Card, image: Input) -> Iterator[str]:
    """A sentence where the first sample looks unlike the training images."""
    known, x = card.data.get("seen"), image.axes.sample(image.array, 0)
    x = middle_of(x)
    if not known or is_blank(x):
        return
    norm = image.numbers or card.rule.measure(x)
    if warning := unlike(known, profile_of(x, norm)):
        yield warning


def memory_for(ready: Ready, image: Input, keep_maps: bool = False) -> float:
    """Bytes of main memory, about: the maps and the work of decoding one sample, or of blocks, and the whole prediction."""
    if not too_large(ready, image, keep_maps):
        return _memory_at_once(ready, image, keep_maps)
    work = blocks.Work.of(ready, image)
    pixels = min(work.pixels, float(np.prod(image.axes.size(image.array.shape))))
    return float(work.under_way * _per_pixel(ready) * pixels + 4 * np.prod(Places.of(ready, image).shape))


def _memory_at_once(ready: Ready, image: Input, keep_maps: bool) -> float:
    """Bytes for an image whose samples are decoded as a whole."""
    outputs, shape = ready.predictor.outputs, image.array.shape
    keep_maps = keep_maps and bool(fields_of(ready.task.decoding))
    sample = float(np.prod(image.axes.size(shape))) * np.prod(ready.predictor.scale)
    needed = sample * _per_pixel(ready) + 4 * float(np.prod(Places.of(ready, image).shape))
    if image.zoom > 1:  # the image and its maps are enlarged before the network sees them
        needed += sample * image.zoom ** len(image.axes.spatial) * 4 * (2 * image.axes.channels(shape) + outputs)
    needed += 4 * outputs * sample * image.axes.count(shape) if keep_maps else 0
    return float(needed)


def _per_pixel(ready: Ready) -> int:
    """Bytes for the maps of a pixel, and for decoding them."""
    return 4 * ready.predictor.outputs * 2 + 40


def too_large(ready: Ready, image: Input, keep_maps: bool = False) -> bool:
    """Whether an image is predicted block by block, because what its samples need would take most of the memory."""
    import psutil

    if blocks.refusal(ready, image):
        return False
    return _memory_at_once(ready, image, keep_maps) > AT_ONCE * psutil.virtual_memory().available


def _check_memory(ready: Ready, image: Input, keep_maps: bool) -> None:
    """Refuse what cannot fit."""
    import psutil

    needed, there = memory_for(ready, image, keep_maps), psutil.virtual_memory().available
    if needed > 0.9 * there:
        raise DojoError(
            f"This image needs about {needed / 1e9:.1f} GB of memory and {there / 1e9:.1f} GB are free. "
            f"Apply the model to a part of it{_or_another_size(image)}."
        )


def _or_another_size(image: Input) -> str:
    if image.zoom <= 2:
        return ", or to a smaller image"
    return f", or name a larger diameter: the image is enlarged {image.zoom:.3g} times for the network"
