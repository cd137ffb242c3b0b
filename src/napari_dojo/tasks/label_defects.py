"""What the check finds in painted labels: edges that were interpolated, a background with a number, shifted labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo.boxes import middle
from napari_dojo.data.dataset import Dataset, Sample
from napari_dojo.tasks.base import Finding, Fix

__all__ = ["background_findings", "edge_findings", "label_shift_findings", "moved", "with_nearest", "without_number"]

LOOKED_AT = 64  # samples whose edges are looked at
SHIFTS = 24  # samples whose shift is looked for
EDGE = 512  # px along an axis that are looked at, in the middle
SPECKS = 10  # specks, at least, where labels were interpolated
LARGE = 0.25  # share of an image that a background covers at least
TIMES = 10  # how much larger than the usual object it is
REACH = 64  # px; larger shifts are not looked for
FAR = 2  # px; smaller shifts are not reported
LISTED = 3  # shifts and background numbers that are listed one by one


def edge_findings(dataset: Dataset, classes: bool = False) -> tuple[Finding, ...]:
    """Labels whose edges hold numbers in between: resized with interpolation, or saved as JPEG.

    ``classes`` : numbers stand for classes, whose specks may be small; only numbers that are nowhere an area count.
    """
    step = max(1, len(dataset.samples) // LOOKED_AT)
    found: dict[str, tuple[int, int]] = {}
    for item in dataset.samples[::step]:
        if item.y is None:
            continue
        areas, specks = _areas_and_specks(_middle(np.asarray(item.y)), classes)
        if specks >= (3 if classes else SPECKS) and specks > (1 if classes else 2) * areas:
            found[item.name] = (areas, specks)
    if not found:
        return ()
    name, (areas, specks) = next(iter(found.items()))
    what = (
        f"{specks:,} numbers that are nowhere an area"
        if classes
        else f"{specks:,} specks with numbers in between beside {areas:,} labelled areas"
    )
    text = (
        f"The labels of {name}{_more(found)} hold {what}: they were probably resized with interpolation or saved as JPEG. "
        "Resize labels with nearest neighbour and save them as TIFF or PNG, or give their edges the nearest number."
    )
    samples = tuple(found) if step == 1 else ()
    return (Finding("warning", text, (Fix("Use the nearest number", "relabel", samples, with_nearest),)),)


def background_findings(dataset: Dataset) -> tuple[Finding, ...]:
    """A number that covers most of the image around all objects, and so is no object."""
    found: dict[int, dict[str, float]] = {}
    for item in dataset.samples:
        if item.y is not None and (background := _background(np.asarray(item.y))):
            found.setdefault(background[0], {})[item.name] = background[1]
    findings = []
    for number, shares in list(found.items())[:LISTED]:
        name, share = next(iter(shares.items()))
        text = (
            f"Number {number} covers {share:.0%} of {name}{_more(shares)} and looks like the background, which is 0 "
            f"in labels. Set number {number} to 0."
        )
        fix = Fix(f"Set {number} to 0", "relabel", tuple(shares), partial(without_number, number=number))
        findings.append(Finding("warning", text, (fix, Fix("It is an object", "fine"))))
    return tuple(findings)


def label_shift_findings(dataset: Dataset) -> tuple[Finding, ...]:
    """Labels that lie beside what they mark: their edges fit the edges in the image better after a shift."""
    step = max(1, len(dataset.samples) // SHIFTS)
    looked = [i for i in dataset.samples[::step] if i.y is not None]
    shifts = {item.name: shift for item in looked if (shift := _shift_of(item)) is not None}
    findings = []
    for (down, right), names in list(_alike(shifts).items())[:LISTED]:
        every = len(looked) > 1 and len(names) >= 0.8 * len(looked)
        which = (
            f"of {'all' if len(names) == len(looked) else 'most'} images" if every else f"of {names[0]}{_more(names)}"
        )
        where = " and ".join(_words(down, "below", "above") + _words(right, "to the right of", "to the left of"))
        text = (
            f"The labels {which} lie {where} what they mark, as their edges show: shifted by {down:+d}, {right:+d} px (y, x). "
            "Save labels with the size and origin of their image, or move them back."
        )
        fix = Fix("Correct the shift", "relabel", () if every else tuple(names), partial(moved, shift=(-down, -right)))
        findings.append(Finding("warning", text, (fix, Fix("Ignore", "fine"))))
    return tuple(findings)


def with_nearest(y: NDArray[Any]) -> NDArray[Any]:
    """Labels (*S) in which specks along edges have the number of the nearest labelled area, or of the background."""
    from scipy.ndimage import distance_transform_edt
    from skimage.measure import label

    pieces, cores = label(y, connectivity=1, background=0), _cores(y)
    known = _hit(pieces, cores)[pieces] | (y == 0)
    if not known.any():
        return y
    nearest: NDArray[Any] = distance_transform_edt(~known, return_distances=False, return_indices=True)
    return np.asarray(y[tuple(nearest)])


def without_number(y: NDArray[Any], number: int) -> NDArray[Any]:
    """Labels (*S) with 0 in place of a number."""
    return np.where(y == number, 0, y)


def moved(y: NDArray[Any], shift: tuple[int, int]) -> NDArray[Any]:
    """Labels (*S) moved in their planes by (y, x) px; 0 comes in from outside."""
    out = np.zeros_like(y)
    (down, right), (rows, columns) = shift, y.shape[-2:]
    to_rows, to_columns = slice(max(0, down), rows + min(0, down)), slice(max(0, right), columns + min(0, right))
    rows_of, columns_of = slice(max(0, -down), rows + min(0, -down)), slice(max(0, -right), columns + min(0, -right))
    out[..., to_rows, to_columns] = y[..., rows_of, columns_of]
    return out


def _more(names: Mapping[str, object] | Sequence[str]) -> str:
    n = len(names) - 1
    return f" (and of {n} more)" if n else ""


def _middle(y: NDArray[Any]) -> NDArray[Any]:
    most = (32,) * (y.ndim - 2) + (EDGE, EDGE)
    return y[middle(y.shape, most)]


def _cores(y: NDArray[Any]) -> NDArray[np.bool_]:
    """Pixels whose four neighbours in the plane have the same number."""
    cores = np.zeros(y.shape, bool)
    middle = y[..., 1:-1, 1:-1]
    around = (y[..., :-2, 1:-1], y[..., 2:, 1:-1], y[..., 1:-1, :-2], y[..., 1:-1, 2:])
    cores[..., 1:-1, 1:-1] = np.logical_and.reduce([middle == neighbour for neighbour in around])
    return cores


def _hit(numbers: NDArray[Any], where: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which of the numbers 0..n occur where something is True."""
    return np.bincount(numbers[where], minlength=int(numbers.max()) + 1) > 0


def _areas_and_specks(y: NDArray[Any], classes: bool) -> tuple[int, int]:
    """How many areas there are, and how many specks whose number lies between those around them.

    An area has a pixel whose neighbours have the same number, a speck has none. Of ``classes``, numbers are counted;
    else connected pieces.
    """
    from scipy.ndimage import maximum_filter, minimum_filter
    from skimage.measure import label

    size = (1,) * (y.ndim - 2) + (3, 3)
    between = (minimum_filter(y, size) < y) & (y < maximum_filter(y, size))
    if classes:
        values, ranks = np.unique(y, return_inverse=True)
        pieces, first = ranks.reshape(y.shape), int(len(values) > 0 and values[0] == 0)
    else:
        pieces, first = label(y, connectivity=1, background=0), 1
    core = _hit(pieces, _cores(y))
    return int(core[first:].sum()), int((_hit(pieces, between) & ~core)[first:].sum())


def _background(y: NDArray[Any]) -> tuple[int, float] | None:
    """The number that covers most of the labels, and their share of it, where it lies around the objects and 0 does not."""
    values, counts = np.unique(y, return_counts=True)
    if len(values) < 3 or values[-1] == 0:
        return None
    objects = values > 0
    most = int(np.argmax(np.where(objects, counts, 0)))
    others = counts[objects & (np.arange(len(values)) != most)]
    zero = 0 if objects[0] else counts[0]
    if len(others) < 2 or counts[most] < max(LARGE * y.size, TIMES * np.median(others), 2 * zero):
        return None
    there = y == values[most]
    spans = [there.any(tuple(b for b in range(y.ndim) if b != a)) for a in range(y.ndim - 2, y.ndim)]
    return (int(values[most]), float(counts[most] / y.size)) if all(s.mean() > 0.95 for s in spans) else None


def _shift_of(item: Sample) -> tuple[int, int] | None:
    """By how many px (y, x) the labels of a sample lie beside the edges in its image; None where they do not, clearly.

    Each half of the image has to show it: texture, and rims in one part of it, may fit better elsewhere.
    """
    x, y = _plane(item)
    if min(y.shape) < 32 or not y.any():
        return None
    rims, edges = _rims(y), _image_edges(x)
    (down, right), best, there, spread = _fit(rims - rims.mean(), edges)
    clear = best > max(0.3, 6 * spread) and best - there > max(0.08, 0.15 * best)
    if not clear or max(abs(down), abs(right)) < FAR:
        return None
    each = [_fit(part - part.mean(), edges)[0] for part in _halves(rims)]
    alike = all(max(abs(y - down), abs(x - right)) <= FAR for y, x in each)
    return (down, right) if alike else None


def _fit(rims: NDArray[np.float32], edges: NDArray[np.float32]) -> tuple[tuple[int, int], float, float, float]:
    """The shift (y, x) px that brings edges onto rims, how well they fit then, 0 to 1, and now, and the spread over all shifts."""
    power = float(np.sqrt((rims**2).sum() * (edges**2).sum()))
    if not power > 0:
        return (0, 0), 0.0, 0.0, 0.0
    fits = np.fft.fftshift(np.fft.ifft2(np.fft.fft2(rims) * np.conj(np.fft.fft2(edges))).real) / power
    middle, reach = [n // 2 for n in fits.shape], [min(REACH, n // 4) for n in fits.shape]
    near = fits[tuple(slice(m - r, m + r + 1) for m, r in zip(middle, reach, strict=True))]
    down, right = (int(i) - r for i, r in zip(np.unravel_index(near.argmax(), near.shape), reach, strict=True))
    return (down, right), float(near.max()), float(fits[tuple(middle)]), float(fits.std())


def _halves(rims: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """The upper and lower, left and right half of what is marked (Y, X); the rest is 0."""
    for axis in (0, 1):
        marked = np.cumsum(rims.sum(1 - axis))
        first = np.arange(len(marked)) < np.searchsorted(marked, marked[-1] / 2)
        for half in (first, ~first):
            yield rims * (half[:, None] if axis == 0 else half)


def _plane(item: Sample) -> tuple[NDArray[np.float32], NDArray[Any]]:
    """The middle of an image (C, Y, X) and of its labels (Y, X); of a volume the plane with the most labels."""
    y = np.asarray(item.y)
    cut = middle(y.shape[-2:], 2 * EDGE)
    where: tuple[int | slice, ...] = cut
    if y.ndim == 3:
        where = (int(np.argmax((y > 0).sum((1, 2)))), *cut)
    return np.asarray(item.x[(slice(0, 4), *where)], np.float32), y[where]


def _rims(y: NDArray[Any]) -> NDArray[np.float32]:
    """Where labels (Y, X) end, smoothed."""
    from scipy.ndimage import gaussian_filter

    rims = np.zeros(y.shape, np.float32)
    for a, b in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        ends = y[a] != y[b]
        rims[a][ends] = rims[b][ends] = 1
    return gaussian_filter(rims, 1.5)


def _image_edges(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """How steep an image (C, Y, X) is, with mean 0, (Y, X): neither its contrast's sign nor its bright spots matter."""
    from scipy.ndimage import gaussian_gradient_magnitude

    edges = np.zeros(x.shape[1:], np.float32)
    for c in np.nan_to_num(x, nan=0.0, posinf=0.0, neginf=0.0):
        low, high = np.percentile(c, [1, 99.5])
        if high > low:
            edges += np.sqrt(gaussian_gradient_magnitude((np.clip(c, low, high) - low) / (high - low), 1.5))
    return edges - edges.mean()


def _alike(shifts: Mapping[str, tuple[int, int]]) -> dict[tuple[int, int], list[str]]:
    """Names by their shift; those that differ by a pixel go together, the most frequent first."""
    groups: dict[tuple[int, int], list[str]] = {}
    for name, shift in shifts.items():
        near = [s for s in groups if max(abs(s[0] - shift[0]), abs(s[1] - shift[1])) <= 1]
        groups.setdefault(near[0] if near else shift, []).append(name)
    return dict(sorted(groups.items(), key=lambda group: -len(group[1])))


def _words(by: int, one: str, other: str) -> list[str]:
    return [f"{abs(by)} px {one if by > 0 else other}"] if by else []
