"""Live: while strokes are painted, a layer shows what they make of the image; computed in a child process."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from napari_dojo.events import Event, Failed, Previewed
from napari_dojo.jobs.requests import live_request
from napari_dojo.widgets.annotate.editing import Editing, Sight
from napari_dojo.widgets.common.later import later
from napari_dojo.widgets.common.latest import Latest
from napari_dojo.widgets.common.layers import add_quietly, placement, provenance
from napari_dojo.widgets.common.run import BRIEFLY, Runner

__all__ = ["BACKGROUND", "LOOK", "Live", "Strokes", "strokes_in_view"]

BACKGROUND = 1  # the number of the background's strokes
PAUSE = 20  # ms after a change until it is looked at
LOOK = 20  # ms between two looks at the child
OTHERS = 4  # planes of a stack beside the one in view whose strokes count for its preview, the nearest ones; more, where they lack a kind


class Strokes:
    """What is counted in strokes of one plane: objects or classes, and strokes of background.

    Attributes
    ----------
    enough : both kinds are in this plane; ``trainable`` : they are in all of ``labels``, which is what a model needs.
    """

    def __init__(self, plane: NDArray[Any], objects: bool, labels: Any = None) -> None:
        from scipy.ndimage import label

        numbers = np.unique(plane)
        self.found = int(np.count_nonzero(numbers > (BACKGROUND if objects else 0)))
        self.background = int(label(plane == BACKGROUND)[1]) if objects else 0
        self.enough = self.found > 0 and self.background > 0 if objects else self.found > 1
        self.trainable = self.enough or (labels is not None and _enough(labels, objects))
        self.objects = objects

    @property
    def sentence(self) -> str:
        """``34 objects, 12 strokes of background``."""
        if not self.objects:
            more = "" if self.enough else " here" if self.trainable else ": paint two or more"
            return f"{self.found} class{'es' * (self.found != 1)} painted{more}"
        lacks = "" if self.enough else " here" if self.trainable else ": paint both"
        strokes = f"{self.background} stroke{'s' * (self.background != 1)} of background"
        return f"{self.found} object{'s' * (self.found != 1)}, {strokes}{lacks}"


def strokes_in_view(editing: Editing) -> Strokes | None:
    """What is painted in the plane that is shown; None in 3-D views."""
    sight = editing.sight()
    if sight is None:
        return None
    plane = np.asarray(editing.data[sight.plane]).reshape([editing.data.shape[a] for a in sorted(sight.axes)])
    return Strokes(plane, editing.strokes == "objects", editing.data if editing.data.ndim > 2 else None)


def _enough(labels: Any, objects: bool) -> bool:
    """Whether both kinds of strokes are in labels of several planes, or two classes."""
    first = BACKGROUND if objects else max((int(np.max(plane)) for plane in labels), default=0)
    return any(np.any(p == first) for p in labels) and any(np.any((p > 0) & (p != first)) for p in labels)


class Live(QObject):
    """The live layer of the labels that are edited. ``said``: a sentence; ``counted``: `Strokes`; ``ended``: it is off.

    Attributes
    ----------
    shown : seconds from the last stroke until what is in view was shown, and until the whole plane was; None: not yet.
    """

    said = Signal(str)
    counted = Signal(object)
    ended = Signal()

    def __init__(self, viewer: Any, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._editing: Editing | None = None
        self._objects = True
        self.layer: Any = None
        self._runner = Runner(self, LOOK)
        self._runner.said.connect(self._heard)
        self._writing = Latest(self)
        self._writing.told.connect(self._written)
        self._soon = later(self, PAUSE, self._send)
        self._again = later(self, LOOK, self._ask)
        self._look: dict[str, Any] = {}  # the next that the job is asked for
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._number, self._latest = 0, 0
        self._begun: dict[int, tuple[float, Sight]] = {}
        self._images: dict[Any, str] = {}  # which planes are written already, and where
        self._changed_at = 0.0
        self._instead: Any = None  # the prediction of a trained model that is shown in its place
        self.shown: tuple[float | None, float | None] = (None, None)

    @property
    def on(self) -> bool:
        """Whether it follows the strokes."""
        return self._editing is not None

    def begin(self, editing: Editing, objects: bool) -> None:
        """Follow the strokes of these labels, on objects or on classes."""
        self.end()
        self._editing, self._objects = editing, objects
        self._folder = tempfile.TemporaryDirectory(prefix="dojo-live-", ignore_cleanup_errors=True)
        job = Path(self._folder.name)  # all of it goes with a request that nobody waits for any more
        self._runner.start(lambda: live_request(job))
        editing.changed.connect(self.follow)
        editing.labels.events.paint.connect(self._stroked)
        self._viewer.layers.events.removed.connect(self._removed)
        for moved in (self._viewer.dims.events.current_step, self._viewer.dims.events.order):
            moved.connect(self.follow)
        self.follow()

    def end(self) -> None:
        """Follow no longer; the layer is removed."""
        editing, self._editing = self._editing, None
        if editing is None:
            return
        with contextlib.suppress(RuntimeError, TypeError):  # the labels may be gone already
            editing.changed.disconnect(self.follow)
        editing.labels.events.paint.disconnect(self._stroked)
        self._viewer.layers.events.removed.disconnect(self._removed)
        for moved in (self._viewer.dims.events.current_step, self._viewer.dims.events.order):
            moved.disconnect(self.follow)
        self._soon.stop()
        self._again.stop()
        self._writing.forget()
        self._runner.close(BRIEFLY)
        self._begun, self._images, self._instead = {}, {}, None
        layer, self.layer = self.layer, None
        if layer is not None and layer in self._viewer.layers:
            self._viewer.layers.remove(layer)
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None
        self.ended.emit()

    def give_way(self, result: Any) -> None:
        """Show the prediction of a trained model in its place until the next stroke: one segmentation can be seen at a time."""
        if self.layer is not None:
            self.layer.visible, self._instead = False, result

    def _stroked(self, event: Any = None) -> None:
        """The next stroke: the live layer is shown again."""
        result, self._instead = self._instead, None
        if result is not None and self.layer is not None:
            self.layer.visible = True
            result.visible = False

    def follow(self, event: Any = None) -> None:
        """Something changed: look at it soon."""
        if self._editing is not None:
            self._changed_at = time.monotonic()
            self._soon.start()

    def _removed(self, event: Any) -> None:
        """A person removed a layer: without the live one or what it is made from, it ends."""
        editing = self._editing
        if editing is not None and event.value in (self.layer, editing.labels, editing.image):
            self.end()

    def _send(self) -> None:
        """Write the strokes in a thread."""
        editing = self._editing
        sight = None if editing is None else editing.sight()
        if editing is None or sight is None or self._folder is None:
            return
        if editing.image is None:
            self.said.emit("Choose the image that the strokes lie on.")
            return
        self._number += 1
        self._begun[self._number] = (self._changed_at, sight)
        for old in [n for n in self._begun if n < self._number - 20]:
            del self._begun[old]
        plane = np.array(_flat(np.asarray(editing.data[sight.plane]), sight))
        folder = Path(self._folder.name)
        self._writing.ask(_write, editing, sight, plane, folder, self._images, self._number, self._objects)

    def _written(self, told: Any) -> None:
        if isinstance(told, Exception):
            self.said.emit(f"No preview: {told}")
            return
        look, counts = told
        self.counted.emit(counts)
        if self._editing is None:
            return
        if look is None:
            self.said.emit("")
            return
        self._look = look
        self._ask()

    def _ask(self) -> None:
        """Ask the job, once it is there, for what was written last."""
        if self._runner.job is None:  # it is just being started
            self._again.start()
        elif self._look["number"] >= self._number - 1:
            self._runner.job.ask(self._look)
            if self.layer is None:
                self.said.emit("Computing the first preview ...")

    def _heard(self, event: Event) -> None:
        if isinstance(event, Failed) and self._editing is not None:
            self.said.emit(event.sentence)
            self.end()
        if not isinstance(event, Previewed) or event.number < self._latest or self._editing is None:
            return
        begun = self._begun.get(event.number)
        if begun is None:
            return
        try:
            found = np.load(event.path)
        except (OSError, ValueError):
            return
        Path(event.path).unlink(missing_ok=True)
        self._latest = event.number
        self._put(found, event.box, begun[1])
        seconds = time.monotonic() - begun[0]
        first = self.shown[0] if event.whole and self.shown[0] is not None and self.shown[1] is None else seconds
        self.shown = (first, seconds if event.whole else None)
        self.said.emit(f"Preview after {first:.1f} s" + (f" (all: {seconds:.1f} s)" if event.whole else ""))

    def _put(self, found: NDArray[np.int32], box: list[list[int]], sight: Sight) -> None:
        editing = self._editing
        assert editing is not None
        labels = editing.labels
        if self.layer is None:
            place = placement(labels, range(labels.ndim))
            about = provenance("preview", "" if editing.image is None else editing.image)
            data = np.zeros(labels.data.shape, np.int32)
            colours = deepcopy(labels.colormap)
            self.layer = add_quietly(
                self._viewer, data, f"{labels.name} (live)", metadata=about, opacity=0.4, colormap=colours, **place
            )
            self._viewer.layers.move(self._viewer.layers.index(self.layer), self._viewer.layers.index(labels))
        (a, b), (c, d) = box
        part = list(sight.plane)
        rows, columns = sight.axes
        part[rows], part[columns] = slice(a, b), slice(c, d)
        target = self.layer.data[tuple(part)]
        _flat(target, sight)[...] = found
        self.layer.refresh(extent=False)


def _flat(part: NDArray[Any], sight: Sight) -> NDArray[Any]:
    """A plane of a layer as rows and columns of the view; a view on the same numbers."""
    size = [part.shape[a] for a in sorted(sight.axes)]
    flat = part.reshape(size)
    return flat if sight.axes[0] < sight.axes[1] else flat.T


def _write(
    editing: Editing,
    sight: Sight,
    plane: NDArray[Any],
    folder: Path,
    images: dict[Any, str],
    number: int,
    objects: bool,
) -> tuple[dict[str, Any] | None, Strokes]:
    """Write strokes, and images that are new; what the job is to do, None without both kinds of strokes, and what was counted. In a thread."""
    counts = Strokes(plane, objects, editing.data if editing.data.ndim > 2 else None)
    planes, kinds, largest = [(sight, plane)], _kinds(plane, objects), int(plane.max(initial=0))
    for at, strokes in _others(editing, sight):
        if len(planes) > OTHERS and len(kinds) > 1:
            break
        found = _kinds(strokes, objects)
        if len(planes) <= OTHERS or not found <= kinds:
            planes.append((at, strokes))
            kinds, largest = kinds | found, max(largest, int(strokes.max()))
    if len(kinds) < 2:
        return None, counts
    written = []
    for k, (at, strokes) in enumerate(planes):
        path = folder / f"strokes-{number}-{k}.npy"
        np.save(path, strokes if k == 0 or not objects else np.minimum(strokes, BACKGROUND + 1))
        (folder / f"strokes-{number - 8}-{k}.npy").unlink(missing_ok=True)  # nobody reads it by now
        written.append([_image(editing, at, folder, images), str(path)])
    view = [[sight.view[a].start, sight.view[a].stop] for a in sight.axes]
    look = {"image": written[0][0], "strokes": written[0][1], "others": written[1:], "view": view, "objects": objects}
    return look | {"number": number, "stack": id(editing.image), "largest": largest}, counts


def _kinds(strokes: NDArray[Any], objects: bool) -> set[int]:
    """Which classes there are in a plane: those painted, or background and objects."""
    found = {int(n) for n in np.unique(strokes[strokes > 0])}
    return {min(n, BACKGROUND + 1) for n in found} if objects else found


def _image(editing: Editing, sight: Sight, folder: Path, images: dict[Any, str]) -> str:
    """The file of the image's plane, written where it is new."""
    key = id(editing.image), sight.axes, tuple(s.start for s in sight.plane)
    if key not in images:
        rows, columns = (sight.plane[a] for a in sight.axes)
        image = editing.channels_of_plane((rows, columns), sight)
        if image is None:
            raise ValueError("the image does not lie on the labels")
        path = folder / f"image-{len(images)}.npy"
        np.save(path, image)
        images[key] = str(path)
    return images[key]


def _others(editing: Editing, sight: Sight) -> Iterator[tuple[Sight, NDArray[Any]]]:
    """The other planes that have strokes, and those, the nearest first; of layers on disk none."""
    data, hidden = editing.data, [a for a in range(editing.data.ndim) if a not in sight.axes]
    if not isinstance(data, np.ndarray):
        return
    here = np.array([sight.plane[a].start for a in hidden], int)
    places = np.array(list(product(*(range(data.shape[a]) for a in hidden))), int)
    far = np.abs(places - here).sum(1)
    for k in np.argsort(far, kind="stable")[1:]:  # the first is the one in view
        plane = list(sight.plane)
        for a, at in zip(hidden, places[k].tolist(), strict=True):
            plane[a] = slice(at, at + 1)
        strokes = data[tuple(plane)]
        if (strokes > 0).any():
            there = replace(sight, plane=tuple(plane))
            yield there, _flat(strokes, there)
