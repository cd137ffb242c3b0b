"""Files <-> arrays with axes and pixel size: TIFF (plain, ImageJ, OME), PNG, JPEG, BMP, NumPy, OME-Zarr; microscopes' own files.

What a file is, its first bytes say, not its name; `napari_dojo.io.formats` has a module for each. Whatever is wrong with
a file comes out as one `DojoError`; what was left out of a file without harm (transparency) stands in ``Picture.notes``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_dojo.data import kinds
from napari_dojo.data.axes import Axes
from napari_dojo.data.channels import chosen, grey
from napari_dojo.data.units import in_micrometres
from napari_dojo.errors import DojoError
from napari_dojo.io.atomic import replacing
from napari_dojo.io.formats.czi import read_czi
from napari_dojo.io.formats.lif import read_lif
from napari_dojo.io.formats.nikon import read_nd2
from napari_dojo.io.formats.numpy_file import read_numpy, write_numpy
from napari_dojo.io.formats.olympus import read_oif
from napari_dojo.io.formats.ome_zarr import read_zarr, write_zarr
from napari_dojo.io.formats.picture import PLANE, Picture, Wanted, cast, lazy, plane_size, tidy
from napari_dojo.io.formats.pixels import png_bytes, read_pixels, write_png
from napari_dojo.io.formats.tiff import read_tiff
from napari_dojo.io.formats.tiff_writer import write_tiff
from napari_dojo.io.pairing import is_zarr

__all__ = ["LAZY_ABOVE", "Picture", "as_labels", "png_bytes", "read", "read_all", "with_channels", "write"]

LAZY_ABOVE = 2_000_000_000  # bytes; larger images stay in their file

_STARTS = {
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",  # more than 4 GB
    b"MM\0+": "TIFF",
    b"\x89PNG": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"BM": "BMP",
    b"\x93NUMPY": "NumPy",
    b"ZISRAWFILE": "CZI",
    b"\xda\xce\xbe\x0a": "ND2",
    b"\x00\x00\x00\x0cjP  ": "ND2",  # of old cameras, in JPEG 2000
    b"\x70\x00\x00\x00": "LIF",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "OIB",
}


def read(path: str | Path, *, labels: bool = False, lazy_above: int = LAZY_ABOVE, image: int | None = None) -> Picture:
    """Read one image of a file, in full resolution.

    Parameters
    ----------
    path : TIFF, PNG, JPEG, BMP, ``.npy``, or the folder of an OME-Zarr (0.1 to 0.5) or of a plain Zarr array; CZI, ND2,
        LIF, OIB and OIF through the packages of the extra ``formats``. Of a multi-file OME-TIFF, what this very file holds.
    labels : the numbers of a palette are its values; else its colours are.
    lazy_above : bytes; a larger TIFF, ``.npy`` or Zarr stays in its file (memory-mapped where it is not compressed,
        else dask).
    image : its number, from 0; None: the first one, with a note that says how many others there are.

    Raises
    ------
    DojoError : missing, empty, truncated, foreign, unreadable, without pixels or not made of real numbers.
    """
    first = _read(path, Wanted(labels, lazy_above, image or 0))
    left = first.images - 1
    if not left or image is not None:
        return first
    note = f"{first.path.name} holds {first.images} images; the first was read, {left} {'were' if left > 1 else 'was'} left out."
    return replace(first, notes=(*first.notes, note))


def read_all(path: str | Path, *, labels: bool = False, lazy_above: int = LAZY_ABOVE) -> Iterator[Picture]:
    """Read all images of a file (its scenes or series), one after the other; most files hold one. See `read`."""
    first = _read(path, Wanted(labels, lazy_above))
    yield first
    for image in range(1, first.images):
        yield _read(path, Wanted(labels, lazy_above, image))


def _read(path: str | Path, wanted: Wanted) -> Picture:
    path = Path(path).expanduser()
    try:
        return tidy(_READERS[_kind(path)](path, wanted))
    except DojoError:
        raise
    except PermissionError as error:
        raise DojoError(f"{path} may not be read. Ask for permission, or copy it to a folder of your own.") from error
    except MemoryError as error:
        raise DojoError(
            f"{path.name} does not fit in memory. Save it as an uncompressed TIFF or an OME-Zarr."
        ) from error
    except Exception as error:  # on a broken file, decoders raise whatever comes
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:120]
        raise DojoError(
            f"{path.name} is truncated or damaged and cannot be read ({reason}). "
            "Copy it again from where it comes from, or leave it out."
        ) from error


def write(
    path: str | Path,
    array: Any,
    axes: str,
    pixel_size: Sequence[float] | None = None,
    unit: str | None = None,
    description: str | None = None,
    channel_names: Sequence[str] = (),
    *,
    labels: bool = False,
) -> None:
    """Write an image so that it is there as a whole or not at all; an older file of this name is replaced.

    Parameters
    ----------
    path : ``.tif`` or ``.tiff`` (as ImageJ has them where its types and sizes allow, else OME-TIFF), ``.png`` (planes
        of uint8 or uint16, colours of uint8), ``.npy``, or ``.zarr`` (OME-Zarr 0.5; labels in its group ``labels``).
    array : real numbers; numpy, memory-mapped, dask or Zarr. uint8 stays; other whole numbers are stored as uint16 or
        uint32, all the rest as float32. TIFF and Zarr hold the axes in the order TZCYX; only in TIFF a last axis of
        three uint8 is colours and stays last.
    axes : one letter of "TZCYX" for each axis of the array.
    pixel_size : (Y, X) or (Z, Y, X), in ``unit``.
    description : free text, such as what made the image (TIFF only).
    channel_names : one for each channel.
    labels : store as uint16, or as uint32 where a number is larger than 65535.

    Raises
    ------
    DojoError : wrong axes, negative or fractional labels, a type that the format does not hold, a folder that cannot
        be written, a full disk.
    """
    path = Path(path).expanduser()
    writer = _WRITERS.get(path.suffix.lower())
    if writer is None:
        raise DojoError(
            f"Images are written as {', '.join(_WRITERS)}; {path.name} ends otherwise. Choose one of these."
        )
    array = _array(array)
    names = Axes.resolve(array.shape, axes).names
    data = _stored(array, labels, path.name)
    sizes = dict(zip("XYZ", list(pixel_size or ())[::-1], strict=False))
    sizes, unit = in_micrometres(sizes, dict.fromkeys(sizes, unit))
    colours = names.endswith("C") and data.shape[-1] == 3 and data.dtype == np.uint8
    known = plane_size(sizes, names)
    picture = Picture(data, names, colours, known, unit, tuple(channel_names), path, description or "")
    with replacing(path, int(data.nbytes)) as part:
        writer(part, picture, labels)


def with_channels(picture: Picture, axes: str, needed: int | None, channel: str | None = None) -> tuple[Picture, str]:
    """The picture with the channels that are used, and its axes.

    Parameters
    ----------
    axes : of the picture, one letter for each axis.
    needed : how many channels a model takes; None: any number. Colours that are grey are one channel where it takes one.
    channel : the one that a person chose, by number (1 is the first) or name; several are separated by commas.

    Raises
    ------
    DojoError : there is no such channel, or a choice is needed.
    """
    data, names = picture.data, picture.channel_names
    if channel:
        data, axes, names = chosen(data, axes, channel, names, file=picture.name)
    elif needed == 1 and "C" in axes:
        one = grey(data, axes) if picture.rgb else None
        count = data.shape[axes.index("C")]
        if one is None and count > 1:
            called = f" ({', '.join(names)})" if any(names) else " (red, green, blue)" if picture.rgb else ""
            raise DojoError(
                f"{picture.name} has {count} channels{called}, and the model takes one. "
                "Choose one channel, by name or number: 1 is the first."
            )
        data, axes, names = (data, axes, names) if one is None else (one, axes.replace("C", ""), ())
    else:
        return picture, axes
    known = axes if picture.axes else None
    return replace(
        picture, data=data, axes=known, rgb=picture.rgb and data.ndim == picture.data.ndim, channel_names=names
    ), axes


def as_labels(array: Any, name: str, *, rgb: bool = False) -> Any:
    """Labels from a file as integers: what `kinds.as_labels` takes, and colours that are grey.

    Parameters
    ----------
    array : any axes, numpy or dask.
    name : what the user knows it by.
    rgb : the last axis holds colours. Without it, a last axis of three or four uint8 is taken for colours.

    Raises
    ------
    DojoError : colours that differ (nobody can know what they stand for), fractions, negative numbers, no numbers.
    """
    looks = array.ndim > 2 and array.shape[-1] in (3, 4) and array.dtype == np.uint8 and array.shape[-2] > 4
    if rgb or looks:
        red, green, blue = (array[..., i] for i in range(3))
        if not bool(((red == green) & (red == blue)).all()):
            raise DojoError(
                f"Labels are one whole number for each pixel, but {name} holds colours. Save the label image itself, "
                "for example as a 16-bit TIFF or PNG, not a picture of it."
            )
        array = red
    return kinds.as_labels(array, name)


def _kind(path: Path) -> str:
    """What the path holds: a key of `_READERS`."""
    if is_zarr(path):
        return "Zarr"
    if path.is_dir():
        raise DojoError(f"One image was expected, but {path} is a folder, and no OME-Zarr. Name a file in it.")
    if not path.exists():
        raise DojoError(f"An image was expected, but {path} does not exist. Check the path.")
    with path.open("rb") as file:
        head = file.read(64)
    if not head:
        raise DojoError(f"An image was expected, but {path.name} is empty (0 bytes). Copy or save it again.")
    for start, kind in _STARTS.items():
        if head.startswith(start):
            return kind
    if path.suffix.lower() == ".oif":  # text, with its planes in a folder beside it
        return "OIB"
    came = "text" if all(32 <= b < 127 or b in b"\t\r\n" for b in head) else "another format"
    raise DojoError(
        f"A TIFF, PNG, JPEG, BMP, .npy or OME-Zarr was expected, but {path.name} holds {came}. "
        "Open it in Fiji or napari, and save it as TIFF."
    )


def _array(array: Any) -> Any:
    """What is numpy or dask."""
    if isinstance(array, np.ndarray) or hasattr(array, "dask"):
        return array
    return lazy(array) if getattr(array, "nbytes", 0) > PLANE else np.asarray(array)


def _stored(array: Any, labels: bool, name: str) -> Any:
    """The array in the type that it is written in."""
    if labels:
        array = as_labels(array, name)
    kind = array.dtype.kind
    if kind not in "biuf" or 0 in array.shape:
        came = " x ".join(map(str, array.shape))
        raise DojoError(f"{name} cannot be written: real numbers were expected, but {came} of {array.dtype} came.")
    if kind == "f":
        return cast(array, np.float32)
    if kind == "b" or array.dtype == np.uint8:
        return cast(array, np.uint16 if labels else np.uint8)
    low, high = int(array.min()), int(array.max())
    if low >= 0 and high < 2**32:
        return cast(array, np.uint16 if high < 2**16 else np.uint32)
    if labels:
        raise DojoError(f"Label numbers are below 4294967296; in {name} they go up to {high}. Renumber the objects.")
    return cast(array, np.float32)


_READERS: dict[str, Callable[[Path, Wanted], Picture]] = {
    "TIFF": read_tiff,
    **dict.fromkeys(("PNG", "JPEG", "BMP"), read_pixels),
    "NumPy": read_numpy,
    "Zarr": read_zarr,
    "CZI": read_czi,
    "ND2": read_nd2,
    "LIF": read_lif,
    "OIB": read_oif,
}
_WRITERS: dict[str, Callable[[Path, Picture, bool], None]] = {
    **dict.fromkeys((".tif", ".tiff"), write_tiff),
    ".png": write_png,
    ".npy": write_numpy,
    ".zarr": write_zarr,
}
