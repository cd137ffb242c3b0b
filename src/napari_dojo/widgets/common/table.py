"""Measurements as the features of a layer, and the viewer's own table of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDockWidget, QMainWindow

from napari_dojo.inference.tables import Table

__all__ = ["features_of", "open_table"]

POSITIONS = {"frame", "plane"}


def features_of(table: Table) -> Table:
    """The table as the features of a labels layer.

    napari takes the row's place for the label where a row is clicked, so the background comes first, as row 0.
    """
    if POSITIONS & set(table) or 0 in table["index"]:
        return table
    return {
        name: np.concatenate([[0 if name == "index" else "" if column.dtype.kind == "O" else np.nan], column])
        for name, column in table.items()
    }


def open_table(viewer: Any, layers: Sequence[Any]) -> bool:
    """Select the layers and show napari's table of their features below the canvas; False where it has none."""
    viewer.layers.selection = set(layers)
    try:
        dock, _ = viewer.window.add_plugin_dock_widget("napari", "Features table widget")
    except (ValueError, KeyError, ImportError, AttributeError):  # older than 0.6.2, or without its own plugins
        return False
    window = dock.parent()
    if isinstance(dock, QDockWidget) and isinstance(window, QMainWindow) and not dock.property("napari-dojo"):
        window.addDockWidget(Qt.DockWidgetArea.BottomDockWidgetArea, dock)
        dock.setProperty("napari-dojo", True)  # placed once; then it stays where a person puts it
    dock.show()
    dock.raise_()
    return True
