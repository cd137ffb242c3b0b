"""The tasks by name. A new one is one file and one line here."""

from __future__ import annotations

from typing import Any

from napari_dojo.card import Card
from napari_dojo.errors import DojoError
from napari_dojo.settings import checked
from napari_dojo.tasks.base import Facts, Finding, Fix, Task, Wish
from napari_dojo.tasks.denoise import DENOISE
from napari_dojo.tasks.instances import INSTANCES
from napari_dojo.tasks.noise2void import NOISE2VOID
from napari_dojo.tasks.semantic import SEMANTIC
from napari_dojo.tasks.translate import TRANSLATE
from napari_dojo.tasks.upscale import UPSCALE

__all__ = [
    "DENOISE",
    "NOISE2VOID",
    "TASKS",
    "TRANSLATE",
    "UPSCALE",
    "Facts",
    "Finding",
    "Fix",
    "Task",
    "Wish",
    "decoding_of",
    "options_of",
]

TASKS: dict[str, Task] = {task.name: task for task in (INSTANCES, SEMANTIC, DENOISE, NOISE2VOID, TRANSLATE, UPSCALE)}


def options_of(card: Card) -> Any:
    """The task's options of a model, as its dataclass; DojoError where this version lacks the task."""
    if card.task not in TASKS:
        raise DojoError(
            f"The model {card.name} is for the task {card.task!r}, which this version does not have. Update napari-dojo."
        )
    try:
        return TASKS[card.task].options(**{k: tuple(v) if isinstance(v, list) else v for k, v in card.options.items()})
    except TypeError as e:
        raise DojoError(f"The model {card.name} is damaged: its options do not fit ({e}).") from e


def decoding_of(card: Card) -> Any:
    """How a model's maps become its answer, as its task's dataclass."""
    options_of(card)
    return checked(TASKS[card.task].decoding, card.decoding)
