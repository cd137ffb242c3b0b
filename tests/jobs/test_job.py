"""The child process: events, stop, pause, kill, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from bright import bright, squares
from discs import discs
from waiting import never, wait

from napari_dojo.data.normalize import Normalization
from napari_dojo.errors import DojoError
from napari_dojo.events import Control, Done, Event, Failed, Message, Progress, Step
from napari_dojo.inference.apply import Files
from napari_dojo.io import images
from napari_dojo.jobs.job import KINDS, Job, predict_files_request, predict_request, train_request

SETTINGS = {"steps": 3, "batch": 2, "patch": 64, "width": 8, "depth": 2, "device": "cpu"}


def train_folder(tmp_path: Path, **settings: Any) -> Path:
    """A run folder that asks for a tiny training."""
    raw, labels = discs()
    return train_request(
        tmp_path / "run", "instances", raw, labels, axes="YX", out=tmp_path / "m", settings={**SETTINGS, **settings}
    )


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
    labels, maps = np.load(folder / result["answer"]), np.load(folder / result["maps"])
    assert labels.shape == (96, 96)
    from napari_dojo.models.card import decoding_of, options_of, read_card
    from napari_dojo.tasks import TASKS

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
    assert any(isinstance(e, Message) and "half the batch" in e.text for e in said)
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
    raw, labels = discs()
    empty = [np.zeros_like(y) for y in labels]
    job = Job(train_request(tmp_path / "run", "instances", raw, empty, axes="YX", out=tmp_path / "m"))
    job.start()
    last = wait(job, never)[-1]
    assert isinstance(last, Failed)
    assert "No object is labelled" in last.sentence
    assert (tmp_path / "run" / "errors.txt").read_text() == ""


def test_a_request_that_finds_the_disk_full_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: Any, array: Any) -> None:
        raise OSError("65536 requested and 47040 written")  # numpy's word for it

    monkeypatch.setattr("napari_dojo.jobs.job.np.save", full)
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=100))
    raw, labels = discs()
    with pytest.raises(DojoError, match=r"input-0.npy needs about .* MB, but the disk of .* is full"):
        train_request(tmp_path / "run", "instances", raw, labels, axes="YX", out=tmp_path / "m")
    with pytest.raises(DojoError, match="Make room there"):
        predict_request(tmp_path / "run", tmp_path, raw, axes=["YX"] * 3, names=["a"] * 3)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def any_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever model a request names, it is the one of `bright`; such jobs run in this process."""
    monkeypatch.setattr("napari_dojo.models.bundle.load", lambda path: bright())


def run_here(folder: Path, control: Control | None = None) -> list[Event]:
    """What the child would say."""
    request = json.loads((folder / "request.json").read_text())
    return list(KINDS[request["kind"]](request, folder, control or Control()))


def test_several_images_one_of_them_unfit(tmp_path: Path, any_model: None) -> None:
    arrays = [squares(1), np.stack([squares(1)] * 3), squares(3), np.stack([squares(1), squares(2)])]
    names = ["one", "colours", "three", "series"]
    folder = predict_request(tmp_path, tmp_path, arrays, axes=["YX", "CYX", "YX", "TYX"], names=names)
    said = run_here(folder)
    done = said[-1]
    assert isinstance(done, Done)
    assert [r["name"] for r in done.facts["results"]] == ["one", "three", "series"]
    assert [r["index"] for r in done.facts["results"]] == [0, 2, 3]
    assert [np.load(folder / r["answer"]).max() for r in done.facts["results"]] == [1, 3, 2]
    assert [np.load(folder / r["maps"]).shape for r in done.facts["results"]] == [(1, 2, 48, 52)] * 2 + [(2, 2, 48, 52)]
    assert done.facts["skipped"][0].startswith("colours: The model bright needs 1 channel")
    assert (done.facts["images"], done.facts["stopped"]) == (4, False)
    told = [(e.done, e.total) for e in said if isinstance(e, Progress)]
    assert told[-1] == (400, 400)
    assert told == sorted(told)


def test_numbers_and_decoding_of_a_request_are_used(tmp_path: Path, any_model: None) -> None:
    x = squares(2)
    dim = Normalization((0.0,), (10_000.0,))
    ask = {"axes": ["YX", "YX"], "names": ["a", "b"], "keep_maps": False}
    done = run_here(predict_request(tmp_path / "a", tmp_path, [x, x], norms=[dim, None], **ask))[-1]
    assert isinstance(done, Done)
    assert [np.load(tmp_path / "a" / r["answer"]).max() for r in done.facts["results"]] == [0, 2]
    assert [r["maps"] for r in done.facts["results"]] == [None, None]
    done = run_here(predict_request(tmp_path / "b", tmp_path, [x, x], decoding={"smallest": 65.0}, **ask))[-1]
    assert isinstance(done, Done)
    assert [np.load(tmp_path / "b" / r["answer"]).max() for r in done.facts["results"]] == [0, 0]


def test_stopping_keeps_the_images_that_are_done(tmp_path: Path, any_model: None) -> None:
    folder = predict_request(tmp_path, tmp_path, [squares(1)] * 3, axes=["YX"] * 3, names=list("abc"))
    control, last = Control(), None
    request = json.loads((folder / "request.json").read_text())
    for event in KINDS["predict"](request, folder, control):
        last = event
        control.stop = isinstance(event, Progress) and event.done > 100
    assert isinstance(last, Done)
    assert [r["name"] for r in last.facts["results"]] == ["a"]
    assert last.facts["stopped"]
    assert run_here(folder, Control(stop=True))[-1] == Failed("Stopped: nothing was changed.")


def test_large_maps_are_not_kept(tmp_path: Path, any_model: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_dojo.jobs.job._room_for_maps", lambda *_: False)
    done = run_here(predict_request(tmp_path, tmp_path, [squares(1)], axes=["YX"], names=["a"]))[-1]
    assert isinstance(done, Done)
    assert done.facts["results"][0]["maps"] is None
    assert not list(tmp_path.glob("maps*"))


def test_files_are_done_in_the_job(tmp_path: Path, any_model: None) -> None:
    for k in range(2):
        images.write(tmp_path / "in" / f"{k}.tif", squares(k + 1), "YX", (0.5, 0.5), "um")
    files = Files(tuple(sorted((tmp_path / "in").iterdir())), tmp_path / "out", tables=True)
    folder = predict_files_request(tmp_path / "run", tmp_path, files, decoding={"smallest": 3.0})
    done = run_here(folder)[-1]
    assert isinstance(done, Done)
    assert done.result == str(tmp_path / "out")
    assert [Path(p).name for p in done.facts["written"]] == ["0.tif", "1.tif"]
    assert [images.read(p).data.max() for p in done.facts["written"]] == [1, 2]
    assert (tmp_path / "out" / "1.csv").exists()
