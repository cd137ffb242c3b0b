"""A recipe on its images: one image after the other through all steps, in memory, by the apply loop.

What is done is written to a journal image by image, so that a run that was stopped continues where it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_dojo.data.kinds import Kind
from napari_dojo.errors import DojoError, explained
from napari_dojo.events import Control, Done, Event, Message, Progress, Skipped, StoppedError, among, changed
from napari_dojo.inference.apply import SHARE, Turn, over_images, writing
from napari_dojo.inference.geometry import Image, resolve
from napari_dojo.inference.sinks import Stored
from napari_dojo.inference.sources import FileSource
from napari_dojo.inference.tables import count_in, write_csv
from napari_dojo.inference.tiff_sink import TiffSink, file_mark, further_files, write_prediction
from napari_dojo.io.plates import field_of
from napari_dojo.io.rois import write_rois
from napari_dojo.models.card import Card, Folder, decoding_of, read_card
from napari_dojo.models.library import find
from napari_dojo.recipes.check import problems
from napari_dojo.recipes.journal import Entry, Journal, done_entries
from napari_dojo.recipes.recipe import Classify, Export, Filter, Measure, OfModel, Recipe, text_of, write_recipe
from napari_dojo.recipes.state import Found, State, classified, filtered, measured, to_classify
from napari_dojo.recipes.tidy import joined, names_of, rows_of, write_parquet, write_skipped
from napari_dojo.tasks import TASKS

if TYPE_CHECKING:
    from napari_dojo.inference.predict import Ready

__all__ = ["SKIPPED", "TABLE", "in_images", "run"]

TABLE, SKIPPED, COPY = "objects", "skipped.csv", "recipe.yaml"

Doing = Callable[[State, Turn], Generator[Event, None, State]]


@dataclass(frozen=True, eq=False)
class _Output:
    """Where the results of each image go, and the journal.

    ``todo`` : which of the images are done now; ``names`` : of all of them, for tables.
    """

    tiff: TiffSink
    export: Export
    journal: Journal
    todo: tuple[int, ...]
    names: list[str]

    @property
    def where(self) -> str:
        """The folder."""
        return self.tiff.where

    def release(self, index: int) -> None:
        """Remove what labels were kept in while they were made."""
        self.tiff.release(self.todo[index])

    def write(self, index: int, state: State) -> Stored:
        """Write the files of an image, and that it is done."""
        at, picture = self.todo[index], state.raw.picture
        number = picture.image + 1 if picture.images > 1 else 0
        file, path = self.tiff.inputs[at], self.tiff.place(at, number)
        stored = Stored(at, state.raw.name, "")
        if self.export.images and (image := state.predicted) is not None:
            beside = path.with_name(f"{path.stem}{_image_end(image.card)}")
            write_prediction(beside, image.card, image.given, image.prediction)
            stored = replace(stored, prediction=str(beside), axes=image.axes.names)
        if state.found is not None:
            stored = self._found(stored, path, state.found, state)
        rows = None
        stored = replace(stored, source=str(file), number=picture.image)
        if state.table is not None and state.found is not None:
            name = f"{self.names[at]} (image {number})" if number else self.names[at]
            rows = rows_of(state.table, name, state.found.kind.objects, field_of(file))
        self.journal.add(file, picture.image, picture.images, stored, rows)
        return stored

    def _found(self, stored: Stored, path: Path, found: Found, state: State) -> Stored:
        if found.kind.objects:
            stored = replace(stored, objects=count_in(found.prediction.array, found.axes))
        if self.export.labels:
            write_prediction(path, found.card, found.given, found.prediction)
            stored = replace(stored, prediction=str(path), axes=found.axes.names)
        if self.export.rois and found.prediction.array.any():
            write_rois(path.with_suffix(".zip"), found.prediction.array, found.axes)
            stored = replace(stored, rois=str(path.with_suffix(".zip")))
        if self.export.tables and state.table is not None:
            write_csv(path.with_suffix(".csv"), state.table)
            stored = replace(stored, table=str(path.with_suffix(".csv")))
        return stored


def run(recipe: Recipe, overwrite: bool = False, control: Control | None = None) -> Iterator[Event]:
    """Do all steps for all images, or continue where an earlier run of the same recipe was stopped.

    Results lie in the recipe's folder ``out``: subfolders of the images are mirrored, ``objects.csv`` (or ``.parquet``) has a row for
    each object of all images, ``skipped.csv`` says which images were skipped and why, ``recipe.yaml`` is a copy of the
    recipe. Events as those of `napari_dojo.inference.apply.over_images`; the facts of Done have ``table`` (its path or
    None) and ``rows``, too, and ``results`` and ``images`` include what was done earlier.

    Parameters
    ----------
    overwrite : replace results of another recipe, or other files in the folder.

    Raises
    ------
    DojoError : the recipe cannot be run, nothing could be done, or a result could not be written.
    """
    began, control = time.monotonic(), control or Control()
    wrong = problems(recipe)
    if wrong:
        more = f" ({len(wrong) - 1} more; `napari-dojo run --check` lists all)" if len(wrong) > 1 else ""
        raise DojoError(f"{wrong[0]}{more}")
    files = recipe.files.files(recipe.base, recipe.folder)
    output, before = _output(recipe, files, overwrite)
    skipped: list[tuple[str, str]] = []
    done: Event | None = None
    if before:
        count = sum(map(len, before.values()))
        yield Message("info", f"{count} of {len(files)} images were done before. Continuing with the others.")
    if output.todo:
        for event in _loop(recipe, output, sum(map(len, before.values())), control):
            if isinstance(event, Skipped):
                skipped.append((event.name, event.reason))
            if isinstance(event, Done):
                done = event
            else:
                yield event
    elif before:
        done = Done(output.where, {"skipped": [], "images": sum(map(len, before.values())), "stopped": False})
    if not isinstance(done, Done):
        return  # stopped with nothing done, which was said
    entries = done_entries(output.journal, files)
    facts = {**done.facts, **_tables(output, [e for i in sorted(entries) for e in entries[i]], skipped)}
    write_recipe(recipe.folder / COPY, recipe.beside(recipe.folder))
    facts["results"] = [e.stored | {"index": i} for i in sorted(entries) for e in entries[i]]
    yield Done(done.result, facts | {"seconds": round(time.monotonic() - began, 2)})


def in_images(events: Iterator[Event]) -> Iterator[Event]:
    """The same events; Progress counts images, not parts of them."""
    for event in events:
        yield (
            Progress(event.done // SHARE, event.total // SHARE)
            if isinstance(event, Progress) and event.total >= SHARE
            else event
        )


def _output(recipe: Recipe, files: Sequence[Path], overwrite: bool) -> tuple[_Output, dict[int, list[Entry]]]:
    """Where results go, and what is there of an earlier run; DojoError where they may not go there."""
    export, out = recipe.export, recipe.folder
    tiff = TiffSink(
        tuple(files), out, True, export.tables, rois=export.rois, also=_also(recipe), together=_together(export)
    )
    journal = Journal(out)
    if not overwrite and not journal.exists:
        replace(tiff, overwrite=False).check()
    tiff.check()
    continued = journal.begin(_made_by(recipe), overwrite)
    before = done_entries(journal, files) if continued else {}
    todo = tuple(i for i in range(len(files)) if i not in before)
    return _Output(tiff, export, journal, todo, names_of(files)), before


def _also(recipe: Recipe) -> tuple[str, ...]:
    """What ends the names of the files with the predicted image of an image, and with its uncertainty."""
    if not recipe.export.images:
        return ()
    ends: tuple[str, ...] = ()
    for _, step in recipe.active:
        if isinstance(step, OfModel) and TASKS[(card := read_card(find(recipe.model(step)))).task].result.intensities:
            image = _image_end(card)
            ends = (image, *(f"{Path(image).stem}{end}" for end in further_files(card, step.settings)))
    return ends  # of the last predicted image


def _together(export: Export) -> tuple[str, ...]:
    """The files that are of all images together."""
    tables = {"csv": (f"{TABLE}.csv",), "parquet": (f"{TABLE}.csv", f"{TABLE}.parquet")}  # one is made of the other
    return (*tables.get(export.table, ()), SKIPPED)


def _image_end(card: Card) -> str:
    return f"{file_mark(card.name)}.tif"


def _made_by(recipe: Recipe) -> dict[str, Any]:
    """What results depend on: the steps, and the weights of the models."""
    models = {}
    for _, step in recipe.active:
        if isinstance(step, OfModel):
            about = Folder(find(recipe.model(step))).description().get("weights", {})
            models[step.model] = str(about.get("pytorch_state_dict", {}).get("sha256", ""))
    steps = text_of(Recipe(axes=recipe.axes, steps=tuple(s for _, s in recipe.active)))
    return {"steps": steps, "models": models}


def _loop(recipe: Recipe, output: _Output, before: int, control: Control) -> Iterator[Event]:
    doing, cores = _prepared(recipe, output)
    sources = [FileSource(output.tiff.inputs[i], recipe.axes, output.names[i]) for i in output.todo]
    yield from over_images(partial(_one, doing, output), sources, output, control, cores, before)


def _prepared(recipe: Recipe, output: _Output) -> tuple[list[Doing], int]:
    """The steps with their models loaded, and the number of cores they may use."""
    from napari_dojo.inference.predict import Ready
    from napari_dojo.models.bundle import load

    doing: list[Doing] = []
    cores = 1
    for number, step in recipe.active:
        if isinstance(step, OfModel):
            bundle = load(find(recipe.model(step)))
            ready = Ready.of(bundle, step.settings, decoding_of(bundle.card, step.decoding))
            cores = ready.predictor.device.cores
            done = partial(_classified, step) if isinstance(step, Classify) else partial(_predicted, output)
            doing.append(partial(done, number, ready))
        elif isinstance(step, Filter):
            doing.append(partial(_at_once, number, partial(filtered, step)))
        elif isinstance(step, Measure):
            doing.append(partial(_at_once, number, partial(measured, step)))
    return doing, cores


def _one(doing: Sequence[Doing], output: _Output, image: Image, turn: Turn) -> Generator[Event, None, Stored]:
    """All steps for one image, and its files. An unexpected error, too, is one of this image alone."""
    state = State(image, image)
    try:
        for i, do in enumerate(doing):
            state = yield from changed(do(state, turn), partial(among, i, len(doing)))
            turn.control.check()
    except (DojoError, StoppedError, MemoryError):
        raise
    except Exception as error:
        raise DojoError(explained(error)) from error
    with writing():
        return output.write(turn.index, state)


def _classified(step: Classify, number: int, ready: Ready, state: State, turn: Turn) -> Generator[Event, None, State]:
    """Give the objects classes."""
    from napari_dojo.inference.predict import predict_image

    given = _of_step(number, lambda: resolve(ready.card, to_classify(step, state), ready.settings))
    prediction = yield from predict_image(ready, given, turn.control)
    return classified(Found(ready.card, given, prediction), state)


def _predicted(output: _Output, number: int, ready: Ready, state: State, turn: Turn) -> Generator[Event, None, State]:
    """Apply a model to the image as it is now."""
    from napari_dojo.inference.predict import memory_for, predict_image

    kind: Kind = ready.task.result
    given = _of_step(number, lambda: resolve(ready.card, state.image, ready.settings))

    def storage(shape: tuple[int, ...], dtype: Any) -> Any:
        if kind.intensities:
            return np.zeros(shape, dtype)
        with writing():
            return output.tiff.storage(output.todo[turn.index], shape, dtype)

    with turn.memory.taken(memory_for(ready, given), turn.control):
        prediction = yield from predict_image(ready, given, turn.control, storage)
    return state.after(Found(ready.card, given, prediction))


def _at_once(number: int, do: Callable[[State], State], state: State, turn: Turn) -> Generator[Event, None, State]:
    """A step without a model."""
    yield from ()  # a generator, as all steps are
    return _of_step(number, lambda: do(state))


def _of_step(number: int, do: Callable[[], Any]) -> Any:
    """What a step gives; its errors name it."""
    try:
        return do()
    except DojoError as error:
        raise DojoError(f"Step {number}: {error}") from error


def _tables(output: _Output, entries: Sequence[Entry], skipped: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Write the table over all images, and that of skipped ones."""
    out = output.tiff.out
    write_skipped(out / SKIPPED, skipped)
    parts = [p for e in entries if (p := output.journal.rows(e.file, e.number)).is_file()]
    if output.export.table == "none" or not parts:
        return {"table": None, "rows": sum(e.rows for e in entries)}
    path = out / f"{TABLE}.csv"
    rows = joined(parts, path)
    if output.export.table == "parquet":
        write_parquet(path, path := path.with_suffix(".parquet"))
        path.with_suffix(".csv").unlink()
    return {"table": str(path), "rows": rows}
