"""The layer that says where labels are accepted: a mask over them; only what it covers counts as annotated."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from napari_dojo.widgets.common.layers import add_quietly, array_of, placement, provenance
from napari_dojo.widgets.common.numbering import STROKES
from napari_dojo.widgets.common.provenance import made, made_from

__all__ = ["accepted_layer", "accepted_places", "add_accepted", "follow_name"]

COLOUR = "#F0E442"  # of the outline, as of regions


def accepted_layer(layers: Iterable[Any], labels: Any) -> Any:
    """The layer of accepted places over a Labels layer; None where there is none."""
    shape = tuple(array_of(labels).shape)
    found = (x for x in made_from(labels, layers, "accepted") if tuple(array_of(x).shape) == shape)
    return next(found, None)


def accepted_places(layers: Iterable[Any], labels: Any) -> Any:
    """The same, where anything is accepted, and labels are whole objects: all strokes count; else None."""
    layer = None if labels.metadata.get(STROKES) else accepted_layer(layers, labels)
    return layer if layer is not None and np.any(array_of(layer)) else None


def add_accepted(viewer: Any, labels: Any) -> Any:
    """Add an empty layer of accepted places; it is drawn as outlines and leaves the selection as it is."""
    layer = add_quietly(
        viewer,
        np.zeros(array_of(labels).shape, np.uint8),
        _name(labels),
        metadata=provenance("accepted", labels),
        colormap={None: "transparent", 0: "transparent", 1: COLOUR},
        opacity=1.0,
        **placement(labels, range(labels.ndim)),
    )
    layer.contour = 1
    return layer


def follow_name(accepted: Any, labels: Any) -> None:
    """The Labels layer has another name now."""
    accepted.metadata["napari_dojo"] = {**made(accepted.metadata), "image": labels.name}
    accepted.name = _name(labels)


def _name(labels: Any) -> str:
    return f"{labels.name} accepted"
