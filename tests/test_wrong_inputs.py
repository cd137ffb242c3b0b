"""What people give by mistake, to each task: one sentence and no model, or the right result."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from given import target_of
from scipy.ndimage import gaussian_filter

from napari_dojo.cli import main
from napari_dojo.tasks import TASKS

TINY = ["--steps", "2", "--batch", "2", "--patch", "16", "--width", "4", "--depth", "2", "--device", "cpu"]
EVERY = pytest.mark.parametrize("task", TASKS)
Pair = tuple[np.ndarray, Any]


def pair(task: str, seed: int) -> Pair:
    """An image of two discs, and what the task takes as its target."""
    rng = np.random.default_rng(seed)
    y = np.zeros((32, 48), np.int32)
    for number, at in enumerate(((12, 14), (20, 34)), 1):
        y[sum((g - c) ** 2 for g, c in zip(np.indices(y.shape), at + rng.uniform(-3, 3, 2), strict=True)) < 30] = number
    clean = gaussian_filter(100.0 * (y > 0) + 20, 1).astype(np.float32)
    x = rng.normal(clean, 8).clip(0).astype(np.uint16)
    return x, target_of(task, y, clean) if TASKS[task].result.dense else x


@dataclass(frozen=True)
class Files:
    """Images, and what their targets are, where the task has some."""

    task: str
    folder: Path

    @property
    def given(self) -> list[str]:
        """Flags that name them."""
        target = ["--target", str(self.folder / "targets")] if TASKS[self.task].target and self.dense else []
        return ["--input", str(self.folder / "images"), *target]

    @property
    def dense(self) -> bool:
        return TASKS[self.task].result.dense

    def write(self, change: Callable[[np.ndarray, Any], Pair] = lambda x, y: (x, y)) -> Files:
        """Three pairs, or two images of each of two classes."""
        (self.folder / "targets").mkdir(parents=True, exist_ok=True)
        for k in range(3 if self.dense else 4):
            x, y = change(*pair(self.task, k))
            path = self.folder / "images" / ("" if self.dense else "ab"[k % 2]) / f"{k}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(path, x, photometric="rgb" if x.shape[-1:] == (3,) else "minisblack")
            tifffile.imwrite(self.folder / "targets" / f"{k}.tif", y)
        return self

    def train(self, out: Path, *more: str) -> int:
        return main(["train", self.task, *self.given, "--out", str(out), "--start", "none", *TINY, *more])


def refused(capsys: pytest.CaptureFixture[str], code: int) -> str:
    """What one sentence says, with exit code 2."""
    lines = capsys.readouterr().err.strip().splitlines()
    assert code == 2
    assert lines[-1].startswith("napari-dojo: ")
    return lines[-1]


def colours(x: np.ndarray) -> np.ndarray:
    return np.stack([x, x // 2, x // 3], -1).astype(np.uint8)


IMAGES = {
    "NaN": (lambda x, y: (np.full(x.shape, np.nan, np.float32), y), "constant"),
    "constant": (lambda x, y: (np.full_like(x, 7), y), "constant"),
    "a pixel": (lambda x, y: (x[:1, :1], y[: len(y) // 32, : len(y) // 32]), "too small"),
    "complex": (lambda x, y: (x.astype(np.complex64), y), "0.tif holds complex numbers"),
    "five axes": (lambda x, y: (x[None, None, None].repeat(2, 0).repeat(3, 1), y), "Name the axes"),
}
TARGETS = {
    "another size": (lambda x, y: (x, y[:-5]), "0.tif is 32 x 48"),
    "empty": (lambda x, y: (x, np.zeros_like(y)), "all labels are 0|All targets are constant"),
    "colours": (lambda x, y: (x, colours(y)), "colours|Images and targets need the same channels"),
}


@EVERY
@pytest.mark.parametrize("wrong", IMAGES)
def test_images_that_cannot_be_trained_on(
    task: str, wrong: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change, said = IMAGES[wrong]
    files = Files(task, tmp_path).write(change)
    assert said in refused(capsys, files.train(tmp_path / "m"))
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("task", [name for name, task in TASKS.items() if task.target and task.result.dense])
@pytest.mark.parametrize("wrong", TARGETS)
def test_targets_that_do_not_fit(task: str, wrong: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change, said = TARGETS[wrong]
    files = Files(task, tmp_path).write(change)
    code = files.train(tmp_path / "m")
    if (task, wrong) == ("translate", "colours"):
        assert code == 0  # a stain in colours, predicted from a grey image
        return
    assert re.search(said, refused(capsys, code))
    assert not (tmp_path / "m").exists()


@EVERY
def test_nothing_is_computed_for_a_folder_that_cannot_be_written(
    task: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files, file = Files(task, tmp_path / "d").write(), tmp_path / "file"
    file.write_text("mine")
    assert "cannot be written" in refused(capsys, files.train(file / "m"))
    assert "exists already" in refused(capsys, files.train(file))
    assert file.read_text() == "mine"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["d", "file"]


@EVERY
def test_names_with_blanks_and_umlauts_blank_images_and_empty_ground_truth(
    task: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = Files(task, tmp_path / "Größe µ [1] #3").write()
    model = tmp_path / "mein Modell"
    assert good.train(model) == 0
    blank = Files(task, tmp_path / "blank").write(lambda x, y: (np.full_like(x, 7), np.zeros_like(y)))
    for files, code in ((good, 0), (blank, 0)):
        out = files.folder / "out"
        given = ["predict", str(model), str(files.folder / "images"), "--subfolders", "--out", str(out)]
        assert main([*given, "--device", "cpu"]) == code
        found = (
            list(out.rglob("*.tif"))
            if files.dense
            else list(csv.reader((out / "classes.csv").read_text().splitlines()))
        )
        assert len(found) == (3 if files.dense else 5)
        assert ("constant (7 everywhere)" in capsys.readouterr().err) == (files is blank)
    given = ["--input", str(blank.folder / "images"), "--device", "cpu"]
    given += ["--target", str(blank.folder / "targets")] if blank.dense else []
    assert main(["evaluate", str(model), *given]) == (1 if blank.dense else 0)
    assert ("nothing but 0" in capsys.readouterr().err) == blank.dense


@pytest.mark.parametrize("task", ["instances", "classify"])  # pixels and whole images
def test_images_without_the_axis_that_was_named(task: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = Files(task, tmp_path).write()
    assert files.train(tmp_path / "m", "--axes", "ZYX") == 0
    assert "The images have the axes YX, not ZYX" in capsys.readouterr().err
    assert "QQ" in refused(capsys, files.train(tmp_path / "n", "--axes", "QQ"))
