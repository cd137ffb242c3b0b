"""The settings of a classroom session: points, network, training. Frozen values, each option declared once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal, Self

from napari_dojo.errors import DojoError
from napari_dojo.settings import Option, checked

__all__ = ["FEATURES", "TITLES", "BaseSetup", "Learning", "NetShape", "PointSet", "Setup", "units_of"]

MOST_LAYERS, MOST_UNITS, MOST_CLASSES, MOST_POINTS = 8, 32, 8, 10_000
LONGEST_FORMULA = 200
NUMBERS = ("plane", "hills", "curve")  # the point sets for regression

# The possible inputs of the network, as numpy code.
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
    "custom": "custom points",
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
    "random": "random normal",
    "zero": "zeros",
    "max": "2 x 2 max",
    "global": "whole map",
    "none": "no pooling",
}


@dataclass(frozen=True)
class PointSet:
    """The points. ``rows`` are custom points: x, y and the class (or the target value)."""

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
            "custom",
        ],
        Option("Points", "The data set: how the points are distributed."),
    ] = "line"
    training: Annotated[int, Option("Training", "Number of points that the weights are fitted to.", 1, MOST_POINTS)] = (
        500
    )
    validation: Annotated[
        int,
        Option("Validation", "Number of points used to compare settings; no weight is fitted to them.", 0, MOST_POINTS),
    ] = 200
    test: Annotated[int, Option("Test", "Number of points for the final score.", 0, MOST_POINTS)] = 200
    noise: Annotated[
        float | None,
        Option(
            "Noise",
            "How far the points scatter; for regression, how far the values do. Empty: the default of the data set.",
            0,
            10,
        ),
    ] = None
    label_noise: Annotated[float, Option("Label noise", "Fraction of the points that get a wrong label.", 0, 0.5)] = 0.0
    classes: Annotated[int, Option("Classes", "Number of clusters, one per class.", 2, MOST_CLASSES)] = 4
    formula: Annotated[
        str, Option("Formula", 'Class 1 is where it is true, for example "y < 2x² - 0.4" or "x² + y² < 0.5".')
    ] = ""
    zscore: Annotated[
        bool,
        Option("z-score", "Scale the coordinates so that the training points have mean 0 and standard deviation 1."),
    ] = False
    rows: tuple[tuple[float, float, float], ...] = ()

    def __post_init__(self) -> None:
        if len(self.formula) > LONGEST_FORMULA:
            raise DojoError(f"A formula has at most {LONGEST_FORMULA} characters; got {len(self.formula)}.")
        if len(self.rows) > MOST_POINTS:
            raise DojoError(f"At most {MOST_POINTS} custom points are allowed; got {len(self.rows)}. Remove some.")
        try:
            rows = tuple((float(x), float(y), float(v)) for x, y, v in self.rows)
        except (TypeError, ValueError, OverflowError):
            raise DojoError("Each custom point needs x, y and its class; one of them does not have them.") from None
        # The squares of larger coordinates overflow.
        if any(not abs(v) <= 1e100 for row in rows for v in row):
            raise DojoError("Custom points need finite coordinates; one of them has others. Remove it.")
        object.__setattr__(self, "rows", rows)

    @property
    def n_classes(self) -> int:
        """The number of classes; 0 for regression."""
        if self.kind in NUMBERS:
            return 0
        if self.kind == "clusters":
            return self.classes
        if self.kind == "custom" and self.rows:
            values = [v for _, _, v in self.rows]
            whole = all(v == int(v) and 0 <= v < MOST_CLASSES for v in values)
            return max(2, int(max(values)) + 1) if whole else 0
        return 2


@dataclass(frozen=True)
class NetShape:
    """The architecture of the network."""

    inputs: Annotated[
        tuple[str, ...], Option("Inputs", f"The inputs of the network: some of {', '.join(FEATURES)}.")
    ] = ("x", "y")
    hidden: Annotated[
        tuple[int, ...],
        Option(
            "Hidden layers",
            f"Units of each hidden layer, such as 8,8; 0 for none; at most {MOST_LAYERS} layers of {MOST_UNITS} units.",
        ),
    ] = ()
    activation: Annotated[
        Literal["linear", "sigmoid", "tanh", "relu", "leaky_relu"],
        Option("Activation", "The function that hidden units apply to their weighted sum."),
    ] = "relu"
    output: Annotated[
        Literal["sigmoid", "softmax", "linear"],
        Option("Output activation", "The function that the output units apply."),
    ] = "sigmoid"
    outputs: Annotated[int, Option("Outputs", "One, or one per class.", 1, MOST_CLASSES)] = 1
    skip: Annotated[bool, Option("Skip connection", "Pass the inputs also directly to the output layer.")] = False
    initializer: Annotated[
        Literal["glorot", "he", "random", "zero"], Option("Initialization", "How the initial weights are drawn.")
    ] = "glorot"

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", units_of(self.hidden))
        inputs = tuple(str(name).strip().replace("²", "2").replace(" ", "_") for name in self.inputs)
        object.__setattr__(self, "inputs", tuple(dict.fromkeys(inputs)))
        unknown = [name for name in self.inputs if name not in FEATURES]
        if unknown or not self.inputs:
            raise DojoError(f"Choose one or more inputs of {', '.join(FEATURES)}; got {', '.join(unknown) or 'none'}.")

    @property
    def widths(self) -> tuple[tuple[int, int], ...]:
        """(inputs, units) of each dense layer; with a skip connection the output layer has more inputs."""
        units = (len(self.inputs), *self.hidden, self.outputs)
        pairs = list(pairwise(units))
        if self.skip and self.hidden:
            pairs[-1] = (pairs[-1][0] + len(self.inputs), self.outputs)
        return tuple(pairs)

    def sources(self, layer: int) -> tuple[str, ...]:
        """The names of a layer's inputs, in the order of its weight rows: input titles, or hidden units h1, h2, ..."""
        inputs = tuple(TITLES.get(name, name) for name in self.inputs)
        if layer == 0:
            return inputs
        units = tuple(f"h{i + 1}" for i in range(self.hidden[layer - 1]))
        return units + inputs if self.skip and layer == len(self.hidden) else units

    @property
    def parameters(self) -> int:
        """The number of weights and biases."""
        return sum(before * units + units for before, units in self.widths)

    @property
    def work(self) -> int:
        """Multiplications for one point."""
        return self.parameters


@dataclass(frozen=True)
class Learning:
    """How the network is trained."""

    loss: Annotated[
        Literal["squared_error", "binary_cross_entropy", "categorical_cross_entropy"],
        Option("Loss", "The function that training minimizes."),
    ] = "binary_cross_entropy"
    optimizer: Annotated[
        Literal["sgd", "momentum", "rmsprop", "adam"],
        Option("Optimizer", "How a gradient becomes a change of the weights."),
    ] = "sgd"
    learning_rate: Annotated[float, Option("Learning rate", "The step size of the optimizer.", 0, 1e12)] = 0.01
    batch_size: Annotated[
        int, Option("Batch size", "Points per update of the weights; 0: all points.", 0, MOST_POINTS)
    ] = 32
    epochs: Annotated[int, Option("Epochs", "Number of passes through all training points.", 1, 100_000)] = 20
    dropout: Annotated[
        float, Option("Dropout", "Fraction of the hidden units that is switched off at random in each update.", 0, 0.9)
    ] = 0.0
    l1: Annotated[float, Option("L1", "Penalty on the absolute values of the weights.", 0, 10)] = 0.0
    l2: Annotated[float, Option("L2", "Penalty on the squares of the weights.", 0, 10)] = 0.0
    patience: Annotated[
        int,
        Option("Early stopping", "Stop after this many epochs without a lower validation loss; 0: never.", 0, 100_000),
    ] = 0

    def __post_init__(self) -> None:
        if not 0 < self.learning_rate < math.inf:
            raise DojoError(f"The learning rate must be above 0; got {self.learning_rate:g}. Try 0.05.")


class BaseSetup:
    """What setups of all kinds do: be made of plain values, and be changed by the names of their options.

    A subclass is a frozen dataclass with the settings classes that ``PARTS`` names, a seed and an attempt.
    """

    PARTS: ClassVar[tuple[str, ...]]
    seed: int
    attempt: int

    def __post_init__(self) -> None:
        for name, most in (("seed", 2**31 - 1), ("attempt", 1000)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
                raise DojoError(f"The {name} must be a whole number from 0 to {most}; got {value!r}.")

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """From plain values by part (TOML, JSON). DojoError if a value is invalid."""
        return cls().changed(values)

    def changed(self, values: Mapping[str, Any]) -> Self:
        """A copy with some values of the parts, ``seed`` or ``attempt`` replaced."""
        unknown = sorted(map(str, set(values) - {*self.PARTS, "seed", "attempt"}))
        if unknown:
            raise DojoError(
                f"This classroom has {', '.join(self.PARTS)}, seed and attempt; got {', '.join(unknown)[:80]}."
            )
        new: dict[str, Any] = {}
        for name, value in values.items():
            if name in ("seed", "attempt"):
                new[name] = value
                continue
            if not isinstance(value, Mapping):
                raise DojoError(f"[{name}] of a classroom must be a table of options; got {str(value)[:40]!r}.")
            new[name] = self._part(getattr(self, name), value)
        return replace(self, **new)  # type: ignore[type-var]

    def _part(self, before: Any, value: Mapping[str, Any]) -> Any:
        """A part with some values replaced."""
        return checked(type(before), {**_plain(before), **value})

    def with_(self, **values: Any) -> Self:
        """A copy with some options replaced, given by name, whichever part they belong to."""
        parts: dict[str, Any] = {}
        for name, value in values.items():
            owner = next((p for p in self.PARTS if name in {f.name for f in fields(getattr(self, p))}), None)
            if owner is None:
                parts[name] = value
            else:
                parts.setdefault(owner, {})[name] = value
        return self.changed(parts)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for TOML and JSON; the inverse of `of`."""
        return {
            **{name: _plain(getattr(self, name)) for name in self.PARTS},
            "seed": self.seed,
            "attempt": self.attempt,
        }

    @property
    def data(self) -> Any:
        """The part that says what the examples are: the first."""
        return getattr(self, self.PARTS[0])

    def flat(self) -> dict[str, Any]:
        """All options by their names."""
        return {name: value for part in self.PARTS for name, value in vars(getattr(self, part)).items()}


@dataclass(frozen=True)
class Setup(BaseSetup):
    """All settings of a session on points. ``attempt`` counts how often new initial weights were drawn."""

    PARTS = ("points", "net", "learning")

    points: PointSet = field(default_factory=PointSet)
    net: NetShape = field(default_factory=NetShape)
    learning: Learning = field(default_factory=Learning)
    seed: int = 0
    attempt: int = 0

    @property
    def parameters(self) -> int:
        """The number of weights and biases."""
        return self.net.parameters

    @property
    def work(self) -> int:
        """Multiplications for one point."""
        return self.net.work

    @property
    def all_parameters(self) -> int:
        """The number of weights and biases."""
        return self.net.parameters

    def _part(self, before: Any, value: Mapping[str, Any]) -> Any:
        if not isinstance(before, PointSet):
            return super()._part(before, value)
        rows = value.get("rows", before.rows)
        part = super()._part(replace(before, rows=()), {k: v for k, v in value.items() if k != "rows"})
        return replace(part, rows=_rows(rows))


def _plain(part: Any) -> dict[str, Any]:
    values = {k: v for k, v in asdict(part).items() if v is not None}
    if not values.get("rows", True):
        del values["rows"]
    return values


def _rows(rows: Any) -> tuple[Any, ...]:
    if not isinstance(rows, list | tuple):
        raise DojoError("Custom points must be a list of x, y and class.")
    return tuple(rows)


def units_of(hidden: Iterable[Any]) -> tuple[int, ...]:
    """The units of up to 8 hidden layers, 1 to 32 each; (0,) and "none" mean no hidden layer."""
    given = [str(units).strip().lower() for units in hidden]
    if given in ([], ["0"], [""], ["none"]):
        return ()
    try:
        units = tuple(int(text) for text in given)
    except ValueError:
        units = ()
    if len(units) != len(given) or len(units) > MOST_LAYERS or not all(1 <= n <= MOST_UNITS for n in units):
        raise DojoError(
            f"Hidden layers must be up to {MOST_LAYERS} whole numbers from 1 to {MOST_UNITS}, such as 8,8; "
            f"got {','.join(given)[:60]}."
        )
    return units
