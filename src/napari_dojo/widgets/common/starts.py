"""Models that fit a layer, and a shipped one that is offered before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from napari_dojo.errors import DojoError
from napari_dojo.models.library import Model, find
from napari_dojo.tasks import Finding, Fix, Task
from napari_dojo.training.start import AUTO, NONE, possible_starts
from napari_dojo.widgets.common.layers import array_of, source_of

__all__ = ["is_there", "offer", "start_lost", "starts_for_layer"]


def is_there(start: str) -> bool:
    """Whether what a training is to start from is there: a model by its folder or name, or what needs none."""
    try:
        return start in (AUTO, NONE) or Path(start).exists() or bool(find(start))
    except DojoError:
        return False


def start_lost(start: str) -> str:
    """What to say of a model to start from that is no longer there."""
    name = Path(start).stem
    return f"The model {name}, which was chosen to start from, is no longer there. The start is chosen automatically."


def starts_for_layer(task: Task, image: Any) -> list[Model]:
    """Models that a training of the task on an image layer can be started from, with the task's default options."""
    source = source_of(image)
    channels = 1 if "C" not in source.axes.names else array_of(image).shape[source.axes.names.index("C")]
    return possible_starts(task, channels, source.axes.spatial, task.layout(task.options()).upsampling)


def offer(found: Sequence[Model], task: Task, chosen: str) -> Finding | None:
    """The shipped model of the task that fits, to be tried or fine-tuned; None where there is none or another start is chosen."""
    shipped = [model for model in found if model.origin == "shipped" and model.card.task == task.name]
    if not shipped or chosen != AUTO:
        return None
    model = shipped[0]
    text = f"The model {model.name} fits these images: try it, or fine-tune it."
    fixes = (Fix("Try it", "try", (model.name,)), Fix("Fine-tune it", "start", value=str(model.path)))
    return Finding("ok", text, fixes, "offer")
