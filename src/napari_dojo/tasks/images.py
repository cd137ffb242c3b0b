"""What tasks share whose answers are images: checks of the pairs, and baselines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_dojo.data.dataset import Dataset, Sample
from napari_dojo.data.noise import Noise, measure_noise
from napari_dojo.data.registration import Fit, brightness, shift_between, shifted
from napari_dojo.data.resample import cubic
from napari_dojo.metrics.images import ImageScores, psnr
from napari_dojo.tasks.base import Finding, Fix

__all__ = [
    "as_bright",
    "best_filter",
    "best_linear",
    "both_noisy",
    "frame_findings",
    "moved",
    "noise_findings",
    "noise_of",
    "place_findings",
    "plain_example",
    "score_images",
    "without_saturated",
]

LOOKED_AT = 12  # pairs, evenly spread over all of them
CLEAR = 0.6  # |r| from which on two kinds of image agree so well that their shift is known
FILTERS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "the input": lambda x: x,
    **{f"Gaussian filter of {s:g} px": partial(ndimage.gaussian_filter, sigma=s) for s in (0.7, 1, 1.5, 2, 3, 4)},
    **{f"median filter of {n} px": partial(ndimage.median_filter, size=n) for n in (3, 5)},
}


@dataclass(frozen=True)
class _Placed:
    """How the target of an item lies to its input."""

    name: str
    fit: Fit


T = TypeVar("T")


def some(items: Sequence[T], most: int = LOOKED_AT) -> Sequence[T]:
    """``count`` of the items, evenly spread."""
    return items[:: max(1, -(-len(items) // most))]


def own(x: Any, dataset: Dataset) -> Any:
    """The channels of a sample itself, without those of its neighbours."""
    many = len(x) // (1 + 2 * dataset.reach)
    return x[dataset.reach * many : (dataset.reach + 1) * many]


def noise_of(items: Iterable[Sample], dataset: Dataset, of: Callable[[Sample], Any]) -> list[Noise]:
    """The noise of each channel of some images; constant ones are left out."""
    found = [measure_noise(c) for item in items for c in np.asarray(of(item))]
    return [n for n in found if n.span > 0]


def place_findings(dataset: Dataset, register: bool, alike: bool = True) -> tuple[Finding, ...]:
    """Whether targets show what their inputs show, and where: unrelated ones, and a common shift.

    ``alike`` : they look alike; else only a clear shift is reported.
    """
    looked = some([i for i in dataset.samples if i.y is not None])
    placed = [_Placed(i.name, shift_between(*_both(i, dataset))) for i in looked]
    placed = [p for p in placed if p.fit.correlation or any(p.fit.shift)]
    if not placed:
        return ()
    if not alike:
        placed = [p for p in placed if abs(p.fit.correlation) > CLEAR]
    if not placed:
        return ()
    other = [p for p in placed if p.fit.unrelated]
    if len(other) > len(placed) / 2:
        r = float(np.median([p.fit.correlation for p in placed]))
        text = f"Images and targets show different places: they correlate with {r:.2f} only (1: the same). Are the pairs right?"
        return (Finding("error", text),)
    found = []
    if other:
        first = other[0]
        text = f"The target of {first.name} shows another place (correlation {first.fit.correlation:.2f})."
        found.append(Finding("warning", text, (Fix("Leave out", "leave out", tuple(p.name for p in other)),)))
    shift = np.median([p.fit.shift for p in placed if p not in other], 0)
    if np.abs(shift).max() >= 0.5:
        where = ", ".join(f"{s:+.1f}" for s in shift)
        if register:
            found.append(Finding("ok", f"Targets are moved by {where} px onto the images"))
        else:
            text = f"Targets are shifted against the images by {where} px ({', '.join(dataset.spatial.lower())})."
            fixes = (Fix("Correct the shift", "option", value=("register", True)), Fix("Ignore it", "fine"))
            found.append(Finding("warning", text, fixes))
    return tuple(found)


def noise_findings(inputs: Sequence[Noise], targets: Sequence[Noise]) -> tuple[Finding, ...]:
    """What noise there is, on which side, and what spoils it."""
    if not inputs:
        return ()
    found = [Finding("ok", f"Noise about {_percent(_median(inputs, 'relative'))} of the image's range")]
    if targets:
        ratio = _median(targets, "relative") / max(_median(inputs, "relative"), 1e-9)
        if ratio > 1.3:
            text = f"Targets are noisier than the images, {ratio:.1f} times. Are they swapped?"
            found.append(Finding("warning", text, (Fix("Swap them", "swap"), Fix("Ignore it", "fine"))))
        elif both_noisy(inputs, targets):
            found.append(Finding("ok", "Targets are as noisy as the images: training uses pairs of noisy images"))
    saturated = _median(targets or inputs, "saturated")
    if saturated > 1e-3:
        found.append(
            Finding(
                "warning", f"{_percent(saturated)} of the pixels are saturated; where they touch they are kept out."
            )
        )
    hot = float(np.max([n.hot for n in inputs]))
    if hot > 0:
        found.append(Finding("ok", f"Hot pixels: {hot * 1e6:.0f} in a million"))
    if _median(inputs, "blocky") > 1.2:
        text = "The images look compressed (JPEG): their noise comes in blocks of 8 px. Use the originals if you can."
        found.append(Finding("warning", text, (Fix("Use them", "fine"),)))
    return tuple(found)


def both_noisy(inputs: Sequence[Noise], targets: Sequence[Noise]) -> bool:
    """Whether targets are about as noisy as the images are."""
    return bool(inputs and targets) and _median(targets, "relative") > 0.6 * _median(inputs, "relative")


def frame_findings(dataset: Dataset, each: bool) -> tuple[Finding, ...]:
    """Constant channels, and frames or planes that differ much in brightness."""
    found = []
    for c in range(dataset.channels):
        flat = [i.name for i in dataset.samples if isinstance(i.x, np.ndarray) and i.x[c].min() == i.x[c].max()]
        if dataset.channels > 1 and len(flat) == len(dataset.samples):
            found.append(Finding("warning", f"Channel {c + 1} is constant and says nothing."))
    levels = _levels(dataset)
    if len(levels) > 1 and not each:
        ratio = float(max(levels) / max(min(levels), 1e-9))
        if ratio > 20:
            what = "Planes" if dataset.spatial == "ZYX" else "Images of a series"
            text = f"{what} differ {min(ratio, 9999):.0f}-fold in brightness: the dim ones will hardly be seen."
            fixes = () if dataset.spatial == "ZYX" else (Fix("Scale each by itself", "option", value=("each", True)),)
            found.append(Finding("warning", text, (*fixes, Fix("Ignore it", "fine"))))
    return tuple(found)


def _levels(dataset: Dataset) -> list[float]:
    """The range of brightness of the planes of a volume, or of the frames of a series."""
    item = dataset.samples[0]
    if dataset.spatial == "ZYX":
        planes = [np.asarray(own(item.x, dataset)[:, z]) for z in range(item.size[0])]
    else:
        planes = [
            np.asarray(own(i.x, dataset)) for i in dataset.samples if i.group == item.group and i.whole is not None
        ]
    spans = [float(np.ptp(np.percentile(p[np.isfinite(p)], [1, 99.8]))) for p in planes if np.isfinite(p).any()]
    return [s for s in spans if s > 0]


def as_bright(dataset: Dataset) -> Dataset:
    """Targets as bright as their inputs, channel by channel, so that no gain has to be learned; small differences stay."""

    def item(old: Sample) -> Sample:
        if old.y is None:
            return old
        y, out = np.asarray(old.y, np.float32), []
        for a, b in zip(_as_large(own(old.x, dataset), y), y, strict=True):
            gain, offset, error = brightness(a, b)
            span = float(np.ptp(np.percentile(a[np.isfinite(a)], [1, 99.8]))) if np.isfinite(a).any() else 0.0
            lift = abs(float(np.nanmean(b)) * (gain - 1) + offset)  # of the mean
            chance = max(0.05, 4 * error), max(0.02 * span, 4 * error * float(np.nanstd(b)))
            same = abs(gain - 1) < chance[0] and lift < chance[1]
            out.append(b if same or gain <= 0 else gain * b + offset)
        return replace(old, y=np.stack(out))

    return replace(dataset, samples=tuple(map(item, dataset.samples)))


def moved(dataset: Dataset) -> Dataset:
    """Targets moved onto their inputs; what comes in from outside is not learned from."""

    def item(old: Sample) -> Sample:
        if old.y is None:
            return old
        fit = shift_between(*_both(old, dataset))
        if np.abs(fit.shift).max() < 0.05 or fit.unrelated:
            return old
        y = shifted(np.asarray(old.y), fit.shift)
        known = np.asarray(np.isfinite(y).all(0))
        return _only(replace(old, y=np.nan_to_num(y)), known)

    return replace(dataset, samples=tuple(map(item, dataset.samples)))


def without_saturated(dataset: Dataset, of: Callable[[Sample], Any]) -> Dataset:
    """Leave out pixels at the end of the range that touch others of their kind: what was there is not known."""

    def item(old: Sample) -> Sample:
        y = np.asarray(of(old))
        clipped = np.zeros(y.shape[1:], bool)
        for channel in y:
            if measure_noise(channel).saturated > 0:
                top = channel == channel.max()
                clipped |= top & (ndimage.uniform_filter(top.astype(np.float32), 3) > 0.5)
        return _only(old, ~clipped) if clipped.any() else old

    return replace(dataset, samples=tuple(map(item, dataset.samples)))


def plain_example(
    x: NDArray[np.float32], y: NDArray[np.float32], region: NDArray[np.bool_] | None
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Input and target as they are, all pixels of the region counting alike."""
    weight = np.ones((1, *y.shape[1:]), np.float32) if region is None else region[None].astype(np.float32)
    return x, np.ascontiguousarray(y, np.float32), weight


def score_images(result: NDArray[Any], truth: NDArray[Any], region: Any, options: Any) -> ImageScores:
    """PSNR, SSIM and Pearson's r of images (K, *S)."""
    return ImageScores.of(truth, result, region)


def best_filter(
    inputs: Sequence[NDArray[Any]], truths: Sequence[NDArray[Any]], options: Any
) -> tuple[list[NDArray[Any]], str]:
    """The Gaussian or median filter that comes nearest to the truths, applied to all inputs (C, *S), and its name."""
    chosen = some(list(zip(inputs, truths, strict=True)))

    def quality(name: str) -> float:
        return float(np.mean([psnr(y, _filtered(x, name)) for x, y in chosen]))

    best = max(FILTERS, key=quality)
    return [_filtered(x, best) for x in inputs], best


def best_linear(
    inputs: Sequence[NDArray[Any]], truths: Sequence[NDArray[Any]], options: Any
) -> tuple[list[NDArray[Any]], str]:
    """The best prediction that is linear in a pixel's surroundings of 5 px in all channels, fitted to the truths themselves."""
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
    weights = np.linalg.solve(power + 1e-6 * np.trace(power) / len(power) * np.eye(len(power)), left.T @ right)
    return [_weighted(x, weights) for x in inputs], "best linear filter of 5 px"


def _surroundings(x: NDArray[Any], places: tuple[NDArray[np.intp], ...]) -> NDArray[np.float64]:
    """The surroundings in the plane, of all channels, of some places, and 1: (n, C * 25 + 1)."""
    pad = np.pad(np.asarray(x, np.float64), [(0, 0)] * (x.ndim - 2) + [(2, 2)] * 2, mode="edge")
    *first, py, px = places
    near = [pad[(slice(None), *first, py + i, px + j)] for i in range(5) for j in range(5)]  # type: ignore[arg-type]
    return np.concatenate([np.stack(near, 1).reshape(-1, len(py)), np.ones((1, len(py)))]).T


def _weighted(x: NDArray[Any], weights: NDArray[np.float64]) -> NDArray[np.float32]:
    """The linear prediction everywhere: (K, *S)."""
    x = np.nan_to_num(np.asarray(x, np.float32))
    out = []
    for w in weights.T:
        kernels = w[:-1].reshape(len(x), *(1,) * (x.ndim - 3), 5, 5).astype(np.float32)
        out.append(sum(ndimage.correlate(c, k, mode="nearest") for c, k in zip(x, kernels, strict=True)) + w[-1])
    return np.stack(out).astype(np.float32)


def _filtered(x: NDArray[Any], name: str) -> NDArray[np.float32]:
    return np.stack([FILTERS[name](np.nan_to_num(np.asarray(c, np.float32))) for c in x])


def _both(item: Sample, dataset: Dataset) -> tuple[NDArray[Any], NDArray[Any]]:
    """Input and target of an item as one channel each, as large as the target."""
    y = np.asarray(item.y, np.float32)
    x = _as_large(own(item.x, dataset), y)
    return (x[0], y[0]) if len(x) == len(y) else (x.mean(0), y.mean(0))


def _as_large(x: Any, y: NDArray[Any]) -> NDArray[np.float32]:
    """An input (C, *S) interpolated to the size of its target (K, *S * scale)."""
    return cubic(np.asarray(x, np.float32), [b / a for a, b in zip(np.shape(x)[1:], y.shape[1:], strict=True)])


def _only(item: Sample, known: NDArray[np.bool_]) -> Sample:
    """The item with what is known of its target, bool (*S * scale); a pixel counts where all of its finer ones do."""
    factors = [b // a for a, b in zip(item.size, known.shape, strict=True)]
    blocks = known.reshape([v for n, f in zip(item.size, factors, strict=True) for v in (n, f)])
    coarse = np.asarray(blocks.all(axis=tuple(range(1, 2 * known.ndim, 2))))
    return replace(item, region=coarse if item.region is None else coarse & item.region)


def _median(noise: Sequence[Noise], what: str) -> float:
    return float(np.median([getattr(n, what) for n in noise]))


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"
