"""What closed panels left is offered by panels of its kind, and not beside itself."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from napari_dojo.jobs.autosave import Draft, Layer, Row, Work, drafts
from napari_dojo.simulation.cell_types import mixed_cells
from napari_dojo.widgets.annotate.panel import AnnotatePanel
from napari_dojo.widgets.classify.panel import ClassifyPanel
from napari_dojo.widgets.common.unfinished import Unfinished
from napari_dojo.widgets.train.panel import TrainPanel

pytestmark = pytest.mark.gui


def offered(qtbot, panel) -> Draft | None:
    """What a panel offers once it has looked."""
    with qtbot.waitSignal(panel.unfinished.changed):
        panel.unfinished.refresh()
    return panel.unfinished.draft


@pytest.fixture
def classified(qtbot, viewer, panel):
    """A window in which Classify was closed after two clicks on objects; the layer that was classified."""
    scene = mixed_cells((128, 128), 0)
    viewer.add_image(scene.image[0], name="cells")
    labels = viewer.add_labels(scene.labels.copy(), name="nuclei")
    classify = panel(ClassifyPanel)
    qtbot.waitUntil(lambda: classify.live.objects is not None)
    for label in (1, 2):
        at = np.argwhere(scene.labels == label)
        classify.picking.clicked.emit(at[len(at) // 2].astype(float), 1)
    qtbot.waitUntil(lambda: not classify.live.busy and classify.live.seen is not None)
    classify.end()
    return labels


def test_classes_of_objects_are_offered_by_classify_alone(qtbot, viewer, panel, classified):
    (draft,) = drafts()
    assert draft.kind == "classes"
    viewer.layers.clear()  # else nothing is offered beside itself
    assert [offered(qtbot, panel(kind)) for kind in (TrainPanel, AnnotatePanel)] == [None, None]
    classify = panel(ClassifyPanel)
    assert offered(qtbot, classify).folder == draft.folder
    said = classify.unfinished._draft_text.text()
    assert said.startswith("Unsaved object classes: cells, 11 objects, "), said
    classify.unfinished.draft_line.findChildren(QPushButton)[0].click()
    assert [x.name for x in classify.live.subject.images] == ["cells"]
    assert viewer.layers["nuclei"].features["shown"].sum() == 2
    assert classify.live.classes.shown == {(0, 1): 0, (0, 2): 0}


def test_nothing_is_offered_beside_itself(qtbot, viewer, panel, classified):
    (draft,) = drafts()
    kept = classified.data.copy()
    classify = panel(ClassifyPanel)
    assert classify.autosave.draft.folder == draft.folder  # it goes on with it
    assert offered(qtbot, classify) is None
    classify.end()
    other = Unfinished(viewer, "classes", runs=False)
    qtbot.addWidget(other)
    for there in (None, draft.folder):
        if there is not None:
            viewer.layers.remove(classified)
        with qtbot.waitSignal(other.changed):
            other.refresh()
        assert (other.draft and other.draft.folder) == there
    other.end()
    np.testing.assert_array_equal(next(x for x in draft.read().layers.values() if x.kind == "labels").data, kept)


def test_in_brief_an_offer_takes_one_line(qtbot, viewer):
    labels = Layer("labels", "cells labels", np.eye(8, dtype=np.int32), {}, version=1)
    draft = Draft.new()
    draft.write(Work("cells", (Row((), "l", None, "automatic"),), {}, {"l": labels}))
    draft.release()
    dock = QWidget()
    qtbot.addWidget(dock)
    line, column = Unfinished(viewer), QVBoxLayout(dock)
    column.addWidget(line)
    column.addStretch(1)
    dock.resize(320, 300)
    dock.show()
    with qtbot.waitSignal(line.changed):
        line.refresh()
    said, button = line._draft_text.text(), line.draft_line.findChildren(QPushButton)[0]
    qtbot.waitUntil(lambda: line.height() > 2 * button.height())
    assert said.startswith("Unsaved labels: cells, 1 object or classes, ")
    line.be_brief(True)
    assert (line._draft_text.text(), line._draft_text.toolTip()) == ("Unsaved labels", said)
    qtbot.waitUntil(lambda: line.height() <= button.height() + 6)
    line.be_brief(False)
    qtbot.waitUntil(lambda: line.height() > 2 * button.height())
    assert line._draft_text.text() == said
    line.end()
    draft.discard()
