"""Apply a model to images with a ground truth, and score what it predicts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo.data.dataset import Dataset
from napari_dojo.evaluation.report import Report, Row
from napari_dojo.metrics.base import pool
from napari_dojo.metrics.objects import InstanceCounts

__all__ = ["evaluate_model"]


def evaluate_model(
    bundle: Any,
    pairs: Dataset,
    settings: Any = None,
    tick: Callable[[], None] = lambda: None,
    objects: Any = None,
) -> Report:
    """Apply a model to images with a ground truth, and score its predictions beside the task's baseline.

    Parameters
    ----------
    bundle : `napari_dojo.models.bundle.Bundle`.
    pairs : the images and their ground truth.
    settings : `napari_dojo.settings.PredictSettings`.
    tick : called after each image.
    objects : a bundle that segments the predicted images and the ground truth; the report then has the score of one against the
        other.
    """
    from napari_dojo import device
    from napari_dojo.inference.predict import Predictor, answer_sample, predict
    from napari_dojo.models.card import options_of
    from napari_dojo.settings import PredictSettings
    from napari_dojo.tasks import TASKS
    from napari_dojo.tasks.images import best_filter, score_images

    settings, card = settings or PredictSettings(), bundle.card
    task, options = TASKS[card.task], options_of(card)
    rule = replace(card.rule, frames=settings.frames or card.rule.frames)
    predictor = Predictor(bundle.net, device.choose(settings.device), settings.tile)
    inputs, truths, results = [], [], []
    for item in pairs.samples:
        x, norm = np.asarray(item.x), item.normalization(rule)
        given = {"settings": settings, "predictor": predictor, "pixel_size": pairs.pixel_size}
        if pairs.spatial == card.spatial:
            results.append(answer_sample(bundle, x, norm, **given))
        else:
            results.append(predict(bundle, x, "C" + pairs.spatial, norm=norm, **given))
        inputs.append(card.own(x))
        truths.append(np.asarray(item.y))
        tick()
    score, baseline = task.score, task.baseline
    if task.target == "none":  # trained without targets; here there is a ground truth
        score, baseline = score_images, best_filter
    held, name = baseline(inputs, truths, options)
    rows = [
        Row(item.name, *(score(found, truth, item.region, options) for found in both))
        for item, truth, both in zip(pairs.samples, truths, zip(results, held, strict=True), strict=True)
    ]
    agree = score_objects(objects, results, truths) if objects is not None else None
    return Report(tuple(rows), baseline_name=name, objects=agree)


def score_objects(segmenter: Any, results: Sequence[NDArray[Any]], truths: Sequence[NDArray[Any]]) -> InstanceCounts:
    """Score the objects that a model detects in predicted images against those that it detects in the ground truth.

    Parameters
    ----------
    segmenter : `napari_dojo.models.bundle.Bundle` of the task instances, for images of one channel.
    results, truths : images (K, *S); the first channel is segmented.
    """
    from napari_dojo import device
    from napari_dojo.inference.predict import Predictor, answer_sample
    from napari_dojo.settings import PredictSettings

    settings, rule = PredictSettings(), segmenter.card.rule
    predictor = Predictor(segmenter.net, device.choose(settings.device), settings.tile)

    def segment(image: NDArray[Any]) -> NDArray[Any]:
        x = np.asarray(image)[:1]
        return answer_sample(segmenter, x, rule.measure(x), predictor, settings)

    return pool(
        InstanceCounts.of(segment(truth), segment(result)) for truth, result in zip(truths, results, strict=True)
    )
