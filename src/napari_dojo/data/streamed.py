"""Samples that do not fit on the device: chunks of them lie there for a while, and others take their place.

Batches are always cut from the chunks that are there, so that a slow disk never lets the network wait; it only means that
chunks stay longer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import product
from math import ceil, prod
from typing import Any

import numpy as np
import torch

from napari_dojo.boxes import Box, slices, wider, within
from napari_dojo.data.kinds import Kind
from napari_dojo.data.patches import Patches
from napari_dojo.data.resident import WORD, Prepared, Resident, Source, kept_as

__all__ = ["Streamed", "needed", "weight_of"]

SLOTS = 48  # chunks that lie on the device at a time, about
FEW, FEWEST = 12, 4  # chunks where memory is scarce
ROOMY = 2.0  # patches along the edge of a chunk, so that a rotated one fits
READERS = 2  # threads
AHEAD = 4  # chunks that are read before they are needed
SEEN = 8  # times that the pixels of a chunk are seen, on average, before it is replaced
AROUND = 48  # px around a chunk that its record knows of


def weight_of(source: Source) -> float:
    """How often a source is drawn, relative to others."""
    return source.weight * float(np.sqrt(prod(source.size) * (1 + min(len(source.anchors), 2000))))


def needed(sources: Sequence[Source], kind: Kind, scale: Sequence[int]) -> int:
    """Bytes that the sources take on the device, at most."""
    return sum(prod(s.size) for s in sources) * _bytes_per_pixel(sources, kind, scale)


def _bytes_per_pixel(sources: Sequence[Source], kind: Kind, scale: Sequence[int]) -> int:
    found = len(sources[0].x) * kept_as(s.x for s in sources).itemsize + WORD
    if sources[0].y is not None and kind.intensities:
        found += len(sources[0].y) * kept_as(s.y for s in sources).itemsize * prod(scale)
    return found


@dataclass(frozen=True)
class _Chunk:
    source: int
    box: Box


class Streamed:
    """Chunks of sources on the device, replaced one after the other in a random order.

    Attributes
    ----------
    resident : the chunks that lie there.
    shown : the same as sources, for what has to be known of them here.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        patches: Patches,
        scale: tuple[int, ...],
        memory: int,
        device: torch.device,
        seed: int,
    ) -> None:
        self._sources, self._patches, self._scale = sources, patches, scale
        pixels = memory // _bytes_per_pixel(sources, patches.kind, scale)
        edges = _edges(sources, patches.size, pixels)
        self._chunks = [_Chunk(i, box) for i, s in enumerate(sources) for box in _boxes(s.size, edges)]
        weights = np.array([self._weight(c, sources[c.source]) for c in self._chunks])
        self._weights = weights / weights.sum()
        self._rng = np.random.default_rng(seed)
        self._pool = ThreadPoolExecutor(READERS, thread_name_prefix="chunks")
        slots = int(min(len(self._chunks), max(FEWEST, pixels // prod(edges))))
        with ThreadPoolExecutor(READERS) as pool:
            first = list(pool.map(self._read, self._drawn(slots)))
        like = [*first, *self._others(first)]
        self.resident = Resident.empty(like, [edges] * slots, patches.kind, scale, device)
        self.shown = [one.source for one in first]
        for i, one in enumerate(first):
            self.resident.put(i, one)
        self._ahead: deque[Future[Prepared]] = deque()
        self._slot, self._used, self._each = 0, 0.0, SEEN * prod(edges)

    def renewed(self, pixels: int) -> Iterator[tuple[int, Source]]:
        """After ``pixels`` more were cut: the chunks that were replaced meanwhile, and their slots."""
        self._used += pixels
        while len(self._ahead) < AHEAD:
            self._ahead.append(self._pool.submit(self._read, *self._drawn(1)))
        while self._used >= self._each and self._ahead and self._ahead[0].done():
            one = self._ahead.popleft().result()
            self.resident.put(self._slot, one)
            yield self._slot, one.source
            self._slot = (self._slot + 1) % len(self.shown)
            self._used -= self._each
        self._used = min(self._used, self._each)  # a slow disk is not made up for

    def renew(self, sources: Sequence[Source]) -> None:
        """Other targets for the same images, in chunks that are read from now on."""
        self._sources = sources

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _others(self, first: Sequence[Prepared]) -> Iterator[Prepared]:
        """A chunk of each kind of sources of which none is among the first: of other types, or with a region."""
        known = {_look(one.source) for one in first}
        for chunk in self._chunks:
            source = self._sources[chunk.source]
            if _look(source) not in known:
                known.add(_look(source))
                yield self._read(chunk)

    def _drawn(self, n: int) -> list[_Chunk]:
        return [self._chunks[i] for i in self._rng.choice(len(self._chunks), n, p=self._weights)]

    def _weight(self, chunk: _Chunk, source: Source) -> float:
        """The source's weight, spread over its chunks by their size and their annotation."""
        whole = weight_of(source)
        part = prod(b - a for a, b in chunk.box) / prod(source.size)
        if not len(source.anchors):
            return whole * part
        low, high = np.transpose(chunk.box)
        annotated = ((source.anchors >= low) & (source.anchors < high)).all(1).mean()
        aimed = self._patches.aimed
        return float(whole * ((1 - aimed) * part + aimed * annotated))

    def _read(self, chunk: _Chunk) -> Prepared:
        """A chunk and its record, read from its source."""
        source = self._sources[chunk.source]
        wide = wider(chunk.box, AROUND, source.size)
        part = self._cut(source, wide)
        made = Prepared.of(part, self._patches.record)
        inner = slices(within(chunk.box, wide))
        record = None if made.record is None else np.ascontiguousarray(made.record[(slice(None), *inner)])
        return Prepared(self._cut(source, chunk.box), record)

    def _cut(self, source: Source, box: Box) -> Source:
        key = slices(box)
        low, high = np.transpose(box)
        anchors = source.anchors
        if len(anchors):
            anchors = anchors[((anchors >= low) & (anchors < high)).all(1)] - low
        y = None if source.y is None else self._patches.kind.crop(source.y, key, self._scale)
        if y is not None and self._patches.kind.dense:
            y = np.asarray(y)
        region = None if source.region is None else source.region[key]
        return replace(source, x=np.asarray(source.x[(slice(None), *key)]), y=y, region=region, anchors=anchors)


def _look(source: Source) -> tuple[Any, ...]:
    """What decides how the pixels of a source are kept."""
    return source.x.dtype, getattr(source.y, "dtype", None), source.region is None


def _edges(sources: Sequence[Source], patch: Sequence[int], pixels: int) -> tuple[int, ...]:
    """Size of a chunk: room for several patches, and for many chunks in ``pixels``."""
    largest = np.max([s.size for s in sources], 0)

    def times(slots: int) -> float:
        return float((pixels / slots / prod(patch)) ** (1 / len(patch)))

    edge = max(1.0, times(SLOTS), min(ROOMY, times(FEW)))
    return tuple(int(min(n, int(edge * p))) for n, p in zip(largest, patch, strict=True))


def _boxes(size: Sequence[int], edges: Sequence[int]) -> Iterator[tuple[tuple[int, int], ...]]:
    """A source of this size in boxes of equal sizes, none larger than ``edges``."""
    cuts = []
    for n, edge in zip(size, edges, strict=True):
        at = np.linspace(0, n, ceil(n / edge) + 1).round().astype(int)
        cuts.append(list(zip(at[:-1].tolist(), at[1:].tolist(), strict=True)))
    return product(*cuts)
