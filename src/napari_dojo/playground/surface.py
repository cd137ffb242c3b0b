"""The network's outputs over the plane: the decision surface, and the response map of every neuron."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_dojo.playground.activations import Array
from napari_dojo.playground.losses import decide
from napari_dojo.playground.net import Net
from napari_dojo.playground.points import Data

__all__ = ["Grid", "neuron_maps", "surface"]


@dataclass(frozen=True)
class Grid:
    """A grid of (size, size) cells over a rectangle of the plane.

    Attributes
    ----------
    extent : left, right, bottom, top of the outer edges.
    size : cells along x and along y.
    x : (size * size, inputs), the network's inputs at the cell centres. Row 0 is at the bottom (lowest y).
    """

    extent: tuple[float, float, float, float]
    size: int
    x: Array

    @classmethod
    def of(
        cls,
        data: Data,
        inputs: tuple[str, ...],
        size: int = 100,
        extent: tuple[float, float, float, float] | None = None,
    ) -> Grid:
        """A grid for these points: by default a square around all of them with a small margin."""
        left, right, bottom, top = extent or _extent(data)
        middles = (np.arange(size) + 0.5) / size
        x, y = np.meshgrid(left + (right - left) * middles, bottom + (top - bottom) * middles)
        with np.errstate(all="ignore"):
            made = data.inputs(np.stack([x.ravel(), y.ravel()], axis=1), inputs)
        return cls((left, right, bottom, top), size, made)


def surface(net: Net, grid: Grid, classes: int, hard: bool = False) -> Array:
    """The outputs, (size, size, outputs), or with ``hard`` the predicted classes, (size, size).

    For regression (``classes`` 0), ``hard`` gives the predicted values.
    """
    with np.errstate(all="ignore"):
        p = net.forward(grid.x)
    if hard:
        return decide(p, classes).reshape(grid.size, grid.size)
    return p.reshape(grid.size, grid.size, -1)


def neuron_maps(net: Net, grid: Grid) -> list[Array]:
    """The output of every neuron at each grid cell: one array (units, size, size) per layer, the output layer last."""
    with np.errstate(all="ignore"):
        net.forward(grid.x)
    return [layer.outputs.T.reshape(-1, grid.size, grid.size) for layer in net.layers]


def input_maps(grid: Grid) -> Array:
    """The inputs at each grid cell: (inputs, size, size)."""
    return grid.x.T.reshape(-1, grid.size, grid.size)


def _extent(data: Data) -> tuple[float, float, float, float]:
    """A square around all points with a margin of 5 %; its size is never 0."""
    low, high = data.xy.min(0), data.xy.max(0)
    middle, half = (low + high) / 2, max(float((high - low).max()) / 2, 1e-9) * 1.05
    return (middle[0] - half, middle[0] + half, middle[1] - half, middle[1] + half)
