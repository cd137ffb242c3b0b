"""Images whose objects are larger than those that a model was trained on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_dojo.events import Control, Done, Message, result_of
from napari_dojo.inference import predict as predict_module
from napari_dojo.inference import scale
from napari_dojo.inference.apply import apply
from napari_dojo.inference.blocks import Work
from napari_dojo.inference.geometry import Image, resolve
from napari_dojo.inference.predict import Ready, predict_image
from napari_dojo.inference.sinks import ZarrSink
from napari_dojo.inference.sources import FileSource
from napari_dojo.inference.stores import room_of, work_for
from napari_dojo.io import images
from napari_dojo.io.images import Picture
from napari_dojo.metrics.objects import InstanceCounts
from napari_dojo.models.bundle import load
from napari_dojo.models.library import find
from napari_dojo.settings import PredictSettings
from napari_dojo.simulation.microscope import random_nuclei

TIMES = 6


@pytest.fixture(scope="module")
def bundle():
    return load(find("nuclei-fluorescence"))


@pytest.fixture(scope="module")
def nuclei():
    """An image (Y, X) with 19 nuclei of about 20 px, and its labels."""
    scene = random_nuclei(1, (128, 128))
    return np.asarray(scene.image, np.float32), np.asarray(scene.labels)


@pytest.fixture(scope="module")
def enlarged(nuclei):
    """The same, as through an objective with six times the magnification."""
    from skimage.transform import resize

    size = [n * TIMES for n in nuclei[0].shape]
    return resize(nuclei[0], size, order=1, preserve_range=True), np.kron(nuclei[1], np.ones((TIMES, TIMES), int))


def found(bundle, x, axes="YX", pixel_size=None, **settings):
    """The prediction and what was said of the scale."""
    ready = Ready.of(bundle, PredictSettings(device="cpu", **settings))
    image = resolve(ready.card, Image("nuclei", Picture(x, axes, pixel_size=pixel_size), axes), ready.settings)
    steps, said = predict_image(ready, image, Control()), []
    while True:
        try:
            event = next(steps)
        except StopIteration as end:
            return end.value.array, [s for s in said if "scaled" in s]
        if isinstance(event, Message) and event.level == "warning":
            said.append(event.text)


def ap(truth, labels):
    return InstanceCounts.of(truth, labels).ap["0.5"]


def test_objects_six_times_as_large_are_detected(bundle, nuclei, enlarged):
    labels, said = found(bundle, enlarged[0])
    assert ap(enlarged[1], labels) > 0.9
    assert said == [
        "Objects look larger than those that the model was trained on: the image is scaled by 0.25. "
        "If the result is wrong, give a diameter."
    ]


def test_a_diameter_says_the_scale(bundle, enlarged):
    labels, said = found(bundle, enlarged[0], diameter=bundle.card.diameter)
    assert ap(enlarged[1], labels) < 0.1
    assert not said


def test_pixel_sizes_say_the_scale(bundle, enlarged):
    sized = replace(bundle, card=replace(bundle.card, pixel_size=(0.5, 0.5)))
    assert ap(enlarged[1], found(sized, enlarged[0], pixel_size=(0.5, 0.5))[0]) < 0.1
    assert ap(enlarged[1], found(sized, enlarged[0], pixel_size=(0.5 / TIMES, 0.5 / TIMES))[0]) > 0.9


def test_pixel_sizes_that_cannot_be_right_do_not(bundle, enlarged):
    sized = replace(bundle, card=replace(bundle.card, pixel_size=(0.5, 0.5)))
    labels, said = found(sized, enlarged[0], pixel_size=(0.001, 0.001))
    assert ap(enlarged[1], labels) > 0.9
    assert len(said) == 1


def test_a_minimum_area_is_that_in_the_image(bundle, enlarged):
    ready = Ready.of(bundle, PredictSettings(device="cpu"))
    ready = replace(ready, decoding=replace(ready.decoding, minimum_area=2000.0))  # the smallest nucleus has 2,664 px
    image = resolve(ready.card, Image("nuclei", Picture(enlarged[0], "YX"), "YX"), ready.settings)
    assert ap(enlarged[1], result_of(predict_image(ready, image, Control())).array) > 0.9


def test_objects_of_the_usual_size_are_predicted_once(bundle, nuclei, monkeypatch):
    asked = []
    real = predict_module.predicted
    monkeypatch.setattr(predict_module, "predicted", lambda *a: asked.append(a[3]) or real(*a))
    monkeypatch.setattr(scale._Views, "_predicted", lambda *_, **__: pytest.fail("another scale was tried"))
    labels, said = found(bundle, nuclei[0])
    assert ap(nuclei[1], labels) > 0.9
    assert asked == [1.0]
    assert not said


@pytest.mark.parametrize("tta", [1, 2, 4])
def test_with_any_number_of_views(bundle, enlarged, tta):
    assert ap(enlarged[1], found(bundle, enlarged[0], tta=tta)[0]) > 0.9


def test_all_planes_of_a_series_have_one_scale(bundle, enlarged):
    x, y = enlarged
    labels, said = found(bundle, np.stack([x, x[::-1], x]), "TYX")
    assert [ap(truth, plane) > 0.9 for truth, plane in zip((y, y[::-1], y), labels, strict=True)] == [True] * 3
    assert len(said) == 1


def test_block_by_block(bundle, enlarged, tmp_path):
    images.write(tmp_path / "big.zarr", enlarged[0].astype(np.float32), "YX")
    sink = ZarrSink(tmp_path / "big.zarr", tmp_path / "labels.zarr")
    ready = Ready.of(bundle, PredictSettings(device="cpu", tile=256))
    events = list(apply(ready, [FileSource(sink.input)], sink))
    assert isinstance(events[-1], Done)
    assert any(isinstance(e, Message) and "scaled by 0.25" in e.text for e in events)
    assert ap(enlarged[1], images.read(tmp_path / "labels.zarr", labels=True).data) > 0.9


def test_a_series_is_looked_at_where_it_shows_something(bundle, enlarged):
    x, y = enlarged
    labels, said = found(bundle, np.stack([x, np.zeros_like(x), np.full_like(x, np.nan)]), "TYX")
    assert ap(y, labels[0]) > 0.9
    assert not labels[1:].any()
    assert len(said) == 1


def test_a_block_is_no_larger_than_the_image_s_pixels_allow(bundle):
    ready = Ready.of(bundle, PredictSettings(device="cpu", tile=1024))
    image = resolve(ready.card, Image("large", Picture(np.zeros((8192, 8192), np.uint8), "YX"), "YX"), ready.settings)
    read = {
        zoom: max(
            np.prod([b - a for a, b in block.read]) for block in Work.of(ready, replace(image, zoom=zoom), 1e6).blocks
        )
        for zoom in (0.25, 1.0)
    }
    assert read[0.25] < 4e6  # with a halo that is four times as wide; 16e6 before


def test_what_is_resumed_keeps_its_scale(bundle, enlarged, tmp_path):
    ready = Ready.of(bundle, PredictSettings(device="cpu", tile=256))
    image = resolve(ready.card, Image("big", Picture(enlarged[0], "YX"), "YX"), ready.settings)
    room_of(work_for(ready, replace(image, zoom=0.25), tmp_path / "m.zarr"), tmp_path / "m.zarr")
    assert work_for(ready, image, tmp_path / "m.zarr").image.zoom == 0.25
    assert work_for(ready, image, tmp_path / "other.zarr").image.zoom == 1


def test_a_worker_sees_the_image_at_the_scale_that_was_decided(bundle, enlarged, tmp_path):
    cluster = pytest.importorskip("napari_dojo.inference.cluster")
    images.write(tmp_path / "big.zarr", enlarged[0].astype(np.float32), "YX")
    order = cluster.Order(str(find("nuclei-fluorescence")), PredictSettings(device="cpu"), Ready.of(bundle).decoding)
    work = cluster._work(order, cluster._Image(str(tmp_path / "big.zarr"), None, 0, None, 0.25, 1e6))
    cluster._forget()
    assert work.image.zoom == 0.25


@pytest.mark.parametrize(
    "x", [np.zeros((96, 96)), np.full((96, 96), np.nan), np.random.default_rng(0).random((96, 96))]
)
def test_where_there_are_no_objects_the_scale_stays(bundle, x):
    assert not found(bundle, x.astype(np.float32))[1]


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (40, 40)])
def test_images_of_a_few_pixels(bundle, enlarged, size):
    x = enlarged[0][200 : 200 + size[0], 200 : 200 + size[1]]
    ready = Ready.of(bundle, PredictSettings(device="cpu", tta=1))
    image = resolve(ready.card, Image("few", Picture(x, "YX"), "YX"), ready.settings)
    assert result_of(scale.at_own_scale(ready, image, Control())).zoom == image.zoom
