"""The section "Large image" of the Annotate panel: a region of an image on the disk is opened, painted, and written back."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_dojo.boxes import slices
from napari_dojo.data.axes import Axes
from napari_dojo.errors import DojoError, explained
from napari_dojo.io.formats.ome_zarr import Layout
from napari_dojo.io.regions import LabelStore, Region
from napari_dojo.paths import home
from napari_dojo.widgets.common.form import described, sentence
from napari_dojo.widgets.common.inputs import seen_box
from napari_dojo.widgets.common.latest import Latest
from napari_dojo.widgets.common.layers import moved, provenance, result_placement, source_of
from napari_dojo.widgets.common.numbering import number_by_itself
from napari_dojo.widgets.common.pick import images_of

__all__ = ["RegionSection"]

MOST = 3000**2  # pixels of a region: what napari paints on without lag
NAME, FOLDER = "annotation", "annotations"
OPEN_TIP = (
    "Read the part of a large image that is in sight into two layers: the image, and its labels to paint on. "
    "Save region writes the labels to an OME-Zarr beside the image."
)
SAVE_TIP = "Write the labels of the opened region back. New objects get numbers that no other region has."
NONE = "No image on the disk is open. Open an OME-Zarr, or a dask or memory-mapped image."


@dataclass(frozen=True, eq=False)
class _Opened:
    """A region: where its labels belong, what was read, and its layer."""

    store: LabelStore
    region: Region
    layer: Any = None


class RegionSection(QWidget):
    """Regions of large images. ``opened`` gives the layers of the image and its labels, ``failed`` what did not work."""

    opened = Signal(object, object)
    failed = Signal(str)

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self._held: list[_Opened] = []
        self._reading, self._writing = Latest(self), Latest(self)
        self._reading.told.connect(self._read)
        self._writing.told.connect(self._written)
        self._image: Any = None  # the layer that is being read from
        self.open_button, self.save_button = QPushButton("Open region in sight"), QPushButton("Save region")
        described(self.open_button, "Open region in sight", OPEN_TIP)
        described(self.save_button, "Save region", SAVE_TIP)
        self.text = sentence(lines=2)
        self.text.setAccessibleName("The opened region")
        row, column = QHBoxLayout(), QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        row.setSpacing(4)
        row.addWidget(self.open_button)
        row.addWidget(self.save_button)
        column.addLayout(row)
        column.addWidget(self.text)
        self.open_button.clicked.connect(self.open)
        self.save_button.clicked.connect(self.save)
        self.refresh()

    def refresh(self) -> None:
        """Look which layers there are now."""
        self._held = [o for o in self._held if o.layer in self._viewer.layers]
        large = self._large()
        self.open_button.setEnabled(large is not None)
        self.open_button.setToolTip(NONE if large is None else OPEN_TIP)
        if self.text.text() in ("", NONE):
            self.text.setText(NONE if large is None else "")
        self.save_button.setEnabled(bool(self._held))

    def open(self) -> None:
        """Read the region of the large image that is in sight."""
        layer = self._large()
        if layer is None:
            return
        try:
            source = source_of(layer)
            axes = source.axes.without_channels()
            store = LabelStore(_place(layer), _layout(axes, source))
            box = seen_box(self._viewer, layer, source.axes)
            size = int(np.prod([b - a for a, b in box], dtype=float))
            if size > MOST:
                raise DojoError(
                    f"{size / 1e6:.0f} million pixels are in sight, and {MOST / 1e6:.0f} can be opened. Zoom in."
                )
        except DojoError as error:
            self.failed.emit(explained(error))
            return
        self._image = layer
        self.open_button.setEnabled(False)
        self.text.setText("Reading ...")
        self._reading.ask(_region_of, source, store, box)

    def save(self) -> None:
        """Write all regions that were opened back."""
        todo = [(o, np.asarray(o.layer.data)) for o in self._held]
        if todo:
            self.save_button.setEnabled(False)
            self.text.setText("Writing ...")
            self._writing.ask(_write, todo)

    def end(self) -> None:
        """The panel is closing."""
        self._reading.forget()
        self._writing.forget()

    def _large(self) -> Any:
        """The image layer on the disk: the selected one, else the first; None where there is none."""
        large = [x for x in images_of(self._viewer.layers) if not x.rgb and not isinstance(_data(x), np.ndarray)]
        active = self._viewer.layers.selection.active
        return next((x for x in large if x is active), large[0] if large else None)

    def _read(self, found: Any) -> None:
        self.refresh()
        if isinstance(found, Exception):
            self.text.setText("")
            self.failed.emit(explained(found))
            return
        layer, (pixels, opened, axes) = self._image, found
        region = opened.region
        corner = " ".join(f"{a.lower()} {start}" for a, (start, _) in zip(axes.names, region.box, strict=True))
        place = moved(result_placement(layer, axes), [a for a, _ in region.box])
        name = f"{layer.name} region {corner}"
        made = provenance("region", layer, store=str(opened.store.path), box=[list(s) for s in region.box])
        image = self._viewer.add_image(
            pixels, name=name, contrast_limits=tuple(layer.contrast_limits), colormap=layer.colormap, **place
        )
        labels = self._viewer.add_labels(region.labels, name=f"{name} labels", metadata=made, **place)
        layer.visible = False
        number_by_itself(self._viewer, labels)
        self._held.append(_Opened(opened.store, region, labels))
        self.refresh()
        n = len(np.unique(region.labels)) - 1
        self.text.setText(
            f"{n:,} objects were read from {opened.store.path.name}." if n else "No labels are there yet: paint."
        )
        self.opened.emit(image, labels)

    def _written(self, found: Any) -> None:
        if isinstance(found, Exception):
            self.refresh()
            self.text.setText("")
            self.failed.emit(explained(found))
            return
        for before, after in found:
            if before in self._held and before.layer in self._viewer.layers:
                self._held[self._held.index(before)] = replace(after, layer=before.layer)
        self.refresh()
        self.text.setText(f"Saved to {escape(str(found[0][1].store.path))}.")


def _data(layer: Any) -> Any:
    return layer.data[0] if layer.multiscale else layer.data


def _place(layer: Any) -> Path:
    """Where the labels of an image lie: beside its file, else in the user directory."""
    path = Path(layer.source.path) if layer.source.path else None
    if path is not None and os.access(path.parent, os.W_OK):
        return path.with_name(f"{path.name.split('.')[0]}_{NAME}.zarr")
    return home() / FOLDER / f"{layer.name}_{NAME}.zarr"


def _layout(axes: Axes, source: Any) -> Layout:
    names = source.axes.names
    if list(axes.names) != sorted(axes.names, key="TCZYX".index):
        raise DojoError(f"Regions are opened of images whose axes are in the order TZYX, not {axes.names}.")
    shape = tuple(n for a, n in zip(names, source.array.shape, strict=True) if a != "C")
    chunks = tuple(min(n, 512) if a in "YX" else 1 for a, n in zip(axes.names, shape, strict=True))
    return Layout(axes.names, shape, chunks, "uint32", source.pixel_size, source.unit, labels=NAME)


def _region_of(source: Any, store: LabelStore, box: Any) -> tuple[NDArray[Any], _Opened, Axes]:
    """The pixels of a region, its labels, and their axes; of several channels the first."""
    pixels = np.asarray(source.array[slices(box)])
    axes = source.axes.without_channels()
    if "C" in source.axes.names:
        pixels = pixels.take(0, source.axes.names.index("C"))
    ours = tuple(side for a, side in zip(source.axes.names, box, strict=True) if a != "C")
    return pixels, _Opened(store, store.read(ours)), axes


def _write(todo: list[tuple[_Opened, NDArray[Any]]]) -> list[tuple[_Opened, _Opened]]:
    return [(o, _Opened(o.store, o.store.write(o.region, labels))) for o, labels in todo]
