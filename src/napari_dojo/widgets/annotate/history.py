"""Napari's history of a Labels layer, so that painting, corrections and acceptance share one Ctrl+Z.

Napari keeps steps, each a list of atoms: what was painted where. Here a `Mark` joins such a list: an atom that changes
no pixel of the layer and says what changed in the layer of accepted places. The names with an underscore are napari's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo.data.edits import Box, Edit

__all__ = ["STEPS", "Change", "History", "Mark", "Ready", "changes_in", "put", "write"]

STEPS = 1000  # that can be undone; napari keeps 100
LARGE = 2**18  # px of a box from which on an edit is written as a `Ready`


class Mark(tuple[Any, Any, Any]):
    """An atom of napari's history that changes nothing in its layer, and an edit of another layer."""

    edit: Edit

    @classmethod
    def of(cls, edit: Edit, ndim: int) -> Mark:
        """A mark in the history of a layer with ``ndim`` dimensions."""
        nothing = np.zeros((0,) * ndim, np.uint8)
        mark = cls(((slice(0, 0),) * ndim, nothing, nothing))
        mark.edit = edit
        return mark


@dataclass(frozen=True, eq=False)
class Change:
    """What one atom changed: where in a box, and the numbers that were there before and after."""

    box: Box
    mask: NDArray[np.bool_]
    numbers: frozenset[int]


class Ready(tuple[Any, Any, Any]):
    """An edit as an atom of napari's history, with all that takes long worked out; of a large one that is done in a thread.

    Attributes
    ----------
    edit : the edit.
    """

    edit: Edit

    @classmethod
    def of(cls, edit: Edit) -> Ready:
        """Work it out."""
        at = np.nonzero(edit.changed)
        indices = tuple(i + s.start for i, s in zip(at, edit.box, strict=True))
        ready = cls((indices, edit.before[at], edit.after[at]))
        ready.edit = edit
        return ready

    @cached_property
    def change(self) -> Change:
        """Where, and which numbers."""
        return Change(self.edit.box, self.edit.changed, _numbers(self[1], self[2]))

    def put(self, layer: Any, undoing: bool = False) -> None:
        """Write it into a layer, whose data is a numpy array, or undo it."""
        np.copyto(layer.data[self.edit.box], self.edit.before if undoing else self.edit.after, where=self.change.mask)
        layer.refresh(extent=False)


class History:
    """Follows a layer's history: longer than napari's, and with marks.

    Parameters
    ----------
    replayed : receives the edits of the marks of a step that was undone or redone, ready to be applied.
    """

    def __init__(self, layer: Any, replayed: Callable[[Edit], None]) -> None:
        self._layer, self._replayed = layer, replayed
        layer._undo_history = deque(layer._undo_history, maxlen=STEPS)
        layer._redo_history = deque(layer._redo_history, maxlen=STEPS)
        self._count = len(layer._undo_history)
        layer.events.paint.connect(self._painted)
        layer.events.set_data.connect(self._refreshed)

    def close(self) -> None:
        """Follow no more; what can be undone stays."""
        self._layer.events.paint.disconnect(self._painted)
        self._layer.events.set_data.disconnect(self._refreshed)

    @property
    def length(self) -> int:
        """How many steps can be undone."""
        return len(self._layer._undo_history)

    @property
    def undone(self) -> int:
        """How many steps can be redone."""
        return len(self._layer._redo_history)

    def add(self, mark: Mark) -> None:
        """One more step, that consists of a mark alone; napari says ``paint``, as for any other."""
        self._layer._save_history(mark)

    def undo(self) -> None:
        """As napari's undo, with only the boxes drawn again; in large layers that is a hundred times as fast."""
        self._move(self._layer._undo_history, self._layer._redo_history, undoing=True)

    def redo(self) -> None:
        """As napari's redo. See `undo`."""
        self._move(self._layer._redo_history, self._layer._undo_history, undoing=False)

    def _move(self, source: deque[Any], to: deque[Any], undoing: bool) -> None:
        if not source:
            return
        step = source.pop()
        self._count = self.length  # so that what napari says while it is written means nothing
        redo = deque(self._layer._redo_history, maxlen=STEPS)  # which any new step clears
        self._layer._block_history = True
        for atom in reversed(step):
            if isinstance(atom, Ready):
                atom.put(self._layer, undoing)
            elif not isinstance(atom, Mark):
                self._layer.data_setitem(*_values(atom, undoing))
        self._layer._staged_history, self._layer._block_history = [], False
        self._layer._redo_history = redo
        (redo if undoing else to).append(list(reversed(step)))
        self._count = self.length
        for mark in _marks(step):
            self._replayed(mark.edit.inverse if undoing else mark.edit)

    def _painted(self, event: Any) -> None:
        self._count = self.length

    def _refreshed(self, event: Any) -> None:
        """Napari says of an undo no more than that the data are shown again."""
        steps, self._count = self.length - self._count, self.length
        undoing = steps < 0
        moved = list(self._layer._redo_history if undoing else self._layer._undo_history)
        for step in moved[-abs(steps) :] if steps else []:  # several while the layer was hidden
            for mark in _marks(step):
                self._replayed(mark.edit.inverse if undoing else mark.edit)


def write(layer: Any, edits: Sequence[Edit]) -> None:
    """Change a Labels layer, as one step of its history; of small edits only the boxes are drawn again."""
    with layer.block_history():
        for edit in edits:
            ready = Ready.of(edit)
            if edit.before.size >= LARGE and isinstance(layer.data, np.ndarray):
                put(layer, ready)
            else:
                layer.data_setitem(ready[0], ready[2])


def put(layer: Any, ready: Ready) -> None:
    """Change a Labels layer, whose data is a numpy array, as one step of its history."""
    with layer.block_history():
        layer._save_history(ready)
        ready.put(layer)


def changes_in(step: Sequence[Any]) -> list[Change]:
    """What the atoms of a step of napari's history changed; marks are left out."""
    return [_change(atom) for atom in step if not isinstance(atom, Mark)]


def _change(atom: Any) -> Change:
    box: Box
    if isinstance(atom, Ready):
        return atom.change
    if hasattr(atom, "slice_key"):  # a stroke of napari 0.8 and later
        box = tuple(atom.slice_key)
        size = tuple(s.stop - s.start for s in box)
        mask = np.ones(size, bool) if atom.mask is None else atom.mask
        return Change(box, mask, _numbers(atom.old_values, atom.new_value))
    indices, old, new = atom
    starts = [int(np.min(i)) for i in indices]
    box = tuple(slice(a, int(np.max(i)) + 1) for a, i in zip(starts, indices, strict=True))
    mask = np.zeros([s.stop - s.start for s in box], bool)
    mask[tuple(np.asarray(i) - a for i, a in zip(indices, starts, strict=True))] = True
    return Change(box, mask, _numbers(old, new))


def _values(atom: Any, undoing: bool) -> tuple[tuple[NDArray[np.int_], ...], Any]:
    """Where an atom changed the layer, and the values to write there."""
    if not hasattr(atom, "slice_key"):
        indices, old, new = atom
        return indices, old if undoing else new
    change = _change(atom)
    at = tuple(i + s.start for i, s in zip(np.nonzero(change.mask), change.box, strict=True))
    return at, np.ravel(atom.old_values) if undoing else atom.new_value


def _numbers(*values: Any) -> frozenset[int]:
    return frozenset(int(n) for v in values for n in np.unique(v)) - {0}


def _marks(step: Sequence[Any]) -> list[Mark]:
    return [atom for atom in step if isinstance(atom, Mark)]
