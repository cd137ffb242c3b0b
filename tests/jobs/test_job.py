"""The child process: events, stop, pause, kill, and nothing left behind."""

from __future__ import annotations

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
from forked import forked_jobs  # noqa: F401 : a fixture
from held import held_but
from waiting import never, quiet, wait

from napari_dojo.data.normalize import Normalization
from napari_dojo.errors import DojoError
from napari_dojo.events import Control, Done, Event, Failed, Message, Progress, Skipped, Step, Written
from napari_dojo.inference.geometry import Image
from napari_dojo.inference.sinks import RunSink, Stored
from napari_dojo.inference.tiff_sink import TiffSink
from napari_dojo.io import images
from napari_dojo.io.images import Picture
from napari_dojo.jobs.image_requests import predict_files_request, predict_request
from napari_dojo.jobs.job import Job
from napari_dojo.jobs.train_requests import train_request
from napari_dojo.jobs.worker import events_of

pytestmark = pytest.mark.usefixtures("forked_jobs")

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


@pytest.mark.fresh
def test_a_training_and_a_prediction_end_with_done(tmp_path: Path) -> None:
    job = Job(train_folder(tmp_path))
    job.start()
    said = wait(job, never)
    assert isinstance(said[-1], Done)
    image = discs(seed=5)[0][0]
    folder = predict_request(tmp_path / "apply", tmp_path / "m", [named("a", image)])
    job = Job(folder)
    job.start()
    done = wait(job, never)[-1]
    assert isinstance(done, Done)
    result = Stored(**done.facts["results"][0])
    labels, maps = np.load(folder / str(result.prediction)), np.load(folder / str(result.maps))
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
    quiet(job)
    job.resume()
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
def test_a_killed_job_continues_once_with_half_the_batch_size(tmp_path: Path) -> None:
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

    monkeypatch.setattr("napari_dojo.jobs.requests.np.save", full)
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=100))
    raw, labels = discs()
    with pytest.raises(DojoError, match=r"^The disk of \S*run is full \(0 MB free, about .* MB needed\)\. Free"):
        train_request(tmp_path / "run", "instances", raw, labels, axes="YX", out=tmp_path / "m")
    with pytest.raises(DojoError, match="Free space there, or choose another folder"):
        predict_request(tmp_path / "run", tmp_path, [named("a", x) for x in raw])
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def any_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever model a request names, it is the one of `bright`; such jobs run in this process."""
    monkeypatch.setattr("napari_dojo.models.bundle.load", lambda path: bright())


def named(name: str, array: Any, axes: str = "YX", numbers: Normalization | None = None) -> Image:
    """An image as the window hands it over."""
    return Image(name, Picture(array, None), axes, numbers)


def run_here(folder: Path, control: Control | None = None) -> list[Event]:
    """What the child would say."""
    return list(events_of(folder, control or Control()))


def results(done: Event) -> list[Stored]:
    """Where the predictions lie."""
    assert isinstance(done, Done)
    return [Stored(**r) for r in done.facts["results"]]


def test_several_images_one_of_them_unfit(tmp_path: Path, any_model: None) -> None:
    given = [
        named("one", squares(1)),
        named("colours", np.stack([squares(1)] * 3), "CYX"),
        named("three", squares(3)),
        named("series", np.stack([squares(1), squares(2)]), "TYX"),
    ]
    folder = predict_request(tmp_path, tmp_path, given)
    said = run_here(folder)
    done, found = said[-1], results(said[-1])
    assert isinstance(done, Done)
    assert [(r.index, r.name, r.axes) for r in found] == [(0, "one", "YX"), (2, "three", "YX"), (3, "series", "TYX")]
    assert [np.load(folder / str(r.prediction)).max() for r in found] == [1, 3, 2]
    assert [np.load(folder / str(r.maps)).shape for r in found] == [(1, 2, 48, 52)] * 2 + [(2, 2, 48, 52)]
    assert done.facts["skipped"][0].startswith("colours has 3 channels, and the model takes one")
    assert [e.sentence for e in said if isinstance(e, Skipped)] == done.facts["skipped"]
    assert (done.facts["images"], done.facts["stopped"]) == (4, False)
    told = [(e.done, e.total) for e in said if isinstance(e, Progress)]
    assert told[-1] == (400, 400)
    assert told == sorted(told)


def test_numbers_and_decoding_of_a_request_are_used(tmp_path: Path, any_model: None) -> None:
    x = squares(2)
    given = [named("a", x, numbers=Normalization((0.0,), (10_000.0,))), named("b", x)]
    found = results(run_here(predict_request(tmp_path / "a", tmp_path, given, maps=False))[-1])
    assert [np.load(tmp_path / "a" / str(r.prediction)).max() for r in found] == [0, 2]
    assert [r.maps for r in found] == [None, None]
    asked = predict_request(tmp_path / "b", tmp_path, given, decoding={"minimum_area": 65.0}, maps=False)
    assert [np.load(tmp_path / "b" / str(r.prediction)).max() for r in results(run_here(asked)[-1])] == [0, 0]


def test_stopping_keeps_the_images_that_are_done(
    tmp_path: Path, any_model: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    held_but(monkeypatch, "a")
    folder = predict_request(tmp_path, tmp_path, [named(name, squares(1)) for name in "abc"])
    control, last = Control(), None
    for event in events_of(folder, control):
        last = event
        control.stop |= isinstance(event, Written)
    assert isinstance(last, Done)
    assert [r.name for r in results(last)] == ["a"]
    assert last.facts["stopped"]
    assert run_here(folder, Control(stop=True))[-1] == Failed("Stopped before any image was done.")


def test_large_maps_are_not_kept(tmp_path: Path, any_model: None, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = named("a", squares(1))
    found = results(run_here(predict_request(tmp_path / "kept", tmp_path, [wanted]))[-1])
    assert (found[0].maps, found[0].lacking) == ("maps-0.npy", None)
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=2 * 4 * squares(1).size))
    found = results(run_here(predict_request(tmp_path, tmp_path, [wanted]))[-1])
    assert (found[0].maps, found[0].lacking) == (None, "disk")
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=4 * squares(1).size, total=2**34))
    assert RunSink(tmp_path).lacks((1, 1, *squares(1).shape)) == "memory"
    assert RunSink(tmp_path, maps=False).lacks((1, 1, *squares(1).shape)) is None
    assert not list(tmp_path.glob("maps*"))


def test_files_are_done_in_the_job(tmp_path: Path, any_model: None) -> None:
    for k in range(2):
        images.write(tmp_path / "in" / f"{k}.tif", squares(k + 1), "YX", (0.5, 0.5), "um")
    files = TiffSink(tuple(sorted((tmp_path / "in").iterdir())), tmp_path / "out", tables=True)
    folder = predict_files_request(tmp_path / "run", tmp_path, files, decoding={"minimum_area": 3.0})
    done = run_here(folder)[-1]
    assert isinstance(done, Done)
    assert done.result == str(tmp_path / "out")
    assert [Path(str(r.prediction)).name for r in results(done)] == ["0.tif", "1.tif"]
    assert [images.read(str(r.prediction)).data.max() for r in results(done)] == [1, 2]
    assert results(done)[1].table == str(tmp_path / "out" / "1.csv")
    assert (tmp_path / "out" / "1.csv").exists()
