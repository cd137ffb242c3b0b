"""Digits of scikit-learn and simulated cells, shifted by whole pixels, and drawings that are made to look like them."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from napari_dojo.errors import DojoError
from napari_dojo.playground.image_settings import ImageSet
from napari_dojo.playground.images import cells, digits, draw_images, normalized, placed, read_as, shifted


def test_they_are_the_digits_of_scikit_learn() -> None:
    images, value = digits()
    known = load_digits()
    np.testing.assert_array_equal(images * 16, known.images)
    np.testing.assert_array_equal(value, known.target)


def test_parts_do_not_overlap() -> None:
    drawn = draw_images(ImageSet(training=20, validation=10, test=5), np.random.default_rng(0))
    assert drawn.x.shape == (35, 12, 12, 1)
    assert [drawn.part(name) for name in ("training", "validation", "test")] == [
        slice(0, 20),
        slice(20, 30),
        slice(30, 35),
    ]
    assert len(np.unique(drawn.x.reshape(35, -1), axis=0)) == 35
    with pytest.raises(DojoError, match="There are 1797 images"):
        ImageSet(training=1700)
    with pytest.raises(DojoError, match="There are 1200 images"):
        ImageSet(content="cells", training=1000)


def test_cells_of_four_types_are_bright_on_dark() -> None:
    x, value = cells()
    assert x.shape == (1200, 16, 16)
    np.testing.assert_array_equal(np.bincount(value), [300] * 4)
    assert (x.min(), x.max()) == (0, 1)
    assert x[:, 6:10, 6:10].mean() > 5 * x[:, :2].mean()
    rough = [float(np.abs(np.diff(x[value == k][:, 6:10, 6:10])).mean()) for k in range(4)]
    assert rough[1] > 1.3 * rough[0]  # granular and smooth ones
    drawn = draw_images(ImageSet("cells", 20, 10, 5), np.random.default_rng(0))
    assert (drawn.x.shape, drawn.classes) == ((35, 16, 16, 1), 4)


def test_a_drawn_cell_stays_where_it_is() -> None:
    drawn = np.zeros((48, 48), bool)
    drawn[12:24, 30:33] = True
    found = read_as("cells", drawn)
    assert found is not None
    assert (found.shape, found[4:8, 10].min(), np.count_nonzero(found)) == ((16, 16), found.max(), 4)
    assert read_as("cells", np.zeros((48, 48), bool)) is None


def test_a_shift_is_a_shift() -> None:
    x = placed(digits()[0][:3])
    by = np.array([(1, 0), (0, -2), (0, 0)])
    moved = shifted(x, by)
    for one, other, (down, right) in zip(x, moved, by, strict=True):
        np.testing.assert_array_equal(other, np.roll(one, (down, right), (0, 1)))


def test_a_drawing_is_centred_scaled_and_counted() -> None:
    drawn = np.zeros((48, 48), bool)
    drawn[4:20, 30:34] = True  # a bar of 16 x 4 px becomes one of 32 x 8
    small = normalized(drawn)
    assert small is not None
    np.testing.assert_array_equal(small[:, 3:5], 1)
    assert small.sum() == 16
    assert normalized(np.zeros((48, 48), bool)) is None


def test_a_digit_that_is_drawn_large_comes_back() -> None:
    image = digits()[0][0]
    large = np.kron(image > 0.5, np.ones((5, 5), bool))
    back = normalized(large)
    assert back is not None
    assert np.corrcoef(back.ravel(), (image > 0.5).ravel())[0, 1] > 0.5
