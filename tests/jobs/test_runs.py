"""The folders of jobs after a crash: who works on them, what is offered, what is swept away."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest
from discs import discs

from napari_dojo.inference.geometry import Image
from napari_dojo.io.images import Picture
from napari_dojo.jobs.claims import WORKER, claim, claimed, release
from napari_dojo.jobs.image_requests import predict_request
from napari_dojo.jobs.runs import SETTLED, Run, run_folder, sweep, unfinished
from napari_dojo.jobs.train_requests import TrainRequest, train_request
from napari_dojo.models.kept import KEPT
from napari_dojo.paths import runs_folder


def asked(name="cells", **settings):
    images, labels = discs()
    folder = run_folder(name)
    out = runs_folder().parent / "models" / name
    train_request(folder, "instances", images, labels, axes="YX", out=out, settings=settings)
    release(folder)
    return folder


def test_names_of_folders_are_new():
    first = run_folder("a")
    first.mkdir(parents=True)
    assert run_folder("a") != first
    assert first.parent == runs_folder()


def test_a_claim_holds_while_its_process_lives():
    folder = asked()
    assert not claimed(folder)
    claim(folder)
    assert claimed(folder)
    assert unfinished() == []
    release(folder)
    assert [run.folder for run in unfinished()] == [folder]
    claim(folder, WORKER)
    assert claimed(folder)


def test_a_claim_of_a_dead_process_is_void():
    folder = asked()
    code = "import sys; from pathlib import Path; from napari_dojo.jobs.claims import claim; claim(Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True)
    assert (folder / "owner.json").exists()
    assert not claimed(folder)


def test_a_number_that_another_process_got_is_no_claim():
    folder = asked()
    claim(folder)
    about = json.loads((folder / "owner.json").read_text())
    (folder / "owner.json").write_text(json.dumps({**about, "began": about["began"] - 1000}))
    assert about["pid"] == os.getpid()
    assert not claimed(folder)


def test_nothing_was_saved_yet():
    run = Run.read(asked(minutes=5))
    assert (run.card, run.share, run.model.name) == (None, 0.0, "cells")


def test_continuing_asks_for_more_minutes():
    run = Run.read(asked(steps=40, minutes=None))
    request = TrainRequest.read(run.again())
    assert (request.resume, request.settings.steps) == (True, 40)
    request = TrainRequest.read(run.again(7.5))
    assert (request.settings.minutes, request.settings.steps) == (7.5, None)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"kind": "train"}', '{"kind": "predict", "out": "x"}'])
def test_damaged_requests_are_no_runs(text):
    folder = run_folder("x")
    folder.mkdir(parents=True)
    (folder / "request.json").write_text(text)
    assert Run.read(folder) is None
    assert unfinished() == []


def test_predictions_of_the_dead_are_swept_away_and_trainings_stay(tmp_path):
    training = asked()
    given = [Image("a", Picture(x, "YX")) for x in discs()[0]]
    prediction = predict_request(run_folder("apply"), tmp_path, given)
    release(prediction)
    held = predict_request(run_folder("apply"), tmp_path, given)
    claim(held)
    sweep()
    assert (training.exists(), prediction.exists(), held.exists()) == (True, False, True)


def test_folders_that_were_cut_off_before_their_request_are_swept_away():
    old, new, held, draft = (runs_folder() / name for name in ("old", "new", "held", "draft"))
    for folder in (old, new, held, draft):
        folder.mkdir(parents=True)
    (draft / "draft.json").touch()
    claim(held)
    before = time.time() - SETTLED - 1
    for folder in (old, held, draft):
        os.utime(folder, (before, before))
    sweep()
    assert [folder.exists() for folder in (old, new, held, draft)] == [False, True, True, True]


def test_discard_and_keep():
    run = Run.read(asked())
    (run.model / "run").mkdir(parents=True)
    for name in ("state.pt", "settings.json", "preview-0.npy", ".state.pt.part", *KEPT):
        (run.model / "run" / name).touch()
    run.keep()
    assert not run.folder.exists()
    assert {p.name for p in (run.model / "run").iterdir()} == set(KEPT)
    run.discard()
    assert not run.model.exists()
