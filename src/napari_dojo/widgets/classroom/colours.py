"""Colours of classes, of signed values and of the network's outputs."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo.playground.losses import decide
from napari_dojo.widgets.common.layers import class_look

__all__ = [
    "CLASSES",
    "NEGATIVE",
    "POSITIVE",
    "Colours",
    "around_zero",
    "of_classes",
    "of_numbers",
    "of_outputs",
    "signed",
]

# Okabe-Ito, in the order of the classes elsewhere, and black
CLASSES = (*(v for k, v in class_look(range(1, 8), [])["colormap"].items() if k), "#000000")
NEGATIVE, POSITIVE = CLASSES[0], CLASSES[1]
BOTH = (NEGATIVE, "#FFFFFF", POSITIVE)
TINT = 0.55  # opacity of the decision surface, so that points stand out on it
SHADES = 255  # odd, so that there is a central shade
NOTHING = (160, 160, 160)  # for NaN

Colours = NDArray[np.uint8]


def _rgb(names: Any) -> NDArray[np.float64]:
    """RGB, (n, 3), 0 to 255."""
    return np.array([[int(name[i : i + 2], 16) for i in (1, 3, 5)] for name in names], np.float64)


def ramp(stops: NDArray[np.float64]) -> Colours:
    """A colour map, (SHADES, 3), through the colours (n, 3)."""
    at = np.linspace(0, len(stops) - 1, SHADES)
    made = [np.interp(at, np.arange(len(stops)), stops[:, k]) for k in range(3)]
    return np.round(np.stack(made, axis=1)).astype(np.uint8)


def _tinted(colours: NDArray[np.float64], tint: float) -> NDArray[np.float64]:
    return 255 - tint * (255 - colours)


def _looked_up(table: Colours, share: NDArray[np.float64]) -> Colours:
    """Colours, (..., 3), of values from 0 to 1; values outside are clipped, NaN is grey."""
    known = np.isfinite(share)
    place = np.round(np.clip(np.where(known, share, 0), 0, 1) * (SHADES - 1)).astype(np.intp)
    colours = table[place]
    if not known.all():
        colours[~known] = NOTHING
    return colours


@cache
def _shades(tint: float, *names: str) -> Colours:
    """A colour map through these colours, mixed with white."""
    return ramp(_tinted(_rgb(names), tint))


def of_classes(value: Any) -> NDArray[np.float64]:
    """RGBA of class numbers, (n, 4), 0 to 1, as napari expects it; invalid numbers are grey."""
    table = np.concatenate([_rgb(CLASSES), [NOTHING]]) / 255
    number = np.asarray(value, np.float64)
    fine = (number >= 0) & (number < len(CLASSES))
    colours = table[np.where(fine, number, len(CLASSES)).astype(int)]
    return np.concatenate([colours, np.ones((len(colours), 1))], axis=1)


def of_numbers(value: Any, low: float, high: float) -> NDArray[np.float64]:
    """RGBA of values between ``low`` and ``high``, (n, 4), 0 to 1, as napari expects it."""
    share = (np.asarray(value, np.float64) - low) / ((high - low) or 1.0)
    colours = _looked_up(_shades(1.0, *BOTH), share) / 255
    return np.concatenate([colours, np.ones((len(colours), 1))], axis=1)


def signed(value: NDArray[np.float64], tint: float = 1.0) -> Colours:
    """Colours, (..., 3), of values from -1 (blue) over 0 (white) to 1 (orange)."""
    return _looked_up(_shades(tint, *BOTH), 0.5 + 0.5 * value)


def of_outputs(
    p: NDArray[np.float64], classes: int, span: tuple[float, float], hard: bool = False, tint: float = TINT
) -> Colours:
    """The network's outputs as colours, (..., 3).

    Parameters
    ----------
    p : (..., outputs), the outputs.
    classes : the number of classes; 0 for regression.
    span : for regression, minimum and maximum of the target values.
    hard : show the predicted class instead of the probability.
    """
    if not classes:
        share = (p[..., 0] - span[0]) / ((span[1] - span[0]) or 1.0)
        return _looked_up(_shades(tint, *BOTH), share)
    colours = _tinted(_rgb(CLASSES[:classes]), tint)
    if hard:
        table = np.concatenate([colours, [NOTHING]]).astype(np.uint8)  # class -1: no number
        return table[decide(p.reshape(-1, p.shape[-1]), classes).astype(int).reshape(p.shape[:-1])]
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
    """Scale the outputs of neurons, (units, size, size), to -1 to 1.

    Sigmoid and softmax are centred at 1/2, tanh is unchanged; others are divided by their maximum absolute value.
    """
    if activation in ("sigmoid", "softmax"):
        return 2 * maps - 1
    if activation == "tanh":
        return maps
    size = np.abs(maps).max((-2, -1), keepdims=True)
    return maps / np.where((size > 0) & np.isfinite(size), size, 1)
