"""Objects of which a window, or the program, has one: found by their parent."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from qtpy.QtCore import QObject

__all__ = ["single"]

T = TypeVar("T", bound=QObject)


def single(parent: QObject, kind: type[T], make: Callable[[], T]) -> T:
    """The child of a kind that ``parent`` has; made, with this parent, where there is none."""
    return next((child for child in parent.children() if isinstance(child, kind)), None) or make()
