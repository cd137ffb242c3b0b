from __future__ import annotations

import numpy as np
import pytest

from napari_dojo.data.dataset import Dataset, Sample, Series
from napari_dojo.data.normalize import Rule
from napari_dojo.errors import DojoError
from napari_dojo.events import Done, Progress
from napari_dojo.inference.geometry import resolve
from napari_dojo.settings import TrainSettings
from napari_dojo.tasks import TASKS
from napari_dojo.training.curve import curve_steps, parts_of

TINY = TrainSettings(steps=5, width=4, depth=2, batch=1, patch=16, device="cpu")


def squares(count=16):
    """An image of squares on a grid, and their labels (Y, X)."""
    y = np.zeros((48, 12 * count // 4), np.int32)
    for k in range(count):
        row, column = 12 * (k % 4), 12 * (k // 4)
        y[row + 3 : row + 9, column + 3 : column + 9] = 10 * (k + 1)
    return ((y > 0) + np.random.default_rng(0).normal(0, 0.1, y.shape))[None].astype(np.float32), y


def test_each_annotated_pixel_belongs_to_the_nearest_object():
    x, y = squares()
    known = np.ones(y.shape, bool)
    known[:, 30:] = False
    parts = parts_of(Dataset((Sample("a", x, y, known),)), objects=True)
    assert parts.numbers[0] == (0, 1)
    assert (parts.nearest[0][:, 30:] == 0).all()
    (sample,) = parts.dataset(Dataset((Sample("a", x, y, known),)), [(0, 1)]).samples
    assert sample.region[3:9, 3:9].all()
    assert not sample.region[20:].any()
    assert set(np.unique(y[sample.region])) <= {0, 10}


def test_strokes_and_classes_have_parts_too():
    x, y = squares()
    drawn = np.where(y > 0, y // 10 + 1, 0)
    drawn[:1] = 1
    data = Dataset((Sample("a", x, drawn),))
    parts = parts_of(data, objects=True, strokes=True)
    assert len(parts.numbers) == 16
    (sample,) = parts.dataset(data, [(0, 1)]).samples
    assert sample.region is None
    assert set(np.unique(sample.y)) == {0, 1, 2}
    classes = parts_of(Dataset((Sample("a", x, (y > 0) * 2),)), objects=False)
    assert len(classes.numbers) == 16


def test_parts_are_trained_on_and_others_scored():
    x, y = squares()
    events = list(curve_steps(Dataset((Sample("a", x, y),)), TASKS["instances"], TINY, TASKS["instances"].options()))
    done = events[-1]
    assert isinstance(done, Done)
    assert done.facts["objects"] == [3, 3, 6, 6, 12]
    assert done.facts["gain"]["more"] == 5
    assert all(0 <= s <= 1 for s in done.facts["scores"])
    assert [e.done for e in events if isinstance(e, Progress)][-1] == 100


def test_a_few_objects_are_too_few():
    x, y = squares(8)
    with pytest.raises(DojoError, match="Only 8 objects are annotated; 12 are needed"):
        list(curve_steps(Dataset((Sample("a", x, y),)), TASKS["instances"], TINY, TASKS["instances"].options()))


def test_frames_of_a_series_are_scored_with_its_numbers(monkeypatch):
    x, y = squares()
    whole = Series([x, 10 * x])
    asked = []

    def resolved(card, image, settings):
        asked.append(image.numbers)
        return resolve(card, image, settings)

    monkeypatch.setattr("napari_dojo.training.curve.resolve", resolved)
    data = Dataset((Sample("a [0]", x, y, whole=whole),))
    list(curve_steps(data, TASKS["instances"], TINY, TASKS["instances"].options()))
    assert set(asked) == {whole.normalization(Rule())}
