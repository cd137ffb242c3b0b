"""Images larger than memory, block by block: a few blocks are under way at a time, and objects are joined across their borders.

A block is read with a halo as wide as the network's receptive radius, so that its prediction is that of the whole image.
Its objects get provisional numbers, and what is open at its border is kept (`napari_dojo.tasks.watershed.Part`); once all
blocks are there, the open ones are joined, and a second pass gives all objects their numbers. See `Journal` for how an
interrupted prediction continues.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import ceil, lcm
from threading import Lock
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_dojo.boxes import Box, scaled, slices, wider, within
from napari_dojo.data.axes import Axes
from napari_dojo.data.normalize import Cleaning, Normalization, sampled
from napari_dojo.data.resample import reach, resize_part
from napari_dojo.events import Control, Event, Progress, result_of
from napari_dojo.inference.cores import under_way, waiting
from napari_dojo.inference.decoding import Land, parts_of, rule_of
from napari_dojo.inference.geometry import Input
from napari_dojo.inference.journal import Journal
from napari_dojo.inference.samples import Places, Ready, decoded, is_blank, predicted
from napari_dojo.inference.tiles import tile_edge, tiles_of
from napari_dojo.tasks.watershed import Part, Terrain, joined, part_of

__all__ = ["Block", "Engine", "Room", "Work", "in_blocks", "in_threads", "refusal"]

CHUNK = {2: 512, 3: 64}  # edge of the chunks of a result, px, by the number of spatial axes
FOUND = {2: 2**16, 3: 160}  # edge of the parts of a block that objects are found in, px
KEPT = 8  # samples whose numbers are kept

T = TypeVar("T")


@dataclass(frozen=True)
class Block:
    """A part of a sample: its ``core`` is written, ``read`` has the halo on."""

    sample: int
    core: Box
    read: Box


# What is open at the borders of the parts that the objects of a block were found in; empty where nothing is joined.
Open = tuple[Part, ...]
# Does some blocks of the work in any order, and gives the number of each with what is open in it.
Engine = Callable[["Work", "Room", Sequence[int], Control], Iterator[tuple[int, Open]]]


@dataclass(frozen=True, eq=False)
class Room:
    """Where blocks go: arrays as numpy, memory-mapped or Zarr, with the axes of the prediction.

    Attributes
    ----------
    final : the prediction.
    working : labels with provisional numbers; the same array where nothing is to be resumed.
    axes : of both: those of the prediction, perhaps in another order.
    journal : which blocks are done; None: nowhere.
    seen : is called with the number of each block that is written; None: nobody looks.
    """

    final: Any
    working: Any
    axes: Axes
    journal: Journal | None = None
    seen: Callable[[int], None] | None = None


@dataclass(frozen=True, eq=False)
class Work:
    """A model, an image, and the blocks that it is cut into; block ``i`` is the same in every process.

    Attributes
    ----------
    pixels : of a block, halo included, at most.
    """

    ready: Ready
    image: Input
    pixels: float
    _known: dict[int, Cleaning] = field(default_factory=dict)
    _turn: Any = field(default_factory=Lock)

    @staticmethod
    def of(ready: Ready, image: Input, pixels: float = 0.0) -> Work:
        """``pixels`` : of a block; 0: what suits the device."""
        pixels = pixels or ready.predictor.block_pixels
        return Work(replace(ready, predictor=ready.predictor.for_blocks(pixels)), image, pixels)

    @cached_property
    def places(self) -> Places:
        """Where samples and predictions lie."""
        return Places.of(self.ready, self.image)

    @property
    def joins(self) -> bool:
        """Whether there are objects, which have to be joined across borders."""
        return isinstance(self.ready.decoding, Terrain)

    @property
    def under_way(self) -> int:
        """How many blocks are computed at a time by one process.

        At least two, so that one may be read or written meanwhile; of volumes on a CPU perhaps one, whose network takes far longer.
        """
        predictor = self.ready.predictor
        alone = predictor.device.kind == "cpu" and len(self.size) == 3
        return max(1 if alone else 2, predictor.at_once)

    @cached_property
    def size(self) -> tuple[int, ...]:
        """S of the image."""
        return self.image.axes.size(self.image.array.shape)

    @cached_property
    def chunk(self) -> int:
        """Edge of the chunks of the result, px: blocks are made of whole ones, so that none is written by two."""
        return min(CHUNK[len(self.size)], 2 ** int(np.log2(max(2.0, self.pixels ** (1 / len(self.size)) / 2))))

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """All blocks, sample by sample."""
        predictor, zoom, edge = self.ready.predictor, self.image.zoom, self._edge
        if zoom == 1:
            stride, halo = predictor.stride, [r + self.margin for r in self._radius]
        else:
            stride = (1,) * len(edge)
            halo = [
                ceil((r + s + reach(m, n)) / zoom) + reach(n, m) + self.margin + 1
                for r, s, n, m in zip(self._radius, predictor.stride, self.size, self._grid, strict=True)
            ]
        cut = tiles_of(self.size, edge, halo, stride, [lcm(self.chunk, s) for s in stride])
        return tuple(Block(i, tile.core, tile.read) for i in range(self.places.count) for tile in cut)

    @property
    def margin(self) -> int:
        """How far around a place its result depends on the maps, px."""
        return int(getattr(self.ready.decoding, "margin", 0))

    @cached_property
    def _grid(self) -> tuple[int, ...]:
        """S of the image as the network sees it."""
        return tuple(max(1, round(n * self.image.zoom)) for n in self.size)

    @cached_property
    def _edge(self) -> tuple[int, ...]:
        """The largest block, px; no larger where the network sees it smaller, because the image's pixels count, too."""
        dims, zoom, stride = len(self.size), self.image.zoom, self.ready.predictor.stride
        return tile_edge(
            self.pixels / max(1.0, zoom**dims), (0,) * dims, stride if zoom == 1 else (1,) * dims, self.size
        )

    @cached_property
    def _radius(self) -> list[int]:
        """The halo of the network, px of its grid; in volumes, where it would be most of a block, half of it.

        Along an axis that a block covers as a whole, there is none.
        """
        whole, flat = self.ready.predictor.receptive_radius, len(self.size) == 2
        return [
            r if flat or 4 * r <= e * self.image.zoom else -(-r // 2) for r, e in zip(whole, self._edge, strict=True)
        ]

    def compute(self, i: int, control: Control) -> tuple[NDArray[Any], Open]:
        """The prediction for a block, (K, *core) or (*core), and of objects what is open at its border."""
        block = self.blocks[i]
        cleaning = self.cleaning(block.sample)
        x = _read(self.image.axes.part(self.image.array, block.sample, block.read))
        if not self.ready.task.result.intensities:
            return self._decoded(block, cleaning, x, control)

        def clean(part: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
            return cleaning.clean(part, block.read)

        how = None if cleaning.blank else clean
        values = result_of(predicted(self.ready, x, cleaning.norm, 1.0, control, how)).values
        core = scaled(within(block.core, block.read), self.ready.predictor.scale)
        inner: tuple[Any, ...] = (..., *slices(core))
        return values[inner], ()

    def next(self, todo: list[int], control: Control) -> int | None:
        """Take the next block from a list: the one nearest to what the user sees, else the first; None where it is empty."""
        box = control.seen().get("box")
        if not todo or not box:
            return todo.pop(0) if todo else None
        middle = [(a + b) / 2 for a, b in box]

        def distance(i: int) -> float:
            core = self.blocks[i].core
            return sum(max(a - m, m - b, 0.0) for (a, b), m in zip(core, middle, strict=False))

        return todo.pop(min(range(len(todo)), key=lambda k: distance(todo[k])))

    def put(self, out: Any, axes: Axes, i: int, values: NDArray[Any]) -> None:
        """Write the prediction for a block, (K, *core) or (*core), to an array with these axes."""
        block, scale = self.blocks[i], self.ready.predictor.scale
        where = tuple((a * f, b * f) for (a, b), f in zip(block.core, scale, strict=True))
        sample = self.places.views[0][1].index_in(axes, block.sample, out.shape)
        axes.put(out, sample, where, self.places.stored(values, out.dtype))

    def where(self, out: Any, axes: Axes, i: int) -> tuple[slice, ...]:
        """Where the prediction for a block lies in an array with these axes."""
        block, scale = self.blocks[i], self.ready.predictor.scale
        sample = self.places.views[0][1].index_in(axes, block.sample, out.shape)
        others = [a for a in axes.names if a != "C" and a not in axes.spatial]
        sizes = dict(zip(axes.names, out.shape, strict=True))
        at = dict(zip(others, np.unravel_index(sample, [sizes[a] for a in others]), strict=True)) if others else {}
        spans = {a: slice(f * s, f * e) for a, (s, e), f in zip(axes.spatial, block.core, scale, strict=True)}
        spans |= {a: slice(int(k), int(k) + 1) for a, k in at.items()}
        return tuple(spans.get(a, slice(0, sizes[a])) for a in axes.names)

    def get(self, out: Any, axes: Axes, i: int) -> NDArray[Any]:
        """The labels (*core) of a block in an array with these axes."""
        block = self.blocks[i]
        sample = self.places.views[0][1].index_in(axes, block.sample, out.shape)
        labels: NDArray[Any] = _read(axes.part(out, sample, block.core))[0]
        return labels

    def cleaning(self, sample: int) -> Cleaning:
        """What is padding in a sample, and its numbers."""
        with self._turn:
            if sample not in self._known:
                if len(self._known) >= KEPT:
                    self._known.pop(next(iter(self._known)))
                few, step = self.image.few or sampled(self.image.axes, self.image.array, sample)
                norm = self.image.numbers or self.ready.card.rule.measure(few)
                self._known[sample] = Cleaning.of(few, step, norm)
            return self._known[sample]

    def _decoded(
        self, block: Block, cleaning: Cleaning, x: NDArray[Any], control: Control
    ) -> tuple[NDArray[Any], Open]:
        """Labels or classes of a block."""
        ready, size, kind = self.ready, self.size, self.ready.task.result
        wide = wider(block.core, self.margin, size)
        where = slices(within(block.core, wide))
        if cleaning.blank and is_blank(x):
            shape = tuple(b - a for a, b in wide)
            if not self.joins:
                return kind.blank(shape, ready.predictor.outputs, ())[where], ()
            return self._found(block.core, _nothing)
        seen, padding = cleaning.clean(x, block.read)
        outside = None if padding is None else np.all(padding, 0)[slices(within(wide, block.read))]
        maps = self._maps(block, wide, seen, cleaning.norm, control)
        if not self.joins:
            values = decoded(ready.card, maps, cleaning.norm, ready.decoding, control)
            return (values if outside is None else kind.padded(values, outside, 0))[where], ()
        held = [maps]
        del maps

        def land(near: Box) -> Land:
            part = slices(within(near, wide))
            whole = held.pop() if near == wide else held[0]  # maps of one part are not kept while objects are found
            inside, distance = ready.decoding.terrain(whole[(slice(None), *part)])
            return inside if outside is None else inside & ~outside[part], distance

        return self._found(block.core, land)

    def _found(self, core: Box, land: Callable[[Box], Land]) -> tuple[NDArray[np.int32], Open]:
        """The objects of a block (*core), and what is open; a large volume part by part, because that takes memory."""
        decoding, count, parts = self.ready.decoding, 0, []
        out = np.zeros([b - a for a, b in core], np.int32)
        for box in parts_of(core, FOUND[len(core)]):
            wide = wider(box, self.margin, self.size)
            part = part_of(*land(wide), wide, box, self.size, rule_of(decoding))
            out[slices(within(box, core))] = part.objects + count * (part.objects > 0)
            count += part.known + len(part.heights)
            parts.append(replace(part, objects=part.objects[:0]))
        return out, tuple(parts)

    def _maps(
        self, block: Block, wide: Box, seen: NDArray[Any], norm: Normalization, control: Control
    ) -> NDArray[np.float32]:
        """Maps (K, *wide) from what is read for a block; where the network sees another grid, by way of it."""
        predictor, views = self.ready.predictor, self.ready.orientations
        if self.image.zoom == 1:
            where = tuple((a - r, b - r) for (a, b), (r, _) in zip(wide, block.read, strict=True))
            return result_of(predictor.maps(seen, norm, 1.0, control, where, views))
        part, used = [], []
        for (a, b), n, m, r, s in zip(wide, self.size, self._grid, self._radius, predictor.stride, strict=True):
            near, first, last = reach(m, n) + 1, int(a * m / n), ceil(b * m / n)
            used.append((max(0, first - near), min(m, last + near)))
            part.append((max(0, first - near - r) // s * s, min(m, last + near + r)))
        ours = resize_part(norm.apply(seen), block.read, self.size, self._grid, part)
        plain = Normalization((0.0,) * len(ours), (1.0,) * len(ours))
        where = tuple((a - r, b - r) for (a, b), (r, _) in zip(used, part, strict=True))
        maps = result_of(predictor.maps(ours, plain, 1.0, control, where, views))
        return resize_part(maps, used, self._grid, self.size, wide)


def refusal(ready: Ready, image: Input) -> str:
    """Why an image cannot be predicted block by block; empty where it can."""
    if not ready.predictor.dense:
        return "The model looks at whole images"
    if ready.uncertainty:
        return "The uncertainty is estimated of whole images only; leave it out"
    if len(ready.task.layout(ready.options).views(image.axes)) > 1:
        return "Stacks are upsampled along Z as a whole"
    return ""


def in_blocks(work: Work, room: Room, engine: Engine, control: Control) -> Generator[Event, None, None]:
    """Predict an image block by block into ``room``; what its journal says is done is not done again.

    Yields Progress after each block, in two passes where there are objects.

    Raises
    ------
    StoppedError : where ``control`` says so; what is done is kept in the journal.
    """
    journal, count = room.journal, len(work.blocks)
    total = count * (2 if work.joins else 1)
    parts: dict[int, Open] = {}
    done = set() if journal is None else set(journal.done)
    yield Progress(len(done), total)
    for i, part in engine(work, room, [i for i in range(count) if i not in done], control):
        if journal is None:
            parts[i] = part
        else:
            journal.note(i, part)
        if room.seen is not None:
            room.seen(i)
        done.add(i)
        yield Progress(len(done), total)
        control.check()
    if work.joins:
        yield from _number(work, room, parts, control)


def in_threads(work: Work, room: Room, todo: Sequence[int], control: Control) -> Iterator[tuple[int, Open]]:
    """The engine of one process: each of a few threads reads, predicts, decodes and writes a block."""

    def one(i: int) -> tuple[int, Open]:
        with under_way():
            values, part = work.compute(i, control)
            work.put(room.working, room.axes, i, values)
        return i, part

    left = list(todo)
    with waiting():
        yield from _as_done(one, iter(lambda: work.next(left, control), None), len(todo), work.under_way)


def _as_done(one: Callable[[int], T], todo: Iterator[int], length: int, count: int) -> Iterator[T]:
    """What a function gives for each number, in the order in which it is done, by ``count`` threads.

    A thread takes the next number by itself, so that it does not wait while what the last one gave is noted.
    """
    turn, running, begun = Lock(), set[Future[T]](), 0

    def take() -> T:
        with turn:
            i = next(todo)
        return one(i)

    with ThreadPoolExecutor(count, "blocks") as pool:
        try:
            while begun < length or running:
                more = min(length - begun, 2 * count - len(running))
                running |= {pool.submit(take) for _ in range(more)}
                begun += more
                ready, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in ready)
        finally:
            for future in running:
                future.cancel()


def _number(work: Work, room: Room, parts: dict[int, Open], control: Control) -> Generator[Event, None, None]:
    """The second pass: objects are joined, and get their numbers, 1..n in each sample."""
    journal, count = room.journal, len(work.blocks)
    numbered = set() if journal is None else set(journal.numbered)
    samples: dict[int, list[int]] = {}
    for i, block in enumerate(work.blocks):
        samples.setdefault(block.sample, []).append(i)
    yield Progress(count + len(numbered), 2 * count)
    for mine in samples.values():
        todo = [i for i in mine if i not in numbered]
        if not todo:
            continue
        found = [journal.parts(i) if journal is not None else parts[i] for i in mine]
        made = iter(joined([part for of in found for part in of], rule_of(work.ready.decoding)))
        numbers = {i: _after_each_other([next(made) for _ in of]) for i, of in zip(mine, found, strict=True)}

        def renumber(i: int, numbers: dict[int, NDArray[np.int32]] = numbers) -> int:
            work.put(room.final, room.axes, i, numbers[i][work.get(room.working, room.axes, i)])
            return i

        for i in _as_done(renumber, iter(todo), len(todo), work.under_way):
            if journal is not None:
                journal.note_numbered(i)
            numbered.add(i)
            yield Progress(count + len(numbered), 2 * count)
            control.check()


def _after_each_other(numbers: Sequence[NDArray[np.int32]]) -> NDArray[np.int32]:
    """The numbers of the objects of a block, 0 first, from those of its parts, 0 first in each."""
    return np.concatenate([np.zeros(1, np.int32), *(of[1:] for of in numbers)])


def _nothing(box: Box) -> Land:
    """Mask and distance of a box without objects."""
    shape = tuple(b - a for a, b in box)
    return np.zeros(shape, bool), np.zeros(shape, np.float32)


def _read(part: Any) -> NDArray[Any]:
    """A part of an array in memory; dask works in this thread, so that memory stays what it is said to be."""
    if hasattr(part, "dask"):
        read: NDArray[Any] = np.asarray(part.compute(scheduler="synchronous"))
        return read
    return np.asarray(part)
