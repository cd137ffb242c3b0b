from __future__ import annotations

import threading
import time

import pytest

from napari_dojo.widgets.common.latest import Latest

pytestmark = pytest.mark.gui


def test_only_the_latest_result_is_emitted(qtbot):
    latest, told, gate = Latest(), [], threading.Event()
    latest.told.connect(told.append)
    latest.ask(lambda: gate.wait(60) and "first")
    latest.ask(lambda: "second")
    latest.ask(lambda x: f"third {x}", 3)
    assert latest.busy
    gate.set()
    qtbot.waitUntil(lambda: not latest.busy)
    assert told == ["third 3"]


def test_an_error_is_a_result(qtbot):
    latest, told = Latest(), []
    latest.told.connect(told.append)
    latest.ask(lambda: 1 / 0)
    qtbot.waitUntil(lambda: bool(told))
    assert isinstance(told[0], ZeroDivisionError)


def test_what_is_forgotten_is_not_emitted(qtbot):
    latest, told, gate = Latest(), [], threading.Event()
    latest.told.connect(told.append)
    latest.ask(lambda: gate.wait(60))
    latest.forget()
    gate.set()
    qtbot.waitUntil(lambda: not latest.busy)
    assert told == []
    latest.ask(lambda: "again")
    qtbot.waitUntil(lambda: told == ["again"])


def test_steps_are_emitted_and_nothing_is_a_place_to_stop(qtbot):
    latest, said, told = Latest(), [], []
    latest.stepped.connect(said.append)
    latest.told.connect(told.append)

    def steps():
        yield 1
        yield None
        yield 2
        return "end"

    latest.ask(steps)
    qtbot.waitUntil(lambda: told == ["end"])
    assert said == [1, 2]


def test_the_next_step_waits_until_the_window_has_painted(qtbot, monkeypatch):
    """It goes on while the window handles what was said, only where that takes very long."""
    monkeypatch.setattr("napari_dojo.widgets.common.latest.PATIENCE", 60.0)
    latest, order, told = Latest(), [], []
    latest.told.connect(told.append)
    latest.stepped.connect(lambda said: (time.sleep(0.02), order.append("shown")))

    def steps():
        yield 1
        order.append("next")

    latest.ask(steps)
    qtbot.waitUntil(lambda: bool(told))
    assert order == ["shown", "next"]


def test_what_was_overtaken_stops_at_its_next_step(qtbot):
    latest, gate, done, told = Latest(), threading.Event(), [], []
    latest.told.connect(told.append)

    def steps():
        gate.wait(60)
        yield None
        done.append("too late")

    latest.ask(steps)
    latest.ask(lambda: "second")
    gate.set()
    qtbot.waitUntil(lambda: told == ["second"])
    assert not done
