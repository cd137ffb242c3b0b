"""Which files are meant: folders with their subfolders, patterns and lists, and what is included and excluded."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from napari_dojo.errors import DojoError
from napari_dojo.io.pairing import is_zarr, list_inputs
from napari_dojo.io.remote import full_path, is_remote

__all__ = ["Selection"]

LISTS = (".txt", ".lst")  # files that name one image a line


@dataclass(frozen=True)
class Selection:
    """Images by name.

    Attributes
    ----------
    inputs : files, OME-Zarrs, folders, patterns (``plate/**/*.tif``), and lists (``.txt``, one path a line).
    include, exclude : patterns for the name of a file or its path in the folder that was given; nothing to include: all.
    subfolders : images in subfolders of a folder count, too.
    """

    inputs: tuple[str, ...]
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    subfolders: bool = True

    def files(self, base: Path = Path(), without: Path | None = None) -> list[Path]:
        """All images, each once, in natural order within each input.

        Parameters
        ----------
        base : what relative paths start from.
        without : a folder whose images do not count: that of the results.

        Raises
        ------
        DojoError : an input does not exist or holds no image, or nothing is left after including and excluding.
        """
        if not self.inputs:
            raise DojoError("No images are named. Name files, a folder or a pattern such as images/**/*.tif.")
        out = None if without is None else Path(os.path.abspath(without))
        all_, results, found = 0, 0, []
        for given in self.inputs:
            root, paths = self._of(given, base)
            inside = [p for p in paths if out is None or not full_path(p).is_relative_to(out)]
            all_, results = all_ + len(inside), results + len(paths) - len(inside)
            found += [p for p in inside if self._wanted(p, root)]
        if not found:
            if results and not all_:
                raise DojoError(
                    f"All images in {', '.join(self.inputs)} lie in the folder of the results, {without}, and count as results. "
                    "Choose another output folder."
                )
            some = f"all {all_} images that were found are excluded" if all_ else "no images were found"
            raise DojoError(f"In {', '.join(self.inputs)}, {some}. Check the paths and the patterns.")
        return list(dict.fromkeys(found))

    def _of(self, given: str, base: Path) -> tuple[Path, list[Path]]:
        """The images of one input, and the folder that their paths for patterns start from."""
        path = Path(given) if is_remote(given) else base / Path(given).expanduser()
        if path.suffix.lower() in LISTS and path.is_file():
            return path.parent, [
                p for line in _lines(path) for p in list_inputs(line if is_remote(line) else path.parent / line)
            ]
        if path.is_dir() and not is_zarr(path) and self.subfolders:
            found = [p for folder in _folders(path) for p in _images_in(folder)]
            return path, found or list_inputs(path)  # which says why there is none
        return _fixed(path), list_inputs(path)

    def _wanted(self, path: Path, root: Path) -> bool:
        names = (path.name.lower(), os.path.relpath(path, root).replace(os.sep, "/").lower())

        def fits(patterns: tuple[str, ...]) -> bool:
            return any(fnmatch(name, p.lower()) for p in patterns for name in names)

        return (not self.include or fits(self.include)) and not fits(self.exclude)


def _lines(path: Path) -> list[str]:
    """The paths in a list; empty lines and those that start with # do not count."""
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise DojoError(f"The list {path} cannot be read. Save it as text with one path a line.") from error
    return [line for line in lines if line and not line.startswith("#")]


def _folders(top: Path) -> Iterator[Path]:
    """A folder and all folders in it, hidden ones and Zarrs not."""
    for folder, inside, _ in os.walk(top):
        here = Path(folder)
        inside[:] = sorted(name for name in inside if not name.startswith(".") and not is_zarr(here / name))
        yield here


def _images_in(folder: Path) -> list[Path]:
    try:
        return list_inputs(folder)
    except DojoError:
        return []  # none directly in it


def _fixed(pattern: Path) -> Path:
    """The folder before the first wildcard of a pattern; the one that a file lies in."""
    parts = pattern.parts
    wild = next((i for i, part in enumerate(parts) if any(c in part for c in "*?[")), len(parts) - 1)
    return Path(*parts[:wild])
