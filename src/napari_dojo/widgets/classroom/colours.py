"""Numbers as colours: classes, what is below and above zero, and what the net says."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo.playground.losses import answers
from napari_dojo.widgets.layers import class_look

__all__ = ["CLASSES", "NEGATIVE", "POSITIVE", "of_answers", "of_classes", "of_numbers", "signed", "stop_at"]

# Okabe-Ito, in the order of the classes elsewhere, and black
CLASSES = (*(v for k, v in class_look(range(1, 8), [])["colormap"].items() if k), "#000000")
NEGATIVE, POSITIVE = CLASSES[0], CLASSES[1]
TINT = 0.55  # of the surface, so that points stand out on it
NOTHING = (160, 160, 160)  # where there is no number

Colours = NDArray[np.uint8]


def _rgb(names: Any) -> NDArray[np.float64]:
    """(n, 3), 0 to 255."""
    return np.array([[int(name[i : i + 2], 16) for i in (1, 3, 5)] for name in names], np.float64)


def ramp(stops: NDArray[np.float64]) -> Colours:
    """256 colours (256, 3) from the first of some colours (n, 3) over the others to the last."""
    at = np.linspace(0, len(stops) - 1, 256)
    return np.stack([np.interp(at, np.arange(len(stops)), stops[:, k]) for k in range(3)], axis=1).astype(np.uint8)


def _tinted(colours: NDArray[np.float64], tint: float) -> NDArray[np.float64]:
    return 255 - tint * (255 - colours)


def _looked_up(table: Colours, share: NDArray[np.float64]) -> Colours:
    """Colours (..., 3) of shares from 0 to 1; what is beyond has the last colour, what is no number grey."""
    known = np.isfinite(share)
    place = np.clip(np.where(known, share, 0) * 255, 0, 255).astype(np.intp)
    colours = table[place]
    if not known.all():
        colours[~known] = NOTHING
    return colours


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
    colours = _looked_up(ramp(_rgb([NEGATIVE, "#FFFFFF", POSITIVE])), share) / 255
    return np.concatenate([colours, np.ones((len(colours), 1))], axis=1)


def signed(value: NDArray[np.float64], largest: float, tint: float = 1.0) -> Colours:
    """Blue below zero, white at zero, orange above: (..., 3), full at ``largest``."""
    share = 0.5 + 0.5 * value / largest if largest else 0.5 + 0 * value
    return _looked_up(ramp(_tinted(_rgb([NEGATIVE, "#FFFFFF", POSITIVE]), tint)), share)


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
        return _looked_up(ramp(_tinted(_rgb([NEGATIVE, "#FFFFFF", POSITIVE]), tint)), share)
    colours = _tinted(_rgb(CLASSES[:classes]), tint)
    if hard:
        table = np.concatenate([colours, [NOTHING]]).astype(np.uint8)  # class -1: no number
        return table[answers(p.reshape(-1, p.shape[-1]), classes).astype(int).reshape(p.shape[:-1])]
    if p.shape[-1] > 1:
        known = np.isfinite(p).all(-1)
        shares = np.clip(np.where(known[..., None], p, 0), 0, None)
        total = shares.sum(-1, keepdims=True)
        mixed = np.where(total > 0, shares @ colours / np.where(total > 0, total, 1), 255).astype(np.uint8)
        mixed[~known] = NOTHING
        return mixed
    stops = colours if classes > 2 else np.stack([colours[0], [255, 255, 255], colours[1]])
    return _looked_up(ramp(stops), p[..., 0] / max(1, classes - 1))


def stop_at(activation: str, value: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """A neuron's answers around zero, and which size of them gets the full colour.

    Those of sigmoid and softmax lie around 1/2, those of tanh end at 1; others are as large as they are.
    """
    if activation in ("sigmoid", "softmax"):
        return 2 * value - 1, 1.0
    if activation == "tanh":
        return value, 1.0
    size = np.abs(value[np.isfinite(value)])
    return value, float(size.max()) if size.size else 1.0
