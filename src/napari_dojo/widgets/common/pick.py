"""Boxes to choose layers in: they follow adding, renaming and removing, and remember the layer, not its place."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from qtpy.QtCore import QObject, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QWidget

from napari_dojo.widgets.common.form import NameBox, described, narrow
from napari_dojo.widgets.common.later import later
from napari_dojo.widgets.common.provenance import is_uncorrected, made, watch_corrections

__all__ = ["LayerBox", "LayerWatch", "images_of", "labels_of", "paired", "previews_of", "shapes_of"]


class LayerWatch(QObject):
    """Says ``changed`` when layers came, went or got another name, and ``painted`` when labels or images changed."""

    changed = Signal()
    painted = Signal()

    def __init__(self, viewer: Any, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._layers = viewer.layers
        self._soon = later(self, 0, self.changed)
        self._layers.events.inserted.connect(self._inserted)
        self._layers.events.removed.connect(self._removed)
        self._layers.events.reordered.connect(self._later)
        for layer in self._layers:
            self._follow(layer)

    def close(self) -> None:
        """Listen no more."""
        self._soon.stop()
        self._layers.events.inserted.disconnect(self._inserted)
        self._layers.events.removed.disconnect(self._removed)
        self._layers.events.reordered.disconnect(self._later)
        for layer in self._layers:
            self._leave(layer)

    def _follow(self, layer: Any) -> None:
        watch_corrections(layer)
        layer.events.name.connect(self._later)
        layer.events.data.connect(self._painted)
        if hasattr(layer.events, "paint"):
            layer.events.paint.connect(self._painted)

    def _leave(self, layer: Any) -> None:
        layer.events.name.disconnect(self._later)
        layer.events.data.disconnect(self._painted)
        if hasattr(layer.events, "paint"):
            layer.events.paint.disconnect(self._painted)

    def _inserted(self, event: Any) -> None:
        self._follow(event.value)
        self._later()

    def _removed(self, event: Any) -> None:
        self._leave(event.value)
        self._later()

    def _later(self, event: Any = None) -> None:
        self._soon.start()

    def _painted(self, event: Any = None) -> None:
        self.painted.emit()


class LayerBox(NameBox):
    """A choice among layers. ``picked`` is said when a person chose."""

    picked = Signal()

    def __init__(self, name: str, tip: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        described(self, name, tip)
        narrow(self)
        self.activated.connect(self._activated)

    @property
    def layer(self) -> Any:
        """The chosen layer or None."""
        return self.currentData()

    def choose(self, layer: Any) -> None:
        """Choose a layer that is listed."""
        self.setCurrentIndex(next((i for i in range(self.count()) if self.itemData(i) is layer), -1))

    def fill(self, layers: Iterable[Any], default: Any = None, nothing: str = "", guess: bool = True) -> None:
        """List these layers, and ``nothing``; what was chosen stays chosen, else the default is, else the first.

        Without ``guess`` none is chosen in the place of a missing default.
        """
        layers = list(layers)
        chosen = self.layer
        chosen = next((x for x in layers if x is chosen), default if default is not None else None)
        self.blockSignals(True)
        self.clear()
        if nothing:
            self.addItem(nothing, None)
        for layer in layers:
            self.addItem(layer.name, layer)
            self.setItemData(self.count() - 1, layer.name, Qt.ItemDataRole.ToolTipRole)
        self.choose(chosen)
        if self.currentIndex() < 0 and guess and (layers or nothing):
            self.setCurrentIndex(0)
        self.blockSignals(False)

    def _activated(self, *_: Any) -> None:
        self.picked.emit()


def images_of(layers: Iterable[Any], ours: bool = True) -> list[Any]:
    """The image layers; without previews and the like, and without uncorrected predictions unless ``ours``."""
    shown = ("preview", "honesty", "example")
    found = [x for x in layers if x._type_string == "image" and not any(_made(x, kind) for kind in shown)]
    return found if ours else [x for x in found if not is_uncorrected(x.metadata)]


def labels_of(layers: Iterable[Any], ours: bool = True) -> list[Any]:
    """The labels layers; without previews, comparisons, classes of objects and accepted places; uncorrected predictions where ``ours``."""
    shown = ("preview", "comparison", "accepted", "classes")
    found = [x for x in layers if x._type_string == "labels" and not any(_made(x, kind) for kind in shown)]
    return found if ours else [x for x in found if not is_uncorrected(x.metadata)]


def previews_of(layers: Iterable[Any]) -> list[Any]:
    """The live layers of trainings."""
    return [x for x in layers if made(x.metadata).get("training")]


def shapes_of(layers: Iterable[Any]) -> list[Any]:
    """The Shapes layers."""
    return [x for x in layers if x._type_string == "shapes"]


def paired(images: list[Any], labels: list[Any], fits: Callable[[Any, Any], bool]) -> list[tuple[Any, Any]]:
    """Each image with the labels that fit it, the most alike name first; each labels layer once."""
    import re
    from difflib import SequenceMatcher

    def likeness(a: Any, b: Any) -> tuple[bool, float]:
        numbers = re.findall(r"\d+", a.name) == re.findall(r"\d+", b.name)
        return numbers, SequenceMatcher(None, a.name.lower(), b.name.lower()).ratio()

    possible = [
        (likeness(a, b), -i - j, i, j) for i, a in enumerate(images) for j, b in enumerate(labels) if fits(a, b)
    ]
    taken: dict[int, int] = {}
    for *_, i, j in sorted(possible, reverse=True):
        if i not in taken and j not in taken.values():
            taken[i] = j
    return [(images[i], labels[taken[i]]) for i in sorted(taken)]


def _made(layer: Any, kind: str) -> bool:
    return made(layer.metadata).get("kind") == kind
