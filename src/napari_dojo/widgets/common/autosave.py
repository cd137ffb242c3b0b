"""Saves what a person paints while they paint, and brings it back: labels, regions and the pair table."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from napari_dojo.errors import DojoError, explained
from napari_dojo.io import images
from napari_dojo.jobs.autosave import Draft, Layer, Row, Work
from napari_dojo.widgets.common.closing import watch_window
from napari_dojo.widgets.common.later import later
from napari_dojo.widgets.common.latest import Latest
from napari_dojo.widgets.common.layers import array_of, placement
from napari_dojo.widgets.common.provenance import is_uncorrected

__all__ = ["Autosave", "Left", "Restored", "left_here", "restore"]

PAUSE = 2.0  # seconds without an edit after which a save begins
LONGEST = 6.0  # seconds after the first unsaved edit at which it begins anyway
SHARE = 5.0  # times its duration that a save is followed by rest
RETRY = 30.0  # seconds after a failed save
EDITS = ("paint", "labels_update", "data")  # what a person does to labels and shapes; a stroke says labels_update
OTHERS = ("set_data", "features", "name")  # an undo says set_data, and so do many things that are no edit
LOOK = {
    "image": ("colormap", "contrast_limits", "gamma", "blending", "opacity", "visible"),
    "labels": (
        *("blending", "opacity", "visible", "contour", "brush_size", "contiguous", "n_edit_dimensions"),
        *("preserve_labels", "selected_label"),
    ),
    "shapes": ("blending", "opacity", "visible"),
}
OWNERS: WeakKeyDictionary[Any, Autosave] = WeakKeyDictionary()  # which of several panels saves a layer
COLOURS = 1000  # of labels with a colour each; more are not kept


class Restored(NamedTuple):
    """What came back.

    Attributes
    ----------
    rows : (image layers, labels layer or None, region layer or None, role) each.
    choices : the panel's other settings.
    sentence : what could not be brought back; empty where all could.
    layers : by their keys in the draft.
    """

    rows: list[tuple[tuple[Any, ...], Any, Any, str]]
    choices: dict[str, Any]
    sentence: str
    layers: dict[str, Any]


class Left(NamedTuple):
    """A draft, and the layers that a person edited (their unique ids)."""

    draft: Draft
    layers: frozenset[str]


@dataclass
class _Followed:
    """A layer that is listened to: its key in the draft, how often it changed, whether a person edited it."""

    key: str
    version: int = 0
    touched: bool = False


class Autosave(QObject):
    """Keeps a draft of the labels and regions that a person edits, of the images beside them, and of the table.

    Nothing is written before something is painted. ``failed`` says once, in one sentence, that saving does not work.

    Attributes
    ----------
    draft : where it goes.

    Parameters
    ----------
    viewer : of the layers.
    state : gives the rows of the table (each with ``images``, ``target``, ``region``: layers; ``role``) and the other
        choices as plain values.
    kind : of what is kept, see `Work`.
    """

    failed = Signal(str)

    def __init__(
        self,
        viewer: Any,
        state: Callable[[], tuple[Sequence[Any], dict[str, Any]]],
        parent: QObject | None = None,
        kind: str = "labels",
    ) -> None:
        super().__init__(parent)
        self._viewer, self._state, self._kind = viewer, state, kind
        self.draft = Draft.new()
        self._followed: dict[Any, _Followed] = {}
        self._count = 0
        self._replaced: Draft | None = None
        self._fits: dict[str, bool] = {}  # whether the file of an image holds what the layer shows; for the thread
        self._since: float | None = None  # the first edit that is not saved
        self._not_before = 0.0
        self._running: Work | None = None  # what a thread saves now
        self._complained = self._ended = False
        self._writer = Latest(self)
        self._writer.told.connect(self._saved)
        self._timer = later(self, 0, self._save)
        self._viewer.layers.events.removing.connect(self._removing)
        self.follow()

    def follow(self) -> None:
        """The rows or choices are other ones: listen to their layers, and save soon if there is something to save."""
        rows, _ = self._state()
        self._listen(rows)
        self._later()

    def touch(self, layer: Any) -> None:
        """A person has worked on a layer of the table without painting in it: it is kept, too, with the choices."""
        known = self._followed.get(layer)
        if known is not None and OWNERS.setdefault(layer, self) is self:
            known.touched, known.version = True, max(known.version, 1)
            self._later()

    def restore(self, draft: Draft) -> Restored:
        """Restore an autosave and take it over.

        Raises
        ------
        DojoError : it is damaged, or open in another window.
        """
        draft.claim()
        restored = restore(self._viewer, draft)
        if self.draft.written:
            self._replaced = self.draft
        self.draft = draft
        for key, layer in restored.layers.items():
            self._leave(layer)
            self._join(layer, _Followed(key, touched=layer._type_string != "image"))
        self._later()
        return restored

    @property
    def left(self) -> Left:
        """The autosave that another panel of the same window may take over."""
        return Left(self.draft, frozenset(str(x.unique_id) for x, known in self._followed.items() if known.touched))

    def leave(self, kind: str) -> None:
        """The panel is closing: the next one of its kind may take over."""
        watch_window(self._viewer).left[f"{kind} draft"] = self.left
        self.end(keep=True)

    def adopt_left(self, *kinds: str) -> None:
        """Take over what a panel of one of these kinds left in this window, the first that there is."""
        for kind in kinds:
            left = watch_window(self._viewer).left.pop(f"{kind} draft", None)
            if left is not None:
                self.adopt(left)
                if self.draft is left.draft:
                    return

    def adopt(self, left: Left) -> None:
        """Take over an autosave of this window if all its layers still exist; else it is offered like any other."""
        layers = [x for x in self._viewer.layers if str(x.unique_id) in left.layers]
        if not left.draft.written or not _all_there(self._viewer, left):
            return
        with suppress(DojoError):  # another window was faster
            left.draft.claim()
            self.draft = left.draft
            for layer in layers:
                self._leave(layer)
                self._join(layer, self._new(layer, touched=True))

    def end(self, keep: bool) -> None:
        """Listen no more; save the rest and let the draft be offered again, or discard it."""
        if self._ended:
            return
        if keep:
            self._flush()
            self.draft.release()
        else:
            self.draft.discard()
        if self._replaced:
            self._replaced.discard()
        self._ended = True
        self._timer.stop()
        self._viewer.layers.events.removing.disconnect(self._removing)
        for layer in list(self._followed):
            self._leave(layer)

    def _flush(self) -> None:
        work = (None if self._since is None else self._snapshot()) or self._running
        if work is None:
            return
        self._since = None
        _, error = _written(self.draft, work, self._fits)
        if error:
            self.failed.emit(error)

    def _removing(self, event: Any) -> None:
        """Of a layer that goes, the last edits are kept; also, napari removes all layers before it closes."""
        if self._since is not None:
            self._save()

    def _listen(self, rows: Sequence[Any]) -> None:
        there = [x for row in rows for x in (*row.images, row.target, row.region) if x is not None]
        there += [x for x, known in self._followed.items() if known.touched]
        there = [x for x in there if x in self._viewer.layers]
        for layer in [x for x in self._followed if x not in there]:
            self._leave(layer)
        for layer in there:
            if layer not in self._followed:
                self._join(layer, self._new(layer))

    def _new(self, layer: Any, touched: bool = False) -> _Followed:
        self._count += 1
        return _Followed(f"{layer._type_string}-{self._count}-{time.time_ns():x}", touched=touched)

    def _join(self, layer: Any, known: _Followed) -> None:
        self._followed[layer] = known
        if known.touched:
            OWNERS[layer] = self
        for name in (*EDITS, *OTHERS):
            if hasattr(layer.events, name):
                getattr(layer.events, name).connect(self._changed)

    def _leave(self, layer: Any) -> None:
        if self._followed.pop(layer, None) is None:
            return
        if OWNERS.get(layer) is self:
            del OWNERS[layer]
        for name in (*EDITS, *OTHERS):
            if hasattr(layer.events, name):
                getattr(layer.events, name).disconnect(self._changed)

    def _changed(self, event: Any) -> None:
        known = self._followed.get(event.source)
        if known is None:
            return
        if event.type in EDITS:
            known.version += 1
            if _by_person(event) and OWNERS.setdefault(event.source, self) is self:  # else another panel saves it
                known.touched = True
        elif event.type == "set_data":
            if not known.touched:
                return
            known.version += 1
        self._later()

    def _later(self) -> None:
        """Save after a pause, but not long after the first unsaved edit, nor soon after a save that took long."""
        if self._ended or not any(known.touched for known in self._followed.values()):
            return
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        due = max(min(now + PAUSE, self._since + LONGEST), self._not_before)
        if due > now or not self._timer.isActive():  # one that is late would be late again
            self._timer.start(max(0, round(1000 * (due - now))))

    def _save(self) -> None:
        if self._running:  # `_saved` looks again
            return
        self._since, work = None, self._snapshot()
        if work is None:
            return
        self._running = work
        self._writer.ask(_written, self.draft, work, self._fits)

    def _saved(self, outcome: tuple[float, str | None]) -> None:
        self._running = None
        if self._ended:
            return
        seconds, error = outcome
        now = time.monotonic()
        self._not_before = now + max(SHARE * seconds, RETRY if error else 0)
        if error:
            self._since = now if self._since is None else self._since
            if not self._complained:
                self.failed.emit(error)
        elif self._replaced:
            self._replaced.discard()
            self._replaced = None
        self._complained = bool(error)
        if self._since is not None:
            self._later()

    def _snapshot(self) -> Work | None:
        """What is to be saved; arrays are those of the layers, not copies. None where nothing painted is left."""
        rows, choices = self._state()
        self._listen(rows)
        there = [x for x in self._viewer.layers if x in self._followed]
        if not any(self._followed[x].touched for x in there):
            return None
        kept = {self._followed[x].key: _layer(x, self._followed[x].version) for x in there}
        keys = {x: self._followed[x].key for x in there}
        table = [
            Row(tuple(keys[x] for x in r.images if x in keys), keys.get(r.target), keys.get(r.region), r.role)
            for r in rows
        ]
        title = next((kept[r.images[0]].name for r in table if r.images), next(iter(kept.values())).name)
        return Work(title, tuple(table), choices, kept, self._kind)


def _by_person(event: Any) -> bool:
    """Whether an edit is a person's; the data of a prediction change, too, when it is decoded again."""
    layer = event.source
    return layer._type_string != "image" and not (event.type == "data" and is_uncorrected(layer.metadata))


def left_here(viewer: Any) -> frozenset[Path]:
    """The folders of the drafts that closed panels of this window left, and whose layers are all still in it."""
    left = (x for x in watch_window(viewer).left.values() if isinstance(x, Left))
    return frozenset(x.draft.folder for x in left if _all_there(viewer, x))


def _all_there(viewer: Any, left: Left) -> bool:
    return bool(left.layers) and left.layers <= {str(x.unique_id) for x in viewer.layers}


def restore(viewer: Any, draft: Draft) -> Restored:
    """Add the layers of a draft as they were; those that are in the viewer already stand for themselves.

    Raises
    ------
    DojoError : the draft is damaged as a whole.
    """
    work, empty = draft.read(), not viewer.layers
    layers: dict[str, Any] = {}
    lost: list[str] = []
    opened: dict[str, list[Any]] = {}
    for key, kept in work.layers.items():
        try:
            layer = _found(viewer, kept, list(layers.values())) or _added(viewer, kept, opened)
        except Exception:  # of readers and of napari, whatever comes: the rest is worth more
            lost.append(kept.name)
            continue
        layers[key] = layer
    for layer in {x for found in opened.values() for x in found}:  # a file may hold more than was used
        viewer.layers.remove(layer)
    if empty:  # napari looked at the first layer alone
        viewer.reset_view()
    rows = []
    for row in work.rows:
        shown = tuple(layers[k] for k in row.images if k in layers)
        if shown:
            rows.append((shown, layers.get(row.labels or ""), layers.get(row.region or ""), row.role))
    return Restored(rows, dict(work.choices), _sorry(lost), layers)


def _sorry(lost: Sequence[str]) -> str:
    if not lost:
        return ""
    names = ", ".join(lost[:3]) + (f" and {len(lost) - 3} more" if len(lost) > 3 else "")
    return f"{names} could not be brought back: open the file again, and choose it in the table."


def _written(draft: Draft, work: Work, fits: dict[str, bool]) -> tuple[float, str | None]:
    """Write a draft, in a thread: how long it took in seconds, and what went wrong."""
    began = time.monotonic()
    try:
        if draft.written or any(_painted(x) for x in work.layers.values()):
            draft.write(replace(work, layers={k: _placed(x, fits) for k, x in work.layers.items()}))
    except Exception as error:
        return time.monotonic() - began, explained(error)
    return time.monotonic() - began, None


def _painted(layer: Layer) -> bool:
    if layer.kind == "image" or not layer.version:
        return False
    return bool(len(layer.data)) if layer.kind == "shapes" else bool(np.any(layer.data))


def _placed(layer: Layer, fits: dict[str, bool]) -> Layer:
    """Without the path where the file is gone, or holds something else, such as one plane of a stack of files."""
    if layer.path is None or layer.version:
        return replace(layer, path=None)
    if layer.path not in fits:
        fits[layer.path] = Path(layer.path).exists()
        with suppress(DojoError):  # a format of another reader: believed
            found = images.read(layer.path, lazy_above=0).data
            fits[layer.path] = [n for n in found.shape if n > 1] == [n for n in layer.data.shape if n > 1]
    return layer if fits[layer.path] else replace(layer, path=None)


def _layer(layer: Any, version: int) -> Layer:
    """A layer of the viewer as it is kept."""
    kind = layer._type_string
    state: dict[str, Any] = {
        "place": placement(layer, range(layer.ndim)),
        "look": {name: getattr(layer, name) for name in LOOK[kind] if hasattr(layer, name)},
    }
    ours = layer.metadata.get("napari_dojo")
    make: dict[str, Any] = {} if ours is None else {"metadata": {"napari_dojo": ours}}
    path = None
    if kind == "image":
        path = layer.source.path
        state |= {"reader": layer.source.reader_plugin, "shape": array_of(layer).shape}
        state["look"]["colormap"] = layer.colormap.name
        make["rgb"] = layer.rgb
    else:
        make["features"] = {str(name): layer.features[name].to_numpy() for name in layer.features}
    if kind == "labels" and len(colours := getattr(layer.colormap, "color_dict", {})) <= COLOURS and colours:
        state["colours"] = list(colours.items())
    if kind == "shapes":
        make |= {"ndim": layer.ndim, "shape_type": list(layer.shape_type)}
        if layer.nshapes:
            make |= {name: getattr(layer, name) for name in ("edge_color", "face_color", "edge_width", "z_index")}
    data = [np.array(x) for x in layer.data] if kind == "shapes" else array_of(layer)
    return Layer(kind, layer.name, data, {**state, "make": make}, path, version)


def _found(viewer: Any, kept: Layer, taken: Sequence[Any]) -> Any:
    """The layer of the viewer that is this one: of the same name and shape, and labels and shapes of the same content."""
    for layer in viewer.layers:
        if layer._type_string != kept.kind or layer.name != kept.name or layer in taken:
            continue
        if kept.kind == "shapes":
            same = len(layer.data) == len(kept.data) and all(map(np.array_equal, layer.data, kept.data))
        elif kept.kind == "labels":
            same = kept.data is not None and np.array_equal(array_of(layer), kept.data)
        else:
            same = list(array_of(layer).shape) == kept.state["shape"]
        if same:
            return layer
    return None


def _added(viewer: Any, kept: Layer, opened: dict[str, list[Any]]) -> Any:
    """Add the layer again."""
    from napari.layers import Image, Labels, Shapes

    place = {
        name: value if name in ("units", "axis_labels") else np.asarray(value)
        for name, value in kept.state["place"].items()
    }
    make: Mapping[str, Any] = {**kept.state["make"], **place, "name": kept.name}
    if kept.kind == "image" and kept.data is None:
        layer = _opened(viewer, kept, opened)
        layer.name = kept.name
        layer.metadata.update(make.get("metadata", {}))
        for name, value in place.items():
            setattr(layer, name, value)
    elif kept.data is None:
        raise DojoError(f"The copy of {kept.name} is damaged.")
    else:
        if "colours" in kept.state:
            make = {**make, "colormap": dict(kept.state["colours"])}
        kind = {"image": Image, "labels": Labels, "shapes": Shapes}[kept.kind]
        layer = viewer.add_layer(kind(kept.data, **make))
    for name, value in kept.state["look"].items():
        with suppress(AttributeError, KeyError, TypeError, ValueError):  # of another version of napari
            setattr(layer, name, value)
    return layer


def _opened(viewer: Any, kept: Layer, opened: dict[str, list[Any]]) -> Any:
    """The layer out of its file, which is opened once; those of the file's other layers wait in ``opened``."""
    from napari.layers import Image

    if kept.path is None:
        raise DojoError(f"{kept.name} was too large to be copied.")
    if kept.path not in opened:
        opened[kept.path] = []
        with suppress(Exception):  # of readers, whatever comes
            opened[kept.path] = list(viewer.open(kept.path, plugin=kept.state["reader"]))
    fit = [x for x in opened[kept.path] if x._type_string == "image"]
    fit = [x for x in fit if list(array_of(x).shape) == kept.state["shape"]]
    if fit:
        layer = min(fit, key=lambda x: x.name != kept.name)
        opened[kept.path].remove(layer)
        return layer
    picture = images.read(kept.path)
    if list(picture.data.shape) != kept.state["shape"]:
        raise DojoError(f"{kept.path} holds another image now.")
    return viewer.add_layer(Image(picture.data, rgb=picture.rgb))
