"""Painting in real layers, and bringing it back into another viewer."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from napari.layers import Image, Labels, Shapes
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QPushButton
from settled import settled

from napari_dojo.errors import DojoError
from napari_dojo.jobs import autosave as engine
from napari_dojo.jobs.autosave import Draft, drafts
from napari_dojo.paths import runs_folder
from napari_dojo.widgets.classroom.borrowed import camera_of
from napari_dojo.widgets.common import autosave as module
from napari_dojo.widgets.common.autosave import Autosave, restore
from napari_dojo.widgets.common.unfinished import Unfinished

pytestmark = pytest.mark.gui
WHERE = {"scale": (0.5, 0.25), "translate": (3, 4), "rotate": 30, "shear": (0.1,), "units": ("um", "um")}
CHOICES = {"task": "instances", "minutes": 5.0}


def row(images, labels=None, region=None, role="automatic"):
    return SimpleNamespace(images=tuple(images), target=labels, region=region, role=role)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(module, "PAUSE", 0.05)
    monkeypatch.setattr(module, "LONGEST", 0.3)


@pytest.fixture
def saving(viewer, quick):
    """Makes an Autosave of rows; all are ended."""
    made = []

    def make(rows):
        made.append(Autosave(viewer, lambda: (rows, CHOICES)))
        return made[-1]

    yield make
    for autosave in made:
        autosave.end(False)


@pytest.fixture
def pair(viewer):
    noise = np.random.default_rng(0).random((64, 48)).astype(np.float32)
    image = viewer.add_image(noise, name="cells", colormap="green", contrast_limits=(0.1, 0.7), **WHERE)
    look = {"colormap": {None: "red", 0: "transparent", 1: "#00FF00"}, "features": {"index": [1], "class": ["a"]}}
    labels = viewer.add_labels(np.zeros((64, 48), np.int32), name="cells labels", opacity=0.3, **look, **WHERE)
    labels.brush_size, labels.contiguous = 7, False
    return image, labels


def saved(qtbot, autosave, check=lambda layers: True):
    """Wait until a draft that the check likes is there; its layers by name."""

    def there():
        layers = {x.name: x for x in Draft(autosave.draft.folder).read().layers.values()}
        return layers if check(layers) else None

    qtbot.waitUntil(lambda: autosave.draft.written and autosave._running is None and there() is not None)
    return there()


def test_nothing_is_written_before_something_is_painted(qtbot, viewer, pair, saving):
    image, labels = pair
    full = viewer.add_labels(np.ones((64, 48), int), name="opened")
    autosave = saving([row([image], labels), row([image], full)])
    labels.opacity, full.visible, full.name = 0.5, False, "other"
    autosave.follow()
    labels.paint((5, 5), 1)
    labels.undo()
    settled(qtbot, autosave)
    assert not runs_folder().exists()
    labels.paint((5, 5), 1)
    assert saved(qtbot, autosave)["cells labels"].data[5, 5] == 1


def test_all_comes_back_into_another_viewer(qtbot, viewer, pair, saving, another):
    image, labels = pair
    corners = [np.array([[0, 0], [0, 9.5], [9, 9]]), np.array([[1, 1], [1, 4], [4, 4], [4, 1.0]])]
    region = viewer.add_shapes(name="region", features={"k": [1, 2]}, data=[(corners[0], "polygon"), (corners[1], "ellipse")], **WHERE)  # fmt: skip
    region.face_color = ["red", "#0000FF80"]
    colours = viewer.add_image(np.zeros((64, 48, 3), np.uint8), name="colours", rgb=True)
    autosave = saving([row([image, colours], labels, region, "validation")])
    labels.paint((20, 20), 1)
    saved(qtbot, autosave)
    region.add(corners[0] + 20, shape_type="path")
    saved(qtbot, autosave, lambda layers: len(layers["region"].data) == 3)
    autosave.end(True)

    other = another()
    (draft,) = drafts()
    restored = restore(other, draft)
    assert restored.sentence == ""
    assert restored.choices == CHOICES
    ((images, new, area, role),) = restored.rows
    assert [x.name for x in other.layers] == [x.name for x in viewer.layers]
    assert (images, new, area) == ((other.layers[0], other.layers["colours"]), other.layers[1], other.layers["region"])
    assert (role, images[1].rgb) == ("validation", True)
    for mine, theirs in zip(viewer.layers, other.layers, strict=True):
        np.testing.assert_allclose(theirs.data_to_world((3, 7)), mine.data_to_world((3, 7)), atol=1e-9)
        np.testing.assert_allclose(theirs.scale, mine.scale)
        assert (theirs.units, theirs.opacity) == (mine.units, mine.opacity)
    np.testing.assert_array_equal(images[0].data, image.data)
    assert (images[0].colormap.name, list(images[0].contrast_limits)) == ("green", [0.1, 0.7])
    np.testing.assert_array_equal(new.data, labels.data)
    assert (new.data.dtype, new.brush_size, new.contiguous) == (np.int32, 7, False)
    np.testing.assert_allclose(new.colormap.map(1), [0, 1, 0, 1])
    np.testing.assert_allclose(new.colormap.map(9), [1, 0, 0, 1])
    assert new.features.to_dict("list") == {"index": [1], "class": ["a"]}
    for mine, theirs in zip(region.data, area.data, strict=True):
        np.testing.assert_allclose(theirs, mine)
    assert area.shape_type == ["polygon", "ellipse", "path"]
    np.testing.assert_allclose(area.face_color, region.face_color)
    assert area.features["k"].tolist()[:2] == [1, 2]


def test_a_volume_of_axes_with_names_comes_back(qtbot, viewer, saving, another):
    where = {"scale": (2, 0.5, 0.5), "axis_labels": ("z", "y", "x"), "affine": np.diag([1, 2, 3, 1.0])}
    labels = viewer.add_labels(np.zeros((3, 16, 16), np.uint8), name="v", **where)
    autosave = saving([row([viewer.add_image(np.zeros((3, 16, 16)), name="i", **where)], labels)])
    labels.paint((1, 5, 5), 3)
    saved(qtbot, autosave)
    autosave.end(True)
    new = restore(another(), drafts()[0]).rows[0][1]
    assert new.axis_labels == ("z", "y", "x")
    np.testing.assert_allclose(new.data_to_world((1, 2, 3)), labels.data_to_world((1, 2, 3)))
    assert new.data[1, 5, 5] == 3


@pytest.mark.window  # which knows the readers
def test_images_of_files_are_opened_again(qtbot, viewer, saving, tmp_path, another):
    noise = np.random.default_rng(0).integers(0, 99, (32, 32)).astype(np.uint16)
    for name in ("single", "plane_0", "plane_1", "gone", "changed"):
        tifffile.imwrite(tmp_path / f"{name}.tif", noise)
    names = ("single", "gone", "changed")
    layers = [viewer.open(tmp_path / f"{name}.tif", plugin="napari")[0] for name in names]
    paths = [str(tmp_path / f"plane_{k}.tif") for k in range(2)]
    layers += viewer.open(paths, stack=True, plugin="napari")
    layers[0].scale, layers[3].name = (0.5, 0.5), "stack"
    labels = viewer.add_labels(np.zeros((32, 32), int), name="l")
    autosave = saving([row([x], labels) for x in layers])
    labels.paint((5, 5), 1)
    kept = saved(qtbot, autosave, lambda layers: layers["stack"].data is not None)
    assert [kept[name].path for name in ("single", "stack")] == [str(tmp_path / "single.tif"), None]
    assert kept["single"].data is None
    assert kept["stack"].data.shape == (2, 32, 32)  # one file of a stack would be one plane
    autosave.end(True)

    (tmp_path / "gone.tif").unlink()
    tifffile.imwrite(tmp_path / "changed.tif", noise[:9])
    other = another()
    restored = restore(other, drafts()[0])
    assert restored.sentence.startswith("gone, changed could not be brought back")
    assert [x.name for x in other.layers] == ["single", "stack", "l"]
    assert [r[0][0].name for r in restored.rows] == ["single", "stack"]
    single = other.layers["single"]
    np.testing.assert_array_equal(single.data, noise)
    np.testing.assert_allclose(single.scale, (0.5, 0.5))
    assert Path(single.source.path) == tmp_path / "single.tif"


def test_what_is_in_the_viewer_is_not_added_again(qtbot, viewer, pair, saving):
    image, labels = pair
    autosave = saving([row([image], labels)])
    labels.paint((5, 5), 1)
    saved(qtbot, autosave)
    autosave.end(True)
    again = saving([row([image], labels)])
    restored = again.restore(drafts()[0])  # the panel was closed and opened again
    assert restored.rows == [((image,), labels, None, "automatic")]
    assert len(viewer.layers) == 2
    again.end(True)

    labels.paint((30, 30), 1)
    ((images, new, *_),) = saving([]).restore(drafts()[0]).rows
    assert new is not labels  # of the same name, but not the same work
    assert (new.data[30, 30], new.data[5, 5]) == (0, 1)
    assert images == (image,)


def test_a_restored_draft_is_continued_as_ones_own(qtbot, viewer, pair, saving):
    image, labels = pair
    first = saving([row([image], labels)])
    labels.paint((5, 5), 1)
    saved(qtbot, first)
    first.end(True)
    (draft,) = drafts()

    painted = viewer.add_labels(np.zeros((9, 9), int), name="painted meanwhile")
    rows = [row([], painted)]
    second = saving(rows)
    painted.paint((2, 2), 1)
    saved(qtbot, second)
    assert len(list(runs_folder().iterdir())) == 2
    restored = second.restore(draft)
    assert drafts() == []
    rows.append(row(*restored.rows[0]))
    second.follow()
    restored.rows[0][1].paint((40, 40), 2)
    kept = saved(qtbot, second, lambda layers: layers["cells labels"].data.max() == 2)
    assert {"cells", "cells labels", "painted meanwhile"} == set(kept)
    assert [p.name for p in runs_folder().iterdir()] == [draft.folder.name]  # one draft holds all


def test_the_next_panel_of_a_window_continues_the_draft(qtbot, viewer, pair, saving):
    image, labels = pair
    first = saving([row([image], labels)])
    labels.paint((5, 5), 1)
    saved(qtbot, first)
    left = first.left
    first.end(True)
    second = saving([row([image], labels)])
    second.adopt(left)
    assert second.draft is left.draft
    assert drafts() == []  # it is nothing to be offered: all of it is in the viewer
    labels.paint((9, 9), 2)
    kept = saved(qtbot, second, lambda layers: layers["cells labels"].data[9, 9] == 2)
    assert kept["cells labels"].data[5, 5] == 1
    left = second.left
    second.end(True)
    viewer.layers.remove(labels)
    third = saving([])
    third.adopt(left)
    assert third.draft is not left.draft
    assert [draft.folder for draft in drafts()] == [left.draft.folder]


@pytest.mark.window
def test_a_stroke_is_saved_before_it_ends(qtbot, viewer, pair, saving):
    image, labels = pair
    autosave = saving([row([image], labels)])
    with labels.block_history():  # as while a mouse button is down: no event says that something was painted
        for k in range(20):
            labels.paint((3 * k, 5), 1)
            qtbot.wait(20)
        qtbot.wait(200)
        assert saved(qtbot, autosave)["cells labels"].data[30, 5] == 1


def test_undo_is_saved_and_layers_that_left_are_not(qtbot, viewer, pair, saving):
    image, labels = pair
    rows = [row([image], labels)]
    autosave = saving(rows)
    labels.paint((5, 5), 1)
    labels.paint((40, 40), 1)
    saved(qtbot, autosave, lambda layers: layers["cells labels"].data[40, 40] == 1)
    labels.undo()
    saved(qtbot, autosave, lambda layers: layers["cells labels"].data[40, 40] == 0)
    labels.name = "new name"
    saved(qtbot, autosave, lambda layers: "new name" in layers)
    rows.clear()  # out of the table, but still in the viewer
    autosave.follow()
    labels.paint((50, 40), 1)
    saved(qtbot, autosave, lambda layers: "cells" not in layers and layers["new name"].data[50, 40] == 1)
    viewer.layers.remove(labels)
    autosave.follow()
    labels.paint((60, 40), 1)
    settled(qtbot, autosave)
    assert saved(qtbot, autosave)["new name"].data[60, 40] == 0  # the last painted state stays


def test_the_end_saves_the_rest_or_discards_all(qtbot, viewer, pair, saving, monkeypatch):
    monkeypatch.setattr(module, "PAUSE", 60.0)
    monkeypatch.setattr(module, "LONGEST", 60.0)
    image, labels = pair
    autosave = saving([row([image], labels)])
    labels.paint((5, 5), 1)
    autosave.end(True)
    labels.paint((50, 5), 1)  # after the end
    (draft,) = drafts()
    data = next(x.data for x in draft.read().layers.values() if x.kind == "labels")
    assert (data[5, 5], data[50, 5]) == (1, 0)
    other = saving([row([image], labels)])
    other.restore(draft)
    other.end(False)
    assert drafts() == []
    assert not list(runs_folder().iterdir())


@pytest.mark.window
def test_a_closing_viewer_saves_the_rest(viewer, pair, saving, monkeypatch):
    monkeypatch.setattr(module, "PAUSE", 60.0)
    monkeypatch.setattr(module, "LONGEST", 60.0)
    image, labels = pair
    autosave = saving([row([image], labels)])
    labels.paint((5, 5), 1)
    viewer.layers.clear()  # as `Viewer.close` does, before its panels end
    autosave.end(True)
    layers = {x.name: x for x in drafts()[0].read().layers.values()}
    assert layers["cells labels"].data[5, 5] == 1
    assert layers["cells"].data.shape == (64, 48)


def test_edits_without_any_pause_are_saved(qtbot, viewer, pair, saving, monkeypatch):
    image, labels = pair
    autosave = saving([row([image], labels)])
    count = iter(range(10_000))

    def paint():  # so slow that each edit comes later than the save is due
        time.sleep(0.05)
        labels.paint((next(count) % 60, 5), 1)

    monkeypatch.setattr(module, "LONGEST", 0.02)
    timer = QTimer()
    timer.timeout.connect(paint)
    timer.start(20)
    saved(qtbot, autosave)
    timer.stop()


def test_a_full_disk_is_reported_once_and_painting_continues(qtbot, viewer, pair, saving, monkeypatch):
    monkeypatch.setattr(module, "RETRY", 0.1)
    image, labels = pair
    autosave = saving([row([image], labels)])
    said, tried = [], []
    autosave.failed.connect(said.append)

    def full(*_):
        tried.append(1)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr("napari_dojo.io.atomic.os.replace", full)
        labels.paint((5, 5), 1)
        qtbot.waitUntil(lambda: len(tried) >= 3)
        assert len(said) == 1
        assert "No space left on device" in said[0]
        assert "you can continue to paint" in said[0]
    assert saved(qtbot, autosave)["cells labels"].data[5, 5] == 1  # tried again without another edit


def test_a_damaged_draft_is_a_sentence(viewer, saving):
    folder = runs_folder() / "draft-x"
    folder.mkdir(parents=True)
    (folder / "draft.json").write_text("{")
    with pytest.raises(DojoError, match="gone or damaged"):
        saving([]).restore(Draft(folder))


def test_large_images_without_a_file_are_named(qtbot, viewer, pair, saving, monkeypatch, another):
    monkeypatch.setattr(engine, "LARGEST", 100)
    image, labels = pair
    autosave = saving([row([image], labels)])
    labels.paint((5, 5), 1)
    saved(qtbot, autosave)
    autosave.end(True)
    other = another()
    restored = restore(other, drafts()[0])
    assert restored.sentence.startswith("cells could not be brought back: open")
    assert restored.rows == []
    assert other.layers["cells labels"].data[5, 5] == 1


def test_layers_of_all_kinds_have_what_is_asked_of_them():
    for layer in (Image(np.zeros((4, 4))), Labels(np.zeros((4, 4), int)), Shapes()):
        kept = module._layer(layer, 0)
        assert set(kept.state["look"]) == set(module.LOOK[kept.kind])
        json.dumps(kept.state, default=engine._plain)


PAINTER = """
import sys, time
from types import SimpleNamespace
import numpy as np
from bare import BareViewer
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication
from qtpy.QtWidgets import QPushButton
from napari_dojo.widgets.classroom.borrowed import camera_of
from napari_dojo.widgets.common import autosave as module
from napari_dojo.widgets.common.autosave import Autosave

module.LONGEST = 0.5
app = QApplication([])
viewer = BareViewer()
image = viewer.add_image(np.random.default_rng(0).random((512, 512)), name="cells")
labels = viewer.add_labels(np.zeros((512, 512), np.int32), name="l")
row = SimpleNamespace(images=(image,), target=labels, region=None, role="automatic")
autosave = Autosave(viewer, lambda: ([row], {}))
stroke = labels.block_history()
stroke.__enter__()  # the mouse button is never let go
labels.brush_size = 1
count = 0

def paint():
    global count
    count += 1
    labels.paint((count // 500, count % 500), count)
    print(count, time.time(), flush=True)

timer = QTimer()
timer.timeout.connect(paint)
timer.start(30)
app.exec()
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="the system knows no kill -9")
def test_a_kill_loses_no_more_than_the_longest_wait(qapp):
    assert module.LONGEST <= 8  # seconds, and the writing; here it is half a one
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    painter = subprocess.Popen([sys.executable, "-c", PAINTER], stdout=subprocess.PIPE, text=True, env=env)
    painted: dict[int, float] = {}
    with painter:
        for line in painter.stdout:
            count, when = line.split()
            painted[int(count)] = float(when)
            if time.time() - painted[1] > 1.5:
                os.kill(painter.pid, signal.SIGKILL)
                killed = time.time()
                break
    (draft,) = drafts()
    labels = next(x.data for x in draft.read().layers.values() if x.kind == "labels")
    found = set(np.unique(labels).tolist()) - {0}
    assert len(found) > 10
    lost = [killed - when for count, when in painted.items() if count not in found]
    print(f"{len(painted)} strokes, {len(lost)} lost, the oldest {max(lost, default=0):.1f} s before the kill")
    assert max(lost, default=0) <= 1.2


def test_layers_come_back_in_their_place_from_the_first_moment(qtbot, viewer, pair, saving):
    """No layer is in the viewer without its units and scale, and the camera looks at all of them."""
    image, labels = pair
    autosave = saving([row([image], labels)])
    labels.paint((20, 20), 1)
    saved(qtbot, autosave)
    autosave.end(True)
    viewer.layers.clear()
    viewer.reset_view()
    came = []
    viewer.layers.events.inserted.connect(lambda e: came.append(([str(u) for u in e.value.units], *e.value.scale)))
    restore(viewer, Draft(autosave.draft.folder))
    assert came == [(["micrometer"] * 2, 0.5, 0.25)] * 2
    seen = camera_of(viewer)
    zoom, centre = seen.zoom, seen.center
    viewer.reset_view()
    assert (seen.zoom, seen.center) == (pytest.approx(zoom), pytest.approx(centre))


def test_discarding_asks_with_the_count(qtbot, viewer, pair, saving, monkeypatch):
    image, labels = pair
    autosave = saving([row([image], labels)])
    labels.paint((10, 10), 1)
    labels.paint((40, 40), 2)
    saved(qtbot, autosave, lambda layers: 2 in layers["cells labels"].data)
    autosave.end(True)
    asked: list[str] = []
    monkeypatch.setattr(Unfinished, "ask", lambda self, text: bool(asked.append(text)))
    line = Unfinished(viewer)
    qtbot.addWidget(line)
    line.refresh()
    qtbot.waitUntil(lambda: line.draft is not None)
    button = next(b for b in line.draft_line.findChildren(QPushButton) if b.text() == "Discard")
    button.click()
    assert "cells (2 objects or classes)?" in asked[0]
    assert len(drafts()) == 1  # it was not meant
    monkeypatch.setattr(Unfinished, "ask", lambda self, text: True)
    button.click()
    qtbot.waitUntil(lambda: not drafts())
    line.end()


def test_a_panel_takes_over_what_another_of_its_window_left(qtbot, viewer, pair, saving):
    image, labels = pair
    first = saving([row([image], labels)])
    labels.paint((5, 5), 1)
    saved(qtbot, first)
    first.leave("annotate")
    labels.name = "renamed while no panel is open"
    assert [draft.folder for draft in drafts()] == [first.draft.folder]
    other = saving([])
    other.adopt_left("classify")
    assert other.draft is not first.draft
    second = saving([row([image], labels)])
    second.adopt_left("train", "annotate")
    assert second.draft is first.draft
    assert drafts() == []
