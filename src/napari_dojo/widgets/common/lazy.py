"""Images on the disk as layers: what is drawn is read in a thread, and shown when it is there, so that the window never waits."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from napari_dojo.boxes import slices, within
from napari_dojo.widgets.common.background import in_background
from napari_dojo.widgets.common.later import later
from napari_dojo.widgets.common.turns import short_turns

__all__ = ["LazyImage", "LazyLevel", "stored"]

MEMORY = 2**29  # bytes of an image that are kept
DRAWS = "napari.layers._scalar_field._slice"  # the module of napari that takes from a layer what is drawn
WAITING = 600  # tiles that wait to be read, at most
SOON = 120  # ms from what was read to drawing it

Key = tuple[int, tuple[int, ...]]  # (level, which tile along each axis)
Span = tuple[int, int]


class LazyImage(QObject):
    """The resolutions of an image that lies elsewhere, as ``data`` for a layer.

    What napari draws is shown as far as it is in memory, else as zeros until it is; everybody else gets the pixels themselves.

    Parameters
    ----------
    arrays : Zarr or dask, from the full resolution down.
    channel : (axis, index): show only this channel.
    """

    arrived = Signal()
    _grown = Signal()  # some time after something arrived

    def __init__(self, arrays: Sequence[Any], channel: Span | None = None) -> None:
        super().__init__()
        self.arrays, self.channel = list(arrays), channel
        self.levels = [LazyLevel(self, k) for k in range(len(self.arrays))]
        self._tiles: OrderedDict[Key, NDArray[Any]] = OrderedDict()
        self._old: set[Key] = set()  # are shown until they are read again
        self._wanted: OrderedDict[Key, None] = OrderedDict()
        self._bytes, self._reads, self._lock = 0, False, threading.Lock()
        self._soon = later(self, SOON, self._grown)
        self.arrived.connect(self._draw_soon)

    @property
    def data(self) -> Any:
        """What a layer is made of: all resolutions, or the only one (napari takes no list of one for labels)."""
        return self.levels if len(self.levels) > 1 else self.levels[0]

    @property
    def busy(self) -> bool:
        """Whether something is still to be read."""
        return self._reads

    def draw(self, refresh: Callable[[], None]) -> None:
        """Call this after more has arrived."""
        self._grown.connect(refresh)

    def look_again(self) -> None:
        """The image has changed: read again what is shown, when it is drawn next."""
        with self._lock:
            self._old = set(self._tiles)

    def shape(self, level: int) -> tuple[int, ...]:
        """Of a level, without the axis of channels where one is shown."""
        shape = tuple(self.arrays[level].shape)
        return shape if self.channel is None else shape[: self.channel[0]] + shape[self.channel[0] + 1 :]

    def read(self, level: int, box: Sequence[Span]) -> NDArray[Any]:
        """The pixels of a box, read now."""
        key: list[Any] = list(slices(box))
        if self.channel is not None:
            key.insert(self.channel[0], self.channel[1])
        part = self.arrays[level][tuple(key)]
        return np.asarray(part.compute(scheduler="synchronous") if hasattr(part, "dask") else part)

    def seen(self, level: int, box: Sequence[Span]) -> NDArray[Any]:
        """The pixels of a box as far as they are in memory, else zeros; the others are read, the last ones asked for first."""
        out = np.zeros([b - a for a, b in box], self.arrays[level].dtype)
        with self._lock:
            for key, tile in self._tiles_of(level, box):
                held = self._tiles.get(key)
                if held is not None:
                    self._tiles.move_to_end(key)
                    spans = [(max(a, t), min(b, u)) for (a, b), (t, u) in zip(box, tile, strict=True)]
                    out[slices(within(spans, box))] = held[slices(within(spans, tile))]
                if held is None or key in self._old:
                    self._wanted[key] = None
                    self._wanted.move_to_end(key)
            while len(self._wanted) > WAITING:
                self._wanted.popitem(last=False)
            start = bool(self._wanted) and not self._reads
            self._reads |= start
        if start:
            in_background("lazy", self._work)
        return out

    def _work(self) -> None:
        with short_turns():
            while (key := self._next()) is not None:
                try:
                    data = self.read(key[0], self._span(*key))
                except Exception:  # a file that is gone, or being replaced, stays empty
                    continue
                self._keep(key, data)
                with contextlib.suppress(RuntimeError):  # the window is gone
                    self.arrived.emit()

    def _next(self) -> Key | None:
        with self._lock:
            if not self._wanted:
                self._reads = False
                return None
            return self._wanted.popitem()[0]

    def _keep(self, key: Key, data: NDArray[Any]) -> None:
        with self._lock:
            before = self._tiles.pop(key, None)
            self._bytes += data.nbytes - (0 if before is None else before.nbytes)
            self._tiles[key] = data
            self._old.discard(key)
            while self._bytes > MEMORY and len(self._tiles) > 1:
                self._bytes -= self._tiles.popitem(last=False)[1].nbytes

    def _draw_soon(self) -> None:
        if not self._soon.isActive():
            self._soon.start()

    def _edges(self, level: int) -> list[int]:
        """The size of a tile: a chunk."""
        array = self.arrays[level]
        chunks = [int(np.ravel(c)[0]) for c in array.chunks]
        return [c for i, c in enumerate(chunks) if self.channel is None or i != self.channel[0]]

    def _tiles_of(self, level: int, box: Sequence[Span]) -> Iterator[tuple[Key, list[Span]]]:
        edges = self._edges(level)
        for at in product(*(range(a // e, -(-b // e)) for (a, b), e in zip(box, edges, strict=True))):
            yield (level, at), self._span(level, at)

    def _span(self, level: int, at: Sequence[int]) -> list[Span]:
        edges, shape = self._edges(level), self.shape(level)
        return [(i * e, min(n, (i + 1) * e)) for i, e, n in zip(at, edges, shape, strict=True)]


class LazyLevel:
    """One resolution of a `LazyImage`, or a part of one, as napari takes arrays."""

    def __init__(
        self, image: LazyImage, level: int, box: Sequence[Span] | None = None, kept: Sequence[int] = ()
    ) -> None:
        self.image, self.level = image, level
        whole = [(0, n) for n in image.shape(level)]
        self._box = list(box) if box is not None else whole
        self._kept = (
            list(kept) if box is not None else list(range(len(whole)))
        )  # axes that were not indexed by a number
        self.dtype = np.dtype(image.arrays[level].dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the part."""
        return tuple(self._box[i][1] - self._box[i][0] for i in self._kept)

    @property
    def ndim(self) -> int:
        """Axes."""
        return len(self._kept)

    @property
    def size(self) -> int:
        """Pixels."""
        return int(np.prod(self.shape, dtype=float))

    @property
    def nbytes(self) -> int:
        """Bytes."""
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        """A part, which is read when it is needed; with steps or lists it is read at once."""
        given: Any = np.index_exp[key]
        if Ellipsis in given:
            at = given.index(Ellipsis)
            given = given[:at] + (slice(None),) * (self.ndim - len(given) + 1) + given[at + 1 :]
        given += (slice(None),) * (self.ndim - len(given))
        plain = all(isinstance(k, (int, np.integer)) or (isinstance(k, slice) and k.step in (None, 1)) for k in given)
        if not plain:
            return np.asarray(self)[key]
        box, kept = list(self._box), []
        for axis, k in zip(self._kept, given, strict=True):
            a, b = box[axis]
            if isinstance(k, slice):
                start, stop, _ = k.indices(b - a)
                box[axis] = (a + start, a + max(start, stop))
                kept.append(axis)
            else:
                i = int(k) + (b - a if k < 0 else 0)
                if not 0 <= i < b - a:
                    raise IndexError(f"{int(k)} is outside of an axis of {b - a}")
                box[axis] = (a + i, a + i + 1)
        return LazyLevel(self.image, self.level, box, kept)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """The pixels; for drawing, what is in memory of them."""
        found = (self.image.seen if _drawing() else self.image.read)(self.level, self._box)
        found = found.reshape(self.shape)
        return found if dtype is None else found.astype(dtype)


def stored(data: Any) -> Any:
    """The data of a layer as an array that Python reads part by part: dask for what lies on the disk."""
    from napari_dojo.io.formats.picture import lazy

    if isinstance(data, LazyLevel):
        array = lazy(data.image.arrays[data.level])
        channel = data.image.channel
        return array if channel is None else array[(slice(None),) * channel[0] + (channel[1],)]
    return lazy(data) if type(data).__module__.startswith("zarr.") else data


def _drawing() -> bool:
    """Whether napari asks for what it draws; every other caller wants the pixels themselves."""
    frame = sys._getframe(2)
    for _ in range(6):
        if frame.f_globals.get("__name__") == DRAWS:
            return True
        if frame.f_back is None:
            return False
        frame = frame.f_back
    return False
