from __future__ import annotations

import numpy as np
import pytest

from napari_dojo.data.pixel_classifier import PixelClassifier, pixel_features


def halves(dims, channels=1):
    """Left half dark, right half bright, with noise."""
    x = np.zeros((channels, *(16,) * (dims - 1), 32), np.float32)
    x[..., 16:] = 1
    return x + np.random.default_rng(0).normal(0, 0.1, x.shape).astype(np.float32)


@pytest.mark.parametrize(("dims", "channels"), [(2, 1), (2, 3), (3, 1)])
def test_strokes_sort_the_other_pixels(dims, channels):
    x = halves(dims, channels)
    classes = np.zeros(x.shape[1:], np.uint8)
    classes[..., 4, 2:6], classes[..., 4, 26:30] = 3, 7
    features = pixel_features(x)
    assert features.shape[1:] == x.shape[1:]
    assert features.dtype == np.float32
    classifier = PixelClassifier([features], [classes])
    found = classifier.probabilities(features)
    assert classifier.classes == (3, 7)
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-5)
    assert (found[1, ..., 20:] > 0.5).mean() > 0.95
    assert (found[1, ..., :12] < 0.5).mean() > 0.95


def test_the_same_strokes_give_the_same_classifier():
    x = halves(2)
    classes = np.zeros(x.shape[1:], np.uint8)
    classes[4, 2:6], classes[4, 26:30] = 1, 2
    features = pixel_features(x)
    one, other = (PixelClassifier([features], [classes]).probabilities(features) for _ in range(2))
    np.testing.assert_array_equal(one, other)


def test_tiny_images_have_features():
    assert pixel_features(np.zeros((1, 3, 5), np.float32)).shape[1:] == (3, 5)


def test_lines_bridge_a_gap_that_single_pixels_do_not():
    x = np.zeros((1, 48, 48), np.float32)
    x[0, 23:25], x[0, 23:25, 22:26] = 1, 0
    plain, found = pixel_features(x), pixel_features(x, lines=True)
    np.testing.assert_array_equal(found[: len(plain)], plain)
    lines = found[len(plain) :]
    assert lines.shape == (8, 48, 48)
    high = lines[5]  # 2 px wide, the largest over all directions
    low = -lines[4]
    assert max(high[24, 24], low[24, 24]) > 0.5 * max(high[24, 8], low[24, 8])
    assert max(high[24, 24], low[24, 24]) > 5 * max(high[8, 24], low[8, 24])
