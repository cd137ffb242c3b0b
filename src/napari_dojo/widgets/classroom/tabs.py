"""Tabbed pages that all have the same size, so that nothing moves when the page changes."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QButtonGroup, QHBoxLayout, QPushButton, QStackedWidget, QVBoxLayout, QWidget

from napari_dojo.widgets.common.form import described

__all__ = ["Tabs"]


class Tabs(QWidget):
    """Pages with buttons above them. ``turned`` gives the number of the visible page."""

    turned = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self._stack, self._group, self._row = QStackedWidget(), QButtonGroup(self), QHBoxLayout()
        self._row.setSpacing(2)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addLayout(self._row)
        layout.addWidget(self._stack)
        self._group.idClicked.connect(self.turn)

    def add(self, title: str, tip: str, page: QWidget) -> None:
        """Add a page."""
        button = QPushButton(title)
        button.setCheckable(True)
        button.setChecked(self._stack.count() == 0)
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        described(button, title, tip)
        self._row.addWidget(button, 1)
        self._group.addButton(button, self._stack.count())
        self._stack.addWidget(page)

    def button(self, number: int) -> QPushButton:
        """The button of a page."""
        found = self._group.button(number)
        assert isinstance(found, QPushButton)
        return found

    def turn(self, number: int) -> None:
        """Show a page."""
        self.button(number).setChecked(True)
        self._stack.setCurrentIndex(number)
        self.turned.emit(number)
