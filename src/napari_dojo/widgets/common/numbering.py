"""Painting objects: each new one gets the next free number by itself."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo.data.edits import free_numbers

__all__ = ["STROKES", "next_number", "number_by_itself"]

STROKES = "napari-dojo strokes"  # in a layer's metadata: what its strokes stand for; 1 is background then

NEAR = 12  # px; a stroke of a small brush that begins so near to an object continues it


def next_number(labels: NDArray[Any], place: tuple[float, ...], reach: float, number: int, before: int | None) -> int:
    """The number that a stroke paints with.

    It continues an object that it begins at; elsewhere it begins a new one, unless a person has chosen the number, or no
    number is free.

    Parameters
    ----------
    labels, place : (*S), and where the stroke begins, px.
    reach : px around the place that belong to it.
    number, before : the selected number, and that of the stroke before; None: there was none.
    """
    if number == 0 or number != before:
        return number
    box = tuple(
        slice(max(0, round(p - reach)), max(0, round(p + reach)) + 1)
        if axis >= labels.ndim - 2
        else slice(max(0, round(p)), max(0, round(p)) + 1)
        for axis, p in enumerate(place)
    )
    if bool((labels[box] == number).any()):
        return number
    largest, top = int(np.iinfo(labels.dtype).max), max(0, int(labels.max(initial=0)))
    used = {top} if top < largest else set(np.unique(labels).tolist())
    return next(free_numbers(used, largest), number)


def number_by_itself(viewer: Any, layer: Any) -> None:
    """Choose the next free number when a stroke begins away from the object that was painted last; say it below."""
    before: list[int | None] = [None]

    def press(layer: Any, event: Any) -> None:
        if layer.mode != "paint":
            return
        if layer.metadata.get(STROKES) and layer.selected_label <= 1:  # one more stroke of background
            before[0] = layer.selected_label
            return
        place = tuple(float(p) for p in layer.world_to_data(event.position))
        number = next_number(
            np.asarray(layer.data), place, max(layer.brush_size + 2, NEAR), layer.selected_label, before[0]
        )
        layer.selected_label = before[0] = number
        if number:
            viewer.status = f"Object {number}"

    layer.mouse_drag_callbacks.insert(0, press)  # before the brush
