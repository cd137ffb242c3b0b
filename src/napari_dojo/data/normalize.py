"""Intensities: the rule that a model stores, and the numbers that it gives for one image.

The numbers are measured once on the whole source image, so a crop is normalised as the whole is, and a model works
on any camera: an image times a gain plus an offset normalises to the same values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Normalization", "Rule"]

SAMPLED = 4_000_000  # values looked at per channel; a stride over the whole image keeps to it


@dataclass(frozen=True)
class Normalization:
    """The numbers of one image: ``(x - offset) / scale`` channel by channel, each (C,) in the image's units."""

    offset: tuple[float, ...]
    scale: tuple[float, ...]

    def apply(self, x: Any) -> NDArray[np.float32]:
        """Normalise (C, *S) to float32; NaN becomes 0, infinities the largest and smallest finite value."""
        x = np.asarray(x)
        column = (-1,) + (1,) * (x.ndim - 1)
        offset, scale = np.reshape(self.offset, column), np.reshape(self.scale, column)
        wide = x.dtype.itemsize > 2  # 32-bit integers and floats: subtract before rounding to float32
        kind = np.float64 if wide else np.float32
        out = ((x - offset.astype(kind)) * (1 / scale).astype(kind)).astype(np.float32, copy=False)
        if x.dtype.kind == "f" and not np.isfinite(out).all():
            finite = out[np.isfinite(out)]
            low, high = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
            out = np.nan_to_num(out, nan=0.0, posinf=high, neginf=low)
        return out

    def invert(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Back to the image's units."""
        column = (-1,) + (1,) * (x.ndim - 1)
        scale, offset = np.reshape(self.scale, column), np.reshape(self.offset, column)
        return (x * scale + offset).astype(np.float32)


@dataclass(frozen=True)
class Rule:
    """Percentiles that become 0 and 1, channel by channel.

    Attributes
    ----------
    low, high : percentiles, 0 to 100.
    frames : "whole" measures a time series once; "each" measures frame by frame (bleaching, flicker).
    """

    low: float = 1.0
    high: float = 99.8
    frames: str = "whole"

    def measure(self, x: Any) -> Normalization:
        """The numbers of a whole image (C, *S), any dtype, numpy or dask. Constant and empty images give scale 1."""
        offsets, scales = [], []
        step = max(1, int(np.ceil((np.prod(x.shape[1:]) / SAMPLED) ** (1 / max(1, len(x.shape) - 1)))))
        for c in range(x.shape[0]):
            v = np.asarray(x[(c, *[slice(None, None, step)] * (len(x.shape) - 1))])
            if v.dtype.kind == "f":
                v = v[np.isfinite(v)]
            if v.size == 0:
                offsets.append(0.0)
                scales.append(1.0)
                continue
            low, high = (float(p) for p in np.percentile(v.astype(np.float64), [self.low, self.high]))
            if high - low <= 1e-9 * max(abs(low), abs(high)):  # a few bright pixels on a constant ground
                low, high = float(v.min()), float(v.max())
            offsets.append(low)
            scales.append(high - low if high > low else 1.0)
        return Normalization(tuple(offsets), tuple(scales))
