"""Boxes as keys, one in another, with a rim, in other pixels, and in the middle."""

from __future__ import annotations

import numpy as np
import pytest

from napari_dojo.boxes import middle, scaled, slices, wider, within


def test_a_box_in_a_part_is_the_box_in_the_whole() -> None:
    whole = np.arange(20 * 30).reshape(20, 30)
    box = ((4, 9), (0, 7))
    wide = wider(box, 3, whole.shape)
    assert wide == ((1, 12), (0, 10))
    np.testing.assert_array_equal(whole[slices(wide)][slices(within(box, wide))], whole[slices(box)])


def test_a_box_of_pixels_that_are_divided() -> None:
    coarse = np.arange(12).reshape(3, 4)
    fine = coarse.repeat(2, 0).repeat(3, 1)
    box = ((1, 3), (2, 4))
    np.testing.assert_array_equal(fine[slices(scaled(box, (2, 3)))][::2, ::3], coarse[slices(box)])


@pytest.mark.parametrize(("n", "edge", "wanted"), [(10, 4, (3, 7)), (11, 4, (3, 7)), (5, 5, (0, 5)), (3, 8, (0, 3))])
def test_the_middle(n: int, edge: int, wanted: tuple[int, int]) -> None:
    x = np.arange(n)
    assert x[middle(x.shape, edge)].tolist() == list(range(*wanted))
    pair = np.ones((n, 20))[middle((n, 20), (edge, 6))]
    assert pair.shape == (wanted[1] - wanted[0], 6)
