"""Objects from strokes: 0 is not annotated, 1 is background, 2 and above are objects, each touched by a stroke.

What the strokes leave open is completed twice. First a classifier of pixels, fitted to the strokes, tells
objects from background; later in the training, the network's own maps take its place. Each object's outline is put where the
image is steepest. Both ways the strokes overrule predictions: a stroke lies in one object, two strokes in two objects, none of the
background's in any. Pixels that neither strokes nor prediction decide stay unknown and are not trained on.
(The network as the teacher of its next round: pseudo-labels, Lee 2013, ICML workshop; average weights as the teacher: Tarvainen &
Valpola 2017, NeurIPS. LOG.md has what was compared.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_dojo.data.pixel_classifier import PixelClassifier, pixel_features
from napari_dojo.metrics.base import pool
from napari_dojo.metrics.strokes import StrokeCounts
from napari_dojo.tasks.base import Example
from napari_dojo.tasks.sections import BACKGROUND, as_strokes
from napari_dojo.tasks.watershed import split_objects

__all__ = [
    "BACKGROUND",
    "classified_masks",
    "completed_strokes",
    "numbered_like",
    "objects_from",
    "objects_of",
    "only_strokes",
]

SHARE = 0.25  # of a stroke that an object holds, to belong to it
LEVELS = np.linspace(0.4, 0.7, 7)  # probabilities at which an outline is tried, of the classifier
SHARP = np.linspace(0.1, 0.9, 17)  # of a network, between which there are few pixels
FIRST = 0.3  # probability by which objects are separated before
SLAB = 2**21  # pixels whose features are computed at a time
AROUND = 48  # px around them that their features see
KEPT = 2**22  # pixels whose features are kept
RIM = 8  # pixels of an outline, at least
TOWARDS = 1.5  # px that the probability is smoothed by, to tell inside from outside
UNLABELLED = 2000  # pixels that stand for the background where it has no stroke
SURE = 0.9  # agreement with the strokes from which on the network is not compared with the classifier
STEEP = 4.0  # times the logarithm of a depth in stacks: a dip to 95 % separates two objects
SPLIT, LOWEST, SMALLEST = 0.2, 0.2, 12.0  # of objects that are not known yet, see `split_objects`


def completed_strokes(examples: Sequence[Example], options: Any) -> list[tuple[NDArray[np.int32], NDArray[np.bool_]]]:
    """Objects 1..n of each training part (*S), and where they are known.

    Found by the maps of a network (logit of "inside", distance), or by a classifier on the strokes of all parts where there are
    no maps, or where it agrees better with the strokes.
    """
    if options.planes:
        examples = [replace(e, y=as_strokes(e.y, e.region), region=None) for e in examples]
    strokes = [only_strokes(e.y, e.region) for e in examples]
    spacing = options.spacing
    learned = [_learned(e.maps, e.x, s, spacing) for e, s in zip(examples, strokes, strict=True) if e.maps is not None]
    found, agreement = learned, _agreement(learned, strokes) if len(learned) == len(examples) else -1.0
    if agreement < SURE:
        simple = [(mask, relative_depth(mask, spacing)) for mask in classified_masks(examples, spacing)]
        found = learned if agreement >= _agreement(simple, strokes) else simple
    return [
        (objects_from(*terrain, drawn), np.ones(drawn.shape, bool) if e.region is None else e.region)
        for terrain, drawn, e in zip(found, strokes, examples, strict=True)
    ]


def _learned(
    maps: NDArray[np.float32], x: NDArray[np.float32], strokes: NDArray[np.int32], spacing: Sequence[float]
) -> Terrain:
    """What a network's maps say, outlined by the image: else outlines grow or shrink from round to round."""
    return _outlined(1 / (1 + np.exp(-maps[0])), x, strokes, spacing, SHARP), maps[1]


Terrain = tuple[
    NDArray[np.bool_], NDArray[np.float32]
]  # a mask, and the normalised distance to the edges of its objects


def _agreement(found: Sequence[Terrain], strokes: Sequence[NDArray[np.int32]]) -> float:
    """Of the objects with all strokes, before these have changed anything."""
    objects = [split_objects(*terrain, SPLIT, LOWEST, SMALLEST) for terrain in found]
    return pool([StrokeCounts.of(s, o) for s, o in zip(strokes, objects, strict=True)]).selection_score


def only_strokes(y: NDArray[np.integer], region: NDArray[np.bool_] | None) -> NDArray[np.int32]:
    """The strokes in the annotated region, (*S)."""
    strokes = np.asarray(y, np.int32)
    return strokes if region is None else np.where(region, strokes, 0)


def classified_masks(examples: Sequence[Example], spacing: Sequence[float] = ()) -> list[NDArray[np.bool_]]:
    """Where objects are in each image (*S), as a classifier on all strokes says; ``spacing`` : of pixels along each axis."""
    strokes = [only_strokes(e.y, e.region) for e in examples]
    classes = [np.minimum(s, 2) for s in strokes]
    if not any((c == BACKGROUND).any() for c in classes):
        classes = [_with_background(c) for c in classes]
    parts = [(k, part) for k, e in enumerate(examples) for part in _parts(e.y.shape)]

    def made(i: int) -> NDArray[np.float32]:
        k, part = parts[i]
        return _features_of(examples[k].x, part)

    few = sum(e.y.size for e in examples) <= KEPT
    features: Callable[[int], NDArray[np.float32]] = cache(made) if few else made  # of many they are computed twice
    painted = [(i, classes[k][part.inner]) for i, (k, part) in enumerate(parts) if classes[k][part.inner].any()]
    classifier = PixelClassifier([features(i)[:, c > 0] for i, c in painted], [c[c > 0] for _, c in painted])
    found = [np.zeros(e.y.shape, np.float32) for e in examples]
    for i, (k, part) in enumerate(parts):
        found[k][part.inner] = classifier.probabilities(features(i))[-1]
    return [_outlined(p, e.x, s, spacing) for p, e, s in zip(found, examples, strokes, strict=True)]


class _Part(NamedTuple):
    """A part of an image: what its features are computed from, and what they are taken of."""

    wide: tuple[slice, ...]
    inner: tuple[slice, ...]


def _parts(size: Sequence[int]) -> list[_Part]:
    """An image of this size in slabs of at most `SLAB` px across its longest axis."""
    axis = int(np.argmax(size))
    edges = np.linspace(0, size[axis], -(-int(np.prod(size)) // SLAB) + 1).astype(int)
    whole = [slice(0, n) for n in size]
    found = []
    for a, b in pairwise(edges.tolist()):
        wide, inner = whole.copy(), whole.copy()
        wide[axis], inner[axis] = slice(max(0, a - AROUND), min(size[axis], b + AROUND)), slice(a, b)
        found.append(_Part(tuple(wide), tuple(inner)))
    return found


def _features_of(x: NDArray[np.float32], part: _Part) -> NDArray[np.float32]:
    key = tuple(slice(i.start - w.start, i.stop - w.start) for i, w in zip(part.inner, part.wide, strict=True))
    return pixel_features(x[(slice(None), *part.wide)])[(slice(None), *key)]


def objects_from(
    inside: NDArray[np.bool_],
    distance: NDArray[np.float32] | None,
    strokes: NDArray[np.int32],
    spacing: Sequence[float] = (),
) -> NDArray[np.int32]:
    """Objects (*S) in the mask ``inside``, that agree with the strokes.

    ``distance`` : the normalised distance to the objects' edges, by which they are split; None: measured in the mask, whose
    pixels lie as far apart along each axis as ``spacing`` says.
    """
    inside = (inside | (strokes > BACKGROUND)) & (strokes != BACKGROUND)
    if distance is None:
        distance = relative_depth(inside, spacing)
    found = split_objects(inside, distance, SPLIT, LOWEST, SMALLEST)
    found = _joined(found, strokes)
    return _parted(found, strokes, distance)


def objects_of(
    probability: NDArray[np.float32], x: NDArray[np.float32], strokes: NDArray[np.int32]
) -> NDArray[np.int32]:
    """Objects (*S) from the probability that a pixel of the image (C, *S) belongs to one."""
    return objects_from(_outlined(probability, x, strokes), None, strokes)


def numbered_like(found: NDArray[np.int32], strokes: NDArray[np.int32], largest: int) -> NDArray[np.int32]:
    """The same objects with the numbers of their strokes; those without one are numbered from ``largest`` + 1 on."""
    numbers = np.zeros(int(found.max(initial=0)) + 1, np.int32)
    stroke, there, pixels, _ = _held(found, strokes)
    order = np.argsort(pixels, kind="stable")
    numbers[there[order]] = stroke[order]
    free = np.setdiff1d(np.unique(found), [0, *there])
    numbers[free] = max(largest, BACKGROUND) + 1 + np.arange(len(free))
    numbers[0] = 0
    return numbers[found]


def _with_background(classes: NDArray[np.int32]) -> NDArray[np.int32]:
    """Random pixels without a stroke count as background: most of them are."""
    free = np.flatnonzero(classes == 0)
    chosen = np.random.default_rng(0).choice(free, min(len(free), UNLABELLED), replace=False)
    found = classes.copy()
    found.ravel()[chosen] = BACKGROUND
    return found


def _outlined(
    probability: NDArray[np.float32],
    x: NDArray[np.float32],
    strokes: NDArray[np.int32],
    spacing: Sequence[float] = (),
    levels: NDArray[np.float64] | None = None,
) -> NDArray[np.bool_]:
    """The mask (*S) above one of the levels of the probability, for each object that at whose outline the image (C, *S) is steepest.

    Steps of the image count with their sign, from inside to outside, so that texture and neighbours, which go up and down, do
    not. How steep it is at all outlines of that level counts as much as at the object's own: that alone may be a neighbour's.
    """
    from scipy import ndimage as ndi

    rough = objects_from(probability > FIRST, None, strokes, spacing)
    if not rough.any():
        return np.asarray(probability > 0.5)
    if levels is None:
        levels = LEVELS if x.ndim == 3 else SHARP  # in stacks the narrow ones were not measured
    steps = _steps_outwards(probability, x)
    nearest = ndi.distance_transform_edt(rough == 0, return_distances=False, return_indices=True)
    owner = rough[tuple(nearest)]
    low, high = ndi.minimum_filter(probability, 3), ndi.maximum_filter(probability, 3)
    scores = np.zeros((len(levels), int(owner.max()) + 1))
    for k, level in enumerate(levels):
        rim = (low <= level) & (high > level)
        if rim.any():
            pixels = np.bincount(owner[rim], minlength=scores.shape[1])
            sums = np.array([np.bincount(owner[rim], c[rim], scores.shape[1]) for c in steps])
            own = np.linalg.norm(sums / np.maximum(pixels, 1), axis=0)
            scores[k] = np.where(pixels >= RIM, own, 0) + np.linalg.norm(steps[:, rim].mean(1))
    return np.asarray(probability > levels[scores.argmax(0)][owner])


def _steps_outwards(probability: NDArray[np.float32], x: NDArray[np.float32]) -> NDArray[np.float32]:
    """How steeply the root of each channel of the image (C, *S) rises with the probability (*S)."""
    uphill = _gradient(np.asarray(probability, np.float32), TOWARDS)
    uphill /= np.maximum(np.linalg.norm(uphill, axis=0), 1e-6)
    return np.stack([(_gradient(c, 1.0) * uphill).sum(0) for c in np.sqrt(np.clip(x, 0, None))])


def _gradient(image: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Of an image (*S) smoothed by ``sigma`` px: (dims, *S)."""
    from scipy import ndimage as ndi

    orders = np.eye(image.ndim, dtype=int)
    return np.stack([ndi.gaussian_filter(image, sigma, order=tuple(o.tolist())) for o in orders])


def relative_depth(inside: NDArray[np.bool_], spacing: Sequence[float] = ()) -> NDArray[np.float32]:
    """The smoothed distance to the mask's edge, so that a dip means as much in small objects as in large ones.

    In images it is relative to the deepest point of its connected part; in stacks, where nearly all objects of a crowded field
    are connected, its logarithm is taken instead. ``spacing`` : of pixels along each axis, the smallest 1; empty: the same.
    """
    from scipy import ndimage as ndi

    step = np.array(spacing or (1.0,) * inside.ndim)
    depth = ndi.distance_transform_edt(inside, sampling=step).astype(np.float32)
    depth = ndi.gaussian_filter(depth, 1.0 / step)
    if inside.ndim == 3:
        return np.asarray(STEEP * np.log(np.maximum(depth, 0.1)), np.float32)
    parts, n = ndi.label(inside)
    deepest = np.zeros(n + 1, np.float32)
    np.maximum.at(deepest, parts.ravel(), depth.ravel())
    return np.asarray(np.where(inside, depth / np.maximum(deepest, 1e-6)[parts], 0), np.float32)


def _held(found: NDArray[np.int32], strokes: NDArray[np.int32]) -> tuple[NDArray[np.int64], ...]:
    """For each pair of a stroke and an object (0: none) that share pixels: stroke, object, pixels, pixels of the stroke."""
    at = strokes > BACKGROUND
    pairs, pixels = np.unique(np.stack([strokes[at], found[at]]), axis=1, return_counts=True)
    whole = np.bincount(strokes[at]) if at.any() else np.zeros(1, np.int64)
    return pairs[0].astype(np.int64), pairs[1].astype(np.int64), pixels, whole[pairs[0]]


def _joined(found: NDArray[np.int32], strokes: NDArray[np.int32]) -> NDArray[np.int32]:
    """Objects that one stroke crosses become one."""
    owner = np.arange(int(found.max(initial=0)) + 1)
    stroke, there, pixels, whole = _held(found, strokes)
    fits = (there > 0) & (pixels >= SHARE * whole)
    for number in np.unique(stroke[fits]):
        several = owner[there[fits & (stroke == number)]]
        owner[np.isin(owner, several)] = several.min()
    return np.asarray(owner[found], np.int32)


def _parted(found: NDArray[np.int32], strokes: NDArray[np.int32], distance: NDArray[np.float32]) -> NDArray[np.int32]:
    """Objects with several strokes become as many, and a stroke without an object becomes one."""
    from scipy import ndimage as ndi
    from skimage.segmentation import watershed

    stroke, there, pixels, _ = _held(found, strokes)
    order = np.argsort(pixels, kind="stable")  # the object that holds most of a stroke is written last
    home = dict(zip(stroke[order].tolist(), there[order].tolist(), strict=True))
    several: dict[int, list[int]] = {}
    for number, at in home.items():
        several.setdefault(at, []).append(number)
    numbers = np.arange(int(strokes.max(initial=0)) + 1) + int(found.max(initial=0))
    parted, boxes = found.copy(), ndi.find_objects(found)
    for at, own in several.items():
        if at == 0:
            mine = np.isin(strokes, own)
            parted[mine] = numbers[strokes[mine]]
        elif len(own) > 1:
            box = boxes[at - 1]
            seeds = np.where(np.isin(strokes[box], own), strokes[box], 0)
            mask = found[box] == at
            parts = watershed(-ndi.gaussian_filter(distance[box], 1.0), seeds, mask=mask)
            parted[box][mask] = numbers[parts[mask]]
    return parted
