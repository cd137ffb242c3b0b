"""Which measurements tables hold: a choice that is remembered from one session to the next."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QAction  # type: ignore[attr-defined]
from qtpy.QtWidgets import QMenu, QToolButton, QWidget

from napari_dojo.inference.tables import MEASUREMENTS, USUAL
from napari_dojo.widgets.common.form import NO_ARROW, described, memory

__all__ = ["MeasurementsButton", "chosen_here"]

KEY = "measurements"


def chosen_here() -> tuple[str, ...]:
    """The names of the measurements that a person chose, else the usual ones."""
    found = memory().value(KEY, None)
    if not isinstance(found, str):
        return USUAL
    names = found.split(",")
    return tuple(m.name for m in MEASUREMENTS if m.name in names)


class MeasurementsButton(QToolButton):
    """A menu of measurements with check marks; ``changed`` says that others are chosen."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setText("Columns ▾")
        self.setStyleSheet(NO_ARROW)
        self.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        described(self, "Measurements", "What is measured of each object, for the table and for files.")
        menu = QMenu(self)
        menu.setToolTipsVisible(True)
        chosen = chosen_here()
        for m in MEASUREMENTS:
            action = QAction(m.name.replace("_", " "), menu)
            action.setToolTip(m.help[0].upper() + m.help[1:] + ("; of flat objects" if m.flat else "") + ".")
            action.setCheckable(True)
            action.setChecked(m.name in chosen)
            action.toggled.connect(self._toggled)
            menu.addAction(action)
        self.setMenu(menu)

    def choose(self, names: Sequence[str]) -> None:
        """Choose these measurements."""
        menu = self.menu()
        for m, action in zip(MEASUREMENTS, menu.actions() if menu is not None else [], strict=False):
            action.setChecked(m.name in names)

    def _toggled(self, *_: object) -> None:
        menu = self.menu()
        actions = menu.actions() if menu is not None else []
        names = [m.name for m, action in zip(MEASUREMENTS, actions, strict=True) if action.isChecked()]
        memory().setValue(KEY, ",".join(names))
        self.changed.emit()
