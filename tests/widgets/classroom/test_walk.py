"""A student's walk with mouse and keys through all exercises: open, the solution on request; play, the goal ticked.

With ``DOJO_WALK=FOLDER`` a picture of each step is written there.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QLabel
from settled import settled

from napari_dojo.playground import Session
from napari_dojo.playground.counts import split_words
from napari_dojo.playground.exercise import IMAGES, NAMES, load
from napari_dojo.widgets.classroom import ClassroomPanel
from napari_dojo.widgets.common.panel import open_panel

pytestmark = [pytest.mark.gui, pytest.mark.timeout(400)]

PLAYED = NAMES[:3]  # to the end; tests/playground/test_exercise.py does so with all, without a window
SIZE = (1280 if os.environ.get("DOJO_WALK") else 860, 800)  # px; drawing is most of the time


class Walk:
    """A student at the Classroom panel."""

    def __init__(self, qtbot, viewer):
        self.qtbot, self.viewer = qtbot, viewer
        viewer.window._qt_window.resize(*SIZE)
        self.panel = open_panel(viewer, ClassroomPanel, "Classroom")
        self.until(lambda: self.panel.canvas.there)
        qtbot.wait(100)
        self.step = 0
        folder = os.environ.get("DOJO_WALK")
        self.folder = Path(folder) if folder else None

    def look(self, name):
        """A picture, where one is wanted."""
        if self.folder:
            self.qtbot.wait(200)
            self.step += 1
            self.folder.mkdir(parents=True, exist_ok=True)
            self.viewer.window._qt_window.grab().save(str(self.folder / f"classroom-{self.step:02d}-{name}.png"))

    def until(self, holds, seconds=30):
        self.qtbot.waitUntil(lambda: bool(holds()), timeout=int(1000 * seconds))

    def click(self, button):
        assert button.isEnabled(), button.toolTip()
        self.qtbot.mouseClick(button, Qt.MouseButton.LeftButton)

    def choose(self, name):
        """The exercise by the arrow keys."""
        box = self.panel.exercise.box
        box.setFocus()
        for _ in range(box.count()):
            if box.currentData() == name:
                break
            down = box.currentIndex() < box.findData(name)
            self.qtbot.keyClick(box, Qt.Key.Key_Down if down else Qt.Key.Key_Up)
        assert self.panel.lesson.exercise.name == name
        settled(self.qtbot, self.panel)

    def pick(self, button, action):
        """An entry of the menu that a button opens; the menu waits in a loop of its own."""

        def press():
            menu = QApplication.activePopupWidget()
            QTest.mouseClick(menu, Qt.MouseButton.LeftButton, pos=menu.actionGeometry(action).center())

        QTimer.singleShot(150, press)
        self.click(button)
        self.until(lambda: QApplication.activePopupWidget() is None)

    def play(self, seconds=40):
        """Play to the end."""
        self.click(self.panel.play.play_button)
        assert self.panel.player.playing
        self.until(lambda: not self.panel.player.playing, seconds)
        self.qtbot.wait(20)

    def at(self, x, y, up=True):
        """Where a place lies on the canvas; y points up, in images down."""
        canvas = self.viewer.window._qt_viewer.canvas.native
        camera = getattr(self.viewer, "scene", self.viewer).camera
        centre = np.asarray(camera.center)[-2:]
        column = canvas.width() / 2 + (x - centre[1]) * camera.zoom
        row = canvas.height() / 2 + (-1 if up else 1) * (y - centre[0]) * camera.zoom
        return QPoint(round(column), round(row))

    def click_canvas(self, x, y, up=True):
        canvas = self.viewer.window._qt_viewer.canvas.native
        QTest.mouseMove(canvas, self.at(x, y, up))
        QTest.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=self.at(x, y, up))
        self.qtbot.wait(20)

    def end(self):
        self.panel.end()


@pytest.fixture
def walk(qtbot, viewer):
    viewer.window._qt_window.show()
    made = Walk(qtbot, viewer)
    yield made
    made.end()


def test_through_all_exercises(walk, monkeypatch):
    monkeypatch.setattr(
        "napari_dojo.widgets.classroom.play.SLICE", 0.25
    )  # s, between two pictures, which take most time
    panel, lesson = walk.panel, walk.panel.lesson
    walk.qtbot.keyClick(panel.play.slider, Qt.Key.Key_End)
    for name in (n for n in NAMES if n not in IMAGES):
        exercise = load(name)
        walk.choose(name)
        assert exercise.title in panel.exercise.box.currentText()
        assert exercise.text[0] in panel.exercise.text.text()
        assert not lesson.met
        assert "✓" not in panel.exercise.goal.text()
        walk.look(f"{name}-start")
        assert panel.curves.loss.mapTo(panel, QPoint(0, panel.curves.loss.height())).y() <= panel.height()

        if name in PLAYED:
            row, before = panel.play.mapTo(panel, QPoint()).y(), lesson.session.net.parameters.copy()
            walk.click(panel.play.play_button)
            walk.until(lambda: lesson.session.epochs >= 2)
            if panel.player.playing:
                walk.click(panel.play.play_button)
            assert not panel.player.playing
            assert (lesson.session.net.parameters != before).any() or exercise.start.net.initializer == "zero"
            walk.look(f"{name}-playing")

        assert exercise.why not in panel.exercise.help.text()
        walk.pick(panel.exercise.menu_button, panel.exercise.solution_action)
        assert exercise.why in panel.exercise.help.text()
        assert lesson.session.setup == exercise.solution
        if name in PLAYED:
            assert panel.play.mapTo(panel, QPoint()).y() == row  # nothing moves below the hand
            walk.play()
            assert lesson.met
            assert "✓" in panel.exercise.goal.text()
            walk.look(f"{name}-solved")
            alone = Session(exercise.solution)
            for _ in alone.run():
                pass
            assert lesson.session.history[-1] == alone.history[-1]  # the same numbers as without a window
        assert lesson.session.looks == 0


def test_slow_motion_by_the_buttons(walk):
    panel, lesson = walk.panel, walk.panel.lesson
    walk.choose("parabola")
    walk.click(panel.tabs.button(1))
    seen = []
    while not seen or seen[-1] != "done":
        walk.click(panel.slow.next_button)
        seen.append(lesson.stage.kind)
        assert lesson.session.updates == (seen[-1] == "done")
        view, link = panel.net.view, panel.net.view._ends[0][1][0]
        said = {"gradient": ", gradient ", "update": ", new weight "}.get(seen[-1], "")
        assert said in view.words(link.pointAt(0.4))
        walk.look(f"slow-{seen[-1]}")
    assert seen == ["input", "sum", "activation", "loss", "slope", "gradient", "update", "done"]
    same = Session(lesson.exercise.start)
    same.step()
    np.testing.assert_array_equal(lesson.session.net.parameters, same.net.parameters)


def test_hints_test_and_keys(walk):
    panel, lesson = walk.panel, walk.panel.lesson
    walk.choose("parabola")
    for k, hint in enumerate(load("parabola").hints, 1):
        walk.click(panel.exercise.hint_button)
        assert hint in panel.exercise.help.text()
        assert lesson.hints == k
    assert not panel.exercise.hint_button.isEnabled()
    for key, updates in ((Qt.Key.Key_S, 1), (Qt.Key.Key_S, 2), (Qt.Key.Key_E, 500), (Qt.Key.Key_R, 0)):
        walk.qtbot.keyClick(panel, key)
        walk.until(lambda n=updates: lesson.session.updates == n)
    walk.until(lambda: not panel.player.playing)
    assert panel.curves.reveal_button.isVisible()
    walk.click(panel.curves.reveal_button)
    assert not panel.curves.reveal_button.isVisible()
    assert lesson.session.looks == 1
    walk.look("test-revealed")
    walk.qtbot.keyClick(panel, Qt.Key.Key_S)
    assert panel.curves.reveal_button.isVisible()
    walk.click(panel.curves.reveal_button)
    assert lesson.session.looks == 2
    shown = [label.text() + label.toolTip() for label in panel.curves.findChildren(QLabel) if label.isVisible()]
    assert any("2 times" in text for text in shown)


@pytest.mark.window
def test_own_points_with_the_mouse(walk):
    panel, lesson = walk.panel, walk.panel.lesson
    panel.folds["points"].button.setChecked(True)
    walk.click(panel.play.draw_button)
    walk.qtbot.wait(100)
    walk.click_canvas(0.5, 0.5)
    walk.click_canvas(0.6, 0.2)
    walk.click(panel.data.classes.button(1))
    walk.until(lambda: len(lesson.wanted.points.rows) == 2)
    lesson.set(learning_rate=0.2)  # the class that was chosen stays chosen
    walk.click_canvas(-0.5, -0.5)
    walk.click_canvas(-0.4, -0.6)
    walk.until(lambda: len(lesson.wanted.points.rows) == 4)
    walk.look("own-points")
    assert panel.progress.status.text() == split_words(lesson.session.data.counts)
    assert panel.progress.status.text().startswith("4 points: ")
    rows = np.array(lesson.wanted.points.rows)
    np.testing.assert_allclose(rows[:, :2], [[0.5, 0.5], [0.6, 0.2], [-0.5, -0.5], [-0.4, -0.6]], atol=0.01)
    assert rows[:, 2].tolist() == [0, 0, 1, 1]


@pytest.mark.window
def test_own_objects_with_the_mouse(walk):
    panel, viewer = walk.panel, walk.viewer
    panel.end()
    viewer.window.remove_dock_widget("all")
    labels = np.zeros((60, 100), int)
    for k in range(15):  # small ones at the left, large ones at the right
        y, x, side = 4 + 20 * (k // 5), 4 + 20 * (k % 5), 6 + 2 * (k % 5)
        labels[y : y + side, x : x + side] = k + 1
    where = {"scale": (0.5, 0.5), "units": ("um", "um")}
    viewer.add_image(np.random.default_rng(0).normal(labels > 0, 0.2), name="cells", **where)
    layer = viewer.add_labels(labels, name="cells labels", **where)
    viewer.reset_view()
    camera = getattr(viewer, "scene", viewer).camera
    before = (camera.center, camera.zoom, camera.orientation2d, viewer.layers.selection.active)

    panel = open_panel(viewer, ClassroomPanel, "Classroom")
    walk.panel = panel
    walk.until(lambda: panel.canvas.there)
    walk.qtbot.wait(100)
    panel.folds["points"].button.setChecked(True)
    panel.data.objects_fold.button.click()
    source = panel.data.objects
    walk.until(lambda: source.objects is not None)
    assert layer.visible
    walk.click(source.click_button)
    walk.qtbot.wait(200)
    for klass, numbers in ((0, (1, 6)), (1, (5, 10))):
        walk.click(source.class_buttons[klass])
        for number in numbers:
            y, x = layer.data_to_world(np.argwhere(labels == number).mean(0))
            walk.click_canvas(x, y, up=False)
    assert source.assigned == {(0, 1): 0, (0, 6): 0, (0, 5): 1, (0, 10): 1}
    walk.look("objects-given")
    panel.lesson.set(learning_rate=0.5, batch_size=1)
    walk.play()
    walk.look("objects-solved")
    predicted = viewer.layers["cells labels: predicted class"]
    assert set(np.unique(predicted.data[np.isin(labels, (1, 6, 11))])) == {1}
    assert set(np.unique(predicted.data[np.isin(labels, (5, 10, 15))])) == {2}

    panel.end()
    assert [x.name for x in viewer.layers] == ["cells", "cells labels", "cells labels: predicted class"]
    assert layer.visible
    assert (camera.center, camera.zoom, camera.orientation2d, viewer.layers.selection.active) == before
    np.testing.assert_array_equal(layer.data, labels)


def test_own_objects_make_room_for_the_lesson(walk):
    """An exercise, and drawing points, need the canvas; a net that learned other points says nothing of objects."""
    panel, viewer = walk.panel, walk.viewer
    labels = np.zeros((20, 60), int)
    for k in range(3):
        labels[2 : 8 + 3 * k, 20 * k + 2 : 20 * k + 10] = k + 1
    layer = viewer.add_labels(labels, name="cells labels")
    panel.folds["points"].button.setChecked(True)
    panel.data.objects_fold.button.click()
    source = panel.data.objects
    walk.until(lambda: source.objects is not None)
    panel.lesson.step()
    assert [x.name for x in viewer.layers if "class" in x.name] == []

    walk.choose("parabola")
    assert not panel.data.objects_fold.button.isChecked()
    assert panel.canvas.points.visible

    panel.data.objects_fold.button.click()
    for k in range(2):
        source.class_buttons[k].click()
        source.give(k)
    assert not layer.visible
    walk.click(panel.data.draw_button)
    assert panel.canvas.points.visible
    panel.end()
    assert layer.visible


def test_sets_have_shapes_and_no_colours(walk):
    """Blue and orange are classes, on the canvas and everywhere."""
    curves = walk.panel.curves
    assert [head.text().split(">")[1][0] for head in curves.heads.values()] == ["●", "■", "◆"]
    assert not any("color" in head.text() for head in curves.heads.values())
    pens = [curve.opts["pen"] for curve in curves.loss._curves.values()]
    assert len({pen.color().name() for pen in pens}) == 1
    assert len({pen.style() for pen in pens}) == len(pens)  # training, validation, and the dense network beside a CNN


def test_status_and_values_fit_320_px(walk):
    panel = walk.panel
    wide = panel.progress.status.fontMetrics().horizontalAdvance("epoch 100 of 1,000, 32,000 updates")
    assert wide <= 320 - 2 * 8
    assert panel.slow.figures.lineWrapMode() == panel.slow.figures.LineWrapMode.WidgetWidth
