"""The table that says what each image is used for, as spreadsheets write it."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from napari_dojo.data.dataset import ROLES
from napari_dojo.errors import DojoError
from napari_dojo.io.names import nearest, stem_of
from napari_dojo.io.pairing import SUFFIXES

__all__ = ["read_roles"]

NAME_HEADERS = ("file", "filename", "file name", "name", "image", "path", "input", "sample")
ROLE_HEADERS = ("role", "split", "set", "subset", "use", "used for", "dataset")
SHORT = {"train": "training", "val": "validation", "valid": "validation", "auto": "automatic"}
EXAMPLE = "Each line is the name of an image, a comma and its role, for example: a1.tif,training"


def read_roles(path: str | Path, images: Sequence[str]) -> dict[str, str]:
    """The role of each image that the table names, by the image's name.

    Parameters
    ----------
    path : a CSV file with commas, semicolons or tabs, in UTF-8, UTF-16 or the encoding of Windows, with or without a
        header row; with one, the columns may have any order.
    images : the names there are, with folders (``A1/img.tif``) where names repeat. The table may leave out the ending,
        or give more folders.

    Raises
    ------
    DojoError : the table is not understood, names an image that is not there or fits several, or gives two roles.
    """
    path = Path(path)
    roles: dict[str, str] = {}
    for name, said in _rows(path):
        role = SHORT.get(said.casefold(), said.casefold())
        if role not in ROLES:
            raise DojoError(f"{path.name} gives {name} the role {said!r}; a role is one of {', '.join(ROLES)}.")
        image = _image(path, name, images)
        if roles.setdefault(image, role) != role:
            raise DojoError(f"{path.name} gives {image} two roles: {roles[image]} and {role}. Keep one of them.")
    return roles


def _image(path: Path, name: str, images: Sequence[str]) -> str:
    """The image that a name in the table means: by its whole name, else without its ending."""
    said = name.replace("\\", "/").strip("/")
    for whole in (True, False):
        wanted = _parts(said, whole or Path(said).suffix.lower() not in SUFFIXES)
        found = [image for image in images if _ends_alike(_parts(image, whole), wanted)]
        if len(found) == 1:
            return found[0]
        if found:
            raise DojoError(
                f"{path.name} names {name}, which {len(found)} images are called: {', '.join(found[:3])}. "
                "Write the folder and the ending, too."
            )
    raise DojoError(
        f"{path.name} names {name}, but there is no image of this name; most alike is {nearest(name, images)}. "
        "Correct the name in the table."
    )


def _parts(name: str, whole: bool) -> list[str]:
    """Folders and name in small letters, the name with its ending if ``whole``."""
    *folders, last = unicodedata.normalize("NFC", name).casefold().split("/")
    return [*folders, last if whole else stem_of(last)]


def _ends_alike(a: Sequence[str], b: Sequence[str]) -> bool:
    n = min(len(a), len(b))
    return a[-n:] == b[-n:]


def _rows(path: Path) -> list[tuple[str, str]]:
    """Name and role of each line."""
    lines = [line for line in _text(path).splitlines() if line.strip(" \t,;\"'")]
    separator = ""
    if lines and lines[0].casefold().startswith("sep=") and len(lines[0].strip()) == 5:  # Excel's own first line
        separator = lines.pop(0).strip()[-1]
    if not lines:
        raise DojoError(f"The table of roles {path.name} is empty. {EXAMPLE}")
    for sign in [separator] if separator else [",", ";", "\t", "|"]:
        try:
            table = [_trimmed(row) for row in csv.reader(io.StringIO("\n".join(lines)), delimiter=sign, strict=True)]
        except csv.Error:
            continue
        columns = _columns(table[0])
        rows = table[1:] if columns else table
        name_at, role_at = columns or (0, 1)
        if rows and all(len(row) > max(name_at, role_at) and (columns or len(row) == 2) for row in rows):
            return [(row[name_at], row[role_at]) for row in rows]
    raise DojoError(f"The table of roles {path.name} is not understood; its first line is {lines[0][:60]!r}. {EXAMPLE}")


def _columns(header: Sequence[str]) -> tuple[int, int] | None:
    """Where names and roles stand, if this row is a header."""
    words = [cell.casefold().replace("_", " ") for cell in header]
    name = next((i for i, word in enumerate(words) if word in NAME_HEADERS), None)
    role = next((i for i, word in enumerate(words) if word in ROLE_HEADERS), None)
    return None if name is None or role is None or name == role else (name, role)


def _trimmed(row: Sequence[str]) -> list[str]:
    """The cells without blanks around them and without empty cells at the end."""
    cells = [cell.strip().strip("\ufeff") for cell in row]
    while cells and not cells[-1]:
        cells.pop()
    return cells


def _text(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DojoError(
            f"The table of roles {path} cannot be read ({error.strerror or error}). Check the path."
        ) from error
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
    raise DojoError(f"{path.name} is no text. Save the table of roles as CSV in UTF-8.")
