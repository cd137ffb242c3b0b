"""Annotations drawn as outlines become labels: ROIs of ImageJ, GeoJSON of QuPath, tables of corners, Cellpose's text."""

from __future__ import annotations

import csv
import json
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, product
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo.errors import DojoError

__all__ = ["Outline", "filled", "read_labels", "read_outlines"]

SUFFIXES = (".zip", ".roi", ".geojson", ".json", ".csv", ".tsv", ".txt")
CORNERS = 96  # of the polygon that stands for an oval
CURVE = 8  # straight parts that stand for a curve
LARGEST = 100_000_000  # bytes of one ROI
OVERLAP = 0.05  # share of an object that another one may cover before it is said
OBJECT, PLACE = (
    ("label", "object", "id", "roi", "cell", "nucleus", "index"),
    {"z": "Z", "slice": "Z", "t": "T", "frame": "T"},
)

Line = NDArray[np.float64]  # corners (n, 2) of x and y, px; (0, 0) is the upper left corner of the first pixel


@dataclass(frozen=True, eq=False)
class Outline:
    """One drawn object.

    Attributes
    ----------
    lines : closed; what an odd number of them encloses is inside, so that a hole is a line in a line.
    place : the plane it lies in along Z and T, from 0; along axes that are not named it lies in every plane.
    plane : its place in a stack whose axis it does not name, from 0; None where it has none.
    label : its number, where it has one.
    with_rim : the pixels of the corners belong to it.
    """

    lines: tuple[Line, ...]
    place: Mapping[str, int] = field(default_factory=dict)
    plane: int | None = None
    label: int | None = None
    with_rim: bool = False


def read_labels(path: str | Path, shape: Sequence[int], axes: str) -> tuple[NDArray[Any], tuple[str, ...]]:
    """The labels that the outlines in a file stand for, and sentences for the user.

    Parameters
    ----------
    path : ``.zip`` or ``.roi`` of ImageJ, ``.geojson`` or ``.json`` of QuPath, a table (``.csv``) of corners, or the
        ``_cp_outlines.txt`` of Cellpose.
    shape, axes : of the image without channels; Y and X among the axes.

    Returns
    -------
    labels : of this shape, uint16 or uint32; 0 is background.

    Raises
    ------
    DojoError : unreadable, no outline in it, or none inside the image.
    """
    path = Path(path)
    return filled(read_outlines(path), shape, axes, path.name)


def read_outlines(path: str | Path) -> list[Outline]:
    """The outlines in a file; lines, points and text are left out.

    Raises
    ------
    DojoError : unreadable, or no outline in it.
    """
    path = Path(path).expanduser()
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise DojoError(f"Outlines are read from {', '.join(SUFFIXES)}; {path.name} ends otherwise.")
    try:
        found = list(reader(path))
    except DojoError:
        raise
    except PermissionError as error:
        raise DojoError(f"{path} may not be read. Ask for permission, or copy it to a folder of your own.") from error
    except FileNotFoundError as error:
        raise DojoError(f"Outlines were expected, but {path} does not exist. Check the path.") from error
    except Exception as error:  # a broken file fails in any way
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:120]
        raise DojoError(f"{path.name} cannot be read as outlines ({reason}). Save it again.") from error
    found = [outline for outline in found if any(len(line) > 2 for line in outline.lines)]
    if not found:
        raise DojoError(
            f"{path.name} holds no closed outline (points, lines and text do not count). "
            "Draw the objects as polygons, freehand, ovals or rectangles, or choose a label image."
        )
    return _numbered(found)


def filled(
    outlines: Sequence[Outline], shape: Sequence[int], axes: str, name: str = "The file"
) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Labels of this shape with each outline filled with its number; later ones lie on top. See `read_labels`.

    A pixel belongs to an outline that encloses its centre.
    """
    numbers = [outline.label or i + 1 for i, outline in enumerate(outlines)]
    labels = np.zeros(shape, np.uint16 if max(numbers, default=0) < 2**16 else np.uint32)
    flat = np.moveaxis(labels, (axes.index("Y"), axes.index("X")), (-2, -1))
    letters = [a for a in axes if a not in "YX"]
    outside = covering = 0
    areas: dict[int, int] = {}
    for outline, number in zip(outlines, numbers, strict=True):
        drawn = _mask(outline, flat.shape[-2:])
        planes = _planes(outline, letters, flat.shape[:-2])
        if drawn is None or not planes:
            outside += 1
            continue
        box, mask = drawn
        covered, area = False, int(mask.sum())
        for where in planes:
            part = flat[where][box]
            below, counts = np.unique(part[mask & (part > 0) & (part != number)], return_counts=True)
            covered |= any(c > OVERLAP * min(area, areas[int(n)]) for n, c in zip(below, counts, strict=True))
            part[mask] = number
        areas[number] = min(area, areas.get(number, area))
        covering += covered
    if outside == len(outlines):
        size = " x ".join(map(str, shape))
        raise DojoError(
            f"None of the {outside} outlines in {name} encloses a pixel of its image ({axes}, {size}). "
            "Do they belong together, and are the outlines in pixels?"
        )
    return labels, tuple(_sentences(name, covering, outside))


def _sentences(name: str, covering: int, outside: int) -> Iterator[str]:
    if covering:
        yield f"{name}: {covering} outline{'s' if covering > 1 else ''} overlap others; the later ones lie on top."
    if outside:
        yield f"{name}: {outside} outline{'s lie' if outside > 1 else ' lies'} outside of the image and {'were' if outside > 1 else 'was'} left out."


def _numbered(outlines: list[Outline]) -> list[Outline]:
    """The same where all have numbers and none is given twice in a plane; else numbered in their order."""
    places = [(o.label, tuple(sorted(o.place.items())), o.plane) for o in outlines]
    if all(o.label for o in outlines) and len(set(places)) == len(places):
        return outlines
    return [Outline(o.lines, o.place, o.plane, i + 1, o.with_rim) for i, o in enumerate(outlines)]


def _mask(outline: Outline, size: Sequence[int]) -> tuple[tuple[slice, slice], NDArray[np.bool_]] | None:
    """The box around an outline and what is inside it; None where no pixel of the image is."""
    from skimage.draw import polygon2mask

    points = np.concatenate(outline.lines)
    if not np.isfinite(points).all():
        return None
    x0, y0 = np.clip(np.floor(points.min(0)).astype(int), 0, None)
    x1, y1 = np.minimum(np.ceil(points.max(0)).astype(int) + 1, size[::-1])
    if x1 <= x0 or y1 <= y0:
        return None
    mask = np.zeros((y1 - y0, x1 - x0), bool)
    for line in outline.lines:
        if len(line) > 2:
            mask ^= polygon2mask(mask.shape, line[:, ::-1] - 0.5 - (y0, x0))
    if outline.with_rim:
        x, y = np.floor(points).astype(int).T - np.array([[x0], [y0]])
        inside = (x >= 0) & (y >= 0) & (x < mask.shape[1]) & (y < mask.shape[0])
        mask[y[inside], x[inside]] = True
    return ((slice(y0, y1), slice(x0, x1)), mask) if mask.any() else None


def _planes(outline: Outline, letters: Sequence[str], sizes: Sequence[int]) -> list[tuple[int, ...]]:
    """The planes that an outline lies in; none where it lies beyond the stack."""
    place = dict(outline.place)
    if outline.plane is not None and letters and not place.keys() & set(letters):
        if outline.plane >= np.prod(sizes):
            return []
        place = dict(zip(letters, (int(i) for i in np.unravel_index(outline.plane, sizes)), strict=True))
    ranges = [[place[a]] if a in place else range(n) for a, n in zip(letters, sizes, strict=True)]
    if any(i >= n for r, n in zip(ranges, sizes, strict=True) for i in r):
        return []
    return list(product(*ranges))


# ---- ImageJ


def _imagej(path: Path) -> Iterator[Outline]:
    from roifile import ImagejRoi

    if path.suffix.lower() == ".roi":
        files = [path.read_bytes()]
    else:
        with zipfile.ZipFile(path) as z:
            inside = [i for i in z.infolist() if i.filename.lower().endswith(".roi") and i.file_size < LARGEST]
            files = [z.read(i) for i in inside]
    for data in files:
        yield from _roi(ImagejRoi.frombytes(data))


def _roi(roi: Any) -> Iterator[Outline]:
    from roifile import ROI_TYPE

    closed = (ROI_TYPE.POLYGON, ROI_TYPE.FREEHAND, ROI_TYPE.TRACED)
    if roi.multi_coordinates is not None:
        lines = _path(roi.multi_coordinates.tolist())
    elif roi.roitype in closed:
        lines = [np.asarray(roi.coordinates(), float)]
    elif roi.roitype == ROI_TYPE.RECT:
        lines = [_corners(roi)]
    elif roi.roitype == ROI_TYPE.OVAL:
        angle = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
        low, high = _corners(roi)[[0, 2]]
        lines = [(low + high) / 2 + np.stack([np.cos(angle), np.sin(angle)], 1) * (high - low) / 2]
    else:
        return
    place = {a: n - 1 for a, n in (("Z", roi.z_position), ("T", roi.t_position)) if n > 0}
    number = re.fullmatch(r"(\d+)((-[tz]\d+)*)( .*)?", roi.name or "")  # as `rois.write_rois` names them
    yield Outline(
        tuple(lines), place, roi.position - 1 if roi.position > 0 else None, int(number[1]) if number else None
    )


def _corners(roi: Any) -> Line:
    return np.array(
        [(roi.left, roi.top), (roi.right, roi.top), (roi.right, roi.bottom), (roi.left, roi.bottom)], np.float64
    )


def _path(values: Sequence[float]) -> list[Line]:
    """The closed lines of a path of words (0 move, 1 line, 2 and 3 curves, 4 close) and coordinates."""
    lines: list[list[Any]] = []
    at = 0
    while at < len(values):
        word, count = int(values[at]), {0: 1, 1: 1, 2: 2, 3: 3, 4: 0}[int(values[at])]
        points = np.asarray(values[at + 1 : at + 1 + 2 * count], float).reshape(-1, 2)
        at += 1 + 2 * count
        if word == 0:
            lines.append([points[0]])
        elif word == 1:
            lines[-1].append(points[0])
        elif word in (2, 3):
            lines[-1] += list(_curve(np.stack([lines[-1][-1], *points])))
    return [np.asarray(line) for line in lines]


def _curve(points: Line) -> Line:
    """Points along a Bézier curve after its first one."""
    t = np.linspace(0, 1, CURVE + 1)[1:, None]
    while len(points) > 1:  # de Casteljau
        points = np.asarray([(1 - t) * a + t * b for a, b in pairwise(points)])
    return np.asarray(points[0])


# ---- QuPath


def _geojson(path: Path) -> Iterator[Outline]:
    held = json.loads(path.read_text(encoding="utf-8-sig"))
    features = held.get("features", [held]) if isinstance(held, dict) else held
    for feature in features:
        geometry: Any = feature.get("geometry", feature) if isinstance(feature, dict) else {}
        kind = geometry.get("type")
        rings: Any = geometry.get("coordinates")
        if kind == "Polygon":
            rings = [rings]
        elif kind != "MultiPolygon":
            continue
        lines = tuple(np.asarray(ring, np.float64)[:, :2] for polygon in rings for ring in polygon)
        plane = geometry.get("plane") or {}  # left out for the first plane
        yield Outline(lines, {"Z": max(0, int(plane.get("z", 0))), "T": max(0, int(plane.get("t", 0)))})


# ---- tables


def _table(path: Path) -> Iterator[Outline]:
    """A row for each corner: the object, x, y, and z or t; or as napari saves a layer of shapes."""
    text = path.read_text(encoding="utf-8-sig")
    head = text.partition("\n")[0]
    sign = max((head.count(sign), sign) for sign in ",;\t")[1]
    rows = [
        {str(k).strip().lower(): v for k, v in row.items()} for row in csv.DictReader(text.splitlines(), delimiter=sign)
    ]
    columns = set(rows[0]) if rows else set()
    axes = sorted(c for c in columns if re.fullmatch(r"axis-\d", c))
    napari = len(axes) > 1
    x, y = (axes[-1], axes[-2]) if napari else ("x", "y")
    key = next((c for c in OBJECT if c in columns), None)
    if key is None or not {x, y} <= columns:
        raise DojoError(
            f"{path.name} is no table of outlines: columns for the object (label), x and y are needed, a row for each "
            f"corner; it has {', '.join(sorted(columns)) or 'none'}."
        )
    corners: dict[tuple[str, ...], list[tuple[float, float]]] = {}
    beside = axes[:-2] if napari else [c for c in PLACE if c in columns]
    for row in rows:
        corners.setdefault((row[key], *(row[c] for c in beside)), []).append((_number(row[x]), _number(row[y])))
    for (label, *where), points in corners.items():
        planes = [round(_number(v)) for v in where]
        place = {} if napari else {PLACE[c]: n for c, n in zip(beside, planes, strict=True)}
        number = int(label) if label.strip().isdecimal() and not napari else None
        line = np.asarray(points) + (0.5 if napari else 0)  # napari counts from the middle of the first pixel
        yield Outline((line,), place, planes[0] if napari and planes else None, number)


def _cellpose(path: Path) -> Iterator[Outline]:
    """A line for each object: x, y, x, y ... of the pixels along its rim."""
    for line in path.read_text(encoding="utf-8-sig").splitlines():
        values = [_number(v) for v in line.split(",") if v.strip()]
        if values:
            yield Outline((np.asarray(values).reshape(-1, 2) + 0.5,), with_rim=True)


def _number(text: str) -> float:
    value = float(text.replace(",", "."))
    if not isfinite(value):
        raise ValueError(f"a coordinate {text}")
    return value


_READERS: dict[str, Callable[[Path], Iterator[Outline]]] = {
    **dict.fromkeys((".zip", ".roi"), _imagej),
    **dict.fromkeys((".geojson", ".json"), _geojson),
    **dict.fromkeys((".csv", ".tsv"), _table),
    ".txt": _cellpose,
}
