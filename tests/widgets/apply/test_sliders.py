from __future__ import annotations

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractSpinBox, QDoubleSpinBox, QSlider

from napari_dojo.settings import fields_of
from napari_dojo.tasks import TASKS
from napari_dojo.widgets.apply.sliders import Sliders, size_words

pytestmark = pytest.mark.gui

FIELDS = fields_of(TASKS["instances"].decoding)
VALUES = {"threshold": 0.45, "split": 0.2, "minimum_area": 10.5}


@pytest.fixture
def sliders(qtbot):
    made = Sliders()
    qtbot.addWidget(made)
    made.show_fields(FIELDS, VALUES)
    return made


def test_values_that_were_not_moved_are_exact(sliders):
    assert sliders.slider("threshold").value == VALUES["threshold"]
    assert {**sliders.values(), "minimum_area": 10.5} == VALUES
    sliders.slider("minimum_area").value = 20
    assert sliders.values() == {**VALUES, "minimum_area": 20.0}
    assert isinstance(sliders.values()["minimum_area"], float)


def test_a_size_is_one_number(sliders):
    """At least 10.5 px are at least 11 px: the slider shows 11, its value is 11, and no other number stands beside it."""
    made = sliders.slider("minimum_area")
    assert made.value == 11
    assert sliders.values()["minimum_area"] == 11
    sliders.set_pixel_size((0.5, 0.5))
    assert "px" not in sliders._words["minimum_area"].text()


def test_showing_says_nothing_and_moving_does(qtbot, sliders):
    with qtbot.assertNotEmitted(sliders.changed):
        sliders.show_fields(FIELDS, {**VALUES, "split": 0.5})
        sliders.set_pixel_size((0.5, 0.5))
    with qtbot.waitSignal(sliders.changed):
        sliders.slider("threshold").value = 0.7
    assert sliders.values()["threshold"] == pytest.approx(0.7)


def test_the_range_follows_the_value(sliders):
    assert (sliders.slider("minimum_area").min, sliders.slider("minimum_area").max) == (0, 200)
    sliders.show_fields(FIELDS, {**VALUES, "minimum_area": 300.0})
    assert sliders.slider("minimum_area").max == 1200
    assert sliders.slider("threshold").max == pytest.approx(0.99)


def test_sizes_are_said_in_micrometres_where_they_are_known(sliders):
    words = sliders._words["minimum_area"]
    assert words.text() == ""
    sliders.set_pixel_size((0.5, 0.5))
    assert words.text() == "2.75 µm², 1.9 µm across"
    sliders.slider("minimum_area").value = 100
    assert words.text() == "25 µm², 5.6 µm across"
    sliders.set_pixel_size(None)
    assert words.text() == ""
    assert words.isHidden()


def test_sizes_of_discs_and_balls():
    assert size_words(100, (1, 1)) == "100 µm², 11 µm across"
    assert size_words(1000, (0.5, 0.2, 0.2)) == "20 µm³, 3.4 µm across"


def test_another_task_has_other_sliders(sliders):
    other = fields_of(TASKS["semantic"].decoding)
    sliders.show_fields(other, {"minimum_area": 0.0})
    assert list(sliders.values()) == ["minimum_area"]


def test_every_slider_has_a_name_and_a_tip(sliders):
    for field in FIELDS:
        native = sliders.slider(field.name).native
        for part in (native, *native.findChildren(QSlider), *native.findChildren(QAbstractSpinBox)):
            assert (part.accessibleName(), part.toolTip()) == (field.option.label, field.option.help)


def test_the_number_beside_a_slider_can_be_typed(qtbot, sliders):
    number = sliders.slider("threshold").native.findChild(QDoubleSpinBox)
    number.selectAll()
    with qtbot.waitSignal(sliders.changed):
        qtbot.keyClicks(number, "0.83")
        qtbot.keyClick(number, Qt.Key.Key_Return)
    assert sliders.values()["threshold"] == 0.83


def test_keys_move_a_slider_by_hundredths_and_by_tenths(qtbot, sliders):
    bar = sliders.slider("threshold").native.findChild(QSlider)
    for key, value in ((Qt.Key.Key_Right, 0.46), (Qt.Key.Key_PageUp, 0.56), (Qt.Key.Key_Left, 0.55)):
        qtbot.keyClick(bar, key)
        assert sliders.values()["threshold"] == value
