"""Compare a result with the truth: objects, classes or images, with what to look out for in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_dojo.boxes import middle
from napari_dojo.data.axes import Axes
from napari_dojo.errors import DojoError
from napari_dojo.metrics.base import pool
from napari_dojo.metrics.classes import ClassCounts
from napari_dojo.metrics.images import ImageScores
from napari_dojo.metrics.matching import Comparison
from napari_dojo.metrics.objects import runs
from napari_dojo.metrics.resolution import RingCorrelation, ring_correlation

__all__ = ["THRESHOLDS", "Compared", "class_like", "class_names", "compare_images", "compare_labels"]

THRESHOLDS = tuple(round(0.05 * k, 2) for k in range(2, 20))  # .10 to .95
FEW = 8  # numbers; more are taken for objects
MOST_CLASSES = 50  # a larger table says nothing
LOOKED_AT = (16, 1024, 1024)  # px; the middle part that tells what labels are
FLAT = 0.2  # an image of fewer runs a pixel is drawn, not taken


@dataclass(frozen=True, eq=False)
class Compared:
    """What a comparison found.

    Attributes
    ----------
    found : objects, classes or images.
    notes : what to look out for, in sentences.
    basis : what the figures refer to, in words.
    curve : AP of objects at each of `THRESHOLDS`.
    numbers : of the classes, in the order of ``found.classes``.
    rings : detail that the first samples of two images share.
    """

    found: Comparison | ClassCounts | ImageScores
    notes: tuple[str, ...] = ()
    basis: str = ""
    curve: tuple[float, ...] = ()
    numbers: tuple[int, ...] = ()
    rings: RingCorrelation | None = None


def compare_labels(
    truth: Any,
    result: Any,
    how: Literal["automatic", "objects", "classes"] = "automatic",
    *,
    apart: int = 0,
    region: NDArray[np.bool_] | None = None,
    names: Mapping[int, str] | None = None,
) -> Compared:
    """Compare two label images (*S) of whole numbers, also lazy ones (dask).

    Parameters
    ----------
    how : what a number is: an object or a class. Automatic: classes where `class_like` says so of both.
    apart : the number of leading axes (time, separate images) whose planes have separate objects.
    region : bool, of S or of its last axes; where the truth is complete.
    names : of classes, by number.

    Raises
    ------
    DojoError : where the sizes differ, labels are not whole numbers, classes are none or too many, or the memory is small.
    """
    _check_memory(truth.nbytes + result.nbytes + 16 * truth.size)
    t, p = np.asarray(truth), np.asarray(result)
    inside = None if region is None else np.broadcast_to(region, t.shape)
    like = [how != "classes" and class_like(x) for x in (t, p)]
    if how == "classes" or (how == "automatic" and all(like)):
        named = class_names(t, p, names or {})
        zero = "Pixels with 0 in the ground truth are not annotated and do not count."
        basis = "0 is a class, since both have it." if 0 in named else "" if (t > 0).all() else zero
        return Compared(ClassCounts.of(t, p, named, inside), basis=basis, numbers=tuple(named))
    found = Comparison.of(t, p, apart, inside)
    notes = [
        f"The {side} has few numbers in many pieces, and each number counts as one object. "
        "Give each piece its own number, or compare as classes."
        for side, yes in zip(("truth", "result"), like, strict=True)
        if yes
    ]
    return Compared(found, (*_emptiness(found), *notes), curve=tuple(found.curve(THRESHOLDS)))


def compare_images(truth: Any, result: Any, axes: Axes, region: NDArray[np.bool_] | None = None) -> Compared:
    """Compare two images of the same axes, also lazy ones (dask); the figures are means over samples and channels.

    Parameters
    ----------
    axes : of both. Samples are compared one by one.
    region : bool (*S), S the spatial axes; pixels outside of it do not count.

    Raises
    ------
    DojoError : where the sizes differ, there are no pixels, or the memory is small.
    """
    if truth.shape != result.shape or 0 in truth.shape:
        raise DojoError(
            f"Two images of the same size are needed: ground truth {truth.shape}, result {result.shape}. "
            "Choose the two that belong together."
        )
    n = axes.count(truth.shape)
    _check_memory(100 * truth.size // n)
    scores: list[ImageScores] = []
    spans: list[tuple[float, float]] = []
    unknown, drawn = np.zeros(2, int), True
    for i in range(n):
        t, p = (np.asarray(axes.sample(x, i)) for x in (truth, result))  # (C, *S)
        scores.append(ImageScores.of(t, p, region))
        known = np.isfinite(t) if region is None else np.isfinite(t) & region
        spans += [(float(a[w].min()), float(a[w].max())) for a, w in zip(t, known, strict=True) if w.any()]
        unknown += [np.count_nonzero(~np.isfinite(x)) for x in (t, p)]
        drawn = drawn and len(runs(t)[0]) < FLAT * t.size
    first = (np.asarray(axes.sample(x, 0))[0] for x in (truth, result))
    rings = ring_correlation(*(np.nan_to_num(x, nan=0.0, posinf=0.0, neginf=0.0) for x in first))
    return Compared(pool(scores), tuple(_image_notes(spans, unknown, drawn)), _range(spans), rings=rings)


def class_like(labels: ArrayLike) -> bool:
    """Whether labels (*S) are rather classes than objects: few numbers, and several pieces of each or no background."""
    from scipy.ndimage import label

    array = np.asarray(labels)
    edges = ((LOOKED_AT[0],) * array.ndim + LOOKED_AT[1:])[-array.ndim :]
    part = array[middle(array.shape, edges)]
    numbers = np.unique(part)
    numbers = numbers[numbers > 0]
    if not 0 < len(numbers) <= FEW:
        return False
    pieces = sum(int(label(part == n)[1]) for n in numbers)
    return pieces >= 3 * len(numbers) or (len(numbers) > 1 and bool((part > 0).all()))


def class_names(truth: ArrayLike, predicted: ArrayLike, names: Mapping[int, str]) -> dict[int, str]:
    """The classes of two class images (*S) by number, as `metrics.ClassCounts.of` takes them.

    0 is a class if both images have it; else it means "not annotated". Negative numbers are no classes. Classes that ``names`` does not
    have are called by their number.

    Raises
    ------
    DojoError : where there is no class, or more than `MOST_CLASSES`.
    """
    t, p = ({n for n in np.unique(np.asarray(x)).tolist() if n >= 0} for x in (truth, predicted))
    numbers = sorted((t | p) - {0} | (t & p & {0}))
    if len(numbers) > MOST_CLASSES:
        raise DojoError(
            f"At most {MOST_CLASSES} classes can be compared, and these layers have {len(numbers):,} numbers. "
            "Compare them as objects."
        )
    if not t & set(numbers):
        raise DojoError(
            "The ground truth has no class: no number in it is above 0. Paint some of each class, or choose another layer."
        )
    return {int(n): names.get(int(n), "background" if n == 0 else f"class {n}") for n in numbers}


def _emptiness(found: Comparison) -> Iterator[str]:
    """What it means where a side has no objects."""
    n_true, n_predicted = len(found.overlap.true), len(found.overlap.predicted)
    if not n_true and not n_predicted:
        yield "Neither layer has an object: nothing to detect, no false positives."
    elif not n_true:
        yield "The ground truth has no object, so all objects of the result are false positives. Is it the right layer?"
    elif not n_predicted:
        yield "The result has no object, so all objects of the ground truth are missed. Is it the right layer?"


def _image_notes(spans: Sequence[tuple[float, float]], unknown: NDArray[np.int_], drawn: bool) -> Iterator[str]:
    if unknown[0]:
        yield f"{unknown[0]:,} values of the ground truth are not numbers (NaN or infinite) and do not count."
    if unknown[1]:
        yield f"{unknown[1]:,} values of the result are not numbers (NaN or infinite) and count as 0."
    if all(low == high for low, high in spans):
        yield "The ground truth is constant: PSNR and SSIM only show whether the result equals it."
    elif drawn:
        yield "The ground truth looks like labels. To compare objects, turn both into Labels layers first."


def _range(spans: Sequence[tuple[float, float]]) -> str:
    """Which range PSNR and SSIM refer to; ``spans`` are the ranges of the channels of all samples."""
    low, high = min((a for a, _ in spans), default=0.0), max((b for _, b in spans), default=0.0)
    if len(spans) < 2:
        return f"PSNR and SSIM refer to the range of the ground truth, {low:g} to {high:g}."
    return (
        f"Means of {len(spans)} planes or channels. PSNR and SSIM refer to the range that each has in the ground truth; "
        f"{low:g} to {high:g} in all."
    )


def _check_memory(need: int) -> None:
    import psutil

    free = psutil.virtual_memory().available
    if need > free:
        raise DojoError(
            f"Comparing these needs about {need / 2**30:.0f} GB of memory, and {free / 2**30:.0f} GB are free. "
            "Crop both, or close other programs."
        )
