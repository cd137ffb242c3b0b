"""Where predictions go: what takes them, and an OME-Zarr, ``.npy`` files of a run folder, or arrays in memory as such."""

from __future__ import annotations

import errno
import os
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_dojo.errors import FULL, DojoError
from napari_dojo.inference.geometry import Input
from napari_dojo.io.atomic import replacing, unwritable
from napari_dojo.models.card import Card
from napari_dojo.tasks import TASKS

if TYPE_CHECKING:
    from napari_dojo.inference.predict import Prediction

__all__ = [
    "ArraySink",
    "Place",
    "RunSink",
    "Sink",
    "Store",
    "Stored",
    "ZarrSink",
    "memory_mapped",
    "size_of",
]

UNFINISHED = ".unfinished"  # ends the name of the folder that belongs to a store while it is being written


@dataclass(frozen=True)
class Stored:
    """Where the prediction for one image lies; None for what there is not.

    Attributes
    ----------
    index, name : of the image among all that were given.
    axes : of the prediction.
    prediction, uncertainty, maps, table, rois : files.
    lacking : of what there was too little to keep the maps that were wanted, "memory" or "disk".
    source, number, objects : of a recipe: the image's file, which of the images in it, and how many objects were found.
    """

    index: int
    name: str
    axes: str
    prediction: str | None = None
    uncertainty: str | None = None
    maps: str | None = None
    lacking: str | None = None
    table: str | None = None
    rois: str | None = None
    source: str | None = None
    number: int = 0
    objects: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Store:
    """An OME-Zarr that takes a prediction block by block.

    Attributes
    ----------
    because : why, a sentence, where nobody asked for it.
    shown : lower resolutions are written on the way, for a window, and a name that is taken gets a number.
    """

    path: Path
    overwrite: bool = False
    because: str = ""
    shown: bool = False


class Place(Protocol):
    """Where results go."""

    @property
    def where(self) -> str:
        """The folder, or empty."""

    def release(self, index: int) -> None:
        """Clear away what is left of the work on an image."""


class Sink:
    """Takes predictions: `check` once, then for each image `storage`, `write` or not, and `release`; `finish` after all.

    By default predictions are arrays in memory, and nothing is kept; subclasses override what differs.
    """

    @property
    def where(self) -> str:
        """The folder, or empty."""
        return ""

    def check(self) -> None:
        """DojoError where predictions cannot go there."""

    def storage(self, index: int, shape: tuple[int, ...], dtype: Any) -> Any:
        """Zeros for the prediction of image ``index``, to be filled sample by sample; DojoError: a full disk."""
        return np.zeros(shape, dtype)

    def store(self, index: int, card: Card, image: Input, wanted: bool) -> Store | None:
        """The OME-Zarr for image ``index``, ``wanted`` where it does not fit in memory; None: it goes through `storage`."""
        return None

    def lacks(self, maps: tuple[int, ...]) -> str | None:
        """Of what there is too little to keep maps of this shape, (samples, K, *S): "memory", "disk" or ""; None: they are not wanted."""
        return None

    def write(self, index: int, card: Card, image: Input, found: Prediction) -> Stored:
        """Keep a prediction; DojoError, caused by OSError, where the disk refuses it."""
        raise NotImplementedError

    def release(self, index: int) -> None:
        """Clear away what is left of the work on an image."""

    def finish(self) -> None:
        """Write what is of all images together; DojoError, caused by OSError, where the disk refuses it."""


@dataclass(frozen=True)
class ZarrSink(Sink):
    """One OME-Zarr, which takes the prediction for one image block by block.

    Attributes
    ----------
    input : the file of the image. Where it is the store itself, labels are added to it.
    """

    input: Path
    out: Path
    overwrite: bool = False

    @property
    def where(self) -> str:
        """The store."""
        return str(self.out)

    def store(self, index: int, card: Card, image: Input, wanted: bool) -> Store | None:
        """The store, always; DojoError where a predicted image would overwrite its input, or a file has several images."""
        if image.number:
            raise DojoError(
                f"{self.input.name} holds several images, and {self.out.name} takes one. Name a folder as --out."
            )
        if TASKS[card.task].result.intensities and self.out.resolve() == self.input.resolve():
            raise DojoError(f"The result would overwrite the image {self.input.name} itself. Choose another name.")
        return Store(self.out, self.overwrite)


@dataclass(frozen=True)
class RunSink(Sink):
    """``.npy`` files in the folder of a job, which another process maps into its memory.

    ``stores`` : an OME-Zarr for each image that does not fit in memory.
    """

    folder: Path
    maps: bool = True
    stores: tuple[Path, ...] = ()

    @property
    def where(self) -> str:
        """The folder."""
        return str(self.folder)

    def storage(self, index: int, shape: tuple[int, ...], dtype: Any) -> Any:
        """A file."""
        return memory_mapped(self.folder / f"prediction-{index}.npy", shape, dtype)

    def store(self, index: int, card: Card, image: Input, wanted: bool) -> Store | None:
        """The OME-Zarr of that image, where it is wanted and one is named; else the file is memory-mapped."""
        if not wanted or not self.stores:
            return None
        because = f"{image.name} is too large to be predicted at once ({size_of(image)})."
        return Store(self.stores[index], because=because, shown=True)

    def lacks(self, maps: tuple[int, ...]) -> str | None:
        """Nothing where they fit in memory and on the disk, with room left for others."""
        import psutil

        needed = 4.0 * np.prod(maps)
        if not self.maps:
            return None
        if needed >= 0.3 * psutil.virtual_memory().available:
            return "memory"
        return "disk" if needed >= 0.5 * shutil.disk_usage(self.folder).free else ""

    def write(self, index: int, card: Card, image: Input, found: Prediction) -> Stored:
        """Write what is not there already."""
        found.array.flush()
        uncertainty = self._save(f"uncertainty-{index}.npy", found.uncertainty)
        maps = self._save(f"maps-{index}.npy", found.maps)
        return Stored(index, image.name, found.axes.names, f"prediction-{index}.npy", uncertainty, maps)

    def _save(self, name: str, array: NDArray[Any] | None) -> str | None:
        if array is None:
            return None
        with replacing(self.folder / name, array.nbytes) as part, part.open("wb") as file:
            np.save(file, array)
        return name


@dataclass(frozen=True, eq=False)
class ArraySink(Sink):
    """Arrays in memory; ``found`` holds the predictions by the index of the image."""

    found: dict[int, Any] = field(default_factory=dict)

    def write(self, index: int, card: Card, image: Input, found: Prediction) -> Stored:
        """Keep the array."""
        self.found[index] = found.array
        return Stored(index, image.name, found.axes.names)


def size_of(image: Input) -> str:
    """How large an image is, in words."""
    shape = image.array.shape
    return f"{' x '.join(map(str, shape))}, {image.array.dtype}, {np.prod(shape, dtype=float) * image.array.dtype.itemsize / 1e9:.3g} GB"


def memory_mapped(path: Path, shape: tuple[int, ...], dtype: Any) -> Any:
    """Zeros in a new ``.npy`` file; DojoError where the disk is full."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        made = np.lib.format.open_memmap(path, "w+", dtype, shape)
        _reserve(path)
        return made
    except OSError as e:
        path.unlink(missing_ok=True)
        raise unwritable(path, e, int(np.prod(shape)) * np.dtype(dtype).itemsize) from e


def _reserve(path: Path) -> None:
    """Take the room of a file on the disk now: where it runs out under a memory map, the system ends the process.

    Raises
    ------
    OSError : the disk is full.
    """
    if not hasattr(os, "posix_fallocate"):
        return
    with path.open("r+b") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        except OSError as e:
            if e.errno in (*FULL, errno.EFBIG):
                raise  # other file systems cannot reserve
