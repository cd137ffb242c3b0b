"""A classroom that is open, with its layers on the canvas."""

from __future__ import annotations

import pytest

from napari_dojo.widgets.classroom import ClassroomPanel


@pytest.fixture
def classroom(qtbot, panel):
    made = panel(ClassroomPanel)
    qtbot.waitUntil(lambda: made.canvas.there)
    qtbot.wait(20)
    return made
