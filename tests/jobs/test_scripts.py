"""A training as a command and as Python: both are run, and give the same weights as the training itself."""

from __future__ import annotations

import shlex

import numpy as np
import pytest
import torch
from discs import discs
from forked import python

from napari_dojo.cli import main
from napari_dojo.events import Control, Done
from napari_dojo.io import images
from napari_dojo.io.datasets import read_dataset
from napari_dojo.jobs.runs import Run, run_folder
from napari_dojo.jobs.scripts import as_command, as_python, saved_data
from napari_dojo.jobs.train_requests import train_files_request, train_request
from napari_dojo.jobs.worker import events_of
from napari_dojo.models.bundle import load

SETTINGS = {"steps": 3, "batch": 2, "patch": 64, "width": 8, "depth": 2, "device": "cpu", "augment": False}


@pytest.fixture
def run(own_home):
    pictures, labels = discs()
    half = np.zeros(labels[0].shape, bool)
    half[:, :40] = True
    return Run.read(
        train_request(
            run_folder("cells"),
            "instances",
            pictures,
            labels,
            axes="YX",
            out=own_home / "models" / "cells",
            names=["a b", "a/b", "c"],
            roles=["training", "validation", "automatic"],
            regions=[half, None, None],
            settings=SETTINGS,
            options={"diameter": 12.0},
            pixel_size=(0.5, 0.5),
            unit="um",
            name="cells",
        )
    )


def weights(path):
    return torch.cat([p.flatten() for p in load(path).net.parameters()])


def test_files_hold_what_the_run_trains_on(run):
    given = saved_data(run)
    dataset, notes = read_dataset(given)
    assert len(notes) == 1
    assert "have no region" in notes[0]
    pictures, labels = discs()
    assert [i.name for i in dataset.samples] == ["a_b.tif", "a_b_2.tif", "c.tif"]
    assert [i.role for i in dataset.samples] == ["training", "validation", "automatic"]
    for sample, x, y in zip(dataset.samples, pictures, labels, strict=True):
        np.testing.assert_array_equal(sample.x[0], x)
        np.testing.assert_array_equal(sample.y, y)
    assert dataset.samples[0].region[:, :40].all()
    assert not dataset.samples[0].region[:, 40:].any()
    assert dataset.pixel_size == pytest.approx((0.5, 0.5))
    assert images.read(given.input + "/c.tif").unit == "um"


def test_both_copies_run_and_give_the_same_model(run, tmp_path):
    for event in events_of(run.folder, Control()):
        last = event
    assert isinstance(last, Done)
    again = run.model.with_name("cells-again")
    command = as_command(run, saved_data(run))
    assert "--diameter 12.0" in command
    assert "--no-augment" in command
    assert main(shlex.split(command)[1:]) == 0
    torch.testing.assert_close(weights(again), weights(run.model))
    again.rename(again.with_name("by-command"))
    script = as_python(run, saved_data(run))
    process = python("-c", script, errors=tmp_path / "errors.txt")
    said, _ = process.communicate(timeout=100)
    assert process.returncode == 0, (tmp_path / "errors.txt").read_text()
    assert "Done(" in said
    torch.testing.assert_close(weights(again), weights(run.model))


def test_files_are_named_as_they_are(tmp_path):
    from napari_dojo.io.datasets import DatasetFiles

    given = DatasetFiles("i", "t", "ZYX")
    run = Run.read(
        train_files_request(tmp_path / "run", "semantic", given, out=tmp_path / "m", options={"classes": ["a", "b"]})
    )
    assert saved_data(run) == given
    command = as_command(run, given)
    assert command.startswith("napari-dojo train semantic --input i --target t --axes ZYX --out")
    assert command.endswith("--classes a,b")
    assert "options = task.options(classes=('a', 'b'))" in as_python(run, given)
