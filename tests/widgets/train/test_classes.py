"""The table of classes: names that a layer brings are those of the check and of the model."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtWidgets import QLineEdit

from napari_dojo.widgets.common.layers import class_look
from napari_dojo.widgets.common.rows import Row
from napari_dojo.widgets.train.classes import ClassTable
from napari_dojo.widgets.train.panel import TrainPanel

pytestmark = pytest.mark.gui
NAMES = ("inside", "class 1 edge", "nothing")


@pytest.fixture
def strokes(viewer):
    painted = np.zeros((128, 128), int)
    for k in range(3):
        painted[10 + 40 * k : 30 + 40 * k, 10:110] = k + 1
    viewer.add_image(np.random.default_rng(0).random((128, 128)), name="a")
    return viewer.add_labels(painted, name="a labels", **class_look((1, 2, 3), NAMES))


def test_names_that_a_layer_brings_reach_check_and_model(qtbot, viewer, panel, strokes, monkeypatch):
    asked = {}
    monkeypatch.setattr("napari_dojo.widgets.common.training_data.train_request", lambda *a, **more: asked.update(more))
    train = panel(TrainPanel)
    train.task_box.setCurrentIndex(train.task_box.findData("semantic"))
    qtbot.waitUntil(train.start_button.isEnabled)
    assert "inside 33%, class 1 edge 33%, nothing 33%" in train.findings.text()
    train.start_button.click()
    qtbot.waitUntil(lambda: "options" in asked)
    assert asked["options"]["classes"] == NAMES


def test_default_names_are_left_to_the_task(qtbot):
    table = ClassTable(lambda: [])
    qtbot.addWidget(table)
    table.show_painted([(1, "class 1", 5), (11, "class 11", 5)])
    assert not table.named
    table.set_custom({"1": "edge"})
    assert table.named
    assert table.names() == ("edge", "class 11")
    assert table.worded("class 11 has 5, class 1 5 (subclass 1)") == "class 11 has 5, edge 5 (subclass 1)"


def test_names_belong_to_the_layer_they_were_given_to(qtbot, viewer, panel, strokes):
    other = viewer.add_labels(strokes.data.copy(), name="a other")
    train = panel(TrainPanel)
    train.task_box.setCurrentIndex(train.task_box.findData("semantic"))
    image, table = viewer.layers["a"], train.choices.classes
    for layer, names in ((other, ("class 1", "class 2", "class 3")), (strokes, NAMES)):
        train.rows.set_rows([Row((image,), layer)])
        qtbot.waitUntil(lambda names=names: table.names() == names)
    train.rows.set_rows([Row((image,), other)])
    table._named(2, "wall")
    assert table.names() == ("class 1", "wall", "class 3")
    assert list(other.features["class"]) == ["wall"]
    train.rows.set_rows([Row((image,), strokes)])
    edits = lambda: [edit.text() for edit in table.findChildren(QLineEdit) if edit.isVisibleTo(table)]  # noqa: E731
    qtbot.waitUntil(lambda: edits() == list(NAMES))
    assert (table.names(), tuple(strokes.features["class"])) == (NAMES, NAMES)
    table.set_custom({"1": "saved"})
    assert table.names() == NAMES
