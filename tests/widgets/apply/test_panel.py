"""The Apply panel on models whose predictions are known. Jobs run in this process, but for one with a real child."""

from __future__ import annotations

import errno
import shutil
import threading
import time
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import dask.array as da
import numpy as np
import pytest
import tifffile
import torch
from bright import bright, squares
from held import held_but
from napari.layers import Layer
from napari.layers._source import layer_source
from qtpy.QtCore import Qt
from roifile import roiread
from settled import settled

from napari_dojo.data.axes import Axes
from napari_dojo.errors import explained
from napari_dojo.events import Control, Failed, Filling, Message, Progress, Skipped, Written, result_of
from napari_dojo.inference.sinks import RunSink
from napari_dojo.inference.tables import measure
from napari_dojo.io import images
from napari_dojo.jobs.worker import events_of
from napari_dojo.models import bundle
from napari_dojo.models.bundle import Bundle
from napari_dojo.models.card import Card
from napari_dojo.models.library import Model, models
from napari_dojo.paths import home, models_folder, runs_folder
from napari_dojo.tasks import TASKS
from napari_dojo.widgets.actions import measure_objects, segment_nuclei
from napari_dojo.widgets.apply import panel as apply_module
from napari_dojo.widgets.apply import results as results_module
from napari_dojo.widgets.apply.image_box import Group
from napari_dojo.widgets.apply.panel import ApplyPanel
from napari_dojo.widgets.apply.results import Kept
from napari_dojo.widgets.common.plot import theme_colours
from napari_dojo.widgets.common.provenance import is_uncorrected, source_among
from napari_dojo.widgets.common.run import BRIEFLY, PATIENCE, Runner
from napari_dojo.widgets.common.table import Measurements, open_table
from napari_dojo.widgets.reader import get_reader

pytestmark = pytest.mark.gui

NUCLEI = {
    "name": "nuclei-fluorescence",
    "diameter": 20.0,
    "pixel_size": (0.5, 0.5),
    "unit": "um",
    "score": {"sentence": "detected 86 of 100, 9 false positives", "from": "validation"},
    "baseline": {"sentence": "detected 71 of 100, 20 false positives"},
}
CLASSES = {"task": "semantic", "decoding": {}, "options": {"values": [3, 5], "classes": ["bright", "dark"]}}


@pytest.fixture
def known(monkeypatch, tmp_path):
    """Sets which models there are, by name and values of their cards; each finds what is bright."""
    made = {}

    def know(*names, **cards):
        cards = {**{name: {} for name in names}, **cards}
        made.update({str(tmp_path / name): bright(**{"name": name, **more}) for name, more in cards.items()})
        listed = [Model(Path(p).name, Path(p), b.card, "own") for p, b in made.items()]
        monkeypatch.setattr(apply_module, "models", lambda: listed)
        return listed

    monkeypatch.setattr("napari_dojo.models.bundle.load", lambda path: made[str(path)])
    return know


@pytest.fixture
def one_model(known):
    return known(**{"nuclei-fluorescence": NUCLEI})[0]


@pytest.fixture
def at_once(monkeypatch):
    """Jobs are done before `start` returns; ``at_once.before(event)`` is called with each event."""

    here = SimpleNamespace(before=lambda event: None, folders=[])

    def start(runner, make):
        runner.busy = True
        control = Control()
        try:
            folder = make()
            here.folders.append(folder)
            for event in events_of(folder, control):
                control.stop = bool(here.before(event)) or control.stop
                runner._say(event)
        except Exception as error:
            runner._say(Failed(explained(error)))

    monkeypatch.setattr(Runner, "start", start)
    return here


@pytest.fixture
def warned(monkeypatch):
    """The notifications."""
    said = []
    monkeypatch.setattr("napari.utils.notifications.show_warning", said.append)
    return said


def done(qtbot, apply):
    """Wait until all results are there."""
    qtbot.waitUntil(lambda: bool(apply.results.shown) and not apply.results.reading)


def run(qtbot, apply):
    apply.apply_button.click()
    done(qtbot, apply)
    return apply.results.layers


def nothing_left():
    return not runs_folder().exists() or not list(runs_folder().iterdir())


# --- models


def test_what_a_model_is_stands_below_it(qtbot, viewer, panel, one_model):
    apply = panel(ApplyPanel)
    assert apply.model_box.currentText() == "nuclei-fluorescence"
    assert "Validation: detected 86 of 100, 9 false positives" in apply.about.text()
    assert "Baseline: detected 71 of 100" in apply.about.text()
    assert "20 px in diameter (10 µm)" in apply.about.toolTip()
    assert not apply.apply_button.isEnabled()
    assert "Open an image" in apply.message.text()


def test_without_a_model_the_panel_says_so(qtbot, viewer, panel, known):
    known()
    apply = panel(ApplyPanel)
    assert "no model yet" in apply.about.text()
    assert not apply.apply_button.isEnabled()


def test_what_fits_comes_first_and_what_does_not_says_why(qtbot, viewer, panel, known):
    known(colours={"channels": 3}, plain={}, volumes={"spatial": "ZYX"})
    viewer.add_image(squares(1), name="flat")
    viewer.add_image(np.zeros((30, 30, 3), np.uint8), name="colours", rgb=True)
    apply = panel(ApplyPanel)

    def listed():
        return [apply.model_box.itemText(i) for i in range(apply.model_box.count())]

    apply.image_box.choose(viewer.layers["flat"])
    assert listed() == ["plain", "✗ colours", "✗ volumes"]
    assert "needs 3 channels (or planes); this image has 1" in apply.model_box.itemData(1, 3)  # the tooltip
    apply.choose_model("plain")
    assert apply.apply_button.isEnabled()
    apply.image_box.choose(viewer.layers["colours"])
    assert listed() == ["colours", "✗ plain", "✗ volumes"]
    assert apply.model.name == "plain"  # what a person chose stays
    assert "needs 1 channel; this image has 3" in apply.message.text()
    assert not apply.apply_button.isEnabled()
    apply.choose_model("colours")
    assert apply.apply_button.isEnabled()
    assert apply.message.text() == ""


def test_the_diameter_follows_the_pixel_size(qtbot, viewer, panel, one_model):
    viewer.add_image(np.zeros((32, 32)), name="plain")
    viewer.add_image(np.zeros((32, 32)), name="fine", scale=(0.1, 0.1), units=("um", "um"))
    apply = panel(ApplyPanel)
    apply.image_box.choose(viewer.layers["plain"])
    assert apply.request.diameter.box.value() == 20
    apply.image_box.choose(viewer.layers["fine"])
    assert apply.request.diameter.box.value() == 100
    apply.request.diameter.box.setValue(70)
    viewer.layers.selection.active = viewer.layers["plain"]  # selecting is not choosing
    qtbot.wait(20)
    assert apply.request.diameter.box.value() == 70


def test_a_diameter_that_is_typed_counts_also_where_it_was_expected(qtbot, viewer, panel, one_model):
    """Else nobody could have an image predicted as it lies whose objects look larger."""
    row = panel(ApplyPanel).request.diameter
    row.expect(20.0, None)
    assert row.value is None
    row.box.lineEdit().selectAll()
    qtbot.keyClicks(row.box.lineEdit(), "20")
    qtbot.keyClick(row.box.lineEdit(), Qt.Key.Key_Return)
    assert row.value == 20
    row.expect(20.0, None)
    assert row.value is None


def test_the_diameter_is_measured(qtbot, viewer, panel, one_model, scenes):
    viewer.add_image(scenes[0].image, scale=(0.1, 0.1), units=("um", "um"))
    apply = panel(ApplyPanel)
    row = apply.request.diameter
    assert row.value is None
    row.button.click()
    assert row.button.text() == "..."
    qtbot.waitUntil(lambda: row.button.text() == "Measure")
    assert apply.request.diameter.box.value() == row.value == pytest.approx(18, rel=0.25)
    assert f"About {row.value:g} px, measured on" in apply.message.text()
    viewer.layers.clear()
    viewer.add_image(np.zeros((30, 30)))
    qtbot.waitUntil(lambda: row.value is None)
    row.button.click()
    qtbot.waitUntil(lambda: "No bright object was found" in apply.message.text())


# --- axes


def test_the_third_axis_is_said(qtbot, viewer, panel, known):
    known(flat={}, deep={"spatial": "ZYX"})
    viewer.add_image(np.zeros((20, 32, 32)), name="stack")
    apply = panel(ApplyPanel)
    apply.choose_model("flat")
    what = apply.request.what
    assert what.text() == "20 planes, one by one (the model is 2-D)"
    apply.third_box.setCurrentIndex(apply.third_box.findData("TYX"))
    apply.third_box.activated.emit(1)
    assert what.text() == "20 time points, one by one"
    apply.choose_model("deep")
    assert "for volumes" in apply.message.text()
    apply.third_box.setCurrentIndex(apply.third_box.findData("ZYX"))
    apply.third_box.activated.emit(0)
    assert what.text() == "One volume of 20 planes"
    assert apply.apply_button.isEnabled()


def test_a_model_that_fits_is_chosen_unless_a_person_chose(qtbot, viewer, panel, known):
    known(colours={"channels": 3}, plain={})
    apply = panel(ApplyPanel)
    assert apply.model.name == "colours"
    flat = viewer.add_image(squares(1))
    qtbot.waitUntil(lambda: apply.image_box.layer is flat)
    assert apply.model.name == "plain"
    assert apply.about.text()
    assert apply.apply_button.isEnabled()


def test_axes_that_a_layer_states_are_taken(qtbot, viewer, panel, known):
    known(deep={"spatial": "ZYX"})
    viewer.add_image(np.zeros((20, 32, 32)), axis_labels=("t", "y", "x"))
    apply = panel(ApplyPanel)
    assert apply.third_box.currentData() == "TYX"
    assert "for volumes" in apply.message.text()


def test_axes_that_fit_the_model_are_chosen(qtbot, viewer, panel, known):
    known(plain={}, three={"channels": 3})
    viewer.add_image(np.zeros((3, 32, 32)))  # it looks like channels
    apply = panel(ApplyPanel)
    apply.choose_model("three")
    assert apply.third_box.currentData() == "CYX"
    apply.choose_model("plain")
    assert apply.third_box.currentData() == "ZYX"
    assert apply.apply_button.isEnabled()


# --- results


@pytest.mark.window
def test_the_result_lies_on_its_image_and_says_where_it_comes_from(qtbot, viewer, panel, known, at_once):
    model = known("bright")[0]
    image = viewer.add_image(squares(3), name="cells", scale=(0.5, 0.25), translate=(3, 4), units=("um", "um"))
    other = viewer.add_image(np.zeros((9, 9)), name="other")
    viewer.layers.selection.active = other
    camera = viewer.scene.camera
    camera.zoom = 3.3
    apply = panel(ApplyPanel)
    apply.image_box.choose(image)
    (layer,) = run(qtbot, apply)
    assert layer.name == "cells bright"
    np.testing.assert_allclose(layer.scale, (0.5, 0.25))
    np.testing.assert_allclose(layer.translate, (3, 4))
    assert [str(u) for u in layer.units] == ["micrometer"] * 2
    made = layer.metadata["napari_dojo"]
    assert (made["kind"], made["image"], made["model"], made["path"]) == ("result", "cells", "bright", str(model.path))
    assert made["decoding"]["minimum_area"] == 5
    assert apply.count.text() == "3 objects"
    assert apply.message.text() == 'Added the layer "cells bright".'
    assert viewer.layers.selection.active is other
    assert camera.zoom == 3.3
    qtbot.waitUntil(lambda: len(layer.features) == 3)
    rows = layer.features
    assert rows["index"].tolist() == [1, 2, 3]
    assert rows["area_px"].tolist() == [64] * 3
    assert rows["area_um2"].tolist() == [8] * 3
    assert rows["mean_intensity"].tolist() == [900] * 3
    assert apply._leading is apply.apply_button


def test_classes_have_colours_names_and_shares(qtbot, viewer, panel, known, at_once):
    known(classes=CLASSES)
    viewer.add_image(squares(2))
    apply = panel(ApplyPanel)
    (layer,) = run(qtbot, apply)
    assert set(np.unique(layer.data)) == {3, 5}
    assert layer.get_color(3) is not None
    assert apply.count.text() == "bright 5%, dark 95%"
    qtbot.waitUntil(lambda: "share" in layer.features)
    assert layer.features["class"].tolist() == ["bright", "dark"]
    assert layer.features["area_px"].tolist() == [128, 48 * 52 - 128]


def says_bright(side):
    """A model that says "bright" of each image of 16 x 16 px."""
    options = {"values": [1, 2], "classes": ["dark", "bright"], "shape": [16, 16], "side": side}
    about = {"name": "what", "task": "classify", "options": options, "net": "classifier", "axes": "YX", "spatial": "YX"}
    net = {"stem": [2, 2], "pools": [[2, 2]], "width": 8, "size": [16, 16]}
    made = Bundle.new(Card(**about, decoding={}, net_options=net, channels=1, maps=("dark", "bright")))
    made.net.head.weight.data.zero_()
    made.net.head.bias.data[:] = torch.tensor([0.0, 2.0])
    return made


def classifier(monkeypatch, folder, side=0.0):
    """The same, listed."""
    made = says_bright(side)
    model, load = Model("what", folder / "what", made.card, "own"), bundle.load
    there = [] if apply_module.models is models else apply_module.models()
    monkeypatch.setattr(apply_module, "models", lambda: [*there, model])
    monkeypatch.setattr(bundle, "load", lambda path: made if Path(path) == model.path else load(path))


def test_the_class_of_an_image_is_said_and_colours_it(qtbot, viewer, panel, at_once, monkeypatch, tmp_path):
    classifier(monkeypatch, tmp_path)
    viewer.add_image(squares(1), name="one")
    viewer.add_image(np.stack([squares(1), squares(2)]), name="film")
    apply = panel(ApplyPanel)
    for name, shape, words in (("one", (48, 52), "bright"), ("film", (2, 48, 52), "bright (2)")):
        qtbot.waitUntil(lambda name=name: apply.image_box.findText(name) >= 0)
        apply.image_box.setCurrentText(name)
        (layer,) = run(qtbot, apply)
        assert layer.data.shape == shape
        assert (layer.data == 2).all()
        assert words in apply.count.text()
        assert list(layer.features["class"]) == ["dark", "bright"]


def test_a_model_that_classifies_objects_is_not_offered(viewer, panel, monkeypatch, tmp_path):
    classifier(monkeypatch, tmp_path, side=20.0)
    assert panel(ApplyPanel).model is None


def test_objects_get_classes_in_one_go(qtbot, viewer, panel, known, at_once, monkeypatch, tmp_path):
    known("bright")
    classifier(monkeypatch, tmp_path, side=20.0)
    viewer.add_image(squares(3), name="cells")
    apply = panel(ApplyPanel)
    box = apply.request.class_box
    assert [box.itemText(i) for i in range(box.count())] == ["none", "what"]
    (labels,) = run(qtbot, apply)
    assert "class" not in labels.features
    assert not apply.outcome.classes.busy
    box.choose("what")
    box.activated.emit(1)  # the results that are there get classes, too
    for _ in range(2):
        name = f"{labels.name} classes (what)"
        qtbot.waitUntil(lambda n=name, x=labels: n in viewer.layers and "class" in x.features)
        classes = viewer.layers[name]
        np.testing.assert_array_equal(classes.data, np.where(labels.data, 2, 0))
        assert list(labels.features["class"]) == ["bright"] * 3
        assert labels.features["class_probability"].between(0.85, 0.9).all()
        assert "Classes by what: bright (3)." in apply.message.text()
        assert (labels.visible, classes.visible) == (False, True)
        labels = run(qtbot, apply)[0]  # the next ones get theirs by themselves
    name = f"{labels.name} classes (what)"
    qtbot.waitUntil(lambda: not apply.outcome.classes.busy and name in viewer.layers)
    apply.sliders.slider("minimum_area").value = 100  # all of them are smaller
    qtbot.waitUntil(lambda: not labels.data.any() and not apply.results.busy)
    qtbot.waitUntil(lambda: not apply.outcome.classes.busy)
    assert not viewer.layers[name].data.any(), apply.message.text()
    box.setCurrentIndex(0)
    box.activated.emit(0)
    assert name not in viewer.layers
    assert labels.visible


def test_files_get_classes_in_one_go(qtbot, viewer, panel, known, at_once, folder, monkeypatch, tmp_path):
    known("bright")
    classifier(monkeypatch, tmp_path, side=20.0)
    apply = panel(ApplyPanel)
    apply.request.class_box.choose("what")
    choose_folder(qtbot, apply, folder / "in")
    qtbot.waitUntil(apply.apply_button.isEnabled)
    apply.apply_button.click()
    assert "3 of 3 images are done" in apply.message.text(), apply.message.text()
    rows = (apply.batch.out / "classes.csv").read_text().splitlines()
    assert rows[0].startswith("file,label,class,probability")
    assert {row.split(",")[2] for row in rows[1:]} == {"bright"}


def test_a_series_is_counted_and_measured_frame_by_frame(qtbot, viewer, panel, known, at_once):
    known("bright")
    viewer.add_image(da.from_array(np.stack([squares(1), squares(3), squares(2)])), axis_labels=("t", "y", "x"))
    apply = panel(ApplyPanel)
    assert apply.request.what.text() == "3 time points, one by one"
    (layer,) = run(qtbot, apply)
    assert layer.data.shape == (3, 48, 52)
    assert apply.count.text() == "6 objects"
    qtbot.waitUntil(lambda: "frame" in layer.features)
    assert layer.features["frame"].tolist() == [0, 1, 1, 1, 2, 2]
    assert list(layer.axis_labels) == ["t", "y", "x"]


def test_frames_are_measured_as_chosen(qtbot, viewer, panel, known, at_once):
    known("bright")
    dim = np.where(squares(3) > 500, 130, 100).astype(np.uint16)
    viewer.add_image(np.stack([squares(2), dim]), axis_labels=("t", "y", "x"))
    apply = panel(ApplyPanel)
    box = apply.request.how.editor("frames")
    assert box.isVisibleTo(apply)
    assert box.currentText() == "automatic (the whole series)"
    run(qtbot, apply)
    assert apply.count.text() == "2 objects"
    assert "Frames differ" in apply.message.text()
    box.setCurrentIndex(box.findData("each"))
    run(qtbot, apply)
    assert apply.count.text() == "5 objects"


def test_several_layers_are_predicted_one_by_one(qtbot, viewer, panel, known, at_once):
    known("bright")
    for n in (1, 2, 3):
        viewer.add_image(squares(n), name=f"cells_{n}")
    viewer.add_image(np.zeros((9, 9, 3), np.uint8), name="colours", rgb=True)
    viewer.layers["cells_2"].visible = False
    apply = panel(ApplyPanel)
    texts = [apply.image_box.itemText(i) for i in range(apply.image_box.count())]
    assert texts[-2:] == ["All visible images (3)", "A folder of files ..."]
    viewer.layers["cells_2"].visible = True
    qtbot.wait(10)
    apply.image_box.choose(Group.VISIBLE)
    assert apply.image_box.currentText() == "All visible images (4)"
    assert "1 of 4 images does not fit and is skipped. colours: This model needs 1 channel" in apply.request.what.text()
    layers = run(qtbot, apply)
    assert [x.name for x in layers] == ["cells_1 bright", "cells_2 bright", "cells_3 bright"]
    assert [x.data.max() for x in layers] == [1, 2, 3]
    assert apply.count.text() == "6 objects"
    assert apply.count.toolTip().splitlines()[1] == "cells_2 bright: 2 objects"
    assert apply.message.text() == "Added 3 layers."
    apply.sliders.slider("minimum_area").value = 100
    qtbot.waitUntil(lambda: apply.count.text() == "0 objects")
    assert not any(x.data.any() for x in layers)
    viewer.layers.remove(layers[0])
    apply.outcome.reset_button.click()
    qtbot.waitUntil(lambda: apply.count.text() == "5 objects")


def test_selected_images_follow_the_selection(qtbot, viewer, panel, known):
    known("bright")
    layers = [viewer.add_image(squares(n), name=f"cells_{n}") for n in (1, 2, 3)]
    apply = panel(ApplyPanel)
    viewer.layers.selection = set(layers[:2])
    qtbot.wait(10)
    apply.image_box.choose(Group.SELECTED)
    assert apply.image_box.layers == layers[:2]
    viewer.layers.selection = set(layers)
    qtbot.wait(10)
    assert apply.image_box.currentText() == "All selected images (3)"
    viewer.layers.selection = {layers[1]}
    qtbot.wait(10)
    assert apply.image_box.group is None
    assert apply.image_box.layer in layers


@pytest.mark.window
def test_the_part_in_sight(qtbot, viewer, panel, known, at_once):
    known("bright")
    image = viewer.add_image(np.stack([squares(1), squares(3)]), scale=(1, 0.5, 0.5), translate=(0, 10, 10), name="s")
    apply = panel(ApplyPanel)
    apply.third_box.setCurrentIndex(apply.third_box.findData("TYX"))
    apply.third_box.activated.emit(1)
    viewer.dims.set_point(0, 1)
    image.corner_pixels = np.array([[0, 14, 18], [0, 47, 51]])
    assert apply.request.what.text() == "2 time points, one by one"
    apply.request.seen_button.setChecked(True)
    assert apply.request.what.text() == "This time point only"
    (layer,) = run(qtbot, apply)
    assert layer.name == "s bright (part)"
    assert layer.data.shape == (1, 34, 34)
    np.testing.assert_array_equal(layer.data[0] > 0, squares(3)[14:, 18:] > 500)
    assert sorted(np.unique(layer.data)) == [0, 1, 2]
    np.testing.assert_allclose(layer.translate, (1, 17, 19))
    assert apply.count.text() == "2 objects"
    apply.sliders.slider("minimum_area").value = 65
    qtbot.waitUntil(lambda: apply.count.text() == "0 objects")
    assert layer.data.shape == (1, 34, 34)
    image.corner_pixels = np.array([[0, 47, 18], [0, 47, 51]])
    apply.apply_button.click()
    assert "Nothing of s is in sight" in apply.message.text()


def test_sliders_hold_for_the_next_run_and_another_model_has_its_own(qtbot, viewer, panel, known, at_once):
    known(bright={}, other={"decoding": {"minimum_area": 30.0}})
    viewer.add_image(squares(2), name="cells")
    apply = panel(ApplyPanel)
    apply.choose_model("bright")
    apply.sliders.slider("minimum_area").value = 64
    (first,) = run(qtbot, apply)
    assert first.metadata["napari_dojo"]["decoding"]["minimum_area"] == 64
    assert apply.count.text() == "2 objects"
    apply.sliders.slider("minimum_area").value = 65
    qtbot.waitUntil(lambda: apply.count.text() == "0 objects")
    assert apply.sliders.values()["minimum_area"] == 65
    apply.choose_model("other")
    assert apply.sliders.values()["minimum_area"] == 30
    apply.sliders.slider("minimum_area").value = 1
    settled(qtbot, apply)
    assert apply.count.text() == "0 objects"  # the result of the other model is left alone
    apply.choose_model("bright")
    before = len(viewer.layers)
    apply.apply_button.click()
    qtbot.waitUntil(lambda: len(viewer.layers) > before and apply.count.text() == "2 objects")
    assert not first.visible  # the older prediction of the model for the image


def test_a_chosen_model_that_was_deleted_is_said_until_another_is_chosen(viewer, panel, known, monkeypatch):
    listed = known("a", "b")
    viewer.add_image(squares(1))
    apply = panel(ApplyPanel)
    assert apply.choose_model("b")
    monkeypatch.setattr(apply_module, "models", lambda: listed[:1])
    box = apply.request.model_box
    apply.apply_button.click()
    assert not apply.runner.busy  # no other model is applied than the one that was seen
    for _ in range(2):
        assert apply.model.name == "a"
        assert box.note.text() == "! The model b is no longer there. Chosen instead: a."
        assert box.note.isVisibleTo(apply)
        apply.refresh_models()
    box.activated.emit(0)
    assert not box.note.isVisibleTo(apply)


@pytest.mark.window
def test_objects_are_not_predicted_without_the_classes_that_were_chosen(qtbot, viewer, panel):
    what = models_folder() / "what"
    bundle.save(says_bright(side=20.0), what, np.zeros((1, 16, 16)))
    viewer.add_image(squares(3), name="cells")
    apply = panel(ApplyPanel)
    box = apply.request.class_box
    assert apply.choose_model("nuclei-fluorescence")
    assert box.choose("what")
    box.activated.emit(box.currentIndex())
    qtbot.waitUntil(apply.apply_button.isEnabled)
    shutil.rmtree(what)
    qtbot.mouseClick(apply.apply_button, Qt.MouseButton.LeftButton)
    assert not apply.runner.busy
    assert box.note.text() == "! The model what is no longer there. Chosen instead: no model."
    assert [x.name for x in viewer.layers] == ["cells"]
    qtbot.mouseClick(apply.apply_button, Qt.MouseButton.LeftButton)  # now it is meant
    done(qtbot, apply)
    assert [x.name for x in viewer.layers] == ["cells", "cells nuclei-fluorescence"]


def test_the_note_of_a_deleted_model_names_the_one_that_is_chosen_now(viewer, panel, known, monkeypatch):
    listed = known("a", "b", "c")
    viewer.add_image(squares(1))
    apply = panel(ApplyPanel)
    assert apply.choose_model("c")
    monkeypatch.setattr(apply_module, "models", lambda: listed[:2])
    apply.refresh_models()
    box = apply.request.model_box
    box.setCurrentIndex(1)
    assert box.note.text() == f"! The model c is no longer there. Chosen instead: {box.chosen.name}."
    assert box.chosen.name == "b"


def test_a_renamed_image_is_still_the_image_of_its_results(qtbot, viewer, panel, known, at_once):
    known("a")
    image = viewer.add_image(squares(3), name="cells")
    apply = panel(ApplyPanel)
    run(qtbot, apply)
    first = apply.results.layers[0]
    image.name = "renamed"
    twin = viewer.add_image(squares(3), name="cells")
    qtbot.waitUntil(lambda: apply.image_box.findText("renamed") >= 0)
    assert source_among(first.metadata, viewer.layers) is image
    assert source_among({"napari_dojo": {"image": "cells"}}, viewer.layers) is twin  # of an earlier session
    apply.request.image_box.choose(image)
    run(qtbot, apply)
    assert (first.visible, apply.results.layers[0].visible) == (False, True)
    assert apply.results.run.asked[0].layer(viewer.layers) is image
    viewer.layers.remove(image)
    assert apply.results.run.asked[0].layer(viewer.layers) is None


@pytest.mark.parametrize(
    ("lacking", "said"), [("memory", "Too large for the memory"), ("disk", "The disk has no room")]
)
def test_a_result_without_maps_stays_as_it_is(qtbot, viewer, panel, known, at_once, monkeypatch, lacking, said):
    monkeypatch.setattr(RunSink, "lacks", lambda *_: lacking)
    known("bright")
    viewer.add_image(squares(2))
    apply = panel(ApplyPanel)
    run(qtbot, apply)
    assert said in apply.message.text()
    apply.sliders.slider("minimum_area").value = 100
    settled(qtbot, apply)
    assert apply.count.text() == "2 objects"


def test_run_folders_go_when_results_do(qtbot, viewer, panel, known, at_once):
    known("bright")
    viewer.add_image(squares(2))
    apply = panel(ApplyPanel)
    (layer,) = run(qtbot, apply)
    first = at_once.folders[-1]
    assert first.exists()
    before = len(viewer.layers)
    apply.apply_button.click()
    qtbot.waitUntil(lambda: len(viewer.layers) > before)
    qtbot.waitUntil(lambda: not first.exists())
    assert layer in viewer.layers
    viewer.layers.remove(apply.results.layers[0])
    qtbot.waitUntil(nothing_left)
    assert apply.count.text() == ""
    assert not apply.outcome.export_button.isEnabled()
    run(qtbot, apply)
    assert not nothing_left()
    apply.end()
    assert nothing_left()


def test_a_full_disk_is_a_sentence_and_leaves_nothing_on_it(qtbot, viewer, panel, known, at_once, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    known("bright")
    viewer.add_image(squares(2))
    apply = panel(ApplyPanel)
    monkeypatch.setattr("os.posix_fallocate", full)
    apply.apply_button.click()
    qtbot.waitUntil(lambda: "is full" in apply.message.text())
    assert f"The disk of {home()} is full" in apply.message.text()
    assert "choose another folder" not in apply.message.text()
    qtbot.waitUntil(nothing_left)  # nor the copy of the image that the job got
    assert apply.apply_button.isEnabled()


@pytest.mark.parametrize(("folder", "patience"), [(False, BRIEFLY), (True, PATIENCE)])
def test_only_a_job_that_keeps_something_is_waited_for(viewer, panel, known, monkeypatch, folder, patience):
    known("bright")
    viewer.add_image(squares(2))
    apply = panel(ApplyPanel)
    waited, close = [], apply.runner.close
    apply.apply()
    assert apply._work is not None
    if folder:  # files are written
        apply._work = replace(apply._work, run=None)
    monkeypatch.setattr(apply.runner, "close", lambda patience: waited.append(patience) or close(0))
    apply.end()
    assert waited == [patience]


def test_kept_maps_are_decoded_as_the_task_does():
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(3, 2, 24, 32)).astype(np.float32)
    made = bright().card
    kept = Kept(made, maps, Axes("TYX"), (3, 24, 32))
    values = {"threshold": 0.3, "split": 0.1, "minimum_area": 2.0}
    task = TASKS["instances"]
    for k, plane in enumerate(result_of(kept.steps(values))):
        wanted = task.decode(maps[k], task.decoding(**values), task.options(**made.options))
        np.testing.assert_array_equal(plane, wanted)


# --- bad input


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((40, 40)),
        np.full((40, 40), np.nan),
        np.ones((1, 1)),
        np.where(np.eye(48, 52) > 0, np.nan, squares(1)),
        np.full((40, 40), 2**40),
        np.zeros((40, 40), bool),
    ],
    ids=["zeros", "NaN", "one pixel", "NaN in it", "constant", "bool"],
)
def test_awkward_images_are_predicted(qtbot, viewer, panel, known, at_once, image, warned):
    known("bright")
    viewer.add_image(image)
    apply = panel(ApplyPanel)
    (layer,) = run(qtbot, apply)
    assert layer.data.shape == image.shape
    assert "object" in apply.count.text()
    settled(qtbot, apply)  # measured
    assert not warned


def test_rotated_multiscale_and_colour_layers(qtbot, viewer, panel, known, at_once):
    known(bright={}, colours={"channels": 3, "axes": "YXC"})
    turned = viewer.add_image(squares(2), rotate=30, shear=[0.2], name="turned")
    levels = viewer.add_image([squares(3), squares(3)[::2, ::2]], multiscale=True, name="levels")
    colours = viewer.add_image(np.stack([squares(1)] * 3, -1).clip(0, 255).astype(np.uint8), name="colours")
    apply = panel(ApplyPanel)
    for image, model, n in ((turned, "bright", 2), (levels, "bright", 3), (colours, "colours", 1)):
        apply.image_box.choose(image)
        apply.choose_model(model)
        before = set(viewer.layers)
        apply.apply_button.click()
        qtbot.waitUntil(lambda before=before: set(viewer.layers) != before)
        (layer,) = set(viewer.layers) - before
        assert layer.data.shape == (48, 52)
        assert layer.data.max() == n
        np.testing.assert_allclose(layer.data_to_world((7, 9)), image.data_to_world((7, 9)))
    qtbot.waitUntil(lambda: "mean_intensity_c2" in layer.features)


def test_a_layer_that_changes_while_the_job_runs(qtbot, viewer, panel, known, at_once):
    known("bright")
    image = viewer.add_image(squares(2), name="cells", translate=(5, 6))
    viewer.add_image(squares(1), name="other")

    def meddle(event):
        if isinstance(event, Progress) and image in viewer.layers:
            image.name = "renamed"
            image.translate = (100, 100)
            viewer.layers.remove(image)

    at_once.before = meddle
    apply = panel(ApplyPanel)
    apply.image_box.choose(image)
    (layer,) = run(qtbot, apply)
    assert layer.name == "cells bright"
    np.testing.assert_allclose(layer.translate, (5, 6))
    assert layer.data.max() == 2


def test_a_failed_job_is_one_sentence(qtbot, viewer, panel, known, at_once, warned):
    known("bright")
    viewer.add_image(squares(2))

    def full(event):
        raise OSError(errno.ENOSPC, "No space left on device", "result-0.npy")

    at_once.before = full
    apply = panel(ApplyPanel)
    apply.apply_button.click()
    assert "is full. Free space there, or choose another folder." in apply.message.text()
    assert "result-0.npy" not in warned[0]
    assert apply.apply_button.isEnabled()
    assert apply.buttons.currentIndex() == 0
    assert len(viewer.layers) == 1
    qtbot.waitUntil(nothing_left)


def test_warnings_of_the_job_stay_beside_its_result(qtbot, viewer, panel, known, at_once):
    known("bright")
    viewer.add_image(squares(2), name="cells")
    apply = panel(ApplyPanel)

    def meddle(event):
        if isinstance(event, Progress):
            apply.runner._say(Message("warning", "Something to know."))

    at_once.before = meddle
    run(qtbot, apply)
    assert "Something to know." in apply.message.text()
    assert "Added the layer" in apply.message.text()


def test_stopping_among_several_keeps_what_is_done(qtbot, viewer, panel, known, at_once, monkeypatch):
    known("bright")
    for n in range(1, 13):
        viewer.add_image(squares(n), name=f"cells_{n}")
    held_but(monkeypatch, "cells_1", "cells_2", "cells_3")
    apply = panel(ApplyPanel)
    at_once.before = lambda event: isinstance(event, Written) and event.stored["name"] == "cells_3"
    apply.image_box.choose(Group.VISIBLE)
    layers = run(qtbot, apply)
    assert [x.name for x in layers] == [f"cells_{k} bright" for k in range(1, 4)]
    assert "Stopped: 3 of 12 images are done and kept." in apply.message.text()


# --- files


@pytest.fixture
def folder(tmp_path):
    for k, name in enumerate("abc"):
        images.write(tmp_path / "in" / f"{name}.tif", squares(k + 1), "YX", (0.5, 0.5), "um")
    return tmp_path


def choose_folder(qtbot, apply, path):
    apply.image_box.choose(Group.FOLDER)
    apply.batch.images.edit.setText(str(path))
    qtbot.waitUntil(lambda: not apply.request.waiting)


def test_a_folder_of_files(qtbot, viewer, panel, known, at_once, folder):
    known("bright")
    apply = panel(ApplyPanel)
    apply.image_box.choose(Group.FOLDER)
    assert apply.batch.isVisibleTo(apply)
    assert not apply.request.where.isVisibleTo(apply)
    assert "Choose the folder of the images" in apply.message.text()
    choose_folder(qtbot, apply, folder / "in")
    assert apply.batch.what.text() == "3 images. Each gives a TIFF with its pixel size: a.tif"
    assert apply.batch.predictions.edit.placeholderText() == str(folder / "in_bright")
    apply.batch.tables.setChecked(True)
    apply.batch.rois.setChecked(True)
    qtbot.waitUntil(apply.apply_button.isEnabled)
    assert apply.batch.what.text() == "3 images. Each gives a TIFF with its pixel size, a table, ROIs: a.tif"
    apply.sliders.slider("minimum_area").value = 3
    apply.apply_button.click()
    out = folder / "in_bright"
    assert sorted(p.name for p in out.iterdir()) == [f"{k}.{end}" for k in "abc" for end in ("csv", "tif", "zip")]
    assert [tifffile.imread(out / f"{k}.tif").max() for k in "abc"] == [1, 2, 3]
    assert images.read(out / "a.tif").pixel_size == pytest.approx((0.5, 0.5))
    assert "3 of 3 images are done" in apply.message.text(), apply.message.text()
    assert out.as_uri() in apply.message.text()
    dark = theme_colours(viewer)["text"]
    viewer.theme = "light"
    assert dark not in apply.message.text()
    assert f"color:{theme_colours(viewer)['text']}" in apply.message.text()
    assert len(viewer.layers) == 0
    apply.apply_button.click()
    assert "3 of the results exist already" in apply.message.text()
    qtbot.waitUntil(nothing_left)


def test_results_that_exist_are_replaced_only_when_allowed(qtbot, viewer, panel, known, at_once, folder):
    known("bright")
    (folder / "in_bright").mkdir()
    (folder / "in_bright" / "b.tif").write_text("older")
    apply = panel(ApplyPanel)
    choose_folder(qtbot, apply, folder / "in")
    assert "1 of the results exists already" in apply.message.text()
    assert not apply.apply_button.isEnabled()
    assert apply.batch.replace.isVisibleTo(apply)
    apply.batch.replace.setChecked(True)
    assert apply.apply_button.isEnabled()
    apply.apply_button.click()
    assert tifffile.imread(folder / "in_bright" / "b.tif").max() == 2
    apply.batch.predictions.edit.setText(str(folder / "in"))
    apply.batch.replace.setChecked(True)
    qtbot.waitUntil(lambda: not apply.request.waiting)
    apply.apply_button.click()
    assert "would overwrite the image a.tif itself" in apply.message.text()
    assert tifffile.imread(folder / "in" / "a.tif").max() == 900


def test_folders_that_cannot_be_done_say_why(qtbot, viewer, panel, known, folder):
    known(bright={}, colours={"channels": 3})
    apply = panel(ApplyPanel)
    apply.choose_model("bright")
    choose_folder(qtbot, apply, folder / "nowhere")
    assert "does not exist" in apply.message.text()
    choose_folder(qtbot, apply, folder)
    assert "they lie in folders in it" in apply.message.text()
    choose_folder(qtbot, apply, folder / "in")
    assert apply.apply_button.isEnabled()
    apply.choose_model("colours")
    qtbot.waitUntil(lambda: "needs 3 channels" in apply.message.text())
    apply.choose_model("bright")
    (folder / "torn").mkdir()
    (folder / "torn" / "a.tif").write_text("no image")
    choose_folder(qtbot, apply, folder / "torn")
    assert "a.tif holds text" in apply.message.text()


def test_the_third_axis_of_files_is_asked_for(qtbot, viewer, panel, known, at_once, tmp_path):
    known("bright")
    (tmp_path / "in").mkdir()
    series = np.stack([squares(n % 3 + 1) for n in range(5)])
    tifffile.imwrite(tmp_path / "in" / "a.tif", series, photometric="minisblack")
    apply = panel(ApplyPanel)
    choose_folder(qtbot, apply, tmp_path / "in")
    assert apply.third_box.isVisibleTo(apply)
    apply.third_box.setCurrentIndex(apply.third_box.findData("TYX"))
    apply.third_box.activated.emit(1)
    assert apply.request.what.text() == "The first: 5 time points, one by one"
    apply.apply_button.click()
    assert [y.max() for y in tifffile.imread(tmp_path / "in_bright" / "a.tif")] == [1, 2, 3, 1, 2]


def test_a_bad_file_and_stop(qtbot, viewer, panel, known, at_once, folder, monkeypatch):
    held_but(monkeypatch, "a.tif")
    known("bright")
    (folder / "in" / "ab.tif").write_text("no image")
    apply = panel(ApplyPanel)
    choose_folder(qtbot, apply, folder / "in")
    at_once.before = lambda event: isinstance(event, Skipped)
    apply.apply_button.click()
    assert [p.name for p in (folder / "in_bright").iterdir()] == ["a.tif"]
    assert "Stopped: 1 of 4 images is done and kept." in apply.message.text()
    assert "Skipped: A TIFF" in apply.message.text()


# --- tables and exports


@pytest.fixture
def found(qtbot, viewer, panel, known, at_once):
    known("bright")
    viewer.add_image(squares(3), name="cells", scale=(0.5, 0.5), units=("um", "um"))
    apply = panel(ApplyPanel)
    run(qtbot, apply)
    return apply


def export(qtbot, apply, monkeypatch, index, path):
    monkeypatch.setattr(apply.outcome, "ask_path", lambda kind, suggestion, several: path)
    apply.outcome.export_button.menu().actions()[index].trigger()
    qtbot.waitUntil(lambda: "Writing" not in apply.message.text())


def test_exports_can_be_read_again(qtbot, found, monkeypatch, tmp_path):
    export(qtbot, found, monkeypatch, 0, tmp_path / "a")
    assert "Written a.csv to" in found.message.text()
    head, *rows = (tmp_path / "a.csv").read_text().splitlines()
    assert head.startswith("index,area_px,centroid_y_px")
    assert [row.split(",")[:2] for row in rows] == [["1", "64"], ["2", "64"], ["3", "64"]]
    export(qtbot, found, monkeypatch, 1, tmp_path / "a.tif")
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        assert tif.is_imagej
        assert (tif.imagej_metadata["min"], tif.imagej_metadata["max"]) == (0, 3)
        np.testing.assert_array_equal(tif.asarray(), found.results.layers[0].data)
    assert images.read(tmp_path / "a.tif").pixel_size == pytest.approx((0.5, 0.5))
    export(qtbot, found, monkeypatch, 2, tmp_path / "a.zip")
    assert sorted(roi.name for roi in roiread(tmp_path / "a.zip")) == ["1", "2", "3"]


def test_exports_take_what_was_painted_since(qtbot, found, monkeypatch, tmp_path):
    layer = found.results.layers[0]
    layer.data[:] = 0
    layer.data[:2, :3] = 9
    export(qtbot, found, monkeypatch, 0, tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text().splitlines()[1].startswith("9,6,")


def test_exports_that_fail_are_one_sentence(qtbot, found, monkeypatch, tmp_path, warned):
    (tmp_path / "a.csv").mkdir()
    export(qtbot, found, monkeypatch, 0, tmp_path / "a.csv")
    assert "a folder of this name is there" in found.message.text()
    assert len(warned) == 1
    found.results.layers[0].data = np.zeros((48, 52), int)
    export(qtbot, found, monkeypatch, 2, tmp_path / "a.zip")
    assert "no object to write" in found.message.text()
    export(qtbot, found, monkeypatch, 2, None)  # a person changed their mind
    assert not (tmp_path / "a.zip").exists()


def test_several_results_go_to_a_folder(qtbot, viewer, panel, known, at_once, monkeypatch, tmp_path):
    known("bright")
    for n in (1, 2):
        viewer.add_image(squares(n), name=f"a/b:{n}")
    apply = panel(ApplyPanel)
    apply.image_box.choose(Group.VISIBLE)
    run(qtbot, apply)
    export(qtbot, apply, monkeypatch, 1, tmp_path)
    assert sorted(p.name for p in tmp_path.glob("*.tif")) == ["a_b_1 bright.tif", "a_b_2 bright.tif"]
    assert "Written 2 files to" in apply.message.text()
    export(qtbot, apply, monkeypatch, 1, tmp_path)
    assert "exists already" in apply.message.text()


def test_a_stack_keeps_its_plane_distance(qtbot, viewer, panel, known, at_once, monkeypatch, tmp_path):
    known("bright")
    viewer.add_image(np.stack([squares(2)] * 5), scale=(2, 0.5, 0.5), units=("um",) * 3)
    apply = panel(ApplyPanel)
    run(qtbot, apply)
    export(qtbot, apply, monkeypatch, 1, tmp_path / "a.tif")
    assert images.read(tmp_path / "a.tif").pixel_size == pytest.approx((2, 0.5, 0.5))
    export(qtbot, apply, monkeypatch, 2, tmp_path / "a.zip")
    assert {roi.name for roi in roiread(tmp_path / "a.zip")} == {f"{n}-z{z}" for n in (1, 2) for z in range(1, 6)}


def tables(viewer):
    return [w for w in viewer.window.dock_widgets.values() if isinstance(w, Measurements)]


def test_the_table_leads_to_the_objects(qtbot, viewer, found):
    layer = found.results.layers[0]
    found.outcome.table_button.click()
    qtbot.waitUntil(lambda: len(layer.features) == 3)
    (table,) = tables(viewer)
    rows = table.view.model()
    heads = [rows.headerData(k, Qt.Orientation.Horizontal) for k in range(rows.columnCount())]
    assert heads.count("index") == 1
    assert table.view.verticalHeader().isHidden()
    assert [rows.index(k, 0).data() for k in range(rows.rowCount())] == ["1", "2", "3"]
    assert not any(rows.index(k, c).data() == "nan" for k in range(3) for c in range(len(heads)))
    table.view.sortByColumn(heads.index("centroid_x_px"), Qt.SortOrder.DescendingOrder)
    table.view.selectRow(0)
    assert layer.selected_label == 3
    np.testing.assert_allclose(viewer.scene.camera.center[-2:], (31.5 * 0.5, 39.5 * 0.5))
    layer.mode = "paint"
    table.view.selectRow(2)
    assert layer.selected_label == 3  # the brush stays as it is
    np.testing.assert_allclose(viewer.scene.camera.center[-2:], (7.5 * 0.5, 7.5 * 0.5))
    found.outcome.table_button.click()  # and not a second one
    assert len(tables(viewer)) == 1
    viewer.layers.remove(layer)
    assert table.box.count() == 0
    assert table.view.model().rowCount() == 0


def test_measurements_are_chosen_and_remembered(qtbot, viewer, panel, found, monkeypatch, tmp_path):
    layer, button = found.results.layers[0], found.outcome.columns_button
    qtbot.waitUntil(lambda: "solidity" in layer.features)
    actions = {a.text(): a for a in button.menu().actions()}
    assert "feret" not in layer.features
    assert not actions["feret"].isChecked()
    actions["feret"].setChecked(True)
    actions["solidity"].setChecked(False)
    qtbot.waitUntil(lambda: "feret_px" in layer.features)
    assert "solidity" not in layer.features
    export(qtbot, found, monkeypatch, 0, tmp_path / "a.csv")
    assert "feret_um" in (tmp_path / "a.csv").read_text().splitlines()[0]
    again = {a.text(): a.isChecked() for a in panel(ApplyPanel).outcome.columns_button.menu().actions()}
    assert again["feret"]
    assert not again["solidity"]


def test_the_table_leads_to_the_plane_of_an_object(qtbot, viewer):
    labels = np.zeros((5, 20, 20), np.uint8)
    labels[3, 4:8, 10:14] = 7
    layer = viewer.add_labels(labels, scale=(2, 1, 1))
    layer.features = measure(labels, None, Axes("ZYX", "YX"))
    open_table(viewer, [layer]).view.selectRow(0)
    assert viewer.dims.point[0] == 6
    assert layer.selected_label == 7


# --- what a person painted, and results that are being updated


def move(qtbot, apply, value):
    apply.sliders.slider("minimum_area").value = value
    assert apply.results.busy
    qtbot.waitUntil(lambda: not apply.results.busy)


def test_what_a_person_painted_in_a_result_stays(qtbot, viewer, found):
    layer = found.results.layers[0]
    viewer.layers.selection.active = layer
    layer.fill((40, 2), 9)
    painted = layer.data.copy()
    assert (painted == 9).any()
    move(qtbot, found, 6)
    np.testing.assert_array_equal(layer.data, painted)
    (new,) = found.results.layers
    assert new is not layer
    assert new.name == "cells bright (2)"
    assert sorted(np.unique(new.data)) == [0, 1, 2, 3]
    assert not layer.visible
    assert viewer.layers.selection.active is new
    assert "You have painted in" in found.message.text()
    assert not is_uncorrected(layer.metadata)
    assert is_uncorrected(new.metadata)
    move(qtbot, found, 65)
    assert not new.data.any()  # nobody has painted in this one
    np.testing.assert_array_equal(layer.data, painted)
    layer.undo()
    assert not (layer.data == 9).any()


def test_what_is_painted_while_values_are_decoded_stays(qtbot, viewer, found, monkeypatch):
    """Between the look at the layer, in a thread, and the new labels."""
    layer, look = found.results.layers[0], results_module.fingerprint

    def slow(array):
        mark = look(array)
        if array is layer.data:
            painted.set()
            drawn.wait(60)
        return mark

    painted, drawn = threading.Event(), threading.Event()
    monkeypatch.setattr(results_module, "fingerprint", slow)
    found.sliders.slider("minimum_area").value = 6
    qtbot.waitUntil(painted.is_set)
    layer.fill((40, 2), 9)
    drawn.set()
    qtbot.waitUntil(lambda: not found.results.busy)
    assert (layer.data == 9).any()
    assert found.results.layers[0] is not layer


def test_what_is_painted_counts(qtbot, viewer, found):
    layer = found.results.layers[0]
    layer.selected_label = 0
    layer.fill((5, 5), 0)
    qtbot.waitUntil(lambda: found.count.text() == "2 objects")
    assert layer.features["index"].tolist() == [2, 3]


def test_table_and_exports_wait_until_results_are_updated(qtbot, viewer, found):
    found.sliders.slider("minimum_area").value = 65
    assert found.count.text() == "Updating ..."
    for button in (found.outcome.table_button, found.outcome.export_button):
        assert not button.isEnabled()
        assert "being updated" in button.toolTip()
    qtbot.waitUntil(lambda: found.count.text() == "0 objects")
    assert found.outcome.export_button.isEnabled()
    assert found.outcome.table_button.isEnabled()


def test_a_long_update_shows_its_progress_and_another_value_interrupts_it(qtbot, viewer, found, monkeypatch):
    begun, told, ended = [], [], []

    def slow(task, maps, decoding, options):
        begun.append(decoding.minimum_area)
        for k in count():
            yield Progress(min(k, 100), 100)
            if decoding.minimum_area != 6:
                break
            told.append(k)
            time.sleep(0.02)
        ended.append(decoding.minimum_area)
        return task.decode(np.asarray(maps), decoding, options)

    monkeypatch.setattr(results_module, "decode_steps", slow)
    found.sliders.slider("minimum_area").value = 6
    qtbot.waitUntil(lambda: "Updating" in found.progress.format())
    moved = len(told)
    found.sliders.slider("minimum_area").value = 65
    qtbot.waitUntil(lambda: begun == [6, 65])
    assert len(told) - moved < 15  # of 20 ms: it ends at a step, within .3 s
    qtbot.waitUntil(lambda: not found.results.busy)
    assert ended == [65]
    assert found.count.text() == "0 objects"
    assert found.progress.format().startswith("Done in")  # as before the slider moved


def test_numbers_stay_with_their_objects(qtbot, viewer, panel, known, at_once):
    known("bright")
    image = squares(3)
    image[4:12, 4:7] = 100  # the first is smaller
    viewer.add_image(image)
    apply = panel(ApplyPanel)
    (layer,) = run(qtbot, apply)
    numbers = [layer.data[8, 9], layer.data[20, 24], layer.data[32, 40]]
    move(qtbot, apply, 50)
    assert [layer.data[8, 9], layer.data[20, 24], layer.data[32, 40]] == [0, *numbers[1:]]


def test_another_models_segmentation_is_hidden(qtbot, viewer, panel, known, at_once):
    known("bright", "other")
    viewer.add_image(squares(2), name="cells")
    apply = panel(ApplyPanel)
    apply.choose_model("bright")
    (first,) = run(qtbot, apply)
    apply.choose_model("other")
    apply.apply_button.click()
    qtbot.waitUntil(lambda: not apply.results.reading and len(viewer.layers) == 3)
    assert not first.visible
    assert apply.results.layers[0].visible


# --- planes of a volume


@pytest.fixture
def volume():
    """Two columns; the first begins one plane later, so that numbers of planes differ."""
    planes = np.stack([squares(2)] * 5)
    planes[0, 4:12, 4:12] = 100
    return planes


def test_planes_are_linked_to_objects(qtbot, viewer, panel, known, at_once, volume):
    known("bright")
    viewer.add_image(volume, scale=(2, 0.5, 0.5), units=("um",) * 3)
    apply = panel(ApplyPanel)
    assert apply.request.how.editor("planes").isVisibleTo(apply)
    (layer,) = run(qtbot, apply)
    assert apply.count.text() == "2 objects"
    assert len(np.unique(layer.data[:, 20, 24])) == 1
    assert sorted(np.unique(layer.data)) == [0, 1, 2]
    qtbot.waitUntil(lambda: "volume_um3" in layer.features)
    assert sorted(layer.features["volume_px"]) == [4 * 64, 5 * 64]
    assert sorted(layer.features["volume_um3"]) == [128, 160]
    move(qtbot, apply, 6)
    assert apply.count.text() == "2 objects"
    assert layer.metadata["napari_dojo"]["spatial"] == "ZYX"


def test_or_numbered_in_each_plane(qtbot, viewer, panel, known, at_once, volume):
    known("bright")
    viewer.add_image(volume)
    apply = panel(ApplyPanel)
    apply.request.how.set_values({"planes": "number"})
    (layer,) = run(qtbot, apply)
    assert apply.count.text() == "9 objects"
    assert sorted(np.unique(layer.data)) == list(range(10))
    qtbot.waitUntil(lambda: "plane" in layer.features)
    assert layer.features["index"].tolist() == list(range(1, 10))
    apply.third_box.setCurrentIndex(apply.third_box.findData("TYX"))
    apply.third_box.activated.emit(1)
    assert not apply.request.how.editor("planes").isVisibleTo(apply)


# --- one click


def test_one_click(qtbot, filled, panel, one_model, monkeypatch):
    asked = []
    monkeypatch.setattr(ApplyPanel, "apply", lambda self: asked.append((self.model.name, self.image_box.layer.name)))
    apply = panel(ApplyPanel)
    filled.layers.selection.active = filled.layers["cells_1"]
    segment_nuclei(filled)
    assert asked == [("nuclei-fluorescence", "cells_1")]
    apply.end()


def test_one_click_without_an_image(qtbot, viewer, warned):
    segment_nuclei(viewer)
    assert "An image with nuclei is needed" in warned[0]


def test_measuring_any_labels(qtbot, viewer, monkeypatch, warned):
    said = []
    monkeypatch.setattr("napari.utils.notifications.show_info", said.append)
    measure_objects(viewer)
    assert "Choose a Labels layer" in warned[0]
    labels = viewer.add_labels((squares(2) > 500).astype(int) * 7, name="mine")
    measure_objects(viewer)
    qtbot.waitUntil(lambda: bool(said))
    assert said[-1] == "Measured 1 object; no image has their size, so without intensities."
    assert labels.features["area_px"].tolist() == [128]
    viewer.add_image(np.zeros((9, 9)))
    viewer.add_image(np.stack([squares(2)] * 2), name="two", scale=(1, 0.5, 0.5), units=("px", "um", "um"))
    viewer.layers.selection.active = labels
    measure_objects(viewer)
    qtbot.waitUntil(lambda: len(said) == 2)
    assert said[-1] == "Measured 1 object on two."
    assert labels.features["mean_intensity_c1"].tolist() == [900]
    assert labels.features["area_um2"].tolist() == [32]


# --- the real thing


@pytest.mark.timeout(240)
def test_a_real_child_is_stopped_and_started_again(qtbot, viewer, panel, scenes):
    """The shipped model in its own process; the window stays usable meanwhile."""
    viewer.add_image(np.tile(scenes[0].image, (20, 20)), name="large")
    small = viewer.add_image(scenes[0].image, name="small")
    apply = panel(ApplyPanel)
    apply.choose_model("nuclei-fluorescence")
    apply.image_box.choose(viewer.layers["large"])
    apply.apply_button.click()
    assert apply.buttons.currentIndex() == 1
    qtbot.waitUntil(lambda: apply.runner.job is not None)
    folder = apply.runner.job.folder
    begun = time.monotonic()
    apply.stop_button.click()
    qtbot.waitUntil(lambda: not apply.runner.busy, timeout=90_000)
    print(f"stopped after {time.monotonic() - begun:.1f} s")
    assert "Stopped" in apply.message.text()
    assert len(viewer.layers) == 2
    qtbot.waitUntil(lambda: not folder.exists())
    apply.image_box.choose(small)
    (layer,) = run_real(qtbot, apply)
    assert layer.data.shape == (96, 96)
    truth = len(np.unique(scenes[0].labels)) - 1
    assert abs(int(layer.data.max()) - truth) <= 0.3 * truth
    qtbot.waitUntil(lambda: len(layer.features) == layer.data.max())
    apply.image_box.choose(viewer.layers["large"])
    apply.apply_button.click()
    qtbot.waitUntil(lambda: apply.runner.job is not None)
    job = apply.runner.job
    apply.end()
    assert not job.alive
    assert nothing_left()


def run_real(qtbot, apply):
    apply.apply_button.click()
    qtbot.waitUntil(lambda: bool(apply.results.shown) and not apply.results.reading)
    return apply.results.layers


def test_every_control_has_a_name_and_a_tip(qtbot, viewer, panel, known):
    from qtpy.QtWidgets import QAbstractButton, QAbstractSpinBox, QComboBox, QLineEdit

    known("bright")
    viewer.add_image(np.zeros((5, 9, 9)))
    apply = panel(ApplyPanel)
    for kind in (QAbstractButton, QAbstractSpinBox, QComboBox):
        for control in apply.findChildren(kind):
            if control.objectName().startswith("qt_") or isinstance(control.parent(), QComboBox):
                continue
            assert control.toolTip(), control
            assert control.accessibleName(), control
    for edit in apply.findChildren(QLineEdit):
        assert edit.accessibleName() or isinstance(edit.parent(), QAbstractSpinBox), edit.parent()


# --- larger than memory


@pytest.fixture
def large(qtbot, viewer, panel, known, at_once, monkeypatch, tmp_path):
    """Three squares in an OME-Zarr that does not fit, the panel for it, and blocks of one chunk, one after the other."""
    known("bright")
    monkeypatch.setattr("napari_dojo.inference.predict.AT_ONCE", 0.0)
    monkeypatch.setattr("napari_dojo.io.passed.SMALL", 0)
    monkeypatch.setattr("napari_dojo.inference.predictor.Predictor.block_pixels", 256.0**2)
    monkeypatch.setattr("napari_dojo.inference.blocks.Work.under_way", 1)
    x = np.zeros((700, 600), np.uint16) + 100
    x[:48, :52], x[640:688, 500:552] = squares(3), squares(3)
    images.write(tmp_path / "slide.zarr", x, "YX", (0.5, 0.5), "um")
    store = str(tmp_path / "slide.zarr")
    with layer_source(path=store):
        viewer.add_layer(Layer.create(*get_reader(store)(store)[0]))
    return panel(ApplyPanel), x


def kept(qtbot, apply):
    apply.apply_button.click()
    qtbot.waitUntil(lambda: "stays in" in apply.message.text())


def test_a_large_image_is_predicted_block_by_block_into_a_lazy_layer(qtbot, viewer, large, at_once, tmp_path):
    apply, x = large
    told, passed = [], []

    def note(event):
        told.append(event)
        passed.append(sorted(p.name for p in at_once.folders[-1].iterdir() if p.suffix))

    at_once.before = note
    kept(qtbot, apply)
    (filling,) = [e for e in told if isinstance(e, Filling)]
    assert "slide_bright.zarr" in filling.store
    assert "too large to be predicted at once" in next(e.text for e in told if isinstance(e, Message))
    layer = viewer.layers["slide bright"]
    assert layer.multiscale
    assert not isinstance(layer.data[0], np.ndarray)
    np.testing.assert_array_equal(np.asarray(layer.data[0]) > 0, x == 900)
    assert len(np.unique(np.asarray(layer.data[0]))) == 7
    np.testing.assert_array_equal(tuple(layer.scale), (0.5, 0.5))
    assert [name for name in passed[0] if name.startswith("input")] == ["input-0.pickle"]  # not its pixels
    np.testing.assert_array_equal(images.read(tmp_path / "slide_bright.zarr", labels=True).data > 0, x == 900)
    kept(qtbot, apply)
    assert (tmp_path / "slide_bright (2).zarr").is_dir()
    assert not layer.visible


def test_stopped_it_continues_in_the_same_layer(qtbot, viewer, large, at_once, tmp_path):
    apply, x = large
    seen = []

    def stop(event):
        seen.extend(np.asarray(layer.data[-1]).max() for layer in viewer.layers if layer.name == "slide bright")
        return isinstance(event, Progress) and event.done == 2

    at_once.before = stop
    apply.apply_button.click()
    assert "apply again to continue" in apply.message.text()
    assert max(seen) > 0  # lower resolutions are there from the start
    at_once.before = lambda event: False
    kept(qtbot, apply)
    (layer,) = [layer for layer in viewer.layers if layer.name.startswith("slide bright")]
    np.testing.assert_array_equal(np.asarray(layer.data[0]) > 0, x == 900)
    assert not list(tmp_path.glob("*.unfinished"))


def test_what_is_in_sight_is_computed_first(qtbot, viewer, large, at_once, monkeypatch):
    apply, _ = large
    told = []
    monkeypatch.setattr(Control, "seen", lambda control: {"box": [(640, 690), (500, 560)]})

    def look(event):
        layers = [layer for layer in viewer.layers if layer.name == "slide bright"]
        if isinstance(event, Progress) and layers and event.done == 2:
            told.append(np.asarray(layers[0].data[0]))

    at_once.before = look
    kept(qtbot, apply)
    assert told[0][640:, 512:].any()
    assert not told[0][:128, :128].any()


def test_a_diameter_that_was_typed_stays_when_the_panel_is_shown_again(qtbot, viewer):
    apply = ApplyPanel(viewer)
    qtbot.addWidget(apply)
    assert apply.choose_model("nuclei-fluorescence")
    apply.request.diameter.box.setValue(33)
    apply.show()
    assert apply.request.diameter.value == 33
    apply.end()


def test_the_axes_follow_data_of_another_size(qtbot, viewer):
    layer = viewer.add_image(np.zeros((40, 50)))
    apply = ApplyPanel(viewer)
    qtbot.addWidget(apply)
    assert apply.choose_model("nuclei-fluorescence")
    assert apply.third_box.isHidden()
    layer.data = np.zeros((8, 40, 50))
    assert not apply.third_box.isHidden()
    assert "8 planes, one by one" in apply.request.what.text()
    assert apply.apply_button.isEnabled()
    apply.end()
