from __future__ import annotations

import numpy as np
import pytest
from made import made

from napari_dojo.data.axes import Axes
from napari_dojo.data.dataset import Dataset
from napari_dojo.metrics.objects import InstanceCounts
from napari_dojo.metrics.strokes import StrokeCounts
from napari_dojo.tasks import INSTANCES, Example, stroke_findings, strokes
from napari_dojo.tasks.instances import InstancesOptions
from napari_dojo.tasks.stroke_findings import numbered_strokes, stroked_areas
from napari_dojo.tasks.strokes import classified_masks, completed_strokes, objects_from, objects_of

STROKES = InstancesOptions(annotation="strokes")
PLACES = [(14, 14), (14, 34), (40, 20), (44, 50), (16, 56)]  # the first two touch


def scene(dims=2, noise=0.05):
    """Five bright discs (balls), and strokes on three of them and on background."""
    size = (64, 72) if dims == 2 else (14, 64, 72)
    y = np.zeros(size, np.int32)
    for k, at in enumerate(PLACES):
        place = at if dims == 2 else (7, *at)
        radius = np.array([10, 10] if dims == 2 else [6, 10, 10])
        y[sum(((g - c) / r) ** 2 for g, c, r in zip(np.indices(size), place, radius, strict=True)) <= 1] = k + 1
    x = (y > 0) + np.random.default_rng(0).normal(0, noise, size)
    drawn = np.zeros(size, np.int32)
    plane = drawn if dims == 2 else drawn[7]
    for number, (row, column) in enumerate(PLACES[:3], 2):
        plane[row - 1 : row + 2, column - 4 : column + 4] = number
    plane[60:63, 4:30] = plane[30:33, 62:70] = plane[27:30, 30:60] = 1
    return x[None].astype(np.float32), y, drawn


def example(dims=2, maps=None, region=None):
    x, y, drawn = scene(dims)
    return Example(x, drawn, region, maps), y, drawn


@pytest.mark.parametrize("dims", [2, 3])
def test_a_classifier_finds_the_objects_of_the_strokes_and_others(dims):
    one, y, _ = example(dims)
    (mask,) = classified_masks([one])
    assert (mask & (y > 0)).sum() / (mask | (y > 0)).sum() > 0.8
    ((objects, known),) = completed_strokes([one], STROKES)
    assert known.all()
    counts = InstanceCounts.of(y, objects)
    assert (counts.detected, counts.false_positives) == (5, 0)


def test_maps_outline_dark_objects_as_bright_ones_or_a_little_further_out():
    """Images of one channel and their negatives, whose edges are wide: the image moves the outline either way."""
    from scipy import ndimage

    _, y, drawn = scene()
    blurred = ndimage.gaussian_filter((y > 0).astype(np.float32), 3)
    image = (blurred / blurred.max())[None]
    depth = sum(ndimage.distance_transform_edt(np.pad(y == k + 1, 1))[1:-1, 1:-1] for k in range(len(PLACES)))
    away = ndimage.distance_transform_edt(y == 0)
    maps = np.stack([0.5 * (depth - away), depth / 10]).astype(np.float32)
    (bright, _), (dark, _) = (
        completed_strokes([Example(x, drawn, None, maps)], STROKES)[0] for x in (image, 1 - image)
    )
    assert np.array_equal(bright[bright > 0], dark[bright > 0])
    assert np.count_nonzero(bright) <= np.count_nonzero(dark) < 1.15 * np.count_nonzero(bright)
    assert InstanceCounts.of(y, bright).detected == 5


def test_dark_rods_keep_their_width():
    """The image of a rod in phase contrast is steepest half a pixel inside of its edge, which a thin one would lose all around."""
    from scipy import ndimage

    rows, columns = np.indices((80, 90))
    y, drawn = np.zeros((80, 90), np.int32), np.zeros((80, 90), np.int32)
    away = np.full(y.shape, np.inf)
    for k, row in enumerate((16, 36, 56), 1):
        along = np.clip(0.95 * (columns - 45) + 0.31 * (rows - row), -28, 28)
        distance = np.hypot(columns - 45 - 0.95 * along, rows - row - 0.31 * along) - 5.5
        y[distance < 0] = k
        away = np.minimum(away, distance)
        drawn[row, 40:50] = k + 1
    drawn[74:77, 10:50] = 1
    thick = np.sqrt(np.clip(1 - (1 + np.minimum(away, 0) / 5.5) ** 2, 0, None))
    x = 0.7 - 0.5 * ndimage.gaussian_filter(thick, 1.4) + np.random.default_rng(0).normal(0, 0.01, y.shape)
    maps = np.stack([-0.8 * away, np.clip(-away / 5.5, 0, 1)]).astype(np.float32)
    ((found, _),) = completed_strokes([Example(x[None].astype(np.float32), drawn, None, maps)], STROKES)
    counts = InstanceCounts.of(y, found)
    assert (counts.detected, counts.false_positives) == (3, 0)
    assert 0.88 < np.count_nonzero(found) / np.count_nonzero(y) < 1.1


def test_large_images_are_classified_in_slabs(monkeypatch):
    one, _, _ = example()
    (whole,) = classified_masks([one])
    monkeypatch.setattr(strokes, "SLAB", 64 * 30)
    monkeypatch.setattr(strokes, "KEPT", 0)
    (slabs,) = classified_masks([one])
    assert (slabs == whole).mean() > 0.99  # the largest scale sees a little less


def test_no_pixel_of_an_object_becomes_background_because_it_has_no_stroke():
    one, y, drawn = example()
    ((objects, _),) = completed_strokes([one], STROKES)
    unlabelled = (y > 3) & (drawn == 0)
    assert (objects[unlabelled] > 0).mean() > 0.9


def test_strokes_have_the_last_word():
    _, y, drawn = example()
    inside = np.ones(y.shape, bool)  # a mask that says nothing
    objects = objects_from(inside, None, drawn)
    counts = StrokeCounts.of(drawn, objects)
    assert (counts.detected, counts.merged) == (3, 0)
    assert counts.outside == counts.background


def test_two_strokes_in_one_object_part_it_and_one_stroke_joins_two():
    inside = np.zeros((20, 40), bool)
    inside[4:16, 2:38] = True
    distance = np.full(inside.shape, 0.5, np.float32)
    strokes = np.zeros(inside.shape, np.int32)
    strokes[9:11, 4:10], strokes[9:11, 30:36] = 2, 3
    objects = objects_from(inside, distance, strokes)
    assert len(np.unique(objects[inside])) == 2
    assert objects[10, 5] != objects[10, 35]
    distance[:, 18:22] = 0.1  # a dip, that the network predicts
    one = np.zeros(inside.shape, np.int32)
    one[9:11, 4:36] = 2
    assert len(np.unique(objects_from(inside, distance, one)[inside])) == 1
    assert len(np.unique(objects_from(inside, distance, 0 * one)[inside])) == 2


def test_a_stroke_where_nothing_is_predicted_is_an_object():
    strokes = np.zeros((20, 20), np.int32)
    strokes[5:8, 5:15] = 4
    objects = objects_from(np.zeros((20, 20), bool), np.zeros((20, 20), np.float32), strokes)
    np.testing.assert_array_equal(objects > 0, strokes > 0)


def test_the_network_takes_the_place_of_the_classifier_when_it_agrees_with_the_strokes():
    one, y, drawn = example()
    inside = np.where((y > 0) & (y != 5), 5.0, -5.0)  # the last object is background for it
    right = np.stack([inside, (y > 0) * 0.6]).astype(np.float32)
    right[1][:, 23:26] = 0  # between the two that touch
    ((objects, _),) = completed_strokes([Example(one.x, drawn, None, right)], STROKES)
    assert not objects[(y == 5)].any()
    blank = np.stack([np.full(y.shape, -5.0), np.zeros(y.shape)]).astype(np.float32)
    ((objects, _),) = completed_strokes([Example(one.x, drawn, None, blank)], STROKES)
    assert (objects[y == 5] > 0).mean() > 0.8


def test_the_network_separates_what_the_classifier_finds_in_one_piece():
    rows, columns = np.indices((64, 72))
    y = np.where(rows < 48, 1 + 4 * (rows // 16) + columns // 18, 0)  # twelve cells that touch on all sides
    x = (y > 0) + np.random.default_rng(0).normal(0, 0.05, y.shape)
    drawn = np.zeros(y.shape, np.int32)
    for number, (row, column) in enumerate([(8, 9), (8, 27), (24, 45), (40, 27)], 2):
        drawn[row - 1 : row + 2, column - 3 : column + 4] = number
    drawn[60:63, 4:60] = 1
    depth = np.minimum(np.minimum(rows % 16, 15 - rows % 16) / 8, np.minimum(columns % 18, 17 - columns % 18) / 9)
    everywhere = np.stack([np.full(y.shape, 5.0), depth]).astype(np.float32)  # the ground is an object for it, too
    ((objects, _),) = completed_strokes([Example(x[None].astype(np.float32), drawn, None, everywhere)], STROKES)
    counts = InstanceCounts.of(y, objects)
    assert (counts.detected, counts.false_positives) == (12, 0)


def test_one_stroke_of_twelve_more_is_worth_less_than_round_objects():
    rows, columns = np.indices((60, 80))
    disc = (rows % 20 - 10) ** 2 + (columns % 20 - 10) ** 2 < 64
    cross = disc & ((abs(rows % 20 - 10) < 2) | (abs(columns % 20 - 10) < 2))
    number = 2 + 4 * (rows // 20) + columns // 20
    drawn = np.where((abs(rows % 20 - 10) < 2) & (abs(columns % 20 - 10) < 2), number, 0)
    drawn[:, 0] = 1
    all_but_one, all_of_them = ([(mask, strokes.relative_depth(mask))] for mask in (disc & (number > 2), cross))
    assert strokes._roundest(all_but_one, all_of_them, strokes=[drawn]) is all_but_one
    assert strokes._roundest(all_of_them, all_but_one, strokes=[drawn]) is all_but_one
    missed = [(disc & (number > 5), all_but_one[0][1])]
    assert strokes._roundest(missed, all_of_them, strokes=[drawn]) is all_of_them


def test_outside_of_the_region_nothing_is_known():
    region = np.zeros((64, 72), bool)
    region[:50] = True
    one, _, _ = example(region=region)
    ((_, known),) = completed_strokes([one], STROKES)
    np.testing.assert_array_equal(known, region)


def test_targets_are_those_of_the_completed_objects():
    one, _, _ = example()
    ((objects, known),) = completed_strokes([one], STROKES)
    _, target, weight = made(INSTANCES, one.x, objects, known, STROKES)
    assert weight.all()
    assert (target[0] == (objects > 0)).all()
    assert target[2][14, 24] == 1  # the boundary of two strokes' objects that touch
    assert target[1][14, 14] > 0.8
    assert not target[2][40:46, 46:54].any()  # deep in an object there is none


def dataset(y, x=None):
    image = scene()[0][0] if x is None else x
    return Dataset.of([image], [y], Axes.resolve(image.shape, "YX"))


def found(y, options=STROKES, x=None):
    return INSTANCES.summarize(dataset(y, x), options)


def test_the_summary_measures_objects_and_not_strokes():
    _, _, drawn = scene()
    summary = found(drawn)
    assert summary.errors == ()
    assert summary.objects == 3
    assert summary.diameter == pytest.approx(20, abs=3)
    assert summary.hints.validation == 0
    assert any("Strokes on 3 objects" in f.text for f in summary.findings)
    areas, thickness = stroked_areas(dataset(drawn))
    assert len(areas) == 3
    assert thickness == pytest.approx(20, abs=4)


def test_strokes_that_lie_far_apart_are_measured_where_one_lies(monkeypatch):
    monkeypatch.setattr(stroke_findings, "EDGE", {2: 72})
    x, _, drawn = scene()
    image, y = np.tile(x[0], (3, 3)), np.zeros((3 * 64, 3 * 72), np.int32)
    y[:64, :72][drawn < 3] = drawn[drawn < 3]
    y[-64:, -72:][drawn < 3] = np.where(drawn == 2, 3, drawn)[drawn < 3]  # none in the middle between the two
    assert found(y, x=image).diameter == pytest.approx(20, abs=3)


def test_a_dab_beside_its_object_is_no_object():
    _, _, drawn = scene()
    drawn[50, 66:68] = 2
    areas, _ = stroked_areas(dataset(drawn))
    assert len(areas) == 3
    assert areas.max() < 500  # the ground has 3,000


def sheet(length):
    """Cells of 20 px side by side, a hole, and strokes so long in eight of the cells and in the hole."""
    rows, columns = np.indices((240, 240))
    hole = (rows - 120) ** 2 + (columns - 130) ** 2 < 30**2
    x = 1.0 + 0.3 * (((rows % 20) < 2) | ((columns % 20) < 2)) + np.random.default_rng(0).normal(0, 0.15, rows.shape)
    drawn = np.zeros(rows.shape, np.int32)
    for k in range(8):
        row, column = 20 * (k // 4 * 9 + 1) + 9, 20 * (k % 4 * 3 + 1) + 10 - length // 2
        drawn[row : row + 3, column : column + length] = k + 2
    drawn[118:121, 120:140] = 1
    return dataset(drawn, np.where(hole, 0.2, x).astype(np.float32))


def test_packed_cells_are_measured_by_their_strokes():
    """The classifier finds the whole sheet, whose parts between strokes hold many cells."""
    measured, thickness = stroked_areas(sheet(10))
    assert 20**2 / 1.5**2 < np.median(measured) < 20**2 * 1.5**2
    assert thickness < 20 * 1.6
    dabs, _ = stroked_areas(sheet(4))  # they say nothing of size
    assert np.median(dabs) > 5 * np.median(measured)


def test_large_objects_with_short_strokes_are_measured_by_their_outlines():
    rows, columns = np.indices((160, 200))
    far = np.minimum(np.hypot(rows - 80, columns - 50), np.hypot(rows - 80, columns - 150))
    drawn = np.zeros(rows.shape, np.int32)
    drawn[79:82, 50:60], drawn[79:82, 140:150], drawn[5:8, 20:180] = 2, 3, 1
    x = (far < 40) + np.random.default_rng(0).normal(0, 0.05, rows.shape)
    assert found(drawn, x=x.astype(np.float32)).diameter == pytest.approx(80, abs=8)


@pytest.mark.parametrize("value", [0, 1])
def test_strokes_without_objects_are_an_error(value):
    summary = found(np.full((64, 72), value, np.int32))
    assert "No object has a stroke" in summary.errors[0]


def test_strokes_without_background_are_a_warning():
    _, _, drawn = scene()
    summary = found(np.where(drawn == 1, 0, drawn))
    assert summary.errors == ()
    assert any("No stroke is on background" in w for w in summary.warnings)


def test_few_pixels_of_background_are_a_warning():
    _, _, drawn = scene()
    drawn[drawn == 1] = 0
    drawn[60, 4] = 1
    assert any("Only 1 pixel of background" in w for w in found(drawn).warnings)


def test_strokes_that_share_a_number_can_get_one_each():
    """As in classes, one number for all: as objects they would all be one."""
    _, _, drawn = scene()
    shared = np.minimum(drawn, 2)
    (finding,) = (f for f in found(shared).findings if "3 strokes of" in f.text)
    assert "one number" in finding.text
    fix = finding.fixes[0]
    assert (fix.kind, fix.samples) == ("relabel", ("image 1",))
    numbered = fix.value(shared)
    assert np.array_equal(np.unique(numbered), [0, 1, 2, 3, 4])
    assert np.array_equal(numbered > 1, drawn > 1)
    assert np.array_equal(numbered == 1, drawn == 1)
    assert not any("strokes of" in w for w in found(numbered).warnings)


def test_an_object_may_have_two_strokes_and_one_in_each_plane():
    _, _, drawn = scene()
    drawn[12, 12:16], drawn[13, 12:16] = 2, 0
    assert not any("strokes of" in w for w in found(drawn).warnings)
    stack = np.zeros((9, 64, 72), np.int32)
    stack[::2] = scene()[2]
    assert np.array_equal(numbered_strokes(stack), stack)
    volume = Dataset.of([np.tile(scene()[0][0], (9, 1, 1))], [stack], Axes.resolve(stack.shape, "ZYX"))
    assert not any("strokes of" in f.text for f in stroke_findings.stroke_findings(volume)[1])


def test_of_a_series_only_frames_that_share_numbers_are_numbered():
    """The fix gets all frames of a layer; in one whose objects have two strokes each, these stay one object."""
    _, _, drawn = scene()
    twice = drawn.copy()
    twice[14, drawn[14] == 2] = 0
    frames = np.stack([np.minimum(drawn, 2), twice])
    series = Dataset.of([np.stack([scene()[0][0]] * 2)], [frames], Axes("TYX"))
    (finding,) = (f for f in INSTANCES.summarize(series, STROKES).findings if "strokes of" in f.text)
    number = finding.fixes[0].value
    assert len(np.unique(number(frames[0]))) == 5
    assert np.array_equal(number(twice), twice)


def test_many_numbers_are_not_looked_at_one_by_one(monkeypatch):
    """Each would take a look at the whole image: 90 s for 1,000 strokes in 4096 x 4096 px."""
    _, _, drawn = scene()
    many = drawn.copy()
    at = np.flatnonzero(drawn == 0)[:20]
    many.flat[at] = np.arange(10, 10 + len(at))
    monkeypatch.setattr("skimage.measure.label", None)
    assert np.array_equal(numbered_strokes(many), many)


def test_labels_that_look_like_strokes_offer_to_be_read_so():
    _, y, drawn = scene()
    summary = found(drawn, InstancesOptions())
    fixes = [fix for f in summary.findings for fix in f.fixes if fix.kind == "option"]
    assert [fix.value for fix in fixes] == [("annotation", "strokes")]
    whole = found(y, InstancesOptions())
    assert not any("look like strokes" in w for w in whole.warnings)


def test_whole_objects_read_as_strokes_are_a_warning():
    summary = found(scene()[1])
    assert any("looks like an object" in w for w in summary.warnings)


def test_the_score_is_that_of_the_strokes():
    _, y, drawn = scene()
    assert INSTANCES.score(y, drawn, None, STROKES).selection_score == 1
    assert INSTANCES.score(y, y, None, InstancesOptions()).ap["0.5"] == 1


def test_an_outline_is_not_put_at_the_edge_of_a_halo():
    rows, columns = np.indices((64, 64))
    far = np.hypot(rows - 32, columns - 32)
    x = np.where(far < 12, 0.5, np.where(far < 16, 0.8, 0.2))  # a bright halo, whose outer edge is steeper
    probability = (1 / (1 + np.exp((far - 12) / 2))).astype(np.float32)
    drawn = np.zeros(far.shape, np.int32)
    drawn[32, 28:36], drawn[2, 2:60] = 2, 1
    objects = strokes.objects_of(probability, x[None].astype(np.float32), drawn)
    both = ((objects > 0) & (far < 12)).sum() / ((objects > 0) | (far < 12)).sum()
    assert both > 0.9


def discs_at(places, radius, hollow=0):
    rows, columns = np.indices((72, 72))
    away = np.min([np.hypot(rows - r, columns - c) for r, c in places], 0)
    return (away <= radius) & (away >= hollow)


@pytest.mark.parametrize(
    ("places", "hollow", "filled"),
    [
        ([(18, 18), (18, 52), (52, 18), (52, 52)], 6, True),  # cells that look like the ground inside
        ([(23, 23), (23, 48), (48, 23), (48, 48)], 0, False),  # four that touch around a gap
    ],
)
def test_holes_are_filled_where_that_makes_objects_rounder(places, hollow, filled):
    mask = discs_at(places, 13, hollow)
    drawn = np.zeros(mask.shape, np.int32)
    drawn[2:4, 4:60] = 1
    for number, (r, c) in enumerate(places, 2):
        drawn[r - 10 : r - 7, c - 3 : c + 3] = number
    objects = objects_of(np.where(mask, 0.9, 0.05).astype(np.float32), mask[None].astype(np.float32), drawn)
    assert len(np.unique(objects)) == 5
    assert objects[36, 36] == 0
    assert all(objects[at] > 0 for at in places)
    if filled:
        assert (objects > 0).sum() > 1.1 * mask.sum()
    else:
        assert (objects > 0).sum() < 1.05 * mask.sum()


def test_objects_are_split_as_the_strokes_say():
    """Two halves with a shallow waist are one object where a stroke crosses it, and two where each has its own."""
    pairs = [((18, 16), (18, 30)), ((52, 40), (52, 54))]
    mask = discs_at([at for pair in pairs for at in pair], 12)
    one, two = np.zeros(mask.shape, np.int32), np.zeros(mask.shape, np.int32)
    for number, pair in enumerate(pairs, 2):
        (r, a), (_, b) = pair
        one[r - 1 : r + 2, a - 4 : b + 4] = number
        two[r - 1 : r + 2, a - 4 : a + 2], two[r - 1 : r + 2, b - 2 : b + 4] = 2 * number, 2 * number + 1
    for drawn, count in ((one, 2), (two, 4)):
        ((kept, depth),) = strokes._split_as_stroked([mask], [drawn], ())
        assert len(np.unique(strokes._split(kept, depth))) - 1 == count


def test_a_waist_of_a_pixel_splits_a_thin_rod_only_where_strokes_say_so():
    """Of three pixels' depth, one is a third; of eight, it is nothing."""
    mask = np.zeros((20, 60), bool)
    mask[7:13, 5:55], mask[7, 28:32], mask[12, 28:32] = True, False, False
    shallow, deep = (strokes.relative_depth(mask, (), least) for least in (0.0, 8.0))
    assert [len(np.unique(strokes._split(mask, d))) - 1 for d in (shallow, deep)] == [2, 1]
    along = np.zeros(mask.shape, np.int32)
    along[9, 10:50] = 2
    ((kept, depth),) = strokes._split_as_stroked([mask], [along], ())
    assert len(np.unique(strokes._split(kept, depth))) - 1 == 1


@pytest.mark.parametrize("value", [0, 1])
def test_a_part_without_an_object_has_none(value):
    x, _, drawn = scene()
    one = Example(x, np.minimum(drawn, 1) * value, None, None)
    (mask,) = classified_masks([one])
    assert not mask.any()
    ((objects, _),) = completed_strokes([one], STROKES)
    assert not objects.any()
