"""Images and maps on another grid: antialiased when they get smaller, linear when larger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "cubic",
    "cubic_kernel",
    "enlarged",
    "fitted",
    "on_grid_of",
    "reach",
    "resize",
    "resize_labels",
    "resize_part",
]

RUN = 1024  # px along an axis that are computed at a time


def resize(x: NDArray[np.float32], size: Sequence[int]) -> NDArray[np.float32]:
    """(C, *S) -> (C, *size), float32; the outer edges stay where they are."""
    from scipy.ndimage import gaussian_filter
    from skimage.transform import resize as to

    x = np.asarray(x, np.float32)
    if tuple(x.shape[1:]) == tuple(size):
        return x
    shrink = [max(0.0, (n / m - 1) / 2) for n, m in zip(x.shape[1:], size, strict=True)]
    done = [
        to(
            gaussian_filter(c, shrink) if any(shrink) else c,
            size,
            order=1,
            mode="edge",
            anti_aliasing=False,
            preserve_range=True,
        )
        for c in x
    ]
    return np.stack(done).astype(np.float32)


def reach(n: int, m: int) -> int:
    """How many px around a place `resize` looks at, from an axis of ``n`` px to one of ``m``."""
    return int(4 * max(0.0, (n / m - 1) / 2) + 0.5) + 1


def resize_part(
    x: NDArray[np.float32],
    box: Sequence[tuple[int, int]],
    size: Sequence[int],
    to: Sequence[int],
    wanted: Sequence[tuple[int, int]],
) -> NDArray[np.float32]:
    """A part of what `resize` makes of a large image: ``wanted`` of its new grid ``to``, (C, *wanted).

    Parameters
    ----------
    x : the part ``box`` of the image (C, *size), which has `reach` px more on each side than ``wanted`` covers, or ends with the image.
    """
    from scipy.ndimage import gaussian_filter1d

    out = np.asarray(x, np.float32)
    for axis, ((a, b), n, m, (first, last)) in enumerate(zip(box, size, to, wanted, strict=True), 1):
        if (shrink := max(0.0, (n / m - 1) / 2)) > 0:
            out = gaussian_filter1d(out, shrink, axis)
        if n == m:
            out = out.take(np.arange(first - a, last - a), axis)
            continue
        at = np.clip((np.arange(first, last) + 0.5) * n / m - 0.5, 0, n - 1)
        low = np.floor(at).astype(int)
        share = (at - low).astype(np.float32).reshape([-1 if i == axis else 1 for i in range(out.ndim)])
        below, above = (np.clip(i - a, 0, b - a - 1) for i in (low, np.minimum(low + 1, n - 1)))
        out = out.take(below, axis) * (1 - share) + out.take(above, axis) * share
    return out


def resize_labels(y: NDArray[Any], size: Sequence[int]) -> NDArray[Any]:
    """(*S) -> (*size): the label at the nearest place."""
    if tuple(y.shape) == tuple(size):
        return y
    at = [np.minimum(((np.arange(m) + 0.5) * n / m).astype(int), n - 1) for n, m in zip(y.shape, size, strict=True)]
    return y[np.ix_(*at)]


def fitted(x: Any, size: Sequence[int], padded: bool) -> Any:
    """(C, *S) -> (C, *size): in the middle of what is wanted; the rest has the level of its border. One of that size stays.

    Larger images are scaled down to fit; smaller ones keep their scale where ``padded``, else they are enlarged to fit.
    Rows and columns keep their ratio; Z of a volume is scaled by itself.
    """
    own, size = tuple(x.shape[1:]), tuple(size)
    if own == size:
        return x
    factors = [n / m for n, m in zip(size, own, strict=True)]
    factors[-2:] = [min(factors[-2:])] * 2
    factors = [min(1.0, f) if padded else f for f in factors]
    inner = tuple(min(n, max(1, round(m * f))) for n, m, f in zip(size, own, factors, strict=True))
    x = np.asarray(x) if inner == own else resize(np.asarray(x), inner)
    around = [((n - m) // 2, n - m - (n - m) // 2) for n, m in zip(size, inner, strict=True)]
    if not any(map(any, around)):
        return x
    out = np.empty((len(x), *size), x.dtype)
    out[:] = _border(x).astype(x.dtype).reshape(-1, *(1,) * len(size))
    out[(slice(None), *(slice(a, a + m) for (a, _), m in zip(around, inner, strict=True)))] = x
    return out


def _border(x: NDArray[Any]) -> NDArray[np.float64]:
    """The median of the outermost pixels in the plane, channel by channel (C,)."""
    edges = [x[..., 0, :], x[..., -1, :], x[..., :, 0], x[..., :, -1]]
    return np.array([np.median(np.concatenate([e[c].ravel() for e in edges])) for c in range(len(x))])


def enlarged(mask: NDArray[Any], factors: Sequence[int]) -> NDArray[Any]:
    """(*S) -> (*S * factors): each pixel as a block of pixels."""
    for axis, factor in enumerate(factors):
        mask = np.repeat(mask, factor, axis) if factor > 1 else mask
    return mask


def on_grid_of(y: Any, region: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
    """A region (*S) on the grid of a target ``y``, (..., *S * factors), which may be finer; None stays None."""
    if region is None or np.ndim(y) < region.ndim:
        return region
    return enlarged(region, [max(1, m // n) for m, n in zip(np.shape(y)[-region.ndim :], region.shape, strict=True)])


def cubic(x: NDArray[Any], factors: Sequence[float]) -> NDArray[np.float32]:
    """(C, *S) -> (C, *S * factors), float32, by cubic convolution, antialiased where it gets smaller.

    The same as MATLAB's imresize (Keys 1981, IEEE TASSP 29:1153; a = -1/2), which published figures of
    super-resolution are based on; the outer edges stay where they are, borders are mirrored.
    """
    out = np.asarray(x, np.float32)
    for axis, factor in enumerate(factors, 1):
        if factor != 1:
            places, weights = _cubic_taps(out.shape[axis], factor)
            runs = range(0, len(places), RUN)  # the matrix of a whole axis grows with the square of its length
            made = [_weighted(out, axis, places[a : a + RUN], weights[a : a + RUN]) for a in runs]
            out = np.concatenate(made, axis)
    return np.ascontiguousarray(out)


def cubic_kernel(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weight of a pixel at a distance, in pixels, 0 or more; 0 from 2 on (Keys 1981, a = -1/2)."""
    t = distance
    near, far = 1.5 * t**3 - 2.5 * t**2 + 1, -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
    return np.where(t < 1, near, np.where(t < 2, far, 0))


def _weighted(
    x: NDArray[np.float32], axis: int, places: NDArray[np.intp], weights: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Some new pixels along an axis, each of the old ones at ``places`` (new, taps) with their ``weights``."""
    first, last = int(places.min()), int(places.max()) + 1
    matrix = np.zeros((len(places), last - first))
    np.add.at(matrix, (np.arange(len(places))[:, None], places - first), weights)
    old = x[(slice(None),) * axis + (slice(first, last),)]
    return np.moveaxis(np.tensordot(old, matrix.astype(np.float32), (axis, 1)), -1, axis)


def _cubic_taps(n: int, factor: float) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Which of the ``n`` old pixels of an axis the new ones are made of, and how much of each: both (new, taps)."""
    many, wide = round(n * factor), max(1.0, 1 / factor)
    centre = (np.arange(many) + 0.5) / factor - 0.5
    reach = int(np.ceil(2 * wide)) + 1
    places = np.floor(centre).astype(int)[:, None] + np.arange(-reach, reach + 1)
    t = np.abs(places - centre[:, None]) / wide
    weight = cubic_kernel(t)
    weight /= weight.sum(1, keepdims=True)
    inside = places % (2 * n)  # mirrored: 0 .. n-1, n-1 .. 0
    return np.where(inside < n, inside, 2 * n - 1 - inside), weight
