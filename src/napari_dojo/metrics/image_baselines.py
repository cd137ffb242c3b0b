"""Baselines for predicted images: the best filter, and the best linear prediction. None of them is trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_dojo.data.normalize import finite
from napari_dojo.metrics.images import psnr

__all__ = ["best_filter", "best_linear"]

LOOKED_AT = 12  # images, evenly spread, on which a filter is chosen
FILTERS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "the input": lambda x: x,
    **{f"Gaussian filter of {s:g} px": partial(ndimage.gaussian_filter, sigma=s) for s in (0.7, 1, 1.5, 2, 3, 4)},
    **{f"median filter of {n} px": partial(ndimage.median_filter, size=n) for n in (3, 5)},
}


def best_filter(
    inputs: Sequence[NDArray[Any]], truths: Sequence[NDArray[Any]], options: Any
) -> tuple[list[NDArray[Any]], str]:
    """The Gaussian or median filter that comes nearest to the truths, applied to all inputs (C, *S), and its name."""
    both = list(zip(inputs, truths, strict=True))
    chosen = both[:: max(1, -(-len(both) // LOOKED_AT))]

    def quality(name: str) -> float:
        return float(np.mean([psnr(y, _filtered(x, name)) for x, y in chosen]))

    best = max(FILTERS, key=quality)
    return [_filtered(x, best) for x in inputs], best


def best_linear(
    inputs: Sequence[NDArray[Any]], truths: Sequence[NDArray[Any]], options: Any
) -> tuple[list[NDArray[Any]], str]:
    """The best prediction (K, *S) that is linear in a pixel's surroundings of 5 px in all channels of inputs (C, *S), fitted to the truths."""
    rng, each = np.random.default_rng(0), max(500, 40_000 // max(1, len(inputs)))
    seen, wanted = [], []
    for x, y in zip(inputs, truths, strict=True):
        places = rng.choice(int(np.prod(y.shape[1:])), each)
        seen.append(_surroundings(x, np.unravel_index(places, y.shape[1:])))
        wanted.append(np.asarray(y, np.float64).reshape(len(y), -1)[:, places].T)
    left, right = np.concatenate(seen), np.concatenate(wanted)
    known = np.isfinite(left).all(1) & np.isfinite(right).all(1)
    left, right = left[known], right[known]
    power = left.T @ left
    steady = power + 1e-6 * np.trace(power) / len(power) * np.eye(len(power))
    weights = np.linalg.lstsq(steady, left.T @ right, rcond=None)[0]  # singular where there is no number to fit to
    return [_weighted(x, weights) for x in inputs], "best linear filter of 5 px"


def _surroundings(x: NDArray[Any], places: tuple[NDArray[np.intp], ...]) -> NDArray[np.float64]:
    """The surroundings in the plane, of all channels, of some places, and 1: (n, C * 25 + 1)."""
    pad = np.pad(np.asarray(x, np.float64), [(0, 0)] * (x.ndim - 2) + [(2, 2)] * 2, mode="edge")
    *first, py, px = places
    near = [pad[(slice(None), *first, py + i, px + j)] for i in range(5) for j in range(5)]  # type: ignore[arg-type]
    return np.concatenate([np.stack(near, 1).reshape(-1, len(py)), np.ones((1, len(py)))]).T


def _weighted(x: NDArray[Any], weights: NDArray[np.float64]) -> NDArray[np.float32]:
    """The linear prediction everywhere: (K, *S)."""
    x = finite(np.asarray(x, np.float32))
    out = []
    for w in weights.T:
        kernels = w[:-1].reshape(len(x), *(1,) * (x.ndim - 3), 5, 5).astype(np.float32)
        out.append(sum(ndimage.correlate(c, k, mode="nearest") for c, k in zip(x, kernels, strict=True)) + w[-1])
    return np.stack(out).astype(np.float32)


def _filtered(x: NDArray[Any], name: str) -> NDArray[np.float32]:
    return np.stack([FILTERS[name](finite(np.asarray(c, np.float32))) for c in x])
