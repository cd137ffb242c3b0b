"""Replace a file safely: whole or not at all, whatever happens while it is written."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from napari_dojo.errors import FULL, DojoError, FullDiskError
from napari_dojo.io.pairing import is_zarr

__all__ = ["check_free", "check_writable", "remove_parts", "replacing", "unwritable", "write_safely"]


@contextmanager
def replacing(path: Path, nbytes: int = 0) -> Iterator[Path]:
    """A path in the same folder to write to: it takes the place of ``path`` once all is written, and goes if not.

    Parameters
    ----------
    path : of the file, or of the folder of a Zarr; folders above it are made.
    nbytes : that will about be written; tells a full disk from other failures.

    Raises
    ------
    DojoError : for every OSError: a full disk, a folder that cannot be written, a folder in place of a file.
    """
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir() and not is_zarr(path):
            raise DojoError(f"{path} cannot be written: a folder of this name is there. Choose another name.")
        yield part
        if path.is_dir():
            _swap(part, path)
        else:
            os.replace(part, path)
    except OSError as error:
        _remove(part)  # it is no part of what the disk has no room for
        raise unwritable(path, error, nbytes) from error
    finally:
        _remove(part)


def check_free(paths: Iterable[Path]) -> None:
    """DojoError where one of the files that a command is to write is there already, links that lead nowhere among them."""
    there = next((p for p in paths if os.path.lexists(p)), None)
    if there is not None:
        raise DojoError(f"{there} exists already. Choose another folder, or overwrite it.")


def check_writable(folder: Path) -> None:
    """DojoError where no file can be written into a folder, which need not exist yet; nothing stays there."""
    made = [p for p in (folder, *folder.parents) if not p.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise unwritable(folder, error) from error
    finally:
        for p in made:
            with suppress(OSError):
                p.rmdir()


def write_safely(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all; raises as `replacing` does."""
    with replacing(path, len(data)) as part:
        part.write_bytes(data)


def remove_parts(folder: Path) -> None:
    """Remove what writers that were killed left in a folder that only this process writes to."""
    for part in folder.glob(".*.part"):
        _remove(part)


def _swap(part: Path, path: Path) -> None:
    old = part.with_suffix(".old")
    os.replace(path, old)
    try:
        os.replace(part, path)
    except OSError:
        os.replace(old, path)
        raise
    _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def unwritable(path: Path, error: OSError, nbytes: int = 0) -> DojoError:
    """Why a file or folder cannot be written, and what to do; ``nbytes`` : that were about to be written."""
    try:
        free = shutil.disk_usage(path if path.is_dir() else path.parent).free
    except OSError:
        free = nbytes
    if error.errno in FULL or free < nbytes:
        return FullDiskError(path, nbytes)
    if error.errno == errno.ENAMETOOLONG:
        return DojoError(
            f"{path.name[:40]}... has {len(path.name.encode())} bytes, and the disk allows names of about 255. "
            "Give the image a shorter name."
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return DojoError(
            f"{path} cannot be written: there is no permission, or another program has it open. "
            "Choose another folder, or close the file there."
        )
    return DojoError(f"{path} cannot be written ({error.strerror or error}). Choose another folder or name.")
