from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from made import made

from napari_dojo.data.dataset import Dataset
from napari_dojo.tasks.semantic import SEMANTIC, SemanticDecoding, SemanticOptions

RNG = np.random.default_rng(0)
OPTIONS = SemanticOptions(values=(1, 2, 7), classes=("sky", "cell", "wall"))


def check(y, region=None, **more):
    pairs = Dataset.of([RNG.random(y.shape)], [y], regions=[] if region is None else [region])
    return SEMANTIC.summarize(pairs, SemanticOptions(**more))


def painted(values=(0, 1, 2, 7), size=(40, 60)):
    return np.kron(
        np.random.default_rng(1).choice(values, (size[0] // 10, size[1] // 10)), np.ones((10, 10), int)
    ).astype(np.int32)


def test_zero_is_not_annotated_or_a_class():
    y = painted()
    facts = check(y)
    assert facts.options.values == (1, 2, 7)
    assert facts.options.classes == ("class 1", "class 2", "class 7")
    assert facts.annotated == pytest.approx((y > 0).mean())
    facts = check(y, zero="background")
    assert facts.options.values == (0, 1, 2, 7)
    assert facts.options.classes[0] == "background"
    assert facts.annotated == 1


def test_zero_of_a_ground_truth_is_scored_as_it_is_said_to_be():
    """A model of fully annotated images, whose predictions are scored on strokes."""
    y = np.zeros((40, 60), np.int32)
    y[:2, :30], y[:2, 30:] = 1, 2
    found = np.where(np.indices(y.shape)[1] < 30, 1, 2)
    options = SemanticOptions("background", ("background", "cell", "wall"), (0, 1, 2))
    assert SEMANTIC.score(found, y, None, options).accuracy == pytest.approx(0.05)
    (doubt,) = SEMANTIC.target.doubts(Dataset.of([RNG.random(y.shape)], [y]), options)
    assert "0 covers 95% of the pixels" in doubt
    assert "--zero unlabelled" in doubt
    said = replace(options, zero="unlabelled")
    assert SEMANTIC.score(found, y, None, said).accuracy == 1
    assert SEMANTIC.target.doubts(Dataset.of([RNG.random(y.shape)], [y]), said) == []
    held, _ = SEMANTIC.baseline([RNG.random((1, 40, 60))], [y], said)
    assert held[0][0, 0] == 1
    strokes = SemanticOptions("background", ("cell", "wall"), (1, 2))
    (doubt,) = SEMANTIC.target.doubts(Dataset.of([RNG.random(y.shape)], [y]), strokes)
    assert "no class of the model" in doubt
    assert SEMANTIC.target.doubts(Dataset.of([RNG.random(y.shape)], [found]), strokes) == []  # there is no 0


def test_what_lies_outside_the_region_is_not_annotated():
    y = painted((1, 2))
    y[:10] = 9
    region = np.ones(y.shape, bool)
    region[:10] = False
    facts = check(y, region)
    assert facts.options.values == (1, 2)
    assert facts.annotated == pytest.approx(0.75)


@pytest.mark.parametrize(("zero", "columns"), [("unlabelled", 40), ("background", 20)])
def test_what_zero_means_is_judged_by_the_region(zero, columns):
    """What is painted completely in a region needs no question about 0, whatever lies outside."""
    y, region = np.zeros((40, 60), np.int32), np.zeros((40, 60), bool)
    region[:10, :columns] = True
    y[:10, :columns] = np.where(np.arange(columns) % 2, 1, 2)
    said = [f.text for f in check(y, region, zero=zero).findings]
    assert not any("0 covers" in text for text in said)
    whole = {"unlabelled": y[:20], "background": y}[zero]
    assert any("0 covers" in f.text for f in check(whole, zero=zero).findings)
    y[:10, :10] = 0
    said = [f.text for f in check(y, region, zero="unlabelled").findings if "0 covers" in f.text]
    assert said[0].startswith(f"0 covers {10 / columns:.0%} of the pixels")


@pytest.mark.parametrize(
    ("y", "more", "says"),
    [
        (painted((0,)), {}, "Nothing is annotated"),
        (painted((0, 3)), {}, r"Only one class is annotated \(number 3\)"),
        (np.arange(2400).reshape(40, 60), {}, "Are these objects"),
        (painted(), {"classes": ("a", "b")}, "2 class names were given, but the labels have 3 classes: 1, 2, 7"),
    ],
)
def test_what_cannot_be_learned_is_said(y, more, says):
    import re

    assert re.search(says, check(y, **more).errors[0])


def test_few_pixels_are_warned_of():
    y = painted((1, 2))
    y[0, :5] = 7
    assert "class 7 has only 5 annotated pixels" in check(y).warnings[0]


def test_targets():
    y = np.array([[0, 1, 2], [7, 3, 1]])
    region = np.array([[True, True, True], [True, True, False]])
    x = np.zeros((1, 2, 3), np.float32)
    _, target, weight = made(SEMANTIC, x, y, None, OPTIONS)
    np.testing.assert_array_equal(target, [[[0, 0, 1], [2, 0, 0]]])
    np.testing.assert_array_equal(weight, [[[0, 1, 1], [1, 0, 1]]])
    np.testing.assert_array_equal(made(SEMANTIC, x, y, region, OPTIONS)[2], [[[0, 1, 1], [1, 0, 0]]])


def test_what_is_not_annotated_does_not_count():
    y = painted()[None].repeat(2, 0)
    parts = [made(SEMANTIC, np.zeros((1, 40, 60), np.float32), a, None, OPTIONS)[1:] for a in y]
    target, weight = (torch.from_numpy(np.stack(p)) for p in zip(*parts, strict=True))
    out = torch.randn(2, 3, 40, 60)
    other = torch.where(weight > 0, out, out.flip(1) * 3)
    assert SEMANTIC.loss(out, target, weight, OPTIONS).item() == pytest.approx(
        SEMANTIC.loss(other, target, weight, OPTIONS).item(), rel=1e-5
    )


def test_decode_takes_the_largest_as_a_label_number():
    maps = np.random.default_rng(0).normal(size=(3, 6, 7)).astype(np.float32)
    found = SEMANTIC.decode(maps, SemanticDecoding(), OPTIONS)
    np.testing.assert_array_equal(found, np.array(OPTIONS.values)[maps.argmax(0)])
    assert found.dtype == np.int32


def test_specks_take_the_class_around_them():
    y = np.ones((20, 20), int)
    y[4:6, 4:6] = 2
    y[10:18, 10:18] = 7
    maps = np.stack([(y == v) * 5.0 for v in OPTIONS.values]).astype(np.float32)
    np.testing.assert_array_equal(SEMANTIC.decode(maps, SemanticDecoding(), OPTIONS), y)
    wanted = y.copy()
    wanted[4:6, 4:6] = 1
    np.testing.assert_array_equal(SEMANTIC.decode(maps, SemanticDecoding(minimum_area=10), OPTIONS), wanted)


def test_score_by_hand():
    truth = np.array([[1, 1, 2, 0]])
    counts = SEMANTIC.score(np.array([[1, 2, 2, 7]]), truth, None, OPTIONS)
    assert counts.accuracy == pytest.approx(2 / 3)
    assert counts.iou == {"sky": 0.5, "cell": 0.5}
    assert counts.selection_score == 0.5


def test_the_baseline_is_the_most_frequent_class():
    (found,), _ = SEMANTIC.baseline([np.zeros((2, 5, 6))], [np.array([[0, 0, 0, 0, 7, 7, 1]])], OPTIONS)
    np.testing.assert_array_equal(found, np.full((5, 6), 7))


def test_options_that_a_user_gave_stay():
    facts = check(painted(), classes=("a", "b", "c"))
    assert facts.options == replace(OPTIONS, classes=("a", "b", "c"))
