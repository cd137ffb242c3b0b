"""The kinds of samples that the simulator draws: nuclei, cells, bacteria, filaments, spots."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_dojo.data.optics import blur
from napari_dojo.simulation.base import Bench, Drawing, Sample
from napari_dojo.simulation.fields import (
    apart,
    depth_of,
    directions,
    elsewhere,
    gaussians,
    nearest,
    smooth_noise,
    splat,
)
from napari_dojo.simulation.scope import Microscope
from napari_dojo.simulation.shapes import add_debris, chromatin, outline, packed, paint, place, rod, to_unit, window

__all__ = ["KINDS", "Kind"]


@dataclass(frozen=True)
class Kind:
    """One kind of sample: how it is drawn, what it is usually like, and its usual diameter in um."""

    draw: Callable[[Sample, Bench], Drawing]
    sentence: str
    micrometres: float
    sample: Sample = field(default_factory=Sample)
    microscope: Microscope = field(default_factory=Microscope)
    margin: float = 0.8  # of the canvas around the field, in diameters


def _nuclei(sample: Sample, bench: Bench) -> Drawing:
    rng, ndim = bench.rng, len(bench.shape)
    grain = [smooth_noise(bench.shape, sample.grain * f * sample.diameter / bench.units, rng) for f in (1, 2.5)]
    fine = (0.6 * grain[0] + 0.7 * grain[1]).astype(np.float32)
    depth = 3 if ndim == 2 else 1  # levels of focus; a volume holds its own
    light = np.zeros((depth, *bench.shape), np.float32)
    labels = np.zeros(bench.shape, np.int32)
    dome = rng.uniform(0.2, 0.6) if ndim == 2 else 0.1
    placed: list[tuple[NDArray[np.float64], float]] = []
    target, covered, tries, misses = sample.density * labels.size, 0, 0, 0
    while covered < target and misses < 60 and tries < 20000:
        tries += 1
        condensed = rng.random() < sample.mitosis
        radius = 0.5 * sample.diameter * np.exp(sample.variation * rng.standard_normal()) * (0.75 if condensed else 1)
        centre = place(placed, radius, sample.touching, bench)
        stretch = 1 + (sample.elongation - 1) * rng.gamma(4.0, 0.25) + (rng.uniform(0.4, 1.2) if condensed else 0)
        box, at = window(centre, 1.35 * radius * stretch ** (1 - 1 / ndim), bench)
        if 0 in at.shape:
            misses += 1
            continue
        u = to_unit(at, radius, stretch, rng)
        f = outline(u, sample.lobes, sample.bend * rng.uniform(0.3, 1.0), rng)
        fresh = paint(labels, box, f < 1, sample.overlap, len(placed) + 1)
        if fresh == 0:
            misses += 1
            continue
        misses = 0
        covered += fresh
        placed.append((centre, radius))
        glow = chromatin(u, f, dome, elsewhere(fine, f.shape, rng), sample, rng)
        glow *= np.exp(sample.brightness * rng.standard_normal()) * (1.8 if condensed else 1)
        if ndim == 3:  # in a volume nothing lies on top of another
            glow *= labels[box] == len(placed)
        level = int(rng.integers(1, depth)) if depth > 1 and rng.random() < sample.defocus else 0
        light[level][box] += glow
    add_debris(light[0], round(sample.debris * len(placed)), sample.diameter, bench)
    for level, extra in zip(light, (0.0, 0.07, 0.14), strict=False):
        level[...] = blur(level, [np.hypot(s, extra * sample.diameter) for s in bench.sigma])
    return Drawing(light.sum(0, keepdims=True), labels)


def _cells(sample: Sample, bench: Bench) -> Drawing:
    rng, d = bench.rng, sample.diameter
    labels = packed(sample, bench)
    inner = depth_of(labels, bench.units)  # distance to the cell's edge, pixels
    count = int(labels.max())
    fine = smooth_noise(bench.shape, sample.grain * d / bench.units, rng)
    coarse = smooth_noise(bench.shape, 2.5 * sample.grain * d / bench.units, rng)
    nuclei = np.zeros(bench.shape, np.int32)
    stain = np.zeros(bench.shape, np.float32)
    deepest = ndimage.maximum_position(inner, labels, np.arange(1, count + 1)) if count else []
    for i, centre in enumerate(deepest, 1):
        radius = min(0.85 * float(inner[centre]), 0.24 * d * np.exp(0.12 * rng.standard_normal()))
        box, at = window(np.array(centre) * bench.units, 1.5 * radius, bench)
        u = to_unit(at, radius, 1.25, rng)
        f = np.where(labels[box] == i, outline(u, 0.05, 0.1, rng), 2).astype(np.float32)
        nuclei[box][f < 1] = i
        glow = chromatin(u, f, 0.4 if len(bench.shape) == 2 else 0.0, elsewhere(coarse, f.shape, rng), sample, rng)
        stain[box] += glow * np.exp(0.5 * sample.brightness * rng.standard_normal())
    away = ndimage.distance_transform_edt(nuclei == 0, bench.units).astype(np.float32) if count else inner
    tone = np.exp(sample.brightness * rng.standard_normal(count + 1))
    tone[0] = 0
    spread = rng.uniform(0.15, 0.6, count + 1)[labels] * d  # flat cells and round ones
    body = tone[labels] * (0.3 + 0.7 * np.exp(-away / spread)) * (1 - 0.6 * np.exp(-inner / (0.03 * d)))
    strands = np.abs(coarse) ** 0.7 - 0.75  # what lies inside the cell is not even: threads around voids
    body *= np.exp(sample.texture * (0.6 * fine - 0.8 * strands)) * np.where(nuclei > 0, 0.5, 1.0)
    light = blur(np.stack([body.astype(np.float32), stain]), bench.sigma)
    seen = np.where(nuclei > 0, 0.45 + 0.9 * np.maximum(0.75 - stain, 0), 0.55 + 0.06 * fine - 0.14 * strands)
    thickness = np.sqrt(tone)[labels] * (1 - 0.8 * np.exp(-inner / (0.06 * d))) * seen  # nucleoli and rims are dense
    thickness = blur(thickness, [float(np.hypot(s, 0.6)) for s in bench.sigma])
    return Drawing(light, labels, thickness, nuclei > 0)


def _bacteria(sample: Sample, bench: Bench) -> Drawing:
    rng, ndim = bench.rng, len(bench.shape)
    light = np.zeros(bench.shape, np.float32)
    labels = np.zeros(bench.shape, np.int32)
    fine = smooth_noise(bench.shape, 0.3 * sample.diameter / bench.units, rng)
    placed: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []  # middle line (points, ndim), radius of each
    target, covered, tries, misses = sample.density * labels.size, 0, 0, 0
    while covered < target and misses < 80 and tries < 20000:
        tries += 1
        line, radii = rod(sample, placed, bench)
        low, high = line.min(0), line.max(0)
        reach = float(radii.max()) + 1
        box, at = window((low + high) / 2, (high - low) / 2 + reach, bench)
        if 0 in at.shape:
            misses += 1
            continue
        gap = np.sqrt(((at[None] - line.reshape(*line.shape, *[1] * ndim)) ** 2).sum(1))  # (points, *box)
        f = (gap / radii.reshape(-1, *[1] * ndim)).min(0)
        fresh = paint(labels, box, f < 1, sample.overlap, len(placed) + 1)
        if fresh == 0:
            misses += 1
            continue
        misses = 0
        covered += fresh
        placed.append((line, radii))
        thick = np.sqrt(np.maximum(1 - f**2, 0)) if ndim == 2 else (f < 1).astype(np.float32)
        tone = np.exp(sample.brightness * rng.standard_normal() + sample.texture * elsewhere(fine, f.shape, rng))
        light[box] += thick * tone
    add_debris(light, round(sample.debris * len(placed)), 2 * sample.diameter, bench)
    return Drawing(blur(light, bench.sigma)[None], labels)


def _filaments(sample: Sample, bench: Bench) -> Drawing:
    rng, d, ndim = bench.rng, sample.diameter, len(bench.shape)
    size = np.array(bench.shape) * bench.units
    length = 0.8 * float(size.max())  # in part beyond the canvas, and crossing: hence a few more
    count = round(1.15 * sample.density * float(size.prod()) / (length * np.pi / 4 * d ** (ndim - 1)))
    steps = max(2, round(2 * length))  # half a pixel each
    turn = ndimage.gaussian_filter1d(rng.standard_normal((count, steps, ndim)), 8 * d, axis=1, mode="nearest")
    turn = np.cumsum(turn, axis=1) * sample.bend * 0.35 / np.sqrt(d)
    way = directions(rng, count, ndim)[:, None] + turn
    way *= 0.5 / np.linalg.norm(way, axis=-1, keepdims=True)
    points = np.cumsum(way, axis=1)  # (count, steps, ndim)
    points += (rng.random((count, ndim)) * size)[:, None] - points[:, steps // 2, None]
    tone = np.exp(sample.brightness * rng.standard_normal((count, 1)))
    beads = ndimage.gaussian_filter1d(rng.standard_normal((count, steps)), 2 * d, axis=1)
    beads *= np.sqrt(4 * np.sqrt(np.pi) * d)  # to a deviation of 1
    tone = tone * np.exp(sample.texture * beads)
    owner = np.repeat(np.arange(1, count + 1), steps)
    flat = points.reshape(-1, ndim)
    inside = ((flat > -d) & (flat < size + d)).all(1)
    flat, owner, tone = flat[inside], owner[inside], tone.reshape(-1)[inside]

    labels = nearest(flat, owner, 0.5 * d, bench)
    light = splat(flat / bench.units, tone, bench.shape)
    light = blur(light, [np.hypot(s, 0.3 * d / u) for s, u in zip(bench.sigma, bench.units, strict=True)])
    if labels.any():
        light /= float(np.percentile(light[labels > 0], 75))
    return Drawing(light[None], labels, whole=False)


def _spots(sample: Sample, bench: Bench) -> Drawing:
    rng, d, ndim = bench.rng, sample.diameter, len(bench.shape)
    size = np.array(bench.shape) * bench.units
    count = round(sample.density * float(size.prod()) / (np.pi / 4 * d**ndim))
    found = apart(size, count, 1.2 * d, bench)
    centres = np.rint(found / bench.units * 64) / 64  # pixels
    sigma = np.maximum(bench.sigma, d / 2.355 / bench.units)
    tone = np.exp(sample.brightness * rng.standard_normal(len(centres)))
    light = gaussians(centres, sigma, tone, bench.shape)
    fog = smooth_noise(bench.shape, 9 * d / bench.units, rng)
    light += 0.1 * np.maximum(fog + 0.3, 0)
    labels = nearest(centres * bench.units, np.arange(1, len(centres) + 1), 0.5 * d, bench)
    return Drawing(light[None], labels, centres=centres)


KINDS: dict[str, Kind] = {
    "nuclei": Kind(_nuclei, "Fluorescent nuclei: touching, textured, some out of focus", 10.0),
    "cells": Kind(
        _cells,
        "Cells packed side by side: channel 0 the cytoplasm, channel 1 the nuclei",
        25.0,
        Sample(diameter=60.0, density=0.8, lobes=0.12, texture=0.25, grain=0.03, brightness=0.25),
        margin=0.3,
    ),
    "bacteria": Kind(
        _bacteria,
        "Rod-shaped bacteria: touching, in chains, some bent, some long",
        0.9,
        Sample(
            diameter=9.0,
            density=0.3,
            variation=0.08,
            elongation=3.5,
            bend=0.4,
            texture=0.12,
            touching=0.85,
            overlap=0.03,
            brightness=0.15,
            debris=0.03,
            defocus=0.0,
        ),
        Microscope(na=1.3, haze=0.2),
    ),
    "filaments": Kind(
        _filaments,
        "Curved filaments that cross",
        0.5,
        Sample(diameter=5.0, density=0.15, bend=0.5, texture=0.25, brightness=0.35),
        Microscope(na=1.3, photons=120.0, haze=0.25),
    ),
    "spots": Kind(
        _spots,
        "Spots as small as the microscope can show",
        0.25,
        Sample(diameter=4.0, density=0.03, brightness=0.4),
        Microscope(na=1.2, photons=120.0, background=0.1, haze=0.0),
    ),
}
