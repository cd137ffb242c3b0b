"""Objects without a label, found by what labelled ones look like."""

from __future__ import annotations

import numpy as np
import pytest

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


def test_objects_outside_of_a_region():
    y = np.zeros((20, 20), int)
    y[2:6, 2:6], y[2:6, 12:16], y[10:14, 8:12] = 7, 300, 9
    region = np.zeros((20, 20), bool)
    region[:, :10] = True
    assert outside(y, region) == 1
    assert outside(y, ~region) == 1
    assert outside(y, np.ones((20, 20), bool)) == 0
