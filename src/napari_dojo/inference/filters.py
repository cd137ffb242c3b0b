"""Which objects stay, by what is measured of them: border, area, shape, intensity; and labels without the others. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo.data.axes import Axes
from napari_dojo.errors import DojoError
from napari_dojo.inference.tables import MEASUREMENTS, Table, measure

__all__ = [
    "BORDER",
    "Limits",
    "Range",
    "filtered",
    "is_measurement",
    "kept",
    "measure_for",
    "measurement_of",
    "touching_border",
    "without",
]

BORDER = "touches_border"  # the column of `measure_for` that is no measurement of `tables`
ALWAYS = ("area", "volume")  # are measured whatever is chosen


@dataclass(frozen=True)
class Range:
    """The values that a column of the table may have, both ends included; None: no end there."""

    column: str
    low: float | None = None
    high: float | None = None

    def holds(self, values: NDArray[Any]) -> NDArray[np.bool_]:
        """Where values (n,) lie inside; NaN lies nowhere, unless there is no end."""
        inside = np.ones(len(values), bool)
        if self.low is not None:
            inside &= values >= self.low
        if self.high is not None:
            inside &= values <= self.high
        return inside


@dataclass(frozen=True)
class Limits:
    """What objects must fulfil to stay.

    Attributes
    ----------
    border : objects that touch the border of the image or volume go.
    ranges : of columns as `tables.measure` names them: ``area_px``, ``area_um2``, ``circularity``, ``mean_intensity_c1``.
    """

    border: bool = False
    ranges: tuple[Range, ...] = ()

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Limits:
        """From plain values: ``{"border": true, "area_px": [20, null]}``; DojoError says what is wrong with them."""
        ranges = []
        for column, ends in plain.items():
            if column == "border":
                continue
            wrong = not isinstance(ends, Sequence) or isinstance(ends, str) or len(ends) != 2
            if wrong or not all(e is None or isinstance(e, int | float) for e in ends):
                raise DojoError(f"A filter has a minimum and a maximum: {column}: [20, 500]; got {ends!r}.")
            measurement_of(column)
            ranges.append(Range(column, *ends))
        return cls(bool(plain.get("border", False)), tuple(ranges))

    @property
    def plain(self) -> dict[str, Any]:
        """As plain values; see `of`."""
        border: dict[str, Any] = {"border": True} if self.border else {}
        return border | {r.column: [r.low, r.high] for r in self.ranges}

    @property
    def measurements(self) -> tuple[str, ...]:
        """The names of `tables.MEASUREMENTS` that must be measured for them."""
        names = (measurement_of(r.column) for r in self.ranges)
        return tuple(dict.fromkeys(n for n in names if n not in ALWAYS))


def measurement_of(column: str) -> str:
    """The measurement that a column of a table belongs to; DojoError where there is none of this name."""
    known = (*ALWAYS, *(m.name for m in MEASUREMENTS))
    found = [name for name in known if column == name or column.startswith(f"{name}_")]
    if not found:
        raise DojoError(f"There is no measurement {column!r} to filter by. Choose among {', '.join(known)}.")
    return max(found, key=len)


def is_measurement(column: str) -> bool:
    """Whether a column of a table belongs to a measurement."""
    try:
        measurement_of(column)
    except DojoError:
        return False
    return True


def measure_for(
    limits: Limits,
    labels: Any,
    image: Any,
    axes: Axes,
    pixel_size: Sequence[float] | None = None,
    unit: str | None = None,
) -> Table:
    """The table of `tables.measure` with what the limits need, and where they need it the column ``touches_border``.

    Parameters as in `tables.measure`.
    """
    table = measure(labels, image, axes, pixel_size, unit, limits.measurements)
    return table | {BORDER: touching_border(labels, axes)} if limits.border else table


def touching_border(labels: Any, axes: Axes) -> NDArray[np.bool_]:
    """Which objects have a pixel at the border of their image (YX) or volume (ZYX); in the rows of `tables.measure`."""
    found = []
    for y in _samples(labels, axes):
        numbers = _numbers(y)
        faces = [np.unique(np.take(y, k, axis=a)) for a in range(y.ndim) for k in (0, -1)]
        found.append(np.isin(numbers, np.concatenate(faces)))
    return np.concatenate(found)


def kept(table: Table, limits: Limits) -> NDArray[np.bool_]:
    """Which rows of a table stay within the limits, bool (rows,).

    Raises
    ------
    DojoError : a column is not in the table; the message names those that are.
    """
    inside = np.ones(len(table["index"]), bool)
    for limit in limits.ranges:
        if limit.column not in table:
            usable = [c for c in table if is_measurement(c)]
            raise DojoError(f"There is no {limit.column!r} of these objects to filter by, only {', '.join(usable)}.")
        inside &= limit.holds(table[limit.column])
    return inside & ~table[BORDER] if limits.border else inside


def without(labels: Any, axes: Axes, stay: NDArray[np.bool_]) -> NDArray[Any]:
    """A copy of labels in which the objects that do not stay are background.

    Parameters
    ----------
    stay : for each row of `tables.measure` of these labels.
    """
    out = np.array(labels)
    rows = 0
    for y in _samples(out, axes):
        numbers = _numbers(y)
        gone = numbers[~stay[rows : rows + len(numbers)]]
        rows += len(numbers)
        if len(gone):
            y[_among(y, gone)] = 0
    return out


def filtered(
    labels: Any,
    image: Any,
    axes: Axes,
    limits: Limits,
    pixel_size: Sequence[float] | None = None,
    unit: str | None = None,
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Labels without the objects outside of the limits, and for each object whether it stayed. See `measure_for`."""
    stay = kept(measure_for(limits, labels, image, axes, pixel_size, unit), limits)
    return without(labels, axes, stay), stay


def _samples(labels: Any, axes: Axes) -> list[Any]:
    """The images or volumes (*S), as views."""
    ours = axes.without_channels()
    return [ours.sample(labels, i)[0] for i in range(ours.count(labels.shape))]


def _numbers(y: Any) -> NDArray[Any]:
    """The objects of a sample in the order of `tables.measure`."""
    y = np.asarray(y)
    top = int(y.max(initial=0))
    if y.dtype.kind in "ui" and top <= 4 * y.size and y.min(initial=0) >= 0:
        return np.flatnonzero(np.bincount(y.ravel(), minlength=1)[1:]) + 1
    numbers = np.unique(y)
    return numbers[numbers > 0]


def _among(y: NDArray[Any], gone: NDArray[Any]) -> NDArray[np.bool_]:
    """Where labels are among some numbers."""
    top = int(y.max(initial=0))
    if y.dtype.kind not in "ui" or top > 4 * y.size or y.min(initial=0) < 0:
        return np.isin(y, gone)
    listed = np.zeros(top + 1, bool)
    listed[gone] = True
    return listed[y]
