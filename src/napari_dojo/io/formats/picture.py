"""What every format reads into and writes from: a picture, its axes, data types and pixel size."""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from napari_dojo.data.units import implausible, unit_text
from napari_dojo.errors import DojoError

__all__ = ["PLANE", "TILE", "Facts", "Picture", "Wanted", "cast", "in_order", "lazy", "plane_size", "tidy"]

TILE = 1024  # edge of tiles and chunks, px
PLANE = 2**29  # bytes; larger planes that are not in memory are written tile by tile


@dataclass(frozen=True)
class Wanted:
    """What is to be read of a file.

    Attributes
    ----------
    labels : the numbers of a palette are its values; else its colours are.
    lazy_above : bytes; larger images stay in their file.
    image : which of the file's images, from 0.
    """

    labels: bool = False
    lazy_above: int = 2_000_000_000
    image: int = 0


@dataclass(frozen=True)
class Facts:
    """What a file says of an image: pixel size by axis and its unit, channel names, free text."""

    sizes: Mapping[str, float] = field(default_factory=dict)
    unit: str | None = None
    channel_names: tuple[str, ...] = ()
    description: str = ""


@dataclass(frozen=True, eq=False)
class Picture:
    """One image of a file as read, or to be written.

    Attributes
    ----------
    data : the array as it lies in the file, without axes of length 1 (Y and X stay), in the machine's byte order: numpy; where it is larger than the limit, memory-mapped or dask. Never bool, float16 or complex.
    axes : one letter of "TZCYX" for each axis; None where the file does not say (plain TIFF and ``.npy`` of three or
        more dimensions).
    rgb : the last axis holds red, green and blue.
    pixel_size : (Z, Y, X) of a stack; (Y, X) of a plane, of a stack whose distance of planes is not known, and where
        ``axes`` is None. None unless Y and X are known.
    unit : of the pixel size; lengths come as "um".
    channel_names : one for each channel, or empty.
    path : of the file.
    description : free text.
    notes : sentences for the user.
    image, images : this is image number ``image``, from 0, of the ``images`` in the file.
    """

    data: Any
    axes: str | None
    rgb: bool = False
    pixel_size: tuple[float, ...] | None = None
    unit: str | None = None
    channel_names: tuple[str, ...] = ()
    path: Path = Path()
    description: str = ""
    notes: tuple[str, ...] = ()
    image: int = 0
    images: int = 1

    @property
    def name(self) -> str:
        """What the user knows it by: the file's name, with the number of the image where there are several."""
        return f"{self.path.name} (image {self.image + 1})" if self.images > 1 else self.path.name


def tidy(picture: Picture) -> Picture:
    """Real numbers in the machine's byte order, no axes of length 1, no transparency, no impossible pixel size.

    Readers name axes that they cannot tell by "?".

    Raises
    ------
    DojoError : complex numbers, text, no pixels, fewer than two dimensions.
    """
    data, axes, name, notes = picture.data, picture.axes or "", picture.path.name, picture.notes
    _check_numbers(data, name)
    single = [n == 1 and a not in "YX" for a, n in zip(axes, data.shape, strict=True)]
    if any(single):
        data = data[tuple(0 if one else slice(None) for one in single)]
    left = "".join(a for a, one in zip(axes, single, strict=True) if not one)
    if picture.rgb and data.shape[-1] == 4:
        if type(data) is not np.ndarray or np.ptp(data[..., 3]) > 0:
            notes = (*notes, f"The transparency (alpha) of {name} was left out.")
        data = data[..., :3]
    size = picture.pixel_size
    if size is not None and len(size) == 3 and "Z" not in left:
        size = size[1:]
    if size is not None and picture.unit == "um" and implausible(size):
        shown = " x ".join(f"{s:.3g}" for s in size)
        notes = (*notes, f"{name} gives pixels of {shown} {unit_text('um')}, which cannot be right. It was ignored.")
        size = None
    known = "?" not in left and len(set(left)) == len(left)
    names = picture.channel_names
    if len(names) != (data.shape[left.index("C")] if "C" in left else 1):
        names = ()
    return replace(
        picture,
        data=cast(data, _plain_type(data.dtype)),
        axes=left if known else None,
        pixel_size=size,
        unit=picture.unit if size else None,
        channel_names=names,
        notes=notes,
    )


def _check_numbers(data: Any, name: str) -> None:
    if data.dtype.kind not in "biuf":
        came = "complex numbers; save their magnitude" if data.dtype.kind == "c" else f"{data.dtype}; save it as TIFF"
        raise DojoError(f"An image of real numbers was expected, but {name} holds {came}.")
    if data.ndim < 2 or 0 in data.shape:
        shape = " x ".join(map(str, data.shape)) or "a single number"
        raise DojoError(
            f"An image of at least one pixel and two dimensions was expected, but {name} is {shape}. Leave it out."
        )


def plane_size(sizes: Mapping[str, float], axes: str) -> tuple[float, ...] | None:
    """The pixel size (Y, X) or, where ``axes`` have a Z whose step is known, (Z, Y, X); None unless Y and X are known."""
    found = tuple(sizes.get(a, 0.0) for a in "ZYX" if a == "Z" or a in axes)
    known = [math.isfinite(size) and size > 0 for size in found]
    if not all(known[1:]):
        return None
    return found if known[0] and "Z" in axes else found[1:]


def in_order(picture: Picture, order: str) -> tuple[Any, str]:
    """The array with its axes in this order, and their names."""
    axes = picture.axes or ""
    left = "".join(a for a in order if a in axes) + "".join(a for a in axes if a not in order)
    return picture.data.transpose([axes.index(a) for a in left]), left


def _plain_type(dtype: DTypeLike) -> np.dtype[Any]:
    """The nearest type that all of numpy, torch and TIFF understand, in the machine's byte order."""
    dtype = np.dtype(dtype).newbyteorder("=")
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    if dtype.kind == "f" and dtype.itemsize not in (4, 8):
        return np.dtype(np.float32 if dtype.itemsize < 4 else np.float64)
    return dtype


def cast(array: Any, dtype: DTypeLike) -> Any:
    """The array in another type; what is memory-mapped stays on the disk."""
    if np.dtype(dtype) == array.dtype:
        return array
    if isinstance(array, np.memmap):
        array = lazy(array)
    with np.errstate(over="ignore"):
        return array.astype(dtype)


def lazy(array: Any) -> Any:
    """A dask array that reads from this one when it is needed."""
    import dask.array as da

    return da.from_array(array, chunks="auto", name=f"image-{secrets.token_hex(8)}")
