"""What a unit makes of its weighted sum."""

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
    """A function of weighted sums z, (points, units), and its slope, told from its own result a = f(z)."""

    of: Callable[[Array], Array]
    slope: Callable[[Array], Array]


def sigmoid(z: Array) -> Array:
    """1 / (1 + exp(-z)), written so that no exponential can overflow."""
    return 0.5 * np.tanh(0.5 * z) + 0.5


def softmax(z: Array) -> Array:
    """Each row as shares that add up to 1; the largest sum is taken off first, which changes nothing but the range."""
    e = np.exp(z - z.max(1, keepdims=True))
    shares: Array = e / e.sum(1, keepdims=True)
    return shares


def relu(z: Array) -> Array:
    """0 below 0, else the sum itself."""
    return np.maximum(z, 0)


def leaky_relu(z: Array) -> Array:
    """A hundredth of the sum below 0, else the sum itself."""
    return np.maximum(z, LEAK * z)


def linear(z: Array) -> Array:
    """The sum itself."""
    return z


# Softmax mixes the units of a layer, so it has no slope of its own: see `napari_dojo.playground.losses`.
ACTIVATIONS = {
    "linear": Activation(linear, np.ones_like),
    "sigmoid": Activation(sigmoid, lambda a: a * (1 - a)),
    "tanh": Activation(np.tanh, lambda a: 1 - a * a),
    "relu": Activation(relu, lambda a: (a > 0).astype(np.float64)),
    "leaky_relu": Activation(leaky_relu, lambda a: np.where(a > 0, 1.0, LEAK)),
    "softmax": Activation(softmax, np.ones_like),
}
