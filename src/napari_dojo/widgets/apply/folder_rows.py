"""The rows for a folder of files: images, predictions, what is written, and what stands in the way."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QWidget

from napari_dojo.data.kinds import LABELS, Kind
from napari_dojo.errors import DojoError, explained
from napari_dojo.inference.tables import TABLES
from napari_dojo.inference.tiff_sink import TiffSink, folder_for, predicted_by
from napari_dojo.io import images
from napari_dojo.io.pairing import list_inputs, stem_of
from napari_dojo.widgets.common.form import PathEdit, described, form_layout, sentence
from napari_dojo.widgets.common.later import later
from napari_dojo.widgets.common.latest import Latest
from napari_dojo.widgets.common.measurements import chosen_here
from napari_dojo.widgets.common.words import counted

__all__ = ["FolderRows", "Looked"]

LOOKING = "Looking at the images ..."
TRIED = 3  # files that are looked at before a folder is given up


@dataclass(frozen=True, eq=False)
class Looked:
    """What a folder holds: its images, one of them as read, and how many predictions are there already."""

    inputs: tuple[Path, ...]
    first: images.Picture
    existing: int


def look(given: str, sink: TiffSink) -> Looked:
    """Look at a folder for a sink, whose inputs it replaces; DojoError where no image in the folder can be read."""
    inputs = tuple(list_inputs(given))
    wrong: DojoError | None = None
    for path in inputs[:TRIED]:
        try:
            first = images.read(path, lazy_above=10_000_000)
        except DojoError as error:
            wrong = wrong or error
            continue
        return Looked(inputs, first, replace(sink, inputs=inputs).existing)
    raise wrong or DojoError(f"There is no image in {given}. Choose another folder.")


class FolderRows(QWidget):
    """A folder of images and one for the predictions. ``changed`` says that something else is chosen, or known."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model = "model"
        self._kind: Kind = LABELS
        self._also: tuple[str, ...] = ()
        self._then = ""
        self.looked: Looked | None = None
        self._why = ""
        self._rows()
        self._latest = Latest(self)
        self._latest.told.connect(self._told)
        self._soon = later(self, 200, self._look)
        for signal in (self.images.changed, self.predictions.changed, self.tables.toggled, self.rois.toggled):
            signal.connect(self.look_again)
        self.replace.toggled.connect(self.changed)

    def _rows(self) -> None:
        self.images = PathEdit("Folder of images", "The model is applied to the images in it one by one.")
        self.predictions = PathEdit("Output folder", "The folder for the results. It is created if it does not exist.")
        self.tables, self.rois = QCheckBox("table (CSV)"), QCheckBox("ROIs (zip)")
        described(self.tables, "With a table", "Save the measurements of each result as a table (CSV).")
        described(self.rois, "With ROIs", "Save the outlines of each result for ImageJ's ROI Manager (zip).")
        self.also, row = QWidget(), QHBoxLayout()
        row.setContentsMargins(0, 0, 0, 0)
        for box in (self.tables, self.rois):
            row.addWidget(box)
        row.addStretch(1)
        self.also.setLayout(row)
        self.replace = QCheckBox("Overwrite existing results")
        described(self.replace, "Replace older results", "Overwrite existing result files.")
        self.what = sentence(lines=3)
        self.what.setAccessibleName("What is written")
        self._form = form = form_layout(self)
        form.addRow("Images", self.images)
        form.addRow("Save to", self.predictions)
        form.addRow("Also", self.also)
        form.addRow(self.what)
        form.addRow("", self.replace)
        self.replace.hide()

    @property
    def out(self) -> Path:
        """Where predictions go."""
        return (
            Path(self.predictions.path).expanduser()
            if self.predictions.path
            else folder_for(self.images.path, self._model)
        )

    def _sink(self) -> TiffSink:
        """Where predictions go, for no image yet; tables and outlines only where the kind of prediction has them."""
        tables = self.tables.isChecked() and self._kind in TABLES
        rois = self.rois.isChecked() and self._kind.drawn
        sink = TiffSink((), self.out, self.replace.isChecked(), tables, self._mark, chosen_here(), rois)
        return replace(sink, classes=not self._kind.dense, also=self._also, then=self._then)

    @property
    def _mark(self) -> str:
        """What the names of predicted images say of them."""
        return f" {predicted_by(self._model)}" if self._kind.intensities else ""

    @property
    def looking(self) -> bool:
        """Whether it is not known yet what the folder holds."""
        return self._soon.isActive() or self._latest.busy

    @property
    def why_not(self) -> str:
        """Why these files cannot be done; empty where they can."""
        if not self.images.path:
            return "Choose the folder of the images."
        if self.looking:
            return LOOKING
        if self._why or self.looked is None:
            return self._why or "Choose the folder of the images."
        if self.looked.existing and not self.replace.isChecked():
            n = self.looked.existing
            there = f"{n:,} of the results {'exists' if n == 1 else 'exist'} already"
            return f"{there}. Choose another folder, or overwrite {'it' if n == 1 else 'them'}."
        return ""

    def sink(self) -> TiffSink:
        """The chosen files, and where their predictions go.

        Raises
        ------
        DojoError : where it cannot be done.
        """
        if self.why_not or self.looked is None:
            raise DojoError(self.why_not)
        sink = replace(self._sink(), inputs=self.looked.inputs)
        sink.check()
        return sink

    def set_model(self, name: str, kind: Kind = LABELS) -> None:
        """Predictions of this model go to a folder with its name, unless a person says otherwise."""
        if name != self._model:
            self._model, self._kind = name, kind
            self._form.setRowVisible(self.also, kind in TABLES)
            self.look_again()

    def set_further(self, also: tuple[str, ...], then: str) -> None:
        """What is written besides, see `TiffSink`: it is looked for, too."""
        if (also, then) != (self._also, self._then):
            self._also, self._then = also, then
            self.look_again()

    def written(self, count: int) -> None:
        """Update the number of existing results without a message, so that the previous one stays."""
        if self.looked is not None:
            self.looked = replace(self.looked, existing=count)
            self.replace.setChecked(False)
            self.replace.setVisible(True)

    def look_again(self, *_: Any) -> None:
        """Something is different, or may be."""
        if self.isVisibleTo(self.parentWidget()):
            if self.images.path:
                self._soon.start()
            else:
                self.looked = None
            self._say()

    def end(self) -> None:
        """The panel is closing."""
        self._soon.stop()
        self._latest.forget()

    def _look(self) -> None:
        self.predictions.edit.setPlaceholderText(str(self.out) if self.images.path else "")
        self.looked, self._why = None, ""
        if self.images.path:
            self._latest.ask(look, self.images.path, self._sink())
        self._say()

    def _told(self, found: Any) -> None:
        if isinstance(found, Looked):
            self.looked = found
        else:
            self._why = explained(found)
        self._say()

    def _say(self) -> None:
        found = self.looked
        self.what.setText(LOOKING if self.looking else "")
        self.replace.setVisible(bool(found and found.existing))
        if found is not None:
            n, sink = len(found.inputs), self._sink()
            words = ((", its uncertainty", sink.also), (", a table", sink.tables), (", ROIs", sink.rois))
            more = [word for word, on in words if on]
            stem = stem_of(found.inputs[0])
            name = f"{stem if len(stem) <= 24 else stem[:23] + '…'}{self._mark}.tif"
            self.what.setText(f"{counted(n, 'image')}. Each gives a TIFF with its pixel size{''.join(more)}: {name}")
            self.what.setToolTip(f"{found.inputs[0]} ...\nPredictions in {self.out}")
        self.changed.emit()
