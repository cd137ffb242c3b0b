"""The results of the last run as layers: added one by one, decoded again, measured and forgotten."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from napari_dojo.data.axes import Axes
from napari_dojo.errors import explained
from napari_dojo.events import Event, Filling, Progress, among, changed
from napari_dojo.inference.decoding import decode_steps
from napari_dojo.inference.linking import Planes, link_planes, linked_axes, same_numbers
from napari_dojo.inference.sinks import Stored
from napari_dojo.inference.tables import TABLES, NamedObjects, Table, table_of, with_classes
from napari_dojo.models.card import Card, decoding_of, options_of
from napari_dojo.tasks import TASKS
from napari_dojo.widgets.apply.stores import StoreLayers
from napari_dojo.widgets.common.background import discard
from napari_dojo.widgets.common.inputs import Asked, Run, cut
from napari_dojo.widgets.common.kinds import look_of, result_name
from napari_dojo.widgets.common.later import later
from napari_dojo.widgets.common.latest import Latest
from napari_dojo.widgets.common.layers import add_quietly, fingerprint, placement, provenance
from napari_dojo.widgets.common.measurements import chosen_here
from napari_dojo.widgets.common.provenance import as_made, mark_corrected, source_among

__all__ = ["Kept", "Results", "Shown"]

PATIENCE = 0.25  # s that decoding may take before another value interrupts it, and before its progress is shown
COLOURS = ("cyan", "magenta", "yellow", "green", "red", "blue")  # of several images from one model


@dataclass(frozen=True, eq=False)
class Kept:
    """What a prediction left behind, enough to decode again: ``maps`` (samples, K, *S), ``axes`` of the labels."""

    card: Card
    maps: NDArray[np.float32]
    axes: Axes
    shape: tuple[int, ...]
    planes: Planes = "link"

    def steps(self, values: dict[str, Any]) -> Generator[Event, None, NDArray[np.int32]]:
        """Labels in the image's axes for these values of the decoding; yields Progress."""
        task, count = TASKS[self.card.task], len(self.maps)
        decoding, options = replace(decoding_of(self.card), **values), options_of(self.card)
        out = np.zeros(self.shape, np.int32)
        for i in range(count):
            yield Progress(i, count)
            steps = decode_steps(task, self.maps[i], decoding, options)
            self.axes.sample(out, i)[0] = yield from changed(steps, partial(among, i, count))
        if task.result.objects:
            link_planes(out, self.axes, self.planes)
        return out


@dataclass(eq=False)
class Shown:
    """One prediction: its layer, the image it is for, what it can be decoded from, and what it holds.

    Attributes
    ----------
    axes : of the image; what is spatial is one object: volumes where planes are linked.
    mark : the fingerprint of what the layer was given; another one says that a person has changed it.
    channel : which of the model's images it is.
    touched : whether a person has painted in the layer since that was last looked at.
    classes : of its objects, where a second model gives some; ``classified`` : by which, for labels of which mark; ``class_layer``.
    """

    layer: Any
    asked: Asked
    card: Card
    kept: Kept | None
    count: Counter[str]
    axes: Axes
    mark: int = 0
    channel: int = 0
    touched: bool = False
    classes: NamedObjects | None = None
    classified: tuple[str, int] | None = None
    class_layer: Any = None

    def steps(self, values: dict[str, Any]) -> Generator[Event, None, _Decoded]:
        """Labels for these values, with the numbers that their objects have in the layer, and what they hold."""
        assert self.kept is not None
        ours, look, numbered = self.axes.without_channels(), look_of(self.card), TASKS[self.card.task].result.objects
        before = np.asarray(self.layer.data)
        labels = cut((yield from self.kept.steps(values)), self.asked, self.axes, numbered)
        for i in range(ours.count(labels.shape) if numbered and before.shape == labels.shape else 0):
            part = ours.sample(labels, i)[0]
            yield Progress(1, 1)
            part[...] = same_numbers(ours.sample(before, i)[0], part)
        yield Progress(1, 1)
        count, mark = look.count(self.card, labels, self.axes), fingerprint(labels)
        self.touched = False
        return _Decoded(self, labels, count, mark, fingerprint(self.layer.data) != self.mark)

    def table(self) -> tuple[Table, Counter[str]]:
        """Measurements of the layer as it is now, and what it holds."""
        asked, data = self.asked, self.layer.data
        size = asked.voxel_size if len(self.axes.spatial) == 3 else asked.pixel_size
        table = table_of(self.card, data, asked.image, self.axes, size, asked.unit, chosen_here())
        if self.classes is not None:
            table = with_classes(table, self.classes, data, self.axes)
        return table, look_of(self.card).count(self.card, data, self.axes)


@dataclass(frozen=True, eq=False)
class _Decoded:
    """New labels of a prediction, what they hold, and their fingerprint.

    ``painted`` : whether the layer held something else than the prediction: a person's work.
    """

    shown: Shown
    labels: NDArray[np.int32]
    count: Counter[str]
    mark: int
    painted: bool


class Results(QObject):
    """The predictions of the last run; those that lie in an OME-Zarr are ``stores``.

    ``changed`` says that there are others now, or are about to be, ``complete`` that all have come, ``failed`` why something
    did not work, ``said`` gives a sentence for the user, ``working`` how far decoding again is: (done, of), (0, 0) at its end.
    """

    changed = Signal()
    complete = Signal()
    failed = Signal(str)
    said = Signal(str)
    working = Signal(int, int)

    def __init__(self, viewer: Any, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self.shown: list[Shown] = []
        self.run: Run | None = None
        self._folder: Path | None = None
        self._found: tuple[Stored, ...] = ()  # of the last run
        self._to_come: list[Stored] = []
        self._values: dict[str, Any] = {}
        self._reader, self._decoder, self._measurer = Latest(self), Latest(self), Latest(self)
        self._reader.told.connect(self._read)
        self._decoder.told.connect(self._decoded)
        self._decoder.stepped.connect(self._stepped)
        self._begun = 0.0
        self.stores = StoreLayers(viewer, self)
        self.stores.failed.connect(self.failed)
        self._measurer.told.connect(self._measured)
        self._decode_soon = later(self, 60, self._decode)
        self._measure_soon = later(self, 400, self.measure)

    @property
    def layers(self) -> list[Any]:
        """Their layers."""
        return [s.layer for s in self.shown]

    @property
    def adjustable(self) -> bool:
        """Whether they can be decoded again."""
        return any(s.kept is not None for s in self.shown)

    @property
    def lacking(self) -> str:
        """Of what there was too little to keep what they would be decoded from: "memory", "disk" or ""."""
        return next((s.lacking for s in self._found if s.lacking), "")

    @property
    def reading(self) -> bool:
        """Whether predictions of the last run are still to come."""
        return bool(self._to_come)

    @property
    def busy(self) -> bool:
        """Whether the layers are about to change: predictions are to come, or are being decoded again."""
        return self.reading or self._decode_soon.isActive() or self._decoder.busy

    def take(self, folder: Path, run: Run, found: Sequence[Stored]) -> None:
        """Add what a job found, one by one; the folder is theirs from now on."""
        self.release()
        self._folder, self.run, self._values = folder, run, run.values
        self._found = tuple(found)
        self._to_come = [s for s in found if not str(s.prediction).endswith(".zarr")]
        if self._to_come:
            hide_others(self._viewer, run)
        for s in found:
            if s not in self._to_come:
                self.stores.take(s, run)
        self._next()
        if not self._to_come:
            self.release()

    def fill(self, event: Filling, run: Run) -> None:
        """Show a prediction while it is computed."""
        if not self.stores.filling:
            hide_others(self._viewer, run)
        self.stores.fill(event, run)

    def decode(self, values: dict[str, Any]) -> None:
        """Decode all of them again, soon; what is being decoded for more than a moment is given up."""
        self._values = values
        if self.adjustable and not self._decode_soon.isActive():
            self._decode_soon.start()
            self.changed.emit()

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
        for shown in self.shown:
            self._listen(shown.layer, False)
        self.shown, self._to_come, self.run = [], [], None
        self.working.emit(0, 0)
        folder, self._folder = self._folder, None
        if folder is not None:
            discard(folder, wait)

    def _next(self) -> None:
        if self._to_come and self.run is not None and self._folder is not None:
            found = self._to_come[0]
            self._reader.ask(_read, self._folder, found, self.run.asked[found.index], self.run)

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
        axes = read.axes.without_channels()
        facts = {
            "model": model.name,
            "path": str(model.path),
            "task": model.card.task,
            "diameter": run.settings.diameter,
        }
        facts |= {"axes": axes.names, "spatial": axes.spatial}
        look = look_of(model.card)
        for k, data in enumerate(read.parts):
            made = provenance(
                "result", asked.name, image_id=asked.layer_id, **facts, decoding=run.values, part=asked.box, channel=k
            )
            count = len(read.parts)
            name = _new_name(self._viewer, result_name(model.card, model.name, asked.name, k, count) + part)
            dress = look.dress(model.card)
            if look.layer == "image":
                dress = self._image_look(model.card, asked, k, count, data)
            place = asked.placement
            layer = add_quietly(self._viewer, data, name, look.layer, metadata=made, **place, **dress)
            self.shown.append(Shown(layer, asked, model.card, read.kept, read.count, read.axes, read.marks[k], k))
            self._listen(layer)
            if read.uncertainty is not None:
                self._add_uncertainty(layer, read.uncertainty[k])

    def _add_uncertainty(self, layer: Any, uncertainty: NDArray[np.float32]) -> None:
        """The uncertainty of a predicted image, below it, hidden."""
        high = float(np.percentile(uncertainty, 99.5)) or 1.0
        made = provenance("honesty", layer, what="uncertainty")
        place = placement(layer, range(layer.ndim))
        dress = {"colormap": "inferno", "contrast_limits": (0.0, high), "visible": False}
        add_quietly(self._viewer, uncertainty, f"{layer.name} uncertainty", "image", metadata=made, **dress, **place)

    def _image_look(self, card: Card, asked: Asked, k: int, count: int, data: NDArray[Any]) -> dict[str, Any]:
        """How a predicted image looks: as the image where it has its units; several in colours that add up."""
        image = asked.layer(self._viewer.layers)
        colour = COLOURS[k % len(COLOURS)] if count > 1 else "gray"
        look: dict[str, Any] = {"colormap": colour, "blending": "additive" if count > 1 else "translucent_no_depth"}
        if card.target is None and image is not None and not image.rgb:
            return {**look, "contrast_limits": tuple(image.contrast_limits)}
        step = tuple(slice(None, None, max(1, n // 512)) for n in data.shape)
        low, high = (float(v) for v in np.percentile(np.asarray(data[step]), [0.5, 99.9]))
        return {**look, "contrast_limits": (low, high if high > low else low + 1)}

    def _decode(self) -> None:
        quick = time.monotonic() - self._begun < PATIENCE  # it is about to be seen
        if self.reading or (self._decoder.busy and quick):
            self._decode_soon.start()
            return
        self._begun = time.monotonic()
        self._decoder.ask(_decode, [s for s in self.shown if s.kept is not None], self._values)

    def _stepped(self, said: Progress) -> None:
        if time.monotonic() - self._begun > PATIENCE:
            self.working.emit(said.done, said.total)

    def _decoded(self, found: Any) -> None:
        self.working.emit(0, 0)
        if isinstance(found, Exception):
            self.failed.emit(explained(found))
            return
        values, done = found
        for new in done:
            shown = new.shown
            if shown not in self.shown or shown.layer not in self._viewer.layers:
                continue
            if new.painted or shown.touched:
                self._leave(shown, new.labels)
            else:
                shown.layer.data = new.labels
            shown.count, shown.mark = new.count, new.mark
            shown.layer.metadata["napari_dojo"] = as_made(shown.layer.metadata, decoding=values)
        self._measure_soon.start()
        self.changed.emit()

    def _leave(self, shown: Shown, labels: NDArray[np.int32]) -> None:
        """Put labels in a new layer, because a person has painted in that of the prediction, which is theirs now."""
        theirs, selection = shown.layer, self._viewer.layers.selection
        self._listen(theirs, False)
        made = {"napari_dojo": as_made(theirs.metadata)}
        mark_corrected(theirs.metadata)
        name = _new_name(self._viewer, theirs.name)
        place, dress = placement(theirs, range(theirs.ndim)), look_of(shown.card).dress(shown.card)
        shown.layer = add_quietly(self._viewer, labels, name, metadata=made, **place, **dress)
        self._listen(shown.layer)
        if selection.active is theirs:
            selection.active = shown.layer
        theirs.visible = False
        self.said.emit(
            f'You have painted in "{escape(theirs.name)}": it stays as it is, hidden. The new values are shown in '
            f'"{escape(name)}".'
        )

    def _listen(self, layer: Any, on: bool = True) -> None:
        """Count and measure again after a person painted in a layer."""
        paint = getattr(layer.events, "paint", None)
        if paint is not None:
            (paint.connect if on else paint.disconnect)(self._painted)

    def _painted(self, event: Any) -> None:
        for shown in self.shown:
            shown.touched |= shown.layer is event.source
        if not self.reading:
            self._measure_soon.start()

    def _measured(self, found: Any) -> None:
        if isinstance(found, Exception):
            self.failed.emit(explained(found))
            return
        for shown, (table, count) in found:
            if shown in self.shown and shown.layer in self._viewer.layers:
                shown.layer.features, shown.count = table, count
        self.changed.emit()


def hide_others(viewer: Any, run: Run) -> None:
    """Hide what would lie over new predictions: previews of trainings, and older predictions for the images.

    Of images those of the same model; of labels all, because only one segmentation can be seen at a time.
    """
    images, kind = [a.layer(viewer.layers) for a in run.asked], look_of(run.model.card).layer
    removed = {a.name for a, image in zip(run.asked, images, strict=True) if image is None}
    for layer in viewer.layers:
        ours = layer.metadata.get("napari_dojo")
        if not isinstance(ours, dict):
            continue
        both = kind != "image" and layer._type_string == kind
        source = source_among(layer.metadata, viewer.layers)
        known = ours.get("image") in removed if source is None else any(source is x for x in images)
        again = ours.get("kind") == "result" and known
        if ours.get("kind") == "preview" or (again and (both or ours.get("model") == run.model.name)):
            layer.visible = False


@dataclass(frozen=True, eq=False)
class _Read:
    """What a job left of one image: an array for each layer, their uncertainty, what labels can be decoded from.

    ``axes`` : see `Shown`; ``marks`` : fingerprints of the arrays.
    """

    parts: list[NDArray[Any]]
    kept: Kept | None
    count: Counter[str]
    axes: Axes
    marks: list[int]
    uncertainty: list[NDArray[np.float32]] | None = None


def _read(folder: Path, found: Stored, asked: Asked, run: Run) -> tuple[Asked, _Read]:
    card, planes = run.model.card, run.settings.planes
    whole, kind = np.load(folder / str(found.prediction), mmap_mode="r"), TASKS[card.task].result
    axes, kept = linked_axes(asked.axes, kind, planes), None
    names = found.axes
    if not kind.dense:  # the whole image, or frame, gets the colour of its class
        whole, names = spread(whole, asked.axes, [b - a for a, b in asked.wide]), asked.axes.without_channels().names
    elif found.maps:
        maps = np.load(folder / found.maps, mmap_mode="r")
        kept = Kept(card, maps, asked.axes.without_channels(), whole.shape, planes)
    values = np.array(cut(whole, asked, Axes(names, axes.spatial), kind.objects))
    uncertainty = None
    if found.uncertainty:
        whole = np.load(folder / found.uncertainty, mmap_mode="r")
        uncertainty = _parts(np.array(cut(whole, asked, Axes(found.axes, axes.spatial), False)), found.axes)
    parts, count = _parts(values, names), look_of(card).count(card, values, axes)
    return asked, _Read(parts, kept, count, axes, [fingerprint(part) for part in parts], uncertainty)


def spread(values: NDArray[Any], axes: Axes, shape: Sequence[int]) -> NDArray[np.int32]:
    """The number of each image or frame (n,) on all of its pixels; ``axes`` and ``shape`` are the image's."""
    ours = axes.without_channels()
    out = np.zeros([n for a, n in zip(axes.names, shape, strict=True) if a != "C"], np.int32)
    for i, value in enumerate(np.ravel(values)):
        ours.sample(out, i)[...] = value
    return out


def _parts(values: NDArray[Any], names: str) -> list[NDArray[Any]]:
    """Each channel of a prediction with these axes."""
    return list(np.moveaxis(values, names.index("C"), 0)) if "C" in names else [values]


def _decode(
    shown: list[Shown], values: dict[str, Any]
) -> Generator[Event, None, tuple[dict[str, Any], list[_Decoded]]]:
    done = []
    for i, s in enumerate(shown):
        done.append((yield from changed(s.steps(values), partial(among, i, len(shown)))))
    return values, done


def _tables(shown: list[Shown]) -> list[tuple[Shown, tuple[Table, Counter[str]]]]:
    return [(s, s.table()) for s in shown]


def _new_name(viewer: Any, wanted: str) -> str:
    """The name, with a number where it is taken."""
    taken, name, k = {x.name for x in viewer.layers}, wanted, 2
    while name in taken:
        name, k = f"{wanted} ({k})", k + 1
    return name
