"""Why an object has its class: how much less likely the class becomes when a part of the object is hidden."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product
from math import ceil, floor
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo.data.objects import boxes_of, crops_of, extent_of
from napari_dojo.inference.geometry import Input
from napari_dojo.tasks.classify import probabilities

if TYPE_CHECKING:
    from napari_dojo.inference.samples import Ready

__all__ = ["Explained", "explained", "occlusion"]

ROUNDING = 1e-6  # px
HIDDEN = 5  # hidden squares along an edge, of which each overlaps its neighbours by half

Values = Callable[[NDArray[np.float32]], NDArray[np.float32]]  # (N, C, *S) -> logits (N, K)


@dataclass(frozen=True, eq=False)
class Explained:
    """Why an object has its class.

    Attributes
    ----------
    importance : (*S) of the crop that the network sees, by how much the logit of its class falls, in the mean over the
        squares that hide a pixel; negative where hiding makes the class more likely.
    probability : (K,) of each class.
    start, stop : of the crop in the sample, px from the outer edge, along each axis.
    """

    importance: NDArray[np.float32]
    probability: NDArray[np.float32]
    start: tuple[float, ...]
    stop: tuple[float, ...]

    def inside(self, size: tuple[int, ...]) -> Explained:
        """The part that lies in a sample of this size, in whole pixels of the crop, at least one."""
        box, start, stop = [], [], []
        for n, a, b, edge in zip(self.importance.shape, self.start, self.stop, size, strict=True):
            step = (b - a) / n
            first = min(n - 1, max(0, ceil(-a / step - ROUNDING)))
            last = max(first + 1, min(n, floor((edge - a) / step + ROUNDING)))
            box.append(slice(first, last))
            start.append(a + first * step)
            stop.append(a + last * step)
        return replace(self, importance=self.importance[tuple(box)], start=tuple(start), stop=tuple(stop))


def occlusion(values: Values, x: NDArray[np.float32], index: int) -> NDArray[np.float32]:
    """How much the logit of class ``index`` falls when a square around a pixel is hidden (Zeiler & Fergus 2014, arXiv:1311.2901).

    Squares get the median of the image; in volumes they reach through all planes of the crop.

    Parameters
    ----------
    x : normalised (C, *S). Returns (*S).
    """
    size = x.shape[-2:]
    edge = [max(2, round(2 * n / (HIDDEN + 1))) for n in size]
    starts = [
        np.unique(np.linspace(-e // 2, n - e // 2, 2 * HIDDEN + 1).astype(int)) for n, e in zip(size, edge, strict=True)
    ]
    boxes = [
        tuple(slice(max(0, a), max(0, a + e)) for a, e in zip(corner, edge, strict=True)) for corner in product(*starts)
    ]
    level = np.median(x.reshape(len(x), -1), axis=1).reshape(-1, *(1,) * (x.ndim - 1))
    hidden = np.repeat(x[None], len(boxes) + 1, 0)
    for k, (rows, columns) in enumerate(boxes, 1):
        hidden[k, ..., rows, columns] = level
    logits = values(hidden)
    others = np.delete(logits, index, 1)
    odds = logits[:, index] - np.log(np.exp(others - others.max(1, keepdims=True)).sum(1)) - others.max(1)
    total, count = np.zeros(x.shape[1:], np.float32), np.zeros(x.shape[1:], np.float32)
    for k, (rows, columns) in enumerate(boxes, 1):
        total[..., rows, columns] += odds[0] - odds[k]
        count[..., rows, columns] += 1
    return np.asarray(total / np.maximum(count, 1), np.float32)


def explained(ready: Ready, image: Input, sample: int, label: int) -> Explained:
    """Why object ``label`` of a sample has its class; ``image`` has the labels. DojoError where it is not there."""
    layout = ready.task.layout(ready.options)
    x = np.asarray(image.axes.sample(image.array, sample))
    labels = np.asarray(image.axes.without_channels().sample(image.labels, sample)[0])
    norm = image.numbers or ready.card.rule.measure(x)
    side, edge = layout.side or None, layout.size[-1]
    crop = crops_of(norm.apply(norm.clean(x)[0]), labels, [label], edge, side=side, alone=True)[0]
    logits = ready.predictor.values(crop[None])
    importance = occlusion(ready.predictor.values, crop, int(logits[0].argmax()))
    start, stop = _extent(labels, label, layout.side)
    return Explained(importance, probabilities(logits)[0], start, stop).inside(labels.shape)


def _extent(labels: Any, label: int, side: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Where the crop of an object lies, px from the outer edge."""
    numbers, first, last = boxes_of(labels)
    at = int(np.searchsorted(numbers, label))
    return extent_of(first[at], last[at], side or None)
