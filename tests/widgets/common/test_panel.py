"""What the panels share."""

from __future__ import annotations

import pytest
from qtpy.QtWidgets import QLabel, QLineEdit

from napari_dojo.widgets.common.form import form_layout
from napari_dojo.widgets.common.panel import Panel

pytestmark = pytest.mark.gui


@pytest.fixture
def made(qtbot, viewer):
    panel = Panel(viewer)
    qtbot.addWidget(panel)
    yield panel
    panel.end()


def test_labels_of_forms_give_way_in_a_narrow_panel(qtbot, made):
    """Also after they were laid out: Qt remembers how wide a label would like to be, with the minimum that it had."""
    label, field, form = QLabel("Where"), QLineEdit(), form_layout()
    field.setMinimumWidth(220)
    form.addRow(label, field)
    form.addRow(QLabel("Much longer than that"), QLineEdit())
    made.column.addLayout(form)
    made.resize(400, 300)
    made.show()
    made.align()
    assert label.sizeHint().width() == 110
    for width in (335, 320):  # as a person drags its edge
        made.resize(width, 300)
    assert label.minimumWidth() == 64
    assert label.sizeHint().width() < 110
    made.resize(400, 300)
    assert label.sizeHint().width() == 110


def test_a_part_is_scrolled_into_sight(qtbot, made):
    parts = [QLabel("part") for _ in range(3)]
    for part in parts:
        part.setFixedHeight(200)
        made.column.addWidget(part)
    made.resize(340, 300)
    made.show()
    qtbot.waitExposed(made)
    assert parts[2].visibleRegion().isEmpty()
    made.reveal(parts[2])
    assert parts[2].visibleRegion().boundingRect().height() == 200
    made.reveal(parts[1])  # no more than needed
    assert parts[1].visibleRegion().boundingRect().height() == 200
