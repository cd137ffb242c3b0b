"""Activation functions and their derivatives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["ACTIVATIONS", "Activation"]

Array: TypeAlias = NDArray[np.float64]

LEAK = 0.01


@dataclass(frozen=True)
class Activation:
    """A function a = f(z) of weighted sums z, (points, units), and its derivative as a function of a."""

    of: Callable[[Array], Array]
    derivative: Callable[[Array], Array]


def sigmoid(z: Array) -> Array:
    """1 / (1 + exp(-z)), computed without overflow."""
    return 0.5 * np.tanh(0.5 * z) + 0.5


def softmax(z: Array) -> Array:
    """Probabilities that add up to 1 in each row. The row's maximum is subtracted first to avoid overflow."""
    e = np.exp(z - z.max(1, keepdims=True))
    shares: Array = e / e.sum(1, keepdims=True)
    return shares


def relu(z: Array) -> Array:
    """max(z, 0)."""
    return np.maximum(z, 0)


def leaky_relu(z: Array) -> Array:
    """0.01 z for negative z, else z."""
    return np.maximum(z, LEAK * z)


def linear(z: Array) -> Array:
    """The sum itself."""
    return z


# The derivative of softmax mixes the units of a layer: see `napari_dojo.playground.losses.loss_gradient`.
ACTIVATIONS = {
    "linear": Activation(linear, np.ones_like),
    "sigmoid": Activation(sigmoid, lambda a: a * (1 - a)),
    "tanh": Activation(np.tanh, lambda a: 1 - a * a),
    "relu": Activation(relu, lambda a: (a > 0).astype(np.float64)),
    "leaky_relu": Activation(leaky_relu, lambda a: np.where(a > 0, 1.0, LEAK)),
    "softmax": Activation(softmax, np.ones_like),
}
