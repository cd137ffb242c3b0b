from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_dojo.models.cover import COLOURS, overlay

TRUTH = np.kron(np.array([[1, 0, 2], [0, 0, 0], [3, 0, 0]]), np.ones((5, 5), int))  # three squares of 5 x 5
# two of them, and one false positive
FOUND = np.kron(np.array([[7, 0, 8], [0, 0, 0], [0, 0, 9]]), np.ones((5, 5), int))
NOTHING = np.zeros((15, 15), int)


def colour(name: str) -> list[int]:
    return [int(COLOURS[name][i : i + 2], 16) for i in (1, 3, 5)]


def test_overlay_colours_detected_missed_and_false_positives() -> None:
    image = np.tile(np.linspace(0, 1000, 15), (1, 15, 1))
    picture = overlay(image, FOUND, TRUTH)
    assert picture.dtype == np.uint8
    assert picture.shape == (15, 15, 3)
    assert picture[4, 4].tolist() == picture[4, 10].tolist() == colour("matched")
    assert picture[10, 0].tolist() == colour("missed")
    assert picture[10, 14].tolist() == colour("false positive")
    inside = picture[2, 2]
    assert inside[0] == inside[1] == inside[2]  # the image shows through, in grey
    assert picture[7, 0, 0] == 0
    assert picture[7, 14, 0] == 190


def test_overlay_without_truth_draws_all_alike() -> None:
    picture = overlay(np.zeros((1, 15, 15)), FOUND)
    coloured = picture.any(-1)
    assert (picture[coloured] == colour("matched")).all()
    assert np.array_equal(coloured, _edges(FOUND))


def test_overlay_of_a_colour_image() -> None:
    image = np.zeros((3, 15, 15))
    image[1, :, 8:] = 1
    assert overlay(image, NOTHING)[3, 12].tolist() == [0, 190, 0]


def test_overlay_of_a_volume_shows_the_plane_with_the_most_objects() -> None:
    labels = np.stack([NOTHING, FOUND, NOTHING])
    image = np.random.default_rng(0).uniform(size=(1, 3, 15, 15))
    picture = overlay(image, labels, np.stack([NOTHING, TRUTH, NOTHING]))
    assert picture[4, 4].tolist() == colour("matched")
    assert picture[10, 0].tolist() == colour("missed")


@pytest.mark.parametrize("value", [0, np.nan, 5])
def test_overlay_of_an_empty_image(value: float) -> None:
    assert not overlay(np.full((2, 15, 15), value), NOTHING, NOTHING).any()


def _edges(labels: NDArray[Any]) -> NDArray[np.bool_]:
    from skimage.segmentation import find_boundaries

    return np.asarray(find_boundaries(labels, connectivity=1, mode="inner"))
