"""A network from the shown objects: what it is trained on, what it is applied to, and why an object has its class."""

from __future__ import annotations

from pathlib import Path
from threading import Event

import numpy as np
import pytest
from same import same
from widgets.classify.test_panel import centre_of, panel, scene, settle, teach  # noqa: F401

from napari_dojo.events import Done
from napari_dojo.io.images import read
from napari_dojo.models.card import read_card
from napari_dojo.models.library import Model
from napari_dojo.recipes.recipe import Classify, Predict
from napari_dojo.settings import TrainSettings
from napari_dojo.tasks.classify import CLASSIFY, ClassifyOptions
from napari_dojo.widgets.batch.panel import BatchPanel
from napari_dojo.widgets.classify import network as module
from napari_dojo.widgets.classify.shown import ShownObjects
from napari_dojo.widgets.classify.subject import UNSURE

pytestmark = pytest.mark.gui


def test_shown_objects_become_files(qtbot, panel, scene, tmp_path):  # noqa: F811
    assert not panel.network.train_button.isEnabled()
    clicked = teach(qtbot, panel, scene, 3)
    assert panel.network.train_button.isEnabled()
    panel.live.step(panel.live.classes.rename(0, "good, round"))
    material = ShownObjects(panel.live.measured, panel.live.classes)
    data, notes = material.dataset(CLASSIFY, ClassifyOptions())
    assert data.class_names == ("class 2", "good, round")
    assert len(data.samples) == 6
    assert not notes
    given = material.written(tmp_path)
    assert (read(given.target + "/image_0.tif", labels=True).data == scene.labels).all()
    lines = (tmp_path / "classes.csv").read_text().splitlines()
    assert f'image_0.tif,{clicked[0]},"good, round"' in lines


def test_a_network_is_trained_and_used(qtbot, panel, scene, monkeypatch):  # noqa: F811
    clicked = teach(qtbot, panel, scene, 3)
    network = panel.network
    quick = {"steps": 4, "width": 8, "batch": 4, "device": "cpu"}
    asked, erased = ShownObjects.request, Event()

    def request(self, folder, task, **more):
        assert erased.wait(60)
        return asked(self, folder, task, **{**more, "settings": quick, "options": {"folds": 2}})

    monkeypatch.setattr(ShownObjects, "request", request)
    assert TrainSettings(**quick).steps == 4
    before = panel.live.seen
    network.train_button.click()
    gone = scene.labels == clicked[-1]
    before_labels = panel.live.subject.layer.data.copy()
    panel.live.subject.layer.data[gone] = 0  # an object vanishes before anything is written
    erased.set()
    assert network.busy
    assert not network.train_button.isVisibleTo(panel)
    qtbot.waitUntil(lambda: not network.busy, timeout=90000)
    assert "Cross-validation" in network.message.text()
    panel.live.subject.layer.data[...] = before_labels
    assert panel.live.seen is before  # the live classes stay
    model = network.model_box.chosen
    assert model.name == "nuclei-classes"
    card = read_card(model.path)
    assert card.options["classes"] == ["class 1", "class 2"]
    assert card.data["objects"] == 5
    assert f"object {clicked[-1]} of the table is not in its labels" in card.data["excluded"][0]["reason"]

    network.explain()
    assert "Select an object" in network.message.text()
    panel.gallery.choose(clicked[0] - 1)
    panel._visit(int(clicked[0]) - 1)
    network.explain()
    qtbot.waitUntil(lambda: not network.runner.busy)
    assert network.layer is not None, network.message.text()
    assert f"object {clicked[0]}" in network.layer.name
    at = np.argwhere(scene.labels == clicked[0])
    middle = (at.min(0) + at.max(0) + 1) / 2
    pixel = card.options["side"] / np.array(card.options["shape"])
    np.testing.assert_allclose(network.layer.scale, pixel, rtol=1e-6)
    edges = [network.layer.data_to_world(end) for end in ((-0.5, -0.5), np.array(network.layer.data.shape) - 0.5)]
    whole = np.array([middle - card.options["side"] / 2, middle + card.options["side"] / 2])
    inside = np.clip(whole, 0, scene.labels.shape) - 0.5  # no further than the image
    assert (np.abs(np.array(edges) - inside) < pixel).all()
    assert (np.array(edges[0]) >= -0.5 - 1e-6).all()

    network.classify()
    qtbot.waitUntil(lambda: not network.runner.busy)
    layer = panel.viewer.layers["nuclei classes (nuclei-classes)"]
    assert dict(zip(layer.features["index"], layer.features["class"], strict=True)) == {
        1: "class 1",
        2: "class 2",
        UNSURE: "unsure",
    }
    assert "nuclei-classes: " in network.message.text()
    numbers = [np.unique(layer.data[scene.labels == k]).tolist() for k in range(1, len(scene.types) + 1)]
    assert all(len(n) == 1 for n in numbers)
    assert {n for (n,) in numbers} <= {1, 2, UNSURE}
    assert set(np.unique(layer.data[scene.labels == 0])) == {0}

    batch = network.to_folder()
    assert isinstance(batch, BatchPanel)
    steps = batch.recipe.steps
    assert [type(s) for s in steps[:2]] == [Predict, Classify]
    assert (steps[0].model, steps[1].model) == ("nuclei-fluorescence", "nuclei-classes")
    batch.end()


def test_a_network_that_was_deleted_is_said_and_no_other_is_applied(qtbot, panel, scene, monkeypatch):  # noqa: F811
    network, there = panel.network, [_network("a"), _network("b")]
    monkeypatch.setattr(module, "models", lambda: there)
    teach(qtbot, panel, scene, 3)
    network.fill()
    assert network.model_box.choose("b")
    network.refresh()
    there.pop()
    network.here_button.click()
    assert not network.runner.busy
    assert network.model_box.chosen.name == "a"
    assert network.model_box.note.text() == "! The model b is no longer there. Chosen instead: a."
    assert network.model_box.note.isVisibleTo(panel)
    there.clear()
    assert network.to_folder() is None
    assert "Chosen instead: no model" in network.model_box.note.text()
    assert not network.here_button.isEnabled()


@pytest.mark.parametrize("count", [9, 12, 300])
def test_a_network_of_many_classes(qtbot, panel, scene, count):  # noqa: F811
    teach(qtbot, panel, scene, 3)
    measured, classes = panel.live.measured, [f"c{k}" for k in range(count)]
    objects = np.stack([measured.objects.sample, measured.objects.label], 1)
    mine = np.arange(len(objects))[::-1] % count
    mine[0] = count - 1
    chances = np.eye(count)[mine]
    chances[1] = 1 / count  # unsure
    panel.network._show_classes({"probability": chances, "objects": objects}, classes, measured, _network("many"))
    layer = panel.viewer.layers["nuclei classes (many)"]
    named = dict(zip(layer.features["index"], layer.features["class"], strict=True))
    for k, (_, label) in enumerate(objects):
        (value,) = np.unique(layer.data[scene.labels == label])
        assert named[value] == ("unsure" if k == 1 else classes[mine[k]])
        assert layer.get_color(value)[3] > 0  # it is seen


def test_what_was_said_of_objects_goes_with_them(qtbot, panel, scene, tmp_path):  # noqa: F811
    teach(qtbot, panel, scene, 3)
    measured, network = panel.live.measured, panel.network
    objects = np.stack([measured.objects.sample, measured.objects.label], 1)
    (tmp_path / "run").mkdir()
    np.savez(tmp_path / "run" / "classes-0.npz", objects=objects, probability=np.eye(2)[np.ones(len(objects), int)])
    network._folder, network._asked = tmp_path / "run", (measured, None, _network("a"))
    network._told(Done("", {"classes": ["x", "y"]}))
    assert network.message.text() == f"a: y {len(objects)}."
    network.refresh()
    assert network.message.text()
    panel.viewer.layers.remove("nuclei")
    qtbot.waitUntil(lambda: network.message.text() == "")


def _network(name: str) -> Model:
    card = same(name, "classify", options={"side": 32, "classes": ["x", "y"]}).card
    return Model(name, Path(name), card, "own")
