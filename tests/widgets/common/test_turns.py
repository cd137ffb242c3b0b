from __future__ import annotations

import sys

import pytest

from napari_dojo.widgets.common.turns import SHORT, USUAL, short_turns


def test_turns_are_short_meanwhile_and_as_before_afterwards(monkeypatch):
    before = sys.getswitchinterval()
    with short_turns():
        assert sys.getswitchinterval() == pytest.approx(SHORT)
        with short_turns():
            assert sys.getswitchinterval() == pytest.approx(SHORT)
        assert sys.getswitchinterval() == pytest.approx(USUAL)  # two at a time: the last one out cannot know
    assert sys.getswitchinterval() == pytest.approx(before)
    with pytest.raises(ValueError, match="x"), short_turns():
        raise ValueError("x")
    assert sys.getswitchinterval() == pytest.approx(before)
