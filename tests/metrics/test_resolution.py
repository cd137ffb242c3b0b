from __future__ import annotations

import numpy as np
import pytest

from napari_dojo.metrics.resolution import THRESHOLD, ring_correlation

RNG = np.random.default_rng(0)


def by_definition(a: np.ndarray, b: np.ndarray) -> list[float]:
    """The published formula, ring by ring: sum(F1 F2*) / sqrt(sum |F1|² sum |F2|²)."""
    n = len(a)
    window = np.hanning(n + 2)[1:-1]
    one, two = (np.fft.fft2((x - x.mean()) * np.outer(window, window)) for x in (a, b))
    found = []
    for radius in range(n // 2 + 1):
        above = first = second = 0.0
        for i in range(n):
            for j in range(n):
                ky, kx = (k if k < n / 2 else k - n for k in (i, j))
                if round(np.hypot(ky, kx)) == radius:
                    above += (one[i, j] * np.conj(two[i, j])).real
                    first += abs(one[i, j]) ** 2
                    second += abs(two[i, j]) ** 2
        found.append(above / np.sqrt(first * second))
    return found


def band(cut: float, n: int = 256) -> np.ndarray:
    """Random structure without detail finer than 1 / cut px."""
    k = np.fft.fftfreq(n)
    inside = np.hypot(k[:, None], k[None]) <= cut
    return np.fft.ifft2(np.fft.fft2(np.random.default_rng(1).normal(size=(n, n))) * inside).real


def test_the_published_definition():
    a, b = RNG.normal(size=(2, 24, 24)) + band(0.2, 24)
    np.testing.assert_allclose(ring_correlation(a, b).correlation, by_definition(a, b), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("cut", [0.1, 0.2, 0.33])
def test_detail_ends_where_it_was_cut_off(cut):
    clean = band(cut)
    scale = 0.05 * clean.std()
    found = ring_correlation(clean + RNG.normal(0, scale, clean.shape), 3 * clean + RNG.normal(0, scale, clean.shape))
    assert found.resolution == pytest.approx(1 / cut, rel=0.13)
    assert f"{found.resolution:.1f} px" in found.sentence


def test_same_images_have_all_detail_and_noise_has_none():
    noise = RNG.normal(size=(2, 128, 128))
    assert ring_correlation(noise[0], noise[0]).resolution == pytest.approx(2)
    assert ring_correlation(noise[0], noise[1]).resolution > 20
    assert pytest.approx(1 / 7) == THRESHOLD


def test_planes_are_pooled_and_sizes_may_differ():
    clean = band(0.2)
    stack = np.stack([clean + RNG.normal(0, 0.1 * clean.std(), clean.shape) for _ in range(6)])
    found = ring_correlation(stack[:3, :, :200], stack[3:, :, :200])
    assert found.resolution == pytest.approx(5, rel=0.1)
    assert len(found.frequency) == len(found.correlation) == len(found.smooth) == 101


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (3, 9), (40, 40)])
def test_empty_and_tiny_images(shape):
    found = ring_correlation(np.zeros(shape), np.zeros(shape))
    assert np.isfinite(found.correlation).all()
    with pytest.raises(ValueError, match="one shape"):
        ring_correlation(np.zeros(shape), np.zeros((5, 7)))
