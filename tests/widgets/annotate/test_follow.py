"""The section "Table and tracks": objects and rows find each other, a series becomes tracks."""

from __future__ import annotations

import csv
from types import SimpleNamespace

import numpy as np
import pytest
import zarr

from napari_dojo.widgets.annotate.panel import AnnotatePanel
from napari_dojo.widgets.common.layers import provenance
from napari_dojo.widgets.common.panel import open_panel

pytestmark = pytest.mark.gui


def moving(frames=4):
    labels = np.zeros((frames, 60, 80), np.int32)
    for t in range(frames):
        labels[t, 10:20, 5 + 4 * t : 15 + 4 * t] = 1 + t % 2
        labels[t, 35:45, 5 + 4 * t : 15 + 4 * t] = 2 - t % 2
    return labels


def opened(viewer, labels, **more):
    viewer.add_image(np.random.default_rng(0).random(labels.shape), name="cells")
    layer = viewer.add_labels(labels, name="found", **more)
    panel = open_panel(viewer, AnnotatePanel, "Annotate")
    panel.choose(layer)
    viewer.window._qt_window.show()
    panel.follow.parentWidget().button.setChecked(True)
    return panel, layer, panel.follow


def press(layer, viewer, place, moves=False):
    """A click of the mouse at a place, or a drag."""
    event = SimpleNamespace(
        type="mouse_press", position=place, view_direction=None, dims_displayed=list(viewer.dims.displayed)
    )
    steps = [c(layer, event) for c in layer.mouse_drag_callbacks if c.__qualname__.startswith("Measurements")]
    for step in steps:
        next(step)
        event.type = "mouse_move" if moves else "mouse_release"
        next(step, None)


def test_rows_and_objects_find_each_other(qtbot, viewer):
    labels = moving()
    panel, layer, follow = opened(viewer, labels, metadata=provenance("own", "cells", axes="TYX"))
    layer.features = {"index": [1, 2], "frame": [0, 1], "class": ["dead", "alive"]}
    follow.table_button.click()
    table = next(w for w in viewer.window.dock_widgets.values() if type(w).__name__ == "Measurements")
    table.show()
    panel.follow._measure()
    qtbot.waitUntil(lambda: "area_px" in layer.features)
    assert len(layer.features) == 8
    kept = layer.features.set_index(["index", "frame"])["class"]
    assert (kept[1, 0], kept[2, 1], kept[2, 0]) == ("dead", "alive", "")

    def row():
        model = table.view.model()
        return table._rows.row(model.mapToSource(table.view.currentIndex()).row())

    viewer.dims.set_point(0, 2)
    camera = getattr(viewer, "scene", viewer).camera
    centre = camera.center
    press(layer, viewer, (2, 40, 20))
    assert (row()["index"], row()["frame"]) == (2, 2)
    layer.selected_label = 2  # it was 1 from the start
    layer.selected_label = 1
    assert (row()["index"], row()["frame"]) == (1, 2)
    assert camera.center == centre  # choosing in the layer moves nothing
    press(layer, viewer, (2, 40, 20), moves=True)
    assert row()["index"] == 1  # a drag is no choice
    table.view.selectRow(0)
    assert viewer.dims.current_step[0] == 0  # a row leads to its frame
    assert layer.selected_label == row()["index"]


def test_a_series_becomes_tracks_and_files(qtbot, viewer, tmp_path, monkeypatch):
    labels = moving()
    panel, layer, follow = opened(viewer, labels)
    assert follow.why.text() == "The first axis is taken as time."
    assert not follow.export_button.isEnabled()
    for _ in range(2):  # again: the layers are replaced
        follow.track_button.click()
        qtbot.waitUntil(lambda: follow.export_button.isEnabled() and not follow._tracking.busy)
        qtbot.waitUntil(lambda: panel.result.text().startswith("2 tracks through 4 frames"))
    names = [x.name for x in viewer.layers]
    assert names.count("found tracks") == names.count("found by track") == 1
    coloured = viewer.layers["found by track"].data
    assert len({int(coloured[t, 15, 10 + 4 * t]) for t in range(4)}) == 1
    assert np.array_equal(layer.data, labels)
    assert viewer.layers["found tracks"].data.shape == (8, 4)
    old = viewer.layers["found tracks"], viewer.layers["found by track"]
    layer.name, old[0].name = "mine", "where they go"  # they are replaced under other names, too
    follow.track_button.click()
    qtbot.waitUntil(lambda: "mine tracks" in viewer.layers and not follow._tracking.busy)
    assert not any(x in viewer.layers for x in old)

    follow.use(panel.editing)
    monkeypatch.setattr(follow, "ask_path", lambda suggestion, pattern: tmp_path / "out")
    follow._actions["csv"].trigger()
    follow._actions["geff"].trigger()
    with (tmp_path / "out.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [r["track"] for r in rows] == ["1"] * 4 + ["2"] * 4
    assert zarr.open_group(tmp_path / "out.geff", mode="r")["edges/ids"].shape == (6, 2)


def test_one_image_and_stacks_say_why_not(viewer):
    panel, _, follow = opened(viewer, moving()[0])
    assert not follow.track_button.isEnabled()
    assert "one image" in follow.why.text()
    panel.choose(viewer.add_labels(moving(), name="stack", metadata=provenance("result", "cells", axes="ZYX")))
    assert not follow.track_button.isEnabled()
    assert "stack of planes" in follow.why.text()
