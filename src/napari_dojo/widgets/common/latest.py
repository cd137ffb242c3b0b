"""Work in a thread of which only the latest answer counts."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QObject, Qt, Signal  # type: ignore[attr-defined]

from napari_dojo.widgets.common.turns import short_turns

__all__ = ["Latest"]


class Latest(QObject):
    """One call at a time; a call that came meanwhile waits, and one that was overtaken is never told.

    ``told`` gives the answer of the latest call in the window's thread: what it returned, or the exception it raised.
    """

    told = Signal(object)
    _done = Signal(object, object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._busy = False
        self._wanted: tuple[Callable[..., Any], tuple[Any, ...]] | None = None
        self._now: object = None
        self._done.connect(self._finished, Qt.ConnectionType.QueuedConnection)

    @property
    def busy(self) -> bool:
        """Whether an answer is still to come."""
        return self._busy or self._wanted is not None

    def ask(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Call this in a thread; an answer that has not come yet will not come."""
        self._wanted, self._now = (function, arguments), None
        self._start()

    def forget(self) -> None:
        """Tell no answer of what was asked."""
        self._wanted = self._now = None

    def _start(self) -> None:
        if self._busy or self._wanted is None:
            return
        self._busy, self._now = True, object()
        call, self._wanted = self._wanted, None
        threading.Thread(target=self._run, args=(self._now, *call), daemon=True, name="latest").start()

    def _run(self, key: object, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        try:
            with short_turns():
                answer = function(*arguments)
        except Exception as error:
            answer = error
        with contextlib.suppress(RuntimeError):  # the window is gone
            self._done.emit(key, answer)

    def _finished(self, key: object, answer: Any) -> None:
        self._busy = False
        if key is self._now:
            self.told.emit(answer)
        self._start()
