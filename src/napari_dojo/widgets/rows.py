"""What to learn from: rows of an image layer and its labels, filled by themselves until a person changes them."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QPushButton, QScrollArea, QToolButton, QVBoxLayout, QWidget

from napari_dojo.axes import Axes
from napari_dojo.widgets.form import described
from napari_dojo.widgets.layers import array_of, axes_choices
from napari_dojo.widgets.pick import LayerBox, images_of, labels_of, paired

__all__ = ["PairRows", "fits"]


def fits(image: Any, labels: Any) -> bool:
    """Whether labels of this shape may belong to the image, whatever its axes are."""
    array, wanted = array_of(image), tuple(array_of(labels).shape)
    return any(Axes(names).result(array.shape, None)[1] == wanted for names, _ in axes_choices(image))


class PairRows(QWidget):
    """Rows of an image and its labels. ``changed`` says that other layers are chosen."""

    changed = Signal()

    def __init__(self, viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._touched = False
        self._rows: list[tuple[LayerBox, LayerBox, QToolButton]] = []
        inner = QWidget()
        self._grid = QGridLayout(inner)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(4)
        self._grid.setVerticalSpacing(3)
        self._grid.setColumnStretch(0, 1)
        self._grid.setColumnStretch(1, 1)
        self._heads = [QLabel("Image"), QLabel("Labels")]
        for column, head in enumerate(self._heads):
            self._grid.addWidget(head, 0, column)
        self._area = QScrollArea()
        self._area.setWidgetResizable(True)
        self._area.setFrameShape(QScrollArea.Shape.NoFrame)
        self._area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._area.setWidget(inner)
        self.add_button = QPushButton("+ pair")
        described(self.add_button, "Add a pair", "Add a row: an image and the labels that belong to it.")
        self.fill_button = QPushButton("Find pairs")
        described(self.fill_button, "Find pairs", "Pair all images with labels of the same size, by their names.")
        self.add_button.clicked.connect(self._add_clicked)
        self.fill_button.clicked.connect(self._fill_clicked)
        buttons = QHBoxLayout()
        buttons.addWidget(self.add_button)
        buttons.addWidget(self.fill_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addWidget(self._area)
        layout.addLayout(buttons)
        self.refresh()

    def pairs(self) -> list[tuple[Any, Any]]:
        """(image layer, labels layer) of each complete row, in order, each pair once."""
        found: list[tuple[Any, Any]] = []
        for image, labels, _ in self._rows:
            pair = (image.layer, labels.layer)
            if None not in pair and not any(a is pair[0] and b is pair[1] for a, b in found):
                found.append(pair)
        return found

    def refresh(self) -> None:
        """Follow the viewer's layers."""
        if not self._touched:
            self._set(self._found())
            return
        there = list(self._viewer.layers)
        for row in list(self._rows):
            if any(box.layer is not None and box.layer not in there for box in row[:2]):
                self._drop(row)
        for row in self._rows:
            self._fill(row)
        self._resize()
        self.changed.emit()

    def set_pairs(self, pairs: list[tuple[Any, Any]]) -> None:
        """Choose these layers; from now on the rows are the person's."""
        self._touched = True
        self._set(pairs)

    def _found(self) -> list[tuple[Any, Any]]:
        layers = list(self._viewer.layers)
        return paired(images_of(layers), labels_of(layers, ours=False), fits)

    def _set(self, pairs: list[tuple[Any, Any]]) -> None:
        now = [(a.layer, b.layer) for a, b, _ in self._rows]
        same = len(now) == len(pairs) and all(a is c and b is d for (a, b), (c, d) in zip(now, pairs, strict=True))
        if not (same and now):
            while len(self._rows) > max(1, len(pairs)):
                self._drop(self._rows[-1])
            while len(self._rows) < max(1, len(pairs)):
                self._append()
        for row, (image, labels) in zip(self._rows, pairs, strict=False):
            self._fill(row)
            row[0].choose(image)
            row[1].choose(labels)
        for row in self._rows[len(pairs) :]:
            self._fill(row)
        self._resize()
        self.changed.emit()

    def _append(self) -> None:
        number = len(self._rows) + 1
        image = LayerBox(f"Image of pair {number}", "An image to learn from.")
        labels = LayerBox(f"Labels of pair {number}", "The labels that belong to this image.")
        remove = QToolButton()
        remove.setText("×")
        remove.setAutoRaise(True)
        described(remove, f"Remove pair {number}", "Leave this pair out.")
        row = (image, labels, remove)
        image.picked.connect(self._picked)
        labels.picked.connect(self._picked)
        remove.clicked.connect(self._remove_clicked)
        at = self._grid.rowCount()
        for column, widget in enumerate(row):
            self._grid.addWidget(widget, at, column)
        self._rows.append(row)
        self._fill(row)

    def _drop(self, row: tuple[LayerBox, LayerBox, QToolButton]) -> None:
        self._rows.remove(row)
        for widget in row:
            self._grid.removeWidget(widget)
            widget.hide()
            widget.deleteLater()

    def _fill(self, row: tuple[LayerBox, LayerBox, QToolButton]) -> None:
        layers = list(self._viewer.layers)
        row[0].fill(images_of(layers))
        image, all_labels = row[0].layer, labels_of(layers)
        row[1].fill([x for x in all_labels if image is not None and fits(image, x)])

    def _resize(self) -> None:
        height = self._rows[0][0].sizeHint().height() + 3 if self._rows else 24
        shown = min(5, max(1, len(self._rows)))
        self._area.setFixedHeight(self._heads[0].sizeHint().height() + 6 + shown * height)

    def _picked(self) -> None:
        self._touched = True
        for row in self._rows:
            self._fill(row)
        self.changed.emit()

    def _add_clicked(self) -> None:
        self._touched = True
        self._append()
        self._resize()
        self.changed.emit()

    def _fill_clicked(self) -> None:
        self._touched = False
        self.refresh()

    def _remove_clicked(self) -> None:
        self._touched = True
        row = next((r for r in self._rows if r[2] is self.sender()), None)
        if row is not None:
            self._drop(row)
        self._resize()
        self.changed.emit()
