"""Apply a model to files: each answer is a TIFF with pixel size, with a table of its objects where that is wanted."""

from __future__ import annotations

import errno
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo import __version__
from napari_dojo.data.axes import Axes
from napari_dojo.errors import DojoError, explained
from napari_dojo.events import Control, Done, Event, Failed, Message, Progress
from napari_dojo.inference.tables import table_of, write_csv
from napari_dojo.io import images
from napari_dojo.io.datasets import axes_of, outputs
from napari_dojo.io.pairing import stem_of
from napari_dojo.models.card import Card
from napari_dojo.settings import PredictSettings
from napari_dojo.tasks import TASKS

if TYPE_CHECKING:
    from napari_dojo.inference.predict import Predictor, Result
    from napari_dojo.models.bundle import Bundle

__all__ = ["Files", "among", "apply_steps", "folder_for", "predicted", "there_already"]

LARGE = 2**28  # bytes of an answer that is written to the disk sample by sample
SHARE = 100  # progress steps per image, where there are several


@dataclass(frozen=True)
class Files:
    """Which files a model is applied to, and where the answers go.

    Attributes
    ----------
    inputs : images.
    out : folder of the answers, ``<stem>.tif`` each.
    axes : of the images; None where each file says so itself.
    overwrite : overwrite existing results.
    tables : write ``<stem>.csv`` with measurements beside each answer.
    mark : added to the names of answers, such as " (predicted by M)".
    """

    inputs: tuple[Path, ...]
    out: Path
    axes: str | None = None
    overwrite: bool = False
    tables: bool = False
    mark: str = ""

    def answers(self) -> list[tuple[Path, Path | None]]:
        """The image and the table of each input.

        Raises
        ------
        DojoError : two inputs would share one, an answer would replace an input, or it is there already.
        """
        answers = outputs(self.inputs, self.out, self.overwrite, self.mark)
        inputs = {p.resolve() for p in self.inputs}
        lost = next((p for p in answers if p.resolve() in inputs), None)
        if lost is not None:
            raise DojoError(f"The result would overwrite the image {lost.name} itself. Choose another output folder.")
        tables = [p.with_suffix(".csv") if self.tables else None for p in answers]
        there = next((p for p in tables if p is not None and p.exists()), None)
        if there is not None and not self.overwrite:
            raise DojoError(f"{there} exists already. Choose another folder, or move it away.")
        return list(zip(answers, tables, strict=True))


def folder_for(given: str | Path, model: str) -> Path:
    """Where answers go unless a person says otherwise: beside what was given, with the model's name."""
    path = Path(given).expanduser()
    named = path if path.is_dir() else path.parent / stem_of(path.name.replace("*", "all").replace("?", "all"))
    return named.with_name(f"{named.name}_{model}")


def there_already(files: Files) -> int:
    """How many of the answers are there already."""
    stems = [files.out / (stem_of(p) + files.mark) for p in files.inputs] if files.out.is_dir() else []
    ends = (".tif", ".csv") if files.tables else (".tif",)
    return sum(any(stem.with_name(stem.name + end).exists() for end in ends) for stem in stems)


def among(event: Progress, index: int, count: int) -> Progress:
    """The progress of image ``index`` as that of all ``count`` images."""
    if count == 1:
        return event
    return Progress(SHARE * index + round(SHARE * event.done / max(1, event.total)), SHARE * count)


def apply_steps(
    bundle: Bundle,
    files: Files,
    settings: PredictSettings | None = None,
    decoding: Any = None,
    control: Control | None = None,
) -> Iterator[Event]:
    """Apply a model to files one by one.

    A file that cannot be read or does not fit is left out; an answer that cannot be written ends it. What was written
    stays. Yields Progress over all files, and last Done (``written``, ``skipped``, ``images``, ``stopped``, ``seconds``)
    or, stopped with nothing done, Failed.

    Raises
    ------
    DojoError : nothing could be done, or an answer could not be written.
    """
    from napari_dojo import device
    from napari_dojo.inference.predict import Predictor

    began = time.monotonic()
    settings, control = settings or PredictSettings(), control or Control()
    targets, count = files.answers(), len(files.inputs)
    work = _Work(bundle, Predictor(bundle.net, device.choose(settings.device), settings.tile), settings, decoding)
    written: list[str] = []
    bad: list[str] = []
    for i, path in enumerate(files.inputs):
        scratch = _Scratch(targets[i][0])
        try:
            answer = None
            for event in work.steps(path, files.axes, control, scratch):
                if isinstance(event, _Answer):
                    answer = event
                elif isinstance(event, Progress):
                    yield among(event, i, count)
                elif isinstance(event, Message) and not control.stop:
                    yield Message(event.level, event.text if path.name in event.text else f"{path.name}: {event.text}")
            if answer is None:
                break  # stopped
            _write(answer, *targets[i])
            written.append(str(targets[i][0]))
        except (DojoError, MemoryError) as e:
            if count == 1:
                raise
            if (
                answer is not None and isinstance(e.__cause__, OSError) and e.__cause__.errno != errno.ENAMETOOLONG
            ):  # the next one would meet the same
                raise DojoError(f"{e} Before that, {len(written)} of {count} images were done.") from e
            sentence = str(e) if isinstance(e, DojoError) else explained(e)
            bad.append(sentence if path.name in sentence else f"{path.name}: {sentence}")
        finally:
            answer = None
            scratch.close()
        yield Progress(SHARE * (i + 1), SHARE * count)
    if not written and control.stop:
        yield Failed("Stopped: nothing was written.")
        return
    if not written:
        raise DojoError(f"None of the {count} images could be done. The first: {bad[0]}")
    yield from (Message("warning", f"Left out: {sentence}") for sentence in bad)
    facts = {"written": written, "skipped": bad, "images": count, "stopped": len(written) + len(bad) < count}
    yield Done(str(files.out), {**facts, "seconds": round(time.monotonic() - began, 2)})


@dataclass(frozen=True, eq=False)
class _Answer:
    """A file, what its axes are, and what the model says of it."""

    card: Card
    picture: images.Picture
    axes: Axes
    result: Result


@dataclass(frozen=True, eq=False)
class _Work:
    """What stays the same from file to file."""

    bundle: Bundle
    predictor: Predictor
    settings: PredictSettings
    decoding: Any

    def steps(self, path: Path, named: str | None, control: Control, scratch: _Scratch) -> Iterator[Event | _Answer]:
        """Apply the model to one file; last the answer, none where it was stopped."""
        from napari_dojo.inference.predict import Result, predict_steps

        card = self.bundle.card
        picture = replace(images.read(path), path=path)
        yield from (Message("warning", note) for note in picture.notes)
        remembered = card.axes if not (named or picture.axes) and picture.data.ndim == len(card.axes) else named
        names = card.axes_for(axes_of(picture, remembered, card.spatial == "ZYX").names, picture.data.shape)
        picture, names = images.with_channels(picture, names, card.own_channels, self.settings.channel)
        axes = Axes(names, card.spatial)
        given = {"decoding": self.decoding, "pixel_size": picture.pixel_size, "predictor": self.predictor}
        given["room"] = scratch.room
        picture = replace(picture, data=card.in_order(picture.data, axes.names, picture.channel_names))
        for event in predict_steps(self.bundle, picture.data, axes, self.settings, control, **given):
            yield _Answer(card, picture, axes, event) if isinstance(event, Result) else event


class _Scratch:
    """Room for a large answer in a file beside it, where samples are written as they are ready."""

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(f".{secrets.token_hex(8)}.part.npy")  # short: names may have 255 bytes

    def room(self, axes: Axes, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        """Zeros, in memory where they are few."""
        if float(np.prod(shape)) * np.dtype(dtype).itemsize < LARGE:
            return np.zeros(shape, dtype)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            return np.lib.format.open_memmap(self._path, "w+", dtype, shape)
        except OSError as e:
            raise DojoError(f"{self._path.parent} cannot be written: {e.strerror or e}. Make room there.") from e

    def close(self) -> None:
        """Remove the file."""
        self._path.unlink(missing_ok=True)


def _write(answer: _Answer, path: Path, table: Path | None) -> None:
    card, picture, result = answer.card, answer.picture, answer.result
    size, unit = picture.pixel_size, picture.unit
    if TASKS[card.task].result.intensities:
        said = f"{card.task} of {picture.path.name} {predicted(card.name)}, napari-dojo {__version__}"
        names = card.maps if len(card.maps) > 1 else ()
        images.write(path, result.array, result.axes.names, card.answer_size(size), unit, said, names)
        if result.spread is not None:
            beside = path.with_name(f"{path.stem}_uncertainty{path.suffix}")
            said = f"Uncertainty of {said}"
            images.write(beside, result.spread, result.axes.names, card.answer_size(size), unit, said, names)
        return
    said = f"{card.name} {__version__}: {card.task} of {picture.path.name}"
    images.write(path, result.array, result.axes.names, size, unit, said, labels=True)
    if table is not None:
        n = len(answer.axes.spatial)
        measured = size[-n:] if size and len(size) >= n else None
        write_csv(table, table_of(card, result.array, picture.data, answer.axes, measured, unit))


def predicted(model: str) -> str:
    """What the name of every answer says whose intensities a net made up."""
    return f"(predicted by {model})"
