"""What to learn from: rows of image layers and their targets, filled by themselves until a person changes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import QEvent, QObject, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QMenu,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from napari_dojo.widgets.common.accepted import accepted_places
from napari_dojo.widgets.common.form import described
from napari_dojo.widgets.common.layers import fits, new_labels, same_grid
from napari_dojo.widgets.common.pick import images_of, paired, shapes_of
from napari_dojo.widgets.common.provenance import is_uncorrected
from napari_dojo.widgets.common.rows import Row, Targets, of_one_kind, region_of, told_apart
from napari_dojo.widgets.train.pair_line import PairLine

__all__ = ["PairRows"]

SHOWN, LAST = 5, 1000  # rows: above this number only a part is shown


class PairRows(QWidget):
    """Rows of an image and its labels. ``changed`` says that something else is chosen."""

    changed = Signal()

    def __init__(self, viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._touched = False
        self._lines: list[PairLine] = []
        self.takes = Targets()
        self.classes = False  # whether new labels are for classes
        inner = QWidget()
        self._grid = QGridLayout(inner)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(3)
        self._grid.setVerticalSpacing(3)
        for column, stretch in enumerate((4, 4, 3)):
            self._grid.setColumnStretch(column, stretch)
        self._heads = [QLabel("Image"), QLabel("Labels"), QLabel("Use as")]
        self._grid.setRowStretch(LAST, 1)  # what is left over lies below
        for column, head in enumerate(self._heads):
            self._grid.addWidget(head, 0, column)
        self._area = QScrollArea()
        self._area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._area.setWidgetResizable(True)
        self._area.setFrameShape(QScrollArea.Shape.NoFrame)
        self._area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._area.setWidget(inner)
        inner.installEventFilter(self)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addWidget(self._area)
        layout.addLayout(self._buttons())
        self.refresh()

    def _buttons(self) -> QHBoxLayout:
        self.add_button = QPushButton("+ pair")
        described(self.add_button, "Add a pair", "Add a row: an image and the labels that belong to it.")
        self.labels_button = QPushButton("+ new labels")
        described(
            self.labels_button,
            "New Labels layer",
            "Make an empty Labels layer over the active image, ready to paint, and use it for training.",
        )
        self.fill_button = QPushButton("Find pairs")
        described(self.fill_button, "Find pairs", "Pair all images with labels of the same size, by their names.")
        self.add_button.clicked.connect(self._add_clicked)
        self.labels_button.clicked.connect(lambda: self.make_labels())
        self.fill_button.clicked.connect(self._fill_clicked)
        buttons = QHBoxLayout()
        for button in (self.add_button, self.labels_button, self.fill_button):
            buttons.addWidget(button)
        return buttons

    # what is chosen

    def rows(self) -> list[Row]:
        """The complete rows, in order, each pair once."""
        found: list[Row] = []
        for line in self._lines:
            line.accepted = self._accepted(line)
            row = line.row
            if row and not any(r.images[0] is row.images[0] and r.target is row.target for r in found):
                found.append(row)
        return found

    def set_rows(self, rows: Sequence[Row]) -> None:
        """Choose these; from now on the rows are the person's."""
        self._touched = True
        self._set(rows)

    def replace(self, old: Row, new: Row | None) -> None:
        """Put another row, or none, in the place of one."""
        rows = [r for r in self.rows() if r.images[0] is not old.images[0] or r.target is not old.target]
        at = next((i for i, r in enumerate(self.rows()) if r.target is old.target), len(rows))
        self.set_rows([*rows[:at], *([new] if new else []), *rows[at:]])

    def predictions(self) -> list[tuple[Any, Any]]:
        """Images without a target of their own, each with a prediction that nobody corrected."""
        layers, used = self._viewer.layers, [r.images[0] for r in self.rows()]
        images = [x for x in images_of(layers, ours=self.takes.drawn) if not any(x is u for u in used)]
        return paired(images, [x for x in self.takes.among(layers) if is_uncorrected(x.metadata)], self._fits)

    def refresh(self) -> None:
        """Follow the viewer's layers."""
        if not self._touched:
            self._set(self._found())
            return
        there = list(self._viewer.layers)
        for line in list(self._lines):
            line.extra = tuple(x for x in line.extra if x in there)
            line.also = tuple(x for x in line.also if x in there)
            line.region = line.region if line.region in there else None
            if any(box.layer is not None and box.layer not in there for box in (line.image, line.target)):
                self._drop(line)
                if not self._lines:  # none of what a person chose is left
                    self._fill_clicked()
                    return
        for line in self._lines:
            self._fill(line)
        self._resize()
        self.changed.emit()

    def make_labels(self, image: Any = None) -> Any:
        """A new labels layer over this image, else the active one, else one without labels; its row. None without images."""
        images = images_of(self._viewer.layers)
        taken = [r.images[0] for r in self.rows()]
        active = self._viewer.layers.selection.active
        free = [x for x in images if not any(x is t for t in taken)]
        image = image or next((x for x in images if x is active), None) or next(iter([*free, *images]), None)
        if image is None:
            return None
        rows = self.rows()
        labels = new_labels(self._viewer, image, self.classes)
        old = next((r for r in rows if r.images[0] is image), Row((image,), None))
        self.set_rows([*(r for r in rows if r.images[0] is not image), Row(old.images, labels, role=old.role)])
        return labels

    def take(self, targets: Targets) -> None:
        """Another task takes other targets; rows that a person chose stay where they fit."""
        if targets == self.takes:
            return
        kept = self.rows() if self._touched and targets.kind == self.takes.kind else []
        self.takes = targets
        self._touched = bool(kept)
        self._heads[1].setText(targets.word.capitalize())
        self._heads[1].setVisible(targets.kind is not None)
        self.labels_button.setVisible(targets.drawn)
        what = "image" if targets.kind is None else "pair"
        self.add_button.setText(f"+ {what}")
        self.fill_button.setText(f"Find {what}s")
        self._set(kept or self._found())

    def _accepted(self, line: PairLine) -> Any:
        """The accepted places of a row's labels, where there are any."""
        labels = line.target.layer if self.takes.drawn else None
        return None if labels is None else accepted_places(self._viewer.layers, labels)

    def _fits(self, image: Any, target: Any) -> bool:
        return fits(image, target, self.takes.layout)

    def _found(self) -> list[Row]:
        layers = list(self._viewer.layers)
        images = images_of(layers, ours=self.takes.drawn)
        pairs = paired(images, self.takes.among(layers, ours=False), self._fits)
        pairs = of_one_kind(told_apart(pairs) if self.takes.images else pairs)
        if not pairs and self.takes.optional and images:
            active = self._viewer.layers.selection.active
            return [Row((active if any(active is x for x in images) else images[0],), None)]
        old = {id(r.target): r for r in self.rows()}
        return [
            Row((a,), b, old[id(b)].region if id(b) in old else region_of(a, layers), _role(old.get(id(b))))
            for a, b in pairs
        ]

    # the table

    def _set(self, rows: Sequence[Row]) -> None:
        while len(self._lines) > max(1, len(rows)):
            self._drop(self._lines[-1])
        while len(self._lines) < max(1, len(rows)):
            self._append()
        there = list(self._viewer.layers)
        for line, row in zip(self._lines, rows, strict=False):
            line.extra = tuple(x for x in row.images[1:] if x in there)
            line.also = tuple(x for x in row.more if x in there)
            line.region = row.region if row.region in there else None
            line.role.setCurrentIndex(max(0, line.role.findData(row.role)))
            line.image.fill(images_of(there))
            line.image.choose(row.images[0])
            self._fill(line)
            line.target.choose(row.target)
        for line in self._lines[len(rows) :]:
            self._fill(line)
        self._resize()
        self.changed.emit()

    def _append(self) -> None:
        line = PairLine(len(self._lines) + 1)
        for box in (line.image, line.target):
            box.picked.connect(self._picked)
        line.role.activated.connect(self._picked)
        menu = QMenu(line.more)
        menu.aboutToShow.connect(lambda: self._fill_menu(menu, line))
        line.more.setMenu(menu)
        at = self._grid.rowCount()
        for column, widget in enumerate(line.controls):
            self._grid.addWidget(widget, at, column)
        self._lines.append(line)
        self._fill(line)

    def _drop(self, line: PairLine) -> None:
        self._lines.remove(line)
        for widget in line.controls:
            self._grid.removeWidget(widget)
            widget.hide()
            widget.deleteLater()

    def _fill(self, line: PairLine) -> None:
        layers = list(self._viewer.layers)
        line.image.fill(images_of(layers))
        image = line.image.layer
        line.optional = self.takes.optional
        found = [x for x in self.takes.among(layers) if image is not None and self._fits(image, x)]
        own = [x for x in found if not is_uncorrected(x.metadata)]
        listed = [*own, *(x for x in found if x not in own)]
        alone = "(from the image alone)" if self.takes.optional else ""
        line.target.fill(listed, nothing=alone, guess=bool(own))
        line.target.setVisible(self.takes.kind is not None)
        line.accepted = self._accepted(line)
        line.show()

    def _fill_menu(self, menu: QMenu, line: PairLine) -> None:
        """The choices of one row, as they are now."""
        menu.clear()
        image, layers = line.image.layer, list(self._viewer.layers)
        channels: Any = menu.addMenu("Channels")
        for other in images_of(layers):
            if image is not None and other is not image and not image.rgb and same_grid(image, other):
                action = channels.addAction(other.name)
                action.setCheckable(True)
                action.setChecked(any(other is x for x in line.extra))
                action.toggled.connect(lambda on, other=other: self._channel(line, other, on))
        channels.setEnabled(bool(channels.actions()))
        if self.takes.images and line.target.layer is not None:
            self._fill_also(menu.addMenu("Also predict"), line)
        inside: Any = menu.addMenu("Annotated")
        accepted = line.accepted = self._accepted(line)
        for region in (None, *([] if accepted is None else [accepted]), *shapes_of(layers)):
            action = inside.addAction("everywhere" if region is None else f"inside {region.name}")
            action.setCheckable(True)
            action.setChecked(line.inside is region)
            action.triggered.connect(lambda _=False, region=region: self._region(line, region))
        if self.takes.drawn:
            menu.addAction("New labels for this image", lambda: self.make_labels(image))
        menu.addAction("Remove this pair", lambda: self._remove(line))

    def _fill_also(self, menu: Any, line: PairLine) -> None:
        """Further images that are predicted from the same input."""
        for other in images_of(self._viewer.layers):
            taken = (line.image.layer, line.target.layer, *line.extra)
            if not any(other is x for x in taken) and same_grid(line.target.layer, other):
                action = menu.addAction(other.name)
                action.setCheckable(True)
                action.setChecked(any(other is x for x in line.also))
                action.toggled.connect(lambda on, other=other: self._predict_also(line, other, on))
        menu.setEnabled(bool(menu.actions()))

    def _predict_also(self, line: PairLine, other: Any, on: bool) -> None:
        line.also = (*(x for x in line.also if x is not other), *([other] if on else []))
        self._picked()

    def _channel(self, line: PairLine, other: Any, on: bool) -> None:
        line.extra = (*(x for x in line.extra if x is not other), *([other] if on else []))
        self._picked()

    def _region(self, line: PairLine, region: Any) -> None:
        line.region, line.everywhere = region, region is None
        self._picked()

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802
        """The rows may have another height now: by a theme, a font, one row more."""
        if event is not None and event.type() == QEvent.Type.LayoutRequest and watched is self._area.widget():
            self._resize()
        return super().eventFilter(watched, event)

    def _resize(self) -> None:
        height, more = self._grid.sizeHint().height(), len(self._lines) - SHOWN
        if more > 0:
            height -= more * (self._lines[0].image.sizeHint().height() + self._grid.verticalSpacing())
        borders = 2 * min(SHOWN, len(self._lines))  # that boxes get while they are disabled
        self._area.setFixedHeight(height + borders + 2 * max(1, self._area.frameWidth()))

    def _picked(self) -> None:
        self._touched = True
        for line in self._lines:
            self._fill(line)
        self.changed.emit()

    def _add_clicked(self) -> None:
        self._touched = True
        self._append()
        self._resize()
        self.changed.emit()

    def _fill_clicked(self) -> None:
        self._touched = False
        self.refresh()

    def _remove(self, line: PairLine) -> None:
        self._touched = True
        self._drop(line)
        self._resize()
        self.changed.emit()


def _role(row: Row | None) -> str:
    return "automatic" if row is None else row.role
