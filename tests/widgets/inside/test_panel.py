"""Look inside: kernels and feature maps as layers over the image, the level that is shown, the receptive field."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from napari_dojo.models.library import find, models
from napari_dojo.models.watched import Watched
from napari_dojo.paths import runs_folder
from napari_dojo.simulation.microscope import simulate
from napari_dojo.widgets.inside.drawing import words
from napari_dojo.widgets.inside.panel import NO_IMAGE, NOT_WATCHED, InsidePanel, in_view

pytestmark = pytest.mark.gui


@pytest.fixture
def inside(panel):
    made = panel(InsidePanel)
    made.model_box.choose("nuclei-fluorescence")
    return made


def looked(qtbot, inside):
    inside.refresh()
    inside.look_button.click()
    qtbot.waitUntil(lambda: not inside.runner.busy)
    assert "parameters" in inside.message.text()


def test_it_says_what_is_missing(viewer, inside):
    assert inside.message.text() == NO_IMAGE
    assert not inside.look_button.isEnabled()
    viewer.add_image(np.zeros((40, 40)))
    inside.refresh()
    assert inside.look_button.isEnabled()
    assert inside.message.text() == ""


def test_maps_lie_over_the_image_and_one_level_is_shown(qtbot, viewer, inside):
    image = viewer.add_image(simulate("nuclei", (64, 80), 0).image, scale=(0.5, 0.5), translate=(3, 4))
    image.corner_pixels = np.array([[0, 0], [64, 80]])
    looked(qtbot, inside)
    whole = image.extent.world + 0.25 * np.array([[-1], [1]])
    count = len(viewer.layers)
    for number, shape in ((0, (48, 32, 40)), (2, (112, 8, 10)), (1, (72, 16, 20))):
        viewer.dims.set_current_step(0, 111)  # behind the last map of the next level
        inside.drawing.picked.emit(number)
        maps = inside.layers["maps"]
        assert maps.data.shape == shape
        assert viewer.dims.nsteps[0] == shape[0]  # the slider ends with the maps
        assert maps.name == f"down {number + 1}: {shape[0]} maps (nuclei-fluorescence)"
        assert inside.level_box.currentIndex() == number
        half = np.asarray(maps.scale[1:]) / 2  # the outer edges are those of the image
        np.testing.assert_allclose(maps.extent.world[:, 1:] + half * np.array([[-1], [1]]), whole, atol=1e-6)
        assert 0.99 < np.mean(maps.data <= maps.contrast_limits[1]) < 1
    assert viewer.dims.axis_labels[0] == "map"
    assert len(viewer.layers) == count == 3  # image, kernels, maps: each layer costs the window its time
    viewer.layers.remove(maps)
    inside.show_level(3)
    assert inside.layers["maps"] in viewer.layers
    assert len(inside.layers["maps"].data) == 160
    assert inside.layers["kernels"].extent.world[1, 1] < 4
    before = len(viewer.layers)
    looked(qtbot, inside)
    assert len(viewer.layers) == before
    qtbot.waitUntil(lambda: len(list(runs_folder().iterdir())) == 1)  # the files of the first look are deleted

    inside.field_button.setChecked(True)
    assert inside._clicked in viewer.mouse_drag_callbacks
    inside.show_field((20, 30))
    outer, inner = inside.layers["field"].data
    radius, effective = inside.facts["radius"], inside.facts["effective"]
    np.testing.assert_allclose(
        [outer.min(0), outer.max(0)], [[19.5 - radius[0], 29.5 - radius[1]], [20.5 + radius[0], 30.5 + radius[1]]]
    )
    assert inner.min(0)[0] == 19.5 - effective[0]
    inside.field_button.setChecked(False)
    assert inside._clicked not in viewer.mouse_drag_callbacks
    assert "72 feature maps" in words(inside.drawing.stages[1])
    assert not inside.drawing.grab().isNull()


def test_of_a_series_the_frame_in_view_is_taken(viewer, inside):
    images = np.stack([simulate("nuclei", (40, 40), seed).image for seed in range(3)])
    layer = viewer.add_image(images, axis_labels=("t", "y", "x"))
    layer.corner_pixels = np.array([[0, 0, 0], [2, 40, 40]])
    viewer.dims.set_current_step(0, 1)
    asked = in_view(viewer, layer, inside.model_box.chosen.card)
    assert asked.box == ((1, 2), (0, 40), (0, 40))
    np.testing.assert_array_equal(asked.image, images[1:2])


def test_a_model_that_does_not_fit_is_said(viewer, inside):
    viewer.add_image(np.zeros((5, 40, 40)), axis_labels=("c", "y", "x"))
    inside.refresh()
    inside.look()
    assert "channel" in inside.message.text()
    assert not inside.runner.busy


def test_a_training_is_watched_again(viewer, own_home, inside):
    model = own_home / "models" / "mine"
    shutil.copytree(find("nuclei-fluorescence"), model)
    watched = Watched(np.ones((1, 30, 40)), labels=True)
    for step, objects in ((12, 1), (40, 3)):
        watched = watched.after(step, f"mean AP 0.{objects}", np.full((30, 40), objects))
    watched.write(model / "run")
    own = viewer.add_image(np.zeros((64, 80)), name="mine")
    known = {m.path.name: m for m in models()}
    inside.choose(known["nuclei-fluorescence"], own)
    assert not inside.watch_button.isEnabled()
    assert NOT_WATCHED in inside.watch_button.toolTip()
    inside.choose(known["mine"], own)
    inside.watch_button.click()
    assert not own.visible
    layer = inside.layers["watched"]
    assert layer.data.shape == (2, 30, 40)
    assert "Check 1 of 2: step 12, mean AP 0.1." in inside.message.text()
    viewer.dims.set_current_step(0, 1)
    assert "Check 2 of 2: step 40, mean AP 0.3." in inside.message.text()
    inside.watch_button.click()
    assert len(viewer.layers) == 3  # the earlier layers are replaced
    stack = viewer.add_image(np.zeros((30, 64, 80)), name="stack", scale=(3, 1, 1))
    viewer.dims.set_current_step(0, 20)
    inside.watch_button.click()
    assert [viewer.dims.nsteps[0], viewer.dims.nsteps[1]] == [2, 30]  # the slider of the checks ends with them
    layer = inside.layers["watched"]
    for plane in (0, 20, 29):
        viewer.dims.set_current_step(1, plane)
        viewer.dims.set_current_step(0, 1)
        assert "Check 2 of 2" in inside.message.text()
        assert layer.get_value((1, 3 * plane, 5, 5), world=True) == 3
    viewer.layers.remove(stack)
    inside.end()
    assert own.visible


def test_the_receptive_field_is_that_of_the_image_that_was_looked_at(qtbot, viewer, inside):
    image = viewer.add_image(simulate("nuclei", (64, 80), 0).image, name="seen", scale=(0.5, 0.5))
    image.corner_pixels = np.array([[0, 0], [64, 80]])
    inside.refresh()
    inside.look_button.click()
    assert not inside.field_button.isEnabled()  # nothing is known yet
    qtbot.waitUntil(lambda: not inside.runner.busy)
    assert inside.field_button.isEnabled()
    other = viewer.add_image(np.zeros((64, 80)), name="other", scale=(2, 2))
    inside.refresh()
    inside.image_box.choose(other)
    viewer.layers.remove(inside.layers["maps"])
    inside.show_level(1)
    assert inside.layers["maps"].metadata["napari_dojo"]["image"] == "seen"
    inside._clicked(viewer, SimpleNamespace(position=(10, 15)))
    field = inside.layers["field"]
    np.testing.assert_allclose(field.data[0].mean(0), (20, 30))
    np.testing.assert_allclose(field.scale, (0.5, 0.5))
    assert field.metadata["napari_dojo"]["image"] == "seen"


def test_watching_a_training_leaves_no_level_to_choose(qtbot, viewer, own_home, inside):
    image = viewer.add_image(simulate("nuclei", (64, 80), 0).image, name="seen")
    image.corner_pixels = np.array([[0, 0], [64, 80]])
    model = own_home / "models" / "mine"
    shutil.copytree(find("nuclei-fluorescence"), model)
    Watched(np.ones((1, 30, 40)), labels=True).after(12, "mean AP 0.1", np.ones((30, 40))).write(model / "run")
    inside.choose(next(m for m in models() if m.path.name == "mine"), image)
    looked(qtbot, inside)
    assert inside.level_box.isEnabled()
    inside.watch_button.click()
    assert inside.level_box.count() == 0
    assert not inside.level_box.isEnabled()
    assert "Check 1 of 1" in inside.message.text()
