"""The child process: events, stop, pause, kill, and nothing left behind."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from discs import discs

from napari_dojo.events import Done, Event, Failed, Said, Step
from napari_dojo.jobs import Job, predict_request, train_request

SETTINGS = {"steps": 3, "batch": 2, "patch": 64, "width": 8, "depth": 2, "device": "cpu"}


def train_folder(tmp_path: Path, **settings: Any) -> Path:
    """A run folder that asks for a tiny training."""
    images, labels = discs()
    return train_request(
        tmp_path / "run", "instances", images, labels, axes="YX", out=tmp_path / "m", settings={**SETTINGS, **settings}
    )


def wait(job: Job, until: Callable[[list[Event]], bool], seconds: float = 60) -> list[Event]:
    """Events until something holds, or the job has finished."""
    said: list[Event] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        said += job.events()
        if until(said) or job.finished:
            return said
        time.sleep(0.02)
    raise AssertionError(f"nothing came in {seconds} s; so far {said[-3:]}")


@pytest.fixture(autouse=True)
def closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every job of a test is ended after it."""
    jobs: list[Job] = []
    start = Job.start

    def noted(job: Job) -> None:
        jobs.append(job)
        start(job)

    monkeypatch.setattr(Job, "start", noted)
    yield
    for job in jobs:
        job.close()


def stepped(said: list[Event]) -> bool:
    """Whether a step was made."""
    return any(isinstance(e, Step) for e in said)


def never(said: list[Event]) -> bool:
    """Wait for the end."""
    return False


def test_a_training_and_a_prediction_end_with_done(tmp_path: Path) -> None:
    job = Job(train_folder(tmp_path))
    job.start()
    said = wait(job, never)
    assert isinstance(said[-1], Done)
    image = discs(seed=5)[0][0]
    folder = predict_request(tmp_path / "apply", tmp_path / "m", [image], axes=["YX"], names=["a"])
    job = Job(folder)
    job.start()
    done = wait(job, never)[-1]
    assert isinstance(done, Done)
    result = done.facts["results"][0]
    labels, maps = np.load(folder / result["labels"]), np.load(folder / result["maps"])
    assert labels.shape == (96, 96)
    from napari_dojo.card import read_card
    from napari_dojo.tasks import TASKS, decoding_of, options_of

    card = read_card(tmp_path / "m")
    again = TASKS[card.task].decode(maps[0], decoding_of(card), options_of(card))
    assert (again == labels).all()
    job.close()
    assert not job.alive


def test_stop_keeps_a_model_and_pause_holds_it(tmp_path: Path) -> None:
    job = Job(train_folder(tmp_path, steps=100_000))
    job.start()
    wait(job, stepped)
    job.pause()
    time.sleep(0.5)
    job.events()
    time.sleep(0.5)
    assert not stepped(job.events())
    job.go_on()
    wait(job, stepped)
    asked = time.monotonic()
    job.stop()
    assert isinstance(wait(job, never)[-1], Done)
    assert time.monotonic() - asked < 10  # 2 s is promised where the machine has nothing else to do
    assert (tmp_path / "m" / "rdf.yaml").exists()


def test_closing_ends_the_child(tmp_path: Path) -> None:
    job = Job(train_folder(tmp_path, steps=100_000))
    job.start()
    wait(job, stepped)
    job.close()
    assert not job.alive


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_killed_job_goes_on_once_with_half_the_batch(tmp_path: Path) -> None:
    job = Job(train_folder(tmp_path, steps=40))
    job.start()
    wait(job, lambda said: (tmp_path / "m/run/state.pt").exists())
    assert job._process is not None
    os.kill(job._process.pid, signal.SIGKILL)
    said = wait(job, never)
    assert any(isinstance(e, Said) and "half the batch" in e.text for e in said)
    assert isinstance(said[-1], Done)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_job_killed_before_anything_was_saved_says_so(tmp_path: Path) -> None:
    job = Job(train_folder(tmp_path, steps=100_000))
    job.start()
    assert job._process is not None
    os.kill(job._process.pid, signal.SIGKILL)
    last = wait(job, never)[-1]
    assert isinstance(last, Failed)
    assert "memory" in last.sentence


def test_what_cannot_be_done_is_one_sentence(tmp_path: Path) -> None:
    images, labels = discs()
    empty = [np.zeros_like(y) for y in labels]
    job = Job(train_request(tmp_path / "run", "instances", images, empty, axes="YX", out=tmp_path / "m"))
    job.start()
    last = wait(job, never)[-1]
    assert isinstance(last, Failed)
    assert "No object is labelled" in last.sentence
    assert (tmp_path / "run" / "errors.txt").read_text() == ""
