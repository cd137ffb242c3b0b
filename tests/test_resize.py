from __future__ import annotations

import numpy as np
import pytest

from napari_dojo.resize import resize, resize_labels


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
