"""The points in the space of the last hidden layer, where the decision boundary is a straight line."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_dojo.errors import DojoError
from napari_dojo.playground.activations import Array
from napari_dojo.playground.losses import decide
from napari_dojo.playground.session import Session

__all__ = ["Representation", "represent"]


@dataclass(frozen=True)
class Representation:
    """The outputs of the last hidden layer, projected onto two directions.

    Attributes
    ----------
    points : (n, 2), coordinates u, v of all points, in the order of ``session.data``.
    extent : left, right, bottom, top of the surface.
    surface : (size, size), the predicted classes (for regression values); row 0 is at the bottom.
    boundary : a, b, c of the decision boundary a u + b v + c = 0 of two classes; else None.
    directions : (2, units), and ``centre`` (units,): u, v stands for the point centre + u d0 + v d1 of the layer.
    titles : the names of the two directions.
    """

    points: Array
    extent: tuple[float, float, float, float]
    surface: Array
    boundary: tuple[float, float, float] | None
    directions: Array
    centre: Array
    titles: tuple[str, str]


def represent(
    session: Session, units: tuple[int, int] | None = None, size: int = 100, before: Representation | None = None
) -> Representation:
    """Project the last hidden layer onto two of its units, or onto its first two principal components.

    The other units, and inputs that skip the layer, are fixed at their mean over the training points. ``before`` is the
    previous projection: components keep their sign, so that the plot does not flip during training.

    Raises
    ------
    DojoError : if there is no hidden layer or no such unit.
    """
    net, data = session.net, session.data
    if not session.setup.net.hidden:
        raise DojoError("The network has no hidden layer to show. Add one.")
    session.predict(data.xy)
    width = session.setup.net.hidden[-1]
    seen = net.layers[-1].inputs  # (n, units + skipped inputs)
    mean = seen[data.part("training")].mean(0)
    hidden = seen[:, :width]
    directions, centre = _directions(hidden[data.part("training")], mean[:width], units, before)
    points = (hidden - centre) @ directions.T
    extent = _extent(points)
    line = (np.arange(size) + 0.5) / size
    u, v = np.meshgrid(extent[0] + (extent[1] - extent[0]) * line, extent[2] + (extent[3] - extent[2]) * line)
    places = centre + np.stack([u.ravel(), v.ravel()], axis=1) @ directions
    last = net.layers[-1]
    rest = mean[width:] @ last.weights[width:] + last.biases
    with np.errstate(all="ignore"):
        said = decide(last.activation.of(places @ last.weights[:width] + rest), data.classes)
    boundary = None
    if data.classes == 2 and last.biases.size <= 2:
        # The boundary is where two outputs are equal, a sigmoid's sum is 0, or a linear output is 1/2.
        two = last.biases.size == 2
        weight = np.diff(last.weights[:width], axis=1)[:, 0] if two else last.weights[:width, 0]
        shift = np.diff(rest)[0] if two else rest[0] - (0.5 if session.setup.net.output == "linear" else 0)
        a, b = directions @ weight
        boundary = (float(a), float(b), float(centre @ weight + shift))
    names = ("component 1", "component 2") if units is None else (f"unit {units[0] + 1}", f"unit {units[1] + 1}")
    return Representation(points, extent, said.reshape(size, size), boundary, directions, centre, names)


def _directions(
    hidden: Array, mean: Array, units: tuple[int, int] | None, before: Representation | None
) -> tuple[Array, Array]:
    """The two directions, (2, units), and the centre, (units,)."""
    width = hidden.shape[1]
    if units is None and width > 2:
        centred = hidden - mean
        directions = np.linalg.eigh(centred.T @ centred)[1][:, :-3:-1].T  # largest variance first
        same = before is not None and before.directions.shape == directions.shape
        side = (directions * before.directions).sum(1) if before and same else directions.sum(1)
        directions = directions * np.where(side < 0, -1, 1)[:, None]
        return directions, mean
    chosen = units or (0, width - 1)
    if not all(0 <= unit < width for unit in chosen):
        raise DojoError(f"The last hidden layer has units 1 to {width}. Choose two of them.")
    directions = np.eye(width)[list(chosen)]
    if chosen[0] == chosen[1]:
        directions[1] = 0
    return directions, np.where(directions.any(0), 0, mean)


def _extent(points: Array) -> tuple[float, float, float, float]:
    low, high = points.min(0), points.max(0)
    room = np.maximum(high - low, 1e-9) * 0.05
    return (low[0] - room[0], high[0] + room[0], low[1] - room[1], high[1] + room[1])
