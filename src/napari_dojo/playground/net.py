"""A small dense net: forward and backward, as in the textbook."""

from __future__ import annotations

import numpy as np

from napari_dojo.errors import DojoError
from napari_dojo.playground.activations import ACTIVATIONS, Array
from napari_dojo.playground.settings import NetShape

__all__ = ["LARGEST", "Layer", "Net", "draw_start"]

LARGEST = 1e6  # a weight beyond this has run away


class Layer:
    """One layer of neurons.

    ``weights`` (inputs, units) and ``biases`` (units,) are windows into the one vector of the net's parameters, and so
    are their gradients; ``inputs``, ``sums`` and ``outputs`` are those of the last points that came through.
    """

    def __init__(self, parameters: Array, gradient: Array, size: tuple[int, int], activation: str) -> None:
        links = size[0] * size[1]
        self.weights, self.biases = parameters[:links].reshape(size), parameters[links:]
        self.weight_gradient, self.bias_gradient = gradient[:links].reshape(size), gradient[links:]
        self.activation = ACTIVATIONS[activation]
        self.inputs = self.sums = self.outputs = np.zeros((0, 0))


class Net:
    """Layers of neurons; ``parameters`` and ``gradient`` hold all weights and biases, layer by layer, as one vector."""

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

    def set(self, parameters: Array) -> None:
        """Take over weights and biases, (parameters,); DojoError where there are too few, too many or runaway ones."""
        given = np.asarray(parameters, np.float64)
        if given.shape != self.parameters.shape:
            raise DojoError(f"This net has {len(self.parameters)} weights and biases; {given.size} were given.")
        if not (np.abs(given) <= LARGEST).all():
            raise DojoError(f"Weights and biases are numbers from -{LARGEST:g} to {LARGEST:g}; one of them is not.")
        self.parameters[:] = given

    def forward(self, x: Array, kept: list[Array] | None = None) -> Array:
        """From the inputs (points, inputs) to the outputs (points, outputs).

        ``kept`` are the masks of dropout, one for each hidden layer: 0 for a unit that is switched off.
        """
        a = x
        for number, layer in enumerate(self.layers):
            if number and number == len(self.layers) - 1 and self.shape.skip:
                a = np.concatenate([a, x], axis=1)  # the inputs, handed on past the hidden layers
            layer.inputs = a
            layer.sums = a @ layer.weights + layer.biases
            layer.outputs = a = layer.activation.of(layer.sums)
            if kept and number < len(kept):
                a = a * kept[number]
        return a

    def backward(self, slope: Array, kept: list[Array] | None = None) -> None:
        """From the slope of the loss by the last sums (points, outputs) to the gradient of every weight and bias."""
        for number in range(len(self.layers) - 1, -1, -1):
            layer = self.layers[number]
            np.matmul(layer.inputs.T, slope, out=layer.weight_gradient)  # link = what came in x slope of what it fed
            np.add.reduce(slope, 0, out=layer.bias_gradient)
            if number:
                before = self.layers[number - 1]
                slope = slope @ layer.weights[: before.biases.size].T  # back along the links
                if kept:
                    slope = slope * kept[number - 1]
                slope = slope * before.activation.slope(before.outputs)  # back through the activation


def draw_start(shape: NetShape, rng: np.random.Generator) -> Array:
    """Start weights, layer by layer, (parameters,); biases 0.

    Glorot: uniform within root(6 / (inputs + units)); He: uniform within root(6 / inputs); plain random: normal with
    deviation 1; all zero draws nothing.
    """
    net = Net(shape)
    for layer, (before, units) in zip(net.layers, shape.widths, strict=True):
        if shape.start == "random":
            layer.weights[:] = rng.normal(0, 1, (before, units))
        elif shape.start != "zero":
            limit = np.sqrt(6 / (before + units if shape.start == "glorot" else before))
            layer.weights[:] = rng.uniform(-limit, limit, (before, units))
    return net.parameters
