"""Optimizers: they turn a gradient into a change of the parameters, both one vector of all weights and biases.

The formulas are those of torch.optim, the constants those of Keras.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from napari_dojo.playground.activations import Array

__all__ = ["OPTIMIZERS", "Adam", "Momentum", "Optimizer", "RmsProp", "Sgd"]

MOMENTUM = 0.9  # fraction of the previous velocity that is kept
RHO = 0.9  # RMSprop: decay of the running mean of squared gradients
BETA_1, BETA_2 = 0.9, 0.999  # Adam: decay of the running means of gradients and squared gradients
EPSILON = 1e-7  # avoids a division by 0


class Optimizer(Protocol):
    """The interface of all optimizers. They keep state, so each training needs a new one."""

    def __init__(self, size: int) -> None: ...

    def step(self, gradient: Array, rate: float) -> Array:
        """The change to subtract from the parameters, (parameters,)."""
        ...


class Sgd:
    """Stochastic gradient descent: learning rate x gradient."""

    def __init__(self, size: int) -> None:
        pass

    def step(self, gradient: Array, rate: float) -> Array:
        """Rate x gradient."""
        return rate * gradient


class Momentum:
    """SGD with momentum: keeps 0.9 of the previous velocity."""

    def __init__(self, size: int) -> None:
        self.velocity = np.zeros(size)

    def step(self, gradient: Array, rate: float) -> Array:
        """Rate x (gradient + 0.9 x previous velocity)."""
        self.velocity *= MOMENTUM
        self.velocity += gradient
        return rate * self.velocity


class RmsProp:
    """Scales the step of each parameter by its recent gradients (Tieleman and Hinton 2012)."""

    def __init__(self, size: int) -> None:
        self.square = np.zeros(size)

    def step(self, gradient: Array, rate: float) -> Array:
        """Rate x gradient / root of the running mean of squared gradients."""
        self.square *= RHO
        self.square += (1 - RHO) * gradient**2
        return rate * gradient / (np.sqrt(self.square) + EPSILON)


class Adam:
    """Momentum and RMSprop together (Kingma and Ba 2015, arXiv:1412.6980)."""

    def __init__(self, size: int) -> None:
        self.mean, self.square, self.count = np.zeros(size), np.zeros(size), 0

    def step(self, gradient: Array, rate: float) -> Array:
        """Rate x mean / root of the mean square; both running means start at 0 and are corrected for that bias."""
        self.count += 1
        self.mean *= BETA_1
        self.mean += (1 - BETA_1) * gradient
        self.square *= BETA_2
        self.square += (1 - BETA_2) * gradient**2
        mean = self.mean / (1 - BETA_1**self.count)
        square = self.square / (1 - BETA_2**self.count)
        return rate * mean / (np.sqrt(square) + EPSILON)


OPTIMIZERS: dict[str, type[Optimizer]] = {"sgd": Sgd, "momentum": Momentum, "rmsprop": RmsProp, "adam": Adam}
