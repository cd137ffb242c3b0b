"""What results can be saved as."""

from __future__ import annotations

import pytest
from pytestqt.qtbot import QtBot

from napari_dojo.data.kinds import CATEGORY, CLASSES, IMAGE, LABELS, Kind
from napari_dojo.widgets.apply.export import ExportButton

pytestmark = pytest.mark.gui


@pytest.mark.parametrize(
    ("kind", "offered"),
    [
        (LABELS, [".csv", ".tif", ".zip"]),
        (CLASSES, [".csv", ".tif", ".zip"]),
        (IMAGE, [".tif"]),
        (CATEGORY, [".tif"]),  # one class for the whole image: nothing to measure, no outline
    ],
)
def test_a_table_and_outlines_are_offered_for_what_has_them(qtbot: QtBot, kind: Kind, offered: list[str]) -> None:
    button = ExportButton()
    qtbot.addWidget(button)
    chosen = []
    button.chosen.connect(lambda export: chosen.append(export.suffix))
    button.offer(kind)
    for action in button.menu().actions():
        if action.isVisible():
            action.trigger()
    assert chosen == offered
