"""Apply a model to an array: measure, normalise, scale, tile, scale back, decode, join."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_dojo import device as devices
from napari_dojo.data.axes import Axes
from napari_dojo.data.normalize import Normalization, dim_frames
from napari_dojo.data.resample import resize
from napari_dojo.data.units import size_doubt, size_ratio, unit_text
from napari_dojo.errors import DojoError
from napari_dojo.events import Control, Event, Message, Progress
from napari_dojo.inference.tiles import tile_edge, tiled, tiles_of
from napari_dojo.metrics.domain_shift import profile, unlike
from napari_dojo.models.bundle import Bundle
from napari_dojo.models.card import Card, decoding_of, options_of
from napari_dojo.nets.unet import UNet, fuse
from napari_dojo.settings import PredictSettings
from napari_dojo.tasks import TASKS, Task

__all__ = [
    "Predictor",
    "Result",
    "answer",
    "answer_sample",
    "box_around",
    "predict",
    "predict_steps",
    "turned_steps",
    "turns_of",
    "zoom_for",
]

TILE_PIXELS = {"cpu": 1024.0**2, "cuda": 2048.0**2, "mps": 1024.0**2}


@dataclass(frozen=True)
class Result:
    """The answer to an array.

    Attributes
    ----------
    array : labels int32 without C, or an image float32 with the channels of the answer; else in the input's axes.
    axes : of ``array``.
    maps : what the net said, (samples, K, *S) float32; decoding may be done again from it. None unless asked for.
    spread : of images, where asked for: standard deviation between the answers to the image turned and flipped.
    """

    array: Any
    axes: Axes
    maps: NDArray[np.float32] | None = None
    spread: NDArray[np.float32] | None = None


class Predictor:
    """A net on its device, ready for images; batch norm folded in."""

    def __init__(self, net: UNet, device: devices.Device, tile: int = 0) -> None:
        self.device = device
        self._torch = devices.prepare(device)
        self._net = fuse(deepcopy(net).eval()).to(self._torch)
        self.stride: tuple[int, ...] = tuple(net.stride)
        self.reach: tuple[int, ...] = tuple(net.reach)
        self.outputs = int(net.out_channels)
        self.scale: tuple[int, ...] = tuple(net.scale)
        self._pixels = float(tile) ** 2 if tile else TILE_PIXELS[device.kind]

    def __call__(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Normalised (C, *S), S a multiple of the stride -> maps (K, *S)."""
        with torch.inference_mode(), torch.autocast(self._torch.type, torch.float16, enabled=self.device.mixed):
            y = self._net(torch.from_numpy(np.ascontiguousarray(x))[None].to(self._torch))
            return y[0].float().cpu().numpy()

    def room(self, size: Sequence[int]) -> NDArray[np.float32]:
        """Zeros for the maps (K, *S * scale) of an image of this size."""
        return np.zeros((self.outputs, *(n * f for n, f in zip(size, self.scale, strict=True))), np.float32)

    def tiles(self, size: Sequence[int]) -> list[Any]:
        """How an image of this size is cut: the halo is as wide as the net sees, or, in volumes, half of it, blended."""
        halo = self.reach if len(size) == 2 else tuple(-(-r // 2) for r in self.reach)
        blend = 0 if len(size) == 2 else min(8, *halo)
        halo = tuple(-(-h // s) * s for h, s in zip(halo, self.stride, strict=True))
        return tiles_of(size, tile_edge(self._pixels, halo, self.stride, size), halo, self.stride, blend)

    def steps(self, x: Any, norm: Normalization, out: NDArray[np.float32]) -> Iterator[tuple[int, int]]:
        """Raw (C, *S) into maps ``out`` (K, *S), tile by tile; yields (done, total). Halves tiles where memory is short."""
        while True:
            try:
                pieces = self.tiles(x.shape[1:])
                yield from tiled(lambda part: self(norm.apply(part)), x, out, pieces, self.stride, self.scale)
                return
            except Exception as e:
                if not devices.is_out_of_memory(e) or self._pixels < 4096:
                    raise
                self._pixels /= 4
                out[...] = 0
                if self.device.kind == "cuda":
                    torch.cuda.empty_cache()


def zoom_for(card: Card, diameter: float | None, pixel_size: Sequence[float] | None) -> float:
    """Factor from an image's pixels to the net's: by the diameter given, else by pixel sizes where both are known."""
    if diameter and card.diameter:
        return card.zoom * card.diameter / diameter
    if TASKS[card.task].result.intensities:
        return 1.0
    return card.zoom * size_ratio(pixel_size, card.pixel_size)


def box_around(box: Sequence[tuple[int, int]], size: Sequence[int], net: UNet) -> tuple[tuple[int, int], ...]:
    """The part of an image to compute so that ``box`` comes out as in the whole image.

    It is wider by the receptive field of the network, and starts on its stride.
    """
    wide = []
    for (a, b), n, stride, reach in zip(box, size, net.stride, net.reach, strict=True):
        wide.append((max(0, (a - reach) // stride * stride), min(n, -(-(b + reach) // stride) * stride)))
    return tuple(wide)


def maps_steps(
    predictor: Predictor, x: Any, norm: Normalization, zoom: float, control: Control
) -> Iterator[tuple[int, int] | NDArray[np.float32]]:
    """Maps (K, *S * scale) of an image; yields (done, total) and last the maps, or nothing more when stopped."""
    size = tuple(x.shape[1:])
    scaled = x if zoom == 1 else resize(norm.apply(x), tuple(max(1, round(n * zoom)) for n in size))
    if zoom != 1:
        norm = Normalization((0.0,) * x.shape[0], (1.0,) * x.shape[0])
    out = predictor.room(scaled.shape[1:])
    for progress in predictor.steps(scaled, norm, out):
        yield progress
        if control.stop:
            return
    yield out if zoom == 1 else resize(out, size)


def turned_steps(
    predictor: Predictor, x: Any, norm: Normalization, turns: int, control: Control
) -> Iterator[tuple[int, int] | NDArray[np.float32]]:
    """Maps of an image that is flipped and turned in ``turns`` ways: their mean, below it their standard deviation.

    Yields (done, total) and last (2, K, *S * scale), or nothing more when stopped.
    """
    found: list[NDArray[np.float32]] = []
    for k in range(turns):
        for said in maps_steps(predictor, _turned(x, k), norm, 1.0, control):
            if isinstance(said, tuple):
                yield k * said[1] + said[0], turns * said[1]
            else:
                maps = _turned(said, k, back=True)
                if not found:  # sums of differences from the first: float32 loses nothing
                    found = [maps, np.zeros_like(maps), np.zeros_like(maps)]
                found[1] += maps - found[0]
                found[2] += (maps - found[0]) ** 2
        if control.stop:
            return
    mean = found[1] / turns
    yield np.stack([found[0] + mean, np.sqrt(np.maximum(found[2] / turns - mean**2, 0))])


def turns_of(predictor: Predictor, wanted: int, quarter: bool = True) -> int:
    """In how many ways an image is flipped and turned: at most 4 where the net, or the task, tells Y from X."""
    square = predictor.scale[-1] == predictor.scale[-2] and predictor.stride[-1] == predictor.stride[-2]
    return min(wanted, 8 if square and quarter else 4)


def _turned(x: Any, k: int, back: bool = False) -> Any:
    """One of eight ways to flip and turn the plane of an image (C, *S), and the way back."""
    x = np.swapaxes(x, -1, -2) if k & 4 and back else x
    x = x[..., ::-1] if k & 1 else x
    x = x[..., ::-1, :] if k & 2 else x
    return np.swapaxes(x, -1, -2) if k & 4 and not back else x


def answer(
    task: Task, card: Card, maps: NDArray[np.float32], decoding: Any, options: Any, norm: Normalization
) -> NDArray[Any]:
    """Maps (K, *S) as labels (*S), or as an image (K, *S) in the units of the targets; ``norm`` is of the input."""
    found = task.decode(maps, decoding, options)
    return card.answers(norm).invert(found) if task.result.intensities else found


def predict_steps(
    bundle: Bundle,
    array: Any,
    axes: Axes | str | None = None,
    settings: PredictSettings | None = None,
    control: Control | None = None,
    *,
    decoding: Any = None,
    pixel_size: Sequence[float] | None = None,
    predictor: Predictor | None = None,
    norm: Normalization | None = None,
    keep_maps: bool = False,
    room: Callable[[Axes, tuple[int, ...], Any], Any] | None = None,
) -> Iterator[Event | Result]:
    """Apply a model to an array as it lies.

    Parameters
    ----------
    bundle : the model.
    array : numpy or dask, axes ``axes`` (names, or guessed where the array has two).
    settings, control : diameter, device, tile; stop.
    decoding : how maps become the answer; the model's own where None.
    pixel_size : of the spatial axes, in the model's unit.
    predictor : the net on its device, where one is at hand.
    norm : the numbers of the whole image, where ``array`` is a part of it.
    keep_maps : give the maps of labels back, too.
    room : (axes, shape, dtype) -> the array of zeros that the answer is written to, sample by sample; numpy where None.

    Yields Progress and Message events, and last the Result; nothing more after control.stop.

    Raises
    ------
    DojoError : where the model does not fit the image.
    """
    settings, control, card = settings or PredictSettings(), control or Control(), bundle.card
    options, task = options_of(card), TASKS[card.task]
    axes = _fitting(card, array, axes)
    _same_pixels(card, pixel_size, settings)
    predictor = predictor or Predictor(bundle.net, devices.choose(settings.device), settings.tile)
    work = _Work(card, task, options, decoding or decoding_of(card), predictor, control, settings, pixel_size)
    places = work.places(axes, array)
    keep_maps = keep_maps and not task.result.intensities
    _room(array.shape, axes, predictor, places.shape, keep_maps)
    out = (room or _zeros)(places.axes, places.shape, work.dtype(array, places))
    spread = np.zeros(places.shape, np.float32) if settings.spread and task.result.intensities else None
    kept = np.zeros((places.count, predictor.outputs, *axes.size(array.shape)), np.float32) if keep_maps else None
    frames = settings.frames or card.rule.frames
    if axes.count(array.shape) > 1 and frames == "whole" and (hint := dim_frames(axes.frames(array))):
        yield Message("warning", hint)
    whole = norm or (None if axes.count(array.shape) > 1 and frames == "each" else card.numbers(array, axes))
    if doubt := _doubt(card, array, axes, whole):
        yield Message("warning", doubt)
    if not settings.diameter and (doubt := size_doubt(pixel_size, card.pixel_size, card.unit)):
        yield Message("warning", doubt)
    for i, (x, where) in enumerate(places.samples(array)):
        found = None
        for said in work.steps(x, whole or card.rule.measure(x)):
            if isinstance(said, tuple):
                yield Progress(i * said[1] + said[0], places.count * said[1])
            else:
                found = said
        if found is None:
            yield Message("warning", "Stopped: nothing was changed.")
            return
        places.add(out, where, found.answer)
        if spread is not None and found.spread is not None:
            places.add(spread, where, found.spread)
        if kept is not None and found.maps is not None:
            kept[i] = found.maps
    yield Result(out, places.axes, kept, spread)


@dataclass(frozen=True, eq=False)
class _Found:
    """What a model says of one sample: labels (*S) or an image (K, *S)."""

    answer: NDArray[Any]
    maps: NDArray[np.float32] | None = None
    spread: NDArray[np.float32] | None = None


@dataclass(frozen=True, eq=False)
class _Places:
    """Where the samples of an array lie, in each view of it, and where their answers go.

    ``axes``, ``shape`` : of the answer; ``views`` : axes of the input with those of the answer.
    """

    axes: Axes
    shape: tuple[int, ...]
    views: tuple[tuple[Axes, Axes], ...]
    count: int

    def samples(self, array: Any) -> Iterator[tuple[Any, tuple[Axes, int]]]:
        for view, answer_axes in self.views:
            for i in range(view.count(array.shape)):
                yield view.sample(array, i), (answer_axes, i)

    def add(self, out: Any, where: tuple[Axes, int], found: NDArray[Any]) -> None:
        """Write an answer; of several views the mean."""
        place = where[0].sample(out, where[1])
        found = found if found.ndim == place.ndim else found[None]
        if len(self.views) == 1:
            place[...] = found if place.dtype.kind == "f" or found.dtype.kind != "f" else _rounded(found, place.dtype)
        else:
            place += found / len(self.views)


@dataclass(frozen=True, eq=False)
class _Work:
    """A model and how it is applied."""

    card: Card
    task: Task
    options: Any
    decoding: Any
    predictor: Predictor
    control: Control
    settings: PredictSettings
    pixel_size: Sequence[float] | None

    def places(self, axes: Axes, array: Any) -> _Places:
        """Where samples and answers lie."""
        channels, own = None, axes.own_channels(array.shape)
        if self.task.result.intensities and (self.predictor.outputs > 1 or (own == 1 and "C" in axes.names)):
            channels = self.predictor.outputs
        views = tuple(
            (v, v.result(array.shape, channels, self.predictor.scale)) for v in self.task.views(self.options, axes)
        )
        count = sum(v.count(array.shape) for v, _ in views)
        named = axes.result(array.shape, channels)[0]
        return _Places(named, views[0][1][1], tuple((v, made) for v, (made, _) in views), count)

    def dtype(self, array: Any, places: _Places) -> Any:
        """Of the answer; a mean of several views is not rounded on its way."""
        if not self.task.result.intensities:
            return np.int32
        return array.dtype if self.settings.dtype == "input" and len(places.views) == 1 else np.float32

    def steps(self, x: Any, norm: Normalization) -> Iterator[tuple[int, int] | _Found]:
        """Answer one sample (C, *S); yields (done, total), and last the answer, or nothing more when stopped."""
        x = np.asarray(x)
        if _blank(x):
            yield 1, 1
            yield self._nothing(x)
            return
        clean, padding = norm.clean(x)
        for said in self._imaged(clean, norm):
            yield said if isinstance(said, tuple) or padding is None else self._padded(said, x, padding)

    def _imaged(self, x: NDArray[Any], norm: Normalization) -> Iterator[tuple[int, int] | _Found]:
        """The same for a sample without padding."""
        if self.task.result.intensities:
            wanted = self.settings.turns or (8 if self.settings.spread else self.task.turns)
            ways = turns_of(self.predictor, wanted, self.task.quarter(self.options))
            for said in turned_steps(self.predictor, x, norm, ways, self.control):
                yield said if isinstance(said, tuple) else self._image(said, norm)
            return
        zoom = zoom_for(self.card, self.settings.diameter, self.pixel_size)
        for said in maps_steps(self.predictor, x, norm, zoom, self.control):
            yield said if isinstance(said, tuple) else _Found(self._answer(said, norm), said)

    def _image(self, both: NDArray[np.float32], norm: Normalization) -> _Found:
        """An image, and how far its error is likely to go, from mean and spread of the maps."""
        numbers = self.card.answers(norm)
        around = Normalization((0.0,) * len(numbers.scale), numbers.scale)
        return _Found(self._answer(both[0], norm), None, around.invert(both[1] * self.card.calibration))

    def _answer(self, maps: NDArray[np.float32], norm: Normalization) -> NDArray[Any]:
        return answer(self.task, self.card, maps, self.decoding, self.options, norm)

    def _padded(self, found: _Found, x: NDArray[Any], padding: NDArray[np.bool_]) -> _Found:
        """With the padding (C, *S) of the sample ``x`` as it was: no object, or its own value."""
        kind, own = self.task.result, self.card.own
        if not kind.intensities:
            return replace(found, answer=kind.padded(found.answer, np.all(padding, 0), 0))
        padding, level = own(padding), own(x)
        if self.card.target or len(level) != len(found.answer):
            padding = np.repeat(padding.all(0, keepdims=True), len(found.answer), 0)
            level = np.broadcast_to(np.reshape(self._level(x), (-1,) + (1,) * (x.ndim - 1)), padding.shape)
        for axis, n in enumerate(self.predictor.scale):
            padding, level = np.repeat(padding, n, axis + 1), np.repeat(level, n, axis + 1)
        spread = None if found.spread is None else kind.padded(found.spread, padding, 0)
        return replace(found, answer=kind.padded(found.answer, padding, level[padding]), spread=spread)

    def _level(self, x: NDArray[Any]) -> Sequence[float]:
        """What an image of nothing holds, channel by channel."""
        if self.card.target:
            return self.card.target.offset
        return [float(np.nan_to_num(c.flat[0])) for c in self.card.own(x)]

    def _nothing(self, x: NDArray[Any]) -> _Found:
        """The answer to an image that shows nothing: no object; the same value everywhere."""
        if not self.task.result.intensities:
            return _Found(np.zeros(x.shape[1:], np.int32))
        maps = self.predictor.room(x.shape[1:])
        for k, value in enumerate(self._level(x)):
            maps[k] = value
        return _Found(maps, None, np.zeros_like(maps))


def _zeros(axes: Axes, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    return np.zeros(shape, dtype)


def _rounded(x: NDArray[Any], dtype: Any) -> NDArray[Any]:
    """As numbers of an integer type, without overflow."""
    about = np.iinfo(dtype)
    return np.clip(np.rint(x), about.min, about.max).astype(dtype)


def answer_sample(
    bundle: Bundle, x: Any, norm: Normalization, predictor: Predictor, settings: PredictSettings, pixel_size: Any = None
) -> NDArray[Any]:
    """The answer to one sample (C, *S), its neighbours' channels on: labels (*S) or an image (K, *S)."""
    card, control = bundle.card, Control()
    options, task = options_of(card), TASKS[card.task]
    work = _Work(card, task, options, decoding_of(card), predictor, control, settings, pixel_size)
    found = next(said for said in work.steps(x, norm) if isinstance(said, _Found))
    return found.answer


def predict(bundle: Bundle, array: Any, axes: Axes | str | None = None, **more: Any) -> NDArray[Any]:
    """The answer to an array, in one call; see `predict_steps`."""
    for event in predict_steps(bundle, array, axes, **more):
        if isinstance(event, Result):
            return event.array
    raise DojoError("Prediction was stopped before it was done.")


def _same_pixels(card: Card, pixel_size: Sequence[float] | None, settings: PredictSettings) -> None:
    """Refuse to make finer what has other pixels than the model learned from: its detail would be of another size."""
    if not card.finer or not card.pixel_size or not pixel_size or settings.any_size:
        return
    mine, there = card.pixel_size[-1], pixel_size[-1]
    if not 0.9 < there / mine < 1.1:
        unit = unit_text(card.unit)
        raise DojoError(
            f"The model {card.name} learned from pixels of {mine:.3g} {unit}, and this image has {there:.3g} {unit}. "
            "Apply it to images of that pixel size, or allow any pixel size (--any-size)."
        )


def _doubt(card: Card, array: Any, axes: Axes, norm: Normalization | None) -> str:
    """Whether the first sample looks unlike what the model learned from; empty where it does not."""
    known = card.data.get("seen")
    if not known:
        return ""
    x = np.asarray(axes.sample(array, 0))
    if _blank(x):
        return ""
    norm = norm or card.rule.measure(x)
    return unlike(known, profile(norm.apply(norm.clean(x)[0])))


def _blank(x: Any) -> bool:
    """Whether an image shows nothing at all: its answer is empty, whatever a net would make of it."""
    x = np.asarray(x)
    finite = x[np.isfinite(x)] if x.dtype.kind == "f" else x
    return finite.size == 0 or finite.min() == finite.max()


def _fitting(card: Card, array: Any, axes: Axes | str | None) -> Axes:
    if not isinstance(axes, Axes):
        rgb = axes is None and card.axes == "YXC" and np.ndim(array) == 3 and array.shape[-1] in (3, 4)
        remembered = card.axes if axes is None and np.ndim(array) == len(card.axes) else axes
        axes = Axes.resolve(array.shape, axes if rgb else remembered, rgb=rgb, volumes=card.spatial == "ZYX")
    axes = Axes(card.axes_for(axes.names, array.shape), card.spatial).with_neighbours(card.reach)
    channels, needed = axes.own_channels(array.shape), card.own_channels
    if channels != needed:
        raise DojoError(
            f"The model {card.name} needs {needed} channel{'s (or planes)' if needed > 1 else ''}; this image "
            f"({axes.names}, {' x '.join(map(str, array.shape))}) has {channels}. Choose other channels or another model."
        )
    if np.dtype(array.dtype).kind not in "biuf":
        raise DojoError(f"An image of numbers is needed; this one is of type {array.dtype}.")
    if 0 in array.shape:
        raise DojoError("The image is empty.")
    return axes


def _room(shape: Sequence[int], axes: Axes, predictor: Predictor, answer: Sequence[int], keep: bool) -> None:
    """Refuse what cannot fit: the maps and the work of decoding one sample, and all the answers."""
    import psutil

    outputs, sample = predictor.outputs, float(np.prod(axes.size(shape))) * np.prod(predictor.scale)
    needed = sample * (4 * outputs * 2 + 40) + 4 * float(np.prod(answer))
    needed += 4 * outputs * sample * axes.count(shape) if keep else 0
    there = psutil.virtual_memory().available
    if needed > 0.9 * there:
        raise DojoError(
            f"This image needs about {needed / 1e9:.1f} GB of memory and {there / 1e9:.1f} GB are free. "
            "Apply the model to a part of it, or to a smaller image."
        )
