from __future__ import annotations

import threading

import pytest

from napari_dojo.widgets.common.latest import Latest

pytestmark = pytest.mark.gui


def test_only_the_latest_result_is_emitted(qtbot):
    latest, told, gate = Latest(), [], threading.Event()
    latest.told.connect(told.append)
    latest.ask(lambda: gate.wait(5) and "first")
    latest.ask(lambda: "second")
    latest.ask(lambda x: f"third {x}", 3)
    assert latest.busy
    gate.set()
    qtbot.waitUntil(lambda: not latest.busy, timeout=5000)
    assert told == ["third 3"]


def test_an_error_is_a_result(qtbot):
    latest, told = Latest(), []
    latest.told.connect(told.append)
    latest.ask(lambda: 1 / 0)
    qtbot.waitUntil(lambda: bool(told), timeout=5000)
    assert isinstance(told[0], ZeroDivisionError)


def test_what_is_forgotten_is_not_emitted(qtbot):
    latest, told, gate = Latest(), [], threading.Event()
    latest.told.connect(told.append)
    latest.ask(lambda: gate.wait(5))
    latest.forget()
    gate.set()
    qtbot.waitUntil(lambda: not latest.busy, timeout=5000)
    assert told == []
    latest.ask(lambda: "again")
    qtbot.waitUntil(lambda: told == ["again"], timeout=5000)
