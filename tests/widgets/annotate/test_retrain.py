"""The full model from the Annotate panel: a retraining, its tests on what is accepted, and a model that is refused."""

from __future__ import annotations

import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtGui import QFontMetrics

from napari_dojo.metrics.corrections import fixed_and_broken
from napari_dojo.models import bundle
from napari_dojo.models.card import read_card
from napari_dojo.models.library import Model, find
from napari_dojo.paths import models_folder
from napari_dojo.widgets.annotate import annotated as rows
from napari_dojo.widgets.annotate.annotated import Annotated, annotated
from napari_dojo.widgets.annotate.panel import AnnotatePanel
from napari_dojo.widgets.annotate.retrain import BLANK, NO_IMAGE, NO_LABELS, NONE_FOUND, NOTHING
from napari_dojo.widgets.annotate.retraining import Outcome
from napari_dojo.widgets.common.accepted import accepted_layer, add_accepted
from napari_dojo.widgets.common.layers import provenance
from napari_dojo.widgets.common.numbering import STROKES
from napari_dojo.widgets.common.queue import desk
from napari_dojo.widgets.common.rows import Row

pytestmark = [pytest.mark.gui, pytest.mark.timeout(240)]

TINY = {"steps": 3, "patch": 64, "batch": 2, "depth": 2, "width": 4, "device": "cpu"}


@pytest.fixture
def annotate(filled, panel):
    made = panel(AnnotatePanel)
    made.retrain.settings = dict(TINY)
    made.retrain.start_box.setCurrentIndex(made.retrain.start_box.findData("none"))
    return made


def over(qtbot, section):
    qtbot.waitUntil(lambda: not section.busy, timeout=90_000)


def test_a_retraining_its_layer_and_the_next_one_that_has_to_beat_it(qtbot, filled, annotate):
    section = annotate.retrain
    annotate.choose(filled.layers["cells_1 labels"])
    qtbot.waitUntil(section.train_button.isEnabled)
    section.train_button.click()
    assert section.busy
    assert section.buttons.currentIndex() == 1
    assert desk().of(filled).name == "cells_1-retrained"
    over(qtbot, section)
    card = read_card(models_folder() / "cells_1-retrained")
    assert card.data["corrections"]
    assert card.data["images"] == 3  # all annotated images are trained on
    assert "Saved as cells_1-retrained, and applied." in section.message.text()
    assert section.checked.text().endswith("accepted objects are right.")
    assert section.lists.isHidden()  # there was no model before
    layer = annotate.editing.labels
    assert layer.name == "cells_1-retrained"
    assert layer.metadata["napari_dojo"]["path"] == str(models_folder() / "cells_1-retrained")
    np.testing.assert_allclose(layer.scale, filled.layers["cells_1"].scale)
    assert annotate.image_box.layer is filled.layers["cells_1"]
    assert not filled.layers["cells_1 labels"].visible
    assert section.why_not == NOTHING  # it is a prediction of which nothing is accepted

    layer.data = filled.layers["cells_1 labels"].data.copy()
    annotate.editing.accept_box((slice(0, 60), slice(0, 96)))
    qtbot.waitUntil(section.train_button.isEnabled)
    section.train_button.click()
    old = section.retraining._old
    assert old.name == "cells_1-retrained"
    over(qtbot, section)
    assert section.outcome.tested.compared
    assert not section.lists.isHidden()
    assert section.outcome.model.name == "cells_1-retrained-2"
    mine = section.outcome.labels[:60]
    np.testing.assert_array_equal(mine, filled.layers["cells_1 labels"].data[:60])  # what is accepted stays


def test_stop_keeps_what_there_is_and_stopping_before_the_start_says_so(qtbot, filled, annotate):
    section = annotate.retrain
    section.settings = {**TINY, "steps": 100_000}
    qtbot.waitUntil(section.train_button.isEnabled)
    section.train_button.click()
    qtbot.waitUntil(lambda: section.progress.format().endswith("left"))
    section.stop_button.click()
    over(qtbot, section)
    assert "Saved as" in section.message.text()
    annotate.choose(filled.layers["cells_1 labels"])
    qtbot.waitUntil(section.train_button.isEnabled)
    section.train_button.click()
    section.stop_button.click()
    over(qtbot, section)
    assert "Stopped before it began" in section.message.text()
    assert section.train_button.isEnabled()


@pytest.fixture
def shipped():
    path = find("nuclei-fluorescence")
    return Model("nuclei-fluorescence", path, read_card(path), "shipped")


@pytest.fixture
def outcome(filled, annotate, shipped):
    """A retraining whose new model breaks two objects and fixes one."""
    image, labels = filled.layers["cells_1"], filled.layers["cells_1 labels"]
    annotate.choose(labels)
    truth = np.asarray(labels.data)
    numbers = np.unique(truth)[1:4].tolist()
    old, new = np.where(truth == numbers[0], 0, truth), np.where(np.isin(truth, numbers[1:]), 0, truth)
    made = Annotated("", (Row((image,), labels),), "YX")
    tested = rows.Tested(((0, fixed_and_broken(truth, old, new)),), True)
    model = Model("cells_1-retrained", shipped.path, shipped.card, "own")
    return SimpleNamespace(
        numbers=numbers, what=Outcome(made, model, shipped, {"old_test": {"sentence": "Tests."}}, new, tested)
    )


def test_a_model_that_lost_is_not_taken_unless_asked(filled, annotate, outcome):
    section = annotate.retrain
    before = [x.name for x in filled.layers]
    section._ended(outcome.what)
    assert section.model is None
    assert [x.name for x in filled.layers] == before
    assert "broke 2 and fixed 1 of what is accepted, so nuclei-fluorescence stays" in section.message.text()
    assert section.checked.text().endswith("fixed 1 · broke 2")
    assert section.old_test.text() == "Tests."
    assert (section.fixed_list.placeholderText(), section.broken_list.placeholderText()) == ("fixed 1", "broke 2")
    assert [section.broken_list.itemText(i) for i in range(2)] == [f"object {n}" for n in outcome.numbers[1:]]
    section.take_button.click()
    assert section.model is outcome.what.model
    assert section.take_button.isHidden()
    assert annotate.editing.labels.name == "cells_1-retrained"


def test_what_a_retraining_says_has_its_room_before_it_is_painted(qtbot, filled, annotate, outcome):
    annotate.window().resize(700, 500)
    annotate.window().show()
    inner = annotate.column.parentWidget()
    qtbot.waitUntil(lambda: inner.height() >= inner.layout().totalHeightForWidth(inner.width()))
    annotate.retrain._ended(outcome.what)
    assert inner.height() >= inner.layout().totalHeightForWidth(inner.width())
    for part in (annotate.retrain.lists, annotate.retrain.take_button, annotate.tool_buttons["Delete"]):
        assert part.height() >= part.minimumSizeHint().height() > 0


def test_a_result_does_not_take_the_panel_from_labels_that_are_worked_on(filled, annotate, outcome):
    other = filled.layers["cells_2 labels"]
    annotate.choose(other)
    annotate.retrain._take(outcome.what)
    assert annotate.editing.labels is other
    assert filled.layers.selection.active is not filled.layers["cells_1-retrained"]


def test_a_prediction_is_retrained_from_its_model_and_old_results_go_with_their_labels(
    qtbot, filled, annotate, outcome
):
    section, image = annotate.retrain, filled.layers["cells_1"]
    section._ended(outcome.what)
    assert section.message.text()
    about = provenance("result", "cells_1", task="instances", path=str(find("objects-grey")))
    found = filled.add_labels(
        np.array(filled.layers["cells_1 labels"].data), name="found", scale=image.scale, metadata=about
    )
    annotate.choose(found)
    assert section.start_box.currentText() == "objects-grey"
    qtbot.waitUntil(lambda: section.message.text() == NOTHING)  # why the button is disabled stands beside it
    assert section.checked.text() == ""
    annotate.choose(filled.layers["cells_1 labels"])
    assert section.start_box.currentText() == "automatic"
    section.start_box.activated.emit(0)  # a person chose it
    annotate.choose(found)
    assert section.start_box.currentText() == "automatic"


def test_a_click_leads_to_an_object(filled, annotate, outcome):
    section = annotate.retrain
    section._ended(outcome.what)
    labels = filled.layers["cells_1 labels"]
    section.broken_list.setCurrentIndex(1)
    section.broken_list.activated.emit(1)
    at = np.rint(labels.world_to_data(filled.scene.camera.center[-2:])).astype(int)
    assert labels.data[tuple(at)] == outcome.numbers[2]


def test_the_choice_of_starts_never_holds_a_retraining(filled, annotate):
    box = annotate.retrain.start_box
    shipped = ["nuclei-fluorescence", "objects-grey"]
    assert [box.itemText(i) for i in range(box.count())] == ["automatic", *shipped, "nothing"]


def test_each_image_is_trained_on_once_and_only_what_is_annotated(viewer):
    x = np.zeros((20, 20), np.float32)
    y = np.zeros((20, 20), np.int32)
    y[2:6, 2:6] = 1
    images = [viewer.add_image(x, name=n) for n in ("a", "b", "c")]
    first = viewer.add_labels(y, name="a labels")
    made = [viewer.add_labels(y, name=f"b {k}", metadata=provenance("result", "b")) for k in range(3)]
    viewer.add_labels(y, name="c model", metadata=provenance("result", "c"))  # nothing of it is accepted
    strokes = viewer.add_labels(y, name="c strokes", metadata={STROKES: "objects"})
    for layer in (*made[:2], strokes):
        add_accepted(viewer, layer).data = y > 0
    found = annotated(viewer, first, images[0])
    assert [(row.name, row.target.name) for row in found.rows] == [("a", "a labels"), ("b", "b 1")]
    assert found.rows[1].region is accepted_layer(viewer.layers, made[1])
    assert found.material.axes == "YX"
    drawn = annotated(viewer, strokes, images[2])
    assert [(row.name, row.region) for row in drawn.rows] == [("c", None)]  # all strokes count
    assert drawn.how.options == {"annotation": "strokes"}
    assert annotated(viewer, first, viewer.add_image(np.zeros((8, 8)), name="small")) is None


def test_without_an_image_the_button_says_why(viewer, panel):
    viewer.add_labels(np.ones((20, 20), np.int32), name="labels")
    section = panel(AnnotatePanel).retrain
    assert not section.train_button.isEnabled()
    assert section.train_button.toolTip() == NO_IMAGE
    assert section.message.text() == NO_IMAGE  # beside the button, too


@pytest.mark.parametrize("value", [7.0, np.nan])
def test_of_an_image_that_shows_nothing_the_button_says_so(qtbot, filled, annotate, value):
    section, image = annotate.retrain, filled.layers["cells_1"]
    seen = image.data
    annotate.choose(filled.layers["cells_1 labels"])
    qtbot.waitUntil(section.train_button.isEnabled)
    image.data = np.full(seen.shape, value, np.float32)
    annotate.choose(filled.layers["cells_0 labels"])
    annotate.choose(filled.layers["cells_1 labels"])
    qtbot.waitUntil(lambda: section.message.text() == BLANK)
    assert (section.train_button.isEnabled(), section.train_button.toolTip()) == (False, BLANK)
    annotate.choose(filled.layers["cells_0 labels"])
    qtbot.waitUntil(section.train_button.isEnabled)
    assert section.message.text() == ""


def test_without_labels_it_says_so(viewer, panel):
    viewer.add_image(np.eye(20), name="image")
    section = panel(AnnotatePanel).retrain
    assert section.train_button.toolTip() == NO_LABELS


def test_a_chosen_start_is_chosen_again_when_its_image_is_back(filled, annotate):
    section = annotate.retrain
    annotate.choose(filled.layers["cells_1 labels"])
    section.start_box.setCurrentIndex(section.start_box.findData("none"))
    section.start_box.activated.emit(section.start_box.currentIndex())
    section.start_box.setCurrentIndex(section.start_box.findText("objects-grey"))
    section.start_box.activated.emit(section.start_box.currentIndex())
    annotate.image_box.clear()
    annotate._image_chosen()
    assert section.start_box.currentText() == "automatic"  # none fits without an image
    annotate._list_images()
    assert section.start_box.currentText() == "objects-grey"


def test_a_start_that_was_deleted_is_said_and_the_next_press_starts_without(qtbot, filled, annotate):
    section, labels = annotate.retrain, filled.layers["cells_1 labels"]
    annotate.choose(labels)
    qtbot.waitUntil(section.train_button.isEnabled)
    for by_hand in (True, False):
        mine = models_folder() / "mine"
        shutil.copytree(find("objects-grey"), mine)
        if by_hand:
            section.use(section._editing)
            section.start_box.setCurrentIndex(section.start_box.findData(str(mine)))
            section.start_box.activated.emit(section.start_box.currentIndex())
        else:  # of a prediction its model is taken
            labels.metadata.update(provenance("result", filled.layers["cells_1"], path=str(mine)))
            section.use(section._editing)
        assert section.start_box.currentText() == "mine"
        shutil.rmtree(mine)
        section.train_button.click()
        assert not section.busy
        assert section.start_box.currentText() == "automatic"
        assert section.message.text().startswith("The model mine, which was chosen to start from, is no longer there.")
        section.start_box.activated.emit(0)
        assert not section.message.text()
        section._start_by_hand = None


@pytest.mark.window
def test_a_start_that_changed_with_a_deleted_prediction_model_is_said(qtbot, filled, annotate):
    """The base of the prediction's model was chosen by itself, and is still there; what predicted is not."""
    section, labels = annotate.retrain, filled.layers["cells_1 labels"]
    base, mine = bundle.load(find("objects-grey")), models_folder() / "mine"
    card = replace(base.card, name="mine", parent="objects-grey", data={**base.card.data, "corrections": True})
    bundle.save(replace(base, card=card), mine, np.zeros((1, 64, 64)))
    labels.metadata.update(provenance("result", filled.layers["cells_1"], path=str(mine)))
    annotate.choose(labels)
    annotate.editing.accept_box((slice(0, 60), slice(0, 96)))
    qtbot.waitUntil(section.train_button.isEnabled)
    assert section.start_box.currentText() == "objects-grey"
    shutil.rmtree(mine)
    qtbot.mouseClick(section.train_button, Qt.MouseButton.LeftButton)
    assert not section.busy
    assert section.start_box.currentText() == "automatic"
    assert section.message.text() == "The model of the prediction is no longer there. Start from: automatic."


@pytest.mark.parametrize("found", [True, False])
def test_of_strokes_the_newest_prediction_is_shown_and_what_to_do_with_it_said(filled, annotate, outcome, found):
    section, image = annotate.retrain, filled.layers["cells_1"]
    about = provenance("result", "cells_1", task="instances")
    older = filled.add_labels(np.zeros(image.data.shape, int), name="older", scale=image.scale, metadata=about)
    other = filled.add_labels(
        np.zeros(image.data.shape, int), name="other", metadata=provenance("result", "cells_2", task="instances")
    )
    drawn = replace(outcome.what.annotated, kind="objects")
    older.metadata.update(provenance("result", image, task="instances"))
    image.name = "renamed"
    section._take(replace(outcome.what, annotated=drawn, labels=outcome.what.labels * found))
    newest = next(x for x in filled.layers if x.name.endswith("cells_1-retrained"))
    assert (newest.visible, older.visible, other.visible) == (True, False, True)
    said = "To correct it, choose it under Labels." if found else NONE_FOUND
    assert said in section.message.text()


def test_without_labels_nothing_is_said_of_those_that_are_gone(filled, annotate, outcome):
    section = annotate.retrain
    annotate.choose(filled.layers["cells_1 labels"])
    section._take(outcome.what)
    assert section.message.text().startswith("Saved as")
    section.use(None)
    assert (section.message.text(), section.checked.text()) == ("", "")


def test_the_bold_button_is_whole_in_a_narrow_panel(qtbot, filled, annotate):
    section = annotate.retrain
    annotate.choose(filled.layers["cells_1 labels"])
    annotate.lead(section.train_button)
    annotate.resize(320, 800)
    annotate.show()
    font = section.train_button.font()
    font.setBold(True)
    needed = QFontMetrics(font).horizontalAdvance(section.train_button.text())
    qtbot.waitUntil(lambda: section.train_button.width() >= needed + 8)
    assert section.more_button.width() >= section.more_button.fontMetrics().horizontalAdvance("In Train ...") + 8


def test_labels_without_objects_are_not_said_to_be_used_for_training(qtbot, filled, annotate):
    empty = filled.add_labels(np.zeros_like(filled.layers["cells_1 labels"].data), name="empty")
    annotate.choose(empty)
    qtbot.waitUntil(lambda: annotate.meaning.text().startswith("Label all objects of this image"))
    annotate.choose(filled.layers["cells_1 labels"])
    qtbot.waitUntil(lambda: annotate.meaning.text().endswith("Accept parts to use only those."))
