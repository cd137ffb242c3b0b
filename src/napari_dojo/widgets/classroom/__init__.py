"""The Classroom panel."""

from __future__ import annotations

from napari_dojo.widgets.classroom.panel import ClassroomPanel

__all__ = ["ClassroomPanel"]
