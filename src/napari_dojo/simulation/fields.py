"""Arithmetic of the simulator: smooth noise, wide blurs, illumination, points with a distance, light of points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, spatial

from napari_dojo.simulation.base import Bench, Floats, Labels, Rng

__all__ = [
    "apart",
    "depth_of",
    "directions",
    "elsewhere",
    "enlarge",
    "gaussians",
    "illumination",
    "nearest",
    "one_piece",
    "smooth_noise",
    "splat",
    "units_of",
    "wide_blur",
]


def units_of(ndim: int, anisotropy: float) -> NDArray[np.float64]:
    """Length of each axis's step in pixels of Y and X, for planes (Y, X) or volumes (Z, Y, X)."""
    return np.array([anisotropy, 1.0, 1.0][3 - ndim :])


def directions(rng: Rng, count: int, ndim: int) -> NDArray[np.float64]:
    """Unit vectors (count, ndim)."""
    v = rng.standard_normal((count, ndim))
    return np.asarray(v / np.linalg.norm(v, axis=1, keepdims=True))


def smooth_noise(shape: Sequence[int], sigma: Any, rng: Rng) -> Floats:
    """Smooth random values (*S) of mean 0 and deviation 1; ``sigma`` in pixels per axis. Wide noise is made small."""
    sigma = np.asarray(sigma, float)
    step = np.maximum(1, np.floor(sigma / 3)).astype(int)
    small = [int(np.ceil(n / s)) + 1 for n, s in zip(shape, step, strict=True)]
    out = ndimage.gaussian_filter(rng.standard_normal(small, np.float32), sigma / step, mode="wrap", truncate=3)
    out = enlarge(out, step, shape)
    return np.asarray((out - out.mean()) / max(float(out.std()), 1e-6), np.float32)


def enlarge(small: Floats, step: NDArray[np.int_], shape: Sequence[int]) -> Floats:
    """(*shape) from the points of a grid with this step, linear between them, axis by axis."""
    out = small
    for axis, (s, n) in enumerate(zip(step, shape, strict=True)):
        if s == 1:
            out = np.take(out, np.arange(n), axis)
            continue
        at = np.arange(n) / s
        low = at.astype(int)
        weight = (at - low).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(out.ndim)])
        high = np.minimum(low + 1, out.shape[axis] - 1)
        out = np.take(out, low, axis) * (1 - weight) + np.take(out, high, axis) * weight
    return out


def wide_blur(image: Floats, sigma: Any) -> Floats:
    """A Gaussian much wider than a pixel, made on every second or fourth pixel."""
    step = np.maximum(1, np.floor(np.asarray(sigma) / 4)).astype(int)
    padded = np.pad(image, [(0, int(-n % s + s)) for n, s in zip(image.shape, step, strict=True)], mode="edge")
    blocks = padded.reshape([k for n, s in zip(padded.shape, step, strict=True) for k in (n // s, s)])
    small = blocks.mean(axis=tuple(range(1, 2 * image.ndim, 2)))
    small = ndimage.gaussian_filter(small, np.asarray(sigma) / step, mode="nearest", truncate=3)
    return enlarge(small, step, image.shape)


def illumination(shape: Sequence[int], unevenness: float, rng: Rng) -> Floats:
    """Light that falls on each pixel, 1 where it is brightest; in volumes it also fades with depth."""
    middle = rng.uniform(0.25, 0.75, len(shape))
    middle[: len(shape) - 2] = 0
    weight = np.array([0.5, 1.0, 1.0][3 - len(shape) :])
    away: Any = 0.0
    for axis, (n, m, w) in enumerate(zip(shape, middle, weight, strict=True)):
        line = w * (np.arange(n) / max(n, 1) - m) ** 2
        away = away + line.reshape([-1 if a == axis else 1 for a in range(len(shape))])
    return np.asarray(1 - unevenness * away / away.max() if away.max() > 0 else away + 1, np.float32)


def elsewhere(field: Floats, shape: Sequence[int], rng: Rng) -> Floats:
    """A piece of this shape from anywhere in a field of noise."""
    start = [int(rng.integers(0, n - m + 1)) for n, m in zip(field.shape, shape, strict=True)]
    return field[tuple(slice(s, s + m) for s, m in zip(start, shape, strict=True))]


def apart(size: NDArray[np.float64], count: int, gap: float, bench: Bench) -> NDArray[np.float64]:
    """At most ``count`` places (n, ndim) within ``size``, each ``gap`` or more from all others."""
    tries = bench.rng.random((4 * count + 8, len(size))) * size
    pairs = spatial.cKDTree(tries).query_pairs(gap, output_type="ndarray")
    kept = np.ones(len(tries), bool)
    for first, second in pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]:
        if kept[first]:
            kept[second] = False
    return np.asarray(tries[kept][:count])


def nearest(points: NDArray[np.float64], owner: NDArray[np.int_], reach: float, bench: Bench) -> Labels:
    """Each pixel's label (*S): the owner (n,) of the nearest point (n, ndim), 0 where none lies within reach (length units)."""
    labels = np.zeros(bench.shape, np.int32)
    if len(points) == 0:
        return labels
    coarse = np.zeros(bench.shape, bool)
    index = np.rint(points / bench.units).astype(int)
    index = index[((index >= 0) & (index < bench.shape)).all(1)]
    coarse[tuple(index.T)] = True
    close = ndimage.distance_transform_edt(~coarse, bench.units) <= reach + np.linalg.norm(bench.units)
    at = np.argwhere(close)
    gap, which = spatial.cKDTree(points).query(at * bench.units, distance_upper_bound=reach)
    found = np.isfinite(gap)
    labels[tuple(at[found].T)] = owner[which[found]]
    return labels


def splat(points: NDArray[np.float64], weight: NDArray[np.float64], shape: tuple[int, ...]) -> Floats:
    """Light of points (n, ndim) in pixels, shared among the pixels around each."""
    out = np.zeros(int(np.prod(shape)))
    low = np.floor(points).astype(int)
    rest = points - low
    for corner in np.ndindex(*[2] * len(shape)):
        index = low + corner
        share = np.prod(np.where(np.array(corner) == 1, rest, 1 - rest), axis=1) * weight
        inside = ((index >= 0) & (index < shape)).all(1)
        flat = np.ravel_multi_index(tuple(index[inside].T), shape)
        out += np.bincount(flat, share[inside], out.size)
    return out.reshape(shape).astype(np.float32)


def gaussians(
    centres: NDArray[np.float64], sigma: NDArray[np.float64], peak: NDArray[np.float64], shape: tuple[int, ...]
) -> Floats:
    """Gaussians of this height around centres (n, ndim) in pixels, finer than a pixel."""
    reach = np.ceil(4 * sigma).astype(int)
    out = np.zeros([n + 2 * r for n, r in zip(shape, reach, strict=True)], np.float32)
    base = np.rint(centres).astype(int)
    light = peak.reshape(-1, *[1] * len(shape))
    index = []
    for axis, (r, s) in enumerate(zip(reach, sigma, strict=True)):
        steps = base[:, axis, None] + np.arange(-r, r + 1)
        line = np.exp(-0.5 * ((steps - centres[:, axis, None]) / s) ** 2)
        form = [len(centres)] + [2 * r + 1 if a == axis else 1 for a in range(len(shape))]
        light = light * line.reshape(form)
        index.append((steps + r).clip(0, out.shape[axis] - 1).reshape(form))
    np.add.at(out, tuple(np.broadcast_arrays(*index)), light.astype(np.float32))
    return out[tuple(slice(r, r + n) for n, r in zip(shape, reach, strict=True))]


def depth_of(labels: Labels, units: NDArray[np.float64]) -> Floats:
    """Distance of each labelled pixel (*S) to the edge of its object, in length units; 0 elsewhere."""
    edge = labels == 0
    for axis in range(labels.ndim):
        a, b = [slice(None)] * labels.ndim, [slice(None)] * labels.ndim
        a[axis], b[axis] = slice(1, None), slice(None, -1)
        differs = labels[tuple(a)] != labels[tuple(b)]
        edge[tuple(a)] |= differs
        edge[tuple(b)] |= differs
    return np.asarray(ndimage.distance_transform_edt(~edge, units), np.float32)


def one_piece(labels: Labels) -> Labels:
    """Keep the largest connected piece of each label."""
    from skimage.measure import label

    pieces = label(labels, background=0, connectivity=1)
    sizes = np.bincount(pieces.ravel())
    whose = np.zeros(len(sizes), np.int64)
    whose[pieces.ravel()] = labels.ravel()
    order = np.argsort(sizes, kind="stable")
    largest = np.zeros(int(labels.max(initial=0)) + 1, np.int64)
    largest[whose[order]] = order  # the last one written is the largest
    return np.where((labels > 0) & (pieces == largest[labels]), labels, 0).astype(np.int32)
