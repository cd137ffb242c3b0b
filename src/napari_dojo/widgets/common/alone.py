"""Which of several images a person looks at, and that image shown alone for a while. No Qt."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["Alone", "lies_on", "pair_in_view"]


def pair_in_view(pairs: Sequence[Sequence[Any]], active: Any, bottom_up: Sequence[tuple[Any, bool]]) -> int | None:
    """The pair that a person looks at: that of the active layer, else of the topmost visible layer, else the first.

    Parameters
    ----------
    pairs : the layers of each pair.
    active : the selected layer, or None.
    bottom_up : all layers of the viewer in their order, and whether each is visible.
    """
    visible = [layer for layer, shown in reversed(bottom_up) if shown]
    for wanted in (active, *visible):
        for k, layers in enumerate(pairs):
            if wanted is not None and any(wanted is x for x in layers):
                return k
    return 0 if pairs else None


def lies_on(images: Sequence[Any], bottom_up: Sequence[tuple[Any, bool]]) -> bool:
    """Whether the topmost visible image layer is one of ``images``: what is drawn over it belongs to it."""
    top = next((x for x, shown in reversed(bottom_up) if shown and x._type_string == "image"), None)
    return any(top is x for x in images)


class Alone:
    """Shows some layers of a viewer without the others. `put_back` restores visibility as it was.

    What a person shows or hides in the meantime stays as they want it.
    """

    def __init__(self, layers: Any) -> None:
        self._layers = layers
        self._changed: list[tuple[Any, bool]] = []  # layer, and whether it was visible before

    def show(self, images: Iterable[Any], beside: Iterable[Any] = ()) -> None:
        """Show ``images``, leave the layers ``beside`` them as they are, and hide all others."""
        self.put_back()
        images, beside = list(images), list(beside)
        for layer in self._layers:
            wanted = any(layer is x for x in images)
            if layer.visible != wanted and not any(layer is x for x in beside):
                self._changed.append((layer, layer.visible))
                layer.visible = wanted

    def put_back(self) -> None:
        """Restore what `show` changed."""
        changed, self._changed = self._changed, []
        for layer, before in changed:
            if layer in self._layers and layer.visible != before:
                layer.visible = before
