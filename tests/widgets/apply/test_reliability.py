from __future__ import annotations

import json

import numpy as np
import pytest
from same import same
from settled import settled

from napari_dojo.data.normalize import Normalization
from napari_dojo.inference.tiff_sink import UNCERTAINTY
from napari_dojo.io import images
from napari_dojo.jobs.job import Job
from napari_dojo.metrics.images import psnr
from napari_dojo.models.bundle import save
from napari_dojo.paths import models_folder
from napari_dojo.simulation.microscope import simulate
from napari_dojo.simulation.smlm import film
from napari_dojo.widgets.apply.image_box import Group
from napari_dojo.widgets.apply.panel import ApplyPanel
from napari_dojo.widgets.apply.stores import StoreLayers
from napari_dojo.widgets.common.provenance import made_from

pytestmark = pytest.mark.gui


def identity(name: str, task: str = "denoise", channels: int = 1, **more) -> None:
    """A model that gives back its first channel, saved among the user's own."""
    save(
        same(name, task, channels, **more), models_folder() / name, np.random.default_rng(0).random((channels, 16, 16))
    )


@pytest.fixture
def applied(qtbot, viewer, panel):
    """The Apply panel after a model was applied to the first image of the viewer."""

    def make(name: str):
        apply = panel(ApplyPanel)
        apply.choose_model(name)
        assert apply.apply_button.isEnabled(), apply.message.text()
        apply.apply_button.click()
        qtbot.waitUntil(lambda: bool(apply.results.shown) and not apply.results.reading)
        return apply

    return make


def test_a_prediction_says_what_it_is_and_lies_over_its_image(qtbot, viewer, applied):
    identity("same")
    scene = simulate("nuclei", (64, 80), 1, photons=30)
    image = viewer.add_image(
        scene.image, name="cells", scale=(0.5, 0.25), translate=(3, 4), rotate=30, units=("um", "um")
    )
    apply = applied("same")
    (shown,) = apply.results.shown
    layer = shown.layer
    assert layer.name == "cells (predicted by same)"
    assert layer._type_string == "image"
    assert layer.data.dtype == np.float32
    np.testing.assert_allclose(layer.data, scene.image, rtol=1e-4, atol=0.1)
    np.testing.assert_allclose(layer.extent.world, image.extent.world)
    assert tuple(layer.contrast_limits) == tuple(image.contrast_limits)
    assert layer.metadata["napari_dojo"]["task"] == "denoise"
    assert not apply.outcome.table_button.isVisibleTo(apply)
    assert not apply.sliders.isVisibleTo(apply)
    assert apply.outcome.reliability.isVisibleTo(apply)


def test_the_residual_is_a_layer_with_curves(qtbot, viewer, applied):
    identity("same")
    viewer.add_image(simulate("nuclei", (64, 80), 1, photons=30).image, name="cells", scale=(2, 2))
    honesty = applied("same").outcome.reliability
    honesty.residual_button.click()
    name = "cells (predicted by same) residual"
    qtbot.waitUntil(lambda: name in viewer.layers)
    layer = viewer.layers[name]
    assert np.abs(layer.data).max() < 0.1
    np.testing.assert_allclose(layer.scale, (2, 2))
    assert len(honesty.left.plotItem.curves) == 2
    assert len(honesty.right.plotItem.curves) == 3
    layer.name = "what was removed"  # it is found again by what it is
    mine = viewer.add_image(np.zeros((64, 80)), name=name)
    honesty.residual_button.click()
    settled(qtbot, honesty)
    assert layer not in viewer.layers
    assert mine in viewer.layers
    assert len(made_from(honesty.shown.layer, viewer.layers, "honesty", what="residual")) == 1


def test_resolution_runs_the_net_on_two_halves(qtbot, viewer, applied):
    identity("same")
    viewer.add_image(simulate("nuclei", (96, 96), 1, photons=60).image, name="cells")
    honesty = applied("same").outcome.reliability
    honesty.resolution_button.click()
    assert not honesty.resolution_button.isEnabled()
    qtbot.waitUntil(lambda: honesty.text.text().startswith("Before: "))
    before, after = honesty.text.text().rstrip(".").split("; ")
    assert before.partition("down to")[2] == after.partition("down to")[2]  # this net changes nothing
    qtbot.waitUntil(honesty.resolution_button.isEnabled)
    assert len(honesty.left.plotItem.curves) == 3


def test_uncertainty_is_a_layer_below(qtbot, viewer, applied, panel):
    identity("same", calibration=2.0)
    viewer.add_image(simulate("nuclei", (64, 64), 1).image, name="cells")
    apply = panel(ApplyPanel)
    apply.choose_model("same")
    assert apply.request.how.editor("uncertainty").isVisibleTo(apply)
    apply.request.how.set_values({"uncertainty": True})
    apply.apply_button.click()
    qtbot.waitUntil(lambda: len(viewer.layers) == 3)
    layer = viewer.layers["cells (predicted by same) uncertainty"]
    assert layer.data.shape == (64, 64)
    assert np.abs(layer.data).max() < 0.5  # it gives the same whichever way the image is turned
    assert not layer.visible


def test_upsampled_predictions_lie_exactly_over_their_image(qtbot, viewer, applied):
    identity("fine", "upscale", upsampling={"Y": 2, "X": 2}, options={"factor": 2},
             net_options={"scale": [2, 2]})  # fmt: skip
    image = viewer.add_image(simulate("spots", (33, 47), 1).image, name="spots", scale=(0.5, 0.25), translate=(3, 4))
    (shown,) = applied("fine").results.shown
    assert shown.layer.data.shape == (66, 94)
    np.testing.assert_allclose(shown.layer.scale, (0.25, 0.125))
    outer = [layer.extent.world + np.outer((-0.5, 0.5), layer.scale) for layer in (shown.layer, image)]
    np.testing.assert_allclose(*outer)  # the borders of the outer pixels
    honesty = applied("fine").outcome.reliability
    assert not honesty.residual_button.isEnabled()
    assert "size" in honesty.residual_button.toolTip()


def test_two_layers_as_channels_and_where_nothing_supports_it(qtbot, viewer, panel):
    identity("palm", "translate", channels=2, options={"localisations": True, "channels": 1},
             channel_names=("sparse", "wide"), target=Normalization((0.0,), (1.0,)))  # fmt: skip
    made = film(1, (96, 96))
    viewer.add_image(np.zeros((96, 96), np.float32), name="other")
    viewer.add_image(made.widefield, name="my wide image")
    sparse = viewer.add_image(made.picture(0.1), name="localisations")
    apply = panel(ApplyPanel)
    apply.image_box.choose(sparse)
    apply.image_box.currentIndexChanged.emit(0)
    apply.choose_model("palm")
    assert apply.request.channels.layers == (viewer.layers["my wide image"],)  # by its name
    assert apply.apply_button.isEnabled(), apply.message.text()
    apply.apply_button.click()
    qtbot.waitUntil(lambda: bool(apply.results.shown) and not apply.results.reading)
    honesty = apply.outcome.reliability
    assert honesty.support_button.isVisibleTo(apply)
    honesty.support_button.click()
    qtbot.waitUntil(lambda: "without enough localisations" in honesty.text.text())
    layer = viewer.layers["localisations (predicted by palm) support"]
    assert layer.data.min() >= 0
    assert layer.data.max() <= 1


def test_predictions_are_exported_with_what_made_them(qtbot, viewer, applied, tmp_path):
    import tifffile

    identity("same")
    viewer.add_image(simulate("nuclei", (64, 64), 1).image, name="cells", scale=(0.5, 0.5), units=("um", "um"))
    apply = applied("same")
    menu = [a for a in apply.outcome.export_button._menu.actions() if a.isVisible()]
    assert [a.text() for a in menu] == ["ImageJ TIFF ..."]
    apply.outcome.ask_path = lambda kind, suggestion, several: tmp_path / suggestion.name
    menu[0].trigger()
    path = tmp_path / "cells (predicted by same).tif"
    qtbot.waitUntil(path.exists)
    qtbot.waitUntil(lambda: "Written" in apply.message.text())
    with tifffile.TiffFile(path) as tif:
        assert "(predicted by same)" in json.dumps(tif.imagej_metadata, default=str)
        assert psnr(viewer.layers["cells"].data, tif.asarray()) > 60


def test_predicted_images_of_a_folder_say_what_they_are(qtbot, viewer, panel, tmp_path):
    from napari_dojo.io import images
    from napari_dojo.widgets.apply.image_box import Group

    identity("same")
    for k in range(2):
        images.write(tmp_path / "in" / f"{k}.tif", simulate("nuclei", (40, 48), k).image, "YX", (0.5, 0.5), "um")
    apply = panel(ApplyPanel)
    apply.choose_model("same")
    apply.image_box.choose(Group.FOLDER)
    apply.batch.images.edit.setText(str(tmp_path / "in"))
    qtbot.waitUntil(lambda: not apply.request.waiting)
    assert "0 (predicted by same).tif" in apply.batch.what.text()
    assert not apply.batch.tables.isVisibleTo(apply)
    apply.apply_button.click()
    out = tmp_path / "in_same"
    qtbot.waitUntil(lambda: "2 of 2 images are done" in apply.message.text())
    assert sorted(p.name for p in out.iterdir()) == ["0 (predicted by same).tif", "1 (predicted by same).tif"]
    assert "2 of the results exist already" in apply.batch.why_not


def test_what_was_said_of_a_prediction_goes_with_it(qtbot, viewer, applied):
    identity("same")
    viewer.add_image(simulate("nuclei", (64, 80), 1, photons=30).image, name="cells")
    apply = applied("same")
    honesty = apply.outcome.reliability
    honesty.residual_button.click()
    settled(qtbot, honesty)
    assert honesty.text.text()
    assert not honesty.left.isHidden()
    viewer.layers.remove(apply.results.shown[0].layer)
    apply.results.follow()
    apply.apply_button.click()
    qtbot.waitUntil(lambda: bool(apply.results.shown) and not apply.results.reading)
    assert honesty.text.text() == ""
    assert honesty.left.isHidden()
    assert honesty.right.isHidden()
    honesty.resolution_button.click()
    viewer.layers.remove(apply.results.shown[0].layer)
    apply.results.follow()
    settled(qtbot, honesty)
    assert honesty.text.text() == ""
    assert not honesty._runner.busy


def test_each_job_is_told_what_is_in_sight(qtbot, viewer, applied, monkeypatch):
    box, told = [(0, 9), (0, 9)], []
    monkeypatch.setattr(StoreLayers, "seen", lambda self: box)
    monkeypatch.setattr(Job, "ask", lambda self, what: told.append(what))
    identity("same")
    viewer.add_image(simulate("nuclei", (64, 80), 1).image, name="cells")
    apply = applied("same")
    for _ in range(2):
        apply.apply_button.click()
        qtbot.waitUntil(lambda: apply.runner.job is not None)
        apply._look()
        apply._look()
        qtbot.waitUntil(lambda: not apply.runner.busy)
    assert told == [{"box": box}] * 2


def test_an_uncertainty_that_exists_is_replaced_only_when_allowed(qtbot, viewer, panel, tmp_path):
    identity("same", calibration=2.0)
    given = tmp_path / "in"
    images.write(given / "a.tif", simulate("nuclei", (64, 64), 1).image, "YX")
    apply = panel(ApplyPanel)
    apply.choose_model("same")
    apply.image_box.choose(Group.FOLDER)
    apply.batch.images.edit.setText(str(given))
    qtbot.waitUntil(apply.apply_button.isEnabled, timeout=10_000)
    apply.batch.out.mkdir()
    (apply.batch.out / f"a{apply.batch._mark}{UNCERTAINTY}").write_text("older")
    uncertainty = apply.request.how.editor("uncertainty")
    uncertainty.setChecked(True)
    qtbot.waitUntil(lambda: "1 of the results exists already" in apply.message.text(), timeout=10_000)
    assert not apply.apply_button.isEnabled()
    assert ", its uncertainty" in apply.batch.what.text()
    assert apply.batch.replace.isVisibleTo(apply)
    apply.batch.replace.setChecked(True)
    assert apply.apply_button.isEnabled()
    apply.batch.replace.setChecked(False)
    uncertainty.setChecked(False)
    qtbot.waitUntil(apply.apply_button.isEnabled, timeout=10_000)
