"""The apply loop: a model on images from anywhere, predictions to anywhere.

Several images are under way at a time, each in a thread that reads, predicts, decodes, measures and writes it; those that are
under way share the cores (`napari_dojo.inference.cores`). (Threads, because numpy and torch compute beside each
other; processes measured a third slower, as all maps are sent to them.)
"""

from __future__ import annotations

import errno
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Condition
from threading import Event as Flag
from typing import TYPE_CHECKING, Any

from napari_dojo.errors import DojoError, explained
from napari_dojo.events import Control, Done, Event, Failed, Message, Progress, Skipped, StoppedError, Written
from napari_dojo.inference.cores import under_way, waiting
from napari_dojo.inference.geometry import Image, Input, resolve
from napari_dojo.inference.sinks import Place, Sink, Store, Stored
from napari_dojo.inference.sources import Source

if TYPE_CHECKING:
    from napari_dojo.inference.blocks import Engine
    from napari_dojo.inference.predict import Ready

__all__ = ["SHARE", "Memory", "One", "Turn", "apply", "over_images", "writing"]

SHARE = 100  # progress steps per image, where there are several
MOST = 8  # images under way at a time
MEMORY = 0.5  # share of the free memory that images under way may take together
AHEAD = 2  # times as many images may be begun before the first of them is done: events keep the order, and times differ
WAIT = 0.2  # s after which it is checked whether the work still runs


class _UnwritableError(DojoError):
    """A prediction could not be written; the next one would meet the same."""


@dataclass(frozen=True)
class _Opened:
    """How many images a source turned out to hold."""

    images: int


@dataclass(frozen=True)
class _Ended:
    """An image is done, or was not: ``stored``, or why not; ``images`` : that its source holds, as far as is known."""

    name: str
    stored: Stored | None = None
    error: BaseException | None = None
    images: int = 1

    @property
    def fatal(self) -> bool:
        """Whether the next image would meet the same: the disk refuses to be written, or the error is a bug."""
        skipped = isinstance(self.error, (DojoError, MemoryError)) and not isinstance(self.error, _UnwritableError)
        return self.error is not None and not skipped


@dataclass
class _Pace(Control):
    """The control of the threads: they stop where the caller says so or is gone, and wait while it asks for no event."""

    caller: Control = field(default_factory=Control)
    asked: Flag = field(default_factory=Flag)

    def check(self) -> None:
        """Raise StoppedError where the work must stop."""
        if self.stop or self.caller.stop:
            raise StoppedError

    def seen(self) -> Mapping[str, Any]:
        """What the caller's user sees."""
        return self.caller.seen()

    def wait(self) -> None:
        """Return once the caller asks for the next event, or StoppedError."""
        while not self.asked.wait(WAIT):
            self.check()
        self.check()


@dataclass
class Memory:
    """Main memory for the images under way, in bytes; one that needs more waits until it is alone."""

    bytes: float
    used: float = 0.0
    free: Condition = field(default_factory=Condition)

    @contextmanager
    def taken(self, needed: float, control: Control) -> Iterator[None]:
        """Hold this many bytes; StoppedError while waiting for them."""
        with self.free, waiting():
            while self.used and self.used + needed > self.bytes:
                self.free.wait(WAIT)
                control.check()
            self.used += needed
        try:
            yield
        finally:
            with self.free:
                self.used -= needed
                self.free.notify_all()


@dataclass(frozen=True, eq=False)
class Turn:
    """What the work on one image needs to know: the number of its source, the memory that all share, and what stops it."""

    index: int
    memory: Memory
    control: Control


# What is done with one image: predicted, written.
One = Callable[[Image, Turn], Generator[Event, None, Stored]]


def apply(
    ready: Ready, sources: Sequence[Source], sink: Sink, control: Control | None = None, engine: Engine | None = None
) -> Iterator[Event]:
    """Apply a model to images, see `over_images`.

    Parameters
    ----------
    engine : computes all images block by block; None: threads do, where an image does not fit in memory.

    Raises
    ------
    DojoError : nothing could be done, or a prediction could not be written.
    """
    sink.check()
    cores = ready.predictor.device.cores
    for event in over_images(partial(_one, ready, sink, engine=engine), sources, sink, control or Control(), cores):
        if isinstance(event, Done):
            with writing():
                sink.finish()
        yield event


def over_images(
    one: One, sources: Sequence[Source], place: Place, control: Control, cores: int, before: int = 0
) -> Iterator[Event]:
    """Do something with images, with each of those that a source holds; events and results keep the order of the sources.

    An image that cannot be read or does not fit is skipped; a prediction that cannot be written ends it. What was written
    stays. Yields Progress over all images, Message and Skipped, Written after each that is done, and last Done (``results``:
    `Stored` values as dicts, ``skipped``: sentences, ``images``, ``stopped``, ``seconds``) or, stopped with nothing done, Failed.
    While no event is asked for, images under way wait.

    Parameters
    ----------
    cores : of the machine; that many images are under way, but 2 at least and 8 at most.
    before : images that were done earlier; Progress and ``images`` count them.

    Raises
    ------
    DojoError : nothing could be done now or earlier, or a prediction could not be written.
    """
    began = time.monotonic()
    stored: list[Stored] = []
    skipped: list[str] = []
    known = before + len(sources)
    for said in _told(one, sources, place, control, cores):
        done = before + len(stored) + len(skipped)
        if isinstance(said, _Opened):
            known += said.images - 1
        elif isinstance(said, Progress) and known > 1:
            yield Progress(SHARE * done + round(SHARE * said.done / max(1, said.total)), SHARE * known)
        elif isinstance(said, Event):
            yield said
        elif said.stored is not None:
            stored.append(said.stored)
            yield Written(said.stored.as_dict())
            yield Progress(SHARE * (done + 1), SHARE * known)
        elif isinstance(said.error, _UnwritableError):
            earlier = f" Before that, {done} of {known} images were done." if stored else ""
            raise DojoError(f"{said.error}{earlier}") from said.error
        elif said.error is not None:
            if known == 1 or not isinstance(said.error, (DojoError, MemoryError)):
                raise said.error
            reason = explained(said.error)
            skipped.append(_named(said.name, reason))
            yield Skipped(skipped[-1], said.name, reason)
            yield Progress(SHARE * (done + 1), SHARE * known)
    if not stored and not before and control.stop:
        yield Failed("Stopped before any image was done.")
        return
    if not stored and not before:
        raise DojoError(f"None of the {len(skipped)} images could be done. The first: {skipped[0]}")
    facts: dict[str, Any] = {"results": [s.as_dict() for s in stored], "skipped": skipped}
    facts |= {"images": known, "stopped": before + len(stored) + len(skipped) < known}
    yield Done(place.where, facts | {"seconds": round(time.monotonic() - began, 2)})


Said = Event | _Opened | _Ended


def _told(one: One, sources: Sequence[Source], place: Place, control: Control, cores: int) -> Iterator[Said]:
    """The events of each source, source by source, while the next ones are under way."""
    import psutil

    workers = min(len(sources), MOST, max(2, cores))
    pace, memory = _Pace(caller=control), Memory(MEMORY * psutil.virtual_memory().available)
    running: deque[SimpleQueue[Said | None]] = deque()
    todo = iter(enumerate(sources))
    pool = ThreadPoolExecutor(max(1, workers), "apply")
    try:
        while True:
            while len(running) < AHEAD * workers and not control.stop and (following := next(todo, None)) is not None:
                index, source = following
                running.append(SimpleQueue())
                pool.submit(_work, one, source, Turn(index, memory, pace), place, pace, running[-1].put)
            if not running:
                return
            while (said := _next(running[0], pace)) is not None:
                pace.asked.clear()
                yield said
            running.popleft()
    finally:
        pace.stop = True
        pool.shutdown()


def _next(told: SimpleQueue[Said | None], pace: _Pace) -> Said | None:
    """The next event; the wait can be interrupted from the keyboard."""
    pace.asked.set()
    while True:
        try:
            return told.get(timeout=WAIT)
        except Empty:
            continue


def _work(one: One, source: Source, turn: Turn, place: Place, pace: _Pace, say: Callable[[Said | None], None]) -> None:
    """Do all images of a source, and tell of it; None at the end."""
    number, images = 0, 1
    try:
        while number < images:
            try:
                ended = _ended(one, source, number, turn, pace, say)
                say(ended)
            except StoppedError:
                return
            finally:
                place.release(turn.index)
            if ended.fatal:
                return
            number, images = number + 1, images if number else ended.images
    finally:
        say(None)


def _ended(
    one: One, source: Source, number: int, turn: Turn, pace: _Pace, say: Callable[[Said | None], None]
) -> _Ended:
    """Do image ``number`` of a source; StoppedError where the work must stop."""
    name, images = source.name + (f" (image {number + 1})" if number else ""), 1
    try:
        pace.wait()
        with under_way():
            image = source.read(number)
            name, images = image.name, image.picture.images
            if not number:
                say(_Opened(images))
            return _Ended(name, _said(one(image, turn), name, pace, say), images=images)
    except StoppedError:
        raise
    except BaseException as e:
        return _Ended(name, error=e, images=images)


def _said(steps: Generator[Event, None, Stored], name: str, pace: _Pace, say: Callable[[Said | None], None]) -> Stored:
    """Do all steps for an image; messages get its name."""
    while True:
        try:
            event = next(steps)
        except StopIteration as end:
            stored: Stored = end.value
            return stored
        pace.wait()
        say(Message(event.level, _named(name, event.text)) if isinstance(event, Message) else event)


def _one(
    ready: Ready, sink: Sink, image: Image, turn: Turn, engine: Engine | None = None
) -> Generator[Event, None, Stored]:
    """Predict, write."""
    from napari_dojo.inference.predict import memory_for, predict_image, too_large

    card = ready.card
    given = resolve(card, image, ready.settings)
    size = given.axes.size(given.array.shape)
    lacking = sink.lacks((given.axes.count(given.array.shape), ready.predictor.outputs, *size))
    maps = lacking == ""
    store = sink.store(turn.index, card, given, too_large(ready, given, maps) or engine is not None)
    with turn.memory.taken(memory_for(ready, given, maps), turn.control):
        if store is not None:
            axes, path = yield from _stored(ready, given, turn, store, engine)
            return Stored(turn.index, given.name, axes, str(path))
        found = yield from predict_image(ready, given, turn.control, _storage(sink, turn.index), maps)
        turn.control.check()
        with writing():
            return replace(sink.write(turn.index, card, given, found), lacking=lacking or None)


def _stored(
    ready: Ready, image: Input, turn: Turn, store: Store, engine: Engine | None
) -> Generator[Event, None, tuple[str, Path]]:
    """Predict block by block into an OME-Zarr; the axes of the prediction, and where it is."""
    from napari_dojo.inference.blocks import in_threads
    from napari_dojo.inference.predict import domain_shift
    from napari_dojo.inference.scale import at_own_scale
    from napari_dojo.inference.stores import free_name, predict_to_store

    path = free_name(ready, image, store.path) if store.shown else store.path
    if store.because:
        yield Message("info", f"{store.because} It is predicted block by block, and the result is {path.name}.")
    for warning in (*image.warnings, *domain_shift(ready.card, image)):
        yield Message("warning", warning)
    image = yield from at_own_scale(ready, image, turn.control)
    shown = turn.index if store.shown else None
    steps = predict_to_store(ready, image, path, turn.control, engine or in_threads, store.overwrite, shown)
    return (yield from steps).names, path


def _storage(sink: Sink, index: int) -> Callable[[tuple[int, ...], Any], Any]:
    def made(shape: tuple[int, ...], dtype: Any) -> Any:
        with writing():
            return sink.storage(index, shape, dtype)

    return made


@contextmanager
def writing() -> Iterator[None]:
    """What the system refuses to write ends the loop, unless it is the name alone."""
    try:
        yield
    except DojoError as e:
        if isinstance(e.__cause__, OSError) and e.__cause__.errno != errno.ENAMETOOLONG:
            raise _UnwritableError(str(e)) from e
        raise


def _named(name: str, text: str) -> str:
    """A sentence with the name of its image; those about files have it already."""
    return text if text.startswith(name) or ("." in name and name in text) else f"{name}: {text}"
