from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_dojo.metrics.base import pool
from napari_dojo.metrics.residuals import ResidualScores, residual_correlation


def test_correlation_by_hand() -> None:
    stripes = np.tile([1.0, -1.0], (6, 4))  # neighbours along X are opposite, along Y the same
    np.testing.assert_allclose(residual_correlation(stripes), [[-1, 1, -1], [-1, 1, -1], [-1, 1, -1]])
    quarter = np.tile([1.0, 1.0, -1.0, -1.0], (6, 16))
    assert residual_correlation(quarter, 2)[2] == pytest.approx([-1, 0, 1, 0, -1], abs=0.02)


def test_correlation_of_noise_and_of_structure() -> None:
    noise = np.random.default_rng(0).normal(size=(2, 100, 100))
    around = residual_correlation(noise, 2)
    assert around[2, 2] == 1
    around[2, 2] = 0
    assert np.abs(around).max() < 0.03
    smooth = gaussian_filter(noise[0], 2)
    assert residual_correlation(smooth)[1, 2] == pytest.approx(np.exp(-1 / 16), abs=0.02)  # exp(-d^2 / 4 sigma^2)


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1)])
@pytest.mark.parametrize("value", [0.0, 3.0, np.nan, np.inf])
def test_correlation_of_odd_residuals(shape: tuple[int, ...], value: float) -> None:
    around = residual_correlation(np.full(shape, value))
    assert around.tolist() == [[0, 0, 0], [0, 1, 0], [0, 0, 0]]


def test_scores_of_noise_and_of_structure() -> None:
    rng = np.random.default_rng(0)
    clean = 500 + 200 * gaussian_filter(rng.normal(size=(1, 128, 128)), (0, 6, 6)) * 12
    noisy = clean + rng.normal(size=clean.shape) * 20
    perfect = ResidualScores.of(noisy, clean)
    assert perfect.removed == pytest.approx(1, abs=0.1)
    assert perfect.correlation == pytest.approx(0, abs=0.03)
    assert ResidualScores.of(noisy, noisy).removed == 0
    blurred = ResidualScores.of(noisy, gaussian_filter(noisy, (0, 12, 12)))
    assert blurred.removed > 1.5
    assert blurred.correlation > 0.5


def test_scores_pool_as_means() -> None:
    both = pool([ResidualScores(1, 0.9, 0.1), ResidualScores(3, 0.5, -0.3)])
    assert (both.images, both.removed, both.correlation) == (4, pytest.approx(0.6), pytest.approx(-0.2))
    assert both.as_dict() == {"removed": both.removed, "correlation": both.correlation, "whiteness": pytest.approx(0.8)}


@pytest.mark.parametrize(
    ("removed", "says"), [(0.97, "97 % of the estimated noise"), (3e7, "3e+07 times the estimated noise")]
)
def test_the_sentence_is_readable_where_hardly_any_noise_was_measured(removed, says):
    assert ResidualScores(1, removed, 0.02).sentence.startswith(f"{says} removed; neighbouring")
