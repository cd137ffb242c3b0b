"""OME-Zarr (0.1 to 0.5) and plain Zarr arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_dojo.data.axes import LETTERS
from napari_dojo.data.units import in_micrometres
from napari_dojo.errors import DojoError
from napari_dojo.io.formats import picture as shared
from napari_dojo.io.formats.picture import Picture, Wanted, in_order, lazy, plane_size
from napari_dojo.io.pairing import is_zarr

__all__ = ["read_zarr", "write_zarr"]


def read_zarr(path: Path, wanted: Wanted) -> Picture:
    """The full resolution of an image; of a converted file with several images, the one that is wanted.

    Raises
    ------
    DojoError : a group that is no image, such as a plate.
    """
    import zarr

    node = zarr.open(str(path), mode="r")
    if isinstance(node, zarr.Array):
        return _picture(path, node, {}, wanted)
    attributes = dict(node.attrs)
    about: Any = attributes.get("ome", attributes)  # 0.5 nests them
    if "multiscales" not in about:
        if "bioformats2raw.layout" in about and (images := _converted(path)):
            one = read_zarr(images[wanted.image], Wanted(wanted.labels, wanted.lazy_above))
            return replace(one, path=path, image=wanted.image, images=len(images))
        inside = ", ".join(sorted(name for name, _ in node.members(max_depth=0))[:5])
        raise DojoError(
            f"An OME-Zarr image was expected, but {path} is a group of others ({inside or 'empty'}). "
            "Name the folder of one image in it."
        )
    scales = about["multiscales"][0]
    array = node[scales["datasets"][0]["path"]]
    if not isinstance(array, zarr.Array):
        raise ValueError("its first resolution is no array")
    return _picture(path, array, about, wanted)


def _converted(path: Path) -> list[Path]:
    """The images of a file that bioformats2raw has converted: folders called 0, 1, 2 ..."""
    return sorted((p for p in path.iterdir() if p.name.isdecimal() and is_zarr(p)), key=lambda p: int(p.name))


def _picture(path: Path, array: Any, about: Mapping[str, Any], wanted: Wanted) -> Picture:
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
    sizes, unit = in_micrometres(sizes, units)
    channels = tuple(str(c.get("label", "")) for c in about.get("omero", {}).get("channels", ()))
    data = lazy(array) if array.nbytes > wanted.lazy_above else np.asarray(array[...])
    return Picture(data, names, False, plane_size(sizes, names), unit, channels if any(channels) else (), path)


def write_zarr(part: Path, picture: Picture, labels: bool) -> None:
    """Write OME-Zarr 0.4 of one resolution; axes in the order TCZYX."""
    import zarr

    data, axes = in_order(picture, "TCZYX")
    group = zarr.open_group(str(part), mode="w", zarr_format=2)
    chunks = tuple(min(n, shared.TILE) if a in "YX" else 1 for a, n in zip(axes, data.shape, strict=True))
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
