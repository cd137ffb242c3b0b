"""Objects that look like the labelled ones and have no label: a model learns that they are background."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo.boxes import middle

__all__ = ["outside", "unlabelled"]

CONTRAST = 1.0  # of objects against what is beside them, in robust standard deviations, from which one can tell
STEEP = 0.6  # of the edges of labelled objects; halos, fibres and what is out of focus have flatter ones, see LOG.md
LARGEST = 2**22  # pixels that are looked at


def unlabelled(x: NDArray[Any], y: NDArray[Any], region: NDArray[np.bool_] | None, diameter: float) -> NDArray[Any]:
    """Where objects without a label seem to lie: (n, dims) px.

    They are as bright (or dark) as the labelled ones, in the channel that shows these best, nearly as sharp, and not much smaller.
    Empty where labelled objects hardly differ from what is beside them.

    Parameters
    ----------
    x, y, region : image (C, *S), labels (*S), and where the annotation is complete, bool (*S); None: everywhere.
    diameter : of the objects, px.
    """
    from scipy import ndimage as ndi
    from skimage.feature import peak_local_max

    part = middle(y.shape, _edges(y.shape))
    x, y = np.asarray(x[(slice(None), *part)]), np.asarray(y[part])
    areas = np.bincount(np.unique(y, return_inverse=True)[1].ravel())[(0 if y.min() else 1) :]
    nothing = np.zeros((0, y.ndim))
    if len(areas) < 3:
        return nothing
    away = ndi.distance_transform_edt(y == 0)
    excess = _excess(x, y > 0, (away > 2) & (away <= max(4.0, diameter / 3) + 2), max(0.5, diameter / 10))
    if excess is None:
        return nothing
    found = (excess > 0) & (away > max(2.0, diameter / 8))
    if region is not None:
        found &= region[part]
    pieces, n = ndi.label(found)
    sizes = np.bincount(pieces.ravel(), minlength=n + 1)[1:]
    large = np.flatnonzero(sizes >= 0.5 * np.percentile(areas, 25)) + 1
    if not len(large):
        return nothing
    slope = ndi.gaussian_gradient_magnitude(excess, 1)
    steep = STEEP * np.median(slope[_rim((y > 0) & (excess > 0))])
    alike = large[ndi.median(slope, pieces * _rim(found), large) >= steep]
    if not len(alike):
        return nothing
    kept = np.isin(pieces, alike)
    depth = ndi.gaussian_filter(ndi.distance_transform_edt(kept), 1)  # so that clusters come apart
    peaks = peak_local_max(depth, min_distance=max(1, round(diameter / 3)), labels=pieces * kept, exclude_border=False)
    return peaks + np.array([s.start for s in part], float)


def outside(y: NDArray[Any], region: NDArray[np.bool_]) -> int:
    """How many labelled objects (*S) lie outside of the region for the most part."""
    values, place = np.unique(y, return_inverse=True)
    pixels, inside = (np.bincount(place.ravel(), w, len(values)) for w in (None, region.ravel()))
    return int(((inside < 0.5 * pixels) & (values > 0)).sum())


def _rim(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The outermost pixels of what is marked, (*S)."""
    from scipy.ndimage import minimum_filter

    return mask & ~minimum_filter(mask, 3)


def _excess(
    x: NDArray[Any], inside: NDArray[np.bool_], beside: NDArray[np.bool_], sigma: float
) -> NDArray[np.float32] | None:
    """How much more like objects than like what is beside them pixels are: positive is more, (*S)."""
    from scipy.ndimage import gaussian_filter

    best, found = CONTRAST, None
    for channel in x if beside.any() else ():
        smooth = gaussian_filter(channel.astype(np.float32), sigma)
        objects, background = (float(np.median(smooth[m])) for m in (inside, beside))
        levels = ((inside, objects), (beside, background))
        spread = max(float(np.median(np.abs(smooth[m] - level))) for m, level in levels)
        contrast = abs(objects - background) / max(1.48 * spread, 1e-9)
        if contrast > best:
            best, found = contrast, np.sign(objects - background) * (smooth - (objects + background) / 2)
    return found


def _edges(shape: tuple[int, ...]) -> Sequence[int]:
    """Of the part of an array that is looked at: all of a small one."""
    return shape if np.prod(shape) <= LARGEST else (int(LARGEST ** (1 / len(shape))),) * len(shape)
