"""The table that says what each image is used for, as spreadsheets write it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from napari_dojo.data.dataset import ROLES
from napari_dojo.errors import DojoError
from napari_dojo.io.tables import FILES, Columns, file_named, read_table

__all__ = ["read_roles"]

SHORT = {"train": "training", "val": "validation", "valid": "validation", "auto": "automatic"}
COLUMNS = Columns(
    "table of roles",
    "Each line is the name of an image, a comma and its role, for example: a1.tif,training",
    {"file": FILES, "role": ("role", "split", "set", "subset", "use", "used for", "dataset")},
    {},
)


def read_roles(path: str | Path, images: Sequence[str]) -> dict[str, str]:
    """The role of each image that the table names, by the image's name.

    Parameters
    ----------
    path : see `napari_dojo.io.tables.read_table`.
    images : the names there are, with folders (``A1/img.tif``) where names repeat. The table may leave out the ending,
        or give more folders.

    Raises
    ------
    DojoError : the table is not understood, names an image that is not there or fits several, or gives two roles.
    """
    path = Path(path)
    roles: dict[str, str] = {}
    for row in read_table(path, COLUMNS):
        name, said = row["file"], row["role"]
        role = SHORT.get(said.casefold(), said.casefold())
        if role not in ROLES:
            raise DojoError(f"{path.name} gives {name} the role {said!r}; a role is one of {', '.join(ROLES)}.")
        image = file_named(path, name, images)
        if roles.setdefault(image, role) != role:
            raise DojoError(f"{path.name} gives {image} two roles: {roles[image]} and {role}. Keep one of them.")
    return roles
