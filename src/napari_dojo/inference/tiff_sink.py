"""Predictions as TIFF files in a folder, with tables and outlines beside them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import count, takewhile
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_dojo import __version__
from napari_dojo.data.axes import Axes
from napari_dojo.errors import DojoError
from napari_dojo.events import Control, result_of
from napari_dojo.inference.geometry import Image, Input, resolve
from napari_dojo.inference.sinks import UNFINISHED, Sink, Store, Stored, memory_mapped, size_of
from napari_dojo.inference.tables import TABLES, USUAL, class_rows, class_table, table_of, write_csv
from napari_dojo.io import images
from napari_dojo.io.atomic import check_free, check_writable
from napari_dojo.io.datasets import outputs
from napari_dojo.io.images import Picture
from napari_dojo.io.names import as_file_name
from napari_dojo.io.pairing import shown_names, stem_of
from napari_dojo.io.rois import write_rois
from napari_dojo.models.card import Card
from napari_dojo.settings import PredictSettings
from napari_dojo.tasks import TASKS

if TYPE_CHECKING:
    from napari_dojo.inference.predict import Prediction

__all__ = [
    "UNCERTAINTY",
    "Some",
    "TiffSink",
    "description_of",
    "file_mark",
    "folder_for",
    "further_files",
    "predicted_by",
    "write_prediction",
]

CLASSES = "classes.csv"  # the table of what images or objects are
UNCERTAINTY = "_uncertainty.tif"  # ends the name of the file with the uncertainty of a predicted image
LARGE = 2**28  # bytes of a prediction that is written to the disk sample by sample


def folder_for(given: str | Path, model: str) -> Path:
    """Where predictions go unless a person says otherwise: beside what was given, with the model's name."""
    path = Path(given).expanduser()
    named = path if path.is_dir() else path.parent / stem_of(path.name.replace("*", "all").replace("?", "all"))
    return named.with_name(f"{named.name}_{model}")


def predicted_by(model: str) -> str:
    """What the name of every predicted image says, whose intensities a network made up."""
    return f"(predicted by {model})"


def file_mark(model: str) -> str:
    """What is added to the name of the file of a predicted image."""
    return as_file_name(f" {predicted_by(model)}")


def description_of(card: Card, name: str) -> str:
    """What the file of a prediction for the image ``name`` says of itself."""
    return f"{card.task} of {name} {predicted_by(card.name)}, napari-dojo {__version__}"


def write_prediction(path: Path, card: Card, image: Input, found: Prediction) -> Path | None:
    """Write the prediction for an image as TIFF, and beside it that of its uncertainty, whose path is returned where there is one.

    The prediction comes last: where it is there, all is.
    """
    kind = TASKS[card.task].result
    about, size = description_of(card, image.name), card.predicted_size(image.pixel_size)
    names = card.maps if kind.intensities and len(card.maps) > 1 else ()
    write = partial(images.write, axes=found.axes.names, pixel_size=size, unit=image.unit, channel_names=names)
    beside = None
    if found.uncertainty is not None:
        beside = _beside(path, UNCERTAINTY)
        write(beside, found.uncertainty, description=f"Uncertainty of {about}")
    write(path, found.array, description=about, labels=kind.drawn)
    return beside


@dataclass(frozen=True)
class TiffSink(Sink):
    """A folder of TIFF files with pixel size, ``<stem>.tif`` each, and tables and outlines beside them.

    Of a file with several images, each gives ``<stem>_image1.tif`` and so on. Classes of images or objects go into one table,
    ``classes.csv``.

    Attributes
    ----------
    inputs : the files of the images.
    out : the folder.
    overwrite : overwrite existing results.
    tables : write ``<stem>.csv`` with measurements beside each prediction that has some.
    measurements : what the tables hold of objects.
    mark : added to the names, such as " (predicted by M)".
    rois : write ``<stem>.zip`` with the outlines for ImageJ beside each prediction with objects.
    then : the folder of a model that gives each predicted object a class, on this ``device``; empty: none.
    then_decoding : how its maps become a class; None: as it says.
    classes : predictions are classes, so that nothing but their table is written.
    resumed : the images are those that are `left`; of a file with several, those that are done are done again.
    also : what ends the names of further files beside each prediction, such as ``_uncertainty.tif``.
    together : names of further files that are of all images together.
    """

    inputs: tuple[Path, ...]
    out: Path
    overwrite: bool = False
    tables: bool = False
    mark: str = ""
    measurements: tuple[str, ...] = USUAL
    rois: bool = False
    then: str = ""
    then_decoding: Any = None
    classes: bool = False
    resumed: bool = False
    also: tuple[str, ...] = ()
    together: tuple[str, ...] = ()
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"

    @property
    def where(self) -> str:
        """The folder."""
        return str(self.out)

    @property
    def existing(self) -> int:
        """How many of the predictions are there already; where none is, of the files that are of all images together."""
        planned = self._planned if self.out.is_dir() and not self.classes else []
        there = sum(any(os.path.lexists(p) for p in self._files(path)) for path in planned)
        return there or sum(os.path.lexists(path) for path in self._of_all)

    def paths(self) -> list[tuple[Path, ...]]:
        """The files for each input that holds one image: the prediction and what is written beside it.

        Raises
        ------
        DojoError : two inputs would share one, one would replace an input, or it is there already.
        """
        files = [self._files(p) for p in self._planned]
        for some in files:
            self._check_free(some)
        return files

    def left(self) -> tuple[int, ...]:
        """The inputs with an image whose prediction is not there yet.

        Raises
        ------
        DojoError : two would share one, one would replace an input, or a prediction is there without what is wanted beside it.
        """
        replace(self, overwrite=True).paths()
        left = tuple(i for i in range(len(self.inputs)) if not self._is_done(i))
        for i in set(range(len(self.inputs))) - set(left):
            one = self._planned[i]
            for prediction in (one, *takewhile(_is_there, (_numbered(one, k) for k in count(1)))):
                self._check_whole(prediction)
        return left

    def check(self) -> None:
        """DojoError, see `paths`, or where the folder cannot be written."""
        if not self.classes:
            self.paths()
        for path in self._of_all:
            self._check_free([path])
        check_writable(self.out)

    def storage(self, index: int, shape: tuple[int, ...], dtype: Any) -> Any:
        """In memory; large ones in a file beside the prediction."""
        if float(np.prod(shape)) * np.dtype(dtype).itemsize < LARGE:
            return np.zeros(shape, dtype)
        return memory_mapped(self._scratch(index), shape, dtype)

    def store(self, index: int, card: Card, image: Input, wanted: bool) -> Store | None:
        """``<stem>.zarr`` in place of the TIFF, where it is wanted."""
        if not wanted:
            return None
        path = self.place(index, image.number).with_suffix(".zarr")
        return Store(path, self.overwrite, f"{image.name} does not fit in memory ({size_of(image)}).")

    def write(self, index: int, card: Card, image: Input, found: Prediction) -> Stored:
        """Write the TIFF, that of its uncertainty, and the table."""
        kind = TASKS[card.task].result
        if not kind.dense:
            return self._classes_of(index, card, image, found)
        path = self.place(index, image.number)
        table = rois = None
        if self.tables and kind in TABLES:
            table = path.with_suffix(".csv")
            axes = Axes(image.axes.names, found.axes.spatial)
            n = len(axes.spatial)
            measured = image.pixel_size[-n:] if image.pixel_size and len(image.pixel_size) >= n else None
            write_csv(table, table_of(card, found.array, image.array, axes, measured, image.unit, self.measurements))
        if self.rois and kind.drawn and found.array.any():
            rois = path.with_suffix(".zip")
            write_rois(rois, found.array, found.axes)
        beside = write_prediction(path, card, image, found)  # last: where it is there, all is
        if self.then:
            with self._turn:
                self._classes_of(index, self._classifier.card, image, self._classified(image, found))
        found_files = {"prediction": path, "uncertainty": beside, "table": table, "rois": rois}
        files: dict[str, Any] = {k: str(p) for k, p in found_files.items() if p is not None}
        return replace(Stored(index, image.name, found.axes.names), **files)

    def release(self, index: int) -> None:
        """Remove the file beside the prediction."""
        self._scratch(index).unlink(missing_ok=True)

    def finish(self) -> None:
        """Write the table of classes, where there are some."""
        if self._rows:
            rows = [row for key in sorted(self._rows) for row in self._rows[key]]
            write_csv(self.out / CLASSES, class_table(rows))

    def _classes_of(self, index: int, card: Card, image: Input, found: Prediction) -> Stored:
        """Keep the rows of an image for the table."""
        name = self._shown[index] + (f" (image {image.number})" if image.number else "")
        self._rows[index, image.number] = class_rows(card, name, found.array, found.maps, found.objects)
        return Stored(index, image.name, found.axes.names, table=str(self.out / CLASSES))

    @cached_property
    def _rows(self) -> dict[tuple[int, int], list[dict[str, Any]]]:
        return {}

    @cached_property
    def _turn(self) -> Lock:
        return Lock()

    @cached_property
    def _shown(self) -> list[str]:
        return shown_names(self.inputs)

    @cached_property
    def _classifier(self) -> Any:
        """The model that gives objects their classes, ready."""
        from napari_dojo.inference.predict import Ready
        from napari_dojo.models.bundle import load

        bundle = load(self.then)
        if TASKS[bundle.card.task].result.dense:
            raise DojoError(
                f"The model {bundle.card.name} gives no classes to objects. Name a model of the task classify."
            )
        return Ready.of(bundle, PredictSettings(device=self.device), self.then_decoding)

    def _classified(self, image: Input, found: Prediction) -> Prediction:
        """The classes of predicted objects."""
        from napari_dojo.inference.predict import predict_image

        picture = Picture(image.array, image.axes.names, pixel_size=image.pixel_size, unit=image.unit)
        given = Image(image.name, picture, image.axes.names, labels=found.array)
        ready = self._classifier
        made: Prediction = result_of(predict_image(ready, resolve(ready.card, given, ready.settings), Control()))
        return made

    def place(self, index: int, number: int) -> Path:
        """Where the prediction for an image of a file goes; DojoError where something is there that may not be replaced."""
        path = self._planned[index]
        if not number:
            return path
        path = _numbered(path, number)
        self._check_free(self._files(path), planned=False)
        return path

    def _is_done(self, index: int) -> bool:
        """Whether the predictions for all images of a file are there."""
        path = self._planned[index]
        if _is_there(path):
            return True
        if not _is_there(_numbered(path, 1)):
            return False
        try:
            several = images.read(self.inputs[index], lazy_above=0, image=0).images
        except DojoError:
            return False  # which says why, when it is its turn
        return all(_is_there(_numbered(path, k)) for k in range(2, several + 1))

    def _files(self, prediction: Path) -> tuple[Path, ...]:
        """A prediction and what is written beside it."""
        ends = [end for end, wanted in ((".csv", self.tables), (".zip", self.rois)) if wanted]
        return (prediction, *(_beside(prediction, end) for end in (*ends, *self.also)))

    def _check_free(self, files: Sequence[Path], planned: bool = True) -> None:
        """DojoError where a file of a prediction is an image, belongs to the prediction of another one, or is there already."""
        for path in files:
            if path.resolve() in self._given:
                raise DojoError(
                    f"The result would overwrite the image {path.name} itself. Choose another output folder."
                )
            owner = self._owners.get(str(path).casefold())
            if owner is not None and not (planned and owner == files[0]):
                raise DojoError(
                    f"{path.name} would be written twice, with {files[0].name} and with {owner.name}. Rename an image, "
                    "or choose some by a pattern such as '*.tif'."
                )
        if not (self.overwrite or self.resumed):
            check_free(files)

    def _check_whole(self, prediction: Path) -> None:
        """DojoError where a prediction is there without what is wanted beside it: to do it again would replace what is there."""
        outlines = _beside(prediction, ".zip")  # there are none where there is no object
        lacking = [p for p in self._files(prediction) if not os.path.lexists(p)]
        if not os.path.lexists(prediction) or not lacking:
            return
        if lacking == [outlines] and not images.read(prediction).data.any():
            return
        raise DojoError(
            f"{prediction} is there without {lacking[0].name}, which was not asked for before. Choose another folder, or do all "
            "images again and overwrite what is there."
        )

    @cached_property
    def _given(self) -> set[Path]:
        """The files of the images."""
        return {p.resolve() for p in self.inputs}

    @cached_property
    def _owners(self) -> dict[str, Path]:
        """Of each file that is planned, whatever its case, the prediction to which it belongs."""
        files = {str(file).casefold(): path for path in reversed(self._planned) for file in self._files(path)}
        return files | {str(path).casefold(): path for path in self._of_all}

    @property
    def _of_all(self) -> list[Path]:
        """The files that are of all images together."""
        return [self.out / name for name in (*self.together, *([CLASSES] if self.classes or self.then else []))]

    @cached_property
    def _planned(self) -> list[Path]:
        """Where each prediction goes, whatever is there."""
        return outputs(self.inputs, self.out, self.mark)

    def _scratch(self, index: int) -> Path:
        return self.out / f".{os.getpid()}-{index}.part.npy"  # short: names may have 255 bytes


@dataclass(frozen=True)
class Some(Sink):
    """Some places of a sink: ``places[i]`` is that of image ``i``. The whole sink was checked."""

    sink: TiffSink
    places: tuple[int, ...]

    @property
    def where(self) -> str:
        """The folder."""
        return self.sink.where

    def storage(self, index: int, shape: tuple[int, ...], dtype: Any) -> Any:
        """See `TiffSink`."""
        return self.sink.storage(self.places[index], shape, dtype)

    def store(self, index: int, card: Card, image: Input, wanted: bool) -> Store | None:
        """See `TiffSink`."""
        return self.sink.store(self.places[index], card, image, wanted)

    def write(self, index: int, card: Card, image: Input, found: Prediction) -> Stored:
        """See `TiffSink`."""
        return self.sink.write(self.places[index], card, image, found)

    def release(self, index: int) -> None:
        """See `TiffSink`."""
        self.sink.release(self.places[index])


def further_files(card: Card, settings: PredictSettings) -> tuple[str, ...]:
    """What ends the names of the files beside each prediction of a model: that of the uncertainty, where it is asked for."""
    return (UNCERTAINTY,) if settings.uncertainty and TASKS[card.task].result.intensities else ()


def _beside(prediction: Path, end: str) -> Path:
    """The file of this ending beside a prediction."""
    return prediction.with_name(f"{prediction.stem}{end}")


def _numbered(prediction: Path, number: int) -> Path:
    """Where the prediction for one of several images of a file goes."""
    return prediction.with_name(f"{prediction.stem}_image{number}{prediction.suffix}")


def _is_there(prediction: Path) -> bool:
    """Whether a prediction is there, as TIFF or as a whole OME-Zarr."""
    store = prediction.with_suffix(".zarr")
    unfinished = store.with_name(store.name + UNFINISHED).exists()
    return os.path.lexists(prediction) or (store.exists() and not unfinished)
