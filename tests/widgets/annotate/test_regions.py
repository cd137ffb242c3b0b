"""A region of an image on the disk is opened beside it, painted, and written back."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Layer
from napari.layers._source import layer_source

from napari_dojo.io import images
from napari_dojo.widgets.annotate import regions
from napari_dojo.widgets.annotate.panel import AnnotatePanel
from napari_dojo.widgets.reader import get_reader

pytestmark = pytest.mark.gui
BOX = ((100, 400), (50, 300))


@pytest.fixture
def annotate(viewer, panel, tmp_path, monkeypatch):
    x = np.random.default_rng(0).integers(0, 4000, (900, 700)).astype(np.uint16)
    images.write(tmp_path / "slide.zarr", x, "YX", (0.5, 0.5), "um")
    with layer_source(path=str(tmp_path / "slide.zarr")):
        viewer.add_layer(Layer.create(*get_reader(str(tmp_path / "slide.zarr"))(str(tmp_path / "slide.zarr"))[0]))
    monkeypatch.setattr(regions, "seen_box", lambda *_: BOX)
    return panel(AnnotatePanel), x


def test_a_region_is_painted_and_written_back(qtbot, viewer, annotate, tmp_path):
    panel, x = annotate
    panel.regions.open_button.click()
    qtbot.waitUntil(lambda: panel.labels_box.layer is not None)
    image, labels = panel.image_box.layer, panel.labels_box.layer
    np.testing.assert_array_equal(image.data, x[100:400, 50:300])
    assert tuple(labels.translate) == (50.0, 25.0)
    labels.data[10:30, 20:40] = 1
    panel.regions.save_button.click()
    qtbot.waitUntil(lambda: "Saved to" in panel.regions.text.text())
    stored = images.read(tmp_path / "slide_annotation.zarr", labels=True)
    assert (stored.data.shape, stored.pixel_size) == (x.shape, (0.5, 0.5))
    assert (stored.data > 0).sum() == 400
    assert stored.data[110:130, 70:90].all()


def test_too_much_in_sight_is_said(qtbot, annotate, monkeypatch):
    panel, _ = annotate
    said = []
    monkeypatch.setattr(panel, "warn", said.append)
    panel.regions.failed.connect(said.append)
    monkeypatch.setattr(regions, "MOST", 1000)
    panel.regions.open_button.click()
    assert "Zoom in" in said[-1]


def test_without_a_large_image_there_is_nothing_to_open(viewer, panel):
    viewer.add_image(np.zeros((30, 30)))
    assert not panel(AnnotatePanel).regions.open_button.isEnabled()


def test_the_disabled_button_says_why(viewer, panel):
    viewer.add_image(np.zeros((30, 30)))
    assert panel(AnnotatePanel).regions.text.text() == regions.NONE
