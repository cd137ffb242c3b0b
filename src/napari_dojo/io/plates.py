"""Multi-well plates: OME-Zarr plates and folders named after wells; which plate, well and field an image is."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_dojo.errors import DojoError
from napari_dojo.io.names import stem_of

__all__ = ["Field", "field_of", "fields_in", "is_plate", "plate_above"]

WELL = re.compile(r"(?:well[ _-]?)?([A-Pa-p])[ _-]?(\d{1,2})", re.IGNORECASE)  # a folder of a well
ROW, COLUMN = re.compile(r"[A-Pa-p]"), re.compile(r"\d{1,2}")


@dataclass(frozen=True)
class Field:
    """Where an image was taken: ``well`` is "B3", ``field`` the image in it."""

    plate: str
    well: str
    field: str


def is_plate(path: Path) -> bool:
    """Whether a folder is an OME-Zarr plate."""
    return "plate" in _about(path)


def fields_in(plate: Path) -> list[Path]:
    """The images of an OME-Zarr plate (0.4 or 0.5), well by well; DojoError where none is there."""
    wells = [plate / str(well["path"]) for well in _about(plate)["plate"].get("wells", ())]
    found = [w / str(image["path"]) for w in wells for image in _about(w).get("well", {}).get("images", ())]
    there = [path for path in found if path.is_dir()]
    if not there:
        raise DojoError(f"The plate {plate.name} names {len(wells)} wells, but no image of them is there.")
    return there


def field_of(path: Path) -> Field | None:
    """Which plate, well and field an image is, by its place: in an OME-Zarr plate, or in a folder ``B03`` or ``B/3``; else None."""
    path = path.absolute()
    plate = plate_above(path)
    if plate is not None:
        named = str(_about(plate)["plate"].get("name") or "")
        *well, field = path.relative_to(plate).parts
        return Field(named or stem_of(plate.name), "".join(well), field)
    folder = path.parent
    if found := WELL.fullmatch(folder.name):
        return Field(folder.parent.name, found[1].upper() + found[2], stem_of(path.name))
    if COLUMN.fullmatch(folder.name) and ROW.fullmatch(folder.parent.name):
        return Field(folder.parent.parent.name, folder.parent.name.upper() + folder.name, stem_of(path.name))
    return None


def plate_above(path: Path) -> Path | None:
    """The OME-Zarr plate that a folder of a well, or an image in one, lies in; None where there is none."""
    return next((p for p in (path, *list(path.parents)[:3]) if is_plate(p)), None)


def _about(path: Path) -> dict[str, Any]:
    """What OME-Zarr says of a group; empty where it is none."""
    for name in ("zarr.json", ".zattrs"):
        try:
            values = json.loads((path / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        attributes = values.get("attributes", {}) if name == "zarr.json" else values
        found: Any = attributes.get("ome", attributes) if isinstance(attributes, dict) else {}
        return found if isinstance(found, dict) else {}
    return {}
