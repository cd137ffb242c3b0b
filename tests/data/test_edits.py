from __future__ import annotations

import time

import numpy as np
import pytest
from scipy import ndimage

from napari_dojo.data import edits
from napari_dojo.data.edits import Edit, Places
from napari_dojo.data.objects import boxes_by_number


def whole(labels):
    return tuple(slice(0, n) for n in labels.shape)


def done(labels, edit):
    after = labels.copy()
    edit.apply(after)
    return after


def connected(mask):
    return ndimage.label(mask, np.ones((3,) * mask.ndim))[1] == 1


def disc(shape, *circles):
    rows, columns = np.indices(shape)
    labels = np.zeros(shape, np.int32)
    for n, (r, c, radius) in enumerate(circles, 1):
        labels[(rows - r) ** 2 + (columns - c) ** 2 <= radius**2] = n
    return labels


@pytest.fixture
def two():
    """Object 1 and object 2 side by side, 3 further away."""
    labels = np.zeros((40, 60), np.int32)
    labels[5:25, 5:20], labels[5:25, 22:40], labels[30:38, 50:58] = 1, 2, 3
    return labels


def test_an_edit_holds_no_more_than_what_changes(two):
    edit = edits.delete(two, 1, whole(two))
    assert edit.box == (slice(5, 25), slice(5, 20))
    assert edit.changed.all()
    after = done(two, edit)
    assert set(np.unique(after)) == {0, 2, 3}
    np.testing.assert_array_equal(done(after, edit.inverse), two)
    assert Edit.of(two, whole(two), two) is None
    assert edits.delete(two, 9, whole(two)) is None


def test_merge_takes_the_first_number(two):
    after = done(two, edits.merge(two, [2, 1, 3], whole(two)))
    np.testing.assert_array_equal(after == 2, two > 0)


@pytest.mark.parametrize(
    "line",
    [
        [(15, 0), (15, 30)],  # across
        [(15, 10), (15, 14)],  # ends inside: continued to both borders
        [(0, 0), (30, 24)],  # diagonally
        [(4, 12), (10, 14), (18, 9), (26, 12)],  # bent
    ],
)
def test_split_gives_two_connected_parts_and_touches_nothing_else(two, line):
    after = done(two, edits.split(two, 1, (slice(5, 25), slice(5, 20)), line, 4))
    np.testing.assert_array_equal(after[two != 1], two[two != 1])
    assert set(np.unique(after[two == 1])) == {1, 4}
    assert connected(after == 1)
    assert connected(after == 4)
    assert (after == 1).sum() >= (after == 4).sum()


def test_split_of_random_shapes_keeps_every_part_connected():
    rng = np.random.default_rng(0)
    split = 0
    for _ in range(60):
        noise = ndimage.gaussian_filter(rng.normal(size=(40, 50)), 4)
        parts, count = ndimage.label(noise > 0)
        n = 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
        line = rng.uniform(0, 40, (2, 2))
        edit = edits.split(parts, n, boxes_by_number(parts)[n], line, count + 1)
        if edit is None:
            continue
        split += 1
        after = done(parts, edit)
        numbers = np.unique(after[parts == n])
        assert len(numbers) >= 2
        assert all(connected(after == k) for k in numbers)
        np.testing.assert_array_equal(after[parts != n], parts[parts != n])
    assert split > 20


def test_a_line_beside_an_object_splits_nothing(two):
    assert edits.split(two, 1, (slice(5, 25), slice(5, 20)), [(30, 0), (30, 40)], 4) is None


def test_split_through_a_volume_and_in_one_plane():
    labels = np.zeros((4, 20, 20), np.uint16)
    labels[:, 4:16, 4:16] = 7
    through = done(labels, edits.split(labels, 7, boxes_by_number(labels)[7], [(10, 0), (10, 19)], 8))
    assert all(set(np.unique(plane)) == {0, 7, 8} for plane in through)
    box = (slice(1, 2), slice(4, 16), slice(4, 16))
    plane = done(labels, edits.split(labels, 7, box, [(10, 0), (10, 19)], 8))
    assert 8 in plane[1]
    np.testing.assert_array_equal(plane[[0, 2, 3]], labels[[0, 2, 3]])


def test_split_seen_from_the_side():
    labels = np.zeros((12, 6, 14), np.uint16)
    labels[2:10, 2:4, 2:12] = 3
    after = done(labels, edits.split(labels, 3, boxes_by_number(labels)[3], [(0, 7), (11, 7)], 4, axes=(0, 2)))
    assert len(np.unique(after[2:10, 2:4, 2:6])) == 1
    assert len(np.unique(after[2:10, 2:4, 9:12])) == 1
    swapped = done(labels, edits.split(labels, 3, boxes_by_number(labels)[3], [(7, 0), (7, 11)], 4, axes=(2, 0)))
    np.testing.assert_array_equal(after, swapped)


def test_drawing_leaves_other_objects(two):
    edit = edits.draw(two, [(3, 3), (3, 30), (28, 30), (28, 3)], 9, whole(two))
    after = done(two, edit)
    np.testing.assert_array_equal(after[two > 0], two[two > 0])
    assert (after[4:28, 4:30][two[4:28, 4:30] == 0] == 9).all()
    assert not (after[:3] == 9).any()
    assert edits.draw(two, [(-9, -9), (-9, -5), (-5, -5)], 9, whole(two)) is None


def test_brush_extends_on_background_and_erases_from_one_object(two):
    path = [(15, 18), (15, 30)]
    extended = done(two, edits.extend(two, 1, path, 4, whole(two)))
    assert (extended[two == 2] == 2).all()
    assert (extended[15, 20:22] == 1).all()
    erased = done(two, edits.erase(two, 1, path, 4, whole(two)))
    assert (erased[two == 2] == 2).all()
    assert (erased[15, 16:20] == 0).all()
    assert (erased[15, 5:13] == 1).all()


@pytest.mark.parametrize("radius", [0.5, 1, 5, 20])
def test_a_brush_is_round_and_has_no_gaps(radius):
    labels = np.zeros((80, 80), np.int32)
    after = done(labels, edits.extend(labels, 1, [(40, 20), (40, 60)], radius, whole(labels)))
    rows, columns = np.mgrid[:80, :80]
    distance = np.hypot(rows - 40, np.maximum(0, np.abs(columns - 40) - 20))
    assert ((after > 0) == (distance <= radius)).mean() > 0.98
    assert connected(after > 0)


def test_holes_and_smoothing():
    labels = disc((60, 60), (30, 30, 15))
    labels[28:32, 28:32] = 0
    labels[30, 31] = 5  # another object in the hole stays
    filled = done(labels, edits.fill_holes(labels, 1, boxes_by_number(labels)[1]))
    assert (filled[28:32, 28:32] == 1).sum() == 15
    assert filled[30, 31] == 5
    rough = disc((60, 60), (30, 30, 15))
    rough[30, 45:55] = 1  # a spike
    after = done(rough, edits.smooth(rough, 1, boxes_by_number(rough)[1], whole(rough)))
    assert not after[30, 49:].any()
    assert abs(int((after > 0).sum()) / (rough > 0).sum() - 1) < 0.05


def test_holes_of_a_volume_are_filled_plane_by_plane():
    labels = np.ones((3, 9, 9), np.int32)
    labels[:, 4, 4] = 0  # a tunnel, that is open at both ends
    filled = done(labels, edits.fill_holes(labels, 1, whole(labels)))
    assert filled.all()


def test_an_accepted_object_counts_with_its_rim_and_not_its_neighbour(two):
    accepted = np.zeros(two.shape, np.uint8)
    box = (slice(5, 25), slice(5, 20))
    assert not edits.is_accepted(two, accepted, 1, box)
    edit = edits.accept(two, accepted, [1], box, whole(two))
    edit.apply(accepted)
    assert accepted[two == 1].all()
    assert not accepted[two == 2].any()
    assert accepted[10, 3:5].all()  # two pixels of background
    assert not accepted[10, :3].any()
    assert edits.is_accepted(two, accepted, 1, box)
    assert edits.accept(two, accepted, [1], box, whole(two)) is None
    edits.withdraw(two, accepted, [1], box, whole(two)).apply(accepted)
    assert not accepted.any()


def test_a_place_counts_without_an_object(two):
    accepted = np.zeros(two.shape, np.uint8)
    place = (slice(0, 3), slice(40, 44))
    also = [(place, np.ones((3, 4), bool))]
    edits.accept(two, accepted, [3], (slice(30, 38), slice(50, 58)), whole(two), also).apply(accepted)
    assert accepted[place].all()
    assert accepted[two == 3].all()
    assert not accepted[10:20].any()


def test_what_a_line_crosses(two):
    assert edits.line_in(two, [(10, 2), (10, 45)], whole(two)) == [1, 2]
    assert edits.line_in(two, [(10, 45), (10, 2)], whole(two)) == [2, 1]
    assert edits.line_in(two, [(0, 0), (2, 2)], whole(two)) == []


def test_places_follow_edits(two):
    places = Places(boxes_by_number(two))
    assert places.largest == 3
    assert places.box(2) == (slice(5, 25), slice(22, 40))
    edit = edits.draw(two, [(30, 2), (30, 9), (36, 9), (36, 2)], 8, whole(two))
    places.note(edit.box, edit.after)
    assert places.largest == 8
    assert places.box(8)[0].start == edit.box[0].start
    assert places.together([1, 8]) == (slice(5, places.box(8)[0].stop), slice(2, 20))
    assert places.box(77) is None


def test_huge_numbers_take_no_memory():
    labels = np.zeros((5, 5), np.uint32)
    labels[1:3, 2] = 4_000_000_000
    assert boxes_by_number(labels) == {4_000_000_000: (slice(1, 3), slice(2, 3))}


def test_the_box_of_what_is_connected_to_a_place():
    labels = np.zeros((500, 700), np.int32)
    labels[10:400, 50:650], labels[450:460, 5:9] = 2, 2
    assert edits.connected_box(labels, (20, 60), whole(labels)) == (slice(10, 400), slice(50, 650))
    assert edits.connected_box(labels, (455, 6), whole(labels)) == (slice(450, 460), slice(5, 9))


def random_edit(rng, labels, places):
    """One edit of any kind on an object of the array."""
    n = int(rng.choice(np.unique(labels[labels > 0])))
    box, new = places.box(n), places.largest + 1
    line = rng.uniform(0, labels.shape[-1], (2, 2))
    kinds = (
        lambda: edits.delete(labels, n, box),
        lambda: edits.merge(labels, [n, new - 1], places.together([n, new - 1])),
        lambda: edits.split(labels, n, box, line, new),
        lambda: edits.draw(labels, rng.uniform(0, labels.shape[-1], (5, 2)), new, whole(labels)),
        lambda: edits.extend(labels, n, line, rng.uniform(1, 6), whole(labels)),
        lambda: edits.erase(labels, n, line, rng.uniform(1, 6), whole(labels)),
        lambda: edits.fill_holes(labels, n, box),
        lambda: edits.smooth(labels, n, box, whole(labels)),
    )
    return kinds[rng.integers(len(kinds))]()


def test_undo_of_200_random_edits_is_exact():
    rng = np.random.default_rng(1)
    labels = disc((120, 120), *[(20 + 26 * i, 20 + 26 * j, 10) for i in range(4) for j in range(4)])
    first, places, stack = labels.copy(), Places(boxes_by_number(labels)), []
    while len(stack) < 200:
        corners = rng.uniform(0, 120, (4, 2))
        empty = not labels.any()
        new = places.largest + 1
        edit = edits.draw(labels, corners, new, whole(labels)) if empty else random_edit(rng, labels, places)
        if edit is not None:
            edit.apply(labels)
            places.note(edit.box, edit.after)
            stack.append(edit)
            for n, tight in boxes_by_number(labels).items():
                assert edits.meet(places.box(n), tight) == tight
    assert not np.array_equal(labels, first)
    for edit in reversed(stack):
        edit.inverse.apply(labels)
    np.testing.assert_array_equal(labels, first)


def test_an_edit_takes_as_long_as_its_box_whatever_the_image():
    large = np.zeros((4096, 4096), np.int32)
    large[2000:2040, 2000:2040] = 1
    box = (slice(2000, 2040), slice(2000, 2040))
    began = time.process_time()
    for _ in range(10):
        assert edits.split(large, 1, box, [(2020, 1990), (2020, 2050)], 2) is not None
        assert edits.extend(large, 1, [(2010, 2030), (2010, 2060)], 5, whole(large)) is not None
        assert edits.connected_box(large, (2010, 2010), whole(large)) == box
    assert time.process_time() - began < 1.5  # 30 edits; a look at the whole image takes longer than that


def test_the_holes_of_all_objects_are_filled(two):
    two[10:12, 8:10] = two[10:12, 30] = 0
    before = two.copy()
    after, count = edits.fill_all_holes(two)
    assert count == 2
    assert (after[10:12, 8:10] == 1).all()
    assert (after[10:12, 30] == 2).all()
    assert np.array_equal(two, before)
    assert edits.fill_all_holes(after)[1] == 0


def test_all_outlines_are_smoothed_and_no_object_grows_over_another():
    labels = disc((60, 90), (30, 25, 15), (30, 60, 15))
    labels[29:31, 40:55] = 1  # a spike into the other disc's surroundings
    after, count = edits.smooth_all(labels)
    assert count >= 1
    assert (after[29:31, 43:45] == 0).all()
    assert set(np.unique(after)) == {0, 1, 2}
    assert abs(np.count_nonzero(after == 2) - np.count_nonzero(labels == 2)) < 30


def test_what_is_accepted_stays_in_another_prediction(two):
    accepted = np.zeros(two.shape, np.uint8)
    accepted[4:26, 4:21] = 1  # object 1 and its rim
    new = np.zeros_like(two)
    new[6:24, 7:18] = 1  # the accepted one again, in another outline
    new[0:10, 44:56] = 2
    new[20:30, 0:10] = 3  # of which less than half is accepted
    found = edits.kept(two, accepted, new)
    np.testing.assert_array_equal(found[accepted > 0], two[accepted > 0])
    assert found[5, 50] == 4  # numbers begin after the largest
    assert found[28, 2] == 5
    assert set(np.unique(found)) == {0, 1, 4, 5}
    np.testing.assert_array_equal(np.unique(edits.kept(two, 0 * accepted, new)), [0, 4, 5, 6])
