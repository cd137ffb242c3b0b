from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_dojo.data.augment import Intensity
from napari_dojo.data.batches import Batches, Patches
from napari_dojo.data.dataset import Sample
from napari_dojo.data.kinds import CATEGORY, IMAGE, LABELS
from napari_dojo.data.normalize import Normalization
from napari_dojo.data.resident import Source
from napari_dojo.data.split import Crop

PLAIN = Normalization((0.0,), (1.0,))


def record(y, region):
    """The label, and 1 where the annotation counts: two bytes."""
    known = np.ones(y.shape, np.uint8) if region is None else region.astype(np.uint8)
    return np.stack([y.astype(np.uint8), known])


def targets(crops, random):
    """Target = labels, weight = region."""
    return crops.x, crops.record[:, :1].float(), crops.record[:, 1:2].float()


def rule(size, **more):
    return Patches(size, record, targets, **more)


def images(size, **more):
    """Of images that are to be predicted from images."""
    return Patches(size, lambda y, region: None, lambda crops, random: (crops.x, crops.y, crops.known()), **more)


def labels(size=(70, 90), seed=0):
    """Blocks of 5 px with 1 to 250 in any order: each patch tells where it is from."""
    many = [-(-n // 5) for n in size]
    small = (np.random.default_rng(seed).permutation(int(np.prod(many))) % 250 + 1).reshape(many)
    return np.kron(small, np.ones((5,) * len(size), int))[tuple(slice(0, n) for n in size)].astype(np.int32)


def source(y, part=None, norm=PLAIN, region=None, dtype=np.float32):
    item = Sample("a", y[None].astype(dtype), y, region)
    return Source.of(item, part or Crop(0, tuple((0, n) for n in y.shape)), norm, LABELS)


def patches(sources, how, n=20, seed=0):
    """Input, target and weight of ``n`` patches."""
    sources = sources if isinstance(sources, list) else [sources]
    batch = next(Batches(sources, how, n, seed))
    return [(x.numpy(), t.numpy(), w.numpy()) for x, t, w in zip(batch.x, batch.target, batch.weight, strict=True)]


@pytest.mark.parametrize("size", [(70, 90), (20, 33, 41)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float64])
def test_without_augmentation_a_patch_is_a_crop_of_the_source(size, dtype):
    y = labels(size)
    others = {y[tuple(slice(a, a + 16) for a in at)].tobytes() for at in np.ndindex(*(n - 15 for n in size))}
    for x, target, weight in patches(source(y, dtype=dtype), rule((16,) * len(size), augment=False)):
        assert target[0].astype(np.int32).tobytes() in others
        np.testing.assert_array_equal(x, target)
        assert x.dtype == target.dtype == weight.dtype == np.float32
        assert weight.min() == 1


@pytest.mark.parametrize("size", [(70, 90), (24, 33, 41)])
def test_flips_and_quarter_turns_move_pixels_and_change_none(size):
    y = np.arange(np.prod(size), dtype=np.float32).reshape(size)
    src = Source.of(Sample("a", y[None], y[None]), Crop(0, tuple((0, n) for n in size)), PLAIN, IMAGE)
    seen = set()
    for x, target, _ in patches(src, images((15, 16, 16)[-len(size) :], kind=IMAGE, resample=False), 60):
        np.testing.assert_array_equal(x, target)
        assert len(np.unique(x)) == x.size
        seen.add(tuple(np.diff(x[0].ravel()[[0, 1, 16]])))
    assert len(seen) >= (8 if len(size) == 2 else 7)  # 16 px of a plane turn in eight ways


def test_image_and_labels_stay_together_under_any_rotation():
    y = (np.add.outer(np.arange(80) // 8, np.arange(90) // 9) % 3).astype(np.int32) * 50
    for x, target, _ in patches(source(y), rule((32, 32))):
        same = np.abs(x - target) < 1
        assert same.mean() > 0.5  # all but the borders, where the image is interpolated
        inner = np.ones_like(same[0])
        for axis in (0, 1):
            for step in (-2, -1, 1, 2):
                inner &= np.roll(target[0], step, axis) == target[0]
        for at in (slice(0, 2), slice(-2, None)):
            inner[at] = inner[:, at] = False
        np.testing.assert_allclose(x[0][inner], target[0][inner], atol=1e-3)


def test_the_size_changes_by_at_most_the_zoom():
    y = np.tile(np.arange(400, dtype=np.float32), (400, 1))
    src = Source.of(Sample("a", y[None], y[None]), Crop(0, ((0, 400), (0, 400))), PLAIN, IMAGE)
    slopes = []
    for x, target, _ in patches(src, images((32, 32), kind=IMAGE, zoom=0.3), 100):
        np.testing.assert_allclose(x, target)
        gy, gx = np.gradient(x[0])
        slopes.append(np.hypot(np.median(gy), np.median(gx)))
    assert np.exp(-0.31) < min(slopes) < 0.85
    assert 1.2 < max(slopes) < np.exp(0.31)


def test_the_size_of_some_patches_changes_more():
    y = np.tile(np.arange(800, dtype=np.float32), (800, 1))
    src = Source.of(Sample("a", y[None], y[None]), Crop(0, ((0, 800), (0, 800))), PLAIN, IMAGE)
    found = patches(src, images((32, 32), kind=IMAGE, zoom=0.1, wide=0.4), 400)
    sizes = [-np.log(np.hypot(*(np.median(g) for g in np.gradient(x[0])))) for x, *_ in found]
    assert -1.02 < min(sizes) < -0.8
    assert 0.8 < max(sizes) < 1.02
    assert 0.28 < np.mean(np.abs(sizes) > 0.1) < 0.44  # .4, of which a tenth changes by as little as the others


def test_vectors_turn_with_their_objects():
    """The way to the middle of a disc, kept with each pixel, points there in every patch."""
    grid = np.indices((64, 64)) - 32.0
    y = (np.hypot(*grid) < 25).astype(np.int32)
    kept = []

    def ways(y, region):
        return np.rint(-grid * (y > 0)).astype(np.int8)

    def of(crops, random):
        steps = crops.record.float()
        kept.append(crops.turned(steps[:, None])[:, 0] * crops.zoom.view(-1, 1, 1, 1))
        return crops.x, crops.record[:, :1].float(), crops.known()

    batch = next(Batches([source(y)], Patches((40, 40), ways, of), 20, 0))
    here = torch.stack(torch.meshgrid(torch.arange(40.0), torch.arange(40.0), indexing="ij"))
    for x, way in zip(batch.x, kept[0], strict=True):
        inside = x[0] > 0.99
        middle = (here + way)[:, inside]
        assert middle.std(1).max() < 0.7  # pixels and steps are rounded


def test_beyond_the_edge_the_source_is_mirrored():
    y = labels((20, 24))
    x, target, _ = patches(source(y), rule((32, 32), augment=False), 1)[0]
    np.testing.assert_array_equal(target[0], np.pad(y, [(6, 6), (4, 4)], mode="symmetric"))
    np.testing.assert_allclose(x, target, rtol=1e-5)


@pytest.mark.parametrize("resample", [True, False])
def test_a_source_of_one_pixel_fills_the_patch(resample):
    y = np.full((1, 1), 7, np.int32)
    for x, target, _ in patches(source(y), rule((16, 16), resample=resample), 4):
        np.testing.assert_allclose(x, 7)
        np.testing.assert_array_equal(target, 7)


def test_vectors_are_mirrored_beyond_the_edge():
    y = np.ones((20, 20), np.int32)
    kept = []

    def of(crops, random):
        kept.append(crops.turned(crops.record.float()[:, None])[0, 0])
        return crops.x, crops.x, crops.x

    def down(y, region):
        return np.stack([np.full(y.shape, 5, np.int8), np.zeros(y.shape, np.int8)])

    next(Batches([source(y)], Patches((40, 20), down, of, augment=False), 1, 0))
    np.testing.assert_array_equal(kept[0][0, :, 0], [-5] * 10 + [5] * 20 + [-5] * 10)
    assert not kept[0][1].any()


def test_the_region_turns_with_the_labels():
    y = labels()
    for _, target, weight in patches(source(y, region=y % 2 == 0), rule((24, 24))):
        np.testing.assert_array_equal(weight, target % 2 == 0)


def test_a_part_shows_nothing_of_the_rest():
    y = np.ones((80, 90), np.int32)
    y[:, 45:] = 2
    for x, target, _ in patches(source(y, Crop(0, ((0, 80), (0, 45)))), rule((32, 32))):
        np.testing.assert_array_equal(target, 1)
        np.testing.assert_allclose(x, 1, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_intensities_are_normalised(dtype):
    src = source(labels(), norm=Normalization((10.0,), (4.0,)), dtype=dtype)
    x, target, _ = patches(src, rule((16, 16), augment=False))[1]
    np.testing.assert_allclose(x, (target - 10) / 4, rtol=1e-5)


def test_each_sample_has_its_own_normalisation_and_type():
    y = labels()
    bright = source(y, norm=Normalization((1000.0,), (100.0,)), dtype=np.uint16)
    bright.x[:] = bright.x * 100 + 1000
    for x, target, _ in patches([source(y, dtype=np.uint8), bright], rule((16, 16), augment=False)):
        np.testing.assert_allclose(x, target, rtol=1e-5)


def test_channels_stay_apart():
    y = labels((40, 50))
    x = np.stack([y, 300 - y, y * 0 + 9]).astype(np.uint16)
    src = Source.of(
        Sample("a", x, y), Crop(0, ((0, 40), (0, 50))), Normalization((0.0, 0.0, 9.0), (1.0, 1.0, 3.0)), LABELS
    )
    for x, target, _ in patches(src, rule((16, 16), resample=False)):
        np.testing.assert_array_equal(x, np.concatenate([target, 300 - target, target * 0]))


def test_patches_are_aimed_at_what_is_annotated():
    y = np.zeros((400, 400), np.int32)
    y[200:204, 300:304] = 1
    y[50:54, 60:64] = 2
    aimed = [set(np.unique(t)) - {0} for _, t, _ in patches(source(y), rule((32, 32), aimed=1.0), 80)]
    assert np.mean([1 in s for s in aimed]) > 0.2
    assert np.mean([2 in s for s in aimed]) > 0.2
    none = [t.any() for _, t, _ in patches(source(y), rule((32, 32), aimed=0.0), 40)]
    assert np.mean(none) < 0.3


def test_a_source_of_more_weight_is_drawn_more_often():
    few, often = (source(np.full((60, 60), n, np.int32)) for n in (1, 2))
    drawn = [t.max() for _, t, _ in patches([few, replace(often, weight=9.0)], rule((16, 16)), 300)]
    assert np.mean(np.array(drawn) == 2) == pytest.approx(0.9, abs=0.06)


@pytest.mark.parametrize("resample", [True, False])
def test_a_finer_target_lies_over_its_input(resample):
    """A ramp is the same ramp on the finer grid."""
    x = np.add.outer(np.arange(60.0), 3 * np.arange(50.0)).astype(np.float32)
    fine = np.add.outer((np.arange(120) + 0.5) / 2 - 0.5, 3 * ((np.arange(100) + 0.5) / 2 - 0.5)).astype(np.float32)
    src = Source.of(Sample("a", x[None], fine[None]), Crop(0, ((10, 60), (0, 40))), PLAIN, IMAGE, scale=(2, 2))
    how = images((16, 16), kind=IMAGE, scale=(2, 2), resample=resample, zoom=0.1)
    for a, b, weight in patches(src, how):
        assert b.shape == weight.shape == (1, 32, 32)
        mean = b.reshape(16, 2, 16, 2).mean((1, 3))
        np.testing.assert_allclose(mean[2:-2, 2:-2], a[0, 2:-2, 2:-2], atol=1e-2)


def test_the_region_of_a_finer_target():
    x = np.random.default_rng(0).random((1, 40, 40)).astype(np.float32)
    region = np.zeros((40, 40), bool)
    region[:, 20:] = True
    y = np.kron(region, np.ones((2, 2))).astype(np.float32)[None]
    src = Source.of(Sample("a", x, y, region), Crop(0, ((0, 40), (0, 40))), PLAIN, IMAGE, scale=(2, 2))
    how = replace(
        images((16, 16), kind=IMAGE, scale=(2, 2), resample=False),
        record=lambda y, region: region[None].astype(np.uint8),
    )
    for _, target, weight in patches(src, how):
        np.testing.assert_array_equal(weight, target)


def test_a_category_comes_with_its_patch():
    sources = [
        Source.of(Sample("a", np.full((1, 40, 40), v, np.uint8), v), Crop(0, ((0, 40), (0, 40))), PLAIN, CATEGORY)
        for v in (3, 8)
    ]
    how = Patches(
        (16, 16),
        lambda y, region: None,
        lambda crops, random: (crops.x, crops.y[:, None], torch.ones(len(crops.x), 1)),
        kind=CATEGORY,
    )
    batch = next(Batches(sources, how, 20, 0))
    np.testing.assert_array_equal(batch.target[:, 0], batch.x[:, 0, 8, 8])
    assert set(batch.target[:, 0].tolist()) == {3, 8}


def batches(n, seed=3, start=0, batch=4, **more):
    how = rule((16, 16), intensity=Intensity(), **more)
    many = Batches([source(labels()), source(labels((40, 200), 1))], how, batch, seed, start)
    return [next(many) for _ in range(n)]


def test_the_seed_and_the_number_of_a_batch_say_what_is_in_it():
    a, b, later = batches(6), batches(6), batches(2, start=4)
    for p, q in [*zip(a, b, strict=True), *zip(a[4:], later, strict=True)]:
        assert torch.equal(p.x, q.x)
        assert torch.equal(p.target, q.target)
        assert torch.equal(p.weight, q.weight)
    assert not torch.equal(a[0].x, a[1].x)
    assert not torch.equal(a[0].x, batches(1, seed=4)[0].x)
    assert len(a[0]) == 4


def test_a_smaller_batch_counts_at_once():
    many = Batches([source(labels())], rule((16, 16)), 8, 0)
    assert len(next(many)) == 8
    many.batch = 2
    assert [len(next(many)) for _ in range(3)] == [2] * 3


def test_intensities_change_only_while_augmenting():
    changed, kept = (batches(1, augment=augment)[0] for augment in (True, False))
    assert not torch.equal(changed.x, changed.target)
    assert torch.equal(kept.x, kept.target)


def test_renewed_sources_give_other_targets_for_the_same_places():
    y = labels()
    before, after = source(y), source(np.where(y > 100, y, 0))
    ours, theirs = (Batches([one], rule((16, 16), aimed=0.0), 6, 0) for one in (before, after))
    ours.renew([after])
    one, other = next(ours), next(theirs)
    assert torch.equal(one.target, other.target)
    assert (one.target == 0).any()
    assert (one.target > 0).any()
