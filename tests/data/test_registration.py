from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_dojo.data.registration import brightness, shift_between, shifted
from napari_dojo.simulation.microscope import simulate

CLEAN = simulate("nuclei", (160, 176), 3).clean
RNG = np.random.default_rng(0)


@pytest.mark.parametrize("move", [(0, 0), (3, -5), (0.5, 0.3), (-12.4, 7.7)])
@pytest.mark.parametrize("gain", [1, 0.02, -3])
def test_a_shift_is_found_through_noise_and_other_brightness(move, gain):
    moved = ndimage.shift(CLEAN, move, mode="nearest")
    noisy = CLEAN + RNG.normal(0, 0.1 * np.ptp(CLEAN), CLEAN.shape)
    fit = shift_between(noisy, gain * moved + 40)
    np.testing.assert_allclose(fit.shift, [-m for m in move], atol=0.3)
    assert np.sign(fit.correlation) == np.sign(gain)
    assert abs(fit.correlation) > 0.5


def test_other_places_do_not_correlate():
    assert abs(shift_between(CLEAN, simulate("nuclei", CLEAN.shape, 99).clean).correlation) < 0.1
    noise = shift_between(RNG.normal(size=(64, 64)), RNG.normal(size=(64, 64)))
    assert abs(noise.correlation) < 0.2


@pytest.mark.parametrize(
    "image", [np.zeros((20, 20)), np.full((20, 20), np.nan), np.zeros((1, 1)), np.arange(9.0)[None]]
)
def test_images_that_tell_nothing(image):
    fit = shift_between(image, image)
    assert fit.shift == (0.0, 0.0)
    assert np.isfinite(fit.correlation)


def test_volumes():
    volume = simulate("nuclei", (32, 64, 64), 1).clean
    fit = shift_between(volume, np.roll(volume, (2, -3, 4), (0, 1, 2)))
    np.testing.assert_allclose(fit.shift, (-2, 3, -4), atol=0.5)


def test_shifted_says_what_is_not_known():
    moved = shifted(CLEAN[None], (3, -5))
    assert np.isnan(moved[0, :3]).all()
    assert np.isnan(moved[0, :, -5:]).all()
    np.testing.assert_array_equal(moved[0, 3:, :-5], CLEAN[:-3, 5:])


def test_brightness():
    noisy = 2.5 * CLEAN + 30 + RNG.normal(0, 20, CLEAN.shape)
    gain, offset, error = brightness(noisy, CLEAN)
    assert error < 0.02
    assert gain == pytest.approx(2.5, rel=0.05)
    assert gain * CLEAN.mean() + offset == pytest.approx(noisy.mean(), rel=0.01)
    assert brightness(CLEAN, np.zeros_like(CLEAN)) == (1.0, 0.0, np.inf)
    alone = brightness(RNG.normal(0, 500, CLEAN.shape), CLEAN)
    assert abs(alone[0]) < 4 * alone[2]
