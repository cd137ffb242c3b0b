"""One object from one gesture: a click in it or a box around it, by the intensities of the image, without a model.

Of all outlines that a threshold gives, for bright and for dark objects, the one with the strongest edge wins; where
objects touch, a watershed of the distance to the outline parts them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

__all__ = ["LARGEST", "around_click", "in_box", "window_of"]

LARGEST = 160  # px from the click that an object whose size is not known may reach
LEVELS = 16  # thresholds that are tried
FEWEST = 6  # px of an object
SIGMA = 1.0  # px, of the smoothing before
MIDDLE = 0.35  # of a box's edge length, that its middle has


@dataclass(frozen=True, eq=False)
class _Look:
    """A part of an image: smoothed, the strength of its edges, and where an object may be."""

    smooth: NDArray[np.float32]
    edges: NDArray[np.float32]
    free: NDArray[np.bool_]

    @classmethod
    def at(cls, image: ArrayLike, taken: NDArray[np.bool_] | None, roots: bool = False) -> _Look:
        """``roots`` : edges of the root of the intensity, which is as noisy in bright places as in dark ones."""
        flat = np.nan_to_num(np.asarray(image, np.float32))
        smooth = ndimage.gaussian_filter(flat, SIGMA, mode="nearest")
        seen = np.sqrt(smooth - smooth.min()) if roots else flat
        edges = ndimage.gaussian_gradient_magnitude(seen, SIGMA, mode="nearest")
        return cls(smooth, edges, np.ones(flat.shape, bool) if taken is None else ~taken)


def window_of(place: ArrayLike, diameter: float | None) -> tuple[slice, slice]:
    """The part of a plane that `around_click` should see; it may reach over the border of the plane."""
    reach = LARGEST if diameter is None else int(np.clip(1.6 * diameter, 12, 2 * LARGEST))
    row, column = (round(float(p)) for p in np.asarray(place))
    return slice(row - reach, row + reach + 1), slice(column - reach, column + reach + 1)


def around_click(
    image: ArrayLike, place: tuple[int, int], taken: NDArray[np.bool_] | None = None, diameter: float | None = None
) -> NDArray[np.bool_] | None:
    """The object that a click lies in.

    Parameters
    ----------
    image : (rows, columns), the neighbourhood of the click, any dtype.
    place : of the click in it.
    taken : where other objects lie: never part of the result.
    diameter : of an object, px, where it is known.

    Returns
    -------
    bool (rows, columns); None where no outline is found.
    """
    image = np.asarray(image)
    taken = np.zeros(image.shape, bool) if taken is None else taken
    if diameter is None:  # the size first, on half the pixels along each axis
        small = ndimage.uniform_filter(np.nan_to_num(np.asarray(image, np.float32)), 2)[::2, ::2]
        rough = _strongest(_Look.at(small, taken[::2, ::2], roots=True), (place[0] // 2, place[1] // 2), None)
        if rough is None:
            return None
        diameter = 2 * float(np.sqrt(4 * rough.sum() / np.pi))
    whole = (slice(0, image.shape[0]), slice(0, image.shape[1]))
    window = tuple(
        slice(max(0, s.start), min(w.stop, s.stop)) for s, w in zip(window_of(place, diameter), whole, strict=True)
    )
    at = (place[0] - window[0].start, place[1] - window[1].start)
    look = _Look.at(image[window], taken[window], roots=True)
    mask = _strongest(look, at, diameter)
    if mask is None:
        return None
    result = np.zeros(image.shape, bool)
    result[window] = _finished(mask, look, at)
    return result


def in_box(image: ArrayLike, box: tuple[slice, slice], taken: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
    """The object that a box was drawn around; where no outline fills the box, the ellipse in it.

    Parameters
    ----------
    image : (rows, columns), somewhat more than the box.
    box : in it.
    taken : where other objects lie: never part of the result.

    Returns
    -------
    bool (rows, columns).
    """
    look = _Look.at(image, taken)
    inside = np.zeros(look.free.shape, bool)
    inside[box] = True
    look = _Look(look.smooth, look.edges, look.free & inside)
    best, mask = 0.0, None
    for found in _largest_in(look, box):
        score = _strength(look, found) * _filled(found, box)
        if score > best:
            best, mask = score, found
    if mask is None or _filled(mask, box) < 0.3:
        return _ellipse(box, look.free.shape) & look.free
    return _finished(mask, look, None)


def _strongest(look: _Look, place: tuple[int, int], diameter: float | None) -> NDArray[np.bool_] | None:
    """The outline around a place with the strongest edge, weighted by how likely its size and shape are."""
    best, mask = 0.0, None
    for found in _outlined(look, place):
        own = _own_part(found, place)
        score = _strength(look, own) * _likely(own, diameter)
        if score > best:
            best, mask = score, own
    return mask


def _outlined(look: _Look, place: tuple[int, int]) -> Iterator[NDArray[np.bool_]]:
    """The connected pixels around a place beyond each threshold, brighter and darker."""
    if not look.free[place]:
        return
    near = tuple(slice(max(0, p - 1), p + 2) for p in place)
    for sign in (1, -1):
        values = sign * look.smooth
        top, bottom, last = float(np.median(values[near])), float(np.percentile(values[look.free], 2)), 0
        for level in bottom + (top - bottom) * np.linspace(0.08, 0.95, LEVELS):
            beyond = (values > level) & look.free
            if not beyond[place]:
                continue
            parts, _ = ndimage.label(beyond)
            found = parts == parts[place]
            size = int(found.sum())
            if size >= FEWEST and size != last and not _at_border(found):
                last = size
                yield found


def _largest_in(look: _Look, box: tuple[slice, slice]) -> Iterator[NDArray[np.bool_]]:
    """The largest connected part in a box beyond each threshold, brighter and darker."""
    rows, columns = box
    margin_r = int((rows.stop - rows.start) * (1 - MIDDLE) / 2)
    margin_c = int((columns.stop - columns.start) * (1 - MIDDLE) / 2)
    middle = (
        slice(rows.start + margin_r, rows.stop - margin_r),
        slice(columns.start + margin_c, columns.stop - margin_c),
    )
    for sign in (1, -1):
        values = sign * look.smooth
        inside = values[box][look.free[box]]
        if not inside.size or not values[middle].size:
            return
        top, bottom = np.percentile(values[middle], 75), np.percentile(inside, 1)
        for level in bottom + (top - bottom) * np.linspace(0.05, 0.95, LEVELS):
            parts, count = ndimage.label((values > level) & look.free)
            if not count:
                continue
            sizes = np.bincount(parts[middle].ravel(), minlength=count + 1)
            sizes[0] = 0
            found = parts == int(sizes.argmax())
            if sizes.max() and found.sum() >= FEWEST:
                yield found


def _own_part(mask: NDArray[np.bool_], place: tuple[int, int]) -> NDArray[np.bool_]:
    """Of touching objects, the one that a place lies in."""
    from skimage.segmentation import watershed

    rows, columns = ndimage.find_objects(mask.astype(np.uint8))[0]
    part = np.pad(mask[rows, columns], 1)
    distance = ndimage.gaussian_filter(ndimage.distance_transform_edt(part), 1)
    high = distance - 0.15 * distance.max()
    seeds, count = ndimage.label(_reconstructed(high, distance) > high + 1e-6)
    if count < 2:
        return mask
    parts = watershed(-distance, seeds, mask=part)[1:-1, 1:-1]
    own = np.zeros_like(mask)
    own[rows, columns] = parts == parts[place[0] - rows.start, place[1] - columns.start]
    return own if own.any() else mask


def _reconstructed(seed: NDArray[np.float64], mask: NDArray[np.float64]) -> NDArray[np.float64]:
    from skimage.morphology import reconstruction

    rebuilt = reconstruction(seed, mask)
    return np.where(mask - rebuilt > 1e-9, mask, seed)  # the domes: what stands above what is rebuilt


def _strength(look: _Look, mask: NDArray[np.bool_]) -> float:
    """Mean strength of the edges along an outline."""
    rim = mask ^ ndimage.binary_erosion(mask)
    rim |= ndimage.binary_dilation(mask) ^ mask
    return float(look.edges[rim].mean()) if rim.any() else 0.0


def _likely(mask: NDArray[np.bool_], diameter: float | None) -> float:
    """How well the size suits, and how compact the shape is."""
    area = float(mask.sum())
    rim = float((mask ^ ndimage.binary_erosion(mask)).sum())
    compact = min(1.0, 4 * np.pi * area / (rim * rim + 1))
    if diameter is None:
        return float(np.sqrt(compact))
    ratio = np.log(np.sqrt(4 * area / np.pi) / diameter)
    return float(np.sqrt(compact) * np.exp(-0.5 * (ratio / 0.6) ** 2))


def _filled(mask: NDArray[np.bool_], box: tuple[slice, slice]) -> float:
    """IoU of the box around a mask and a box."""
    if not mask.any():
        return 0.0
    own = ndimage.find_objects(mask.astype(np.uint8))[0]
    sides = [max(0, min(a.stop, b.stop) - max(a.start, b.start)) for a, b in zip(own, box, strict=True)]
    areas = [np.prod([s.stop - s.start for s in x]) for x in (own, box)]
    return float(np.prod(sides) / (areas[0] + areas[1] - np.prod(sides)))


def _at_border(mask: NDArray[np.bool_]) -> bool:
    """Whether so much of a mask lies at the border of what is seen that it is no single object."""
    border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    return bool(border.mean() > 0.25)


def _ellipse(box: tuple[slice, slice], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    rows, columns = np.indices(shape)
    distance = np.zeros(shape)
    for at, s in ((rows, box[0]), (columns, box[1])):
        half = max(1.0, (s.stop - s.start) / 2)
        distance += ((at - (s.start + s.stop - 1) / 2) / half) ** 2
    inside: NDArray[np.bool_] = distance <= 1
    return inside


def _finished(mask: NDArray[np.bool_], look: _Look, place: tuple[int, int] | None) -> NDArray[np.bool_]:
    """Without holes, bays and single pixels."""
    filled = ndimage.binary_fill_holes(mask)
    opened = ndimage.binary_opening(filled, np.ones((3, 3)))
    if opened.sum() > 0.8 * filled.sum() and (place is None or opened[place]):
        parts, _ = ndimage.label(opened)
        keep = parts[place] if place is not None else 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
        filled = parts == keep
    result: NDArray[np.bool_] = filled & look.free
    return result
