"""Cross-validation where there are few samples: each is predicted once by a network that never saw it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_dojo.data.axes import Axes
from napari_dojo.data.dataset import Dataset
from napari_dojo.device import Device
from napari_dojo.events import Done, Message, Progress, Started
from napari_dojo.models.bundle import load
from napari_dojo.models.card import read_card
from napari_dojo.settings import TrainSettings
from napari_dojo.tasks.classify import CLASSIFY, ClassifyOptions
from napari_dojo.training.prepare import prepare
from napari_dojo.training.train import Target, train_steps

SETTINGS = TrainSettings(steps=6, batch=4, width=8, device="cpu", learning_rate=0.01)
CPU = Device("cpu", "CPU", 10**9, 1)


def dataset(each: int = 6, single: bool = False) -> Dataset:
    """Bright and dim images, ``each`` of each class."""
    rng = np.random.default_rng(0)
    values = [1, 2] * each + [3] * single
    images = [(rng.random((8, 8)) * 20 + 80 * v).astype(np.uint8) for v in values]
    names = ("dim", "bright", "rare")[: 2 + single]
    layout = CLASSIFY.layout(ClassifyOptions())
    return Dataset.of(images, [np.int32(v) for v in values], Axes("YX", "YX"), layout=layout, class_names=names)


def test_each_sample_is_left_out_once_and_a_single_one_never():
    data = dataset(7, single=True)
    setup = prepare(data, CLASSIFY, ClassifyOptions(), SETTINGS, CPU)
    held = [crop.item for split in setup.folds for crop in split.validation]
    assert len(setup.folds) == 5
    assert sorted(held) == list(range(14))
    for split in setup.folds:
        assert {c.item for c in split.training} | {c.item for c in split.validation} == set(range(15))
        assert len({int(data.samples[c.item].y) for c in split.validation}) == 2
    assert setup.split is not None
    assert len(setup.split.training) == 15
    assert "Cross-validation in 5 parts" in " ".join(f.text for f in setup.findings)


@pytest.mark.parametrize(
    ("each", "folds", "settings", "parts"),
    [
        (24, 0, SETTINGS, 5),
        (25, 0, SETTINGS, 0),
        (30, 3, SETTINGS, 3),
        (6, 1, SETTINGS, 0),
        (6, 0, replace(SETTINGS, validation=0.3), 0),
    ],
)
def test_when(each, folds, settings, parts):
    assert len(prepare(dataset(each), CLASSIFY, ClassifyOptions(folds=folds), settings, CPU).folds) == parts


def test_copies_stay_together():
    data = dataset(6)
    samples = [replace(s, group="same") if k in (0, 2, 4) else s for k, s in enumerate(data.samples)]
    setup = prepare(replace(data, samples=tuple(samples)), CLASSIFY, ClassifyOptions(), SETTINGS, CPU)
    sides = [{c.item for c in split.validation} & {0, 2, 4} for split in setup.folds]
    assert sorted(map(len, sides)) == [0, 0, 0, 0, 3]


def test_the_score_is_of_all_parts_and_the_model_of_all_samples(tmp_path: Path):
    out = tmp_path / "m"
    events = list(train_steps(dataset(), "classify", Target(out), SETTINGS, ClassifyOptions(folds=2)))
    assert [e for e in events if isinstance(e, Progress)][-1].done == 200
    assert any(isinstance(e, Message) and "in 2 parts: " in e.text for e in events)
    started = next(e for e in events if isinstance(e, Started))
    assert "Cross-validation in 2 parts" in started.plan["split"]
    done = events[-1]
    assert isinstance(done, Done)
    assert done.facts["score_from"] == "cross-validation"
    card = read_card(out)
    assert card.score["scored"] == 12
    assert card.score["folds"] == 2
    low, high = card.score["accuracy_interval"]
    assert low <= card.score["accuracy"] <= high
    assert card.split["training"] == 12
    assert not card.split["validation"]

    again = list(train_steps(dataset(), "classify", Target(out, resume=True), replace(SETTINGS, steps=8)))
    assert not any(isinstance(e, Progress) for e in again)
    assert read_card(out).score["temperature"] == card.score["temperature"]
    assert load(out).card.training["steps"] == 8
