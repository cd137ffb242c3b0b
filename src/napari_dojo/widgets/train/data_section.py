"""The section "Learn from" of the Train panel: layers of the viewer or a folder of files, and what their axes are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QComboBox,
    QLabel,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from napari_dojo.io.datasets import DatasetFiles
from napari_dojo.io.pairing import likely_targets
from napari_dojo.tasks import Finding, Fix
from napari_dojo.widgets.common.form import PathEdit, described, form_layout, narrow
from napari_dojo.widgets.common.layers import (
    array_of,
    axes_choices,
    fits,
    fits_as,
    holds_labels,
    labels_from,
    same_grid,
)
from napari_dojo.widgets.common.pick import images_of, labels_of, paired
from napari_dojo.widgets.common.provenance import is_uncorrected, model_of
from napari_dojo.widgets.common.rows import Row, Targets, kind_of
from napari_dojo.widgets.common.training_data import ClassLayers, Files, Layers, Material
from napari_dojo.widgets.train.class_layers import ClassLayerRows
from napari_dojo.widgets.train.pair_rows import PairRows

__all__ = ["DataSection", "FolderRows"]

NO_CLASSES = "Two classes are needed: type the class of each image layer, or learn from a folder of class folders."
ODD_CLASSES = "The layers differ in dimensions or colours. One model learns from one kind of image: empty the class of the others."
NO_LABELS = "no labels"  # the code of the finding that a new Labels layer solves

IN_FILES = (
    ("as the files say", None),
    ("Z (planes of a volume)", "ZYX"),
    ("time, or separate images", "TYX"),
    ("channels", "CYX"),
)


class FolderRows(QWidget):
    """A folder of images and one of their labels. ``changed`` says that something else is chosen."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.images = PathEdit("Images", "Folder of the training images.")
        self.targets = PathEdit("Labels", "Folder of the targets; files are paired by their names.")
        self.targets.edit.setPlaceholderText("found beside the images")
        self.takes = Targets()
        self.axes_box = QComboBox()
        described(self.axes_box, "Third axis", "What the axis before Y and X is, where the files have one.")
        narrow(self.axes_box)
        for words, axes in IN_FILES:
            self.axes_box.addItem(words, axes)
        form = form_layout(self)
        form.addRow("Images", self.images)
        self._targets_label = QLabel("Labels")
        form.addRow(self._targets_label, self.targets)
        form.addRow("Third axis", self.axes_box)
        self.images.changed.connect(self._guess)
        self.targets.changed.connect(self.changed)
        self.axes_box.activated.connect(lambda *_: self.changed.emit())

    @property
    def given(self) -> DatasetFiles | None:
        """What is chosen; None where the images are missing."""
        if not self.images.path:
            return None
        found = likely_targets(self.images.path) if self.takes.drawn else None
        target = self.targets.path or (None if self.takes.optional else str(found or self.images.path))
        target = None if self.takes.kind is None else target
        return DatasetFiles(self.images.path, target, self.axes_box.currentData())

    def take(self, targets: Targets) -> None:
        """Another task takes other targets."""
        self.takes = targets
        self._targets_label.setText(targets.word.capitalize())
        for widget in (self.targets, self._targets_label):
            widget.setVisible(targets.kind is not None)
        self._show_guess()

    def _guess(self) -> None:
        self._show_guess()
        self.changed.emit()

    def _show_guess(self) -> None:
        found = likely_targets(self.images.path) if self.images.path and self.takes.drawn else None
        short = f".../{found.parent.name}/{found.name}" if found else "found beside the images"
        alone = "none: learned from the images alone" if self.takes.optional else "choose their folder"
        alone = alone if self.takes.dense else "none: a folder of each class, or a CSV"
        self.targets.edit.setPlaceholderText(short if self.takes.drawn else alone)


class DataSection(QWidget):
    """What to learn from. ``changed`` says that something else is chosen."""

    changed = Signal()

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self.source_box = QComboBox()
        described(
            self.source_box, "Learn from", "Layers that are open in the viewer, or files that need not be opened."
        )
        narrow(self.source_box)
        self.source_box.addItem("layers in the viewer", "layers")
        self.source_box.addItem("a folder of files", "files")
        self.rows = PairRows(viewer)
        self.class_rows = ClassLayerRows(viewer)
        self.folder = FolderRows()
        self.third_box = QComboBox()
        described(
            self.third_box, "Third axis", "What the axes before Y and X are: planes of a volume, or images one by one."
        )
        narrow(self.third_box)
        self.third_label = QLabel("Third axis")
        top, bottom = form_layout(), form_layout()
        top.addRow("Learn from", self.source_box)
        bottom.addRow(self.third_label, self.third_box)
        self._stack = QStackedWidget()
        layers = QWidget()
        column = QVBoxLayout(layers)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(3)
        column.addWidget(self.rows)
        column.addWidget(self.class_rows)
        self.class_rows.hide()
        column.addLayout(bottom)
        column.addStretch(1)
        for page in (layers, self.folder):
            self._stack.addWidget(page)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addLayout(top)
        layout.addWidget(self._stack)
        self.source_box.currentIndexChanged.connect(self._turned)
        self.rows.changed.connect(self._rows_changed)
        self.class_rows.changed.connect(self._rows_changed)
        self.folder.changed.connect(self.changed)
        self.third_box.activated.connect(lambda *_: self.changed.emit())
        self._rows_changed()

    @property
    def axes(self) -> str | None:
        """The axes of the image layers as chosen; None where there are no images."""
        return self.third_box.currentData()

    @staticmethod
    def can_show(material: Material | None) -> bool:
        """Whether this may be chosen here; objects that were shown in Classify may not."""
        return material is None or isinstance(material, Layers | ClassLayers | Files)

    def material(self) -> Material | None:
        """What is chosen; None where something is missing."""
        if self.source_box.currentData() == "files":
            given = self.folder.given
            return Files(given) if given else None
        if not self.rows.takes.dense:
            named = tuple(self.class_rows.rows)
            return ClassLayers(named, self.axes) if len({c for _, c in named}) > 1 and self.axes else None
        rows = self.rows.rows()
        return Layers(tuple(rows), self.axes, self.rows.takes.layout) if rows and self.axes else None

    def problem(self) -> Finding | None:
        """What is missing or does not go together, and what to do; None where all can be looked at."""
        material = self.material()
        if material is None and not self.rows.takes.dense and self.source_box.currentData() == "layers":
            return Finding("error", NO_CLASSES)
        if material is None:
            masks = [mask.name for _, mask in self._masks()] if self.rows.takes.drawn else []
            if self.source_box.currentData() == "layers" and masks:
                text = f"Labels are needed. {masks[0]} is an image, but looks like labels."
                return Finding("error", text, (Fix("Take as labels", "relabel", tuple(masks)),))
            return self._predicted() or self._missing()
        rows = material.rows if isinstance(material, Layers) else ()
        if isinstance(material, ClassLayers):
            kinds = {kind_of(layer) for layer, _ in material.rows}
            return None if len(kinds) == 1 else Finding("error", ODD_CLASSES)
        odd = [row.name for row in rows if kind_of(row.images[0]) != kind_of(rows[0].images[0])]
        if odd:
            text = (
                f"{odd[0]} and {rows[0].name} differ in dimensions or colours. One model learns from one kind of image."
            )
            return Finding("error", text, (Fix("Exclude", "exclude", tuple(odd)),))
        return None

    def take_masks(self) -> None:
        """Learn from images that hold labels: each becomes a Labels layer, and is hidden."""
        rows = []
        for image, mask in self._masks():
            labels = labels_from(self._viewer, mask, image)
            mask.visible = False
            rows.append(Row((image,), labels))
        self.rows.set_rows(rows)

    def _predicted(self) -> Finding | None:
        """That the only targets there are were made by a model; None where that is not so."""
        found = self.rows.predictions() if self.source_box.currentData() == "layers" else []
        if not found:
            return None
        names, model = tuple(x.name for _, x in found), _model(found[0][1])
        take = Fix("Use uncorrected", "take", names)
        if not self.rows.takes.drawn:
            return Finding(
                "error", f"{names[0]} comes from {model}. A measured {self.rows.takes.word} is needed.", (take,)
            )
        text = f"Labels made by a model: correct them first. {names[0]} comes from {model}."
        return Finding("error", text, (Fix("Correct them", "correct", names[:1]), take))

    def take_predictions(self) -> None:
        """Train on predictions that nobody corrected, because a person wants it."""
        self.rows.set_rows([*self.rows.rows(), *(Row((a,), b) for a, b in self.rows.predictions())])

    def take_rows(self, rows: Sequence[Row]) -> None:
        """Learn from these layers; what was said of the axes of files holds for them."""
        axes = self.folder.axes_box.currentData()
        self.rows.set_rows(rows)
        self.source_box.setCurrentIndex(self.source_box.findData("layers"))
        if axes is not None:
            self.third_box.setCurrentIndex(max(0, self.third_box.findData(axes)))

    def _masks(self) -> list[tuple[Any, Any]]:
        """Images with images that hold their labels."""
        images = images_of(self._viewer.layers)
        masks = [x for x in images if holds_labels(x)]
        return paired([x for x in images if x not in masks], masks, fits)

    def _missing(self) -> Finding:
        """What is missing before anything can be looked at."""
        if self.source_box.currentData() == "files":
            what = "" if self.rows.takes.dense else ", one for each class inside it,"
            return Finding("error", f"A folder of images{what} is needed. Choose it with the button at the right.")
        kinds = [x._type_string for x in self._viewer.layers]
        if "image" not in kinds:
            return Finding("error", "An image is needed. Open one (File > Open, or File > Open Sample > Dojo).")
        word = self.rows.takes.word
        if self.rows.takes.kind is not None and not self.rows.takes.drawn:
            return Finding("error", f"Pairs are needed: an image and its {word}, of a size that fits. Open both.")
        if "labels" not in kinds:
            what = "strokes of each class" if self.rows.classes else "objects"
            text = f"Labels are needed: what to find in the image. Make a Labels layer and paint some {what}."
        else:
            image = images_of(self._viewer.layers)[0]
            sizes = ", ".join(f"{x.name} {_size(x)}" for x in labels_of(self._viewer.layers)[:2])
            text = (
                f"No Labels layer has the size of an image ({image.name} is {_size(image)}; {sizes}). Make a new one."
            )
        return Finding("error", text, code=NO_LABELS)

    def notes(self) -> list[Finding]:
        """What the table leaves out: images of the same size that nobody uses, and what lies outside of regions."""
        rows = self.rows.rows()
        if self.source_box.currentData() == "files" or not rows or not self.rows.takes.dense:
            return []
        used = [x for row in rows for x in (*row.images, *row.targets)]
        images = [x for x in images_of(self._viewer.layers) if x not in used and not holds_labels(x)]
        unused = [x.name for x in images if same_grid(rows[0].images[0], x)]
        labels = [x for x in labels_of(self._viewer.layers, ours=False) if all(x is not row.target for row in rows)]
        other = [a.name for a, _ in paired(images, labels, fits) if kind_of(a) != kind_of(rows[0].images[0])]
        found = []
        if other:
            found.append(Finding("ok", f"Not used: {', '.join(other[:3])}, of another kind than {rows[0].name}"))
        if unused and len(rows) == 1:
            found.append(Finding("ok", f"Not used: {', '.join(unused[:3])} (the button ⋯ adds channels)"))
        taken = [row.target for row in rows if row.target is not None and is_uncorrected(row.target.metadata)]
        for layer in taken[:1]:
            text = f"{layer.name} was made by {_model(layer)} and is not corrected: the new model learns its mistakes."
            found.append(Finding("warning", text))
        if left := self.rows.predictions():
            found.append(Finding("ok", f"Not used: {', '.join(b.name for _, b in left[:3])}, made by a model"))
        regions = [(row.name, row.region._type_string == "labels") for row in rows if row.region is not None]
        for accepted, what in ((False, "what lies inside the region counts"), (True, "accepted places count")):
            if inside := [name for name, of_labels in regions if of_labels is accepted]:
                found.append(Finding("ok", f"Of {', '.join(inside[:3])} only {what}"))
        return found

    def take(self, targets: Targets) -> None:
        """Another task takes other targets."""
        self.rows.take(targets)
        self.folder.take(targets)
        self.rows.setVisible(targets.dense)
        self.class_rows.setVisible(not targets.dense)
        self._rows_changed()

    def choices(self) -> dict[str, Any]:
        """What is chosen besides layers, for saving."""
        folder = self.folder
        return {
            "source": self.source_box.currentData(),
            "axes": self.axes,
            "layer_classes": self.class_rows.typed,
            "folder": [folder.images.path, folder.targets.path, folder.axes_box.currentData()],
        }

    def set_choices(self, choices: dict[str, Any]) -> None:
        """Choose what was saved."""
        images, labels, axes = choices.get("folder") or ("", "", None)
        self.folder.images.edit.setText(images)
        self.folder.targets.edit.setText(labels)
        self.folder.axes_box.setCurrentIndex(max(0, self.folder.axes_box.findData(axes)))
        self.class_rows.set_typed(choices.get("layer_classes") or {})
        self.source_box.setCurrentIndex(max(0, self.source_box.findData(choices.get("source"))))
        self.third_box.setCurrentIndex(max(0, self.third_box.findData(choices.get("axes"))))

    def _turned(self, *_: Any) -> None:
        self._stack.setCurrentIndex(self.source_box.currentIndex())
        self.changed.emit()

    def _rows_changed(self) -> None:
        rows, chosen = self.rows.rows(), self.axes
        choices = axes_choices(rows[0].images[0]) if rows else ()
        if not self.rows.takes.dense:  # images one by one, unless a person says that they are volumes
            named = self.class_rows.rows
            choices = tuple(sorted(axes_choices(named[0][0]), key=lambda c: c[0][0] != "T")) if named else ()
        elif rows:
            image, target, layout = rows[0].images[0], rows[0].target, self.rows.takes.layout
            choices = tuple(c for c in choices if target is None or fits_as(image, target, c[0], layout)) or choices
        self.third_box.clear()
        for names, words in choices:
            self.third_box.addItem(words, names)
        self.third_box.setCurrentIndex(max(0, self.third_box.findData(chosen)))
        for widget in (self.third_box, self.third_label):
            widget.setVisible(len(choices) > 1)
        long = bool(choices) and len(choices[0][0].replace("C", "")) >= 4
        self.third_label.setText("First axes" if long else "Third axis")
        self.changed.emit()


def _model(layer: Any) -> str:
    """The model that made a layer, in words."""
    return f"the model {model_of(layer.metadata)}" if model_of(layer.metadata) else "a model"


def _size(layer: Any) -> str:
    return " x ".join(map(str, array_of(layer).shape[: layer.ndim]))
