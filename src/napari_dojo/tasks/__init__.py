"""The tasks by name. A new one is one file and one line here."""

from __future__ import annotations

from napari_dojo.tasks.base import Facts, Finding, Task
from napari_dojo.tasks.instances import INSTANCES
from napari_dojo.tasks.semantic import SEMANTIC

__all__ = ["TASKS", "Facts", "Finding", "Task"]

TASKS: dict[str, Task] = {task.name: task for task in (INSTANCES, SEMANTIC)}
