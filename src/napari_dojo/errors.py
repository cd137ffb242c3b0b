"""The error for users, and a one-sentence explanation of any other error."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from napari_dojo.paths import home

__all__ = ["FULL", "DojoError", "FullDiskError", "explained"]

FULL = (errno.ENOSPC, errno.EDQUOT)


class DojoError(Exception):
    """An error with a message for the user: what is needed, what was given, and what to do.

    Raised where data or settings enter. The command line prints it and exits with 2; the window shows it as a
    notification. Any other exception is a bug.

    ``code`` : which error it is, where a caller has to know; the words of a message may change.
    """

    def __init__(self, message: object = "", code: str = "") -> None:
        super().__init__(message)
        self.code = code


class FullDiskError(DojoError):
    """A disk that has no room for a file; ``nbytes`` were about to be written, 0 where that is not known.

    The sentence names the folder, not the file, whose name may mean nothing to the user; of what lies in the folder of the user's
    data, that one, which nobody chose.
    """

    def __init__(self, path: Path, nbytes: int = 0) -> None:
        super().__init__(_full_disk(path, nbytes), "full disk")
        self.nbytes = nbytes


def explained(error: BaseException) -> str:
    """Any error as one sentence for the user."""
    if isinstance(error, DojoError):
        return str(error)
    if isinstance(error, MemoryError):
        return "Not enough memory. Use smaller images or tiles, or close other programs."
    if isinstance(error, OSError) and error.errno in FULL:
        return str(FullDiskError(Path(error.filename))) if error.filename else "The disk is full. Free space on it."
    if isinstance(error, OSError):
        name = error.filename or "A file"
        return f"{name} cannot be read or written: {error.strerror or error}. Choose another file or folder."
    return f"Unexpected error ({type(error).__name__}: {error}). Please report it."


def _full_disk(path: Path, nbytes: int) -> str:
    folder = path.absolute() if path.is_dir() else path.absolute().parent
    while folder.name.startswith("."):  # where we keep what is half done
        folder = folder.parent
    ours = folder.is_relative_to(home())
    folder, choose = (home(), "") if ours else (folder, ", or choose another folder")
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        free = nbytes
    needed = f" ({_megabytes(free)} free, about {_megabytes(nbytes)} needed)" if free < nbytes else ""
    return f"The disk of {folder} is full{needed}. Free space there{choose}. What was written before is kept."


def _megabytes(nbytes: int) -> str:
    return f"{nbytes / 1e6:,.0f} MB" if nbytes >= 1e7 else f"{round(nbytes / 1e6, 2):g} MB"
