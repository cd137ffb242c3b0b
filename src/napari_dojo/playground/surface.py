"""What the net says everywhere in the plane: the decision surface, and the map of every neuron."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_dojo.playground.activations import Array
from napari_dojo.playground.losses import answers
from napari_dojo.playground.net import Net
from napari_dojo.playground.points import Data

__all__ = ["Grid", "neuron_maps", "surface"]


@dataclass(frozen=True)
class Grid:
    """The middles of (size, size) fields that cover a piece of the plane.

    Attributes
    ----------
    extent : left, right, bottom, top, of the outer edges.
    size : fields along x and along y.
    x : (size * size, inputs), what the net is given there. Rows go upwards: row 0 is the lowest y.
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
        """Fields for these points: by default where all of them lie, and a little more."""
        left, right, bottom, top = extent or _extent(data)
        middles = (np.arange(size) + 0.5) / size
        x, y = np.meshgrid(left + (right - left) * middles, bottom + (top - bottom) * middles)
        with np.errstate(all="ignore"):
            made = data.inputs(np.stack([x.ravel(), y.ravel()], axis=1), inputs)
        return cls((left, right, bottom, top), size, made)


def surface(net: Net, grid: Grid, classes: int, hard: bool = False) -> Array:
    """What the net says: its outputs, (size, size, outputs), or as hard decisions the class numbers, (size, size).

    In regression (``classes`` 0) hard decisions are the numbers themselves.
    """
    with np.errstate(all="ignore"):
        p = net.forward(grid.x)
    if hard:
        return answers(p, classes).reshape(grid.size, grid.size)
    return p.reshape(grid.size, grid.size, -1)


def neuron_maps(net: Net, grid: Grid) -> list[Array]:
    """What every neuron answers to each place: for each layer (units, size, size), the outputs last."""
    with np.errstate(all="ignore"):
        net.forward(grid.x)
    return [layer.outputs.T.reshape(-1, grid.size, grid.size) for layer in net.layers]


def input_maps(grid: Grid) -> Array:
    """The same of the inputs: (inputs, size, size)."""
    return grid.x.T.reshape(-1, grid.size, grid.size)


def _extent(data: Data) -> tuple[float, float, float, float]:
    """A square around all points, with a margin of 5 %, never without a size."""
    low, high = data.xy.min(0), data.xy.max(0)
    middle, half = (low + high) / 2, max(float((high - low).max()) / 2, 1e-9) * 1.05
    return (middle[0] - half, middle[0] + half, middle[1] - half, middle[1] + half)
