from __future__ import annotations

import numpy as np
import pytest

from napari_dojo.data.axes import Axes
from napari_dojo.data.dataset import Dataset, Sample
from napari_dojo.data.split import Crop, split_of
from napari_dojo.errors import DojoError


def pairs(n: int, size: tuple[int, ...] = (160, 200), **more) -> Dataset:
    rng = np.random.default_rng(1)
    xs = [rng.integers(0, 999, size).astype(np.uint16) for _ in range(n)]
    return Dataset.of(xs, [(x > 500).astype(np.uint8) for x in xs], **more)


def mask(size, part: Crop):
    out = np.zeros(size, bool)
    out[part.slices] = True
    return out


@pytest.mark.parametrize(("n", "wanted"), [(10, (8, 1, 1)), (20, (16, 2, 2)), (50, (40, 5, 5))])
def test_ten_images_or_more_are_drawn_whole(n, wanted):
    p = pairs(n, (8, 9))
    s = split_of(p.samples)
    assert tuple(map(len, (s.training, s.validation, s.test))) == wanted
    parts = s.training + s.validation + s.test
    assert sorted(part.item for part in parts) == list(range(n))
    assert all(part.box == ((0, 8), (0, 9)) for part in parts)
    assert split_of(p.samples, seed=0) == s
    assert any(split_of(p.samples, seed=k).test != s.test for k in range(1, 6))


def test_a_group_stands_on_one_side():
    p = pairs(24, (8, 9), groups=[f"g{i // 4}" for i in range(24)])
    for seed in range(5):
        s = split_of(p.samples, seed=seed)
        sides = [{p.samples[part.item].group for part in side} for side in (s.training, s.validation, s.test)]
        assert all(sides)
        assert sum(map(len, sides)) == len(set.union(*sides)) == 6


@pytest.mark.parametrize("size", [(160, 200), (200, 160), (40, 64, 200)])
def test_fewer_images_give_a_band_of_each_with_a_gap(size):
    p = pairs(3, size, axes=Axes("ZYX", "ZYX") if len(size) == 3 else None)
    s = split_of(p.samples)
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
    s = split_of(Dataset.of([x, x.copy()]).samples)
    assert s.training[0].box == s.training[1].box
    frames = split_of(Dataset.of([np.random.default_rng(0).random((4, 200, 160))], axes=Axes("TYX")).samples)
    assert len({part.box for part in frames.training}) == 1


def test_small_images_give_their_last_group():
    p = pairs(4, (48, 48))
    s = split_of(p.samples)
    assert [part.item for part in s.training] == [0, 1, 2]
    assert [part.item for part in s.validation] == [3]
    assert "last image" in s.how


def test_one_small_image_is_all_for_training():
    s = split_of(pairs(1, (48, 48)).samples)
    assert (len(s.training), s.validation, s.test) == (1, (), ())
    assert "too small" in s.how


def test_small_duplicates_are_not_put_on_two_sides():
    x = np.random.default_rng(0).random((48, 48))
    s = split_of(Dataset.of([x, x.copy()]).samples)
    assert (len(s.training), s.validation) == (2, ())


def test_validation_0_and_test_0_keep_nothing_aside():
    s = split_of(pairs(12, (8, 9)).samples, validation=0, test=0)
    assert (len(s.training), s.validation, s.test) == (12, (), ())
    s = split_of(pairs(12, (8, 9)).samples, test=0)
    assert (len(s.training), len(s.validation), s.test) == (11, 1, ())
    s = split_of(pairs(2).samples, validation=0)
    assert s.validation == ()
    assert s.training[0].box == ((0, 160), (0, 200))


def test_a_test_part_of_few_images_needs_three():
    assert len(split_of(pairs(4).samples, test=0.25).test) == 1
    with pytest.raises(DojoError, match="at least 3 independent images; there are 2"):
        split_of(pairs(2).samples, test=0.25)


def test_roles_win():
    roles = ["automatic"] * 9 + ["training", "validation", "test"]
    s = split_of(pairs(12, (8, 9), roles=roles).samples, validation=0.5, test=0.5)
    assert [p.item for p in s.training] == list(range(10))
    assert [p.item for p in s.validation] == [10]
    assert [p.item for p in s.test] == [11]
    with pytest.raises(DojoError, match="At least one image must be for training; all were kept aside"):
        split_of(pairs(2, (8, 9), roles=["test", "test"]).samples)


def test_an_image_without_a_role_goes_with_its_group():
    p = pairs(4, (8, 9), groups=["1", "1", "2", "3"], roles=["test", "automatic", "automatic", "validation"])
    s = split_of(p.samples)
    assert [[part.item for part in side] for side in (s.training, s.validation, s.test)] == [[2], [3], [0, 1]]


def test_part():
    part = Crop(0, ((2, 5), (1, 9)))
    assert part.volume == 24
    assert np.zeros((10, 10))[part.slices].shape == (3, 8)
    assert Sample("a", np.zeros((2, 3, 4))).size == (3, 4)
