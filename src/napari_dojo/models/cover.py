"""Pictures of results: outlines of objects on an image, or an image beside its prediction. The cover of a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_dojo.data.kinds import CLASSES, IMAGE, LABELS, Kind
from napari_dojo.data.normalize import Rule
from napari_dojo.metrics.objects import overlap

__all__ = ["COLOURS", "beside", "overlay", "picture"]

# Okabe and Ito's colours: told apart by the colour-blind
COLOURS = {
    "matched": "#56B4E9",
    "missed": "#D55E00",
    "false positive": "#F0E442",
    "model": "#0072B2",
    "baseline": "#E69F00",
}


def picture(kind: Kind, image: NDArray[Any], result: NDArray[Any]) -> NDArray[np.uint8] | None:
    """A 2-D image (C, Y, X) with its result as RGB uint8: outlines on it, or beside it; None where a kind has no picture."""
    return PICTURES[kind](image, result) if kind in PICTURES else None


def overlay(image: Any, labels: ArrayLike, truth: ArrayLike | None = None) -> NDArray[np.uint8]:
    """Draw the outlines of objects on an image, coloured by whether they are matched, missed or false positive.

    Matched (IoU .5, outline of the prediction) is sky blue, missed (outline of the ground truth) vermilion, false
    positive yellow; all are sky blue without a ground truth. Of a volume, the plane with the most object pixels is shown.

    Parameters
    ----------
    image : (C, *S), any dtype; three channels are red, green and blue, else their mean is shown in grey.
    labels, truth : (*S), one number per object, 0 = background.

    Returns
    -------
    uint8 (Y, X, 3).
    """
    image, labels = np.asarray(image), np.asarray(labels)
    drawn = {"matched": labels}
    if truth is not None:
        truth = np.asarray(truth)
        pairs = overlap(truth, labels).match(0.5)
        found = np.isin(labels, pairs.predicted)
        drawn = {
            "matched": np.where(found, labels, 0),
            "false positive": np.where(found, 0, labels),
            "missed": np.where(np.isin(truth, pairs.true), 0, truth),
        }
    if labels.ndim == 3:
        shown = (labels != 0) if truth is None else (labels != 0) | (np.asarray(truth) != 0)
        plane = int(shown.sum((1, 2)).argmax())
        image, drawn = image[:, plane], {name: part[plane] for name, part in drawn.items()}
    grey = np.clip(Rule().measure(image).apply(image), 0, 1)
    grey = grey if len(grey) == 3 else np.repeat(grey.mean(0, keepdims=True), 3, axis=0)
    picture = np.moveaxis(grey * 190, 0, -1).astype(np.uint8)  # (Y, X, 3), dimmed so that the lines stand out
    for name, part in drawn.items():
        picture[_outlines(part)] = [int(COLOURS[name][i : i + 2], 16) for i in (1, 3, 5)]
    return picture


def beside(image: NDArray[Any], result: NDArray[Any]) -> NDArray[np.uint8]:
    """An image and the result to it side by side, as high as the result.

    Parameters
    ----------
    image, result : (C, Y, X) and (K, Y, X), any dtype; the mean of the channels is shown in grey.

    Returns
    -------
    uint8 (Y, 2 X, 3).
    """
    halves = []
    for x in (image, result):
        grey = np.clip(Rule().measure(x).apply(x), 0, 1).mean(0)
        at = [(np.arange(m) * n // m).astype(int) for n, m in zip(grey.shape, result.shape[1:], strict=True)]
        halves.append(grey[np.ix_(*at)])
    return np.repeat((np.concatenate(halves, 1) * 255).astype(np.uint8)[..., None], 3, -1)


def _outlines(labels: NDArray[Any]) -> NDArray[np.bool_]:
    """Pixels of objects (Y, X) that touch something else above, below, left or right of them."""
    edge = np.zeros(labels.shape, bool)
    for axis in (0, 1):
        a, b = np.moveaxis(labels, axis, 0), np.moveaxis(edge, axis, 0)
        differ = a[1:] != a[:-1]
        b[1:] |= differ
        b[:-1] |= differ
    edge &= labels != 0
    return edge


PICTURES: dict[Kind, Callable[[Any, Any], NDArray[np.uint8]]] = {LABELS: overlay, CLASSES: overlay, IMAGE: beside}
