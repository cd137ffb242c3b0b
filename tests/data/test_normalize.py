from __future__ import annotations

import dask.array as da
import numpy as np
import pytest

from napari_dojo.data.normalize import SAMPLED, Normalization, Rule, dim_frames


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


def field(objects, size=256, ground=100.0, height=400.0, noise=10.0, seed=0):
    """Discs of 18 px on camera noise, (1, Y, X)."""
    rng = np.random.default_rng(seed)
    x = rng.normal(ground, noise, (size, size))
    yy, xx = np.ogrid[:size, :size]
    for k in range(objects):
        y, c = divmod(k, size // 32)
        x[(yy - 32 * y - 16) ** 2 + (xx - 32 * c - 16) ** 2 < 81] += height
    return np.clip(x, 0, 65535).astype(np.uint16)[None]


def same(a, b, rel=0.05):
    assert a.offset == pytest.approx(b.offset, abs=rel * b.scale[0])
    assert a.scale == pytest.approx(b.scale, rel=rel)


@pytest.mark.parametrize("value", [0, 65535])
@pytest.mark.parametrize("width", [1, 3, 40])
def test_a_border_does_not_move_the_numbers(width, value):
    x = field(40, ground=2000)
    clean = Rule().measure(x)
    x[:, :width] = x[:, :, -width:] = value
    same(Rule().measure(x), clean)


def test_missing_tiles_and_nan_do_not_move_the_numbers():
    x = field(40, ground=2000)
    clean = Rule().measure(x)
    x[:, 64:128, 64:128] = 0
    same(Rule().measure(x), clean)
    f = field(40, ground=2000).astype(np.float32)
    f[:, :, :50] = np.nan
    same(Rule().measure(f), clean)


def test_blank_frames_of_a_series_do_not_count():
    frames = [field(40, ground=2000, seed=k) for k in range(4)]
    clean = Rule().measure_series(frames)
    for value in (0, 65535):
        same(Rule().measure_series([*frames, *[np.full_like(frames[0], value)] * 6]), clean, 0.01)


def test_a_border_that_drifts_does_not_count():
    frames = [field(40, ground=2000, seed=k) for k in range(4)]
    clean = Rule().measure_series(frames)
    for k, x in enumerate(frames):
        x[:, : 5 * k] = 0
    same(Rule().measure_series(frames), clean)


@pytest.mark.parametrize("objects", [1, 3, 6])
def test_few_objects_in_an_empty_field_are_the_top(objects):
    n = Rule().measure(field(objects, 512, height=4000))
    assert n.scale[0] == pytest.approx(4000, rel=0.05)


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
@pytest.mark.parametrize("objects", [1, 3, 6])
def test_few_dark_objects_on_a_bright_ground_are_the_bottom(objects, dtype):
    bright = field(objects, 512, height=4000)
    n = Rule().measure((8000 - bright.astype(np.int32)).astype(dtype))
    upright = Rule(0.2, 99).measure(bright)
    assert n.offset[0] == pytest.approx(8000 - upright.offset[0] - upright.scale[0], abs=1)
    assert n.scale[0] == pytest.approx(4000, rel=0.05)


def test_few_objects_after_a_border_and_in_floats():
    x = field(3, 512, height=4000)
    x[:, -30:] = 0
    assert Rule().measure(x).scale[0] == pytest.approx(4000, rel=0.05)
    assert Rule().measure((x / 65535).astype(np.float32)).scale[0] == pytest.approx(4000 / 65535, rel=0.05)


def test_noise_alone_is_not_taken_for_objects():
    n = Rule().measure(field(0, 512))
    assert n.scale[0] == pytest.approx(10 * (2.326 + 2.878), rel=0.05)


@pytest.mark.parametrize("objects", [0, 3, 40])
@pytest.mark.parametrize("hot", [5, 60, 600])
def test_hot_pixels_do_not_move_the_numbers(objects, hot):
    x = field(objects)
    clean = Rule().measure(x)
    x.flat[np.random.default_rng(3).choice(x.size, hot, replace=False)] = 65535
    same(Rule().measure(x), clean, 0.08)


def test_an_ordinary_image_has_its_percentiles():
    x = field(40)
    assert Rule().measure(x) == Rule().percentiles(x)


def test_a_series_is_measured_as_one_image():
    frames = [field(20, seed=k) for k in range(3)]
    assert Rule().measure_series(frames) == Rule().percentiles(np.concatenate(frames, 1))


def test_a_long_series_is_looked_at_with_a_stride():
    frames = [field(20, seed=k % 7) for k in range(130)]
    same(Rule().measure_series(frames), Rule().measure_series(frames[:7]), 0.01)


def test_a_clean_image_has_neither_padding_nor_hot_pixels():
    x = field(40)
    x[0, 200, 100] = x[0, 20, 20] = 65535
    x[0, :10] = 0
    n = Rule().measure(x)
    out, where = n.clean(x)
    assert where is not None
    assert where[0, :10].all()
    assert not where[0, 12:].any()
    assert abs(int(out[0, 200, 100]) - 100) < 30
    assert abs(int(out[0, 20, 20]) - 500) < 30
    assert abs(int(out[0, 0, 0]) - 100) < 15
    rest = ~where
    rest[0, 200, 100] = rest[0, 20, 20] = False
    np.testing.assert_array_equal(out[rest], x[rest])


def test_an_ordinary_image_is_clean():
    x = field(40)
    out, where = Rule().measure(x).clean(x)
    assert out is x
    assert where is None


def test_frames_that_differ_in_brightness_are_reported():
    frames = [field(20, height=2000 * level, noise=5) for level in (1, 0.3, 0.03)]
    assert "Frames differ" in dim_frames(frames)
    assert not dim_frames([field(20), np.zeros((1, 256, 256), np.uint16), field(20, seed=1)])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("n", [1, 2, 7, 1000])
def test_percentiles_by_counting_are_those_of_numpy(dtype, n):
    x = np.random.default_rng(n).integers(0, np.iinfo(dtype).max + 1, (1, 1, n)).astype(dtype)
    found = Rule(3, 97.5).percentiles(x)
    low, high = np.percentile(x.astype(float), [3, 97.5])
    assert found.offset[0] == pytest.approx(low)
    assert found.scale[0] == pytest.approx(high - low if high > low else 1.0)
