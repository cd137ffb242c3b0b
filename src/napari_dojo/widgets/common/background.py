"""Threads for work beside the window, which end before Python does."""

from __future__ import annotations

import atexit
import contextlib
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from weakref import WeakSet

__all__ = ["discard", "ending", "in_background", "tell"]

PATIENCE = 3.0  # s, that a program which ends waits for its threads in all
_running: WeakSet[threading.Thread] = WeakSet()
_ending = threading.Event()
_telling = threading.Lock()


def in_background(name: str, function: Callable[..., Any], *arguments: Any) -> None:
    """Call a function in a thread of this name.

    A program that ends with its window open waits for it: a thread that comes back to Python while that is being taken
    down, and tells a window that is gone, is a crash.
    """
    thread = threading.Thread(target=function, args=arguments, daemon=True, name=name)
    _running.add(thread)
    thread.start()


def tell(signal: Any, *values: object) -> None:
    """Emit a signal from a thread; nothing where its window is gone, or is being taken down as the program ends."""
    with _telling, contextlib.suppress(RuntimeError):
        if not _ending.is_set():
            signal.emit(*values)


def ending() -> bool:
    """Whether the program ends, and no more is sent to the window."""
    return _ending.is_set()


def _wait() -> None:
    with _telling:
        _ending.set()
    end = time.monotonic() + PATIENCE
    for thread in list(_running):
        thread.join(max(0.0, end - time.monotonic()))


atexit.register(_wait)  # after Qt's own, so it comes before


def discard(folder: Path, wait: bool = False) -> None:
    """Delete the folder of a run; deleting much takes its time, so in a thread unless told to wait."""
    if wait:
        shutil.rmtree(folder, ignore_errors=True)
        return
    in_background("discard", shutil.rmtree, folder, True)
