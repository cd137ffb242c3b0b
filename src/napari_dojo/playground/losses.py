"""Loss functions and their gradients: the start of back-propagation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from napari_dojo.errors import DojoError
from napari_dojo.playground.activations import ACTIVATIONS, Array

__all__ = ["LOSSES", "Loss", "decide", "loss_gradient", "point_losses", "targets"]

TINY = 1e-7  # probabilities are kept this far from 0 and 1 where a logarithm is taken, as in Keras


@dataclass(frozen=True)
class Loss:
    """The loss of each point from outputs p and targets t, both (points, outputs), and its gradient by p.

    With ``partner`` as output activation, the gradient by the weighted sums is simply p - t. The loss is then computed
    ``from_sums``, which stays exact where p is so close to 0 or 1 that its logarithm loses precision.
    """

    of: Callable[[Array, Array], Array]
    gradient: Callable[[Array, Array], Array]
    partner: str
    from_sums: Callable[[Array, Array], Array]


def squared_error(p: Array, t: Array) -> Array:
    """1/2 (p - t)², summed over the outputs: (points,)."""
    loss: Array = 0.5 * ((p - t) ** 2).sum(1)
    return loss


def binary_cross_entropy(p: Array, t: Array) -> Array:
    """-(t log p + (1 - t) log(1 - p)), mean over the outputs: (points,)."""
    p = np.clip(p, TINY, 1 - TINY)
    loss: Array = -(t * np.log(p) + (1 - t) * np.log(1 - p)).mean(1)
    return loss


def binary_gradient(p: Array, t: Array) -> Array:
    """Gradient of the binary cross-entropy by p; 0 where p was clipped."""
    inside = (p >= TINY) & (p <= 1 - TINY)
    q = np.clip(p, TINY, 1 - TINY)
    return np.where(inside, (q - t) / (q * (1 - q)), 0) / p.shape[1]


def binary_from_sums(z: Array, t: Array) -> Array:
    """The binary cross-entropy of sigmoid(z), computed from z."""
    loss: Array = (np.logaddexp(0, z) - t * z).mean(1)
    return loss


def categorical_cross_entropy(p: Array, t: Array) -> Array:
    """-log of the true class's share of the sum of all outputs: (points,)."""
    share = np.clip(p / p.sum(1, keepdims=True), TINY, 1 - TINY)
    loss: Array = -(t * np.log(share)).sum(1)
    return loss


def categorical_gradient(p: Array, t: Array) -> Array:
    """Gradient of the categorical cross-entropy by p; 0 where p was clipped."""
    total = p.sum(1, keepdims=True)
    share = p / total
    inside = (share >= TINY) & (share <= 1 - TINY)
    t = np.where(inside, t, 0)
    return t.sum(1, keepdims=True) / total - t / np.where(inside, p, 1)


def categorical_from_sums(z: Array, t: Array) -> Array:
    """The categorical cross-entropy of softmax(z), computed from z."""
    most = z.max(1, keepdims=True)
    loss: Array = np.log(np.exp(z - most).sum(1)) + most[:, 0] - (t * z).sum(1)
    return loss


LOSSES = {
    "squared_error": Loss(squared_error, lambda p, t: p - t, "linear", squared_error),
    "binary_cross_entropy": Loss(binary_cross_entropy, binary_gradient, "sigmoid", binary_from_sums),
    "categorical_cross_entropy": Loss(
        categorical_cross_entropy, categorical_gradient, "softmax", categorical_from_sums
    ),
}


def point_losses(loss: str, output: str, sums: Array, p: Array, t: Array) -> Array:
    """The loss of each point, (points,), from weighted sums and outputs of the output layer, both (points, outputs)."""
    chosen = LOSSES[loss]
    return chosen.from_sums(sums, t) if _partners(chosen, output, p) else chosen.of(p, t)


def loss_gradient(loss: str, output: str, p: Array, t: Array) -> Array:
    """Gradient of a mini-batch's mean loss by the weighted sums of the output layer, (points, outputs)."""
    chosen = LOSSES[loss]
    if _partners(chosen, output, p):
        # The derivatives of loss and activation cancel, except for this.
        share = p.shape[1] if loss == "binary_cross_entropy" else 1
        return (p - t) / (len(p) * share)
    slope = chosen.gradient(p, t)
    if output == "softmax":
        # Each sum affects all outputs: Jacobian of softmax.
        slope = p * (slope - (slope * p).sum(1, keepdims=True))
    else:
        slope = slope * ACTIVATIONS[output].derivative(p)
    return slope / len(p)


def _partners(loss: Loss, output: str, p: Array) -> bool:
    """Whether the gradient is p - t. It is not for a single softmax output, which is always 1."""
    return loss.partner == output and (output != "softmax" or p.shape[1] > 1)


def targets(value: Array, classes: int, outputs: int) -> Array:
    """The targets, (points, outputs): the value itself for one output, else one-hot vectors.

    Parameters
    ----------
    value : (points,), class numbers, or for regression (``classes`` 0) the numbers to predict.

    Raises
    ------
    DojoError : if the number of outputs is neither 1 nor that of the classes.
    """
    if outputs == 1:
        return value[:, None]
    if outputs != classes:
        wanted = f"1 or {classes} (one per class)" if classes else "1 (the number to predict)"
        raise DojoError(f"The output layer has {outputs} neurons but needs {wanted}. Change the number of outputs.")
    return np.eye(classes)[value.astype(int)]


def decide(p: Array, classes: int) -> Array:
    """The predicted class of each point, (points,), from outputs (points, outputs): the largest output, or for one
    output the nearest class number.

    Points with NaN outputs get class -1, which is never right. For regression, the output itself.
    """
    if not classes:
        return p[:, 0]
    fine = np.isfinite(p).all(1)
    if p.shape[1] > 1:
        return np.where(fine, p.argmax(1), -1).astype(np.float64)
    return np.where(fine, np.clip(np.ceil(np.where(fine, p[:, 0], 0) - 0.5), 0, classes - 1), -1.0)
