"""Tables that people write: CSV with any separator, encoding and order of columns, with a header row or without."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_dojo.errors import DojoError
from napari_dojo.io.names import nearest, stem_of
from napari_dojo.io.pairing import SUFFIXES

__all__ = ["FILES", "Columns", "file_named", "read_table"]

FILES = ("file", "filename", "file name", "name", "image", "path", "input", "sample")


@dataclass(frozen=True)
class Columns:
    """What a table holds.

    Attributes
    ----------
    what : it is called, such as "table of roles".
    example : a sentence that shows a line.
    needed : each column, and what its header may be; without a header they stand in this order.
    more : columns that may be there where there is a header.
    """

    what: str
    example: str
    needed: Mapping[str, Sequence[str]]
    more: Mapping[str, Sequence[str]]


def read_table(path: Path, columns: Columns) -> list[dict[str, str]]:
    """The lines of a table by column.

    Parameters
    ----------
    path : a CSV file with commas, semicolons or tabs, in UTF-8, UTF-16 or the encoding of Windows.

    Raises
    ------
    DojoError : it cannot be read or is not understood.
    """
    lines = [line for line in _text(path, columns.what).splitlines() if line.strip(" \t,;\"'")]
    separator = ""
    if lines and lines[0].casefold().startswith("sep=") and len(lines[0].strip()) == 5:  # Excel's own first line
        separator = lines.pop(0).strip()[-1]
    if not lines:
        raise DojoError(f"The {columns.what} {path.name} is empty. {columns.example}")
    for sign in [separator] if separator else [",", ";", "\t", "|"]:
        try:
            table = [_trimmed(row) for row in csv.reader(io.StringIO("\n".join(lines)), delimiter=sign, strict=True)]
        except csv.Error:
            continue
        places = _places(table[0], columns)
        rows = table[1:] if places else table
        at = places or {name: i for i, name in enumerate(columns.needed)}
        last = max(at[name] for name in columns.needed)
        if rows and all(len(row) > last and (places or len(row) == len(columns.needed)) for row in rows):
            return [{name: row[i] for name, i in at.items() if i < len(row)} for row in rows]
    shown = lines[0][:60]
    raise DojoError(f"The {columns.what} {path.name} is not understood; its first line is {shown!r}. {columns.example}")


def file_named(path: Path, name: str, files: Sequence[str]) -> str:
    """The file that a name in a table means: by its whole name, else without its ending.

    ``files`` have folders (``A1/img.tif``) where names repeat. DojoError where none or several are called so.
    """
    said = name.replace("\\", "/").strip("/")
    for whole in (True, False):
        wanted = _parts(said, whole or Path(said).suffix.lower() not in SUFFIXES)
        found = [file for file in files if _ends_alike(_parts(file, whole), wanted)]
        if len(found) == 1:
            return found[0]
        if found:
            raise DojoError(
                f"{path.name} names {name}, which {len(found)} images are called: {', '.join(found[:3])}. "
                "Write the folder and the ending, too."
            )
    raise DojoError(
        f"{path.name} names {name}, but there is no image of this name; most alike is {nearest(name, files)}. "
        "Correct the name in the table."
    )


def _parts(name: str, whole: bool) -> list[str]:
    """Folders and name in small letters, the name with its ending if ``whole``."""
    *folders, last = unicodedata.normalize("NFC", name).casefold().split("/")
    return [*folders, last if whole else stem_of(last)]


def _ends_alike(a: Sequence[str], b: Sequence[str]) -> bool:
    n = min(len(a), len(b))
    return a[-n:] == b[-n:]


def _places(header: Sequence[str], columns: Columns) -> dict[str, int] | None:
    """Where each column stands, if this row is a header."""
    words = [cell.casefold().replace("_", " ") for cell in header]
    found: dict[str, int] = {}
    for name, called in (*columns.needed.items(), *columns.more.items()):
        at = next((i for i, word in enumerate(words) if word in called and i not in found.values()), None)
        if at is not None:
            found[name] = at
    return found if set(columns.needed) <= set(found) else None


def _trimmed(row: Sequence[str]) -> list[str]:
    """The cells without blanks around them and without empty cells at the end."""
    cells = [cell.strip().strip("\ufeff") for cell in row]
    while cells and not cells[-1]:
        cells.pop()
    return cells


def _text(path: Path, what: str) -> str:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DojoError(f"The {what} {path} cannot be read ({error.strerror or error}). Check the path.") from error
    if raw[:2] == b"PK" or raw[:4] == b"\xd0\xcf\x11\xe0":
        raise DojoError(f"{path.name} is a workbook of a spreadsheet, not a table of text. Save it as CSV.")
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        codes = ["utf-16"]
    elif raw[1:2] == b"\0" or raw[:1] == b"\0":
        codes = ["utf-16-le" if raw[1:2] == b"\0" else "utf-16-be"]
    else:
        codes = ["utf-8-sig", "cp1252"]
    for code in codes:
        try:
            return raw.decode(code)
        except UnicodeDecodeError:
            continue
    raise DojoError(f"{path.name} is no text. Save the {what} as CSV in UTF-8.")
