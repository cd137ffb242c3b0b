"""Regions of labels on the disk: numbers stay unique, nothing of others is overwritten."""

from __future__ import annotations

import numpy as np
import pytest

from napari_dojo.errors import DojoError
from napari_dojo.io import images
from napari_dojo.io.formats.ome_zarr import Layout, resolutions
from napari_dojo.io.regions import LabelStore


@pytest.fixture
def store(tmp_path):
    layout = Layout("YX", (3000, 2600), (512, 512), "uint32", (0.5, 0.5), "um", labels="annotation")
    return LabelStore(tmp_path / "slide_annotation.zarr", layout)


def painted(region, *spots):
    labels = region.labels.copy()
    for y, x, n in spots:
        labels[y : y + 20, x : x + 20] = n
    return labels


def test_numbers_are_unique_over_regions(store):
    first, second = store.read(((0, 600), (0, 500))), store.read(((1000, 1400), (500, 900)))
    store.write(first, painted(first, (10, 10, 1), (50, 50, 2)))
    second = store.write(second, painted(second, (10, 10, 1)))
    whole = images.read(store.path, labels=True).data
    assert (whole[15, 15], whole[55, 55], whole[1015, 515]) == (1, 2, 3)
    store.write(second, painted(second, (10, 10, 1), (100, 100, 2)))  # the layer still says 1 and 2
    whole = images.read(store.path, labels=True).data
    assert (whole[1015, 515], whole[1105, 605]) == (3, 4)
    assert len(np.unique(whole)) == 5


def test_an_object_over_a_border_keeps_its_number(store):
    first = store.read(((0, 600), (0, 600)))
    store.write(first, painted(first, (560, 560, 7)))
    beside = store.read(((570, 900), (570, 900)))
    assert set(np.unique(beside.labels)) == {0, 1}
    store.write(beside, painted(beside, (5, 5, 1), (100, 100, 2)))
    whole = images.read(store.path, labels=True).data
    assert (whole[562, 562], whole[590, 590], whole[675, 675]) == (1, 1, 2)


def test_lower_resolutions_follow(store):
    region = store.read(((513, 901), (301, 777)))
    store.write(region, painted(region, (0, 0, 1), (200, 200, 2)))
    (found,) = resolutions(store.path)
    assert found.is_labels
    full = np.asarray(found.arrays[0][...])
    for k, level in enumerate(found.arrays):
        np.testing.assert_array_equal(np.asarray(level[...]), full[:: 2**k, :: 2**k])


def test_what_another_program_wrote_is_not_overwritten(store):
    box = ((0, 100), (0, 100))
    mine, theirs = store.read(box), store.read(box)
    store.write(theirs, painted(theirs, (10, 10, 1)))
    with pytest.raises(DojoError, match="were changed"):
        store.write(mine, painted(mine, (50, 50, 1)))
    assert images.read(store.path, labels=True).data[15, 15] == 1
