"""From an image without labels to a retrained model and a table, with mouse and keys alone."""

from __future__ import annotations

import numpy as np
import pytest
from person import Hand
from qtpy.QtCore import Qt

from napari_dojo.paths import models_folder
from napari_dojo.widgets.annotate.panel import AnnotatePanel
from napari_dojo.widgets.common.form import Fold
from napari_dojo.widgets.common.panel import open_panel

pytestmark = [pytest.mark.first, pytest.mark.gui, pytest.mark.window, pytest.mark.timeout(400)]

TINY = {"steps": 60, "patch": 48, "batch": 4, "depth": 2, "width": 8, "device": "cpu"}
CENTRES = ((24, 24), (24, 72), (24, 120), (72, 24), (72, 72), (72, 120))


def discs():
    """An image of six bright discs."""
    rows, columns = np.indices((96, 144))
    labels = np.zeros((96, 144), np.int32)
    for n, (r, c) in enumerate(CENTRES, 1):
        labels[(rows - r) ** 2 + (columns - c) ** 2 <= 12**2] = n
    return (100 + 400 * (labels > 0) + np.random.default_rng(0).normal(0, 15, labels.shape)).astype(np.float32)


def choose(hand, box, text):
    """Go to an entry of a box with the arrow keys."""
    wanted = box.findText(text)
    box.setFocus()
    while box.currentIndex() != wanted:
        hand.qtbot.keyClick(box, Qt.Key.Key_Down if box.currentIndex() < wanted else Qt.Key.Key_Up)


def trained(hand, section):
    hand.qtbot.waitUntil(section.train_button.isEnabled)  # strokes are counted beside the window
    hand.press(section.train_button)
    assert section.busy
    if hand.folder:
        hand.qtbot.waitUntil(lambda: section.progress.format().endswith("left"), timeout=120_000)
        hand.look("training")
    hand.qtbot.waitUntil(lambda: not section.busy, timeout=180_000)
    if section.take_button.isVisible():  # so short a training may break more than it fixes
        hand.press(section.take_button)
    assert "Saved as" in section.message.text(), section.message.text()


def test_from_strokes_to_a_retrained_model_and_a_table(qtbot, make_napari_viewer):
    image = discs()
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1280, 800)
    viewer.add_image(image, name="cells")
    panel = open_panel(viewer, AnnotatePanel, "Annotate")
    qtbot.wait(100)  # the canvas has its size now
    viewer.reset_view()
    qtbot.wait(50)
    hand, section = Hand(qtbot, viewer, panel, "retrain-"), panel.retrain
    section.settings = dict(TINY)
    hand.look("start")

    # strokes, with the keys of the brushes
    choose(hand, panel.find_box, "objects from strokes")
    labels = panel.editing.labels
    if panel.live_check.isChecked():
        hand.press(panel.live_check)
    labels.brush_size = 3
    hand.key(Qt.Key.Key_B)
    for row in (4, 48, 90):
        hand.drag((row, 10), (row, 130))
    for column in (48, 96):
        hand.drag((10, column), (86, column))
    for r, c in CENTRES:
        hand.key(Qt.Key.Key_N)
        hand.drag((r, c - 6), (r, c + 6))
    assert set(np.unique(labels.data)) == {0, *range(1, 8)}
    choose(hand, section.start_box, "nothing")
    hand.look("strokes")

    # the full model, and its prediction in a new layer
    trained(hand, section)
    assert section.checked.text().endswith("strokes are right.")
    first = viewer.layers["cells-retrained"]
    assert (models_folder() / "cells-retrained").is_dir()
    assert panel.editing.labels is labels  # strokes stay in the hand
    hand.look("first-model")

    # correct what it found: add what is missing, accept the rest
    choose(hand, panel.labels_box, "cells-retrained")
    assert panel.editing.labels is first
    assert not section.train_button.isEnabled()
    for r, c in CENTRES:
        if not first.data[r, c]:
            hand.key(Qt.Key.Key_A)
            hand.click(r, c)
        elif not panel.editing.accepted or not panel.editing.accepted.data[r, c]:
            hand.key(Qt.Key.Key_Escape)
            hand.move(r, c)
            hand.key(Qt.Key.Key_Return)
    hand.key(Qt.Key.Key_Escape)
    accepted = panel.editing.accepted.data
    assert all(accepted[at] for at in CENTRES)
    kept = first.data.copy()
    qtbot.waitUntil(section.train_button.isEnabled)
    hand.look("accepted")

    # retrain: what is accepted is the test, and stays
    trained(hand, section)
    assert section.checked.text().startswith("accepted 6 · fixed")
    assert section.lists.isVisible()
    second = panel.editing.labels
    assert second.name == "cells-retrained-2"
    np.testing.assert_array_equal(second.data[accepted > 0], kept[accepted > 0])
    assert panel.editing.accepted.data.any()
    hand.look("fixed-and-broke")

    # the table of its objects
    fold = next(f for f in panel.findChildren(Fold) if f.button.text() == "Table and tracks")
    hand.press(fold.button)
    hand.press(panel.follow.table_button)
    table = next(w for w in viewer.window.dock_widgets.values() if type(w).__name__ == "Measurements")
    qtbot.waitUntil(lambda: table.view.model() is not None and table.view.model().rowCount() > 0)
    assert table.view.model().rowCount() == len(np.unique(second.data)) - 1
    hand.look("table")
    panel.end()
