"""The section "Filter": what goes is counted and marked while limits change, and removing it is one step."""

from __future__ import annotations

import numpy as np
import pytest
from settled import settled

from napari_dojo.widgets.annotate.panel import AnnotatePanel
from napari_dojo.widgets.common.layers import provenance
from napari_dojo.widgets.common.panel import open_panel

pytestmark = pytest.mark.gui


@pytest.fixture
def section(qtbot, viewer):
    """Of a panel on a prediction: squares of 4, 8 and 12 px, and one at the border; the image is brighter to the right."""
    labels = np.zeros((60, 80), np.int32)
    for n, (y, x, edge) in enumerate(((10, 10, 4), (10, 30, 8), (30, 50, 12), (52, 10, 8)), 1):
        labels[y : y + edge, x : x + edge] = n
    labels[35, 55] = 0  # a hole in the third
    viewer.add_image(np.tile(np.arange(80, dtype=np.float32), (60, 1)), name="cells")
    layer = viewer.add_labels(labels, name="found", metadata=provenance("result", "cells"))
    panel = open_panel(viewer, AnnotatePanel, "Annotate")
    panel.choose(layer)
    viewer.window._qt_window.show()
    panel.filters.parentWidget().button.setChecked(True)
    qtbot.waitUntil(lambda: panel.filters.count.text().startswith("0 of"))
    return panel.filters


def left(section):
    return sorted(set(np.unique(section._editing.data).tolist()) - {0})


def marks(section):
    return [x for x in section._viewer.layers if x.name == "found to remove"]


def test_limits_are_counted_marked_and_removed_in_one_step(qtbot, viewer, section):
    panel, row, layer = viewer.window.dock_widgets["Annotate (Dojo)"], section.rows[0], viewer.layers["found"]
    before = layer.data.copy()
    assert section.count.text() == "0 of 4 objects will be removed."
    assert not section.remove_button.isEnabled()
    assert (row.low.value(), row.high.value()) == (16, 143)
    selected = viewer.layers.selection.active

    row.low.setValue(50)
    assert section.count.text() == "1 of 4 objects will be removed."
    section.border_box.click()
    qtbot.waitUntil(lambda: section.count.text() == "2 of 4 objects will be removed.")
    settled(qtbot, section)
    assert np.array_equal(marks(section)[0].data > 0, np.isin(before, [1, 4]))
    assert viewer.layers.selection.active is selected
    assert marks(section)[0] not in [panel.labels_box.itemData(i) for i in range(panel.labels_box.count())]

    panel.editing.accept(1, (12, 12), panel.editing.sight())
    panel.editing.accept(2, (12, 32), panel.editing.sight())
    steps = panel.editing.history.length
    qtbot.waitUntil(lambda: section.remove_button.isEnabled())
    section.remove_button.click()
    qtbot.waitUntil(lambda: left(section) == [2, 3])
    assert panel.editing.history.length == steps + 1
    assert panel.result.text() == "Removed 2 objects. Ctrl+Z brings them back."
    accepted = panel.editing.accepted.data
    assert not accepted[12, 12]  # what a rule removed is no accepted background
    assert accepted[12, 32]
    qtbot.waitUntil(lambda: section.count.text() == "0 of 2 objects will be removed.")
    assert not marks(section)

    panel.undo_button.click()
    assert np.array_equal(layer.data, before)
    assert panel.editing.accepted.data[12, 12]
    panel.redo_button.click()
    assert left(section) == [2, 3]


def test_handles_other_measurements_and_reset(qtbot, section):
    row = section.rows[0]
    row.slider.setValue((0, 500))  # half of the objects
    assert section.count.text() == "1 of 4 objects will be removed."
    assert section.limits.plain == {"area_px": [None, 64]}
    section.more_box.setCurrentIndex(section.more_box.findData("mean_intensity"))
    section.more_box.activated.emit(section.more_box.currentIndex())
    qtbot.waitUntil(lambda: section.rows[1].isEnabled())
    section.rows[1].low.setValue(20)
    assert section.count.text() == "3 of 4 objects will be removed."
    assert section.more_box.findData("mean_intensity") < 0
    section.rows[1].closed.emit()
    assert section.count.text() == "1 of 4 objects will be removed."
    section.reset_button.click()
    assert section.count.text() == "0 of 4 objects will be removed."
    assert section.limits.plain == {}


def test_holes_of_all_objects(qtbot, viewer, section):
    section.holes_button.click()
    qtbot.waitUntil(lambda: section._editing.data[35, 55] == 3)
    section._editing.undo()
    assert section._editing.data[35, 55] == 0


def test_marks_are_gone_with_the_section(qtbot, viewer, section):
    section.rows[0].low.setValue(50)
    qtbot.waitUntil(lambda: bool(marks(section)))
    section.parentWidget().button.setChecked(False)
    assert not marks(section)
