"""``.npy``: an array of numbers, or the ``_seg.npy`` of Cellpose, which is read without running anything in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from napari_dojo.errors import DojoError
from napari_dojo.io.formats.picture import Picture, Wanted
from napari_dojo.io.formats.plain_pickle import load_plain

__all__ = ["read_numpy", "write_numpy"]

SEGMENTATION = "masks"  # the key of the labels in Cellpose's dictionary


def read_numpy(path: Path, wanted: Wanted) -> Picture:
    """The array, memory-mapped where it is large; of Cellpose's ``_seg.npy`` the labels.

    Raises
    ------
    DojoError : Python objects other than Cellpose's, or an image was wanted of a file that holds labels.
    """
    if _holds_objects(path):
        return _cellpose(path, wanted.labels)
    large = path.stat().st_size > wanted.lazy_above
    array = np.load(path, mmap_mode="r" if large else None, allow_pickle=False)
    return Picture(array, _axes(array.ndim), path=path)


def write_numpy(part: Path, picture: Picture, labels: bool) -> None:
    """Write the array as it is; axes and pixel size are lost."""
    with part.open("wb") as file:
        np.save(file, np.asarray(picture.data), allow_pickle=False)


def _axes(dimensions: int) -> str:
    return ("?" * (dimensions - 2) + "YX")[-dimensions:] if dimensions else ""


def _holds_objects(path: Path) -> bool:
    with path.open("rb") as file:
        version = np.lib.format.read_magic(file)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        return bool(header(file)[2].hasobject)


def _cellpose(path: Path, labels: bool) -> Picture:
    """The labels of a ``_seg.npy``: a pickled dictionary."""
    with path.open("rb") as file:
        version = np.lib.format.read_magic(file)
        (np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0)(file)
        held = load_plain(file, path.name)
    if isinstance(held, np.ndarray) and held.size == 1:
        held = held.reshape(-1)[0]
    masks: Any = held.get(SEGMENTATION) if isinstance(held, dict) else None
    if not isinstance(masks, np.ndarray) or masks.dtype.kind not in "biu":
        raise DojoError(f"An array of numbers was expected, but {path.name} holds Python objects. Save it as TIFF.")
    if not labels:
        raise DojoError(f"An image was expected, but {path.name} holds the labels of Cellpose. Leave it out.")
    return Picture(masks, "ZYX"[-masks.ndim :] if masks.ndim in (2, 3) else _axes(masks.ndim), path=path)
