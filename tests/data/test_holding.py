"""Annotation that is held out to compare trainings on."""

from __future__ import annotations

import numpy as np
import pytest

from napari_dojo.data.dataset import Dataset, Sample
from napari_dojo.data.holding import hold_out
from napari_dojo.tasks.instances import InstancesOptions
from napari_dojo.tasks.instances import pieces as object_pieces
from napari_dojo.tasks.semantic import SemanticOptions
from napari_dojo.tasks.semantic import pieces as class_pieces


def objects(n=10):
    """Squares 1..n, far from each other."""
    y = np.zeros((20, 10 * n), np.int32)
    for k in range(n):
        y[5:11, 10 * k + 2 : 10 * k + 8] = k + 1
    return y


def dataset(y, region=None):
    return Dataset((Sample("a", np.zeros((1, *y.shape), np.float32), y, region),))


def numbers(sample):
    return set(np.unique(sample.y[sample.region]).tolist()) - {0}


def test_every_fifth_object_is_held_out_with_what_is_closely_around_it():
    y = objects()
    held = hold_out(dataset(y), lambda s: object_pieces(s, InstancesOptions()))
    train, test = held.dataset.samples
    assert (held.pieces, held.of) == (2, 10)
    assert len(numbers(test)) == 2
    assert numbers(train) | numbers(test) == set(range(1, 11))
    assert not (train.region & test.region).any()
    assert (train.region | test.region).all()
    n = min(numbers(test))
    assert test.region[3, 10 * (n - 1) + 4]  # 2 px above the object
    assert not test.region[2, 10 * (n - 1) + 4]
    assert [len(held.split.training), len(held.split.validation)] == [1, 1]


def test_only_what_is_accepted_is_held_out():
    y = objects()
    region = np.zeros(y.shape, bool)
    region[:, :60] = True
    held = hold_out(dataset(y, region), lambda s: object_pieces(s, InstancesOptions()))
    assert held.of == 6
    assert all(not s.region[:, 60:].any() for s in held.dataset.samples)


def test_strokes_of_objects_and_of_the_background_are_both_held_out():
    y = np.where(objects() > 0, objects() + 1, 0)
    for k in range(5):
        y[15, 12 * k : 12 * k + 6] = 1
    held = hold_out(dataset(y), lambda s: object_pieces(s, InstancesOptions(annotation="strokes")))
    train, test = held.dataset.samples
    assert 1 in numbers(train)
    assert 1 in numbers(test)
    assert held.of == 15
    assert held.pieces == 4


@pytest.mark.parametrize("zero", ["unlabelled", "background"])
def test_a_fifth_of_each_class(zero):
    y = np.zeros((40, 40), np.int32)
    y[:10], y[30:] = 1, 2
    options = SemanticOptions(zero=zero, values=(1, 2) if zero == "unlabelled" else (0, 1, 2))
    held = hold_out(dataset(y), lambda s: class_pieces(s, options))
    test = held.dataset.samples[1]
    assert numbers(test) == {1, 2}
    assert (test.y[test.region] == 1).mean() == pytest.approx((test.y[test.region] == 2).mean(), abs=0.1)


def test_too_little_to_hold_out():
    assert hold_out(dataset(objects(3)), lambda s: object_pieces(s, InstancesOptions())) is None
