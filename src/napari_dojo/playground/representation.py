"""The points as the last hidden layer sees them: there a straight border is enough."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_dojo.errors import DojoError
from napari_dojo.playground.activations import Array
from napari_dojo.playground.losses import answers
from napari_dojo.playground.session import Session

__all__ = ["Representation", "represent"]


@dataclass(frozen=True)
class Representation:
    """A picture of the last hidden layer's outputs, in two directions.

    Attributes
    ----------
    points : (n, 2), all points of the session as the layer sees them, in the order of ``session.data``.
    extent : left, right, bottom, top, of the surface.
    surface : (size, size), the classes (in regression the numbers) that the output gives there; row 0 is the lowest.
    border : a, b, c of the straight border a u + b v + c = 0 between two classes; else None.
    directions : (2, units), and ``middle`` (units,): the place u, v is the point middle + u d0 + v d1 of the layer.
    titles : what the two directions are.
    """

    points: Array
    extent: tuple[float, float, float, float]
    surface: Array
    border: tuple[float, float, float] | None
    directions: Array
    middle: Array
    titles: tuple[str, str]


def represent(
    session: Session, units: tuple[int, int] | None = None, size: int = 100, before: Representation | None = None
) -> Representation:
    """The points in two chosen units of the last hidden layer, or in its first two principal components.

    What the picture does not show (other units, and inputs that skip the layer) is held at its mean over training.
    ``before`` is the picture before this one: components keep their sides, so that nothing flips while it moves.

    Raises
    ------
    DojoError : where there is no hidden layer, or not such a unit.
    """
    net, data = session.net, session.data
    if not session.setup.net.hidden:
        raise DojoError("There is no hidden layer, so the net sees the points as they are. Add a layer.")
    session.predict(data.xy)
    width = session.setup.net.hidden[-1]
    seen = net.layers[-1].inputs  # (n, units), and behind them the inputs that skip
    mean = seen[data.part("training")].mean(0)
    hidden = seen[:, :width]
    directions, middle = _directions(hidden[data.part("training")], mean[:width], units, before)
    points = (hidden - middle) @ directions.T
    extent = _extent(points)
    line = (np.arange(size) + 0.5) / size
    u, v = np.meshgrid(extent[0] + (extent[1] - extent[0]) * line, extent[2] + (extent[3] - extent[2]) * line)
    places = middle + np.stack([u.ravel(), v.ravel()], axis=1) @ directions
    last = net.layers[-1]
    rest = mean[width:] @ last.weights[width:] + last.biases
    with np.errstate(all="ignore"):
        said = answers(last.activation.of(places @ last.weights[:width] + rest), data.classes)
    border = None
    if data.classes == 2 and last.biases.size <= 2:
        # Two outputs are equal, a sigmoid is at 1/2, where a sum is 0; a linear output decides at 1/2 itself.
        two = last.biases.size == 2
        weight = np.diff(last.weights[:width], axis=1)[:, 0] if two else last.weights[:width, 0]
        shift = np.diff(rest)[0] if two else rest[0] - (0.5 if session.setup.net.output == "linear" else 0)
        a, b = directions @ weight
        border = (float(a), float(b), float(middle @ weight + shift))
    names = ("component 1", "component 2") if units is None else (f"unit {units[0] + 1}", f"unit {units[1] + 1}")
    return Representation(points, extent, said.reshape(size, size), border, directions, middle, names)


def _directions(
    hidden: Array, mean: Array, units: tuple[int, int] | None, before: Representation | None
) -> tuple[Array, Array]:
    """Two directions (2, units) and the middle (units,)."""
    width = hidden.shape[1]
    if units is None and width > 2:
        centred = hidden - mean
        directions = np.linalg.eigh(centred.T @ centred)[1][:, :-3:-1].T  # of the largest spread first
        same = before is not None and before.directions.shape == directions.shape
        side = (directions * before.directions).sum(1) if before and same else directions.sum(1)
        directions = directions * np.where(side < 0, -1, 1)[:, None]
        return directions, mean
    chosen = units or (0, width - 1)
    if not all(0 <= unit < width for unit in chosen):
        raise DojoError(f"The last hidden layer has the units 1 to {width}; choose two of these.")
    directions = np.eye(width)[list(chosen)]
    if chosen[0] == chosen[1]:
        directions[1] = 0
    return directions, np.where(directions.any(0), 0, mean)


def _extent(points: Array) -> tuple[float, float, float, float]:
    low, high = points.min(0), points.max(0)
    room = np.maximum(high - low, 1e-9) * 0.05
    return (low[0] - room[0], high[0] + room[0], low[1] - room[1], high[1] + room[1])
