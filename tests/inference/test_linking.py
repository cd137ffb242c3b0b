"""Objects through planes, and before and after a change."""

from __future__ import annotations

import numpy as np
import pytest

from napari_dojo.data.axes import Axes
from napari_dojo.data.kinds import CLASSES, LABELS
from napari_dojo.inference.linking import link_planes, linked_axes, same_numbers


def stack():
    """Two columns that shrink upwards, numbered the other way round in every second plane, and one object in one plane."""
    planes = np.zeros((4, 20, 30), np.int32)
    for z in range(4):
        a, b = (1, 2) if z % 2 == 0 else (2, 1)
        planes[z, 2 : 12 - 2 * z, 2 : 12 - 2 * z] = a
        planes[z, 2:12, 18:28] = b
    planes[2, 15:18, 2:6] = 3
    return planes


def test_planes_are_linked_where_objects_overlap():
    labels = stack()
    link_planes(labels, Axes("ZYX", "YX"), "link")
    assert np.unique(labels).tolist() == [0, 1, 2, 3]
    assert np.unique(labels[:, 2:12, 2:12]).tolist() == [0, 1]
    assert np.unique(labels[:, 2:12, 18:28]).tolist() == [2]
    assert np.unique(labels[2, 15:18]).tolist() == [0, 3]


def test_or_numbered_without_a_number_in_two_planes():
    labels = stack()
    link_planes(labels, Axes("ZYX", "YX"), "number")
    assert [np.unique(y[y > 0]).tolist() for y in labels] == [[1, 2], [3, 4], [5, 6, 7], [8, 9]]


@pytest.mark.parametrize("names", ["TZYX", "ZTYX"])
def test_each_time_point_is_linked_by_itself(names):
    series = np.stack([stack(), stack()[::-1]], names.index("T"))
    link_planes(series, Axes(names, "YX"), "link")
    first, second = np.moveaxis(series, names.index("T"), 0)
    assert np.unique(first).tolist() == np.unique(second).tolist() == [0, 1, 2, 3]


def test_what_is_no_stack_of_planes_stays():
    volume, flat = stack(), stack()
    link_planes(volume, Axes("ZYX", "ZYX"), "link")
    link_planes(flat, Axes("TYX", "YX"), "link")
    np.testing.assert_array_equal(volume, stack())
    np.testing.assert_array_equal(flat, stack())


def test_the_axes_say_what_is_an_object():
    assert linked_axes(Axes("ZYX", "YX"), LABELS, "link").spatial == "ZYX"
    assert linked_axes(Axes("ZYX", "YX"), LABELS, "number").spatial == "YX"
    assert linked_axes(Axes("TYX", "YX"), LABELS, "link").spatial == "YX"
    assert linked_axes(Axes("ZYX", "YX"), CLASSES, "link").spatial == "YX"


def test_numbers_stay_with_their_objects():
    before = np.zeros((20, 40), np.int32)
    before[2:8, 2:8], before[2:8, 12:18], before[2:8, 22:28], before[2:8, 32:38] = 1, 2, 3, 4
    after = np.zeros_like(before)  # the first is gone, the second smaller, the third split, and there is a new one
    after[3:7, 13:17], after[2:8, 22:26], after[2:8, 26:28], after[2:8, 32:38], after[12:15, 2:5] = 1, 2, 3, 4, 5
    found = same_numbers(before, after)
    assert found[4, 14] == 2
    assert found[4, 23] == 3
    assert found[4, 33] == 4
    assert {found[4, 27], found[13, 3]} == {1, 5}
    np.testing.assert_array_equal(found > 0, after > 0)
    np.testing.assert_array_equal(same_numbers(before, before[:, :] * 7), before)
    assert not same_numbers(before, np.zeros_like(before)).any()
    np.testing.assert_array_equal(same_numbers(np.zeros_like(before), after), after)
    far = np.where(before > 0, before + 2_000_000_000, 0)  # no list of that many
    np.testing.assert_array_equal(same_numbers(far, before), far)
