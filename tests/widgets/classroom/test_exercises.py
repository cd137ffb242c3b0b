"""The exercise's text and goal."""

from __future__ import annotations

import pytest
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_dojo.playground.exercise import load
from napari_dojo.widgets.classroom.exercises import ExerciseBox
from napari_dojo.widgets.classroom.lesson import Lesson


@pytest.mark.gui
def test_a_longer_goal_takes_no_room_from_what_is_below(qtbot):
    """The Play row stands below: it stays where it is."""
    page, below = QWidget(), QWidget()
    box = ExerciseBox(Lesson(load("line")))
    layout = QVBoxLayout(page)
    for part in (box, below):
        layout.addWidget(part)
    layout.setStretch(1, 1)
    qtbot.addWidget(page)
    page.resize(320, 600)
    page.show()
    places = []
    for goal in ("Goal: short", "Goal: " + "at least 95 % on validation, " * 3):
        box.goal.setText(goal)
        qtbot.wait(50)
        places.append((below.y(), box.goal.height()))
    assert places[0][0] == places[1][0]
    assert places[0][1] < places[1][1]
