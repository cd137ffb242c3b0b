"""A disk that is full at each write in turn, and files that cannot grow beyond a size: see `torture`."""

from __future__ import annotations

import builtins
import errno
import io
import os
import resource
import shutil
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from _torture_inputs import judged
from _torture_kills import Autosave, Layer, Prediction, Training, scene

from napari_dojo.errors import DojoError, explained
from napari_dojo.events import Control, Failed
from napari_dojo.inference.apply import apply
from napari_dojo.inference.geometry import Image
from napari_dojo.inference.predict import Ready, predict
from napari_dojo.inference.sources import FileSource
from napari_dojo.inference.tiff_sink import TiffSink
from napari_dojo.io.images import Picture
from napari_dojo.jobs.autosave import Draft, Row, Work, drafts
from napari_dojo.jobs.image_requests import predict_request
from napari_dojo.jobs.train_requests import train_request
from napari_dojo.jobs.worker import events_of
from napari_dojo.models import library
from napari_dojo.models.bundle import load
from napari_dojo.paths import models_folder
from napari_dojo.settings import TrainSettings
from napari_dojo.training.train import Target, train_steps

SIZES = (0, 100, 1000, 3000, 10_000, 30_000, 100_000)  # bytes that a file may have
BRIEF = TrainSettings(steps=2, width=4, depth=2, batch=1, patch=16, device="cpu")


@contextmanager
def full_from(n: int) -> Iterator[list[str]]:
    """From the ``n``-th write on the disk is full; the list fills with the files that were written."""
    seen: list[str] = []
    opened, replaced, made = builtins.open, os.replace, os.mkdir

    def count(path: object) -> None:
        if not isinstance(path, (str, os.PathLike)) or str(path).startswith(("/dev", "/proc")):
            return
        seen.append(str(path))
        if len(seen) >= n:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    def open_(file: Any, mode: str = "r", *args: Any, **more: Any) -> Any:
        if set(mode) & set("wax+"):
            count(file)
        return opened(file, mode, *args, **more)

    def replace_(a: Any, b: Any, **more: Any) -> None:
        count(b)
        replaced(a, b, **more)

    def mkdir_(path: Any, *args: Any, **more: Any) -> None:
        count(path)
        made(path, *args, **more)

    try:
        builtins.open = io.open = open_  # type: ignore[assignment]
        os.replace, os.mkdir = replace_, mkdir_
        yield seen
    finally:
        builtins.open = io.open = opened  # type: ignore[misc]
        os.replace, os.mkdir = replaced, made


def trained(place: Path, good: Path) -> tuple[Callable[[], object], Callable[[], str]]:
    """A training that replaces a model."""
    out = place / "model"
    shutil.copytree(good, out)
    data = Training(place, False).data

    def work() -> None:
        for _ in train_steps(data, "instances", Target(out, overwrite=True), BRIEF):
            pass

    return work, lambda: _valid(out)


def job(place: Path, good: Path) -> tuple[Callable[[], object], Callable[[], str]]:
    """The window's requests and jobs: a training and a prediction."""
    out, (x, y) = place / "model", scene(0)

    def work() -> None:
        train_request(place / "run-1", "instances", [x], [y], axes="YX", out=out, settings={**vars(BRIEF)})
        predict_request(place / "run-2", good, [Image("cells", Picture(x, "YX"))])
        for run in ("run-1", "run-2"):
            for event in events_of(place / run, Control()):
                if isinstance(event, Failed):
                    raise DojoError(event.sentence)

    return work, lambda: _valid(out) if (out / "rdf.yaml").exists() else ""


def predicted(place: Path, good: Path) -> tuple[Callable[[], object], Callable[[], str]]:
    """A folder that is predicted once more."""
    done = Prediction(place)
    done.predict()

    def work() -> None:
        sink = TiffSink(done.inputs, done.out, overwrite=True, tables=True)
        for _ in apply(Ready.of(done.bundle), [FileSource(p) for p in done.inputs], sink):
            pass

    def look() -> str:
        there = {p.name for p in done.out.iterdir()}
        wrong = there ^ {p.with_suffix(end).name for p in done.inputs for end in (".tif", ".csv")}
        return done.verdict() or (f"too much or too little: {wrong}" if wrong else "")

    return work, look


def exported(place: Path, good: Path) -> tuple[Callable[[], object], Callable[[], str]]:
    """A model that is packed, and imported."""

    def work() -> None:
        library.import_model(library.export(good, place / "model.zip"), "taken")

    def look() -> str:
        left = [p for p in models_folder().glob("*") if p.name != "taken"]
        there = [p for p in (place / "model.zip", models_folder() / "taken") if p.exists()]
        said = next((bad for p in there if (bad := _valid(p))), "") or (f"left behind: {left}" if left else "")
        shutil.rmtree(models_folder(), ignore_errors=True)
        return said

    return work, look


def painted(place: Path, good: Path) -> tuple[Callable[[], object], Callable[[], str]]:
    """Labels that are kept a second time."""
    for old in drafts():
        old.discard()
    draft, kept = Draft.new(), Autosave()

    def put(k: int) -> None:
        labels = Layer("labels", "mine", np.full((200, 200), k, np.int32), {}, version=k)
        image = Layer("image", "cells", scene(0)[0], {})
        draft.write(Work("cells", (Row(("i",), "l", None, "automatic"),), {"k": k}, {"i": image, "l": labels}))

    put(1)

    def look() -> str:
        draft.release()
        return kept.verdict() or ("" if kept.painted else "the draft is gone")

    return lambda: put(2), look


WORKS = {"training": trained, "jobs": job, "predicting": predicted, "export and import": exported, "autosave": painted}


def run(folder: Path, talk: bool = True, only: str = "", most: int = 10_000) -> dict[str, Any]:
    """All works, with each of their writes failing; figures, with what was broken."""
    from _torture_hostile import model

    good = model(folder / "good")
    facts: dict[str, Any] = {"writes": 0, "sizes": 0, "broken": []}
    for name, make in WORKS.items():
        if only not in name:
            continue
        for n in range(1, most):
            place = folder / f"{name}-{n}"
            place.mkdir()
            work, look = make(place, good)
            with full_from(n) as seen:
                said = outcome_of(work)
            reached = len(seen) >= n
            _note(facts, f"{name}, write {n} ({Path(seen[-1]).name if seen else ''})", said, look, reached, talk)
            shutil.rmtree(place, ignore_errors=True)
            if not reached:
                facts[name] = n - 1
                facts["writes"] += n - 1
                break
        for size in SIZES[: most // 4]:
            place = folder / f"{name}-of-{size}"
            place.mkdir()
            work, look = make(place, good)
            said = _limited(work, size)
            _note(facts, f"{name}, files of {size} bytes", said, look, False, talk)
            facts["sizes"] += 1
            shutil.rmtree(place, ignore_errors=True)
    return facts


def _note(facts: dict[str, Any], what: str, said: str, look: Callable[[], str], reached: bool, talk: bool) -> None:
    try:
        bad = look()
    except Exception as e:
        bad = repr(e)
    if said.startswith("BROKEN") or bad or not (reached or said == "done" or "bytes" in what):
        facts["broken"].append(f"{what}: {bad} {said}")
    if talk:
        print(f"{what}: {said} {bad}", flush=True)


def outcome_of(work: Callable[[], object]) -> str:
    try:
        work()
    except DojoError as e:
        return judged(str(e))
    except OSError as e:  # as the command line and a job say it
        return judged(explained(e)) if e.errno in (errno.ENOSPC, errno.EFBIG) else "BROKEN: " + traceback.format_exc()
    except Exception:
        return "BROKEN: " + traceback.format_exc()
    return "done"


def _limited(work: Callable[[], object], size: int) -> str:
    """The outcome in a process whose files cannot grow beyond a size."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        os.write(writing, outcome_of(work).encode()[-3000:])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        found = pipe.read()
    status = os.waitpid(child, 0)[1]
    return found or f"BROKEN: the process ended with {status}"


def _valid(path: Path) -> str:
    predict(load(path), scene(9)[0])
    return ""
