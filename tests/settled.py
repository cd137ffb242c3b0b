"""Wait for a panel to come to rest, where a test shows that nothing happens."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QObject, QTimer
from qtpy.QtWidgets import QApplication

from napari_dojo.widgets.common.latest import Latest


def settled(qtbot: Any, *parts: QObject, seconds: float = 60) -> None:
    """Wait until nothing of these is due: no timer that fires once, no work in a thread."""
    busy: list[QObject] = []

    def rest() -> bool:
        QApplication.processEvents()
        if not any(map(_due, busy)):  # to look through all parts takes long, and is done again when these are done
            found = [x for part in parts for kind in (QTimer, Latest) for x in part.findChildren(kind)]
            busy[:] = filter(_due, found)
        return not busy

    qtbot.waitUntil(rest, timeout=int(1000 * seconds))


def _due(found: QObject) -> bool:
    try:
        return found.isSingleShot() and found.isActive() if isinstance(found, QTimer) else found.busy
    except RuntimeError:  # it is gone
        return False
