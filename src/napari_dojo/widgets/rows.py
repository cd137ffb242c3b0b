"""What to learn from: rows of image layers and their labels, filled by themselves until a person changes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import QEvent, QObject, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QMenu,
    QPushButton,
    QScrollArea,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_dojo.axes import Axes
from napari_dojo.pairs import ROLES
from napari_dojo.widgets.form import NO_ARROW, NameBox, described, narrow
from napari_dojo.widgets.layers import array_of, axes_choices, new_labels
from napari_dojo.widgets.pick import LayerBox, images_of, labels_of, paired, shapes_of

__all__ = ["PairRows", "Row", "fits", "kind_of", "same_grid"]

SHOWN, LAST = 5, 1000  # rows: of more than so many a part; below all of them
USE = {
    "automatic": "Training and validation are chosen by themselves.",
    "training": "The model learns from this image.",
    "validation": "This image chooses the best model; it is not learned from.",
    "test": "This image is never seen before the final score.",
}


@dataclass(frozen=True, eq=False)
class Row:
    """One image and its answer, as layers.

    ``images`` : the channels of one input, one layer or several of the same size; ``region`` : a Shapes layer, None
    means that the whole image is annotated; ``role`` : as `napari_dojo.pairs.Item` has it.
    """

    images: tuple[Any, ...]
    labels: Any
    region: Any = None
    role: str = "automatic"

    @property
    def name(self) -> str:
        """What the user knows it by."""
        return str(self.images[0].name)


def fits(image: Any, labels: Any) -> bool:
    """Whether labels of this shape may belong to the image, whatever its axes are."""
    array, wanted = array_of(image), tuple(array_of(labels).shape)
    return any(Axes(names).result(array.shape, None)[1] == wanted for names, _ in axes_choices(image))


class _Line:
    """The controls of one row."""

    def __init__(self, number: int) -> None:
        self.image = LayerBox(f"Image of pair {number}", "An image to learn from.")
        self.labels = LayerBox(f"Labels of pair {number}", "The labels that belong to this image.")
        self.role = NameBox()
        for role in ROLES:
            self.role.addItem(role.removesuffix("matic"), role)
            self.role.setItemData(self.role.count() - 1, USE[role], Qt.ItemDataRole.ToolTipRole)
        described(self.role, f"Use of pair {number}", "What this image is used for.")
        for box in (self.image, self.labels, self.role):
            narrow(box)
            box.setMinimumContentsLength(2)
        self.more = QToolButton()
        self.more.setText("⋯")
        self.more.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.more.setAutoRaise(True)
        self.more.setStyleSheet(NO_ARROW)
        described(self.more, f"More on pair {number}", "Channels, annotated region, new labels, remove.")
        self.extra: tuple[Any, ...] = ()
        self.region: Any = None

    @property
    def controls(self) -> tuple[QWidget, ...]:
        """In their order."""
        return self.image, self.labels, self.role, self.more

    @property
    def layers(self) -> list[Any]:
        """All layers that are chosen."""
        chosen = [self.image.layer, self.labels.layer, *self.extra, self.region]
        return [x for x in chosen if x is not None]

    @property
    def row(self) -> Row | None:
        """What is chosen; None where the image or its labels are missing."""
        if self.image.layer is None or self.labels.layer is None:
            return None
        return Row((self.image.layer, *self.extra), self.labels.layer, self.region, self.role.currentData())

    def show(self) -> None:
        """Say in the boxes what the menu chose."""
        i = self.image.currentIndex()
        if i >= 0:
            more = f" + {len(self.extra)}" if self.extra else ""
            self.image.setItemText(i, self.image.layer.name + more)
        names = ", ".join(x.name for x in (self.image.layer, *self.extra) if x is not None)
        self.image.setToolTip(f"Channels: {names}" if self.extra else "An image to learn from.")
        self.more.setText("▢" if self.region is not None else "⋯")
        only = f"Annotated: inside {self.region.name}." if self.region is not None else "The whole image is annotated."
        self.more.setToolTip(f"Channels, annotated region, new labels, remove. {only}")


class PairRows(QWidget):
    """Rows of an image and its labels. ``changed`` says that something else is chosen."""

    changed = Signal()

    def __init__(self, viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._touched = False
        self._lines: list[_Line] = []
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
            "Make an empty Labels layer over the active image, ready to paint, and learn from it.",
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
            row = line.row
            if row and not any(r.images[0] is row.images[0] and r.labels is row.labels for r in found):
                found.append(row)
        return found

    def set_rows(self, rows: Sequence[Row]) -> None:
        """Choose these; from now on the rows are the person's."""
        self._touched = True
        self._set(rows)

    def replace(self, old: Row, new: Row | None) -> None:
        """Put another row, or none, in the place of one."""
        rows = [r for r in self.rows() if r.images[0] is not old.images[0] or r.labels is not old.labels]
        at = next((i for i, r in enumerate(self.rows()) if r.labels is old.labels), len(rows))
        self.set_rows([*rows[:at], *([new] if new else []), *rows[at:]])

    def refresh(self) -> None:
        """Follow the viewer's layers."""
        if not self._touched:
            self._set(self._found())
            return
        there = list(self._viewer.layers)
        for line in list(self._lines):
            line.extra = tuple(x for x in line.extra if x in there)
            line.region = line.region if line.region in there else None
            if any(box.layer is not None and box.layer not in there for box in (line.image, line.labels)):
                self._drop(line)
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
        self.set_rows([*(r for r in rows if r.images[0] is not image), Row((image,), labels)])
        return labels

    def _found(self) -> list[Row]:
        layers = list(self._viewer.layers)
        pairs = _of_one_kind(paired(images_of(layers), labels_of(layers, ours=False), fits))
        old = {id(r.labels): r for r in self.rows()}
        return [
            Row((a,), b, old[id(b)].region if id(b) in old else _region_of(a, layers), _role(old.get(id(b))))
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
            line.region = row.region if row.region in there else None
            line.role.setCurrentIndex(max(0, line.role.findData(row.role)))
            line.image.fill(images_of(there))
            line.image.choose(row.images[0])
            self._fill(line)
            line.labels.choose(row.labels)
        for line in self._lines[len(rows) :]:
            self._fill(line)
        self._resize()
        self.changed.emit()

    def _append(self) -> None:
        line = _Line(len(self._lines) + 1)
        for box in (line.image, line.labels):
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

    def _drop(self, line: _Line) -> None:
        self._lines.remove(line)
        for widget in line.controls:
            self._grid.removeWidget(widget)
            widget.hide()
            widget.deleteLater()

    def _fill(self, line: _Line) -> None:
        layers = list(self._viewer.layers)
        line.image.fill(images_of(layers))
        image = line.image.layer
        line.labels.fill([x for x in labels_of(layers) if image is not None and fits(image, x)])
        line.show()

    def _fill_menu(self, menu: QMenu, line: _Line) -> None:
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
        inside: Any = menu.addMenu("Annotated")
        for region in (None, *shapes_of(layers)):
            action = inside.addAction("everywhere" if region is None else f"inside {region.name}")
            action.setCheckable(True)
            action.setChecked(line.region is region)
            action.triggered.connect(lambda _=False, region=region: self._region(line, region))
        menu.addAction("New labels for this image", lambda: self.make_labels(image))
        menu.addAction("Remove this pair", lambda: self._remove(line))

    def _channel(self, line: _Line, other: Any, on: bool) -> None:
        line.extra = (*(x for x in line.extra if x is not other), *([other] if on else []))
        self._picked()

    def _region(self, line: _Line, region: Any) -> None:
        line.region = region
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

    def _remove(self, line: _Line) -> None:
        self._touched = True
        self._drop(line)
        self._resize()
        self.changed.emit()


def _region_of(image: Any, layers: Sequence[Any]) -> Any:
    """The Shapes layer that names the image and a region."""
    return next((x for x in shapes_of(layers) if x.name.startswith(f"{image.name} region")), None)


def _role(row: Row | None) -> str:
    return "automatic" if row is None else row.role


def kind_of(image: Any) -> tuple[int, int]:
    """What the images of one model have in common: dimensions and colours."""
    shape = array_of(image).shape
    return len(shape), shape[-1] if image.rgb else 0


def _of_one_kind(pairs: Sequence[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """The pairs whose images are of the kind that most of them have."""
    kinds = [kind_of(image) for image, _ in pairs]
    return [pair for pair, kind in zip(pairs, kinds, strict=True) if kind == max(kinds, key=kinds.count)]


def same_grid(a: Any, b: Any) -> bool:
    """Whether image ``b`` may be a channel beside ``a``."""
    return not b.rgb and tuple(array_of(a).shape) == tuple(array_of(b).shape)
