"""The columns that classes are in a layer's features, and tables of objects with their classes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo.data.axes import Axes
from napari_dojo.errors import DojoError
from napari_dojo.inference.tables import POSITION, Table, measure
from napari_dojo.objects.classes import Classes
from napari_dojo.objects.features import Objects
from napari_dojo.widgets.classify.subject import UNSURE, Seen, Subject
from napari_dojo.widgets.common.layers import array_of

__all__ = [
    "CLASS",
    "PROBABILITY",
    "SHOWN",
    "class_names",
    "classes_in",
    "counts_of_images",
    "table_of_objects",
    "with_classes",
]

CLASS, PROBABILITY, SHOWN = "class", "probability", "shown"  # shown: by a person, not predicted
NO_CLASS = "unsure"


def with_classes(subject: Subject, seen: Seen) -> Table:
    """The features of the layer with the columns class, probability and shown; its other columns stay.

    Of Labels there is a row for each object, with its number, place and size; of Points for each point.
    """
    objects = seen.measured.objects
    old = subject.layer.features
    if subject.layer._type_string == "points":
        return _of_points(subject.layer, seen)
    table: Table = {"index": objects.label, **_places(subject.axes.without_channels(), objects, subject.shape)}
    return table | _carried(old, table) | _columns(seen)


def class_names(seen: Seen) -> NDArray[np.object_]:
    """The name of each object's class, (N,); empty where nothing was predicted."""
    names = np.array(["", *seen.examples.names], object)
    number = np.where(seen.numbers == UNSURE, 0, seen.numbers)
    return np.asarray(np.where(seen.numbers == UNSURE, NO_CLASS, names[np.minimum(number, len(names) - 1)]), object)


def _columns(seen: Seen) -> Table:
    named = class_names(seen)
    shown = np.zeros(len(named), bool)
    shown[seen.examples.rows] = True
    certain = shown.astype(float) if seen.prediction is None else seen.prediction.certainty.round(4)
    return {CLASS: named, PROBABILITY: certain, SHOWN: shown}


def _of_points(layer: Any, seen: Seen) -> Table:
    """Rows of points; those that no image shows have no class."""
    columns = _columns(seen)
    at = seen.measured.objects.label - 1
    there = at < len(layer.data)  # points may have been removed since
    table = {str(name): layer.features[name].to_numpy() for name in layer.features}
    for name, values in columns.items():
        column = np.full(len(layer.data), "" if values.dtype == object else 0, values.dtype)
        column[at[there]] = values[there]
        table[name] = column
    return table


def _places(axes: Axes, objects: Objects, shape: tuple[int, ...]) -> Table:
    """Frame, size and centre of each object, as `napari_dojo.inference.tables.measure` calls them."""
    table = _positions(axes, objects.sample, shape)
    table["area_px" if len(axes.spatial) == 2 else "volume_px"] = objects.size
    table |= {f"centroid_{a.lower()}_px": objects.centre[:, i] for i, a in enumerate(axes.spatial)}
    return table


def _positions(axes: Axes, samples: NDArray[Any], shape: tuple[int, ...]) -> Table:
    """Frame and the like of samples by their numbers; nothing where there is one image."""
    letters = [a for a in axes.names if a not in axes.spatial]
    if not letters:
        return {}
    where = np.unravel_index(samples, [shape[axes.names.index(a)] for a in letters])
    return {POSITION[a]: np.asarray(w) for a, w in zip(letters, where, strict=True)}


def _carried(old: Any, table: Table) -> Table:
    """The other columns of a layer's features, in the order of ``table``; nothing of objects that they do not know."""
    if not len(old) or "index" not in old or not old["index"].is_unique:
        return {}
    others = [name for name in old if name not in table and name not in (CLASS, PROBABILITY, SHOWN)]
    if not others:
        return {}
    known, order = np.unique(old["index"].to_numpy(), return_index=True)
    place = np.searchsorted(known, table["index"]).clip(0, len(known) - 1)
    at = np.where(known[place] == table["index"], order[place], -1)
    found: Table = {}
    for name in others:
        column = old[name].to_numpy()
        blank = np.nan if column.dtype.kind in "fiub" else ""
        taken = np.append(column.astype(float if column.dtype.kind in "fiub" else object), blank)
        found[str(name)] = taken[at]
    return found


def classes_in(layer: Any, axes: Axes) -> Classes | None:
    """What a layer's features say was shown: rows with ``shown``, or all with a class where that column is missing."""
    table = layer.features
    if CLASS not in table or not len(table):
        return None
    named = [str(v) for v in table[CLASS]]
    keep = (
        table[SHOWN].to_numpy().astype(bool)
        if SHOWN in table
        else np.array([n not in ("", NO_CLASS, "nan") for n in named])
    )
    if not keep.any():
        return None
    points = layer._type_string == "points"
    number = np.arange(1, len(table) + 1) if points else table["index"].to_numpy() if "index" in table else None
    if number is None:
        number = np.arange(len(table))
    sample = np.zeros(len(table), np.int64)
    letters = [a for a in axes.without_channels().names if a not in axes.spatial]
    if letters and not points and all(POSITION[a] in table for a in letters):
        shape = [array_of(layer).shape[axes.without_channels().names.index(a)] for a in letters]
        sample = np.ravel_multi_index([table[POSITION[a]].to_numpy().astype(int) for a in letters], shape)
    elif letters:
        return None
    return Classes.from_table(sample[keep], number[keep], [n for n, k in zip(named, keep, strict=True) if k])


def counts_of_images(seen: Seen) -> Table:
    """A row for each image (frame) and class: how many objects it has, the 95 % interval, and how many of them were shown.

    DojoError where no classes were predicted.
    """
    m, prediction = seen.measured, seen.prediction
    if prediction is None:
        raise DojoError("No classes are predicted yet. Show objects of two classes.")
    axes, shape = m.subject.axes.without_channels(), m.subject.shape
    images = np.arange(axes.count(shape))
    counts = [c for i in images for c in prediction.counts(seen.threshold, m.objects.sample == i)]
    table = _positions(axes, np.repeat(images, len(seen.examples.names)), shape)
    table[CLASS] = np.array([*seen.examples.names] * len(images), object)
    figures = np.array([(c.found, c.low, c.high, c.shown) for c in counts], np.int64).reshape(-1, 4)
    return table | dict(zip(("objects", "low", "high", SHOWN), figures.T, strict=True))


def table_of_objects(seen: Seen, chosen: tuple[str, ...]) -> Table:
    """One row for each object: measurements by name, class, probability, shown, and the probability of each class."""
    m, subject = seen.measured, seen.measured.subject
    size, unit = subject.source.pixel_size, subject.source.unit
    table = measure(np.asarray(m.labels), np.asarray(subject.image), subject.axes, size, unit, chosen)
    if not np.array_equal(table["index"], m.objects.label):
        raise DojoError(
            f"The objects of {subject.layer.name} have changed and are being measured. Save again in a moment."
        )
    table |= _columns(seen)
    if seen.prediction is not None:
        for k, name in enumerate(seen.examples.names):
            table[f"p_{name}"] = seen.prediction.probability[:, k].round(4)
    return table
