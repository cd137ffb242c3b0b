"""The tour: each step is seen to be done, whoever did it, and whatever was closed in between."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from napari_dojo.events import Done, Failed, Validated
from napari_dojo.widgets.apply.panel import ApplyPanel
from napari_dojo.widgets.common.panel import open_panel
from napari_dojo.widgets.common.queue import Training, desk
from napari_dojo.widgets.compare.panel import ComparePanel
from napari_dojo.widgets.tour import panel as tours
from napari_dojo.widgets.tour.panel import TourPanel, sample
from napari_dojo.widgets.train.panel import TrainPanel

pytestmark = [
    pytest.mark.gui,
    pytest.mark.timeout(240),
]

SCORE = {"sentence": "detected 60 of 68, 4 false positives", "selection_score": 0.6}
OTSU = {"sentence": "detected 47 of 68, 16 false positives", "selection_score": 0.4}


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    monkeypatch.setattr(tours, "EVERY", 50)


@pytest.fixture
def tour(viewer, panel, qtbot):
    """A tour with its images, and panels that end with the test."""
    made = panel(TourPanel)
    made.button.click()
    yield made
    for widget in list(viewer.window.dock_widgets.values()):
        widget.end()


@pytest.fixture
def no_job(monkeypatch):
    """Trainings that only the test lets speak."""
    monkeypatch.setattr(Training, "begin", lambda self: setattr(self, "state", "working"))


def opened(viewer, kind):
    return next((w for w in viewer.window.dock_widgets.values() if isinstance(w, kind)), None)


def step(qtbot, tour, number, words=""):
    qtbot.waitUntil(lambda: tour.at == number - 1 and words in tour.text.text())


def press(qtbot, tour, label, timeout=60_000):
    qtbot.waitUntil(lambda: tour.button.text() == label and tour.button.isEnabled(), timeout=timeout)
    tour.button.click()


def said(viewer, *events):
    training = desk().of(viewer)
    for event in events:
        training._heard(event)
    return training


@pytest.mark.window
def test_the_sample_brings_its_images_and_opens_the_tour(qtbot, viewer):
    viewer.open_sample("napari-dojo", "two_minute_tour")
    assert [x.name for x in viewer.layers] == ["nuclei to train on", "nuclei to train on: labels"]
    qtbot.waitUntil(lambda: opened(viewer, TourPanel) is not None)
    tour = opened(viewer, TourPanel)
    assert "1 of 7" in tour.title.text()
    assert tour.button.text() == "Move it for me"
    assert not tour.back_button.isEnabled()
    tour.end()


def test_the_sample_without_a_viewer_is_only_images():
    assert [(kind, options["metadata"]["tour"]) for _, options, kind in sample()] == [
        ("image", "training"),
        ("labels", "training"),
    ]


def test_steps_are_seen_to_be_done(qtbot, viewer, tour, no_job):
    """By the person, without the leading button."""
    step(qtbot, tour, 1, "slider")
    viewer.dims.set_current_step(0, 4)
    step(qtbot, tour, 2, "Plugins > Dojo > Train".replace(">", "&gt;"))
    train = open_panel(viewer, TrainPanel, "Train")
    step(qtbot, tour, 3, "less than a minute")
    qtbot.waitUntil(train.start_button.isEnabled)
    train.start_button.click()
    step(qtbot, tour, 4, "In a few seconds, a layer with the current prediction")
    assert (tour.button.text(), tour.button.isEnabled()) == ("Please wait", False)
    said(viewer, Validated(1, 1.0, 1.0, {"sentence": "detected 20 of 68", "selection_score": 0.1}, OTSU))
    step(
        qtbot,
        tour,
        4,
        "detected 20 of 68. Baseline without deep learning: detected 47 of 68, 16 false positives. The model will soon",
    )
    assert not tour.button.isEnabled()
    training = said(viewer, Validated(2, 1.0, 1.0, SCORE, OTSU))
    step(qtbot, tour, 4, "detected 60 of 68, 4 false positives. Baseline without deep learning: detected 47 of 68")
    assert tour.button.text() == "Stop and keep"
    tour.button.click()
    assert not train.progress.stop_button.isEnabled()
    assert (tour.button.text(), tour.button.isEnabled()) == ("Stopping ...", False)
    training._heard(Done(str(training.model), {}))
    step(qtbot, tour, 5, "The model is saved.")


def test_the_button_does_each_step_of_the_training(qtbot, viewer, tour, no_job):
    before = viewer.dims.current_step[0]
    press(qtbot, tour, "Move it for me")
    assert viewer.dims.current_step[0] == (before + 1) % 5
    press(qtbot, tour, "Open Train")
    train = opened(viewer, TrainPanel)
    assert [(r.name, r.target.name) for r in train.rows.rows()] == [
        ("nuclei to train on", "nuclei to train on: labels")
    ]
    assert (train.minutes_box.value(), train.data.axes, train.task.name) == (0.7, "TYX", "instances")
    press(qtbot, tour, "Start for me")
    assert train.progress.busy
    step(qtbot, tour, 4)


def test_labels_that_hide_the_preview_can_be_hidden(qtbot, viewer, tour, no_job):
    tour._go(2)
    press(qtbot, tour, "Open Train")
    press(qtbot, tour, "Start for me")
    training = said(viewer, Validated(1, 1.0, 1.0, SCORE, OTSU))
    training.preview = SimpleNamespace(layer=viewer.layers[0], on=True, end=lambda: None, forget=lambda: None)
    press(qtbot, tour, "Hide the labels")
    assert not viewer.layers["nuclei to train on: labels"].visible
    step(qtbot, tour, 4, "detected 60 of 68")


def test_a_training_may_wait_or_pause(qtbot, viewer, tour, no_job):
    tour._go(2)
    press(qtbot, tour, "Open Train")
    press(qtbot, tour, "Start for me")
    step(qtbot, tour, 4, "In a few seconds")
    training = desk().of(viewer)
    training.state = "waiting"
    step(qtbot, tour, 4, "Training is queued")
    training.state, training.runner.paused = "working", True
    step(qtbot, tour, 4, "paused")
    train = opened(viewer, TrainPanel)
    viewer.window.remove_dock_widget(train)  # the training continues, and the tour finds it
    training.runner.resume = lambda: setattr(training.runner, "paused", False)
    qtbot.wait(120)
    press(qtbot, tour, "Resume")
    step(qtbot, tour, 4, "In a few seconds")


def test_a_failed_training_can_be_started_again(qtbot, viewer, tour, no_job):
    tour._go(2)
    press(qtbot, tour, "Open Train")
    press(qtbot, tour, "Start for me")
    step(qtbot, tour, 4)
    said(viewer, Failed("The training was ended by the system."))
    step(qtbot, tour, 4, "The training was ended by the system. ")
    press(qtbot, tour, "Start for me")
    step(qtbot, tour, 4, "In a few seconds")


def test_an_earlier_training_is_none_of_the_tour(qtbot, viewer, tour, no_job):
    train = open_panel(viewer, TrainPanel, "Train")
    qtbot.waitUntil(train.start_button.isEnabled)
    train.start_button.click()
    said(viewer, Done(str(desk().of(viewer).model), {}))
    tour.begin()
    tour._go(2)
    step(qtbot, tour, 3, "Press Start training")


def test_what_was_closed_is_asked_for_again(qtbot, viewer, tour):
    step(qtbot, tour, 1)
    press(qtbot, tour, "Move it for me")
    press(qtbot, tour, "Open Train")
    step(qtbot, tour, 3)
    viewer.window.remove_dock_widget(opened(viewer, TrainPanel))
    qtbot.waitUntil(lambda: tour.button.text() == "Open Train")
    viewer.layers.clear()
    press(qtbot, tour, "Open them")
    assert [x.name for x in viewer.layers] == ["nuclei to train on", "nuclei to train on: labels"]
    qtbot.waitUntil(lambda: tour.button.text() == "Open Train")


def test_other_choices_in_train_are_put_right(qtbot, viewer, tour, no_job):
    tour._go(2)
    press(qtbot, tour, "Open Train")
    train = opened(viewer, TrainPanel)
    train.data.source_box.setCurrentIndex(train.data.source_box.findData("files"))
    press(qtbot, tour, "Set it up")
    assert [r.name for r in train.rows.rows()] == ["nuclei to train on"]
    press(qtbot, tour, "Start for me")
    step(qtbot, tour, 4)


@pytest.mark.window
def test_apply_count_compare_with_the_shipped_model(qtbot, viewer, tour):
    """A person who skips the training; the rest of the tour with a real prediction."""
    for _ in range(4):
        tour.skip_button.click()
    step(qtbot, tour, 5, "There is no trained model yet, so the shipped model nuclei-fluorescence is used.")
    press(qtbot, tour, "Open Apply")
    shown = [x.name for x in viewer.layers if x.visible]
    assert shown == ["nuclei to test on"]
    assert viewer.dims.current_step[0] == 0
    apply = opened(viewer, ApplyPanel)
    assert (apply.model.name, apply.image_box.layer.name) == ("nuclei-fluorescence", "nuclei to test on")
    press(qtbot, tour, "Apply for me")
    qtbot.waitUntil(lambda: "objects. Move the Probability" in tour.text.text(), timeout=90_000)
    before = apply.results.layers[0].data.copy()
    tour.button.click()
    assert apply.sliders.slider("threshold").value == pytest.approx(0.79, abs=0.03)
    step(qtbot, tour, 7, "The ground truth of these images is known")
    result, most = apply.results.layers[0], (before > 0).sum()
    qtbot.waitUntil(lambda: (result.data > 0).sum() < most)  # it is decoded in a thread
    press(qtbot, tour, "Compare for me")
    qtbot.waitUntil(lambda: tour.title.text() == "<b>End of the tour</b>")
    compare = opened(viewer, ComparePanel)
    assert compare.truth_box.layer.name == "nuclei to test on: labels"
    assert "of 112" in compare.found.text()
    assert not tour.skip_button.isEnabled()
    press(qtbot, tour, "Close the tour")
    qtbot.waitUntil(lambda: opened(viewer, TourPanel) is None)
    assert tour._ended
    assert len(viewer.layers) == 6


def test_skip_and_back_lead_through_and_wait(qtbot, viewer, tour):
    press(qtbot, tour, "Move it for me")
    step(qtbot, tour, 2)
    tour.back_button.click()
    qtbot.wait(150)
    assert tour.at == 0  # done, but not gone over again
    assert tour.button.text() == "Next"
    for _ in range(9):
        tour.skip_button.click()
    assert tour.title.text() == "<b>End of the tour</b>"
    viewer.layers.clear()
    qtbot.wait(100)
    for _ in range(7):
        tour.back_button.click()
        assert tour.text.text()
    assert tour.at == 0


def test_what_goes_wrong_is_a_sentence(qtbot, viewer, tour, monkeypatch):
    told = []
    monkeypatch.setattr(tour, "warn", told.append)
    tour._show(tours.Prompt("Move", "Move it for me", lambda: Path("/none/at/all").read_text()))
    tour._press()
    assert told == ["/none/at/all cannot be read or written: No such file or directory. Choose another file or folder."]
