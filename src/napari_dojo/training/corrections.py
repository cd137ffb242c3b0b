"""What a retraining on corrections does differently: it rehearses what its start learned or keeps a part of it, and is scored beside it."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch

from napari_dojo.data.batches import Source
from napari_dojo.device import Device
from napari_dojo.errors import DojoError
from napari_dojo.models.bundle import Bundle
from napari_dojo.models.card import Card, decoding_of, options_of
from napari_dojo.models.library import find
from napari_dojo.nets import Network
from napari_dojo.tasks import TASKS
from napari_dojo.training.held import held_of, memory_of
from napari_dojo.training.judge import Judge, figures

__all__ = ["BOLD", "averaged", "memory_for", "old_test"]

KEPT = 0.5  # share of the start's weights in the mean, where the start has no memory
BOLD = 1e-3  # learning rate where it has one, twice that of other starts


def memory_for(start: Bundle, card: Card) -> tuple[Source, ...]:
    """What a start was trained on, as far as it is kept and fits a model with this card."""
    if start.card.maps != card.maps:
        return ()
    fits = len(card.spatial), card.channels
    return tuple(s for s in _beside(start, memory_of) if (len(s.size), len(s.x)) == fits)


def averaged(net: Network, start: Network) -> Network:
    """The mean of a network and its start.

    The weights between the two keep most of what was learned, and of what the start knew before (Wortsman et al.
    2022, CVPR: robust fine-tuning of zero-shot models).
    """
    found, old = deepcopy(net), start.to(next(net.parameters()).device).state_dict()
    with torch.no_grad():
        for name, value in found.state_dict().items():
            if value.is_floating_point():
                value.lerp_(old[name].to(value.dtype), KEPT)
    return found


def old_test(start: Bundle, retrained: Bundle, device: Device) -> dict[str, Any]:
    """How a retrained model and its start do on what the start never trained on, as plain values; empty where nothing is known."""
    old, name = start.card, start.card.name
    sources = tuple(_beside(start, held_of))
    known = (old.data.get("test") or old.score).get("sentence")
    if not sources or old.zoom != retrained.card.zoom:
        text = f"{name} on its own test images: {known}. They are not here to score the new model on." if known else ""
        return {"model": name, "sentence": text} if text else {}
    scores = []
    for bundle in (start, retrained):
        judge = Judge(TASKS[retrained.card.task], options_of(bundle.card), bundle.card, device, sources)
        scores.append(judge.score(judge.predict(bundle.net), decoding_of(bundle.card)))
    before, after = scores
    text = f"Test images of {name}: {after.sentence}; before: {before.sentence}."
    return {"model": name, "sentence": text, "before": figures(before), "after": figures(after)}


def _beside(start: Bundle, read: Callable[[Path], list[Source]]) -> list[Source]:
    """What is kept beside a model; nothing where it is gone."""
    try:
        return read(find(start.card.name))
    except DojoError:
        return []
