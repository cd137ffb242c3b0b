"""A model on its device, and what it predicts for one sample: normalised, tiled, averaged, decoded; where that goes."""

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
from napari_dojo.data.normalize import Normalization, is_blank
from napari_dojo.events import Control, Event, Progress, changed, result_of
from napari_dojo.inference import tta
from napari_dojo.inference.decoding import decode_steps
from napari_dojo.inference.geometry import Input
from napari_dojo.inference.predictor import Predictor
from napari_dojo.models.bundle import Bundle
from napari_dojo.models.card import Card, decoding_of, options_of
from napari_dojo.settings import PredictSettings
from napari_dojo.tasks import TASKS, Task

__all__ = ["Places", "Ready", "Sample", "decoded", "is_blank", "padded", "predicted"]

# A raw image (C, *S) -> as a network may see it, and where it is padding.
Clean = Callable[[NDArray[Any]], tuple[NDArray[Any], NDArray[np.bool_] | None]]


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
        lowered = not TASKS[card.task].result.intensities
        predictor = Predictor(bundle.net, devices.choose(settings.device), settings.tile, used, lowered)
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
        wanted = self.settings.tta or (8 if self.uncertainty else self.task.result.tta)
        quarter = self.task.augmentation(self.options).quarter
        return tta.orientations(wanted, self.predictor.stride, self.predictor.scale, quarter)


@dataclass(frozen=True, eq=False)
class Sample:
    """What a model predicts for one sample: labels (*S) or an image (K, *S); how far two views of it disagree, see `Disagreement`."""

    values: NDArray[Any]
    maps: NDArray[np.float32] | None = None
    uncertainty: NDArray[np.float32] | None = None
    disagreement: float | None = None


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


def predicted(
    ready: Ready, x: Any, norm: Normalization, zoom: float, control: Control, clean: Clean | None = None
) -> Generator[Event, None, Sample]:
    """What a model predicts for one sample (C, *S), or for a part of one, which ``clean`` cleans as the whole.

    Raises
    ------
    StoppedError : where ``control`` says so.
    """
    x = np.asarray(x)
    if clean is None and is_blank(x):
        yield Progress(1, 1)
        return _blank(ready, x)
    seen, padding = (clean or norm.clean)(x)
    found = yield from _imaged(ready, seen, norm, zoom, control)
    return found if padding is None else padded(ready.card, ready.predictor.scale, found, x, padding)


def _imaged(
    ready: Ready, x: NDArray[Any], norm: Normalization, zoom: float, control: Control
) -> Generator[Event, None, Sample]:
    """Apply a model to one sample without padding."""
    count = ready.orientations
    if not ready.uncertainty:
        told = tta.Disagreement() if ready.task.result.objects and count > 1 else None
        maps = yield from ready.predictor.maps(x, norm, zoom, control, views=count, disagreement=told)
        values = decoded(ready.card, maps, norm, ready.decoding, control)
        return Sample(values, maps, disagreement=told.mean if told else None)
    mean, deviation = yield from ready.predictor.averaged(x, norm, zoom, control, count)
    values = decoded(ready.card, mean, norm, ready.decoding, control)
    scale = ready.card.prediction_numbers(norm).scale
    error = Normalization((0.0,) * len(scale), scale).invert(deviation * ready.card.calibration)
    return Sample(values, mean, error)


def _blank(ready: Ready, x: NDArray[Any]) -> Sample:
    """The prediction for a sample that shows nothing."""
    predictor = ready.predictor
    size = tuple(n * f for n, f in zip(x.shape[1:], predictor.scale, strict=True))
    values = ready.task.result.blank(size, predictor.outputs, _level(ready.card, x))
    return Sample(values, None, np.zeros(values.shape, np.float32))


def _level(card: Card, x: NDArray[Any]) -> Sequence[float]:
    """What an image of nothing holds, channel by channel."""
    return card.target.offset if card.target else [float(np.nan_to_num(c.flat[0])) for c in card.own(x)]


def padded(card: Card, scale: Sequence[int], found: Sample, x: NDArray[Any], padding: NDArray[np.bool_]) -> Sample:
    """With the padding (C, *S) of the sample ``x`` as it was: no object, or its own value; ``scale`` : predicted px per px."""
    kind = TASKS[card.task].result
    if not kind.intensities:
        return replace(found, values=kind.padded(found.values, np.all(padding, 0), 0))
    padding, level = card.own(padding), card.own(x)
    if card.target or len(level) != len(found.values):
        padding = np.repeat(padding.all(0, keepdims=True), len(found.values), 0)
        level = np.broadcast_to(np.reshape(_level(card, x), (-1,) + (1,) * (x.ndim - 1)), padding.shape)
    for axis, n in enumerate(scale):
        padding, level = np.repeat(padding, n, axis + 1), np.repeat(level, n, axis + 1)
    error = None if found.uncertainty is None else kind.padded(found.uncertainty, padding, 0)
    return replace(found, values=kind.padded(found.values, padding, level[padding]), uncertainty=error)


@dataclass(frozen=True, eq=False)
class Places:
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
    def of(ready: Ready, image: Input) -> Places:
        """Of an image and the prediction for it."""
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
        return Places(kind, named, made[0][1], dtype, pairs, count)

    def samples(self, array: Any) -> Iterator[tuple[Any, tuple[Axes, int]]]:
        """Each sample (C, *S), and the place of its prediction."""
        for view, result in self.views:
            for i in range(view.count(array.shape)):
                yield view.sample(array, i), (result, i)

    def add(self, out: Any, where: tuple[Axes, int], found: NDArray[Any]) -> None:
        """Write a prediction, (*S) or (K, *S); of several views the mean."""
        place = self.kind.at(out, *where)
        found = found if found.ndim == place.ndim else found[None]
        if len(self.views) == 1:
            place[...] = self.stored(found, place.dtype)
        else:
            place += found / len(self.views)

    def stored(self, found: NDArray[Any], dtype: Any) -> NDArray[Any]:
        """A prediction of any shape as it is written: rounded and clipped for an integer type."""
        return _rounded(found, dtype) if found.dtype.kind == "f" and np.dtype(dtype).kind != "f" else found


def _rounded(x: NDArray[Any], dtype: Any) -> NDArray[Any]:
    """As numbers of an integer type, without overflow."""
    about = np.iinfo(dtype)
    return np.clip(np.rint(x), about.min, about.max).astype(dtype)
