"""Who made a layer, as its metadata say: a model, and whether a person has corrected it since. Pure functions, no Qt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = [
    "as_made",
    "is_prediction",
    "is_uncorrected",
    "made",
    "made_from",
    "mark_corrected",
    "model_of",
    "source_among",
    "watch_corrections",
]


def made(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    """What napari-dojo wrote into a layer's metadata; empty for a layer of the user."""
    ours = metadata.get("napari_dojo")
    return ours if isinstance(ours, Mapping) else {}


def is_prediction(metadata: Mapping[str, Any]) -> bool:
    """Whether a model made the layer."""
    return made(metadata).get("kind") == "result"


def is_uncorrected(metadata: Mapping[str, Any]) -> bool:
    """Whether a model made the layer and no person has painted in it: such labels are no ground truth."""
    return is_prediction(metadata) and not made(metadata).get("corrected")


def model_of(metadata: Mapping[str, Any]) -> str:
    """The name of the model that made the layer; empty where none did."""
    return str(made(metadata).get("model", "")) if is_prediction(metadata) else ""


def source_among(metadata: Mapping[str, Any], layers: Iterable[Any]) -> Any:
    """The layer that another one was made from: that layer itself, also when renamed; of an earlier session, the one of its name."""
    about, layers = made(metadata), list(layers)
    same = (x for x in layers if str(x.unique_id) == about.get("image_id"))
    return next(same, None) or next((x for x in layers if x.name == about.get("image")), None)


def made_from(source: Any, layers: Iterable[Any], kind: str, **facts: Any) -> list[Any]:
    """The layers of a kind, and with these facts, that were made from a layer; also when it or they are renamed."""
    layers, wanted = list(layers), {"kind": kind, **facts}
    found = [x for x in layers if wanted.items() <= made(x.metadata).items()]
    return [x for x in found if source_among(x.metadata, [*layers, source]) is source]


def as_made(metadata: Mapping[str, Any], **facts: Any) -> dict[str, Any]:
    """What stands in the metadata of a new result of the same kind: with these facts, and not corrected."""
    return {**{k: v for k, v in made(metadata).items() if k != "corrected"}, **facts}


def mark_corrected(metadata: dict[str, Any]) -> None:
    """Write down that a person has painted in a prediction; no effect on other layers."""
    if is_prediction(metadata):
        metadata["napari_dojo"] = {**made(metadata), "corrected": True}


def watch_corrections(layer: Any) -> None:
    """Write into a predicted Labels layer that it is corrected, once a person paints in it."""
    if is_prediction(layer.metadata) and hasattr(layer.events, "paint"):
        layer.events.paint.connect(_painted)  # a second connection of the same function changes nothing


def _painted(event: Any) -> None:
    mark_corrected(event.source.metadata)
