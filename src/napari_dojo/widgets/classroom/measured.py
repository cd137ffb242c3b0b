"""Objects of a Labels layer and their measurements, and the object in each pixel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_dojo.data.axes import Axes
from napari_dojo.errors import DojoError
from napari_dojo.inference.tables import POSITION, Table, measure
from napari_dojo.widgets.common.measured import Measured
from napari_dojo.widgets.common.turns import short_turns

__all__ = ["Key", "Objects", "objects_of", "own_table", "title_of"]

Key: TypeAlias = tuple[int, int]  # the sample of the array, the number of the object

POSITIONS = tuple(POSITION.values())
UNITS = {"px": "px", "um": "µm", "um2": "µm²", "um3": "µm³"}


@dataclass(frozen=True, eq=False)
class Objects:
    """Objects and their measurements.

    Attributes
    ----------
    keys : (n,), the sample of the array (0 if there is only one) and the number of each object.
    columns : float64 (n,) by name; NaN if an object has no value. Constant columns are excluded.
    rows : int32, the shape of the labels: 0 for background, else 1 + the row of the object.
    notes : what was excluded, one sentence each.
    """

    keys: tuple[Key, ...]
    columns: Table
    rows: NDArray[np.int32]
    notes: tuple[str, ...]

    def plane(self, names: Sequence[str]) -> NDArray[np.float64]:
        """Two columns, z-scored over all objects, (n, 2); NaN in both if an object lacks one of them."""
        xy = np.stack([self.columns[name] for name in names], axis=1)
        fine: NDArray[np.bool_] = np.isfinite(xy).all(axis=1)
        xy[~fine] = np.nan
        if fine.any():
            deviation = xy[fine].std(0)
            xy = (xy - xy[fine].mean(0)) / np.where(deviation > 0, deviation, 1)
        return xy


def objects_of(labels: Any, image: Any = None, table: Table | None = None) -> Objects:
    """Measure the objects of a Labels layer on an image layer, or use existing measurements.

    Parameters
    ----------
    labels : a Labels layer; numbers above 0 are objects; in a series, each frame has its own objects.
    image : an Image layer of the same size; None: shape alone.
    table : ``index`` (the numbers), ``frame`` and ``plane`` where there are such, and figures; None: measure.

    Raises
    ------
    DojoError : with fewer than two objects, or fewer than two columns that differ between them.
    """
    given = Measured.of(labels, image)
    if image is not None and given.image is None:
        raise DojoError(
            f"{image.name} and {labels.name} differ in size. Choose another image, or measure the shape only."
        )
    axes, array = given.axes.without_channels(), given.labels
    known = table is not None
    if table is None:
        with short_turns():
            table = measure(array, given.image, given.axes, given.pixel_size, given.unit)
    keys = _keys(table, axes, array.shape)
    rows = _rows(array, axes, keys)
    there: NDArray[np.bool_] = np.bincount(rows.ravel(), minlength=len(keys) + 1)[1:] > 0
    rows = np.concatenate([[0], there.cumsum() * there]).astype(np.int32)[rows]
    _enough(int(there.sum()), labels.name)
    columns = {k: v[there] for k, v in _figures(table).items()}
    notes = list(_missing(array, rows, known))
    kept = {k: v for k, v in columns.items() if _varies(v)}
    if len(kept) < 2:
        raise DojoError(
            f"Two measurements that differ between objects are needed; {labels.name} has {len(kept)}. Label more "
            "objects, or measure them on an image."
        )
    if len(kept) < len(columns):
        names = ", ".join(title_of(k) for k in columns if k not in kept)
        notes.append(f"Not shown, because all objects have the same value or none: {names}.")
    return Objects(tuple(key for key, on in zip(keys, there, strict=True) if on), kept, rows, tuple(notes))


def own_table(labels: Any) -> Table | None:
    """The features of a layer as a table with one row per object; None if they are not such a table."""
    features = labels.features
    table = {str(k): np.asarray(features[k]) for k in features.columns}
    if "index" not in table or table["index"].dtype.kind not in "iuf":
        table["index"] = np.arange(len(features))  # as napari accepts them
    rows = table["index"] > 0
    table = {k: v[rows] for k, v in table.items()}
    return table if sum(map(_varies, _figures(table).values())) >= 2 else None


def _figures(table: Table) -> Table:
    """The numeric columns as float64; positions come last."""
    names = [k for k, v in table.items() if k not in ("index", "label", *POSITIONS) and v.dtype.kind in "iufb"]
    return {k: table[k].astype(np.float64) for k in sorted(names, key=lambda k: k.startswith("centroid"))}


def _varies(column: NDArray[Any]) -> bool:
    """Whether a column differs between objects."""
    fine = column[np.isfinite(column)]
    return len(fine) > 1 and bool(fine.max() > fine.min())


def _keys(table: Table, axes: Axes, shape: Sequence[int]) -> tuple[Key, ...]:
    """The sample and number of each row."""
    letters = [a for a in axes.names if a not in axes.spatial]
    sizes = [shape[axes.names.index(a)] for a in letters]
    where = [table.get(POSITION[a], np.zeros(len(table["index"]), int)).astype(int) for a in letters]
    samples = np.ravel_multi_index(where, sizes, mode="clip") if letters else np.zeros(len(table["index"]), int)
    return tuple(zip(samples.tolist(), (int(i) for i in table["index"]), strict=True))


def _rows(array: Any, axes: Axes, keys: tuple[Key, ...]) -> NDArray[np.int32]:
    """1 + the row of the object in each pixel; 0 where there is none."""
    out = np.zeros(array.shape, np.int32)
    samples, numbers = np.asarray(keys, np.int64).reshape(-1, 2).T
    for i in range(axes.count(array.shape)):
        mine = np.flatnonzero(samples == i)
        mine = mine[np.argsort(numbers[mine], kind="stable")]
        if len(mine):
            y = np.asarray(axes.sample(array, i)[0])
            at = np.searchsorted(numbers[mine], y).clip(max=len(mine) - 1)
            axes.sample(out, i)[0] = np.where(numbers[mine][at] == y, mine[at] + 1, 0)
    return out


def _enough(n: int, name: str) -> None:
    if n < 2:
        what = "none" if n == 0 else "only one"
        raise DojoError(f"At least two objects are needed, twenty are better; {name} has {what}. Choose another layer.")


def _missing(array: Any, rows: NDArray[np.int32], known: bool) -> Iterator[str]:
    """A note if the layer's table lacks some objects."""
    if known and bool(((np.asarray(array) > 0) & (rows == 0)).any()):
        yield "Objects that are missing in the layer's table are not shown. Measure again to include them."


def title_of(column: str) -> str:
    """A column's title, such as "area (µm²)"."""
    words = column.split("_")
    unit = f" ({UNITS[words.pop()]})" if words[-1] in UNITS and len(words) > 1 else ""
    return " ".join(words) + unit
