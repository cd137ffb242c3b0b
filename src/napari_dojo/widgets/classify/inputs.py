"""What is classified: the layer of objects, the images they are looked at in, and how these are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QAction  # type: ignore[attr-defined]
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QMenu, QToolButton, QWidget

from napari_dojo.data.axes import Axes
from napari_dojo.widgets.classify.subject import Subject, axes_of
from napari_dojo.widgets.common.form import NO_ARROW, described, form_layout, narrow
from napari_dojo.widgets.common.layers import array_of, fits, same_grid
from napari_dojo.widgets.common.pick import LayerBox, images_of, labels_of, paired

__all__ = ["Inputs"]

NO_IMAGE = "Open an image first (File > Open, or File > Open Sample > Dojo)."
NO_LABELS = "There are no objects yet. Let a model find them (Apply), or paint labels or points."


class Inputs(QWidget):
    """Boxes for Labels or Points, the image, further channels, and the third axis. ``changed``: others are chosen."""

    changed = Signal()

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self._more: list[Any] = []  # further channels
        self._subject: Subject | None = None
        self._form = form_layout(self)
        self.labels_box = LayerBox("Objects", "The objects: a Labels layer, or points, of which each is a disc.")
        self.image_box = LayerBox("Image", "The image in which objects are looked at.")
        self.more_button = QToolButton()
        self.more_button.setText("+")
        self.more_button.setStyleSheet(NO_ARROW)
        self.more_button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        described(self.more_button, "More channels", "Look at further images of the same size, as channels.")
        self.menu = QMenu(self)
        self.more_button.setMenu(self.menu)
        self.axis_box = QComboBox()
        described(
            self.axis_box, "Third axis", "Objects of a volume are measured as a whole, those of frames one by one."
        )
        narrow(self.axis_box)
        row = QHBoxLayout()
        row.setSpacing(4)
        row.addWidget(self.image_box, 1)
        row.addWidget(self.more_button)
        self._form.addRow("Objects", self.labels_box)
        self._form.addRow("Image", row)
        self._form.addRow("Third axis", self.axis_box)
        self.labels_box.picked.connect(self._labels_picked)
        self.image_box.picked.connect(self._image_picked)
        self.axis_box.activated.connect(lambda *_: self._decide())
        self.menu.triggered.connect(self._toggled)

    @property
    def subject(self) -> Subject | None:
        """What is chosen; None where something is missing."""
        return self._subject

    @property
    def why(self) -> str:
        """What is missing."""
        layer = self.labels_box.layer
        if layer is not None and self.image_box.layer is None:
            size = " x ".join(map(str, array_of(layer).shape)) if layer._type_string == "labels" else ""
            return f"There is no image that fits {layer.name}{f' ({size} px)' if size else ''}. Open it."
        return NO_LABELS if images_of(self._viewer.layers) else NO_IMAGE

    def refresh(self) -> None:
        """Follow the viewer's layers; what was chosen stays, else the selected or the newest labels are."""
        layers = self._viewer.layers
        found = [*labels_of(layers), *(x for x in layers if x._type_string == "points" and len(x.data))]
        found = [x for x in found if not getattr(x, "multiscale", False) and x.ndim >= 2]
        images = images_of(layers)
        active = layers.selection.active
        fitting = [x for x in found if any(_fits(image, x) for image in images)]
        default = active if active in fitting else next((x for x in reversed(fitting)), None)
        self.labels_box.fill(found, default, guess=True)
        self._list_images()

    def choose(self, layer: Any, images: Sequence[Any]) -> None:
        """Choose layers that are listed."""
        self.refresh()
        self.labels_box.choose(layer)
        self.image_box.clear()
        self._more = list(images[1:])
        self._list_images(images[0] if images else None)

    def _labels_picked(self) -> None:
        self.image_box.blockSignals(True)
        self.image_box.clear()  # other objects lie in another image
        self.image_box.blockSignals(False)
        self._more = []
        self._list_images()

    def _image_picked(self) -> None:
        self._more = []
        self._list_channels()

    def _list_images(self, wanted: Any = None) -> None:
        layer = self.labels_box.layer
        images = [] if layer is None else [x for x in images_of(self._viewer.layers) if _fits(x, layer)]
        likely = []
        if layer is not None and layer._type_string == "labels":
            likely = paired(images, [layer], fits)
        self.image_box.fill(images, wanted or (likely[0][0] if likely else None))
        self._list_channels()

    def _list_channels(self) -> None:
        """The other images that may be channels beside the chosen one."""
        image = self.image_box.layer
        listed = [self.image_box.itemData(i) for i in range(self.image_box.count())]
        others = [] if image is None or image.rgb else [x for x in listed if x is not image and same_grid(image, x)]
        self._more = [x for x in self._more if x in others]
        self.menu.clear()
        for other in others:
            action = QAction(other.name, self.menu)
            action.setCheckable(True)
            action.setChecked(other in self._more)
            action.setData(other)
            self.menu.addAction(action)
        self.more_button.setVisible(bool(others))
        self.more_button.setText(f"+{len(self._more) or ''}")
        self._list_axes()

    def _toggled(self, *_: Any) -> None:
        self._more = [a.data() for a in self.menu.actions() if a.isChecked()]
        self._list_channels()

    def _list_axes(self) -> None:
        layer, image = self.labels_box.layer, self.image_box.layer
        choices = [] if layer is None or image is None else axes_of((image, *self._more), layer)
        chosen = self.axis_box.currentData()
        self.axis_box.clear()
        for axes, words in choices:
            self.axis_box.addItem(words, axes)
        self.axis_box.setCurrentIndex(max(0, next((k for k, c in enumerate(choices) if c[0] == chosen), 0)))
        for widget in (self.axis_box, self._form.labelForField(self.axis_box)):
            if widget is not None:
                widget.setVisible(len(choices) > 1)
        self._decide()

    def _decide(self) -> None:
        layer, image, axes = self.labels_box.layer, self.image_box.layer, self.axis_box.currentData()
        there = layer is not None and image is not None and isinstance(axes, Axes)
        self._subject = Subject(layer, (image, *self._more), axes) if there else None
        self.changed.emit()


def _fits(image: Any, layer: Any) -> bool:
    """Whether objects of a layer may lie in an image."""
    if image.multiscale or min(array_of(image).shape, default=0) < 1:
        return False
    if layer._type_string == "points":
        return image.ndim >= layer.ndim
    return fits(image, layer)
