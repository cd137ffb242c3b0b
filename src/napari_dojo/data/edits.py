"""Correct objects in labels: delete, merge, split, draw, extend, erase, fill holes, smooth. Each edit can be undone exactly.

Nothing here changes an array: each function looks at a box and gives an `Edit`, or None where nothing would change.
Labels are whole numbers (*S) of any dimension, 0 is background. What is drawn, is drawn in two of the axes, ``axes``;
``where`` is the part of the array that may change: one slice for each axis, of length 1 in the axes that a plane or a
frame is fixed in.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from napari_dojo.data.objects import boxes_by_number

__all__ = [
    "Box",
    "Edit",
    "Places",
    "accept",
    "around",
    "connected_box",
    "delete",
    "draw",
    "erase",
    "extend",
    "fill_all_holes",
    "fill_holes",
    "free_numbers",
    "is_accepted",
    "kept",
    "line_in",
    "meet",
    "merge",
    "paint",
    "smooth",
    "smooth_all",
    "split",
    "wider",
    "withdraw",
]

Box = tuple[slice, ...]  # one slice with start and stop for each axis
Axes = tuple[int, int]  # of rows and columns of what is drawn
START = 64  # px that are looked at first around a place
SLIVER = 0.02  # share of an object below which a part that a line cuts off stays with its neighbour
RIM = 2  # px of background around an accepted object that count as annotated with it


@dataclass(frozen=True, eq=False)
class Edit:
    """What changed in a box: the values before and after."""

    box: Box
    before: NDArray[Any]
    after: NDArray[Any]

    @classmethod
    def of(cls, labels: Any, box: Box, after: NDArray[Any]) -> Edit | None:
        """The change from what lies in the box now, without the borders where nothing changes; None where nothing does."""
        before = np.asarray(labels[box])
        changed = before != after
        inner = _bounds(changed)
        if inner is None:
            return None
        outer = tuple(slice(a.start + b.start, a.start + b.stop) for a, b in zip(box, inner, strict=True))
        return cls(outer, before[inner].copy(), after[inner].astype(before.dtype))

    @property
    def changed(self) -> NDArray[np.bool_]:
        """Where in the box the values differ."""
        different: NDArray[np.bool_] = self.before != self.after
        return different

    @property
    def inverse(self) -> Edit:
        """What undoes it."""
        return Edit(self.box, self.after, self.before)

    def apply(self, labels: Any) -> None:
        """Write it into the array that it was made for."""
        labels[self.box] = self.after


class Places:
    """Where each number lies: a box that holds all its pixels, and perhaps more after edits.

    Found once for the whole array; after an edit, `note` takes time proportional to the edit.
    """

    def __init__(self, boxes: Mapping[int, Box]) -> None:
        self._boxes = dict(boxes)

    @property
    def largest(self) -> int:
        """The largest number that there is or was; 0 where there is none."""
        return max(self._boxes, default=0)

    @property
    def numbers(self) -> Collection[int]:
        """The numbers that there are or were."""
        return self._boxes.keys()

    def box(self, number: int) -> Box | None:
        """A box that holds all pixels of a number; None where there are none."""
        return self._boxes.get(number)

    def together(self, numbers: Sequence[int]) -> Box | None:
        """A box that holds all pixels of these numbers."""
        found = [self._boxes[n] for n in numbers if n in self._boxes]
        return around(*found) if found else None

    def note(self, box: Box, values: NDArray[Any]) -> None:
        """These values were written into the box."""
        for number, inner in boxes_by_number(values).items():
            outer = tuple(slice(a.start + b.start, a.start + b.stop) for a, b in zip(box, inner, strict=True))
            old = self._boxes.get(number)
            self._boxes[number] = outer if old is None else around(old, outer)


def free_numbers(used: Collection[int], largest: int, least: int = 1) -> Iterator[int]:
    """Numbers for new objects: those above all that are used, then those between; none where all are used.

    Parameters
    ----------
    used : a set of numbers.
    largest, least : of the numbers that are given.
    """
    top = max(used, default=0)
    yield from range(max(least, top + 1), largest + 1)
    yield from (n for n in range(least, top) if n not in used)


def connected_box(labels: Any, place: Sequence[int], where: Box) -> Box:
    """The box of the pixels with the number at a place that are connected to it, inside of ``where``.

    Reads no more of the array than about twice what it needs, so it may lie on disk.
    """
    at = [int(p) for p in place]
    reach = START // 2
    while True:
        box = meet(tuple(slice(p - reach, p + reach + 1) for p in at), where)
        found = np.asarray(labels[box])
        here = tuple(p - s.start for p, s in zip(at, box, strict=True))
        parts, _ = ndimage.label(found == found[here], np.ones((3,) * found.ndim))
        inner = _bounds(parts == parts[here])
        assert inner is not None
        outer = tuple(slice(a.start + b.start, a.start + b.stop) for a, b in zip(box, inner, strict=True))
        cut = any(
            (o.start == b.start > w.start) or (o.stop == b.stop < w.stop)
            for o, b, w in zip(outer, box, where, strict=True)
        )
        if not cut:
            return outer
        reach *= 2


def meet(a: Box, b: Box) -> Box:
    """What two boxes have in common; empty slices where that is nothing."""
    starts = [max(x.start, y.start) for x, y in zip(a, b, strict=True)]
    stops = [min(x.stop, y.stop) for x, y in zip(a, b, strict=True)]
    return tuple(slice(s, max(s, e)) for s, e in zip(starts, stops, strict=True))


def wider(box: Box, by: int, where: Box, axes: Axes | None = None) -> Box:
    """A box with ``by`` px more on each side of these axes (None: of all), inside of ``where``."""
    ndim = len(box)
    grown = {a % ndim for a in (axes or range(ndim))}
    more = tuple(slice(s.start - by, s.stop + by) if a in grown else s for a, s in enumerate(box))
    return meet(more, where)


# whole objects


def delete(labels: Any, number: int, box: Box) -> Edit | None:
    """An object becomes background in the box."""
    return _replaced(labels, box, lambda old: np.where(old == number, 0, old))


def merge(labels: Any, numbers: Sequence[int], box: Box) -> Edit | None:
    """Objects get the first of these numbers in the box."""
    return _replaced(labels, box, lambda old: np.where(np.isin(old, numbers[1:]), numbers[0], old))


def split(
    labels: Any, number: int, box: Box, line: ArrayLike, new: int | Iterator[int], axes: Axes = (-2, -1)
) -> Edit | None:
    """Cut an object along a line; each part is connected, the largest keeps the number.

    A line that ends inside of the object is continued straight to its border. Through a volume the line cuts as a
    surface along the other axes.

    Parameters
    ----------
    box : where the object lies.
    line : (n, 2) places along ``axes``, px.
    new : the first free number, further parts get the next ones; or free numbers.

    Raises
    ------
    OverflowError : where there are fewer free numbers than new parts.
    """
    old = np.asarray(labels[box])
    mask = old == number
    cut = _spread(_cut(_flat(mask, axes), np.asarray(line, float) - _corner(box, axes)), mask.ndim, axes) & mask
    parts, found = ndimage.label(mask & ~cut, np.ones((3,) * mask.ndim))
    sizes = np.bincount(parts.ravel(), minlength=found + 1)
    touching = np.unique(parts[ndimage.binary_dilation(cut, np.ones((3,) * mask.ndim))])
    wanted = [int(k) for k in touching if k and sizes[k] > max(3, SLIVER * mask.sum())]
    if len(wanted) < 2:
        return None
    wanted.sort(key=lambda k: -sizes[k])
    free = list(islice(count(new) if isinstance(new, int) else new, len(wanted) - 1))
    if len(free) < len(wanted) - 1:
        raise OverflowError(f"{len(wanted) - 1} free numbers are needed, there are {len(free)}")
    numbers = np.full(found + 1, number, old.dtype)
    numbers[wanted[1:]] = free
    small = np.isin(parts, [k for k in touching if k and k not in wanted])
    near = ndimage.distance_transform_edt(~np.isin(parts, wanted), return_distances=False, return_indices=True)
    nearest = numbers[parts[tuple(near)]]
    after = np.where(cut | small, nearest, np.where(parts > 0, numbers[parts], old))
    return Edit.of(labels, box, after)


def fill_holes(labels: Any, number: int, box: Box, axes: Axes = (-2, -1)) -> Edit | None:
    """Background that an object encloses in a plane of ``axes`` becomes part of it."""
    old = np.asarray(labels[box])
    around = _spread(ndimage.generate_binary_structure(2, 1), old.ndim, axes)
    filled = ndimage.binary_fill_holes(old == number, around)
    return Edit.of(labels, box, np.where(filled & (old == 0), number, old))


def smooth(labels: Any, number: int, box: Box, where: Box, axes: Axes = (-2, -1), sigma: float = 2.0) -> Edit | None:
    """Smooth the outline of an object in the planes of ``axes``; other objects stay, and so does its size, about.

    Parameters
    ----------
    sigma : px; structures smaller than about twice that disappear.
    """
    box = wider(box, int(np.ceil(2 * sigma)), where, axes)
    old = np.asarray(labels[box])
    mask = old == number
    widths = np.zeros(mask.ndim)
    widths[list(axes)] = sigma
    soft = ndimage.gaussian_filter(mask.astype(np.float32), widths, mode="nearest")
    parts, count = ndimage.label((soft > 0.5) & ((old == 0) | mask), np.ones((3,) * mask.ndim))
    if not count:
        return None
    kept = parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
    return Edit.of(labels, box, np.where(kept, number, np.where(mask, 0, old)))


# all objects


def fill_all_holes(labels: NDArray[Any], axes: Axes = (-2, -1)) -> tuple[NDArray[Any], int]:
    """A copy of labels (*S) in which background that one object encloses in a plane is part of it, and how many had holes."""
    return _each(labels, lambda out, n, box, where: fill_holes(out, n, box, axes))


def smooth_all(labels: NDArray[Any], sigma: float = 2.0, axes: Axes = (-2, -1)) -> tuple[NDArray[Any], int]:
    """A copy of labels (*S) with the outline of each object smoothed, and how many changed. See `smooth`."""
    return _each(labels, lambda out, n, box, where: smooth(out, n, box, where, axes, sigma))


def _each(
    labels: NDArray[Any], change: Callable[[NDArray[Any], int, Box, Box], Edit | None]
) -> tuple[NDArray[Any], int]:
    out, where = labels.copy(), tuple(slice(0, n) for n in labels.shape)
    count = 0
    for number, box in boxes_by_number(labels).items():
        edit = change(out, number, box, where)
        if edit is not None:
            edit.apply(out)
            count += 1
    return out, count


# what counts as annotated: a mask as large as the labels, above 0 where it does


def accept(
    labels: Any,
    accepted: Any,
    numbers: Sequence[int],
    box: Box,
    where: Box,
    also: Sequence[tuple[Box, NDArray[np.bool_]]] = (),
    axes: Axes = (-2, -1),
) -> Edit | None:
    """Objects count as annotated, with a thin rim of the background around them.

    Parameters
    ----------
    accepted : the mask.
    box : where the objects lie.
    also : further places: boxes and where in them.
    """
    if also:
        box = around(box, *(b for b, _ in also))
    box = wider(box, RIM, where, axes)
    after = np.asarray(accepted[box]) | _with_rim(np.asarray(labels[box]), numbers, axes)
    for outer, mask in also:
        inner = tuple(slice(o.start - b.start, o.stop - b.start) for o, b in zip(outer, box, strict=True))
        after[inner] |= mask
    return Edit.of(accepted, box, after)


def withdraw(
    labels: Any, accepted: Any, numbers: Sequence[int], box: Box, where: Box, axes: Axes = (-2, -1)
) -> Edit | None:
    """Objects and their rims no longer count as annotated."""
    box = wider(box, RIM, where, axes)
    return Edit.of(
        accepted, box, np.where(_with_rim(np.asarray(labels[box]), numbers, axes), 0, np.asarray(accepted[box]))
    )


def kept(labels: NDArray[Any], accepted: NDArray[Any], new: NDArray[Any]) -> NDArray[np.int32]:
    """Labels of another prediction (*S), in which all that is accepted stays as it is, with its numbers.

    Objects of the new prediction of which most is accepted are left out, others are cut; they are numbered from the largest
    number of the labels on.
    """
    inside = np.unique(labels[accepted > 0])
    mine = (accepted > 0) | np.isin(labels, inside[inside > 0])
    values, place = np.unique(new, return_inverse=True)
    place = place.reshape(new.shape)
    gone = 2 * np.bincount(place[mine], minlength=len(values)) > np.bincount(place.ravel(), minlength=len(values))
    numbers = int(labels.max(initial=0)) + np.cumsum(~gone & (values > 0))
    numbers[gone | (values <= 0)] = 0
    return np.where(mine, labels, numbers[place]).astype(np.int32)


def is_accepted(labels: Any, accepted: Any, number: int, box: Box) -> bool:
    """Whether most of an object counts as annotated."""
    mask = np.asarray(labels[box]) == number
    inside = int(np.count_nonzero(np.asarray(accepted[box])[mask]))
    return 2 * inside >= max(1, int(np.count_nonzero(mask)))


def _with_rim(labels: NDArray[Any], numbers: Sequence[int], axes: Axes) -> NDArray[np.bool_]:
    objects = np.isin(labels, numbers)
    around = _spread(ndimage.generate_binary_structure(2, 1), labels.ndim, axes)
    near: NDArray[np.bool_] = ndimage.binary_dilation(objects, around, iterations=RIM) & (labels == 0)
    return objects | near


# what is drawn


def draw(labels: Any, outline: ArrayLike, number: int, where: Box, axes: Axes = (-2, -1)) -> Edit | None:
    """Fill a closed outline with a number, where there is background.

    Parameters
    ----------
    outline : corners (n, 2) along ``axes``, px; pixels whose centres lie inside count.
    """
    from skimage.draw import polygon2mask

    corners = np.asarray(outline, float)
    box = _drawn_box(corners, 1, where, axes)
    size = [box[a].stop - box[a].start for a in axes]
    return paint(labels, polygon2mask(size, corners - _corner(box, axes)), number, box, axes)


def paint(labels: Any, mask: NDArray[np.bool_], number: int, box: Box, axes: Axes = (-2, -1)) -> Edit | None:
    """A number where a mask, as large as the box along ``axes``, is True and there is background."""
    spread = _spread(mask, len(box), axes)
    return _replaced(labels, box, lambda old: np.where(spread & (old == 0), number, old))


def extend(labels: Any, number: int, path: ArrayLike, radius: float, where: Box, axes: Axes = (-2, -1)) -> Edit | None:
    """Paint along a path with a round brush, on background only.

    Parameters
    ----------
    path : (n, 2) places along ``axes``, px.
    radius : of the brush, px.
    """
    box, brushed = _brushed(path, radius, where, axes)
    return paint(labels, brushed, number, box, axes)


def erase(labels: Any, number: int, path: ArrayLike, radius: float, where: Box, axes: Axes = (-2, -1)) -> Edit | None:
    """Erase along a path with a round brush, from this object only. See `extend`."""
    box, brushed = _brushed(path, radius, where, axes)
    spread = _spread(brushed, len(box), axes)
    return _replaced(labels, box, lambda old: np.where(spread & (old == number), 0, old))


def line_in(labels: Any, line: ArrayLike, where: Box, axes: Axes = (-2, -1)) -> list[int]:
    """The numbers of the objects that a line crosses, in their order along it."""
    path = _dense(np.asarray(line, float))
    box = _drawn_box(path, 1, where, axes)
    if any(s.stop <= s.start for s in box):
        return []
    found = _flat(np.asarray(labels[box]), axes, largest=True)
    points = np.rint(path - _corner(box, axes)).astype(int)
    inside = ((points >= 0) & (points < found.shape)).all(1)
    numbers = found[tuple(points[inside].T)]
    return [int(n) for n in dict.fromkeys(numbers.tolist()) if n > 0]


def _replaced(labels: Any, box: Box, change: Any) -> Edit | None:
    if any(s.stop <= s.start for s in box):
        return None
    return Edit.of(labels, box, change(np.asarray(labels[box])))


def _bounds(mask: NDArray[np.bool_]) -> Box | None:
    """The smallest box around what is True."""
    found = ndimage.find_objects(mask.astype(np.uint8), 1)
    return found[0]


def around(*boxes: Box) -> Box:
    """The smallest box around these."""
    return tuple(slice(min(s.start for s in a), max(s.stop for s in a)) for a in zip(*boxes, strict=True))


def _corner(box: Box, axes: Axes) -> NDArray[np.float64]:
    return np.array([box[a].start for a in axes], float)


def _drawn_box(points: NDArray[np.float64], margin: float, where: Box, axes: Axes) -> Box:
    """The part of ``where`` around drawn points."""
    low, high = points.min(0) - margin, points.max(0) + margin
    near = list(where)
    for a, start, stop in zip(axes, low, high, strict=True):
        near[a] = slice(int(np.floor(start)), int(np.ceil(stop)) + 1)
    return meet(tuple(near), where)


def _flat(array: NDArray[Any], axes: Axes, largest: bool = False) -> NDArray[Any]:
    """A box seen along its other axes, as an image of ``axes``: where anything is True, or the largest number."""
    others = tuple(a for a in range(array.ndim) if a not in {x % array.ndim for x in axes})
    flat: NDArray[Any] = np.max(array, axis=others) if largest else np.any(array, axis=others)
    return flat if axes[0] % array.ndim < axes[1] % array.ndim else flat.T


def _spread(image: NDArray[np.bool_], ndim: int, axes: Axes) -> NDArray[np.bool_]:
    """An image of ``axes`` with an axis of length 1 for each other one."""
    rows, columns = (a % ndim for a in axes)
    image = image if rows < columns else image.T
    return np.expand_dims(image, tuple(a for a in range(ndim) if a not in (rows, columns)))


def _dense(line: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points on a line at most half a pixel apart."""
    if len(line) < 2:
        return line
    lengths = np.linalg.norm(np.diff(line, axis=0), axis=1)
    counts = np.maximum(1, np.ceil(2 * lengths).astype(int))
    parts = [np.linspace(a, b, n, endpoint=False) for a, b, n in zip(line, line[1:], counts, strict=False)]
    return np.concatenate([*parts, line[-1:]])


def _cut(mask: NDArray[np.bool_], line: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Pixels of a mask (rows, columns) on a line that is continued to the mask's border; nothing passes diagonally."""
    path = _dense(line)
    for end in (0, -1):
        path = _continued(mask, path, end)
    points = np.rint(path).astype(int)
    cut = np.zeros(np.add(mask.shape, 2), bool)
    inside = ((points >= -1) & (points <= mask.shape)).all(1)
    cut[tuple(points[inside].T + 1)] = True
    cut |= np.roll(cut, 1, axis=0)  # two pixels thick: diagonal neighbours do not meet across it
    return cut[1:-1, 1:-1] & mask


def _continued(mask: NDArray[np.bool_], path: NDArray[np.float64], end: int) -> NDArray[np.float64]:
    """A path that goes straight on from one end until it leaves the mask; an end outside stays."""
    far = path[min(10, len(path) - 1)] if end == 0 else path[max(-11, -len(path))]
    step = path[end] - far
    if not np.any(step):
        return path
    step = step / (2 * np.linalg.norm(step))
    more = path[end] + step * np.arange(1, 2 * int(np.hypot(*mask.shape)) + 4)[:, None]
    points = np.rint(np.concatenate([path[end][None], more])).astype(int)
    inside = ((points >= 0) & (points < mask.shape)).all(1)
    inside[inside] = mask[tuple(points[inside].T)]
    length = len(inside) if inside.all() else int(np.argmin(inside))
    more = more[: max(0, length)]
    return np.concatenate([more[::-1], path]) if end == 0 else np.concatenate([path, more])


def _brushed(path: ArrayLike, radius: float, where: Box, axes: Axes) -> tuple[Box, NDArray[np.bool_]]:
    """The box of a stroke, and its pixels along ``axes``."""
    line = _dense(np.asarray(path, float))
    box = _drawn_box(line, radius, where, axes)
    free = np.ones([max(0, box[a].stop - box[a].start) for a in axes], bool)
    points = line - _corner(box, axes)
    if not free.size:
        return box, free
    rows, columns = (np.arange(n, dtype=float) for n in free.shape)
    brushed = np.zeros(free.shape, bool)
    for r, c in points[:: max(1, int(radius / 2))] if radius > 2 else points:
        a, b = max(0, int(r - radius)), max(0, int(c - radius))
        near = (slice(a, int(r + radius) + 2), slice(b, int(c + radius) + 2))
        brushed[near] |= (rows[near[0], None] - r) ** 2 + (columns[near[1]] - c) ** 2 <= radius**2
    r, c = points[-1]
    brushed |= (rows[:, None] - r) ** 2 + (columns - c) ** 2 <= radius**2
    return box, brushed
