"""The panels through their own buttons, with a real child process."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from forked import in_python
from qtpy.QtGui import QTextDocument
from qtpy.QtWidgets import QFormLayout, QLabel, QScrollArea

from napari_dojo.events import Message, Progress, Started, Tried
from napari_dojo.jobs.autosave import Draft, Layer, Row, Work
from napari_dojo.paths import models_folder, runs_folder
from napari_dojo.simulation.microscope import simulate
from napari_dojo.widgets.apply.panel import ApplyPanel
from napari_dojo.widgets.common.form import Fold
from napari_dojo.widgets.common.queue import Training, desk, free_name
from napari_dojo.widgets.train.panel import TrainPanel

pytestmark = [
    pytest.mark.gui,
    pytest.mark.timeout(240),
]
MINUTES = 0.4  # the first check comes after 4 % of them


def ready(qtbot, train):
    qtbot.waitUntil(lambda: "✓" in train.findings.text() and train.start_button.isEnabled())


def test_rows_fill_themselves(qtbot, filled, panel):
    train = panel(TrainPanel)
    ready(qtbot, train)
    assert [(r.name, r.target.name) for r in train.rows.rows()] == [
        (f"cells_{k}", f"cells_{k} labels") for k in range(3)
    ]
    assert "3 images of 96 x 96 px" in train.findings.text()
    assert not train.data.third_box.isVisibleTo(train)


def test_rows_follow_layers(qtbot, filled, panel):
    train = panel(TrainPanel)
    filled.layers["cells_1"].name = "other"
    filled.layers.remove("cells_2 labels")
    qtbot.waitUntil(lambda: len(train.rows.rows()) == 2)
    assert {r.name for r in train.rows.rows()} >= {"cells_0"}
    train.rows.set_rows(train.rows.rows()[:1])
    filled.add_image(np.zeros((96, 96)), name="new")
    qtbot.wait(50)
    assert len(train.rows.rows()) == 1  # what a person chose stays


def test_a_disabled_start_says_why(qtbot, viewer, panel):
    train = panel(TrainPanel)
    qtbot.waitUntil(lambda: "An image is needed" in train.findings.text())
    assert not train.start_button.isEnabled()
    viewer.add_image(np.random.default_rng(0).random((64, 64)))
    qtbot.waitUntil(lambda: "Labels are needed" in train.findings.text())
    labels = viewer.add_labels(np.zeros((64, 64), int))
    qtbot.waitUntil(lambda: "No object is labelled" in train.findings.text())
    labels.selected_label = 1
    labels.paint((20, 20), 1)
    qtbot.waitUntil(lambda: train.start_button.isEnabled())


def test_a_shipped_model_that_fits_is_offered(qtbot, viewer, panel, scenes):
    viewer.add_image(scenes[0].image, name="a")
    train = panel(TrainPanel)
    qtbot.waitUntil(lambda: "nuclei-fluorescence fits these images: try it" in train.findings.text())
    viewer.add_labels(scenes[0].labels, name="a labels")
    ready(qtbot, train)
    train.findings.button("Fine-tune it").click()
    assert train.start_box.currentText() == "nuclei-fluorescence"
    qtbot.waitUntil(lambda: "try it" not in train.findings.text())
    assert train.start_box.currentText() == "nuclei-fluorescence"


def test_the_start_is_found_out_unless_somebody_chooses_it(qtbot, viewer, panel):
    scene = simulate("nuclei", (96, 96), 0, diameter=24)  # clearly nearer to the objects of one of the models
    viewer.add_image(scene.image, name="a")
    viewer.add_labels(scene.labels, name="a labels")
    train = panel(TrainPanel)
    ready(qtbot, train)
    assert (train.start_box.currentText(), train.choices.start) == ("Automatic", "auto")
    both = "nuclei-fluorescence and objects-grey"
    qtbot.waitUntil(lambda: f"compared first, 24 s each: nothing, {both}" in train.findings.text())
    train.minutes_box.setValue(0.5)
    qtbot.waitUntil(lambda: f"the better of {both} if it beats the baseline" in train.findings.text())
    train.choices.choose_start("none")
    train.start_box.activated.emit(1)
    qtbot.waitUntil(lambda: "beats the baseline" not in train.findings.text())
    assert train.start_box.currentText() == "Nothing (new model)"
    saved = train.choices.saved()[1]
    train.choices.restore({**saved, "start": None}, None)
    assert train.choices.start == "auto"
    train.choices.restore(saved, None)
    assert train.choices.start == "none"


def test_a_start_that_is_gone_is_chosen_automatically_and_said(qtbot, filled, panel, tmp_path):
    train = panel(TrainPanel)
    ready(qtbot, train)
    train.choices.restore({**train.choices.saved()[1], "start": str(tmp_path / "mine")}, None)
    train._later()
    ready(qtbot, train)
    assert train.choices.start == "auto"
    qtbot.waitUntil(
        lambda: "The model mine, which was chosen to start from, is no longer there" in train.findings.text()
    )
    (tmp_path / "ours").mkdir()
    train.choices.choose_start(str(tmp_path / "ours"))
    (tmp_path / "ours").rmdir()
    train._look()
    qtbot.waitUntil(lambda: "The model ours, which" in train.findings.text())
    train.start_box.activated.emit(0)
    qtbot.waitUntil(lambda: "no longer there" not in train.findings.text())


def test_a_comparison_of_starts_is_shown(qtbot, filled, panel):
    train = panel(TrainPanel)
    progress, why = train.progress, "Started from nothing: mean AP 0.400 after 24 s, against 0.300 after 24 s from b."
    for event in (Message("info", "Comparing starts: nothing, b."), Progress(30, 200)):
        progress._heard(event)
    assert progress.message.text() == "Comparing starts: nothing, b."
    assert (progress.progress.format(), progress.progress.value()) == ("Before training ...", 150)
    for start, step, score in (("b", 0, 0.2), ("b", 9, 0.3), ("nothing", 9, 0.1)):
        told = {"selection_score": score, "measure": "mean AP", "sentence": f"detected {100 * score:.0f} of 100"}
        progress._heard(Tried(start, step, f"mean AP {score}", told, {**told, "method": "Otsu"}))
    words = QTextDocument()
    words.setHtml(progress.message.text())
    assert words.toPlainText() == "Comparing starts: ● b mean AP 0.3, ● nothing mean AP 0.1"
    assert progress.score.text() == "detected 10 of 100"
    progress.scores.redraw()
    assert "mean AP" in progress.scores.plotItem.titleLabel.text
    progress._heard(Started({"sentence": "CPU, 2 cores: 300 steps", "start": why}))
    assert progress.message.text() == f"{why}<br>CPU, 2 cores: 300 steps"


def test_advanced_shows_what_the_plan_chose(qtbot, filled, panel):
    train = panel(TrainPanel)
    ready(qtbot, train)
    qtbot.waitUntil(lambda: "automatic (" in train.settings.editor("patch").text())
    plan = train.seen.setup.plan
    assert train.settings.editor("patch").text() == f"automatic ({plan.patch[-1]})"
    assert train.settings.editor("batch").text() == f"automatic ({plan.batch})"
    assert train.settings.values()["patch"] == 0
    train.settings.set_values({"patch": 64})
    assert train.settings.editor("patch").text() == "64 px"


def test_the_start_button_never_scrolls_out(qtbot, filled, panel):
    train = panel(TrainPanel)
    scrolled = train.findChildren(QScrollArea)
    for button in (train.start_button, train.progress.stop_button, train.apply_button, train.progress.progress):
        assert train.isAncestorOf(button)
        assert not any(area.isAncestorOf(button) for area in scrolled)


def test_a_taken_name_gets_a_number(own_home):
    (models_folder() / "cells").mkdir(parents=True)
    assert free_name("cells") == "cells-2"
    assert free_name(" a/b c ") == "a-b-c"
    assert free_name("...") == "model"


def test_options_of_the_task_are_shown(qtbot, filled, panel):
    train = panel(TrainPanel)
    train.task_box.setCurrentIndex(train.task_box.findData("semantic"))
    plain, _ = train.options["semantic"]
    assert plain.isVisibleTo(train)
    assert set(train.option_values()) == {"zero"}
    assert train.classes_fold.isVisibleTo(train)


def test_fields_begin_at_one_edge(qtbot, filled, panel):
    train = panel(TrainPanel)
    folded = {label for fold in train.findChildren(Fold) for label in fold.findChildren(QLabel)}
    for k in range(train.task_box.count()):
        train.task_box.setCurrentIndex(k)
        forms = train.findChildren(QFormLayout)
        cells = [f.itemAt(r, QFormLayout.ItemRole.LabelRole) for f in forms for r in range(f.rowCount())]
        labels = {c.widget() for c in cells if c is not None and isinstance(c.widget(), QLabel)} - folded
        shown = [x for x in labels if x.isVisibleTo(train)]
        assert {x.text() for x in shown} >= {"I want to", "Learn from", "Start from", "Time"}
        assert len({x.minimumWidth() for x in shown}) == 1


def test_a_stack_asks_for_its_third_axis(qtbot, viewer, panel, scenes):
    viewer.add_image(np.stack([s.image for s in scenes] * 2), name="stack")
    viewer.add_labels(np.stack([s.labels for s in scenes] * 2), name="stack labels")
    train = panel(TrainPanel)
    assert train.data.third_box.isVisibleTo(train)
    assert [train.data.third_box.itemData(i) for i in range(train.data.third_box.count())] == ["ZYX", "TYX"]
    train.data.third_box.setCurrentIndex(1)
    train.data.third_box.activated.emit(1)
    qtbot.waitUntil(lambda: "6 images of 96 x 96 px" in train.findings.text())


def in_sight(part):
    """Whether all of a part of a panel is seen."""
    return part.visibleRegion().boundingRect().height() == part.height() > 0


@pytest.mark.window
def test_train_stop_apply(qtbot, filled, panel):
    """The whole story through the buttons; layers vanish meanwhile, and the result comes all the same."""
    labels = Layer("labels", "other labels", np.eye(8, dtype=np.int32), {}, version=1)
    draft = Draft.new()
    draft.write(Work("other", (Row((), "l", None, "automatic"),), {}, {"l": labels}))
    draft.release()
    filled.window._qt_window.resize(1280, 800)
    filled.window._qt_window.show()
    train = panel(TrainPanel)
    ready(qtbot, train)
    active = filled.layers["cells_0"]
    filled.layers.selection.active = active
    train.minutes_box.setValue(5)
    train.settings.set_values({"patch": 64, "batch": 2, "depth": 2, "width": 4, "device": "cpu"})
    train.minutes_box.setValue(MINUTES)
    train.name_edit.setText("cells")
    train.start_button.click()
    assert train.progress.buttons.currentIndex() == 1
    qtbot.waitUntil(lambda: bool(train.progress.score.text()), timeout=90_000)
    assert train.progress.baseline.text()
    assert train.progress.score_name.text() in ("Validation", "Training images")
    qtbot.waitUntil(lambda: train.progress.training.preview.layer is not None)
    assert filled.layers.selection.active is active
    np.testing.assert_allclose(train.progress.training.preview.layer.scale, (0.5, 0.5))
    np.testing.assert_allclose(train.progress.training.preview.layer.translate, (3, 4))
    filled.layers.remove("cells_2")
    begun = time.monotonic()
    train.progress.stop_button.click()
    qtbot.waitUntil(lambda: train.progress.after.isEnabled())
    print(f"stopped after {time.monotonic() - begun:.1f} s")
    assert "Saved as cells" in train.progress.message.text()
    ready(qtbot, train)
    assert train.unfinished.draft is not None
    qtbot.waitUntil(lambda: in_sight(train.progress.score) and in_sight(train.progress.baseline))
    draft.discard()
    assert (models_folder() / "cells" / "rdf.yaml").exists()

    train.apply_button.click()
    apply = next(w for w in filled.window.dock_widgets.values() if isinstance(w, ApplyPanel))
    assert apply.model.name == "cells"
    apply.image_box.choose(filled.layers["cells_1"])
    assert apply.request.diameter.box.value() == pytest.approx(apply.model.card.diameter, abs=0.06)
    before = set(filled.layers)
    apply.apply_button.click()
    qtbot.waitUntil(lambda: set(filled.layers) != before, timeout=90_000)
    result = next(iter(set(filled.layers) - before))
    assert result.name == "cells_1 cells"
    np.testing.assert_allclose(result.scale, (0.5, 0.5))
    np.testing.assert_allclose(result.translate, (3, 4))
    assert [str(u) for u in result.units] == ["micrometer"] * 2
    assert result.data.shape == (96, 96)
    assert result.metadata["napari_dojo"]["model"] == "cells"
    assert "object" in apply.count.text()

    apply.sliders.slider("minimum_area").value = 200
    apply.sliders.slider("threshold").value = 0.01
    qtbot.waitUntil(lambda: result.metadata["napari_dojo"]["decoding"]["minimum_area"] == 200)
    sizes = np.bincount(result.data.ravel())[1:]
    assert (sizes[sizes > 0] >= 200).all()
    apply.end()


@pytest.mark.parametrize("state", ["over", "working"])
def test_what_classify_has_trained_is_shown_while_it_runs_only(filled, panel, state):
    training = Training(
        filled, runs_folder(), models_folder() / "m", Path, SimpleNamespace(name="m"), {"task": "classify", "name": "m"}
    )
    training.state = state
    desk().trainings.append(training)
    train = panel(TrainPanel)
    shown = (train.choices.task.name, train.name_edit.text(), train.progress.training is training)
    assert shown == (("instances", "", False) if state == "over" else ("classify", "m", True))
    desk().trainings.remove(training)


def test_stopped_at_once(qtbot, filled, panel, monkeypatch):
    train = panel(TrainPanel)
    ready(qtbot, train)
    warned: list[str] = []
    monkeypatch.setattr(train, "warn", warned.append)
    train.start_button.click()
    train.progress.stop_button.click()
    qtbot.waitUntil(lambda: "Stopped" in train.progress.message.text())
    qtbot.waitUntil(train.start_button.isEnabled)
    qtbot.waitUntil(lambda: not runs_folder().exists() or not list(runs_folder().iterdir()))
    qtbot.wait(100)
    assert train.unfinished.run is None
    assert not warned  # who stops a training knows


@pytest.mark.fresh
def test_stopped_while_torch_is_loaded(qtbot, filled, panel):
    train = panel(TrainPanel)
    ready(qtbot, train)
    train.settings.set_values({"patch": 64, "batch": 2, "depth": 2, "width": 4, "device": "cpu"})
    train.minutes_box.setValue(MINUTES)
    train.start_button.click()
    qtbot.waitUntil(lambda: train.progress.training.runner.job is not None)
    train.progress.stop_button.click()
    qtbot.waitUntil(lambda: train.progress.training.state == "over")
    assert train.start_button.isEnabled() or train.progress.after.isEnabled()
    assert "Stopped" in train.progress.message.text() or "Saved" in train.progress.message.text()


def test_a_folder_that_cannot_be_written(qtbot, filled, panel, monkeypatch, tmp_path):
    train = panel(TrainPanel)
    ready(qtbot, train)
    (tmp_path / "file").touch()
    monkeypatch.setenv("NAPARI_DOJO_HOME", str(tmp_path / "file" / "home"))
    train.start_button.click()
    qtbot.waitUntil(lambda: "cannot be" in train.progress.message.text())
    qtbot.waitUntil(train.start_button.isEnabled)
    assert "Choose another file or folder" in train.progress.message.text()


def test_what_happens_to_layers_does_not_reach_the_job(qtbot, filled, panel):
    train = panel(TrainPanel)
    ready(qtbot, train)
    train.settings.set_values({"patch": 64, "batch": 2, "depth": 2, "width": 4, "device": "cpu"})
    train.minutes_box.setValue(MINUTES)
    train.start_button.click()
    qtbot.waitUntil(lambda: train.progress.training.runner.job is not None)
    filled.layers["cells_0 labels"].data = filled.layers["cells_0 labels"].data * 0
    filled.layers["cells_0"].name = "another name"
    filled.layers.remove("cells_1")
    filled.layers.remove("cells_1 labels")
    qtbot.waitUntil(lambda: bool(train.progress.score.text()))
    train.progress.stop_button.click()
    qtbot.waitUntil(train.progress.after.isEnabled)
    assert "Saved as" in train.progress.message.text()
    qtbot.waitUntil(lambda: "2 images" in train.findings.text())


@pytest.mark.first
def test_the_window_never_loads_torch():
    code = """
import sys, time
import numpy as np, napari
from qtpy.QtWidgets import QApplication
from napari_dojo.simulation.microscope import simulate
from napari_dojo.simulation.microscope import simulate
from napari_dojo.widgets.apply.panel import ApplyPanel
from napari_dojo.widgets.train.panel import TrainPanel
viewer = napari.Viewer(show=False)
scene = simulate("nuclei", (64, 64), 0)
viewer.add_image(scene.image, name="a"); viewer.add_labels(scene.labels, name="a labels")
train, apply = TrainPanel(viewer), ApplyPanel(viewer)
end = time.monotonic() + 20
while not train.start_button.isEnabled() and time.monotonic() < end:
    QApplication.processEvents()
    time.sleep(0.01)
assert train.start_button.isEnabled()
train.settings.set_values({"steps": 2, "patch": 32, "batch": 1, "depth": 1, "width": 4, "device": "cpu"})
train.start_button.click()
end = time.monotonic() + 90
while train.progress.buttons.currentIndex() == 1 and time.monotonic() < end:
    QApplication.processEvents()
    time.sleep(0.01)
assert "Saved" in train.progress.message.text(), train.progress.message.text()
apply.refresh_models()
assert apply.apply_button.isEnabled(), apply.message.text()
apply.apply_button.click()
end = time.monotonic() + 60
while not apply.count.text() and time.monotonic() < end:
    QApplication.processEvents()
    time.sleep(0.01)
assert len(viewer.layers) >= 3, apply.message.text()
assert not {"torch", "bioimageio"} & set(sys.modules)
train.end(); apply.end()
viewer.close()
print("light")
"""
    done = in_python(code, 200)
    assert done.stdout.strip().endswith("light"), done.stdout + done.stderr
