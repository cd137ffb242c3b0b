"""A stand-in for crops of red blood cells, good and bad: stain, light and focus differ more than the two classes do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from napari_dojo.io.images import write

__all__ = ["blood_cell", "written_cells"]

EDGE = 48  # px
DEFECTS = ("dent", "spikes", "slit", "target", "dot", "sphere")
Plane = NDArray[np.floating[Any]]


def blood_cell(rng: np.random.Generator, bad: bool) -> NDArray[np.uint8]:
    """A stained red blood cell (48, 48, 3); a bad one has one of six slight defects of shape or texture."""
    depth = _thickness(rng, str(rng.choice(DEFECTS)) if bad else "")
    if rng.random() < 0.5:
        depth = np.maximum(depth, _neighbour(rng))
    depth = gaussian_filter(depth, rng.uniform(0.5, 1.5))
    y, x = np.indices((EDGE, EDGE)) / EDGE - 0.5
    slope = rng.normal(0, 0.08, 2)
    light = np.array([238, 228, 232]) * rng.normal(1, 0.06) * rng.normal(1, 0.025, 3)
    stain = np.array([0.22, 0.62, 0.45]) * rng.lognormal(0, 0.2) * rng.lognormal(0, 0.15, 3)
    found = light * (1 + slope[0] * y + slope[1] * x)[..., None] * np.exp(-depth[..., None] * stain)
    return np.clip(found + rng.normal(0, rng.uniform(2, 6), found.shape), 0, 255).astype(np.uint8)


def _thickness(rng: np.random.Generator, defect: str) -> Plane:
    """How much of the stain there is, about 0 to 1."""
    y, x = np.indices((EDGE, EDGE)) - rng.uniform(21, 26, (2, 1, 1))
    angle, r = np.arctan2(y, x) + rng.uniform(0, 2 * np.pi), np.hypot(y, x)
    wobble = sum(rng.normal(0, 0.018) * np.cos(k * angle + rng.uniform(0, 6)) for k in (2, 3, 4))
    radius = rng.uniform(13, 17) * (1 + rng.uniform(0, 0.08) * np.cos(2 * angle) + wobble)
    pallor, wide, ratio = rng.uniform(0.25, 0.6), rng.uniform(0.35, 0.5), rng.uniform(0.85, 1.0)
    if defect == "dent":
        radius = radius * (1 - rng.uniform(0.12, 0.25) * np.exp(-((angle % (2 * np.pi) - np.pi) ** 2) / 0.12))
    elif defect == "spikes":
        radius = radius * (1 + rng.uniform(0.035, 0.07) * np.cos(rng.integers(7, 12) * angle))
    elif defect == "slit":
        ratio = rng.uniform(0.35, 0.6)
    elif defect == "sphere":
        pallor = rng.uniform(0.0, 0.15)
    u, v = r * np.cos(angle + 1), r * np.sin(angle + 1)
    inner = np.hypot(u, v / ratio) / (wide * radius)
    depth = (r < radius) * (1 - pallor * np.exp(-(inner**2)))
    if defect == "target":
        depth = depth + rng.uniform(0.25, 0.45) * np.exp(-((r / (0.22 * radius)) ** 2))
    elif defect == "dot":
        far, at = rng.uniform(3, 9), rng.uniform(0, 2 * np.pi)
        depth = depth + rng.uniform(0.3, 0.6) * np.exp(-(np.hypot(y - far * np.sin(at), x - far * np.cos(at)) ** 2) / 3)
    return np.asarray(depth, np.float64)


def _neighbour(rng: np.random.Generator) -> Plane:
    """A part of the next cell at the border of the crop."""
    at, far = rng.uniform(0, 2 * np.pi), rng.uniform(33, 38)
    y, x = np.indices((EDGE, EDGE)) - EDGE / 2
    return 0.9 * (np.hypot(y - far * np.sin(at), x - far * np.cos(at)) < rng.uniform(13, 17))


def written_cells(folder: Path, count: int, seed: int) -> None:
    """Write ``count`` cells of each class, as class folders."""
    rng = np.random.default_rng(seed)
    for name in ("good", "bad"):
        for i in range(count):
            write(folder / name / f"{name}{i}.tif", blood_cell(rng, name == "bad"), "YXC")
