"""Whether an image looks like those that a model learned from: its noise, brightness, texture and sharpness.

Four figures of an image that has been normalised as the net sees it, so that gain and offset of a camera do not count.
A model remembers their range over its training images; half of that range, or a least step, beyond it is unlike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_dojo.boxes import middle
from napari_dojo.data.noise import measure_noise
from napari_dojo.data.normalize import Normalization

__all__ = ["MEASURES", "middle_of", "outside", "profile", "profile_of", "seen", "unlike"]

# name: least step beyond what was seen, and what more and less of it are called
MEASURES: dict[str, tuple[float, str, str]] = {
    "noise": (0.4, "noisier", "less noisy"),  # natural logarithm of the noise over the range of the image
    "brightness": (0.12, "brighter in most places", "darker in most places"),  # mean of the normalised image
    "texture": (0.08, "richer in contrast", "poorer in contrast"),  # its standard deviation
    "sharpness": (0.5, "sharper", "less sharp"),  # natural logarithm of fine over coarse structure, without the noise
}
LOOKED_AT = 4096  # px along an axis in the middle of an image that is cleaned for that
EDGE = 1024  # px that are looked at along an axis, in the middle


def profile(x: NDArray[np.float32]) -> dict[str, float]:
    """The four figures of a normalised image (C, *S): means over its channels."""
    found = [_figures(np.asarray(c[tuple(_middle(n) for n in c.shape)], np.float32)) for c in x]
    return {name: float(np.mean([f[name] for f in found])) for name in MEASURES}


def profile_of(x: Any, norm: Normalization) -> dict[str, float]:
    """Of the middle of a raw image (C, *S), cleaned and normalised as a network sees it."""
    x = middle_of(x)
    return profile(norm.apply(norm.clean(x)[0]))


def middle_of(x: Any) -> NDArray[Any]:
    """The part of an image (C, *S) that is compared with the training images."""
    return np.asarray(x[(slice(None), *middle(x.shape[1:], LOOKED_AT))])


def seen(profiles: Iterable[Mapping[str, float]]) -> dict[str, list[float]]:
    """The range of each figure over some images, as a model remembers it."""
    found = list(profiles)
    return {n: [min(p[n] for p in found), max(p[n] for p in found)] for n in MEASURES} if found else {}


def unlike(known: Mapping[str, Sequence[float]], image: Mapping[str, float]) -> str:
    """In what an image differs from all that a model has seen: a sentence, empty where in nothing."""
    words = []
    for name, (step, more, less) in MEASURES.items():
        if name not in known:
            continue
        low, high = known[name]
        slack = max(step, 0.5 * (high - low))
        if image[name] > high + slack:
            words.append(more)
        elif image[name] < low - slack:
            words.append(less)
    if not words:
        return ""
    return f"This image is {' and '.join(words)} than all training images: the prediction may be unreliable."


def outside(known: Mapping[str, Sequence[float]], image: Mapping[str, float]) -> float:
    """How far an image lies outside of all that a model has seen, summed over the figures; 1 is one of their least steps."""
    far = 0.0
    for name, (step, *_) in MEASURES.items():
        low, high = known.get(name, (image[name], image[name]))
        far += max(low - image[name], image[name] - high, 0.0) / step
    return far


def _figures(c: NDArray[np.float32]) -> dict[str, float]:
    noise = measure_noise(c)
    c = np.clip(np.nan_to_num(c), -1, 2)
    plane = [0.0] * (c.ndim - 2) + [1.0, 1.0]
    fine, middle, coarse = (ndimage.gaussian_filter(c, [s * p for p in plane]) for s in (1.0, 2.0, 4.0))
    # what white noise of this strength leaves between two Gaussians (variance: 1/a² + 1/b² - 4 / (a² + b²), over 4 pi)
    sharp = max(float(np.var(fine - middle)) - noise.sigma**2 * 0.45 / (4 * np.pi), 1e-9)
    soft = max(float(np.var(middle - coarse)) - noise.sigma**2 * 0.1125 / (4 * np.pi), 1e-9)
    return {
        "noise": float(np.log(max(noise.relative, 1e-4))),
        "brightness": float(c.mean()),
        "texture": float(c.std()),
        "sharpness": 0.5 * float(np.log(sharp / soft)),
    }


def _middle(n: int) -> slice:
    start = max(0, (n - EDGE) // 2)
    return slice(start, start + EDGE)
