"""The tasks by name. A new one is one file and one line here."""

from __future__ import annotations

from napari_dojo.tasks.base import Example, Finding, Fix, Hints, Summary, Target, Task
from napari_dojo.tasks.classify import CLASSIFY
from napari_dojo.tasks.denoise import DENOISE
from napari_dojo.tasks.instances import INSTANCES
from napari_dojo.tasks.noise2void import NOISE2VOID
from napari_dojo.tasks.semantic import SEMANTIC
from napari_dojo.tasks.translate import TRANSLATE
from napari_dojo.tasks.upscale import UPSCALE

__all__ = [
    "CLASSIFY",
    "DENOISE",
    "INSTANCES",
    "NOISE2VOID",
    "SEMANTIC",
    "TASKS",
    "TRANSLATE",
    "UPSCALE",
    "Example",
    "Finding",
    "Fix",
    "Hints",
    "Summary",
    "Target",
    "Task",
    "base",
    "classify",
    "findings",
    "image_findings",
    "images",
    "may_start_from",
    "strokes",
    "watershed",
]

TASKS: dict[str, Task] = {
    task.name: task for task in (INSTANCES, SEMANTIC, CLASSIFY, DENOISE, NOISE2VOID, TRANSLATE, UPSCALE)
}
ALIKE = ({DENOISE.name, NOISE2VOID.name},)  # a model of one task is a good start for the others of its set


def may_start_from(task: Task, name: str) -> bool:
    """Whether a model for the task called ``name`` may be fine-tuned for ``task``."""
    return name == task.name or any({name, task.name} <= names for names in ALIKE)
