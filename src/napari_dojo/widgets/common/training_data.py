"""What a training learns from, as one value: rows of layers, or files. Read for the check, written for the job."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_dojo.data.axes import Axes
from napari_dojo.data.dataset import ONE_TO_ONE, Dataset, Layout
from napari_dojo.io.atomic import write_safely
from napari_dojo.io.categories import categories_of
from napari_dojo.io.datasets import DatasetFiles, read_dataset
from napari_dojo.io.images import Picture, write
from napari_dojo.io.names import file_names
from napari_dojo.jobs.train_requests import train_files_request, train_request
from napari_dojo.tasks import Task
from napari_dojo.widgets.common.layers import array_of, joined, region_mask, source_of
from napari_dojo.widgets.common.rows import Row

__all__ = ["LARGEST", "QUICK", "ClassLayers", "Files", "Layers", "Material", "changed_labels"]

QUICK = 1.5e6  # pixels that are looked at while the user waits
LARGEST = 6e7  # pixels that are looked at at all before the start


class Material(Protocol):
    """What both kinds of data can do. `dataset` and `request` may take long and touch no window: call them in a thread."""

    @property
    def name(self) -> str:
        """Of the first image; the model is called after it."""

    @property
    def pixels(self) -> float:
        """How much there is to look at; larger than `LARGEST`: looked at when training starts."""

    def dataset(self, task: Task, options: Any) -> tuple[Dataset, list[str]]:
        """All or some of the data, and sentences about what was left out; DojoError where they do not fit."""

    def request(self, folder: Path, task: Task, **more: Any) -> Path:
        """Write the run's folder."""


@dataclass(frozen=True, eq=False)
class Layers:
    """Rows of layers; ``axes`` names the dimensions of each image layer, ``layout`` how targets lie to them."""

    rows: tuple[Row, ...]
    axes: str
    layout: Layout = ONE_TO_ONE

    @property
    def name(self) -> str:
        """Of the first image."""
        return self.rows[0].name

    @cached_property
    def names(self) -> str:
        """The axes of the arrays: several layers are stacked along a first axis C."""
        return "C" + self.axes if len(self.rows[0].images) > 1 else self.axes

    @property
    def pixels(self) -> float:
        """Infinite where layers are lazy and large."""
        arrays = [array_of(x) for row in self.rows for x in (*row.images, *row.targets)]
        pixels = sum(float(np.prod(a.shape)) for a in arrays)
        lazy = any(not isinstance(a, np.ndarray) for a in arrays)
        return float("inf") if lazy and pixels > QUICK else pixels

    def dataset(self, task: Task, options: Any) -> tuple[Dataset, list[str]]:
        """All of it."""
        inputs = [np.asarray(joined(row.images)) for row in self.rows]
        axes = Axes.resolve(inputs[0].shape, self.names)
        targets = [np.asarray(t) for t in self._targets] if self._targets else None
        return Dataset.of(inputs, targets, axes, layout=task.layout(options), **self._more(), **self._about()), []

    def request(self, folder: Path, task: Task, **more: Any) -> Path:
        """Copy the arrays into the run's folder; what is painted from now on does not reach it."""
        return train_request(
            folder,
            task.name,
            [joined(row.images) for row in self.rows],
            self._targets,
            axes=self.names,
            volumes=True,
            **self._about(),
            **self._more(),
            **more,
        )

    @property
    def _targets(self) -> list[Any] | None:
        """The targets, several of one image as channels; None where there are none."""
        return [joined(row.targets) for row in self.rows] if all(row.targets for row in self.rows) else None

    def row(self, item: str) -> Row | None:
        """The row of a sample of `dataset`, which may be one of its planes ("stack [3]")."""
        return next((r for r in self.rows if item == r.name or item.startswith(r.name + " [")), None)

    def sample_axes(self, images: Sequence[Any]) -> Axes:
        """The axes of the array of some image layers, as samples of it are learned from."""
        shape, target = joined(images).shape, self.rows[0].target
        wanted = None if target is None else array_of(target).shape
        return self.layout.axes(Axes.resolve(shape, self.names), shape, wanted)

    def image_axes(self, row: Row) -> Axes:
        """The axes of a row's image layers."""
        return Axes.resolve(array_of(row.images[0]).shape, self.axes)

    def _more(self) -> dict[str, Any]:
        regions = [self._region(row) for row in self.rows]
        return {
            "names": [row.name for row in self.rows],
            "roles": [row.role for row in self.rows],
            "regions": regions if any(r is not None for r in regions) else (),
        }

    def _about(self) -> dict[str, Any]:
        """Pixel sizes of images and targets, the names of channels."""
        images, target = self.rows[0].images, self.rows[0].target
        source = source_of(images[0], self.axes)
        about: dict[str, Any] = {"pixel_size": source.pixel_size, "unit": source.unit}
        dims = source.array.ndim
        alike = [row.images[0] if array_of(row.images[0]).ndim == dims else None for row in self.rows]
        about["pixel_sizes"] = [None if x is None else source_of(x, self.axes).pixel_size for x in alike]
        if len(images) > 1:
            about["channel_names"] = tuple(x.name for x in images)
        if target is not None and self.layout.kind.intensities:
            fine = source_of(target)
            about["target_pixel_size"] = fine.pixel_size and fine.pixel_size[-len(source.axes.spatial) :]
        return about

    def _region(self, row: Row) -> NDArray[np.bool_] | None:
        if row.region is None:
            return None
        if row.region._type_string == "labels":  # accepted places, as large as the labels
            return np.asarray(array_of(row.region)) > 0
        return region_mask(row.region, row.images[0], self.image_axes(row).size(array_of(row.images[0]).shape))


@dataclass(frozen=True, eq=False)
class ClassLayers:
    """Image layers, each with the class of all that it shows; ``axes`` names the dimensions of each."""

    rows: tuple[tuple[Any, str], ...]
    axes: str

    @property
    def name(self) -> str:
        """Of the first image."""
        return str(self.rows[0][0].name)

    @property
    def pixels(self) -> float:
        """Of all layers."""
        return sum(float(np.prod(array_of(layer).shape)) for layer, _ in self.rows)

    def dataset(self, task: Task, options: Any) -> tuple[Dataset, list[str]]:
        """All of it."""
        pictures = []
        for (layer, _), name in zip(self.rows, self._files, strict=True):
            source, colours = source_of(layer, self.axes), bool(getattr(layer, "rgb", False))
            about = (self.axes, colours, source.pixel_size, source.unit)
            pictures.append(Picture(np.asarray(array_of(layer)), *about, path=Path(name)))
        return categories_of(pictures, [c for _, c in self.rows], self.axes, task.layout(options))

    def request(self, folder: Path, task: Task, **more: Any) -> Path:
        """Write the files into the run's folder."""
        made = train_files_request(folder, task.name, self._given(folder), **more)
        self.written(folder)
        return made

    def written(self, folder: Path) -> DatasetFiles:
        """Write each layer as a file, and the table of their classes."""
        lines = [("file", "class")]
        for (layer, class_name), name in zip(self.rows, self._files, strict=True):
            source = source_of(layer, self.axes)
            write(folder / "images" / name, array_of(layer), self.axes, source.pixel_size, source.unit)
            lines.append((name, class_name))
        text = io.StringIO()
        csv.writer(text).writerows(lines)
        write_safely(folder / "classes.csv", text.getvalue().encode())
        return self._given(folder)

    @property
    def _files(self) -> list[str]:
        return [f"{name}.tif" for name in file_names([layer.name for layer, _ in self.rows])]

    def _given(self, folder: Path) -> DatasetFiles:
        return DatasetFiles(str(folder / "images"), str(folder / "classes.csv"))


@dataclass(frozen=True)
class Files:
    """Files that the job reads by itself; the check looks at the first of them."""

    given: DatasetFiles

    @property
    def name(self) -> str:
        """Of the folder."""
        return Path(self.given.input).stem or "model"

    @property
    def pixels(self) -> float:
        """Always looked at in a thread."""
        return LARGEST

    def dataset(self, task: Task, options: Any) -> tuple[Dataset, list[str]]:
        """All images, of a large folder the first ones; and sentences about the rest."""
        return read_dataset(self.given, task.layout(options), LARGEST)

    def request(self, folder: Path, task: Task, **more: Any) -> Path:
        """Name the files to the job."""
        return train_files_request(folder, task.name, self.given, **more)


def changed_labels(material: Layers, row: Row, change: Any) -> NDArray[Any]:
    """Labels of a row with ``change`` applied to each sample (*S); the layer is left as it is."""
    old = np.asarray(array_of(row.target))
    new, axes = np.zeros(old.shape, np.int32), material.image_axes(row).without_channels()
    for i in range(axes.count(old.shape)):
        axes.sample(new, i)[0] = change(axes.sample(old, i)[0])
    return new
