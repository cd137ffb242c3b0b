"""Write a TIFF as ImageJ has them, or as OME-TIFF where its types or sizes do not allow that."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo.data.units import unit_text
from napari_dojo.io.formats import picture as shared
from napari_dojo.io.formats.picture import Picture, in_order
from napari_dojo.io.formats.tiff import listening
from napari_dojo.io.formats.tiff_facts import UNKNOWN, Z_STEP

__all__ = ["write_tiff"]

BIG = 2**32 - 2**25  # bytes from which a TIFF needs 64-bit offsets; leaves room for its metadata
LOOKED_AT = 1_000_000  # values of a channel that its display range is measured on


def write_tiff(part: Path, picture: Picture, labels: bool) -> None:
    """Write an image, plane by plane or tile by tile where it is not in memory.

    Parameters
    ----------
    part : the file to write.
    picture : uint8, uint16, uint32 or float32 with known axes; they are stored in the order TZCYX, colours last.
    labels : shown from 0 to the largest number.
    """
    import tifffile

    array, axes = in_order(picture, "TZYXC" if picture.rgb else "TZCYX")
    axes = axes.replace("C", "S") if picture.rgb else axes
    in_memory = type(array) is np.ndarray
    plane = math.prod(array.shape[-3 if picture.rgb else -2 :]) * array.dtype.itemsize
    tiled = plane > shared.PLANE and not in_memory and not picture.rgb
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
        options |= {"tile": (shared.TILE, shared.TILE)}
    if in_memory or (array.ndim == 2 and not tiled):
        data: Any = np.ascontiguousarray(array)
    else:
        data = _tiles(array) if tiled else _planes(array, 3 if picture.rgb else 2)
    with listening():
        tifffile.imwrite(part, data, **options)


def _planes(array: Any, keep: int) -> Iterator[NDArray[Any]]:
    """The planes (the last ``keep`` axes) one by one."""
    for where in np.ndindex(array.shape[:-keep]):
        yield np.ascontiguousarray(array[where])


def _tiles(array: Any) -> Iterator[NDArray[Any]]:
    """The planes in squares of `TILE`, row by row, filled up with 0."""
    for where in np.ndindex(array.shape[:-2]):
        for y in range(0, array.shape[-2], shared.TILE):
            band = np.asarray(array[(*where, slice(y, y + shared.TILE))])
            for x in range(0, array.shape[-1], shared.TILE):
                tile = band[:, x : x + shared.TILE]
                yield np.pad(tile, [(0, shared.TILE - n) for n in tile.shape])


def _for_imagej(picture: Picture, array: Any, axes: str, labels: bool) -> dict[str, Any]:
    size, unit = picture.pixel_size, (picture.unit or "").encode("ascii", "ignore").decode()
    about: dict[str, Any] = {"axes": axes}
    if unit:
        about["unit"] = unit
    if size and "Z" in axes:
        about |= {"spacing": size[0]} if len(size) == 3 else {Z_STEP: UNKNOWN}
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
    unit = unit_text("um") if picture.unit == "um" else "reference frame"
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
