"""What a training is fed with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from discs import discs
from given import GIVEN

from napari_dojo.data.dataset import Dataset
from napari_dojo.data.normalize import Cleaned
from napari_dojo.data.resample import resize
from napari_dojo.data.resident import Source
from napari_dojo.device import choose
from napari_dojo.events import Done
from napari_dojo.models.card import read_card
from napari_dojo.models.library import find
from napari_dojo.settings import TrainSettings
from napari_dojo.tasks import TASKS
from napari_dojo.training import feed
from napari_dojo.training.feed import Feed, Scaled
from napari_dojo.training.prepare import prepare
from napari_dojo.training.train import Target, train_steps


def test_networks_that_see_objects_enlarged_are_judged_on_the_same_places() -> None:
    """Else a start would win because its part of the images is an easy one."""
    task, card = TASKS["instances"], read_card(find("nuclei-fluorescence"))
    settings = TrainSettings(minutes=0.5, validation=0.0, test=0.0)
    setup = prepare(Dataset.of(*discs(n=60)), task, task.options(), settings, choose("cpu"))
    assert setup.plan is not None
    judged = []
    for zoom in (1.0, 1.5):
        scaled = replace(setup, plan=replace(setup.plan, zoom=zoom))
        made = Feed(scaled, Scaled.of(scaled), card)
        judged.append(made.judge(made.samples.split.training).sources)
    plain, enlarged = judged
    assert 10 < len(plain) < 40  # of 60: a check of half a minute's training may not take longer
    assert [s.size for s in enlarged] == [tuple(round(1.5 * n) for n in s.size) for s in plain]
    for a, b in zip(plain, enlarged, strict=True):
        assert set(np.unique(b.y)) == set(np.unique(a.y))


@pytest.mark.parametrize("zoom", [0.25, 1.5])
def test_images_that_are_scaled_are_seen_as_a_prediction_sees_them(zoom: float) -> None:
    """By the numbers of the image as it is, cleaned before it is scaled: scaling takes noise away, and blurs what is no image."""
    rng, task = np.random.default_rng(0), TASKS["instances"]
    labels = np.kron(discs(n=1)[1][0], np.ones((4, 4), int))
    image = (rng.normal(1000, 60, labels.shape) + 200 * (labels > 0)).astype(np.float32)
    image[:, :50] = 0
    image[200, 200], image[210, 210] = 60000, np.nan
    setup = prepare(Dataset.of([image], [labels]), task, task.options(), TrainSettings(steps=1), choose("cpu"))
    assert setup.plan is not None
    scaled = Scaled.of(replace(setup, plan=replace(setup.plan, zoom=zoom)))
    norm = setup.rule.measure(image[None])
    assert scaled.norms == (norm,)
    sample, size = scaled.dataset.samples[0], tuple(round(n * zoom) for n in image.shape)
    seen = resize(norm.apply(norm.clean(image[None])[0]), size)
    np.testing.assert_allclose(norm.apply(sample.x), seen, atol=1e-4)
    assert sample.region is not None
    assert not sample.region[:, : int(49 * zoom)].any()
    assert sample.region[:, round(54 * zoom) :].all()


def _dataset(name: str, images: Sequence[Any], labels: Sequence[Any]) -> Dataset:
    """What a person gives a task with two or more images, its targets where it needs any."""
    task = TASKS[name]
    target, each = task.target, zip(labels, [np.array(x) for x in images], [1, 2] * len(labels), strict=False)
    needless = target is None or (target.optional and target.kind.dense)
    given = None if target is None or needless else [GIVEN[target.kind](*one) for one in each]
    names = {} if task.result.dense else {"class_names": ("a", "b")}
    return Dataset.of(images, given, layout=task.layout(task.options()), **names)


@pytest.mark.parametrize("task", TASKS)
def test_images_that_do_not_fit_in_memory_are_trained_on_from_their_files(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing reads them as a whole, whatever is to be cleaned in them."""
    monkeypatch.setattr(feed, "FITTING", 0.0)
    monkeypatch.setattr(feed, "RESIDENT", 1e-7)
    images, labels = discs(n=2)
    mapped = []
    for k, image in enumerate(images):
        mapped.append(np.memmap(tmp_path / f"{k}", np.uint16, "w+", shape=image.shape))
        mapped[-1][:] = 100 + 300 * (image - image.min()) / np.ptp(image)
        mapped[-1][40, 40] = 60000
    data = _dataset(task, mapped, labels)
    read: list[type] = []
    of = Source.of

    def noted(*about: Any, **more: Any) -> Source:
        made = of(*about, **more)
        read.append(type(made.x))
        return made

    monkeypatch.setattr(Source, "of", staticmethod(noted))
    settings = TrainSettings(steps=1, batch=2, patch=32, width=8, depth=2, device="cpu")
    done = list(train_steps(data, task, Target(tmp_path / "m"), settings))[-1]
    assert isinstance(done, Done)
    assert set(read) == {Cleaned} or task == "upscale"  # which makes its inputs from the images


def test_scaled_images_that_do_not_fit_in_memory_are_trained_on_from_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    task = TASKS["instances"]
    setup = prepare(Dataset.of(*discs()), task, task.options(), TrainSettings(validation=0.0, test=0.0), choose("cpu"))
    assert setup.plan is not None
    setup = replace(setup, plan=replace(setup.plan, zoom=1.5))
    before = Scaled.of(setup)
    monkeypatch.setattr("napari_dojo.training.prepare.FITTING", 0.0)
    scaled = Scaled.of(setup)
    assert scaled.fingerprint == before.fingerprint
    sources = Feed(setup, scaled, read_card(find("nuclei-fluorescence"))).sources(scaled.split.training)
    for old, new, source in zip(before.dataset.samples, scaled.dataset.samples, sources, strict=True):
        assert type(old.x) is np.ndarray
        assert isinstance(new.x, np.memmap)
        assert isinstance(new.y, np.memmap)
        assert isinstance(source.x, np.memmap)  # not read yet
        np.testing.assert_array_equal(old.x, new.x)
        np.testing.assert_array_equal(old.y, new.y)


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("few", [False, True])
def test_sizes_are_varied_where_a_new_network_has_few_images_of_objects(name: str, few: bool) -> None:
    task, (images, labels) = TASKS[name], discs(n=4)
    options, data = task.options(), _dataset(name, images, labels)
    setup = prepare(data, task, options, TrainSettings(steps=1, validation=0.0, test=0.0), choose("cpu"))
    assert setup.plan is not None
    assert setup.plan.few
    setup = replace(setup, plan=replace(setup.plan, few=few))
    made = Feed(setup, Scaled.of(setup), read_card(find("nuclei-fluorescence")))
    assert made.patches().wide == (0.4 if few and task.result.objects else 0.0)
