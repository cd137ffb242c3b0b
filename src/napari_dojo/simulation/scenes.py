"""Scenes for models that ship: anything a fluorescence microscope may show, seen by any camera, with the truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_dojo.data.optics import Camera, bin_pixels
from napari_dojo.simulation.base import Floats, Rng
from napari_dojo.simulation.microscope import simulate

__all__ = ["Exposure", "expose", "line_noise", "random_light", "random_scene"]


@dataclass(frozen=True, eq=False)
class Exposure:
    """A picture and what it would be without noise, both float32 (*S) in the camera's counts; the latter may be finer."""

    image: Floats
    clean: Floats
    photons: float


def random_scene(seed: int, shape: Sequence[int], finer: int = 1) -> Exposure:
    """One of many structures with 1 to 1000 photons in its bright pixels, any gain, offset and read noise.

    Parameters
    ----------
    seed : the same seed gives the same values.
    shape : (Y, X) or (Z, Y, X).
    finer : upsampling factor of the clean image.
    """
    rng = np.random.default_rng([seed & 0x7FFFFFFF, 79])
    light = random_light(int(rng.integers(2**31)), [n * finer for n in shape])
    photons = float(np.exp(rng.uniform(np.log(1.0), np.log(1000.0))))
    camera = Camera(
        gain=float(np.exp(rng.uniform(np.log(0.5), np.log(20.0)))),
        offset=float(rng.choice([0.0, 100.0, rng.uniform(5, 1000)])),
        read_noise=float(rng.choice([0.0, rng.uniform(0.3, 3.0)])),
    )
    return expose(light, photons, camera, rng, finer)


def expose(light: NDArray[Any], photons: float, camera: Camera, rng: Rng, finer: int = 1) -> Exposure:
    """Take a picture: ``light`` (*S) of 1 is ``photons`` photons. Counts are rounded, and clipped as the camera does.

    ``finer`` : ratio of the camera's pixel size to that of ``light`` and of the clean image.
    """
    expected = np.maximum(np.asarray(light, np.float32), 0) * photons
    clean = np.minimum(camera.expected(expected), 2**camera.bits - 1)
    caught = expected if finer == 1 else bin_pixels(expected, finer, "mean")
    return Exposure(camera.expose(caught, rng).astype(np.float32), clean, photons)


def random_light(seed: int, shape: Sequence[int]) -> Floats:
    """What there is to see: (*S), bright places are about 1, dark ones 0 or a little more."""
    rng = np.random.default_rng([seed & 0x7FFFFFFF, 80])
    light = _scaled(_one(rng, shape))
    if rng.random() < 0.35:  # two structures in one stain
        light = light + rng.uniform(0.2, 1.0) * _scaled(_one(rng, shape))
    if rng.random() < 0.4:  # what lies in flat cells, over their haze
        body = _body(rng, shape)
        light = body * (rng.uniform(0.1, 1.0) + rng.uniform(0.2, 1.5) * light)
    ground = np.exp(rng.uniform(np.log(0.003), np.log(0.5)))
    light = light / max(float(np.percentile(light, 99.8)), 1e-6)
    return np.asarray((light + ground) / (1 + ground), np.float32)


def line_noise(image: NDArray[Any], strength: float, rng: Rng, length: float = 3.0) -> Floats:
    """Add noise that neighbours in a row share, as a scanning microscope does: (Y, X), ``strength`` counts of deviation."""
    rows = ndimage.gaussian_filter1d(rng.standard_normal(image.shape), length, axis=-1)
    return np.asarray(image + strength * rows / max(float(rows.std()), 1e-12), np.float32)


def _scaled(light: Floats) -> Floats:
    return np.asarray(light / max(float(np.percentile(light, 99.8)), 1e-6), np.float32)


def _body(rng: Rng, shape: Sequence[int]) -> Floats:
    """Flat cells: smooth regions with soft borders that fade away from their middle, (*S) from 0 to about 1."""
    wide = float(rng.uniform(0.15, 0.5)) * shape[-1]
    noise = ndimage.gaussian_filter(rng.standard_normal(shape), wide, mode="wrap")
    slope = noise / max(float(np.abs(np.gradient(noise, axis=-1)).mean()), 1e-12)  # about distances in px
    soft = float(np.exp(rng.uniform(np.log(1.0), np.log(20.0))))
    edge = 1 / (1 + np.exp(-np.clip((slope - np.quantile(slope, rng.uniform(0.1, 0.7))) / soft, -30, 30)))
    return np.asarray(edge * np.exp(rng.uniform(0, 0.6) * _smooth(rng, shape, wide / 3)), np.float32)


def _smooth(rng: Rng, shape: Sequence[int], sigma: float) -> Floats:
    """Smooth chance of mean 0 and deviation 1."""
    noise = ndimage.gaussian_filter(rng.standard_normal(shape), sigma, mode="wrap")
    noise -= noise.mean()
    return np.asarray(noise / max(float(noise.std()), 1e-12), np.float32)


def _one(rng: Rng, shape: Sequence[int]) -> Floats:
    kinds = list(LIGHTS)
    weights = np.array([LIGHTS[k][0] for k in kinds])
    kind = kinds[int(rng.choice(len(kinds), p=weights / weights.sum()))]
    return LIGHTS[kind][1](rng, shape)


def _drawn(kind: str, **ranges: tuple[float, float]) -> Callable[[Rng, Sequence[int]], Floats]:
    """Light of a kind of the simulator, with random options (log-uniform) from these ranges."""

    def draw(rng: Rng, shape: Sequence[int]) -> Floats:
        options: dict[str, Any] = {k: float(np.exp(rng.uniform(*np.log(r)))) for k, r in ranges.items()}
        options |= {"photons": 1e4, "background": 0.0, "unevenness": float(rng.uniform(0, 0.5))}
        options |= {"haze": float(rng.uniform(0, 0.4)), "na": float(rng.uniform(0.3, 1.4))}
        size = tuple(shape)
        scene = simulate(kind, size, int(rng.integers(2**31)), **options)
        clean = scene.clean if scene.clean.ndim == len(size) else scene.clean[int(rng.integers(len(scene.clean)))]
        return np.maximum(clean - 100.0, 0).astype(np.float32)

    return draw


def _field(rng: Rng, shape: Sequence[int]) -> Floats:
    """Networks, membranes, clouds and grains: smooth chance of several widths, folded in one of several ways."""
    total = np.zeros(shape, np.float32)
    width = float(np.exp(rng.uniform(np.log(1.2), np.log(8))))
    for k in range(int(rng.integers(1, 4))):
        total += _smooth(rng, shape, width * 2.2**k) * np.float32(rng.uniform(0.3, 1.0))
    total /= total.std()
    sharp = float(rng.uniform(1.0, 6.0))
    folded = {
        "ridges": np.exp(-((sharp * total) ** 2) / 4),  # a network of lines
        "blobs": 1 / (1 + np.exp(-np.clip(3 * sharp * (total - rng.uniform(0.0, 1.2)), -30, 30))),
        "clouds": np.exp(0.6 * total),
        "grains": np.maximum(total - 1.0, 0) ** 1.5,
    }
    light = folded[str(rng.choice(list(folded)))]
    if rng.random() < 0.5:  # in part of the field only
        light = light / (1 + np.exp(-6 * _smooth(rng, shape, 20.0)))
    return np.asarray(light, np.float32)


LIGHTS: dict[str, tuple[float, Callable[[Rng, Sequence[int]], Floats]]] = {
    "nuclei": (0.15, _drawn("nuclei", diameter=(10, 60), density=(0.05, 0.5), texture=(0.05, 0.6), brightness=(0.1, 0.7))),
    "cells": (0.15, _drawn("cells", diameter=(30, 110), density=(0.3, 0.9), texture=(0.1, 0.6), grain=(0.015, 0.06))),
    "bacteria": (0.08, _drawn("bacteria", diameter=(4, 12), density=(0.03, 0.4), brightness=(0.1, 0.5))),
    "filaments": (0.3, _drawn("filaments", diameter=(1.5, 7), density=(0.03, 0.5), bend=(0.1, 1.5), brightness=(0.1, 0.8))),
    "spots": (0.07, _drawn("spots", diameter=(2.5, 6), density=(0.003, 0.15), brightness=(0.2, 0.9))),
    "field": (0.25, _field),
}  # fmt: skip
