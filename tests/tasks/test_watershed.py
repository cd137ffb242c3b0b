"""Objects out of depths: the same as by the grey reconstruction that they are defined by."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage as ndi
from skimage.morphology import local_maxima, reconstruction
from skimage.segmentation import watershed

from napari_dojo.tasks.watershed import split_objects


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
    # pixels of equal depth may fall to either side
    main = [np.bincount(found[wanted == k]).max() for k in numbers]
    assert sum(main) > 0.95 * found.size


def test_an_object_lower_than_the_dip_is_one_object():
    depth = np.zeros((20, 40), np.float32)
    depth[5:15, 5:15], depth[5:15, 25:35] = 1.0, 0.4
    found = split_objects(depth > 0.1, depth, 0.9, 0.2)
    assert len(np.unique(found)) == 3
    assert not split_objects(depth > 0.1, depth * 0.1, 0.9, 0.2).any()
