"""How the brightness of a series is measured: a choice that is shown only where there is more than one frame."""

from __future__ import annotations

from typing import Literal

from qtpy.QtWidgets import QComboBox, QLabel

from napari_dojo.models.card import Card
from napari_dojo.widgets.common.form import described, narrow

__all__ = ["FramesBox"]

TIP = (
    "How brightness is measured: once for the whole series, or for each frame (or plane) by itself, where frames bleach, "
    "flicker or become dim with depth."
)


class FramesBox(QComboBox):
    """The whole series, or each frame by itself; ``label`` stands beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.label = QLabel("Frames")
        self.addItem("the whole series", "whole")
        self.addItem("each frame by itself", "each")
        self._default = "whole"
        described(self, "Frames", TIP)
        narrow(self)
        self.show_for(None, 1)

    @property
    def chosen(self) -> Literal["whole", "each"] | None:
        """What a person chose, "whole" or "each"; None where it is what the model does anyhow."""
        found: Literal["whole", "each"] = self.currentData()
        return None if self.isHidden() or found == self._default else found

    def show_for(self, card: Card | None, count: int) -> None:
        """Be there where an image has several frames; another model brings its own default."""
        default = card.rule.frames if card else "whole"
        if default != self._default:
            self._default = default
            self.setCurrentIndex(self.findData(default))
        for widget in (self, self.label):
            widget.setVisible(count > 1)
