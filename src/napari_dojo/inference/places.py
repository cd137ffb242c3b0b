"""Places to annotate next: boxes with objects, spread evenly over images, frames and planes. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["FAR", "Place", "accepted_in", "next_places", "places_in", "spread"]

FAR = 1e4  # edges of a box that another image is away: those without any place come first


@dataclass(frozen=True)
class Place:
    """A box that may be annotated next.

    Attributes
    ----------
    image : which image, frame or plane it lies in.
    start : its first row and column; ``edge`` : its rows and columns, px.
    objects : how many have their middle in it.
    score : how much it would help, where places are ranked.
    reason : why it is suggested, in words.
    """

    image: int
    start: tuple[int, int]
    edge: tuple[int, int]
    objects: int = 0
    score: float = 0.0
    reason: str = ""

    @property
    def slices(self) -> tuple[slice, slice]:
        """The box as a key for an image (Y, X)."""
        return slice(self.start[0], self.start[0] + self.edge[0]), slice(self.start[1], self.start[1] + self.edge[1])

    @property
    def middle(self) -> tuple[float, float]:
        """Row and column."""
        return self.start[0] + self.edge[0] / 2, self.start[1] + self.edge[1] / 2


def next_places(labels: Any, accepted: Any, edge: int, count: int) -> list[Place]:
    """Places to annotate, each far from all that is accepted and from those before it; of equals the one with the usual
    number of objects.

    Parameters
    ----------
    labels : whole numbers (..., Y, X), what was found or painted so far; without objects, all places count.
    accepted : the same size, above 0 where annotation counts; None: nowhere.
    edge : of a box, px.
    """
    planes = labels.reshape(-1, *labels.shape[-2:])
    masks = None if accepted is None else accepted.reshape(planes.shape)
    found: list[Place] = []
    done: list[Place] = []
    for i, plane in enumerate(planes):
        mask = None if masks is None or not masks[i].any() else masks[i] > 0
        found += places_in(np.asarray(plane), edge, i, mask)
        done += [] if mask is None else accepted_in(mask, edge, i)
    if any(p.objects for p in found):
        found = [p for p in found if p.objects]
    return [replace(p, reason=_reason(p, done)) for p in spread(found, done, count)]


def places_in(labels: NDArray[Any], edge: int, image: int = 0, done: NDArray[np.bool_] | None = None) -> list[Place]:
    """Boxes that cover an image (Y, X), half a box apart; none of which more than half is done.

    Parameters
    ----------
    edge : of a box, px; smaller images are one box.
    done : bool (Y, X), where annotation counts already.
    """
    size = min(edge, labels.shape[0]), min(edge, labels.shape[1])
    numbers = np.unique(labels)
    numbers = numbers[numbers > 0]
    middles = np.array(ndimage.center_of_mass(labels > 0, labels, numbers)).reshape(-1, 2)
    found = []
    for y in _starts(labels.shape[0], size[0]):
        for x in _starts(labels.shape[1], size[1]):
            place = Place(image, (y, x), size)
            if done is None or done[place.slices].mean() <= 0.5:
                inside = ((middles >= [y, x]) & (middles < [y + size[0], x + size[1]])).all(axis=1)
                found.append(replace(place, objects=int(inside.sum())))
    return found


def accepted_in(mask: NDArray[np.bool_], edge: int, image: int = 0) -> list[Place]:
    """Boxes of this edge, side by side, in which anything of a mask (Y, X) is accepted: around the middle of that."""
    found = []
    for y in range(0, mask.shape[0], edge):
        for x in range(0, mask.shape[1], edge):
            rows, columns = np.nonzero(mask[y : y + edge, x : x + edge])
            if len(rows):
                start = y + round(float(rows.mean()) - edge / 2), x + round(float(columns.mean()) - edge / 2)
                found.append(Place(image, start, (edge, edge)))
    return found


def spread(places: Sequence[Place], done: Sequence[Place], count: int, by_score: bool = False) -> list[Place]:
    """Choose places one after the other, each far from all that are done or chosen; images without any come first.

    Parameters
    ----------
    by_score : the score counts, times how free the place is, up to 1; else the distance alone does, and among equals the
        number of objects that is nearest to the median.
    """
    if not places:
        return []
    usual = float(np.median([p.objects for p in places]))
    objects = np.array([-abs(p.objects - usual) for p in places])
    scores = np.array([p.score for p in places])
    free = np.full(len(places), 10 * FAR)
    for place in done:
        free = np.minimum(free, _distances(places, place))
    chosen: list[Place] = []
    taken = np.zeros(len(places), bool)
    for _ in range(min(count, len(places))):
        worth = scores * np.minimum(1.0, free) if by_score else free.round(1) + 1e-6 * objects
        best = int(np.argmax(np.where(taken, -np.inf, worth)))
        chosen.append(places[best])
        free = np.minimum(free, _distances(places, places[best]))
        taken[best] = True
    return chosen


def _starts(length: int, edge: int) -> list[int]:
    steps = max(1, round(2 * length / edge) - 1)
    return sorted({int(s) for s in np.linspace(0, length - edge, steps)})


def _distances(places: Sequence[Place], other: Place) -> NDArray[np.float64]:
    """From one place to each, in edges of the box; `FAR` in other images, and more in later and earlier frames."""
    middles = np.array([p.middle for p in places])
    far = np.linalg.norm(middles - other.middle, axis=1) / np.mean(other.edge)
    between = np.abs(np.array([p.image for p in places]) - other.image)
    return np.where(between == 0, far, FAR + between)


def _reason(place: Place, done: Sequence[Place]) -> str:
    """In words."""
    if not done:
        return "Nothing is accepted yet: places are spread evenly."
    if all(d.image != place.image for d in done):
        return "Nothing is accepted in this image yet."
    return "Far from all that is accepted."
