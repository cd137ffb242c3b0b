"""Cells of four types in one field, told apart by shape and texture alone: smooth, granular, spindle and lobed ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_dojo.data.optics import blur, psf_sigma
from napari_dojo.simulation.base import Bench, Floats, Labels, Rng, Sample
from napari_dojo.simulation.fields import elsewhere, smooth_noise, units_of
from napari_dojo.simulation.scope import Microscope
from napari_dojo.simulation.shapes import chromatin, outline, paint, place, to_unit, window

__all__ = ["CELL_TYPES", "MixedCells", "mixed_cells"]

CELL_TYPES = ("smooth", "granular", "spindle", "lobed")
_USUAL = Sample(diameter=26.0, variation=0.15, elongation=1.2, lobes=0.06, bend=0.1, texture=0.12, bodies=0.0)
_DRAWN = {
    "smooth": _USUAL,
    "granular": replace(_USUAL, texture=0.35, bodies=0.7),
    "spindle": replace(_USUAL, elongation=2.3, bend=0.25),
    "lobed": replace(_USUAL, elongation=1.1),
}
_MICROSCOPE = Microscope(na=0.75, pixel_size=0.4, photons=120.0)
_LOBES = {"lobed": (0.16, 0.28)}  # depth of three to five lobes, as a share of the radius
_TOUCHING, _OVERLAP, _BRIGHTNESS = 0.3, 0.04, 0.35


@dataclass(frozen=True)
class MixedCells:
    """A field of cells of several types.

    Attributes
    ----------
    image : uint16 (1, *S); labels : int32 (*S), 1..n.
    types : (n,) the type of label 1, 2, ...: its place in `CELL_TYPES`.
    pixel_size : um, for each member of S.
    """

    image: NDArray[np.uint16]
    labels: Labels
    types: NDArray[np.int64]
    pixel_size: tuple[float, ...]

    def names(self) -> list[str]:
        """The type of label 1, 2, ... by name."""
        return [CELL_TYPES[k] for k in self.types]


def mixed_cells(shape: Sequence[int], seed: int = 0, density: float = 0.3, most: int | None = None) -> MixedCells:
    """Draw cells of four types, equally often, with sizes and brightness that tell nothing, and take a picture.

    Parameters
    ----------
    shape : (Y, X) or (Z, Y, X).
    seed : the same seed gives the same bytes.
    density : part of the field that cells cover, as far as there is room.
    most : cells at most.
    """
    size = tuple(int(n) for n in shape)
    rng = np.random.default_rng([int(seed) & 0x7FFFFFFF, 83, *size])
    scope, units = _MICROSCOPE, units_of(len(size), _MICROSCOPE.anisotropy)
    sigma = tuple(float(np.hypot(s, 0.45)) for s in psf_sigma(scope.na, scope.wavelength, scope.voxel(len(size))))
    bench = Bench(size, units, sigma, rng)
    light, labels, types = _drawn(bench, density, most)
    light = blur(light, [float(s) for s in sigma])
    image = scope.camera.expose(scope.photons_of(light[None], _USUAL.diameter, rng), rng)
    return MixedCells(image, labels, types, scope.voxel(len(size)))


def _drawn(bench: Bench, density: float, most: int | None) -> tuple[Floats, Labels, NDArray[np.int64]]:
    """Light and labels (*S), and the type of each label."""
    rng = bench.rng
    light, labels = np.zeros(bench.shape, np.float32), np.zeros(bench.shape, np.int32)
    grain = smooth_noise(bench.shape, 0.08 * _USUAL.diameter / bench.units, rng)
    placed: list[tuple[NDArray[np.float64], float]] = []
    types: list[int] = []
    target, covered, misses = density * labels.size, 0, 0
    while covered < target and misses < 100 and len(types) < (most or labels.size):
        kind = int(rng.integers(len(CELL_TYPES)))
        fresh = _add(light, labels, placed, CELL_TYPES[kind], grain, bench)
        misses = 0 if fresh else misses + 1
        covered += fresh
        types += [kind] if fresh else []
    return light, labels, np.asarray(types, np.int64)


def _add(
    light: Floats,
    labels: Labels,
    placed: list[tuple[NDArray[np.float64], float]],
    kind: str,
    grain: Floats,
    bench: Bench,
) -> int:
    """Draw one cell where there is room; how many pixels it has, 0 where there is none."""
    rng, sample = bench.rng, _DRAWN[kind]
    radius = 0.5 * sample.diameter * float(np.exp(sample.variation * rng.standard_normal()))
    stretch = 1 + (sample.elongation - 1) * float(rng.gamma(8.0, 0.125))
    centre = place(placed, radius, _TOUCHING, bench)
    box, at = window(centre, 1.5 * radius * stretch ** (1 - 1 / len(bench.shape)), bench)
    if 0 in at.shape:
        return 0
    u = to_unit(at, radius, stretch, rng)
    f = outline(u, sample.lobes, sample.bend * rng.uniform(0.3, 1.0), rng)
    if kind in _LOBES:
        f = f / _lobes(u, rng.uniform(*_LOBES[kind]), rng)
    fresh = paint(labels, box, f < 1, _OVERLAP, len(placed) + 1)
    if not fresh:
        return 0
    placed.append((centre, radius))
    glow = chromatin(u, f, 0.4 if len(bench.shape) == 2 else 0.1, elsewhere(grain, f.shape, rng), sample, rng)
    light[box] += glow * (labels[box] == len(placed)) * np.float32(np.exp(_BRIGHTNESS * rng.standard_normal()))
    return fresh


def _lobes(u: NDArray[np.float64], depth: float, rng: Rng) -> Floats:
    """How far the outline reaches in the direction of each pixel, about 1."""
    count, phase = int(rng.integers(3, 6)), rng.uniform(0, 2 * np.pi)
    return np.asarray(1 + depth * np.cos(count * np.arctan2(u[1], u[0]) + phase), np.float32)
