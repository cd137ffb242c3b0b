from __future__ import annotations

import numpy as np
import pytest
from made import made

from napari_dojo.data.axes import Axes
from napari_dojo.data.dataset import Dataset
from napari_dojo.data.kinds import renumbered
from napari_dojo.tasks.instances import INSTANCES, InstancesDecoding, InstancesOptions, object_values

RNG = np.random.default_rng(0)


def disc(size, centre, radius):
    grid = np.indices(size)
    return sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True)) <= radius**2


def options(dims=2):
    y = disc((48,) * dims, (24,) * dims, 9).astype(np.int32)
    axes = Axes("ZYX"[-dims:], "ZYX"[-dims:])
    return INSTANCES.summarize(Dataset.of([RNG.random(y.shape)], [y], axes), InstancesOptions()).options


def perfect(y):
    o = options(y.ndim)
    _, target, _ = made(INSTANCES, np.zeros((1, *y.shape), np.float32), y, None, o)
    maps = target.copy()
    maps[0] = np.where(target[0] > 0, 8, -8)  # a logit
    return maps


def decoded(y, **more):
    return INSTANCES.decode(perfect(y), InstancesDecoding(**more), options(y.ndim))


def ap(found, y):
    return INSTANCES.score(found, y, None, options(y.ndim)).selection_score


def two_discs():
    y = np.zeros((60, 90), np.int32)
    y[disc(y.shape, (30, 30), 14)] = 5
    y[disc(y.shape, (30, 57), 14)] = 9
    return y


def bent():
    """Three quarters of a ring."""
    r = np.hypot(*(g - 40 for g in np.indices((80, 80))))
    y = ((r > 18) & (r < 30)).astype(np.int32)
    y[:40, :40] = 0
    return y


def long():
    y = np.zeros((40, 150), np.int32)
    y[12:26, 5:145] = 1
    return y


def balls():
    y = np.zeros((24, 40, 60), np.int32)
    y[disc(y.shape, (12, 20, 18), 10)] = 1
    y[disc(y.shape, (12, 20, 37), 10)] = 2
    return y


def crowd():
    """Blocks side by side that touch on all sides, and a large one beside small ones."""
    y = np.kron(np.arange(1, 26).reshape(5, 5), np.ones((14, 14), int)).astype(np.int32)
    y[:42, :42] = 99
    return y


CASES = {"two discs": two_discs, "bent": bent, "long": long, "balls": balls, "crowd": crowd}


@pytest.mark.parametrize("name", CASES)
def test_perfect_maps_give_the_objects_back(name):
    y = CASES[name]()
    found = decoded(y)
    assert found.dtype == np.int32
    assert len(np.unique(found)) == len(np.unique(y))
    assert set(np.unique(found)) - {0} == set(range(1, found.max() + 1))
    assert INSTANCES.score(found, y, None, options(y.ndim)).ap["0.9"] == 1
    np.testing.assert_array_equal(found > 0, y > 0)


def test_nothing_gives_nothing():
    assert not decoded(np.zeros((20, 20), np.int32)).any()


def test_small_objects_are_left_out():
    y = two_discs()
    y[2:5, 2:5] = 3
    assert decoded(y, minimum_area=0).max() == 3
    assert decoded(y, minimum_area=10).max() == 2
    assert decoded(y, minimum_area=10_000).max() == 0


def test_a_higher_probability_gives_smaller_objects():
    maps = perfect(two_discs())
    maps[0] = maps[1] * 8 - 2
    sizes = [(INSTANCES.decode(maps, InstancesDecoding(threshold=t), options()) > 0).sum() for t in (0.2, 0.5, 0.8)]
    assert sizes[0] > sizes[1] > sizes[2]


def distance_of(y):
    """The target's channel of the normalised distance."""
    where, values = object_values(renumbered(y))
    found = np.zeros(y.shape)
    found.ravel()[where] = values[0]
    return found


def slow_distance(y):
    """By the definition: distance to the nearest pixel outside, or at the border to another object."""
    places = list(np.ndindex(y.shape))
    edge = []
    for p in places:
        near = [
            q for a in range(y.ndim) for s in (-1, 1)
            if 0 <= (q := tuple(v + s * (i == a) for i, v in enumerate(p)))[a] < y.shape[a]
        ]  # fmt: skip
        if y[p] == 0 or any(y[q] and y[q] != y[p] for q in near):
            edge.append(p)
    out = np.zeros(y.shape)
    for p in places:
        if y[p]:
            out[p] = min(np.linalg.norm(np.subtract(p, e)) for e in edge) if edge else 1
    for n in np.unique(y[y > 0]):
        out[y == n] /= max(1, out[y == n].max())
    return out


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("size", [(14, 17), (5, 7, 8)])
def test_the_distance_by_its_definition(seed, size):
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, 1, (5, len(size))) * size
    grid = np.moveaxis(np.indices(size), 0, -1)[..., None, :]
    d = np.linalg.norm(grid - points, axis=-1)
    y = np.where(d.min(-1) < 4, d.argmin(-1) + 1, 0)
    np.testing.assert_allclose(distance_of(y), slow_distance(y), atol=1e-5)


def test_distance_of_nothing_and_of_everything():
    assert not distance_of(np.zeros((6, 6), int)).any()
    np.testing.assert_array_equal(distance_of(np.ones((6, 6), int)), 1)


def test_distance_goes_up_to_1_whatever_the_size():
    y = two_discs()
    y[disc(y.shape, (8, 80), 4)] = 3
    assert [distance_of(y)[y == n].max() for n in (3, 5, 9)] == [1, 1, 1]


@pytest.mark.parametrize("axis", [0, 1])
def test_targets_of_a_flipped_image_are_flipped(axis):
    o = options()
    y = crowd()[:48, :60]
    y[10:20, 5:50] = 0
    one = made(INSTANCES, np.zeros((1, *y.shape), np.float32), y, None, o)[1]
    two = made(INSTANCES, np.zeros((1, *y.shape), np.float32), np.flip(y, axis).copy(), None, o)[1]
    np.testing.assert_allclose(np.flip(two, 1 + axis)[:2], one[:2], atol=1e-6)


def test_numbers_do_not_matter():
    y = two_discs()
    other = np.where(y == 5, 2**30, np.where(y == 9, 1, 0))
    o, x = options(), np.zeros((1, *y.shape), np.float32)
    np.testing.assert_allclose(made(INSTANCES, x, y, None, o)[1], made(INSTANCES, x, other, None, o)[1], atol=1e-5)


def check(ys, xs=None, **more):
    xs = xs or [RNG.random(y.shape) for y in ys]
    return INSTANCES.summarize(Dataset.of(xs, ys, **more), InstancesOptions())


def test_check_counts_and_measures():
    y = np.zeros((100, 100), np.int32)
    for k, (a, b) in enumerate([(20, 20), (20, 60), (70, 30)]):
        y[disc(y.shape, (a, b), 10)] = k + 1
    facts = check([y, np.zeros_like(y)], pixel_size=(0.5, 0.5))
    assert facts.objects == 3
    assert facts.diameter == pytest.approx(20, rel=0.05)
    assert facts.thickness == pytest.approx(20, rel=0.1)
    assert facts.maps[:3] == ("inside", "distance", "boundary")
    assert not facts.errors
    assert any("3 objects (50 or more make a better model)" in f.text for f in facts.findings if f.level == "ok")
    assert any("1 image without objects" in f.text for f in facts.findings)


def test_check_counts_inside_the_region_alone():
    y = two_discs()
    region = np.zeros(y.shape, bool)
    region[:, :43] = True
    assert check([y], regions=[region]).objects == 1


def test_the_region_cuts_objects_that_do_not_count_as_small_ones():
    y = np.zeros((64, 64), np.int32)
    y[4:20, 4:20], y[4:20, 40:56] = 1, 2
    region = np.zeros(y.shape, bool)
    region[:, :41] = True  # one column of the second object
    found = check([y], regions=[region])
    assert (found.objects, found.decoding.minimum_area) == (2, 128.0)
    region[:, :12] = False
    assert check([y], regions=[region]).decoding.minimum_area == pytest.approx(8.5, abs=1)


def test_check_says_what_is_wrong():
    y = two_discs()
    assert "No object is labelled" in check([y * 0]).errors[0]
    assert "constant" in check([y], [np.zeros(y.shape)]).errors[0]
    mask = np.zeros((60, 60), np.int32)
    for a in (5, 25, 45):
        mask[a : a + 8, a : a + 8] = 1
    assert any("one value in 3 pieces" in w for w in check([mask]).warnings)
    (doubt,) = INSTANCES.target.doubts(Dataset.of([RNG.random(mask.shape)], [mask]), InstancesOptions())
    assert "one value in 3 pieces, so they count as 1" in doubt  # said by evaluate
