"""What a classroom is set to: the points, the net, how it learns. Plain frozen values, each option declared once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import pairwise
from typing import Annotated, Any, Literal

from napari_dojo.errors import DojoError
from napari_dojo.settings import Option, checked

__all__ = ["FEATURES", "TITLES", "Learning", "NetShape", "PointSet", "Setup"]

MOST_LAYERS, MOST_UNITS, MOST_CLASSES, MOST_POINTS = 8, 32, 8, 10_000
LONGEST_FORMULA = 200
PARTS = ("points", "net", "learning")
NUMBERS = ("plane", "hills", "curve")  # the point sets whose answer is a number: regression

# What the net can be given, as numpy is told to compute it from the coordinates.
FEATURES = {
    "x": "x",
    "y": "y",
    "x2": "x**2",
    "y2": "y**2",
    "xy": "x * y",
    "sin_x": "np.sin(x)",
    "sin_y": "np.sin(y)",
}

TITLES = {
    "x2": "x²",
    "y2": "y²",
    "sin_x": "sin x",
    "sin_y": "sin y",
    "formula": "y below a formula",
    "own": "own points",
    "xor": "XOR",
    "relu": "ReLU",
    "leaky_relu": "leaky ReLU",
    "squared_error": "squared error",
    "binary_cross_entropy": "binary cross-entropy",
    "categorical_cross_entropy": "categorical cross-entropy",
    "sgd": "SGD",
    "momentum": "SGD with momentum",
    "rmsprop": "RMSprop",
    "adam": "Adam",
    "glorot": "Glorot",
    "he": "He",
    "random": "plain random",
    "zero": "all zero",
}


@dataclass(frozen=True)
class PointSet:
    """Which points there are. ``rows`` are points of one's own: x, y and the class (or the number to predict)."""

    kind: Annotated[
        Literal[
            "line",
            "parabola",
            "spiral",
            "circle",
            "xor",
            "clusters",
            "blobs",
            "moons",
            "plane",
            "hills",
            "curve",
            "formula",
            "own",
        ],
        Option("Points", "How the points of the classes lie."),
    ] = "line"
    training: Annotated[int, Option("Training", "Points that the net learns from.", 1, MOST_POINTS)] = 500
    validation: Annotated[
        int, Option("Validation", "Points on which choices are judged; no weight is learned from them.", 0, MOST_POINTS)
    ] = 200
    test: Annotated[int, Option("Test", "Points that are looked at once, at the very end.", 0, MOST_POINTS)] = 200
    noise: Annotated[
        float | None,
        Option("Noise", "How far points stray; in regression: how far the numbers do. Empty: as is usual.", 0, 10),
    ] = None
    label_noise: Annotated[
        float, Option("Label noise", "Share of the points that carry a wrong class on purpose.", 0, 0.5)
    ] = 0.0
    classes: Annotated[int, Option("Classes", "Number of clusters, each a class.", 2, MOST_CLASSES)] = 4
    formula: Annotated[
        str, Option("Formula", 'Class 1 is where it holds, for example "y < 2x² - 0.4" or "x² + y² < 0.5".')
    ] = ""
    zscore: Annotated[
        bool,
        Option("z-score", "Shift and scale the coordinates so that those of training have mean 0 and deviation 1."),
    ] = False
    rows: tuple[tuple[float, float, float], ...] = ()

    def __post_init__(self) -> None:
        if len(self.formula) > LONGEST_FORMULA:
            raise DojoError(f"A formula has at most {LONGEST_FORMULA} characters; got {len(self.formula)}.")
        if len(self.rows) > MOST_POINTS:
            raise DojoError(f"At most {MOST_POINTS} points of one's own; got {len(self.rows)}. Give fewer.")
        try:
            rows = tuple((float(x), float(y), float(v)) for x, y, v in self.rows)
        except (TypeError, ValueError, OverflowError):
            raise DojoError("Each point of one's own is x, y and its class; one of them is not.") from None
        # Beyond this, squares of coordinates would not fit into a number.
        if any(not abs(v) <= 1e100 for row in rows for v in row):
            raise DojoError("Points of one's own need finite coordinates; one of them is not. Remove it.")
        object.__setattr__(self, "rows", rows)

    @property
    def n_classes(self) -> int:
        """How many classes there are; 0 where a number is to be predicted (regression)."""
        if self.kind in NUMBERS:
            return 0
        if self.kind == "clusters":
            return self.classes
        if self.kind == "own" and self.rows:
            values = [v for _, _, v in self.rows]
            whole = all(v == int(v) and 0 <= v < MOST_CLASSES for v in values)
            return max(2, int(max(values)) + 1) if whole else 0
        return 2


@dataclass(frozen=True)
class NetShape:
    """The net before it has weights."""

    inputs: Annotated[
        tuple[str, ...], Option("Inputs", f"What the net is given of each point, of {', '.join(FEATURES)}.")
    ] = ("x", "y")
    hidden: Annotated[
        tuple[int, ...],
        Option("Hidden layers", f"Units of each, as 8,8; 0 for none; at most {MOST_LAYERS} of {MOST_UNITS} units."),
    ] = ()
    activation: Annotated[
        Literal["linear", "sigmoid", "tanh", "relu", "leaky_relu"],
        Option("Activation", "What each hidden unit makes of its weighted sum."),
    ] = "relu"
    output: Annotated[
        Literal["sigmoid", "softmax", "linear"], Option("Last activation", "What the outputs make of their sums.")
    ] = "sigmoid"
    outputs: Annotated[int, Option("Outputs", "One, or one for each class.", 1, MOST_CLASSES)] = 1
    skip: Annotated[
        bool, Option("Skip connection", "Hand the inputs also straight to the last layer, as a U-Net does.")
    ] = False
    start: Annotated[
        Literal["glorot", "he", "random", "zero"], Option("Start values", "How the first weights are drawn.")
    ] = "glorot"

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", _units(self.hidden))
        inputs = tuple(str(name).strip().replace("²", "2").replace(" ", "_") for name in self.inputs)
        object.__setattr__(self, "inputs", tuple(dict.fromkeys(inputs)))
        unknown = [name for name in self.inputs if name not in FEATURES]
        if unknown or not self.inputs:
            raise DojoError(f"Inputs are one or more of {', '.join(FEATURES)}; got {', '.join(unknown) or 'none'}.")

    @property
    def widths(self) -> tuple[tuple[int, int], ...]:
        """What comes in and goes out of each layer of weights: (inputs, units), the last layer with the skip."""
        units = (len(self.inputs), *self.hidden, self.outputs)
        pairs = list(pairwise(units))
        if self.skip and self.hidden:
            pairs[-1] = (pairs[-1][0] + len(self.inputs), self.outputs)
        return tuple(pairs)

    def sources(self, layer: int) -> tuple[str, ...]:
        """What feeds a layer of weights, in the order of its rows: inputs by their titles, hidden units as h1, h2, ..."""
        inputs = tuple(TITLES.get(name, name) for name in self.inputs)
        if layer == 0:
            return inputs
        units = tuple(f"h{i + 1}" for i in range(self.hidden[layer - 1]))
        return units + inputs if self.skip and layer == len(self.hidden) else units

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return sum(before * units + units for before, units in self.widths)


@dataclass(frozen=True)
class Learning:
    """How the weights are found."""

    loss: Annotated[
        Literal["squared_error", "binary_cross_entropy", "categorical_cross_entropy"],
        Option("Loss", "What is made as small as possible."),
    ] = "binary_cross_entropy"
    optimizer: Annotated[
        Literal["sgd", "momentum", "rmsprop", "adam"], Option("Optimizer", "How a gradient becomes a step.")
    ] = "sgd"
    learning_rate: Annotated[float, Option("Learning rate", "How far each step goes.", 0, 1e12)] = 0.01
    batch_size: Annotated[
        int, Option("Batch size", "Points per update of the weights; 0: all of them.", 0, MOST_POINTS)
    ] = 32
    epochs: Annotated[int, Option("Epochs", "How often all training points are seen.", 1, 100_000)] = 20
    dropout: Annotated[
        float, Option("Dropout", "Share of the hidden units that is switched off at random in each update.", 0, 0.9)
    ] = 0.0
    l1: Annotated[float, Option("L1", "Price of the weights' absolute values.", 0, 10)] = 0.0
    l2: Annotated[float, Option("L2", "Price of the weights' squares.", 0, 10)] = 0.0
    patience: Annotated[
        int,
        Option("Early stopping", "Stop after so many epochs without a smaller validation loss; 0: never.", 0, 100_000),
    ] = 0

    def __post_init__(self) -> None:
        if not 0 < self.learning_rate < math.inf:
            raise DojoError(
                f"The learning rate is above 0, for with 0 no weight moves; got {self.learning_rate:g}. Try 0.05."
            )


@dataclass(frozen=True)
class Setup:
    """A whole classroom. ``attempt`` counts how often new start weights were drawn after the first."""

    points: PointSet = field(default_factory=PointSet)
    net: NetShape = field(default_factory=NetShape)
    learning: Learning = field(default_factory=Learning)
    seed: int = 0
    attempt: int = 0

    def __post_init__(self) -> None:
        for name, most in (("seed", 2**31 - 1), ("attempt", 1000)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
                raise DojoError(f"The {name} is a whole number from 0 to {most}; got {value!r}.")

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Setup:
        """From plain values by part (TOML, JSON), every one checked; DojoError where one is wrong."""
        return cls().changed(values)

    def changed(self, values: Mapping[str, Any]) -> Setup:
        """A copy with some values of ``points``, ``net``, ``learning``, ``seed`` or ``attempt`` replaced."""
        unknown = sorted(map(str, set(values) - {f.name for f in fields(self)}))
        if unknown:
            raise DojoError(f"A classroom has points, net, learning, seed and attempt; got {', '.join(unknown)[:80]}.")
        new: dict[str, Any] = {}
        for name, value in values.items():
            if name in ("seed", "attempt"):
                new[name] = value
                continue
            if not isinstance(value, Mapping):
                raise DojoError(f"The part {name} of a classroom is a table of options; got {str(value)[:40]!r}.")
            before = getattr(self, name)
            plain, rows = {**_plain(before), **value}, value.get("rows", getattr(before, "rows", ()))
            plain.pop("rows", None)
            part: Any = checked(type(before), plain)
            new[name] = replace(part, rows=_rows(rows)) if name == "points" else part
        return replace(self, **new)

    def with_(self, **values: Any) -> Setup:
        """A copy with options replaced by their names, whichever part they belong to."""
        parts: dict[str, Any] = {}
        for name, value in values.items():
            owner = next((p for p in PARTS if name in {f.name for f in fields(getattr(self, p))}), None)
            if owner is None:
                parts[name] = value
            else:
                parts.setdefault(owner, {})[name] = value
        return self.changed(parts)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for TOML and JSON; `of` reads them."""
        return {
            "points": _plain(self.points),
            "net": _plain(self.net),
            "learning": _plain(self.learning),
            "seed": self.seed,
            "attempt": self.attempt,
        }


def _plain(part: Any) -> dict[str, Any]:
    values = {k: v for k, v in asdict(part).items() if v is not None}
    if not values.get("rows", True):
        del values["rows"]
    return values


def _rows(rows: Any) -> tuple[Any, ...]:
    if not isinstance(rows, list | tuple):
        raise DojoError("Points of one's own are a list of x, y and class.")
    return tuple(rows)


def _units(hidden: Iterable[Any]) -> tuple[int, ...]:
    """Whole numbers 1 to 32, at most 8 of them; (0,) and "none" mean no hidden layer."""
    given = [str(units).strip().lower() for units in hidden]
    if given in ([], ["0"], [""], ["none"]):
        return ()
    try:
        units = tuple(int(text) for text in given)
    except ValueError:
        units = ()
    if len(units) != len(given) or len(units) > MOST_LAYERS or not all(1 <= n <= MOST_UNITS for n in units):
        raise DojoError(
            f"Hidden layers are at most {MOST_LAYERS} whole numbers from 1 to {MOST_UNITS}, as 8,8; "
            f"got {','.join(given)[:60]}."
        )
    return units
