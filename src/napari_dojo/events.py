"""What a long job can say, and what it can be told. Small, frozen, written as one line of JSON each."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

__all__ = [
    "Control",
    "Done",
    "Event",
    "Failed",
    "Message",
    "Progress",
    "Started",
    "Step",
    "Validated",
    "decode",
    "encode",
]


@dataclass(frozen=True)
class Event:
    """One thing that a job says."""

    kinds: ClassVar[dict[str, type[Event]]] = {}

    def __init_subclass__(cls) -> None:
        Event.kinds[cls.__name__] = cls


@dataclass(frozen=True)
class Started(Event):
    """The job knows what it will do. ``plan`` holds plain values, as `napari_dojo.training.plan.Plan` names them."""

    plan: dict[str, Any]


@dataclass(frozen=True)
class Step(Event):
    """One update of the weights was made.

    ``steps`` is None while a budget in minutes is not yet measured; ``rate`` is the learning rate.
    """

    step: int
    steps: int | None
    seconds_left: float | None
    loss: float
    rate: float


@dataclass(frozen=True)
class Validated(Event):
    """The net was judged on what it does not learn from.

    ``score`` and ``baseline`` hold the task's figures by name; ``preview`` is the path of a ``.npy`` or None.
    """

    step: int
    train_loss: float
    validation_loss: float | None
    score: dict[str, Any]
    baseline: dict[str, Any]
    preview: str | None = None


@dataclass(frozen=True)
class Progress(Event):
    """``done`` of ``total`` pieces of the work are done."""

    done: int
    total: int


@dataclass(frozen=True)
class Message(Event):
    """A sentence for the user; ``level`` is "info" or "warning"."""

    level: str
    text: str


@dataclass(frozen=True)
class Done(Event):
    """The last word of a job that went well; ``result`` is a path."""

    result: str
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Failed(Event):
    """The last word of a job that could not go on: one sentence."""

    sentence: str


@dataclass
class Control:
    """What a running job can be told; it looks at it between steps, inside checks and between tiles.

    ``look`` is what the user sees now, ``{"image": path of .npy (C, *S)}``; pausing is not asking for the next event.
    """

    stop: bool = False
    look: dict[str, Any] | None = None


def encode(event: Event) -> str:
    """One line of JSON."""
    return json.dumps({"event": type(event).__name__, **asdict(event)}, allow_nan=True, default=_plain)


def decode(line: str) -> Event:
    """The event of one line; ValueError where it is none."""
    said = json.loads(line)
    name = said.pop("event", None) if isinstance(said, dict) else None
    if not isinstance(name, str) or name not in Event.kinds:
        raise ValueError(f"not an event: {line[:80]!r}")
    try:
        return Event.kinds[name](**said)
    except TypeError as e:
        raise ValueError(f"not an event: {line[:80]!r}") from e


def _plain(value: Any) -> Any:
    """Numbers and arrays of numpy as numbers and lists, all else (paths) as text."""
    return value.tolist() if hasattr(value, "tolist") else str(value)
