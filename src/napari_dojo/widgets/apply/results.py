"""The results of the last run as layers: added one by one, decoded again, measured and forgotten."""

from __future__ import annotations

import shutil
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer, Signal  # type: ignore[attr-defined]

from napari_dojo.data.axes import Axes
from napari_dojo.errors import explained
from napari_dojo.inference.sinks import Stored, predicted_by
from napari_dojo.inference.tables import TABLES, Table, table_of
from napari_dojo.models.card import Card, decoding_of, options_of
from napari_dojo.tasks import TASKS
from napari_dojo.widgets.apply.inputs import Asked, Run, cut
from napari_dojo.widgets.apply.kinds import look_of
from napari_dojo.widgets.common.latest import Latest
from napari_dojo.widgets.common.layers import add_quietly, placement, provenance
from napari_dojo.widgets.common.table import features_of

__all__ = ["Kept", "Results", "Shown", "discard"]

COLOURS = ("cyan", "magenta", "yellow", "green", "red", "blue")  # of several images from one model


@dataclass(frozen=True, eq=False)
class Kept:
    """What a prediction left behind, enough to decode again: ``maps`` (samples, K, *S), ``axes`` of the labels."""

    card: Card
    maps: NDArray[np.float32]
    axes: Axes
    shape: tuple[int, ...]

    def decoded(self, values: dict[str, Any]) -> NDArray[np.int32]:
        """Labels in the image's axes for these values of the decoding."""
        task = TASKS[self.card.task]
        decoding, options = replace(decoding_of(self.card), **values), options_of(self.card)
        out = np.zeros(self.shape, np.int32)
        for i in range(len(self.maps)):
            self.axes.sample(out, i)[0] = task.decode(np.asarray(self.maps[i]), decoding, options)
        return out


@dataclass(eq=False)
class Shown:
    """One prediction: its layer, the image it is for, what it can be decoded from, and what it holds.

    ``channel`` : which of the model's images it is.
    """

    layer: Any
    asked: Asked
    card: Card
    kept: Kept | None
    count: Counter[str]
    channel: int = 0

    def decoded(self, values: dict[str, Any]) -> tuple[NDArray[np.int32], Counter[str]]:
        """Labels for these values, and what they hold."""
        assert self.kept is not None
        names = self.asked.axes.without_channels().names
        look = look_of(self.card)
        labels = cut(self.kept.decoded(values), self.asked, names, look.numbered)
        return labels, look.count(self.card, labels, self.asked.axes)

    def table(self) -> Table:
        """Measurements of the layer as it is now."""
        asked = self.asked
        return table_of(self.card, self.layer.data, asked.image, asked.axes, asked.pixel_size, asked.unit)


class Results(QObject):
    """The predictions of the last run.

    ``changed`` says that there are others now, ``complete`` that all have come, ``failed`` why something did not work.
    """

    changed = Signal()
    complete = Signal()
    failed = Signal(str)

    def __init__(self, viewer: Any, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self.shown: list[Shown] = []
        self.run: Run | None = None
        self._folder: Path | None = None
        self._to_come: list[Stored] = []
        self._values: dict[str, Any] = {}
        self._reader, self._decoder, self._measurer = Latest(self), Latest(self), Latest(self)
        self._reader.told.connect(self._read)
        self._decoder.told.connect(self._decoded)
        self._measurer.told.connect(self._measured)
        self._decode_soon = self._timer(60, self._decode)
        self._measure_soon = self._timer(400, self.measure)

    @property
    def layers(self) -> list[Any]:
        """Their layers."""
        return [s.layer for s in self.shown]

    @property
    def adjustable(self) -> bool:
        """Whether they can be decoded again."""
        return any(s.kept is not None for s in self.shown)

    @property
    def reading(self) -> bool:
        """Whether predictions of the last run are still to come."""
        return bool(self._to_come)

    def take(self, folder: Path, run: Run, found: Sequence[Stored]) -> None:
        """Add what a job found, one by one; the folder is theirs from now on."""
        self.release()
        self._folder, self.run, self._values = folder, run, run.values
        self._to_come = list(found)
        hide_others(self._viewer, run)
        self._next()

    def decode(self, values: dict[str, Any]) -> None:
        """Decode all of them again, soon."""
        self._values = values
        if self.adjustable:
            self._decode_soon.start()

    def measure(self) -> None:
        """Fill the features of all of them with measurements."""
        self._measurer.ask(_tables, [s for s in self.shown if TASKS[s.card.task].result in TABLES])

    def follow(self) -> None:
        """Forget predictions whose layer a person removed."""
        left = [s for s in self.shown if s.layer in self._viewer.layers]
        if len(left) < len(self.shown):
            self.shown = left
            if not left and not self.reading:
                self.release()
            self.changed.emit()

    def release(self, wait: bool = False) -> None:
        """Forget all of them; their layers stay, what they were decoded from is deleted."""
        for timer in (self._decode_soon, self._measure_soon):
            timer.stop()
        for work in (self._reader, self._decoder, self._measurer):
            work.forget()
        self.shown, self._to_come, self.run = [], [], None
        folder, self._folder = self._folder, None
        if folder is not None:
            discard(folder, wait)

    def _timer(self, wait: int, then: Callable[[], None]) -> QTimer:
        timer = QTimer(self)
        timer.setSingleShot(True)
        timer.setInterval(wait)
        timer.timeout.connect(then)
        return timer

    def _next(self) -> None:
        if self._to_come and self.run is not None and self._folder is not None:
            found = self._to_come[0]
            self._reader.ask(_read, self._folder, found, self.run.asked[found.index], self.run.model.card)

    def _read(self, found: Any) -> None:
        self._to_come.pop(0)
        if isinstance(found, Exception):
            self.failed.emit(explained(found))
        elif self.run is not None:
            self._add(self.run, *found)
        self._next()
        self.changed.emit()
        if not self.reading:
            self._measure_soon.start()
            self.complete.emit()

    def _add(self, run: Run, asked: Asked, read: _Read) -> None:
        model, part = run.model, "" if asked.box is None else " (part)"
        axes = asked.axes.without_channels()
        facts = {
            "model": model.name,
            "path": str(model.path),
            "task": model.card.task,
            "diameter": run.settings.diameter,
        }
        facts |= {"axes": axes.names, "spatial": axes.spatial}
        look = look_of(model.card)
        for k, data in enumerate(read.parts):
            made = provenance("result", asked.name, **facts, decoding=run.values, part=asked.box, channel=k)
            which = f" {model.card.maps[k]}" if len(read.parts) > 1 else ""
            made_by = f" {model.name}" if look.labels else f"{which} {predicted_by(model.name)}"
            name = _new_name(self._viewer, f"{asked.name}{made_by}{part}")
            dress = (
                look.dress(model.card) if look.labels else self._image_look(model.card, asked, k, len(read.parts), data)
            )
            place = asked.placement
            layer = add_quietly(self._viewer, data, name, look.labels, metadata=made, **place, **dress)
            self.shown.append(Shown(layer, asked, model.card, read.kept, read.count, k))
            if read.uncertainty is not None:
                self._add_uncertainty(layer, read.uncertainty[k])

    def _add_uncertainty(self, layer: Any, uncertainty: NDArray[np.float32]) -> None:
        """The uncertainty of a predicted image, below it, hidden."""
        high = float(np.percentile(uncertainty, 99.5)) or 1.0
        made = provenance("honesty", layer.name, what="uncertainty")
        place = placement(layer, range(layer.ndim))
        dress = {"colormap": "inferno", "contrast_limits": (0.0, high), "visible": False}
        add_quietly(self._viewer, uncertainty, f"{layer.name} uncertainty", False, metadata=made, **dress, **place)

    def _image_look(self, card: Card, asked: Asked, k: int, count: int, data: NDArray[Any]) -> dict[str, Any]:
        """How a predicted image looks: as the image where it has its units; several in colours that add up."""
        image = next((x for x in self._viewer.layers if x.name == asked.name and x._type_string == "image"), None)
        colour = COLOURS[k % len(COLOURS)] if count > 1 else "gray"
        look: dict[str, Any] = {"colormap": colour, "blending": "additive" if count > 1 else "translucent_no_depth"}
        if card.target is None and image is not None and not image.rgb:
            return {**look, "contrast_limits": tuple(image.contrast_limits)}
        step = tuple(slice(None, None, max(1, n // 512)) for n in data.shape)
        low, high = (float(v) for v in np.percentile(np.asarray(data[step]), [0.5, 99.9]))
        return {**look, "contrast_limits": (low, high if high > low else low + 1)}

    def _decode(self) -> None:
        if self._decoder.busy or self.reading:  # one after the other, so that each is seen
            self._decode_soon.start()
            return
        self._decoder.ask(_decode, [s for s in self.shown if s.kept is not None], self._values)

    def _decoded(self, found: Any) -> None:
        if isinstance(found, Exception):
            self.failed.emit(explained(found))
            return
        values, done = found
        for shown, (labels, count) in done:
            if shown in self.shown and shown.layer in self._viewer.layers:
                shown.layer.data, shown.count = labels, count
                shown.layer.metadata["napari_dojo"]["decoding"] = values
        self._measure_soon.start()
        self.changed.emit()

    def _measured(self, found: Any) -> None:
        if isinstance(found, Exception):
            self.failed.emit(explained(found))
            return
        for shown, table in found:
            if shown in self.shown and shown.layer in self._viewer.layers:
                shown.layer.features = features_of(table)


def discard(folder: Path, wait: bool = False) -> None:
    """Delete the folder of a run; deleting much takes its time, so in a thread unless told to wait."""
    if wait:
        shutil.rmtree(folder, ignore_errors=True)
        return
    threading.Thread(target=shutil.rmtree, args=(folder, True), daemon=True, name="discard").start()


def hide_others(viewer: Any, run: Run) -> None:
    """Hide what would lie over new predictions: previews of trainings, and older predictions of the model for the images."""
    images = {a.name for a in run.asked}
    for layer in viewer.layers:
        ours = layer.metadata.get("napari_dojo")
        kind = ours.get("kind") if isinstance(ours, dict) else None
        again = kind == "result" and ours.get("image") in images and ours.get("model") == run.model.name
        if kind == "preview" or again:
            layer.visible = False


@dataclass(frozen=True, eq=False)
class _Read:
    """What a job left of one image: an array for each layer, their uncertainty, what labels can be decoded from."""

    parts: list[NDArray[Any]]
    kept: Kept | None
    count: Counter[str]
    uncertainty: list[NDArray[np.float32]] | None = None


def _read(folder: Path, found: Stored, asked: Asked, card: Card) -> tuple[Asked, _Read]:
    whole, look = np.load(folder / str(found.prediction), mmap_mode="r"), look_of(card)
    kept = None
    if found.maps:
        maps = np.load(folder / found.maps, mmap_mode="r")
        kept = Kept(card, maps, asked.axes.without_channels(), whole.shape)
    values = np.array(cut(whole, asked, found.axes, look.numbered))
    uncertainty = None
    if found.uncertainty:
        whole = np.load(folder / found.uncertainty, mmap_mode="r")
        uncertainty = _parts(np.array(cut(whole, asked, found.axes, False)), found.axes)
    return asked, _Read(_parts(values, found.axes), kept, look.count(card, values, asked.axes), uncertainty)


def _parts(values: NDArray[Any], names: str) -> list[NDArray[Any]]:
    """Each channel of a prediction with these axes."""
    return list(np.moveaxis(values, names.index("C"), 0)) if "C" in names else [values]


def _decode(shown: list[Shown], values: dict[str, Any]) -> tuple[dict[str, Any], list[tuple[Shown, Any]]]:
    return values, [(s, s.decoded(values)) for s in shown]


def _tables(shown: list[Shown]) -> list[tuple[Shown, Table]]:
    return [(s, s.table()) for s in shown]


def _new_name(viewer: Any, wanted: str) -> str:
    """The name, with a number where it is taken."""
    taken, name, k = {x.name for x in viewer.layers}, wanted, 2
    while name in taken:
        name, k = f"{wanted} ({k})", k + 1
    return name
