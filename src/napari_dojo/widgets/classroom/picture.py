"""Decision surface and neuron outputs as RGB pictures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_dojo.playground import Session
from napari_dojo.playground.surface import Grid, input_maps, neuron_maps, surface
from napari_dojo.widgets.classroom.colours import TINT, around_zero, of_classes, of_outputs, signed

__all__ = ["neuron_picture", "neuron_pictures", "span", "surface_picture"]

Colours = NDArray[np.uint8]


def span(session: Session) -> tuple[float, float]:
    """Minimum and maximum of the target values."""
    return float(session.data.value.min()), float(session.data.value.max())


def surface_picture(session: Session, grid: Grid, hard: bool = False) -> Colours:
    """The decision surface, (size, size, 3), row 0 at the bottom; for the curve data set a line."""
    if session.setup.points.kind == "curve":
        return _curve(session, grid)
    outputs = surface(session.net, grid, session.data.classes)
    return of_outputs(outputs, session.data.classes, span(session), hard)


def neuron_picture(session: Session, grid: Grid, layer: int, unit: int) -> Colours:
    """The output of one neuron, or with layer -1 an input, (size, size, 3); row 0 is at the bottom."""
    if layer < 0:
        return signed(around_zero("linear", input_maps(grid)[unit]), TINT)
    return signed(around_zero(_activation(session, layer), neuron_maps(session.net, grid)[layer][unit]), TINT)


def neuron_pictures(session: Session, grid: Grid) -> list[Colours]:
    """The maps of all neurons, the inputs first, each (units, size, size, 3); row 0 is at the top."""
    last, classes = len(session.net.layers) - 1, session.data.classes
    found = [signed(around_zero("linear", input_maps(grid)))]
    for number, maps in enumerate(neuron_maps(session.net, grid)):
        if number < last:
            found.append(signed(around_zero(session.net.shape.activation, maps)))
        elif len(maps) == 1:
            found.append(of_outputs(maps[..., None], classes, span(session), tint=1.0))
        else:  # each output in the colour of its class
            found.append(np.stack([_of_class(m, k) for k, m in enumerate(maps)]))
    return [np.ascontiguousarray(maps[:, ::-1]) for maps in found]


def _of_class(share: NDArray[np.float64], number: int) -> Colours:
    """Shades from white for 0 to the colour of the class for 1."""
    full = 255 * of_classes([number])[0, :3]
    fine = np.isfinite(share)[..., None]
    mixed = 255 - np.clip(np.where(fine, share[..., None], 0), 0, 1) * (255 - full)
    return np.where(fine, mixed, 160).astype(np.uint8)


def _activation(session: Session, layer: int) -> str:
    shape = session.net.shape
    return shape.output if layer == len(session.net.layers) - 1 else shape.activation


def _curve(session: Session, grid: Grid) -> Colours:
    """The prediction as a function of x, drawn as a line."""
    left, right, bottom, top = grid.extent
    middle = (np.arange(grid.size) + 0.5) / grid.size
    x, y = left + (right - left) * middle, bottom + (top - bottom) * middle[:, None]
    said = session.predict(np.stack([x, 0 * x], axis=1))[:, 0]
    steep = np.sqrt(1 + np.gradient(said, (right - left) / grid.size) ** 2)
    away = np.abs(y - said) * grid.size / ((top - bottom) * steep)  # in grid cells
    return signed(np.clip(1.3 - np.where(np.isfinite(away), away, 9), 0, 1))
