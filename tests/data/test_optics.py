"""Optics: widths, sums and noise against what they must be."""

from __future__ import annotations

import numpy as np
import pytest

from napari_dojo.data.optics import Camera, bin_pixels, blur, psf_sigma
from napari_dojo.errors import DojoError


def width(image: np.ndarray, axis: int) -> float:
    """Standard deviation of the light along one axis."""
    line = image.sum(axis=tuple(a for a in range(image.ndim) if a != axis), dtype=float)
    at = np.arange(len(line))
    mean = (line * at).sum() / line.sum()
    return float(np.sqrt((line * (at - mean) ** 2).sum() / line.sum()))


def test_psf_in_2d_and_3d() -> None:
    assert psf_sigma(1.4, 0.5, (0.1, 0.05)) == pytest.approx((0.75, 1.5))  # 0.21 wavelength / na = 0.075 um
    z, y, x = psf_sigma(1.2, 0.5, (0.3, 0.1, 0.1), 1.33)
    assert y == x == pytest.approx(0.2251 * 0.5 / 1.2 / 0.1, rel=1e-3)
    assert z == pytest.approx(0.7797 * 1.33 * 0.5 / 1.2**2 / 0.3, rel=1e-3)


@pytest.mark.parametrize("wrong", [(0.0, 0.5, (1, 1)), (1.0, -1, (1, 1)), (1.0, 0.5, (1,)), (1.0, 0.5, (1, 0))])
def test_psf_refuses(wrong: tuple) -> None:
    with pytest.raises(DojoError, match="positive aperture"):
        psf_sigma(*wrong)


@pytest.mark.parametrize("shape", [(41, 43), (31, 41, 43)])
def test_blur_has_the_width_and_keeps_the_light(shape: tuple[int, ...]) -> None:
    point = np.zeros(shape)
    point[tuple(n // 2 for n in shape)] = 1000
    sigma = (1.5, 2.0, 3.0)[: len(shape)]
    out = blur(point, sigma)
    assert out.dtype == np.float32
    assert out.sum() == pytest.approx(1000, rel=1e-5)
    for axis, s in enumerate(sigma):
        assert width(out, axis) == pytest.approx(s, rel=0.02)


def test_blur_leaves_channels_alone_and_keeps_light_at_the_border() -> None:
    image = np.zeros((2, 20, 20))
    image[1, 0, 0] = 1
    out = blur(image, (2.0, 2.0))
    assert not out[0].any()
    assert out[1].sum() == pytest.approx(1, rel=1e-5)
    assert np.array_equal(blur(image[1], 2.0), out[1])


def test_binning_is_exact() -> None:
    image = np.arange(24, dtype=np.uint16).reshape(4, 6)
    assert np.array_equal(bin_pixels(image, 2), [[14, 22, 30], [62, 70, 78]])
    assert np.array_equal(bin_pixels(image, (2, 3), "mean"), [[4, 7], [16, 19]])
    bright = np.full((4, 4), 65535, np.uint16)
    assert np.array_equal(bin_pixels(bright, 4), [[65535 * 16]])
    volume = np.arange(2 * 2 * 4 * 4.0).reshape(2, 2, 4, 4)
    expected = [[v[:, i : i + 2, j : j + 2].sum() for i in (0, 2) for j in (0, 2)] for v in volume]
    assert np.array_equal(bin_pixels(volume, (2, 2, 2)).reshape(2, 4), expected)
    assert np.array_equal(bin_pixels(volume, 1), volume)


def test_binning_refuses() -> None:
    with pytest.raises(DojoError, match="multiple of the factor"):
        bin_pixels(np.zeros((5, 4)), 2)
    with pytest.raises(DojoError, match="sum"):
        bin_pixels(np.zeros((4, 4)), 2, "median")


@pytest.mark.parametrize("photons", [0.0, 4.0, 400.0])
def test_camera_noise_is_what_it_says(photons: float) -> None:
    camera = Camera(gain=2.5, offset=200, read_noise=3.0)
    counts = camera.expose(np.full((400, 400), photons), np.random.default_rng(0)).astype(float)
    assert counts.mean() == pytest.approx(200 + 2.5 * photons, abs=0.25)
    assert counts.mean() == pytest.approx(float(camera.expected(photons)), abs=0.25)
    assert counts.var() == pytest.approx(2.5**2 * (photons + 9) + 1 / 12, rel=0.02)
    assert counts.var() == pytest.approx(float(camera.variance(photons)), rel=0.02)


def test_camera_clips_and_repeats() -> None:
    light = np.array([0.0, 1e6])
    counts = Camera(offset=-50).expose(light, np.random.default_rng(0))
    assert counts.dtype == np.uint16
    assert counts.tolist() == [0, 65535]
    assert Camera(bits=12).expose(light, np.random.default_rng(0))[1] == 4095
    a, b = (Camera().expose(np.full((9, 9), 50.0), np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(a, b)
    with pytest.raises(DojoError, match="positive gain"):
        Camera(gain=0)
