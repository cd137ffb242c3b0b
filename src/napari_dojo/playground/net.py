"""A small dense network with textbook forward and backward passes."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_dojo.errors import DojoError
from napari_dojo.playground.activations import ACTIVATIONS, Array
from napari_dojo.playground.settings import NetShape

__all__ = ["LARGEST", "Layer", "Net", "initial_weights", "set_parameters"]

LARGEST = 1e6  # weights beyond this count as diverged


class Layer:
    """One dense layer.

    ``weights`` (inputs, units), ``biases`` (units,) and their gradients are views of the network's parameter and
    gradient vectors. ``inputs``, ``sums`` and ``outputs``, each (points, ...), are those of the last forward pass.
    """

    def __init__(self, parameters: Array, gradient: Array, size: tuple[int, int], activation: str) -> None:
        links = size[0] * size[1]
        self.weights, self.biases = parameters[:links].reshape(size), parameters[links:]
        self.weight_gradient, self.bias_gradient = gradient[:links].reshape(size), gradient[links:]
        self.activation = ACTIVATIONS[activation]
        self.inputs = self.sums = self.outputs = np.zeros((0, 0))


def set_parameters(parameters: Array, given: Any) -> None:
    """Set all weights and biases of networks, (parameters,). DojoError if their number is wrong or a value is out of range."""
    given = np.asarray(given, np.float64)
    if given.shape != parameters.shape:
        raise DojoError(f"There are {len(parameters)} weights and biases, but {given.size} were given.")
    if not (np.abs(given) <= LARGEST).all():
        raise DojoError(f"Weights and biases must lie between -{LARGEST:g} and {LARGEST:g}; one of them does not.")
    parameters[:] = given


class Net:
    """A dense network. ``parameters`` and ``gradient`` hold all weights and biases, layer by layer, as one vector."""

    def __init__(self, shape: NetShape, parameters: Array | None = None) -> None:
        self.shape = shape
        self.parameters, self.gradient = np.zeros(shape.parameters), np.zeros(shape.parameters)
        self.layers: list[Layer] = []
        self.is_weight = np.zeros(shape.parameters)  # 1 for a weight, 0 for a bias
        activations = [shape.activation] * len(shape.hidden) + [shape.output]
        at = 0
        for (before, units), activation in zip(shape.widths, activations, strict=True):
            part = slice(at, at + (before + 1) * units)
            self.layers.append(Layer(self.parameters[part], self.gradient[part], (before, units), activation))
            self.is_weight[at : at + before * units] = 1
            at = part.stop
        if parameters is not None:
            self.parameters[:] = parameters

    def forward(self, x: Array, masks: list[Array] | None = None) -> Array:
        """The outputs, (points, outputs), for inputs (points, inputs).

        ``masks`` are the dropout masks, one per hidden layer, (points, units): 0 for a unit that is switched off.
        """
        a = x
        for number, layer in enumerate(self.layers):
            if number and number == len(self.layers) - 1 and self.shape.skip:
                a = np.concatenate([a, x], axis=1)  # skip connection
            layer.inputs = a
            layer.sums = a @ layer.weights + layer.biases
            layer.outputs = a = layer.activation.of(layer.sums)
            if masks and number < len(masks):
                a = a * masks[number]
        return a

    def backward(self, slope: Array, masks: list[Array] | None = None) -> None:
        """Compute the gradient of every weight and bias from the loss gradient by the last sums, (points, outputs)."""
        for number in range(len(self.layers) - 1, -1, -1):
            layer = self.layers[number]
            np.matmul(layer.inputs.T, slope, out=layer.weight_gradient)  # input x gradient at the unit
            np.add.reduce(slope, 0, out=layer.bias_gradient)
            if number:
                before = self.layers[number - 1]
                slope = slope @ layer.weights[: before.biases.size].T  # back through the weights
                if masks:
                    slope = slope * masks[number - 1]
                slope = slope * before.activation.derivative(before.outputs)  # back through the activation


def initial_weights(shape: NetShape, rng: np.random.Generator) -> Array:
    """Random initial weights, layer by layer, (parameters,); biases are 0.

    Glorot: uniform within ±sqrt(6 / (inputs + units)). He: uniform within ±sqrt(6 / inputs). Random: normal with
    standard deviation 1. Zero: all 0.
    """
    net = Net(shape)
    for layer, (before, units) in zip(net.layers, shape.widths, strict=True):
        if shape.initializer == "random":
            layer.weights[:] = rng.normal(0, 1, (before, units))
        elif shape.initializer != "zero":
            limit = np.sqrt(6 / (before + units if shape.initializer == "glorot" else before))
            layer.weights[:] = rng.uniform(-limit, limit, (before, units))
    return net.parameters
