"""What the noise of an image is like: how strong, how it grows with the light, and whether neighbours share it.

Noise of a camera is independent from pixel to pixel and its variance a straight line over the signal: gain x light +
read noise (Foi et al. 2008, IEEE TIP 17:1737). Both are measured on a single image, in the flattest places of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_dojo.boxes import middle

__all__ = ["Noise", "fission", "measure_noise"]

BLOCK = 8  # px; edge of the places that are looked at
PLANES = 16  # of a volume or series, evenly spread
LARGEST = 2_000_000  # px of a plane; larger ones are looked at in their middle
SOME = 100_000  # values by which it is seen whether there are few different ones
FEW_VALUES = 16  # different ones that an image which is drawn has at most
BETWEEN = 0.1  # share of a mask that may lie between its two values: soft edges
DIFFERENCE = np.array([1, -4, 6, -4, 1], np.float32)
# variance that a white image of variance 1 has after this kernel: sum of squares (Immerkær 1996, CVIU 64:300)
KERNEL = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32) / 6


@dataclass(frozen=True)
class Noise:
    """The noise of one channel, in the image's own units.

    Attributes
    ----------
    sigma : standard deviation at the image's median.
    gain, floor : the variance is ``gain * (value - dark) + floor``; ``gain`` is counts per photon where light alone makes it.
    dark : the first percentile of the values.
    span : from there to percentile 99.8.
    correlation : of neighbours along each axis of S; 0 for independent pixels.
    structure : variance of the smoothed image over what noise alone would leave there; 1 where there is nothing to see.
    saturated : share of pixels at the largest value, where that looks like the end of the range; else 0.
    hot : share of single pixels that are far brighter than all around them.
    blocky : difference between neighbours of two 8 x 8 blocks over that inside of blocks; 1 unless compressed as JPEG.
    """

    sigma: float
    gain: float
    floor: float
    dark: float
    span: float
    correlation: tuple[float, ...]
    structure: float
    saturated: float
    hot: float
    blocky: float

    @property
    def relative(self) -> float:
        """Noise over the range of the image; .02 is little, 1 is very much."""
        return self.sigma / self.span if self.span > 0 else 0.0

    def variance(self, value: Any) -> NDArray[np.float32]:
        """Of the noise where the light is this bright (any shape)."""
        line = self.gain * (np.asarray(value, np.float32) - self.dark) + self.floor
        return np.asarray(np.maximum(line, 0.05 * self.sigma**2 + 1e-12), np.float32)


def measure_noise(x: Any) -> Noise:
    """Measure the noise of one channel (*S) of two or three axes, any dtype; NaN and infinite values are left out."""
    planes = _planes(x)
    values = planes[np.isfinite(planes)]
    if values.size == 0 or values.min() == values.max():
        level = float(values[0]) if values.size else 0.0
        return Noise(0.0, 0.0, 0.0, level, 0.0, (0.0,) * np.ndim(x), 1.0, 0.0, 0.0, 1.0)
    dark, middle, bright = (float(v) for v in np.percentile(values, [1, 50, 99.8]))
    planes = np.where(np.isfinite(planes), planes, middle)
    correlation = _correlation(np.asarray(x), planes)
    means, variances = _blocks(planes, correlation[-1], correlation[-2])
    gain, floor = _line(means - dark, variances)
    sigma = float(np.sqrt(max(gain * (middle - dark) + floor, 1e-12)))
    return Noise(
        sigma, gain, floor, dark, bright - dark, correlation, _structure(planes, sigma, correlation),
        _saturated(values), _hot(planes, sigma), _blocky(planes),
    )  # fmt: skip


def fission(x: Any, noise: Noise, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Two images (*S) of the same scene whose noise is independent, from one image.

    Noise of the image's own strength is added to one and taken from the other, so that what they share of the noise
    cancels (Leiner et al. 2023, arXiv:2112.11079); each is as noisy as half of the light would be.
    """
    x = np.asarray(x, np.float32)
    light = ndimage.gaussian_filter(x, [0] * (x.ndim - 2) + [2, 2])
    more = rng.standard_normal(x.shape, np.float32) * np.sqrt(noise.variance(light))
    return x + more, x - more


def _planes(x: Any) -> NDArray[np.float32]:
    """Some planes of an image, their middle where they are large: (n, Y, X)."""
    size = np.shape(x)
    n = int(np.prod(size[:-2])) if len(size) > 2 else 1
    edge = int(np.sqrt(LARGEST))
    cut = middle(size[-2:], edge)
    if len(size) == 2:
        return np.asarray(x[cut], np.float32)[None]
    chosen = np.unique(np.linspace(0, n - 1, min(n, PLANES)).round().astype(int))
    return np.stack([np.asarray(x[(int(k), *cut)], np.float32) for k in chosen])


def _correlation(x: NDArray[Any], planes: NDArray[np.float32]) -> tuple[float, ...]:
    """Of the noise of neighbours along each axis, after fourth differences across it have taken the structure away."""
    y, x_ = (_neighbours(ndimage.convolve1d(planes, DIFFERENCE, axis=3 - axis), axis) for axis in (1, 2))
    if x.ndim == 2:
        return y, x_
    middle = np.asarray(x[max(0, x.shape[0] // 2 - 1) : x.shape[0] // 2 + 1], np.float32)
    middle = ndimage.convolve1d(np.nan_to_num(middle), DIFFERENCE, axis=2)
    return _neighbours(middle, 0), y, x_


def _neighbours(rest: NDArray[np.float32], axis: int) -> float:
    if rest.shape[axis] < 2:
        return 0.0
    a, b = (np.take(rest, range(k, rest.shape[axis] - 1 + k), axis).ravel() for k in (0, 1))
    limit = 6 * np.median(np.abs(a))
    kept = (np.abs(a) <= limit) & (np.abs(b) <= limit)  # without specks
    a, b = a[kept].astype(np.float64), b[kept].astype(np.float64)
    power = float(np.sqrt((a @ a) * (b @ b)))
    return float(np.clip(a @ b / power, -1, 1)) if power > 0 else 0.0


def _blocks(planes: NDArray[np.float32], along_x: float, along_y: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Mean and variance of the noise of blocks, (m,) each."""
    rest = np.stack([ndimage.convolve(p, KERNEL, mode="reflect") for p in planes])
    response = float((1 - along_x) ** 2 * (1 - along_y) ** 2)  # correlated noise passes the kernel in part
    n, h, w = planes.shape
    if min(h, w) < BLOCK:
        return planes.mean((1, 2)), (rest**2).mean((1, 2)) / max(response, 0.05)
    cut = (slice(None), slice(0, h // BLOCK * BLOCK), slice(0, w // BLOCK * BLOCK))
    shape = (n, h // BLOCK, BLOCK, w // BLOCK, BLOCK)
    mean, power = (a[cut].reshape(shape).mean((2, 4)).ravel() for a in (planes, rest**2))
    return mean, power / max(response, 0.05)


def _line(mean: NDArray[Any], variance: NDArray[Any], bins: int = 16) -> tuple[float, float]:
    """Slope and value at 0 of the variance over the mean, both 0 or more; the lower half of each bin is free of edges."""
    order = np.argsort(mean)
    groups = [g for g in np.array_split(order, min(bins, max(1, len(order) // 8))) if len(g)]
    m = np.array([np.median(mean[g]) for g in groups], float)
    v = np.array([np.quantile(variance[g], 0.4) for g in groups], float)
    if len(groups) < 3 or np.ptp(m) <= 0:
        return 0.0, float(np.median(v))
    weight = 1 / np.maximum(v, 0.05 * np.median(v) + 1e-20)
    weight /= weight.max()
    middle = float(np.average(m, weights=weight**2))
    slope = float(np.average((m - middle) * v, weights=weight**2) / np.average((m - middle) ** 2, weights=weight**2))
    start = float(np.average(v, weights=weight**2)) - slope * middle
    if slope < 0:
        return 0.0, float(np.median(v))
    return (float(slope), float(start)) if start >= 0 else (float((weight @ v) / max(weight @ m, 1e-20)), 0.0)


def _structure(planes: NDArray[np.float32], sigma: float, correlation: tuple[float, ...]) -> float:
    """Variance of the image smoothed by a Gaussian of 3 px over that of smoothed white noise."""
    width = 3.0
    smooth = ndimage.gaussian_filter(planes, [0, width, width])
    alone = sigma**2 / (4 * np.pi * width**2)
    for c in correlation[-2:]:
        alone *= (1 + max(c, 0)) / (1 - min(max(c, 0), 0.95))
    return float(np.var(smooth) / max(alone, 1e-20))


def _saturated(values: NDArray[np.float32]) -> float:
    """Share of pixels that lie at the largest value, where far more lie there than just below it.

    Not so in an image that is drawn: it has few values, or little beside the edges lies between its lowest and its largest one, as in
    a mask. There the largest value is the true one.
    """
    low, top = values.min(), values.max()
    at, ground = int((values == top).sum()), int((values == low).sum())
    between = values.size - at - ground
    if at < 20 or (between < at and between < BETWEEN * values.size):
        return 0.0
    if len(np.unique(values[:: max(1, values.size // SOME)])) <= FEW_VALUES:
        return 0.0
    just = int((values == values[values < top].max()).sum())
    return at / values.size if at > 4 * just else 0.0


def _hot(planes: NDArray[np.float32], sigma: float) -> float:
    """Share of pixels that stand out of all their neighbours by 12 standard deviations."""
    ring = np.ones((3, 3), bool)
    ring[1, 1] = False
    around = np.stack([ndimage.maximum_filter(p, footprint=ring) for p in planes])
    least = np.stack([ndimage.minimum_filter(p, footprint=ring) for p in planes])
    far = 12 * max(sigma, 1e-12) + 2 * (around - least)
    return float(np.mean(planes - around > far))


def _blocky(planes: NDArray[np.float32]) -> float:
    """Mean difference across the borders of 8 x 8 blocks over that inside of them."""
    step = np.abs(np.diff(planes, axis=2)).mean((0, 1))
    if len(step) < 24:
        return 1.0
    border = step[7::8].mean()
    inside = np.delete(step, np.arange(7, len(step), 8)).mean()
    return float(border / inside) if inside > 0 else 1.0
