from __future__ import annotations

import threading
import time

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
    qtbot.waitUntil(lambda: told == ["end"], timeout=5000)
    assert said == [1, 2]


def test_the_next_step_waits_until_the_window_has_painted(qtbot):
    """It goes on while the window handles what was said, only where that takes very long."""
    latest, order, told = Latest(), [], []
    latest.told.connect(told.append)
    latest.stepped.connect(lambda said: (time.sleep(0.02), order.append("shown")))

    def steps():
        yield 1
        order.append("next")

    latest.ask(steps)
    qtbot.waitUntil(lambda: bool(told), timeout=5000)
    assert order == ["shown", "next"]


def test_what_was_overtaken_stops_at_its_next_step(qtbot):
    latest, gate, done, told = Latest(), threading.Event(), [], []
    latest.told.connect(told.append)

    def steps():
        gate.wait(5)
        yield None
        done.append("too late")

    latest.ask(steps)
    latest.ask(lambda: "second")
    gate.set()
    qtbot.waitUntil(lambda: told == ["second"], timeout=5000)
    assert not done
