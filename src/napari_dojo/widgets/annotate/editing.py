"""Editing one Labels layer: where its objects lie, what the viewer shows of it, one history, and what is accepted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from napari_dojo.data import edits
from napari_dojo.data.axes import Axes
from napari_dojo.data.edits import Box, Edit, Places
from napari_dojo.data.objects import boxes_by_number
from napari_dojo.widgets.annotate.history import History, Mark, Ready, changes_in, put, write
from napari_dojo.widgets.common.accepted import accepted_layer, add_accepted, follow_name
from napari_dojo.widgets.common.later import later
from napari_dojo.widgets.common.latest import Latest
from napari_dojo.widgets.common.layers import array_of, axes_choices, axes_of_labels
from napari_dojo.widgets.common.numbering import STROKES
from napari_dojo.widgets.common.provenance import is_prediction

__all__ = ["Editing", "Sight", "Tally", "Tidied", "writable"]

BLOCK = 2**20  # pixels that are counted together
PAUSE = 300  # ms after an edit until objects are counted


@dataclass(frozen=True)
class Sight:
    """What the viewer shows of a layer.

    Attributes
    ----------
    plane : the shown plane, whole; one slice for each axis of the layer.
    objects : where whole objects are changed: this plane, or its volume.
    axes : rows and columns of the view.
    view : the part of the plane that lies in the window.
    """

    plane: Box
    objects: Box
    axes: tuple[int, int]
    view: Box


@dataclass(frozen=True)
class Tally:
    """How many objects there are and how many of them are accepted.

    Attributes
    ----------
    diameter : median in a plane, px; None without objects.
    everywhere : all of the layer is accepted.
    """

    objects: int = 0
    accepted: int = 0
    diameter: float | None = None
    everywhere: bool = False

    @property
    def sentence(self) -> str:
        """In words."""
        if not self.objects:
            return "No objects yet"
        return f"{self.objects:,} object{'s' * (self.objects > 1)}, {self.accepted:,} accepted"


@dataclass(frozen=True, eq=False)
class Tidied:
    """An edit by rule of a whole layer, worked out in a thread.

    Unlike a correction it accepts nothing: what it removes may be an object that is only not wanted. Objects that are
    removed are no longer accepted.

    Attributes
    ----------
    labels, accepted : what changes in the labels, and in the mask of accepted places; None where that stays.
    """

    labels: Ready
    accepted: Ready | None

    @classmethod
    def of(cls, edit: Edit, accepted: Any) -> Tidied:
        """Work it out; ``accepted`` is the mask, or None where there is none."""
        ready = Ready.of(edit)
        if accepted is None:
            return cls(ready, None)
        gone = ready.change.mask & (edit.after == 0)
        left = Edit.of(accepted, edit.box, np.where(gone, 0, np.asarray(accepted[edit.box])))
        return cls(ready, None if left is None else Ready.of(left))

    def fits(self, labels: Any, accepted: Any) -> bool:
        """Whether both are as they were when it was worked out."""
        both = ((self.labels, labels), (self.accepted, accepted))
        return all(r is None or (a is not None and np.array_equal(a[r.edit.box], r.edit.before)) for r, a in both)


def writable(labels: Any) -> str:
    """Why a Labels layer cannot be edited; empty where it can."""
    if labels.multiscale:
        return f"{labels.name} has several resolutions, which napari does not edit. Open its finest level alone."
    if type(labels.data).__module__.startswith("dask"):
        return f"{labels.name} is computed when it is shown, so it cannot be edited. Save it, and open the file."
    return "" if labels.editable else f"{labels.name} is locked. Unlock it in its controls."


class Editing(QObject):
    """Edits of one Labels layer. ``changed`` says that it, or what is accepted in it, is another one; ``counted`` follows.

    Attributes
    ----------
    labels : the layer.
    image : the image layer that objects are outlined in; None where there is none.
    whole : in a stack of planes, objects are changed in all planes, not only in the one that is shown.
    tally : as last counted; ``known`` : it was counted, or cannot be.
    """

    changed = Signal()
    counted = Signal()

    def __init__(self, viewer: Any, labels: Any, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer, self.labels = viewer, labels
        self.image: Any = None
        self.whole = True
        self.tally = Tally()
        self.known = not isinstance(labels.data, np.ndarray)
        self._places: Places | None = None
        self._tidied: Tidied | None = None  # what is being written
        self.history = History(labels, self._replayed)
        labels.events.paint.connect(self._painted)
        labels.events.data.connect(self._replaced)
        labels.events.set_data.connect(self._shown)
        labels.events.name.connect(self._named)
        self._finding, self._counting = Latest(self), Latest(self)
        self._finding.told.connect(self._found)
        self._counting.told.connect(self._counted)
        self._accepted: Any = None
        self._soon = later(self, PAUSE, self._count)
        self._replaced()

    def close(self) -> None:
        """Let go of the layer."""
        self._soon.stop()
        for latest in (self._finding, self._counting):
            latest.forget()
        self.history.close()
        self.labels.events.paint.disconnect(self._painted)
        self.labels.events.data.disconnect(self._replaced)
        self.labels.events.set_data.disconnect(self._shown)
        self.labels.events.name.disconnect(self._named)

    # where things are

    @property
    def data(self) -> Any:
        """The labels as they lie."""
        return self.labels.data

    @property
    def names(self) -> str:
        """The axes of the labels: TZYX."""
        return axes_of_labels(self.labels)

    @property
    def strokes(self) -> str:
        """What strokes in the labels stand for: "objects", "classes", or nothing, where labels are whole objects."""
        return str(self.labels.metadata.get(STROKES, ""))

    @property
    def places(self) -> Places:
        """Where the objects lie; looked for at once where the thread has not finished."""
        if self._places is None:
            self._places = Places(boxes_by_number(self.data) if isinstance(self.data, np.ndarray) else {})
        return self._places

    def free_numbers(self, least: int = 1) -> Iterator[int]:
        """Numbers from ``least`` on that no object has or had; of layers on disk, those above all that are used."""
        largest = int(np.iinfo(self.data.dtype).max)
        if isinstance(self.data, np.ndarray):
            return edits.free_numbers(self.places.numbers, largest, least)
        top = max(self.places.largest, int(np.max(self.data)))
        return iter(range(max(least, top + 1), largest + 1))

    @property
    def full(self) -> str:
        """What to say where there is no free number."""
        kind = np.iinfo(self.data.dtype)
        said = f"{self.labels.name} holds numbers up to {kind.max}, and none is free. "
        wider = "Right-click it in the layer list, choose Convert data type and int32."
        return said + (wider if kind.bits < 32 else "Give the object with the largest number a smaller one.")

    def sight(self) -> Sight | None:
        """What is shown; None in 3-D views."""
        dims, layer = self._viewer.dims, self.labels
        shown = [d - (dims.ndim - layer.ndim) for d in dims.displayed]
        if len(shown) != 2 or min(shown) < 0:
            return None
        point = np.rint(np.asarray(layer.world_to_data(dims.point))).astype(int)
        whole = tuple(slice(0, n) for n in self.data.shape)
        at = [int(np.clip(p, 0, n - 1)) for p, n in zip(point, self.data.shape, strict=True)]
        plane = tuple(s if a in shown else slice(at[a], at[a] + 1) for a, s in enumerate(whole))
        spatial = [a in shown or (self.whole and n in "ZYX") for a, n in enumerate(self.names)]
        objects = tuple(s if free else plane[a] for a, (s, free) in enumerate(zip(whole, spatial, strict=True)))
        low, high = np.asarray(layer.corner_pixels, int)
        view = tuple(slice(int(low[a]), int(high[a]) + 1) if a in shown else s for a, s in enumerate(plane))
        return Sight(plane, objects, (shown[0], shown[1]), edits.meet(view, plane))

    def number_at(self, place: ArrayLike) -> int:
        """The number of the object at a place (data coordinates); 0 outside, and where the number is negative."""
        at = tuple(round(float(p)) for p in np.asarray(place))
        inside = all(0 <= p < n for p, n in zip(at, self.data.shape, strict=True))
        return max(0, int(self.data[at])) if inside else 0

    def box(self, numbers: Sequence[int], place: ArrayLike, where: Box) -> Box | None:
        """Where objects lie in ``where``: of layers on disk, what is connected to the place."""
        if isinstance(self.data, np.ndarray):
            found = self.places.together(numbers)
            return None if found is None else edits.meet(found, where)
        return edits.connected_box(self.data, [round(float(p)) for p in np.asarray(place)], where)

    def plane_of_image(self, window: tuple[slice, slice], sight: Sight) -> NDArray[np.float32] | None:
        """A part of the image as it is shown (rows, columns), its channels added up; None without a fitting image."""
        part = self.channels_of_plane(window, sight)
        if part is None or len(part) == 1:
            return None if part is None else part[0]
        spread = part.std(axis=(1, 2), keepdims=True)
        return np.asarray((part / np.where(spread > 0, spread, 1)).sum(0), np.float32)

    def channels_of_plane(self, window: tuple[slice, slice], sight: Sight) -> NDArray[np.float32] | None:
        """A part of the image as it is shown (C, rows, columns); None without a fitting image."""
        image = self.image
        if image is None or image not in self._viewer.layers:
            return None
        shape = tuple(self.data.shape)
        array = array_of(image)
        fitting = (names for names, _ in axes_choices(image) if Axes(names).result(array.shape, None)[1] == shape)
        names = next(fitting, None)
        if names is None:
            return None
        axes = names.replace("C", "")
        at = dict(zip(axes, (s.start for s in sight.plane), strict=True))
        free = dict(zip((axes[a] for a in sight.axes), window, strict=True))
        key = tuple(slice(None) if n == "C" else free.get(n, at.get(n)) for n in names)
        part = np.asarray(array[key], np.float32)
        left = [n for n in names if n == "C" or n in free]
        part = np.moveaxis(part, left.index("C"), 0) if "C" in left else part[None]
        return part if sight.axes[0] < sight.axes[1] else part.swapaxes(1, 2)

    # changes

    def do(self, found: Iterable[Edit | None]) -> bool:
        """Apply edits as one step; False where there is nothing to change."""
        wanted = [edit for edit in found if edit is not None]
        if wanted:
            write(self.labels, wanted)
        return bool(wanted)

    @property
    def mask(self) -> Any:
        """The mask of accepted places; None where there is none."""
        return None if self.accepted is None else self.accepted.data

    def tidy(self, tidied: Tidied) -> bool:
        """Apply an edit by rule as one step; False where something was changed since it was worked out."""
        if not tidied.fits(self.data, self.mask):
            return False
        self._tidied = tidied
        try:
            put(self.labels, tidied.labels)
        finally:
            self._tidied = None
        return True

    def undo(self) -> str:
        """Undo the last step; what happened, in words."""
        done = self.history.length > 0
        self.history.undo()
        self._later()
        return "Undone." if done else "There is nothing to undo."

    def redo(self) -> str:
        """Redo what was undone last; what happened, in words."""
        done = self.history.undone > 0
        self.history.redo()
        self._later()
        return "Redone." if done else "There is nothing to redo."

    def _painted(self, event: Any) -> None:
        """A person changed something, with a tool or with napari's brush."""
        if self._tidied is not None:  # an edit by rule leaves objects in their boxes
            if self._tidied.accepted is not None:
                put(self._accepted, self._tidied.accepted)
                event.value.append(Mark.of(self._tidied.accepted.edit, self.labels.ndim))
            self._later()
            return
        changes = changes_in(event.value)
        for change in changes:
            if self._places is not None and isinstance(self.data, np.ndarray):
                self._places.note(change.box, self.data[change.box])
        if changes and self.automatic:
            edit = self._accepting(changes)
            if edit is not None:
                self._write_accepted(edit)
                event.value.append(Mark.of(edit, self.labels.ndim))
        self._later()

    def _replaced(self, event: Any = None) -> None:
        """Other data: look for the objects again."""
        self._places, self._accepted = None, accepted_layer(self._viewer.layers, self.labels)
        if isinstance(self.data, np.ndarray):
            self._finding.ask(boxes_by_number, self.data)
        self._later()

    def _found(self, boxes: Any) -> None:
        if self._places is None and isinstance(boxes, dict):
            self._places = Places(boxes)

    def _shown(self, event: Any) -> None:
        self._later()

    def _named(self, event: Any) -> None:
        if self._accepted is not None and self._accepted in self._viewer.layers:
            follow_name(self._accepted, self.labels)

    # what is accepted

    @property
    def accepted(self) -> Any:
        """The layer of accepted places; None where there is none."""
        if self._accepted is None or self._accepted not in self._viewer.layers:
            self._accepted = accepted_layer(self._viewer.layers, self.labels)
        return self._accepted

    @property
    def automatic(self) -> bool:
        """Whether what a person corrects counts as accepted: in predictions, and where something is accepted already."""
        if self.strokes:  # all of them count
            return False
        return is_prediction(self.labels.metadata) or (self.accepted is not None and bool(np.any(self.accepted.data)))

    def accept(self, number: int, place: ArrayLike, sight: Sight) -> bool:
        """Accept an object, or take that back; whether it is accepted now."""
        box = self.box([number], place, sight.objects)
        if box is None:
            return False
        mask = self._made_mask()
        there = edits.is_accepted(self.data, mask, number, box)
        change = edits.withdraw if there else edits.accept
        self._accept(change(self.data, mask, [number], box, sight.objects, axes=sight.axes))
        return not there

    def accept_box(self, box: Box) -> None:
        """Accept all that lies in a box, its background too."""
        mask = self._made_mask()
        self._accept(Edit.of(mask, box, np.ones_like(mask[box])))

    def _made_mask(self) -> Any:
        """The mask of accepted places; its layer is made where there is none."""
        if self.accepted is None:
            self._accepted = add_accepted(self._viewer, self.labels)
        return self._accepted.data

    def _accept(self, edit: Edit | None) -> None:
        if edit is not None:
            self._write_accepted(edit)
            self.history.add(Mark.of(edit, self.labels.ndim))

    def _accepting(self, changes: Sequence[Any]) -> Edit | None:
        """All objects that changes touched, and the places that they left."""
        mask = self._made_mask()
        numbers = sorted(frozenset().union(*(c.numbers for c in changes)))
        whole = tuple(slice(0, n) for n in self.data.shape)
        frames = [n in "ZYX" for n in self.names]
        low = np.min([[s.start for s in c.box] for c in changes], axis=0)
        high = np.max([[s.stop for s in c.box] for c in changes], axis=0)
        touched = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        where = tuple(w if free else t for w, t, free in zip(whole, touched, frames, strict=True))
        box = self.places.together(numbers) if isinstance(self.data, np.ndarray) else touched
        box = touched if box is None else edits.meet(box, where)
        return edits.accept(self.data, mask, numbers, box, where, [(c.box, c.mask) for c in changes])

    def _write_accepted(self, edit: Edit) -> None:
        write(self._accepted, [edit])

    def _replayed(self, edit: Edit) -> None:
        """A step was undone or redone: so is what it accepted."""
        if self.accepted is not None and self.accepted.data.shape == tuple(self.data.shape):
            self._write_accepted(edit)

    # how many

    def _later(self) -> None:
        self._soon.start()
        self.changed.emit()

    def _count(self) -> None:
        if isinstance(self.data, np.ndarray):
            self._counting.ask(tally, self.data, self.mask)

    def _counted(self, found: Any) -> None:
        if isinstance(found, Tally):
            self.tally, self.known = found, True
            self.counted.emit()


def tally(labels: NDArray[Any], accepted: NDArray[Any] | None) -> Tally:
    """Count objects, and those of which most is accepted; block by block, so that the window stays free."""
    sizes: Counter[int] = Counter()
    inside: Counter[int] = Counter()
    areas: list[int] = []  # of each object in each plane
    size = int(np.prod(labels.shape[-2:]))
    masks = None if accepted is None else accepted.reshape(-1, size)
    for i, plane in enumerate(labels.reshape(-1, size)):
        here: Counter[int] = Counter()
        for start in range(0, size, BLOCK):
            part = plane[start : start + BLOCK]
            here.update(_counts(part))
            if masks is not None:
                inside.update(_counts(part[masks[i, start : start + BLOCK] > 0]))
        sizes.update(here)
        areas += here.values()
    everywhere = masks is not None and bool(np.all(masks))
    if not sizes:
        return Tally(everywhere=everywhere)
    diameter = float(np.median(np.sqrt(4 * np.array(areas) / np.pi)))
    return Tally(len(sizes), sum(2 * inside[n] >= count for n, count in sizes.items()), diameter, everywhere)


def _counts(part: NDArray[Any]) -> dict[int, int]:
    numbers, counts = np.unique(part[part > 0], return_counts=True)
    return dict(zip(numbers.tolist(), counts.tolist(), strict=True))
