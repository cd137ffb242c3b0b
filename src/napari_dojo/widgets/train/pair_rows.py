"""What to learn from: rows of image layers and their answers, filled by themselves until a person changes them."""

from __future__ import annotations

import re
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

from napari_dojo.data.axes import Axes
from napari_dojo.data.dataset import ONE_TO_ONE, ROLES, Layout
from napari_dojo.data.kinds import LABELS, Kind
from napari_dojo.tasks import Task
from napari_dojo.widgets.common.form import NO_ARROW, NameBox, described, narrow
from napari_dojo.widgets.common.layers import array_of, axes_choices, new_labels, same_grid
from napari_dojo.widgets.common.pick import LayerBox, images_of, labels_of, paired, shapes_of

__all__ = ["Answers", "PairRows", "Row", "fits", "fits_as", "kind_of"]

SHOWN, LAST = 5, 1000  # rows: above this number only a part is shown
ANSWER = re.compile(r"clean|target|truth|high|sharp|fine|dense|dapi|stain|gt\b|label", re.IGNORECASE)
USE = {
    "automatic": "Training and validation are chosen by themselves.",
    "training": "This image is used for training.",
    "validation": "This image is used to choose the best model, not for training.",
    "test": "This image is used only for the final score.",
}


@dataclass(frozen=True, eq=False)
class Row:
    """One image and its answer, as layers.

    ``images`` : the channels of one input, one layer or several of the same size; ``answer`` : labels or an image, None
    where the task takes none; ``region`` : a Shapes layer, None means that the whole image is annotated; ``role`` : as
    `napari_dojo.data.dataset.Item` has it; ``more`` : further images that are predicted from the same input.
    """

    images: tuple[Any, ...]
    answer: Any
    region: Any = None
    role: str = "automatic"
    more: tuple[Any, ...] = ()

    @property
    def name(self) -> str:
        """What the user knows it by."""
        return str(self.images[0].name)

    @property
    def answers(self) -> tuple[Any, ...]:
        """All its answers."""
        return () if self.answer is None else (self.answer, *self.more)

    @property
    def layers(self) -> tuple[Any, ...]:
        """All layers of it."""
        return (*self.images, *self.answers, *([] if self.region is None else [self.region]))


@dataclass(frozen=True)
class Answers:
    """What a task takes as targets: their kind (None: none), how they lie, and whether images alone will do."""

    kind: Kind | None = LABELS
    layout: Layout = ONE_TO_ONE
    word: str = "labels"
    optional: bool = False

    @staticmethod
    def of(task: Task, options: Any) -> Answers:
        """What this task takes."""
        layout, target = task.layout(options), task.target
        if target is None:
            return Answers(None, layout, "", True)
        return Answers(target.kind, layout, target.word, target.optional)

    @property
    def drawn(self) -> bool:
        """Whether a person paints them."""
        return self.kind is not None and self.kind.drawn

    def among(self, layers: Sequence[Any], ours: bool = True) -> list[Any]:
        """The layers that may be an answer to something."""
        if self.drawn:
            return labels_of(layers, ours)
        return [] if self.kind is None else images_of(layers, ours)


def fits(image: Any, answer: Any, layout: Layout = ONE_TO_ONE) -> bool:
    """Whether an answer of this shape may belong to the image, whatever its axes are."""
    return any(fits_as(image, answer, names, layout) for names, _ in axes_choices(image))


def fits_as(image: Any, answer: Any, names: str, layout: Layout = ONE_TO_ONE) -> bool:
    """Whether an answer of this shape may belong to the image with these axes."""
    shape, wanted = tuple(array_of(image).shape), tuple(array_of(answer).shape)
    if answer is image or (not layout.kind.drawn and getattr(answer, "rgb", False) != getattr(image, "rgb", False)):
        return False
    axes = layout.axes(Axes(names), shape, wanted)
    channels = (None,) if layout.kind.drawn else (None, axes.own_channels(shape))
    return any(axes.result(shape, c, layout.scale(axes.spatial))[1] == wanted for c in channels)


class _Line:
    """The controls of one row."""

    def __init__(self, number: int) -> None:
        self.image = LayerBox(f"Image of pair {number}", "A training image.")
        self.answer = LayerBox(f"Target of pair {number}", "The target for this image: what the model should predict.")
        self.role = NameBox()
        for role in ROLES:
            self.role.addItem(role.removesuffix("matic"), role)
            self.role.setItemData(self.role.count() - 1, USE[role], Qt.ItemDataRole.ToolTipRole)
        described(self.role, f"Use of pair {number}", "What this image is used for.")
        for box in (self.image, self.answer, self.role):
            narrow(box)
            box.setMinimumContentsLength(2)
        self.more = QToolButton()
        self.more.setText("⋯")
        self.more.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.more.setAutoRaise(True)
        self.more.setStyleSheet(NO_ARROW)
        described(self.more, f"More on pair {number}", "Channels, annotated region, new labels, remove.")
        self.extra: tuple[Any, ...] = ()
        self.also: tuple[Any, ...] = ()
        self.optional = False
        self.region: Any = None

    @property
    def controls(self) -> tuple[QWidget, ...]:
        """In their order."""
        return self.image, self.answer, self.role, self.more

    @property
    def layers(self) -> list[Any]:
        """All layers that are chosen."""
        chosen = [self.image.layer, self.answer.layer, *self.extra, *self.also, self.region]
        return [x for x in chosen if x is not None]

    @property
    def row(self) -> Row | None:
        """What is chosen; None where the image or its answer are missing."""
        if self.image.layer is None or (self.answer.layer is None and not self.optional):
            return None
        images = (self.image.layer, *self.extra)
        return Row(images, self.answer.layer, self.region, self.role.currentData(), self.also)

    def show(self) -> None:
        """Say in the boxes what the menu chose."""
        i = self.image.currentIndex()
        if i >= 0:
            more = f" + {len(self.extra)}" if self.extra else ""
            self.image.setItemText(i, self.image.layer.name + more)
        names = ", ".join(x.name for x in (self.image.layer, *self.extra) if x is not None)
        self.image.setToolTip(f"Channels: {names}" if self.extra else "A training image.")
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
        self.takes = Answers()
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
            row = line.row
            if row and not any(r.images[0] is row.images[0] and r.answer is row.answer for r in found):
                found.append(row)
        return found

    def set_rows(self, rows: Sequence[Row]) -> None:
        """Choose these; from now on the rows are the person's."""
        self._touched = True
        self._set(rows)

    def replace(self, old: Row, new: Row | None) -> None:
        """Put another row, or none, in the place of one."""
        rows = [r for r in self.rows() if r.images[0] is not old.images[0] or r.answer is not old.answer]
        at = next((i for i, r in enumerate(self.rows()) if r.answer is old.answer), len(rows))
        self.set_rows([*rows[:at], *([new] if new else []), *rows[at:]])

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
            if any(box.layer is not None and box.layer not in there for box in (line.image, line.answer)):
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

    def take(self, answers: Answers) -> None:
        """Another task takes other answers; rows that a person chose stay where they fit."""
        if answers == self.takes:
            return
        kept = self.rows() if self._touched and answers.kind == self.takes.kind else []
        self.takes = answers
        self._touched = bool(kept)
        self._heads[1].setText(answers.word.capitalize())
        self._heads[1].setVisible(answers.kind is not None)
        self.labels_button.setVisible(answers.drawn)
        what = "image" if answers.kind is None else "pair"
        self.add_button.setText(f"+ {what}")
        self.fill_button.setText(f"Find {what}s")
        self._set(kept or self._found())

    def _fits(self, image: Any, answer: Any) -> bool:
        return fits(image, answer, self.takes.layout)

    def _found(self) -> list[Row]:
        layers = list(self._viewer.layers)
        images = images_of(layers, ours=self.takes.drawn)
        pairs = paired(images, self.takes.among(layers, ours=False), self._fits)
        pairs = _of_one_kind(_told_apart(pairs) if not self.takes.drawn else pairs)
        if not pairs and self.takes.optional and images:
            active = self._viewer.layers.selection.active
            return [Row((active if any(active is x for x in images) else images[0],), None)]
        old = {id(r.answer): r for r in self.rows()}
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
            line.also = tuple(x for x in row.more if x in there)
            line.region = row.region if row.region in there else None
            line.role.setCurrentIndex(max(0, line.role.findData(row.role)))
            line.image.fill(images_of(there))
            line.image.choose(row.images[0])
            self._fill(line)
            line.answer.choose(row.answer)
        for line in self._lines[len(rows) :]:
            self._fill(line)
        self._resize()
        self.changed.emit()

    def _append(self) -> None:
        line = _Line(len(self._lines) + 1)
        for box in (line.image, line.answer):
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
        line.optional = self.takes.optional
        found = [x for x in self.takes.among(layers) if image is not None and self._fits(image, x)]
        line.answer.fill(found, nothing="(from the image alone)" if self.takes.optional else "")
        line.answer.setVisible(self.takes.kind is not None)
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
        if not self.takes.drawn and line.answer.layer is not None:
            self._fill_also(menu.addMenu("Also predict"), line)
        inside: Any = menu.addMenu("Annotated")
        for region in (None, *shapes_of(layers)):
            action = inside.addAction("everywhere" if region is None else f"inside {region.name}")
            action.setCheckable(True)
            action.setChecked(line.region is region)
            action.triggered.connect(lambda _=False, region=region: self._region(line, region))
        if self.takes.drawn:
            menu.addAction("New labels for this image", lambda: self.make_labels(image))
        menu.addAction("Remove this pair", lambda: self._remove(line))

    def _fill_also(self, menu: Any, line: _Line) -> None:
        """Further images that are predicted from the same input."""
        for other in images_of(self._viewer.layers):
            taken = (line.image.layer, line.answer.layer, *line.extra)
            if not any(other is x for x in taken) and same_grid(line.answer.layer, other):
                action = menu.addAction(other.name)
                action.setCheckable(True)
                action.setChecked(any(other is x for x in line.also))
                action.toggled.connect(lambda on, other=other: self._predict_also(line, other, on))
        menu.setEnabled(bool(menu.actions()))

    def _predict_also(self, line: _Line, other: Any, on: bool) -> None:
        line.also = (*(x for x in line.also if x is not other), *([other] if on else []))
        self._picked()

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


def _told_apart(pairs: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Of images that were paired both ways round, the way whose second name is that of an answer; each image once."""
    kept: list[tuple[Any, Any]] = []
    for a, b in sorted(pairs, key=lambda pair: not ANSWER.search(pair[1].name)):
        if not any(x is y for pair in kept for x in pair for y in (a, b)):
            kept.append((a, b) if not ANSWER.search(a.name) or ANSWER.search(b.name) else (b, a))
    return [pair for pair in pairs if any(pair[0] is a and pair[1] is b for a, b in kept)] or kept


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
