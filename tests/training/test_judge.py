"""Scores on crops whose ground truth is known, and the decoding that suits them."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import asdict, replace
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from discs import discs
from made import made

from napari_dojo.data.batches import Source
from napari_dojo.data.dataset import Sample
from napari_dojo.data.kinds import IMAGE, LABELS
from napari_dojo.data.normalize import Normalization
from napari_dojo.data.split import Crop
from napari_dojo.device import Device
from napari_dojo.events import Event
from napari_dojo.models.card import Card
from napari_dojo.settings import fields_of
from napari_dojo.tasks import INSTANCES, TASKS
from napari_dojo.tasks.instances import InstancesDecoding, InstancesOptions
from napari_dojo.tasks.upscale import UpscaleOptions
from napari_dojo.training.judge import Judge, figures, some_crops
from napari_dojo.training.run import Training

OPTIONS = InstancesOptions(diameter=20.0)
PLAIN = Normalization((0.0,), (1.0,))
MAPS = ("inside", "distance", "boundary", "direction y", "direction x", "centre y", "centre x")
CARD = Card("m", "instances", {}, {}, "unet", {}, "YX", "YX", 1, MAPS)


def judge(*labels: np.ndarray) -> Judge:
    sources = []
    for y in labels:
        whole = Crop(0, tuple((0, n) for n in y.shape))
        sources.append(Source.of(Sample("a", (y > 0).astype(np.float32)[None], y), whole, PLAIN, LABELS))
    return Judge(INSTANCES, OPTIONS, CARD, Device("cpu", "CPU", 10**9, 1), tuple(sources))


def perfect(y: np.ndarray) -> np.ndarray:
    """What a perfect network predicts."""
    maps = made(INSTANCES, np.zeros((1, *y.shape), np.float32), y, None, OPTIONS)[1]
    maps[0] = np.where(maps[0] > 0, 8, -8)
    return maps


def rod() -> np.ndarray:
    y = np.zeros((40, 150), np.int32)
    y[12:28, 10:140] = 1
    return y


def test_validation_sees_the_noise_that_training_adds(monkeypatch: pytest.MonkeyPatch) -> None:
    y = np.tile(np.sin(np.arange(64) / 9)[None, :, None] / 2 + 0.5, (1, 1, 64)).astype(np.float32)
    x = y[:, ::2, ::2]
    source = Source.of(Sample("a", x, y), Crop(0, ((0, 32), (0, 32))), PLAIN, IMAGE, scale=(2, 2))
    card = replace(CARD, task="upscale", maps=("image 1",), upsampling={"Y": 2, "X": 2})
    network = SimpleNamespace(maps=lambda x, norm, views: _as_is(x))
    monkeypatch.setattr(Judge, "predictor", lambda self, net: network)
    seen, figure = {}, {}
    for degrade in ("bicubic", "microscope"):
        options = UpscaleOptions(alone=True, degrade=degrade, photons=20.0)
        found = Judge(TASKS["upscale"], options, card, Device("cpu", "CPU", 10**9, 1), (source,))
        seen[degrade], figure[degrade] = found.predict(None)[0], found.baseline()["psnr"]
        np.testing.assert_array_equal(found.predict(None)[0], seen[degrade])  # the same at each check
    np.testing.assert_array_equal(seen["bicubic"], x)
    assert np.std(seen["microscope"] - x) == pytest.approx(np.sqrt(0.5 / 20 + (1.5 / 20) ** 2), rel=0.1)
    assert figure["microscope"] < figure["bicubic"] - 10


def _as_is(x: np.ndarray) -> Generator[Event, None, np.ndarray]:
    """What a network predicts that changes nothing."""
    yield from ()
    return x


def test_perfect_maps_score_1_and_no_maps_score_0():
    y = discs()[1][0]
    found = judge(y)
    assert found.score([perfect(y)], InstancesDecoding()).selection_score > 0.99
    assert found.score([np.full_like(perfect(y), -8)], InstancesDecoding()).selection_score == 0


@pytest.mark.parametrize(("ripple", "fits"), [(0.1, 0.25), (0.13, 0.3)])
def test_the_separation_that_fits_is_chosen(ripple: float, fits: float):
    y = rod()
    maps = perfect(y)
    maps[1] += ripple * np.cos(np.arange(150) * 2 * np.pi / 40)[None] * (y > 0)  # ripples that are no objects
    split = InstancesDecoding(split=0.05)
    assert judge(y).score([maps], split).selection_score == 0
    best = judge(y).tuned([maps], split)
    assert best == replace(split, split=fits)
    assert judge(y).score([maps], best).selection_score == 1
    assert (
        judge(y).tuned([maps], split, lambda d: -2.0 * (d.split == fits)).split != fits
    )  # something else speaks against it


@pytest.mark.parametrize("task", TASKS)
def test_areas_are_those_of_the_images_whatever_the_scale_of_the_crops(task: str) -> None:
    """Of objects that are scaled down, none would be left."""
    counted = {f.name for f in fields_of(TASKS[task].decoding) if f.option.counted}
    assert counted == {f.name for f in fields_of(TASKS[task].decoding) if f.option.unit == "px"}
    if task == "instances":
        y = discs()[1][0]  # of radius 7, and of radius 28 in the images
        small = replace(judge(y), card=replace(CARD, zoom=0.25))
        assert small.score([perfect(y)], InstancesDecoding(minimum_area=1000.0)).selection_score > 0.99
        assert small.score([perfect(y)], InstancesDecoding(minimum_area=3000.0)).selection_score == 0


def test_a_decoding_that_is_right_stays():
    assert judge(rod()).tuned([perfect(rod())], InstancesDecoding()) == InstancesDecoding()
    assert judge(rod()).tuned([perfect(rod())], InstancesDecoding(), lambda d: d.split) == InstancesDecoding()


def test_what_counts_against_a_decoding_is_asked_only_where_it_decides():
    asked: list[float] = []

    def also(decoding: InstancesDecoding) -> float:
        asked.append(decoding.split)
        return 0.0

    judge(rod()).tuned([perfect(rod())], InstancesDecoding(), also)
    assert asked == [0.2]  # of the one that is right already


def test_figures_name_what_selects_the_model():
    y = rod()
    told = figures(judge(y).score([perfect(y)], InstancesDecoding()))
    assert (told["measure"], told["selection_score"]) == ("mean AP", 1.0)
    assert told["ap"]["0.5"] == 1.0


def test_crops_are_chosen_until_they_hold_enough():
    crops = [Crop(i, ((0, 1000), (0, 1000))) for i in range(20)]
    few = some_crops(crops, 5e5, 0)
    assert 5e5 <= sum(c.volume for c in few) < 1e6
    assert some_crops(crops, 5e5, 0) == few
    assert len(some_crops(crops, 1e12, 0)) == 20


def test_a_class_that_the_crops_lack_is_added():
    crops = [Crop(i, ((0, 2000), (10, 1010))) for i in range(6)]
    classes = np.ones((6, 2000, 1010), np.uint8)
    classes[4, 1990:, 1000:] = 2
    within = lambda crop: classes[(crop.item, *crop.slices)]  # noqa: E731
    assert all((within(c) != 2).all() for c in some_crops(crops, 5e5, 0))
    few = some_crops(crops, 5e5, 0, within)
    assert {int(v) for c in few for v in np.unique(within(c))} == {1, 2}
    assert sum(c.volume for c in few) < 1e6
    assert all(0 <= a < b <= n for c in few for (a, b), n in zip(c.box, (2000, 1010), strict=True))


def test_the_temperature_makes_probabilities_as_often_right_as_they_say() -> None:
    from napari_dojo.tasks import CLASSIFY
    from napari_dojo.tasks.classify import ClassifyOptions, probabilities

    rng = np.random.default_rng(0)
    options = ClassifyOptions(values=(1, 2), classes=("a", "b"), weights=(1.0, 1.0))
    true = rng.normal(0, 2, 4000)
    y = 1 + (rng.random(4000) < 1 / (1 + np.exp(-true)))
    sources = tuple(Source(np.zeros((1, 8, 8)), int(v), None, PLAIN, np.zeros((0, 2))) for v in y)
    judge = Judge(CLASSIFY, options, None, None, sources)
    maps = [np.array([0, 3 * t], np.float32) for t in true]
    found = judge.temperature(maps)
    assert found == pytest.approx(3, rel=0.1)
    assert probabilities(np.array([0, 3 * 2.0], np.float32) / found)[1] == pytest.approx(1 / (1 + np.exp(-2)), abs=0.02)


def test_a_start_is_scored_by_its_own_decoding_at_the_scale_that_it_knows() -> None:
    """Its smallest object counts pixels of the images that it was trained on, not of these."""
    y, card = discs()[1][0], replace(CARD, zoom=4.0)
    start = replace(CARD, decoding=asdict(InstancesDecoding(minimum_area=120.0)))
    validation = SimpleNamespace(predict=lambda net: [perfect(y)], score=replace(judge(y), card=card).score)
    training = SimpleNamespace(
        start=SimpleNamespace(card=start, net=None), card=card, checks=SimpleNamespace(judge=validation)
    )
    assert Training.agreement(cast("Training", training)) > 0.99
