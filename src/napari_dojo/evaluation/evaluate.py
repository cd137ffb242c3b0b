"""Apply a model to images with a ground truth, and score what it predicts."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo.data.channels import order_of
from napari_dojo.data.dataset import Dataset, Sample
from napari_dojo.data.normalize import Normalization, is_blank
from napari_dojo.data.resample import on_grid_of
from napari_dojo.errors import DojoError
from napari_dojo.evaluation.report import Report, Row
from napari_dojo.events import Done, Event, result_of
from napari_dojo.inference.geometry import Image
from napari_dojo.inference.sinks import ArraySink
from napari_dojo.inference.sources import ArraySource
from napari_dojo.io.images import Picture
from napari_dojo.metrics.base import pool
from napari_dojo.metrics.image_baselines import best_filter
from napari_dojo.metrics.objects import InstanceCounts
from napari_dojo.settings import PredictSettings, fields_of_data

if TYPE_CHECKING:
    from napari_dojo.models.bundle import Bundle
    from napari_dojo.models.card import Card

__all__ = ["evaluate_model", "evaluate_steps"]


def evaluate_model(
    bundle: Bundle,
    pairs: Dataset,
    settings: PredictSettings | None = None,
    objects: Bundle | None = None,
    options: Any = None,
) -> Report:
    """Apply a model to images with a ground truth, in one call; see `evaluate_steps`."""
    return result_of(evaluate_steps(bundle, pairs, settings, objects, options))


def evaluate_steps(
    bundle: Bundle,
    pairs: Dataset,
    settings: PredictSettings | None = None,
    objects: Bundle | None = None,
    options: Any = None,
) -> Generator[Event, None, Report]:
    """Apply a model to images with a ground truth, and score its predictions beside the task's baseline.

    Yields Progress over all images, Message where one looks unusual, and Skipped where the model cannot be applied to it.

    Parameters
    ----------
    pairs : the images and their ground truth.
    settings : how the model is applied.
    objects : a model that segments the predicted images and the ground truth; the report then has the score of one against the
        other.
    options : the task's, which say how the ground truth is annotated; None: as the model's.

    Raises
    ------
    DojoError : no image can be scored.
    """
    from napari_dojo.models.card import options_of
    from napari_dojo.tasks import TASKS
    from napari_dojo.tasks.images import score_images

    card = bundle.card
    task, in_context = TASKS[card.task], pairs.spatial == card.spatial
    options = options_of(card) if options is None else options
    frames = settings.frames if settings is not None else None
    rule = replace(card.rule, frames=frames or card.rule.frames)
    numbers = [item.normalization(rule) for item in pairs.samples]
    both = zip(pairs.samples, numbers, strict=True)
    images = [_image(item, pairs, norm, card, in_context=in_context) for item, norm in both]
    found = yield from _predicted(bundle, images, settings)
    samples = [pairs.samples[i] for i in found]
    truths = [np.asarray(s.y) for s in samples]
    # an image of one channel may come without C
    results = [x if x.ndim == y.ndim else x[None] for x, y in zip(found.values(), truths, strict=True)]
    # what was trained without ground truth is scored as an image, for which there is one here
    score = score_images("psnr") if task.target is None else task.score
    held, name = _baseline(card, samples, [numbers[i] for i in found], pairs.spatial, options)
    rows = [
        Row(item.name, *(score(result, truth, on_grid_of(truth, item.region), options) for result in both))
        for item, truth, both in zip(samples, truths, zip(results, held, strict=True), strict=True)
    ]
    agree = score_objects(objects, results, truths) if objects is not None else None
    doubt = _doubt(samples) if task.result.dense else ""
    values = asdict(options)
    about = {f.name: str(values[f.name]) for f in fields_of_data(task.options)}
    return Report(tuple(rows), baseline_name=name, objects=agree, doubt=doubt, annotation=about)


def _baseline(
    card: Card, samples: Sequence[Sample], numbers: Sequence[Normalization], spatial: str, options: Any
) -> tuple[list[NDArray[Any]], str]:
    """What the task's baseline makes of each sample as a network sees it, padding as it was; its name."""
    from napari_dojo.inference.samples import Sample as Predicted
    from napari_dojo.inference.samples import padded
    from napari_dojo.tasks import TASKS

    task = TASKS[card.task]
    baseline, scale = best_filter if task.target is None else task.baseline, task.layout(options).scale(spatial)
    seen = [_cleaned(item, norm) for item, norm in zip(samples, numbers, strict=True)]
    made, name = baseline([card.own(x) for x, _ in seen], [np.asarray(s.y) for s in samples], options)
    every = zip(samples, made, seen, strict=True)
    whole = [
        y if where is None else padded(card, scale, Predicted(y), np.asarray(item.x), where).values
        for item, y, (_, where) in every
    ]
    return whole, name


def _cleaned(item: Sample, norm: Normalization) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """A sample (C, *S) as a network sees it, and where it is padding: the baseline gets the same image."""
    x = np.asarray(item.x)
    return (x, None) if item.clean else norm.clean(x)


def _doubt(samples: Sequence[Sample]) -> str:
    """A sentence where the ground truth is the same everywhere, or not annotated; else empty."""
    if not any(item.region is None or item.region.any() for item in samples):
        return "The regions hold no pixel, so nothing is scored. Are these the right files?"
    truths = [np.asarray(item.y) for item in samples]
    if not all(map(is_blank, truths)):
        return ""
    values = sorted({f"{np.nan_to_num(y.flat[0]):g}" for y in truths})
    only = values[0] if len(values) == 1 else "one value in each image"
    return f"The ground truth holds nothing but {only}, so the scores say little. Are these the right files?"


def score_objects(segmenter: Bundle, results: Sequence[NDArray[Any]], truths: Sequence[NDArray[Any]]) -> InstanceCounts:
    """Score the objects that a model detects in predicted images against those that it detects in the ground truth.

    Parameters
    ----------
    segmenter : a model of the task instances, for images of one channel.
    results, truths : images (K, *S); the first channel is segmented.
    """
    images = [
        Image(f"image {i + 1}", Picture(np.asarray(x)[:1], f"C{'ZYX'[-(np.ndim(x) - 1) :]}"))
        for both in zip(truths, results, strict=True)
        for i, x in enumerate(both)
    ]
    found = result_of(_predicted(segmenter, images, None))
    if len(found) < len(images):
        raise DojoError(
            f"The model {segmenter.card.name} could be applied to {len(found)} of {len(images)} images only."
        )
    return pool(InstanceCounts.of(found[i], found[i + 1]) for i in range(0, len(images), 2))


def _image(item: Sample, pairs: Dataset, numbers: Normalization, card: Card, *, in_context: bool) -> Image:
    """A sample of a dataset as an image, its channels as the model knows them by name."""
    x, order = np.asarray(item.x), order_of(pairs.channel_names, card.channel_names)
    if order is not None:  # that of all of its context frames
        places = [first + k for first in range(0, len(x), len(order)) for k in order]
        x = x[places]
        if card.rule.shared is None:
            offset, scale = ([values[k] for k in places] for values in (numbers.offset, numbers.scale))
            numbers = Normalization(tuple(offset), tuple(scale))
    size = item.pixel_size or pairs.pixel_size
    picture = Picture(x, "C" + pairs.spatial, pixel_size=size, unit=pairs.unit)
    return Image(item.name, picture, numbers=numbers, in_context=in_context, clean=item.clean)


def _predicted(
    bundle: Bundle, images: Sequence[Image], settings: PredictSettings | None
) -> Generator[Event, None, dict[int, NDArray[Any]]]:
    """Predictions by the index of the image; those that were skipped are missing."""
    from napari_dojo.inference.apply import apply
    from napari_dojo.inference.predict import Ready

    sink = ArraySink()
    for event in apply(Ready.of(bundle, settings), [ArraySource(image) for image in images], sink):
        if not isinstance(event, Done):
            yield event
    return dict(sorted(sink.found.items()))
