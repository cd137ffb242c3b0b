"""Every task from end to end, through every seam: what the check shows is what training does, and every way gives the same.

check -> Setup (equal to the panel's) -> two steps -> saved, loaded -> predicted from a file, an array and a layer (equal)
-> evaluated -> Copy as command and as Python, both executed (the same weights).
"""

from __future__ import annotations

import csv
import json
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from given import target_of
from napari.layers import Image, Labels
from scipy.ndimage import gaussian_filter

from napari_dojo.cli import main
from napari_dojo.device import choose
from napari_dojo.events import Control, Done, Started
from napari_dojo.inference.predict import predict
from napari_dojo.io import images
from napari_dojo.jobs.image_requests import predict_request
from napari_dojo.jobs.runs import Run, run_folder
from napari_dojo.jobs.scripts import as_command, as_python, saved_data
from napari_dojo.jobs.worker import events_of
from napari_dojo.models.bundle import load
from napari_dojo.settings import PredictSettings, TrainSettings
from napari_dojo.tasks import TASKS
from napari_dojo.training.prepare import Setup, prepare

pytestmark = pytest.mark.gui  # layers of napari

SETTINGS = {"steps": 2, "batch": 2, "patch": 16, "width": 4, "depth": 2, "device": "cpu", "augment": False}
SIZE = {2: (48, 64), 3: (8, 24, 32)}


def discs(dims: int, seed: int) -> np.ndarray:
    """Labels of discs or balls, int32 (*S)."""
    rng, size = np.random.default_rng(seed), SIZE[dims]
    y = np.zeros(size, np.int32)
    for k in range(6):
        centre = [rng.uniform(3, n - 3) for n in size]
        y[sum((g - c) ** 2 for g, c in zip(np.indices(size), centre, strict=True)) < 25] = k + 1
    return y


@dataclass(frozen=True)
class Case:
    """Training data of a task: axes, options, inputs and targets as they lie."""

    task: str
    axes: str
    inputs: list[np.ndarray]
    targets: list[np.ndarray] | None
    options: dict[str, Any]
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def settings(self) -> dict[str, Any]:
        """Those of a short training, and of this case."""
        return SETTINGS | self.more


def case(task: str, axes: str, **options: Any) -> Case:
    """Three images with what the task takes as targets."""
    dims, inputs, targets = len(axes.replace("C", "").replace("T", "")), [], []
    for seed in range(3):
        y = discs(dims, seed)
        clean = gaussian_filter(100.0 * (y > 0) + 20, 1).astype(np.float32)
        noisy = np.random.default_rng(seed).normal(clean, 8).clip(0).astype(np.uint16)
        inputs.append(np.stack([noisy, noisy // 2]) if axes.startswith("C") else noisy)
        targets.append(target_of(task, y, clean, **options))
    return Case(task, axes, inputs, None if TASKS[task].target is None else targets, options)


def series(task: str, **options: Any) -> Case:
    """The same images as the frames of two series."""
    given = case(task, "YX")
    stacks = [np.stack(given.inputs), np.stack(given.inputs[::-1])]
    targets = None if given.targets is None else [np.stack(given.targets), np.stack(given.targets[::-1])]
    return Case(task, "TYX", stacks, targets, options)


def alone(axes: str, **options: Any) -> Case:
    """Super-resolution from images alone."""
    given = case("upscale", axes)
    return Case("upscale", axes, given.inputs, None, options)


def classes(axes: str, colours: bool = False, **more: Any) -> Case:
    """Images of two classes, which are files in a folder of each."""
    inputs, targets = [], []
    for seed in range(10):
        y = discs(len(axes.replace("C", "")), seed)
        bright = np.random.default_rng(seed).normal(60.0 * (y > 0) * (1 + seed % 2) + 20, 4).clip(0).astype(np.uint8)
        inputs.append(np.stack([bright, bright // 2, bright], -1) if colours else bright)
        targets.append(np.asarray(seed % 2))
    return Case("classify", axes, inputs, targets, {}, more)


DENSE = [name for name, task in TASKS.items() if task.result.dense]
CASES = {
    "classify-2d": classes("YX"),
    "classify-3d": classes("ZYX", validation=0.2),  # without a cross-validation
    "classify-colour": classes("YXC", colours=True, validation=0.2),
    **{f"{name}-2d": case(name, "YX") for name in DENSE},
    **{f"{name}-3d": case(name, "ZYX") for name in DENSE},
    "instances-channels": case("instances", "CYX"),
    "denoise-squared": case("denoise", "YX", loss="squared", register=True),
    "denoise-series": series("denoise", context=1),
    "instances-series": series("instances"),
    "noise2void-lines": case("noise2void", "YX", lines="x"),
    "translate-channels": case("translate", "CYX"),
    "upscale-alone": alone("YX", factor=4),
    "upscale-along-z": alone("ZYX", along="Z", factor=2),
}


def layer(array: np.ndarray, name: str, labels: bool = False) -> Any:
    return Labels(array, name=name) if labels else Image(array, name=name, rgb=False)


def training_data(given: Case, folder: Path) -> Any:
    """What the Train panel trains on: rows of layers, or a folder with a folder of each class."""
    from napari_dojo.io.datasets import DatasetFiles
    from napari_dojo.widgets.common.training_data import Files, Layers
    from napari_dojo.widgets.train.pair_rows import Row

    task = TASKS[given.task]
    if not task.result.dense:
        assert given.targets is not None
        for i, (x, y) in enumerate(zip(given.inputs, given.targets, strict=True)):
            images.write(folder / ("bad", "gut, größer")[int(y)] / f"{i}.tif", x, given.axes)
        return Files(DatasetFiles(str(folder), axes=given.axes))
    layout, rows = task.layout(task.options(**given.options)), []
    for i, x in enumerate(given.inputs):
        target = None
        if given.targets is not None:
            target = layer(given.targets[i], f"target {i}", task.target is not None and task.target.kind.drawn)
        rows.append(Row((layer(x, f"image {i}"),), target))
    return Layers(tuple(rows), given.axes, layout)


def same_setup(a: Setup, b: Setup) -> None:
    assert a.plan == b.plan
    assert a.split == b.split
    assert (a.summary.options, a.summary.maps, a.summary.hints) == (b.summary.options, b.summary.maps, b.summary.hints)
    assert [(f.level, f.text) for f in a.findings] == [(f.level, f.text) for f in b.findings]
    assert (a.dataset.spatial, a.dataset.channels) == (b.dataset.spatial, b.dataset.channels)
    for x, y in zip(a.dataset.samples, b.dataset.samples, strict=True):
        np.testing.assert_array_equal(x.x, y.x)


def weights(path: Path) -> torch.Tensor:
    return torch.cat([p.flatten() for p in load(path).net.parameters()])


def test_every_task_is_here() -> None:
    assert {given.task for given in CASES.values()} == set(TASKS)


@pytest.mark.parametrize("name", CASES)
def test_from_end_to_end(name: str, own_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from napari_dojo.training.start import NONE
    from napari_dojo.widgets.train.check import Asked, look_at

    given, device = CASES[name], choose("cpu")
    task, data = TASKS[given.task], training_data(CASES[name], tmp_path / "classes")
    seen = look_at(Asked(task, data, given.options, given.settings, NONE, device)).setup
    assert seen is not None

    folder = data.request(
        run_folder("model"), task, out=own_home / "models" / "model", options=given.options, settings=given.settings
    )
    run = Run.read(folder)
    assert run is not None
    dataset, _ = run.request.dataset(folder, task.layout(task.options(**given.options)))
    same_setup(seen, prepare(dataset, task, task.options(**given.options), TrainSettings(**given.settings), device))

    events = list(events_of(folder, Control()))
    started = next(e for e in events if isinstance(e, Started))
    assert seen.plan is not None
    assert (started.plan["patch"], started.plan["batch"]) == (seen.plan.patch, seen.plan.batch)
    assert isinstance(events[-1], Done)
    bundle = load(run.model)
    assert bundle.card.maps == seen.summary.maps

    files = saved_data(run)
    by_file = predicted_from_file(run.model, Path(files.input), tmp_path / "out", given)
    x = given.inputs[0]
    by_array = predict(bundle, x, given.axes)
    by_layer = predicted_from_layer(bundle, run.model, x, given.axes)
    np.testing.assert_array_equal(by_array, by_layer)
    np.testing.assert_allclose(np.asarray(by_array, np.float64), by_file, atol=1e-4)

    if given.targets is not None:
        evaluated(run.model, files, capsys)
    copies_give_the_same_model(run, files)


def predicted_from_file(model: Path, folder: Path, out: Path, given: Case) -> np.ndarray:
    assert main(["predict", str(model), str(folder), "--axes", given.axes, "--out", str(out)]) == 0
    if not TASKS[given.task].result.dense:
        rows = list(csv.DictReader((out / "classes.csv").read_text(encoding="utf-8").splitlines()))
        assert [Path(row["file"]).name for row in rows] == [f"{i}.tif" for i in (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)]
        assert all(abs(sum(float(v) for k, v in row.items() if k.startswith("p_")) - 1) < 1e-4 for row in rows)
        return np.array([1 + (rows[0]["class"] != "bad")])
    first = sorted(out.glob("*.tif"))[0]
    return np.asarray(images.read(first).data, np.float64)


def predicted_from_layer(bundle: Any, model: Path, x: np.ndarray, axes: str) -> np.ndarray:
    from napari_dojo.widgets.common.inputs import Asked

    asked = Asked.of(layer(x, "image 0"), axes, bundle.card)
    folder = predict_request(run_folder("apply"), model, [asked.request(bundle.card)], PredictSettings(), {})
    done = list(events_of(folder, Control()))[-1]
    assert isinstance(done, Done)
    return np.load(folder / done.facts["results"][0]["prediction"])


def evaluated(model: Path, files: Any, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    argv = ["evaluate", str(model), "--input", files.input, "--axes", files.axes, "--json"]
    argv += ["--target", files.target] if files.target else []
    assert main(argv) == 0
    scores = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert scores["images"] >= 3
    assert scores["baseline"]


def copies_give_the_same_model(run: Run, files: Any) -> None:
    again = run.model.with_name("model-again")
    assert main(shlex.split(as_command(run, files))[1:]) == 0
    torch.testing.assert_close(weights(again), weights(run.model))
    again.rename(again.with_name("by-command"))
    exec(compile(as_python(run, files), "copy.py", "exec"), {"__name__": "__main__"})
    torch.testing.assert_close(weights(again), weights(run.model))
