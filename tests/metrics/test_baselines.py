from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_dojo.metrics.baselines import otsu_watershed
from napari_dojo.metrics.objects import InstanceCounts


def discs(centres: list[tuple[float, ...]], shape: tuple[int, ...], radius: float = 8) -> NDArray[np.int64]:
    """Discs or balls, the nearest centre first."""
    grid = np.moveaxis(np.indices(shape), 0, -1)[..., None, :]
    distance = np.linalg.norm(grid - np.array(centres), axis=-1)
    return np.where(distance.min(-1) <= radius, distance.argmin(-1) + 1, 0)


def picture(truth: NDArray[np.int64]) -> NDArray[np.float64]:
    """Bright objects on a dark ground with noise, (1, *S)."""
    return (truth > 0)[None] * 200.0 + np.random.default_rng(0).normal(20, 5, (1, *truth.shape))


@pytest.mark.parametrize(
    ("centres", "shape"),
    [
        ([(15, 15), (15, 29), (45, 40)], (60, 64)),  # the first two touch
        ([(12, 12, 12), (12, 12, 26)], (24, 24, 40)),
    ],
)
def test_touching_objects_are_separated(centres: list[tuple[float, ...]], shape: tuple[int, ...]) -> None:
    truth = discs(centres, shape)
    labels = otsu_watershed(picture(truth))
    assert labels.dtype == np.int32
    assert labels.shape == shape
    assert np.unique(labels).tolist() == list(range(len(centres) + 1))
    assert InstanceCounts.of(truth, labels).ap["0.8"] == 1.0


def test_gain_and_offset_do_not_matter() -> None:
    x = picture(discs([(15, 15), (40, 40)], (60, 60)))
    assert np.array_equal(otsu_watershed(x), otsu_watershed(x * 0.25 + 200))
    assert np.array_equal(otsu_watershed(x), otsu_watershed(np.concatenate([x, x * 3])))


def test_specks_are_dropped() -> None:
    truth = discs([(15, 15), (40, 40)], (60, 60))
    truth[52:56, 3:7] = 3
    assert otsu_watershed(picture(truth)).max() == 2
    assert otsu_watershed(picture(truth), smallest=1).max() == 3


@pytest.mark.parametrize("x", [np.zeros((1, 9, 9)), np.full((2, 5, 6, 7), 300, np.uint16), np.zeros((1, 0, 4))])
def test_constant_and_empty_images_have_no_objects(x: NDArray[np.float64]) -> None:
    labels = otsu_watershed(x)
    assert labels.shape == x.shape[1:]
    assert not labels.any()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_pixels_that_are_no_number(value: float) -> None:
    truth = discs([(15, 15), (40, 40)], (60, 60))
    x = picture(truth)
    x[0, 0, :5] = value
    assert InstanceCounts.of(truth, otsu_watershed(x)).detected == 2
    assert not otsu_watershed(np.full((1, 8, 8), value)).any()


def test_one_pixel() -> None:
    assert otsu_watershed(np.ones((1, 1, 1))).tolist() == [[0]]
