"""The apply loop: a model on images from anywhere, predictions to anywhere."""

from __future__ import annotations

import errno
import time
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
    """Apply a model to images one by one.

    An image that cannot be read or does not fit is skipped; a prediction that cannot be written ends it. What was written
    stays. Yields Progress over all images, Message and Skipped, and last Done (``results``: `Stored` values as dicts, ``skipped``:
    sentences, ``images``, ``stopped``, ``seconds``) or, stopped with nothing done, Failed.

    Raises
    ------
    DojoError : nothing could be done, or a prediction could not be written.
    """
    began, control, count = time.monotonic(), control or Control(), len(sources)
    sink.check()
    stored: list[Stored] = []
    skipped: list[str] = []
    for i, source in enumerate(sources):
        try:
            steps = _one(ready, source, sink, i, control)
            stored.append((yield from changed(steps, partial(_told, source.name, i, count))))
        except StoppedError:
            break
        except _UnwritableError as e:
            raise DojoError(f"{e} Before that, {len(stored)} of {count} images were done." if stored else str(e)) from e
        except (DojoError, MemoryError) as e:
            if count == 1:
                raise
            skipped.append(_named(source.name, explained(e)))
            yield Skipped(skipped[-1])
        finally:
            sink.release(i)
        yield Progress(SHARE * (i + 1), SHARE * count)
    if not stored and control.stop:
        yield Failed("Stopped before any image was done.")
        return
    if not stored:
        raise DojoError(f"None of the {count} images could be done. The first: {skipped[0]}")
    facts: dict[str, Any] = {"results": [s.as_dict() for s in stored], "skipped": skipped, "images": count}
    facts |= {"stopped": len(stored) + len(skipped) < count, "seconds": round(time.monotonic() - began, 2)}
    yield Done(sink.where, facts)


def _one(ready: Ready, source: Source, sink: Sink, index: int, control: Control) -> Generator[Event, None, Stored]:
    """Read, predict, write."""
    from napari_dojo.inference.predict import predict_image

    card = ready.card
    image = resolve(card, _read(source, control), ready.settings)
    size = image.axes.size(image.array.shape)
    maps = sink.keeps_maps((image.axes.count(image.array.shape), ready.predictor.outputs, *size))
    found = yield from predict_image(ready, image, control, _storage(sink, index), maps)
    with _writing():
        return sink.write(index, card, image, found)


def _read(source: Source, control: Control) -> Image:
    control.check()
    return source.read()


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
