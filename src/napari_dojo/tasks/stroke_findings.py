"""What the check before training finds in strokes on objects, and in labels that are strokes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo.data.dataset import Dataset, Sample
from napari_dojo.data.normalize import Rule
from napari_dojo.tasks.base import Example, Finding, Fix
from napari_dojo.tasks.strokes import BACKGROUND, classified_masks, objects_from, only_strokes, roundness

__all__ = ["looks_like_strokes", "numbered_strokes", "stroke_findings", "stroked_areas"]

LOOKED_AT = 6  # images whose strokes are completed for the check
EDGE = {2: 768, 3: 96}  # px along an axis that are looked at of each, around the strokes
THIN = 8.0  # px, width of a line
LONG = 2.0  # times its width
COVERED = 0.2  # of an image, by strokes
FEWEST = 30  # pixels of background
FEW, SHARED = 5, 3  # numbers of an image; strokes for each, from which on they are likely to share them
ROUND, TOUCHING = 0.9, 0.5  # parts of sheets are less round, or more of their outlines than this share touches others
LARGEST = 3.0  # times the length of a stroke: the diameter of such parts, at most

STROKES = Fix("Train from strokes", "option", value=("annotation", "strokes"))
COMPLETE = Fix("All objects are labelled", "option", value=("annotation", "complete"))


def stroke_findings(dataset: Dataset, planes: bool = False) -> tuple[int, list[Finding]]:
    """How many objects have a stroke, and what is wrong with the strokes; ``planes`` : they are whole planes of stacks."""
    drawn = [only_strokes(np.asarray(s.y), s.region) for s in dataset.samples]
    objects = sum(len(np.unique(y[y > BACKGROUND])) for y in drawn)
    background = sum(int(np.count_nonzero(y == BACKGROUND)) for y in drawn)
    meaning = f"0 is not annotated, {BACKGROUND} is background, {BACKGROUND + 1} and above are objects"
    if not objects:
        said = f"No object has a stroke ({meaning}). Draw a stroke in some objects, each with its own number."
        return 0, [Finding("error", said, (COMPLETE,) if background else ())]
    findings = []
    if not background:
        text = "No stroke is on background, so objects will come out too large: draw some with number 1, close to objects and far."
        findings.append(Finding("warning", text, (COMPLETE,)))
    elif background < FEWEST:
        pixels = f"{background} pixel{'s' * (background != 1)}"
        findings.append(Finding("warning", f"Only {pixels} of background (number 1); draw more of it."))
    whole = [s.name for s, y in zip(dataset.samples, drawn, strict=True) if np.mean(y > 0) > COVERED and _one_blob(y)]
    if whole:
        more = f" and {len(whole) - 1} more" if len(whole) > 1 else ""
        text = f"Number 1 looks like an object in {whole[0]}{more}, but means background in strokes. Are all objects labelled?"
        findings.append(Finding("warning", text, (COMPLETE, Fix("Number 1 is background", "fine"))))
    return objects, findings if planes else findings + _shared_numbers(dataset)


def _shared_numbers(dataset: Dataset) -> list[Finding]:
    """Images in which many strokes have one of few numbers: all strokes with a number mean one object."""
    found = {}
    for sample in dataset.samples:
        y = np.asarray(sample.y)
        apart, count = (len(np.unique(a[a > BACKGROUND])) for a in (numbered_strokes(y), y))
        if apart > count:
            found[sample.name] = (apart, count)
    if not found:
        return []
    name, (strokes, numbers) = next(iter(found.items()))
    more = f" ({len(found) - 1} more images like it)" if len(found) > 1 else ""
    what = (
        "one number, so they mean one object" if numbers == 1 else f"{numbers} numbers, so they mean {numbers} objects"
    )
    text = f"{strokes} strokes of {name} have {what}{more}. Give each object its own number?"
    fixes = (Fix("Number the strokes", "relabel", tuple(found), numbered_strokes), Fix("They are right", "fine"))
    return [Finding("warning", text, fixes)]


def numbered_strokes(y: NDArray[Any]) -> NDArray[np.int32]:
    """Each stroke of an object with its own number, from 2 on; the background keeps 1; (*S) -> (*S).

    Where they have more than a few numbers, or are few for each number, they stay as they are. In stacks, those that
    touch as seen from above are one: an object has strokes in several planes.
    """
    from skimage.measure import label

    y = np.asarray(y, np.int32)
    numbers = np.unique(y[y > BACKGROUND])
    if len(numbers) > FEW:
        return y
    found, last = np.where(y == BACKGROUND, np.int32(BACKGROUND), np.int32(0)), BACKGROUND
    for number in numbers:
        mine = y == number
        strokes = label(mine.any(0) if y.ndim == 3 else mine)
        found[mine] = np.broadcast_to(strokes, y.shape)[mine] + last
        last += int(strokes.max())
    return found if last - BACKGROUND >= SHARED * len(numbers) else y


def looks_like_strokes(dataset: Dataset) -> list[Finding]:
    """Thin lines where whole objects are expected."""
    names = [s.name for s in dataset.samples if s.y is not None and _drawn(s)]
    if not names or len(names) < len(dataset.samples) / 2:
        return []
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    text = (
        f"The labels of {names[0]}{more} look like strokes, not like whole objects. In strokes, {BACKGROUND} is background, "
        f"{BACKGROUND + 1} and above are objects, and the rest is not annotated."
    )
    return [Finding("warning", text, (STROKES, Fix("They are whole objects", "fine")))]


def stroked_areas(dataset: Dataset, spacing: Sequence[float] = ()) -> tuple[NDArray[np.int64], float]:
    """Pixels (n,) of objects that have a stroke, as the classifier outlines them in a few images, and their median thickness, px.

    In images, objects that are not round, or that touch others along most of their outline, are no larger than the strokes say:
    a sheet of packed cells is one piece to the classifier, whose parts between few strokes hold many cells.
    """
    from scipy.ndimage import distance_transform_edt, maximum

    drawn = [only_strokes(np.asarray(s.y), s.region) for s in dataset.samples]
    most = sorted(range(len(drawn)), key=lambda i: -np.count_nonzero(drawn[i] > BACKGROUND))[:LOOKED_AT]
    examples = [_example(dataset.samples[i], _around(drawn[i])) for i in most]
    areas, thick, all_found, lines = [], [], [], []
    for example, mask in zip(examples, classified_masks(examples, spacing), strict=True):
        strokes = only_strokes(example.y, example.region)
        found = objects_from(mask, None, strokes, spacing)
        own = np.unique(found[(strokes > BACKGROUND) & (found > 0)])  # a dab beside its object is none
        if len(own):
            areas.append(np.bincount(found.ravel())[own])
            thick.append(2 * np.atleast_1d(maximum(distance_transform_edt(found > 0), found, own)))
            all_found.append(found)
            lines.append(strokes)
    found_areas, thickness = np.concatenate(areas), float(np.median(np.concatenate(thick)))
    if len(dataset.spatial) == 2 and _like_a_sheet(all_found, lines) and (length := _length(lines)):
        widest = LARGEST * length
        return np.minimum(found_areas, round(np.pi / 4 * widest**2)), min(thickness, widest)
    return found_areas, thickness


def _like_a_sheet(found: Sequence[NDArray[np.int32]], drawn: Sequence[NDArray[np.int32]]) -> bool:
    """Whether the objects (Y, X) that have a stroke look like parts of a sheet."""
    from scipy.ndimage import maximum_filter, minimum_filter

    stroked, outlines, free = [], 0, 0
    for objects, strokes in zip(found, drawn, strict=True):
        own = np.isin(objects, objects[(strokes > BACKGROUND) & (objects > 0)])
        least = minimum_filter(objects, 3)
        outline = own & ((least != objects) | (maximum_filter(objects, 3) != objects))
        outlines += int(outline.sum())
        free += int((outline & (least == 0)).sum())
        stroked.append(np.where(own, objects, 0))
    return roundness(stroked) < ROUND or outlines - free > TOUCHING * outlines


def _length(drawn: Sequence[NDArray[np.int32]]) -> float:
    """Median length of the objects' strokes, px; 0 where they are dabs, which say nothing of an object's size."""
    from scipy.ndimage import distance_transform_edt, find_objects

    lengths, widths = [], []
    for strokes in drawn:
        lines = np.where(strokes > BACKGROUND, strokes, 0)
        wide = 2 * distance_transform_edt(np.pad(lines > 0, 1))[1:-1, 1:-1]
        for box in filter(None, find_objects(lines)):
            lengths.append(float(np.hypot(*(s.stop - s.start for s in box))))
            widths.append(float(wide[box].max()))
    length = float(np.median(lengths))
    return length if length >= LONG * float(np.median(widths)) else 0.0


def _example(sample: Sample, key: tuple[slice, ...]) -> Example:
    """A part of a sample, normalised."""
    norm = sample.normalization(Rule())
    x, _ = norm.clean(np.asarray(sample.x))
    region = None if sample.region is None else sample.region[key]
    return Example(norm.apply(x[(slice(None), *key)]), np.asarray(sample.y)[key], region, None)


def _around(y: NDArray[Any]) -> tuple[slice, ...]:
    """A box of at most `EDGE` px around the middle of the strokes of objects; where none is near it, around the nearest one."""
    at, edge = np.argwhere(y > BACKGROUND), EDGE[y.ndim]
    middle = np.median(at, axis=0) if len(at) else np.array(y.shape) / 2
    away = np.abs(at - middle).max(1)
    if len(at) and away.min() > edge / 2 - 1:
        middle = at[np.argmin(away)]
    starts = [int(np.clip(m - edge / 2, 0, max(0, n - edge))) for m, n in zip(middle, y.shape, strict=True)]
    return tuple(slice(a, a + edge) for a in starts)


def _drawn(sample: Sample) -> bool:
    """Whether labels are lines: thin, long for their width, and number 1 is in several places beside several others."""
    from scipy.ndimage import distance_transform_edt

    y = only_strokes(np.asarray(sample.y), sample.region)
    numbers, areas = np.unique(y[y > 0], return_counts=True)
    if len(numbers) < 2 or numbers[0] != BACKGROUND or np.mean(y > 0) > COVERED or _one_blob(y):
        return False
    width = 2 * float(distance_transform_edt(np.pad(y > BACKGROUND, 1)).max())
    return width <= THIN and float(np.median(areas[1:])) >= LONG * width


def _one_blob(y: NDArray[Any]) -> bool:
    """Whether number 1 is one connected thing of the size of the others."""
    from scipy.ndimage import label

    mine = y == BACKGROUND
    areas = np.bincount(y[y > BACKGROUND].ravel()) if (y > BACKGROUND).any() else np.zeros(1, int)
    return bool(mine.any()) and label(mine)[1] == 1 and int(mine.sum()) <= 2 * int(areas.max())
