from __future__ import annotations

import pytest
from qtpy.QtCore import Qt
from qtpy.QtGui import QFont, QFontMetrics
from qtpy.QtWidgets import QApplication, QComboBox, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_dojo.widgets.common.form import (
    NARROW,
    STEADY,
    Fold,
    NameBox,
    ProgressBar,
    brief,
    narrow,
    sentence,
    shortened,
)


@pytest.mark.gui
def test_a_fold_hides_and_shows(qtbot):
    body = QWidget()
    fold = Fold("Advanced", body)
    qtbot.addWidget(fold)
    assert body.isHidden()
    fold.button.click()
    assert not body.isHidden()


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
def test_a_progress_bar_is_painted_once_for_a_change_and_never_by_itself(qtbot, monkeypatch):
    """A bar without an end paints 24 times a second, and range, value and text paint one by one."""
    paints, plain = [], ProgressBar.paintEvent

    def painted(self, event):
        paints.append(self.text())
        plain(self, event)

    monkeypatch.setattr(ProgressBar, "paintEvent", painted)
    bar = ProgressBar()
    qtbot.addWidget(bar)
    bar.tell(0, 1, "Starting ...")
    with qtbot.waitExposed(bar):
        bar.show()
    qtbot.wait(50)
    assert paints
    assert set(paints) == {"Starting ..."}
    paints.clear()
    for done in (0, 3, 3, 9):
        bar.tell(done, 10, f"{done} of 10")
        QApplication.processEvents()
    assert paints == ["0 of 10", "3 of 10", "9 of 10"]
    qtbot.wait(120)
    assert len(paints) == 3


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


def test_a_long_name_in_a_sentence_loses_its_middle():
    assert brief("cells_1-retrained") == "cells_1-retrained"
    name = brief("07fb37aafa6626608af90c1e18f6a743f29b6b233d2e427d-retrained-2")
    assert name == "07fb37aafa66266…27d-retrained-2"


@pytest.mark.gui
@pytest.mark.parametrize("text", ["plain words", "<b>rich</b> words", "one line<br>another"])
def test_a_sentence_has_the_same_height_with_and_without_text(qtbot, text):
    holder = QWidget()
    holder.setStyleSheet("QLabel { font-size: 15pt }")  # as a theme does, later than the label is made
    label = sentence(lines=2)
    column = QVBoxLayout(holder)
    column.addWidget(label)
    column.addStretch(1)
    qtbot.addWidget(holder)
    holder.resize(320, 200)
    holder.show()
    before = label.height()
    label.setText(text)
    column.activate()
    assert label.height() == before >= 2 * label.fontMetrics().lineSpacing()


@pytest.mark.gui
@pytest.mark.parametrize(("kind", "own"), [(QComboBox, NARROW), (QPushButton, STEADY)])
def test_a_disabled_control_is_as_high_as_an_enabled_one(qtbot, kind, own):
    """In napari's theme disabled ones have a border, which is measured when the theme changes."""
    heights = []
    for enabled in (True, False):
        page = QWidget()
        page.setStyleSheet(
            "QComboBox { padding: 3px 10px 3px 8px; border-radius: 2px; } QPushButton { padding: 4px; border: 0px; } "
            "QComboBox:disabled, QPushButton:disabled { border: 1px solid; }"
        )
        inner = QWidget(page)
        inner.setStyleSheet(own)
        control = kind(inner)
        control.setEnabled(enabled)
        qtbot.addWidget(page)
        page.show()
        heights.append(control.sizeHint().height())
    assert heights[0] == heights[1]


@pytest.mark.gui
def test_a_short_name_still_differs_from_the_others(qapp):
    metrics = QFontMetrics(QFont())
    names = [f"cells_{k}_labels" for k in range(12)]
    room = metrics.horizontalAdvance("cells_labels")
    short = [shortened(name, names, metrics, room) for name in names]
    assert len(set(short)) == len(names)
    assert short[10].startswith("…10_")
    assert all(metrics.horizontalAdvance(name) <= room for name in short)
    assert shortened("cells", names, metrics, room) == "cells"
    assert shortened("plate_A1_of_monday", ["nuclei"], metrics, room) == metrics.elidedText(
        "plate_A1_of_monday", Qt.TextElideMode.ElideMiddle, room
    )


@pytest.mark.gui
@pytest.mark.parametrize("words", ['Added the layer "{}".', '<span style="color:#D55E00"><b>✗</b></span> {}: skipped'])
def test_a_long_name_is_broken_where_the_panel_ends(qtbot, words):
    name = "0bda515e370294ed94efd36bd53782288acacb040c171df2ed97fd691fc9d8fe_nuclei"
    label, short = sentence(words.format(name)), sentence(words.format("short"))
    qtbot.addWidget(label)
    assert label.text() == words.format(name)  # as it was set
    assert label.heightForWidth(200) > 2 * short.heightForWidth(200)
    label.setText(f'<a href="file:///data/{name}">{name}</a>')
    assert f'href="file:///data/{name}"' in QLabel.text(label)  # the link leads there
    assert "\u200b" in QLabel.text(label)
    path = "/data/an_experiment_with_a_long_name/of_a_certain_day"
    label.setText(path)
    assert QLabel.text(label).replace("\u200b", "") == path
