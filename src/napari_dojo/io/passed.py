"""Arrays that are passed to another process: in a file, or, of what lies on the disk already, only how it is read."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from napari_dojo.io.atomic import replacing
from napari_dojo.io.formats.picture import lazy

__all__ = ["keep", "open_kept"]

SMALL = 64_000_000  # bytes; smaller arrays are always copied
INLINE = 1_000_000  # bytes of arrays in memory that a description of how to read an image may hold


def keep(folder: Path, name: str, array: Any) -> str:
    """Write an array, or how it is read, to a folder; the name of the file, for `open_kept`.

    Arrays in memory are copied. Of a large dask, Zarr or memory-mapped array it is written where it lies and how it is made
    of that; where that cannot be said, it is copied part by part, so memory stays free.

    Raises
    ------
    DojoError : the disk is full.
    """
    elsewhere = isinstance(array, np.memmap) or not isinstance(array, np.ndarray)
    if not elsewhere or array.nbytes <= SMALL:
        data = np.asarray(array)
        with replacing(folder / f"{name}.npy", data.nbytes) as part, part.open("wb") as file:
            np.save(file, data)
        return f"{name}.npy"
    described = _described(array if hasattr(array, "dask") or isinstance(array, np.memmap) else lazy(array))
    if described is not None:
        (folder / f"{name}.pickle").write_bytes(described)
        return f"{name}.pickle"
    _copied(folder / f"{name}.zarr", array)
    return f"{name}.zarr"


def open_kept(path: Path) -> Any:
    """The array that `keep` was given: numpy, memory-mapped or dask.

    A description is a pickle, which runs code: only of the user's own folders of jobs, never of a file that came from elsewhere.
    """
    if path.suffix == ".npy":
        return np.load(path, mmap_mode="r")
    if path.suffix == ".pickle":
        return pickle.loads(path.read_bytes())
    import zarr

    return lazy(zarr.open_array(str(path), mode="r"))


class _InMemoryError(Exception):
    """A description would hold the pixels themselves."""


def _described(array: Any) -> bytes | None:
    """How an array is read; None where that cannot be written down."""
    import cloudpickle  # comes with dask

    class Pickler(cloudpickle.Pickler):
        def reducer_override(self, obj: Any) -> Any:
            if isinstance(obj, np.memmap) and obj.filename is not None and obj.flags.c_contiguous:
                return _mapped, (str(obj.filename), obj.dtype.str, _offset(obj), obj.shape)
            if isinstance(obj, np.ndarray) and obj.nbytes > INLINE:
                raise _InMemoryError
            return super().reducer_override(obj)

    file = io.BytesIO()
    try:
        Pickler(file).dump(array)
    except Exception:  # whatever an array holds may refuse, in its own way
        return None
    return file.getvalue()


def _offset(array: Any) -> int:
    """Where in its file a memory-mapped array begins; a part of one does not say so itself."""
    root = array
    while isinstance(root.base, np.memmap):
        root = root.base
    start: int = array.__array_interface__["data"][0] - root.__array_interface__["data"][0]
    return int(root.offset) + start


def _mapped(filename: str, dtype: str, offset: int, shape: tuple[int, ...]) -> Any:
    return np.memmap(filename, np.dtype(dtype), "r", offset, shape)


def _copied(path: Path, array: Any) -> None:
    """Copy an array to a Zarr, a chunk at a time."""
    import dask
    import dask.array as da

    chunks = tuple(min(n, 1024) if i >= array.ndim - 2 else 1 for i, n in enumerate(array.shape))
    with dask.config.set(scheduler="synchronous"):
        da.to_zarr(da.asarray(array).rechunk(chunks), str(path))
