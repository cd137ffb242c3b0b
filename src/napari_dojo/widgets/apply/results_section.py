"""The lower part of the Apply panel: what was found, what counts, and where it goes from here."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import Any

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_dojo.errors import explained
from napari_dojo.inference.sinks import Stored
from napari_dojo.inference.tables import TABLES
from napari_dojo.models.card import decoding_of
from napari_dojo.models.library import Model
from napari_dojo.settings import fields_of
from napari_dojo.tasks import TASKS
from napari_dojo.widgets.apply.classes import ObjectClasses
from napari_dojo.widgets.apply.export import EXPORT_TIP, Export, ExportButton, ask_path, link_to, write_all
from napari_dojo.widgets.apply.reliability import ReliabilitySection
from napari_dojo.widgets.apply.results import Results
from napari_dojo.widgets.apply.sliders import Sliders
from napari_dojo.widgets.common.form import described, sentence
from napari_dojo.widgets.common.inputs import Run
from napari_dojo.widgets.common.kinds import look_of
from napari_dojo.widgets.common.latest import Latest
from napari_dojo.widgets.common.measurements import MeasurementsButton
from napari_dojo.widgets.common.table import open_table

__all__ = ["ResultsSection"]

TABLE_TIP = (
    "Size, place and intensity of each object, in a table below the image. A click on a row leads to the object."
)
FIXED = {  # results that the sliders cannot change, by what was lacking
    "": "To change it, move the sliders and apply again.",
    "memory": "Too large for the memory to be changed afterwards: move the sliders and apply again.",
    "disk": "The disk has no room for what the sliders need: free space, or move them and apply again.",
}
WAIT = "The results are being updated. A moment ..."


class ResultsSection(QWidget):
    """Results of the last run. ``said`` gives a sentence as rich text, ``failed`` one that something did not work.

    ``working`` : how far updating the results is, (done, of); (0, 0) at its end.
    """

    said = Signal(str)
    failed = Signal(str)
    working = Signal(int, int)

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self._model: Model | None = None
        self._beside = Path.home()  # where exports are suggested
        self.results = Results(viewer, self)
        self.classes = ObjectClasses(viewer, self.results, self)
        self.reliability = ReliabilitySection(viewer, self.results)
        self._writer = Latest(self)
        self.reset_button = QPushButton("Reset")
        described(self.reset_button, "Reset", "Back to the values that the model came with.")
        self.sliders = Sliders()
        self.count = sentence()
        self.count.setAccessibleName("What was found")
        self.table_button = QPushButton("Table")
        described(self.table_button, "Table", TABLE_TIP)
        self.columns_button = MeasurementsButton()
        self.export_button = ExportButton()
        self._lay_out()
        self.reset_button.clicked.connect(self._reset)
        self.sliders.changed.connect(self._slid)
        self.table_button.clicked.connect(self._show_table)
        self.columns_button.changed.connect(self.results.measure)
        self.export_button.chosen.connect(self._export)
        self.results.changed.connect(self._changed)
        self.results.complete.connect(self._complete)
        self.results.failed.connect(self.failed)
        self.results.said.connect(self.said)
        self.results.stores.added.connect(self._kept)
        self.results.working.connect(self.working)
        self.classes.said.connect(self.said)
        self.classes.failed.connect(self.failed)
        self.classes.changed.connect(self._changed)
        self.reliability.failed.connect(self.failed)
        self._writer.told.connect(self._written)
        self._changed()

    def _lay_out(self) -> None:
        head, foot, column = QHBoxLayout(), QHBoxLayout(), QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        self._adjust = QWidget()
        self._adjust.setLayout(head)
        head.setContentsMargins(0, 0, 0, 0)
        label = QLabel("Adjust (no need to apply again):")
        label.setToolTip("Moving these updates the results at once, without a new prediction.")
        head.addWidget(label, 1)
        head.addWidget(self.reset_button)
        foot.addWidget(self.count, 1)
        foot.addWidget(self.table_button)
        foot.addWidget(self.columns_button)
        foot.addWidget(self.export_button)
        column.addWidget(self._adjust)
        column.addWidget(self.sliders)
        column.addLayout(foot)
        column.addWidget(self.reliability)

    @property
    def values(self) -> dict[str, Any]:
        """How maps are decoded, as the sliders say."""
        return self.sliders.values()

    def set_model(self, model: Model | None) -> None:
        """Show the numbers of this model; another model starts with its own."""
        if model is not None and (self._model is None or model.path != self._model.path):
            self._model = model
            self._show(model)

    def take(self, folder: Path, run: Run, found: list[Stored]) -> None:
        """Add what a job found; the folder is deleted when it is no longer needed."""
        self._beside = run.asked[0].beside or self._beside
        self.results.take(folder, run, found)

    def end(self) -> None:
        """The panel is closing."""
        self._writer.forget()
        self.classes.end()
        self.reliability.end()
        self.results.release(wait=True)

    def ask_path(self, kind: Export, suggestion: Path, several: bool) -> Path | None:
        """Let a person say where to; None where they did not."""
        return ask_path(self, kind, suggestion, several)

    def _show(self, model: Model) -> None:
        task = TASKS[model.card.task]
        fields = fields_of(task.decoding)
        self.sliders.show_fields(fields, asdict(decoding_of(model.card)))
        for widget in (self._adjust, self.sliders):
            widget.setVisible(bool(fields))
        self.table_button.setVisible(task.result in TABLES)
        self.columns_button.setVisible(task.result.objects)
        self.export_button.offer(task.result)

    def _reset(self) -> None:
        if self._model is not None:
            self._show(self._model)
            self._slid()

    def _slid(self) -> None:
        run = self.results.run
        if run is not None and self._model is not None and run.model.path == self._model.path:
            self.results.decode(self.values)

    def _changed(self) -> None:
        shown = self.results.shown
        total = sum((s.count for s in shown), Counter[str]())
        busy = self.results.busy or self.classes.busy
        words = look_of(shown[0].card).words(shown[0].card, total) if shown else ""
        doing = "Updating ..." if self.results.busy else "Classifying ..."
        self.count.setText(doing if shown and busy else words)
        self.count.setToolTip("\n".join(f"{s.layer.name}: {look_of(s.card).words(s.card, s.count)}" for s in shown))
        for button, tip in ((self.table_button, TABLE_TIP), (self.export_button, EXPORT_TIP)):
            button.setEnabled(bool(shown) and not busy)
            button.setToolTip(WAIT if shown and busy else tip)

    def _complete(self) -> None:
        run, names = self.results.run, [layer.name for layer in self.results.layers]
        if run is None or not names:
            return
        text = f'Added the layer "{escape(names[0])}".' if len(names) == 1 else f"Added {len(names)} layers."
        fixed = not self.results.adjustable and bool(self.sliders.values())
        self.said.emit(f"{text} {FIXED[self.results.lacking]}" if fixed else text)
        if self.values != run.values:  # moved during prediction
            self._slid()

    def _kept(self, layer: Any, store: Path) -> None:
        again = f" {FIXED['']}" if self.sliders.values() else ""
        self.said.emit(f'Added the layer "{escape(layer.name)}". It stays in {link_to(self._viewer, store)}.{again}')

    # where it goes from here

    def _show_table(self) -> None:
        self.results.measure()
        open_table(self._viewer, self.results.layers)

    def _export(self, kind: Export) -> None:
        shown = list(self.results.shown)
        if not shown:
            return
        suggestion = self._beside / (shown[0].layer.name + kind.suffix)
        where = self.ask_path(kind, suggestion, len(shown) > 1)
        if where is not None:
            self._beside = where if len(shown) > 1 else where.parent
            self.said.emit("Writing ...")
            self._writer.ask(write_all, kind, shown, where, len(shown) > 1)

    def _written(self, written: Any) -> None:
        if isinstance(written, Exception):
            self.failed.emit(explained(written))
            return
        what = written[0].name if len(written) == 1 else f"{len(written)} files"
        self.said.emit(f"Written {escape(what)} to {link_to(self._viewer, written[0].parent)}.")
