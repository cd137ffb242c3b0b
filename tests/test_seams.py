"""Training and prediction treat an image alike: a network gets the same numbers in both, and maps become the same result."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from given import target_of
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from napari_dojo.data.axes import Axes
from napari_dojo.data.dataset import Dataset
from napari_dojo.data.resample import fitted, resize
from napari_dojo.data.resident import Resident, packed
from napari_dojo.data.split import Crop
from napari_dojo.device import choose
from napari_dojo.events import Control, result_of
from napari_dojo.inference.geometry import Image, Input, resolve
from napari_dojo.inference.predict import Ready, decoded, domain_shift, predict_image
from napari_dojo.io.images import Picture
from napari_dojo.models.bundle import Bundle
from napari_dojo.settings import PredictSettings, TrainSettings
from napari_dojo.tasks import TASKS
from napari_dojo.training.feed import Feed, Scaled
from napari_dojo.training.prepare import Setup, prepare
from napari_dojo.training.recorder import Target, card_of

SIZE = (72, 88)
SETTINGS = TrainSettings(steps=1, width=4, depth=2, validation=0.0)
# Both ways scale by the same function; training keeps the image in its units in between, as float32: 2**-24 of the level over the
# range of an image, some 1e-6, and as much for each of the sums that an interpolation is.
CLOSE = 1e-4


SCALED = [(name, zoom) for name, task in TASKS.items() for zoom in ((1.0, 0.5, 1.65) if task.result.zooms else (1.0,))]


def labels(size: tuple[int, int] = SIZE) -> NDArray[np.int32]:
    """Discs of radius 6."""
    y = np.zeros(size, np.int32)
    for k, at in enumerate([(a, b) for a in (12, 34, 56) for b in (30, 52, 74)]):
        y[sum((g - c) ** 2 for g, c in zip(np.indices(size), at, strict=True)) < 36] = k + 1
    return y


def image(seed: int, kind: str, size: tuple[int, int] = SIZE) -> NDArray[np.float32]:
    """Discs and a few small bright spots under noise; "dirty": with padding, hot pixels and NaN; "half": much padding."""
    x = np.random.default_rng(seed).normal(500 + 300 * gaussian_filter(1.0 * (labels(size) > 0), 1), 20)
    for at in () if kind == "half" else ((20, 40), (44, 62)):
        x[at[0] : at[0] + 2, at[1] : at[1] + 2] = 4000
    if kind != "clean":
        x[:, : 40 if kind == "half" else 9] = 0
        x[30, 41], x[50, 20], x[8, 60] = 60000, 60000, np.nan
    return x.astype(np.float32)


def setup_of(
    name: str, kind: str, zoom: float, size: tuple[int, int] = SIZE
) -> tuple[Setup, list[NDArray[np.float32]]]:
    """A training on three images at a scale, and these images."""
    task = TASKS[name]
    images = [image(k, kind, size) for k in range(4)]
    clean = [gaussian_filter(np.nan_to_num(x), 1) for x in images]
    targets = [target_of(name, labels(size), x, 1 + k % 2) for k, x in enumerate(clean)]
    axes = Axes("YX")
    data = Dataset.of(images, None if task.target is None else targets, axes, layout=task.layout(task.options()))
    setup = prepare(data, task, task.options(), SETTINGS, choose("cpu"))
    assert setup.plan is not None
    assert not setup.summary.errors
    return replace(setup, plan=replace(setup.plan, zoom=zoom)), images


def feed_of(setup: Setup) -> Feed:
    """What its training is fed with."""
    scaled = Scaled.of(setup)
    card = card_of(setup, scaled.dataset, scaled.split, Target(Path("model")), scaled.fingerprint)
    return Feed(setup, scaled, card)


def trained_on(feed: Feed, item: int = 0) -> NDArray[np.float32]:
    """What the network gets of the whole of a training image, neither flipped nor rotated."""
    sample, patches = feed.samples.dataset.samples[item], feed.patches()
    (source,) = feed.sources([Crop(item, tuple((0, n) for n in sample.size))])
    resident = Resident.of([source], patches.kind, patches.record, feed.scale or (1, 1), torch.device("cpu"))
    where = packed(np.zeros(1), np.ones(1), np.array([sample.size]) / 2, np.eye(2)[None])
    found: NDArray[np.float32] = resident.cut(where, sample.size, feed.scale or (1, 1), True, False).x[0].numpy()
    return found


def predicted_on(
    feed: Feed, x: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch, clean: bool = False
) -> NDArray[np.float32]:
    """What the network gets of an image that is predicted; ``clean`` : as of the `Image`."""
    settings = PredictSettings(tta=1, device="cpu", diameter=feed.card.diameter)  # else other scales are looked at
    ready = Ready.of(Bundle.new(feed.card), settings)
    seen, compute = [], ready.predictor._net_on

    def net_on(part: torch.Tensor, *more: object) -> torch.Tensor:
        seen.append(part.clone())
        return compute(part, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(ready.predictor, "_net_on", net_on)
    result_of(predict_image(ready, replace(taken(feed, x), clean=clean), Control()))
    assert len(seen) == 1
    size = tuple(round(n * feed.card.zoom) for n in x.shape) if ready.predictor.dense else tuple(seen[0].shape[2:])
    return seen[0][0][(slice(None), *(slice(0, n) for n in size))].numpy()


def taken(feed: Feed, x: NDArray[np.float32]) -> Input:
    """An image as the model takes it."""
    return resolve(feed.card, Image("image", Picture(x, "YX")), PredictSettings())


@pytest.mark.parametrize("kind", ["clean", "dirty"])
@pytest.mark.parametrize(("name", "zoom"), SCALED)
def test_a_network_gets_the_same_numbers(name: str, zoom: float, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small bright objects stay when the image is scaled down, padding and hot pixels are filled once, before it is scaled."""
    setup, images = setup_of(name, kind, zoom)
    feed = feed_of(setup)
    for item in range(2):
        np.testing.assert_allclose(
            trained_on(feed, item), predicted_on(feed, images[item], monkeypatch), atol=CLOSE, rtol=CLOSE
        )


@pytest.mark.parametrize("size", [(72, 88), (300, 200), (41, 30)])
@pytest.mark.parametrize("sizes", ["pad", "resize"])
def test_images_of_classes_are_cleaned_before_they_are_brought_to_a_size(
    size: tuple[int, int], sizes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Borders that are added are no padding of the image, and hot pixels are not blurred first."""
    task = TASKS["classify"]
    rng = np.random.default_rng(0)
    images = [rng.normal(500 + 100 * (k % 2), 20, size).astype(np.float32) for k in range(4)]
    images += [rng.normal(800, 90, n).astype(np.float32) for n in ((64, 64), (64, 64), (64, 40), (90, 64))]
    for x in images:
        x[:, : size[1] // 2] *= 1.5
        x[9, 12], x[20, 8], x[3, 20] = 60000, 60000, np.nan
    options = task.options(size=64, sizes=sizes)
    y = [np.int32(1 + k % 2) for k in range(len(images))]
    data = Dataset.of(images, y, Axes("YX"), layout=task.layout(options))
    feed = feed_of(prepare(data, task, options, SETTINGS, choose("cpu")))
    for item in (0, 1, 5, 7):
        np.testing.assert_allclose(
            trained_on(feed, item), predicted_on(feed, images[item], monkeypatch), atol=CLOSE, rtol=CLOSE
        )


@pytest.mark.parametrize("name", [name for name, task in TASKS.items() if task.result.intensities])
def test_a_training_image_does_not_look_unlike_the_training_images(name: str) -> None:
    setup, images = setup_of(name, "half", 1.0)
    feed = feed_of(setup)
    assert not list(domain_shift(feed.card, taken(feed, images[0])))


@pytest.mark.parametrize(("name", "zoom"), SCALED)
def test_maps_become_the_same_result(name: str, zoom: float) -> None:
    """Scaled for the network, a validation decodes maps on its grid and a prediction on the image's: the objects are the same."""
    kind = TASKS[name].result
    setup, _ = setup_of(name, "clean", zoom)
    feed = feed_of(setup)
    (source,) = feed.sources([Crop(0, tuple((0, n) for n in feed.samples.dataset.samples[0].size))])
    judge = replace(feed.judge([Crop(0, tuple((0, n) for n in source.size))]), sources=(source,))
    card, size = feed.card, tuple(source.size)
    if kind.dense and kind.drawn:
        y = labels()
        y[64:67, 8:12] = 99  # 12 px, too small
        inside = np.stack([8.0 * (y > 0) - 4, gaussian_filter(2.0 * (y > 0), 1.5)])
        inside = np.concatenate([inside, np.zeros((len(card.maps) - 2, *SIZE))])
        inside = inside if kind.objects else np.stack([4 - 8.0 * (y > 0), 8.0 * (y > 0) - 4])
        maps = resize(inside.astype(np.float32), size)
        least = {"minimum_area": 40.0}
    else:
        shape = [n * f for n, f in zip(size, feed.scale or (1, 1), strict=True)] if kind.dense else []
        maps, least = np.random.default_rng(0).normal(0, 1, (len(card.maps), *shape)).astype(np.float32), {}
    decoding = replace(setup.summary.decoding, **least)
    validated = judge.decoded(maps, decoding, source)
    back = maps if zoom == 1 else resize(maps, SIZE)
    predicted = decoded(card, back, source.norm, decoding)
    if zoom == 1:
        np.testing.assert_array_equal(validated, predicted)
        return
    assert set(np.unique(validated)) == set(np.unique(predicted))
    there = resize(1.0 * (predicted > predicted.min())[None], size)[0] > 0.5
    assert (there == (validated > validated.min())).mean() > 0.98


def test_crops_of_a_cleaned_image_are_predicted_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """As they are trained on: what they show of the image's filled padding is not padding of their own."""
    setup, images = setup_of("classify", "clean", 1.0)
    feed, crop = feed_of(setup), images[0]
    crop[:, :20] = 510
    size = setup.options.shape
    wanted = fitted(setup.rule.measure(crop[None]).apply(crop[None]), size, True)
    np.testing.assert_allclose(predicted_on(feed, crop, monkeypatch, clean=True), wanted, atol=CLOSE)
