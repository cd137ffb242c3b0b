"""Exercises on images in the Classroom: chosen, drawn, read, moved, trained, left again."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QStyleOptionComboBox

from napari_dojo.playground.exercise import load
from napari_dojo.playground.image_session import ImageSession
from napari_dojo.widgets.classroom.image_canvas import DRAWING, SEEN, TITLES
from napari_dojo.widgets.classroom.image_lesson import ImageLesson

pytestmark = pytest.mark.gui

SMALL = {"training": 60, "validation": 20, "test": 20, "epochs": 2, "kernels": (3,), "hidden": (5,)}


@pytest.fixture
def page(qtbot, classroom):
    """The exercise on digits, small."""
    box = classroom.exercise.box
    box.setCurrentIndex(box.findData("digits"))
    box.activated.emit(box.currentIndex())
    qtbot.wait(20)
    page = classroom.images
    assert page.lesson.set(**SMALL)
    qtbot.wait(20)
    return page


def drawn(page):
    """A vertical bar in the square for drawings, painted as the brush does."""
    layer = page.canvas.layers[DRAWING]
    for y in range(8, 40):
        layer.paint((y, 24), 1)
    return layer


def test_it_takes_the_place_of_the_points_and_gives_it_back(qtbot, viewer, classroom, page):
    assert (classroom.points.isHidden(), page.isHidden()) == (True, False)
    assert not classroom.canvas.points.visible
    assert page.canvas.layers[SEEN].visible
    page.exercise.box.setCurrentIndex(page.exercise.box.findData("spiral"))
    page.exercise.box.activated.emit(page.exercise.box.currentIndex())
    qtbot.wait(20)
    assert (classroom.points.isHidden(), page.isHidden()) == (False, True)
    assert classroom.lesson.exercise.name == "spiral"
    assert classroom.exercise.box.currentData() == "spiral"
    assert classroom.canvas.points.visible
    assert not page.canvas.layers[SEEN].visible
    classroom.end()
    assert len(viewer.layers) == 0


def test_kinds_of_pooling_are_not_cut_off_at_320_px(qtbot, page):
    page.setFixedWidth(320 - 6 - 16)  # less margins and the scroll bar
    page.layout().activate()
    qtbot.wait(50)
    box, option = page.forms[0].editor("pooling"), QStyleOptionComboBox()
    box.initStyleOption(option)
    field = box.style().subControlRect(box.style().CC_ComboBox, option, box.style().SC_ComboBoxEditField, box)
    widest = max(box.fontMetrics().horizontalAdvance(box.itemText(k)) for k in range(box.count()))
    assert widest <= field.width()
    assert page.forms[1].editor("shifts").width() >= 56


def test_layers_are_image_kernels_and_maps_and_follow_the_network(qtbot, page):
    shapes = {name: layer.data.shape for name, layer in page.canvas.layers.items() if name != TITLES}
    assert shapes == {
        SEEN: (12, 12),
        "Kernels 1": (3, 11),
        "Feature maps 1": (12, 38),
        "Pooled 1": (6, 20),
        DRAWING: (48, 48),
    }
    kernel = page.lesson.session.net.cnn.convolutions[0].kernels[0, 0]
    np.testing.assert_array_equal(page.canvas.layers["Kernels 1"].data[:, :3], kernel)
    page.lesson.set(kernels=(2, 4), pooling="global")
    qtbot.wait(20)
    assert {"Kernels 1", "Feature maps 2", "Largest 2"} <= set(page.canvas.layers)
    assert "Pooled 1" not in page.canvas.layers


def test_a_stroke_is_read_by_both_networks(qtbot, page):
    page.reading.draw_button.click()
    assert page.canvas.layers[DRAWING].mode == "paint"
    assert "Draw a digit" in page.reading.said.text()
    drawn(page)
    qtbot.waitUntil(lambda: page.lesson.cnn is not None)
    lesson = page.lesson
    assert lesson.known is None
    np.testing.assert_allclose(lesson.image[2:10, 5:7], 1, atol=0.6)
    cnn, dense = lesson.session.read(lesson.image)
    np.testing.assert_array_equal(lesson.cnn, cnn)
    np.testing.assert_array_equal(lesson.dense, dense)
    assert f"<b>{cnn.argmax()}</b>" in page.reading.said.text()


def test_the_digit_moves_by_whole_pixels_and_comes_back(page):
    lesson, reading = page.lesson, page.reading
    before = lesson.image
    reading.move_buttons["right"].click()
    np.testing.assert_array_equal(lesson.image, np.roll(before, 1, 1))
    for _ in range(5):
        reading.move_buttons["up"].click()
    assert lesson.shift == (-2, 1)
    reading.centre_button.click()
    np.testing.assert_array_equal(lesson.image, before)
    reading.next_button.click()
    assert lesson.number == 1
    assert not np.array_equal(lesson.image, before)
    assert f"true: <b>{lesson.known}</b>" in reading.said.text()


def test_what_is_read_and_the_heads_of_the_scores_are_whole_in_a_narrow_panel(qtbot, page):
    page.resize(296, 700)
    page.show()
    said = page.reading.said
    qtbot.waitUntil(lambda: page.lesson.known is not None and bool(said.text()))
    assert said.sizeHint().width() <= said.width()
    assert said.sizeHint().height() <= said.height()
    for part, head in page.curves.heads.items():
        assert head.sizeHint().width() <= head.width(), part


def test_cells_are_read_and_named(qtbot, page):
    page.lesson.choose("cells")
    page.lesson.set(**SMALL)
    qtbot.wait(20)
    assert page.canvas.layers[SEEN].data.shape == (16, 16)
    assert [b.text() for b in (page.reading.draw_button, page.reading.next_button)] == ["Draw a cell", "Next cell"]
    names = page.lesson.content.classes
    assert f"true: <b>{names[page.lesson.known]}</b>" in page.reading.said.text()
    page.reading.draw_button.click()
    drawn(page)
    qtbot.waitUntil(lambda: page.lesson.cnn is not None)
    assert f"<b>{names[int(page.lesson.cnn.argmax())]}</b>" in page.reading.said.text()
    page.lesson.choose("digits")
    qtbot.wait(20)
    assert (page.lesson.image.shape, page.reading.draw_button.text()) == ((12, 12), "Draw a digit")


def test_it_trains_and_shows_the_scores_of_both(qtbot, classroom, page):
    page.play.slider.setValue(page.play.slider.maximum())
    qtbot.keyClick(classroom, Qt.Key.Key_Space)
    qtbot.waitUntil(lambda: page.lesson.session.epochs == 2 and not page.player.playing)
    last = page.lesson.session.history[-1]
    assert page.networks.cells["CNN", "accuracy"].text() == f"{100 * last.validation.accuracy:.1f} %"
    assert page.networks.cells["dense", "shifted by 1 px"].text() == f"{100 * last.dense_shifted.accuracy:.1f} %"
    assert page.curves.cells["dense", "value"].text() == f"{100 * last.dense.accuracy:.1f} %"
    assert "9·3+3" in page.networks.sums.text()
    assert "Finished 2 epochs" in page.progress.message.text()
    page.lesson.reveal()
    assert page.lesson.session.looks == 1


def test_figures_are_not_cut_in_a_narrow_panel(qtbot, page):
    page.setFixedWidth(325)
    qtbot.waitUntil(lambda: page.curves.width() <= 325)
    for kind, text in (("loss", "1.471"), ("value", "28.0 %")):
        for part in ("training", "validation", "dense"):
            cell = page.curves.cells[part, kind]
            assert cell.contentsRect().width() >= cell.fontMetrics().horizontalAdvance(text)


def test_a_lost_layer_is_said_and_restored(qtbot, viewer, page):
    viewer.layers.remove(page.canvas.layers["Kernels 1"])
    qtbot.waitUntil(lambda: "was removed" in page.progress.message.text())
    page.play.play_button.click()
    assert page.canvas.layers["Kernels 1"] in viewer.layers
    page.player.pause()


def test_a_shared_exercise_opens_on_its_page(classroom, page):
    page.exercise.copy(True, "Ada")
    page.lesson.choose("line")
    assert page.isHidden()
    classroom.exercise.paste()
    assert not page.isHidden()
    assert page.lesson.session.net.shape.kernels == (3,)


def test_the_solution_is_applied():
    lesson = ImageLesson()
    lesson.solve()
    assert lesson.wanted == load("digits").solution
    assert isinstance(lesson.session, ImageSession)
    assert not lesson.met
