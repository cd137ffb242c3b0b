"""Crops around objects: what lies where, at borders, of one pixel, in volumes, many at once."""

from __future__ import annotations

import numpy as np
import pytest

from napari_dojo.data.axes import Axes
from napari_dojo.data.objects import boxes_of, crops_of, outlined, painted
from napari_dojo.errors import DojoError


def test_boxes_in_the_order_of_their_numbers() -> None:
    y = np.zeros((8, 9), np.int32)
    y[1:3, 2:6], y[5, 7] = 7, 3
    numbers, first, last = boxes_of(y)
    assert numbers.tolist() == [3, 7]
    assert first.tolist() == [[5, 7], [1, 2]]
    assert last.tolist() == [[6, 8], [3, 6]]
    far = np.where(y == 7, 2_000_000_000, y)
    assert boxes_of(far)[0].tolist() == [3, 2_000_000_000]
    assert boxes_of(far)[1].tolist() == [[5, 7], [1, 2]]
    largest = np.where(y > 0, y.astype(np.uint64), 0)
    largest[largest == largest.max()] = 2**64 - 1
    assert boxes_of(largest)[0].tolist() == [*numbers.tolist()[:-1], 2**64 - 1]
    assert len(boxes_of(np.zeros((4, 4), int))[0]) == 0


def test_a_crop_of_the_object_s_own_size_holds_its_pixels() -> None:
    rng = np.random.default_rng(0)
    x = rng.random((2, 20, 24)).astype(np.float32)
    y = np.zeros((20, 24), np.uint8)
    y[4:12, 6:14] = 1
    (crop,) = crops_of(x, y, [1], 8, context=0.0)
    np.testing.assert_allclose(crop, x[:, 4:12, 6:14], atol=1e-6)
    (wide,) = crops_of(x, y, [1], 12, context=0.25)
    np.testing.assert_allclose(wide, x[:, 2:14, 4:16], atol=1e-6)
    (half,) = crops_of(x, y, [1], 4, context=0.0)
    np.testing.assert_allclose(half, x[:, 4:12, 6:14].reshape(2, 4, 2, 4, 2).mean((2, 4)), atol=1e-6)
    (fixed,) = crops_of(x, y, [1], 12, side=12)
    np.testing.assert_allclose(fixed, wide)


def test_beyond_the_border_the_image_is_mirrored() -> None:
    x = np.arange(64, dtype=np.float32).reshape(1, 8, 8)
    y = np.zeros((8, 8), int)
    y[0:2, 0:2] = 1
    (crop,) = crops_of(x, y, [1], 6, side=6)
    np.testing.assert_allclose(crop, np.pad(x, [(0, 0), (2, 0), (2, 0)], mode="symmetric")[:, :6, :6])


def test_an_object_of_one_pixel_and_the_order_of_numbers() -> None:
    x = np.zeros((1, 9, 9), np.uint16)
    y = np.zeros((9, 9), int)
    x[0, 4, 4], y[4, 4], y[8, 8] = 1000, 2, 5
    crops = crops_of(x, y, [5, 2, 5], 4)
    assert crops.shape == (3, 1, 4, 4)
    np.testing.assert_array_equal(crops[0], crops[2])
    assert crops[1].max() > 0
    assert crops[0].max() == 0
    with pytest.raises(DojoError, match="Object 3"):
        crops_of(x, y, [2, 3], 4)
    assert crops_of(x, y, [], 4).shape == (0, 1, 4, 4)
    with pytest.raises(DojoError, match="differ in size"):
        crops_of(x[:, :5], y, [2], 4)


def test_a_volume() -> None:
    x = np.random.default_rng(0).random((1, 6, 20, 20)).astype(np.float32)
    y = np.zeros((6, 20, 20), int)
    y[1:5, 4:12, 6:14] = 1
    (crop,) = crops_of(x, y, [1], 8, context=0.0)
    assert crop.shape == (1, 8, 8, 8)
    np.testing.assert_allclose(crop.mean(), x[:, 1:5, 4:12, 6:14].mean(), atol=0.02)


def test_many_at_once_are_as_one_by_one() -> None:
    rng = np.random.default_rng(0)
    y = np.kron(np.arange(1, 401).reshape(20, 20), np.ones((6, 6), int))
    y[rng.random(y.shape) < 0.2] = 0
    x = rng.random((3, *y.shape))
    numbers = rng.permutation(np.arange(1, 401))
    crops = crops_of(x, y, numbers, 10)
    for i in (0, 17, 399):
        np.testing.assert_allclose(crops[i], crops_of(x, y, numbers[i : i + 1], 10)[0], atol=1e-6)


def test_outlines_are_two_pixels_wide_in_each_plane() -> None:
    y = np.zeros((2, 9, 14), np.int32)
    y[0, 1:8, 1:7], y[0, 1:8, 7:13] = 5, 9  # they touch
    y[1, :, 3:] = 4
    found = outlined(y)
    assert found.dtype == y.dtype
    assert found[0, 4].tolist() == [0, 5, 5, 0, 0, 5, 5, 9, 9, 0, 0, 9, 9, 0]
    assert found[0, 2].tolist() == y[0, 2].tolist(), "the second row from the edge"
    assert found[1, 4].tolist() == [0, 0, 0, 4, 4, *[0] * 9], (
        "neither the plane above nor the edge of the image is another value"
    )


def test_values_of_objects_at_their_pixels_do_not_wrap() -> None:
    y = np.array([[0, 2, 2, 7], [0, 0, 9, 7]])
    objects = np.array([[0, 2], [0, 7], [0, 9]])
    for values, dtype in (([1, 255, 3], np.uint8), ([1, 256, 3], np.uint16), ([1, 70_000, 3], np.uint32)):
        out = painted(y, Axes("YX", "YX"), objects, np.array(values, np.int32))
        assert out.dtype == dtype
        assert out.tolist() == [[0, values[0], values[0], values[1]], [0, 0, values[2], values[1]]]
    far = np.where(y == 9, 2_000_000_000, y)
    assert (
        painted(far, Axes("YX", "YX"), np.array([[0, 2], [0, 7], [0, 2_000_000_000]]), np.array([1, 2, 300])).max()
        == 300
    )
    assert painted(y * 0, Axes("YX", "YX"), np.zeros((0, 2), int), np.zeros(0, int)).dtype == np.uint8
