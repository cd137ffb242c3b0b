from __future__ import annotations

import threading
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from napari_dojo.data.normalize import Rule
from napari_dojo.events import Control, Previewed
from napari_dojo.inference import live
from napari_dojo.inference.live import LivePlane, classifier_of, live_steps
from napari_dojo.metrics.objects import InstanceCounts


def scene(size=(90, 130)):
    """Bright discs, and strokes on two of them and on background."""
    y = np.zeros(size, np.int32)
    for k, at in enumerate([(20, 20), (20, 60), (60, 30), (65, 100), (25, 110)]):
        y[(np.indices(size)[0] - at[0]) ** 2 + (np.indices(size)[1] - at[1]) ** 2 < 120] = k + 1
    x = 100 + 100 * (y > 0) + np.random.default_rng(0).normal(0, 5, size)
    strokes = np.zeros(size, np.int32)
    strokes[19:22, 15:25], strokes[64:67, 96:104] = 2, 3
    strokes[43:46, 10:120] = 1
    return x[None].astype(np.float32), y, strokes


def told(tmp_path, look, **more):
    """All previews of one wish."""
    x, y, strokes = scene()
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "s.npy", more.pop("strokes", strokes))
    wish = {"image": str(tmp_path / "x.npy"), "strokes": str(tmp_path / "s.npy"), "objects": True, "number": 1}
    control, found = Control(look={**wish, **look}), []
    timer = threading.Timer(60, lambda: setattr(control, "stop", True))
    timer.start()
    for event in live_steps(tmp_path, control):
        assert isinstance(event, Previewed)
        found.append((event, np.load(event.path)))
        control.stop = event.whole
    timer.cancel()
    return found, y


def test_what_is_in_view_comes_first_and_objects_have_their_strokes_numbers(tmp_path):
    found, y = told(tmp_path, {"view": [[0, 50], [0, 60]]})
    (first, part), (last, whole) = found
    assert (first.box, first.whole) == ([[0, 50], [0, 60]], False)
    assert part.shape == (50, 60)
    assert (last.box, last.whole) == ([[0, 90], [0, 130]], True)
    assert (whole[20, 20], whole[65, 100]) == (2, 3)
    assert whole[20, 60] > 3
    counts = InstanceCounts.of(y, whole)
    assert (counts.detected, counts.false_positives) == (5, 0)


def test_a_view_beside_the_plane_shows_the_whole_of_it(tmp_path):
    found, _ = told(tmp_path, {"view": [[500, 500], [600, 600]]})
    assert [event.box for event, _ in found] == [[[0, 90], [0, 130]]]


class Slow(OrderedDict):
    """Between a look at it and what follows from that, other threads have their turn."""

    def get(self, key):
        found = super().get(key)
        time.sleep(0.001)
        return found

    def __contains__(self, key):
        found = super().__contains__(key)
        time.sleep(0.001)
        return found


def test_threads_share_the_tiles_that_are_kept(monkeypatch):
    """A tile that one of them finds may be dropped by another one."""
    monkeypatch.setattr(live, "KEPT", 2)
    monkeypatch.setattr(live, "TILE", 4)
    monkeypatch.setattr(live, "pixel_features", lambda x, lines: x)
    plane = LivePlane(np.arange(16.0 * 4).reshape(1, 16, 4).astype(np.float32), Slow())

    def look(seed):
        places = np.random.default_rng(seed).integers(0, 4, 200).tolist()
        return all(plane.tile((k, 0))[0, 0, 0] == 16 * k for k in places)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(look, range(4)))


def test_a_large_view_is_looked_at_coarsely_first(tmp_path, monkeypatch):
    monkeypatch.setattr(live, "QUICK", 90 * 130 / 4)
    found, y = told(tmp_path, {"view": [[0, 90], [0, 130]]})
    (_, coarse), (_, fine) = found
    assert coarse.shape == fine.shape == (90, 130)
    assert (coarse[::2, ::2] == coarse[1::2, ::2]).all()
    assert ((coarse > 0) == (y > 0)).mean() > 0.95


def test_classes(tmp_path):
    _, _, strokes = scene()
    found, y = told(tmp_path, {"view": [[0, 90], [0, 130]], "objects": False}, strokes=np.minimum(strokes, 2) * 3)
    assert set(np.unique(found[-1][1])) == {3, 6}
    assert ((found[-1][1] == 6) == (y > 0)).mean() > 0.95


def test_planes_that_are_too_large_are_predicted_in_view_only(tmp_path, monkeypatch):
    monkeypatch.setattr(live, "KEPT", 1)
    monkeypatch.setattr(live, "TILE", 64)
    found, _ = told(tmp_path, {"view": [[40, 300], [-5, 60]]})
    assert [event.box for event, _ in found] == [[[40, 90], [0, 60]]]
    assert found[-1][0].whole


def test_one_class_gives_no_preview(tmp_path):
    _, _, strokes = scene()
    np.save(tmp_path / "x.npy", scene()[0])
    np.save(tmp_path / "s.npy", np.minimum(strokes, 1))
    look = {"image": str(tmp_path / "x.npy"), "strokes": str(tmp_path / "s.npy"), "objects": True, "number": 1}
    control = Control(look={**look, "view": [[0, 9], [0, 9]]})
    threading.Timer(0.3, lambda: setattr(control, "stop", True)).start()
    assert list(live_steps(tmp_path, control)) == []


@pytest.mark.parametrize("step", [1, 2, 3, 5])
def test_features_and_probabilities_do_not_depend_on_the_part_looked_at(monkeypatch, step):
    monkeypatch.setattr(live, "TILE", 32)
    x, _, strokes = scene()
    plane = LivePlane.of(x)
    classifier = classifier_of([(plane, np.minimum(strokes, 2))])
    whole = plane.probabilities(classifier, plane.whole)
    box = ((7, 71), (20, 121))
    np.testing.assert_array_equal(plane.probabilities(classifier, box, step), whole[:, 7:71:step, 20:121:step])


@pytest.mark.parametrize("objects", [5, 0])
def test_a_plane_without_strokes_is_predicted_from_those_of_others(tmp_path, objects):
    x, y, strokes = scene()
    blank = np.random.default_rng(1).normal(100, 5, x.shape)  # normalised by itself, its noise would be objects
    np.save(tmp_path / "other.npy", x)
    np.save(tmp_path / "those.npy", np.minimum(strokes, 2))
    np.save(tmp_path / "here.npy", x[:, :, ::-1] if objects else blank)
    look = {"image": str(tmp_path / "here.npy"), "others": [[str(tmp_path / "other.npy"), str(tmp_path / "those.npy")]]}
    look |= {"view": [[0, 90], [0, 130]], "stack": 1, "largest": 7}
    [(_, found)], _ = told(tmp_path, look, strokes=0 * strokes)
    counts = InstanceCounts.of(y[:, ::-1] if objects else 0 * y, found)
    assert (counts.detected, counts.false_positives) == (objects, 0)
    assert set(np.unique(found)) == {0, *range(8, 8 + objects)}  # no number of a stroke


def test_a_newer_wish_ends_an_older_one(tmp_path):
    x, _, strokes = scene()
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "s.npy", strokes)
    look = {"image": str(tmp_path / "x.npy"), "strokes": str(tmp_path / "s.npy"), "objects": True}
    control = Control(look={**look, "view": [[0, 50], [0, 50]], "number": 1})
    numbers = []
    end = time.monotonic() + 60
    for event in live_steps(tmp_path, control):
        numbers.append((event.number, event.whole))
        if event.number == 1:
            control.look = {**look, "view": [[0, 40], [0, 50]], "number": 2}
        control.stop = (event.number == 2 and event.whole) or time.monotonic() > end
    assert numbers == [(1, False), (2, False), (2, True)]


def test_padding_and_hot_pixels_are_filled_as_for_a_training() -> None:
    x = scene()[0]
    x[:, :, :30] = 0
    x[:, 50, 70] = 60000
    norm = Rule().measure(x)
    np.testing.assert_array_equal(LivePlane.of(x).x, norm.apply(norm.clean(x)[0]))
    assert LivePlane.of(x).x.min() > -0.5
    assert LivePlane.of(x).x.max() < 2
