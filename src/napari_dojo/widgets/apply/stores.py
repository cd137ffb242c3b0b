"""Predictions that do not fit in memory, as layers: they fill while they are computed, and stay on the disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal  # type: ignore[attr-defined]

from napari_dojo.errors import explained
from napari_dojo.events import Filling
from napari_dojo.inference.sinks import Stored
from napari_dojo.io.formats.ome_zarr import Resolutions, resolutions
from napari_dojo.paths import home
from napari_dojo.widgets.common.inputs import Asked, Run
from napari_dojo.widgets.common.kinds import look_of, result_name
from napari_dojo.widgets.common.latest import Latest
from napari_dojo.widgets.common.layers import add_quietly, provenance
from napari_dojo.widgets.common.lazy import LazyImage
from napari_dojo.widgets.common.provenance import made

__all__ = ["StoreLayers", "store_for"]

EVERY = 1000  # ms between two looks at what was written
FOLDER = "results"  # in the user directory, for images that lie in no folder


def store_for(asked: Asked, model: str) -> Path:
    """Where the prediction for an image goes if it does not fit in memory: beside its file, else in the user directory."""
    name = "".join(c if c.isalnum() or c in " ._-()" else "_" for c in asked.name).strip(" .") or "image"
    there = asked.beside is not None and os.access(asked.beside, os.W_OK)
    folder = asked.beside if there and asked.beside is not None else home() / FOLDER
    return folder / f"{name}_{model}{'' if asked.box is None else '_part'}.zarr"


class StoreLayers(QObject):
    """Layers of predictions that lie in OME-Zarrs.

    ``added`` gives a layer and its store once a prediction is whole, ``failed`` why it cannot be shown.
    """

    added = Signal(object, object)
    failed = Signal(str)

    def __init__(self, viewer: Any, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._shown: dict[int, list[tuple[Any, LazyImage]]] = {}  # of the running job, by the number of the image
        self._opener = Latest(self)
        self._opener.told.connect(self._opened)
        self._to_come: list[tuple[Stored, Run]] = []
        self._timer = QTimer(self)
        self._timer.setInterval(EVERY)
        self._timer.timeout.connect(self._look)

    @property
    def filling(self) -> bool:
        """Whether a prediction is being shown while it is computed."""
        return bool(self._shown)

    def fill(self, event: Filling, run: Run) -> None:
        """Show a prediction from now on, while it is computed."""
        import zarr

        arrays = [zarr.open_array(path, mode="r") for path in event.levels]
        self._add(event.index, arrays, event.axes, Path(event.store), run)
        self._timer.start()

    def seen(self) -> list[tuple[int, int]] | None:
        """The part of a growing prediction that is in sight, along each of its spatial axes; None: none is."""
        layers = [layer for shown in self._shown.values() for layer, _ in shown if layer in self._viewer.layers]
        if not layers:
            return None
        corners = np.asarray(layers[0].corner_pixels) * layers[0].downsample_factors[layers[0].data_level]
        n = 3 if layers[0].ndim > 2 and self._volumes else 2
        box = [(int(a), int(b)) for a, b in corners.T[-n:]]
        if n == 3:
            at = layers[0].world_to_data(self._viewer.dims.point)[-3]
            box[0] = (int(at), int(at) + 1)
        return box

    def take(self, stored: Stored, run: Run) -> None:
        """Show a prediction that is whole, in the layer that has filled, or in a new one."""
        self._to_come.append((stored, run))
        if len(self._to_come) == 1:
            self._opener.ask(resolutions, Path(str(stored.prediction)))

    def stop(self) -> None:
        """The job has ended; layers stay as they are."""
        self._timer.stop()
        self._look()
        self._shown.clear()

    _volumes = False

    def _look(self) -> None:
        for shown in self._shown.values():
            for layer, image in shown:
                if layer in self._viewer.layers and layer.visible:
                    image.look_again()
                    layer.refresh(extent=False)

    def _opened(self, found: Any) -> None:
        stored, run = self._to_come.pop(0)
        if isinstance(found, Exception):
            self.failed.emit(explained(found))
        else:
            path = Path(str(stored.prediction))
            labels = look_of(run.model.card).layer == "labels"
            one: Resolutions = next(
                (r for r in found if r.is_labels == labels and r.name in (run.model.name, path.name)), found[0]
            )
            for layer in self._add(stored.index, list(one.arrays), one.axes, path, run):
                self.added.emit(layer, path)
            self._shown.pop(stored.index, None)
        if self._to_come:
            self._opener.ask(resolutions, Path(str(self._to_come[0][0].prediction)))

    def _add(self, index: int, arrays: list[Any], axes: str, store: Path, run: Run) -> list[Any]:
        """Layers of the prediction for image ``index``, one for each channel; those that are there get the new data."""
        asked, card = run.asked[index], run.model.card
        self._volumes = card.spatial == "ZYX"
        ours = axes.replace("C", "")
        if ours != asked.axes.names.replace("C", ""):
            self.failed.emit(f"{asked.name}: the result is in {store}.")
            return []
        at = axes.index("C") if "C" in axes else None
        channels = [None] if at is None else [(at, k) for k in range(arrays[0].shape[at])]
        there = self._shown.get(index) or self._of_store(store)
        shown = []
        for k, channel in enumerate(channels):
            image = LazyImage(arrays, channel)
            layer = there[k][0] if k < len(there) and there[k][0] in self._viewer.layers else None
            if layer is None:
                layer = self._new_layer(asked, run, image, k, len(channels), store)
            else:
                layer.data = image.data
            image.draw(_refresher(layer))
            shown.append((layer, image))
        self._shown[index] = shown
        return [layer for layer, _ in shown]

    def _of_store(self, store: Path) -> list[tuple[Any, Any]]:
        """Layers that an earlier job began to fill from a store."""
        return [(layer, None) for layer in self._viewer.layers if made(layer.metadata).get("store") == str(store)]

    def _new_layer(self, asked: Asked, run: Run, image: LazyImage, k: int, count: int, store: Path) -> Any:
        card, look = run.model.card, look_of(run.model.card)
        facts = {"model": run.model.name, "path": str(run.model.path), "task": card.task, "store": str(store)}
        ours = asked.axes.without_channels()
        about = provenance(
            "result", asked.name, image_id=asked.layer_id, **facts, axes=ours.names, spatial=ours.spatial, channel=k
        )
        name = result_name(card, run.model.name, asked.name, k, count)
        dress = self._limits(asked, image) if look.layer == "image" else look.dress(card)
        return add_quietly(
            self._viewer,
            image.data,
            name,
            look.layer,
            metadata=about,
            multiscale=len(image.levels) > 1,
            **asked.wide_placement,
            **dress,
        )

    def _limits(self, asked: Asked, image: LazyImage) -> dict[str, Any]:
        """The display range of the image that is predicted from, where there is one."""
        source = asked.layer(self._viewer.layers)
        return {
            "contrast_limits": tuple(source.contrast_limits) if source is not None and not source.rgb else (0.0, 1.0)
        }


def _refresher(layer: Any) -> Any:
    from weakref import ref

    weak = ref(layer)

    def refresh() -> None:
        there = weak()
        if there is not None:
            there.refresh(extent=False)

    return refresh
