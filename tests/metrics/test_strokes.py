from __future__ import annotations

import numpy as np
import pytest

from napari_dojo.errors import DojoError
from napari_dojo.metrics.base import pool
from napari_dojo.metrics.strokes import StrokeCounts


def strokes():
    """Two objects with strokes of 4 px, background strokes of 10 px."""
    y = np.zeros((10, 10), int)
    y[0] = 1
    y[3, 1:5], y[6, 1:5] = 2, 3
    return y


def predicted(*boxes):
    p = np.zeros((10, 10), int)
    for k, (rows, columns) in enumerate(boxes):
        p[rows, columns] = k + 1
    return p


def test_strokes_in_separate_objects():
    counts = StrokeCounts.of(strokes(), predicted((slice(2, 5), slice(0, 6)), (slice(5, 8), slice(0, 6))))
    assert counts == StrokeCounts(2, 2, 0, 10, 10)
    assert counts.selection_score == 1
    assert counts.sentence == "2 of 2 strokes in separate objects, 100% of the background's in none"


def test_one_object_for_two_strokes_is_no_match():
    counts = StrokeCounts.of(strokes(), predicted((slice(2, 8), slice(0, 6))))
    assert (counts.detected, counts.merged) == (0, 2)
    assert counts.selection_score == 0.5


def test_background_strokes_in_objects_count_against_it():
    counts = StrokeCounts.of(strokes(), predicted((slice(0, 5), slice(0, 5)), (slice(5, 8), slice(0, 6))))
    assert (counts.background, counts.outside, counts.detected) == (10, 5, 2)
    assert counts.selection_score == 0.75


def test_less_than_half_a_stroke_is_no_match():
    counts = StrokeCounts.of(strokes(), predicted((slice(3, 4), slice(1, 2)), (slice(5, 8), slice(0, 6))))
    assert counts.detected == 1


def test_a_stroke_half_in_each_of_two_objects_counts_once():
    counts = StrokeCounts.of(strokes(), predicted((slice(3, 4), slice(1, 3)), (slice(3, 4), slice(3, 5))))
    assert (counts.detected, counts.selection_score) == (1, 0.75)


def test_outside_of_the_region_nothing_counts():
    region = np.zeros((10, 10), bool)
    region[2:5] = True
    counts = StrokeCounts.of(strokes(), predicted((slice(2, 5), slice(0, 6))), region)
    assert (counts.objects, counts.detected, counts.background) == (1, 1, 0)


def test_no_strokes_are_perfect_and_add_nothing():
    none = StrokeCounts.of(np.zeros((10, 10), int), predicted((slice(2, 5), slice(0, 6))))
    some = StrokeCounts.of(strokes(), predicted((slice(2, 5), slice(0, 6))))
    assert none.selection_score == 1
    assert pool([none, some]) == some
    assert some.as_dict()["objects"] == 2


def test_sizes_must_agree():
    with pytest.raises(DojoError, match="same size"):
        StrokeCounts.of(np.zeros((4, 4)), np.zeros((4, 5)))
