"""A training of the window as a command or as Python, with its images saved as files."""

from __future__ import annotations

import csv
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from napari_dojo.data.axes import LETTERS
from napari_dojo.errors import DojoError
from napari_dojo.io import images
from napari_dojo.io.datasets import DatasetFiles
from napari_dojo.io.names import file_names
from napari_dojo.jobs.runs import Run
from napari_dojo.jobs.train_requests import Arrays
from napari_dojo.paths import data_folder
from napari_dojo.settings import TrainSettings, fields_of
from napari_dojo.tasks import TASKS

__all__ = ["as_command", "as_python", "saved_data"]


def saved_data(run: Run) -> DatasetFiles:
    """The training data of a run as files; its arrays are written as TIFF into the user's data folder, once.

    Raises
    ------
    DojoError : they cannot be written.
    """
    request = run.request
    if request.files is not None:
        return request.files
    arrays = request.arrays
    if arrays is None:
        raise DojoError(f"The run {run.folder.name} names no data.")
    folder = data_folder() / run.folder.name
    names = file_names(arrays.names)
    for part, files in (("images", arrays.inputs), ("targets", arrays.targets or ()), ("regions", arrays.regions)):
        for name, file in zip(names, files, strict=False):
            path = folder / part / f"{name}.tif"
            if file is not None and not path.exists():
                _write(path, np.load(run.folder / file, mmap_mode="r"), run, arrays, part)
    roles = None
    if any(role != "automatic" for role in arrays.roles):
        roles = str(folder / "roles.csv")
        with open(roles, "w", newline="") as out:
            csv.writer(out).writerows((f"{n}.tif", r) for n, r in zip(names, arrays.roles, strict=True))
    target = str(folder / "targets") if arrays.targets else None
    region = str(folder / "regions") if any(arrays.regions) else None
    axes = arrays.axes
    stored = axes if axes.endswith("C") else "".join(a for a in LETTERS if a in axes)  # as `images.write` has them
    return DatasetFiles(str(folder / "images"), target, stored, region, None, roles)


def _write(path: Path, array: Any, run: Run, arrays: Arrays, part: str) -> None:
    """Write one array of a run: an input, its target in the kind that the task takes, or its region."""
    path.parent.mkdir(parents=True, exist_ok=True)
    size, unit = arrays.pixel_size, arrays.unit
    if part == "images":
        names = arrays.channel_names if "C" in arrays.axes else ()
        images.write(path, array, arrays.axes, size, unit, channel_names=names)
        return
    axes = _target_axes(arrays.axes, array.ndim)
    if part == "regions":
        images.write(path, array.astype(np.uint8), axes, size, unit, labels=True)
        return
    task = TASKS[run.request.task]
    kind = task.layout(task.options(**run.request.options)).kind
    images.write(path, array, axes, arrays.target_pixel_size or size, unit, labels=kind.drawn)


def _target_axes(axes: str, ndim: int) -> str:
    """The axes of a target of ``ndim`` dimensions beside an input with ``axes``: without C where it has none."""
    plain = axes.replace("C", "")
    if ndim <= len(plain):
        return plain[-ndim:]
    if ndim == len(axes):
        return axes
    at = min(plain.index(a) for a in plain if a in "ZYX")  # several channels beside an input of one
    return f"{plain[:at]}C{plain[at:]}"


def as_command(run: Run, given: DatasetFiles) -> str:
    """The command line that trains the same model, into a folder beside it."""
    flags: dict[str, Any] = {
        "--input": given.input,
        "--target": given.target,
        "--axes": given.axes,
        "--region": given.region,
        "--group-by": given.group_by,
        "--roles": given.roles,
        "--out": f"{run.model}-again",
        "--start": run.request.start,
        **({"--classes": given.classes} if given.classes else {}),
    }
    task = TASKS[run.request.task]
    for cls, values in ((TrainSettings, asdict(run.request.settings)), (task.options, run.request.options)):
        flags |= {"--" + k.replace("_", "-"): v for k, v in _told(cls, values).items()}
    words = ["napari-dojo", "train", task.name]
    for flag, value in flags.items():
        if isinstance(value, bool):
            words += [flag if value else flag.replace("--", "--no-", 1)]
        elif value is not None:
            words += [flag, ",".join(map(str, value)) if isinstance(value, tuple) else str(value)]
    return shlex.join(words)


def as_python(run: Run, given: DatasetFiles) -> str:
    """A script that trains the same model, into a folder beside it."""
    task = TASKS[run.request.task]
    asked = {k: v for k, v in asdict(given).items() if v is not None}
    return f"""from pathlib import Path

from napari_dojo.io.datasets import DatasetFiles, read_dataset
from napari_dojo.settings import TrainSettings
from napari_dojo.tasks import TASKS
from napari_dojo.training.train import Target, train_steps

task = TASKS[{task.name!r}]
options = task.options({_arguments(_told(task.options, run.request.options))})
dataset, notes = read_dataset(DatasetFiles({_arguments(asked)}), task.layout(options))
settings = TrainSettings({_arguments(_told(TrainSettings, asdict(run.request.settings)))})
start = {run.request.start!r}  # "auto", "none", or the name or folder of a model to fine-tune
target = Target(Path({str(run.model) + "-again"!r}))
for event in train_steps(dataset, task, target, settings, options, start):
    print(event)
"""


def _told(cls: type, values: dict[str, Any]) -> dict[str, Any]:
    """The values that differ from the defaults."""
    found = {}
    for field in fields_of(cls):
        value = values.get(field.name, field.default)
        value = tuple(value) if isinstance(value, list) else value
        if value != field.default:
            found[field.name] = value
    return found


def _arguments(values: dict[str, Any]) -> str:
    return ", ".join(f"{k}={v!r}" for k, v in values.items())
