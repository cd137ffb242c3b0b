"""What a training is fed with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from discs import discs

from napari_dojo.data.dataset import Dataset
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
