"""The tasks by name. A new one is one file and one line here."""

from __future__ import annotations

from napari_dojo.tasks.base import Finding, Fix, Hints, Summary, Task
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
    "Finding",
    "Fix",
    "Hints",
    "Summary",
    "Task",
    "base",
    "images",
]

TASKS: dict[str, Task] = {task.name: task for task in (INSTANCES, SEMANTIC, DENOISE, NOISE2VOID, TRANSLATE, UPSCALE)}
