"""Intensities: the rule that a model stores, and the numbers that it gives for one image or one series.

The numbers are measured once on the whole source image, so a crop is normalised as the whole is, and a model works
on any camera: an image times a gain plus an offset normalises to the same values. They describe what was imaged:
padding, blank frames and hot pixels do not count, and a few objects in an empty field set the top, or, if dark, the bottom.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo.boxes import slices
from napari_dojo.data.axes import Axes
from napari_dojo.data.padding import Sparse, background, filled, padding, step_of, strided, unknown

__all__ = ["Cleaned", "Cleaning", "Normalization", "Rule", "dim_frames", "finite", "is_blank", "sampled"]

SAMPLED = 4_000_000  # values looked at per channel; a stride over the whole image keeps to it
NOISE = 100_000  # of these, values on which the noise is measured
BRIGHT = 6.0  # standard deviations of the noise from which on a pixel shows an object
HOT = 3.0  # a single pixel that is normalised to more than this is a defect of the camera
MOST_HOT = 0.02  # share of an image that such pixels are at most
LOOKED_AT = 16  # frames of a series that are compared
DIM = 5.0  # times that the brightest frame of a series is brighter than the dimmest, from which a warning is given
OBJECT = 9  # px; bright or dark places that are smaller in all do not set the top or the bottom


@dataclass(frozen=True)
class Normalization:
    """The numbers of one image: ``(x - offset) / scale`` channel by channel, each (C,) in the image's units."""

    offset: tuple[float, ...]
    scale: tuple[float, ...]

    def apply(self, x: Any) -> NDArray[np.float32]:
        """Normalise (C, *S) to float32; NaN that `clean` has left become 0, infinities the largest and smallest finite value."""
        x = np.asarray(x)
        column = (-1,) + (1,) * (x.ndim - 1)
        offset, scale = np.reshape(self.offset, column), np.reshape(self.scale, column)
        wide = x.dtype.itemsize > 2  # 32-bit integers and floats: subtract before rounding to float32
        kind = np.float64 if wide else np.float32
        out = ((x - offset.astype(kind)) * (1 / scale).astype(kind)).astype(np.float32, copy=False)
        return finite(out) if x.dtype.kind == "f" else out

    def clean(self, x: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        """An image (C, *S) as a network may see it, still in its units, and where it is padding (None: nowhere).

        Padding and NaN get the level of the background, and hot pixels the median of those around them. ``x`` stays as it is
        where there is neither.
        """
        out, where = filled(x)
        return self._without_hot(out, x, (False,) * len(x)), where

    def _without_hot(self, out: NDArray[Any], x: NDArray[Any], known: Sequence[bool]) -> NDArray[Any]:
        """Hot pixels as those around them; ``known`` : of a channel, that what is so bright is hot, however much there is."""
        for c, (offset, scale) in enumerate(zip(self.offset, self.scale, strict=True)):
            most = 1.0 if known[c] else MOST_HOT
            at = _single(out[c], offset + HOT * scale, offset + HOT / 2 * scale, most)
            if at is not None:
                out = out.copy() if out is x else out
                out[c][at] = np.median(_around(out[c], at), 0)
        return out

    def repeated(self, times: int) -> Normalization:
        """The same for samples whose channels come several times: those of their neighbours."""
        return Normalization(self.offset * times, self.scale * times)

    def invert(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Back to the image's units: (C, *S) float32."""
        column = (-1,) + (1,) * (x.ndim - 1)
        scale, offset = np.reshape(self.scale, column), np.reshape(self.offset, column)
        return (x * scale + offset).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Cleaning:
    """What is padding and what is a defect in a large image, known of all of it, so that it can be cleaned part by part.

    Attributes
    ----------
    norm : the numbers of the image.
    found : where each channel is padding, on every n-th pixel.
    levels : of the background of each channel, which padding and NaN get.
    hot : of each channel, whether pixels far above the rest are few, and so defects where they are single.
    """

    norm: Normalization
    found: tuple[Sparse | None, ...]
    levels: tuple[float, ...]
    hot: tuple[bool, ...]

    @staticmethod
    def of(few: NDArray[Any], step: int, norm: Normalization) -> Cleaning:
        """From every ``step``-th pixel of an image along each axis, (C, *s), see `sampled`."""
        bright = [offset + HOT * scale for offset, scale in zip(norm.offset, norm.scale, strict=True)]
        hot = tuple(bool((c > b).mean() <= MOST_HOT) for c, b in zip(few, bright, strict=True))
        found = tuple(Sparse.of(c, step) for c in few)
        levels = tuple(background(c, None if f is None else f.seen) for c, f in zip(few, found, strict=True))
        return Cleaning(norm, found, levels, hot)

    @property
    def blank(self) -> bool:
        """Whether the pixels that were looked at show nothing."""
        return all(f is not None and f.everywhere for f in self.found)

    def clean(
        self, part: NDArray[Any], box: Sequence[tuple[int, int]]
    ) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        """A part (C, *s), which lies in ``box``, as `Normalization.clean` gives it where it cleans the whole image."""
        empty = [
            not self.blank and f is not None and f.everywhere and is_blank(c)
            for f, c in zip(self.found, part, strict=True)
        ]  # channels that show nothing stay as they are
        full = np.ones(part.shape[1:], bool)
        masks = [
            full if nothing else None if f is None else f.where(c, box)
            for nothing, f, c in zip(empty, self.found, part, strict=True)
        ]
        out, known = part, None
        if any(m is not None for m in masks):
            known = np.stack([np.zeros(part.shape[1:], bool) if m is None else m for m in masks])
        if lacking := [mask for mask in (known, unknown(part)) if mask is not None]:
            out = part.copy()
            mask = np.logical_or.reduce(lacking)
            for c in np.flatnonzero(np.logical_not(empty)):
                out[c][mask[c]] = self.levels[c]
        return self.norm._without_hot(out, part, self.hot), known


class Cleaned:
    """A box of an image (C, *S) that stays in its file: parts are read and cleaned when they are asked for, as arrays.

    ``x`` : the whole image, memory-mapped or dask; ``norm`` : its numbers.
    """

    def __init__(self, x: Any, norm: Normalization, box: Sequence[tuple[int, int]]) -> None:
        self._x, self._box = x, box
        step = step_of(x.shape[1:], SAMPLED)
        few = np.asarray(x[(slice(None), *(slice(None, None, step) for _ in box))])
        self._cleaning = Cleaning.of(few, step, norm)
        self.shape = (int(x.shape[0]), *(b - a for a, b in box))
        self.dtype, self.ndim = np.dtype(x.dtype), len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: tuple[slice, ...]) -> NDArray[Any]:
        channels, *spans = (*key, *(slice(None),) * (self.ndim - len(key)))
        ends = [span.indices(n)[:2] for span, n in zip(spans, self.shape[1:], strict=True)]
        box = tuple((o + a, o + b) for (o, _), (a, b) in zip(self._box, ends, strict=True))
        part = np.asarray(self._x[(slice(None), *slices(box))])
        return self._cleaning.clean(part, box)[0][channels]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[(slice(None),)], dtype)


@dataclass(frozen=True)
class Rule:
    """What becomes 0 and 1, channel by channel: percentiles of what was imaged.

    Attributes
    ----------
    low, high : percentiles, 0 to 100. In a field with few objects the top or the bottom is theirs, see `measure`.
    frames : "whole" measures a time series once; "each" measures frame by frame (bleaching, flicker).
    shared : the numbers of all images, where their brightness tells something; None: each image has its own.
    """

    low: float = 1.0
    high: float = 99.8
    frames: str = "whole"
    shared: Normalization | None = None

    def measure(self, x: Any) -> Normalization:
        """The numbers of a whole image (C, *S), any dtype, numpy or dask. Constant and empty images give scale 1.

        - Padding (see `napari_dojo.data.padding`) and values that are not finite are left out.
        - Hot pixels, which are far brighter than the image and single, are left out where they would be the top; as dark ones
          are where they would be the bottom.
        - Where objects are so few that a percentile lies in the noise, their own brightness is the top, or the bottom where they
          are dark on a bright ground.
        """
        return self.measure_series([x])

    def measure_series(self, frames: Sequence[Any]) -> Normalization:
        """The numbers of a series of images (C, *S) as of one image."""
        if self.shared is not None:
            return self.shared
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
        if self.shared is not None:
            return self.shared
        ends = [_percentiles(c.ravel(), (self.low, self.high)) for c in x]
        return Normalization(tuple(a for a, _ in ends), tuple(b - a if b > a else 1.0 for a, b in ends))

    def _range(self, frames: Sequence[NDArray[Any]]) -> tuple[float, float]:
        """What becomes 0 and 1, of one channel."""
        v = np.concatenate([_finite(a) for a in frames])
        if v.size == 0:
            return 0.0, 0.0
        low, high = _percentiles(v, (self.low, self.high))
        high = _top(v, frames, high, self.high)
        low = -_top(v, frames, -low, 100 - self.low, upside_down=True) + 0.0  # no -0
        if high - low <= 1e-9 * max(abs(low), abs(high)):  # a few bright pixels on a constant ground
            low, high = float(v.min()), float(v.max())
        return low, high


def sampled(axes: Axes, array: Any, sample: int) -> tuple[NDArray[Any], int]:
    """Every n-th pixel along each axis of a sample, (C, *s), and n: those that its numbers are measured on."""
    step = step_of(axes.size(array.shape), SAMPLED)
    key = tuple(slice(None, None, step) if a in axes.spatial else slice(None) for a in axes.names)
    few = axes.sample(array[key], sample)
    if not hasattr(few, "dask"):
        return np.asarray(few), step
    from dask import config

    # named where nobody chose one, because dask loads distributed to look for another scheduler
    return few.compute(scheduler=config.get("scheduler", None) or "threads"), step


def finite(x: NDArray[Any]) -> NDArray[Any]:
    """An array of any shape whose NaN are 0, and whose infinities are its largest and smallest finite value."""
    known = np.isfinite(x)
    if known.all():
        return x
    low, high = (x[known].min(), x[known].max()) if known.any() else (0.0, 0.0)
    return np.nan_to_num(x, nan=0.0, posinf=high, neginf=low)


def is_blank(x: Any) -> bool:
    """Whether an image shows nothing at all: it is constant, apart from values that are not finite."""
    x = np.asarray(x)
    if not x.size:
        return True
    low, high = x.min(), x.max()
    if np.isfinite(low) and np.isfinite(high):
        return bool(low == high)
    left = x[np.isfinite(x)]
    return left.size == 0 or bool(left.min() == left.max())


def dim_frames(frames: Sequence[Any]) -> str:
    """A warning that some frames (C, *S) of a series are far dimmer than others; empty where none is."""
    some = frames[:: max(1, -(-len(frames) // LOOKED_AT))]
    seen = [np.stack([np.asarray(strided(c, NOISE)) for c in x]) for x in some]
    spans = [Rule().measure(x).scale for x in seen if all(_imaged(c) is not None for c in x)]
    ratio = max((max(s) / min(s) for s in zip(*spans, strict=True)), default=1.0)
    if ratio < DIM:
        return ""
    return (
        f"Frames differ {ratio:.0f}-fold in brightness, so objects in the dim ones may be missed. "
        "Measure each frame by itself (Frames: each)."
    )


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


def _percentiles(v: NDArray[Any], wanted: Sequence[float]) -> list[float]:
    """Percentiles of (n,) as `np.percentile` has them; of 8 and 16 bits by counting, which is several times faster."""
    if v.dtype not in (np.uint8, np.uint16):
        return [float(p) for p in np.percentile(v.astype(np.float64), wanted)]
    below = np.cumsum(np.bincount(v))
    places = np.asarray(wanted) / 100 * (v.size - 1)
    first, second = (np.searchsorted(below, np.asarray(f(places)), side="right") for f in (np.floor, np.ceil))
    return [float(a + (b - a) * part) for a, b, part in zip(first, second, places % 1, strict=True)]


def _finite(a: NDArray[Any]) -> NDArray[Any]:
    return a[np.isfinite(a)] if a.dtype.kind == "f" else a.ravel()


def _top(
    v: NDArray[Any], frames: Sequence[NDArray[Any]], high: float, percentile: float, *, upside_down: bool = False
) -> float:
    """The upper percentile ``high`` of the values, unless hot pixels are above it, or objects so few that they are.

    ``upside_down`` : of the values times -1, where that is the lower one.
    """
    few = v[:: max(1, len(v) // NOISE)].astype(np.float64)
    few = -few if upside_down else few
    below, middle, most = np.percentile(few, [15.87, 50, 98])
    noise = middle - below
    if noise <= 0:
        return high
    bright = middle + max(BRIGHT * noise, 3 * (most - middle))
    if (-float(v.min()) if upside_down else float(v.max())) <= bright:
        return high
    if upside_down:
        v, frames = -v.astype(np.float64), [-a.astype(np.float64) for a in frames]
    objects, single = _objects(frames, bright)
    if single and high > bright:
        kept = np.concatenate([v[v <= bright], objects]).astype(np.float64)
        high = float(np.percentile(kept, percentile))
    if most - middle > 3 * noise:  # the brightest fiftieth shows objects
        return high
    return max(high, float(np.percentile(objects, 75))) if len(objects) >= OBJECT else high


def _objects(frames: Iterable[NDArray[Any]], bright: float) -> tuple[NDArray[Any], int]:
    """The values above ``bright`` with others like them around, and the number of those without: single pixels."""
    found: list[NDArray[Any]] = []
    single = 0
    for a in frames:
        at = np.nonzero(a > bright)
        alone = (_around(a, at) > bright).sum(0) < 3
        values = a[at][~alone]
        found.append(values[np.isfinite(values)])
        single += int(alone.sum())
    return np.concatenate(found), single


def _single(a: NDArray[Any], bright: float, half: float, most: float = MOST_HOT) -> tuple[NDArray[np.intp], ...] | None:
    """Places above ``bright`` with hardly a neighbour above ``half``; None where there are none, or too many."""
    above = a > bright
    if not above.any() or above.mean() > most:
        return None
    at = np.nonzero(above)
    alone = (_around(a, at) > half).sum(0) < 3
    return tuple(i[alone] for i in at) if alone.any() else None


def _around(a: NDArray[Any], at: tuple[NDArray[np.intp], ...]) -> NDArray[Any]:
    """The values of the eight neighbours in the plane of each place of (*S), (8, n); at the edge the nearest."""
    rows, columns = (
        [i, np.clip(i - 1, 0, n - 1), np.clip(i + 1, 0, n - 1)] for i, n in zip(at[-2:], a.shape[-2:], strict=True)
    )
    return np.stack([a[(*at[:-2], r, c)] for r in rows for c in columns][1:])
