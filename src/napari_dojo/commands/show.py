"""What the command line shows while something is running: a bar, warnings, and its end."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Generator, Iterator
from typing import Any, TypeVar

from napari_dojo.errors import DojoError
from napari_dojo.events import (
    Control,
    Done,
    Event,
    Failed,
    Message,
    Progress,
    Skipped,
    Started,
    Step,
    Tried,
    Validated,
    changed,
    result_of,
)

__all__ = ["last", "shown", "silent", "warn", "watched"]

MOST = 3  # warnings of the same kind that are printed
T = TypeVar("T")


def last(events: Iterator[Event]) -> Generator[Event, None, Done]:
    """The same events, and the last of them, which is Done, as the result."""
    for event in events:
        yield event
    if not isinstance(event, Done):
        raise DojoError(getattr(event, "sentence", "Stopped before there was a result."))
    return event


def watched(steps: Generator[Event, None, T], title: str) -> T:
    """Draw a bar for work on several images; print why images were skipped, and the first of other warnings."""
    skipped: list[str] = []
    warnings: list[str] = []

    def seen(event: Event) -> Event:
        if isinstance(event, Progress):
            bar.update(row, completed=event.done, total=event.total)
        elif isinstance(event, Message) and event.level == "info":
            bar.console.print(event.text, highlight=False, markup=False, soft_wrap=True)
        elif isinstance(event, Message):
            warnings.append(event.text)
        elif isinstance(event, Skipped):
            skipped.append(f"Skipped: {event.sentence}")
        return event

    with _bar() as bar:
        row = bar.add_task(title, total=None)
        result = result_of(changed(steps, seen))
    more = [f"{len(warnings)} images in all have warnings."] if len(warnings) > MOST else []
    for sentence in [*warnings[:MOST], *more, *skipped]:
        warn(sentence)
    return result


def shown(events: Iterator[Event], control: Control, title: str) -> Done | None:
    """Draw a bar while a job is running; Ctrl-C keeps what is there. None where it was stopped before there was anything."""
    done: Done | None = None
    plain: dict[str, Any] = {"highlight": False, "markup": False, "soft_wrap": True}  # names may hold brackets
    with _stopped_by_signals(control), _bar() as bar:
        row = bar.add_task(title, total=None)
        for event in events:
            if isinstance(event, Step):
                bar.update(row, completed=event.step, total=event.steps, description=f"{title}, loss {event.loss:.3f}")
            elif isinstance(event, Progress):
                bar.update(row, completed=event.done, total=event.total)
            elif isinstance(event, Started):
                bar.console.print(event.plan["sentence"] + ". " + event.plan["split"] + ".", **plain)
            elif isinstance(event, Message):
                bar.console.print(event.text, **plain)
            elif isinstance(event, Tried):
                bar.console.print(f"from {event.start}, step {event.step}: {event.figure}", **plain)
            elif isinstance(event, Validated):
                bar.console.print(f"step {event.step}: {event.score.get('sentence', '')}", **plain)
            elif isinstance(event, Done):
                done = event
            elif isinstance(event, Failed):
                warn(f"napari-dojo: {event.sentence}")
    return done


def silent(events: Iterator[Event], control: Control) -> int:
    """The part of a process that follows another one, which says everything."""
    with _stopped_by_signals(control):
        for _ in events:
            pass
    return 0


@contextlib.contextmanager
def _stopped_by_signals(control: Control) -> Iterator[None]:
    """Ctrl-C, and the end of a cluster's time, stop the work so that its result is kept."""
    import signal

    def stop(*_: object) -> None:
        control.stop = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    # written to a file, a bar is an empty line
    return Bar(*columns, console=console, transient=True, disable=not console.is_interactive)


def warn(text: str) -> None:
    """Print a sentence beside the results."""
    print(text, file=sys.stderr)
