"""Places to annotate next: spread over images, with objects."""

from __future__ import annotations

import numpy as np

from napari_dojo.inference.places import Place, accepted_in, next_places, places_in, spread


def dots(shape, *middles):
    labels = np.zeros(shape, np.int32)
    for n, (y, x) in enumerate(middles, 1):
        labels[y - 2 : y + 3, x - 2 : x + 3] = n
    return labels


def test_boxes_cover_the_image_and_count_their_objects():
    labels = dots((100, 150), (10, 10), (20, 30), (90, 140))
    found = places_in(labels, 50, image=3)
    covered = np.zeros(labels.shape, bool)
    for place in found:
        covered[place.slices] = True
        assert place.image == 3
    assert covered.all()
    assert next(p for p in found if p.start == (0, 0)).objects == 2
    assert next(p for p in found if p.start == (50, 100)).objects == 1
    assert places_in(labels[:30], 50)[0].edge == (30, 50)


def test_what_is_mostly_done_is_no_place():
    done = np.zeros((100, 100), bool)
    done[:, :60] = True
    assert all(p.start[1] >= 50 or done[p.slices].mean() <= 0.5 for p in places_in(dots((100, 100)), 50, done=done))
    assert not places_in(dots((100, 100)), 50, done=np.ones((100, 100), bool))


def test_each_place_is_far_from_those_before():
    row = [Place(0, (0, x), (10, 10), objects=1) for x in range(0, 100, 10)]
    assert [p.start[1] for p in spread(row, [row[0]], 2)] == [90, 40]
    others = [Place(k, (0, 0), (10, 10), objects=1) for k in range(1, 6)]
    assert [p.image for p in spread([*row, *others], [row[5]], 2)] == [5, 2]  # images without any, far apart
    assert len(spread(row, [], 99)) == 10
    assert spread([], row, 3) == []


def test_the_score_counts_where_a_place_is_free():
    best, near, weak = (Place(0, (0, x), (10, 10), score=s) for x, s in ((0, 1.0), (2, 0.9), (50, 0.5)))
    assert spread([near, weak, best], [], 2, by_score=True) == [best, weak]


def test_next_places_of_a_series_begin_where_nothing_is_accepted():
    labels = np.stack([dots((64, 64), (10, 10), (50, 50))] * 3)
    accepted = np.zeros(labels.shape, np.uint8)
    accepted[1, 5:15, 5:15] = 1
    first, second, third = next_places(labels, accepted, 32, 3)
    assert {first.image, second.image} == {0, 2}
    assert first.reason == "Nothing is accepted in this image yet."
    assert third.reason in ("Far from all that is accepted.", "Nothing is accepted in this image yet.")
    assert all(p.objects for p in (first, second, third))


def test_without_objects_all_places_count():
    found = next_places(np.zeros((64, 64), np.int32), None, 32, 4)
    assert len(found) == 4
    assert found[0].reason == "Nothing is accepted yet: places are spread evenly."


def test_accepted_places_lie_in_the_middle_of_what_is_accepted():
    mask = np.zeros((64, 64), bool)
    mask[10:20, 40:50] = True
    assert [p.middle for p in accepted_in(mask, 64, 2)] == [(14.0, 44.0)]
