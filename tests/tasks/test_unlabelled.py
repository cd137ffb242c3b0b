"""Objects without a label, found by what labelled ones look like."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage.data import coins
from skimage.filters import sobel
from skimage.measure import label
from skimage.segmentation import watershed

from napari_dojo.simulation.microscope import simulate
from napari_dojo.tasks.unlabelled import outside, unlabelled


@pytest.fixture(scope="module")
def scene():
    return simulate("nuclei", (256, 256), 3, diameter=18)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("channel", [0, 1])
def test_those_that_were_left_out_are_found(scene, sign, channel):
    left = np.unique(scene.labels)[2::2]
    y = np.where(np.isin(scene.labels, left), 0, scene.labels)
    noise = np.random.default_rng(0).normal(100, 5, scene.image.shape)
    x = np.stack([noise, noise])
    x[channel] = sign * scene.image.astype(float)
    found = unlabelled(x, y, None, 18)
    assert 0.7 * len(left) <= len(found) <= 1.3 * len(left)
    hit = scene.labels[tuple(np.round(found).astype(int).T)]
    assert np.isin(hit, left).mean() > 0.8
    half = np.indices(y.shape)[1] < 128
    assert (unlabelled(x, y, half, 18)[:, 1] < 130).all()


def test_complete_annotation_misses_nothing(scene):
    assert len(unlabelled(scene.image[None], scene.labels, None, 18)) <= 0.03 * scene.labels.max()


def test_without_contrast_nothing_is_claimed(scene):
    noise = np.random.default_rng(0).normal(size=(1, 256, 256))
    assert len(unlabelled(noise, np.where(scene.labels > 5, scene.labels, 0), None, 18)) == 0
    assert len(unlabelled(scene.image[None], np.where(scene.labels < 2, scene.labels, 0), None, 18)) == 0


def test_bright_halos_are_no_objects():
    """Phase contrast: cells are dark and bright, their halos bright."""
    for seed in (300, 303, 306, 309):
        scene = simulate("cells", (224, 224), seed, contrast="phase", density=0.2)
        x = scene.image if scene.image.ndim == 3 else scene.image[None]
        area = np.median(np.bincount(scene.labels.ravel())[1:])
        assert len(unlabelled(x[:1], scene.labels, None, 2 * np.sqrt(area / np.pi))) == 0


def test_what_is_out_of_focus_may_be_unlabelled():
    """Of sharp objects of the same brightness, half taken out, most are found."""
    found = {True: 0, False: 0}
    for seed in (900, 904, 908):
        sharp, other = (
            simulate("nuclei", (224, 224), s, diameter=20, density=0.15, defocus=0.0) for s in (seed, seed + 1000)
        )
        for flat in found:
            more = other.clean - 100.0
            x = sharp.image + (ndimage.gaussian_filter(more, 5.5) if flat else more)
            found[flat] += len(unlabelled(x[None], sharp.labels, None, 20))
    assert found[True] < 0.15 * found[False]


@pytest.mark.parametrize("size", [(96, 96), (24, 96, 96)])
def test_where_nothing_is_as_sharp_as_objects_nothing_is_claimed(size):
    """In images and in volumes."""
    grid = np.indices(size)
    y = np.zeros(size, np.int32)
    middle = [12] * (len(size) - 2)
    for number, place in enumerate([(16, 16), (16, 48), (16, 80), (48, 16)], 1):
        y[sum((g - c) ** 2 for g, c in zip(grid, [*middle, *place], strict=True)) <= 64] = number
    blurred = np.exp(-sum((g - c) ** 2 for g, c in zip(grid, [*middle, 70, 70], strict=True)) / (2 * 9.0**2))
    x = 100 + 200.0 * (y > 0) + 150 * blurred + np.random.default_rng(0).normal(0, 2, size)
    assert unlabelled(x[None], y, None, 16).shape == (0, len(size))


def test_a_ground_as_bright_as_objects_is_no_object():
    """Coins in uneven light: parts of the ground are as bright as coins."""
    x = coins()
    markers = np.where(x > 150, 2, np.where(x < 30, 1, 0))
    y = label(ndimage.binary_opening(ndimage.binary_fill_holes(watershed(sobel(x), markers) == 2), iterations=3))
    assert y.max() == 24
    assert len(unlabelled(x[None], y, None, 43)) == 0
    half = np.where(y % 2, y, 0)
    assert 8 <= len(unlabelled(x[None], half, None, 43)) <= 14


def test_objects_outside_of_a_region():
    y = np.zeros((20, 20), int)
    y[2:6, 2:6], y[2:6, 12:16], y[10:14, 8:12] = 7, 300, 9
    region = np.zeros((20, 20), bool)
    region[:, :10] = True
    assert outside(y, region) == 1
    assert outside(y, ~region) == 1
    assert outside(y, np.ones((20, 20), bool)) == 0
