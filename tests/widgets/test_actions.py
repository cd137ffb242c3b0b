from __future__ import annotations

import numpy as np
import pytest

from napari_dojo.metrics.images import psnr
from napari_dojo.simulation.microscope import simulate
from napari_dojo.simulation.samples import line_noise
from napari_dojo.widgets import actions
from napari_dojo.widgets.train.panel import TrainPanel

pytestmark = pytest.mark.gui


def test_denoise_this_layer_learns_and_applies(qtbot, viewer, monkeypatch):
    monkeypatch.setattr(actions, "DENOISE_MINUTES", 0.15)
    scene = simulate("nuclei", (96, 96), 1, photons=20)
    image = viewer.add_image(scene.image, name="cells", scale=(0.5, 0.5))
    viewer.add_labels(scene.labels, name="labels", scale=(0.5, 0.5))
    viewer.layers.selection.active = image
    actions.denoise_layer(viewer)
    train = next(w for w in viewer.window.dock_widgets.values() if isinstance(w, TrainPanel))
    assert train.once.text() == "Denoising cells, about 9 s. The result opens by itself."
    assert (train.once.isHidden(), train.body.isHidden(), train.progress.losses.isHidden()) == (False, True, True)
    assert not train.progress.progress.isHidden()
    qtbot.waitUntil(lambda: any("(predicted by" in x.name for x in viewer.layers), timeout=100_000)
    assert not train.body.isHidden()
    layer = next(x for x in viewer.layers if "(predicted by" in x.name)
    assert layer.data.shape == image.data.shape
    np.testing.assert_allclose(layer.scale, (0.5, 0.5))
    assert (
        psnr(scene.clean, layer.data) > psnr(scene.clean, scene.image) + 3
    )  # it is fine-tuned from the shipped denoiser


def test_noise_in_lines_is_hidden_without_being_asked(qtbot, viewer, monkeypatch):
    started = []
    monkeypatch.setattr(TrainPanel, "start", lambda self: started.append(self.option_values()))
    (x, _, _), *_ = line_noise()
    viewer.add_image(x, name="lines")
    actions.denoise_layer(viewer)
    qtbot.waitUntil(lambda: bool(started))
    assert started[0]["lines"] == "x"


def test_without_an_image_it_says_so(viewer, monkeypatch):
    said = []
    monkeypatch.setattr("napari.utils.notifications.show_warning", said.append)
    actions.denoise_layer(viewer)
    assert said == ["A noisy image is needed. Open one, choose it in the layer list, and try again."]
