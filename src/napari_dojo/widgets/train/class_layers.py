"""Image layers of which each shows one class: its name is typed beside it."""

from __future__ import annotations

import re
from typing import Any

from qtpy.QtCore import QEvent, QObject, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QGridLayout, QLabel, QLineEdit, QScrollArea, QWidget

from napari_dojo.widgets.common.form import described
from napari_dojo.widgets.common.pick import images_of

__all__ = ["ClassLayerRows"]

SHOWN = 5  # rows: above this number only a part is shown
TIP = (
    "The class of what this layer shows: of the image, or of all images of a stack or series. Layers without a class are "
    "not used."
)


class ClassLayerRows(QScrollArea):
    """A row for each image layer. ``changed`` says that another class was typed, or that there are other layers."""

    changed = Signal()

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self._typed: dict[str, str] = {}  # classes by the names of layers
        self._lines: list[tuple[Any, QLabel, QLineEdit]] = []
        inner = QWidget()
        self._grid = QGridLayout(inner)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(3)
        self._grid.setVerticalSpacing(3)
        self._grid.addWidget(QLabel("Image"), 0, 0)
        self._grid.addWidget(QLabel("Class"), 0, 1)
        for column in (0, 1):
            self._grid.setColumnStretch(column, 1)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setWidgetResizable(True)
        self.setFrameShape(QScrollArea.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWidget(inner)
        inner.installEventFilter(self)
        self.refresh()

    @property
    def rows(self) -> list[tuple[Any, str]]:
        """The layers that have a class, and the name of it."""
        return [(layer, text) for layer, _, edit in self._lines if (text := edit.text().strip())]

    @property
    def typed(self) -> dict[str, str]:
        """The classes that a person typed, by the names of layers."""
        return dict(self._typed)

    def set_typed(self, classes: dict[str, str]) -> None:
        """Take over what was saved."""
        self._typed = dict(classes)
        for layer, _, edit in self._lines:
            edit.setText(self._class_of(layer))
        self.changed.emit()

    def refresh(self) -> None:
        """Follow the viewer's layers; what was typed stays."""
        layers = images_of(self._viewer.layers)
        if [x for x, *_ in self._lines] == layers and all(label.text() == x.name for x, label, _ in self._lines):
            return
        renamed = {label.text(): x.name for x, label, _ in self._lines}
        self._typed = {renamed.get(name, name): text for name, text in self._typed.items()}
        for _, *widgets in self._lines:
            for widget in widgets:
                self._grid.removeWidget(widget)
                widget.hide()
                widget.deleteLater()
        self._lines = [self._line(k, layer) for k, layer in enumerate(layers, 1)]
        self._resize()
        self.changed.emit()

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802
        """The rows may have another height now: by a theme, a font, one row more."""
        if event is not None and event.type() == QEvent.Type.LayoutRequest and watched is self.widget():
            self._resize()
        return super().eventFilter(watched, event)

    def _resize(self) -> None:
        each = self._lines[0][2].sizeHint().height() + self._grid.verticalSpacing() if self._lines else 0
        self.setFixedHeight(self._grid.sizeHint().height() - each * max(0, len(self._lines) - SHOWN) + 4)

    def _line(self, number: int, layer: Any) -> tuple[Any, QLabel, QLineEdit]:
        name, edit = QLabel(layer.name), QLineEdit(self._class_of(layer))
        name.setToolTip(layer.name)
        name.setMinimumWidth(20)
        edit.setPlaceholderText("not used")
        described(edit, f"Class of {layer.name}", TIP)
        edit.textEdited.connect(lambda text: self._edited(layer, text))
        self._grid.addWidget(name, number, 0)
        self._grid.addWidget(edit, number, 1)
        return layer, name, edit

    def _class_of(self, layer: Any) -> str:
        return self._typed.get(layer.name, _guess(layer.name))

    def _edited(self, layer: Any, text: str) -> None:
        self._typed[layer.name] = text
        self.changed.emit()


def _guess(name: str) -> str:
    """The class that the name of a layer tells: without a number at its end."""
    return re.sub(r"[\s_\-.]*[\[(]?\d*[\])]?$", "", name) or name
