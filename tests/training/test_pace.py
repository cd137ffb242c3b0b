from __future__ import annotations

import gc
import weakref
from contextlib import nullcontext

import pytest
import torch
from discs import discs

from napari_dojo.data.dataset import Dataset
from napari_dojo.device import Device
from napari_dojo.settings import TrainSettings
from napari_dojo.tasks import TASKS
from napari_dojo.training import pace
from napari_dojo.training.plan import ENOUGH, SET_UP
from napari_dojo.training.prepare import prepare

CPU = Device("cpu", "CPU", 8 * 10**9, 1)
APPLE = Device("mps", "Apple GPU", 8 * 10**9, 4)


def setup(device, **more):
    images, labels = discs()
    settings = TrainSettings(**{"minutes": 1.0, "patch": 32, "depth": 2, **more})
    return prepare(Dataset.of(images, labels), TASKS["instances"], TASKS["instances"].options(), settings, device)


def test_a_cpu_keeps_its_plan(monkeypatch):
    monkeypatch.setattr(pace, "_seconds_per_step", lambda *args: 1 / 0)
    found = setup(CPU)
    assert pace.timed_plan(found, CPU) == found.plan


def test_what_a_person_chose_is_kept(monkeypatch):
    monkeypatch.setattr(pace, "_seconds_per_step", lambda *args: 1 / 0)
    for chosen in ({"batch": 3}, {"width": 8}, {"minutes": None, "steps": 10}):
        found = setup(APPLE, **chosen)
        assert pace.timed_plan(found, APPLE) == found.plan


def takes(monkeypatch, plan, fixed, each):
    """Let a step take so many seconds, and so many more in proportion to its work; the work of those that are timed."""
    timed = []

    def seconds(setup, found, device):
        timed.append(found.batch * found.width**1.8 / (plan.batch * plan.width**1.8))
        return fixed + each * timed[-1]

    monkeypatch.setattr(pace, "_seconds_per_step", seconds)
    return timed


def test_a_fast_device_gets_larger_steps_and_a_slow_one_smaller(monkeypatch):
    found = setup(APPLE)
    plans = []
    for seconds in (1e-4, 10.0):
        takes(monkeypatch, found.plan, 0.0, seconds)
        plans.append(pace.timed_plan(found, APPLE))
    assert plans[0].batch > found.plan.batch > plans[1].batch
    assert plans[0].width > plans[1].width


def test_steps_that_are_mostly_starts_of_their_parts_become_larger_than_their_time_says(monkeypatch):
    found = setup(APPLE)
    timed = takes(monkeypatch, found.plan, 0.004, 0.0005)
    plan = pace.timed_plan(found, APPLE)
    assert timed == pytest.approx([1, 2, 2 * 1.5**1.8, 4 * 1.5**1.8])
    assert plan.batch * plan.width**1.8 / (found.plan.batch * found.plan.width**1.8) == timed[-1]
    assert plan.steps == int(0.8 * (60 - SET_UP) / (0.004 + 0.0005 * timed[-1])) >= ENOUGH


def test_a_larger_step_that_does_not_fit_into_memory_leaves_the_one_before(monkeypatch):
    found = setup(APPLE)

    def seconds(setup, plan, device):
        if plan.batch * plan.width > found.plan.batch * found.plan.width:
            raise torch.OutOfMemoryError("out of memory")
        return 1e-4

    monkeypatch.setattr(pace, "_seconds_per_step", seconds)
    assert pace.timed_plan(found, APPLE) == found.plan


def test_steps_that_do_not_fit_into_memory_become_the_smallest(monkeypatch):
    def full(*args):
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(pace, "_seconds_per_step", full)
    found = setup(APPLE)
    assert pace.timed_plan(found, APPLE).batch < found.plan.batch


def test_the_bare_step_is_timed(monkeypatch):
    monkeypatch.setattr(pace, "prepare", lambda device: torch.device("cpu"))
    found = setup(APPLE, batch=1)
    assert 0 < pace._seconds_per_step(found, found.plan, APPLE) < 5


def test_what_a_recorded_step_reads_and_writes_lives_as_long_as_it(monkeypatch):
    class Stream:
        def wait_stream(self, other):
            pass

    class Graph:
        replayed = 0

        def replay(self):
            self.replayed += 1

    graph = Graph()
    for name, fake in {
        "Stream": Stream,
        "stream": lambda stream: nullcontext(),
        "current_stream": Stream,
        "CUDAGraph": lambda: graph,
    }.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    monkeypatch.setattr(pace, "recording", lambda graph: nullcontext())

    def made():
        weights = torch.zeros(3)
        return pace.recorded(lambda: weights.add_(1)), weakref.ref(weights)

    run, weights = made()
    gc.collect()
    assert weights() is not None
    assert weights().tolist() == [4.0] * 3  # three steps that warm up, and the one that is recorded
    run()
    assert graph.replayed == 1
