from __future__ import annotations

import numpy as np
import pytest

from napari_dojo.data.pointing import around_click, in_box, window_of


def scene(sign=1, shape=(90, 100)):
    """Two touching discs and one alone, on noise; and their labels."""
    rows, columns = np.indices(shape)
    labels = np.zeros(shape, int)
    for n, (r, c, radius) in enumerate(((30, 30, 12), (30, 53, 12), (65, 75, 14)), 1):
        labels[(rows - r) ** 2 + (columns - c) ** 2 <= radius**2] = n
    noise = np.random.default_rng(0).normal(0, 8, shape)
    return 500 + sign * 200.0 * (labels > 0) + noise, labels


def iou(mask, true):
    return (mask & true).sum() / (mask | true).sum()


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("place", [(30, 30), (28, 55), (70, 72)])
@pytest.mark.parametrize("diameter", [None, 25.0])
def test_a_click_outlines_bright_and_dark_objects(sign, place, diameter):
    image, labels = scene(sign)
    mask = around_click(image, place, None, diameter)
    assert iou(mask, labels == labels[place]) > 0.85


@pytest.mark.parametrize("sign", [1, -1])
def test_a_box_outlines_the_object_in_it(sign):
    image, labels = scene(sign)
    assert iou(in_box(image, (slice(50, 81), slice(60, 91))), labels == 3) > 0.9
    assert iou(in_box(image, (slice(17, 44), slice(41, 67))), labels == 2) > 0.85


def test_what_is_taken_is_left_alone():
    image, labels = scene()
    mask = around_click(image, (30, 30), labels == 2)
    assert not (mask & (labels == 2)).any()
    assert around_click(image, (30, 53), labels == 2) is None
    assert not (in_box(image, (slice(17, 44), slice(17, 67)), labels == 2) & (labels == 2)).any()


def test_where_nothing_is_seen():
    empty = np.zeros((60, 60))
    assert around_click(empty, (30, 30)) is None
    ellipse = in_box(empty, (slice(10, 30), slice(20, 50)))
    assert ellipse[20, 35]
    assert not ellipse[11, 21]
    assert ellipse.sum() == pytest.approx(np.pi / 4 * 20 * 30, rel=0.05)
    assert around_click(np.full((60, 60), np.nan), (30, 30)) is None


def test_the_window_suits_the_size():
    assert window_of((100, 50), 20.0) == (slice(68, 133), slice(18, 83))
    assert window_of((100, 50), None)[0].stop > window_of((100, 50), 20.0)[0].stop
