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
    "roundness",
]

SHARE = 0.25  # of a stroke that an object holds, to belong to it
LEVELS = np.linspace(0.4, 0.7, 7)  # probabilities at which an outline is tried, of the classifier
SHARP = np.linspace(0.1, 0.9, 17)  # of a network, between which there are few pixels
FIRST = 0.3  # probability by which objects are separated before
SLAB = 2**21  # pixels whose features are computed at a time
AROUND = 48  # px around them that their features see
KEPT = 2**22  # pixels whose features are kept
NEARLY = 0.985  # times as steep as where the image is steepest: so far out are dark objects outlined
RIM = 8  # pixels of an outline, at least
TOWARDS = 1.5  # px that the probability is smoothed by, to tell inside from outside
UNLABELLED = 2000  # pixels that stand for the background where it has no stroke
SURE = 0.9  # agreement with the strokes from which on the network is not compared with the classifier
FITTED = 0.15  # of agreement with the strokes, that a classifier may owe to being fitted to them
STEEP = 4.0  # times the logarithm of a depth in stacks: a dip to 95 % separates two objects
STEEPER = 1.4  # times a depth in images: a dip of .14 separates two objects
# times that depth, and px that a part counts as deep at least: where objects then agree better with the strokes
OTHER_DIPS = ((0.7, 0.0), (1.4, 0.0), (1.0, 8.0), (1.0, 12.0))
BETTER = 0.015  # of the strokes' pixels, from which on they do
HOLES = (0, 50, 200, 800, 3200)  # px; holes of a mask that are filled, up to one of these sizes
WORSE = 0.03  # in agreement with the strokes, that filling may cost
SPLIT, LOWEST, SMALLEST = 0.2, 0.2, 12.0  # of objects that are not known yet, see `split_objects`


def completed_strokes(examples: Sequence[Example], options: Any) -> list[tuple[NDArray[np.int32], NDArray[np.bool_]]]:
    """Objects 1..n of each training part (*S), and where they are known.

    Found by the maps of a network (logit of "inside", distance), by a classifier on the strokes of all parts, or by the network's
    distances in the classifier's mask: in images by what gives the roundest objects of all that agree with the strokes about
    equally well, in stacks by what agrees best. Without maps by the classifier, with maps that agree with nearly all strokes by these.
    """
    if options.planes:
        examples = [replace(e, y=as_strokes(e.y, e.region), region=None) for e in examples]
    strokes = [only_strokes(e.y, e.region) for e in examples]
    spacing = options.spacing
    learned = [_learned(e.maps, e.x, s, spacing) for e, s in zip(examples, strokes, strict=True) if e.maps is not None]
    found, agreement = learned, _agreement(learned, strokes) if len(learned) == len(examples) else -1.0
    if agreement < SURE:
        masks = classified_masks(examples, spacing)
        found = _split_as_stroked(masks, strokes, spacing)
        if agreement >= 0:
            separated = [(mask, distance) for mask, (_, distance) in zip(masks, learned, strict=True)]
            flat = strokes[0].ndim == 2  # in stacks that was not measured
            found = _roundest(learned, *([separated] if flat else []), found, strokes=strokes)
    return [
        (objects_from(*terrain, drawn), np.ones(drawn.shape, bool) if e.region is None else e.region)
        for terrain, drawn, e in zip(found, strokes, examples, strict=True)
    ]


def _learned(
    maps: NDArray[np.float32], x: NDArray[np.float32], strokes: NDArray[np.int32], spacing: Sequence[float]
) -> Terrain:
    """What a network's maps say, outlined by the image: else outlines grow or shrink from round to round."""
    from scipy.ndimage import gaussian_filter

    distance = np.asarray(maps[1], np.float32)
    if distance.ndim == 2:  # as predictions are decoded; in stacks that was not measured
        distance = gaussian_filter(distance, 1.0)
    return _outlined(1 / (1 + np.exp(-maps[0])), x, strokes, spacing, SHARP), distance


Terrain = tuple[
    NDArray[np.bool_], NDArray[np.float32]
]  # a mask, and the normalised distance to the edges of its objects


def _agreement(found: Sequence[Terrain], strokes: Sequence[NDArray[np.int32]]) -> float:
    """Of the objects with all strokes, before these have changed anything."""
    return _counted([_split(*terrain) for terrain in found], strokes).selection_score


def _roundest(*ways: list[Terrain], strokes: Sequence[NDArray[np.int32]]) -> list[Terrain]:
    """Of the ways that agree with the strokes about as well as the best one, the one whose objects are roundest, the first of equals.

    A classifier was fitted to the strokes, which the network of a start never saw: a little more agreement says nothing.
    In stacks the one that agrees best.
    """
    found = [[_split(*terrain) for terrain in way] for way in ways]
    agreed = [_counted(objects, strokes).selection_score for objects in found]
    fine = [k for k, agreement in enumerate(agreed) if agreement >= max(agreed) - FITTED]
    if len(fine) == 1 or strokes[0].ndim != 2:
        return ways[int(np.argmax(agreed))]
    return ways[max(fine, key=lambda k: roundness(found[k]))]


def _counted(found: Sequence[NDArray[np.int32]], strokes: Sequence[NDArray[np.int32]]) -> StrokeCounts:
    return pool([StrokeCounts.of(s, o) for s, o in zip(strokes, found, strict=True)])


def _split(mask: NDArray[np.bool_], distance: NDArray[np.float32]) -> NDArray[np.int32]:
    return split_objects(mask, distance, SPLIT, LOWEST, SMALLEST)


def only_strokes(y: NDArray[np.integer], region: NDArray[np.bool_] | None) -> NDArray[np.int32]:
    """The strokes in the annotated region, (*S)."""
    strokes = np.asarray(y, np.int32)
    return strokes if region is None else np.where(region, strokes, 0)


def classified_masks(examples: Sequence[Example], spacing: Sequence[float] = ()) -> list[NDArray[np.bool_]]:
    """Where objects are in each image (*S), as a classifier on all strokes says; ``spacing`` : of pixels along each axis."""
    strokes = [only_strokes(e.y, e.region) for e in examples]
    classes = [np.minimum(s, 2) for s in strokes]
    if not any((c > BACKGROUND).any() for c in classes):  # parts of images may hold nothing else
        return [np.zeros(c.shape, bool) for c in classes]
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
    return _filled([_outlined(p, e.x, s, spacing) for p, e, s in zip(found, examples, strokes, strict=True)], strokes)


def _filled(masks: Sequence[NDArray[np.bool_]], strokes: Sequence[NDArray[np.int32]]) -> list[NDArray[np.bool_]]:
    """The masks (*S) without holes up to the size at which their objects are roundest: where cells look like the ground
    inside, that is what is left of them; where holes are gaps between objects, filling them joins these.

    No size counts at which the objects agree less with the strokes. Stacks stay as they are.
    """
    if any(mask.ndim != 2 for mask in masks):
        return list(masks)
    tried = [list(masks)]
    for most in HOLES[1:]:
        each = [_without_holes(m, s, most) for m, s in zip(masks, strokes, strict=True)]
        if any((m != before).any() for m, before in zip(each, tried[-1], strict=True)):
            tried.append(each)
    if len(tried) == 1:
        return tried[0]
    found = [[_split(m, relative_depth(m)) for m in each] for each in tried]
    agreed = [_counted(each, strokes).selection_score for each in found]
    fine = [k for k, agreement in enumerate(agreed) if agreement >= max(agreed) - WORSE]
    return tried[max(fine, key=lambda k: round(roundness(found[k]), 3))]


def _without_holes(mask: NDArray[np.bool_], strokes: NDArray[np.int32], most: int) -> NDArray[np.bool_]:
    """The mask (Y, X) with its holes of up to ``most`` px that hold no stroke of background."""
    from scipy import ndimage as ndi

    holes, n = ndi.label(~mask)
    fill = np.bincount(holes.ravel(), minlength=n + 1) <= most
    fill[np.concatenate([[0], holes[0], holes[-1], holes[:, 0], holes[:, -1], holes[strokes == BACKGROUND]])] = False
    return np.asarray(mask | fill[holes])


def roundness(found: Sequence[NDArray[np.int32]]) -> float:
    """Mean over the pixels of all objects (Y, X) of their area relative to the ellipse with the same moments; 1: ellipses."""
    values = np.concatenate([_round(objects) for objects in found])
    return float(values.mean()) if len(values) else 0.0


def _round(objects: NDArray[np.int32]) -> NDArray[np.float64]:
    """The same of each pixel that lies in an object."""
    where = np.flatnonzero(objects)
    numbers = objects.ravel()[where]
    area = np.maximum(np.bincount(numbers), 1)

    def mean(values: NDArray[Any]) -> NDArray[np.float64]:
        return np.bincount(numbers, values) / area

    rows, columns = (p - mean(p)[numbers] for p in np.unravel_index(where, objects.shape))
    spread = (mean(rows**2) + 1 / 12) * (mean(columns**2) + 1 / 12) - mean(rows * columns) ** 2
    return np.asarray((area / (4 * np.pi * np.sqrt(np.maximum(spread, 1e-9))))[numbers])


def _split_as_stroked(
    masks: Sequence[NDArray[np.bool_]], strokes: Sequence[NDArray[np.int32]], spacing: Sequence[float]
) -> list[Terrain]:
    """The masks with the depths in them, by the dips at which most of each stroke lies in an object without another stroke."""

    def depths(steeper: float, least: float) -> list[NDArray[np.float32]]:
        return [steeper * relative_depth(mask, spacing, least) for mask in masks]

    def kept(tried: Sequence[NDArray[np.float32]]) -> float:
        found = [_split(m, d) for m, d in zip(masks, tried, strict=True)]
        shares = [_shares(objects, drawn) for objects, drawn in zip(found, strokes, strict=True)]
        return float(np.mean(np.concatenate(shares))) if any(map(len, shares)) else 1.0

    best = depths(1.0, 0.0)
    most = kept(best) + BETTER
    for other in OTHER_DIPS if masks[0].ndim == 2 else ():
        tried = depths(*other)
        if (share := kept(tried)) > most:
            best, most = tried, share
    return list(zip(masks, best, strict=True))


def _shares(found: NDArray[np.int32], strokes: NDArray[np.int32]) -> NDArray[np.float64]:
    """Of each stroke, the share of its pixels in the object that holds most of it; 0 where that holds most of another, too."""
    stroke, there, pixels, whole = _held(found, strokes)
    order = np.argsort(pixels, kind="stable")
    best = {int(stroke[i]): (int(there[i]), float(pixels[i] / whole[i])) for i in order}
    objects = [at for at, _ in best.values()]
    return np.array([share if at and objects.count(at) == 1 else 0.0 for at, share in best.values()])


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
    found = _joined(_split(inside, distance), strokes)
    return _parted(found, strokes, distance)


def objects_of(
    probability: NDArray[np.float32], x: NDArray[np.float32], strokes: NDArray[np.int32]
) -> NDArray[np.int32]:
    """Objects (*S) from the probability that a pixel of the image (C, *S) belongs to one."""
    (mask,) = _filled([_outlined(probability, x, strokes)], [strokes])
    return objects_from(mask, None, strokes)


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
    network = levels is not None
    if levels is None:
        levels = LEVELS if x.ndim == 3 else SHARP  # in stacks the narrow ones were not measured
    low, high = ndi.minimum_filter(probability, 3), ndi.maximum_filter(probability, 3)
    steps = _steps_outwards(probability, x)
    # one channel with dark objects: phase contrast, bright field. Stain absorbs light, to which the root is right
    dark = network and x.ndim == 3 and len(x) == 1 and steps[:, (low <= 0.5) & (high > 0.5)].sum() < 0
    if dark:  # on the negative, as bright objects are: the root is steep near 0, and draws their outlines inwards
        steps = _steps_outwards(probability, 1 - x)
    nearest = ndi.distance_transform_edt(rough == 0, return_distances=False, return_indices=True)
    owner = rough[tuple(nearest)]
    scores = np.zeros((len(levels), int(owner.max()) + 1))
    for k, level in enumerate(levels):
        rim = (low <= level) & (high > level)
        if rim.any():
            pixels = np.bincount(owner[rim], minlength=scores.shape[1])
            sums = np.array([np.bincount(owner[rim], c[rim], scores.shape[1]) for c in steps])
            own = np.linalg.norm(sums / np.maximum(pixels, 1), axis=0)
            scores[k] = np.where(pixels >= RIM, own, 0) + np.linalg.norm(steps[:, rim].mean(1))
    best = scores.argmax(0)
    return np.asarray(probability > levels[_outermost(scores, best) if dark else best][owner])


def _outermost(scores: NDArray[np.float64], best: NDArray[np.intp]) -> NDArray[np.intp]:
    """The lowest level from which on all up to the best one are nearly as steep, of each object; ``scores`` (levels, objects).

    A dark object is thick in its middle, and light that passes it is blurred: the image is steepest inside of its edge.
    """
    at = np.arange(len(scores))[:, None]
    flatter = (scores < NEARLY * scores.max(0)) & (at < best)
    return np.asarray(np.where(flatter, at + 1, 0).max(0))


def _steps_outwards(probability: NDArray[np.float32], x: NDArray[np.float32]) -> NDArray[np.float32]:
    """How steeply the root of each channel of the image (C, *S) rises or falls with the probability (*S)."""
    uphill = _gradient(np.asarray(probability, np.float32), TOWARDS)
    uphill /= np.maximum(np.linalg.norm(uphill, axis=0), 1e-6)
    roots = np.sqrt(np.clip(x, 0, None))
    return np.stack([(_gradient(c, 1.0) * uphill).sum(0) for c in roots])


def _gradient(image: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Of an image (*S) smoothed by ``sigma`` px: (dims, *S)."""
    from scipy import ndimage as ndi

    orders = np.eye(image.ndim, dtype=int)
    return np.stack([ndi.gaussian_filter(image, sigma, order=tuple(o.tolist())) for o in orders])


def relative_depth(inside: NDArray[np.bool_], spacing: Sequence[float] = (), least: float = 0.0) -> NDArray[np.float32]:
    """The smoothed distance to the mask's edge, so that a dip means as much in small objects as in large ones.

    In images it is `STEEPER` times what it is relative to the deepest point of its connected part; in stacks, where nearly all objects of a crowded field
    are connected, its logarithm is taken instead. ``spacing`` : of pixels along each axis, the smallest 1; empty: the same.
    ``least`` : px that each part of an image counts as deep, at least: where objects are thin and long, an edge that is off by a
    pixel is no dip.
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
    return np.asarray(np.where(inside, STEEPER * depth / np.maximum(deepest, max(least, 1e-6))[parts], 0), np.float32)


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
