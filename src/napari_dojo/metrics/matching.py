"""What became of each object of two label images: matched, missed, false positive, split or merged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_dojo.errors import DojoError
from napari_dojo.metrics.objects import Overlap, detected, overlap, runs

__all__ = ["Comparison", "Verdict", "Verdicts"]


class Verdict(IntEnum):
    """What became of an object. Where two meet in a pixel, the larger number is painted."""

    MATCHED = 1
    MISSED = 2
    FALSE_POSITIVE = 3
    SPLIT = 4
    MERGED = 5

    @property
    def words(self) -> str:
        """``false positive``."""
        return self.name.lower().replace("_", " ")

    def counted(self, n: int) -> str:
        """``3 false positives``, ``1 missed``."""
        return f"{n:,} {self.words}{'s' * (self is Verdict.FALSE_POSITIVE and n != 1)}"


@dataclass(frozen=True, eq=False)
class Verdicts:
    """What became of each object at one IoU threshold.

    1. matched: has a partner (`Overlap.match`).
    2. merged: of the objects left over, a predicted one that holds most (more than half) of two or more true ones, and
       these true ones.
    3. split: of those left over now, a true one that holds most of two or more predicted ones, and these predicted ones.
    4. missed and false positive: the rest, true and predicted.

    Each object has one verdict, so that the verdicts of a side add up to its number of objects.

    Attributes
    ----------
    threshold : IoU from which on two objects are partners.
    true : uint8 (n_true,), the `Verdict` of each of ``Overlap.true``: MATCHED, MISSED, SPLIT or MERGED.
    predicted : uint8 (n_predicted,), of each of ``Overlap.predicted``: MATCHED, FALSE_POSITIVE, SPLIT (a piece) or MERGED.
    """

    threshold: float
    true: NDArray[np.uint8]
    predicted: NDArray[np.uint8]

    def count(self, verdict: Verdict) -> tuple[int, int]:
        """How many true and how many predicted objects have this verdict."""
        return int(np.count_nonzero(self.true == verdict)), int(np.count_nonzero(self.predicted == verdict))

    def places(self, verdict: Verdict) -> NDArray[np.intp]:
        """Places (n,) of the objects with this verdict: predicted ones for FALSE_POSITIVE, else true ones."""
        side = self.predicted if verdict == Verdict.FALSE_POSITIVE else self.true
        return np.flatnonzero(side == verdict)

    @property
    def tp(self) -> int:
        """Pairs of partners."""
        return self.count(Verdict.MATCHED)[0]

    @property
    def precision(self) -> float:
        """Share of the predicted objects that have a partner, 0 to 1."""
        return _share(self.tp, len(self.predicted), len(self.true))

    @property
    def recall(self) -> float:
        """Share of the true objects that have a partner, 0 to 1."""
        return _share(self.tp, len(self.true), len(self.predicted))

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN), as `metrics.InstanceCounts` has it."""
        return _share(2 * self.tp, len(self.true) + len(self.predicted))

    @property
    def ap(self) -> float:
        """TP / (TP + FP + FN), as `metrics.InstanceCounts` has it."""
        return _ap(self.tp, len(self.true), len(self.predicted))

    @property
    def sentence(self) -> str:
        """``detected 86 of 100, 9 false positives, 3 split, 2 merged``; split and merged are counted in the truth."""
        fp, split, merged = (len(self.places(v)) for v in (Verdict.FALSE_POSITIVE, Verdict.SPLIT, Verdict.MERGED))
        return f"{detected(self.tp, len(self.true), fp)}, {split:,} split, {merged:,} merged"


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two label images, compared once: verdicts and maps at any threshold follow without reading the pixels again.

    Attributes
    ----------
    overlap : which objects share pixels.
    shape : of the label images, S.
    starts : first pixel of each run, an index into the flat image; (n_runs,). A run is a stretch of pixels that are
        equal in both images.
    rows, columns : place of each run's object in ``overlap.true`` and ``overlap.predicted``, -1 = none; (n_runs,).
    """

    overlap: Overlap
    shape: tuple[int, ...]
    starts: NDArray[np.int64]
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]

    @classmethod
    def of(
        cls, truth: ArrayLike, predicted: ArrayLike, apart: int = 0, region: NDArray[np.bool_] | None = None
    ) -> Comparison:
        """Compare two label images.

        Parameters
        ----------
        truth, predicted : whole numbers (*S), one per object, 0 and negative numbers = background.
        apart : the number of leading axes (time, separate images) whose planes have separate objects.
        region : bool (*S), where the truth is complete; see `metrics.overlap`.

        Raises
        ------
        DojoError : where the sizes differ, or labels are not whole numbers.
        """
        t, p = (_numbered_apart(_whole_numbers(np.asarray(x)), apart) for x in (truth, predicted))
        shared = overlap(t, p, region)
        inside = np.broadcast_to(np.True_ if region is None else region, t.shape)
        t_runs, p_runs, inside, lengths = runs(t, p, inside)
        rows, columns = _place(t_runs, shared.true, inside), _place(p_runs, shared.predicted, inside)
        return cls(shared, t.shape, np.cumsum(lengths) - lengths, rows, columns)

    def at(self, threshold: float = 0.5) -> Verdicts:
        """The verdicts at this IoU, above 0 and at most 1."""
        shared = self.overlap
        pairs = shared.match(threshold)
        true, predicted = np.zeros(len(shared.true), np.uint8), np.zeros(len(shared.predicted), np.uint8)
        true[np.searchsorted(shared.true, pairs.true)] = Verdict.MATCHED
        predicted[np.searchsorted(shared.predicted, pairs.predicted)] = Verdict.MATCHED
        within = 2 * shared.pixels > shared.true_sizes[shared.rows]  # most of the true object lies in the predicted one
        _gather(predicted, true, shared.columns[within], shared.rows[within], Verdict.MERGED)
        within = 2 * shared.pixels > shared.predicted_sizes[shared.columns]
        _gather(true, predicted, shared.rows[within], shared.columns[within], Verdict.SPLIT)
        true[true == 0], predicted[predicted == 0] = Verdict.MISSED, Verdict.FALSE_POSITIVE
        return Verdicts(threshold, true, predicted)

    def curve(self, thresholds: Sequence[float]) -> list[float]:
        """AP at each of these thresholds."""
        n_true, n_predicted = len(self.overlap.true), len(self.overlap.predicted)
        return [_ap(len(self.overlap.match(t)), n_true, n_predicted) for t in thresholds]

    def paint(self, verdicts: Verdicts) -> NDArray[np.uint8]:
        """The verdict of each pixel's objects, uint8 (*S); 0 = background, the larger one where two meet."""
        true, predicted = (np.append(v, np.uint8(0)) for v in (verdicts.true, verdicts.predicted))
        values = np.maximum(true[self.rows], predicted[self.columns])
        return np.repeat(values, self._lengths).reshape(self.shape)

    def point(self, i: int, predicted: bool = False) -> tuple[int, ...]:
        """A pixel in the true (or predicted) object at place ``i``: the middle of its longest stretch."""
        mine = np.flatnonzero((self.columns if predicted else self.rows) == i)
        longest = mine[np.argmax(self._lengths[mine])]
        flat = self.starts[longest] + self._lengths[longest] // 2
        return tuple(int(x) for x in np.unravel_index(flat, self.shape))

    @property
    def _lengths(self) -> NDArray[np.int64]:
        return np.diff(self.starts, append=int(np.prod(self.shape)))


def _whole_numbers(labels: NDArray[Any]) -> NDArray[np.integer]:
    """Labels as integers."""
    if labels.dtype.kind in "iu":
        return labels
    whole = labels.astype(np.int64) if labels.dtype.kind == "b" or np.isfinite(labels).all() else None
    if whole is None or not np.array_equal(whole, labels):
        raise DojoError(
            f"Labels must be whole numbers, one for each object; these are {labels.dtype} with values between. "
            "Choose labels, or compare the two as images."
        )
    return whole


def _numbered_apart(labels: NDArray[np.integer], axes: int) -> NDArray[np.integer]:
    """Labels in which no number comes back in another plane along the leading axes."""
    if axes == 0 or labels.size == 0:
        return labels
    high = max(0, int(labels.max()))
    planes = np.arange(np.prod(labels.shape[:axes])).reshape(labels.shape[:axes] + (1,) * (labels.ndim - axes))
    return np.where(labels > 0, labels.astype(np.int64) + planes * high, 0)


def _place(values: NDArray[np.integer], numbers: NDArray[np.integer], inside: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The place of each value among the objects' numbers; -1 for background and for objects that do not count."""
    if not len(numbers):
        return np.full(len(values), -1)
    place = np.minimum(np.searchsorted(numbers, values), len(numbers) - 1)
    return np.where(inside & (numbers[place] == values), place, -1)


def _gather(
    wholes: NDArray[np.uint8],
    parts: NDArray[np.uint8],
    whole: NDArray[np.int64],
    part: NDArray[np.int64],
    verdict: Verdict,
) -> None:
    """Give the verdict to wholes that hold two or more parts, and to these, where none of them has one yet."""
    free = (wholes[whole] == 0) & (parts[part] == 0)
    whole, part = whole[free], part[free]
    several = np.bincount(whole, minlength=len(wholes))[whole] >= 2
    wholes[whole[several]] = verdict
    parts[part[several]] = verdict


def _ap(tp: int, n_true: int, n_predicted: int) -> float:
    return _share(tp, n_true + n_predicted - tp)


def _share(part: int, whole: int, other: int = 0) -> float:
    """Part of the whole; of nothing it is 1 where the other side has nothing either, else 0."""
    return part / whole if whole else float(other == 0)
