"""Wait for a panel to come to rest, where a test shows that nothing happens."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QObject, QTimer
from qtpy.QtWidgets import QApplication

from napari_dojo.widgets.common.latest import Latest


def settled(qtbot: Any, *parts: QObject, seconds: float = 20) -> None:
    """Wait until nothing of these is due: no timer that fires once, no work in a thread."""

    def rest() -> bool:
        QApplication.processEvents()
        due = [t for part in parts for t in part.findChildren(QTimer) if t.isSingleShot() and t.isActive()]
        return not due and not any(work.busy for part in parts for work in part.findChildren(Latest))

    qtbot.waitUntil(rest, timeout=int(1000 * seconds))
