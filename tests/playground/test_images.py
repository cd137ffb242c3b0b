"""Digits: those of scikit-learn, shifted by whole pixels, and drawings that are made to look like them."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from napari_dojo.errors import DojoError
from napari_dojo.playground.image_settings import ImageSet
from napari_dojo.playground.images import digits, draw_images, normalized, placed, shifted


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
