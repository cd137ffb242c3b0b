"""A person at a viewer: where things lie on the canvas, and pictures of each step."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import QPoint


class Person:
    """With ``DOJO_WALK=FOLDER`` a picture of each step is written there; ``named`` : what their names begin with."""

    def __init__(self, qtbot: Any, viewer: Any, named: str = "") -> None:
        self.qtbot, self.viewer, self.named = qtbot, viewer, named
        self.window = viewer.window._qt_window
        self.canvas = viewer.window._qt_viewer.canvas.native
        self.step = 0
        folder = os.environ.get("DOJO_WALK")
        self.folder = Path(folder) if folder else None

    def look(self, name: str) -> None:
        """A picture, where one is wanted."""
        if self.folder:
            self.step += 1
            self.folder.mkdir(parents=True, exist_ok=True)
            self.window.grab().save(str(self.folder / f"{self.named}{self.step:02d}-{name}.png"))

    def at(self, y: float, x: float) -> QPoint:
        """Where a point of the world lies on the canvas."""
        camera = getattr(self.viewer, "scene", self.viewer).camera
        centre = np.asarray(camera.center)[-2:]
        middle = np.array([self.canvas.height(), self.canvas.width()]) / 2
        row, column = (np.array([y, x]) - centre) * camera.zoom + middle
        return QPoint(round(column), round(row))
