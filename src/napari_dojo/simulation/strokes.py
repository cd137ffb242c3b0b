"""Annotate classes as a person does: strokes of a brush."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_dojo.simulation.base import Rng
from napari_dojo.simulation.fields import directions

__all__ = ["strokes"]


def strokes(classes: NDArray[Any], share: float = 0.05, seed: int = 0, width: int = 3) -> NDArray[np.uint8]:
    """Annotate as a person in a hurry does: some strokes of a brush in every class, nothing elsewhere.

    Parameters
    ----------
    classes : whole numbers 1..n (*S), such as `Scene.classes`; 0 is left alone.
    share : part of each class's pixels that gets painted, about; every class gets one stroke or more.
    seed : the same seed gives the same strokes.
    width : of the brush in pixels.

    Returns
    -------
    uint8 (*S): 0 not annotated, else the class.
    """
    rng = np.random.default_rng([seed & 0x7FFFFFFF, 78])
    drawn = np.zeros(classes.shape, np.uint8)
    brush = _brush(width, classes.ndim)
    for value in np.unique(classes[classes > 0]):
        mask = classes == value
        room = ndimage.binary_erosion(mask, iterations=max(1, width // 2))
        starts = np.argwhere(room if room.any() else mask)
        wanted, painted = share * int(mask.sum()), 0
        for _ in range(10000):
            line = _stroke(starts[rng.integers(len(starts))], room, 12 * width, rng)
            points = (line[:, None] + brush).reshape(-1, classes.ndim)
            points = points[((points >= 0) & (points < classes.shape)).all(1)]
            points = points[mask[tuple(points.T)]]
            drawn[tuple(points.T)] = value
            painted = int((drawn == value).sum())
            if painted >= wanted:
                break
    return drawn


def _stroke(start: NDArray[np.int_], room: NDArray[np.bool_], length: int, rng: Rng) -> NDArray[np.int_]:
    """Pixels (n, ndim) of a slightly curved line that ends where there is no more room."""
    turns = np.cumsum(rng.normal(0, 0.12, (length, room.ndim)), axis=0)
    way = directions(rng, 1, room.ndim) + turns
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    line = np.rint(start + np.cumsum(way, axis=0)).astype(int)
    fits: NDArray[np.bool_] = np.all((line >= 0) & (line < room.shape), axis=1)
    fits[fits] = room[tuple(line[fits].T)]
    end = int(np.argmin(fits)) if not fits.all() else length
    return np.concatenate([start[None], line[:end]])


def _brush(width: int, ndim: int) -> NDArray[np.int_]:
    """Pixels (n, ndim) of a ball around the origin."""
    steps = np.arange(-(width // 2), width // 2 + 1)
    grid = np.stack(np.meshgrid(*[steps] * ndim, indexing="ij")).reshape(ndim, -1).T
    return grid[(grid**2).sum(1) <= (width / 2) ** 2]
