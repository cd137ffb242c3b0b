from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_dojo.data.noise import fission, measure_noise
from napari_dojo.data.optics import Camera
from napari_dojo.simulation.microscope import simulate
from napari_dojo.simulation.scenes import line_noise

RNG = np.random.default_rng(0)


def field(sigma: float = 5.0, size=(192, 160)) -> np.ndarray:
    """Smooth structure from 0 to 1."""
    x = ndimage.gaussian_filter(np.random.default_rng(1).normal(size=size), sigma)
    return (x - x.min()) / np.ptp(x)


@pytest.mark.parametrize("sigma", [0.5, 3, 20])
@pytest.mark.parametrize(("gain", "offset"), [(1, 0), (0.01, 5), (30, 1000)])
def test_white_noise_is_measured_in_the_images_units(sigma, gain, offset):
    image = (100 * field() + RNG.normal(0, sigma, (192, 160))) * gain + offset
    noise = measure_noise(image)
    assert noise.sigma == pytest.approx(sigma * gain, rel=0.15)
    assert max(map(abs, noise.correlation)) < 0.08
    assert noise.variance(image.mean()) == pytest.approx((sigma * gain) ** 2, rel=0.35)
    assert noise.saturated == noise.hot == 0


@pytest.mark.parametrize("photons", [10, 100])
def test_gain_and_read_noise_of_a_camera(photons):
    camera = Camera(gain=4.0, offset=100, read_noise=2.0)
    light = photons * (0.2 + 0.8 * field(12, (256, 256)))
    noise = measure_noise(camera.expose(light, RNG))
    assert noise.gain == pytest.approx(4.0, rel=0.3)
    for part in (0.3, 0.6):
        value = camera.expected(part * photons)
        assert noise.variance(value) == pytest.approx(camera.variance(part * photons), rel=0.3)


def test_noise_in_lines_is_correlated_along_them():
    image = line_noise(50 * field() + RNG.normal(0, 1, (192, 160)), 5, RNG)
    y, x = measure_noise(image).correlation
    assert x > 0.5
    assert abs(y) < 0.2
    y, x = measure_noise(image.T).correlation
    assert y > 0.5
    assert abs(x) < 0.2


def test_structure_tells_an_image_from_noise_alone():
    alone = RNG.normal(100, 3, (128, 128))
    assert measure_noise(alone).structure < 2
    assert measure_noise(alone + 30 * field(5, (128, 128))).structure > 10
    assert measure_noise(simulate("nuclei", (128, 128), 1, photons=20).image).structure > 10


def test_a_mask_is_not_saturated():
    """Its largest value is the true one, also where its edges are soft or it has several levels."""
    rows, columns = np.ogrid[:128, :128]
    far = np.hypot(rows - 64, columns - 64)
    for radius in (5, 20, 50):
        assert measure_noise((far < radius) * 255).saturated == 0
        assert measure_noise(np.clip(radius + 0.5 - far, 0, 1)).saturated == 0
    assert measure_noise(np.digitize(far, (10, 20, 40))[..., ::-1] * 60.0).saturated == 0
    photo = np.random.default_rng(0).poisson(np.where(far < 20, 400, 40.0))
    for background in (0, 40):  # clipped at the ground, too
        for top in (200, 430):
            cut = np.clip(photo, background, top)
            assert measure_noise(cut).saturated == pytest.approx((photo >= top).mean(), abs=1e-6), (background, top)


def test_saturated_hot_and_compressed():
    image = 100 * field() + RNG.normal(0, 2, (192, 160))
    assert measure_noise(np.minimum(image, 60)).saturated == pytest.approx((image >= 60).mean(), abs=1e-6)
    hot = image.copy()
    hot[20, 30] = hot[100, 50] = 4000
    assert measure_noise(hot).hot == pytest.approx(2 / hot.size)
    blocks = image + np.kron(RNG.normal(0, 5, (24, 20)), np.ones((8, 8)))
    assert measure_noise(blocks).blocky > 1.2 > measure_noise(image).blocky


@pytest.mark.parametrize(
    "image", [np.zeros((8, 9)), np.full((3, 20, 20), 7), np.full((5, 5), np.nan), np.zeros((1, 1))]
)
def test_images_without_anything(image):
    noise = measure_noise(image)
    assert noise.sigma == noise.relative == noise.saturated == 0
    assert noise.structure == 1


@pytest.mark.parametrize("size", [(1, 30), (4, 5), (2, 3), (3, 40, 40), (40, 2, 2)])
def test_small_and_odd_images(size):
    noise = measure_noise(RNG.normal(size=size))
    assert np.isfinite([noise.sigma, noise.gain, *noise.correlation, noise.structure, noise.blocky]).all()


def test_volumes_and_lost_values():
    volume = 100 * np.stack([field()] * 6) + RNG.normal(0, 4, (6, 192, 160))
    noise = measure_noise(volume)
    assert noise.sigma == pytest.approx(4, rel=0.15)
    assert len(noise.correlation) == 3
    volume[2, :9] = np.nan
    volume[3, 5, 5] = np.inf
    assert measure_noise(volume).sigma == pytest.approx(4, rel=0.2)


def test_fission_makes_two_images_with_noise_of_their_own():
    clean = 100 * field(8, (256, 256))
    image = clean + RNG.normal(0, 6, clean.shape)
    a, b = fission(image, measure_noise(image), RNG)
    np.testing.assert_allclose((a + b) / 2, image, atol=1e-3)
    assert abs(np.corrcoef((a - clean).ravel(), (b - clean).ravel())[0, 1]) < 0.1
    assert (a - clean).std() == pytest.approx(6 * np.sqrt(2), rel=0.1)
