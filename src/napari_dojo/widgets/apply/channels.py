"""Which layers are the further channels of an image, for a model that needs several: by name, else as a person says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QLabel, QWidget

from napari_dojo.models.card import Card
from napari_dojo.widgets.common.form import form_layout
from napari_dojo.widgets.common.layers import array_of, likely_axes, same_grid
from napari_dojo.widgets.common.pick import LayerBox, images_of

__all__ = ["ChannelRows", "beside"]


def beside(layer: Any, layers: Sequence[Any]) -> list[Any]:
    """The image layers that may be channels beside this one."""
    if layer is None or layer.rgb or "C" in likely_axes(layer):
        return []
    return [x for x in images_of(layers, ours=False) if x is not layer and same_grid(layer, x)]


class ChannelRows(QWidget):
    """One box for each channel but the first. ``changed`` says that another layer is chosen."""

    changed = Signal()

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self._boxes: list[LayerBox] = []
        self._labels: list[QLabel] = []
        self._form = form_layout(self)
        self._form.setContentsMargins(0, 0, 0, 0)
        self.hide()

    @property
    def layers(self) -> tuple[Any, ...]:
        """The chosen layers; none where they are not needed."""
        chosen = [box.layer for box in self._boxes if not box.isHidden()]
        return () if self.isHidden() or any(x is None for x in chosen) else tuple(chosen)

    def show_for(self, card: Card | None, layer: Any) -> None:
        """Ask for what this model needs beside this layer; for nothing where the layer has its channels itself."""
        there = beside(layer, self._viewer.layers)
        more = card.own_channels - 1 if card is not None else 0
        asked = 0 < more <= len(there) and card.own_channels != array_of(layer).shape[0] if card is not None else False
        while len(self._boxes) < (more if asked else 0):
            self._append()
        names = card.channel_names[1:] if card is not None else ()
        for k, (box, label) in enumerate(zip(self._boxes, self._labels, strict=True)):
            shown = bool(asked) and k < more
            for widget in (box, label):
                widget.setVisible(shown)
            if shown:
                name = names[k] if k < len(names) else f"channel {k + 2}"
                label.setText(name[:14])
                named = next((x for x in there if name.lower() in x.name.lower()), None)
                box.fill(there, named or there[min(k, len(there) - 1)])
        self.setVisible(bool(asked))

    def _append(self) -> None:
        k = len(self._boxes) + 2
        box, label = LayerBox(f"Channel {k}", "The layer that is this channel of the image."), QLabel()
        box.picked.connect(self.changed)
        self._form.addRow(label, box)
        self._boxes.append(box)
        self._labels.append(label)
