"""Targets that are images brought onto their inputs: shifts, brightness, and pixels whose value is not known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_dojo.data.dataset import Dataset, Sample
from napari_dojo.data.noise import measure_noise
from napari_dojo.data.registration import brightness, shift_between, shifted
from napari_dojo.data.resample import cubic

__all__ = ["as_bright", "both_as_one_channel", "moved", "without_saturated"]


def as_bright(dataset: Dataset) -> Dataset:
    """Targets as bright as their inputs, channel by channel, so that no gain has to be learned; small differences stay."""

    def item(old: Sample) -> Sample:
        if old.y is None:
            return old
        y, out = np.asarray(old.y, np.float32), []
        for a, b in zip(_as_large(dataset.own(old.x), y), y, strict=True):
            gain, offset, error = brightness(a, b)
            span = float(np.ptp(np.percentile(a[np.isfinite(a)], [1, 99.8]))) if np.isfinite(a).any() else 0.0
            lift = abs(float(np.nanmean(b)) * (gain - 1) + offset)  # of the mean
            chance = max(0.05, 4 * error), max(0.02 * span, 4 * error * float(np.nanstd(b)))
            same = abs(gain - 1) < chance[0] and lift < chance[1]
            out.append(b if same or gain <= 0 else gain * b + offset)
        return replace(old, y=np.stack(out))

    return replace(dataset, samples=tuple(map(item, dataset.samples)))


def moved(dataset: Dataset) -> Dataset:
    """Targets moved onto their inputs; what comes in from outside is not trained on."""

    def item(old: Sample) -> Sample:
        if old.y is None:
            return old
        fit = shift_between(*both_as_one_channel(old, dataset))
        if np.abs(fit.shift).max() < 0.05 or fit.unrelated:
            return old
        y = shifted(np.asarray(old.y), fit.shift)
        known = np.asarray(np.isfinite(y).all(0))
        return _only(replace(old, y=np.nan_to_num(y)), known)

    return replace(dataset, samples=tuple(map(item, dataset.samples)))


def without_saturated(dataset: Dataset, of: Callable[[Sample], Any]) -> Dataset:
    """Exclude saturated pixels that touch other saturated ones: their true value is not known."""

    def item(old: Sample) -> Sample:
        y = np.asarray(of(old))
        clipped = np.zeros(y.shape[1:], bool)
        for channel in y:
            if measure_noise(channel).saturated > 0:
                top = channel == channel.max()
                clipped |= top & (ndimage.uniform_filter(top.astype(np.float32), 3) > 0.5)
        return _only(old, ~clipped) if clipped.any() else old

    return replace(dataset, samples=tuple(map(item, dataset.samples)))


def both_as_one_channel(item: Sample, dataset: Dataset) -> tuple[NDArray[Any], NDArray[Any]]:
    """Input and target of a sample as one channel each, both of the target's size (*S * scale), float32."""
    y = np.asarray(item.y, np.float32)
    x = _as_large(dataset.own(item.x), y)
    return (x[0], y[0]) if len(x) == len(y) else (x.mean(0), y.mean(0))


def _as_large(x: Any, y: NDArray[Any]) -> NDArray[np.float32]:
    """An input (C, *S) interpolated to the size of its target (K, *S * scale)."""
    return cubic(np.asarray(x, np.float32), [b / a for a, b in zip(np.shape(x)[1:], y.shape[1:], strict=True)])


def _only(item: Sample, known: NDArray[np.bool_]) -> Sample:
    """The sample restricted to where its target is known, bool (*S * scale); an input pixel counts where all of its target pixels do."""
    factors = [b // a for a, b in zip(item.size, known.shape, strict=True)]
    blocks = known.reshape([v for n, f in zip(item.size, factors, strict=True) for v in (n, f)])
    coarse = np.asarray(blocks.all(axis=tuple(range(1, 2 * known.ndim, 2))))
    return replace(item, region=coarse if item.region is None else coarse & item.region)
