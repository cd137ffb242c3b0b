"""What the live preview asks the job for, and where it shows the reply."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import numpy as np
import pytest

from napari_dojo.widgets.common.layers import provenance
from napari_dojo.widgets.common.preview import Preview
from napari_dojo.widgets.common.rows import Row
from napari_dojo.widgets.common.training_data import Layers

pytestmark = pytest.mark.gui


class Looks(list):
    """The files that were asked for, and whether as ``outlines``."""

    def __init__(self):
        super().__init__()
        self.outlines = []

    def look(self, path, outline=False):
        self.append(path)
        self.outlines.append(outline)


@pytest.fixture
def made(viewer, tmp_path):
    """Makes a running preview of rows; ``looks`` are the files it asked for."""
    previews = []

    def make(rows, axes="YX"):
        looks = Looks()
        runner = SimpleNamespace(job=object(), look=looks.look)
        preview = Preview(viewer, runner, tmp_path, Layers(tuple(rows), axes))
        preview.begin()
        previews.append(preview)
        return preview, looks

    yield make
    for preview in previews:
        preview.forget()


def asked(qtbot, looks, count=1):
    qtbot.waitUntil(lambda: len(looks) >= count)
    qtbot.wait(50)
    return np.load(looks[-1])


def reply(preview, look, labels):
    path = look.with_name(f"preview-{look.stem.rpartition('-')[2]}.npy")
    np.save(path, labels)
    preview.show(str(path))


def pair(viewer, data, name="a", **where):
    image = viewer.add_image(data, name=name, **where)
    labels = viewer.add_labels(np.zeros(data.shape, int), name=f"{name} labels", **where)
    return Row((image,), labels)


@pytest.mark.window
def test_the_preview_lies_on_the_image_and_steals_nothing(qtbot, viewer, made):
    data = np.random.default_rng(0).integers(0, 99, (60, 80))
    row = pair(viewer, data, scale=(0.5, 0.25), translate=(3, 4))
    viewer.layers.selection.active = row.images[0]
    preview, looks = made([row])
    preview.follow()
    np.testing.assert_array_equal(asked(qtbot, looks), data[None])
    reply(preview, looks[-1], np.ones((60, 80), np.int32))
    layer = preview.layer
    assert layer.name == "a (current prediction)"
    np.testing.assert_allclose((*layer.scale, *layer.translate), (0.5, 0.25, 3, 4))
    assert viewer.layers.selection.active is row.images[0]
    reply(preview, looks[-1], np.full((60, 80), 2, np.int32))
    assert preview.layer is layer
    assert layer.data.max() == 2


def test_of_a_large_image_the_part_in_view_is_asked_for(qtbot, viewer, made):
    data = np.arange(3000 * 2000, dtype=np.int32).reshape(3000, 2000)
    row = pair(viewer, data, scale=(2, 2))
    row.images[0].corner_pixels = np.array([[2000, 800], [2400, 1200]])
    preview, looks = made([row])
    preview.follow()
    part = asked(qtbot, looks)
    assert part.shape == (1, 1024, 1024)
    top, left = divmod(int(part[0, 0, 0]), 2000)
    assert (top % 64, left % 64) == (0, 0)
    assert top <= 2000
    assert top + 1024 >= 2400
    assert left <= 800
    assert left + 1024 >= 1200
    reply(preview, looks[-1], np.ones((1024, 1024), np.int32))
    np.testing.assert_allclose(preview.layer.translate, (2 * top, 2 * left))
    row.images[0].corner_pixels = np.array([[0, 0], [300, 300]])
    preview.follow()

    def places():
        return [int(np.load(path)[0, 0, 0]) for path in looks]

    qtbot.waitUntil(lambda: 0 in places())  # the canvas may have moved it again since
    reply(preview, looks[places().index(0)], np.ones((1024, 1024), np.int32))
    np.testing.assert_allclose(preview.layer.translate, (0, 0))


def test_a_late_preview_of_an_old_view_lies_where_it_was_asked(qtbot, viewer, made):
    rows = [pair(viewer, np.full((40, 40), k + 0.0) + np.eye(40), f"i{k}", translate=(50 * k, 0)) for k in range(2)]
    preview, looks = made(rows)
    viewer.layers.selection.active = rows[0].images[0]
    asked(qtbot, looks)
    viewer.layers.selection.active = rows[1].images[0]
    asked(qtbot, looks, 2)
    reply(preview, looks[0], np.ones((40, 40), np.int32))
    assert preview.layer.name.startswith("i0")
    reply(preview, looks[1], np.ones((40, 40), np.int32))
    assert preview.layer.name.startswith("i1")
    np.testing.assert_allclose(preview.layer.translate, (50, 0))


def test_of_a_series_the_frame_in_view_is_asked_for(qtbot, viewer, made):
    data = np.random.default_rng(0).integers(0, 99, (5, 40, 40))
    row = pair(viewer, data)
    viewer.dims.current_step = (3, 0, 0)
    preview, looks = made([row], "TYX")
    preview.follow()
    np.testing.assert_array_equal(asked(qtbot, looks)[0], data[3])
    reply(preview, looks[-1], np.ones((40, 40), np.int32))
    assert preview.layer.ndim == 2


def test_of_a_volume_a_box_is_asked_for(qtbot, viewer, made):
    data = np.random.default_rng(0).integers(0, 99, (30, 40, 300), np.uint8)
    row = pair(viewer, data, scale=(2, 0.5, 0.5))
    viewer.dims.current_step = (15, 0, 0)
    preview, looks = made([row], "ZYX")
    preview.follow()
    part = asked(qtbot, looks)
    assert part.shape == (1, 24, 40, 256)
    reply(preview, looks[-1], np.ones(part.shape[1:], np.int32))
    assert preview.layer.ndim == 3
    np.testing.assert_allclose(preview.layer.scale, (2, 0.5, 0.5))


def test_channels_of_several_layers_go_together(qtbot, viewer, made):
    row = pair(viewer, np.eye(40))
    other = viewer.add_image(np.eye(40) * 7, name="b")
    preview, looks = made([Row((row.images[0], other), row.target)])
    viewer.layers.selection.active = other
    preview.follow()
    np.testing.assert_array_equal(asked(qtbot, looks), np.stack([np.eye(40), np.eye(40) * 7]))


def test_another_image_is_looked_at_too(qtbot, viewer, made):
    row = pair(viewer, np.eye(40))
    _preview, looks = made([row])
    viewer.layers.selection.active = viewer.add_image(np.eye(50) * 3, name="new")
    asked(qtbot, looks)
    qtbot.waitUntil(lambda: np.load(looks[-1]).shape == (1, 50, 50))


def test_a_removed_preview_does_not_come_back(qtbot, viewer, made):
    row = pair(viewer, np.eye(40))
    preview, looks = made([row])
    preview.follow()
    asked(qtbot, looks)
    reply(preview, looks[-1], np.ones((40, 40), np.int32))
    viewer.layers.remove(preview.layer)
    reply(preview, looks[-1], np.ones((40, 40), np.int32))
    assert preview.layer is None


def test_turned_off_it_says_so_to_the_job(qtbot, viewer, made):
    preview, looks = made([pair(viewer, np.eye(40))])
    preview.follow()
    asked(qtbot, looks)
    preview.turn(False)
    assert looks[-1] is None
    preview.turn(True)
    qtbot.waitUntil(lambda: len(looks) == 3)


def shown(viewer):
    return [x.name for x in viewer.layers if x.visible]


@pytest.mark.parametrize("selected", ["image", "labels", "nothing"])
def test_the_image_of_the_preview_is_shown_alone(qtbot, viewer, made, selected):
    """Several images at one origin: the preview lies on its own image, whichever of the pair is selected."""
    rows = [pair(viewer, np.full((40, 40), float(k)), f"i{k}") for k in range(4)]
    viewer.layers["i0 labels"].visible = False
    before = shown(viewer)
    viewer.layers.selection.active = {"image": rows[1].images[0], "labels": rows[1].target, "nothing": None}[selected]
    if selected == "nothing":
        rows[3].images[0].visible = rows[3].target.visible = False
        before = shown(viewer)
    which = 2 if selected == "nothing" else 1  # else the topmost that is visible
    preview, looks = made(rows)
    preview.follow()
    assert asked(qtbot, looks).max() == which
    reply(preview, looks[-1], np.ones((40, 40), np.int32))
    assert shown(viewer) == [f"i{which}", f"i{which} labels", f"i{which} (current prediction)"]
    preview.end()
    assert [x for x in shown(viewer) if "current" not in x] == before
    assert preview.layer.visible == (selected == "nothing")  # elsewhere it would lie on another image


def test_another_pair_is_shown_when_it_is_selected(qtbot, viewer, made):
    rows = [pair(viewer, np.full((40, 40), float(k)), f"i{k}") for k in range(2)]
    preview, looks = made(rows)
    viewer.layers.selection.active = rows[0].images[0]
    asked(qtbot, looks)
    reply(preview, looks[-1], np.ones((40, 40), np.int32))
    assert shown(viewer)[0] == "i0"
    qtbot.wait(100)
    assert len(looks) == 1  # the layer that was added asked for nothing
    viewer.layers.selection.active = rows[1].target
    count = len(looks)
    qtbot.waitUntil(lambda: len(looks) > count or np.load(looks[-1]).max() == 1)
    reply(preview, looks[-1], np.ones((40, 40), np.int32))
    assert shown(viewer) == ["i1", "i1 labels", "i1 (current prediction)"]
    rows[0].images[0].visible = True  # a person wants both
    preview.turn(False)
    assert shown(viewer) == ["i0", "i0 labels", "i1", "i1 labels"]


def test_what_was_looked_at_before_is_not_asked_for_when_it_is_written_later(qtbot, viewer, made, monkeypatch):
    rows = [pair(viewer, np.full((40, 40), float(k)), f"i{k}") for k in range(2)]
    slow, save = threading.Event(), np.save

    def saved(path, x):
        if x.max() == 0:
            slow.wait(30)
        save(path, x)

    _, looks = made(rows)
    monkeypatch.setattr(np, "save", saved)
    viewer.layers.selection.active = rows[0].images[0]
    viewer.layers.selection.active = rows[1].images[0]
    assert asked(qtbot, looks).max() == 1
    first = next(t for t in threading.enumerate() if t.name == "look")
    slow.set()
    first.join()
    assert len(looks) == 1


def test_over_labels_of_a_person_outlines_are_asked_for(qtbot, viewer, made):
    row = pair(viewer, np.eye(40))
    preview, looks = made([row])
    preview.follow()
    asked(qtbot, looks)
    reply(preview, looks[-1], np.ones((40, 40), np.int32))
    assert row.target.visible
    assert (looks.outlines, preview.layer.opacity) == ([True], 1.0)
    viewer.dims.ndisplay = 3  # outlines of planes are none of a volume
    asked(qtbot, looks, 2)
    reply(preview, looks[-1], np.ones((40, 40), np.int32))
    assert (looks.outlines[-1], preview.layer.opacity) == (False, 0.5)
    viewer.dims.ndisplay = 2
    asked(qtbot, looks, 3)
    assert looks.outlines[-1]
    viewer.layers.selection.active = viewer.add_image(np.eye(50) * 3, name="new")
    qtbot.waitUntil(lambda: np.load(looks[-1]).shape == (1, 50, 50))
    reply(preview, looks[-1], np.ones((50, 50), np.int32))
    assert (looks.outlines[-1], preview.layer.opacity) == (False, 0.5)


def test_previews_that_no_training_made_are_left_alone(qtbot, viewer, made):
    data = np.eye(40)
    row = pair(viewer, data)
    live = viewer.add_labels(np.full((40, 40), 7), name="live", metadata=provenance("preview", "a"))
    preview, looks = made([row])
    preview.follow()
    asked(qtbot, looks)
    reply(preview, looks[-1], np.ones((40, 40), np.int32))
    assert preview.layer is not live
    first = preview.layer
    preview.end()
    assert (live.name, int(live.data.min()), live.visible) == ("live", 7, True)
    preview.begin()
    assert preview.layer is first  # that of the training before is used again
