"""What is measured of objects."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage.draw import disk
from skimage.measure import regionprops_table

from napari_dojo.data.axes import Axes
from napari_dojo.objects.features import measure
from napari_dojo.simulation.cell_types import mixed_cells

FLAT, VOLUME = Axes("YX"), Axes("ZYX", "ZYX")


@pytest.fixture(scope="module")
def cells():
    return mixed_cells((256, 256), 0)


def column(objects, name):
    return objects.values[:, objects.names.index(name)]


def test_place_and_size_are_those_of_scikit_image(cells):
    objects = measure(cells.labels, cells.image[0], FLAT)
    found = regionprops_table(cells.labels, properties=("label", "area", "centroid", "bbox"))
    assert np.array_equal(objects.label, found["label"])
    assert np.array_equal(objects.size, found["area"])
    assert np.allclose(objects.centre, np.stack([found["centroid-0"], found["centroid-1"]], 1), atol=1e-3)
    assert np.array_equal(objects.start, np.stack([found["bbox-0"], found["bbox-1"]], 1))
    assert np.array_equal(objects.stop, np.stack([found["bbox-2"], found["bbox-3"]], 1))


def test_shape_agrees_with_scikit_image(cells):
    objects = measure(cells.labels, cells.image[0], FLAT)
    found = regionprops_table(cells.labels, properties=("area", "axis_major_length", "solidity", "perimeter_crofton"))
    large = found["area"] > 50
    assert np.allclose(
        2 * (np.exp(column(objects, "long axis")) - 0.5)[large], found["axis_major_length"][large], rtol=0.02
    )
    assert np.abs(column(objects, "solidity") - found["solidity"])[large].max() < 0.08
    length = 2 * np.sqrt(np.pi * found["area"]) / np.exp(column(objects, "roundness"))
    inside = large & (objects.start > 0).all(1) & (objects.stop < 256).all(1)
    assert np.allclose(length[inside], found["perimeter_crofton"][inside], rtol=0.08)


def test_a_disc_is_round_and_a_line_is_not():
    y = np.zeros((60, 90), int)
    y[disk((30, 30), 15)] = 1
    y[28:32, 50:85] = 2
    objects = measure(y, np.random.default_rng(0).random(y.shape), FLAT)
    assert column(objects, "elongation")[0] == pytest.approx(0, abs=0.01)
    assert column(objects, "elongation")[1] > 1.5
    assert column(objects, "roundness")[0] == pytest.approx(0, abs=0.05)
    assert column(objects, "roundness")[1] < -0.5
    assert column(objects, "thickness")[0] == pytest.approx(0.9, abs=0.1)  # by distances in steps, not by Euclid


def test_turned_and_brighter_objects_measure_the_same(cells):
    """A quarter turn changes nothing; a gain and an offset of the camera do not either."""
    one = measure(cells.labels, cells.image[0].astype(float), FLAT)
    two = measure(np.rot90(cells.labels), 3 * np.rot90(cells.image[0]).astype(float) + 50, FLAT)
    names = [k for k, name in enumerate(one.names) if "spot" not in name]
    assert np.allclose(one.values[:, names], two.values[:, names], atol=2e-2)


def test_texture_does_not_depend_on_contrast_and_tells_spots():
    y = np.zeros((40, 120), int)
    x = np.random.default_rng(1).normal(0, 0.02, y.shape)
    for k in range(3):
        y[8:32, 8 + 40 * k : 32 + 40 * k] = k + 1
    x[y > 0] += 1
    spots = ndimage.gaussian_filter(np.pad(np.eye(24)[::6].sum(0)[None] * np.eye(24)[:, ::6].sum(1)[:, None], 0), 1)
    x[8:32, 8:32] += spots
    x[8:32, 48:72] += 4 * spots
    objects = measure(y, x, FLAT)
    assert column(objects, "deviation")[1] > column(objects, "deviation")[0] + 1
    assert column(objects, "skewness")[:2].min() > column(objects, "skewness")[2] + 0.5
    assert column(objects, "coarser than 1 px")[1] > column(objects, "coarser than 1 px")[2] + 1


def test_stripes_have_a_direction():
    y = np.ones((48, 48), int)
    stripes = np.sin(np.arange(48) / 2)[:, None] * np.ones(48)
    checks = stripes * stripes.T
    assert column(measure(y, stripes, FLAT), "direction")[0] > 0.9
    assert column(measure(y, checks, FLAT), "direction")[0] < 0.1


def test_each_channel_is_measured_and_how_they_agree():
    y = np.zeros((30, 60), int)
    y[5:25, 5:25], y[5:25, 35:55] = 1, 2
    a = np.random.default_rng(2).random(y.shape)
    b = np.where(y == 1, a, 1 - a)
    objects = measure(y, np.stack([a, b]), Axes("CYX"))
    assert {"mean c0", "mean c1"} <= set(objects.names)
    assert column(objects, "correlation c0 c1") == pytest.approx([1, -1], abs=1e-4)


def test_frames_are_measured_one_by_one_and_volumes_as_a_whole(cells):
    y = np.stack([cells.labels, np.where(cells.labels == 1, 0, cells.labels)])
    x = np.stack([cells.image[0]] * 2)
    frames = measure(y, x, Axes("TYX"))
    n = cells.labels.max()
    assert np.array_equal(frames.sample, np.repeat([0, 1], [n, n - 1]))
    assert np.allclose(frames.values[1:n], frames.values[n:], atol=1e-5)
    assert frames.key(n) == (1, 2)
    assert frames.rows[1, 2] == n
    volume = measure(y, x, VOLUME)
    assert len(volume) == n
    assert volume.centre.shape == (n, 3)
    assert volume.stop[0].tolist()[0] == 1


@pytest.mark.parametrize(
    ("y", "n"),
    [
        (np.zeros((20, 20), int), 0),
        (np.ones((1, 1), int), 1),
        (np.pad([[3]], 5), 1),
        (np.arange(25).reshape(5, 5), 24),
        (np.ones((9, 9), int), 1),
        (np.where(np.eye(9) > 0, -2, 7), 1),
        (np.pad([[2**40]], 3), 1),
        (np.pad([[True]], 3), 1),
    ],
)
def test_odd_objects_have_finite_features(y, n):
    """None, one pixel, nothing but objects, negative and huge numbers, masks."""
    objects = measure(y, np.random.default_rng(0).random(y.shape), FLAT)
    assert len(objects) == n
    assert np.isfinite(objects.values).all()
    assert np.isfinite(measure(y, np.full(y.shape, 7.0), FLAT).values).all()
