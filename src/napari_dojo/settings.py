"""Training and prediction settings. Each option is declared once; command line, forms and docs are made from it."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, asdict, dataclass, fields, replace
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from napari_dojo.errors import DojoError

__all__ = ["Field", "Option", "PredictSettings", "TrainSettings", "at_scale", "checked", "fields_of", "fields_of_data"]


KINDS = {bool: "yes or no", int: "a whole number", float: "a number", tuple: "a list"}
WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True)
class Option:
    """Label, help, range and unit of an option; ``words`` are the titles of its choices in a form.

    ``of_data`` : it says how data are annotated, so that other data may be scored otherwise. ``kept`` : with the model.
    ``counted`` : it is a number of pixels of an image.
    """

    label: str
    help: str
    low: float | None = None
    high: float | None = None
    unit: str = ""
    advanced: bool = False
    words: tuple[str, ...] = ()
    trials: tuple[float, ...] = ()
    of_data: bool = False
    kept: bool = True
    counted: bool = False


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
    """How a model is trained. For 0 and None, the training plan chooses the value."""

    minutes: Annotated[
        float | None,
        Option("Time", "Total time from start to saved model; 5 unless epochs or steps are given.", 0.05, 10080, "min"),
    ] = None
    epochs: Annotated[
        int | None,
        Option(
            "Epochs",
            "Number of epochs. In one epoch, the patches cover the training area once.",
            1,
            100_000,
            advanced=True,
        ),
    ] = None
    steps: Annotated[int | None, Option("Steps", "Number of updates of the weights.", 1, 10_000_000, advanced=True)] = (
        None
    )
    validation: Annotated[
        float | None,
        Option("Validation", "Fraction of the images used to choose the best model.", 0, 0.9, advanced=True),
    ] = None
    test: Annotated[
        float | None,
        Option("Test", "Fraction of the images used only for the final score.", 0, 0.9, advanced=True),
    ] = None
    device: Annotated[
        Literal["auto", "cpu", "cuda", "mps", "all-gpus"],
        Option(
            "Device",
            "The processor that computes the network; auto uses a GPU if there is one, all-gpus all CUDA GPUs of this "
            "machine at the same time, each with its part of every batch.",
            advanced=True,
            words=("auto", "cpu", "cuda", "mps", "all GPUs"),
        ),
    ] = "auto"
    seed: Annotated[
        int,
        Option(
            "Seed",
            "Random seed. The same seed and number of steps give the same model on the same machine.",
            0,
            2**31 - 1,
            advanced=True,
        ),
    ] = 0
    patch: Annotated[
        int,
        Option("Patch", "Edge length of the training patches; 0: automatic.", 0, 4096, "px", True),
    ] = 0
    batch: Annotated[int, Option("Batch size", "Patches per step; 0: automatic.", 0, 4096, "", True)] = 0
    depth: Annotated[
        int,
        Option(
            "Depth",
            "Resolution levels of the network; more give a larger receptive field; 0: automatic.",
            0,
            7,
            "",
            True,
        ),
    ] = 0
    width: Annotated[int, Option("Width", "Feature maps of the first level; 0: automatic.", 0, 512, "", True)] = 0
    learning_rate: Annotated[
        float, Option("Learning rate", "Maximum learning rate of the optimizer; 0: automatic.", 0, 1, "", True)
    ] = 0.0
    augment: Annotated[
        bool,
        Option(
            "Augment",
            "Augment the patches: flip, rotate, scale, change brightness. Needed with few images.",
            advanced=True,
        ),
    ] = True


@dataclass(frozen=True)
class PredictSettings:
    """How a model is applied. For 0 and None, model and image determine the value."""

    diameter: Annotated[
        float | None, Option("Diameter", "Typical diameter of the objects in this image.", 1, 10_000, "px")
    ] = None
    channel: Annotated[
        str | None,
        Option("Channel", "Of images with several channels: the one to use, by number (1 is the first) or name."),
    ] = None
    device: Annotated[
        Literal["auto", "cpu", "cuda", "mps"],
        Option("Device", "The processor that computes the network.", advanced=True),
    ] = "auto"
    tta: Annotated[
        int,
        Option(
            "Test-time augmentation",
            "Average the predictions for this many flipped and rotated views (1 to 8); 0: the default of the task, 2 for objects "
            "and classes, 8 for images. More views are slower and slightly better.",
            0,
            8,
            "views",
            True,
        ),
    ] = 0
    uncertainty: Annotated[
        bool,
        Option(
            "Uncertainty",
            "Predicted images only: add an image of how large the error is likely to be, from the predictions for the image "
            "flipped and rotated. It takes up to eight times as long.",
            advanced=True,
        ),
    ] = False
    dtype: Annotated[
        Literal["float32", "input"],
        Option(
            "Data type",
            "Predicted images only: the data type; input: rounded to the type of the input image.",
            advanced=True,
        ),
    ] = "float32"
    any_size: Annotated[
        bool,
        Option(
            "Any pixel size",
            "Super-resolution only: accept images with another pixel size than the training images.",
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
            words=("the whole series", "each frame by itself"),
        ),
    ] = None
    planes: Annotated[
        Literal["link", "number"],
        Option(
            "Planes",
            "Objects of a stack whose planes are segmented one by one: link them through the planes where they overlap, so "
            "that each is one 3-D object, or number the objects of each plane on their own, without a number in two planes.",
            words=("linked to 3-D objects", "numbered in each plane"),
        ),
    ] = "link"
    tile: Annotated[
        int,
        Option("Tile", "Edge length of the tiles; 0: what fits in memory.", 0, 16384, "px", True),
    ] = 0


_known: dict[type, tuple[Field, ...]] = {}  # forms, flags and cards ask for them over and over


def fields_of(cls: type) -> tuple[Field, ...]:
    """The options of a settings dataclass, in order."""
    if cls not in _known:
        _known[cls] = tuple(_fields(cls))
    return _known[cls]


def fields_of_data(cls: type) -> tuple[Field, ...]:
    """Those that say how data are annotated."""
    return tuple(field for field in fields_of(cls) if field.option.of_data)


def _fields(cls: type) -> Iterator[Field]:
    hints = get_type_hints(cls, include_extras=True)
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
        yield Field(f.name, kind, default, option, choices, optional)


T = TypeVar("T")


def checked(cls: type[T], values: Mapping[str, Any]) -> T:
    """A settings object from plain values (YAML, JSON, flags).

    Raises DojoError with the option, its range and the value if a value is invalid.
    """
    known = {f.name: f for f in fields_of(cls)}
    clean: dict[str, Any] = {}
    for name, value in values.items():
        if name not in known:
            raise DojoError(f"{cls.__name__} has no option {name!r}. Choose among {', '.join(known)}.")
        clean[name] = _fit(known[name], value)
    return cls(**clean)


def at_scale(options: T, factor: float) -> T:
    """The same options for an image that is scaled to ``factor`` times as many pixels."""
    some: Any = options
    counted = {f.name for f in fields_of(type(options)) if f.option.counted}
    made: T = replace(some, **{name: value * factor for name, value in asdict(some).items() if name in counted})
    return made


def _as(kind: type, value: Any) -> Any:
    """Convert a value to this type; TypeError, ValueError or KeyError if that is not possible."""
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
            raise DojoError(f"{o.label} must be one of {', '.join(map(str, field.choices))}; got {value!r}.")
        return value
    try:
        value = _as(field.kind, value)
    except (TypeError, ValueError, KeyError, OverflowError):
        raise DojoError(f"{o.label} must be {KINDS.get(field.kind, 'text')}; got {value!r}.") from None
    if field.kind in (int, float) and not ((o.low is None or value >= o.low) and (o.high is None or value <= o.high)):
        raise DojoError(f"{o.label} must lie between {o.low} and {o.high} {o.unit}".rstrip() + f"; got {value}.")
    return value
