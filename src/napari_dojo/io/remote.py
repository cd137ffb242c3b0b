"""OME-Zarr at an address (``https://``, ``s3://`` ...), read by fsspec. Such an address is a path, too, so that it goes where files go."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from napari_dojo.errors import DojoError

__all__ = ["address", "full_path", "is_remote", "open_zarr"]

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+")  # two letters at least: C: is a drive


def is_remote(path: str | Path) -> bool:
    """Whether a path is the address of something on another machine."""
    return _SCHEME.match(Path(path).as_posix()) is not None


def address(path: str | Path) -> str:
    """An address with the two slashes that a path keeps one of; the path of a file as it is."""
    return _SCHEME.sub(r"\1://", Path(path).as_posix(), count=1) if is_remote(path) else str(path)


def full_path(path: str | Path, base: Path = Path()) -> Path:
    """A path that starts from a folder, without ``~`` and ``..``; an address stays as it is."""
    return Path(path) if is_remote(path) else Path(os.path.abspath(base / Path(path).expanduser()))


def open_zarr(path: Path) -> Any:
    """A Zarr group or array, to be read; DojoError where it is remote and cannot be reached."""
    import zarr

    if not is_remote(path):
        return zarr.open(str(path), mode="r")
    where = address(path)
    try:
        return zarr.open(where, mode="r")
    except ImportError as e:
        raise DojoError(
            f"{where} is on another machine. Install what reads it: pip install 'napari-dojo[remote]', for s3:// also s3fs, for gs:// "
            f"also gcsfs ({e})."
        ) from e
    except Exception as e:  # each kind of store fails in its own way
        reason = (str(e).strip() or type(e).__name__).splitlines()[0][:120]
        raise DojoError(
            f"{where} cannot be read ({reason}). Check the address, the network and your permission."
        ) from e
