from __future__ import annotations

import numpy as np
import pytest

from napari_dojo.data.kinds import CLASSES, LABELS, renumbered
from napari_dojo.errors import DojoError


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.uint64])
def test_objects_are_numbered_in_the_order_of_their_numbers(dtype):
    y = np.array([[0, 7, 7, 0], [3, 3, 0, 200]], dtype)
    found = renumbered(y)
    assert found.dtype == np.int32
    assert found.tolist() == [[0, 2, 2, 0], [1, 1, 0, 3]]


@pytest.mark.parametrize("background", [0, 5])
def test_large_numbers_are_no_list(background):
    """2^40 of them would not fit in memory."""
    y = np.array([[background, 2**40, 2**31 - 1]])
    assert renumbered(y).tolist() == ([[0, 2, 1]] if background == 0 else [[1, 3, 2]])


def test_negative_numbers_are_background_and_nothing_is_no_object():
    assert renumbered(np.array([[-3, 0, 4]])).tolist() == [[0, 0, 1]]
    assert renumbered(np.zeros((0, 4), int)).shape == (0, 4)


def test_objects_may_have_any_number_and_classes_those_of_a_prediction():
    large = np.array([[0, 3_000_000_000]], np.uint32)
    np.testing.assert_array_equal(LABELS.checked(large, "a"), large)
    with pytest.raises(DojoError, match="those of a go up to 3000000000"):
        CLASSES.checked(large, "a")
    np.testing.assert_array_equal(CLASSES.checked(large // 2, "a"), large // 2)
