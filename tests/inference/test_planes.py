from __future__ import annotations

import numpy as np
import pytest

from napari_dojo.inference.planes import Plane, next_plane


def stack(blurred=9):
    """Discs in 20 planes (planes, Y, X), one of which is hardly visible, and what is background (1) and object (2)."""
    rows, columns = np.indices((64, 64))
    truth = np.where((rows % 32 - 16) ** 2 + (columns % 32 - 16) ** 2 < 80, 2, 1)
    image = np.stack([truth == 2] * 20).astype(np.float32)
    image[blurred] *= 0.4
    return image + np.random.default_rng(0).normal(0, 0.08, image.shape).astype(np.float32), truth


def test_the_plane_that_is_least_sure_is_found():
    image, truth = stack()
    classes = np.zeros(image.shape, np.int32)
    classes[[0, 19]] = truth
    plane = next_plane(lambda i: image[i][None], classes)
    assert plane.index == 9
    assert plane.doubt > 0.01
    assert "The least sure" in plane.reason()


@pytest.mark.parametrize(("done", "index"), [((), 9), ((0, 19), 9), ((9,), 19)])
def test_without_two_classes_the_largest_gap_is_filled(done, index):
    image, _ = stack()
    classes = np.zeros(image.shape, np.int32)
    classes[list(done)] = 1
    assert next_plane(lambda i: image[i][None], classes) == Plane(index)


def test_all_are_annotated():
    assert next_plane(lambda i: np.zeros((1, 8, 8)), np.ones((3, 8, 8), np.int32)) is None
