"""Places to annotate next: boxes with objects, how suspicious these look and why, and an even spread over images. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_dojo.metrics.objects import overlap

__all__ = ["EVEN", "Place", "doubts_of", "places_in", "spread", "unlike"]

EVEN = "far from all that is accepted"
MERGED, SPLIT, EDGE, MISSED, UNLIKE = (
    "likely two merged",
    "likely one split",
    "unsure edge",
    "perhaps a missed object",
    "unlike anything annotated",
)
FAR = 4.0  # edges of a box that another image is away


@dataclass(frozen=True)
class Place:
    """A box that may be annotated next.

    Attributes
    ----------
    image : which image, frame or plane it lies in.
    start : its first row and column; ``edge`` : its rows and columns, px.
    objects : the numbers of those with most of their middle in it.
    score : how much it would help, by what ranks it; ``reason`` : in words.
    """

    image: int
    start: tuple[int, int]
    edge: tuple[int, int]
    objects: tuple[int, ...]
    score: float = 0.0
    reason: str = EVEN

    @property
    def slices(self) -> tuple[slice, slice]:
        """The box as a key for an image (Y, X)."""
        return slice(self.start[0], self.start[0] + self.edge[0]), slice(self.start[1], self.start[1] + self.edge[1])

    @property
    def middle(self) -> NDArray[np.float64]:
        """Row and column."""
        return np.asarray(self.start) + np.asarray(self.edge) / 2


@dataclass(frozen=True, eq=False)
class Doubts:
    """How doubtful each object is, 0 to 1, and why; and places where one may be missed (n, 2), with their doubt.

    ``numbers`` : of the objects, ascending.
    """

    numbers: NDArray[np.int64]
    values: NDArray[np.float64]
    reasons: tuple[str, ...]
    missed: NDArray[np.float64]
    missed_values: NDArray[np.float64]


def places_in(
    labels: NDArray[Any],
    edge: int,
    image: int = 0,
    done: NDArray[np.bool_] | None = None,
    doubts: Doubts | None = None,
) -> list[Place]:
    """Boxes of an image that hold objects, half a box apart; none that overlaps by more than half with what is done.

    Parameters
    ----------
    labels : (Y, X), predicted.
    edge : of a box, px; smaller images are one box.
    done : bool (Y, X), where annotation counts already.
    doubts : what boxes are scored by: the mean over their objects, with two certain ones added.
    """
    size = tuple(min(edge, n) for n in labels.shape)
    numbers = np.unique(labels)
    numbers = numbers[numbers > 0]
    middles = np.array(ndimage.center_of_mass(labels > 0, labels, numbers)).reshape(-1, 2)
    starts = [_starts(n, s) for n, s in zip(labels.shape, size, strict=True)]
    found = []
    for y in starts[0]:
        for x in starts[1]:
            box = (slice(y, y + size[0]), slice(x, x + size[1]))
            if done is not None and done[box].mean() > 0.5:
                continue
            low, high = np.array([y, x]), np.array([y + size[0], x + size[1]])
            inside = np.asarray(((middles >= low) & (middles < high)).all(axis=1))
            score, reason = _scored(doubts, inside, low, high)
            if inside.any() or score > 0:
                here = tuple(int(n) for n in numbers[inside])
                found.append(Place(image, (y, x), (size[0], size[1]), here, score, reason))
    return found


def spread(places: Sequence[Place], done: Sequence[Place], count: int, by_score: bool = False) -> list[Place]:
    """Choose places one after the other, each far from all that are done or chosen; other images are `FAR`.

    Parameters
    ----------
    by_score : the score counts, times how free the place is; else the distance alone does, and among equals the number of
        objects that is nearest to the median.
    """
    left, taken = list(places), list(done)
    chosen: list[Place] = []
    usual = float(np.median([len(p.objects) for p in left])) if left else 0
    while left and len(chosen) < count:
        if by_score:
            best = max(left, key=lambda p: p.score * min(1.0, _distance(p, taken)))
        else:
            best = max(left, key=lambda p: (round(_distance(p, taken), 1), -abs(len(p.objects) - usual)))
        left.remove(best)
        taken.append(best)
        chosen.append(best)
    return chosen


def doubts_of(
    labels: NDArray[Any], looser: Sequence[NDArray[Any]], finer: Sequence[NDArray[Any]], wider: Sequence[NDArray[Any]]
) -> Doubts:
    """How much each object depends on the numbers that maps are decoded with.

    Parameters
    ----------
    labels : (*S), as decoded.
    looser : decoded so that objects are joined more readily; ``finer`` : split more readily; ``wider`` : with lower and higher
        thresholds of the probability, so that edges move.
    """
    numbers = np.unique(labels)
    numbers = numbers[numbers > 0].astype(np.int64)
    merged, split = (_unlike_most(labels, numbers, many) for many in (finer, looser))
    edges = _unlike_most(labels, numbers, wider)
    table = np.stack([merged, split, edges])
    words = np.array([MERGED, SPLIT, EDGE])
    missed, values = _missed(labels, [*finer, *wider])
    return Doubts(numbers, table.max(0, initial=0), tuple(words[table.argmax(0)].tolist()), missed, values)


def unlike(features: NDArray[np.float64], accepted: NDArray[np.float64]) -> NDArray[np.float64]:
    """How unlike the accepted objects each object is: the distance to the nearest one, in robust standard deviations.

    Parameters
    ----------
    features : (n, k) of all objects; accepted : (m, k).
    """
    both = np.concatenate([features, accepted])
    middle = np.nanmedian(both, 0)
    width = 1.5 * np.nanmedian(np.abs(both - middle), 0)
    width = np.where(width > 0, width, 1)
    from scipy.spatial import cKDTree

    if not len(accepted) or not len(features):
        return np.zeros(len(features))
    a, b = (np.nan_to_num(np.clip((x - middle) / width, -5, 5)) for x in (features, accepted))
    distance, _ = cKDTree(b).query(a)
    return np.asarray(distance / np.sqrt(features.shape[1]))


def with_unlike(doubts: Doubts, values: NDArray[np.float64], weight: float = 0.5) -> Doubts:
    """The doubts with how unlike anything annotated the objects are, for those where that is more."""
    strange = weight * np.clip(values, 0, 2) / 2
    reasons = tuple(UNLIKE if s > v else r for s, v, r in zip(strange, doubts.values, doubts.reasons, strict=True))
    return replace(doubts, values=np.maximum(doubts.values, strange), reasons=reasons)


def _starts(length: int, edge: int) -> list[int]:
    steps = max(1, round(2 * length / edge) - 1)
    return sorted({int(s) for s in np.linspace(0, length - edge, steps)})


def _scored(
    doubts: Doubts | None, inside: NDArray[np.bool_], low: NDArray[Any], high: NDArray[Any]
) -> tuple[float, str]:
    if doubts is None:
        return 0.0, EVEN
    values = doubts.values[inside]
    there = ((doubts.missed >= low) & (doubts.missed < high)).all(1)
    values = np.concatenate([values, doubts.missed_values[there]])
    reasons = [r for r, i in zip(doubts.reasons, inside, strict=True) if i] + [MISSED] * int(there.sum())
    if not len(values):
        return 0.0, EVEN
    weight: dict[str, float] = {}
    for v, r in zip(values, reasons, strict=True):
        weight[r] = weight.get(r, 0.0) + float(v)
    return float(values.sum() / (len(values) + 2)), max(weight, key=lambda r: weight[r])


def _distance(place: Place, others: Sequence[Place]) -> float:
    """To the nearest other place, in edges of the box."""
    edge = float(np.mean(place.edge))
    return min(
        (float(np.linalg.norm(place.middle - o.middle)) / edge if o.image == place.image else FAR for o in others),
        default=FAR,
    )


def _unlike_most(
    labels: NDArray[Any], numbers: NDArray[np.int64], others: Sequence[NDArray[Any]]
) -> NDArray[np.float64]:
    """For each object the mean over others of 1 - IoU with the object there that is most like it."""
    total = np.zeros(len(numbers))
    for other in others:
        shared = overlap(labels, other)
        best = np.zeros(len(shared.true))
        np.maximum.at(best, shared.rows, shared.iou)
        total += 1 - best[np.searchsorted(shared.true, numbers)]
    return total / max(1, len(others))


def _missed(labels: NDArray[Any], others: Sequence[NDArray[Any]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Middles of objects that there are only with other numbers."""
    found = []
    for other in others:
        shared = overlap(labels, other)
        alone = np.setdiff1d(np.arange(len(shared.predicted)), shared.columns)
        if len(alone):
            found += ndimage.center_of_mass(other > 0, other, shared.predicted[alone])
    places = np.array(found, float).reshape(-1, labels.ndim)
    return places, np.full(len(places), 1.0 / max(1, len(others)))
