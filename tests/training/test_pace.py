from __future__ import annotations

import torch
from discs import discs

from napari_dojo.data.dataset import Dataset
from napari_dojo.device import Device
from napari_dojo.settings import TrainSettings
from napari_dojo.tasks import TASKS
from napari_dojo.training import pace
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


def test_a_fast_device_gets_larger_steps_and_a_slow_one_smaller(monkeypatch):
    found = setup(APPLE)
    plans = []
    for seconds in (1e-4, 10.0):
        monkeypatch.setattr(pace, "_seconds_per_step", lambda *args, took=seconds: took)
        plans.append(pace.timed_plan(found, APPLE))
    assert plans[0].batch > found.plan.batch > plans[1].batch
    assert plans[0].width > plans[1].width


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
