"""Numbers as colours: classes, what is below and above zero, and what the net says."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo.playground.losses import answers
from napari_dojo.widgets.common.layers import class_look

__all__ = [
    "CLASSES",
    "NEGATIVE",
    "POSITIVE",
    "Colours",
    "around_zero",
    "of_answers",
    "of_classes",
    "of_numbers",
    "signed",
]

# Okabe-Ito, in the order of the classes elsewhere, and black
CLASSES = (*(v for k, v in class_look(range(1, 8), [])["colormap"].items() if k), "#000000")
NEGATIVE, POSITIVE = CLASSES[0], CLASSES[1]
BOTH = (NEGATIVE, "#FFFFFF", POSITIVE)
TINT = 0.55  # of the surface, so that points stand out on it
SHADES = 255  # odd, so that there is a middle
NOTHING = (160, 160, 160)  # where there is no number

Colours = NDArray[np.uint8]


def _rgb(names: Any) -> NDArray[np.float64]:
    """(n, 3), 0 to 255."""
    return np.array([[int(name[i : i + 2], 16) for i in (1, 3, 5)] for name in names], np.float64)


def ramp(stops: NDArray[np.float64]) -> Colours:
    """Shades (SHADES, 3) from the first of some colours (n, 3) over the others to the last."""
    at = np.linspace(0, len(stops) - 1, SHADES)
    made = [np.interp(at, np.arange(len(stops)), stops[:, k]) for k in range(3)]
    return np.round(np.stack(made, axis=1)).astype(np.uint8)


def _tinted(colours: NDArray[np.float64], tint: float) -> NDArray[np.float64]:
    return 255 - tint * (255 - colours)


def _looked_up(table: Colours, share: NDArray[np.float64]) -> Colours:
    """Colours (..., 3) of shares from 0 to 1; what is beyond has the last colour, what is no number grey."""
    known = np.isfinite(share)
    place = np.round(np.clip(np.where(known, share, 0), 0, 1) * (SHADES - 1)).astype(np.intp)
    colours = table[place]
    if not known.all():
        colours[~known] = NOTHING
    return colours


@cache
def _shades(tint: float, *names: str) -> Colours:
    """Shades from one colour to the next, mixed with white."""
    return ramp(_tinted(_rgb(names), tint))


def of_classes(value: Any) -> NDArray[np.float64]:
    """The colours of classes as napari wants them: (n, 4), 0 to 1; what is no class is grey."""
    table = np.concatenate([_rgb(CLASSES), [NOTHING]]) / 255
    number = np.asarray(value, np.float64)
    fine = (number >= 0) & (number < len(CLASSES))
    colours = table[np.where(fine, number, len(CLASSES)).astype(int)]
    return np.concatenate([colours, np.ones((len(colours), 1))], axis=1)


def of_numbers(value: Any, low: float, high: float) -> NDArray[np.float64]:
    """The colours of numbers between two others as napari wants them: (n, 4), 0 to 1."""
    share = (np.asarray(value, np.float64) - low) / ((high - low) or 1.0)
    colours = _looked_up(_shades(1.0, *BOTH), share) / 255
    return np.concatenate([colours, np.ones((len(colours), 1))], axis=1)


def signed(value: NDArray[np.float64], tint: float = 1.0) -> Colours:
    """Blue for -1, white for 0, orange for 1: (..., 3)."""
    return _looked_up(_shades(tint, *BOTH), 0.5 + 0.5 * value)


def of_answers(
    p: NDArray[np.float64], classes: int, span: tuple[float, float], hard: bool = False, tint: float = TINT
) -> Colours:
    """What the net says as colours (..., 3).

    Parameters
    ----------
    p : (..., outputs), the outputs.
    classes : how many classes there are, 0 where a number is predicted.
    span : least and largest number of the points, for such.
    hard : the colour of the class that is chosen, instead of how sure the net is.
    """
    if not classes:
        share = (p[..., 0] - span[0]) / ((span[1] - span[0]) or 1.0)
        return _looked_up(_shades(tint, *BOTH), share)
    colours = _tinted(_rgb(CLASSES[:classes]), tint)
    if hard:
        table = np.concatenate([colours, [NOTHING]]).astype(np.uint8)  # class -1: no number
        return table[answers(p.reshape(-1, p.shape[-1]), classes).astype(int).reshape(p.shape[:-1])]
    if p.shape[-1] > 1:
        known = np.asarray(np.isfinite(p).all(-1))
        shares = np.clip(np.where(known[..., None], p, 0), 0, None)
        total = shares.sum(-1, keepdims=True)
        mixed = np.where(total > 0, shares @ colours / np.where(total > 0, total, 1), 255).astype(np.uint8)
        mixed[~known] = NOTHING
        return mixed
    names = CLASSES[:classes] if classes > 2 else BOTH
    return _looked_up(_shades(tint, *names), p[..., 0] / max(1, classes - 1))


def around_zero(activation: str, maps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Neurons' answers (units, size, size) from -1 to 1.

    Those of sigmoid and softmax lie around 1/2, those of tanh end at 1; others are held against their own largest.
    """
    if activation in ("sigmoid", "softmax"):
        return 2 * maps - 1
    if activation == "tanh":
        return maps
    size = np.abs(maps).max((-2, -1), keepdims=True)
    return maps / np.where((size > 0) & np.isfinite(size), size, 1)
