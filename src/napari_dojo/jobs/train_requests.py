"""Requests of trainings, on files or on arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from napari_dojo.data.axes import Axes
from napari_dojo.data.dataset import Dataset, Layout
from napari_dojo.io.datasets import DatasetFiles, read_dataset
from napari_dojo.jobs.requests import Request, new_folder, stored, tuples
from napari_dojo.settings import TrainSettings, checked
from napari_dojo.training.start import NONE

__all__ = ["Arrays", "TrainRequest", "train_files_request", "train_request"]


@dataclass(frozen=True)
class Arrays:
    """Training data as ``.npy`` files in the folder of a job.

    Attributes
    ----------
    inputs, targets, regions : names of files; None for what there is not.
    axes : of the inputs; ``volumes`` : where they have Z, samples are volumes.
    names, roles, channel_names : or empty.
    pixel_sizes : of each input, or empty.
    pixel_size, target_pixel_size, unit : or None.
    """

    inputs: tuple[str, ...]
    targets: tuple[str | None, ...] | None
    axes: str
    regions: tuple[str | None, ...] = ()
    names: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    channel_names: tuple[str, ...] = ()
    volumes: bool = True
    pixel_sizes: tuple[tuple[float, ...] | None, ...] = ()
    pixel_size: tuple[float, ...] | None = None
    target_pixel_size: tuple[float, ...] | None = None
    unit: str | None = None

    def dataset(self, folder: Path, layout: Layout) -> Dataset:
        """The arrays, memory-mapped, as samples; DojoError where they do not fit together."""
        inputs = _loaded(folder, self.inputs)
        return Dataset.of(
            inputs,
            None if self.targets is None else _loaded(folder, self.targets),
            Axes.resolve(inputs[0].shape, self.axes, volumes=self.volumes),
            layout=layout,
            names=self.names,
            roles=self.roles,
            regions=_loaded(folder, self.regions),
            pixel_sizes=self.pixel_sizes,
            pixel_size=self.pixel_size,
            target_pixel_size=self.target_pixel_size,
            unit=self.unit,
            channel_names=self.channel_names,
        )


def _loaded(folder: Path, names: Sequence[str | None]) -> list[Any]:
    return [None if n is None else np.load(folder / n, mmap_mode="r") for n in names]


@dataclass(frozen=True)
class TrainRequest(Request):
    """A training: on files that the job reads, or on arrays in its folder.

    Attributes
    ----------
    task : its name; ``options`` : of it, as they were chosen.
    out : the model's folder.
    start : the folder or name of the model to start from, "auto" or "none", see `napari_dojo.training.train.train_steps`.
    corrections : it is trained on what a person corrected, see `napari_dojo.training.recorder.Target`.
    curve : train on parts of the annotation, to say what more of it would bring, and keep no model.
    """

    kind: ClassVar[str] = "train"

    task: str
    out: Path
    arrays: Arrays | None = None
    files: DatasetFiles | None = None
    options: dict[str, Any] = field(default_factory=dict)
    settings: TrainSettings = field(default_factory=TrainSettings)
    start: str = NONE
    resume: bool = False
    name: str = ""
    corrections: bool = False
    curve: bool = False

    def dataset(self, folder: Path, layout: Layout) -> tuple[Dataset, list[str]]:
        """The training data, and sentences about what was skipped; DojoError where they cannot be used."""
        if self.files is not None:
            return read_dataset(self.files, layout)
        if self.arrays is None:
            raise ValueError("the request names no data")
        return self.arrays.dataset(folder, layout), []

    @classmethod
    def of(cls, values: dict[str, Any]) -> Self:
        """The request of plain values."""
        arrays, files = (values.pop(k, None) for k in ("arrays", "files"))
        return cls(
            **{
                **values,
                "out": Path(values["out"]),
                "arrays": arrays and Arrays(**tuples(arrays)),
                "files": files and DatasetFiles(**files),
                "options": tuples(values["options"]),
                "settings": checked(TrainSettings, values["settings"]),
            }
        )


def train_request(
    folder: Path,
    task: str,
    inputs: Sequence[Any],
    targets: Sequence[Any] | None,
    *,
    axes: str,
    out: Path,
    **more: Any,
) -> Path:
    """Write what a training on arrays needs into a new folder of a job.

    Parameters
    ----------
    inputs, targets : arrays as they lie; labels have the inputs' axes without C.
    more : regions (arrays or None) and other values of `Arrays`; options, settings (plain values), start, resume, name.
    """
    with new_folder(folder):
        regions = more.pop("regions", ())
        about = {k: more.pop(k) for k in list(more) if k in Arrays.__dataclass_fields__}
        arrays = Arrays(
            stored(folder, "input", inputs),  # type: ignore[arg-type]  # none of them is None
            None if targets is None else stored(folder, "target", targets),
            axes,
            stored(folder, "region", regions),
            **tuples(about),
        )
        _training(task, out, more, arrays=arrays).write(folder)
        return folder


def train_files_request(folder: Path, task: str, given: DatasetFiles, *, out: Path, **more: Any) -> Path:
    """The same for files, which the job reads; ``more`` : options, settings, start, resume, name."""
    with new_folder(folder):
        _training(task, out, more, files=given).write(folder)
        return folder


def _training(task: str, out: Path, more: dict[str, Any], **data: Any) -> TrainRequest:
    settings = checked(TrainSettings, more.pop("settings", {}))
    return TrainRequest(task, out, settings=settings, **data, **more)
