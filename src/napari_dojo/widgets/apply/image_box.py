"""What a model is applied to: one image layer, all that are selected or visible, or a folder of files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QWidget

from napari_dojo.boxes import middle
from napari_dojo.data.axes import Axes
from napari_dojo.io.images import Picture
from napari_dojo.widgets.common.layers import array_of, axes_choices, likely_axes, source_of
from napari_dojo.widgets.common.pick import LayerBox, images_of

__all__ = ["Group", "ImageBox", "Subject"]


LOOKED_AT = {"YX": (1024, 1024), "ZYX": (32, 256, 256)}  # px


class Group(Enum):
    """What stands for more than one image."""

    SELECTED = "All selected images"
    VISIBLE = "All visible images"
    FOLDER = "A folder of files ..."


class ImageBox(LayerBox):
    """A choice among image layers and groups of them. ``regrouped`` says that a group may have other members now."""

    regrouped = Signal()

    def __init__(self, viewer: Any, name: str, tip: str, parent: QWidget | None = None) -> None:
        super().__init__(name, tip, parent)
        self.setPlaceholderText("no image is open")
        self._layers = viewer.layers
        self._followed: list[Any] = []
        self._layers.selection.events.changed.connect(self._regroup)

    @property
    def group(self) -> Group | None:
        """The chosen group; None where it is one layer, or nothing."""
        chosen = self.currentData()
        return chosen if isinstance(chosen, Group) else None

    @property
    def layers(self) -> list[Any]:
        """The chosen layers, as they are listed in the viewer; none for a folder."""
        if self.group is not None:
            return self._members(self.group)
        return [] if self.currentData() is None else [self.currentData()]

    @property
    def layer(self) -> Any:
        """The chosen layer, or the first of several."""
        layers = self.layers
        return layers[0] if layers else None

    def fill(self, layers: Iterable[Any], default: Any = None, nothing: str = "", guess: bool = True) -> None:
        """List these layers, and the groups there are; what was chosen stays chosen. Says nothing."""
        layers = list(layers)
        chosen = self.group
        super().fill(layers, default, nothing)
        self.blockSignals(True)
        groups = [g for g in (Group.SELECTED, Group.VISIBLE) if len(self._members(g)) > 1]
        if layers:
            self.insertSeparator(self.count())
        for group in (*groups, Group.FOLDER):
            n = len(self._members(group))
            self.addItem(group.value + (f" ({n})" if n else ""), group)
        if chosen in (*groups, Group.FOLDER):
            self.choose(chosen)
        elif not layers:
            self.setCurrentIndex(-1)
        self.blockSignals(False)
        self._follow(layers)

    def end(self) -> None:
        """Listen no more."""
        self._layers.selection.events.changed.disconnect(self._regroup)
        self._follow([])

    def _members(self, group: Group) -> list[Any]:
        images = images_of(self._layers)
        if group is Group.SELECTED:
            return [x for x in images if x in self._layers.selection]
        return [x for x in images if x.visible] if group is Group.VISIBLE else []

    def _follow(self, layers: list[Any]) -> None:
        for layer in self._followed:
            layer.events.visible.disconnect(self._regroup)
        self._followed = layers
        for layer in layers:
            layer.events.visible.connect(self._regroup)

    def _regroup(self, event: Any = None) -> None:
        self.regrouped.emit()


@dataclass(frozen=True, eq=False)
class Subject:
    """What the chosen images are like, as far as the first of them says: a layer, or a file.

    Attributes
    ----------
    key : tells one from another.
    shape : of the array.
    choices : what its axes may be, and in words; the likeliest first.
    stated : the axes that the layer or the file names itself.
    """

    key: Any
    shape: tuple[int, ...]
    choices: tuple[tuple[str, str], ...]
    stated: str | None
    _layer: Any
    _picture: Picture | None

    @staticmethod
    def of_layer(layer: Any) -> Subject:
        """An image layer."""
        named, likely = "".join(str(a).upper()[:1] for a in layer.axis_labels), likely_axes(layer)
        stated = likely if likely.startswith(named) else None
        shape = tuple(array_of(layer).shape)
        return Subject((layer, shape), shape, axes_choices(layer), stated, layer, None)

    @staticmethod
    def of_file(picture: Picture) -> Subject:
        """An image that was read from a file."""
        names = (picture.axes or "")[: -1 if picture.rgb else None]
        like = SimpleNamespace(data=picture.data, multiscale=False, rgb=picture.rgb, axis_labels=tuple(names))
        shape = tuple(picture.data.shape)
        return Subject((picture.path, shape), shape, axes_choices(like), picture.axes, None, picture)

    def sample(self, names: str, spatial: str) -> NDArray[Any]:
        """The middle of one image (C, *S), no larger than can be looked at in a moment."""
        array = self._picture.data if self._picture is not None else array_of(self._layer)
        axes = Axes(names, spatial)
        x = axes.sample(array, axes.count(array.shape) // 2)
        return np.asarray(x[(slice(None), *middle(x.shape[1:], LOOKED_AT[spatial]))])

    def pixel_size(self, names: str, spatial: str) -> tuple[tuple[float, ...] | None, str | None]:
        """The size of the axes that a model works in, and its unit, "um" where it is a length."""
        if self._picture is not None:
            size, n = self._picture.pixel_size, len(spatial)
            return (size[-n:] if size and len(size) >= n else None), self._picture.unit
        source = source_of(self._layer, names, volumes=spatial == "ZYX")
        return source.pixel_size, source.unit
