"""Denoising with pairs: what is chosen, and that a net which has nothing to remove removes nothing."""

from __future__ import annotations

import numpy as np
import pytest

from napari_dojo.data.axes import Axes
from napari_dojo.data.dataset import Dataset
from napari_dojo.inference.predict import predict
from napari_dojo.metrics.images import psnr
from napari_dojo.models.bundle import load
from napari_dojo.models.library import find
from napari_dojo.settings import PredictSettings, TrainSettings
from napari_dojo.simulation.microscope import simulate
from napari_dojo.tasks.denoise import DENOISE
from napari_dojo.training.train import Target, train_steps

SCENES = [simulate("cells", (96, 96), k, photons=30) for k in range(3)]
CLEAN = [np.asarray(s.clean if s.clean.ndim == 2 else s.clean[0], np.float32) for s in SCENES]
LAYOUT = DENOISE.layout(DENOISE.options())


def noisy(seed: int, strength: float = 0.08) -> list[np.ndarray]:
    """The scenes with Gaussian noise, deviation as a share of their range."""
    rng = np.random.default_rng(seed)
    return [x + rng.normal(0, strength * np.ptp(x), x.shape).astype(np.float32) for x in CLEAN]


def test_two_noisy_images_are_learned_with_the_squared_error():
    pairs = Dataset.of(noisy(0), noisy(1), layout=LAYOUT)
    assert DENOISE.summarize(pairs, DENOISE.options()).options.loss == "squared"
    assert DENOISE.summarize(Dataset.of(noisy(0), CLEAN, layout=LAYOUT), DENOISE.options()).options.loss == "absolute"


def test_context_frames_become_channels():
    stack = np.stack(noisy(0))
    options = DENOISE.options(context=1)
    pairs = Dataset.of([stack], [np.stack(CLEAN)], Axes("TYX"), layout=DENOISE.layout(options))
    assert (len(pairs.samples), pairs.channels) == (3, 3)
    assert DENOISE.summarize(pairs, options).options.channels == 1


@pytest.fixture(scope="module")
def identity(tmp_path_factory):
    """A model of pairs without noise."""
    out = tmp_path_factory.mktemp("identity") / "m"
    settings = TrainSettings(steps=200, batch=4, patch=32, width=16, depth=2, test=0, device="cpu", learning_rate=0.005)
    list(train_steps(Dataset.of(CLEAN, CLEAN, layout=LAYOUT), "denoise", Target(out), settings))
    return load(out)


def test_pairs_without_noise_teach_to_return_the_input(identity):
    seen = simulate("cells", (96, 96), 9, photons=30).clean
    x = np.asarray(seen if seen.ndim == 2 else seen[0], np.float32)
    prediction = predict(identity, x, "YX")
    assert psnr(x, prediction) > 32
    assert abs((x - prediction).mean()) < 0.01 * np.ptp(x)


def test_tiled_is_whole_in_the_interior(identity):
    x = np.tile(noisy(3)[0], (2, 2))
    whole, tiled = (predict(identity, x, "YX", settings=PredictSettings(tile=t)) for t in (0, 64))
    np.testing.assert_allclose(tiled, whole, atol=1e-3 * np.ptp(x))


def test_the_shipped_denoiser_keeps_scale_and_offset():
    scene = simulate("nuclei", (256, 256), 31, photons=20)
    x, y = scene.image.astype(np.float32), scene.clean
    prediction = predict(load(find("denoise-fluorescence")), x, "YX")
    span = float(np.percentile(y, 99.8) - np.percentile(y, 0.2))
    assert abs((x - prediction).mean()) < 0.01 * span
    slope, offset = np.polyfit(y.ravel(), prediction.ravel(), 1)
    assert slope == pytest.approx(1, abs=0.05)  # a little is lost to smoothing
    assert offset + slope * y.mean() == pytest.approx(y.mean(), abs=0.01 * span)
