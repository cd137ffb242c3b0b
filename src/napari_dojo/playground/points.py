"""Point sets: generated, drawn by hand or read from a table, and split into training, validation and test."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_dojo.errors import DojoError
from napari_dojo.playground.activations import Array
from napari_dojo.playground.formula import Formula
from napari_dojo.playground.settings import FEATURES, MOST_CLASSES, MOST_POINTS, PointSet

__all__ = ["FORMULAS", "KINDS", "SETS", "Data", "Kind", "draw_points", "read_csv", "split_rows"]

Drawn: TypeAlias = tuple[NDArray[Any], NDArray[Any]]

SETS = ("training", "validation", "test")
FORMULAS = {"line": "y < 0.5*x + 0.1", "parabola": "y < 2*x**2 - 0.4"}


# Each returns n points (n, 2) and their classes or target values (n,). "Show the code" prints the function as it is.
def spiral(rng: np.random.Generator, n: int, noise: float) -> Drawn:
    """Two arms, each the other rotated by 180 degrees, as in the course."""
    theta = rng.uniform(0, 10 * np.pi, n)
    r = 0.25 * theta
    x = (r + rng.uniform(-noise, noise, n)) * np.cos(r)
    y = (r + rng.uniform(-noise, noise, n)) * np.sin(r)
    value = np.arange(n) % 2
    xy = np.stack([x, y], axis=1)
    xy[value == 1] *= -1
    return xy, value


def circle(rng: np.random.Generator, n: int, noise: float) -> Drawn:
    """Class 1 inside a circle that covers half of the square."""
    xy = rng.uniform(-1, 1, (n, 2))
    value = xy[:, 0] ** 2 + xy[:, 1] ** 2 < 2 / np.pi
    return xy + rng.normal(0, noise, (n, 2)), value


def xor(rng: np.random.Generator, n: int, noise: float) -> Drawn:
    """Class 1 where x and y have the same sign."""
    xy = rng.uniform(-1, 1, (n, 2))
    value = xy[:, 0] * xy[:, 1] > 0
    return xy + rng.normal(0, noise, (n, 2)), value


def clusters(rng: np.random.Generator, n: int, noise: float, classes: int) -> Drawn:
    """One cloud per class, with the centres on a circle."""
    value = np.arange(n) % classes
    angle = 2 * np.pi * (value + 0.5) / classes
    xy = 0.65 * np.stack([np.cos(angle), np.sin(angle)], axis=1) + rng.normal(0, noise, (n, 2))
    return xy, value


def blobs(rng: np.random.Generator, n: int, noise: float) -> Drawn:
    """Two clouds, one per class."""
    value = np.arange(n) % 2
    xy = 0.4 * (2 * value - 1)[:, None] + rng.normal(0, noise, (n, 2))
    return xy, value


def moons(rng: np.random.Generator, n: int, noise: float) -> Drawn:
    """Two interleaved half circles."""
    angle = rng.uniform(0, np.pi, n)
    value = np.arange(n) % 2
    x = np.where(value == 1, 1 - np.cos(angle), np.cos(angle)) - 0.5
    y = np.where(value == 1, 0.5 - np.sin(angle), np.sin(angle)) - 0.25
    xy = np.stack([x, y], axis=1) / 1.6 + rng.normal(0, noise, (n, 2))
    return xy, value


def plane(rng: np.random.Generator, n: int, noise: float) -> Drawn:
    """A value that increases towards the upper right."""
    xy = rng.uniform(-1, 1, (n, 2))
    value = 0.5 * xy[:, 0] + 0.5 * xy[:, 1] + rng.normal(0, noise, n)
    return xy, value


def hills(rng: np.random.Generator, n: int, noise: float) -> Drawn:
    """Six Gaussians in two rows, alternating between 1 and -1."""
    xy = rng.uniform(-1, 1, (n, 2))
    value = rng.normal(0, noise, n)
    for x, y, height in [
        (-0.65, 0.4, 1),
        (0, 0.4, -1),
        (0.65, 0.4, 1),
        (-0.65, -0.4, -1),
        (0, -0.4, 1),
        (0.65, -0.4, -1),
    ]:
        value = value + height * np.exp(-((xy[:, 0] - x) ** 2 + (xy[:, 1] - y) ** 2) / 0.05)
    return xy, value


def curve(rng: np.random.Generator, n: int, noise: float) -> Drawn:
    """A sine wave of x; y is 0."""
    xy = np.zeros((n, 2))
    xy[:, 0] = rng.uniform(-1, 1, n)
    value = 0.7 * np.sin(4 * xy[:, 0]) + rng.normal(0, noise, n)
    return xy, value


@dataclass(frozen=True)
class Kind:
    """A point set: its generator, title, default noise and description."""

    draw: Callable[..., Drawn] | None
    title: str
    noise: float = 0.0
    sentence: str = ""


KINDS = {
    "line": Kind(None, "Line", 0, "Class 1 lies below a straight line."),
    "parabola": Kind(None, "Parabola", 0, "Class 1 lies below a parabola."),
    "spiral": Kind(spiral, "Spiral", 0.5, "Two arms wind around each other."),
    "circle": Kind(circle, "Circle", 0, "Class 1 lies inside a circle."),
    "xor": Kind(xor, "XOR", 0, "Class 1 is where x and y have the same sign."),
    "clusters": Kind(clusters, "Clusters", 0.18, "Several clouds, one per class."),
    "blobs": Kind(blobs, "Two clouds", 0.25, "Two clouds that touch."),
    "moons": Kind(moons, "Moons", 0.08, "Two interleaved half moons."),
    "plane": Kind(plane, "Plane (regression)", 0.05, "A value that increases towards the upper right."),
    "hills": Kind(hills, "Hills (regression)", 0.05, "A value with hills and valleys."),
    "curve": Kind(curve, "Curve (regression)", 0.05, "A value that depends on x alone: a wave."),
    "formula": Kind(None, "Formula", 0, "Class 1 is where your formula is true."),
    "custom": Kind(None, "Custom points", 0, "Points that you drew or read from a table."),
}


@dataclass(frozen=True)
class Data:
    """Points of three sets, in the order training, validation, test.

    Attributes
    ----------
    xy : (n, 2), coordinates in the plane, before z-scoring.
    value : (n,), class numbers, or for regression the target values.
    counts : the number of points of each set.
    classes : the number of classes; 0 for regression.
    order : (n,), the row of `PointSet.rows` that each custom point comes from.
    wrong : (n,), True for points with a wrong label (label noise).
    mean, deviation : (2,), of the training points if they are z-scored, else 0 and 1.
    """

    xy: Array
    value: Array
    counts: tuple[int, int, int]
    classes: int
    order: NDArray[np.intp]
    wrong: NDArray[np.bool_]
    mean: Array
    deviation: Array

    def part(self, name: str) -> slice:
        """The slice of a set: "training", "validation" or "test"."""
        number = SETS.index(name)
        return slice(sum(self.counts[:number]), sum(self.counts[: number + 1]))

    def inputs(self, xy: Array, names: tuple[str, ...]) -> Array:
        """The network's inputs, (n, inputs), for points (n, 2)."""
        x, y = ((xy - self.mean) / self.deviation).T
        made = {"x": x, "y": y, "x2": x**2, "y2": y**2, "xy": x * y, "sin_x": np.sin(x), "sin_y": np.sin(y)}
        return np.stack([made[name] for name in names], axis=1)


def draw_points(points: PointSet, rng: np.random.Generator) -> Data:
    """Generate points, add label noise, shuffle and split them. The three sets never share a point.

    Raises
    ------
    DojoError : if nothing can be learned: no training points, a class without any, or all at the same position.
    """
    if points.kind == "custom":
        xy, value, counts, order = split_rows(points)
        wrong = np.zeros(len(value), bool)
    else:
        counts = (points.training, points.validation, points.test)
        n = sum(counts)
        xy, value = _drawn(points, rng, n)
        value, wrong = _flipped(points, rng, value)
        order = rng.permutation(n)
        xy, value, wrong = xy[order], value[order], wrong[order]
    training = xy[: counts[0]]
    _check(points, training, value[: counts[0]])
    mean, deviation = np.zeros(2), np.ones(2)
    if points.zscore:
        mean, deviation = training.mean(0), training.std(0)
        deviation[deviation == 0] = 1
    return Data(xy, value, counts, points.n_classes, order, wrong, mean, deviation)


def _drawn(points: PointSet, rng: np.random.Generator, n: int) -> tuple[Array, Array]:
    kind = KINDS[points.kind]
    noise = kind.noise if points.noise is None else points.noise
    if kind.draw is None:
        holds = Formula(FORMULAS.get(points.kind, points.formula))
        xy = rng.uniform(-1, 1, (n, 2))
        value = holds(*xy.T).astype(np.float64)
        return xy + rng.normal(0, noise, (n, 2)), value
    more = (points.classes,) if points.kind == "clusters" else ()
    xy, value = kind.draw(rng, n, noise, *more)
    return xy, value.astype(np.float64)


def _flipped(points: PointSet, rng: np.random.Generator, value: Array) -> tuple[Array, NDArray[np.bool_]]:
    """The classes with exactly the requested share of wrong labels, and where they are."""
    wrong = np.zeros(len(value), bool)
    if points.label_noise and points.n_classes:
        chosen = rng.choice(len(value), round(points.label_noise * len(value)), replace=False)
        wrong[chosen] = True
        value[chosen] = (value[chosen] + rng.integers(1, points.n_classes, len(chosen))) % points.n_classes
    return value, wrong


def _check(points: PointSet, training: Array, value: Array) -> None:
    more = "Add some." if points.kind == "custom" else "Increase their number, or change the seed or the formula."
    if len(training) == 0:
        raise DojoError(f"There are no training points. {more}")
    if points.n_classes:
        there = sorted({int(v) for v in value})
        missing = [str(c) for c in range(points.n_classes) if c not in there]
        if missing:
            named = f"class {missing[0]}" if len(missing) == 1 else f"the classes {', '.join(missing)}"
            none = (
                "The only training point is not" if len(value) == 1 else f"None of the {len(value)} training points is"
            )
            raise DojoError(f"{none} of {named}. {more}")
    if len(training) > 1 and (training == training[0]).all():
        raise DojoError("All training points are at the same position. Move some of them.")


def split_rows(points: PointSet) -> tuple[Array, Array, tuple[int, int, int], NDArray[np.intp]]:
    """Split custom points: coordinates, values, the counts of the three sets, and the row of each point.

    The rows of each class are assigned in order: the first to training, the others in proportion to the three counts.
    So a point stays in its set when others are appended.
    """
    if not points.rows:
        raise DojoError("There are no points yet. Draw some or read a table.")
    rows = np.array(points.rows)
    shares = np.array([points.training, points.validation, points.test]) / (
        points.training + points.validation + points.test
    )
    sets = np.zeros(len(rows), int)
    groups = [rows[:, 2] == c for c in range(points.n_classes)] if points.n_classes else [np.ones(len(rows), bool)]
    for group in groups:
        dealt = np.zeros(3)
        for at in np.flatnonzero(group):
            sets[at] = np.argmax(shares * (dealt.sum() + 1) - dealt) if dealt.any() else 0
            dealt[sets[at]] += 1
    order = np.argsort(sets, kind="stable")
    counts = np.bincount(sets, minlength=3)
    return rows[order, :2], rows[order, 2], (int(counts[0]), int(counts[1]), int(counts[2])), order


def read_csv(source: str | Path) -> tuple[tuple[tuple[float, float, float], ...], tuple[str, ...]]:
    """Read custom points from a CSV file with the columns x, y and class (or target value), and the class names.

    A header line is skipped. The separator is a comma, semicolon or tab. Words, or up to 8 different whole numbers, are
    classes in alphabetical or numerical order. Other numbers are target values for regression; then there are no names.

    Raises
    ------
    DojoError : naming the invalid line.
    """
    try:
        with Path(source).open(encoding="utf-8-sig", newline="") as file:
            text = file.read(200 * MOST_POINTS)
        table = csv.reader(io.StringIO(text), delimiter=_delimiter(text))
        lines = [line for line in table if any(cell.strip() for cell in line)]
    except (UnicodeDecodeError, csv.Error):
        raise DojoError(f"{source} is not a table. Choose a CSV file with the columns x, y, class.") from None
    if lines and not _numbers(lines[0][:2]):
        lines = lines[1:]
    if not lines or len(lines) > MOST_POINTS:
        raise DojoError(f"{source} has {len(lines)} points; 1 to {MOST_POINTS} are allowed.")
    for number, line in enumerate(lines, 1):
        if len(line) < 3 or not _numbers(line[:2]):
            raise DojoError(
                f"{source}: point {number} needs x, y and a class; got {','.join(line)[:40]!r}. Fix or remove the line."
            )
    words = [line[2].strip() for line in lines]
    names = _class_names(words)
    if len(names) > MOST_CLASSES:
        raise DojoError(f"{source} has {len(names)} classes; at most {MOST_CLASSES} are allowed. Merge some.")
    values = [float(names.index(w)) if names else float(w) for w in words]
    return tuple((float(a[0]), float(a[1]), v) for a, v in zip(lines, values, strict=True)), names


def _class_names(words: list[str]) -> tuple[str, ...]:
    """The class names in order; empty if the values are targets for regression."""
    different = sorted(set(words))
    if not _numbers(different):
        return tuple(different)
    whole = all(float(w).is_integer() for w in different)
    return tuple(sorted(different, key=float)) if whole and len(different) <= MOST_CLASSES else ()


def _delimiter(text: str) -> str:
    first = text.partition("\n")[0]
    return max(",;\t", key=first.count)


def _numbers(cells: list[str]) -> bool:
    try:
        return all(np.isfinite(float(cell)) for cell in cells)
    except ValueError:
        return False


def check_inputs(points: PointSet, names: tuple[str, ...]) -> None:
    """DojoError if an input needs a coordinate that the points do not have."""
    if points.kind == "curve" and any("y" in name for name in names):
        fine = [name for name in FEATURES if "y" not in name]
        raise DojoError(f"The curve depends on x alone. Choose inputs among {', '.join(fine)}.")
