"""A small convolutional network and a dense one for images, with textbook forward and backward passes.

Images and feature maps are (n, Y, X, C).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from napari_dojo.playground.activations import Array
from napari_dojo.playground.image_settings import KERNEL, Architecture
from napari_dojo.playground.net import Layer

__all__ = ["Convolution", "Dense", "GlobalPooling", "ImageNet", "Pair", "Pooling", "mosaic"]

EDGE = KERNEL // 2
POOL = 2  # px along each side that become one


class Stage(Protocol):
    """One stage of a network. ``outputs`` are those of the last forward pass; the first axis is n."""

    title: str
    outputs: Array
    layer: Layer | None

    def forward(self, x: Array) -> Array:
        """The outputs."""
        ...

    def backward(self, slope: Array, first: bool = False) -> Array:
        """The gradient by the inputs from that by the outputs; gradients of the weights are computed on the way.

        Nothing is before the ``first`` stage, so that its inputs need no gradient: then ``slope`` is returned.
        """
        ...


class Convolution:
    """3 x 3 kernels that are moved over the image, the outside taken as 0; then ReLU."""

    title = "feature maps"

    def __init__(self, layer: Layer) -> None:
        self.layer: Layer | None = layer
        self._layer = layer  # weights (C * 9, kernels)
        self.outputs = np.zeros((0, 0, 0, layer.biases.size))

    @property
    def kernels(self) -> Array:
        """The weights as (kernels, C, 3, 3)."""
        return self._layer.weights.T.reshape(self._layer.biases.size, -1, KERNEL, KERNEL)

    def forward(self, x: Array) -> Array:
        """(n, Y, X, C) -> (n, Y, X, kernels)."""
        self._columns = columns(x)
        sums = self._columns @ self._layer.weights + self._layer.biases
        self.outputs = self._layer.activation.of(sums).reshape(*x.shape[:3], -1)
        return self.outputs

    def backward(self, slope: Array, first: bool = False) -> Array:
        """The gradient by the inputs is a convolution, too, with each kernel turned by 180 degrees."""
        layer = self._layer
        slope = slope * layer.activation.derivative(self.outputs)
        flat = slope.reshape(-1, slope.shape[-1])
        np.matmul(self._columns.T, flat, out=layer.weight_gradient)  # a kernel's weights are shared by all places
        np.add.reduce(flat, 0, out=layer.bias_gradient)
        if first:
            return slope
        turned = self.kernels[:, :, ::-1, ::-1].transpose(0, 2, 3, 1).reshape(-1, self.kernels.shape[1])
        return (columns(slope) @ turned).reshape(*slope.shape[:3], -1)


def columns(x: Array) -> Array:
    """The 3 x 3 px around each place of (n, Y, X, C), outside 0, as rows: (n * Y * X, C * 9)."""
    around = np.pad(x, ((0, 0), (EDGE, EDGE), (EDGE, EDGE), (0, 0)))
    windows = sliding_window_view(around, (KERNEL, KERNEL), (1, 2))  # (n, Y, X, C, 3, 3)
    return np.ascontiguousarray(windows).reshape(-1, x.shape[3] * KERNEL**2)


class Pooling:
    """Max pooling: of each 2 x 2 px the largest."""

    title = "pooled"
    layer: Layer | None = None

    def __init__(self) -> None:
        self.outputs = np.zeros((0, 0, 0, 0))

    def forward(self, x: Array) -> Array:
        """(n, Y, X, C) -> (n, Y / 2, X / 2, C)."""
        n, y, x_, c = x.shape
        self._cells = x.reshape(n, y // POOL, POOL, x_ // POOL, POOL, c)
        self.outputs = self._cells.max((2, 4))
        return self.outputs

    def backward(self, slope: Array, first: bool = False) -> Array:
        """To the largest pixel; pixels that are equally large share the gradient."""
        largest = self._cells == self.outputs[:, :, None, :, None]
        share = largest * (slope / largest.sum((2, 4)))[:, :, None, :, None]
        n, y, _, x_, _, c = self._cells.shape
        return share.reshape(n, y * POOL, x_ * POOL, c)


class GlobalPooling:
    """Global max pooling: of each feature map the largest pixel, wherever it lies."""

    title = "largest"
    layer: Layer | None = None

    def __init__(self) -> None:
        self.outputs = np.zeros((0, 1, 1, 0))

    def forward(self, x: Array) -> Array:
        """(n, Y, X, C) -> (n, 1, 1, C)."""
        self._inputs = x
        self.outputs = x.max((1, 2), keepdims=True)
        return self.outputs

    def backward(self, slope: Array, first: bool = False) -> Array:
        """To the largest pixel; pixels that are equally large share the gradient."""
        largest = self._inputs == self.outputs
        share: Array = largest * (slope / largest.sum((1, 2), keepdims=True))
        return share


class Dense:
    """Every unit is connected to all inputs, whatever their shape."""

    title = "units"

    def __init__(self, layer: Layer) -> None:
        self.layer: Layer | None = layer
        self._layer = layer
        self.outputs = np.zeros((0, layer.biases.size))
        self.sums = self.outputs

    def forward(self, x: Array) -> Array:
        """(n, ...) -> (n, units)."""
        self._shape, self._inputs = x.shape, x.reshape(len(x), -1)
        self.sums = self._inputs @ self._layer.weights + self._layer.biases
        self.outputs = self._layer.activation.of(self.sums)
        return self.outputs

    def backward(self, slope: Array, first: bool = False) -> Array:
        """The output layer gets the gradient by its sums, because that of softmax mixes the units."""
        layer = self._layer
        slope = slope * layer.activation.derivative(self.outputs)
        np.matmul(self._inputs.T, slope, out=layer.weight_gradient)
        np.add.reduce(slope, 0, out=layer.bias_gradient)
        return slope if first else (slope @ layer.weights.T).reshape(self._shape)


class ImageNet:
    """Stages one after the other, the last one dense with softmax, the others with ReLU.

    Parameters
    ----------
    plan : for each stage its class, and (inputs, units) of its weights or None.
    vectors : parameters, gradient and a mark of weights; this network's weights and biases are views of their parts from
        place ``at`` on.
    """

    def __init__(
        self, plan: list[tuple[Callable[..., Stage], tuple[int, int] | None]], vectors: tuple[Array, ...], at: int
    ) -> None:
        parameters, gradient, is_weight = vectors
        self.stages: list[Stage] = []
        self.first = at
        for kind, size in plan:
            if size is None:
                self.stages.append(kind())
                continue
            part = slice(at, at + (size[0] + 1) * size[1])
            activation = "softmax" if len(self.stages) == len(plan) - 1 else "relu"
            self.stages.append(kind(Layer(parameters[part], gradient[part], size, activation)))
            is_weight[at : at + size[0] * size[1]] = 1
            at = part.stop
        self.end = at

    @property
    def sums(self) -> Array:
        """The sums of the output layer in the last forward pass, (n, classes)."""
        last = self.stages[-1]
        assert isinstance(last, Dense)
        return last.sums

    @property
    def convolutions(self) -> list[Convolution]:
        """The convolution layers."""
        return [stage for stage in self.stages if isinstance(stage, Convolution)]

    def forward(self, x: Array) -> Array:
        """The probabilities of the classes, (n, classes), for images (n, Y, X, C)."""
        for stage in self.stages:
            x = stage.forward(x)
        return x

    def backward(self, slope: Array) -> None:
        """Compute the gradient of every weight and bias from the loss gradient by the last sums, (n, classes)."""
        for stage in reversed(self.stages):
            slope = stage.backward(slope, first=stage is self.stages[0])

    def draw_weights(self, rng: np.random.Generator) -> None:
        """Random initial weights, uniform: within ±sqrt(6 / inputs) before ReLU (He), at the output Glorot; biases are 0."""
        for stage in self.stages:
            if stage.layer is not None:
                before, units = stage.layer.weights.shape
                limit = np.sqrt(6 / (before + units * (stage is self.stages[-1])))
                stage.layer.weights[:] = rng.uniform(-limit, limit, (before, units))


class Pair:
    """A convolutional network and a dense one that are trained together, on the same images in the same order.

    ``parameters``, ``gradient`` and ``is_weight`` hold those of both as one vector each.
    """

    def __init__(self, shape: Architecture, rng: np.random.Generator | None = None) -> None:
        self.shape = shape
        total = shape.parameters + shape.dense_parameters
        self.parameters, self.gradient, self.is_weight = vectors = tuple(np.zeros(total) for _ in range(3))
        self.cnn = ImageNet(_cnn_plan(shape), vectors, 0)
        self.dense = ImageNet([(Dense, size) for size in shape.dense_widths], vectors, self.cnn.end)
        self.nets = (self.cnn, self.dense)
        if rng is not None:
            for net in self.nets:
                net.draw_weights(rng)


def _cnn_plan(shape: Architecture) -> list[tuple[Callable[..., Stage], tuple[int, int] | None]]:
    plan: list[tuple[Callable[..., Stage], tuple[int, int] | None]] = []
    for before, kernels in shape.convolutions:
        plan.append((Convolution, (before * KERNEL**2, kernels)))
        if shape.pooling == "max":
            plan.append((Pooling, None))
    if shape.pooling == "global":
        plan.append((GlobalPooling, None))
    return [*plan, (Dense, (shape.features, shape.classes))]


def mosaic(maps: Array, columns: int = 0) -> Array:
    """Maps (n, Y, X) beside and below each other with NaN between them; ``columns`` 0: about as many as rows."""
    n, y, x = maps.shape
    across = columns or int(np.ceil(np.sqrt(n)))
    down = -(-n // across)
    shown = np.full((down * (y + 1) - 1, across * (x + 1) - 1), np.nan)
    for i, one in enumerate(maps):
        top, left = i // across * (y + 1), i % across * (x + 1)
        shown[top : top + y, left : left + x] = one
    return shown
