from __future__ import annotations

import json
from itertools import permutations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from napari_dojo.errors import DojoError
from napari_dojo.metrics.base import pool
from napari_dojo.metrics.objects import InstanceCounts, Overlap, match, overlap, runs

THRESHOLDS = ["0.5", "0.6", "0.7", "0.8", "0.9"]


def row(text: str) -> NDArray[np.int64]:
    """A label image of one line, a digit for each pixel."""
    return np.array([[int(c) for c in text]])


def blobs(seed: int, shape: tuple[int, ...] = (24, 24), n: int = 12) -> NDArray[np.int64]:
    """Random touching regions with background, numbered with gaps."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, 1, (n, len(shape))) * shape
    grid = np.moveaxis(np.indices(shape), 0, -1)[..., None, :]
    distance = np.linalg.norm(grid - points, axis=-1)
    numbers = rng.permutation(np.arange(3, 3 + 7 * n, 7))
    return np.where(distance.min(-1) < shape[-1] / 6, numbers[distance.argmin(-1)], 0)


def slow_iou(truth: NDArray[np.int64], predicted: NDArray[np.int64]) -> NDArray[np.float64]:
    """IoU of every pair, (n_true, n_predicted), by its definition."""
    a, b = (np.unique(x[x != 0]) for x in (truth, predicted))
    out = [[np.sum((truth == i) & (predicted == j)) / np.sum((truth == i) | (predicted == j)) for j in b] for i in a]
    return np.array(out, float).reshape(len(a), len(b))


def matrix(shared: Overlap) -> NDArray[np.float64]:
    """IoU of every pair, (n_true, n_predicted)."""
    out = np.zeros((len(shared.true), len(shared.predicted)))
    out[shared.rows, shared.columns] = shared.iou
    return out


def best_by_hand(iou: NDArray[np.float64], threshold: float) -> tuple[int, float]:
    """Most pairs, then the largest sum of IoU: all ways to pair, tried one by one."""
    if iou.shape[0] > iou.shape[1]:
        iou = iou.T
    ways = []
    for columns in permutations(range(iou.shape[1]), iou.shape[0]):
        values = iou[np.arange(iou.shape[0]), list(columns)]
        values = values[values >= threshold]
        ways.append((len(values), float(values.sum())))
    return max(ways, default=(0, 0.0))


def stardist_tp(iou: NDArray[np.float64], threshold: float) -> int:
    """The matching of StarDist's paper, after its description: one assignment, the scores break ties."""
    n = min(iou.shape)
    if n == 0:
        return 0
    i, j = linear_sum_assignment(-(iou >= threshold).astype(float) - iou / (2 * n))
    return int(np.sum(iou[i, j] >= threshold))


def test_overlap_by_hand() -> None:
    shared = overlap(row("0111022200"), row("0990777000"))
    assert shared.true.tolist() == [1, 2]
    assert shared.predicted.tolist() == [7, 9]
    assert shared.true_sizes.tolist() == [3, 3]
    assert shared.predicted_sizes.tolist() == [3, 2]
    assert matrix(shared) == pytest.approx(np.array([[0, 2 / 3], [2 / 4, 0]]))


@pytest.mark.parametrize("shape", [(24, 24), (8, 12, 12)])
@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.uint64, np.float32])
def test_overlap_is_the_definition(shape: tuple[int, ...], dtype: type) -> None:
    truth, predicted = blobs(1, shape), blobs(2, shape)
    shared = overlap(truth.astype(dtype), predicted.astype(dtype))
    assert matrix(shared) == pytest.approx(slow_iou(truth, predicted))


def test_overlap_of_large_and_negative_numbers() -> None:
    truth = np.array([[0, 2**40, 2**40, -5]])
    shared = overlap(truth, truth)
    assert shared.true.tolist() == [2**40]  # negative numbers are no objects
    assert shared.iou.tolist() == [1]


@pytest.mark.parametrize("threshold", [0.1, 0.2, 0.3, 0.5, 0.6, 0.8])
def test_match_is_the_best_of_all_ways(threshold: float) -> None:
    for seed in range(6):
        truth, predicted = blobs(seed, n=5), blobs(seed + 50, n=6)
        found = match(truth, predicted, threshold)
        count, total = best_by_hand(slow_iou(truth, predicted), threshold)
        assert (len(found), found.iou.sum()) == (count, pytest.approx(total))
        assert len(set(found.true)) == len(set(found.predicted)) == len(found)


@pytest.mark.parametrize("threshold", [0.05, 0.25, 0.5, 0.7])
def test_match_counts_as_stardist_does(threshold: float) -> None:
    for seed in range(5):
        truth = blobs(seed, n=30)
        predicted = np.roll(truth, 1, axis=seed % 2) * (np.random.default_rng(seed).uniform(size=truth.shape) < 0.95)
        assert len(match(truth, predicted, threshold)) == stardist_tp(slow_iou(truth, predicted), threshold)


def test_match_prefers_two_weak_pairs_to_one_strong() -> None:
    truth, predicted = row("11112222222"), row("33333333344")
    # 1-3 .44 (4/9), 2-3 .45 (5/11), 2-4 .29 (2/7): the best single pair would leave 1 and 4 alone
    found = match(truth, predicted, 0.25)
    assert sorted(zip(found.true.tolist(), found.predicted.tolist(), strict=True)) == [(1, 3), (2, 4)]


def test_match_halves_at_exactly_one_half() -> None:
    assert len(match(row("1111"), row("2233"), 0.5)) == 1
    assert len(match(row("2233"), row("1111"), 0.5)) == 1
    assert len(match(row("1111"), row("2233"), 0.51)) == 0


def test_match_refuses_a_threshold_of_nothing() -> None:
    with pytest.raises(ValueError, match="above 0"):
        match(row("1"), row("1"), 0)


def test_runs_give_the_images_back() -> None:
    truth, predicted = blobs(1, (60, 60)), blobs(2, (60, 60))
    t, p, lengths = runs(truth, predicted)
    np.testing.assert_array_equal(np.repeat(t, lengths).reshape(truth.shape), truth)
    np.testing.assert_array_equal(np.repeat(p, lengths).reshape(truth.shape), predicted)
    assert len(lengths) < truth.size / 4


def test_counts_by_hand() -> None:
    # IoU 1, 3/4 and 1/4 (a false negative and a false positive), and one object from nowhere
    truth, predicted = row("110222203333000"), row("550666007000808")
    predicted[0, 6] = 0
    counts = InstanceCounts.of(truth, predicted)
    assert (counts.n_true, counts.n_predicted, counts.tp) == (3, 4, (2, 2, 2, 1, 1))
    assert counts.ap == pytest.approx({"0.5": 2 / 5, "0.6": 2 / 5, "0.7": 2 / 5, "0.8": 1 / 6, "0.9": 1 / 6})
    assert counts.f1["0.5"] == pytest.approx(4 / 7)
    assert counts.pq == pytest.approx((1 + 0.75) / (2 + 0.5 * 2 + 0.5 * 1))
    assert (counts.fp[0], counts.fn[0]) == (2, 1)
    assert counts.sentence == "detected 2 of 3, 2 false positives"


def test_counts_at_every_threshold_equal_single_matches() -> None:
    truth, predicted = blobs(3, n=20), np.roll(blobs(3, n=20), 1)
    counts = InstanceCounts.of(truth, predicted)
    assert counts.tp == tuple(len(match(truth, predicted, t)) for t in counts.thresholds)
    assert counts.tp[0] > counts.tp[-1]


def test_counts_as_json() -> None:
    said = json.loads(json.dumps(InstanceCounts.of(blobs(1), blobs(2)).as_dict(), allow_nan=False))
    assert set(said) == {"ap", "f1", "pq", "n_true", "n_predicted", "detected", "missed", "false_positives"}
    assert list(said["ap"]) == list(said["f1"]) == THRESHOLDS
    assert said["detected"] + said["missed"] == said["n_true"]
    assert said["detected"] + said["false_positives"] == said["n_predicted"]


def test_nothing_to_find() -> None:
    nothing, something = np.zeros((4, 4), int), np.eye(4, dtype=int)
    perfect = InstanceCounts.of(nothing, nothing)
    assert perfect.ap["0.5"] == perfect.f1["0.9"] == perfect.pq == 1.0
    for truth, predicted in [(nothing, something), (something, nothing)]:
        counts = InstanceCounts.of(truth, predicted)
        assert counts.ap["0.5"] == counts.f1["0.5"] == counts.pq == 0.0
    assert InstanceCounts.of(np.zeros((0, 4)), np.zeros((0, 4))).ap["0.5"] == 1.0


def test_counts_pool_objects_not_images() -> None:
    small, large = InstanceCounts.of(row("1"), row("0")), InstanceCounts.of(row("10203"), row("10203"))
    assert (small + large).ap["0.5"] == 3 / 4  # the mean of the two would be 1/2
    assert pool([small, large]) == small + large == large + small
    assert pool([small, large]) == InstanceCounts() + small + large
    side_by_side = InstanceCounts.of(row("1020304"), row("0020304"))
    assert side_by_side == small + large


def test_numbers_of_objects_do_not_matter() -> None:
    truth, predicted = blobs(5), np.roll(blobs(5), 1, 0)
    names = np.concatenate([[0], 1 + np.random.default_rng(0).permutation(200)])
    assert InstanceCounts.of(names[truth], predicted) == InstanceCounts.of(truth, predicted)
    assert InstanceCounts.of(truth, names[predicted]) == InstanceCounts.of(truth, predicted)


def test_turned_and_flat_volumes_score_the_same() -> None:
    truth, predicted = blobs(6), np.roll(blobs(6), 1, 0)
    counts = InstanceCounts.of(truth, predicted)
    assert InstanceCounts.of(truth[None], predicted[None]) == counts
    assert InstanceCounts.of(truth.T, predicted.T) == counts
    assert InstanceCounts.of(np.stack([truth] * 3), np.stack([predicted] * 3)).tp == counts.tp


def test_region_leaves_out_what_lies_mostly_outside() -> None:
    truth = row("1100000000")
    predicted = row("5500667080")
    region = row("1111100000").astype(bool)
    counts = InstanceCounts.of(truth, predicted, region)
    assert (counts.n_true, counts.n_predicted, counts.detected) == (1, 2, 1)  # 6 lies half inside, 7 and 8 outside
    assert InstanceCounts.of(truth, predicted).n_predicted == 4


def test_region_cuts_objects_on_both_sides() -> None:
    truth, predicted = row("0011100000"), row("0044444000")
    region = row("1111100000").astype(bool)
    assert match(truth, predicted, 0.5, region).iou.tolist() == [1.0]
    assert match(truth, predicted, 0.5).iou.tolist() == [0.6]


def test_different_sizes_are_refused() -> None:
    with pytest.raises(DojoError, match=r"truth \(1, 3\), prediction \(1, 2\)"):
        overlap(row("111"), row("11"))
    with pytest.raises(DojoError, match="annotated region"):
        overlap(row("111"), row("111"), np.ones((1, 2), bool))


def test_nan_is_background() -> None:
    truth = np.array([[1.0, np.nan, 2.0]])
    assert InstanceCounts.of(truth, row("102")).ap["0.9"] == 1.0


def test_twenty_thousand_objects() -> None:
    number = np.arange(20_000).reshape(100, 200) + 1
    truth = np.kron(number, np.pad(np.ones((4, 4), int), ((0, 1), (0, 1))))  # 500 x 1000
    predicted = np.where(np.arange(1000) % 5 == 3, 0, truth)  # a column of each is missing: IoU 3/4
    counts = InstanceCounts.of(truth, predicted)
    assert counts.tp == (20_000, 20_000, 20_000, 0, 0)
    assert counts.pq == pytest.approx(0.75)
    assert len(match(truth, predicted, 0.3)) == 20_000
