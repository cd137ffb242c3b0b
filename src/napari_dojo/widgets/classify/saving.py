"""Classes of objects as files: a table, and regions for ImageJ that are grouped by class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QFileDialog, QMenu, QPushButton

from napari_dojo.errors import explained
from napari_dojo.inference.tables import write_csv
from napari_dojo.io.rois import write_rois
from napari_dojo.widgets.classify.columns import class_names, counts_of_images, table_of_objects
from napari_dojo.widgets.classify.subject import Seen
from napari_dojo.widgets.common.form import described
from napari_dojo.widgets.common.latest import Latest
from napari_dojo.widgets.common.measurements import chosen_here

__all__ = ["SaveButton", "save_counts", "save_rois", "save_table"]


class SaveButton(QPushButton):
    """A menu of kinds of files, written in a thread. ``saved``, ``failed``: a sentence."""

    saved = Signal(str)
    failed = Signal(str)

    def __init__(self) -> None:
        super().__init__("Export")
        described(self, "Export", "Save the objects with their classes, as a table or as ROIs.")
        self._seen: Seen | None = None
        self._work = Latest(self)
        self._work.told.connect(self._told)
        menu = QMenu(self)
        kinds = (
            ("Table (CSV)", ".csv", save_table),
            ("Counts of each image (CSV)", ".csv", save_counts),
            ("ImageJ ROIs (zip)", ".zip", save_rois),
        )
        for words, ending, write in kinds:
            action = menu.addAction(f"{words} ...")
            if action is not None:
                action.triggered.connect(lambda *_, ending=ending, write=write: self._save(ending, write))
        self.setMenu(menu)

    def take(self, seen: Seen | None) -> None:
        """What would be saved."""
        self._seen = seen

    def ask_path(self, suggestion: str, ending: str) -> Path | None:
        """Let a person name the file; None where they did not."""
        named, _ = QFileDialog.getSaveFileName(self, "Export", suggestion + ending, f"*{ending}")
        return Path(named) if named else None

    def _save(self, ending: str, write: Any) -> None:
        if self._seen is None:
            return
        name = "".join(c if c.isalnum() or c in " ._-()" else "_" for c in self._seen.measured.subject.layer.name)
        path = self.ask_path(f"{name} classes", ending)
        if path is not None:
            self._work.ask(write, self._seen, path if path.suffix.lower() == ending else Path(f"{path}{ending}"))

    def _told(self, told: Any) -> None:
        if isinstance(told, Exception):
            self.failed.emit(explained(told))
        else:
            self.saved.emit(f"Saved {told}.")


def save_table(seen: Seen, path: Path) -> Path:
    """Write one line for each object: measurements, class, probability. DojoError where that is not possible."""
    write_csv(path, table_of_objects(seen, chosen_here()))
    return path


def save_counts(seen: Seen, path: Path) -> Path:
    """Write one line for each image and class: count, interval. DojoError where that is not possible."""
    write_csv(path, counts_of_images(seen))
    return path


def save_rois(seen: Seen, path: Path) -> Path:
    """Write the outlines of all objects, named by label and class. DojoError where that is not possible."""
    m, axes = seen.measured, seen.measured.subject.axes.without_channels()
    classes: list[dict[int, str]] = [{} for _ in range(axes.count(m.labels.shape))]
    for sample, label, name in zip(m.objects.sample.tolist(), m.objects.label.tolist(), class_names(seen), strict=True):
        classes[sample][label] = name
    write_rois(path, np.asarray(m.labels), axes, classes)
    return path
