from __future__ import annotations

import pytest
from qtpy.QtWidgets import QWidget

from napari_dojo.settings import PredictSettings, TrainSettings, checked, fields_of
from napari_dojo.tasks import TASKS
from napari_dojo.widgets.common.form import Fold, Form, NameBox, narrow

CLASSES = [TrainSettings, PredictSettings, *(c for t in TASKS.values() for c in (t.options, t.decoding))]


@pytest.mark.gui
@pytest.mark.parametrize("cls", CLASSES, ids=lambda c: c.__name__)
def test_a_form_starts_with_the_defaults(qtbot, cls):
    form = Form(fields_of(cls))
    qtbot.addWidget(form)
    assert checked(cls, form.values()) == cls()


@pytest.mark.gui
def test_values_go_in_and_come_out(qtbot):
    form = Form(fields_of(TrainSettings))
    qtbot.addWidget(form)
    form.set_values({"steps": 7, "device": "cpu", "learning_rate": 0.01, "augment": False, "minutes": None, "other": 1})
    values = form.values()
    assert (values["steps"], values["device"], values["augment"], values["minutes"]) == (7, "cpu", False, None)
    assert values["learning_rate"] == pytest.approx(0.01)


@pytest.mark.gui
def test_every_field_is_named_and_explained(qtbot):
    for cls in CLASSES:
        form = Form(fields_of(cls))
        qtbot.addWidget(form)
        for field in fields_of(cls):
            editor = form.editor(field.name)
            assert editor.accessibleName() == field.option.label
            assert field.option.help in editor.toolTip()


@pytest.mark.gui
def test_a_change_is_said(qtbot):
    form = Form(fields_of(TrainSettings))
    qtbot.addWidget(form)
    with qtbot.waitSignal(form.changed, timeout=1000):
        form.editor("augment").click()


@pytest.mark.gui
def test_a_fold_hides_and_shows(qtbot):
    form = Form(fields_of(PredictSettings))
    fold = Fold("Advanced", form)
    qtbot.addWidget(fold)
    assert form.isHidden()
    fold.button.click()
    assert not form.isHidden()


@pytest.mark.gui
def test_whether_a_fold_is_open_is_remembered(qtbot):
    for first, then in ((False, True), (True, False)):
        fold = Fold("More", QWidget(), "a key")
        qtbot.addWidget(fold)
        assert fold.button.isChecked() == first
        assert fold.body.isHidden() != first
        fold.button.setChecked(then)
    fold = Fold("More", QWidget(), "another key", is_open=True)
    qtbot.addWidget(fold)
    assert not fold.body.isHidden()


@pytest.mark.gui
def test_long_names_can_be_told_apart(qtbot):
    box = NameBox()
    qtbot.addWidget(box)
    narrow(box)
    box.setPlaceholderText("nothing")
    box.addItems(["nuclei to train on", "nuclei to train on: labels", "short", "short"])
    box.resize(110, 24)
    seen = []
    for i in range(-1, 4):
        box.setCurrentIndex(i)
        seen.append(box.grab().toImage())
    assert seen[1] != seen[2]
    assert seen[3] == seen[4]
    assert seen[0] != seen[3]
