"""CZI of Zeiss, by the package czifile."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from napari_dojo.io.formats.microscope import package, picture_of
from napari_dojo.io.formats.picture import Picture, Wanted

__all__ = ["read_czi"]


def read_czi(path: Path, wanted: Wanted) -> Picture:
    """One scene; large files are unpacked into a temporary file, which is memory-mapped."""
    with package("czifile", path).CziFile(str(path)) as file:
        scenes = file.shape[file.axes.index("S")] if "S" in file.axes else 1
        samples = file.axes.endswith("0") and file.shape[-1] > 1
        nbytes = file.dtype.itemsize
        for n in file.shape:
            nbytes *= n
        data = file.asarray(out="memmap" if nbytes > wanted.lazy_above else None)
        axes = file.axes
        if "S" in axes:
            at = axes.index("S")
            data, axes = data[(slice(None),) * at + (wanted.image,)], axes.replace("S", "")
            data = data[tuple(_part(file, wanted.image, a) for a in axes)]
        axes = axes.replace("0", "S")
        if axes.endswith("S") and not samples:
            data, axes = data[..., 0], axes[:-1]
        sizes, names = _facts(file.metadata())
    return picture_of(path, data, axes, sizes, names, (wanted.image, scenes))


def _part(file: Any, scene: int, axis: str) -> slice:
    """Where a scene lies in the area of all scenes, along Y and X."""
    entries = [e for e in getattr(file, "filtered_subblock_directory", ()) if "S" in e.axes]
    mine = [e for e in entries if e.start[e.axes.index("S")] == file.start[file.axes.index("S")] + scene]
    if axis not in "YX" or not mine:
        return slice(None)
    at, origin = mine[0].axes.index(axis), file.start[file.axes.index(axis)]
    return slice(
        int(min(e.start[at] for e in mine) - origin), int(max(e.start[at] + e.shape[at] for e in mine) - origin)
    )


def _facts(xml: Any) -> tuple[dict[str, float], list[str]]:
    """Micrometres by axis, and the names of the channels."""
    try:
        root = ElementTree.fromstring(xml) if isinstance(xml, str) else ElementTree.Element("none")
    except ElementTree.ParseError:
        return {}, []
    distances = root.findall(".//Scaling/Items/Distance")
    sizes = {str(d.get("Id")): float(d.findtext("Value") or 0) * 1e6 for d in distances}
    channels = root.findall(".//Information/Image/Dimensions/Channels/Channel")
    return sizes, [c.get("Name") or "" for c in channels]
