"""napari's viewer model in a plain window: layers, dims and docks as in napari, but nothing is drawn.

A viewer of napari costs .4 s and each layer in it .1 s, most of it for the canvas and the layer controls. Tests of what a
panel makes of layers need neither.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from napari.components import ViewerModel
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDockWidget, QMainWindow, QWidget

__all__ = ["BareViewer"]

AREAS = {
    "left": Qt.DockWidgetArea.LeftDockWidgetArea,
    "right": Qt.DockWidgetArea.RightDockWidgetArea,
    "bottom": Qt.DockWidgetArea.BottomDockWidgetArea,
    "top": Qt.DockWidgetArea.TopDockWidgetArea,
}


class BareWindow:
    """What panels use of napari's window."""

    def __init__(self) -> None:
        self._qt_window = QMainWindow()
        self._qt_viewer = SimpleNamespace(canvas=SimpleNamespace(native=QWidget(self._qt_window)))
        self._docks: dict[str, QDockWidget] = {}

    @property
    def dock_widgets(self) -> dict[str, QWidget]:
        """The docked widgets by name."""
        return {name: dock.widget() for name, dock in self._docks.items()}

    def add_dock_widget(
        self, widget: QWidget, *, name: str, area: str = "right", tabify: bool = False, **_: Any
    ) -> QDockWidget:
        """Dock a widget, behind the others of its side where it is tabified."""
        dock = QDockWidget(name)
        dock.setWidget(widget)
        beside = [d for d in self._docks.values() if self._qt_window.dockWidgetArea(d) == AREAS[area]]
        self._qt_window.addDockWidget(AREAS[area], dock)
        if tabify and beside:
            self._qt_window.tabifyDockWidget(beside[-1], dock)
        self._docks[name] = dock
        return dock

    def add_plugin_dock_widget(self, plugin: str, name: str, **_: Any) -> Any:
        """No plugins here, as in a napari that does not know them."""
        raise ValueError(f"{plugin} is not installed: {name}")

    def remove_dock_widget(self, widget: QWidget) -> None:
        """Take a widget out of its dock."""
        name = next(k for k, dock in self._docks.items() if widget in (dock, dock.widget()))
        dock = self._docks.pop(name)
        dock.widget().setParent(None)
        self._qt_window.removeDockWidget(dock)
        dock.deleteLater()


class BareViewer(ViewerModel):
    """A viewer for panels that are not looked at."""

    _window: BareWindow = None  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self._window = BareWindow()

    @property
    def window(self) -> BareWindow:
        """With the docks."""
        return self._window

    def close(self) -> None:
        """Close the window, and drop the layers."""
        self._window._qt_window.close()
        self.layers.clear()
        self._window._qt_window.deleteLater()
