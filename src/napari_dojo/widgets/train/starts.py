"""Models that a training can start from, and a shipped one that is offered before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from napari_dojo.models.library import Model, models
from napari_dojo.tasks import Finding, Fix, Task, may_start_from
from napari_dojo.widgets.common.layers import array_of, source_of

__all__ = ["offer", "possible_starts", "starts_for_layer"]


def possible_starts(task: Task, channels: int, spatial: str, upsampling: Mapping[str, int]) -> list[Model]:
    """Models that a training of the task on such images can be started from."""
    return [
        model
        for model in models()
        if may_start_from(task, model.card.task)
        and (model.card.channels, model.card.spatial) == (channels, spatial)
        and model.card.upsampling == dict(upsampling)
    ]


def starts_for_layer(task: Task, image: Any) -> list[Model]:
    """Models that a training of the task on an image layer can be started from, with the task's default options."""
    source = source_of(image)
    channels = 1 if "C" not in source.axes.names else array_of(image).shape[source.axes.names.index("C")]
    return possible_starts(task, channels, source.axes.spatial, task.layout(task.options()).upsampling)


def offer(found: Sequence[Model], task: Task, chosen: str | None) -> Finding | None:
    """The shipped model of the task that fits, to be tried or fine-tuned; None where there is none or one is chosen."""
    shipped = [model for model in found if model.origin == "shipped" and model.card.task == task.name]
    if not shipped or chosen:
        return None
    model = shipped[0]
    text = f"The model {model.name} fits these images: try it, or fine-tune it."
    fixes = (Fix("Try it", "try", (model.name,)), Fix("Fine-tune it", "start", value=str(model.path)))
    return Finding("ok", text, fixes, "offer")
