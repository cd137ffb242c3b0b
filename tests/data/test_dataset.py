from __future__ import annotations

import numpy as np
import pytest

from napari_dojo.data.axes import Axes
from napari_dojo.data.dataset import Crop, Dataset, Layout, Sample
from napari_dojo.data.kinds import IMAGE, as_labels
from napari_dojo.data.normalize import Rule
from napari_dojo.errors import DojoError


def pairs(n: int, size: tuple[int, ...] = (160, 200), **more) -> Dataset:
    rng = np.random.default_rng(1)
    xs = [rng.integers(0, 999, size).astype(np.uint16) for _ in range(n)]
    return Dataset.of(xs, [(x > 500).astype(np.uint8) for x in xs], **more)


def mask(size, part: Crop):
    out = np.zeros(size, bool)
    out[part.slices] = True
    return out


# --- checked once


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


@pytest.mark.parametrize(("n", "wanted"), [(10, (8, 1, 1)), (20, (16, 2, 2)), (50, (40, 5, 5))])
def test_ten_images_or_more_are_drawn_whole(n, wanted):
    p = pairs(n, (8, 9))
    s = p.split()
    assert tuple(map(len, (s.training, s.validation, s.test))) == wanted
    parts = s.training + s.validation + s.test
    assert sorted(part.item for part in parts) == list(range(n))
    assert all(part.box == ((0, 8), (0, 9)) for part in parts)
    assert p.split(seed=0) == s
    assert any(p.split(seed=k).test != s.test for k in range(1, 6))


def test_a_group_stands_on_one_side():
    p = pairs(24, (8, 9), groups=[f"g{i // 4}" for i in range(24)])
    for seed in range(5):
        s = p.split(seed=seed)
        sides = [{p.samples[part.item].group for part in side} for side in (s.training, s.validation, s.test)]
        assert all(sides)
        assert sum(map(len, sides)) == len(set.union(*sides)) == 6


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


@pytest.mark.parametrize("size", [(160, 200), (200, 160), (40, 64, 200)])
def test_fewer_images_give_a_band_of_each_with_a_gap(size):
    p = pairs(3, size, axes=Axes("ZYX", "ZYX") if len(size) == 3 else None)
    s = p.split()
    assert not s.test
    assert [part.item for part in s.training] == [part.item for part in s.validation] == [0, 1, 2]
    for t, v in zip(s.training, s.validation, strict=True):
        a, b = mask(size, t), mask(size, v)
        assert not (a & b).any()
        assert 0.15 < b.mean() < 0.25
        along = [i for i in range(len(size)) if t.box[i] != (0, size[i])]
        assert along == [int(np.argmax(size))]
        gap = max(v.box[along[0]][0] - t.box[along[0]][1], t.box[along[0]][0] - v.box[along[0]][1])
        assert gap >= 8


def test_bands_of_duplicates_and_of_frames_lie_at_the_same_place():
    x = np.random.default_rng(0).random((200, 160))
    s = Dataset.of([x, x.copy()]).split()
    assert s.training[0].box == s.training[1].box
    frames = Dataset.of([np.random.default_rng(0).random((4, 200, 160))], axes=Axes("TYX")).split()
    assert len({part.box for part in frames.training}) == 1


def test_small_images_give_their_last_group():
    p = pairs(4, (48, 48))
    s = p.split()
    assert [part.item for part in s.training] == [0, 1, 2]
    assert [part.item for part in s.validation] == [3]
    assert "last image" in s.how


def test_one_small_image_is_all_for_training():
    s = pairs(1, (48, 48)).split()
    assert (len(s.training), s.validation, s.test) == (1, (), ())
    assert "too small" in s.how


def test_small_duplicates_are_not_put_on_two_sides():
    x = np.random.default_rng(0).random((48, 48))
    s = Dataset.of([x, x.copy()]).split()
    assert (len(s.training), s.validation) == (2, ())


def test_validation_0_and_test_0_keep_nothing_aside():
    s = pairs(12, (8, 9)).split(validation=0, test=0)
    assert (len(s.training), s.validation, s.test) == (12, (), ())
    s = pairs(12, (8, 9)).split(test=0)
    assert (len(s.training), len(s.validation), s.test) == (11, 1, ())
    s = pairs(2).split(validation=0)
    assert s.validation == ()
    assert s.training[0].box == ((0, 160), (0, 200))


def test_a_test_part_of_few_images_needs_three():
    assert len(pairs(4).split(test=0.25).test) == 1
    with pytest.raises(DojoError, match="at least 3 independent images; there are 2"):
        pairs(2).split(test=0.25)


def test_roles_win():
    roles = ["automatic"] * 9 + ["training", "validation", "test"]
    s = pairs(12, (8, 9), roles=roles).split(validation=0.5, test=0.5)
    assert [p.item for p in s.training] == list(range(10))
    assert [p.item for p in s.validation] == [10]
    assert [p.item for p in s.test] == [11]
    with pytest.raises(DojoError, match="At least one image must be for training; all were kept aside"):
        pairs(2, (8, 9), roles=["test", "test"]).split()


def test_blank_and_constant_frames_join_no_groups():
    rng = np.random.default_rng(0)
    movies = [np.concatenate([rng.random((3, 24, 24)), np.full((1, 24, 24), i % 2)]) for i in range(12)]
    p = Dataset.of(movies, axes=Axes("TYX"))
    assert len({i.group for i in p.samples}) == 12
    s = p.split()
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
    s = p.split()
    assert [[p.samples[part.item].name for part in side] for side in (s.training, s.validation, s.test)] == [
        ["c", "d"], ["b"], ["a", "f"],
    ]  # fmt: skip


def test_an_image_without_a_role_goes_with_its_group():
    p = pairs(4, (8, 9), groups=["1", "1", "2", "3"], roles=["test", "automatic", "automatic", "validation"])
    s = p.split()
    assert [[part.item for part in side] for side in (s.training, s.validation, s.test)] == [[2], [3], [0, 1]]


def test_part():
    part = Crop(0, ((2, 5), (1, 9)))
    assert part.volume == 24
    assert np.zeros((10, 10))[part.slices].shape == (3, 8)
    assert Sample("a", np.zeros((2, 3, 4))).size == (3, 4)


def test_samples_of_a_series_share_its_numbers_and_frames_may_have_their_own():
    rng = np.random.default_rng(0)
    x = np.stack([rng.normal(100, 5, (40, 40)) * (1 + k) for k in range(3)])
    samples = Dataset.of([x], axes=Axes("TYX")).samples
    whole = {s.normalization(Rule()) for s in samples}
    assert whole == {Rule().measure_series([f[None] for f in x])}
    each = [s.normalization(Rule(frames="each")) for s in samples]
    assert each == [Rule().measure(f[None]) for f in x]
