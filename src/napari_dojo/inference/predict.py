"""A model applied to one image: normalise, scale, tile, average, decode, join the samples."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo import device as devices
from napari_dojo.data.axes import Axes
from napari_dojo.data.kinds import Kind
from napari_dojo.data.normalize import Normalization
from napari_dojo.errors import DojoError
from napari_dojo.events import Control, Event, Message, Progress, among, changed, result_of
from napari_dojo.inference import tta
from napari_dojo.inference.decoding import decode_steps, objects_in_blocks
from napari_dojo.inference.geometry import Image, Input, resolve, zoom_for
from napari_dojo.inference.linking import link_planes, linked_axes
from napari_dojo.inference.predictor import Predictor
from napari_dojo.io.images import Picture
from napari_dojo.metrics.domain_shift import profile, unlike
from napari_dojo.models.bundle import Bundle
from napari_dojo.models.card import Card, decoding_of, options_of
from napari_dojo.settings import PredictSettings, fields_of
from napari_dojo.tasks import TASKS, Task
from napari_dojo.tasks.watershed import Box, Terrain

__all__ = ["Prediction", "Ready", "Storage", "decoded", "memory_for", "predict", "predict_image", "predict_sample"]

AT_ONCE = 0.5  # share of the free memory from which on objects are found block by block
LOOKED_AT = 4096  # px in the middle of an image that are compared with the training images

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
    """

    array: Any
    axes: Axes
    maps: NDArray[np.float32] | None = None
    uncertainty: NDArray[np.float32] | None = None


@dataclass(frozen=True, eq=False)
class Ready:
    """A model on its device, and how it is applied: all that stays the same from image to image."""

    card: Card
    predictor: Predictor
    settings: PredictSettings
    decoding: Any
    options: Any

    @staticmethod
    def of(bundle: Bundle, settings: PredictSettings | None = None, decoding: Any = None) -> Ready:
        """A model made ready; ``decoding`` : how maps become a result, the model's own where None."""
        settings, card = settings or PredictSettings(), bundle.card
        options = options_of(card)
        used = TASKS[card.task].supervision.decoded
        predictor = Predictor(bundle.net, devices.choose(settings.device), settings.tile, used)
        return Ready(card, predictor, settings, decoding or decoding_of(card), options)

    @property
    def task(self) -> Task:
        """What the model is for."""
        return TASKS[self.card.task]

    @property
    def uncertainty(self) -> bool:
        """Whether it is asked for, and the model has one."""
        return self.settings.uncertainty and self.task.result.intensities

    @property
    def orientations(self) -> int:
        """In how many ways an image is flipped and rotated; 1: as it is."""
        if not self.task.result.intensities:
            return 1
        wanted = self.settings.tta or (8 if self.uncertainty else self.task.result.tta)
        quarter = self.task.augmentation(self.options).quarter
        return tta.orientations(wanted, self.predictor.stride, self.predictor.scale, quarter)


@dataclass(frozen=True, eq=False)
class _Sample:
    """What a model predicts for one sample: labels (*S) or an image (K, *S)."""

    values: NDArray[Any]
    maps: NDArray[np.float32] | None = None
    uncertainty: NDArray[np.float32] | None = None


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
    places = _Places.of(ready, image)
    keep_maps = keep_maps and bool(fields_of(ready.task.decoding))
    in_blocks = _too_large(ready, image, keep_maps)
    _check_memory(ready, image, keep_maps)
    for warning in (*image.warnings, *_domain_shift(ready.card, image)):
        yield Message("warning", warning)
    out = storage(places.shape, places.dtype)
    uncertainty = np.zeros(places.shape, np.float32) if ready.uncertainty else None
    size = image.axes.size(image.array.shape)
    maps = np.stack([ready.predictor.zeros(size)] * places.count) if keep_maps else None
    for i, (x, where) in enumerate(places.samples(image.array)):
        norm = image.numbers or ready.card.rule.measure(x)
        share = partial(among, i, places.count)
        if in_blocks:
            yield from changed(_in_blocks(ready, x, norm, places.kind.at(out, *where), control), share)
            continue
        found = yield from changed(_sample(ready, x, norm, image.zoom, control), share)
        places.add(out, where, found.values)
        if uncertainty is not None and found.uncertainty is not None:
            places.add(uncertainty, where, found.uncertainty)
        if maps is not None and found.maps is not None:
            maps[i] = found.maps
    axes = places.axes
    if ready.task.result.objects:
        link_planes(out, axes, ready.settings.planes)
        axes = linked_axes(axes, ready.task.result, ready.settings.planes)
    return Prediction(out, axes, maps, uncertainty)


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


def decoded(
    card: Card, maps: NDArray[np.float32], norm: Normalization, decoding: Any = None, control: Control | None = None
) -> NDArray[Any]:
    """Maps (K, *S) as labels (*S), or as an image (K, *S) in the units of the targets.

    Parameters
    ----------
    norm : the numbers that the input was normalised by.
    decoding : the model's own where None.

    Raises
    ------
    StoppedError : where ``control`` says so.
    """
    task, control = TASKS[card.task], control or Control()
    steps = decode_steps(task, maps, decoding or decoding_of(card), options_of(card))
    found = result_of(changed(steps, partial(_unless_stopped, control)))
    return task.result.in_units(found, card.prediction_numbers(norm))


def _unless_stopped(control: Control, event: Event) -> Event:
    control.check()
    return event


def _sample(
    ready: Ready, x: Any, norm: Normalization, zoom: float, control: Control
) -> Generator[Event, None, _Sample]:
    """Apply a model to one sample (C, *S)."""
    x = np.asarray(x)
    if _is_blank(x):
        yield Progress(1, 1)
        return _blank(ready, x)
    clean, padding = norm.clean(x)
    found = yield from _imaged(ready, clean, norm, zoom, control)
    return found if padding is None else _padded(ready, found, x, padding)


def _in_blocks(
    ready: Ready, x: Any, norm: Normalization, out: NDArray[np.int32], control: Control
) -> Generator[Event, None, int]:
    """Find the objects of one sample (C, *S) that does not fit in memory, block by block, into ``out`` (*S) or (1, *S)."""
    predictor, decoding = ready.predictor, ready.decoding
    out = out[0] if out.ndim == x.ndim else out
    blocks = predictor.tiles(x.shape[1:], decoding.margin)

    def land_of(i: int, wide: Box) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        read = blocks[i].read
        clean, padding = norm.clean(np.asarray(x[(slice(None), *(slice(a, b) for a, b in read))]))
        maps = result_of(predictor.maps(clean, norm, 1.0, control))
        part = tuple(slice(a - r, b - r) for (a, b), (r, _) in zip(wide, read, strict=True))
        inside, distance = decoding.terrain(maps[(slice(None), *part)])
        return inside if padding is None else inside & ~np.all(padding, 0)[part], distance

    return (yield from objects_in_blocks(land_of, [block.core for block in blocks], decoding, out))


def _imaged(
    ready: Ready, x: NDArray[Any], norm: Normalization, zoom: float, control: Control
) -> Generator[Event, None, _Sample]:
    """Apply a model to one sample without padding."""
    count = ready.orientations
    if count == 1 and not ready.uncertainty:
        maps = yield from ready.predictor.maps(x, norm, zoom, control)
        return _Sample(decoded(ready.card, maps, norm, ready.decoding, control), maps)
    mean, deviation = yield from ready.predictor.averaged(x, norm, zoom, control, count)
    values = decoded(ready.card, mean, norm, ready.decoding, control)
    scale = ready.card.prediction_numbers(norm).scale
    error = Normalization((0.0,) * len(scale), scale).invert(deviation * ready.card.calibration)
    return _Sample(values, mean, error)


def _is_blank(x: Any) -> bool:
    """Whether an image shows nothing at all: nothing is predicted, whatever a network would make of it."""
    x = np.asarray(x)
    finite = x[np.isfinite(x)] if x.dtype.kind == "f" else x
    return finite.size == 0 or finite.min() == finite.max()


def _blank(ready: Ready, x: NDArray[Any]) -> _Sample:
    """The prediction for a sample that shows nothing."""
    predictor = ready.predictor
    size = tuple(n * f for n, f in zip(x.shape[1:], predictor.scale, strict=True))
    values = ready.task.result.blank(size, predictor.outputs, _level(ready.card, x))
    return _Sample(values, None, np.zeros(values.shape, np.float32))


def _level(card: Card, x: NDArray[Any]) -> Sequence[float]:
    """What an image of nothing holds, channel by channel."""
    return card.target.offset if card.target else [float(np.nan_to_num(c.flat[0])) for c in card.own(x)]


def _padded(ready: Ready, found: _Sample, x: NDArray[Any], padding: NDArray[np.bool_]) -> _Sample:
    """With the padding (C, *S) of the sample ``x`` as it was: no object, or its own value."""
    card, kind = ready.card, ready.task.result
    if not kind.intensities:
        return replace(found, values=kind.padded(found.values, np.all(padding, 0), 0))
    padding, level = card.own(padding), card.own(x)
    if card.target or len(level) != len(found.values):
        padding = np.repeat(padding.all(0, keepdims=True), len(found.values), 0)
        level = np.broadcast_to(np.reshape(_level(card, x), (-1,) + (1,) * (x.ndim - 1)), padding.shape)
    for axis, n in enumerate(ready.predictor.scale):
        padding, level = np.repeat(padding, n, axis + 1), np.repeat(level, n, axis + 1)
    error = None if found.uncertainty is None else kind.padded(found.uncertainty, padding, 0)
    return replace(found, values=kind.padded(found.values, padding, level[padding]), uncertainty=error)


@dataclass(frozen=True, eq=False)
class _Places:
    """Where the samples of an image lie, in each view of it, and where their predictions go.

    ``axes``, ``shape``, ``dtype`` : of the prediction; ``views`` : axes of the image with those of the prediction.
    """

    kind: Kind
    axes: Axes
    shape: tuple[int, ...]
    dtype: Any
    views: tuple[tuple[Axes, Axes], ...]
    count: int

    @staticmethod
    def of(ready: Ready, image: Input) -> _Places:
        axes, shape, kind = image.axes, image.array.shape, ready.task.result
        outputs, scale = ready.predictor.outputs, ready.predictor.scale
        channels = kind.predicted_channels(outputs, "C" in axes.names, axes.own_channels(shape))
        views = ready.task.layout(ready.options).views(axes)
        made = [kind.predicted(view, shape, channels, scale) for view in views]
        as_input = ready.settings.dtype == "input" and len(views) == 1  # a mean of several views is not rounded
        dtype = kind.dtype(image.array.dtype if as_input else None)
        count = sum(view.count(shape) for view in views)
        pairs = tuple((view, result) for view, (result, _) in zip(views, made, strict=True))
        named = kind.predicted(axes, shape, channels, ())[0]
        return _Places(kind, named, made[0][1], dtype, pairs, count)

    def samples(self, array: Any) -> Iterator[tuple[Any, tuple[Axes, int]]]:
        """Each sample (C, *S), and the place of its prediction."""
        for view, result in self.views:
            for i in range(view.count(array.shape)):
                yield view.sample(array, i), (result, i)

    def add(self, out: Any, where: tuple[Axes, int], found: NDArray[Any]) -> None:
        """Write a prediction; of several views the mean."""
        place = self.kind.at(out, *where)
        found = found if found.ndim == place.ndim else found[None]
        if len(self.views) == 1:
            place[...] = found if place.dtype.kind == "f" or found.dtype.kind != "f" else _rounded(found, place.dtype)
        else:
            place += found / len(self.views)


def _rounded(x: NDArray[Any], dtype: Any) -> NDArray[Any]:
    """As numbers of an integer type, without overflow."""
    about = np.iinfo(dtype)
    return np.clip(np.rint(x), about.min, about.max).astype(dtype)


def _domain_shift(card: Card, image: Input) -> Iterator[str]:
    """A sentence where the first sample looks unlike the training images."""
    known, x = card.data.get("seen"), image.axes.sample(image.array, 0)
    x = np.asarray(x[(slice(None), *(slice(max(0, n - LOOKED_AT) // 2, (n + LOOKED_AT) // 2) for n in x.shape[1:]))])
    if not known or _is_blank(x):
        return
    norm = image.numbers or card.rule.measure(x)
    if warning := unlike(known, profile(norm.apply(norm.clean(x)[0]))):
        yield warning


def memory_for(ready: Ready, image: Input, keep_maps: bool = False) -> float:
    """Bytes of main memory, about: the maps and the work of decoding one sample, or a block of it, and the whole prediction."""
    if not _too_large(ready, image, keep_maps):
        return _memory_at_once(ready, image, keep_maps)
    blocks = ready.predictor.tiles(image.axes.size(image.array.shape), ready.decoding.margin)
    largest = max(np.prod([b - a for a, b in block.read]) for block in blocks)
    return float(_per_pixel(ready) * largest + 4 * np.prod(_Places.of(ready, image).shape))


def _memory_at_once(ready: Ready, image: Input, keep_maps: bool) -> float:
    """Bytes for an image whose samples are decoded as a whole."""
    outputs, shape = ready.predictor.outputs, image.array.shape
    keep_maps = keep_maps and bool(fields_of(ready.task.decoding))
    sample = float(np.prod(image.axes.size(shape))) * np.prod(ready.predictor.scale)
    needed = sample * _per_pixel(ready) + 4 * float(np.prod(_Places.of(ready, image).shape))
    if image.zoom > 1:  # the image and its maps are enlarged before the network sees them
        needed += sample * image.zoom ** len(image.axes.spatial) * 4 * (2 * image.axes.channels(shape) + outputs)
    needed += 4 * outputs * sample * image.axes.count(shape) if keep_maps else 0
    return float(needed)


def _per_pixel(ready: Ready) -> int:
    """Bytes for the maps of a pixel, and for decoding them."""
    return 4 * ready.predictor.outputs * 2 + 40


def _too_large(ready: Ready, image: Input, keep_maps: bool) -> bool:
    """Whether objects are found block by block, because the maps of a sample would take most of the memory."""
    import psutil

    if image.zoom != 1 or not isinstance(ready.decoding, Terrain):
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
