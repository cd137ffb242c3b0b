"""Resolution from the images alone: the Fourier ring correlation of two pictures of one scene.

Two images agree in the coarse and differ in the finest, which is noise; where the correlation of their Fourier
transforms on rings of one frequency falls below 1/7, the detail ends (Saxton and Baumeister 1982, J. Microsc. 127:127;
Nieuwenhuizen et al. 2013, Nature Methods 10:557).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["THRESHOLD", "RingCorrelation", "ring_correlation"]

THRESHOLD = 1 / 7


@dataclass(frozen=True, eq=False)
class RingCorrelation:
    """The curve and what it says.

    Attributes
    ----------
    frequency : cycles per px, from 0 to .5, of each ring.
    correlation : of the two transforms on that ring, -1 to 1.
    smooth : the same, smoothed over neighbouring rings; it decides.
    resolution : px, one over the frequency where ``smooth`` first falls below 1/7; 2 (the finest there can be) where it
        never does, infinite where the two share nothing.
    """

    frequency: NDArray[np.float64]
    correlation: NDArray[np.float64]
    smooth: NDArray[np.float64]
    resolution: float

    @property
    def sentence(self) -> str:
        """``detail down to 5.2 px``."""
        if not np.isfinite(self.resolution):
            return "no common detail"
        return f"detail down to {self.resolution:.1f} px"


def ring_correlation(a: Any, b: Any) -> RingCorrelation:
    """Correlate two images (*S) on rings in the plane of their last two axes; planes of volumes are pooled.

    Raises
    ------
    ValueError : where the shapes differ.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.shape != b.shape or a.ndim < 2:
        raise ValueError(f"two images of one shape are needed; got {a.shape} and {b.shape}")
    edge = min(a.shape[-2:])
    a, b = (_square(x, edge) for x in (a, b))
    window = np.hanning(edge + 2)[1:-1]
    window = window[:, None] * window[None]
    one, two = (np.fft.fft2((x - x.mean((-2, -1), keepdims=True)) * window) for x in (a, b))
    axis = np.fft.fftfreq(edge) * edge
    ring = np.rint(np.hypot(axis[:, None], axis[None])).astype(int)
    rings = edge // 2 + 1
    inside = ring < rings
    ring = ring[inside]

    def total(values: NDArray[Any]) -> NDArray[np.float64]:
        return np.asarray(np.bincount(ring, values.sum(tuple(range(values.ndim - 2)))[inside], rings), np.float64)

    power = np.sqrt(total(np.abs(one) ** 2) * total(np.abs(two) ** 2))
    correlation = np.where(power > 0, total((one * two.conj()).real) / np.maximum(power, 1e-300), 0.0)
    frequency = np.arange(rings) / edge
    smooth = _smoothed(correlation)
    return RingCorrelation(frequency, correlation, smooth, _crossing(frequency, smooth))


def _square(x: NDArray[np.float64], edge: int) -> NDArray[np.float64]:
    cut = tuple(slice((n - edge) // 2, (n - edge) // 2 + edge) for n in x.shape[-2:])
    return np.asarray(np.nan_to_num(x[(Ellipsis, *cut)]), np.float64)  # type: ignore[arg-type]


def _smoothed(correlation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over five rings; the first ring, which is the mean of the image, takes its neighbour's value."""
    smooth = ndimage.uniform_filter1d(correlation[1:], 5, mode="nearest") if len(correlation) > 1 else correlation
    return np.asarray(np.r_[smooth[:1], smooth] if len(correlation) > 1 else smooth)


def _crossing(frequency: NDArray[np.float64], smooth: NDArray[np.float64]) -> float:
    below = np.flatnonzero(smooth < THRESHOLD)
    if not len(below):
        return 1 / float(frequency[-1])
    k = int(below[0])
    if k <= 1:
        return float("inf")
    high, low = smooth[k - 1], smooth[k]
    at = frequency[k - 1] + (frequency[k] - frequency[k - 1]) * (high - THRESHOLD) / max(high - low, 1e-12)
    return 1 / float(at)
