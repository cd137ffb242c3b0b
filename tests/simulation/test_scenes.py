from __future__ import annotations

import numpy as np
import pytest

from napari_dojo.data.noise import measure_noise
from napari_dojo.data.optics import Camera
from napari_dojo.simulation.scenes import LIGHTS, expose, line_noise, random_light, random_scene


@pytest.mark.parametrize("shape", [(64, 72), (8, 32, 40)])
def test_scenes_are_repeatable_and_their_noise_has_no_bias(shape):
    seeds = range(12)
    made = [random_scene(k, shape) for k in seeds]
    for scene, again in zip(made, (random_scene(k, shape) for k in seeds), strict=True):
        np.testing.assert_array_equal(scene.image, again.image)
        assert scene.image.shape == scene.clean.shape == shape
        assert scene.image.dtype == scene.clean.dtype == np.float32
        assert 1 <= scene.photons <= 1000
    bias = [(s.image - s.clean).mean() / max((s.image - s.clean).std(), 1e-6) for s in made]
    assert abs(np.median(bias)) < 0.05


@pytest.mark.parametrize("kind", LIGHTS)
def test_every_kind_of_light_is_drawn(kind):
    light = LIGHTS[kind][1](np.random.default_rng(0), (64, 64))
    assert light.shape == (64, 64)
    assert np.isfinite(light).all()
    assert light.min() >= 0
    assert light.max() > 0


def test_bright_places_are_one():
    for seed in range(8):
        light = random_light(seed, (96, 96))
        assert 0.5 < np.percentile(light, 99.8) < 1.3
        assert light.min() >= 0


def test_expose_counts_photons():
    light = np.full((100, 100), 0.5)
    made = expose(light, 80, Camera(gain=3, offset=20, read_noise=0), np.random.default_rng(0))
    assert made.clean[0, 0] == pytest.approx(3 * 40 + 20)
    assert made.image.mean() == pytest.approx(140, abs=1)
    assert made.image.var() == pytest.approx(9 * 40, rel=0.1)


def test_line_noise_has_its_strength():
    noisy = line_noise(np.zeros((200, 200)), 7, np.random.default_rng(0))
    assert noisy.std() == pytest.approx(7, rel=0.01)
    assert measure_noise(noisy).correlation[-1] > 0.8


def test_the_clean_picture_may_be_finer():
    scene = random_scene(3, (32, 40), 2)
    assert scene.image.shape == (32, 40)
    assert scene.clean.shape == (64, 80)
    light = np.random.default_rng(1).random((64, 80))
    made = expose(light, 1e6, Camera(gain=0.05, offset=20, read_noise=0), np.random.default_rng(0), 2)
    binned = made.clean.reshape(32, 2, 40, 2).mean((1, 3))
    np.testing.assert_allclose(made.image, binned, rtol=0.01)  # each pixel of the camera lies over its own 2 x 2
