"""Objects as a table: size, place, shape and intensity, one row each; of classes their share."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo.data.axes import Axes
from napari_dojo.data.kinds import CLASSES, LABELS, Kind
from napari_dojo.io.atomic import replacing
from napari_dojo.metrics.baselines import otsu_watershed
from napari_dojo.models.card import Card, options_of
from napari_dojo.tasks import TASKS

__all__ = [
    "TABLES",
    "Table",
    "class_names",
    "measure",
    "measure_classes",
    "place_of",
    "table_of",
    "typical_diameter",
    "write_csv",
]

Table = dict[str, NDArray[Any]]
LARGE = 2**20  # numbers below it are looked up in a list
POSITION = {"T": "frame", "Z": "plane"}


def measure(
    labels: Any, image: Any, axes: Axes, pixel_size: Sequence[float] | None = None, unit: str | None = None
) -> Table:
    """One row for each object of each sample, in the order of samples and numbers.

    Parameters
    ----------
    labels : whole numbers, 0 is no object; the axes of the image without C. Numpy or dask.
    image : as it lies, with axes ``axes``; None where there is none to look at.
    axes : of the image; ``spatial`` says whether planes or volumes are measured.
    pixel_size, unit : of the spatial axes; without a unit there are only sizes in px.

    Returns
    -------
    Columns by name, the unit last in the name: ``index`` (the label), ``frame`` and ``plane`` (counted from 0, where
    there are such), ``area_px`` or ``volume_px``, ``centroid_y_px`` ..., ``equivalent_diameter_px``, these in
    ``um`` too where known, ``eccentricity`` and ``solidity`` of flat objects, and ``mean_intensity``,
    ``min_intensity``, ``max_intensity``, with ``_c0`` ... where there are several channels. Places are those of pixel
    centres, from the first pixel of the labels.
    """
    ours = axes.without_channels()
    rows = []
    for i in range(ours.count(labels.shape)):
        y = np.asarray(ours.sample(labels, i)[0])
        x = None if image is None else np.asarray(axes.sample(image, i))
        found = _objects(y, x)
        where = _positions(ours, labels.shape, i, len(found["label"]))
        rows.append({"index": found.pop("label"), **where, **found})
    joined = {k: np.concatenate([row[k] for row in rows]) for k in rows[0]}
    return _named(joined, axes.spatial, pixel_size, unit)


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
    card: Card, labels: Any, image: Any, axes: Axes, pixel_size: Sequence[float] | None = None, unit: str | None = None
) -> Table:
    """What a model found, as `TABLES` has it for its kind of prediction."""
    return TABLES[TASKS[card.task].result](card, labels, image, axes, pixel_size, unit)


def class_names(card: Card) -> dict[int, str]:
    """The names of the classes of a model whose predictions are classes, by label number."""
    options = options_of(card)
    return dict(zip(options.values, options.classes, strict=True))


def _objects_of(
    card: Card, labels: Any, image: Any, axes: Axes, size: Sequence[float] | None, unit: str | None
) -> Table:
    return measure(labels, image, axes, size, unit)


def _classes_of(
    card: Card, labels: Any, image: Any, axes: Axes, size: Sequence[float] | None, unit: str | None
) -> Table:
    return measure_classes(labels, image, axes, class_names(card), size, unit)


# The table of a prediction, by its kind; kinds without one are not there.
TABLES: dict[Kind, Callable[[Card, Any, Any, Axes, Sequence[float] | None, str | None], Table]] = {
    LABELS: _objects_of,
    CLASSES: _classes_of,
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
    with replacing(path, 12 * sum(len(c) for c in table.values())) as part, part.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(table)
        writer.writerows(rows)


def _objects(y: NDArray[Any], x: NDArray[Any] | None) -> Table:
    """Properties of one sample, labels (*S) and image (C, *S), in px."""
    from skimage.measure import regionprops_table

    names = ["label", "area", "centroid", "equivalent_diameter_area"]
    if y.ndim == 2:
        names += ["eccentricity", "solidity"]
    if x is not None:
        names += ["intensity_mean", "intensity_min", "intensity_max"]
        x = x[0] if len(x) == 1 else np.moveaxis(x, 0, -1)
    values, dense = _dense(y)
    with np.errstate(invalid="ignore"):  # NaN in the image is NaN in the table
        found: Table = regionprops_table(dense, x, properties=names)
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


def _named(found: Table, spatial: str, pixel_size: Sequence[float] | None, unit: str | None) -> Table:
    """The columns as people read them, with units in their names."""
    n, physical = len(spatial), pixel_size is not None and bool(unit)
    pixels = found["area"]
    size, letters = ("area", "volume")[n - 2], spatial.lower()
    table = {k: found[k] for k in ("index", *POSITION.values()) if k in found}
    table[f"{size}_px"] = pixels
    table |= {f"centroid_{a}_px": found[f"centroid-{i}"] for i, a in enumerate(letters)}
    table["equivalent_diameter_px"] = found["equivalent_diameter_area"]
    if physical and pixel_size is not None:
        step = np.asarray(pixel_size, float)
        table[f"{size}_{unit}{n}"] = pixels * step.prod()
        table |= {f"centroid_{a}_{unit}": found[f"centroid-{i}"] * step[i] for i, a in enumerate(letters)}
        table[f"equivalent_diameter_{unit}"] = found["equivalent_diameter_area"] * step.prod() ** (1 / n)
    table |= {k: found[k] for k in ("eccentricity", "solidity") if k in found}
    for name in ("mean", "min", "max"):
        for k in found:
            column, _, channel = k.partition("-")
            if column == f"intensity_{name}":
                table[f"{name}_intensity" + (f"_c{channel}" if channel else "")] = found[k]
    return table


def _texts(column: NDArray[Any]) -> list[str]:
    return [f"{v:.8g}" if isinstance(v, float) else str(v) for v in column.tolist()]
