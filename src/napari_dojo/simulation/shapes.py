"""Parts of simulated objects: where they lie, their outlines, chromatin, rods, packed cells, debris."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, spatial
from skimage.segmentation import relabel_sequential

from napari_dojo.simulation.base import Bench, Floats, Labels, Rng, Sample
from napari_dojo.simulation.fields import apart, directions, one_piece, smooth_noise

__all__ = ["add_debris", "chromatin", "outline", "packed", "paint", "place", "rod", "to_unit", "window"]


def place(placed: Sequence[tuple[Any, Any]], radius: float, touching: float, bench: Bench) -> NDArray[np.float64]:
    """A centre (ndim,) in length units: anywhere, or beside an object that is there."""
    rng = bench.rng
    if placed and rng.random() < touching:
        other, its = placed[int(rng.integers(len(placed)))]
        away = directions(rng, 1, len(bench.shape))[0]
        return np.asarray(other + away * (its + radius) * rng.uniform(0.88, 1.05))
    return rng.random(len(bench.shape)) * np.array(bench.shape) * bench.units


def window(centre: Any, reach: Any, bench: Bench) -> tuple[tuple[slice, ...], NDArray[np.float64]]:
    """The box around a place: slices of the canvas, and (ndim, *box) the place of each pixel in length units.

    Where ``reach`` is a number the places are counted from the centre, else (per axis) from the canvas's corner.
    """
    low = np.floor((centre - reach) / bench.units).astype(int)
    high = np.ceil((centre + reach) / bench.units).astype(int) + 1
    low, high = np.clip(low, 0, bench.shape), np.clip(high, 0, bench.shape)
    steps = [np.arange(a, b) * u for a, b, u in zip(low, high, bench.units, strict=True)]
    if np.isscalar(reach):
        steps = [s - c for s, c in zip(steps, centre, strict=True)]
    grid = np.stack(np.meshgrid(*steps, indexing="ij")) if len(steps) else np.zeros(0)
    return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True)), grid


def to_unit(at: NDArray[np.float64], radius: float, stretch: float, rng: Rng) -> NDArray[np.float64]:
    """Coordinates (ndim, *box) in which a turned ellipsoid of this volume is the unit ball; axis 0 is its long one."""
    ndim = len(at)
    turn = np.linalg.qr(rng.standard_normal((ndim, ndim)))[0]
    axes = radius * stretch ** (np.eye(ndim)[0] - 1 / ndim)
    return np.tensordot(turn / axes[:, None], at, 1)


def outline(u: NDArray[np.float64], lobes: float, bend: float, rng: Rng) -> Floats:
    """A field (*box) that is below 1 inside the object: a ball, bent to a bean and made uneven by a few waves; ``u`` (ndim, *box)."""
    ndim = len(u)
    u = u.copy()
    u[1] += bend * (u[0] ** 2 - 0.4)
    waves = directions(rng, 4, ndim) * rng.uniform(1.3, 3.4, (4, 1))
    uneven = np.cos(np.tensordot(waves, u, 1) + rng.uniform(0, 2 * np.pi, (4, *[1] * ndim))).sum(0)
    ball = (np.abs(u) ** 2.3).sum(0) ** (1 / 2.3)  # ends a little blunter than an ellipse's
    return np.asarray(ball * (1 + 0.5 * lobes * uneven), np.float32)


def chromatin(u: NDArray[np.float64], f: Floats, dome: float, grain: Floats, sample: Sample, rng: Rng) -> Floats:
    """Light of one nucleus, about 1 inside, 0 outside; ``dome`` above 0 lets it thin out to the edge (projection)."""
    inside = f < 1
    solid = np.maximum(1 - np.minimum(f, 1) ** 3, 0) ** dome * inside
    glow = np.exp(sample.texture * grain)
    if sample.bodies:
        count = int(rng.integers(3, 9)) if sample.bodies > 0 else int(rng.integers(1, 4))
        for place in directions(rng, count, len(u)) * (0.7 * rng.random((count, 1)) ** 0.5):
            near = ((u - place.reshape(-1, *[1] * (u.ndim - 1))) ** 2).sum(0)
            glow += sample.bodies * rng.uniform(0.6, 1.3) * np.exp(-near / (2 * rng.uniform(0.1, 0.2) ** 2))
    glow = np.maximum(glow, 0.12)
    mean = float(glow[inside].mean()) if inside.any() else 1.0
    return np.asarray(solid * glow / mean, np.float32)


def paint(labels: Labels, box: tuple[slice, ...], mask: NDArray[np.bool_], overlap: float, number: int) -> int:
    """Enter an object in the free pixels of its mask (*box), in one piece; its pixels, 0 where it would lie on others too much."""
    size = int(mask.sum())
    part = labels[box]
    free = mask & (part == 0)
    fresh = int(free.sum())
    if size == 0 or size - fresh > overlap * size:
        return 0
    pieces, count = ndimage.label(free)
    if count > 1:
        sizes = np.bincount(pieces.ravel())
        sizes[0] = 0
        free = pieces == sizes.argmax()
        fresh = int(sizes.max())
    part[free] = number
    return fresh


def rod(
    sample: Sample, placed: list[tuple[NDArray[np.float64], NDArray[np.float64]]], bench: Bench
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Middle line (points, ndim) of a bacterium in length units, and its radius at each point."""
    rng, ndim = bench.rng, len(bench.shape)
    radius = 0.5 * sample.diameter * np.exp(sample.variation * rng.standard_normal())
    length = 2 * radius * max(0.4, sample.elongation * rng.uniform(0.65, 1.3) - 1)  # between the centres of the caps
    if rng.random() < 0.03:
        length *= rng.uniform(2, 4)
    ahead, side = np.linalg.qr(rng.standard_normal((ndim, ndim)))[0][:2]
    start: NDArray[np.float64] | None = None
    if placed and rng.random() < sample.touching:
        other, radii = placed[int(rng.integers(len(placed)))]
        theirs = other[-1] - other[0]
        theirs /= max(float(np.linalg.norm(theirs)), 1e-6)
        ahead = theirs + 0.25 * rng.standard_normal(ndim)
        ahead /= np.linalg.norm(ahead)
        side = side - ahead * (side @ ahead)
        side /= max(float(np.linalg.norm(side)), 1e-6)
        if rng.random() < 0.45:  # one behind the other
            start = other[-1] + ahead * (radii[-1] + radius) * rng.uniform(0.95, 1.1)
        else:  # side by side
            beside = (other[0] + other[-1]) / 2 + side * (radii.mean() + radius) * rng.uniform(0.98, 1.12)
            start = beside + ahead * length * (rng.uniform(-0.3, 0.3) - 0.5)
    count = max(3, int(np.ceil(length / (0.4 * radius))) + 1)
    t = np.linspace(0, length, count)[:, None]
    curve = sample.bend * rng.standard_normal() / (6 * radius) + 1e-6
    line = ahead * np.sin(curve * t) / curve + side * (1 - np.cos(curve * t)) / curve
    if start is None:
        start = rng.random(ndim) * np.array(bench.shape) * bench.units - line[count // 2]
    pinch = rng.uniform(0.15, 0.45) if rng.random() < 0.3 else 0.0  # about to divide
    radii = radius * (1 - pinch * np.exp(-0.5 * ((t[:, 0] - length / 2) / (0.4 * radius)) ** 2))
    return line + start, radii


def packed(sample: Sample, bench: Bench) -> Labels:
    """Cells that grew from seeds until they met, with uneven, partly concave outlines."""
    rng, d, ndim = bench.rng, sample.diameter, len(bench.shape)
    size = np.array(bench.shape) * bench.units
    volume = np.pi / 4 * d**2 if ndim == 2 else np.pi / 6 * d**3
    seeds = apart(size, round(1.25 * sample.density * float(size.prod()) / volume), 0.62 * d, bench)
    if len(seeds) == 0:
        return np.zeros(bench.shape, np.int32)
    steps = [np.arange(n) * u for n, u in zip(bench.shape, bench.units, strict=True)]
    grid = np.stack(np.meshgrid(*steps, indexing="ij"))
    for wide, share in ((0.25, 1.0), (0.08, 0.3)):
        sway = np.stack([smooth_noise(bench.shape, wide * d / bench.units, rng) for _ in range(ndim)])
        grid = grid + share * sample.lobes * 0.55 * d * sway
    points = grid.reshape(ndim, -1).T  # (pixels, ndim)
    near = min(3, len(seeds))
    _, which = spatial.cKDTree(seeds).query(points, k=near)
    which = which.reshape(len(points), near)
    frames = np.linalg.qr(rng.standard_normal((len(seeds), ndim, ndim)))[0]
    stretch = 1 + (sample.elongation - 1) * rng.gamma(2.0, 0.5, len(seeds))
    radius = 0.56 * d * np.exp(sample.variation * rng.standard_normal(len(seeds)))
    axes = radius[:, None] * stretch[:, None] ** (np.eye(ndim)[0] - 1 / ndim)
    frames = frames / axes[:, :, None]
    f = np.stack([np.linalg.norm(np.einsum("pij,pj->pi", frames[w], points - seeds[w]), axis=1) for w in which.T])
    best = f.argmin(0)
    cell = which[np.arange(len(points)), best] + 1
    labels = np.where(f.min(0) < 1, cell, 0).astype(np.int32).reshape(bench.shape)
    return np.asarray(relabel_sequential(one_piece(labels))[0], np.int32)


def add_debris(light: Floats, count: int, diameter: float, bench: Bench) -> None:
    """Specks without a label, some in heaps."""
    rng = bench.rng
    place = rng.random(len(bench.shape)) * np.array(bench.shape) * bench.units
    for _ in range(count):
        if rng.random() < 0.7:
            place = rng.random(len(bench.shape)) * np.array(bench.shape) * bench.units
        radius = diameter * rng.uniform(0.03, 0.1)
        box, at = window(place + diameter * rng.normal(0, 0.25, len(place)), 2.5 * radius, bench)
        if 0 in at.shape:
            continue
        f = outline(to_unit(at, radius, rng.uniform(1, 2.5), rng), 0.2, 0.2, rng)
        light[box] += (rng.uniform(0.2, 1.2) * np.maximum(1 - f**2, 0)).astype(np.float32)
