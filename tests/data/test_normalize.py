from __future__ import annotations

import dask.array as da
import numpy as np
import pytest

from napari_dojo.data.normalize import SAMPLED, Normalization, Rule


def image(shape=(2, 40, 50)):
    return np.random.default_rng(0).gamma(2.0, 300.0, shape)


def test_the_percentiles_become_0_and_1_in_each_channel():
    x = image() * np.reshape([1, 50], (2, 1, 1))
    y = Rule(5, 95).measure(x).apply(x)
    assert y.dtype == np.float32
    np.testing.assert_allclose(np.percentile(y, [5, 95], axis=(1, 2)), [[0, 0], [1, 1]], atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gain_and_offset_of_the_camera_do_not_matter(dtype):
    x = image().astype(dtype)
    other = (x * 0.25 + 200).astype(dtype)
    np.testing.assert_allclose(Rule().measure(x).apply(x), Rule().measure(other).apply(other), atol=1e-5)


def test_a_crop_is_normalised_as_the_whole_is():
    x = image()
    n = Rule().measure(x)
    np.testing.assert_array_equal(n.apply(x[:, 5:9, 7:20]), n.apply(x)[:, 5:9, 7:20])


def test_invert_gives_the_units_back():
    x = image().astype(np.float32)
    n = Rule().measure(x)
    np.testing.assert_allclose(n.invert(n.apply(x)), x, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, np.uint16, np.uint32, np.int64, np.float16, np.float32])
def test_every_dtype(dtype):
    x = (image((1, 20, 20)) / 40).astype(dtype)
    wide = x.astype(np.float64)
    n = Rule().measure(x)
    np.testing.assert_allclose(n.apply(x), (wide - n.offset[0]) / n.scale[0], rtol=1e-3, atol=1e-5)


def test_large_integers_keep_their_differences():
    x = np.array([[[0, 1], [2, 3]]], np.int64) + 2**40
    np.testing.assert_allclose(Normalization((float(2**40),), (1.0,)).apply(x), [[[0, 1], [2, 3]]])


def test_dask_is_measured_as_numpy_is():
    x = image()
    assert Rule().measure(da.from_array(x)) == Rule().measure(x)


@pytest.mark.parametrize("value", [0, 7, 65535])
def test_a_constant_image_becomes_0(value):
    x = np.full((1, 8, 8), value, np.uint16)
    n = Rule().measure(x)
    assert n.scale == (1.0,)
    assert not n.apply(x).any()


def test_few_bright_pixels_on_a_constant_ground_stay_visible():
    x = np.zeros((1, 100, 100))
    x[0, 3, 3] = 9.0
    n = Rule().measure(x)
    assert (n.offset, n.scale) == ((0.0,), (9.0,))


def test_an_empty_image():
    x = np.zeros((2, 0, 5), np.float32)
    n = Rule().measure(x)
    assert n == Normalization((0.0, 0.0), (1.0, 1.0))
    assert n.apply(x).shape == x.shape


def test_nan_and_infinity_are_left_out_and_filled():
    x = image((1, 30, 30))
    clean = Rule().measure(x)
    y = x.copy()
    y[0, :2, :2] = [[np.nan, np.inf], [-np.inf, np.nan]]
    n = Rule().measure(y)
    assert n.offset == pytest.approx(clean.offset, rel=0.05)
    assert n.scale == pytest.approx(clean.scale, rel=0.05)
    z = n.apply(y)
    rest = np.delete(z.ravel(), [0, 1, 30, 31])
    np.testing.assert_allclose(z[0, :2, :2], [[0, rest.max()], [rest.min(), 0]])


def test_nothing_but_nan_becomes_0():
    x = np.full((1, 4, 4), np.nan, np.float32)
    assert Rule().measure(x) == Normalization((0.0,), (1.0,))
    assert not Rule().measure(x).apply(x).any()


def test_a_large_image_is_looked_at_with_a_stride():
    class Counting:
        shape = (1, 3000, 3000)

        def __getitem__(self, key):
            return np.broadcast_to(np.float32(1), self.shape)[key]

    looked = Counting()
    assert Rule().measure(looked) == Normalization((1.0,), (1.0,))
    _, *steps = [slice(None), *[slice(None, None, 2)] * 2]
    assert looked[(0, *steps)].size <= SAMPLED
