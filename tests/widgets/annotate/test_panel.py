"""The Annotate panel with real mouse events and keys; one viewer for each story."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from person import Hand
from qtpy.QtCore import Qt
from settled import settled

from napari_dojo.widgets.annotate.panel import AnnotatePanel
from napari_dojo.widgets.common.accepted import accepted_layer
from napari_dojo.widgets.common.layers import provenance
from napari_dojo.widgets.common.panel import open_panel

pytestmark = pytest.mark.gui

SHIFT = Qt.KeyboardModifier.ShiftModifier
CONTROL = Qt.KeyboardModifier.ControlModifier


def cells(shape=(120, 160), centres=((30, 30), (30, 62), (80, 40), (80, 110)), radius=12):
    """An image of bright discs, and their labels."""
    rows, columns = np.indices(shape)
    labels = np.zeros(shape, np.int32)
    for n, (r, c) in enumerate(centres, 1):
        labels[(rows - r) ** 2 + (columns - c) ** 2 <= radius**2] = n
    rng = np.random.default_rng(0)
    return (100 + 400 * (labels > 0) + rng.normal(0, 15, shape)).astype(np.float32), labels


@pytest.fixture
def begin(qtbot, make_napari_viewer):
    """Opens a shown viewer with these layers, and the panel; closes it at the end."""
    opened = []

    def start(image, labels, metadata=None, **place):
        viewer = make_napari_viewer(show=True)
        viewer.window.resize(1280, 800)
        viewer.add_image(image, name="cells", **place)
        layer = viewer.add_labels(labels, name="cells nuclei", metadata=metadata or {}, **place)
        panel = open_panel(viewer, AnnotatePanel, "Annotate")
        opened.append(panel)
        settled(qtbot, panel)
        qtbot.wait(50)  # the canvas has its size now
        viewer.reset_view()
        qtbot.wait(20)
        return Hand(qtbot, viewer, panel), layer

    yield start
    for panel in opened:
        panel.end()


def test_a_walk_through_all_tools_and_back(qtbot, begin):
    image, truth = cells()
    start = truth.copy()
    start[80 - 12 : 80 + 13, 110 - 12 : 110 + 13] = 0  # the fourth is missing
    start[truth == 2] = 1  # the second is merged with the first
    start[24:36, 42:50] = 1
    start[truth == 3] = np.where(np.indices(truth.shape)[0] < 80, 3, 7)[truth == 3]  # the third is in two
    start[100:110, 140:150] = 9  # dirt
    made = provenance("result", "cells", task="instances", model="nuclei")
    hand, layer = begin(image, start.copy(), made)
    panel, viewer = hand.panel, hand.viewer
    layer.mode, layer.selected_label = "paint", 5
    assert panel.labels_box.layer is layer
    assert panel.image_box.layer.name == "cells"
    assert "4 objects, 0 accepted" in panel.count_text.text()
    hand.look("start")

    # split, by its button
    hand.press(panel.tool_buttons["Split"])
    assert layer.mode == "pick"
    assert "Draw a line" in panel.hint.text()
    hand.drag((10, 46), (30, 46), (50, 46))
    assert hand.said == "Split 1 object."
    assert layer.data[30, 30] != layer.data[30, 62]
    hand.look("split")

    # merge, by two clicks
    hand.key(Qt.Key.Key_G)
    assert panel.tool_buttons["Merge"].isChecked()
    hand.click(75, 40)
    assert "Now click" in hand.said
    hand.click(86, 40)
    assert layer.data[86, 40] == layer.data[75, 40] == 3
    hand.look("merge")

    # delete and add
    hand.key(Qt.Key.Key_D)
    hand.click(105, 145)
    assert hand.said == "Deleted object 9."
    hand.key(Qt.Key.Key_A)
    hand.click(80, 110)
    added = layer.data[80, 110]
    assert added > 9
    true = truth == 4
    assert ((layer.data == added) & true).sum() / ((layer.data == added) | true).sum() > 0.8
    hand.look("add")

    # what was corrected is accepted, and outlined in a layer
    accepted = accepted_layer(viewer.layers, layer)
    assert all(accepted.data[place] for place in ((30, 30), (30, 62), (80, 40), (105, 145), (80, 110)))
    assert not accepted.data[5, 150]
    assert viewer.layers.selection.active is layer
    settled(qtbot, panel)
    qtbot.waitUntil(lambda: panel.count_text.text() == "4 objects, 4 accepted")

    # reshape, smooth, fill holes
    hand.key(Qt.Key.Key_R)
    layer.brush_size = 6
    hand.drag((80, 40), (80, 60))
    assert layer.data[80, 58] == 3, hand.said
    hand.drag((80, 75), (80, 57))
    assert layer.data[80, 59] == 0
    hand.key(Qt.Key.Key_U)
    hand.click(80, 40)
    assert hand.said == "Smoothed object 3."
    layer.data_setitem((np.array([80]), np.array([40])), 0)
    hand.key(Qt.Key.Key_H)
    hand.click(84, 40)
    assert hand.said == "Filled the holes of object 3."
    assert layer.data[80, 40] == 3
    hand.look("reshaped")

    # napari's brush, back in the hand as it was
    hand.key(Qt.Key.Key_Escape)
    assert layer.mode == "paint"
    assert layer.selected_label == 5
    hand.drag((60, 130), (60, 140))
    assert layer.data[60, 135] == 5
    assert accepted.data[60, 135]

    # accepted by key, by view, and all
    hand.key(Qt.Key.Key_Escape)
    hand.move(60, 135)
    hand.key(Qt.Key.Key_Return)
    assert hand.said == "Object 5 is no longer accepted."
    hand.press(panel.view_button)
    assert accepted.data.all()
    hand.look("accepted")

    # undo all, by key
    for _ in range(12):
        hand.key(Qt.Key.Key_Z, CONTROL)
    np.testing.assert_array_equal(layer.data, start)
    assert not accepted.data.any()
    assert not panel.undo_button.isEnabled()
    hand.key(Qt.Key.Key_Z, CONTROL)
    assert hand.said == "There is nothing to undo."
    for _ in range(12):
        hand.key(Qt.Key.Key_Z, CONTROL | SHIFT)
    assert hand.said == "Redone."
    assert accepted.data.all()
    assert layer.data[60, 135] == 5


@pytest.mark.parametrize(("zoom", "moved", "clicked"), [(10.0, (2, 0), False), (0.05, (20, 0), True)])
def test_a_drag_is_measured_on_the_screen(begin, monkeypatch, zoom, moved, clicked):
    hand, layer = begin(*cells())
    panel, seen = hand.panel, []
    panel.tools.take("Split")
    monkeypatch.setattr(panel.tools, "_act", lambda tool, editing, gesture: seen.append(gesture.click))
    event = SimpleNamespace(button=1, modifiers=(), type="mouse_press", position=(5.0, 5.0), pos=(50.0, 50.0))
    drag = panel.tools._drag(layer, event)
    next(drag)
    event.type, event.position = "mouse_move", (5.0 + moved[0], 5.0 + moved[1])
    event.pos = (50.0, 50.0 + zoom * moved[0])
    next(drag)
    event.type = "mouse_release"
    next(drag, None)
    assert seen == [clicked]


def test_napari_keeps_its_keys_and_two_viewers_do_not_meet(qtbot, begin):
    image, truth = cells()
    hand, layer = begin(image, truth.copy())
    panel, canvas = hand.panel, hand.canvas

    # Space moves the camera meanwhile, and the tool is back after it
    hand.key(Qt.Key.Key_S)
    qtbot.keyPress(canvas, Qt.Key.Key_Space)
    assert layer.mode == "pan_zoom"
    assert panel.tool_buttons["Split"].isChecked()
    qtbot.keyRelease(canvas, Qt.Key.Key_Space)
    assert layer.mode == "pick"
    hand.drag((10, 30), (50, 30))
    assert hand.said == "Split 1 object."

    # Esc forgets the first of two clicks, then puts the tool down
    hand.key(Qt.Key.Key_G)
    hand.click(30, 62)
    hand.key(Qt.Key.Key_Escape)
    assert panel.tools.tool.name == "Merge"
    hand.click(80, 40)
    assert "object 3" in hand.said
    hand.key(Qt.Key.Key_Escape)
    hand.key(Qt.Key.Key_Escape)
    assert panel.tools.tool is None

    # a tool of napari takes the place of ours; Enter finishes its polygon
    hand.key(Qt.Key.Key_D)
    hand.key(Qt.Key.Key_3)
    assert panel.tools.tool is None
    assert not panel.tool_buttons["Delete"].isChecked()
    layer.selected_label = 20
    for corner in ((100, 60), (100, 90), (115, 90), (115, 60)):
        hand.click(*corner)
    hand.key(Qt.Key.Key_Return)
    assert layer.data[108, 75] == 20
    hand.key(Qt.Key.Key_Z, CONTROL)
    assert layer.data[108, 75] == 0

    # Shift and drag: a box
    layer.data_setitem(np.nonzero(layer.data == 4), 0)
    hand.key(Qt.Key.Key_A)
    hand.drag((66, 96), (80, 110), (94, 124), shift=True)
    found = layer.data == layer.data[80, 110]
    assert (found & (truth == 4)).sum() / (found | (truth == 4)).sum() > 0.85

    # a second viewer has its own tools; a panel that is closed leaves nothing behind
    other, second = begin(image, truth.copy())
    other.key(Qt.Key.Key_D)
    other.click(30, 62)
    assert second.data[30, 62] == 0
    assert layer.data[30, 62] == 2
    assert panel.tools.tool.name == "Add"
    hand.viewer.window.remove_dock_widget(panel.parent())
    assert layer.mode == "polygon"  # as before the tool
    assert not layer.keymap
    other.key(Qt.Key.Key_Z, CONTROL)
    np.testing.assert_array_equal(second.data, truth)
