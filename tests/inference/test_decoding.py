"""Decoding in steps gives what decoding at once does."""

from __future__ import annotations

import numpy as np
import pytest
from partition import same_objects
from scipy.spatial import cKDTree

from napari_dojo.events import Progress, result_of
from napari_dojo.inference.decoding import decode_steps
from napari_dojo.tasks import TASKS

INSTANCES = TASKS["instances"]
OPTIONS = INSTANCES.options(diameter=20.0)


def discs(size, count, radius, seed=0):
    """Maps of separate and overlapping discs."""
    rng = np.random.default_rng(seed)
    far = cKDTree(rng.random((count, 2)) * size).query(np.indices(size).reshape(2, -1).T)[0].reshape(size)
    depth = np.clip(1 - far / radius, 0, 1).astype(np.float32)
    return np.stack([np.where(far < radius, 5, -5).astype(np.float32), depth])


def tissue(size, count):
    """Maps of cells that fill the image."""
    points = np.random.default_rng(1).random((count, 2)) * size
    d = cKDTree(points).query(np.indices(size).reshape(2, -1).T, k=2)[0]
    depth = np.clip((d[:, 1] - d[:, 0]) / 40, 0, 1).reshape(size).astype(np.float32)
    return np.stack([np.full(size, 5, np.float32), depth])


@pytest.mark.parametrize(
    "maps",
    [lambda: discs((900, 1400), 700, 12), lambda: tissue((800, 900), 60), lambda: discs((800, 800), 9, 150)],
    ids=["discs", "tissue", "large"],
)
def test_blocks_give_the_objects_of_the_whole(maps):
    maps, decoding = maps(), INSTANCES.decoding()
    whole = INSTANCES.decode(maps, decoding, OPTIONS)
    found = result_of(decode_steps(INSTANCES, maps, decoding, OPTIONS))
    assert same_objects(found, whole)
    np.testing.assert_array_equal(np.unique(found), np.unique(whole))


def test_it_says_how_far_it_is():
    steps = decode_steps(INSTANCES, discs((900, 1400), 50, 12), INSTANCES.decoding(), OPTIONS)
    assert next(steps) == Progress(0, 6)
    assert next(steps) == Progress(1, 6)


def test_small_images_and_classes_are_one_step():
    maps = discs((200, 200), 20, 12)
    assert list(decode_steps(INSTANCES, maps, INSTANCES.decoding(), OPTIONS)) == []
    semantic = TASKS["semantic"]
    options = semantic.options(values=(1, 2), classes=("a", "b"))
    large = np.zeros((2, 900, 900), np.float32)
    assert list(decode_steps(semantic, large, semantic.decoding(), options)) == []
