"""Results as files: a table, an image for ImageJ, and its regions of interest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QAction  # type: ignore[attr-defined]
from qtpy.QtWidgets import QFileDialog, QMenu, QPushButton, QWidget

from napari_dojo.data.kinds import Kind
from napari_dojo.errors import DojoError
from napari_dojo.inference.tables import TABLES, write_csv
from napari_dojo.inference.tiff_sink import description_of
from napari_dojo.io import images
from napari_dojo.io.rois import write_rois
from napari_dojo.widgets.apply.results import Shown
from napari_dojo.widgets.common.form import described
from napari_dojo.widgets.common.kinds import look_of
from napari_dojo.widgets.common.plot import theme_colours

__all__ = ["EXPORTS", "EXPORT_TIP", "Export", "ExportButton", "ask_path", "link_to", "write_all"]


EXPORT_TIP = "Save the result as a table, as a TIFF for ImageJ, or as ROIs."


@dataclass(frozen=True)
class Export:
    """One kind of file: what the menu says, how its name ends, how it is written, and which kinds of results have it."""

    title: str
    tip: str
    suffix: str
    write: Callable[[Shown, Path], Any]
    fits: Callable[[Kind], bool] = lambda kind: True


def _csv(shown: Shown, path: Path) -> None:
    write_csv(path, shown.table()[0])


def _tiff(shown: Shown, path: Path) -> None:
    asked, card = shown.asked, shown.card
    axes, size, about = (
        asked.axes.without_channels().names,
        card.predicted_size(asked.voxel_size),
        description_of(card, asked.name),
    )
    images.write(path, shown.layer.data, axes, size, asked.unit, about, labels=look_of(card).layer == "labels")


def _rois(shown: Shown, path: Path) -> None:
    write_rois(path, shown.layer.data, shown.asked.axes.without_channels())


EXPORTS = (
    Export(
        "Table (CSV)",
        "Size, place, shape and intensity of each object, one line each.",
        ".csv",
        _csv,
        TABLES.__contains__,
    ),
    Export("ImageJ TIFF", "The labels with pixel size, with a display range that shows all of them.", ".tif", _tiff),
    Export(
        "ImageJ ROIs (zip)",
        "The outlines for ImageJ's ROI Manager; names are label numbers.",
        ".zip",
        _rois,
        lambda kind: kind.drawn,
    ),
)


class ExportButton(QPushButton):
    """A button with a menu of kinds of files; ``chosen`` gives the `Export`."""

    chosen = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Export", parent)
        described(self, "Export", EXPORT_TIP)
        self._menu = menu = QMenu(self)
        menu.setToolTipsVisible(True)
        for kind in EXPORTS:
            action = QAction(kind.title + " ...", menu)
            action.setToolTip(kind.tip)
            menu.addAction(action)
        menu.triggered.connect(self._triggered)
        self.setMenu(menu)

    def offer(self, result: Kind) -> None:
        """Offer what results of this kind can be saved as."""
        for export, action in zip(EXPORTS, self._menu.actions(), strict=True):
            action.setVisible(export.fits(result))

    def _triggered(self, action: QAction) -> None:
        self.chosen.emit(EXPORTS[self._menu.actions().index(action)])


def ask_path(parent: QWidget, kind: Export, suggestion: Path, several: bool) -> Path | None:
    """Let a person name the file, or the folder for several; None where they did not."""
    if several:
        named = QFileDialog.getExistingDirectory(parent, f"Folder for {kind.title}", str(suggestion.parent))
    else:
        named, _ = QFileDialog.getSaveFileName(parent, kind.title, str(suggestion), f"*{kind.suffix}")
    return Path(named) if named else None


def link_to(viewer: Any, folder: Path) -> str:
    """A folder as rich text that opens it, in a colour that the theme lets one read."""
    folder = folder.absolute()
    style = f'style="color:{theme_colours(viewer)["text"]}"'
    return f'<a href="{folder.as_uri()}" {style}>{escape(folder.name or str(folder))}</a>'


def write_all(kind: Export, shown: Sequence[Shown], where: Path, several: bool) -> list[Path]:
    """Write results to a file, or several to a folder, called like their layers; the files.

    Raises
    ------
    DojoError : a full disk, a folder that cannot be written, a file that is there already in the folder.
    """
    if several:
        paths = [where / (_file_name(s.layer.name) + kind.suffix) for s in shown]
        there = next((p for p in paths if p.exists()), None)
        if there is not None:
            raise DojoError(f"{there} exists already. Choose another folder, or move it away.")
    else:
        paths = [where if where.suffix.lower() == kind.suffix else where.with_name(where.name + kind.suffix)]
    for result, path in zip(shown, paths, strict=True):
        kind.write(result, path)
    return paths


def _file_name(name: str) -> str:
    """A layer's name as a file's."""
    return "".join(c if c.isalnum() or c in " ._-()" else "_" for c in name).strip(" .") or "result"
