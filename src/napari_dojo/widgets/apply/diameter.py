"""The typical diameter of objects: as the model expects it, typed, or measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray
from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QWidget

from napari_dojo.errors import DojoError, explained
from napari_dojo.inference.tables import typical_diameter
from napari_dojo.settings import PredictSettings, fields_of
from napari_dojo.widgets.common.form import described
from napari_dojo.widgets.common.latest import Latest
from napari_dojo.widgets.common.options import field_widget
from napari_dojo.widgets.common.words import counted

__all__ = ["DiameterRow"]

_DIAMETER = next(f for f in fields_of(PredictSettings) if f.name == "diameter")


class DiameterRow(QWidget):
    """A number of px, and a button that measures it; the editor of that option in a form.

    ``changed`` says that there is another number; ``said`` and ``failed`` give a sentence for the user.
    """

    changed = Signal()
    said = Signal(str)
    failed = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._expected: float | None = None
        self._chosen = False
        self._sample: Callable[[], NDArray[Any]] | None = None
        self.box = field_widget(_DIAMETER).native
        self.box.setDecimals(1)
        self.box.setToolTip(f"{self.box.toolTip()} It starts with what model and image say.")
        self.button = QPushButton("Measure")
        described(self.button, "Measure the diameter", "Measure it on what is bright in the middle of the image.")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.box, 1)
        row.addWidget(self.button)
        self._latest = Latest(self)
        self._latest.told.connect(self._measured)
        self.button.clicked.connect(self._measure)
        self.box.valueChanged.connect(self._changed)
        self.box.lineEdit().editingFinished.connect(self._typed)  # the number that was there, too

    @property
    def native(self) -> QWidget:
        """The Qt widget."""
        return self

    @property
    def value(self) -> float | None:
        """What a person typed or measured, the expected number, too; None where model and image decide."""
        return self.box.value() if self._chosen and self._expected is not None else None

    @value.setter
    def value(self, value: float | None) -> None:
        if (shown := self._expected if value is None else value) is not None:
            self.box.setValue(shown)
        self._chosen = value is not None

    def expect(self, diameter: float | None, sample: Callable[[], NDArray[Any]] | None) -> None:
        """Show what model and image say, px, None for nothing; ``sample`` gives an image (C, *S) to measure on."""
        self._latest.forget()
        self._expected, self._sample = diameter, sample
        self.button.setText("Measure")
        self.button.setEnabled(sample is not None)
        if diameter is not None:
            self.box.setValue(diameter)
        self._chosen = False

    def end(self) -> None:
        """The panel is closing."""
        self._latest.forget()

    def _changed(self) -> None:
        self._chosen = True
        self.changed.emit()

    def _typed(self) -> None:
        self._chosen = self._chosen or self.box.lineEdit().isModified()

    def _measure(self) -> None:
        if self._sample is not None:
            self.button.setText("...")
            self._latest.ask(_measured, self._sample)

    def _measured(self, found: Any) -> None:
        self.button.setText("Measure")
        if isinstance(found, Exception):
            self.failed.emit(explained(found))
            return
        diameter, count = found
        self.value = diameter
        self.changed.emit()
        self.said.emit(f"About {diameter:g} px, measured on {counted(count, 'bright object')}.")


def _measured(sample: Callable[[], NDArray[Any]]) -> tuple[float, int]:
    """The typical diameter and the number of objects; DojoError where there are none."""
    found = typical_diameter(sample())
    if found is None:
        raise DojoError("No bright object was found to measure. Type the diameter of a typical object instead.")
    return found
