from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_dojo.metrics.reliability import REACH, Residual, Resolution, halves
from napari_dojo.metrics.resolution import ring_correlation
from napari_dojo.simulation.microscope import simulate

SCENE = simulate("nuclei", (192, 192), 4, photons=40)
IMAGE, CLEAN = SCENE.image.astype(np.float32), SCENE.clean


def test_the_residual_is_noise_alone():
    found = Residual.of(IMAGE, CLEAN)
    np.testing.assert_allclose(found.values, IMAGE - CLEAN)
    assert abs(found.neighbours) < 0.02
    assert found.correlation.shape == (2 * REACH + 1,) * 2
    assert found.correlation[REACH, REACH] == 1
    assert len(found.levels) == len(found.means) == len(found.deviations) == len(found.expected)
    assert (np.diff(found.levels) >= 0).all()
    np.testing.assert_allclose(found.deviations, found.expected, rtol=0.35)  # more noise where there is more light
    assert found.deviations[-1] > 2 * found.deviations[0]
    assert "looks like noise" in found.sentence


def test_structure_in_the_residual_is_reported():
    found = Residual.of(IMAGE, ndimage.gaussian_filter(CLEAN, 5))
    assert found.neighbours > 0.2
    assert "structure was removed with the noise" in found.sentence


def test_a_wrong_level_is_reported():
    assert "is not 0 at all intensities" in Residual.of(IMAGE, CLEAN + np.std(IMAGE - CLEAN)).sentence
    assert "looks like noise" not in Residual.of(IMAGE, 0.8 * (CLEAN - 100) + 100).sentence
    assert "looks like noise" in Residual.of(3 * IMAGE + 7, 3 * CLEAN + 7).sentence


def test_odd_images():
    for x in (np.zeros((1, 1)), np.full((20, 20), 5.0), np.full((4, 4), np.nan)):
        found = Residual.of(x, x)
        assert np.isfinite(found.correlation).all()
        assert found.sentence


def test_halves_have_the_same_scene_and_their_own_noise():
    a, b = halves(IMAGE)
    np.testing.assert_allclose((a + b) / 2, IMAGE, atol=1e-2)
    assert abs(np.corrcoef((a - CLEAN).ravel(), (b - CLEAN).ravel())[0, 1]) < 0.1


def resolution_of(image, model):
    a, b = halves(image)
    return Resolution(ring_correlation(a, b), ring_correlation(model(a), model(b)))


def test_resolution_before_and_after():
    found = resolution_of(IMAGE, lambda x: ndimage.gaussian_filter(x, 1.5))
    assert 2 <= found.after.resolution <= found.before.resolution * 1.2
    assert found.before.resolution == pytest.approx(resolution_of(IMAGE, lambda x: x).after.resolution)
    assert found.sentence.startswith("Before: detail down to")


def test_a_pattern_of_the_net_itself_is_no_detail():
    stripes = 10 * np.cos(2 * np.pi * 0.4 * np.arange(IMAGE.shape[-1]))
    found = resolution_of(IMAGE, lambda x: ndimage.gaussian_filter(x, 1) + stripes)
    assert found.own_pattern
    assert "comes from the model" in found.sentence
    assert not resolution_of(IMAGE, lambda x: ndimage.gaussian_filter(x, 1)).own_pattern
