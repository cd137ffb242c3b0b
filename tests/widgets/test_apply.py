from __future__ import annotations

import numpy as np
import pytest

from napari_dojo.card import Card
from napari_dojo.pretrained import Model
from napari_dojo.tasks import TASKS
from napari_dojo.widgets import apply as apply_module
from napari_dojo.widgets.actions import segment_nuclei
from napari_dojo.widgets.apply import ApplyPanel, Kept, unfit

pytestmark = pytest.mark.gui


def card(**more):
    about = {
        "name": "nuclei-fluorescence",
        "task": "instances",
        "options": {"diameter": 20.0},
        "decoding": {"threshold": 0.5, "split": 0.2, "smallest": 5.0},
        "net": "unet",
        "net_options": {},
        "axes": "YX",
        "spatial": "YX",
        "channels": 1,
        "maps": ("inside", "depth"),
        "diameter": 20.0,
        "pixel_size": (0.5, 0.5),
        "unit": "um",
        "score": {"sentence": "found 86 of 100, 9 invented", "from": "validation"},
        "baseline": {"sentence": "found 71 of 100, 20 invented"},
    }
    return Card(**{**about, **more})


@pytest.fixture
def one_model(monkeypatch, tmp_path):
    made = Model("nuclei-fluorescence", tmp_path, card(), "shipped")
    monkeypatch.setattr(apply_module, "models", lambda: [made])
    return made


def test_what_a_model_is_stands_below_it(qtbot, viewer, panel, one_model):
    apply = panel(ApplyPanel)
    assert apply.model_box.currentText() == "nuclei-fluorescence (shipped)"
    assert "Validation: found 86 of 100, 9 invented" in apply.about.text()
    assert "Without learning: found 71 of 100" in apply.about.text()
    assert not apply.apply_button.isEnabled()
    assert "Open an image" in apply.message.text()


def test_without_a_model_the_panel_says_so(qtbot, viewer, panel, monkeypatch):
    monkeypatch.setattr(apply_module, "models", list)
    apply = panel(ApplyPanel)
    assert "no model yet" in apply.about.text()
    assert not apply.apply_button.isEnabled()


def test_the_diameter_follows_the_pixel_size(qtbot, viewer, panel, one_model):
    viewer.add_image(np.zeros((32, 32)), name="plain")
    viewer.add_image(np.zeros((32, 32)), name="fine", scale=(0.1, 0.1), units=("um", "um"))
    apply = panel(ApplyPanel)
    apply.image_box.choose(viewer.layers["plain"])
    assert apply.diameter_box.value() == 20
    apply.image_box.choose(viewer.layers["fine"])
    assert apply.diameter_box.value() == 100


@pytest.mark.parametrize(
    ("made", "shape", "axes", "why"),
    [
        (card(), (32, 32), "YX", ""),
        (card(), (5, 32, 32), "ZYX", ""),
        (card(), (32, 32, 3), "YXC", "needs 1 channel; this image has 3"),
        (card(channels=3), (32, 32), "YX", "needs 3 channels; this image has 1"),
        (card(spatial="ZYX"), (32, 32), "YX", "for volumes"),
    ],
)
def test_what_does_not_fit_is_said(made, shape, axes, why):
    said = unfit(made, shape, axes)
    assert why in said
    assert bool(said) == bool(why)


def test_kept_maps_are_decoded_as_the_task_does():
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(3, 2, 24, 32)).astype(np.float32)
    made = card()
    kept = Kept(made, maps, apply_module.Axes("TYX"), (3, 24, 32))
    values = {"threshold": 0.3, "split": 0.1, "smallest": 2.0}
    task = TASKS["instances"]
    for k, plane in enumerate(kept.decoded(values)):
        wanted = task.decode(maps[k], task.decoding(**values), task.options(**made.options))
        np.testing.assert_array_equal(plane, wanted)


def test_one_click(qtbot, filled, panel, one_model, monkeypatch):
    asked = []
    monkeypatch.setattr(ApplyPanel, "apply", lambda self: asked.append((self.model.name, self.image_box.layer.name)))
    apply = panel(ApplyPanel)
    filled.layers.selection.active = filled.layers["cells_1"]
    segment_nuclei(filled)
    assert asked == [("nuclei-fluorescence", "cells_1")]
    apply.end()


def test_one_click_without_an_image(qtbot, viewer, monkeypatch):
    said = []
    monkeypatch.setattr("napari.utils.notifications.show_warning", said.append)
    segment_nuclei(viewer)
    assert "An image with nuclei is needed" in said[0]
