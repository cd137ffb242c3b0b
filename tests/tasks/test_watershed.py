"""Objects out of depths: those of the grey reconstruction that they are defined by."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import ndimage as ndi
from skimage.morphology import local_maxima, reconstruction
from skimage.segmentation import watershed

from napari_dojo.tasks.watershed import Rule, joined, part_of, split_objects


def by_definition(inside, depth, split, lowest):
    """Watershed from the h-maxima of the depths inside the mask."""
    depth = np.where(inside, depth, -1).astype(np.float32)
    tops = local_maxima(reconstruction(depth - split, depth, method="dilation")) & inside
    seeds, _ = ndi.label(tops, np.ones((3,) * inside.ndim))
    return watershed(-depth, seeds * (depth > lowest), mask=inside)


@pytest.mark.parametrize("size", [(80, 90), (16, 24, 24)])
@pytest.mark.parametrize("split", [0.05, 0.2, 0.5])
def test_it_is_the_watershed_from_the_h_maxima(size, split):
    rng = np.random.default_rng(3)
    depth = ndi.gaussian_filter(rng.random(size).astype(np.float32), 2)
    depth = ((depth - depth.min()) / np.ptp(depth)).astype(np.float32)
    inside = depth > 0.45
    found, wanted = split_objects(inside, depth, split, 0.2), by_definition(inside, depth, split, 0.2)
    numbers = np.unique(wanted)
    assert (found > 0).sum() == (wanted > 0).sum()
    assert len(np.unique(found)) == len(numbers)
    # on a ridge a pixel may fall to either side
    main = [np.bincount(found[wanted == k]).max() for k in numbers]
    assert sum(main) > 0.93 * found.size


def test_an_object_lower_than_the_dip_is_one_object():
    depth = np.zeros((20, 40), np.float32)
    depth[5:15, 5:15], depth[5:15, 25:35] = 1.0, 0.4
    found = split_objects(depth > 0.1, depth, 0.9, 0.2)
    assert len(np.unique(found)) == 3
    assert not split_objects(depth > 0.1, depth * 0.1, 0.9, 0.2).any()


def test_a_plateau_is_one_object_and_numbers_have_no_gaps():
    depth = np.zeros((12, 30), np.float32)
    depth[2:10, 2:10], depth[1:3, 14:16], depth[2:10, 20:28] = 0.7, 0.7, 1.0
    found = split_objects(depth > 0, depth, 0.1, 0.2, minimum_area=5)
    assert set(np.unique(found)) == {0, 1, 2}
    assert (found[2:10, 2:10] == 1).all()
    assert (found[2:10, 20:28] == 2).all()
    assert not found[1:3, 14:16].any()


def test_a_part_of_an_image_gives_what_the_image_gives():
    """A basin follows from the pixels that it covers and those beside them."""
    rng = np.random.default_rng(0)
    depth = ndi.gaussian_filter(rng.random((120, 120)), 3).astype(np.float32)
    depth = (depth - depth.min()) / np.ptp(depth)
    inside = depth > 0.5
    whole = split_objects(inside, depth, 0.0, 0.2)
    part = (slice(0, 90), slice(20, 120))
    found = split_objects(inside[part], depth[part], 0.0, 0.2)
    cut = {*np.unique(whole[part][-2:]), *np.unique(whole[part][:, :2])}
    kept = [k for k in np.unique(whole[part]) if k and k not in cut]
    assert len(kept) > 5
    for k in kept:
        there = whole[part] == k
        number = found[there][0]
        np.testing.assert_array_equal(found == number, there)


def test_a_mask_of_one_pixel_and_none():
    depth = np.full((3, 3, 3), 0.5, np.float32)
    inside = np.zeros((3, 3, 3), bool)
    assert not split_objects(inside, depth, 0.1, 0.2).any()
    inside[1, 1, 1] = True
    assert split_objects(inside, depth, 0.1, 0.2).sum() == 1


def in_parts(inside, depth, edge, split, minimum_area):
    """The same part by part, each with a rim of one pixel."""
    size, rule = inside.shape, Rule(split, 0.2, minimum_area)
    cores = list(product(*([(a, min(n, a + edge)) for a in range(0, n, edge)] for n in size)))
    parts = []
    for core in cores:
        wide = tuple((max(0, a - 1), min(n, b + 1)) for (a, b), n in zip(core, size, strict=True))
        at = tuple(slice(*w) for w in wide)
        parts.append(part_of(inside[at], depth[at], wide, core, size, rule))
    out = np.zeros(size, np.int32)
    for core, part, of in zip(cores, parts, joined(parts, rule), strict=True):
        out[tuple(slice(*c) for c in core)] = of[part.objects]
    return out


def test_of_a_part_only_what_meets_its_border_is_left_open():
    """So what is kept of the parts of a large image does not grow with its area."""
    rng = np.random.default_rng(1)
    depth = ndi.gaussian_filter(rng.random((400, 400)).astype(np.float32), 3)
    depth = (depth - depth.min()) / np.ptp(depth)
    size = (1200, 1200)
    wide, core = ((399, 801),) * 2, ((400, 800),) * 2
    part = part_of(np.pad(depth > 0.5, 1), np.pad(depth, 1), wide, core, size, Rule(0.1, 0.2))
    assert len(part.heights) == 0  # the rim is empty
    assert part.known == split_objects(depth > 0.5, depth, 0.1, 0.2).max()
    part = part_of(np.pad(depth, 1, mode="edge") > 0.5, np.pad(depth, 1, mode="edge"), wide, core, size, Rule(0.1, 0.2))
    assert 0 < len(part.heights) < part.known / 3
    assert {*np.unique(part.objects)} == {*range(part.known + len(part.heights) + 1)}


@pytest.mark.parametrize("edge", [7, 16, 33, 500])
@pytest.mark.parametrize(("size", "wide"), [((80, 90), 2), ((80, 90), 12), ((16, 24, 24), 2)])
@pytest.mark.parametrize("split", [0.05, 0.2])
def test_part_by_part_the_objects_are_those_of_the_whole(edge, size, wide, split):
    rng = np.random.default_rng(3)
    depth = ndi.gaussian_filter(rng.random(size).astype(np.float32), wide)
    depth = np.round((depth - depth.min()) / np.ptp(depth), 2).astype(np.float32)  # with plateaus
    inside = depth > 0.45
    whole = split_objects(inside, depth, split, 0.2, 4)
    found = in_parts(inside, depth, edge, split, 4)
    pairs = np.unique(np.stack([whole.ravel(), found.ravel()]), axis=1)
    assert pairs.shape[1] == len(np.unique(whole)) == len(np.unique(found))
    assert found.max() == len(np.unique(found)) - (0 in found)


def test_nothing_part_by_part():
    assert not in_parts(np.zeros((20, 20), bool), np.zeros((20, 20), np.float32), 8, 0.2, 0).any()
