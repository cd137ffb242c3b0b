"""What a person may set, each option declared once: the command line, the forms and the docs are made from it."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from napari_dojo.errors import DojoError

__all__ = ["Field", "Option", "PredictSettings", "TrainSettings", "checked", "fields_of"]


KINDS = {bool: "yes or no", int: "a whole number", float: "a number", tuple: "a list"}
WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True)
class Option:
    """How an option is shown and what it may be; ``words`` are what its choices are called in a form."""

    label: str
    help: str
    low: float | None = None
    high: float | None = None
    unit: str = ""
    advanced: bool = False
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Field:
    """One option of a settings class, ready for a form or a flag.

    ``kind`` is bool, int, float, str or tuple; ``choices`` are given for a Literal; ``optional`` allows None.
    """

    name: str
    kind: type
    default: Any
    option: Option
    choices: tuple[Any, ...] = ()
    optional: bool = False

    @property
    def flag(self) -> str:
        """Its name on the command line."""
        return "--" + self.name.replace("_", "-")


@dataclass(frozen=True)
class TrainSettings:
    """How a model is trained. Zero and None mean: the plan decides."""

    minutes: Annotated[
        float | None, Option("Time", "How long training may take, from start to saved model.", 0.05, 10080, "min")
    ] = None
    epochs: Annotated[
        int | None,
        Option("Epochs", "An epoch is as many patches as cover the training area once.", 1, 100_000, advanced=True),
    ] = None
    steps: Annotated[
        int | None, Option("Steps", "How many times the weights are updated.", 1, 10_000_000, advanced=True)
    ] = None
    validation: Annotated[
        float | None,
        Option("Validation", "Share of the images kept aside to choose the best model.", 0, 0.9, advanced=True),
    ] = None
    test: Annotated[
        float | None,
        Option("Test", "Share of the images that training never sees, for the final score.", 0, 0.9, advanced=True),
    ] = None
    device: Annotated[
        Literal["auto", "cpu", "cuda", "mps"],
        Option("Device", "Where the net is computed; auto takes a graphics card where there is one.", advanced=True),
    ] = "auto"
    seed: Annotated[
        int,
        Option("Seed", "The same seed and steps give the same model on the same machine.", 0, 2**31 - 1, advanced=True),
    ] = 0
    patch: Annotated[
        int,
        Option(
            "Patch", "Edge of the image pieces that the net learns from; 0 lets the plan decide.", 0, 4096, "px", True
        ),
    ] = 0
    batch: Annotated[int, Option("Batch", "Pieces per update; 0 lets the plan decide.", 0, 4096, "", True)] = 0
    depth: Annotated[
        int, Option("Depth", "Levels of the net: more see farther; 0 lets the plan decide.", 0, 7, "", True)
    ] = 0
    width: Annotated[
        int, Option("Width", "Feature maps of the first level; 0 lets the plan decide.", 0, 512, "", True)
    ] = 0
    learning_rate: Annotated[
        float, Option("Learning rate", "Largest step size of the optimizer; 0 lets the plan decide.", 0, 1, "", True)
    ] = 0.0
    augment: Annotated[
        bool, Option("Augment", "Flip, turn, scale and brighten the pieces, so that few images go far.", advanced=True)
    ] = True


@dataclass(frozen=True)
class PredictSettings:
    """How a model is applied. Zero and None mean: decided from model and image."""

    diameter: Annotated[
        float | None, Option("Diameter", "Typical diameter of the objects in this image.", 1, 10_000, "px")
    ] = None
    channel: Annotated[
        str | None,
        Option("Channel", "Of images with several channels: the one to use, by number (1 is the first) or name."),
    ] = None
    device: Annotated[
        Literal["auto", "cpu", "cuda", "mps"], Option("Device", "Where the net is computed.", advanced=True)
    ] = "auto"
    turns: Annotated[
        int,
        Option(
            "Average over",
            "Images only: the mean answer to the image flipped and turned in so many ways (1 to 8); 0: as the task has it. "
            "More is slower and somewhat better.",
            0,
            8,
            "ways",
            True,
        ),
    ] = 0
    spread: Annotated[
        bool,
        Option(
            "Uncertainty",
            "Images only: also how much the answers to the turned image differ, as an image.",
            advanced=True,
        ),
    ] = False
    dtype: Annotated[
        Literal["float32", "input"],
        Option(
            "Numbers", "Images only: the type of the answer; input: rounded to the type of the input.", advanced=True
        ),
    ] = "float32"
    any_size: Annotated[
        bool,
        Option(
            "Any pixel size",
            "Super-resolution only: take images of another pixel size than it learned from, too.",
            advanced=True,
        ),
    ] = False
    frames: Annotated[
        Literal["whole", "each"] | None,
        Option(
            "Frames",
            "Whether the brightness of a series is measured once for the whole series, or for each frame by itself "
            "(bleaching, flicker, dimming with depth). Default: as the model was trained.",
            advanced=True,
        ),
    ] = None
    tile: Annotated[
        int,
        Option("Tile", "Edge of the pieces that are computed at once; 0: what fits in memory.", 0, 16384, "px", True),
    ] = 0


def fields_of(cls: type) -> tuple[Field, ...]:
    """The options of a settings dataclass, in order."""
    hints = get_type_hints(cls, include_extras=True)
    found = []
    for f in fields(cls):
        hint = hints[f.name]
        if get_origin(hint) is not Annotated:
            continue
        inner, *extras = get_args(hint)
        option = next(e for e in extras if isinstance(e, Option))
        optional = False
        if get_origin(inner) in (Union, types.UnionType):
            optional = type(None) in get_args(inner)
            inner = next(a for a in get_args(inner) if a is not type(None))
        choices = get_args(inner) if get_origin(inner) is Literal else ()
        kind = type(choices[0]) if choices else (get_origin(inner) or inner)
        default = f.default if f.default_factory is MISSING else f.default_factory()
        found.append(Field(f.name, kind, default, option, choices, optional))
    return tuple(found)


T = TypeVar("T")


def checked(cls: type[T], values: Mapping[str, Any]) -> T:
    """A settings object from plain values (YAML, JSON, flags), each within its range.

    Raises DojoError that names the option, what it may be and what came.
    """
    known = {f.name: f for f in fields_of(cls)}
    clean: dict[str, Any] = {}
    for name, value in values.items():
        if name not in known:
            raise DojoError(f"{cls.__name__} has no option {name!r}; it has {', '.join(known)}.")
        clean[name] = _fit(known[name], value)
    return cls(**clean)


def _as(kind: type, value: Any) -> Any:
    """A value of this kind; TypeError, ValueError or KeyError where it is none."""
    if kind is tuple:
        return tuple(v.strip() for v in value.split(",")) if isinstance(value, str) else tuple(value)
    if kind is bool:
        return value if isinstance(value, bool) else WORDS[str(value).lower()]
    if kind is int and isinstance(value, float) and value != int(value):
        raise ValueError(value)
    return kind(value)


def _fit(field: Field, value: Any) -> Any:
    if value is None and field.optional:
        return None
    o = field.option
    if field.choices:
        if value not in field.choices:
            raise DojoError(f"{o.label} is one of {', '.join(map(str, field.choices))}; got {value!r}.")
        return value
    try:
        value = _as(field.kind, value)
    except (TypeError, ValueError, KeyError, OverflowError):
        raise DojoError(f"{o.label} is {KINDS.get(field.kind, 'a text')}; got {value!r}.") from None
    if field.kind in (int, float) and not ((o.low is None or value >= o.low) and (o.high is None or value <= o.high)):
        raise DojoError(f"{o.label} lies between {o.low} and {o.high} {o.unit}".rstrip() + f"; got {value}.")
    return value
