"""Where images come from that a model is applied to: files, or arrays in memory or in ``.npy`` files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from napari_dojo.data.kinds import LABELS
from napari_dojo.inference.geometry import Image
from napari_dojo.io import images
from napari_dojo.io.datasets import read_targets
from napari_dojo.io.passed import open_kept

__all__ = ["PARTLY", "ArraySource", "FileSource", "Source", "StoredSource"]

PARTLY = 64_000_000  # bytes; larger images are not held in memory where they are predicted block by block


class Source(Protocol):
    """One image, or several, read when their turn comes."""

    @property
    def name(self) -> str:
        """What the user knows it by."""

    def read(self, number: int = 0) -> Image:
        """Image ``number`` of those that its picture says there are; DojoError where it cannot be read."""


@dataclass(frozen=True)
class FileSource:
    """An image file with one image or several.

    Attributes
    ----------
    axes : as a person names them; None: as the file says.
    shown : what the user knows it by where the file's name is not enough, such as ``A1/field.tif``.
    labels : the file of its objects, which get a class each.
    lazy_above : bytes; larger images stay on the disk, and are read part by part.
    """

    path: Path
    axes: str | None = None
    shown: str = ""
    labels: Path | None = None
    lazy_above: int = images.LAZY_ABOVE

    @property
    def name(self) -> str:
        """Of the file."""
        return self.shown or self.path.name

    def read(self, number: int = 0) -> Image:
        """The full resolution of one image in the file."""
        picture = replace(images.read(self.path, image=number, lazy_above=self.lazy_above), path=self.path)
        name = picture.name.replace(self.path.name, self.name, 1)
        if self.labels is None:
            return Image(name, picture, self.axes)
        (target,) = read_targets(self.labels, LABELS, [picture], self.axes)
        return Image(name, picture, self.axes, labels=target.data)


@dataclass(frozen=True, eq=False)
class ArraySource:
    """An image that is there: numpy, dask or memory-mapped."""

    image: Image

    @property
    def name(self) -> str:
        """Of the image."""
        return self.image.name

    def read(self, number: int = 0) -> Image:
        """The image."""
        return self.image


@dataclass(frozen=True, eq=False)
class StoredSource:
    """An image whose array lies in a file of `napari_dojo.io.passed`; ``image`` says all else of it."""

    path: Path
    image: Image

    @property
    def name(self) -> str:
        """Of the image."""
        return self.image.name

    def read(self, number: int = 0) -> Image:
        """The image with its array."""
        return replace(self.image, picture=replace(self.image.picture, data=open_kept(self.path)))
