"""How a gradient becomes a change of the weights. One vector holds all weights and biases of the net.

The formulas are those of torch.optim, the constants those of Keras.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from napari_dojo.playground.activations import Array

__all__ = ["OPTIMIZERS", "Adam", "Momentum", "Optimizer", "RmsProp", "Sgd"]

MOMENTUM = 0.9  # of the previous changes
SQUARES = 0.9  # RMSprop: how slowly the mean of squares follows
MEANS, MEAN_SQUARES = 0.9, 0.999  # Adam: the same of the mean and of the mean of squares
TINY = 1e-7  # keeps from a division by 0


class Optimizer(Protocol):
    """What all of them do. They remember what was before, so each training starts with a new one."""

    def __init__(self, size: int) -> None: ...

    def change(self, gradient: Array, rate: float) -> Array:
        """What is taken off the parameters, (parameters,)."""
        ...


class Sgd:
    """Stochastic gradient descent: rate x gradient, no more."""

    def __init__(self, size: int) -> None:
        pass

    def change(self, gradient: Array, rate: float) -> Array:
        """Rate x gradient."""
        return rate * gradient


class Momentum:
    """Like a ball that rolls: what it did before goes on, and slowly dies down."""

    def __init__(self, size: int) -> None:
        self.speed = np.zeros(size)

    def change(self, gradient: Array, rate: float) -> Array:
        """Rate x (gradient + 0.9 of what was before)."""
        self.speed *= MOMENTUM
        self.speed += gradient
        return rate * self.speed


class RmsProp:
    """Each parameter has its own step: small where gradients were large lately (Tieleman and Hinton 2012)."""

    def __init__(self, size: int) -> None:
        self.square = np.zeros(size)

    def change(self, gradient: Array, rate: float) -> Array:
        """Rate x gradient / root of the mean of its last squares."""
        self.square *= SQUARES
        self.square += (1 - SQUARES) * gradient**2
        return rate * gradient / (np.sqrt(self.square) + TINY)


class Adam:
    """Momentum and RMSprop together (Kingma and Ba 2015, arXiv:1412.6980)."""

    def __init__(self, size: int) -> None:
        self.mean, self.square, self.count = np.zeros(size), np.zeros(size), 0

    def change(self, gradient: Array, rate: float) -> Array:
        """Rate x mean / root of the mean of squares; both begin at 0, and are scaled up for that at the beginning."""
        self.count += 1
        self.mean *= MEANS
        self.mean += (1 - MEANS) * gradient
        self.square *= MEAN_SQUARES
        self.square += (1 - MEAN_SQUARES) * gradient**2
        mean = self.mean / (1 - MEANS**self.count)
        square = self.square / (1 - MEAN_SQUARES**self.count)
        return rate * mean / (np.sqrt(square) + TINY)


OPTIMIZERS: dict[str, type[Optimizer]] = {"sgd": Sgd, "momentum": Momentum, "rmsprop": RmsProp, "adam": Adam}
