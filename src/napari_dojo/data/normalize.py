"""Intensities: the rule that a model stores, and the numbers that it gives for one image or one series.

The numbers are measured once on the whole source image, so a crop is normalised as the whole is, and a model works
on any camera: an image times a gain plus an offset normalises to the same values. They describe what was imaged:
padding, blank frames and hot pixels do not count, and a few bright objects in an empty field set the top.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_dojo.data.padding import padding, strided

__all__ = ["Normalization", "Rule"]

SAMPLED = 4_000_000  # values looked at per channel; a stride over the whole image keeps to it
NOISE = 100_000  # of these, values on which the noise is measured
BRIGHT = 6.0  # standard deviations of the noise from which on a pixel shows an object
OBJECT = 9  # px; bright places that are smaller in all do not set the top


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
    """What becomes 0 and 1, channel by channel: percentiles of what was imaged.

    Attributes
    ----------
    low, high : percentiles, 0 to 100. In a field with few objects the top is theirs, see `measure`.
    frames : "whole" measures a time series once; "each" measures frame by frame (bleaching, flicker).
    """

    low: float = 1.0
    high: float = 99.8
    frames: str = "whole"

    def measure(self, x: Any) -> Normalization:
        """The numbers of a whole image (C, *S), any dtype, numpy or dask. Constant and empty images give scale 1.

        - Padding (see `napari_dojo.data.padding`) and values that are not finite are left out.
        - Hot pixels, which are far brighter than the image and single, are left out where they would be the top.
        - Where objects are so few that the upper percentile lies in the noise, their own brightness is the top.
        """
        return self.measure_series([x])

    def measure_series(self, frames: Sequence[Any]) -> Normalization:
        """The numbers of a series of images (C, *S) as of one image."""
        size = np.prod(frames[0].shape[1:])
        step = max(1, int(np.ceil((len(frames) * size / SAMPLED) ** (1 / max(1, len(frames[0].shape)))))) if size else 1
        frames = frames[::step] if len(frames) > 1 else frames
        each = max(1, SAMPLED // len(frames))
        ranges = []
        for c in range(frames[0].shape[0]):
            seen = [np.asarray(strided(x[c], each)) for x in frames]
            ranges.append(self._range([a for a in map(_imaged, seen) if a is not None] or seen))
        return Normalization(tuple(a for a, _ in ranges), tuple(b - a if b > a else 1.0 for a, b in ranges))

    def percentiles(self, x: NDArray[Any]) -> Normalization:
        """The numbers that the percentiles alone give for (C, *S), as other programs compute them."""
        ends = [np.percentile(c.astype(np.float64), [self.low, self.high]) for c in x]
        return Normalization(tuple(float(a) for a, _ in ends), tuple(float(b - a) if b > a else 1.0 for a, b in ends))

    def _range(self, frames: Sequence[NDArray[Any]]) -> tuple[float, float]:
        """What becomes 0 and 1, of one channel."""
        v = np.concatenate([_finite(a) for a in frames])
        if v.size == 0:
            return 0.0, 0.0
        low, high = (float(p) for p in np.percentile(v.astype(np.float64), [self.low, self.high]))
        high = self._top(v, frames, high)
        if high - low <= 1e-9 * max(abs(low), abs(high)):  # a few bright pixels on a constant ground
            low, high = float(v.min()), float(v.max())
        return low, high

    def _top(self, v: NDArray[Any], frames: Sequence[NDArray[Any]], high: float) -> float:
        """The upper percentile, unless hot pixels are above it, or objects so few that they are."""
        few = v[:: max(1, len(v) // NOISE)].astype(np.float64)
        below, middle, most = np.percentile(few, [15.87, 50, 98])
        noise = middle - below
        if noise <= 0:
            return high
        bright = middle + max(BRIGHT * noise, 3 * (most - middle))
        objects, single = _objects(frames, bright) if v.max() > bright else (v[:0], 0)
        if single and high > bright:
            kept = np.concatenate([v[v <= bright], objects]).astype(np.float64)
            high = float(np.percentile(kept, self.high))
        if most - middle > 3 * noise:  # the brightest fiftieth shows objects
            return high
        return max(high, float(np.percentile(objects, 75))) if len(objects) >= OBJECT else high


def _imaged(a: NDArray[Any]) -> NDArray[Any] | None:
    """A channel (*S) whose padding is NaN; None where it is blank."""
    where = padding(a[None])
    if where is None:
        return a
    if where.all():
        return None
    out = a.astype(np.float64)
    out[where[0]] = np.nan
    return out


def _finite(a: NDArray[Any]) -> NDArray[Any]:
    return a[np.isfinite(a)] if a.dtype.kind == "f" else a.ravel()


def _objects(frames: Iterable[NDArray[Any]], bright: float) -> tuple[NDArray[Any], int]:
    """The values above ``bright`` with others like them around, and the number of those without: single pixels."""
    found: list[NDArray[Any]] = []
    single = 0
    for a in frames:
        above = a > bright
        where = np.nonzero(above)
        around = np.zeros(len(where[0]), np.uint8)
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                y = np.clip(where[-2] + dy, 0, a.shape[-2] - 1)
                around += above[(*where[:-2], y, np.clip(where[-1] + dx, 0, a.shape[-1] - 1))]
        found.append(a[where][around >= 4])
        single += int((around < 4).sum())
    return np.concatenate(found), single

