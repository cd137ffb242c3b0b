from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import pytest
from magicgui.widgets.bases import ValueWidget
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDoubleSpinBox, QLineEdit, QSlider

from napari_dojo.playground.settings import Learning, NetShape, PointSet
from napari_dojo.settings import Option, PredictSettings, TrainSettings, checked, fields_of
from napari_dojo.tasks import TASKS
from napari_dojo.widgets.common.options import Form, NumberEdit, field_widget, slider

pytestmark = pytest.mark.gui
CLASSES = [TrainSettings, PredictSettings, *(c for t in TASKS.values() for c in (t.options, t.decoding))]


@dataclass(frozen=True)
class Odd:
    share: Annotated[float | None, Option("Share", "A share.", 0, 0.9)] = None
    size: Annotated[float | None, Option("Size", "A size.", 1, 100, "px")] = None
    count: Annotated[int, Option("Count", "A count.", 2, 8, "planes")] = 3
    patch: Annotated[int, Option("Patch", "An edge; 0 lets the plan decide.", 0, 64, "px")] = 0
    rate: Annotated[float, Option("Rate", "A rate.", 0, 1)] = 0.0025
    how: Annotated[Literal["a", "b"], Option("How", "A way.", words=("the first", "the second"))] = "b"
    names: Annotated[tuple[str, ...], Option("Names", "Some names.")] = ()
    title: Annotated[str | None, Option("Title", "A title.")] = None
    on: Annotated[bool, Option("On", "A switch.")] = True


@pytest.fixture
def form(qtbot):
    made = Form(fields_of(Odd))
    qtbot.addWidget(made)
    return made


@pytest.mark.parametrize("cls", [*CLASSES, PointSet, NetShape, Learning, Odd], ids=lambda c: c.__name__)
def test_a_form_starts_with_the_defaults(qtbot, cls):
    fields = [
        f for f in fields_of(cls) if f.name not in ("hidden", "learning_rate", "l1", "l2")
    ]  # have their own boxes
    form = Form(fields)
    qtbot.addWidget(form)
    assert checked(cls, form.values()) == cls()


def test_values_go_in_and_come_out(form):
    values = {
        "share": 0.0, "size": 1.5, "count": 7, "patch": 32, "rate": 0.0001,
        "how": "a", "names": ("one", "two"), "title": "x", "on": False,
    }  # fmt: skip
    form.set_values({**values, "other": 1})
    assert form.values() == values
    assert isinstance(form.values()["count"], int)
    form.set_values({"share": None, "size": None, "title": None})
    assert [form.values()[k] for k in ("share", "size", "title")] == [None] * 3


def test_values_out_of_range_become_the_nearest(form):
    form.set_values({"share": 7, "size": 0.2, "count": 1, "how": "c"})
    assert [form.values()[k] for k in ("share", "size", "count", "how")] == [0.9, 1.0, 2, "a"]


def test_below_the_range_there_is_only_automatic(qtbot, form):
    spin = form.editor("size")
    form.set_values({"size": 1.0})
    assert spin.text() == "1.00 px"
    spin.stepDown()
    assert (spin.text(), form.values()["size"]) == ("automatic", None)
    spin.setValue(0.5)
    assert (spin.text(), form.values()["size"]) == ("automatic", None)
    spin.stepUp()
    assert form.values()["size"] == 1.0


def test_numbers_have_units_steps_and_words(form):
    count, patch, rate = (form.editor(name) for name in ("count", "patch", "rate"))
    assert (count.text(), count.minimum(), count.maximum(), count.singleStep()) == ("3 planes", 2, 8, 1)
    assert patch.text() == "automatic"
    patch.stepUp()
    assert patch.text() == "1 px"
    assert (rate.text(), rate.singleStep()) == ("0.0025", 0.05)


def test_choices_are_shown_in_words(form):
    box = form.editor("how")
    assert [box.itemText(k) for k in range(box.count())] == ["the first", "the second"]
    box.setCurrentIndex(0)
    assert form.values()["how"] == "a"


def test_a_choice_that_is_left_open_has_one_word_for_it(qtbot):
    form = Form([f for f in fields_of(PredictSettings) if f.name == "frames"])
    qtbot.addWidget(form)
    box = form.editor("frames")
    words = ["the whole series", "each frame by itself"]
    assert [box.itemText(k) for k in range(box.count())] == ["automatic", *words]
    assert form.values() == {"frames": None}
    form.show_automatic({"frames": "each"})
    assert [box.itemText(k) for k in range(box.count())] == [f"automatic ({words[1]})", *words]
    form.set_values({"frames": "whole"})
    assert (box.currentText(), form.values()) == (words[0], {"frames": "whole"})
    form.set_values({"frames": None})
    assert form.values() == {"frames": None}


@pytest.mark.parametrize("cls", CLASSES, ids=lambda c: c.__name__)
def test_every_field_is_named_explained_and_labelled(qtbot, cls):
    form = Form(fields_of(cls))
    qtbot.addWidget(form)
    for field in fields_of(cls):
        editor, label = form.editor(field.name), form.label(field.name)
        assert isinstance(field_widget(field), ValueWidget)
        assert editor.accessibleName() == label.text() == field.option.label
        assert field.option.help in editor.toolTip()
        assert label.buddy() is editor
        if field.option.unit and isinstance(editor, QDoubleSpinBox):
            assert editor.suffix() == f" {field.option.unit}"


def test_changes_are_emitted_and_shown_values_are_not(qtbot, form):
    with qtbot.assertNotEmitted(form.changed):
        form.set_values({"on": False, "count": 5, "how": "a", "names": ("x",)})
    for name, change in (
        ("on", lambda w: w.click()),
        ("count", lambda w: w.stepUp()),
        ("how", lambda w: w.setCurrentIndex(1)),
        ("names", lambda w: qtbot.keyClick(w, Qt.Key.Key_Return)),
    ):
        with qtbot.waitSignal(form.changed):
            change(form.editor(name))


def test_a_text_counts_when_it_is_complete(qtbot, form):
    line = form.editor("names")
    assert isinstance(line, QLineEdit)
    with qtbot.assertNotEmitted(form.changed):
        qtbot.keyClicks(line, "DAPI, tubulin ,")
    assert form.values()["names"] == ("DAPI", "tubulin")


def test_a_row_is_hidden_with_its_label(form):
    form.show_row("count", False)
    assert form.editor("count").isHidden()
    assert form.label("count").isHidden()
    assert not form.editor("size").isHidden()


def test_a_large_whole_number_fits(qtbot):
    edit = NumberEdit(min=0, max=2**31 - 1, step=1, value=2**31 - 1, whole=True)
    qtbot.addWidget(edit.native)
    assert edit.value == 2**31 - 1


def test_sliders_of_whole_and_of_other_numbers(qtbot):
    whole, other = slider("N", "A number.", 0, 200, 1), slider("T", "A threshold.", 0.01, 0.99, 0.01)
    for made in (whole, other):
        qtbot.addWidget(made.native)
    whole.value, other.value = 12, 0.57
    assert whole.value == 12
    assert other.value == pytest.approx(0.57, abs=1e-5)
    qtbot.keyClick(other.native.findChild(QSlider), Qt.Key.Key_Right)
    assert other.value == pytest.approx(0.58, abs=1e-5)
