"""Accepted objects as tests of a retrained model."""

from __future__ import annotations

import numpy as np
import pytest

from napari_dojo.errors import DojoError
from napari_dojo.metrics.corrections import (
    classes_fixed_and_broken,
    fixed_and_broken,
    strokes_fixed_and_broken,
)


def squares(*places, size=6, shape=(40, 60)):
    labels = np.zeros(shape, np.int32)
    for n, (y, x) in places:
        labels[y : y + size, x : x + size] = n
    return labels


A, B, C = (7, (2, 2)), (3, (2, 20)), (900, (20, 2))


def test_fixed_and_broken_with_their_places():
    labels = squares(A, B, C)
    checked = fixed_and_broken(labels, squares((1, A[1]), (2, B[1])), squares((5, B[1]), (9, C[1])))
    assert [c.number for c in checked.fixed] == [900]
    assert [c.number for c in checked.broken] == [7]
    assert all(labels[c.place] == c.number for c in checked.fixed + checked.broken)
    assert (checked.objects, checked.before, checked.after) == (3, 2, 2)
    assert checked.sentence == "accepted 3 · fixed 1 · broke 1"
    assert not checked.lost


def test_two_that_were_merged_are_fixed():
    labels = squares((1, A[1]), (2, (2, 8)))
    checked = fixed_and_broken(labels, np.where(labels > 0, 1, 0), labels)
    assert (checked.before, checked.after) == (1, 2)  # half of it has an IoU of exactly .5 with one of them
    assert len(checked.fixed) == 1
    assert not checked.broken


def test_false_positives_in_accepted_background_count():
    labels = squares(A)
    old, new = squares(A, (2, (30, 40))), squares(A, (8, (30, 2)), (9, (10, 40)))
    checked = fixed_and_broken(labels, old, new)
    assert [(c.number, old[c.place]) for c in checked.fixed] == [(0, 2)]
    assert sorted((c.number, int(new[c.place])) for c in checked.broken) == [(0, 8), (0, 9)]
    assert checked.lost


def test_only_accepted_places_are_checked():
    labels = squares(A, B)
    accepted = np.zeros(labels.shape, bool)
    accepted[:, :15] = True
    checked = fixed_and_broken(labels, squares(A), squares(A, (5, (30, 40))), accepted)
    assert (checked.objects, checked.fixed, checked.broken) == (1, (), ())


def test_frames_are_apart_and_sums_add_up():
    labels = np.stack([squares((1, A[1])), squares((1, B[1]))])
    empty = np.zeros_like(labels)
    checked = fixed_and_broken(labels, empty, labels, apart=1)
    assert [c.place[0] for c in checked.fixed] == [0, 1]
    both = checked + fixed_and_broken(labels, labels, empty, apart=1)
    assert (both.objects, len(both.fixed), len(both.broken)) == (4, 2, 2)


def test_the_same_prediction_changes_nothing():
    rng = np.random.default_rng(0)
    labels, found = rng.integers(0, 6, (2, 20, 20))
    checked = fixed_and_broken(labels, found, found)
    assert (checked.fixed, checked.broken) == ((), ())


def test_nothing_accepted():
    empty = np.zeros((5, 5), np.int32)
    assert fixed_and_broken(empty, empty, empty).sentence == "accepted 0 · fixed 0 · broke 0"


def test_other_sizes_are_refused():
    with pytest.raises(DojoError):
        fixed_and_broken(np.zeros((5, 5), int), np.zeros((5, 6), int), np.zeros((5, 5), int))


def test_strokes_are_right_where_each_lies_in_an_object_of_its_own():
    strokes = np.zeros((20, 40), np.int32)
    strokes[5, 2:8], strokes[5, 12:18], strokes[15, 2:8], strokes[15, 20:30] = 2, 5, 1, 1
    merged, apart = np.zeros((2, 20, 40), np.int32)
    merged[3:8, 1:19] = 1
    apart[3:8, 1:9], apart[3:8, 11:19], apart[14:17, 18:32] = 1, 2, 3
    checked = strokes_fixed_and_broken(strokes, merged, apart)
    assert sorted(c.number for c in checked.fixed) == [2, 5]
    assert [c.number for c in checked.broken] == [0]  # an object on the background
    assert strokes[checked.broken[0].place] == 1
    assert (checked.objects, checked.before, checked.after) == (4, 2, 3)
    assert checked.counted("strokes") == "strokes 4 · fixed 2 · broke 1"


def test_strokes_of_classes_and_frames():
    labels = np.zeros((2, 10, 10), np.int32)
    labels[0, 2, :4], labels[0, 8, :4], labels[1, 5, 5:] = 1, 2, 2
    before, after = np.ones_like(labels), np.full_like(labels, 2)
    checked = classes_fixed_and_broken(labels, before, after, apart=1)
    assert [(c.number, c.place[0]) for c in checked.fixed] == [(2, 0), (2, 1)]
    assert [(c.number, labels[c.place]) for c in checked.broken] == [(1, 1)]
    only = classes_fixed_and_broken(labels, before, after, accepted=np.arange(2)[:, None, None] + 0 * labels, apart=1)
    assert only.objects == 1


@pytest.mark.parametrize("apart", [0, 1])
def test_an_object_at_the_edge_of_an_accepted_place_is_checked_as_a_whole_or_not_at_all(apart: int):
    labels = np.stack([squares(A), squares(A)])
    accepted = np.zeros(labels.shape, bool)
    accepted[:, :, :5] = True  # half of it
    longer, shorter = labels.copy(), np.where(np.arange(60) == 7, 0, labels)  # by two columns, which are not accepted
    longer[:, 2:8, 8:10] = 7
    checked = fixed_and_broken(labels, shorter, longer, accepted, apart=apart)
    assert (checked.objects, checked.before, checked.after) == (1 + apart, 1 + apart, 1 + apart)
    assert not checked.fixed + checked.broken
    accepted[:, :, 4] = False  # less than half of it: what is predicted there is nobody's mistake
    checked = fixed_and_broken(labels, labels, shorter, accepted, apart=apart)
    assert (checked.objects, checked.fixed, checked.broken) == (0, (), ())
