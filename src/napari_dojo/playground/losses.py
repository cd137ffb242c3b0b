"""How wrong an answer is, and which way its sums must go: the start of back-propagation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from napari_dojo.errors import DojoError
from napari_dojo.playground.activations import ACTIVATIONS, Array

__all__ = ["LOSSES", "Loss", "answers", "loss_slope", "losses_of", "targets"]

TINY = 1e-7  # probabilities are kept this far from 0 and 1 where a logarithm is taken, as in Keras


@dataclass(frozen=True)
class Loss:
    """A loss of each point from outputs p and targets t, both (points, outputs), and its slope by p.

    With its ``partner`` as last activation the two slopes, multiplied, are simply p - t; then the loss is computed
    ``from_sums``, which stays exact where p is so near 0 or 1 that its logarithm is lost.
    """

    of: Callable[[Array, Array], Array]
    slope: Callable[[Array, Array], Array]
    partner: str
    from_sums: Callable[[Array, Array], Array]


def squared_error(p: Array, t: Array) -> Array:
    """1/2 (p - t)², added up over the outputs."""
    loss: Array = 0.5 * ((p - t) ** 2).sum(1)
    return loss


def binary_cross_entropy(p: Array, t: Array) -> Array:
    """-(t log p + (1 - t) log(1 - p)), mean over the outputs."""
    p = np.clip(p, TINY, 1 - TINY)
    loss: Array = -(t * np.log(p) + (1 - t) * np.log(1 - p)).mean(1)
    return loss


def binary_slope(p: Array, t: Array) -> Array:
    """0 where p is no probability: there the loss is a constant."""
    inside = (p >= TINY) & (p <= 1 - TINY)
    q = np.clip(p, TINY, 1 - TINY)
    return np.where(inside, (q - t) / (q * (1 - q)), 0) / p.shape[1]


def binary_from_sums(z: Array, t: Array) -> Array:
    """The binary cross-entropy of sigmoid(z)."""
    loss: Array = (np.logaddexp(0, z) - t * z).mean(1)
    return loss


def categorical_cross_entropy(p: Array, t: Array) -> Array:
    """-log of the share that the right class has of all outputs."""
    share = np.clip(p / p.sum(1, keepdims=True), TINY, 1 - TINY)
    loss: Array = -(t * np.log(share)).sum(1)
    return loss


def categorical_slope(p: Array, t: Array) -> Array:
    """More of the right output is better, more of all together is worse."""
    total = p.sum(1, keepdims=True)
    share = p / total
    inside = (share >= TINY) & (share <= 1 - TINY)
    t = np.where(inside, t, 0)
    return t.sum(1, keepdims=True) / total - t / np.where(inside, p, 1)


def categorical_from_sums(z: Array, t: Array) -> Array:
    """The categorical cross-entropy of softmax(z)."""
    most = z.max(1, keepdims=True)
    loss: Array = np.log(np.exp(z - most).sum(1)) + most[:, 0] - (t * z).sum(1)
    return loss


LOSSES = {
    "squared_error": Loss(squared_error, lambda p, t: p - t, "linear", squared_error),
    "binary_cross_entropy": Loss(binary_cross_entropy, binary_slope, "sigmoid", binary_from_sums),
    "categorical_cross_entropy": Loss(categorical_cross_entropy, categorical_slope, "softmax", categorical_from_sums),
}


def losses_of(loss: str, output: str, sums: Array, p: Array, t: Array) -> Array:
    """The loss of each point, (points,), from the sums and outputs of the last layer, both (points, outputs)."""
    chosen = LOSSES[loss]
    return chosen.from_sums(sums, t) if _partners(chosen, output, p) else chosen.of(p, t)


def loss_slope(loss: str, output: str, p: Array, t: Array) -> Array:
    """How the mean loss of a mini-batch changes with each weighted sum of the last layer, (points, outputs)."""
    chosen = LOSSES[loss]
    if _partners(chosen, output, p):
        # The slope of the loss times the slope of the activation: everything but this cancels.
        share = p.shape[1] if loss == "binary_cross_entropy" else 1
        return (p - t) / (len(p) * share)
    slope = chosen.slope(p, t)
    if output == "softmax":
        # Each sum moves all outputs: one goes up, the others down.
        slope = p * (slope - (slope * p).sum(1, keepdims=True))
    else:
        slope = slope * ACTIVATIONS[output].slope(p)
    return slope / len(p)


def _partners(loss: Loss, output: str, p: Array) -> bool:
    """One softmax output is always 1, so that p - t would not be its slope."""
    return loss.partner == output and (output != "softmax" or p.shape[1] > 1)


def targets(value: Array, classes: int, outputs: int) -> Array:
    """What the outputs should be, (points, outputs): the number itself, or one-hot, 1 for the class and 0 for others.

    Parameters
    ----------
    value : (points,), class numbers, or in regression (``classes`` 0) the numbers to predict.

    Raises
    ------
    DojoError : where the number of outputs is neither 1 nor that of the classes.
    """
    if outputs == 1:
        return value[:, None]
    if outputs != classes:
        wanted = f"1 or {classes}, one for each class" if classes else "1, the number to predict"
        raise DojoError(f"The last layer has {outputs} neurons, but it needs {wanted}. Change the number of outputs.")
    return np.eye(classes)[value.astype(int)]


def answers(p: Array, classes: int) -> Array:
    """The class of each point, (points,), from outputs (points, outputs): the largest, or the nearest class number.

    A point whose outputs are no numbers gets class -1, which is never right. In regression the output itself.
    """
    if not classes:
        return p[:, 0]
    fine = np.isfinite(p).all(1)
    if p.shape[1] > 1:
        return np.where(fine, p.argmax(1), -1).astype(np.float64)
    return np.where(fine, np.clip(np.ceil(np.where(fine, p[:, 0], 0) - 0.5), 0, classes - 1), -1.0)
