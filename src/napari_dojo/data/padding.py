"""Padding: what registration, stitching, rotation and stopped movies leave around, between and after what was imaged.

Padding is exactly constant (or NaN), stands apart from all that was imaged, and covers whole rows, columns, corners,
tiles or frames. A background that a camera or a program has clipped to 0 is image: its zeros lie among ones and twos.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["Sparse", "background", "filled", "padding", "step_of", "strided", "unknown"]

LOOKED_AT = 2**16  # pixels on which it is decided whether there may be padding
SMALLEST = 16  # px; what is smaller is a defect of the camera, not padding
LEVELS = 8  # padding is at least this many levels of the image away from its median
APART = {True: 0.25, False: 0.1}  # share of that distance in which there is hardly a pixel, below and above the image
LINED = 0.15  # share of a face that padding in a corner lines at least; elsewhere twice as much
IN_BOX = 0.01  # share of a box within a frame that may have the value of the frame
MOST_LINES = 4  # values that constant rows and columns have at most, else the image is drawn
CROSSED = 64  # pixels of a row or column that say whether it may be constant
FEW = 0.02  # share of the image that may lie there all the same: interpolated edges, dead pixels
PART = 0.05  # a part of the image has at least this share of it, else it is an object on an empty ground
IMAGED = 0.8  # share of what was imaged that lies in such parts


def padding(x: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Where an image (C, *S) is padding, (C, *S), channel by channel; None where nothing is. A blank image is all padding."""
    found = [_of_channel(channel) for channel in x]
    if all(m is None for m in found):
        return None
    return np.stack([np.zeros(x.shape[1:], bool) if m is None else m for m in found])


def filled(x: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """An image (C, *S) whose padding and NaN have the level of its background, and where that padding is (None: nowhere).

    No edge is left that looks like an object's: the background is darker than objects in fluorescence, and lighter in bright field.
    """
    where, nan = padding(x), unknown(x)
    masks = [m for m in (where, nan) if m is not None]
    if not masks:
        return x, None
    out = x.copy()
    for channel, mask in zip(out, np.logical_or.reduce(masks), strict=True):
        if mask.any() and not mask.all():
            channel[mask] = background(channel, mask)
    return out, where


def unknown(x: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Where an image holds NaN; None: nowhere."""
    nan = np.isnan(x) if x.dtype.kind == "f" else None
    return nan if nan is not None and nan.any() else None


def background(channel: NDArray[Any], mask: NDArray[np.bool_] | None = None) -> float:
    """The level of the background of a channel (*S), where no mask lies: a quartile, on the side where the values reach less far.

    Objects are the long tail: bright ones in fluorescence, dark ones in stained tissue and bright field; see LOG.md.
    """
    few = strided(channel, LOOKED_AT)
    imaged = few.ravel() if mask is None else few[~strided(mask, LOOKED_AT)]
    imaged = imaged[np.isfinite(imaged)]
    if not imaged.size:  # beside the stride
        imaged = channel[np.isfinite(channel) if mask is None else np.isfinite(channel) & ~mask]
    if not imaged.size:
        return 0.0
    low, lower, middle, upper, high = np.percentile(imaged, (1, 25, 50, 75, 99))
    return float(upper if high - middle < middle - low else lower)


def strided(x: Any, most: int) -> Any:
    """Every n-th pixel of (*S) along each axis, about ``most`` of them."""
    return x[(slice(None, None, step_of(x.shape, most)),) * len(x.shape)]


def step_of(size: Sequence[int], most: int) -> int:
    """Every how many-th pixel along each axis are about ``most`` of an image of this size."""
    return max(1, int(np.ceil((np.prod(size) / most) ** (1 / max(1, len(size))))))


@dataclass(frozen=True, eq=False)
class Sparse:
    """Padding of one channel that was found on every ``step``-th pixel along each axis.

    Attributes
    ----------
    seen : where those pixels are padding.
    values : of the padding, each with the middle of what was imaged.
    everywhere : nothing was imaged.
    """

    step: int
    seen: NDArray[np.bool_]
    values: tuple[tuple[float, float], ...]
    everywhere: bool = False

    @staticmethod
    def of(few: NDArray[Any], step: int) -> Sparse | None:
        """From every ``step``-th pixel (*s) of a channel; None where nothing is padding."""
        seen = _of_channel(few)
        if seen is None:
            return None
        if seen.all():
            return Sparse(step, seen, (), everywhere=True)
        found, counts = np.unique(few[seen], return_counts=True)  # NaN once
        found = found[counts >= max(SMALLEST, 0.02 * seen.sum())]
        middles = [float(np.median(few[(few != v) & np.isfinite(few)])) for v in found]
        return Sparse(step, seen, tuple(zip(found.tolist(), middles, strict=True)))

    def where(self, part: NDArray[Any], box: Sequence[tuple[int, int]]) -> NDArray[np.bool_] | None:
        """Where a part (*s) of the channel, which lies in ``box``, is padding; None: nowhere."""
        first = [-(-a // self.step) for a, _ in box]
        seen = self.seen[tuple(slice(f, -(-b // self.step)) for f, (_, b) in zip(first, box, strict=True))]
        if self.everywhere or not seen.any():
            return None
        at = tuple((np.nonzero(seen)[i] + first[i]) * self.step - a for i, (a, _) in enumerate(box))
        made = np.zeros(part.shape, bool)
        for value, middle in self.values:
            same = part == value if np.isfinite(value) else ~np.isfinite(part)
            labels, count = ndimage.label(same)
            keep = np.zeros(count + 1, bool)
            keep[labels[at]] = True
            keep[0] = False
            made |= _with_edges(part, keep[labels], value, middle) if np.isfinite(value) else keep[labels]
        return made if made.any() else None


def _of_channel(a: NDArray[Any]) -> NDArray[np.bool_] | None:
    if a.size == 0 or a.dtype.kind == "b":
        return None
    few = strided(a, LOOKED_AT)
    finite = np.isfinite(few) if a.dtype.kind == "f" else np.ones(few.shape, bool)
    known = few[finite]
    if known.size == 0 or known.min() == known.max():
        return _of_blank(a)
    found = _missing(a) if a.dtype.kind == "f" and (not finite.all() or not _faces_finite(a)) else None
    for value in _candidates(a, few, known):
        rest = known[known != value].astype(np.float64)
        if rest.size == 0 or rest.min() == rest.max():
            continue
        same = a == value
        solid = _solid(same) if _apart(rest, float(value)) else None
        solid = _frame(a, same) if solid is None else solid
        if solid is not None and _is_image(~solid if found is None else ~(solid | found)):
            solid = _with_edges(a, solid, float(value), float(np.median(rest)))
            found = solid if found is None else found | solid
    return found


def _of_blank(a: NDArray[Any]) -> NDArray[np.bool_] | None:
    """All of an image in which nothing is to be seen; a few pixels that the stride has missed make it an image."""
    known = a[np.isfinite(a)] if a.dtype.kind == "f" else a
    blank = known.size == 0 or known.min() == known.max()
    return np.ones(a.shape, bool) if blank else None


def _faces(a: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """The first and the last row, column and plane."""
    for axis in range(a.ndim):
        for at in (0, -1):
            yield a[(slice(None),) * axis + (at,)]


def _faces_finite(a: NDArray[Any]) -> bool:
    return all(bool(np.isfinite(face).all()) for face in _faces(a))


def _missing(a: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Where there are no numbers (NaN, infinities), but for single pixels."""
    return _large(*ndimage.label(~np.isfinite(a)))


def _large(labels: NDArray[Any], count: int) -> NDArray[np.bool_] | None:
    """The components that are no defects of single pixels."""
    keep = np.bincount(labels.ravel(), minlength=count + 1) >= min(SMALLEST, min(labels.shape))
    keep[0] = False
    return keep[labels] if keep.any() else None


def _candidates(a: NDArray[Any], few: NDArray[Any], known: NDArray[Any]) -> list[Any]:
    """Values that padding may have: of constant rows and columns, and extremes that are frequent on a face or lie together."""
    low, high = known.min(), known.max()
    made = _lines(a)
    for face in _faces(a):
        face = face[np.isfinite(face)] if a.dtype.kind == "f" else face
        if face.size:
            made += [v for v in (face.min(), face.max()) if not low < v < high and (face == v).mean() > 0.05]
    for v in (low, high):
        same = few == v
        if same.mean() > 1e-3 and (same[..., 1:] & same[..., :-1]).sum() > 0.5 * same.sum():
            made.append(v)
    return list(dict.fromkeys(made))


def _lines(a: NDArray[Any]) -> list[Any]:
    """The values of rows and columns that are constant, as far as some pixels of each say."""
    made: list[Any] = []
    for axis in (-1, -2):
        step = [1] * a.ndim
        step[axis] = -(-a.shape[axis] // CROSSED)
        some = a[tuple(slice(None, None, n) for n in step)]
        made += list(np.unique(some.take(0, axis)[some.min(axis) == some.max(axis)]))
    made = [v for v in dict.fromkeys(made) if np.isfinite(v)]
    return made if len(made) <= MOST_LINES else []


def _apart(rest: NDArray[np.float64], value: float) -> bool:
    """Whether a value stands apart from the rest of an image, below or above it."""
    middle = float(np.median(rest))
    levels = np.unique(rest[:: max(1, len(rest) // 4096)])
    step = float(np.diff(levels).min()) if len(levels) > 1 else np.inf
    gap = abs(middle - value)
    return gap >= LEVELS * step and bool((np.abs(rest - value) < APART[value < middle] * gap).mean() < FEW)


def _solid(same: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """The components that padding may be: they span the image, are boxes, or line much of a face."""
    labels, count = ndimage.label(same)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    corners = labels[np.ix_(*([0, -1] for _ in labels.shape))]
    boxes = ndimage.find_objects(labels)
    keep = np.zeros(count + 1, bool)
    for k in np.flatnonzero(sizes[1:] >= min(SMALLEST, min(same.shape))) + 1:
        faces = max(float((face == k).mean()) for face in _faces(labels))
        edges = [s.stop - s.start for s in boxes[k - 1]]
        spans = sum(e == n for e, n in zip(edges, labels.shape, strict=True)) >= len(edges) - 1
        box = sizes[k] >= 0.98 * np.prod(edges) and (spans or min(edges[-2:]) >= 8)
        keep[k] = box or faces > (LINED if (corners == k).any() else 2 * LINED)
    return keep[labels] if keep.any() else None


def _frame(a: NDArray[Any], same: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """What lies outside a box that hardly has a pixel of this value, which need not stand apart then.

    What the box shows varies along its edges; where it does not, the image is drawn and not imaged, such as a ramp.
    """
    box = ndimage.find_objects((~same).astype(np.uint8))[0]
    inside = a[box]
    if inside.size == a.size or same[box].mean() > IN_BOX:
        return None
    if any(face.min() == face.max() for face in _faces(inside)):
        return None
    outside = np.ones(same.shape, bool)
    outside[box] = False
    return outside


def _is_image(left: NDArray[np.bool_]) -> bool:
    """Whether what is left is one picture, or a few large parts of one, and not objects on an empty ground."""
    few = strided(left, LOOKED_AT)
    labels, count = ndimage.label(few)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    return bool(sizes[sizes >= PART * few.size].sum() >= IMAGED * max(1, few.sum()))


def _with_edges(a: NDArray[Any], solid: NDArray[np.bool_], value: float, middle: float) -> NDArray[np.bool_]:
    """With the pixels beside it that interpolation has mixed from padding and image."""
    if middle == value:
        return solid
    for _ in range(2):
        near = np.zeros_like(solid)
        for axis in range(a.ndim):
            ahead, behind = ((slice(None),) * axis + (s,) for s in (slice(1, None), slice(None, -1)))
            near[ahead] |= solid[behind]
            near[behind] |= solid[ahead]
        where = np.nonzero(near & ~solid)
        solid[where] = (middle - a[where].astype(np.float64)) / (middle - value) > 0.25
    return solid
