"""Test-time augmentation."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
import pytest

from napari_dojo.events import Event, Progress, result_of
from napari_dojo.inference.tta import Maps, averaged, orientations


@pytest.mark.parametrize(
    ("wanted", "stride", "scale", "quarter", "count"),
    [(8, (4, 4), (1, 1), True, 8), (8, (4, 4), (2, 1), True, 4), (8, (4, 2), (1, 1), True, 4),
     (8, (4, 4), (1, 1), False, 4), (2, (4, 4), (1, 1), True, 2)],
)  # fmt: skip
def test_orientations(wanted: int, stride: tuple[int, ...], scale: tuple[int, ...], quarter: bool, count: int) -> None:
    assert orientations(wanted, stride, scale, quarter) == count


def same(x: np.ndarray) -> Generator[Event, None, Maps]:
    """A network that changes nothing, in two tiles."""
    yield Progress(1, 2)
    yield Progress(2, 2)
    return np.array(x)


def first_row(x: np.ndarray) -> Generator[Event, None, Maps]:
    """A network that sees only the upper row."""
    yield Progress(1, 1)
    y = np.zeros_like(x)
    y[..., 0, :] = x[..., 0, :]
    return y


@pytest.mark.parametrize("count", range(1, 9))
def test_what_does_not_depend_on_the_orientation_comes_back(count: int) -> None:
    x = np.random.default_rng(0).random((2, 6, 9)).astype(np.float32)
    mean, deviation = result_of(averaged(same, x, count))
    np.testing.assert_allclose(mean, x, atol=1e-6)
    np.testing.assert_allclose(deviation, 0, atol=1e-6)


def test_all_eight_are_different() -> None:
    x = np.ones((1, 4, 4), np.float32)
    mean, deviation = result_of(averaged(first_row, x, 8))
    wanted = np.zeros((4, 4))
    for edge in ((0, slice(None)), (-1, slice(None)), (slice(None), 0), (slice(None), -1)):
        wanted[edge] += 0.25  # each edge is the upper row in two of the eight
    np.testing.assert_allclose(mean[0], wanted, atol=1e-6)
    np.testing.assert_allclose(deviation[0], np.sqrt(wanted - wanted**2), atol=1e-6)


def test_progress_is_that_of_all() -> None:
    said = list(averaged(same, np.zeros((1, 4, 4), np.float32), 4))
    assert said == [Progress(i + 1, 8) for i in range(8)]
