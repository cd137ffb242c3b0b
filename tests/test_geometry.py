"""A point source lies at the same place in input and prediction, to a tenth of an input pixel, whatever the factor."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from napari_dojo.inference.predict import predict
from napari_dojo.models.bundle import Bundle
from napari_dojo.models.card import Card
from napari_dojo.nets import build
from napari_dojo.settings import PredictSettings


def interpolating(scale: tuple[int, ...], task: str = "upscale", **more) -> Bundle:
    """A model that interpolates, as every net of the task does before it learns; it works in cells and has pools."""
    dims = len(scale)
    net = {"stem": [1] * dims, "pools": [[2] * dims], "width": 8, "norm": False, "direct": [0], "scale": list(scale)}
    spatial = "ZYX"[-dims:]
    finer = {a: f for a, f in zip(spatial, scale, strict=True) if f > 1}
    options = {"factor": max(*scale, 2), "along": "ZYX" if dims == 3 else "YX"} if task == "upscale" else {}
    about = {
        "name": "interpolation", "task": task, "options": options, "decoding": {}, "net": "unet", "net_options": net,
        "axes": spatial, "spatial": spatial, "channels": 1, "maps": ("image 1",), "upsampling": finer,
    }  # fmt: skip
    return Bundle(Card(**{**about, **more}), build("unet", in_channels=1, out_channels=1, **net).eval())


def spot(size: tuple[int, ...], at: tuple[float, ...], sigma: float = 1.6) -> np.ndarray:
    """A Gaussian spot at a place that lies between pixels."""
    grid = np.indices(size)
    return 1000 * np.exp(-sum((g - a) ** 2 for g, a in zip(grid, at, strict=True)) / (2 * sigma**2)) + 10


def centre(image: np.ndarray) -> np.ndarray:
    """Centre of mass of what lies above a tenth of the top."""
    light = np.maximum(image - image.min() - 0.1 * np.ptp(image), 0)
    return np.array([(light * g).sum() / light.sum() for g in np.indices(image.shape)])


FLAT = [((41, 57), (17.3, 30.8)), ((40, 40), (19.5, 12.25))]
VOLUME = ((9, 19, 22), (4.2, 8.7, 11.4))


@pytest.mark.parametrize(
    ("size", "at", "factor"),
    [
        *((*image, factor) for image, factor in product(FLAT, (1, 2, 3, 4))),
        *((*VOLUME, factor) for factor in (1, 2, 3)),
    ],
)
def test_a_point_source_stays_where_it_is(size, at, factor):
    bundle = interpolating((factor,) * len(size), "denoise" if factor == 1 else "upscale")
    image = spot(size, at)
    prediction = predict(bundle, image, bundle.card.axes)
    assert prediction.shape == tuple(n * factor for n in size)
    # pixel j of the prediction lies at (j + .5) / factor - .5 in pixels of the input
    found = (centre(prediction) + 0.5) / factor - 0.5
    np.testing.assert_allclose(found, centre(image), atol=0.1)
    tiled = predict(bundle, image, bundle.card.axes, settings=PredictSettings(tile=32 if len(size) == 2 else 16))
    np.testing.assert_allclose(tiled, prediction, atol=1e-3 * np.ptp(prediction))


@pytest.mark.parametrize("turns", [2, 4, 8])
def test_turned_images_are_turned_back(turns):
    image = spot((41, 57), (17.3, 30.8))
    for factor in (1, 2):
        bundle = interpolating((factor,) * 2, "denoise" if factor == 1 else "upscale")
        plain = predict(bundle, image, "YX")
        np.testing.assert_allclose(predict(bundle, image, "YX", settings=PredictSettings(tta=turns)), plain, atol=0.1)


@pytest.mark.parametrize("factor", [2, 4])
def test_a_stack_that_gets_finer_along_z(factor):
    options = {"factor": factor, "along": "Z"}
    bundle = interpolating((factor, 1), options=options, upsampling={"Z": factor}, axes="ZYX")
    image = spot((17, 33, 29), (8.3, 14.6, 17.2), 2.0)
    prediction = predict(bundle, image, "ZYX")
    assert prediction.shape == (17 * factor, 33, 29)
    found = centre(prediction)
    found[0] = (found[0] + 0.5) / factor - 0.5
    np.testing.assert_allclose(found, centre(image), atol=0.1)
    series = predict(bundle, np.stack([image, image]), "TZYX")
    np.testing.assert_allclose(series[1], prediction, atol=0.1)


def test_pixel_sizes_of_predictions():
    for scale, given, wanted in (
        ((2, 2), (0.4, 0.2), (0.2, 0.1)),
        ((2, 2), (1.0, 0.4, 0.2), (1.0, 0.2, 0.1)),
        ((2, 3, 3), (1.0, 0.3, 0.3), (0.5, 0.1, 0.1)),
    ):
        assert interpolating(scale).card.predicted_size(given) == pytest.approx(wanted)
    assert interpolating((2, 2)).card.predicted_size(None) is None


def test_a_prediction_that_cannot_fit_is_refused_with_the_figure(monkeypatch):
    from napari_dojo.errors import DojoError

    large = np.lib.stride_tricks.as_strided(np.zeros(1, np.float32), (20_000, 20_000), (0, 0))
    with pytest.raises(DojoError, match=r"needs about \d+\.\d GB of memory"):
        predict(interpolating((4, 4)), large, "YX")


def test_other_pixel_sizes_are_refused_unless_stated():
    from napari_dojo.errors import DojoError

    bundle, image = interpolating((2, 2), pixel_size=(0.1, 0.1), unit="um"), spot((32, 32), (12, 13))
    assert predict(bundle, image, "YX", pixel_size=(0.105, 0.105)).shape == (64, 64)
    with pytest.raises(DojoError, match=r"trained on pixels of 0.1 µm, and this image has 0.3 µm"):
        predict(bundle, image, "YX", pixel_size=(0.3, 0.3))
    any_size = PredictSettings(any_size=True)
    assert predict(bundle, image, "YX", pixel_size=(0.3, 0.3), settings=any_size).shape == (64, 64)


@pytest.mark.parametrize(("gain", "offset"), list(product((0.2, 7.0), (0.0, 300.0))))
def test_another_gain_and_offset_change_the_prediction_alike(gain, offset):
    image = spot((41, 57), (17.3, 30.8)) + np.random.default_rng(0).normal(0, 20, (41, 57))
    for task, factor in (("denoise", 1), ("upscale", 2)):
        bundle = interpolating((factor,) * 2, task)
        plain = predict(bundle, image, "YX")
        other = predict(bundle, gain * image + offset, "YX")
        np.testing.assert_allclose(other, gain * plain + offset, rtol=1e-4, atol=0.02 * gain)
