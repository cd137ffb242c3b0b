"""Clicks on objects and the keys 1 to 9, while no brush is in hand."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any

from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from napari_dojo.objects.classes import MOST

__all__ = ["Picking"]

HANDS_FREE = ("pan_zoom", "pick")  # modes of napari in which a click is ours
STILL = 4  # px that the mouse may move while it is clicked


class Picking(QObject):
    """``clicked``: a place in the world, and the mouse button (1 left, 2 right). ``key``: 1 to 9. ``undo``, ``redo``.

    Keys are bound on the selected layer alone, while its mode leaves clicks to the camera; what was bound there stays.
    """

    clicked = Signal(object, int)
    key = Signal(int)
    undo = Signal()
    redo = Signal()

    def __init__(self, viewer: Any, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._on = False
        self._layer: Any = None
        self._bound: list[str] = []

    @property
    def on(self) -> bool:
        """Whether clicks and keys mean classes."""
        return self._on

    def turn(self, on: bool) -> None:
        """Listen, or listen no more."""
        if on == self._on:
            return
        self._on = on
        events = self._viewer.layers.selection.events.active
        if on:
            self._viewer.mouse_drag_callbacks.append(self._drag)
            events.connect(self._follow)
            self._follow()
        else:
            with suppress(ValueError):
                self._viewer.mouse_drag_callbacks.remove(self._drag)
            events.disconnect(self._follow)
            self._leave()

    def _follow(self, event: Any = None) -> None:
        """Another layer is selected."""
        self._leave()
        self._layer = self._viewer.layers.selection.active
        if self._layer is not None:
            self._layer.events.mode.connect(self._bind)
            self._bind()

    def _leave(self) -> None:
        if self._layer is not None:
            self._unbind()
            self._layer.events.mode.disconnect(self._bind)
            self._layer = None

    def _bind(self, event: Any = None) -> None:
        self._unbind()
        if str(self._layer.mode) not in HANDS_FREE:
            return
        keys: dict[str, Callable[[Any], None]] = {str(k): self._pressing(k) for k in range(1, MOST + 1)}
        keys |= {"Control-Z": lambda layer: self.undo.emit(), "Control-Shift-Z": lambda layer: self.redo.emit()}
        for name, act in keys.items():
            with suppress(ValueError):  # another panel has bound it here
                self._layer.bind_key(name, act)
                self._bound.append(name)

    def _unbind(self) -> None:
        for name in self._bound:
            self._layer.bind_key(name, None)
        self._bound = []

    def _pressing(self, k: int) -> Callable[[Any], None]:
        return lambda layer: self.key.emit(k)

    def _drag(self, viewer: Any, event: Any) -> Generator[None, None, None]:
        """A click: pressed and released at one place, without a key."""
        active = self._viewer.layers.selection.active
        if event.button not in (1, 2) or event.modifiers or (active is not None and str(active.mode) not in HANDS_FREE):
            return
        position, start = tuple(event.position), tuple(event.pos)
        button = int(event.button)
        yield
        while event.type == "mouse_move":
            if max(abs(a - b) for a, b in zip(event.pos, start, strict=True)) > STILL:
                return
            yield
        self.clicked.emit(position, button)
