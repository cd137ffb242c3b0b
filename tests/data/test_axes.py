from __future__ import annotations

import dask.array as da
import numpy as np
import pytest

from napari_dojo.data.axes import Axes
from napari_dojo.errors import DojoError


@pytest.mark.parametrize(
    ("names", "spatial", "shape", "index", "wanted"),
    [
        ("YX", "YX", (4, 5), 0, lambda a: a[None]),
        ("CYX", "YX", (2, 4, 5), 0, lambda a: a),
        ("YXC", "YX", (4, 5, 3), 0, lambda a: np.moveaxis(a, -1, 0)),
        ("TYX", "YX", (3, 4, 5), 2, lambda a: a[2][None]),
        ("ZYX", "ZYX", (3, 4, 5), 0, lambda a: a[None]),
        ("ZYX", "YX", (3, 4, 5), 1, lambda a: a[1][None]),
        ("TZCYX", "ZYX", (2, 3, 4, 5, 6), 1, lambda a: np.moveaxis(a[1], 1, 0)),
        ("TZCYX", "YX", (2, 3, 4, 5, 6), 4, lambda a: a[1, 1]),
        ("CTXY", "YX", (2, 3, 4, 5), 1, lambda a: np.swapaxes(a[:, 1], 1, 2)),
    ],
)
def test_sample_gives_channels_then_space(names, spatial, shape, index, wanted):
    array = np.arange(np.prod(shape)).reshape(shape)
    axes = Axes(names, spatial)
    found = axes.sample(array, index)
    np.testing.assert_array_equal(found, wanted(array))
    assert found.shape[1:] == axes.size(shape)
    assert found.shape[0] == axes.channels(shape)
    assert np.shares_memory(found, array)
    lazy = axes.sample(da.from_array(array), index)
    assert isinstance(lazy, da.Array)
    np.testing.assert_array_equal(lazy.compute(), wanted(array))


def test_samples_cover_the_array_once():
    array = np.arange(2 * 3 * 2 * 4 * 5).reshape(2, 3, 2, 4, 5)
    axes = Axes("TZCYX", "YX")
    assert axes.count(array.shape) == 6
    seen = np.concatenate([axes.sample(array, i).ravel() for i in range(6)])
    np.testing.assert_array_equal(np.sort(seen), array.ravel())


def test_writing_into_a_sample_writes_into_the_array():
    axes, shape = Axes("TCYX").result((2, 3, 4, 5))
    assert axes.names == "TYX"
    assert shape == (2, 4, 5)
    out = np.zeros(shape)
    axes.sample(out, 1)[0] = 7
    assert out[0].max() == 0
    assert out[1].min() == 7


@pytest.mark.parametrize(
    ("names", "spatial", "shape", "channels", "scale", "wanted"),
    [
        ("CYX", "YX", (2, 4, 5), None, (), ("YX", (4, 5))),
        ("CYX", "YX", (2, 4, 5), 1, (), ("CYX", (1, 4, 5))),
        ("YX", "YX", (4, 5), 1, (), ("YX", (4, 5))),
        ("YX", "YX", (4, 5), 3, (), ("CYX", (3, 4, 5))),
        ("TYX", "YX", (6, 4, 5), 3, (2, 2), ("TCYX", (6, 3, 8, 10))),
        ("TZYX", "ZYX", (6, 3, 4, 5), 2, (1, 2, 2), ("TCZYX", (6, 2, 3, 8, 10))),
        ("YXC", "YX", (4, 5, 3), 7, (), ("YXC", (4, 5, 7))),
    ],
)
def test_result(names, spatial, shape, channels, scale, wanted):
    axes, size = Axes(names, spatial).result(shape, channels, scale)
    assert (axes.names, size) == wanted


def test_axes_of_labels_lack_channels():
    assert Axes("TCYX").without_channels() == Axes("TYX")


@pytest.mark.parametrize(
    ("shape", "names", "more", "wanted"),
    [
        ((4, 5), None, {}, Axes("YX")),
        ((4, 5, 3), None, {"rgb": True}, Axes("YXC")),
        ((7, 4, 5, 3), "TYX", {"rgb": True}, Axes("TYXC")),
        ((3, 4, 5), "zyx", {}, Axes("ZYX", "ZYX")),
        ((3, 4, 5), "ZYX", {"volumes": False}, Axes("ZYX", "YX")),
        ((4, 5, 3), "YXS", {}, Axes("YXC")),
    ],
)
def test_resolve(shape, names, more, wanted):
    assert Axes.resolve(shape, names, **more) == wanted


@pytest.mark.parametrize(
    ("shape", "candidate"), [((3, 4, 5), "ZYX, TYX"), ((2, 3, 4, 5), "TZYX"), ((2, 2, 3, 4, 5), "TZCYX")]
)
def test_what_cannot_be_told_is_asked_with_the_candidates(shape, candidate):
    with pytest.raises(DojoError, match=candidate):
        Axes.resolve(shape)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Axes("YY"), "each at most once"),
        (lambda: Axes("ZY"), "Y and X among them"),
        (lambda: Axes("QYX"), "letters of TZCYX"),
        (lambda: Axes("YX", "ZYX"), "Volumes are needed"),
        (lambda: Axes("YX", "XY"), "works in YX or ZYX"),
        (lambda: Axes.resolve((3, 4, 5), "YX"), "name 2 dimensions, but the image has 3: 3 x 4 x 5"),
        (lambda: Axes.resolve((5,)), "at least two dimensions"),
    ],
)
def test_what_does_not_fit_is_refused(make, says):
    with pytest.raises(DojoError, match=says):
        make()


def test_context_frames_are_channels():
    x = np.arange(5 * 2 * 3 * 4).reshape(5, 2, 3, 4)
    axes = Axes("TCYX").with_context(1)
    assert (axes.along, axes.context) == ("T", 1)
    assert axes.channels(x.shape) == 6
    assert axes.own_channels(x.shape) == 2
    np.testing.assert_array_equal(axes.sample(x, 2), np.concatenate([x[1], x[2], x[3]]))
    np.testing.assert_array_equal(axes.sample(x, 0), np.concatenate([x[0], x[0], x[1]]))  # the first is its own
    np.testing.assert_array_equal(axes.sample(x, 4), np.concatenate([x[3], x[4], x[4]]))


def test_neighbours_in_z_where_planes_are_worked_on_one_by_one():
    x = np.arange(4 * 3 * 5).reshape(4, 3, 5)
    axes = Axes("ZYX", "YX").with_context(2)
    assert axes.along == "Z"
    np.testing.assert_array_equal(axes.sample(x, 1), x[[0, 0, 1, 2, 3]])
    alone = Axes("YX").with_context(1)  # a single image is its own neighbour
    np.testing.assert_array_equal(alone.sample(x[0], 0), np.stack([x[0]] * 3))


def test_an_upsampled_result_has_longer_axes():
    axes, shape = Axes("TYX").result((3, 10, 12), None, (2, 4))
    assert (axes.names, shape) == ("TYX", (3, 20, 48))
