"""What is measured of each object, so that a small head can tell classes apart: shape, intensity and texture.

All objects of a sample are measured together: pixels are sorted by object once, and every statistic is a sum over runs of
them. Nothing depends on how an object is turned.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_dojo.data.axes import Axes
from napari_dojo.data.normalize import Normalization, Rule

__all__ = ["Objects", "joined", "measure", "measure_sample", "normalization"]

Floats = NDArray[np.floating[Any]]
SIGMAS = (1.0, 2.0, 4.0)  # px, of the blurred images whose differences are the texture at a scale
DIRECTIONS = 16  # in which the width of a flat object is measured
QUANTILES = (0.1, 0.5, 0.9)
BINS = 64  # of brightness, from which quantiles are read
SHELLS = 3  # from the edge of an object to its middle
RING = 3  # px around an object, without other objects, that its brightness is compared with
PAIRS = 6  # of channels whose correlation is measured


@dataclass(frozen=True, eq=False)
class Objects:
    """The objects of some labels; rows are objects, in the order of samples and numbers.

    Attributes
    ----------
    sample : (N,) which sample (frame, plane or volume) each lies in.
    label : (N,) its number there.
    centre : (N, D) its centre in the sample, px; D is 2 or 3.
    start, stop : (N, D) its bounding box.
    size : (N,) px.
    values : (N, F) float32 features, finite.
    names : of the features.
    """

    sample: NDArray[np.int64]
    label: NDArray[np.int64]
    centre: NDArray[np.float64]
    start: NDArray[np.int64]
    stop: NDArray[np.int64]
    size: NDArray[np.int64]
    values: NDArray[np.float32]
    names: tuple[str, ...]

    def __len__(self) -> int:
        """How many objects."""
        return len(self.label)

    def key(self, k: int) -> tuple[int, int]:
        """Sample and number of object ``k``, by which it is known while others come and go."""
        return int(self.sample[k]), int(self.label[k])

    @cached_property
    def rows(self) -> dict[tuple[int, int], int]:
        """Which row each object is in, by its key."""
        return {key: k for k, key in enumerate(zip(self.sample.tolist(), self.label.tolist(), strict=True))}


def measure(labels: Any, image: Any, axes: Axes) -> Objects:
    """Measure all objects of an array.

    Parameters
    ----------
    labels : whole numbers, 0 is no object; the axes of the image without C. Numpy, dask or zarr.
    image : as it lies, with axes ``axes``. Its intensities are scaled by percentiles of the whole array.
    axes : of the image; ``spatial`` says whether planes or volumes are measured.
    """
    ours, scale = axes.without_channels(), normalization(image, axes)
    found = [
        measure_sample(np.asarray(ours.sample(labels, i)[0]), np.asarray(axes.sample(image, i)), scale, i)
        for i in range(ours.count(labels.shape))
    ]
    return joined(found)


def normalization(image: Any, axes: Axes) -> Normalization:
    """What makes brightness comparable between the samples of one array and with other arrays."""
    return Rule().measure_series(axes.frames(image))


def joined(parts: Sequence[Objects]) -> Objects:
    """The objects of several samples as one, what is not known of an object (NaN) filled in with the median."""
    columns = {
        name: np.concatenate([getattr(p, name) for p in parts])
        for name in ("sample", "label", "centre", "start", "stop", "size", "values")
    }
    values = columns["values"]
    missing = ~np.isfinite(values)
    if missing.any():
        columns["values"] = np.where(missing, _medians(np.where(missing, np.nan, values)), values)
    return Objects(**columns, names=parts[0].names)


def _medians(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of each column without its NaN; 0 where it has nothing else."""
    empty = np.isnan(values).all(axis=0)
    return np.asarray(np.nanmedian(np.where(empty, 0, values), axis=0), np.float32)


def measure_sample(y: NDArray[Any], x: NDArray[Any], scale: Normalization, sample: int = 0) -> Objects:
    """Measure the objects of one sample: labels (*S), image (C, *S). ``values`` may hold NaN, see `joined`."""
    runs = Runs.of(y)
    depth = runs.values(_depth(runs.y))
    columns = dict(_shape(runs, depth))
    ring = _ring(runs)
    x = scale.apply(x)
    for c, channel in enumerate(x):
        suffix = f" c{c}" if len(x) > 1 else ""
        columns |= {f"{name}{suffix}": column for name, column in _brightness(channel, runs, ring, depth)}
        columns |= {f"{name}{suffix}": column for name, column in _texture(channel, runs)}
    for a, b in list(combinations(range(len(x)), 2))[:PAIRS]:
        columns[f"correlation c{a} c{b}"] = _correlation(runs.values(x[a]), runs.values(x[b]), runs)
    values = np.stack(list(columns.values()), axis=1).astype(np.float32)
    centre = np.stack([runs.mean(a) for a in runs.places], axis=1)
    start = np.stack([runs.reduce(np.minimum, a) for a in runs.places], axis=1).astype(np.int64)
    stop = np.stack([runs.reduce(np.maximum, a) for a in runs.places], axis=1).astype(np.int64) + 1
    where = np.full(len(runs.numbers), sample, np.int64)
    return Objects(where, runs.numbers, centre, start, stop, runs.count, values, tuple(columns))


@dataclass(frozen=True, eq=False)
class Runs:
    """The pixels of all objects, those of one object after each other.

    Attributes
    ----------
    y : labels (*S).
    numbers : (N,) of the objects, rising.
    at : (P,) place of each pixel in the flat sample.
    owner : (P,) which object (0 .. N - 1) it belongs to.
    starts, count : (N,) where the run of each object starts, and its length.
    places : for each axis (P,) coordinate, px.
    """

    y: NDArray[Any]
    numbers: NDArray[np.int64]
    at: NDArray[np.int64]
    owner: NDArray[np.int64]
    starts: NDArray[np.int64]
    count: NDArray[np.int64]
    places: tuple[NDArray[np.float32], ...]

    @staticmethod
    def of(y: NDArray[Any]) -> Runs:
        """Sort the pixels of labels (*S) by object; negative numbers are no objects."""
        y = np.ascontiguousarray(y.astype(np.uint8) if y.dtype.kind == "b" else y)
        flat = y.reshape(-1)
        at = np.flatnonzero(flat > 0)
        at = at[np.argsort(flat[at], kind="stable")]
        sorted_labels = flat[at]
        starts = np.flatnonzero(np.diff(sorted_labels, prepend=sorted_labels.dtype.type(0)))
        count = np.diff(starts, append=len(at))
        owner = np.repeat(np.arange(len(starts)), count)
        places = tuple(a.astype(np.float32) for a in np.unravel_index(at, y.shape))
        return Runs(y, sorted_labels[starts].astype(np.int64), at, owner, starts, count, places)

    def values(self, image: NDArray[Any]) -> NDArray[Any]:
        """The pixels of an image (*S) that lie in objects, (P,)."""
        return image.reshape(-1)[self.at]

    def reduce(self, how: np.ufunc, values: NDArray[Any]) -> NDArray[Any]:
        """A reduction of (P,) to (N,), such as ``np.maximum``."""
        if not len(self.starts):
            return np.zeros(0, values.dtype)
        return np.asarray(how.reduceat(values, self.starts))

    def sum(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Sums of (P,) over each object, (N,)."""
        if not len(self.starts):
            return np.zeros(0)
        return np.asarray(np.add.reduceat(values, self.starts, dtype=np.float64))

    def mean(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Means of (P,) over each object, (N,)."""
        return self.sum(values) / self.count

    def centred(self, values: NDArray[Any]) -> NDArray[Any]:
        """(P,) less the mean of each object."""
        return values - self.mean(values)[self.owner].astype(np.float32)


@dataclass(frozen=True, eq=False)
class Part:
    """Some pixels of some of ``n`` objects: which object each belongs to, in any order."""

    owner: NDArray[np.int64]
    n: int

    def mean(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Means over each object, (N,); NaN where an object has no such pixel."""
        with np.errstate(invalid="ignore"):
            return np.bincount(self.owner, values, self.n) / np.bincount(self.owner, minlength=self.n)


# shape ----------------------------------------------------------------------------------------------------------------


def _shape(runs: Runs, depth: NDArray[np.float32]) -> Iterator[tuple[str, Floats]]:
    """Size and outline; sizes and ratios as logarithms, which linear heads find easier."""
    n, d = runs.count.astype(float), len(runs.places)
    axes, radius = _axes(runs) + 0.5, _radius(n, d)
    yield "size", np.log(n)
    yield "long axis", np.log(axes[:, -1])
    yield "short axis", np.log(axes[:, 0])
    yield "elongation", np.log(axes[:, -1] / axes[:, 0])
    if d == 3:
        yield "flatness", np.log(axes[:, 1] / axes[:, 0])
    faces = _faces(runs)
    surface = sum(runs.sum(f) * weight for f, weight in faces)
    yield "roundness", np.log(radius ** (d - 1) * (2 * np.pi if d == 2 else 4 * np.pi) / surface)
    yield "thickness", runs.reduce(np.maximum, depth) / radius
    yield "mean depth", runs.mean(depth) / radius
    spread = np.sqrt(sum(runs.centred(a) ** 2 for a in runs.places))
    mean = np.maximum(runs.mean(spread), 0.25)
    yield "spread", mean / radius
    yield "uneven spread", _deviation(spread, runs) / mean
    yield "hollow middle", runs.reduce(np.minimum, spread) / radius
    if d == 2:
        area, around = _hull(runs, np.logical_or.reduce([f > 0 for f, _ in faces]))
        yield "solidity", n / area
        yield "convexity", around / surface


def _radius(n: Floats, d: int) -> Floats:
    """Of a disc or ball of the same size."""
    return np.sqrt(n / np.pi) if d == 2 else np.cbrt(0.75 * n / np.pi)


def _axes(runs: Runs) -> Floats:
    """Twice the standard deviation along the axes of inertia, (N, D), the shortest first, px."""
    centred = [runs.centred(a) for a in runs.places]
    d = len(centred)
    moments = np.empty((len(runs.numbers), d, d))
    for i in range(d):
        for j in range(i, d):
            moments[:, i, j] = moments[:, j, i] = runs.mean(centred[i] * centred[j])
    return np.asarray(2 * np.sqrt(np.maximum(np.linalg.eigvalsh(moments), 0)))


def _faces(runs: Runs) -> list[tuple[NDArray[np.int8], float]]:
    """Along some directions, how many of its two neighbours are of another object or none, (P,), and the weight of one.

    The weighted sum is the length of the outline, or the surface (Crofton's formula).
    """
    flat = runs.y.ndim == 2
    padded = np.pad(np.where(runs.y > 0, runs.y, 0), 1)
    steps = np.array(padded.strides) // padded.itemsize
    at = sum((a.astype(np.int64) + 1) * s for a, s in zip(runs.places, steps, strict=True))
    padded = padded.reshape(-1)
    mine = padded[at]
    directions = [(0, 1), (1, 0), (1, 1), (1, -1)] if flat else [(0, 0, 1), (0, 1, 0), (1, 0, 0)]
    found = []
    for direction in directions:
        step = int(np.dot(direction, steps))
        different = (padded[at + step] != mine).astype(np.int8) + (padded[at - step] != mine)
        weight = np.pi / 2 / 4 / np.linalg.norm(direction) if flat else 2 / 3
        found.append((different, float(weight)))
    return found


def _depth(y: NDArray[Any]) -> NDArray[np.float32]:
    """How deep each pixel lies in its object, px: about the distance to the outline, from 1/2 on."""
    inside = y > 0
    for axis in range(y.ndim):
        same = np.diff(y, axis=axis) == 0
        for part in (slice(1, None), slice(None, -1)):
            where = tuple(part if a == axis else slice(None) for a in range(y.ndim))
            inside[where] &= same
    inside = np.pad(inside, 1)
    both = [ndimage.distance_transform_cdt(inside, metric) for metric in ("chessboard", "taxicab")]
    middle = (slice(1, -1),) * y.ndim
    return np.asarray((both[0] + both[1])[middle] * np.float32(0.5) + np.float32(0.5))


def _hull(runs: Runs, outline: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Area and length of the outline of about the convex hull of flat objects: the polygon that touches it all around."""
    y, x = (runs.centred(a)[outline] for a in runs.places)
    count = runs.sum(outline).astype(np.int64)
    starts = np.cumsum(count) - count
    reach = np.empty((2 * DIRECTIONS, len(starts)))
    for k in range(DIRECTIONS):
        angle = np.pi * k / DIRECTIONS
        along = np.float32(np.sin(angle)) * y + np.float32(np.cos(angle)) * x
        half = (abs(np.sin(angle)) + abs(np.cos(angle))) / 2  # of a pixel
        if len(starts):
            reach[k] = np.maximum.reduceat(along, starts) + half
            reach[k + DIRECTIONS] = half - np.minimum.reduceat(along, starts)
    step = np.pi / DIRECTIONS
    sides = (np.roll(reach, 1, 0) + np.roll(reach, -1, 0) - 2 * np.cos(step) * reach) / np.sin(step)
    sides = np.maximum(sides, 0)
    return (reach * sides).sum(0) / 2, sides.sum(0)


# brightness and texture -----------------------------------------------------------------------------------------------


def _ring(runs: Runs) -> tuple[NDArray[np.int64], Part]:
    """The pixels around each object that belong to none, as places in the flat sample, and whose they are."""
    grown = np.searchsorted(runs.numbers, np.where(runs.y > 0, runs.y, 0)).astype(np.int32) + 1
    grown[runs.y <= 0] = 0
    for _ in range(RING):
        grown = np.where(grown == 0, ndimage.maximum_filter(grown, size=3), grown)
    grown[runs.y > 0] = 0
    at = np.flatnonzero(grown)
    return at, Part(grown.reshape(-1)[at].astype(np.int64) - 1, len(runs.numbers))


def _brightness(
    channel: NDArray[np.float32], runs: Runs, ring: tuple[NDArray[np.int64], Part], depth: NDArray[np.float32]
) -> Iterator[tuple[str, Floats]]:
    """How bright objects are, against what is around them, how uneven, and from the edge to the middle."""
    v = runs.values(channel)
    mean, deviation = runs.mean(v), _deviation(v, runs)
    around = ring[1].mean(channel.reshape(-1)[ring[0]])
    known = around[np.isfinite(around)]
    above = mean - np.where(np.isfinite(around), around, np.median(known) if len(known) else 0)
    yield "mean", mean
    yield "contrast", above
    yield "total", np.log(np.maximum(above, 1e-3) * runs.count)
    yield "deviation", np.log(deviation + 1e-3)
    z = _scaled(v, mean, deviation, runs)
    yield "skewness", np.cbrt(runs.mean(z**3))
    yield "peak", runs.reduce(np.maximum, z)
    yield "dip", runs.reduce(np.minimum, z)
    for q, column in zip(QUANTILES, _quantiles(z, runs), strict=True):
        yield f"quantile {q}", column
    deepest = runs.reduce(np.maximum, depth)[runs.owner]
    shell = np.minimum((depth / deepest * SHELLS).astype(np.int64), SHELLS - 1)
    for k in range(SHELLS):
        inside = shell == k
        yield f"shell {k}", Part(runs.owner[inside], len(mean)).mean(z[inside])


def _texture(channel: NDArray[np.float32], runs: Runs) -> Iterator[tuple[str, Floats]]:
    """What scales the unevenness has, whether it is spots or holes, and whether it has a direction.

    Each object is scaled to mean 0 and deviation 1 first, and all around it is 0, so that its outline is no texture.
    """
    v = runs.values(channel)
    t = np.zeros(channel.shape, np.float32)
    t.reshape(-1)[runs.at] = _scaled(v, runs.mean(v), _deviation(v, runs), runs)
    blurred = [t, *(ndimage.gaussian_filter(t, s, truncate=3.0) for s in SIGMAS)]
    for s, image in zip(SIGMAS, blurred[1:], strict=True):
        yield f"coarser than {s:.0f} px", np.log(runs.mean(runs.values(image) ** 2) + 1e-3)
    for k, s in enumerate(SIGMAS):
        band = runs.values(blurred[k] - blurred[k + 1])
        deviation = _deviation(band, runs)
        yield f"texture {s:.0f} px", np.log(deviation + 1e-3)
        z = _scaled(band, runs.mean(band), deviation, runs)
        yield f"spots {s:.0f} px", np.cbrt(runs.mean(z**3))
        yield f"brightest spot {s:.0f} px", runs.reduce(np.maximum, band)
        yield f"darkest spot {s:.0f} px", runs.reduce(np.minimum, band)
    yield "direction", _direction(blurred[1], runs)


def _direction(image: NDArray[np.float32], runs: Runs) -> Floats:
    """0 where edges within an object run in all directions, 1 where they all run in one."""
    slopes = [runs.values(ndimage.correlate1d(image, (-0.5, 0.0, 0.5), axis=a)) for a in range(image.ndim)]
    d = len(slopes)
    tensor = np.empty((len(runs.numbers), d, d))
    for i in range(d):
        for j in range(i, d):
            tensor[:, i, j] = tensor[:, j, i] = runs.sum(slopes[i] * slopes[j])
    strength = np.linalg.eigvalsh(tensor)
    return np.asarray((strength[:, -1] - strength[:, 0]) / np.maximum(strength.sum(axis=1), 1e-6))


def _quantiles(z: NDArray[np.float32], runs: Runs) -> Iterator[Floats]:
    """Quantiles of scaled values (P,), each (N,), from a histogram of each object between -3 and 3."""
    bins = np.clip(((z + 3) * (BINS / 6)).astype(np.int64), 0, BINS - 1)
    counts = np.bincount(runs.owner * BINS + bins, minlength=len(runs.numbers) * BINS).reshape(-1, BINS)
    share = np.cumsum(counts, axis=1) / runs.count[:, None]
    for q in QUANTILES:
        yield (share < q).sum(axis=1) * (6 / BINS) - 3


def _deviation(values: NDArray[Any], runs: Runs) -> NDArray[np.float64]:
    """Standard deviations of (P,) over each object, (N,)."""
    return np.sqrt(runs.mean(runs.centred(values) ** 2))


def _scaled(v: NDArray[Any], mean: Floats, deviation: Floats, runs: Runs) -> NDArray[np.float32]:
    """(P,) with mean 0 and deviation 1 in each object; 0 where all its pixels are the same."""
    scale = np.where(deviation > 1e-6, 1 / np.maximum(deviation, 1e-6), 0)
    return np.asarray((v - mean.astype(np.float32)[runs.owner]) * scale.astype(np.float32)[runs.owner], np.float32)


def _correlation(a: NDArray[np.float32], b: NDArray[np.float32], runs: Runs) -> Floats:
    """Pearson's correlation of two channels in each object, 0 where one of them is flat."""
    a, b = (_scaled(v, runs.mean(v), _deviation(v, runs), runs) for v in (a, b))
    return runs.mean(a * b)
