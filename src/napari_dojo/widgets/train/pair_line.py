"""The controls of one row of the table of pairs."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QToolButton, QWidget

from napari_dojo.data.dataset import ROLES
from napari_dojo.widgets.common.form import NO_ARROW, NameBox, described, narrow
from napari_dojo.widgets.common.pick import LayerBox
from napari_dojo.widgets.common.rows import Row

__all__ = ["PairLine"]

USE = {
    "automatic": "Training and validation are chosen by themselves.",
    "training": "This image is used for training.",
    "validation": "This image is used to choose the best model, not for training.",
    "test": "This image is used only for the final score.",
}


class PairLine:
    """The controls of one row."""

    def __init__(self, number: int) -> None:
        self.image = LayerBox(f"Image of pair {number}", "A training image.")
        self.target = LayerBox(f"Target of pair {number}", "The target for this image: what the model should predict.")
        self.role = NameBox()
        for role in ROLES:
            self.role.addItem(role.removesuffix("matic"), role)
            self.role.setItemData(self.role.count() - 1, USE[role], Qt.ItemDataRole.ToolTipRole)
        described(self.role, f"Use of pair {number}", "What this image is used for.")
        for box in (self.image, self.target, self.role):
            narrow(box)
            box.setMinimumContentsLength(2)
        self.target.setPlaceholderText("none yet")
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
        self.accepted: Any = None  # where a person accepted labels of the target; counts where there is no region
        self.everywhere = False  # a person chose that neither counts

    @property
    def controls(self) -> tuple[QWidget, ...]:
        """In their order."""
        return self.image, self.target, self.role, self.more

    @property
    def layers(self) -> list[Any]:
        """All layers that are chosen."""
        chosen = [self.image.layer, self.target.layer, *self.extra, *self.also, self.region]
        return [x for x in chosen if x is not None]

    @property
    def row(self) -> Row | None:
        """What is chosen; None where the image or its target are missing."""
        if self.image.layer is None or (self.target.layer is None and not self.optional):
            return None
        images = (self.image.layer, *self.extra)
        return Row(images, self.target.layer, self.inside, self.role.currentData(), self.also)

    @property
    def inside(self) -> Any:
        """The layer outside of which nothing counts; None: everything does."""
        return self.accepted if self.region is None and not self.everywhere else self.region

    def show(self) -> None:
        """Say in the boxes what the menu chose."""
        i = self.image.currentIndex()
        if i >= 0:
            more = f" + {len(self.extra)}" if self.extra else ""
            self.image.setItemText(i, self.image.layer.name + more)
        names = ", ".join(x.name for x in (self.image.layer, *self.extra) if x is not None)
        self.image.setToolTip(f"Channels: {names}" if self.extra else "A training image.")
        inside = self.inside
        self.more.setText("▢" if inside is not None else "⋯")
        only = f"Annotated: inside {inside.name}." if inside is not None else "The whole image is annotated."
        self.more.setToolTip(f"Channels, annotated region, new labels, remove. {only}")
