"""Trainings and their panels: a queue, a panel that comes and goes, a killed job, a closed window, resuming."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import psutil
import pytest
from qtpy.QtWidgets import QMessageBox

from napari_dojo.events import Done, Validated
from napari_dojo.jobs.runs import unfinished
from napari_dojo.models.kept import KEPT
from napari_dojo.paths import models_folder, runs_folder
from napari_dojo.widgets.common.queue import Training, desk, free_name
from napari_dojo.widgets.train.panel import TrainPanel

pytestmark = [pytest.mark.gui, pytest.mark.timeout(240)]

TINY = {"patch": 64, "batch": 2, "depth": 2, "width": 4, "device": "cpu"}
MINUTES = 0.4  # the first check comes after 4 % of them


@pytest.fixture
def train(qtbot, filled, panel):
    return prepared(qtbot, panel)


def prepared(qtbot, panel, **settings):
    train = panel(TrainPanel)
    train.settings.set_values({**TINY, **settings})
    train.minutes_box.setValue(MINUTES)
    qtbot.waitUntil(train.start_button.isEnabled)
    train.name_edit.setText("cells")
    return train


def first_check(qtbot, train):
    qtbot.waitUntil(lambda: bool(train.progress.score.text()), timeout=90_000)


def child_of(training):
    return psutil.Process(training.runner.job._process.pid)


def silent(qtbot, training):
    """Wait until the job says nothing more."""

    def still():
        before = len(training.history)
        qtbot.wait(200)
        return len(training.history) == before

    qtbot.waitUntil(still)


def over(qtbot, training):
    qtbot.waitUntil(lambda: training.state == "over")


def test_a_panel_that_is_closed_and_opened_again_shows_its_training(qtbot, filled, panel, train):
    train.minutes_box.setValue(0.5)
    train.rows.set_rows(train.rows.rows()[:2])
    qtbot.waitUntil(train.start_button.isEnabled)
    train.start_button.click()
    first_check(qtbot, train)
    training = desk().of(filled)
    filled.window.remove_dock_widget(train)
    train.end()
    assert training.state == "working"
    again = panel(TrainPanel)
    assert (again.minutes_box.value(), again.name_edit.text()) == (0.5, "cells")
    assert again.settings.values()["width"] == 4
    assert [row.name for row in again.rows.rows()] == ["cells_0", "cells_1"]
    assert again.progress.training is training
    assert again.progress.score.text()
    assert again.progress.buttons.currentIndex() == 1
    assert not again.data.isEnabled()
    again.progress.stop_button.click()
    qtbot.waitUntil(again.progress.after.isEnabled)
    assert "Saved as cells" in again.progress.message.text()


def test_pause_stops_the_clock_and_resume_continues(qtbot, filled, train):
    train.start_button.click()
    first_check(qtbot, train)
    training = train.progress.training
    train.progress.pause_button.click()
    assert train.progress.pause_button.text() == "Resume"
    silent(qtbot, training)
    before = len(training.history)
    assert train.progress.progress.format() == "Paused"
    train.progress.pause_button.click()
    qtbot.waitUntil(lambda: len(training.history) > before)
    assert train.progress.pause_button.text() == "Pause"


def panel_of_another_viewer(qtbot, another, scene):
    """A Train panel that may start."""
    other = another()
    other.add_image(scene.image, name="other")
    other.add_labels(scene.labels, name="other labels")
    found = TrainPanel(other)
    qtbot.addWidget(found)
    found.settings.set_values(TINY)
    found.minutes_box.setValue(0.1)
    qtbot.waitUntil(found.start_button.isEnabled)
    return found


def test_the_second_training_waits(qtbot, filled, panel, train, another, scenes):
    train.start_button.click()
    second = panel_of_another_viewer(qtbot, another, scenes[0])
    second.start_button.click()
    assert second.progress.training.state == "waiting"
    assert "Another training (cells) is running" in second.progress.message.text()
    assert second.progress.stop_button.text() == "Cancel"
    assert not second.progress.pause_button.isEnabled()
    first_check(qtbot, train)
    assert second.progress.training.state == "waiting"
    train.progress.stop_button.click()
    qtbot.waitUntil(second.progress.pause_button.isEnabled)
    assert second.progress.training.state == "working"
    assert second.progress.stop_button.text() == "Stop and keep"
    second.progress.stop_button.click()
    over(qtbot, second.progress.training)
    second.end()
    desk().close(second.viewer)


def test_one_that_waits_can_be_stopped(qtbot, filled, panel, train, another, scenes):
    train.start_button.click()
    second = panel_of_another_viewer(qtbot, another, scenes[0])
    second.start_button.click()
    second.progress.stop_button.click()
    assert second.progress.training.state == "over"
    assert "Stopped before it began" in second.progress.message.text()
    qtbot.waitUntil(second.start_button.isEnabled)
    second.end()
    desk().close(second.viewer)


def test_a_killed_job_is_offered_again_and_continues(qtbot, filled, train):
    train.start_button.click()
    first_check(qtbot, train)
    training = train.progress.training
    training.runner.job._again = True  # it was started with less once already
    child_of(training).send_signal(signal.SIGKILL)
    over(qtbot, training)
    assert "The system ended the job" in train.progress.message.text()
    qtbot.waitUntil(lambda: train.unfinished.run is not None)
    assert train.unfinished.run.model.name == "cells"
    steps = max(e.step for e in training.history if isinstance(e, Validated))
    button = train.unfinished.run_line.findChildren(type(train.start_button))[0]
    assert button.text() == "Continue"
    button.click()
    assert train.progress.training is not training
    first_check(qtbot, train)
    assert min(e.step for e in train.progress.training.history if isinstance(e, Validated)) > steps
    train.progress.stop_button.click()
    over(qtbot, train.progress.training)
    assert isinstance(train.progress.training.end, Done)
    assert unfinished() == []


def test_an_unfinished_run_may_be_kept_or_discarded(qtbot, filled, panel, train):
    train.start_button.click()
    first_check(qtbot, train)
    training = train.progress.training
    training.runner.job._again = True
    child_of(training).send_signal(signal.SIGKILL)
    over(qtbot, training)
    qtbot.waitUntil(lambda: train.unfinished.run is not None)
    keep = next(b for b in train.unfinished.run_line.findChildren(type(train.start_button)) if b.text() == "Keep")
    assert keep.isEnabled()
    keep.click()
    qtbot.waitUntil(lambda: train.unfinished.run is None)
    assert (models_folder() / "cells" / "rdf.yaml").exists()
    assert list(runs_folder().iterdir()) == []


@pytest.mark.window
def test_a_closed_window_stops_and_keeps(qtbot, filled, train, monkeypatch):
    asked = []
    monkeypatch.setattr(desk(), "ask", lambda *said: asked.append(said[:2]) or len(asked) > 1)
    train.start_button.click()
    first_check(qtbot, train)
    training = desk().of(filled)
    child = child_of(training)
    window = filled.window._qt_window
    window.close()
    assert asked == [("cells", True)]
    assert training.state == "working"  # the user chose to continue
    assert child.is_running()
    began = time.monotonic()
    assert desk().may_close(filled)
    desk().close(filled)
    assert time.monotonic() - began < 6
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    assert list(runs_folder().iterdir()) == []
    assert sorted(p.name for p in (models_folder() / "cells" / "run").iterdir()) == sorted(KEPT)
    assert (models_folder() / "cells" / "rdf.yaml").exists()


def test_train_more_continues_from_where_it_ended(qtbot, filled, train):
    train.start_button.click()
    first_check(qtbot, train)
    train.progress.stop_button.click()
    qtbot.waitUntil(train.progress.after.isEnabled)
    training = train.progress.training
    steps = training.end.facts["steps"]
    train.progress.more_button.click()
    assert train.progress.buttons.currentIndex() == 1
    qtbot.waitUntil(lambda: any(isinstance(e, Validated) and e.step > steps for e in training.history))
    train.progress.stop_button.click()
    qtbot.waitUntil(train.progress.after.isEnabled)
    assert training.end.facts["steps"] > steps
    assert os.listdir(models_folder()) == ["cells"]


@pytest.fixture
def waiting(viewer, tmp_path, monkeypatch):
    """A training of "cells" that is at work, and has saved nothing."""
    monkeypatch.setattr(Training, "begin", lambda self: setattr(self, "state", "working"))
    training = Training(viewer, tmp_path / "run", tmp_path / "cells", Path, None)
    training.watched = True
    desk().add(training)
    yield training
    desk().close(viewer)


@pytest.mark.parametrize(("kept", "button"), [(False, "Stop"), (True, "Stop and keep")])
@pytest.mark.parametrize("stops", [False, True])
def test_the_question_promises_a_model_only_where_one_is_saved(viewer, waiting, monkeypatch, kept, button, stops):
    seen = []

    def answer(box):
        seen.append((box.text(), [b.text() for b in box.buttons()], box.parent()))
        next(b for b in box.buttons() if b.text() == (button if stops else "Continue training")).click()

    monkeypatch.setattr(Training, "kept", kept)
    monkeypatch.setattr(QMessageBox, "exec", answer)
    assert desk().may_close(viewer) is stops
    ((text, buttons, parent),) = seen
    assert ("keep the best model" in text, "No model is saved yet" in text) == (kept, not kept)
    assert sorted(buttons) == sorted([button, "Continue training"])
    assert parent is viewer.window._qt_window  # else it may lie behind it


def test_a_training_that_was_stopped_without_a_model_leaves_its_name(waiting):
    assert free_name("cells") == "cells-2"
    waiting.state = "waiting"
    waiting.stop()
    assert waiting.state == "over"
    assert free_name("cells") == "cells"


def test_a_training_for_more_minutes_waits_behind_the_others(viewer, another, tmp_path, monkeypatch):
    monkeypatch.setattr(Training, "begin", lambda self: setattr(self, "state", "working"))
    viewers = viewer, another()
    first, second = (Training(v, tmp_path / f"{k}", tmp_path / f"{k}", Path, None) for k, v in enumerate(viewers))
    for training in (first, second):
        desk().add(training)
    first.state = "over"
    desk()._turn()
    first.state = "waiting"
    desk().add(first)
    try:
        assert second.state == "working"
        assert desk().before(first) is second
    finally:
        for v in viewers:
            desk().close(v)
