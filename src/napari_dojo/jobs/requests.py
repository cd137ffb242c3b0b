"""What a job is asked for, as frozen values: written to ``request.json`` in its folder, arrays beside it, and read again."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from napari_dojo.data.axes import Axes
from napari_dojo.data.dataset import Dataset, Layout
from napari_dojo.data.normalize import Normalization
from napari_dojo.inference.geometry import Image
from napari_dojo.inference.sinks import RunSink, Sink, TiffSink
from napari_dojo.inference.sources import FileSource, Source, StoredSource
from napari_dojo.io.atomic import replacing, write_safely
from napari_dojo.io.datasets import DatasetFiles, read_dataset
from napari_dojo.io.images import Picture
from napari_dojo.io.passed import keep
from napari_dojo.jobs.claims import claim
from napari_dojo.recipes.recipe import Recipe, parsed, text_of
from napari_dojo.settings import PredictSettings, TrainSettings, checked
from napari_dojo.training.start import NONE

__all__ = [
    "Arrays",
    "InsideRequest",
    "LiveRequest",
    "ObjectsRequest",
    "PredictFiles",
    "PredictImages",
    "RecipeRequest",
    "Request",
    "TrainRequest",
    "inside_request",
    "live_request",
    "objects_request",
    "predict_files_request",
    "predict_request",
    "recipe_request",
    "train_files_request",
    "train_request",
]

FILE = "request.json"


@dataclass(frozen=True)
class Request:
    """What every request can do: be written to the folder of its job, and read from there."""

    kind: ClassVar[str] = ""

    def write(self, folder: Path) -> None:
        """Write ``request.json``; DojoError where the disk is full."""
        values = {"kind": self.kind, **asdict(self)}
        write_safely(folder / FILE, json.dumps(values, default=str).encode())

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The request of a folder.

        Raises
        ------
        OSError, ValueError, KeyError, TypeError, DojoError : there is none of this kind, or it is damaged.
        """
        values = json.loads((folder / FILE).read_text(encoding="utf-8"))
        if values.pop("kind") != cls.kind:
            raise ValueError(f"{folder / FILE} does not ask for {cls.kind!r}")
        return cls.of(values)

    @classmethod
    def of(cls, values: dict[str, Any]) -> Self:
        """The request of plain values."""
        raise NotImplementedError


# training -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Arrays:
    """Training data as ``.npy`` files in the folder of a job.

    Attributes
    ----------
    inputs, targets, regions : names of files; None for what there is not.
    axes : of the inputs; ``volumes`` : where they have Z, samples are volumes.
    names, roles, channel_names : or empty.
    pixel_size, target_pixel_size, unit : or None.
    """

    inputs: tuple[str, ...]
    targets: tuple[str | None, ...] | None
    axes: str
    regions: tuple[str | None, ...] = ()
    names: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    channel_names: tuple[str, ...] = ()
    volumes: bool = True
    pixel_size: tuple[float, ...] | None = None
    target_pixel_size: tuple[float, ...] | None = None
    unit: str | None = None

    def dataset(self, folder: Path, layout: Layout) -> Dataset:
        """The arrays, memory-mapped, as samples; DojoError where they do not fit together."""
        inputs = _loaded(folder, self.inputs)
        return Dataset.of(
            inputs,
            None if self.targets is None else _loaded(folder, self.targets),
            Axes.resolve(inputs[0].shape, self.axes, volumes=self.volumes),
            layout=layout,
            names=self.names,
            roles=self.roles,
            regions=_loaded(folder, self.regions),
            pixel_size=self.pixel_size,
            target_pixel_size=self.target_pixel_size,
            unit=self.unit,
            channel_names=self.channel_names,
        )


@dataclass(frozen=True)
class TrainRequest(Request):
    """A training: on files that the job reads, or on arrays in its folder.

    Attributes
    ----------
    task : its name; ``options`` : of it, as they were chosen.
    out : the model's folder.
    start : the folder or name of the model to start from, "auto" or "none", see `napari_dojo.training.train.train_steps`.
    corrections : it is trained on what a person corrected, see `napari_dojo.training.recorder.Target`.
    curve : train on parts of the annotation, to say what more of it would bring, and keep no model.
    """

    kind: ClassVar[str] = "train"

    task: str
    out: Path
    arrays: Arrays | None = None
    files: DatasetFiles | None = None
    options: dict[str, Any] = field(default_factory=dict)
    settings: TrainSettings = field(default_factory=TrainSettings)
    start: str = NONE
    resume: bool = False
    name: str = ""
    corrections: bool = False
    curve: bool = False

    def dataset(self, folder: Path, layout: Layout) -> tuple[Dataset, list[str]]:
        """The training data, and sentences about what was skipped; DojoError where they cannot be used."""
        if self.files is not None:
            return read_dataset(self.files, layout)
        if self.arrays is None:
            raise ValueError("the request names no data")
        return self.arrays.dataset(folder, layout), []

    @classmethod
    def of(cls, values: dict[str, Any]) -> Self:
        """The request of plain values."""
        arrays, files = (values.pop(k, None) for k in ("arrays", "files"))
        return cls(
            **{
                **values,
                "out": Path(values["out"]),
                "arrays": arrays and Arrays(**_tuples(arrays)),
                "files": files and DatasetFiles(**files),
                "options": _tuples(values["options"]),
                "settings": checked(TrainSettings, values["settings"]),
            }
        )


def train_request(
    folder: Path,
    task: str,
    inputs: Sequence[Any],
    targets: Sequence[Any] | None,
    *,
    axes: str,
    out: Path,
    **more: Any,
) -> Path:
    """Write what a training on arrays needs into a new folder of a job.

    Parameters
    ----------
    inputs, targets : arrays as they lie; labels have the inputs' axes without C.
    more : regions (arrays or None) and other values of `Arrays`; options, settings (plain values), start, resume, name.
    """
    with _new(folder):
        regions = more.pop("regions", ())
        about = {k: more.pop(k) for k in list(more) if k in Arrays.__dataclass_fields__}
        arrays = Arrays(
            _stored(folder, "input", inputs),  # type: ignore[arg-type]  # none of them is None
            None if targets is None else _stored(folder, "target", targets),
            axes,
            _stored(folder, "region", regions),
            **_tuples(about),
        )
        _training(task, out, more, arrays=arrays).write(folder)
        return folder


def train_files_request(folder: Path, task: str, given: DatasetFiles, *, out: Path, **more: Any) -> Path:
    """The same for files, which the job reads; ``more`` : options, settings, start, resume, name."""
    with _new(folder):
        _training(task, out, more, files=given).write(folder)
        return folder


def _training(task: str, out: Path, more: dict[str, Any], **data: Any) -> TrainRequest:
    settings = checked(TrainSettings, more.pop("settings", {}))
    return TrainRequest(task, out, settings=settings, **data, **more)


# applying -----------------------------------------------------------------------------------------------------------


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
        return StoredImage(**_tuples(values), numbers=numbers and Normalization(**_tuples(numbers)))


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
        return cls(**_applying(values), files=TiffSink(inputs, Path(files.pop("out")), **_tuples(files)))


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
    with _new(folder):
        stored, places = _stored_images(folder, images), tuple(map(str, stores))
        PredictImages(model, settings or PredictSettings(), dict(decoding or {}), stored, maps, places).write(folder)
        return folder


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
    with _new(folder):
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
    with _new(folder):
        ObjectsRequest(model, _stored_images(folder, images), why).write(folder)
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
    with _new(folder):
        PredictFiles(model, settings or PredictSettings(), dict(decoding or {}), files, axes).write(folder)
        return folder


def _applying(values: dict[str, Any]) -> dict[str, Any]:
    return {**values, "model": Path(values["model"]), "settings": checked(PredictSettings, values["settings"])}


# recipes ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RecipeRequest(Request):
    """A recipe that is run.

    Attributes
    ----------
    text : the recipe as YAML; ``base`` : what its relative paths start from.
    overwrite : replace the results of another recipe.
    """

    kind: ClassVar[str] = "recipe"

    text: str
    base: Path
    overwrite: bool = False

    @property
    def recipe(self) -> Recipe:
        """The recipe; DojoError where it is none."""
        return replace(parsed(self.text.encode()), base=self.base)

    @classmethod
    def of(cls, values: dict[str, Any]) -> Self:
        """The request of plain values."""
        return cls(**{**values, "base": Path(values["base"])})


def recipe_request(folder: Path, recipe: Recipe, overwrite: bool = False) -> Path:
    """Write that a recipe is to be run into a new folder of a job."""
    with _new(folder):
        RecipeRequest(text_of(recipe), recipe.base, overwrite).write(folder)
        return folder


# live previews ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LiveRequest(Request):
    """A resident job for live previews; what is to be predicted comes as commands, see `napari_dojo.inference.live`."""

    kind: ClassVar[str] = "live"

    @classmethod
    def of(cls, values: dict[str, Any]) -> Self:
        """The request of plain values."""
        return cls()


def live_request(folder: Path) -> Path:
    """Write what a live preview needs into a new folder of a job."""
    with _new(folder):
        LiveRequest().write(folder)
        return folder


# folders ------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _new(folder: Path) -> Iterator[None]:
    """Make a job's folder, and claim it before anybody can find it unclaimed; it goes where its request fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        claim(folder)
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _stored(folder: Path, name: str, arrays: Sequence[Any]) -> tuple[str | None, ...]:
    """The names of the files that arrays are written to; DojoError where the disk is full."""
    names = tuple(None if array is None else f"{name}-{i}.npy" for i, array in enumerate(arrays))
    for file, array in zip(names, arrays, strict=True):
        if file is not None:
            data = np.asarray(array)
            with replacing(folder / file, data.nbytes) as part, part.open("wb") as out:
                np.save(out, data)
    return names


def _stored_images(folder: Path, images: Sequence[Image]) -> tuple[StoredImage, ...]:
    """Images, written to the folder."""
    files = [keep(folder, f"input-{k}", image.picture.data) for k, image in enumerate(images)]
    labels = _stored(folder, "labels", [image.labels for image in images])
    return tuple(
        StoredImage(
            f, i.name, i.axes or i.picture.axes, i.picture.pixel_size, i.picture.unit, i.numbers, i.in_context, y
        )
        for f, y, i in zip(files, labels, images, strict=True)
    )


def _loaded(folder: Path, names: Sequence[str | None]) -> list[Any]:
    return [None if n is None else np.load(folder / n, mmap_mode="r") for n in names]


def _tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    """Lists, as JSON has them, as tuples."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
