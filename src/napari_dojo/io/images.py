"""Files <-> arrays with axes and pixel size: TIFF (plain, ImageJ, OME), PNG, JPEG, BMP, NumPy and OME-Zarr.

What a file is, its first bytes say, not its name. Whatever is wrong with a file comes out as one `DojoError`; what was
left out of a file without harm (a second image, transparency) stands in ``Picture.notes``.
"""

from __future__ import annotations

import logging
import math
import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_dojo.data import kinds
from napari_dojo.data.axes import LETTERS, Axes
from napari_dojo.errors import DojoError
from napari_dojo.io.atomic import replacing
from napari_dojo.io.pairing import is_zarr

__all__ = ["LAZY_ABOVE", "Picture", "as_labels", "read", "write"]

LAZY_ABOVE = 2_000_000_000  # bytes; larger images stay in their file
BIG = 2**32 - 2**25  # bytes from which a TIFF needs 64-bit offsets; leaves room for its metadata
PLANE = 2**29  # bytes; larger planes that are not in memory are written tile by tile
TILE = 1024
LOOKED_AT = 1_000_000  # values of a channel that its display range is measured on
SHRINKS = 10_000  # times, by compression; a TIFF that claims to hold more is damaged, and would take minutes to try
COARSE = 100.0  # µm; a pixel size above it in a plain TIFF is a printer's resolution

# Pixel size by axis, its unit, channel names, description.
Summary = tuple[dict[str, float], str | None, tuple[str, ...], str]

_STARTS = {
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",  # more than 4 GB
    b"MM\0+": "TIFF",
    b"\x89PNG": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"BM": "BMP",
    b"\x93NUMPY": "NumPy",
}
_MICROMETRES = {
    **{"pm": 1e-6, "å": 1e-4, "nm": 1e-3, "um": 1.0, "mm": 1e3, "cm": 1e4, "m": 1e6},
    **{"picometer": 1e-6, "angstrom": 1e-4, "nanometer": 1e-3, "micrometer": 1.0, "micron": 1.0},
    **{"millimeter": 1e3, "centimeter": 1e4, "meter": 1e6},
}
_NO_SIZES = ("pixel", "inch")  # a unit that says that the file's numbers are no sizes; inches come from printing
# What tifffile logs and goes on, although planes or the file's own description are lost.
_LOST = re.compile(
    r"invalid (page )?offset|corrupted|failed to re|out of range|TiffTag (270|273|279|324|325|5083[89]) .*value offset"
)


@dataclass(frozen=True, eq=False)
class Picture:
    """One file as read, or to be written.

    Attributes
    ----------
    data : the array as it lies in the file, without axes of length 1 (Y and X stay), in the machine's byte order:
        numpy; where it is larger than the limit, memory-mapped or dask. Never bool, float16 or complex.
    axes : one letter of "TZCYX" for each axis; None where the file does not say (plain TIFF and ``.npy`` of three or
        more dimensions).
    rgb : the last axis holds red, green and blue.
    pixel_size : of the spatial axes present, (Y, X) or (Z, Y, X); of the plane alone where ``axes`` is None. None
        unless all are known.
    unit : of the pixel size; lengths come as "um".
    channel_names : one for each channel, or empty.
    path : of the file.
    description : free text.
    notes : sentences for the user.
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


def read(path: str | Path, *, labels: bool = False, lazy_above: int = LAZY_ABOVE) -> Picture:
    """Read one image: the full resolution of the first image in the file.

    Parameters
    ----------
    path : TIFF, PNG, JPEG, BMP, ``.npy``, or the folder of an OME-Zarr (0.1 to 0.5) or of a plain Zarr array.
    labels : the numbers of a PNG with a palette are its values; else its colours are.
    lazy_above : bytes; a larger TIFF, ``.npy`` or Zarr stays in its file (memory-mapped where it is not compressed,
        else dask).

    Raises
    ------
    DojoError : missing, empty, truncated, foreign, unreadable, without pixels or not made of real numbers.
    """
    path = Path(path).expanduser()
    try:
        return _tidy(_READERS[_kind(path)](path, labels, lazy_above))
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
        of uint8 or uint16, colours of uint8), ``.npy``, or ``.zarr`` (OME-Zarr 0.4, one resolution).
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
    sizes, unit = _in_micrometres(sizes, dict.fromkeys(sizes, unit))
    colours = names.endswith("C") and data.shape[-1] == 3 and data.dtype == np.uint8
    # Unlike those of a picture that was read, these sizes may lack Z: (Y, X) of a stack.
    known = _pixel_size(sizes, "".join(a for a in names if a in sizes)) if "X" in sizes else None
    picture = Picture(data, names, colours, known, unit, tuple(channel_names), path, description or "")
    with replacing(path, int(data.nbytes)) as part:
        writer(part, picture, labels)


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
    came = "text" if all(32 <= b < 127 or b in b"\t\r\n" for b in head) else "another format"
    raise DojoError(
        f"A TIFF, PNG, JPEG, BMP, .npy or OME-Zarr was expected, but {path.name} holds {came}. "
        "Open it in Fiji or napari, and save it as TIFF."
    )


def _tidy(picture: Picture) -> Picture:
    """Real numbers in the machine's byte order, no axes of length 1, no transparency.

    Readers name axes that they cannot tell by "?".
    """
    data, axes, name, notes = picture.data, picture.axes or "", picture.path.name, picture.notes
    if data.dtype.kind not in "biuf":
        came = "complex numbers; save their magnitude" if data.dtype.kind == "c" else f"{data.dtype}; save it as TIFF"
        raise DojoError(f"An image of real numbers was expected, but {name} holds {came}.")
    if data.ndim < 2 or 0 in data.shape:
        shape = " x ".join(map(str, data.shape)) or "a single number"
        raise DojoError(
            f"An image of at least one pixel and two dimensions was expected, but {name} is {shape}. Leave it out."
        )
    single = [n == 1 and a not in "YX" for a, n in zip(axes, data.shape, strict=True)]
    if any(single):
        data = data[tuple(0 if one else slice(None) for one in single)]
    left = "".join(a for a, one in zip(axes, single, strict=True) if not one)
    size = picture.pixel_size
    if size is not None and len(size) == 3 and "Z" not in left:
        size = size[1:]
    if picture.rgb and data.shape[-1] == 4:
        if type(data) is not np.ndarray or np.ptp(data[..., 3]) > 0:
            notes = (*notes, f"The transparency (alpha) of {name} was left out.")
        data = data[..., :3]
    known = "?" not in left and len(set(left)) == len(left)
    names = picture.channel_names
    if len(names) != (data.shape[left.index("C")] if "C" in left else 1):
        names = ()
    return replace(
        picture,
        data=_cast(data, _plain_type(data.dtype)),
        axes=left if known else None,
        pixel_size=size,
        unit=picture.unit if size else None,
        channel_names=names,
        notes=notes,
    )


def _plain_type(dtype: DTypeLike) -> np.dtype[Any]:
    """The nearest type that all of numpy, torch and TIFF understand, in the machine's byte order."""
    dtype = np.dtype(dtype).newbyteorder("=")
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    if dtype.kind == "f" and dtype.itemsize not in (4, 8):
        return np.dtype(np.float32 if dtype.itemsize < 4 else np.float64)
    return dtype


def _cast(array: Any, dtype: DTypeLike) -> Any:
    """The array in another type; what is memory-mapped stays on the disk."""
    if np.dtype(dtype) == array.dtype:
        return array
    if isinstance(array, np.memmap):
        array = _lazy(array)
    with np.errstate(over="ignore"):
        return array.astype(dtype)


def _lazy(array: Any) -> Any:
    import dask.array as da

    return da.from_array(array, chunks="auto", name=f"image-{secrets.token_hex(8)}")


# ---- TIFF


@contextmanager
def _listening() -> Iterator[list[str]]:
    """Keeps what tifffile logs from the screen, and collects it."""
    said: list[str] = []

    def take(record: logging.LogRecord) -> bool:
        said.append(record.getMessage())
        return False

    logger = logging.getLogger("tifffile")
    logger.addFilter(take)
    try:
        yield said
    finally:
        logger.removeFilter(take)


def _read_tiff(path: Path, labels: bool, lazy_above: int) -> Picture:
    import tifffile

    with _listening() as said:
        tif = tifffile.TiffFile(path)
        kept = False  # open, for dask
        try:
            if not tif.series:
                raise DojoError(f"An image was expected, but {path.name} is a TIFF without one. Leave it out.")
            series = tif.series[0]
            if series.nbytes > 1e8 + SHRINKS * path.stat().st_size and not series.is_multifile:
                raise ValueError(f"{series.nbytes / 1e9:.3g} GB of pixels in {path.stat().st_size / 1e3:.3g} kB")
            data = series.asarray() if series.nbytes <= lazy_above else _mapped(tif, path)
            picture = _as_described(tif, data, path)
            kept = not isinstance(data, np.ndarray)
        finally:
            if not kept:
                tif.close()
    lost = [text for text in said if _LOST.search(text)]
    if lost:
        raise ValueError(re.sub(r"^<.*?> ", "", lost[0]))
    if any("zeroed" in text for text in said):
        picture = replace(picture, notes=(*picture.notes, f"{path.name} lacks planes; they were filled with 0."))
    return picture


def _mapped(tif: Any, path: Path) -> Any:
    """The first series without reading it: memory-mapped, or dask, which keeps the file open as long as it lives."""
    import weakref

    import zarr

    series = tif.series[0]
    if series.dataoffset is not None:
        return np.memmap(path, np.dtype(tif.byteorder + series.dtype.char), "r", series.dataoffset, series.shape)
    stored = zarr.open(series.aszarr(level=0), mode="r")
    weakref.finalize(stored, tif.close)
    return _lazy(stored)


def _as_described(tif: Any, data: Any, path: Path) -> Picture:
    series = tif.series[0]
    page, letters = series.keyframe, series.axes
    rgb = False
    if "S" in letters:
        at = letters.index("S")
        rgb = int(page.photometric) in (2, 6) and data.shape[at] in (3, 4)  # RGB, YCbCr
        if rgb:
            data, letters = np.moveaxis(data, at, -1), letters.replace("S", "") + "S"
        elif data.shape[at] == 2 and page.extrasamples and page.extrasamples[0] in (1, 2):  # grey and transparency
            data, letters = np.take(data, 0, axis=at), letters.replace("S", "")
    axes = "".join("C" if a == "S" else a if a in LETTERS else "?" for a in letters)
    if series.kind == "ome":
        sizes, unit, channels, description = _ome_facts(tif.ome_metadata)
    elif series.kind == "imagej":
        sizes, unit, channels, description = _imagej_facts(tif, axes, data.shape)
    else:
        sizes, unit, channels, description = _plain_facts(tif.pages.first)
    more = len(tif.series) > 1
    notes = (f"{path.name} holds {len(tif.series)} images; the first was read.",) if more else ()
    return Picture(data, axes, rgb, _pixel_size(sizes, axes), unit, channels, path, description, notes)


def _ome_facts(xml: str) -> Summary:
    from xml.etree import ElementTree

    image = ElementTree.fromstring(xml).find("{*}Image")
    pixels = None if image is None else image.find("{*}Pixels")
    if image is None or pixels is None:
        return {}, None, (), ""
    found = {a: pixels.get(f"PhysicalSize{a}") for a in "ZYX"}
    units: dict[str, str | None] = {a: pixels.get(f"PhysicalSize{a}Unit", "um") for a in "ZYX"}
    sizes, unit = _in_micrometres({a: float(v) for a, v in found.items() if v}, units)
    names = tuple(channel.get("Name", "") for channel in pixels.findall("{*}Channel"))
    return sizes, unit, names if any(names) else (), (image.findtext("{*}Description") or "").strip()


def _imagej_facts(tif: Any, axes: str, shape: Sequence[int]) -> Summary:
    said = tif.imagej_metadata or {}
    sizes, unit = _resolution(tif.pages.first), str(said.get("unit", ""))
    if not unit and _resolution_unit(tif.pages.first) != 1:
        sizes = {}
    elif sizes:
        sizes["Z"] = float(said.get("spacing", 1.0))  # ImageJ leaves out a spacing of 1
    sizes, known = _in_micrometres(sizes, dict.fromkeys(sizes, unit))
    count = shape[axes.index("C")] if "C" in axes else 0
    labels = said.get("Labels") or ()
    planes = math.prod(n for a, n in zip(axes, shape, strict=True) if a not in "YX")
    names = tuple(str(text).split("\n")[0] for text in labels[:count]) if len(labels) == planes else ()
    return sizes, known, names, str(said.get("Info", ""))


def _plain_facts(page: Any) -> Summary:
    unit = {3: "cm", 4: "mm", 5: "um"}.get(_resolution_unit(page))
    sizes = _resolution(page) if unit else {}
    sizes, unit = _in_micrometres(sizes, dict.fromkeys(sizes, unit))
    if any(size > COARSE for size in sizes.values()):
        sizes = {}
    return sizes, unit, (), ""


def _resolution(page: Any) -> dict[str, float]:
    """Size of a pixel in the unit of the file."""
    sizes = {}
    for axis in "YX":
        tag = page.tags.get(f"{axis}Resolution")
        if tag is not None and tag.value is not None and tag.value[0] > 0:
            sizes[axis] = tag.value[1] / tag.value[0]
    return sizes


def _resolution_unit(page: Any) -> int:
    tag = page.tags.get("ResolutionUnit")
    return 2 if tag is None or tag.value is None else int(tag.value)  # 1 none, 2 inch


def _in_micrometres(sizes: Mapping[str, float], units: Mapping[str, str | None]) -> tuple[dict[str, float], str | None]:
    """Sizes by axis and their unit: "um" where they are lengths; nothing where they are no sizes or their units differ."""
    found: dict[str, float] = {}
    names = set()
    for axis, size in sizes.items():
        unit = _unit_name(units.get(axis))
        found[axis] = size * _MICROMETRES.get(unit, 1.0)
        names.add("um" if unit in _MICROMETRES else unit)
    unit = names.pop() if len(names) == 1 else "pixel"
    nothing = unit in _NO_SIZES or (not unit and set(found.values()) == {1.0})
    return ({}, None) if nothing else (found, unit or None)


def _unit_name(unit: str | None) -> str:
    name = (unit or "").strip().replace("\\u00B5", "u").lower()
    name = name.replace("µ", "u").replace("μ", "u").replace("metre", "meter")
    if name == "reference frame":
        return ""
    return name[:-1] if len(name) > 3 and name.endswith("s") else name


def _pixel_size(sizes: Mapping[str, float], axes: str) -> tuple[float, ...] | None:
    """(Y, X) or (Z, Y, X) where all of them are known."""
    found = tuple(sizes.get(a, 0.0) for a in "ZYX" if a in axes)
    return found if all(math.isfinite(size) and size > 0 for size in found) else None


def _write_tiff(part: Path, picture: Picture, labels: bool) -> None:
    import tifffile

    array, axes = _in_order(picture, "TZYXC" if picture.rgb else "TZCYX")
    axes = axes.replace("C", "S") if picture.rgb else axes
    in_memory = type(array) is np.ndarray
    plane = math.prod(array.shape[-3 if picture.rgb else -2 :]) * array.dtype.itemsize
    tiled = plane > PLANE and not in_memory and not picture.rgb
    imagej = array.dtype in (np.uint8, np.uint16, np.float32) and array.nbytes < BIG and not tiled
    options: dict[str, Any] = {
        "shape": array.shape,
        "dtype": array.dtype,
        "photometric": "rgb" if picture.rgb else "minisblack",
    }
    if imagej:
        options |= {"imagej": True, "metadata": _for_imagej(picture, array, axes, labels)}
        if picture.pixel_size:
            options["resolution"] = tuple(1 / size for size in picture.pixel_size[:-3:-1])  # X, Y
    else:
        options |= {"ome": True, "bigtiff": array.nbytes >= BIG, "metadata": _for_ome(picture, axes)}
    if tiled:
        options |= {"tile": (TILE, TILE)}
    if in_memory or (array.ndim == 2 and not tiled):
        data: Any = np.ascontiguousarray(array)
    else:
        data = _tiles(array) if tiled else _planes(array, 3 if picture.rgb else 2)
    with _listening():
        tifffile.imwrite(part, data, **options)


def _in_order(picture: Picture, order: str) -> tuple[Any, str]:
    """The array with its axes in this order, and their names."""
    axes = picture.axes or ""
    left = "".join(a for a in order if a in axes) + "".join(a for a in axes if a not in order)
    return picture.data.transpose([axes.index(a) for a in left]), left


def _planes(array: Any, keep: int) -> Iterator[NDArray[Any]]:
    """The planes (the last ``keep`` axes) one by one."""
    for where in np.ndindex(array.shape[:-keep]):
        yield np.ascontiguousarray(array[where])


def _tiles(array: Any) -> Iterator[NDArray[Any]]:
    """The planes in squares of TILE, row by row, filled up with 0."""
    for where in np.ndindex(array.shape[:-2]):
        for y in range(0, array.shape[-2], TILE):
            band = np.asarray(array[(*where, slice(y, y + TILE))])
            for x in range(0, array.shape[-1], TILE):
                piece = band[:, x : x + TILE]
                yield np.pad(piece, [(0, TILE - n) for n in piece.shape])


def _for_imagej(picture: Picture, array: Any, axes: str, labels: bool) -> dict[str, Any]:
    size, unit = picture.pixel_size, (picture.unit or "").encode("ascii", "ignore").decode()
    about: dict[str, Any] = {"axes": axes}
    if unit:
        about["unit"] = unit
    if size and len(size) == 3 and "Z" in axes:
        about["spacing"] = size[0]
    if picture.description:
        about["Info"] = picture.description
    if picture.rgb:
        return about
    channels = array.shape[axes.index("C")] if "C" in axes else 1
    ranges = _ranges(array, axes, labels)
    about |= {"min": ranges[0][0], "max": ranges[0][1], "Ranges": tuple(v for pair in ranges for v in pair)}
    about["mode"] = "composite" if 1 < channels <= 7 else "grayscale"  # ImageJ mixes up to seven
    if channels > 1 and len(picture.channel_names) == channels:
        about["Labels"] = list(picture.channel_names) * (math.prod(array.shape[:-2]) // channels)
    return about


def _for_ome(picture: Picture, axes: str) -> dict[str, Any]:
    about: dict[str, Any] = {"axes": axes}
    unit = "µm" if picture.unit == "um" else "reference frame"
    for axis, size in zip("XYZ", (picture.pixel_size or ())[::-1], strict=False):
        about |= {f"PhysicalSize{axis}": size, f"PhysicalSize{axis}Unit": unit}
    channels = picture.data.shape[(picture.axes or "").index("C")] if "C" in axes else 1
    if "C" in axes and len(picture.channel_names) == channels:
        about["Channel"] = {"Name": list(picture.channel_names)}
    if picture.description:
        about["Description"] = picture.description
    return about


def _ranges(array: Any, axes: str, labels: bool) -> list[tuple[float, float]]:
    """What ImageJ shows as black and white, channel by channel."""
    at = axes.find("C")
    count = 1 if at < 0 else array.shape[at]
    step = max(1, math.ceil((math.prod(array.shape) / count / LOOKED_AT) ** (1 / (array.ndim - (at >= 0)))))
    found = []
    for c in range(count):
        v = np.asarray(array[tuple(c if i == at else slice(None, None, step) for i in range(array.ndim))])
        v = v[np.isfinite(v)].astype(np.float64)
        low, high = (0.0, 1.0) if v.size == 0 else (float(p) for p in np.percentile(v, (0.1, 99.9)))
        if v.size and (labels or high <= low):
            low, high = (0.0 if labels else float(v.min())), float(v.max())
        found.append((low, high if high > low else low + 1))
    return found


# ---- PNG, JPEG, BMP, NumPy


def _read_pixels(path: Path, labels: bool, lazy_above: int) -> Picture:
    import warnings

    from PIL import Image

    with path.open("rb") as file:
        head = file.read(26)
    if head.startswith(b"\x89PNG") and head[24] == 16 and head[25] & 6:  # pillow halves colours of 16 bits, unasked
        import imagecodecs

        return _as_colours(imagecodecs.png_decode(path.read_bytes()), path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # microscopes make large images
        with Image.open(path) as image:
            if image.mode in ("P", "PA") and labels:
                array = np.asarray(image)
                return Picture(array if array.ndim == 2 else array[..., 0], "YX", path=path)
            if image.mode not in ("1", "L", "LA", "I", "F", "RGB", "RGBA") and not image.mode.startswith("I;16"):
                transparent = "transparency" in image.info or image.mode == "PA"
                colours = np.asarray(image.convert("RGBA" if transparent else "RGB"))
                grey = (colours[..., 0] == colours[..., 1]).all() and (colours[..., 0] == colours[..., 2]).all()
                return _as_colours(colours[..., 0] if grey else colours, path)
            return _as_colours(np.asarray(image), path)


def _as_colours(array: NDArray[Any], path: Path) -> Picture:
    """(Y, X), (Y, X, grey and alpha) or (Y, X, RGB or RGBA)."""
    if array.ndim == 3 and array.shape[-1] == 2:
        notes = (f"The transparency (alpha) of {path.name} was left out.",) if np.ptp(array[..., 1]) else ()
        return Picture(array[..., 0], "YX", path=path, notes=notes)
    return Picture(array, "YXC" if array.ndim == 3 else "YX", array.ndim == 3, path=path)


def _read_numpy(path: Path, labels: bool, lazy_above: int) -> Picture:
    lazy = path.stat().st_size > lazy_above
    array = np.load(path, mmap_mode="r" if lazy else None, allow_pickle=False)
    return Picture(array, ("?" * (array.ndim - 2) + "YX")[-array.ndim :] if array.ndim else "", path=path)


def _write_png(part: Path, picture: Picture, labels: bool) -> None:
    from PIL import Image

    data, axes = _in_order(picture, "YXC")
    data = np.asarray(data)
    grey = data.ndim == 2 and data.dtype in (np.uint8, np.uint16)
    if not grey and not (data.ndim == 3 and picture.rgb):
        raise DojoError(
            f"PNG holds one plane of whole numbers up to 65535, or colours of 8 bits; {picture.path.name} would be "
            f"{axes} of {data.dtype}. Choose .tif instead."
        )
    Image.fromarray(np.ascontiguousarray(data)).save(part, format="PNG")


def _write_numpy(part: Path, picture: Picture, labels: bool) -> None:
    with part.open("wb") as file:
        np.save(file, np.asarray(picture.data), allow_pickle=False)


# ---- OME-Zarr


def _read_zarr(path: Path, labels: bool, lazy_above: int) -> Picture:
    import zarr

    node = zarr.open(str(path), mode="r")
    if isinstance(node, zarr.Array):
        return _zarr_picture(path, node, {}, lazy_above)
    attributes = dict(node.attrs)
    about: Any = attributes.get("ome", attributes)  # 0.5 has a level of its own
    if "multiscales" not in about:
        if "bioformats2raw.layout" in about and is_zarr(path / "0"):
            return _read_zarr(path / "0", labels, lazy_above)
        inside = ", ".join(sorted(name for name, _ in node.members(max_depth=0))[:5])
        raise DojoError(
            f"An OME-Zarr image was expected, but {path} is a group of others ({inside or 'empty'}). "
            "Name the folder of one image in it."
        )
    scales = about["multiscales"][0]
    array = node[scales["datasets"][0]["path"]]
    if not isinstance(array, zarr.Array):
        raise ValueError("its first resolution is no array")
    return _zarr_picture(path, array, about, lazy_above)


def _zarr_picture(path: Path, array: Any, about: Mapping[str, Any], lazy_above: int) -> Picture:
    scales = about.get("multiscales", [{}])[0]
    axes = scales.get("axes") or list(
        "tczyx"[-array.ndim :] if scales and array.ndim == 5 else "?" * (array.ndim - 2) + "yx"
    )
    axes = [a if isinstance(a, dict) else {"name": a} for a in axes]
    names = "".join(a["name"].upper() if a["name"].upper() in tuple(LETTERS) else "?" for a in axes)
    if len(names) != array.ndim:
        raise ValueError(f"it names {len(names)} axes for {array.ndim} dimensions")
    size = np.ones(array.ndim)
    stated = False
    for level in (scales, *scales.get("datasets", ())[:1]):
        for change in level.get("coordinateTransformations", ()):
            if change.get("type") == "scale" and "scale" in change:
                size, stated = size * np.asarray(change["scale"], float), True
    sizes = {a: float(v) for a, v in zip(names, size, strict=True) if a in "ZYX"} if stated else {}
    units: dict[str, str | None] = {n: a.get("unit") for n, a in zip(names, axes, strict=True)}
    sizes, unit = _in_micrometres(sizes, units)
    channels = tuple(str(c.get("label", "")) for c in about.get("omero", {}).get("channels", ()))
    data = _lazy(array) if array.nbytes > lazy_above else np.asarray(array[...])
    return Picture(data, names, False, _pixel_size(sizes, names), unit, channels if any(channels) else (), path)


def _write_zarr(part: Path, picture: Picture, labels: bool) -> None:
    import zarr

    data, axes = _in_order(picture, "TCZYX")
    group = zarr.open_group(str(part), mode="w", zarr_format=2)
    chunks = tuple(min(n, TILE) if a in "YX" else 1 for a, n in zip(axes, data.shape, strict=True))
    stored = group.create_array(
        "0", shape=data.shape, chunks=chunks, dtype=data.dtype, chunk_key_encoding={"name": "v2", "separator": "/"}
    )
    if hasattr(data, "dask"):
        import dask.array as da

        store: Any = da.store  # its types do not know Zarr arrays
        store(data.rechunk(chunks), stored, lock=False)
    else:
        stored[...] = data
    size = dict(zip("XYZ", (picture.pixel_size or ())[::-1], strict=False))
    unit = {"unit": "micrometer"} if picture.unit == "um" else {}
    kinds = {"T": {"type": "time"}, "C": {"type": "channel"}}
    about: dict[str, Any] = {
        "version": "0.4",
        "axes": [{"name": a.lower(), **kinds.get(a, {"type": "space", **unit})} for a in axes],
        "datasets": [
            {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [size.get(a, 1.0) for a in axes]}]}
        ],
    }
    group.attrs["multiscales"] = [about]
    if picture.channel_names:
        group.attrs["omero"] = {"channels": [{"label": name} for name in picture.channel_names]}


def _array(array: Any) -> Any:
    """What is numpy or dask."""
    if isinstance(array, np.ndarray) or hasattr(array, "dask"):
        return array
    return _lazy(array) if getattr(array, "nbytes", 0) > PLANE else np.asarray(array)


def _stored(array: Any, labels: bool, name: str) -> Any:
    """The array in the type that it is written in."""
    if labels:
        array = as_labels(array, name)
    kind = array.dtype.kind
    if kind not in "biuf" or 0 in array.shape:
        came = " x ".join(map(str, array.shape))
        raise DojoError(f"{name} cannot be written: real numbers were expected, but {came} of {array.dtype} came.")
    if kind == "f":
        return _cast(array, np.float32)
    if kind == "b" or array.dtype == np.uint8:
        return _cast(array, np.uint16 if labels else np.uint8)
    low, high = int(array.min()), int(array.max())
    if low >= 0 and high < 2**32:
        return _cast(array, np.uint16 if high < 2**16 else np.uint32)
    if labels:
        raise DojoError(f"Label numbers are below 4294967296; in {name} they go up to {high}. Number the objects anew.")
    return _cast(array, np.float32)


_READERS: dict[str, Callable[[Path, bool, int], Picture]] = {
    "TIFF": _read_tiff,
    **dict.fromkeys(("PNG", "JPEG", "BMP"), _read_pixels),
    "NumPy": _read_numpy,
    "Zarr": _read_zarr,
}
_WRITERS: dict[str, Callable[[Path, Picture, bool], None]] = {
    **dict.fromkeys((".tif", ".tiff"), _write_tiff),
    ".png": _write_png,
    ".npy": _write_numpy,
    ".zarr": _write_zarr,
}
