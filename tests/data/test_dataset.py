from __future__ import annotations

import numpy as np
import pytest

from napari_dojo.data.axes import Axes
from napari_dojo.data.dataset import Dataset, Layout
from napari_dojo.data.kinds import IMAGE, as_labels
from napari_dojo.data.normalize import Rule
from napari_dojo.data.split import split_of
from napari_dojo.errors import DojoError


def test_frames_become_samples_that_share_their_group_and_their_intensities():
    x = np.random.default_rng(0).random((3, 8, 9))
    y = np.arange(3 * 8 * 9).reshape(3, 8, 9)
    found = Dataset.of([x], [y], Axes("TYX"), names=["movie"])
    assert [i.name for i in found.samples] == ["movie [0]", "movie [1]", "movie [2]"]
    assert {i.group for i in found.samples} == {"movie"}
    for k, item in enumerate(found.samples):
        np.testing.assert_array_equal(item.x, x[k][None])
        np.testing.assert_array_equal(item.y, y[k])
        assert item.normalization(Rule()) == Rule().measure(x[None])
        assert item.normalization(Rule(frames="each")) == Rule().measure(x[k][None])


def test_labels_lack_the_channels_of_the_image():
    x = np.random.default_rng(0).random((8, 9, 3))
    y = np.eye(8, 9, dtype=np.int32)
    found = Dataset.of([x], [y], Axes("YXC"))
    assert found.channels == 3
    np.testing.assert_array_equal(found.samples[0].x, np.moveaxis(x, -1, 0))
    np.testing.assert_array_equal(found.samples[0].y, y)


def test_target_images_may_be_larger():
    x = np.zeros((8, 9))
    y = np.arange(16 * 18.0).reshape(16, 18)
    np.testing.assert_array_equal(
        Dataset.of([x], [y], layout=Layout(IMAGE, upsampling={"Y": 2, "X": 2})).samples[0].y, y[None]
    )
    with pytest.raises(DojoError, match="its target is 16 x 18; it came as 8 x 9"):
        Dataset.of([x], [x], layout=Layout(IMAGE, upsampling={"Y": 2, "X": 2}))


def test_a_region_may_be_given_once_or_for_each_frame():
    x = np.random.default_rng(0).random((2, 8, 9))
    region = x > 0.5
    each = Dataset.of([x], [region], Axes("TYX"), regions=[region])
    np.testing.assert_array_equal(each.samples[1].region, region[1])
    once = Dataset.of([x], [region], Axes("TYX"), regions=[region[0]])
    np.testing.assert_array_equal(once.samples[1].region, region[0])


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Dataset.of([]), "No training image"),
        (lambda: Dataset.of([np.zeros((8, 8))], []), "there are 1 images and 0 targets"),
        (lambda: Dataset.of([np.zeros((8, 8))], [np.zeros((8, 9), int)]), "image 1 is 8 x 8 .*it came as 8 x 9"),
        (lambda: Dataset.of([np.zeros((0, 8))]), "image 1 is empty"),
        (lambda: Dataset.of([np.zeros((8, 8), complex)]), "complex"),
        (lambda: Dataset.of([np.zeros((8, 8)), np.zeros((8, 8, 8))]), "image 2 has 3 dimensions"),
        (
            lambda: Dataset.of([np.zeros((1, 8, 8)), np.zeros((2, 8, 8))], axes=Axes("CYX")),
            "same number of channels; .* 1 and 2",
        ),
        (lambda: Dataset.of([np.zeros((8, 8))], regions=[np.ones((4, 4))]), "region of image 1"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(make, says):
    with pytest.raises(DojoError, match=says):
        make()


# --- labels


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, np.uint32, np.int64, np.float32, np.float64])
def test_whole_numbers_are_labels(dtype):
    y = np.array([[0, 1], [1, 0]]).astype(dtype)
    found = as_labels(y, "a")
    assert found.dtype.kind in "iu"
    np.testing.assert_array_equal(found, [[0, 1], [1, 0]])


def test_whole_floats_keep_their_values():
    np.testing.assert_array_equal(as_labels(np.array([[0.0, 70000.0]]), "a"), [[0, 70000]])


@pytest.mark.parametrize(
    ("y", "says"),
    [
        (np.array([0.0, 0.5]), "those of a.tif hold fractions such as 0.5"),
        (np.array([-1, 2]), "go down to -1"),
        (np.array([-1.0, 2.0]), "go down to -1"),
        (np.array([np.nan, 2.0]), "NaN or infinite"),
        (np.array([np.inf, 2.0]), "NaN or infinite"),
        (np.array([3e9]), "below 2147483648"),
        (np.array([1j]), "complex"),
    ],
)
def test_what_is_no_label_is_refused(y, says):
    with pytest.raises(DojoError, match=says):
        as_labels(y, "a.tif")


# --- split once


def test_duplicates_are_one_group():
    x = [np.random.default_rng(i).random((8, 8)) for i in range(10)]
    p = Dataset.of([*x, x[3].copy(), x[7].copy()])
    assert p.samples[10].group == p.samples[3].group
    assert p.samples[11].group == p.samples[7].group
    assert len({i.group for i in p.samples}) == 10


def test_duplicates_join_the_groups_that_hold_them():
    a, b, c = (np.random.default_rng(i).random((8, 8)) for i in range(3))
    p = Dataset.of([a, b, b, c, c], groups=["1", "1", "2", "2", "3"])
    assert len({i.group for i in p.samples}) == 1


def test_blank_and_constant_frames_join_no_groups():
    rng = np.random.default_rng(0)
    movies = [np.concatenate([rng.random((3, 24, 24)), np.full((1, 24, 24), i % 2)]) for i in range(12)]
    p = Dataset.of(movies, axes=Axes("TYX"))
    assert len({i.group for i in p.samples}) == 12
    s = split_of(p.samples)
    sides = [{p.samples[part.item].group for part in side} for side in (s.training, s.validation, s.test)]
    assert [len(side) for side in sides] == [10, 1, 1]
    assert [len(side) for side in (s.training, s.validation, s.test)] == [40, 4, 4]


def test_a_copy_of_a_test_image_never_trains():
    x = [np.random.default_rng(i).integers(0, 200, (8, 8)).astype(np.uint8) for i in range(4)]
    copies = [x[0].astype(np.uint16), x[0], x[1]]
    roles = ["test", "validation", "training", "training", "training", "automatic", "training"]
    p = Dataset.of([*x, *copies], names=list("abcdefg"), roles=roles)
    assert [i.name for i in p.samples] == list("abcdf")
    assert [e.name for e in p.excluded] == ["e", "g"]
    assert p.excluded[0].reason == "e, for training, is a copy of a, which is for test."
    s = split_of(p.samples)
    assert [[p.samples[part.item].name for part in side] for side in (s.training, s.validation, s.test)] == [
        ["c", "d"], ["b"], ["a", "f"],
    ]  # fmt: skip


def test_samples_of_a_series_share_its_numbers_and_frames_may_have_their_own():
    rng = np.random.default_rng(0)
    x = np.stack([rng.normal(100, 5, (40, 40)) * (1 + k) for k in range(3)])
    samples = Dataset.of([x], axes=Axes("TYX")).samples
    whole = {s.normalization(Rule()) for s in samples}
    assert whole == {Rule().measure_series([f[None] for f in x])}
    each = [s.normalization(Rule(frames="each")) for s in samples]
    assert each == [Rule().measure(f[None]) for f in x]
