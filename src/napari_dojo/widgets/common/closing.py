"""Sees that a viewer's window closes: napari tells no panel of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QEvent, QObject, Signal  # type: ignore[attr-defined]

from napari_dojo.widgets.common.single import single

__all__ = ["WindowWatch", "watch_window"]


class WindowWatch(QObject):
    """One for each window. ``closing`` says that it closes for sure.

    ``may_close`` : asked before; the window stays open where one of them says False. ``left`` : what a panel that was
    closed leaves to the next of its kind.
    """

    closing = Signal()

    def __init__(self, window: QObject) -> None:
        super().__init__(window)
        self.may_close: list[Callable[[], bool]] = []
        self.left: dict[str, Any] = {}
        self._closing = False
        window.installEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802
        """Ask when the window is about to close, and report when it does."""
        window: Any = watched
        if watched is not self.parent() or event is None:
            return False
        if event.type() == QEvent.Type.Close:
            if not all(may() for may in self.may_close):
                event.ignore()
                return True
            self._closing = window.isVisible()  # napari may ask, too, and stay open
            if not self._closing:
                self.closing.emit()
        elif event.type() == QEvent.Type.Hide and self._closing and not event.spontaneous():
            self._closing = False
            self.closing.emit()
        return False


def watch_window(viewer: Any) -> WindowWatch:
    """The watch of a viewer's window."""
    window = viewer.window._qt_window
    return single(window, WindowWatch, lambda: WindowWatch(window))
