"""The objects that were shown as data that a network is trained on: files in the folder of the run."""

from __future__ import annotations

import csv
import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_dojo.data.dataset import Dataset
from napari_dojo.io.atomic import write_safely
from napari_dojo.io.datasets import DatasetFiles, read_dataset
from napari_dojo.io.images import write
from napari_dojo.jobs.train_requests import train_files_request
from napari_dojo.objects.classes import Classes
from napari_dojo.tasks import Task
from napari_dojo.widgets.classify.subject import MeasuredObjects

__all__ = ["ShownObjects"]

LEAST = 2  # objects of a class that can be trained on


@dataclass(frozen=True, eq=False)
class ShownObjects:
    """Objects whose class a person has shown, in images of which each is a file with its labels."""

    measured: MeasuredObjects
    classes: Classes

    @property
    def name(self) -> str:
        """Of the labels."""
        return str(self.measured.subject.layer.name)

    @property
    def pixels(self) -> float:
        """Of all images."""
        return float(np.prod(self.measured.labels.shape))

    @property
    def why_not(self) -> str:
        """Why a network cannot be trained; empty where it can."""
        there = self.classes.examples(self.measured.objects)
        counts = Counter(int(c) for c in there.classes)
        enough = sum(n >= LEAST for n in counts.values())
        if enough < 2:
            return f"Show at least {LEAST} objects of each of two classes."
        return ""

    def dataset(self, task: Task, options: Any) -> tuple[Dataset, list[str]]:
        """All of it, by way of files."""
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            return read_dataset(self.written(Path(folder)), task.layout(options))

    def request(self, folder: Path, task: Task, **more: Any) -> Path:
        """Write the files into the run's folder; what is shown from now on does not reach it."""
        given = DatasetFiles(str(folder / "images"), str(folder / "labels"), classes=str(folder / "classes.csv"))
        made = train_files_request(folder, task.name, given, **more)
        self.written(folder)
        return made

    def written(self, folder: Path) -> DatasetFiles:
        """Write each image with shown objects, its labels, and the table of their classes."""
        subject, axes = self.measured.subject, self.measured.subject.axes
        size, unit = subject.source.pixel_size, subject.source.unit
        image, ours = subject.image, axes.without_channels()
        lines = [("file", "label", "class")]
        there = self.classes.examples(self.measured.objects)
        keys = [self.measured.objects.key(int(row)) for row in there.rows]
        for sample in sorted({s for s, _ in keys}):
            name = f"image_{sample}.tif"
            x, y = np.asarray(axes.sample(image, sample)), np.asarray(ours.sample(self.measured.labels, sample)[0])
            x, names = (x, f"C{axes.spatial}") if len(x) > 1 else (x[0], axes.spatial)
            write(folder / "images" / name, x, names, size, unit)
            write(folder / "labels" / name, y, axes.spatial, labels=True)
            named = zip(keys, there.classes, strict=True)
            lines += [(name, str(label), there.names[int(k)]) for (s, label), k in named if s == sample]
        text = io.StringIO()
        csv.writer(text).writerows(lines)
        write_safely(folder / "classes.csv", text.getvalue().encode())
        return DatasetFiles(str(folder / "images"), str(folder / "labels"), classes=str(folder / "classes.csv"))
