from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from napari_dojo.data.resample import cubic, on_grid_of, resize, resize_labels
from napari_dojo.io.images import read
from napari_dojo.metrics.images import psnr


@pytest.mark.parametrize("shape", [(2, 12, 15), (1, 6, 12, 15)])
def test_the_same_size_is_the_same_array(shape):
    x = np.random.default_rng(0).random(shape).astype(np.float32)
    np.testing.assert_array_equal(resize(x, shape[1:]), x)


@pytest.mark.parametrize("size", [(24, 20), (6, 7), (12, 30)])
def test_a_constant_stays(size):
    x = np.full((2, 12, 15), 3.5, np.float32)
    y = resize(x, size)
    assert y.dtype == np.float32
    assert y.shape == (2, *size)
    np.testing.assert_allclose(y, 3.5, rtol=1e-6)


def test_a_ramp_stays_a_ramp_with_its_edges_in_place():
    x = np.tile(np.arange(16, dtype=np.float32) + 0.5, (1, 8, 1))  # value = place of the pixel's centre
    y = resize(x, (8, 32))
    np.testing.assert_allclose(y[0, 0, 1:-1], (np.arange(32)[1:-1] + 0.5) / 2, atol=1e-5)
    y = resize(x, (4, 8))
    np.testing.assert_allclose(y[0, 0, 2:-2], (np.arange(8)[2:-2] + 0.5) * 2, atol=1e-4)


def test_fine_patterns_become_grey_when_smaller():
    x = (np.indices((32, 32)).sum(0) % 2).astype(np.float32)[None]
    assert np.abs(resize(x, (11, 11)) - 0.5).max() < 0.2


def test_values_are_not_stretched():
    x = np.random.default_rng(0).normal(1000, 10, (1, 20, 20)).astype(np.float32)
    assert abs(resize(x, (33, 33)).mean() - 1000) < 2


def test_labels_take_the_nearest():
    y = np.array([[1, 2], [3, 2**30]], np.int32)
    np.testing.assert_array_equal(resize_labels(y, (4, 4)), np.kron(y, np.ones((2, 2), int)))
    np.testing.assert_array_equal(resize_labels(np.kron(y, np.ones((3, 3), int)), (2, 2)), y)
    odd = resize_labels(y, (3, 5))
    assert set(np.unique(odd)) <= set(np.unique(y))
    np.testing.assert_array_equal(resize_labels(y, (2, 2)), y)


@pytest.mark.parametrize("factor", [2, 3, 4, 0.5, 0.25])
def test_cubic_keeps_constants_ramps_and_edges(factor):
    x = np.tile(np.arange(48, dtype=np.float32), (1, 12, 1))
    y = cubic(x, (1, factor))
    assert y.shape == (1, 12, 48 * factor)
    assert y.dtype == np.float32
    places = (np.arange(y.shape[2]) + 0.5) / factor - 0.5
    inner = (places > 8) & (places < 40)
    np.testing.assert_allclose(y[0, 0, inner], places[inner], atol=1e-3)
    np.testing.assert_allclose(cubic(np.full((2, 12, 12), 7.0), (factor, factor)), 7, rtol=1e-5)


@pytest.mark.parametrize("factor", [2, 0.4])
def test_cubic_along_an_axis_is_the_same_in_runs(factor, monkeypatch):
    x = np.random.default_rng(0).random((2, 6, 700)).astype(np.float32)
    whole = cubic(x, (1, factor))
    monkeypatch.setattr("napari_dojo.data.resample.RUN", 64)
    np.testing.assert_allclose(cubic(x, (1, factor)), whole, rtol=1e-5, atol=1e-6)


def test_the_memory_of_cubic_does_not_grow_with_the_square():
    tracemalloc.start()
    assert cubic(np.ones((1, 2, 30_000), np.float32), (1, 2)).shape == (1, 2, 60_000)
    assert tracemalloc.get_traced_memory()[1] < 2e8  # bytes; a matrix of the axis has 7.2e9
    tracemalloc.stop()


def test_cubic_is_keys_kernel():
    x = np.zeros((1, 1, 9), np.float32)
    x[0, 0, 4] = 1
    # new pixels at -+ .25 and -+ .75 of an old one: 1.5 t^3 - 2.5 t^2 + 1
    near, far = 1.5 * 0.25**3 - 2.5 * 0.25**2 + 1, 1.5 * 0.75**3 - 2.5 * 0.75**2 + 1
    np.testing.assert_allclose(cubic(x, (1, 2))[0, 0, 7:11], [far, near, near, far], atol=1e-6)


@pytest.mark.needs_shared_data
def test_cubic_gives_the_published_figure_of_bicubic(shared_data):
    found = []
    for path in sorted((shared_data / "sr_set5_set14" / "set5" / "high").iterdir()):
        high, low = (
            np.asarray(read(shared_data / "sr_set5_set14" / "set5" / part / path.name).data, np.float32)
            for part in ("high", "low_x2")
        )
        weights = np.array([65.481, 128.553, 24.966]) / 255
        high, low = (16 + (a @ weights if a.ndim == 3 else a) for a in (high, low))
        made = np.clip(np.rint(cubic(low[None], (2, 2))[0]), 0, 255)
        found.append(psnr(high[2:-2, 2:-2], made[2:-2, 2:-2], 255))
    assert np.mean(found) == pytest.approx(33.63, abs=0.05)


def test_a_region_lies_on_the_finer_grid_of_a_target() -> None:
    region = np.array([[True, False], [False, True]])
    fine = on_grid_of(np.zeros((1, 4, 2)), region)
    np.testing.assert_array_equal(fine, [[1, 0], [1, 0], [0, 1], [0, 1]])
    assert on_grid_of(np.zeros((4, 2)), None) is None
