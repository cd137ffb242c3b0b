"""A biologist's walk with mouse and keys: sample, new labels, paint, train, fix, train again, a folder, export, compare.

With ``DOJO_WALK=FOLDER`` a picture of each step is written there.
"""

from __future__ import annotations

import numpy as np
import pytest
from person import Person
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QDoubleSpinBox

from napari_dojo.events import Validated
from napari_dojo.io import images
from napari_dojo.paths import models_folder
from napari_dojo.simulation.microscope import simulate
from napari_dojo.widgets.apply.image_box import Group
from napari_dojo.widgets.apply.panel import ApplyPanel
from napari_dojo.widgets.common.panel import open_panel
from napari_dojo.widgets.common.queue import desk
from napari_dojo.widgets.compare.panel import ComparePanel
from napari_dojo.widgets.train.panel import TrainPanel

pytestmark = [pytest.mark.first, pytest.mark.gui, pytest.mark.timeout(400)]

SIZE = 128  # px; a stroke on the canvas costs .15 s


class Walk(Person):
    """A person at a viewer."""

    def look(self, name):
        if self.folder:
            self.qtbot.wait(150)
        super().look(name)

    def stroke(self, points):
        """Press, drag and release."""
        QTest.mouseMove(self.canvas, self.at(*points[0]))
        QTest.mousePress(self.canvas, Qt.MouseButton.LeftButton, pos=self.at(*points[0]))
        for point in points[1:]:
            QTest.mouseMove(self.canvas, self.at(*point))
            self.qtbot.wait(2)
        QTest.mouseRelease(self.canvas, Qt.MouseButton.LeftButton, pos=self.at(*points[-1]))

    def click(self, button):
        """A click on a button that can be pressed."""
        assert button.isEnabled(), button.toolTip()
        self.qtbot.mouseClick(button, Qt.MouseButton.LeftButton)

    def type(self, edit, text):
        """Text into a field, in the place of what stands there."""
        edit.setFocus()
        self.qtbot.keyClick(edit, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
        self.qtbot.keyClicks(edit, text)
        self.qtbot.keyClick(edit, Qt.Key.Key_Return)

    def until(self, holds, seconds=60):
        self.qtbot.waitUntil(lambda: bool(holds()), timeout=int(1000 * seconds))


def paint_object(walk, labels, truth, number):
    """Fill one object with strokes of the brush, row by row, as a person would."""
    rows = np.flatnonzero((truth == number).any(1))
    labels.brush_size = 5
    for row in range(rows[0] + 1, rows[-1] + 1, 4):
        columns = np.flatnonzero(truth[row] == number)
        walk.stroke([(row, columns[0]), (row, columns.mean()), (row, columns[-1])])


def test_a_biologists_walk(qtbot, make_napari_viewer, tmp_path, monkeypatch):
    scene, other = (simulate("nuclei", (SIZE, SIZE), seed, diameter=26) for seed in (11, 12))
    folder = tmp_path / "images"
    folder.mkdir()
    for k in range(2):
        images.write(folder / f"field_{k}.tif", simulate("nuclei", (SIZE, SIZE), 20 + k, diameter=26).image, "YX")
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1280, 800)
    walk = Walk(qtbot, viewer)
    viewer.add_image(scene.image, name="field")
    train = open_panel(viewer, TrainPanel, "Train")
    walk.until(lambda: "Labels are needed" in train.findings.text())
    walk.look("image")

    # new labels, painted with the mouse
    walk.click(train.labels_button)
    labels = viewer.layers["field labels"]
    viewer.reset_view()
    qtbot.wait(200)
    numbers = [n for n in range(1, scene.labels.max() + 1) if (scene.labels == n).sum() > 150]
    for number in numbers[:-1]:
        paint_object(walk, labels, scene.labels, number)
        labels.selected_label += 1  # "new label": key M
    painted = len(np.unique(labels.data)) - 1
    assert painted == len(numbers) - 1
    walk.until(lambda: f"{painted} objects" in train.findings.text(), 20)
    walk.look("painted")

    # train with live preview
    walk.type(train.name_edit, "nuclei")
    train.settings.set_values({"patch": 64, "batch": 4, "depth": 3, "width": 16, "device": "cpu"})
    train.minutes_box.setValue(0.8)  # the first check comes after 4 % of them
    walk.until(train.start_button.isEnabled, 20)
    walk.click(train.start_button)
    walk.look("started")
    training = train.progress.training
    walk.until(lambda: training.preview.layer is not None, 90)
    walk.look("preview")
    walk.click(train.progress.stop_button)
    walk.until(train.progress.after.isEnabled, 30)
    assert (models_folder() / "nuclei" / "rdf.yaml").exists()
    walk.look("stopped")

    # fix what was forgotten, and train again
    viewer.layers.remove(training.preview.layer)
    viewer.layers.selection.active = labels
    labels.mode = "paint"
    qtbot.wait(100)
    paint_object(walk, labels, scene.labels, numbers[-1])
    walk.until(lambda: f"{painted + 1} objects" in train.findings.text(), 20)
    walk.until(train.start_button.isEnabled, 20)
    walk.type(train.name_edit, "nuclei")
    walk.click(train.start_button)
    training = train.progress.training
    assert training.name == "nuclei-2"
    walk.until(
        lambda: (
            max((e.score["selection_score"] for e in training.history if isinstance(e, Validated)), default=0) > 0.2
        ),
        120,
    )
    walk.click(train.progress.stop_button)
    walk.until(train.progress.after.isEnabled, 30)
    walk.look("trained-again")

    # apply to a folder
    walk.click(train.apply_button)
    apply = next(w for w in viewer.window.dock_widgets.values() if isinstance(w, ApplyPanel))
    assert apply.model.name == "nuclei-2"
    apply.image_box.setCurrentIndex(apply.image_box.findText(Group.FOLDER.value))
    walk.type(apply.batch.images.edit, str(folder))
    walk.type(apply.batch.predictions.edit, str(tmp_path / "results"))
    apply.batch.tables.setChecked(True)
    walk.until(apply.apply_button.isEnabled, 20)
    walk.look("folder")
    walk.click(apply.apply_button)
    walk.until(lambda: "2 of 2 images are done" in apply.message.text(), 90)
    walk.look("folder-done")
    results = sorted(p.name for p in (tmp_path / "results").iterdir())
    assert [a for a in results if a.endswith(".tif")] == ["field_0.tif", "field_1.tif"]
    assert len([a for a in results if a.endswith(".csv")]) == 2
    assert images.read(tmp_path / "results" / "field_0.tif", labels=True).data.max() > 3

    # apply to another image, change the threshold
    viewer.layers.clear()
    viewer.add_image(other.image, name="other")
    viewer.add_labels(other.labels, name="other truth", visible=False)
    walk.until(lambda: apply.image_box.findText("other") >= 0)
    apply.image_box.setCurrentIndex(apply.image_box.findText("other"))
    walk.until(apply.apply_button.isEnabled, 20)
    walk.click(apply.apply_button)
    walk.until(lambda: apply.results.layers, 90)
    result = apply.results.layers[0]
    walk.until(
        lambda: apply.outcome.export_button.isEnabled() and any("area" in str(c) for c in result.features.columns), 30
    )
    walk.look("applied")
    before = int((result.data > 0).sum())
    slider = apply.sliders.slider("threshold")
    walk.type(slider.native.findChild(QDoubleSpinBox), "0.95")  # the number beside a slider can be typed
    walk.until(lambda: int((result.data > 0).sum()) < before, 20)
    walk.click(apply.outcome.reset_button)
    walk.until(lambda: abs(int((result.data > 0).sum()) - before) <= 0.02 * before, 20)
    walk.look("threshold")

    # export
    walk.until(apply.outcome.export_button.isEnabled, 20)
    monkeypatch.setattr(apply.outcome, "ask_path", lambda kind, suggestion, several: tmp_path / suggestion.name)
    for action in list(apply.outcome.export_button.menu().actions()):
        action.trigger()
        walk.until(lambda: not apply.outcome._writer.busy, 20)
    written = {p.suffix for p in tmp_path.iterdir() if p.is_file()}
    assert {".csv", ".tif", ".zip"} <= written
    walk.look("exported")

    # compare with the truth
    compare = open_panel(viewer, ComparePanel, "Compare")
    compare.choose(viewer.layers["other truth"], result)
    walk.until(compare.compare_button.isEnabled, 10)
    walk.click(compare.compare_button)
    walk.until(lambda: any(x.name.startswith("ground truth vs") for x in viewer.layers), 30)
    walk.look("compared")
    assert "detected" in compare.found.text()
    for panel in (train, apply, compare):
        panel.end()
    desk().close(viewer)
