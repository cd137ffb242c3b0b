"""A person at a viewer: where things lie on the canvas, and pictures of each step."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication


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


class Hand(Person):
    """A person with mouse and keys at a viewer."""

    def __init__(self, qtbot, viewer, panel, named="annotate-"):
        super().__init__(qtbot, viewer, named)
        self.panel = panel

    def look(self, name):
        if self.folder:
            self.qtbot.wait(500)
        super().look(name)

    def move(self, y, x, buttons=Qt.MouseButton.NoButton, keys=Qt.KeyboardModifier.NoModifier):
        """Straight to the canvas; napari takes one move in 5 ms."""
        self.qtbot.wait(15)
        place = QPointF(self.at(y, x))
        there = QPointF(self.canvas.mapToGlobal(self.at(y, x)))
        event = QMouseEvent(QEvent.Type.MouseMove, place, there, Qt.MouseButton.NoButton, buttons, keys)
        QApplication.sendEvent(self.canvas, event)

    def click(self, y, x):
        self.move(y, x)
        QTest.mouseClick(self.canvas, Qt.MouseButton.LeftButton, pos=self.at(y, x))
        self.qtbot.wait(5)

    def drag(self, *points, shift=False):
        keys = Qt.KeyboardModifier.ShiftModifier if shift else Qt.KeyboardModifier.NoModifier
        self.move(*points[0])
        QTest.mousePress(self.canvas, Qt.MouseButton.LeftButton, keys, self.at(*points[0]))
        for point in points[1:]:
            self.move(*point, Qt.MouseButton.LeftButton, keys)
        QTest.mouseRelease(self.canvas, Qt.MouseButton.LeftButton, keys, self.at(*points[-1]))
        self.qtbot.wait(5)

    def key(self, key, modifier=Qt.KeyboardModifier.NoModifier):
        self.qtbot.keyClick(self.canvas, key, modifier)
        self.qtbot.wait(5)

    def press(self, button):
        assert button.isEnabled(), button.toolTip()
        self.qtbot.mouseClick(button, Qt.MouseButton.LeftButton)

    @property
    def said(self):
        return self.panel.result.text()
