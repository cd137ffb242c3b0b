from __future__ import annotations

import pytest

from napari_dojo.widgets.common.closing import watch_window

pytestmark = pytest.mark.gui


def test_there_is_one_watch_for_a_window(viewer):
    assert watch_window(viewer) is watch_window(viewer)


def test_a_hidden_window_says_that_it_closes(viewer):
    said = []
    watch_window(viewer).closing.connect(lambda: said.append(True))
    viewer.close()
    assert said == [True]


def test_a_window_asks_before_it_closes(make_napari_viewer):
    viewer, said, answers = make_napari_viewer(show=True), [], [False, True]
    watch = watch_window(viewer)
    watch.closing.connect(lambda: said.append(True))
    watch.may_close.append(lambda: answers.pop(0))
    viewer.window._qt_window.close()
    assert said == []
    assert viewer.window._qt_window.isVisible()
    viewer.close()
    assert said == [True]


def test_hiding_is_no_closing(make_napari_viewer):
    viewer, said = make_napari_viewer(show=True), []
    watch_window(viewer).closing.connect(lambda: said.append(True))
    viewer.window._qt_window.hide()
    assert said == []
