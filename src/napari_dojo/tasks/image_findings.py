"""What the check finds where targets or results are images: do they belong together, what noise, which frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from napari_dojo.data.dataset import Dataset
from napari_dojo.data.noise import Noise
from napari_dojo.data.normalize import is_blank
from napari_dojo.data.registration import Fit, shift_between
from napari_dojo.tasks.alignment import both_as_one_channel
from napari_dojo.tasks.base import Finding, Fix
from napari_dojo.tasks.findings import blank_findings
from napari_dojo.tasks.images import some

__all__ = ["both_noisy", "frame_findings", "noise_findings", "place_findings", "target_findings"]

CLEAR = 0.6  # |r| from which on two kinds of image agree so well that their shift is known


@dataclass(frozen=True)
class _Placed:
    """How the target of an item lies to its input."""

    name: str
    fit: Fit


def target_findings(dataset: Dataset, *, alike: bool) -> tuple[Finding, ...]:
    """Targets that show nothing, or that have other channels than their images although they are ``alike``."""
    found = blank_findings("targets", [(i.name, i.y) for i in dataset.samples if i.y is not None])
    first = next((i for i in dataset.samples if i.y is not None), None)
    if alike and first is not None and len(first.y) != len(dataset.own(first.x)):
        text = (
            f"Images and targets need the same channels: {first.name} has {len(dataset.own(first.x))}, and its target "
            f"{len(first.y)}. Choose one channel of both, or other targets."
        )
        found.append(Finding("error", text))
    return tuple(found)


def place_findings(dataset: Dataset, register: bool, alike: bool = True) -> tuple[Finding, ...]:
    """Whether targets show what their inputs show, and where: unrelated ones, and a common shift.

    ``alike`` : they look alike; else only a clear shift is reported.
    """
    looked = some([i for i in dataset.samples if i.y is not None])
    placed = [_Placed(i.name, shift_between(*both_as_one_channel(i, dataset))) for i in looked]
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
        found.append(Finding("warning", text, (Fix("Exclude", "exclude", tuple(p.name for p in other)),)))
    shift = np.median([p.fit.shift for p in placed if p not in other], 0)
    if np.abs(shift).max() >= 0.5:
        where = ", ".join(f"{s:+.1f}" for s in shift)
        if register:
            found.append(Finding("ok", f"Targets are shifted by {where} px to match the images"))
        else:
            text = f"Targets are shifted against the images by {where} px ({', '.join(dataset.spatial.lower())})."
            fixes = (Fix("Correct the shift", "option", value=("register", True)), Fix("Ignore", "fine"))
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
            found.append(Finding("warning", text, (Fix("Swap them", "swap"), Fix("Ignore", "fine"))))
        elif both_noisy(inputs, targets):
            found.append(Finding("ok", "Targets are as noisy as the images: training on pairs of noisy images"))
    saturated = _median(targets or inputs, "saturated")
    if saturated > 1e-3:
        found.append(
            Finding(
                "warning", f"{_percent(saturated)} of the pixels are saturated; where they touch, they are excluded."
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


def frame_findings(dataset: Dataset, frames: str) -> tuple[Finding, ...]:
    """Constant channels, and frames or planes that differ much in brightness."""
    found = []
    for c in range(dataset.channels):
        flat = [i.name for i in dataset.samples if isinstance(i.x, np.ndarray) and is_blank(i.x[c])]
        if dataset.channels > 1 and len(flat) == len(dataset.samples):
            found.append(Finding("warning", f"Channel {c + 1} is constant."))
    levels = _levels(dataset)
    if len(levels) > 1 and frames != "each":
        ratio = float(max(levels) / max(min(levels), 1e-9))
        if ratio > 20:
            what = "Planes" if dataset.spatial == "ZYX" else "Images of a series"
            text = f"{what} differ {min(ratio, 9999):.0f}-fold in brightness: dim ones will hardly be visible."
            fixes = (
                ()
                if dataset.spatial == "ZYX"
                else (Fix("Scale each frame by itself", "option", value=("frames", "each")),)
            )
            found.append(Finding("warning", text, (*fixes, Fix("Ignore", "fine"))))
    return tuple(found)


def _levels(dataset: Dataset) -> list[float]:
    """The range of brightness of the planes of a volume, or of the frames of a series."""
    item = dataset.samples[0]
    if dataset.spatial == "ZYX":
        planes = [np.asarray(dataset.own(item.x)[:, z]) for z in range(item.size[0])]
    else:
        planes = [
            np.asarray(dataset.own(i.x)) for i in dataset.samples if i.group == item.group and i.whole is not None
        ]
    spans = [float(np.ptp(np.percentile(p[np.isfinite(p)], [1, 99.8]))) for p in planes if np.isfinite(p).any()]
    return [s for s in spans if s > 0]


def _median(noise: Sequence[Noise], what: str) -> float:
    return float(np.median([getattr(n, what) for n in noise]))


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"
