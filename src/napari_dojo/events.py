"""Events that a job sends, and the control of a job. Each event is one line of JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, TypeVar

__all__ = [
    "Control",
    "Done",
    "Event",
    "Failed",
    "Filling",
    "Message",
    "Previewed",
    "Progress",
    "Skipped",
    "Started",
    "Step",
    "StoppedError",
    "Tried",
    "Validated",
    "Written",
    "among",
    "changed",
    "decode",
    "encode",
    "result_of",
]


@dataclass(frozen=True)
class Event:
    """Base class of all events."""

    kinds: ClassVar[dict[str, type[Event]]] = {}

    def __init_subclass__(cls) -> None:
        Event.kinds[cls.__name__] = cls


@dataclass(frozen=True)
class Started(Event):
    """The job has started. ``plan`` holds the fields of `napari_dojo.training.plan.Plan` as plain values."""

    plan: dict[str, Any]


@dataclass(frozen=True)
class Step(Event):
    """One training step was made.

    ``steps`` is None until the speed for a time limit is measured; ``rate`` is the learning rate.
    """

    step: int
    steps: int | None
    seconds_left: float | None
    loss: float
    rate: float


@dataclass(frozen=True)
class Validated(Event):
    """The model was scored on the validation data.

    ``score`` and ``baseline`` hold the task's scores by name; ``preview`` is the path of a ``.npy`` or None.
    """

    step: int
    train_loss: float
    validation_loss: float | None
    score: dict[str, Any]
    baseline: dict[str, Any]
    preview: str | None = None


@dataclass(frozen=True)
class Tried(Event):
    """Before a training: a start that is compared with others was scored, ``step`` steps after its trial began.

    ``start`` : name of a model, or "nothing"; ``figure`` : what is compared, its best value so far, as words; the others as of
    `Validated`.
    """

    start: str
    step: int
    figure: str
    score: dict[str, Any]
    baseline: dict[str, Any]
    preview: str | None = None


@dataclass(frozen=True)
class Progress(Event):
    """``done`` of ``total`` units of work are done."""

    done: int
    total: int

    def among(self, index: int, count: int) -> Progress:
        """The progress of part ``index`` of ``count`` equal parts as that of all of them."""
        return Progress(index * self.total + self.done, count * self.total)


@dataclass(frozen=True)
class Previewed(Event):
    """A live preview of a plane: ``path`` of a .npy of its part ``box`` (rows, columns; from and to), px.

    ``number`` : of the strokes it is made from; ``seconds`` it took; ``whole`` : nothing more follows for them.
    """

    path: str
    box: list[list[int]]
    number: int
    seconds: float
    whole: bool


@dataclass(frozen=True)
class Filling(Event):
    """The prediction for image ``index`` is written block by block, and can be looked at.

    ``levels`` : Zarr arrays, from the full resolution down, with ``axes``; ``store`` : the OME-Zarr that it becomes.
    """

    index: int
    levels: list[str]
    axes: str
    store: str


@dataclass(frozen=True)
class Message(Event):
    """A message for the user; ``level`` is "info" or "warning"."""

    level: str
    text: str


@dataclass(frozen=True)
class Skipped(Event):
    """One of several images could not be used; ``sentence`` names it and says why: ``name`` and ``reason`` by themselves."""

    sentence: str
    name: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Written(Event):
    """One of several images is done; ``stored`` is `napari_dojo.inference.sinks.Stored` as plain values."""

    stored: dict[str, Any]


@dataclass(frozen=True)
class Done(Event):
    """The last event of a job that succeeded; ``result`` is a path."""

    result: str
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Failed(Event):
    """The last event of a job that failed, with the reason in one sentence; ``code`` : that of its `DojoError`."""

    sentence: str
    code: str = ""


@dataclass
class Control:
    """Requests to a running job, which reads them between steps, during validation and between tiles.

    ``look`` is what the user sees now, ``{"image": path of .npy (C, *S)}``, or ``{"box": from and to along each axis of S}``
    in the image that is predicted; pausing is not asking for the next event.
    """

    stop: bool = False
    look: dict[str, Any] | None = None

    def seen(self) -> Mapping[str, Any]:
        """What the user sees now; empty where that is not known."""
        return self.look or {}

    def check(self) -> None:
        """Raise StoppedError where the job must stop."""
        if self.stop:
            raise StoppedError


class StoppedError(Exception):
    """The work was stopped before it had a result."""


T = TypeVar("T")


def changed(steps: Generator[Any, None, T], change: Callable[[Any], Event]) -> Generator[Event, None, T]:
    """The events of a generator, each as ``change`` gives it, and its result."""
    try:
        while True:
            yield change(next(steps))
    except StopIteration as end:
        result: T = end.value
        return result


def among(index: int, count: int, event: Any) -> Any:
    """An event of part ``index`` of ``count`` equal parts as one of all of them."""
    return event.among(index, count) if isinstance(event, Progress) else event


def result_of(steps: Generator[Any, None, T]) -> T:
    """Do all the steps of a generator, whatever they say, and give what it returns."""
    try:
        while True:
            next(steps)
    except StopIteration as end:
        result: T = end.value
        return result


def encode(event: Event) -> str:
    """One line of JSON."""
    return json.dumps({"event": type(event).__name__, **asdict(event)}, allow_nan=True, default=_plain)


def decode(line: str) -> Event:
    """The event of one line; ValueError if the line is not an event."""
    said = json.loads(line)
    name = said.pop("event", None) if isinstance(said, dict) else None
    if not isinstance(name, str) or name not in Event.kinds:
        raise ValueError(f"not an event: {line[:80]!r}")
    try:
        return Event.kinds[name](**said)
    except TypeError as e:
        raise ValueError(f"not an event: {line[:80]!r}") from e


def _plain(value: Any) -> Any:
    """Numpy numbers and arrays as numbers and lists, everything else (paths) as text."""
    return value.tolist() if hasattr(value, "tolist") else str(value)
