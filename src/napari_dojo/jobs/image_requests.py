"""Requests for images and a model: predictions, what a network computes on the way, classes of objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from napari_dojo.data.normalize import Normalization
from napari_dojo.inference.geometry import Image
from napari_dojo.inference.sinks import RunSink, Sink
from napari_dojo.inference.sources import FileSource, Source, StoredSource
from napari_dojo.inference.tiff_sink import TiffSink
from napari_dojo.io.images import Picture
from napari_dojo.io.passed import keep
from napari_dojo.jobs.requests import Request, new_folder, stored, tuples
from napari_dojo.settings import PredictSettings, checked

__all__ = [
    "InsideRequest",
    "ObjectsRequest",
    "PredictFiles",
    "PredictImages",
    "StoredImage",
    "inside_request",
    "objects_request",
    "predict_files_request",
    "predict_request",
]


@dataclass(frozen=True)
class StoredImage:
    """An image in the folder of a job; see `napari_dojo.inference.geometry.Image`."""

    file: str
    name: str
    axes: str | None
    pixel_size: tuple[float, ...] | None = None
    unit: str | None = None
    numbers: Normalization | None = None
    in_context: bool = False
    labels: str | None = None

    def source(self, folder: Path) -> StoredSource:
        """The image, read when its turn comes."""
        nothing = np.zeros(0)
        picture = Picture(nothing, None, pixel_size=self.pixel_size, unit=self.unit)
        labels = None if self.labels is None else np.load(folder / self.labels, mmap_mode="r")
        image = Image(self.name, picture, self.axes, self.numbers, self.in_context, labels)
        return StoredSource(folder / self.file, image)

    @staticmethod
    def of(values: dict[str, Any]) -> StoredImage:
        """From plain values."""
        numbers = values.pop("numbers", None)
        return StoredImage(**tuples(values), numbers=numbers and Normalization(**tuples(numbers)))


@dataclass(frozen=True)
class _Applying(Request):
    """A model that is applied.

    Attributes
    ----------
    decoding : values in place of the model's own.
    """

    model: Path
    settings: PredictSettings
    decoding: dict[str, Any]

    def sources(self, folder: Path) -> list[Source]:
        """The images."""
        raise NotImplementedError

    def sink(self, folder: Path) -> Sink:
        """Where predictions go."""
        raise NotImplementedError


@dataclass(frozen=True)
class PredictImages(_Applying):
    """A model applied to images in the folder of the job, where predictions go, too.

    Attributes
    ----------
    maps : keep those as well.
    stores : where the prediction for each image goes that does not fit in memory, an OME-Zarr.
    """

    kind: ClassVar[str] = "predict"

    images: tuple[StoredImage, ...]
    maps: bool = True
    stores: tuple[str, ...] = ()

    def sources(self, folder: Path) -> list[Source]:
        """Memory-mapped when their turn comes."""
        return [image.source(folder) for image in self.images]

    def sink(self, folder: Path) -> RunSink:
        """The folder."""
        return RunSink(folder, self.maps, tuple(Path(p) for p in self.stores))

    @classmethod
    def of(cls, values: dict[str, Any]) -> Self:
        """The request of plain values."""
        images = tuple(StoredImage.of(v) for v in values.pop("images"))
        stores = tuple(values.pop("stores", ()))
        return cls(**_applying(values), images=images, stores=stores)


@dataclass(frozen=True)
class PredictFiles(_Applying):
    """A model applied to files; ``axes`` as a person names them."""

    kind: ClassVar[str] = "predict_files"

    files: TiffSink
    axes: str | None = None

    def sources(self, folder: Path) -> list[Source]:
        """The files."""
        return [FileSource(path, self.axes) for path in self.files.inputs]

    def sink(self, folder: Path) -> TiffSink:
        """TIFF files in a folder of the user's."""
        return self.files

    @classmethod
    def of(cls, values: dict[str, Any]) -> Self:
        """The request of plain values."""
        files = values.pop("files")
        inputs = tuple(Path(p) for p in files.pop("inputs"))
        return cls(**_applying(values), files=TiffSink(inputs, Path(files.pop("out")), **tuples(files)))


def predict_request(
    folder: Path,
    model: Path,
    images: Sequence[Image],
    settings: PredictSettings | None = None,
    decoding: Mapping[str, Any] | None = None,
    maps: bool = True,
    stores: Sequence[Path] = (),
) -> Path:
    """Write what a prediction for some images needs into a new folder of a job; see `PredictImages`."""
    with new_folder(folder):
        stored, places = _stored_images(folder, images), tuple(map(str, stores))
        PredictImages(model, settings or PredictSettings(), dict(decoding or {}), stored, maps, places).write(folder)
        return folder


def predict_files_request(
    folder: Path,
    model: Path,
    files: TiffSink,
    axes: str | None = None,
    settings: PredictSettings | None = None,
    decoding: Mapping[str, Any] | None = None,
) -> Path:
    """The same for files, which the job reads; see `PredictFiles`."""
    with new_folder(folder):
        PredictFiles(model, settings or PredictSettings(), dict(decoding or {}), files, axes).write(folder)
        return folder


def _applying(values: dict[str, Any]) -> dict[str, Any]:
    return {**values, "model": Path(values["model"]), "settings": checked(PredictSettings, values["settings"])}


@dataclass(frozen=True)
class InsideRequest(Request):
    """A look inside a model, on one image in the folder of the job, where kernels and feature maps go, too."""

    kind: ClassVar[str] = "inside"

    model: Path
    image: StoredImage

    @classmethod
    def of(cls, values: dict[str, Any]) -> Self:
        """The request of plain values."""
        return cls(Path(values["model"]), StoredImage.of(values["image"]))


def inside_request(folder: Path, model: Path, image: Image) -> Path:
    """Write what a look inside a model needs into a new folder of a job; see `InsideRequest`."""
    with new_folder(folder):
        InsideRequest(model, _stored_images(folder, [image])[0]).write(folder)
        return folder


@dataclass(frozen=True)
class ObjectsRequest(Request):
    """The classes of the objects in some images, which go to ``classes-0.npz`` and so on in the folder of the job.

    Attributes
    ----------
    images : with labels.
    why : the sample and the number of one object of the first, whose class is explained instead; None: all get a class.
    """

    kind: ClassVar[str] = "objects"

    model: Path
    images: tuple[StoredImage, ...]
    why: tuple[int, int] | None = None

    @classmethod
    def of(cls, values: dict[str, Any]) -> Self:
        """The request of plain values."""
        why = values["why"]
        images = tuple(StoredImage.of(v) for v in values["images"])
        return cls(Path(values["model"]), images, None if why is None else tuple(why))


def objects_request(folder: Path, model: Path, images: Sequence[Image], why: tuple[int, int] | None = None) -> Path:
    """Write what the classes of objects need into a new folder of a job; see `ObjectsRequest`."""
    with new_folder(folder):
        ObjectsRequest(model, _stored_images(folder, images), why).write(folder)
        return folder


def _stored_images(folder: Path, images: Sequence[Image]) -> tuple[StoredImage, ...]:
    """Images, written to the folder."""
    files = [keep(folder, f"input-{k}", image.picture.data) for k, image in enumerate(images)]
    labels = stored(folder, "labels", [image.labels for image in images])
    return tuple(
        StoredImage(
            f, i.name, i.axes or i.picture.axes, i.picture.pixel_size, i.picture.unit, i.numbers, i.in_context, y
        )
        for f, y, i in zip(files, labels, images, strict=True)
    )
