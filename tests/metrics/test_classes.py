from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_dojo.metrics.base import pool
from napari_dojo.metrics.classes import ClassCounts


def row(text: str) -> NDArray[np.int64]:
    """A label image of one line, a digit for each pixel."""
    return np.array([[int(c) for c in text]])


def test_classes_by_hand() -> None:
    truth, predicted = row("0011122233"), row("1211222213")
    counts = ClassCounts.of(truth, predicted, ("membrane", "inside", "outside"))
    assert counts.confusion == ((2, 1, 0, 0), (0, 3, 0, 0), (1, 0, 1, 0))
    assert counts.pixels == 8
    assert counts.accuracy == pytest.approx(6 / 8)
    assert counts.iou == pytest.approx({"membrane": 2 / 4, "inside": 3 / 4, "outside": 1 / 2})
    assert counts.dice == pytest.approx({"membrane": 4 / 6, "inside": 6 / 7, "outside": 2 / 3})
    assert counts.mean_iou == pytest.approx((2 / 4 + 3 / 4 + 1 / 2) / 3)
    said = json.loads(json.dumps(counts.as_dict(), allow_nan=False))
    assert said["confusion"] == [[2, 1, 0], [0, 3, 0], [1, 0, 1]]
    assert said["classes"] == ["membrane", "inside", "outside"]
    assert said["pixels"] == 8


def test_zero_can_be_a_class() -> None:
    counts = ClassCounts.of(row("0011"), row("0101"), {0: "background", 1: "cell"})
    assert counts.confusion == ((1, 1, 0), (1, 1, 0))
    assert counts.accuracy == 0.5


def test_class_numbers_may_have_gaps_and_any_order() -> None:
    counts = ClassCounts.of(row("7722"), row("7279"), {7: "a", 2: "b"})
    assert counts.classes == ("a", "b")
    assert counts.confusion == ((1, 1, 0), (1, 0, 1))
    assert counts.as_dict()["confusion"] == [[1, 1], [1, 0]]
    assert counts.accuracy == 0.25


def test_absent_classes_do_not_count() -> None:
    counts = ClassCounts.of(row("1122"), row("1122"), ("a", "b", "c"))
    assert counts.iou == {"a": 1.0, "b": 1.0}
    assert counts.mean_iou == 1.0
    only_predicted = ClassCounts.of(row("1122"), row("1123"), ("a", "b", "c"))
    assert only_predicted.iou == {"a": 1.0, "b": 0.5, "c": 0.0}


def test_nothing_annotated_is_zero_not_nan() -> None:
    counts = ClassCounts.of(row("000"), row("121"), ("a", "b"))
    assert counts.pixels == 0
    assert counts.accuracy == counts.mean_iou == 0.0
    assert counts.iou == {}


def test_classes_pool_pixels() -> None:
    rng = np.random.default_rng(0)
    truth, predicted = rng.integers(0, 4, (2, 6, 9, 9))
    names = ("a", "b", "c")
    each = [ClassCounts.of(t, p, names) for t, p in zip(truth, predicted, strict=True)]
    assert pool(each) == ClassCounts.of(truth, predicted, names)
    with pytest.raises(ValueError, match="different classes"):
        each[0] + ClassCounts.of(truth, predicted, ("x", "y", "z"))


def test_classes_in_a_region() -> None:
    region = np.array([[True, True, False, False]])
    assert ClassCounts.of(row("1212"), row("1221"), ("a", "b"), region).accuracy == 1.0


def test_one_class_for_a_whole_image() -> None:
    scores = [ClassCounts.of(t, p, ("good", "bad")) for t, p in [(1, 1), (2, 1), (2, 2)]]
    assert pool(scores).confusion == ((1, 0, 0), (1, 1, 0))


def test_classes_need_a_name() -> None:
    with pytest.raises(ValueError, match="at least one"):
        ClassCounts.of(row("1"), row("1"), ())


def test_sentence() -> None:
    counts = ClassCounts.of(row("1222"), row("1221"), "ab")
    assert counts.sentence == "75.0 % of the annotated pixels right, mean IoU 0.58"
