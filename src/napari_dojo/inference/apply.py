"""The apply loop: a model on images from anywhere, predictions to anywhere."""

from __future__ import annotations

import errno
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from napari_dojo.errors import DojoError, explained
from napari_dojo.events import Control, Done, Event, Failed, Message, Progress, Skipped, StoppedError, changed
from napari_dojo.inference.geometry import Image, resolve
from napari_dojo.inference.sinks import Sink, Stored
from napari_dojo.inference.sources import Source

if TYPE_CHECKING:
    from napari_dojo.inference.predict import Ready

__all__ = ["apply"]

SHARE = 100  # progress steps per image, where there are several


class _UnwritableError(DojoError):
    """A prediction could not be written; the next one would meet the same."""


def apply(ready: Ready, sources: Sequence[Source], sink: Sink, control: Control | None = None) -> Iterator[Event]:
    """Apply a model to images one by one, to each of those that a source holds.

    An image that cannot be read or does not fit is skipped; a prediction that cannot be written ends it. What was written
    stays. Yields Progress over all images, Message and Skipped, and last Done (``results``: `Stored` values as dicts, ``skipped``:
    sentences, ``images``, ``stopped``, ``seconds``) or, stopped with nothing done, Failed.

    Raises
    ------
    DojoError : nothing could be done, or a prediction could not be written.
    """
    began, control = time.monotonic(), control or Control()
    sink.check()
    stored: list[Stored] = []
    skipped: list[str] = []
    turns = deque((i, 0) for i in range(len(sources)))  # a source, and which of its images
    while turns:
        i, number = turns.popleft()
        name = sources[i].name + (f" (image {number + 1})" if number else "")
        try:
            image = _read(sources[i], number, control)
            name = image.name
            if not number:
                turns.extendleft((i, n) for n in range(image.picture.images - 1, 0, -1))
            at, count = len(stored) + len(skipped), len(stored) + len(skipped) + 1 + len(turns)
            stored.append((yield from changed(_one(ready, image, sink, i, control), partial(_told, name, at, count))))
        except StoppedError:
            turns.appendleft((i, number))
            break
        except _UnwritableError as e:
            raise DojoError(f"{e} Before that, {len(stored)} of {count} images were done." if stored else str(e)) from e
        except (DojoError, MemoryError) as e:
            if not (stored or skipped or turns):
                raise
            skipped.append(_named(name, explained(e)))
            yield Skipped(skipped[-1])
        finally:
            sink.release(i)
        done = len(stored) + len(skipped)
        yield Progress(SHARE * done, SHARE * (done + len(turns)))
    if not stored and control.stop:
        yield Failed("Stopped before any image was done.")
        return
    if not stored:
        raise DojoError(f"None of the {len(skipped)} images could be done. The first: {skipped[0]}")
    facts: dict[str, Any] = {"results": [s.as_dict() for s in stored], "skipped": skipped}
    facts |= {"images": len(stored) + len(skipped) + len(turns), "stopped": bool(turns)}
    yield Done(sink.where, facts | {"seconds": round(time.monotonic() - began, 2)})


def _read(source: Source, number: int, control: Control) -> Image:
    control.check()
    return source.read(number)


def _one(ready: Ready, image: Image, sink: Sink, index: int, control: Control) -> Generator[Event, None, Stored]:
    """Predict, write."""
    from napari_dojo.inference.predict import predict_image

    card = ready.card
    given = resolve(card, image, ready.settings)
    size = given.axes.size(given.array.shape)
    maps = sink.keeps_maps((given.axes.count(given.array.shape), ready.predictor.outputs, *size))
    found = yield from predict_image(ready, given, control, _storage(sink, index), maps)
    with _writing():
        return sink.write(index, card, given, found)


def _storage(sink: Sink, index: int) -> Callable[[tuple[int, ...], Any], Any]:
    def made(shape: tuple[int, ...], dtype: Any) -> Any:
        with _writing():
            return sink.storage(index, shape, dtype)

    return made


@contextmanager
def _writing() -> Iterator[None]:
    """What the system refuses to write ends the loop, unless it is the name alone."""
    try:
        yield
    except DojoError as e:
        if isinstance(e.__cause__, OSError) and e.__cause__.errno != errno.ENAMETOOLONG:
            raise _UnwritableError(str(e)) from e
        raise


def _told(name: str, index: int, count: int, event: Event) -> Event:
    """What is said of one image as said of all: progress among ``count``, messages with its name."""
    if isinstance(event, Progress) and count > 1:
        return Progress(SHARE * index + round(SHARE * event.done / max(1, event.total)), SHARE * count)
    return Message(event.level, _named(name, event.text)) if isinstance(event, Message) else event


def _named(name: str, text: str) -> str:
    """A sentence with the name of its image; those about files have it already."""
    return text if text.startswith(name) or ("." in name and name in text) else f"{name}: {text}"
