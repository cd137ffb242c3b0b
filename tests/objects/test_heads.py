"""Heads: from a few objects to all."""

from __future__ import annotations

import numpy as np
import pytest

from napari_dojo.data.axes import Axes
from napari_dojo.metrics.classes import wilson
from napari_dojo.objects.features import measure
from napari_dojo.objects.heads import (
    Examples,
    Prediction,
    nearest,
    predictions,
    projected,
    scaled,
)
from napari_dojo.simulation.cell_types import CELL_TYPES, mixed_cells


@pytest.fixture(scope="module")
def cells():
    """Scaled features and the type of each cell."""
    scene = mixed_cells((512, 512), 3)
    objects = measure(scene.labels, scene.image, Axes("CYX"))
    return scaled(objects.values), scene.types[objects.label - 1]


def examples(types, each, seed=0, names=CELL_TYPES):
    rng = np.random.default_rng(seed)
    rows = np.concatenate([rng.permutation(np.flatnonzero(types == k))[:each] for k in range(len(names))])
    return Examples(rows, types[rows], tuple(names))


def test_twenty_examples_tell_four_types_apart(cells):
    x, types = cells
    right = []
    for seed in range(3):
        shown = examples(types, 5, seed)
        first, *folds, last = predictions(x, shown)
        others = np.setdiff1d(np.arange(len(types)), shown.rows)
        right.append((last.best[others] == types[others]).mean())
    assert np.mean(right) >= 0.85
    assert folds == [None] * 5  # where it can be stopped
    assert first.checked is None
    assert first.accuracy is None
    assert last.accuracy is not None
    assert abs(last.accuracy - (last.best[others] == types[others]).mean()) < 0.15
    assert np.allclose(last.probability.sum(1), 1)


def test_an_example_keeps_its_class(cells):
    """Also one that was shown wrongly."""
    x, types = cells
    shown = examples(types, 3)
    wrong = Examples(shown.rows, np.roll(shown.classes, 1), shown.names)
    prediction = next(predictions(x, wrong))
    assert np.array_equal(prediction.best[wrong.rows], wrong.classes)
    assert (prediction.certainty[wrong.rows] == 1).all()


def test_one_class_says_nothing(cells):
    x, types = cells
    rows = np.flatnonzero(types == 0)[:5]
    assert list(predictions(x, Examples(rows, types[rows], CELL_TYPES))) == []
    assert list(predictions(x, Examples(rows[:0], types[:0], CELL_TYPES))) == []


def test_a_class_without_examples_gets_nothing_and_one_with_few_is_not_checked(cells):
    x, types = cells
    shown = examples(types, 4)
    keep = (shown.classes < 2) | ((shown.classes == 2) & (np.arange(len(shown.classes)) < 9))
    few = Examples(shown.rows[keep], shown.classes[keep], CELL_TYPES)
    assert few.per_class().tolist() == [4, 4, 1, 0]
    *_, prediction = predictions(x, few)
    assert np.isnan(prediction.checked).all(1).tolist() == [False] * 8 + [True]
    assert (prediction.probability[:, 3] == 0).all()
    assert prediction.confusion.sum() == 8
    (only,) = predictions(x, Examples(few.rows[:6], few.classes[:6], CELL_TYPES))
    assert only.checked is None


def prediction_of(shown, checked, probability):
    """An prediction with this confusion."""
    return Prediction(shown, np.asarray(probability, float), np.asarray(checked, float))


def test_confusion_counts_and_intervals():
    shown = Examples(np.arange(6), np.array([0, 0, 0, 1, 1, 1]), ("a", "b"))
    checked = np.eye(2)[[0, 0, 1, 1, 1, 1]]
    probability = np.concatenate([np.eye(2)[[0, 0, 0, 1, 1, 1]], np.tile([[0.9, 0.1]], (10, 1)), [[0.45, 0.55]]])
    prediction = prediction_of(shown, checked, probability)
    assert prediction.confusion.tolist() == [[2, 1], [0, 3]]
    assert prediction.accuracy == pytest.approx(5 / 6)
    assert prediction.confused(0, 1).tolist() == [2]
    assert prediction.classes(0.6).tolist() == [0, 0, 0, 1, 1, 1] + [0] * 10 + [-1]
    a, b = prediction.counts(0.6)
    assert (a.found, a.shown, b.found, b.shown) == (13, 3, 3, 3)
    assert a.low == 3 + round(10 * wilson(2, 2)[0])
    assert a.low <= a.found <= a.high <= 17 - 3
    assert b.low == 3
    half = np.arange(17) < 10
    parts = [prediction.counts(0.6, half), prediction.counts(0.6, ~half)]
    assert [(one.found, one.shown) for one in parts[0]] == [(7, 3), (3, 3)]
    assert [(one.found, one.shown) for one in parts[1]] == [(6, 0), (0, 0)]
    assert parts[1][0].low == round(6 * wilson(2, 2)[0])
    without = Prediction(shown, probability)
    assert (without.confusion, without.confused(0, 1).size) == (None, 0)
    assert (without.counts(0.6)[0].low, without.counts(0.6)[0].high) == (3, 14)


def test_intervals_hold_the_true_counts(cells):
    x, types = cells
    for seed in range(2):
        *_, prediction = predictions(x, examples(types, 5, seed))
        for count, true in zip(prediction.counts(0.0), np.bincount(types), strict=True):
            assert count.low <= true <= count.high


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"), [(0, 0, 0, 1), (0, 10, 0, 0.278), (10, 10, 0.722, 1), (81, 263, 0.255, 0.366)]
)
def test_wilson(hits, trials, low, high):
    """The last one is an example of Newcombe (1998)."""
    assert wilson(hits, trials) == pytest.approx((low, high), abs=6e-4)


def test_likeness(cells):
    x, types = cells
    row = int(np.flatnonzero(types == 1)[0])
    everything = np.arange(len(x))
    assert nearest(x, row, everything, 1).tolist() == [row]
    alike = nearest(x, row, np.setdiff1d(everything, [row]), 8)
    assert (types[alike] == 1).mean() > 0.5
    plane = projected(x)
    assert plane.shape == (len(x), 2)
    assert plane[:, 0].std() >= plane[:, 1].std()
    assert projected(x[:1]).tolist() == [[0, 0]]
    assert projected(np.repeat(x[:1], 3, 0)).tolist() == [[0, 0]] * 3  # all alike: without a warning
    assert scaled(x[:0]).shape == (0, x.shape[1])


def test_scaling_is_not_set_by_one_odd_object():
    x = np.random.default_rng(0).normal(5, 2, (200, 1)).astype(np.float32)
    x[0] = 1e6
    assert scaled(x).std() == pytest.approx(1, abs=1e-3)
    assert scaled(x).max() < 4
