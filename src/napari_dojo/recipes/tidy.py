"""One table over all images: a row for each object, with the image and the units in the names of the columns."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from napari_dojo.errors import DojoError
from napari_dojo.inference.tables import Table
from napari_dojo.io.atomic import replacing
from napari_dojo.io.pairing import common_folder
from napari_dojo.io.plates import Field, plate_above

__all__ = ["FIRST", "NO_PYARROW", "has_pyarrow", "joined", "names_of", "rows_of", "write_parquet", "write_skipped"]

FIRST = ("plate", "well", "field", "image", "object", "class")  # the columns that come first, where they are there
NO_PYARROW = "Parquet needs pyarrow, which is not installed: pip install 'napari-dojo[parquet]', or choose table: csv."
TEXTS, WHOLE = {"plate", "well", "field", "image", "class"}, {"object", "index", "frame", "plane"}


def names_of(files: Sequence[Path]) -> list[str]:
    """What tables call images: their paths below the folder that all of them lie in."""
    root = common_folder(files)
    root = plate_above(root) or root
    return [p.relative_to(root).as_posix() if root != Path() else str(p) for p in map(_flat, files)]


def _flat(path: Path) -> Path:
    return Path(os.path.abspath(path))


def rows_of(table: Table, image: str, objects: bool, field: Field | None = None) -> Table:
    """The rows of an image, as the table over all images has them.

    ``objects`` : their numbers are those of objects; ``field`` : where on a plate the image is.
    """
    named = {"object" if k == "index" and objects else k: v for k, v in table.items()}
    rows = len(next(iter(table.values())))
    for name, value in {"image": image, **({} if field is None else asdict(field))}.items():
        named[name] = np.full(rows, value, object)
    return {k: named[k] for k in (*(f for f in FIRST if f in named), *(k for k in named if k not in FIRST))}


def joined(parts: Sequence[Path], path: Path) -> int:
    """Write the rows of all parts to one CSV, in their order; the number of rows.

    A column that some parts lack, such as sizes in um without a pixel size, is empty there. Holds one row in memory.

    Raises
    ------
    DojoError : a full disk, a folder that cannot be written.
    """
    columns = _columns(parts)
    size = sum(part.stat().st_size for part in parts)
    count = 0
    with replacing(path, size) as new, new.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        for row in chain.from_iterable(map(_rows, parts)):
            writer.writerow(row)
            count += 1
    return count


def _rows(part: Path) -> Iterator[dict[str, str]]:
    """The rows of a CSV, one after the other."""
    with part.open(newline="", encoding="utf-8") as file:
        yield from csv.DictReader(file)


def write_parquet(source: Path, path: Path) -> None:
    """A CSV that `joined` wrote, as Parquet with types.

    Raises
    ------
    DojoError : pyarrow is not installed, or the disk is full.
    """
    try:
        from pyarrow import csv as arrow
        from pyarrow import float64, int64, string
        from pyarrow.parquet import ParquetWriter
    except ImportError as error:
        raise DojoError(NO_PYARROW) from error
    with source.open(newline="", encoding="utf-8") as file:
        columns = next(csv.reader(file), [])
    types = {c: string() if c in TEXTS else int64() if c in WHOLE else float64() for c in columns}
    options = arrow.ConvertOptions(column_types=types, strings_can_be_null=True)
    with (
        replacing(path, source.stat().st_size) as new,
        arrow.open_csv(source, convert_options=options) as batches,
        ParquetWriter(new, batches.schema) as writer,
    ):
        for batch in batches:
            writer.write_batch(batch)


def has_pyarrow() -> bool:
    """Whether Parquet can be written."""
    from importlib.util import find_spec

    return find_spec("pyarrow") is not None


def write_skipped(path: Path, skipped: Iterable[tuple[str, str]]) -> None:
    """Write which images were skipped and why; without any, an older table is removed."""
    rows = list(skipped)
    if not rows:
        path.unlink(missing_ok=True)
        return
    with replacing(path, 200 * len(rows)) as new, new.open("w", newline="", encoding="utf-8") as file:
        writer: Any = csv.writer(file)
        writer.writerows([("image", "reason"), *rows])


def _columns(parts: Sequence[Path]) -> list[str]:
    """Those of all parts, in the order of the first part that has them; the place, image, object and class first."""
    found: dict[str, None] = {}
    for part in parts:
        with part.open(newline="", encoding="utf-8") as file:
            found |= dict.fromkeys(next(csv.reader(file), []))
    return [*(f for f in FIRST if f in found), *(c for c in found if c not in FIRST)] or ["image", "object"]
