from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_dojo.data.batches import Batches, Recipe, Source, draw
from napari_dojo.data.dataset import Crop, Sample
from napari_dojo.data.kinds import IMAGE, LABELS
from napari_dojo.data.normalize import Normalization, Rule

PLAIN = Normalization((0.0,), (1.0,))


def as_it_is(x, y, region, rng):
    """Target = labels, weight = region."""
    weight = np.ones((1, *y.shape), np.float32) if region is None else region[None].astype(np.float32)
    return x, np.atleast_3d(y)[None].reshape(1, *y.shape).astype(np.float32), weight


def labels(size=(70, 90), seed=0):
    """Blocks of 5 px, every number once: each patch tells where it is from."""
    small = np.random.default_rng(seed).permutation(int(np.prod([-(-n // 5) for n in size]))) + 1
    small = small.reshape([-(-n // 5) for n in size])
    return np.kron(small, np.ones((5,) * len(size), int))[tuple(slice(0, n) for n in size)].astype(np.int32)


def source(y, part=None, norm=PLAIN, region=None):
    item = Sample("a", y[None].astype(np.float32), y, region)
    return Source.of(item, part or Crop(0, tuple((0, n) for n in y.shape)), norm, LABELS)


def patches(src, recipe, n=20, seed=0):
    return [draw(src, recipe, np.random.default_rng([seed, i])) for i in range(n)]


@pytest.mark.parametrize("size", [(70, 90), (20, 33, 41)])
def test_without_augmentation_a_patch_is_a_piece_of_the_source(size):
    y = np.arange(np.prod(size), dtype=np.int32).reshape(size) + 1
    recipe = Recipe((16,) * len(size), as_it_is, augment=False)
    for x, target, weight in patches(source(y), recipe):
        at = np.unravel_index(int(target[0].ravel()[0]) - 1, size)
        piece = y[tuple(slice(a, a + 16) for a in at)]
        np.testing.assert_array_equal(target[0], piece)
        np.testing.assert_allclose(x[0], piece, rtol=1e-5)
        assert x.dtype == target.dtype == weight.dtype == np.float32
        assert weight.min() == 1


@pytest.mark.parametrize("size", [(70, 90), (24, 33, 41)])
@pytest.mark.parametrize("margin", [0, 5])
def test_flips_and_quarter_turns_move_pixels_and_change_none(size, margin):
    y = labels(size)
    recipe = Recipe((15, 16, 16)[-len(size) :], as_it_is, margin=margin, resample=False)
    seen = set()
    for x, target, _ in patches(source(y), recipe, 40):
        np.testing.assert_allclose(x, target, atol=1e-2)
        assert set(np.unique(target)) <= set(np.unique(y))
        seen.add(tuple(np.diff(target[0].ravel()[[0, 15]])))
    assert len(seen) > 10


def test_image_and_labels_stay_together_under_any_turn():
    y = (np.add.outer(np.arange(80) // 8, np.arange(90) // 9) % 3).astype(np.int32) * 50
    for x, target, _ in patches(source(y), Recipe((32, 32), as_it_is, margin=3)):
        same = np.abs(x - target) < 1
        assert same.mean() > 0.5  # all but the borders, where the image is interpolated
        eroded = np.ones_like(same[0])
        for axis in (0, 1):
            for step in (-1, 1):
                eroded &= np.roll(target[0], step, axis) == target[0]
        eroded[[0, -1]] = eroded[:, [0, -1]] = False
        inner = eroded.copy()
        for axis in (0, 1):
            for step in (-1, 1):
                inner &= np.roll(eroded, step, axis)
        np.testing.assert_allclose(x[0][inner], target[0][inner], atol=1e-3)


def test_turns_change_the_size_by_at_most_the_zoom():
    y = np.tile(np.arange(400, dtype=np.int32), (400, 1))
    slopes = []
    for x, _, _ in patches(source(y), Recipe((32, 32), as_it_is, zoom=0.3), 60):
        gy, gx = np.gradient(x[0])
        slopes.append(np.hypot(np.median(gy), np.median(gx)))
    assert np.exp(-0.31) < min(slopes) < 0.85
    assert 1.2 < max(slopes) < np.exp(0.31)


def test_beyond_the_edge_the_source_is_mirrored():
    y = labels((20, 24))
    recipe = Recipe((32, 32), as_it_is, augment=False)
    x, target, _ = draw(source(y), recipe, np.random.default_rng(0))
    top, left = np.argwhere(target[0] == y[0, 0])[0] // 1
    pad = [(6, 6), (4, 4)]
    np.testing.assert_array_equal(target[0], np.pad(y, pad, mode="symmetric"))
    np.testing.assert_allclose(x, target, rtol=1e-5)
    assert (top, left) >= (0, 0)


def test_the_margin_is_seen_by_the_example_and_trimmed():
    seen = []

    def example(x, y, region, rng):
        seen.append(x.shape)
        return as_it_is(x, y, region, rng)

    x, target, weight = draw(source(labels()), Recipe((16, 16), example, margin=7), np.random.default_rng(0))
    assert seen == [(1, 30, 30)]
    assert x.shape == target.shape == weight.shape == (1, 16, 16)


def test_the_region_turns_with_the_labels():
    y = labels()
    region = y % 2 == 0
    for _, target, weight in patches(source(y, region=region), Recipe((24, 24), as_it_is)):
        np.testing.assert_array_equal(weight, target % 2 == 0)


def test_a_part_shows_nothing_of_the_rest():
    y = np.ones((80, 90), np.int32)
    y[:, 45:] = 2
    part = Crop(0, ((0, 80), (0, 45)))
    for x, target, _ in patches(source(y, part), Recipe((32, 32), as_it_is, margin=8)):
        np.testing.assert_array_equal(target, 1)
        np.testing.assert_allclose(x, 1, atol=1e-5)


def test_intensities_are_normalised():
    y = labels()
    x, target, _ = draw(
        source(y, norm=Normalization((10.0,), (4.0,))),
        Recipe((16, 16), as_it_is, augment=False),
        np.random.default_rng(1),
    )
    np.testing.assert_allclose(x, (target - 10) / 4, rtol=1e-5)


def test_large_label_numbers_stay_exact():
    y = labels().astype(np.int64) + 2**30
    kept = []

    def example(x, y, region, rng):
        kept.append(y)
        return as_it_is(x, y, region, rng)

    patches(source(y), Recipe((16, 16), example), 5)
    assert all(set(np.unique(a)) <= set(np.unique(y)) for a in kept)


def test_patches_are_aimed_at_what_is_annotated():
    y = np.zeros((400, 400), np.int32)
    y[200:204, 300:304] = 1
    y[50:54, 60:64] = 2
    aimed = [set(np.unique(t)) - {0} for _, t, _ in patches(source(y), Recipe((32, 32), as_it_is, aimed=1.0), 80)]
    assert np.mean([1 in s for s in aimed]) > 0.2
    assert np.mean([2 in s for s in aimed]) > 0.2
    none = [t.any() for _, t, _ in patches(source(y), Recipe((32, 32), as_it_is, aimed=0.0), 40)]
    assert np.mean(none) < 0.3


def test_target_images_turn_as_the_input_does():
    x = np.random.default_rng(0).random((1, 60, 60)).astype(np.float32)
    src = Source.of(Sample("a", x, x), Crop(0, ((0, 60), (0, 60))), PLAIN, IMAGE)

    def example(x, y, region, rng):
        return x, y, np.ones((1, *x.shape[1:]), np.float32)

    for a, b, _ in patches(src, Recipe((16, 16), example, kind=IMAGE)):
        np.testing.assert_array_equal(a, b)


def batches(n, seed=3, start=0, workers=1, batch=4, **more):
    recipe = replace(Recipe((16, 16), as_it_is), **more)
    with Batches([source(labels()), source(labels((40, 200), 1))], recipe, batch, seed, start, workers) as many:
        return [next(many) for _ in range(n)]


def test_the_seed_and_the_number_of_a_batch_say_what_is_in_it():
    a, b = batches(6), batches(6, workers=3)
    later = batches(2, start=4)
    for p, q in [*zip(a, b, strict=True), *zip(a[4:], later, strict=True)]:
        assert torch.equal(p.x, q.x)
        assert torch.equal(p.target, q.target)
        assert torch.equal(p.weight, q.weight)
    assert not torch.equal(a[0].x, a[1].x)
    assert not torch.equal(a[0].x, batches(1, seed=4)[0].x)
    assert len(a[0]) == 4


def test_a_smaller_batch_counts_at_once():
    with Batches([source(labels())], Recipe((16, 16), as_it_is), 8, 0) as many:
        assert len(next(many)) == 8
        many.batch = 2
        assert [len(next(many)) for _ in range(6)] == [2] * 6


def test_close_ends_the_threads_and_an_error_comes_through():
    def broken(x, y, region, rng):
        raise ValueError("broken")

    before = threading.active_count()
    with (
        Batches([source(labels())], Recipe((16, 16), broken), 8, 0, workers=2) as many,
        pytest.raises(ValueError, match="broken"),
    ):
        next(many)
    assert threading.active_count() == before


def test_padding_is_not_trained_on():
    x = np.random.default_rng(0).normal(500, 10, (1, 80, 80)).astype(np.uint16)
    x[0, 30:60, 30:60] += 400
    x[0, :, :25] = 0
    y = (x[0] > 700).astype(np.int32)
    item = Sample("a", x, y)
    made = Source.of(item, Crop(0, ((0, 80), (0, 80))), item.normalization(Rule()), LABELS)
    assert made.region is not None
    assert not made.region[:, :25].any()
    assert made.region[:, 27:].all()
    assert abs(float(np.mean(made.x[0, :, :25])) - 500) < 15
    assert (x[0, :, :25] == 0).all()
