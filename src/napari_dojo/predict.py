"""Apply a model to an array: measure, normalise, scale, tile, scale back, decode, join."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_dojo import device as devices
from napari_dojo.axes import Axes
from napari_dojo.bundle import Bundle
from napari_dojo.card import Card
from napari_dojo.errors import DojoError
from napari_dojo.events import Control, Event, Said, Tiled
from napari_dojo.nets.unet import UNet, fuse
from napari_dojo.normalize import Normalization
from napari_dojo.resize import resize
from napari_dojo.settings import PredictSettings
from napari_dojo.tasks import TASKS, decoding_of, options_of
from napari_dojo.tiles import tile_edge, tiled, tiles_of

__all__ = ["Predictor", "Result", "box_around", "predict", "predict_steps", "zoom_for"]

TILE_PIXELS = {"cpu": 1024.0**2, "cuda": 2048.0**2, "mps": 1024.0**2}


@dataclass(frozen=True)
class Result:
    """The answer to an array.

    Attributes
    ----------
    array : labels int32 or an image float32, in the input's axes without C (labels).
    axes : of ``array``.
    maps : what the net said, (samples, K, *S) float32; decoding may be done again from it. None unless asked for.
    """

    array: NDArray[Any]
    axes: Axes
    maps: NDArray[np.float32] | None = None


class Predictor:
    """A net on its device, ready for images; batch norm folded in."""

    def __init__(self, net: UNet, device: devices.Device, tile: int = 0) -> None:
        self.device = device
        self._torch = devices.prepare(device)
        self._net = fuse(deepcopy(net).eval()).to(self._torch)
        self.stride: tuple[int, ...] = tuple(net.stride)
        self.reach: tuple[int, ...] = tuple(net.reach)
        self.outputs = int(net.out_channels)
        self._pixels = float(tile) ** 2 if tile else TILE_PIXELS[device.kind]

    def __call__(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Normalised (C, *S), S a multiple of the stride -> maps (K, *S)."""
        with torch.inference_mode(), torch.autocast(self._torch.type, torch.float16, enabled=self.device.mixed):
            y = self._net(torch.from_numpy(np.ascontiguousarray(x))[None].to(self._torch))
            return y[0].float().cpu().numpy()

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
                yield from tiled(lambda part: self(norm.apply(part)), x, out, self.tiles(x.shape[1:]), self.stride)
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
    if pixel_size and card.pixel_size:
        ratio = pixel_size[-1] / card.pixel_size[-1]
        if not 0.67 < ratio < 1.5:
            return card.zoom * ratio
    return card.zoom


def box_around(box: Sequence[tuple[int, int]], size: Sequence[int], net: UNet) -> tuple[tuple[int, int], ...]:
    """The part of an image to compute so that ``box`` comes out as in the whole image.

    It is wider by what the net sees, and starts on the net's stride.
    """
    wide = []
    for (a, b), n, stride, reach in zip(box, size, net.stride, net.reach, strict=True):
        wide.append((max(0, (a - reach) // stride * stride), min(n, -(-(b + reach) // stride) * stride)))
    return tuple(wide)


def maps_steps(
    predictor: Predictor, x: Any, norm: Normalization, zoom: float, control: Control
) -> Iterator[tuple[int, int] | NDArray[np.float32]]:
    """Maps (K, *S) on the image's own grid; yields (done, total) and last the maps, or nothing more when stopped."""
    size = tuple(x.shape[1:])
    scaled = x if zoom == 1 else resize(norm.apply(x), tuple(max(1, round(n * zoom)) for n in size))
    if zoom != 1:
        norm = Normalization((0.0,) * x.shape[0], (1.0,) * x.shape[0])
    out = np.zeros((predictor.outputs, *scaled.shape[1:]), np.float32)
    for progress in predictor.steps(scaled, norm, out):
        yield progress
        if control.stop:
            return
    yield out if zoom == 1 else resize(out, size)


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
    keep_maps : give the maps back, too.

    Yields Tiled and Said events, and last the Result; nothing more after control.stop.

    Raises
    ------
    DojoError : where the model does not fit the image.
    """
    settings, control, card = settings or PredictSettings(), control or Control(), bundle.card
    options, axes = options_of(card), _fitting(card, array, axes)
    task = TASKS[card.task]
    decoding = decoding or decoding_of(card)
    predictor = predictor or Predictor(bundle.net, devices.choose(settings.device), settings.tile)
    zoom = zoom_for(card, settings.diameter, pixel_size)
    count = axes.count(array.shape)
    out_axes, shape = axes.result(array.shape, None)
    _room(array.shape, axes, predictor.outputs, keep_maps)
    out = np.zeros(shape, np.int32)
    kept = np.zeros((count, predictor.outputs, *axes.size(array.shape)), np.float32) if keep_maps else None
    whole = norm or _numbers(card, array, axes)
    for i in range(count):
        x = axes.sample(array, i)
        if _blank(x):
            yield Tiled(i + 1, count)
            continue
        maps = None
        for said in maps_steps(predictor, x, whole or card.rule.measure(x), zoom, control):
            if isinstance(said, tuple):
                yield Tiled(i * said[1] + said[0], count * said[1])
            else:
                maps = said
        if maps is None:
            yield Said("warning", "Stopped: nothing was changed.")
            return
        out_axes.sample(out, i)[0] = task.decode(maps, decoding, options)
        if kept is not None:
            kept[i] = maps
    yield Result(out, out_axes, kept)


def predict(bundle: Bundle, array: Any, axes: Axes | str | None = None, **more: Any) -> NDArray[Any]:
    """The answer to an array, in one call; see `predict_steps`."""
    for event in predict_steps(bundle, array, axes, **more):
        if isinstance(event, Result):
            return event.array
    raise DojoError("Prediction was stopped before it was done.")


def _numbers(card: Card, array: Any, axes: Axes) -> Normalization | None:
    """The numbers of the whole array; None where each frame has its own."""
    if axes.count(array.shape) > 1 and card.rule.frames == "each":
        return None
    return card.rule.measure(np.moveaxis(array, axes.names.index("C"), 0) if "C" in axes.names else array[None])


def _blank(x: Any) -> bool:
    """Whether an image shows nothing at all: its answer is empty, whatever a net would make of it."""
    x = np.asarray(x)
    finite = x[np.isfinite(x)] if x.dtype.kind == "f" else x
    return finite.size == 0 or finite.min() == finite.max()


def _fitting(card: Card, array: Any, axes: Axes | str | None) -> Axes:
    volumes = card.spatial == "ZYX"
    if not isinstance(axes, Axes):
        rgb = axes is None and card.axes == "YXC" and np.ndim(array) == 3 and array.shape[-1] in (3, 4)
        axes = Axes.resolve(array.shape, axes, rgb=rgb, volumes=volumes)
    axes = Axes(axes.names, card.spatial)
    channels = axes.channels(array.shape)
    if channels != card.channels:
        raise DojoError(
            f"The model {card.name} needs {card.channels} channel{'s' if card.channels > 1 else ''}; this image "
            f"({axes.names}, {' x '.join(map(str, array.shape))}) has {channels}. Choose other channels or another model."
        )
    if np.dtype(array.dtype).kind not in "biuf":
        raise DojoError(f"An image of numbers is needed; this one is of type {array.dtype}.")
    if 0 in array.shape:
        raise DojoError("The image is empty.")
    return axes


def _room(shape: Sequence[int], axes: Axes, outputs: int, keep: bool) -> None:
    """Refuse what cannot fit: the maps and the work of decoding one sample, and all the labels."""
    import psutil

    sample = float(np.prod(axes.size(shape)))
    needed = sample * (4 * outputs * 2 + 40) + sample * axes.count(shape) * (4 + (4 * outputs if keep else 0))
    there = psutil.virtual_memory().available
    if needed > 0.9 * there:
        raise DojoError(
            f"This image needs about {needed / 1e9:.1f} GB of memory and {there / 1e9:.1f} GB are free. "
            "Apply the model to a part of it, or to a smaller image."
        )
