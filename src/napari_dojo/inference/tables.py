"""Objects as a table: size, place, shape and intensity, one row each; of classes their share."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo.data.axes import Axes
from napari_dojo.data.kinds import CLASSES, LABELS, Kind
from napari_dojo.data.objects import boxes_of
from napari_dojo.errors import DojoError
from napari_dojo.io.atomic import replacing
from napari_dojo.metrics.baselines import otsu_watershed
from napari_dojo.models.card import Card, options_of
from napari_dojo.tasks import TASKS
from napari_dojo.tasks.classify import probabilities

__all__ = [
    "MEASUREMENTS",
    "NO_CLASS",
    "POSITION",
    "TABLES",
    "UNSURE",
    "USUAL",
    "Measurement",
    "NamedObjects",
    "Table",
    "chosen_measurements",
    "class_names",
    "class_rows",
    "class_table",
    "count_in",
    "measure",
    "measure_classes",
    "named_objects",
    "objects_in",
    "place_of",
    "table_of",
    "typical_diameter",
    "with_classes",
    "write_csv",
]

Table = dict[str, NDArray[Any]]
NamedObjects = Mapping[tuple[int, int], tuple[str, float]]  # class and its probability by (sample, number)
NO_CLASS = ("", float("nan"))
UNSURE = "unsure"
LARGE = 2**20  # numbers below it are looked up in a list
POSITION = {"T": "frame", "Z": "plane"}


@dataclass(frozen=True)
class Measurement:
    """A measurement that may be chosen.

    Attributes
    ----------
    name, help : for flags and menus; ``name`` is the column's, too.
    found : the property of `skimage.measure.regionprops` that it is, or is computed from.
    flat : it is of 2-D objects only.
    intensity : it is of each channel of the image.
    length : it is in px, and in the unit of the pixel size.
    usual : it is there unless others are chosen.
    """

    name: str
    help: str
    found: str
    flat: bool = False
    intensity: bool = False
    length: bool = False
    usual: bool = False


MEASUREMENTS = (
    Measurement("equivalent_diameter", "diameter of a disc or ball of the same size", "equivalent_diameter_area", False, False, True, True),
    Measurement("eccentricity", "0 for a circle, towards 1 for a line", "eccentricity", True, usual=True),
    Measurement("solidity", "area over that of the convex hull", "solidity", True, usual=True),
    Measurement("perimeter", "length of the outline", "perimeter", True, length=True),
    Measurement("circularity", "4 pi area / perimeter², 1 for a circle", "perimeter", True),
    Measurement("feret", "largest distance between two points of the outline", "feret_diameter_max", True, length=True),
    Measurement("major_axis", "length of the ellipse with the same moments", "axis_major_length", True, length=True),
    Measurement("minor_axis", "width of the ellipse with the same moments", "axis_minor_length", True, length=True),
    Measurement("orientation", "angle between Y and the major axis, -90 to 90 degrees", "orientation", True),
    Measurement("mean_intensity", "of each channel", "intensity_mean", intensity=True, usual=True),
    Measurement("min_intensity", "of each channel", "intensity_min", intensity=True, usual=True),
    Measurement("max_intensity", "of each channel", "intensity_max", intensity=True, usual=True),
    Measurement("total_intensity", "sum over the object, of each channel", "intensity_mean", intensity=True),
    Measurement("std_intensity", "standard deviation, of each channel", "intensity_std", intensity=True),
)  # fmt: skip
USUAL = tuple(m.name for m in MEASUREMENTS if m.usual)


def chosen_measurements(names: Sequence[str]) -> tuple[str, ...]:
    """The names in the order of `MEASUREMENTS`; DojoError where there is none of a name."""
    known = [m.name for m in MEASUREMENTS]
    wrong = next((n for n in names if n not in known), None)
    if wrong is not None:
        raise DojoError(f"There is no measurement {wrong!r}. Choose among {', '.join(known)}.")
    return tuple(n for n in known if n in names)


def measure(
    labels: Any,
    image: Any,
    axes: Axes,
    pixel_size: Sequence[float] | None = None,
    unit: str | None = None,
    chosen: Sequence[str] = USUAL,
) -> Table:
    """One row for each object of each sample, in the order of samples and numbers.

    Parameters
    ----------
    labels : whole numbers, 0 is no object; the axes of the image without C. Numpy or dask.
    image : as it lies, with axes ``axes``; None where there is none to look at.
    axes : of the image; ``spatial`` says whether planes or volumes are measured.
    pixel_size, unit : of the spatial axes; without a unit there are only sizes in px.
    chosen : names of `MEASUREMENTS`.

    Returns
    -------
    Columns by name, the unit last in the name: ``index`` (the label), ``frame`` and ``plane`` (counted from 0, where
    there are such), ``area_px`` or ``volume_px``, ``centroid_y_px`` ..., these in ``um`` too where known, and what was
    chosen of the `MEASUREMENTS` that there are for objects of this dimension; intensities with ``_c0`` ... where there
    are several channels. Places are those of pixel centres, from the first pixel of the labels.
    """
    ours = axes.without_channels()
    flat = len(axes.spatial) == 2
    wanted = [
        m for m in MEASUREMENTS if m.name in chosen and (flat or not m.flat) and (image is not None or not m.intensity)
    ]
    rows = []
    for i in range(ours.count(labels.shape)):
        y = np.asarray(ours.sample(labels, i)[0])
        x = None if image is None else np.asarray(axes.sample(image, i))
        found = _objects(y, x, wanted)
        where = _positions(ours, labels.shape, i, len(found["label"]))
        rows.append({"index": found.pop("label"), **where, **found})
    joined = {k: np.concatenate([row[k] for row in rows]) for k in rows[0]}
    return _named(joined, axes.spatial, pixel_size, unit, wanted)


def measure_classes(
    labels: Any,
    image: Any,
    axes: Axes,
    classes: Mapping[int, str],
    pixel_size: Sequence[float] | None = None,
    unit: str | None = None,
) -> Table:
    """One row for each class: its pixels in the whole array, their share, and the mean of each channel there.

    Parameters as in `measure`; ``classes`` are names by label number.
    """
    ours, values = axes.without_channels(), np.asarray(list(classes))
    channels = 0 if image is None else axes.channels(image.shape)
    pixels, sums = np.zeros(len(values)), np.zeros((channels, len(values)))
    for i in range(ours.count(labels.shape)):
        y = np.asarray(ours.sample(labels, i)[0])
        masks = [y == v for v in values]
        pixels += [m.sum() for m in masks]
        if image is not None:
            sums += [[c[m].sum(dtype=np.float64) for m in masks] for c in np.asarray(axes.sample(image, i))]
    size = "area" if axes.spatial == "YX" else "volume"
    table: Table = {"index": values, "class": np.asarray(list(classes.values()), object)}
    table[f"{size}_px"] = pixels.astype(np.int64)
    if pixel_size is not None and unit:
        table[f"{size}_{unit}{len(axes.spatial)}"] = pixels * np.prod(pixel_size)
    table["share"] = pixels / max(1, np.prod(labels.shape))
    for c in range(channels):
        with np.errstate(invalid="ignore"):
            table["mean_intensity" + (f"_c{c}" if channels > 1 else "")] = sums[c] / pixels
    return table


def table_of(
    card: Card,
    labels: Any,
    image: Any,
    axes: Axes,
    pixel_size: Sequence[float] | None = None,
    unit: str | None = None,
    chosen: Sequence[str] = USUAL,
) -> Table:
    """What a model found, as `TABLES` has it for its kind of prediction; ``chosen`` : measurements of objects."""
    return TABLES[TASKS[card.task].result](card, chosen)(labels, image, axes, pixel_size=pixel_size, unit=unit)


def class_names(card: Card) -> dict[int, str]:
    """The names of the classes of a model whose predictions are classes, by label number."""
    options = options_of(card)
    return dict(zip(options.values, options.classes, strict=True))


def named_objects(card: Card, values: Any, chances: NDArray[np.float32], objects: NDArray[np.int64]) -> NamedObjects:
    """The classes that a model gives to objects: numbers of classes (n,), probabilities (n, K), sample and number (n, 2) of each."""
    names, highest = class_names(card), chances.max(-1).tolist() if len(chances) else []
    keys = [(int(i), int(n)) for i, n in objects]
    found = zip(keys, np.asarray(values).reshape(-1).tolist(), highest, strict=True)
    return {key: (names.get(value, UNSURE), chance) for key, value, chance in found}


def objects_in(labels: Any, axes: Axes) -> list[tuple[int, int]]:
    """(sample, number) of all objects, in the order of the rows of their table."""
    plain = axes.without_channels()
    samples = (np.asarray(plain.sample(labels, i)[0]) for i in range(plain.count(labels.shape)))
    return [(i, int(n)) for i, y in enumerate(samples) for n in boxes_of(y)[0]]


def count_in(labels: Any, axes: Axes) -> int:
    """How many objects there are, those of each frame by themselves; takes a byte for each, however large the image is."""
    plain, count = axes.without_channels(), 0
    for i in range(plain.count(labels.shape)):
        y = plain.sample(labels, i)[0]
        seen = np.zeros(int(y.max()) + 1, bool)
        for part in y:
            seen[part] = True
        count += int(seen[1:].sum())
    return count


def with_classes(table: Table, classes: NamedObjects, labels: Any, axes: Axes) -> Table:
    """A table of objects with their classes in the columns ``class`` and ``class_probability``."""
    given = [classes.get(key, NO_CLASS) for key in objects_in(labels, axes)]
    named = np.array([name for name, _ in given], object)
    return {**table, "class": named, "class_probability": np.array([chance for _, chance in given], float)}


def class_rows(
    card: Card, name: str, values: Any, maps: NDArray[np.float32] | None, objects: NDArray[np.int64] | None = None
) -> list[dict[str, Any]]:
    """What a model says of the image ``name``: a row for it, for each of its frames, or for each object in it.

    Parameters
    ----------
    values : numbers of classes (n,), 0: unsure; ``maps`` : logits (n, K).
    objects : (n, 2) sample and label number of each; None: whole images.
    """
    options, named = options_of(card), class_names(card)
    values = np.asarray(values).reshape(-1)
    count = 1 if objects is None and len(values) == 1 else 2
    frames = np.arange(len(values)) if objects is None else objects[:, 0]
    if objects is not None:
        count = len(np.unique(frames)) if len(frames) else 1
    chances = np.zeros((len(values), len(options.values))) if maps is None else probabilities(maps)
    rows = []
    for i, value in enumerate(values.tolist()):
        row: dict[str, Any] = {"file": name}
        row |= {"frame": int(frames[i])} if count > 1 else {}
        row |= {} if objects is None else {"label": int(objects[i, 1])}
        row |= {"class": named.get(value, UNSURE), "probability": round(float(chances[i].max()), 6)}
        rows.append(row | {f"p_{n}": round(float(p), 6) for n, p in zip(options.classes, chances[i], strict=True)})
    return rows


def class_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Rows as a table; what a row lacks is left empty."""
    first = [k for k in ("file", "frame", "label") if any(k in row for row in rows)]
    names = dict.fromkeys([*first, *(k for row in rows for k in row)])
    return {name: np.array([row.get(name, "") for row in rows], object) for name in names}


# What makes the table of a prediction out of labels, image, axes, pixel size and unit, by its kind; kinds without one are not there.
TABLES: dict[Kind, Callable[[Card, Sequence[str]], Callable[..., Table]]] = {
    LABELS: lambda card, chosen: partial(measure, chosen=chosen),
    CLASSES: lambda card, chosen: partial(measure_classes, classes=class_names(card)),
}


def typical_diameter(x: Any) -> tuple[float, int] | None:
    """The median diameter of bright objects, found by Otsu's threshold and a watershed; None where there are none.

    Parameters
    ----------
    x : image (C, *S).

    Returns
    -------
    The diameter of a disc or ball of the same size, px, and how many objects it comes from.
    """
    sizes = np.bincount(otsu_watershed(x).ravel())[1:]
    if not len(sizes):
        return None
    median, flat = float(np.median(sizes)), np.ndim(x) == 3
    diameter = 2 * np.sqrt(median / np.pi) if flat else (6 * median / np.pi) ** (1 / 3)
    return round(float(diameter), 1), len(sizes)


def place_of(row: Mapping[str, Any], names: str) -> tuple[float, ...] | None:
    """Where the object of a row of `measure` lies in labels with these axes, px; None where the row does not say."""
    found = []
    for name in names:
        value = row.get(f"centroid_{name.lower()}_px", row.get(POSITION.get(name, "")))
        if value is None:
            return None
        found.append(float(value))
    return tuple(found)


def write_csv(path: Path, table: Table) -> None:
    """Write a table, one line a row, so that it is there as a whole or not at all.

    Raises
    ------
    DojoError : a full disk, a folder that cannot be written.
    """
    rows = zip(*(_texts(column) for column in table.values()), strict=True)
    with (
        replacing(path, 12 * sum(len(c) for c in table.values())) as part,
        part.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(table)
        writer.writerows(rows)


def _objects(y: NDArray[Any], x: NDArray[Any] | None, wanted: Sequence[Measurement]) -> Table:
    """Properties of one sample, labels (*S) and image (C, *S), in px."""
    from skimage.measure import regionprops_table

    if x is not None:
        x = x[0] if len(x) == 1 else np.moveaxis(x, 0, -1)
    values, dense = _dense(y)
    names = dict.fromkeys(["label", "area", "centroid", *(m.found for m in wanted)])
    with np.errstate(invalid="ignore"):  # NaN in the image is NaN in the table
        found: Table = regionprops_table(dense, x, properties=tuple(names))
    found["label"] = values[found["label"]]
    found["area"] = found["area"].astype(np.int64)
    return found


def _dense(y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """What each number in the labels stands for, and the labels; large numbers, which would cost memory, by their rank.

    Negative numbers stand for none.
    """
    y = y.astype(np.uint8) if y.dtype.kind == "b" else y
    if y.min() < 0:
        y = np.where(y > 0, y, 0)
    if y.max() < LARGE:
        return np.arange(int(y.max()) + 1), y.astype(np.int32, copy=False)
    values, ranks = np.unique(y, return_inverse=True)
    if not len(values) or values[0] != 0:
        values, ranks = np.concatenate([[0], values]), ranks + 1
    return values, ranks.reshape(y.shape).astype(np.int32)


def _positions(axes: Axes, shape: Sequence[int], index: int, rows: int) -> Table:
    """Frame and plane of a sample, for each of its rows."""
    letters = [a for a in axes.names if a not in axes.spatial]
    if not letters:
        return {}
    where = np.unravel_index(index, [shape[axes.names.index(a)] for a in letters])
    return {POSITION[a]: np.full(rows, int(i)) for a, i in zip(letters, where, strict=True)}


def _named(
    found: Table, spatial: str, pixel_size: Sequence[float] | None, unit: str | None, wanted: Sequence[Measurement]
) -> Table:
    """The columns as people read them, with units in their names."""
    n, step = len(spatial), np.asarray(pixel_size, float) if pixel_size is not None and unit else None
    pixels, size, letters = found["area"], ("area", "volume")[n - 2], spatial.lower()
    table = {k: found[k] for k in ("index", *POSITION.values()) if k in found}
    table[f"{size}_px"] = pixels
    table |= {f"centroid_{a}_px": found[f"centroid-{i}"] for i, a in enumerate(letters)}
    lengths = [m for m in wanted if m.length]
    table |= {f"{m.name}_px": found[m.found] for m in lengths}
    if step is not None:
        table[f"{size}_{unit}{n}"] = pixels * step.prod()
        table |= {f"centroid_{a}_{unit}": found[f"centroid-{i}"] * step[i] for i, a in enumerate(letters)}
        table |= {f"{m.name}_{unit}": found[m.found] * step.prod() ** (1 / n) for m in lengths}
    for m in wanted:
        if not m.length:
            table |= _columns(m, found)
    return table


def _columns(m: Measurement, found: Table) -> Table:
    """A measurement without unit, of each channel where it has several."""
    computed: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
        "circularity": lambda p: np.minimum(1, 4 * np.pi * found["area"] / np.maximum(p, 1e-9) ** 2),
        "orientation": np.rad2deg,
        "total_intensity": lambda mean: mean * found["area"],
    }
    columns = {}
    for key, values in found.items():
        column, _, channel = key.partition("-")
        if column == m.found:
            columns[m.name + (f"_c{channel}" if channel else "")] = computed.get(m.name, np.asarray)(values)
    return columns


def _texts(column: NDArray[Any]) -> list[str]:
    return [f"{v:.8g}" if isinstance(v, float) else str(v) for v in column.tolist()]
