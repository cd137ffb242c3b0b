"""How well predicted objects agree with strokes: each lies in one separate object, the background's in none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_dojo.metrics.base import same_size

__all__ = ["StrokeCounts", "in_own_objects"]

BACKGROUND = 1
MOST = 0.5  # of a stroke, from which on it lies in an object


@dataclass(frozen=True)
class StrokeCounts:
    """Strokes of objects, and what predictions make of them.

    Attributes
    ----------
    objects : objects with a stroke; ``detected`` : those of which most lies in one predicted object with no other stroke.
    merged : those that share a predicted object.
    background, outside : pixels of the background's strokes, and those of them that lie in no object.
    """

    objects: int = 0
    detected: int = 0
    merged: int = 0
    background: int = 0
    outside: int = 0

    @classmethod
    def of(cls, strokes: ArrayLike, predicted: ArrayLike, region: ArrayLike | None = None) -> StrokeCounts:
        """Compare strokes (*S; 0 not annotated, 1 background, 2.. objects) with predicted objects (*S)."""
        t, p = np.asarray(strokes).astype(np.int64), np.asarray(predicted).astype(np.int64)
        same_size(t, p)
        if region is not None:
            t = np.where(np.asarray(region, bool), t, 0)
        ground = p[t == BACKGROUND]
        numbers, own, merged = _lying(t, p)
        return cls(len(numbers), len(own), merged, len(ground), int(np.count_nonzero(ground == 0)))

    def __add__(self, other: StrokeCounts) -> StrokeCounts:
        return StrokeCounts(
            self.objects + other.objects,
            self.detected + other.detected,
            self.merged + other.merged,
            self.background + other.background,
            self.outside + other.outside,
        )

    @property
    def selection_score(self) -> float:
        """Mean of two shares: strokes in separate objects, and pixels of the background in none."""
        shares = [self.detected / self.objects] if self.objects else []
        shares += [self.outside / self.background] if self.background else []
        return float(np.mean(shares)) if shares else 1.0

    @property
    def selection_name(self) -> str:
        """What that figure is."""
        return "agreement with the strokes"

    @property
    def sentence(self) -> str:
        """``18 of 20 strokes in separate objects, 97 % of the background's in none``."""
        said = f"{self.detected:,} of {self.objects:,} strokes in separate objects"
        if self.background:
            said += f", {self.outside / self.background:.0%} of the background's in none"
        return said

    def as_dict(self) -> dict[str, Any]:
        """All figures as plain values."""
        return {
            "objects": self.objects,
            "detected": self.detected,
            "merged": self.merged,
            "background": self.background,
            "outside": self.outside,
        }


def in_own_objects(strokes: NDArray[Any], predicted: NDArray[Any]) -> NDArray[np.int64]:
    """The numbers (n,) of objects of whose stroke (*S) most lies in one predicted object (*S) that holds most of no other stroke."""
    return _lying(strokes.astype(np.int64), predicted.astype(np.int64))[1]


def _lying(
    strokes: NDArray[np.int64], predicted: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """The numbers of all objects with strokes, those in objects of their own, and how many share one."""
    at = strokes > BACKGROUND
    stroke, there = strokes[at], predicted[at]
    numbers, whole = np.unique(stroke, return_counts=True)
    pairs, pixels = np.unique(np.stack([stroke, there]), axis=1, return_counts=True)
    share = pixels / whole[np.searchsorted(numbers, pairs[0])]
    inside = (pairs[1] > 0) & (share >= MOST)
    held, times = np.unique(pairs[1][inside], return_counts=True)
    alone = inside.copy()
    alone[inside] = (times == 1)[np.searchsorted(held, pairs[1][inside])] if len(held) else False
    own = np.unique(pairs[0][alone])  # a stroke that lies half in each of two objects counts once
    return numbers, own, int(times[times > 1].sum())
