"""Images on the disk as layers: what is drawn never waits, everybody else gets the pixels."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import zarr

from napari_dojo.widgets.common.lazy import LazyImage, stored


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 60000, (3, 100, 90)).astype(np.uint16)


@pytest.fixture
def lazy(qtbot, tmp_path, image):
    array = zarr.create_array(str(tmp_path / "a.zarr"), shape=image.shape, chunks=(1, 32, 32), dtype=image.dtype)
    array[...] = image
    return LazyImage([array, zarr.array(image[:, ::2, ::2])])


def test_parts_are_those_of_the_array(lazy, image):
    level = lazy.levels[0]
    assert (level.shape, level.ndim, level.dtype, level.size) == ((3, 100, 90), 3, image.dtype, image.size)
    assert level[1].shape == (100, 90)
    assert level[..., 5:].shape == (3, 100, 85)
    for key in (
        1,
        (1, slice(10, 40)),
        (slice(None), slice(5, 95), slice(20, 200)),
        (..., -1),
        (0, 3, 4),
        (slice(0, 3, 2), 1),
    ):
        np.testing.assert_array_equal(np.asarray(level[key]), image[key])
    np.testing.assert_array_equal(np.asarray(level[:, 10:50][2, 5:7]), image[:, 10:50][2, 5:7])
    with pytest.raises(IndexError):
        level[3]


def test_a_channel_is_an_image(lazy, image):
    one = LazyImage(lazy.arrays, (0, 2))
    assert one.levels[0].shape == (100, 90)
    np.testing.assert_array_equal(np.asarray(one.levels[0]), image[2])
    np.testing.assert_array_equal(stored(one.levels[0]).compute(), image[2])


def test_what_is_drawn_comes_when_it_is_read(qtbot, lazy, image, monkeypatch):
    monkeypatch.setattr("napari_dojo.widgets.common.lazy.DRAWS", __name__)
    part, drawn = lazy.levels[0][1, 10:60, 5:80], []
    lazy.draw(lambda: drawn.append(np.asarray(part)))
    assert not np.asarray(part).any()
    qtbot.waitUntil(lambda: bool(drawn) and np.array_equal(drawn[-1], image[1, 10:60, 5:80]))
    lazy.arrays[0][1, 20:30] = 7
    assert (np.asarray(part)[10:20] == image[1, 20:30, 5:80]).all()
    lazy.look_again()
    np.testing.assert_array_equal(np.asarray(part), image[1, 10:60, 5:80])  # until it is read again
    qtbot.waitUntil(lambda: (np.asarray(part)[10:20] == 7).all())


def test_memory_is_bounded(qtbot, lazy, monkeypatch):
    monkeypatch.setattr("napari_dojo.widgets.common.lazy.DRAWS", __name__)
    monkeypatch.setattr("napari_dojo.widgets.common.lazy.MEMORY", 5000)
    np.asarray(lazy.levels[0])
    qtbot.waitUntil(lambda: not lazy.busy)
    assert sum(tile.nbytes for tile in lazy._tiles.values()) <= 5000


def test_data_of_layers_as_arrays(lazy, image):
    np.testing.assert_array_equal(stored(lazy.levels[0]).compute(), image)
    assert isinstance(stored(lazy.arrays[0]), da.Array)
    assert stored(image) is image


@pytest.mark.window
def test_napari_draws_it(qtbot, viewer, lazy, image):
    (layer,) = [viewer.add_image(lazy.levels, multiscale=True, contrast_limits=(0, 60000))]
    lazy.draw(layer.refresh)
    viewer.dims.set_point(0, 1)
    shown = image[1] if layer.data_level == 0 else image[1, ::2, ::2]
    qtbot.waitUntil(lambda: np.array_equal(np.asarray(layer._slice.image.raw), shown))
