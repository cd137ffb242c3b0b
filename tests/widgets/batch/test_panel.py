"""The Batch panel: from a folder to a table, stopped and continued, saved as a recipe and opened again."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from bright import squares
from qtpy.QtCore import Qt
from same import same
from settled import settled

from napari_dojo.inference.filters import Limits, Range
from napari_dojo.io import images
from napari_dojo.io.selection import Selection
from napari_dojo.models.bundle import save
from napari_dojo.paths import models_folder
from napari_dojo.recipes.recipe import Classify, Export, Filter, Measure, Predict, Recipe, parsed, read_recipe, text_of
from napari_dojo.settings import PredictSettings
from napari_dojo.widgets.apply.panel import ApplyPanel
from napari_dojo.widgets.batch.panel import BatchPanel
from napari_dojo.widgets.batch.results import Rows
from napari_dojo.widgets.batch.steps_section import LOST
from napari_dojo.widgets.common.words import done_of

pytestmark = pytest.mark.gui


@pytest.fixture
def plate(tmp_path: Path) -> Path:
    for well, n in (("A1", 1), ("A2", 2), ("B1", 3)):
        images.write(tmp_path / "plate" / well / "a.tif", squares(n), "YX", (0.5, 0.5), "um")
    (tmp_path / "plate" / "B1" / "broken.tif").write_text("no image")
    return tmp_path / "plate"


@pytest.fixture
def batch(qtbot, panel):
    made = panel(BatchPanel)
    settled(qtbot, made)
    return made


def test_it_says_what_to_do_first(batch):
    assert "Add a folder of images" in batch.found.text()
    assert not batch.run_button.isEnabled()
    assert [row.step.model for row in batch.steps.rows] == ["nuclei-fluorescence"]


def test_a_model_that_was_deleted_is_said_and_nothing_is_run(qtbot, batch, plate):
    save(same("mine"), models_folder() / "mine", np.zeros((1, 16, 16)))
    batch.refresh_models()
    batch.show_recipe(Recipe(Selection((str(plate),)), steps=(Predict("mine"), Export(images=True))))
    qtbot.waitUntil(batch.run_button.isEnabled)
    shutil.rmtree(models_folder() / "mine")
    batch.run_button.click()
    assert not batch.runner.busy
    box = batch.steps.rows[0].box
    assert (box.currentText(), box.currentData()) == ("✗ mine", "mine")
    assert box.itemData(box.currentIndex(), Qt.ItemDataRole.ToolTipRole) == LOST
    qtbot.waitUntil(lambda: "There is no model" in batch.found.text())
    assert not batch.run_button.isEnabled()


@pytest.mark.parametrize("kind", [ApplyPanel, BatchPanel])
def test_models_that_came_since_are_listed_when_the_panel_is_shown(qtbot, viewer, kind):
    made = kind(viewer)
    qtbot.addWidget(made)
    box = made.model_box if kind is ApplyPanel else made.steps.rows[0].box
    box.setCurrentIndex(1)
    before, chosen = box.count(), box.currentText()
    save(same("new"), models_folder() / "new", np.zeros((1, 16, 16)))
    made.show()
    assert box.count() == before + 1
    assert box.findText("new") >= 0
    assert box.currentText() == chosen
    made.end()


def test_from_a_folder_to_a_table(qtbot, viewer, batch, plate):
    batch.files.add(str(plate))
    settled(qtbot, batch)
    assert "4 images. 1 would be skipped: B1/broken.tif" in batch.found.text()
    assert batch.files.out.edit.placeholderText() == str(plate.with_name("plate_results"))
    batch.run_button.click()
    assert batch.buttons.currentIndex() == 1
    assert not batch.steps.isEnabled()
    qtbot.waitUntil(lambda: not batch.runner.busy)
    assert "3 of 4 images are done. 1 skipped. Table with" in batch.message.text()
    assert [texts[0] for texts, _ in batch.results.rows] == ["A1/a.tif", "A2/a.tif", "B1/a.tif"]
    assert batch.skipped.rows[0][0][0] == "B1/broken.tif"
    assert "holds text" in batch.skipped.rows[0][0][1]
    assert batch.skipped_fold.button.text() == "1 skipped"
    with (plate.with_name("plate_results") / "objects.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    counts = [sum(r["image"] == name for r in rows) for name in ("A1/a.tif", "A2/a.tif", "B1/a.tif")]
    assert [texts[1] for texts, _ in batch.results.rows] == [str(n) for n in counts]
    settled(qtbot, batch)
    assert batch.run_button.text() == "Try skipped again"
    assert not batch.again_button.isHidden()
    for k, name in ((1, "A2/a.tif"), (2, "B1/a.tif")):
        batch.results_view.selectRow(k)
        qtbot.waitUntil(lambda name=name: bool(len(viewer.layers)) and viewer.layers[0].name == name)
        assert [layer.name for layer in viewer.layers] == [name, f"{name}: labels"]
        assert viewer.layers[0].scale.tolist() == viewer.layers[1].scale.tolist() == [0.5, 0.5]


def test_a_run_is_paused_and_stopped_and_says_how_to_continue(qtbot, batch, plate):
    for k in range(60):
        images.write(plate / "C" / f"{k}.tif", squares(3), "YX")
    batch.files.add(str(plate / "C"))
    settled(qtbot, batch)
    batch.run_button.click()
    qtbot.waitUntil(lambda: batch.results.rowCount() >= 1)
    batch.pause_button.click()
    assert batch.pause_button.text() == "Resume"
    batch.pause_button.click()
    batch.stop_button.click()
    qtbot.waitUntil(lambda: not batch.runner.busy)
    settled(qtbot, batch)
    if "Stopped" in batch.message.text():  # it may have been faster
        done = batch.results.rowCount()
        assert f"{done_of(done, 60)} and kept. Continue does the others." in batch.message.text()
        assert f"{done} of them done" in batch.found.text()
    assert batch.run_button.isEnabled()


def finished(qtbot, batch, button):
    """Press a button and wait for the end of the run, and of the check after it."""
    button.click()
    qtbot.waitUntil(lambda: not batch.runner.busy)
    settled(qtbot, batch)


def test_a_new_run_replaces_results_when_asked(qtbot, batch, plate, monkeypatch):
    monkeypatch.setattr("napari.utils.notifications.show_warning", lambda text: None)
    batch.files.add(str(plate))
    settled(qtbot, batch)
    assert (batch.run_button.text(), batch.again_button.isHidden()) == ("Run", True)
    finished(qtbot, batch, batch.run_button)
    results, out = batch.results.rows, plate.with_name("plate_results")
    shutil.copy(plate / "A1" / "a.tif", plate / "B1" / "broken.tif")  # it can be read now
    before = (out / "A1" / "a.tif").stat().st_mtime_ns
    finished(qtbot, batch, batch.run_button)
    assert (batch.run_button.text(), batch.results.rowCount()) == ("Show results", len(results) + 1)
    assert (out / "A1" / "a.tif").stat().st_mtime_ns == before  # what was done is kept
    batch.results.replace(())
    finished(qtbot, batch, batch.run_button)
    assert batch.results.rowCount() == len(results) + 1

    batch.steps.filter_on.setChecked(True)  # another recipe
    batch.steps.border.setChecked(True)
    settled(qtbot, batch)
    finished(qtbot, batch, batch.run_button)
    assert "or overwrite them: Run all again." in batch.message.text()
    asked = []
    monkeypatch.setattr(batch, "ask", lambda text: bool(asked.append(text)))
    batch.again_button.click()
    assert asked == [f"Do all images again and replace the results in {out}?"]
    assert not batch.runner.busy
    assert (out / "A1" / "a.tif").stat().st_mtime_ns == before
    monkeypatch.setattr(batch, "ask", lambda text: True)
    finished(qtbot, batch, batch.again_button)
    assert "4 of 4 images are done" in batch.message.text()
    assert (out / "A1" / "a.tif").stat().st_mtime_ns > before


def test_why_images_are_skipped_is_said_in_the_words_of_the_panel(qtbot, batch, plate):
    tifffile.imwrite(
        plate / "B1" / "colour.tif",
        np.stack([squares(1) // 9, squares(2) // 9, squares(3) // 9], -1).astype(np.uint8),
        photometric="rgb",
    )
    batch.files.add(str(plate))
    settled(qtbot, batch)
    assert "5 images. 2 would be skipped. The first: B1/broken.tif: A TIFF" in batch.found.text()
    finished(qtbot, batch, batch.run_button)
    reasons = dict(texts for texts, _ in batch.skipped.rows)
    assert "Choose one channel, by name or number" in reasons["B1/colour.tif"]


STEPS = (
    Predict("denoise-fluorescence", enabled=False),
    Predict("nuclei-fluorescence", PredictSettings(diameter=12, tile=256), {"threshold": 0.4}),
    Classify("mitotic-or-not", decoding={"unsure": 0.7}),
    Filter(Limits(True, (Range("circularity", 0.5, None), Range("area_um2", None, 90))), ("mitotic", "late")),
    Measure(("perimeter", "max_intensity"), "predicted"),
    Export(rois=True, table="none"),
)  # fmt: skip


def test_what_it_saves_is_what_it_opens(qtbot, batch, plate, tmp_path):
    batch.steps.show_recipe(parsed(b"recipe: 1\nsteps: [{predict: {model: gone}}]"))
    assert batch.steps.rows[0].step.model == "gone"
    batch.files.add(str(plate))
    batch.files.exclude.setText("*over*, *_mask.tif")
    settled(qtbot, batch)
    assert "Step 1 (predict): There is no model" in batch.found.text()
    steps = read_steps(tmp_path)
    batch.steps.show_recipe(steps)
    batch.save_recipe(tmp_path / "saved.yaml")
    saved = read_recipe(tmp_path / "saved.yaml")
    assert saved.steps == STEPS
    assert (saved.files.inputs, saved.files.exclude) == (("plate",), ("*over*", "*_mask.tif"))
    assert saved.out == "plate_results"
    batch.files.images.setPlainText("")
    batch.open_recipe(tmp_path / "saved.yaml")
    assert text_of(batch.recipe.beside(tmp_path)) == (tmp_path / "saved.yaml").read_text()


def read_steps(folder: Path):
    from napari_dojo.recipes.recipe import Recipe, write_recipe

    write_recipe(folder / "steps.yaml", Recipe(steps=STEPS))
    return read_recipe(folder / "steps.yaml")


def test_a_recipe_that_cannot_be_read_is_one_sentence(qtbot, batch, tmp_path, monkeypatch):
    monkeypatch.setattr("napari.utils.notifications.show_warning", lambda text: None)
    (tmp_path / "r.yaml").write_text("recipe: 1\nstps: []")
    batch.open_recipe(tmp_path / "r.yaml")
    assert "r.yaml, line 2: a recipe has no key" in batch.message.text()


def test_the_form_is_there_again_in_the_next_session(qtbot, batch, panel, plate):
    batch.files.add(str(plate))
    batch.steps.filter_on.setChecked(True)
    batch.steps.border.setChecked(True)
    batch.end()
    again = panel(BatchPanel)
    assert text_of(again.recipe) == text_of(batch.recipe)
    again.files.images.setPlainText(str(plate / "A1"))  # the usual folder follows the images, here too
    assert again.recipe.out == str(plate / "A1_results")


def test_steps_change_places_and_go(qtbot, batch):
    batch.steps.add_button.click()
    first, second = batch.steps.rows
    second.box.setCurrentIndex(second.box.findData("denoise-fluorescence"))
    assert not first.up.isEnabled()
    second.up.click()
    assert [r.step.model for r in batch.steps.rows] == ["denoise-fluorescence", "nuclei-fluorescence"]
    second.remove.click()
    assert [r.step.model for r in batch.steps.rows] == ["nuclei-fluorescence"]


def test_ten_thousand_results_are_shown_at_once(qtbot):
    import time

    rows = Rows(("image", "objects"))
    began = time.process_time()
    rows.replace(((f"{k}.tif", "7"), {}) for k in range(10_000))
    assert rows.rowCount() == 10_000
    assert time.process_time() - began < 0.2


def test_the_next_run_does_not_wait_for_the_end_of_the_last_one(qtbot, batch, plate):
    """Its process needs a moment to end, and the window would be blocked for it."""
    batch.files.add(str(plate))
    settled(qtbot, batch)
    batch.run_button.click()
    qtbot.waitUntil(lambda: not batch.runner.busy)
    (job,) = batch.runner._held
    settled(qtbot, batch)
    waited = []
    job.close = lambda patience=2.0: waited.append(job.alive)
    batch.runner.start(lambda: plate)
    assert waited == []
    batch.runner.stop()
