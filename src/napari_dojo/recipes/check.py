"""What a recipe would do, step by step in plain sentences, and what of it cannot be done. Reads no pixels, loads no network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from napari_dojo.data.kinds import Kind
from napari_dojo.data.normalize import Normalization
from napari_dojo.data.units import unit_text
from napari_dojo.errors import DojoError
from napari_dojo.inference.geometry import Image, Input, resolve
from napari_dojo.inference.tables import MEASUREMENTS, TABLES, UNSURE, class_names
from napari_dojo.io import images
from napari_dojo.io.images import Picture
from napari_dojo.models.card import Card, decoding_of, read_card, settings_of
from napari_dojo.models.library import find
from napari_dojo.recipes.journal import Journal, done_entries
from napari_dojo.recipes.recipe import Classify, Export, Filter, Measure, OfModel, Predict, Recipe, Step
from napari_dojo.recipes.tidy import NO_PYARROW, has_pyarrow, names_of
from napari_dojo.settings import PredictSettings, fields_of
from napari_dojo.tasks import TASKS

__all__ = ["Explained", "explain", "problems", "sentence_of"]

NO_OBJECTS = "No step before has found objects. Put it after a predict step that finds some."
SHOWN = 5  # files with the same problem that are named


@dataclass(frozen=True)
class Explained:
    """What a recipe would do.

    Attributes
    ----------
    sentences : in the order of the steps.
    problems : why it cannot be run at all; empty: it can.
    misfits : (image, why it would be skipped).
    images : how many there are; ``done`` : of those, by an earlier run.
    """

    sentences: tuple[str, ...]
    problems: tuple[str, ...]
    misfits: tuple[tuple[str, str], ...] = ()
    images: int = 0
    done: int = 0

    @property
    def text(self) -> str:
        """All of it, a sentence a line; the same reason for many images is one line."""
        lines = [*self.sentences]
        reasons = Counter(why for _, why in self.misfits)
        for why, n in reasons.most_common():
            names = [name for name, w in self.misfits if w == why]
            more = f" and {n - SHOWN} more" if n > SHOWN else ""
            lines.append(f"Would be skipped: {', '.join(names[:SHOWN])}{more}: {why}")
        lines += [f"Cannot be run: {problem}" for problem in self.problems]
        return "\n".join(lines)


@dataclass
class _There:
    """What the steps before have made: ``found`` : objects or the like, None: nothing yet; ``named`` : the classes of objects."""

    found: Kind | None = None
    images: bool = False
    table: bool = False
    named: tuple[str, ...] = ()

    @property
    def objects(self) -> bool:
        """Whether objects were found."""
        return self.found is not None and self.found.objects


def problems(recipe: Recipe) -> list[str]:
    """Why a recipe cannot be run, whatever its images are; each names the step and its line."""
    found, there = [], _There()
    for number, step in recipe.active:
        try:
            _check_step(recipe, step, there)
        except DojoError as error:
            found.append(f"{_place(number, step)}: {error}")
    active = [s for _, s in recipe.active]
    if not any(isinstance(s, Predict) for s in active):
        found.append("No step applies a model. Add a predict step.")
    if sum(isinstance(s, Export) for s in active) > 1 or (
        Export in map(type, active) and not isinstance(active[-1], Export)
    ):
        found.append("There is one export step, the last of all steps. Put it there, and remove others.")
    elif Export not in map(type, active) and there.found is None:
        found.append("Nothing would be written, because no step finds objects. Add an export step with images: true.")
    return found


def explain(recipe: Recipe, most: int | None = None) -> Explained:
    """What a recipe would do with its images; their sizes and axes are read, their pixels are not.

    Parameters
    ----------
    most : this many images are looked at, evenly spread over all; None: all.
    """
    wrong = problems(recipe)
    about = [_place_sentence(recipe, n, step) for n, step in recipe.active]
    try:
        files = recipe.files.files(recipe.base, recipe.folder)
    except DojoError as error:
        return Explained(tuple(about), (*wrong, str(error)))
    done = done_entries(Journal(recipe.folder), files)
    left = [i for i in range(len(files)) if i not in done]
    looked = left if most is None or len(left) <= most else [left[k * len(left) // most] for k in range(most)]
    names = names_of(files)
    misfits, first = [], ""
    for i in looked:
        try:
            picture = images.read(files[i], lazy_above=0)
            first = first or f"{names[i]}: {_looks(picture, recipe.axes)}"
            if not wrong:
                _walk(recipe, Image(names[i], replace(picture, path=files[i]), recipe.axes))
        except DojoError as error:
            misfits.append((names[i], _without_name(str(error), files[i].name)))
    counted = f"{len(files):,} image{'s' * (len(files) != 1)}"
    begin = [f"{counted} in {', '.join(recipe.files.inputs)}" + (f"; the first, {first}." if first else ".")]
    return Explained(
        (*begin, *about, *_ending(recipe, len(files), len(done), len(misfits), len(looked))),
        tuple(wrong),
        tuple(misfits),
        len(files),
        len(done),
    )


def sentence_of(recipe: Recipe, step: Step) -> str:
    """What a step does, in plain words."""
    if isinstance(step, OfModel):
        return _of_model(recipe, step)
    if isinstance(step, Filter):
        return _of_filter(step)
    if isinstance(step, Measure):
        where = "the image as it was read" if step.image == "input" else "the predicted image"
        looks = any(m.intensity and m.name in step.columns for m in MEASUREMENTS)
        columns = ", ".join(c.replace("_", " ") for c in step.columns)
        return f"Measure area, place{', ' if columns else ''}{columns}" + (
            f"; intensities in {where}." if looks else "."
        )
    if isinstance(step, Export):
        each = [word for word, on in _FILES if getattr(step, on)]
        table = f"one table of all objects (objects.{step.table})" if step.table != "none" else ""
        parts = [f"for each image {_listed(each)}" if each else "", table]
        return f"Write {'; '.join(p for p in parts if p)}." if each or table else "Write nothing."
    raise AssertionError(step)


_FILES = (
    ("labels (TIFF)", "labels"),
    ("the predicted image (TIFF)", "images"),
    ("ROIs (zip)", "rois"),
    ("a table (CSV)", "tables"),
)


def _of_model(recipe: Recipe, step: OfModel) -> str:
    try:
        card = read_card(find(recipe.model(step)))
    except DojoError:
        return f"Apply the model {step.model}."
    kind = TASKS[card.task].result
    if not kind.dense:
        return f"Give each object a class by {step.model}: {_listed(list(class_names(card).values()))}."
    channels = f"{card.own_channels} channel{'s' * (card.own_channels != 1)}"
    said = {k: v for k, v in step.values().items() if k != "model"}
    chosen = ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in said.items())
    how = f" ({chosen})" if chosen else ""
    return f"Apply {step.model}{how}: {TASKS[card.task].title.lower()}; takes {channels}, gives {kind.gives}."


def _of_filter(step: Filter) -> str:
    ends = []
    for r in step.limits.ranges:
        name = r.column.replace("_", " ")
        both = r.low is not None and r.high is not None
        ends.append(
            f"{name} from {r.low:g} to {r.high:g}"
            if both
            else f"{name} of {r.low:g} or more"
            if r.low is not None
            else f"{name} of {r.high:g} or less"
        )
    parts = [
        "remove objects that touch the border" if step.limits.border else "",
        f"keep objects with {_listed(ends)}" if ends else "",
        f"keep the classes {_listed(list(step.classes))}" if step.classes else "",
    ]
    text = "; ".join(p for p in parts if p) or "keep all objects"
    return text[0].upper() + text[1:] + "."


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _ending(recipe: Recipe, images_: int, done: int, misfits: int, looked: int) -> Iterator[str]:
    out = recipe.out or "(no folder is named)"
    if Export not in (type(s) for _, s in recipe.active):
        yield sentence_of(recipe, Export())
    yield f"Results go to {out}; subfolders of the images are kept."
    if done:
        yield f"{done:,} of {images_:,} images were done by an earlier run and are kept."
    some = "" if looked == images_ - done else f" of {looked:,} images that were looked at"
    yield f"{misfits:,}{some} would be skipped." if misfits else f"All{some or ' images'} fit."


def _place(number: int, step: Step) -> str:
    return f"Step {number} ({step.word}{f', line {step.line}' if step.line else ''})"


def _place_sentence(recipe: Recipe, number: int, step: Step) -> str:
    return f"{number}. {sentence_of(recipe, step)}"


def _checked_card(recipe: Recipe, step: OfModel) -> Card:
    """The card of a step's model; DojoError where there is none, or a value means nothing for it."""
    card = read_card(find(recipe.model(step)))
    own = asdict(decoding_of(card))
    task = TASKS[card.task]
    asked, meant = ({f.name for f in fields} for fields in (fields_of(PredictSettings), settings_of(card)))
    if useless := [k for k in step.values() if k in asked - meant]:
        raise DojoError(f"{useless[0]} is not for {step.model} ({task.name}). Remove it.")
    if foreign := [k for k in step.decoding if k not in own]:
        known = ", ".join(f.name for f in fields_of(task.decoding)) or "none"
        raise DojoError(f"{step.model} ({task.name}) has no {foreign[0]!r} to decode with. Choose among: {known}.")
    decoding_of(card, step.decoding)
    return card


def _check_step(recipe: Recipe, step: Step, there: _There) -> None:
    """DojoError where a step cannot be done after those before it; else what it makes is there, too."""
    if isinstance(step, Classify):
        there.named = _checked_classes(recipe, step, there)
    elif isinstance(step, Predict):
        _check_predict(recipe, step, there)
    elif isinstance(step, Filter):
        _check_filter(step, there)
    elif isinstance(step, Measure):
        if there.found not in TABLES:
            raise DojoError(NO_OBJECTS)
        there.table = True
    elif isinstance(step, Export):
        _check_export(step, there)


def _check_predict(recipe: Recipe, step: Predict, there: _There) -> None:
    kind = TASKS[_checked_card(recipe, step).task].result
    if not kind.dense:
        raise DojoError("This model classifies. Write classify instead of predict, after a step that finds objects.")
    if kind.intensities:
        there.images = True
        return
    if there.found is not None:
        raise DojoError("An earlier step has found objects or classes already. Make a second recipe for these.")
    there.found = kind


def _checked_classes(recipe: Recipe, step: Classify, there: _There) -> tuple[str, ...]:
    """The names of the classes."""
    card = _checked_card(recipe, step)
    if TASKS[card.task].result.dense:
        raise DojoError(
            "This model does not classify objects. Write predict instead of classify, or name another model."
        )
    if not there.objects:
        raise DojoError(NO_OBJECTS)
    return (*class_names(card).values(), UNSURE)


def _check_filter(step: Filter, there: _There) -> None:
    if not there.objects:
        raise DojoError(NO_OBJECTS)
    if step.classes and not there.named:
        raise DojoError(
            "Objects have no classes yet: no step before classifies them. Add a classify step, or remove classes."
        )
    wrong = next((c for c in step.classes if c not in there.named), None)
    if wrong is not None:
        raise DojoError(f"There is no class {wrong!r}. Choose among {', '.join(there.named)}.")


def _check_export(step: Export, there: _There) -> None:
    if there.found is None and not (step.images and there.images):
        raise DojoError(
            "Nothing would be written, because no step finds objects. Write the predicted images: images: true."
        )
    if step.images and not there.images:
        raise DojoError("No step predicts an image. Remove images: true.")
    if step.tables and not there.table:
        raise DojoError("Tables need a measure step. Add one before, or remove tables: true.")
    if step.table == "parquet" and not has_pyarrow():
        raise DojoError(NO_PYARROW)


def _walk(recipe: Recipe, image: Image) -> None:
    """Take an image through the steps by its shape alone; DojoError where a model does not fit."""
    first = image
    for number, step in recipe.active:
        if not isinstance(step, OfModel):
            continue
        card = read_card(find(recipe.model(step)))
        try:
            raw = isinstance(step, Classify) and step.image == "input"
            given = _resolved(card, first if raw else image, step)
        except DojoError as error:
            raise DojoError(f"step {number}: {error}") from error
        if TASKS[card.task].result.intensities:
            image = _predicted(card, given, image)


def _resolved(card: Card, image: Image, step: OfModel) -> Input:
    """How a model takes an image; its numbers, which would be measured on its pixels, are made up."""
    made_up = Normalization((0.0,) * card.channels, (1.0,) * card.channels)
    settings = replace(step.settings, frames="each")  # a series is not looked at
    return resolve(card, replace(image, numbers=made_up), settings)


def _predicted(card: Card, given: Input, image: Image) -> Image:
    """An image of the shape that a model predicts, without memory."""
    kind, shape = TASKS[card.task].result, given.array.shape
    channels = kind.predicted_channels(len(card.maps), "C" in given.axes.names, given.axes.own_channels(shape))
    scale = [card.upsampling.get(a, 1) for a in given.axes.spatial]
    axes, size = kind.predicted(given.axes, shape, channels, scale)
    empty = np.broadcast_to(np.zeros((), np.float32), size)
    pixel_size = card.predicted_size(given.pixel_size)
    return Image(image.name, Picture(empty, axes.names, pixel_size=pixel_size, unit=given.unit), axes.names)


def _looks(picture: Picture, axes: str | None) -> str:
    shape = " x ".join(map(str, picture.data.shape))
    names = axes or picture.axes
    size = f", {picture.pixel_size[-1]:.3g} {unit_text(picture.unit)} a pixel" if picture.pixel_size else ""
    return f"{shape}{f' ({names})' if names else ''} {picture.data.dtype}{size}"


def _without_name(text: str, name: str) -> str:
    """A reason without the name of the image before it, so that the same ones can be counted."""
    return text.removeprefix(f"{name} ").removeprefix(f"{name}: ")
