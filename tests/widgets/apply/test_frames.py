from __future__ import annotations

import pytest
from bright import bright

from napari_dojo.data.normalize import Rule
from napari_dojo.widgets.apply.frames import FramesBox

pytestmark = pytest.mark.gui


def test_frames_are_chosen_only_where_there_are_several(qtbot):
    box = FramesBox()
    qtbot.addWidget(box)
    qtbot.addWidget(box.label)
    assert box.isHidden()
    box.show_for(bright().card, 5)
    assert not box.isHidden()
    assert box.chosen is None
    box.setCurrentIndex(1)
    assert box.chosen == "each"
    box.show_for(bright().card, 1)
    assert box.isHidden()
    assert box.chosen is None


def test_a_model_brings_its_own_choice(qtbot):
    box = FramesBox()
    qtbot.addWidget(box)
    qtbot.addWidget(box.label)
    box.show_for(bright(rule=Rule(frames="each")).card, 5)
    assert box.currentData() == "each"
    assert box.chosen is None
    box.setCurrentIndex(0)
    assert box.chosen == "whole"
