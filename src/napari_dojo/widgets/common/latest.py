"""Work in a thread of which only the latest answer counts."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Generator
from typing import Any

from qtpy.QtCore import QObject, Qt, QTimer, Signal  # type: ignore[attr-defined]

from napari_dojo.widgets.common.background import ending, in_background, tell
from napari_dojo.widgets.common.turns import short_turns

__all__ = ["Latest"]

PAINTED = 10  # ms after a step until the window has begun to paint it; Qt collects what is to be painted for 5
PATIENCE = 0.3  # s that a step waits at most for the window


class Latest(QObject):
    """One call at a time; a call that came meanwhile waits, and one that was overtaken is never told.

    ``told`` gives the answer of the latest call in the window's thread: what it returned, or the exception it raised.
    A function that is a generator is worked off step by step: ``stepped`` gives what it yields but None, and it ends at
    the next step where it was overtaken or forgotten. After each step it waits until the window has painted what was
    said: two threads of Python work half as fast each, and the window's would be seen to.
    """

    told = Signal(object)
    stepped = Signal(object)
    _done = Signal(object, object)
    _step = Signal(object, object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._busy = False
        self._wanted: tuple[Callable[..., Any], tuple[Any, ...]] | None = None
        self._now: object = None
        self._seen = threading.Event()
        self._done.connect(self._finished, Qt.ConnectionType.QueuedConnection)
        self._step.connect(self._stepped, Qt.ConnectionType.QueuedConnection)

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
        in_background("latest", self._run, self._now, *call)

    def _run(self, key: object, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        try:
            with short_turns():
                answer = function(*arguments)
                if isinstance(answer, Generator):
                    answer = self._worked_off(key, answer)
        except Exception as error:
            answer = error
        with contextlib.suppress(RuntimeError):  # this object is gone
            tell(self._done, key, answer)

    def _worked_off(self, key: object, steps: Generator[Any, None, Any]) -> Any:
        """The result of a generator; None where it was overtaken."""
        while key is self._now and not ending():
            try:
                said = next(steps)
            except StopIteration as end:
                return end.value
            if said is None:
                continue
            self._seen.clear()
            with contextlib.suppress(RuntimeError):  # this object is gone
                tell(self._step, key, said)
                self._seen.wait(PATIENCE)
        steps.close()
        return None

    def _stepped(self, key: object, said: Any) -> None:
        if key is self._now:
            self.stepped.emit(said)
        QTimer.singleShot(PAINTED, self._seen.set)

    def _finished(self, key: object, answer: Any) -> None:
        self._busy = False
        if key is self._now:
            self.told.emit(answer)
        self._start()
