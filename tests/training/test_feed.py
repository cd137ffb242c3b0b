"""What a training is fed with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from discs import discs

from napari_dojo.data.dataset import Dataset
from napari_dojo.data.resample import resize
from napari_dojo.device import choose
from napari_dojo.models.card import read_card
from napari_dojo.models.library import find
from napari_dojo.settings import TrainSettings
from napari_dojo.tasks import TASKS
from napari_dojo.training.feed import Feed, Scaled
from napari_dojo.training.prepare import prepare


def test_networks_that_see_objects_enlarged_are_judged_on_the_same_places() -> None:
    """Else a start would win because its part of the images is an easy one."""
    task, card = TASKS["instances"], read_card(find("nuclei-fluorescence"))
    settings = TrainSettings(minutes=0.5, validation=0.0, test=0.0)
    setup = prepare(Dataset.of(*discs(n=60)), task, task.options(), settings, choose("cpu"))
    assert setup.plan is not None
    judged = []
    for zoom in (1.0, 1.5):
        scaled = replace(setup, plan=replace(setup.plan, zoom=zoom))
        feed = Feed(scaled, Scaled.of(scaled), card)
        judged.append(feed.judge(feed.samples.split.training).sources)
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
