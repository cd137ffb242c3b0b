"""Which plane of a stack, or frame of a series, to annotate next: where what is annotated says least. No torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo.boxes import middle
from napari_dojo.data.normalize import Rule
from napari_dojo.data.pixel_classifier import PixelClassifier, pixel_features

__all__ = ["Plane", "next_plane"]

LOOKED_AT = 12  # planes that are compared
LEARNED = 6  # planes that the classifier is fitted to
EDGE = 256  # px of a plane that are looked at, around its middle
DONE = 0.5  # share of a plane from which on it counts as annotated


@dataclass(frozen=True)
class Plane:
    """A plane that may be annotated next; ``doubt`` : share of its pixels that are expected to be wrong, None where nothing says so."""

    index: int
    doubt: float | None = None

    def reason(self, word: str = "plane") -> str:
        """Why it is suggested, in words."""
        if self.doubt is None:
            return f"Too little is annotated to compare: the middle of the largest gap between annotated {word}s."
        return f"The least sure of the {word}s compared: about {self.doubt:.0%} of its pixels may be wrong."


def next_plane(image: Callable[[int], NDArray[Any]], classes: NDArray[Any]) -> Plane | None:
    """The plane that a classifier of pixels, fitted to what is annotated, is least sure of; None where all are annotated.

    Parameters
    ----------
    image : the plane (C, Y, X) of an index.
    classes : (planes, Y, X): 0 not annotated, else a class, such as 1 background and 2 objects.
    """
    share = (classes > 0).mean(axis=(1, 2))
    free = np.flatnonzero(share < DONE)
    if not len(free):
        return None
    done = np.flatnonzero(share >= DONE)
    candidates = _spread(free, done, len(share))
    learned = np.argsort(-share, kind="stable")[:LEARNED]
    learned = learned[share[learned] > 0]
    key = middle(classes.shape[1:], EDGE)
    known = [classes[(i, *key)] for i in learned]
    present = {int(v) for c in known for v in np.unique(c)} - {0}
    if len(present) < 2:
        return Plane(int(_middle(free, done, len(share))))
    planes = {i: image(int(i))[(slice(None), *key)] for i in {*learned.tolist(), *candidates}}
    norm = Rule().measure(np.concatenate([planes[i] for i in sorted(planes)], axis=1))
    features = {i: pixel_features(norm.apply(p)) for i, p in planes.items()}
    classifier = PixelClassifier([features[int(i)] for i in learned], known)
    doubts = [_doubt(classifier.probabilities(features[i])) for i in candidates]
    best = int(np.argmax(doubts))
    return Plane(candidates[best], doubts[best])


def _spread(free: NDArray[np.intp], done: NDArray[np.intp], count: int) -> list[int]:
    """Planes to compare: evenly spread over those that lie as far from an annotated one as half of the planes do."""
    gaps = _gaps(free, done, count)
    far = free[gaps >= np.median(gaps)]
    return [int(far[k]) for k in np.unique(np.linspace(0, len(far) - 1, min(LOOKED_AT, len(far))).astype(int))]


def _middle(free: NDArray[np.intp], done: NDArray[np.intp], count: int) -> int:
    """The plane that lies farthest from all that are annotated; without any, the middle one."""
    return int(free[np.argmax(_gaps(free, done, count))])


def _gaps(free: NDArray[np.intp], done: Sequence[int] | NDArray[np.intp], count: int) -> NDArray[np.float64]:
    """How far planes lie from annotated ones; without any, from the ends of the stack."""
    marks = np.asarray(done) if len(done) else np.array([-1, count])
    return np.asarray(np.abs(free[:, None] - marks).min(1), float)


def _doubt(probabilities: NDArray[np.float32]) -> float:
    """Share of the pixels that the likeliest class is expected to be wrong for."""
    return float((1 - probabilities.max(0)).mean())
