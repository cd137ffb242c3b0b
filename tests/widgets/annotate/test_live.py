"""Strokes with a live preview in the Annotate panel."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from discs import discs
from qtpy.QtTest import QTest

from napari_dojo.widgets.annotate import live
from napari_dojo.widgets.annotate.live import LOOK, Strokes
from napari_dojo.widgets.annotate.panel import AnnotatePanel
from napari_dojo.widgets.common.numbering import STROKES
from napari_dojo.widgets.common.panel import open_panel
from napari_dojo.widgets.train.panel import TrainPanel

pytestmark = pytest.mark.gui


@pytest.fixture
def panel(viewer, forked_jobs):
    image, _ = (part[0] for part in discs())
    viewer.add_image(image, name="cells", units=("micrometer", "micrometer"))
    return open_panel(viewer, AnnotatePanel, "Annotate")


def choose(panel, kind):
    panel.find_box.setCurrentIndex(panel.find_box.findData(kind))
    panel.find_box.activated.emit(panel.find_box.currentIndex())


def paint(panel, truth, strokes=True):
    """Strokes through the first three objects, and on background."""
    layer = panel.editing.labels
    rows = np.indices(truth.shape)[0]
    for number in np.unique(truth)[1:4]:
        layer.data_setitem(np.nonzero((truth == number) & (rows % 4 == 0)), int(number) + 1)
    layer.data_setitem(np.nonzero((truth == 0) & (rows % 8 == 0)), 1)


def shown(panel):
    return panel.live.layer is not None and panel.live.shown[1] is not None


def test_the_preview_follows_strokes_and_goes_with_live(panel, viewer, qtbot):
    _, truth = (part[0] for part in discs())
    choose(panel, "objects")
    assert panel.editing.labels.metadata[STROKES] == "objects"
    assert panel.editing.labels.selected_label == 1
    assert panel.live_check.isChecked()
    assert (panel.ground_button.isChecked(), panel.next_button.isChecked()) == (True, False)
    panel.next_button.click()
    assert (panel.ground_button.isChecked(), panel.next_button.isChecked()) == (False, True)
    panel.editing.labels.mode = "pan_zoom"
    assert not panel.next_button.isChecked()
    paint(panel, truth)
    qtbot.waitUntil(lambda: shown(panel))
    layer = panel.live.layer
    assert layer.units == panel.editing.labels.units == viewer.layers["cells"].units
    assert layer.data[truth == 1].tolist().count(2) > 0.8 * (truth == 1).sum()
    assert ((layer.data > 0) == (truth > 0)).mean() > 0.95
    assert panel.live_text.text().startswith("Preview after")
    assert panel.strokes_text.text().startswith("3 objects, ")
    assert viewer.layers.selection.active is panel.editing.labels
    before = layer.data.copy()
    panel.live.shown = (None, None)
    panel._undo()  # the background's strokes: without them there is nothing to tell apart
    qtbot.waitUntil(lambda: "paint both" in panel.strokes_text.text())
    np.testing.assert_array_equal(layer.data, before)
    viewer.layers.remove(layer)
    assert not panel.live_check.isChecked()
    assert not panel.live.on


def test_labels_removed_while_live_ends_it(panel, viewer, qtbot):
    choose(panel, "objects")
    paint(panel, discs()[1][0])
    viewer.layers.remove(panel.editing.labels)
    assert not panel.live.on
    assert panel.live.layer is None


def test_the_panel_closed_while_live_leaves_nothing(panel, viewer, qtbot):
    choose(panel, "objects")
    paint(panel, discs()[1][0])
    folder = panel.live._folder.name
    qtbot.waitUntil(lambda: panel.live._runner.job is not None)  # its request is written in a thread
    panel.close()
    assert not panel.live.on
    assert not [layer for layer in viewer.layers if "(live)" in layer.name]
    assert not Path(folder).exists()


def test_the_panel_closed_before_its_job_began_leaves_nothing(panel, qtbot, monkeypatch):
    closed, write = threading.Event(), live.live_request
    monkeypatch.setattr(live, "live_request", lambda folder: closed.wait(20) and write(folder))
    choose(panel, "objects")
    folder = panel.live._folder.name
    panel.close()
    closed.set()
    qtbot.waitUntil(lambda: not any(t.name == "request" for t in threading.enumerate()))
    assert not Path(folder).exists()


def test_training_from_strokes_takes_them_as_such(panel, viewer):
    choose(panel, "classes")
    panel._train()
    train = open_panel(viewer, TrainPanel, "Train")
    assert train.task_box.currentData() == "semantic"
    choose(panel, "objects")
    panel._train()
    assert train.task_box.currentData() == "instances"
    assert train.option_values()["annotation"] == "strokes"
    choose(panel, "")
    assert panel.correct_part.isVisibleTo(panel)
    panel._train()
    assert train.option_values()["annotation"] == "complete"


@pytest.mark.parametrize(
    ("plane", "objects", "enough", "said"),
    [
        ([[0, 0, 0]], True, False, "0 objects, 0 strokes of background: paint both"),
        ([[1, 0, 1, 0, 2]], True, True, "1 object, 2 strokes of background"),
        ([[1, 0, 1]], False, False, "1 class painted: paint two or more"),
        ([[1, 0, 2]], False, True, "2 classes painted"),
    ],
)
def test_strokes_are_counted(plane, objects, enough, said):
    counts = Strokes(np.array(plane), objects)
    assert (counts.enough, counts.sentence) == (enough, said)


def test_in_a_plane_without_strokes_those_of_other_planes_count_for_training():
    labels = np.array([[[1, 0, 2]], [[0, 0, 0]]])
    there, here = Strokes(labels[0], True, labels), Strokes(labels[1], True, labels)
    assert (there.enough, there.trainable, there.sentence) == (True, True, "1 object, 1 stroke of background")
    assert (here.enough, here.trainable, here.sentence) == (False, True, "0 objects, 0 strokes of background here")
    assert not Strokes(labels[1], True, np.minimum(labels, 1)).trainable
    assert not Strokes(labels[1], False, np.minimum(labels, 1)).trainable
    assert Strokes(labels[1], False, labels).sentence == "0 classes painted here"


def test_strokes_of_a_stack_can_be_trained_on_and_are_followed_in_any_plane(viewer, qtbot):
    image, truth = (part[0] for part in discs())
    viewer.add_image(np.stack([image] * 6), name="stack")
    panel = open_panel(viewer, AnnotatePanel, "Annotate")
    choose(panel, "objects")
    assert panel.reach_box.isHidden()  # of objects as a whole, which strokes are not
    layer, rows = panel.editing.labels, np.indices(truth.shape)[0]
    for number in (1, 2):
        where = np.nonzero((truth == number) & (rows % 4 == 0))
        layer.data_setitem((np.zeros(len(where[0]), int), *where), number + 1)
    where = np.nonzero((truth == 0) & (rows % 8 == 0))
    layer.data_setitem((np.zeros(len(where[0]), int), *where), 1)
    viewer.dims.set_current_step(0, 0)
    qtbot.waitUntil(panel.retrain.train_button.isEnabled)
    qtbot.waitUntil(lambda: shown(panel))
    panel.live.shown = (None, None)
    viewer.dims.set_current_step(0, 1)
    qtbot.waitUntil(lambda: panel.strokes_text.text().endswith("background here"))
    assert panel.retrain.train_button.isEnabled()
    qtbot.waitUntil(lambda: shown(panel))
    assert ((panel.live.layer.data[1] > 0) == (truth > 0)).mean() > 0.95  # it has no strokes
    assert not panel.live.layer.data[2].any()
    panel.live.shown = (None, None)
    viewer.dims.order = (1, 0, 2)  # from the side
    qtbot.waitUntil(lambda: shown(panel))
    viewer.dims.order = (0, 1, 2)
    panel.live_check.setChecked(False)
    viewer.dims.set_current_step(0, 0)
    qtbot.waitUntil(lambda: panel.strokes_text.text().startswith("2 objects"))


def test_another_kind_of_strokes_and_another_image_are_followed(panel, viewer, qtbot):
    choose(panel, "objects")
    paint(panel, discs()[1][0])
    choose(panel, "classes")
    assert (panel.live_check.isChecked(), panel.live.on) == (True, True)
    panel.live_check.click()
    assert not panel.live.on
    panel.live_check.click()
    qtbot.waitUntil(lambda: shown(panel))
    inverse = viewer.add_image(-viewer.layers["cells"].data, name="inverse")
    qtbot.waitUntil(lambda: panel.image_box.findData(inverse) >= 0)
    panel.live.shown = (None, None)
    panel.image_box.choose(inverse)
    qtbot.waitUntil(lambda: shown(panel))


def test_what_waits_for_the_job_is_forgotten_when_it_ends(panel, viewer, monkeypatch):
    choose(panel, "objects")
    live, asked = panel.live, []
    live.end()
    runner = SimpleNamespace(job=None, start=lambda make: None, close=lambda patience: None)
    monkeypatch.setattr(live, "_runner", runner)
    live.begin(panel.editing, objects=True)
    live._number = 5
    live._written(({"number": 5, "image": "in a folder that is gone soon"}, Strokes(np.array([[1, 2]]), True)))
    live.end()
    live.begin(panel.editing, objects=True)
    runner.job = SimpleNamespace(ask=asked.append)
    QTest.qWait(5 * LOOK)
    live.end()
    assert asked == []


def test_strokes_have_undo_and_no_tools_for_objects(panel, viewer):
    choose(panel, "objects")
    paint(panel, discs()[1][0])
    layer = panel.editing.labels
    assert [b.isVisibleTo(panel) for b in (panel.undo_button, panel.redo_button)] == [True, True]
    assert not any(b.isVisibleTo(panel) for b in panel.tool_buttons.values())
    before = layer.data.copy()
    panel.undo_button.click()
    assert not np.any(layer.data == 1)
    assert panel.result.text() == "Undone."
    panel.redo_button.click()
    np.testing.assert_array_equal(layer.data, before)
    panel.tools.take("Delete")  # as its key does
    panel.tools.accept_under_mouse()
    assert (panel.tools.tool, panel.editing.accepted, str(layer.mode)) == (None, None, "paint")
    choose(panel, "")
    assert all(b.isVisibleTo(panel) for b in panel.tool_buttons.values())


def test_accepted_places_of_before_do_not_limit_strokes(panel, viewer):
    panel.choose(viewer.add_labels(np.zeros(viewer.layers["cells"].data.shape, np.uint8), name="mask"))
    panel.editing.labels.data[5:9, 5:9] = 2
    panel.editing.accept_box((slice(0, 20), slice(0, 20)))
    before = panel.editing.accepted.data.copy()
    assert panel.editing.automatic
    choose(panel, "objects")
    assert "All strokes are used for training" in panel.result.text()
    panel.editing.labels.paint((40, 40), 3)
    np.testing.assert_array_equal(panel.editing.accepted.data, before)
    assert panel.retrain._annotated().rows[0].region is None
    choose(panel, "")
    assert panel.retrain._annotated().rows[0].region is panel.editing.accepted


def test_no_next_object_is_painted_where_its_number_does_not_fit(panel, viewer):
    labels = np.zeros(viewer.layers["cells"].data.shape, np.uint8)
    labels[:16, :16] = np.arange(256).reshape(16, 16)
    panel.choose(viewer.add_labels(labels, name="mask"))
    choose(panel, "objects")
    panel.next_button.click()
    assert "holds numbers up to 255, and none is free" in panel.result.text()
    assert (panel.editing.labels.selected_label, panel.next_button.isChecked()) == (1, False)


def test_a_trained_models_prediction_takes_the_place_of_the_preview_until_the_next_stroke(panel, viewer, qtbot):
    _, truth = (part[0] for part in discs())
    choose(panel, "objects")
    assert panel.live_text.text() == "Starting ..."
    qtbot.waitUntil(lambda: panel.live_text.text() == "")  # nothing is painted: it says no more that it starts
    paint(panel, truth)
    qtbot.waitUntil(lambda: shown(panel))
    panel._retrained(viewer.add_labels(np.zeros_like(truth), name="empty"))
    assert panel.live.layer.visible  # the prediction shows nothing
    result = viewer.add_labels(truth.copy(), name="result")
    panel._retrained(result)
    assert (panel.live.layer.visible, result.visible) == (False, True)
    panel.editing.labels.data_setitem(np.nonzero(truth == 4), 5)
    assert (panel.live.layer.visible, result.visible) == (True, False)
    result.visible = True  # from now on a person decides
    panel.editing.labels.data_setitem(np.nonzero(truth == 4), 6)
    assert result.visible


def test_strokes_are_counted_without_the_preview_and_in_the_next_panel(panel, viewer, qtbot):
    choose(panel, "objects")
    panel.live_check.setChecked(False)
    layer = panel.editing.labels
    layer.data_setitem((np.array([2]), np.array([2])), 2)
    qtbot.waitUntil(lambda: panel.strokes_text.text() == "1 object, 0 strokes of background: paint both")
    assert not panel.retrain.train_button.isEnabled()
    layer.data_setitem((np.array([9]), np.array([9])), 1)
    qtbot.waitUntil(lambda: panel.strokes_text.text() == "1 object, 1 stroke of background")
    assert panel.retrain.train_button.isEnabled()
    panel.end()
    later = open_panel(viewer, AnnotatePanel, "Annotate again")
    qtbot.waitUntil(lambda: later.strokes_text.text() == "1 object, 1 stroke of background")
    assert "bold" in later.retrain.train_button.styleSheet()  # the next step
