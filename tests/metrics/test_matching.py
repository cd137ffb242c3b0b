from __future__ import annotations

import time

import numpy as np
import pytest

from napari_dojo.errors import DojoError
from napari_dojo.metrics.matching import Comparison, Verdict, Verdicts
from napari_dojo.metrics.objects import InstanceCounts

MATCHED, MISSED, FALSE_POSITIVE, SPLIT, MERGED = Verdict


def row(text):
    """A label image of one line, a digit for each pixel."""
    return np.array([[int(c) for c in text]])


def one_of_each():
    """Matched 1, missed 2, split 3 (into 13 and 14), merged 4 and 5 (into 15), false positive 16."""
    truth, predicted = np.zeros((40, 60), np.int32), np.zeros((40, 60), np.int32)
    truth[2:12, 2:12] = 1
    predicted[2:12, 3:13] = 11
    truth[2:12, 20:30] = 2
    truth[20:30, 2:12] = 3
    predicted[20:24, 2:12], predicted[26:30, 2:12] = 13, 14
    truth[20:30, 20:30], truth[20:30, 30:40] = 4, 5
    predicted[19:30, 20:40] = 15
    predicted[2:8, 40:46] = 16
    return truth, predicted


def scattered(seed, n=40, shape=(120, 120)):
    """Discs at random, and some of them moved, cut, joined or left out."""
    rng = np.random.default_rng(seed)
    yy, xx = np.indices(shape)
    truth, predicted = np.zeros(shape, int), np.zeros(shape, int)
    for k in range(1, n + 1):
        y, x = rng.integers(0, 120, 2)
        truth[(yy - y) ** 2 + (xx - x) ** 2 < 50] = k
        moved = (yy - y - rng.integers(-4, 5)) ** 2 + (xx - x) ** 2 < rng.integers(10, 70)
        predicted[moved] = rng.integers(1, n)
        if k % 5 == 0:
            predicted[moved & (yy > y)] = n + k
    return truth, predicted


def by_definition(truth, predicted, threshold):
    """The verdicts object by object, as the docstring says, from masks."""
    shared = Comparison.of(truth, predicted).overlap
    pairs = shared.match(threshold)
    t = dict.fromkeys(shared.true.tolist(), 0) | dict.fromkeys(pairs.true.tolist(), MATCHED)
    p = dict.fromkeys(shared.predicted.tolist(), 0) | dict.fromkeys(pairs.predicted.tolist(), MATCHED)
    for wholes, whole_image, parts, part_image, verdict in (
        (p, predicted, t, truth, MERGED),
        (t, truth, p, predicted, SPLIT),
    ):
        held = {
            w: [k for k in parts if not parts[k] and np.mean(whole_image[part_image == k] == w) > 0.5]
            for w in wholes
            if not wholes[w]
        }
        for w, found in held.items():
            if len(found) >= 2:
                wholes[w] = verdict
                parts.update(dict.fromkeys(found, verdict))
    return [v or MISSED for _, v in sorted(t.items())], [v or FALSE_POSITIVE for _, v in sorted(p.items())]


def test_one_of_each():
    found = Comparison.of(*one_of_each())
    verdicts = found.at(0.5)
    assert verdicts.true.tolist() == [MATCHED, MISSED, SPLIT, MERGED, MERGED]
    assert verdicts.predicted.tolist() == [MATCHED, SPLIT, SPLIT, MERGED, FALSE_POSITIVE]
    assert [verdicts.count(v) for v in Verdict] == [(1, 1), (1, 0), (0, 1), (1, 2), (2, 1)]
    assert [verdicts.places(v).tolist() for v in Verdict] == [[0], [1], [4], [2], [3, 4]]
    assert verdicts.sentence == "detected 1 of 5, 1 false positive, 1 split, 2 merged"
    assert (verdicts.precision, verdicts.recall, verdicts.f1) == (1 / 5, 1 / 5, 1 / 5)
    assert verdicts.ap == pytest.approx(1 / 9)


def test_the_map_has_each_verdict_where_its_objects_are():
    truth, predicted = one_of_each()
    found = Comparison.of(truth, predicted)
    image = found.paint(found.at(0.5))
    assert (image.dtype, image.shape) == (np.uint8, truth.shape)
    for verdict, mask in [
        (MATCHED, (truth == 1) | (predicted == 11)),
        (MISSED, truth == 2),
        (FALSE_POSITIVE, predicted == 16),
        (SPLIT, truth == 3),
        (MERGED, predicted == 15),
    ]:
        np.testing.assert_array_equal(image == verdict, mask)


def test_where_two_meet_the_larger_verdict_is_painted():
    truth, predicted = (
        row("1111111100"),
        row("2222222333"),
    )  # 3 is a false positive, and lies on a pixel of the matched 1
    found = Comparison.of(truth, predicted)
    assert found.paint(found.at(0.5)).tolist() == [[1] * 7 + [3] * 3]


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.7, 0.9])
def test_verdicts_are_the_definition(threshold):
    for seed in range(4):
        truth, predicted = scattered(seed)
        verdicts = Comparison.of(truth, predicted).at(threshold)
        assert (verdicts.true.tolist(), verdicts.predicted.tolist()) == by_definition(truth, predicted, threshold)


def test_all_verdicts_come_up_in_what_was_tried():
    tried = [Comparison.of(*scattered(seed)).at(0.7) for seed in range(4)]
    assert all(any(v.count(verdict) != (0, 0) for v in tried) for verdict in Verdict)


def test_every_object_has_one_verdict():
    found = Comparison.of(*scattered(1))
    for threshold in (0.1, 0.5, 0.95):
        verdicts = found.at(threshold)
        counts = np.array([verdicts.count(v) for v in Verdict])
        assert counts.sum(0).tolist() == [len(found.overlap.true), len(found.overlap.predicted)]
        assert counts[0, 0] == counts[0, 1]
        assert set(verdicts.true) <= {MATCHED, MISSED, SPLIT, MERGED}
        assert set(verdicts.predicted) <= {MATCHED, FALSE_POSITIVE, SPLIT, MERGED}


def test_a_higher_threshold_matches_less():
    found = Comparison.of(*one_of_each())
    assert found.overlap.iou.max() == pytest.approx(90 / 110)
    assert (found.at(0.8).tp, found.at(0.85).tp) == (1, 0)


def test_figures_are_those_of_the_metrics():
    for seed in range(3):
        truth, predicted = scattered(seed)
        counts, found = InstanceCounts.of(truth, predicted), Comparison.of(truth, predicted)
        verdicts = [found.at(t) for t in counts.thresholds]
        assert [v.f1 for v in verdicts] == pytest.approx(list(counts.f1.values()))
        assert [v.ap for v in verdicts] == found.curve(counts.thresholds) == pytest.approx(list(counts.ap.values()))
        assert [v.tp for v in verdicts] == list(counts.tp)


def test_nothing_to_find():
    nothing, something = np.zeros((4, 4), int), np.eye(4, dtype=int)
    for truth, predicted, value in [(nothing, nothing, 1.0), (nothing, something, 0.0), (something, nothing, 0.0)]:
        found = Comparison.of(truth, predicted)
        verdicts = found.at(0.5)
        assert (verdicts.ap, verdicts.f1, verdicts.precision, verdicts.recall) == (value,) * 4
        assert found.curve([0.3, 0.5]) == [value, value]
        np.testing.assert_array_equal(found.paint(verdicts) > 0, (truth + predicted) > 0)
    assert Comparison.of(np.zeros((0, 4), int), np.zeros((0, 4), int)).at().tp == 0


def test_numbers_and_dimensions_do_not_matter():
    truth, predicted = scattered(2)
    names = np.concatenate([[0], 5 + np.random.default_rng(0).permutation(300) * 10**9])
    for t, p in [
        (names[truth], predicted),
        (truth.astype(np.uint16), predicted),
        (np.stack([truth] * 3), np.stack([predicted] * 3)),
    ]:
        found = Comparison.of(t, p)
        assert found.at(0.5).sentence == Comparison.of(truth, predicted).at(0.5).sentence
        np.testing.assert_array_equal(
            found.paint(found.at(0.5)),
            np.broadcast_to(Comparison.of(truth, predicted).paint(Comparison.of(truth, predicted).at(0.5)), t.shape),
        )


def test_planes_of_a_series_are_compared_one_by_one():
    planes = [scattered(seed, n=10 + seed) for seed in range(3)]
    truth, predicted = (np.stack(x) for x in zip(*planes, strict=True))
    apart = Comparison.of(truth, predicted, apart=1)
    each = [Comparison.of(*plane) for plane in planes]
    counts = np.sum([[c.at(0.5).count(v) for v in Verdict] for c in each], axis=0)
    assert [apart.at(0.5).count(v) for v in Verdict] == [tuple(c) for c in counts.tolist()]
    np.testing.assert_array_equal(apart.paint(apart.at(0.5)), np.stack([c.paint(c.at(0.5)) for c in each]))
    assert Comparison.of(truth, predicted).at(0.5).sentence != apart.at(0.5).sentence


@pytest.mark.parametrize("apart", [0, 1])
def test_negative_numbers_are_no_objects(apart):
    truth = np.stack([row("1102033")] * 2)
    below = np.where(truth == 2, -7, truth)
    found = Comparison.of(below, truth, apart=apart)
    assert (len(found.overlap.true), len(found.overlap.predicted)) == (2 * (apart + 1), 3 * (apart + 1))
    np.testing.assert_array_equal(found.paint(found.at()) == Verdict.FALSE_POSITIVE, truth == 2)
    assert len(Comparison.of(-truth, truth, apart=apart).overlap.true) == 0


def test_a_point_of_an_object_lies_in_it():
    truth, predicted = scattered(3)
    found = Comparison.of(truth, predicted)
    assert [truth[found.point(i)] for i in range(len(found.overlap.true))] == found.overlap.true.tolist()
    numbers = [predicted[found.point(i, predicted=True)] for i in range(len(found.overlap.predicted))]
    assert numbers == found.overlap.predicted.tolist()


def test_only_inside_a_region():
    truth, predicted = one_of_each()
    region = np.zeros(truth.shape, bool)
    region[:, :17] = True
    found = Comparison.of(truth, predicted, region=region)
    verdicts = found.at(0.5)
    assert (verdicts.true.tolist(), verdicts.predicted.tolist()) == ([MATCHED, SPLIT], [MATCHED, SPLIT, SPLIT])
    assert not found.paint(verdicts)[~region].any()
    assert verdicts.ap == InstanceCounts.of(truth, predicted, region).ap["0.5"]


def test_what_are_no_labels_is_refused():
    with pytest.raises(DojoError, match="whole numbers"):
        Comparison.of(row("11") / 2, row("11"))
    with pytest.raises(DojoError, match="whole numbers"):
        Comparison.of(np.array([[np.nan, 1]]), row("11"))
    with pytest.raises(DojoError, match=r"truth \(1, 3\), prediction \(1, 2\)"):
        Comparison.of(row("111"), row("11"))
    assert Comparison.of(row("0110") * 1.0, row("0110") > 0).at(0.5).tp == 1


def test_a_large_image_is_quick():
    step = 45
    yy, xx = np.indices((2048, 2048))
    truth = np.where((yy % step < 30) & (xx % step < 30), (yy // step) * 46 + xx // step + 1, 0)
    predicted = np.roll(truth, (5, 7), (0, 1))
    began = time.process_time()
    found = Comparison.of(truth, predicted)
    verdicts = found.at(0.5)
    found.paint(verdicts)
    assert time.process_time() - began < 1.5  # about .05 s on a quiet machine
    assert len(verdicts.true) > 2000
    assert isinstance(verdicts, Verdicts)
