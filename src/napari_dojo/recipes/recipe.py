"""What a recipe is, and how it is read from YAML and written to it. Plain values: reading one runs no code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NoReturn, Self

import yaml

from napari_dojo.errors import DojoError
from napari_dojo.inference.filters import Limits, Range, is_measurement
from napari_dojo.inference.tables import MEASUREMENTS, USUAL, chosen_measurements
from napari_dojo.io.atomic import write_safely
from napari_dojo.io.remote import address, full_path
from napari_dojo.io.selection import Selection
from napari_dojo.models.plain_yaml import plain_yaml
from napari_dojo.settings import Option, PredictSettings, checked, fields_of
from napari_dojo.tasks import TASKS

__all__ = [
    "OTHER_RECIPE",
    "STEPS",
    "Classify",
    "Export",
    "Filter",
    "Measure",
    "OfModel",
    "Predict",
    "Recipe",
    "Step",
    "parsed",
    "read_recipe",
    "text_of",
    "write_recipe",
]

OTHER_RECIPE = "other recipe"  # code of the error for results that another one made

VERSION = 1
LONGEST = 2_000_000  # bytes of a recipe
SIZES = ("area", "volume")
IN_PX = (*SIZES, *(m.name for m in MEASUREMENTS if m.length))  # columns that have a unit, px unless another is named


@dataclass(frozen=True)
class Step:
    """What all steps have: ``enabled`` False is left out when the recipe runs; ``line`` is its place in the file."""

    word: ClassVar[str] = ""

    enabled: bool = field(default=True, kw_only=True)
    line: int = field(default=0, compare=False, kw_only=True)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Step:
        """The step of plain values; DojoError where one is not allowed."""
        raise NotImplementedError

    def values(self) -> dict[str, Any]:
        """Plain values in the order of the file, without those that are as usual."""
        raise NotImplementedError


@dataclass(frozen=True)
class OfModel(Step):
    """A step that applies a model.

    Attributes
    ----------
    model : a folder, a zip, or the name of a model.
    settings : how it is applied. ``decoding`` : values in place of the model's own.
    """

    model: str
    settings: PredictSettings = field(default_factory=PredictSettings)
    decoding: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """From ``model``, the options of `PredictSettings`, and values of decoding."""
        given = dict(values)
        model = given.pop("model", None)
        if not isinstance(model, str) or not model:
            raise DojoError("A model is needed: its folder or its name, such as model: nuclei-fluorescence.")
        known = {f.name for f in fields_of(PredictSettings)}
        settings = checked(PredictSettings, {k: v for k, v in given.items() if k in known})
        return cls(model, settings, {k: v for k, v in given.items() if k not in known})

    @staticmethod
    def keys() -> list[str]:
        """What may be said of it."""
        decoding = dict.fromkeys(f.name for task in TASKS.values() for f in fields_of(task.decoding))
        return ["model", *(f.name for f in fields_of(PredictSettings)), *decoding]

    def values(self) -> dict[str, Any]:
        """The model, and what is not as usual."""
        return {"model": self.model, **_unusual(self.settings), **self.decoding}


@dataclass(frozen=True)
class Predict(OfModel):
    """Apply a model to the image as the steps before left it."""

    word: ClassVar[str] = "predict"


@dataclass(frozen=True)
class Classify(OfModel):
    """Give each object a class, with a model that was trained to classify objects. ``image`` : what it looks at."""

    word: ClassVar[str] = "classify"

    image: Literal["input", "predicted"] = "input"

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """As of `OfModel`, and ``image``."""
        given = dict(values)
        image = given.pop("image", "input")
        if image not in ("input", "predicted"):
            raise DojoError(f"image is input (as it was read) or predicted; got {image!r}.")
        return replace(super().of(given), image=image)

    @staticmethod
    def keys() -> list[str]:
        """What may be said of it."""
        return [*OfModel.keys(), "image"]

    def values(self) -> dict[str, Any]:
        """The model, and what is not as usual."""
        return {**super().values(), **({} if self.image == "input" else {"image": self.image})}


@dataclass(frozen=True)
class Filter(Step):
    """Remove objects. The others keep their numbers.

    Attributes
    ----------
    limits : what objects must fulfil to stay.
    classes : of which classes they must be; none named: any. Needs a classify step.
    """

    word: ClassVar[str] = "filter"

    limits: Limits = field(default_factory=Limits)
    classes: tuple[str, ...] = ()

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Filter:
        """From ``border``, ``classes``, and columns of the table with ``min`` and ``max``."""
        given = dict(values)
        border, classes = given.pop("border", False), given.pop("classes", ())
        if not isinstance(border, bool):
            raise DojoError(f"border is true (objects that touch the border are removed) or false; got {border!r}.")
        if isinstance(classes, str) or not all(isinstance(c, str) for c in classes or ()):
            raise DojoError(f"classes is a list of names, one a line; got {classes!r}.")
        return cls(Limits(border, tuple(_range(k, v) for k, v in given.items())), tuple(classes or ()))

    @staticmethod
    def keys() -> list[str]:
        """What may be said of it, beside columns with a unit or a channel."""
        return ["border", "classes", *SIZES, *(m.name for m in MEASUREMENTS)]

    def values(self) -> dict[str, Any]:
        """What is not as usual."""
        ends = {r.column: {"min": r.low, "max": r.high} for r in self.limits.ranges}
        found: dict[str, Any] = {"border": True} if self.limits.border else {}
        found |= {"classes": self.classes} if self.classes else {}
        return found | {k: {n: v for n, v in e.items() if v is not None} for k, e in ends.items()}


@dataclass(frozen=True)
class Measure(Step):
    """Measure each object, or each class: one row."""

    word: ClassVar[str] = "measure"

    columns: Annotated[tuple[str, ...], Option("Columns", "What is measured beside number, place and area.")] = USUAL
    image: Annotated[
        Literal["input", "predicted"],
        Option(
            "Intensities of",
            "Measure intensities in all channels of the image as it was read, or in the last predicted image.",
            words=("the image", "the predicted image"),
        ),
    ] = "input"

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Measure:
        """From the options."""
        made: Any = checked(cls, values)
        return replace(made, columns=chosen_measurements([c for c in made.columns if c not in SIZES]))

    @staticmethod
    def keys() -> list[str]:
        """What may be said of it."""
        return [f.name for f in fields_of(Measure)]

    def values(self) -> dict[str, Any]:
        """All of them, so that the file says what is measured."""
        return {f.name: getattr(self, f.name) for f in fields_of(Measure)}


@dataclass(frozen=True)
class Export(Step):
    """What is written for each image, and over all of them."""

    word: ClassVar[str] = "export"

    labels: Annotated[bool, Option("Labels", "A TIFF of the labels of each image.")] = True
    images: Annotated[
        bool, Option("Images", "A TIFF of the predicted image of each image, such as the denoised one.")
    ] = False
    rois: Annotated[bool, Option("ROIs", "The outlines of each image for ImageJ's ROI Manager (zip).")] = False
    tables: Annotated[bool, Option("Tables", "A table (CSV) of the objects of each image.")] = False
    table: Annotated[
        Literal["csv", "parquet", "none"],
        Option(
            "One table of all",
            "One table with a row for each object of all images: objects.csv, or objects.parquet, which needs pyarrow.",
            words=("CSV", "Parquet", "none"),
        ),
    ] = "csv"

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Export:
        """From the options."""
        return checked(cls, values)

    @staticmethod
    def keys() -> list[str]:
        """What may be said of it."""
        return [f.name for f in fields_of(Export)]

    def values(self) -> dict[str, Any]:
        """All of them, so that the file says what is written."""
        return {f.name: getattr(self, f.name) for f in fields_of(Export)}


STEPS: dict[str, type[Predict | Classify | Filter | Measure | Export]] = {
    s.word: s for s in (Predict, Classify, Filter, Measure, Export)
}


@dataclass(frozen=True)
class Recipe:
    """Steps on files.

    Attributes
    ----------
    files : the images; ``axes`` of them, as a person names them.
    out : the folder of the results; None: named on the command line.
    steps : in their order, those that are not enabled among them.
    base : what relative paths start from: the folder of the file.
    """

    files: Selection = field(default_factory=lambda: Selection(()))
    axes: str | None = None
    out: str | None = None
    steps: tuple[Step, ...] = ()
    base: Path = field(default=Path(), compare=False)

    @property
    def active(self) -> list[tuple[int, Step]]:
        """The steps that are done, with their numbers from 1."""
        return [(i, s) for i, s in enumerate(self.steps, 1) if s.enabled]

    @property
    def folder(self) -> Path:
        """Where results go; DojoError where none is named."""
        if not self.out:
            raise DojoError(
                "The recipe names no folder for the results. Add a line out: FOLDER, or name it with --out."
            )
        return self.base / Path(self.out).expanduser()

    def chosen(
        self,
        inputs: Sequence[str] | None = None,
        include: Sequence[str] | None = None,
        exclude: Sequence[str] | None = None,
        axes: str | None = None,
        out: Path | None = None,
    ) -> Recipe:
        """With what was said on the command line in place of what the file says; these paths start from the current folder."""
        files = self.files
        if inputs is not None:
            files = replace(files, inputs=tuple(address(full_path(p)) for p in inputs))
        files = replace(files, include=tuple(include or files.include), exclude=tuple(exclude or files.exclude))
        folder = self.out if out is None else str(out.expanduser().absolute())
        return replace(self, files=files, axes=axes or self.axes, out=folder)

    def beside(self, folder: Path) -> Recipe:
        """The same for a file in this folder: paths in it are relative, so that the folder can be moved or shared; others are full."""

        def named(path: str) -> str:
            full = full_path(path, self.base)
            inside = full.is_relative_to(folder.absolute())
            return full.relative_to(folder.absolute()).as_posix() if inside else address(full)

        files = replace(self.files, inputs=tuple(map(named, self.files.inputs)))
        return replace(self, files=files, out=named(self.out) if self.out else None, base=folder)

    def model(self, step: OfModel) -> str:
        """The model of a step: a path beside the recipe where there is one, else its name."""
        beside = self.base / Path(step.model).expanduser()
        return str(beside) if beside.exists() else step.model

    @property
    def export(self) -> Export:
        """What is written; as usual where the recipe does not say."""
        return next((s for _, s in self.active if isinstance(s, Export)), Export())


def read_recipe(path: str | Path) -> Recipe:
    """The recipe of a file.

    Raises
    ------
    DojoError : it is missing or no recipe; the line is named.
    """
    path = Path(path).expanduser()
    try:
        with path.open("rb") as file:
            raw = file.read(LONGEST + 1)
    except OSError as error:
        raise DojoError(f"The recipe {path} cannot be read ({error.strerror or error}). Check the path.") from error
    return replace(parsed(raw, path.name), base=path.parent)


def write_recipe(path: Path, recipe: Recipe) -> None:
    """Write a recipe so that it is there whole or not at all; DojoError where it cannot be written."""
    write_safely(path, text_of(recipe).encode())


def text_of(recipe: Recipe) -> str:
    """A recipe as YAML: one value a line, always in the same order, without what is as usual."""
    about: dict[str, Any] = {"recipe": VERSION}
    files = recipe.files
    if files.inputs:
        about["input"] = list(files.inputs)
    for name in ("include", "exclude"):
        if patterns := getattr(files, name):
            about[name] = list(patterns)
    if not files.subfolders:
        about["subfolders"] = False
    about |= {k: v for k, v in (("axes", recipe.axes), ("out", recipe.out)) if v}
    about["steps"] = [
        {s.word: {**({} if s.enabled else {"enabled": False}), **_plain(s.values())}} for s in recipe.steps
    ]
    text: str = yaml.safe_dump(about, sort_keys=False, default_flow_style=False, allow_unicode=True, width=10**6)
    return text


def parsed(raw: bytes, name: str = "the recipe") -> Recipe:
    """The recipe of a YAML document; DojoError with the line where it is none. ``name`` : of the file, for messages."""
    try:
        if len(raw) > LONGEST:
            raise ValueError(f"it has more than {LONGEST:,} bytes")
        values = plain_yaml(raw)
        root = yaml.compose(raw, yaml.SafeLoader)
    except (ValueError, yaml.YAMLError) as error:
        mark = getattr(error.__cause__ or error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark is not None else ""
        problem = getattr(error.__cause__ or error, "problem", None) or str(error).splitlines()[0]
        raise DojoError(
            f"{name}{where}: this is no YAML ({problem}). Check colons, dashes and indents there."
        ) from error
    return _Reader(name)._recipe(values, root)


@dataclass(frozen=True)
class _Reader:
    """Reads the values of a document, with its nodes for the lines."""

    name: str

    def _no(self, node: Any, why: str) -> NoReturn:
        raise DojoError(f"{self.name}, line {node.start_mark.line + 1 if node is not None else 1}: {why}")

    def _map(self, values: Any, node: Any, what: str, keys: Sequence[str]) -> dict[str, tuple[Any, Any]]:
        """(key node, value node) by key; keys are known, and there once."""
        if not isinstance(values, dict):
            self._no(node, f"{what} must be lines of the form key: value.")
        found: dict[str, tuple[Any, Any]] = {}
        for key, value in node.value:
            if key.value in found:
                self._no(key, f"{key.value} is there twice. Remove one of the two.")
            if key.value not in keys and not (what == Filter.word and is_measurement(key.value)):
                near = get_close_matches(key.value, keys, 1)
                meant = f"Did you mean {near[0]}?" if near else f"Choose among {', '.join(keys)}."
                self._no(key, f"{what} has no key {key.value!r}. {meant}")
            found[key.value] = (key, value)
        return found

    def _recipe(self, values: Any, root: Any) -> Recipe:
        keys = ("recipe", "input", "include", "exclude", "subfolders", "axes", "out", "steps")
        nodes = self._map(values, root, "a recipe", keys)
        if values.get("recipe") != VERSION:
            self._no(
                nodes.get("recipe", (root,))[0],
                f"A recipe starts with recipe: {VERSION}. Update napari-dojo for newer ones.",
            )
        lists = {k: self._texts(values.get(k), nodes.get(k), k) for k in ("input", "include", "exclude")}
        subfolders = values.get("subfolders", True)
        if not isinstance(subfolders, bool):
            self._no(nodes["subfolders"][0], "subfolders is true or false.")
        for key in ("axes", "out"):
            if values.get(key) is not None and not isinstance(values[key], str):
                self._no(nodes[key][0], f"{key} must be a text; got {values[key]!r}.")
        steps = self._steps(values.get("steps"), nodes.get("steps", (root, root)))
        files = Selection(lists["input"], lists["include"], lists["exclude"], subfolders)
        return Recipe(files, values.get("axes"), values.get("out"), steps)

    def _texts(self, value: Any, nodes: Any, key: str) -> tuple[str, ...]:
        """A list of texts, or one."""
        found = [value] if isinstance(value, str) else value or []
        if not isinstance(found, list) or not all(isinstance(v, str) for v in found):
            self._no(nodes[0], f"{key} must be a path or pattern, or a list of them, one a line.")
        return tuple(found)

    def _steps(self, values: Any, nodes: Any) -> tuple[Step, ...]:
        if not isinstance(values, list) or not values:
            self._no(nodes[0], f"steps must be a list of {', '.join(STEPS)}, each with a dash before it.")
        return tuple(self._step(v, n) for v, n in zip(values, nodes[1].value, strict=True))

    def _step(self, value: Any, node: Any) -> Step:
        if isinstance(value, str):  # "- measure"
            value = {value: None}
        if not isinstance(value, dict) or len(value) != 1:
            self._no(
                node, "A step is one of " + ", ".join(STEPS) + ", such as - measure: with its keys indented below."
            )
        word, given = next(iter(value.items()))
        if word not in STEPS:
            near = get_close_matches(str(word), STEPS, 1)
            meant = f"Did you mean {near[0]}?" if near else f"Choose among {', '.join(STEPS)}."
            self._no(node, f"There is no step {word!r}. {meant}")
        kind, inner = STEPS[word], node.value[0][1] if not isinstance(node.value, str) else None
        nodes = {} if given is None else self._map(given, inner, word, ["enabled", *kind.keys()])
        given = dict(given or {})
        enabled = given.pop("enabled", True)
        if not isinstance(enabled, bool):
            self._no(nodes["enabled"][0], "enabled is true or false.")
        try:
            made = kind.of(given)
        except DojoError as error:
            key = next((k for k in given if _refused(kind, given, k)), None)
            self._no(nodes[key][0] if key in nodes else node, f"{word}: {error}")
        return replace(made, enabled=enabled, line=node.start_mark.line + 1)


def _refused(kind: Any, given: Mapping[str, Any], key: str) -> bool:
    """Whether it is this value that is not allowed."""
    try:
        kind.of({k: v for k, v in given.items() if k in (key, "model")})
    except DojoError:
        return True
    return False


def _range(feature: str, value: Any) -> Range:
    column = f"{feature}_px" if feature in IN_PX else feature
    ends = value if isinstance(value, dict) else {}
    numbers = [v for v in ends.values() if isinstance(v, (int, float)) and not isinstance(v, bool)]
    if not ends or set(ends) - {"min", "max"} or len(numbers) < len(ends):
        raise DojoError(f"{feature} needs a number for min, for max, or for both; got {value!r}.")
    low, high = (None if ends.get(k) is None else float(ends[k]) for k in ("min", "max"))
    if low is not None and high is not None and low > high:
        raise DojoError(f"min of {feature} is larger than max: {low:g} and {high:g}.")
    return Range(column, low, high)


def _unusual(values: Any) -> dict[str, Any]:
    """The options of a settings object that are not as usual."""
    declared = {f.name: f.default for f in fields_of(type(values))}
    return {
        f.name: v for f in fields(values) if f.name in declared and (v := getattr(values, f.name)) != declared[f.name]
    }


def _plain(value: Any) -> Any:
    """Tuples as lists, whole numbers without fraction."""
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(v) for v in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
