"""Whether two images show the same place: how far one is shifted, how much brighter it is, and how well they agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_dojo.boxes import middle

__all__ = ["Fit", "brightness", "shift_between", "shifted"]

UNRELATED = 0.1  # |r| below which two images show different places, however many structures they have
STANDS_OUT = 9.0  # standard deviations of the correlation over all shifts: less may be chance
LARGEST = 1024  # px along an axis that are looked at, in the middle


@dataclass(frozen=True)
class Fit:
    """How a second image lies to a first.

    Attributes
    ----------
    shift : px for each axis by which the second has to be moved to lie on the first.
    correlation : Pearson's r of the smoothed images after that, -1 to 1. Where no shift stands out, there is none.
    chance : the standard deviation of r without any correlation: large where an image shows few structures (Bartlett 1946).
    """

    shift: tuple[float, ...]
    correlation: float
    chance: float = 0.0

    @property
    def unrelated(self) -> bool:
        """Whether they agree no better than images of different places do."""
        return abs(self.correlation) < max(UNRELATED, min(3.5 * self.chance, 0.5))


def shift_between(a: Any, b: Any) -> Fit:
    """Find by phase correlation how far image ``b`` (*S) is shifted against ``a`` (*S), to a tenth of a pixel.

    (Kuglin and Hines 1975; upsampled as Guizar-Sicairos et al. 2008, Optics Letters 33:156.) Contrast may be inverted.
    """
    from skimage.registration import phase_cross_correlation

    first, second = (_prepared(_middle(x)) for x in (a, b))
    if not first.any() or not second.any():
        return Fit((0.0,) * np.ndim(a), 0.0)
    window = np.ones(first.shape, np.float32)
    for axis, n in enumerate(first.shape):
        window *= (
            np.hanning(n + 2)[1:-1].astype(np.float32).reshape([-1 if i == axis else 1 for i in range(window.ndim)])
        )
    a, b = first * window, second * window
    peaks = np.fft.ifftn(np.fft.fftn(a) * np.conj(np.fft.fftn(b))).real
    sign = 1 if peaks.max() >= -peaks.min() else -1
    move = np.zeros(a.ndim)
    top, power = float((sign * peaks).max()), float(np.sqrt((a * a).sum() * (b * b).sum()))
    if top > 0.5 * power or top > STANDS_OUT * float(peaks.std()):
        move = phase_cross_correlation(a, sign * b, upsample_factor=10, normalization=None)[0]
    there = ndimage.shift(second, move, order=1, mode="constant", cval=np.nan)
    both = np.isfinite(there)
    chance = float(peaks.std()) / power if power > 0 else 0.0
    return Fit(tuple(float(m) for m in move), _pearson(first[both], there[both]), chance)


def shifted(b: NDArray[Any], shift: Sequence[float]) -> NDArray[np.float32]:
    """Image (K, *S) moved by ``shift`` px for each axis of S; what comes in from outside is NaN."""
    b = np.asarray(b, np.float32)
    whole = all(float(s).is_integer() for s in shift)
    return np.stack([ndimage.shift(c, shift, order=0 if whole else 3, mode="constant", cval=np.nan) for c in b])


def brightness(a: Any, b: Any) -> tuple[float, float, float]:
    """Gain and offset by which image ``b`` (*S) becomes as bright as ``a``, and the standard error of the gain.

    a ≈ gain x b + offset, after noise was smoothed away.
    """
    width = 3.0
    first, second = (ndimage.gaussian_filter(_middle(x), width) for x in (a, b))
    known = np.isfinite(first) & np.isfinite(second)
    first, second = first[known].astype(np.float64), second[known].astype(np.float64)
    spread = float(np.var(second)) if second.size else 0.0
    if spread <= 0:
        return 1.0, 0.0, float("inf")
    gain = float(np.mean((first - first.mean()) * (second - second.mean())) / spread)
    offset = float(first.mean() - gain * second.mean())
    apart = max(2.0, second.size / (4 * np.pi * width**2))  # as many values as are independent after smoothing
    return gain, offset, float(np.sqrt(np.mean((first - gain * second - offset) ** 2) / spread / apart))


def _middle(x: Any) -> NDArray[np.float32]:
    return np.asarray(x[middle(np.shape(x), LARGEST)], np.float32)


def _prepared(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Smoothed, without its slow parts, mean 0 and standard deviation 1; zeros where it is constant."""
    x = np.nan_to_num(x, nan=float(np.nanmedian(x)) if np.isfinite(x).any() else 0.0, posinf=0.0, neginf=0.0)
    flat = [0.0 if n < 16 else 1.0 for n in x.shape]
    out = ndimage.gaussian_filter(x, [1.5 * f for f in flat]) - ndimage.gaussian_filter(x, [20 * f for f in flat])
    spread = float(out.std())
    return out / spread if spread > 1e-12 * max(1.0, float(np.abs(x).max())) else np.zeros_like(out)


def _pearson(a: NDArray[Any], b: NDArray[Any]) -> float:
    if a.size < 2:
        return 0.0
    a, b = a - a.mean(), b - b.mean()
    power = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / power if power > 0 else 0.0
