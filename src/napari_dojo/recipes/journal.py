"""What of a recipe is done: one entry for each image in ``.recipe`` in the folder of the results, written after its files.

An entry is there whole or not at all, so that a run that was stopped, or killed, continues where it was. The rows of the table
over all images lie beside the entries.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from napari_dojo.errors import DojoError
from napari_dojo.inference.sinks import Stored
from napari_dojo.inference.tables import Table, write_csv
from napari_dojo.io.atomic import remove_parts, write_safely
from napari_dojo.recipes.recipe import OTHER_RECIPE

__all__ = ["Entry", "Journal", "done_entries"]

FOLDER, MADE_BY = ".recipe", "made_by.json"


@dataclass(frozen=True)
class Entry:
    """One image that is done.

    Attributes
    ----------
    file : its path, absolute; ``size``, ``modified`` : of it, then.
    number, images : which of the images in the file, and how many there are.
    stored : where its results lie.
    rows : how many rows of the table over all images are its own.
    """

    file: str
    size: int
    modified: int
    number: int
    images: int
    stored: dict[str, Any]
    rows: int

    @property
    def whole(self) -> bool:
        """Whether the file is as it was, and all results are there."""
        files = [self.stored.get(k) for k in ("prediction", "uncertainty", "table", "rois")]
        return _state_of(Path(self.file)) == (self.size, self.modified) and all(os.path.exists(f) for f in files if f)


@dataclass(frozen=True)
class Journal:
    """The entries of a folder of results."""

    out: Path

    @property
    def folder(self) -> Path:
        """Where entries lie."""
        return self.out / FOLDER

    @property
    def exists(self) -> bool:
        """Whether results of a recipe are there."""
        return (self.folder / MADE_BY).is_file()

    def begin(self, made_by: dict[str, Any], overwrite: bool) -> bool:
        """Continue a run of the same recipe and models, or begin one; whether there was one.

        Raises
        ------
        DojoError : the results in the folder are those of another recipe, and may not be overwritten.
        """
        path = self.folder / MADE_BY
        before = _read(path)
        done = any(file.name != MADE_BY for file in self.folder.glob("*.json"))
        if self.folder.is_dir() and (overwrite or (before != made_by and not done)):
            shutil.rmtree(self.folder)
            before = None
        if before is not None and before != made_by:
            changed = "steps" if before.get("steps") != made_by.get("steps") else "models"
            raise DojoError(
                f"The results in {self.out} were made by this recipe with other {changed}. Choose another folder for the results, "
                "or overwrite them.",
                code=OTHER_RECIPE,
            )
        if before is None:
            write_safely(path, json.dumps(made_by, indent=1).encode())
        else:
            remove_parts(self.folder)
        return before is not None

    def entries(self, file: Path) -> list[Entry]:
        """Of a file whose images are all done; empty where one is not."""
        first = self._entry(file, 0)
        if first is None or not first.whole:
            return []
        found = [first, *(self._entry(file, k) for k in range(1, first.images))]
        there = [e for e in found if e is not None and e.whole]
        return there if len(there) == len(found) else []

    def add(self, file: Path, number: int, images: int, stored: Stored, rows: Table | None) -> None:
        """An image is done; DojoError where the disk is full."""
        if rows is not None:
            write_csv(self.rows(file, number), rows)
        count = 0 if rows is None else len(next(iter(rows.values())))
        entry = Entry(os.path.abspath(file), *_state_of(file), number, images, stored.as_dict(), count)
        write_safely(self._path(file, number), json.dumps(asdict(entry)).encode())

    def rows(self, file: Path | str, number: int) -> Path:
        """The rows of an image."""
        return self._path(file, number).with_suffix(".csv")

    def _path(self, file: Path | str, number: int) -> Path:
        name = hashlib.sha256(f"{number}:{os.path.abspath(file)}".encode()).hexdigest()[:32]
        return self.folder / f"{name}.json"

    def _entry(self, file: Path, number: int) -> Entry | None:
        values = _read(self._path(file, number))
        try:
            return None if values is None else Entry(**values)
        except TypeError:
            return None


def done_entries(journal: Journal, files: Sequence[Path]) -> dict[int, list[Entry]]:
    """The entries of the files that are done, by their index."""
    found = ((i, journal.entries(file)) for i, file in enumerate(files))
    return {i: entries for i, entries in found if entries}


def _state_of(file: Path) -> tuple[int, int]:
    """Size and time of a file, (0, 0) where it is gone; of a Zarr those of its folder."""
    try:
        about = file.stat()
    except OSError:
        return 0, 0
    return about.st_size, about.st_mtime_ns


def _read(path: Path) -> dict[str, Any] | None:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) else None
