"""Calls that come a little later, once."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QObject, QTimer

__all__ = ["later"]


def later(parent: QObject, ms: int, function: Any) -> QTimer:
    """A timer that calls a function, or gives a signal, once, ``ms`` after ``start()``; every start begins to wait again."""
    timer = QTimer(parent)
    timer.setSingleShot(True)
    timer.setInterval(ms)
    timer.timeout.connect(function)
    return timer
