"""How well predicted objects agree with the true ones: which overlap, which match, and how many are detected."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_dojo.metrics.base import same_size

__all__ = ["InstanceCounts", "Matches", "Overlap", "detected", "match", "overlap", "runs"]


@dataclass(frozen=True)
class Matches:
    """Pairs of objects that stand for each other: their numbers in the truth and in the prediction, and their IoU."""

    true: NDArray[Any]
    predicted: NDArray[Any]
    iou: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.iou)


@dataclass(frozen=True)
class Overlap:
    """Which objects of the truth and of the prediction share pixels.

    Attributes
    ----------
    true, predicted : the objects' numbers, ascending, (n_true,) and (n_predicted,).
    true_sizes, predicted_sizes : their pixels.
    rows, columns : for each pair that shares pixels, its places in ``true`` and ``predicted``; (n_pairs,).
    pixels : how many pixels it shares, (n_pairs,).
    """

    true: NDArray[Any]
    predicted: NDArray[Any]
    true_sizes: NDArray[np.int64]
    predicted_sizes: NDArray[np.int64]
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    pixels: NDArray[np.int64]

    @property
    def iou(self) -> NDArray[np.float64]:
        """Intersection over union of each pair, (n_pairs,), above 0 and at most 1."""
        union = self.true_sizes[self.rows] + self.predicted_sizes[self.columns] - self.pixels
        return self.pixels / union

    def match(self, threshold: float = 0.5) -> Matches:
        """Pair the objects one to one, as StarDist does (arXiv 1806.03535).

        A pair needs an IoU of ``threshold`` or more. Of all ways to pair, one with the most pairs is taken, and of
        these one with the largest sum of IoU.
        """
        if not 0 < threshold <= 1:
            raise ValueError(f"a threshold above 0 and at most 1 is needed, got {threshold}")
        near = np.flatnonzero(self.iou >= threshold)
        # From .5 on, an object can have two partners only if both have an IoU of exactly .5: then either will do.
        pick = _first_of_each if threshold >= 0.5 else self._assign
        kept = pick(self.rows[near], self.columns[near], self.iou[near])
        at = near[kept]
        return Matches(self.true[self.rows[at]], self.predicted[self.columns[at]], self.iou[at])

    def _assign(
        self, rows: NDArray[np.int64], columns: NDArray[np.int64], iou: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Places of the best pairs: a sparse assignment, in which each row may also take a column "no partner"."""
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import min_weight_full_bipartite_matching

        if not len(iou):
            return np.zeros(0, np.int64)
        n = len(self.true)
        cost = np.concatenate([1 - iou / (2 * n), np.full(n, 2.0)])  # all IoU together weigh less than one pair
        i = np.concatenate([rows, np.arange(n)])
        j = np.concatenate([columns, len(self.predicted) + np.arange(n)])
        chosen = np.full(n, -1)
        row, column = min_weight_full_bipartite_matching(csr_array((cost, (i, j)), shape=(n, len(self.predicted) + n)))
        chosen[row] = column
        return np.flatnonzero(chosen[rows] == columns)


def _first_of_each(rows: NDArray[np.int64], columns: NDArray[np.int64], iou: NDArray[np.float64]) -> NDArray[np.int64]:
    """Places of the pairs that are left when no row and no column may come twice."""
    _, at = np.unique(rows, return_index=True)
    _, of_these = np.unique(columns[at], return_index=True)
    return at[of_these]


def overlap(truth: ArrayLike, predicted: ArrayLike, region: ArrayLike | None = None) -> Overlap:
    """Count the pixels that the objects of two label images share.

    Parameters
    ----------
    truth, predicted : (*S), one number per object in any order and with gaps, 0 (and NaN, and negative numbers) = background; any dtype.
    region : bool (*S), where the truth is complete. Objects are cut to it, and those that lie mostly (more than half)
        outside of it are left out, on both sides.

    Raises
    ------
    DojoError : where the sizes differ.
    """
    t, p = _labels(truth), _labels(predicted)
    inside = np.ones(1, bool) if region is None else np.asarray(region, bool)
    same_size(t, p)
    if region is not None:
        same_size(t, inside, "annotated region")
    t, p, inside, lengths = runs(t, p, np.broadcast_to(inside, t.shape))
    true, t_index, t_sizes = _objects(t, inside, lengths)
    found, p_index, p_sizes = _objects(p, inside, lengths)
    both = np.flatnonzero(inside & (t_index >= 0) & (p_index >= 0))
    code, which = np.unique(t_index[both] * len(found) + p_index[both], return_inverse=True)
    pixels = _sums(which, lengths[both], len(code))
    rows, columns = np.divmod(code, max(1, len(found)))
    return Overlap(true, found, t_sizes, p_sizes, rows, columns, pixels)


def match(truth: ArrayLike, predicted: ArrayLike, threshold: float = 0.5, region: ArrayLike | None = None) -> Matches:
    """Pair the objects of two label images (*S) one to one: `overlap`, then `Overlap.match`."""
    return overlap(truth, predicted, region).match(threshold)


def _labels(labels: ArrayLike) -> NDArray[Any]:
    array = np.asarray(labels)
    return np.nan_to_num(array, nan=0.0) if array.dtype.kind == "f" else array


def runs(*arrays: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    """Neighbouring pixels that are equal in all arrays (*S, flattened), as one: their values, and how many, (n_runs,) each.

    Label images are made of long runs, so all that follows works on some 5 % of the pixels.
    """
    flat = [a.reshape(-1) for a in arrays]
    n = flat[0].size
    new = np.zeros(n, bool)
    new[:1] = True
    for a in flat:
        new[1:] |= a[1:] != a[:-1]
    starts = np.flatnonzero(new)
    return (*(a[starts] for a in flat), np.diff(starts, append=n))


def _objects(
    values: NDArray[Any], inside: NDArray[np.bool_], lengths: NDArray[np.int64]
) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[np.int64]]:
    """Numbers of the objects, for each run the place of its object among them (-1 = none), and their pixels inside."""
    numbers, index = np.unique(values, return_inverse=True)
    whole = _sums(index, lengths, len(numbers))
    within = _sums(index, lengths * inside, len(numbers))
    kept = (numbers > 0) & (2 * within >= whole)
    place = np.where(kept, np.cumsum(kept) - 1, -1)
    return numbers[kept], place[index], within[kept]


def _sums(index: NDArray[np.int64], amounts: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    return np.bincount(index, weights=amounts, minlength=n).astype(np.int64)


def detected(tp: int, n_true: int, fp: int) -> str:
    """``detected 86 of 100, 9 false positives``."""
    return f"detected {tp:,} of {n_true:,}, {fp:,} false positive{'s' * (fp != 1)}"


@dataclass(frozen=True)
class InstanceCounts:
    """True positives, false positives and false negatives at several IoU thresholds (StarDist's definition).

    An image without objects in which none are predicted is perfect: every figure is then 1.

    Attributes
    ----------
    n_true, n_predicted : number of objects.
    tp : pairs at each of ``thresholds``.
    iou_sum : sum of the IoU of the pairs at .5.
    """

    thresholds: ClassVar[tuple[float, ...]] = (0.5, 0.6, 0.7, 0.8, 0.9)

    n_true: int = 0
    n_predicted: int = 0
    tp: tuple[int, ...] = (0,) * len(thresholds)
    iou_sum: float = 0.0

    @classmethod
    def of(cls, truth: ArrayLike, predicted: ArrayLike, region: ArrayLike | None = None) -> InstanceCounts:
        """Compare two label images (*S); see `overlap` for what they and ``region`` may be."""
        shared = overlap(truth, predicted, region)
        pairs = shared.match(cls.thresholds[0])
        # from .5 on, the pairs at a higher threshold are those of the lower one that reach it
        tp = tuple(int(np.count_nonzero(pairs.iou >= t)) for t in cls.thresholds)
        return cls(len(shared.true), len(shared.predicted), tp, float(pairs.iou.sum()))

    def __add__(self, other: InstanceCounts) -> InstanceCounts:
        tp = tuple(a + b for a, b in zip(self.tp, other.tp, strict=True))
        n_true, n_predicted = self.n_true + other.n_true, self.n_predicted + other.n_predicted
        return InstanceCounts(n_true, n_predicted, tp, self.iou_sum + other.iou_sum)

    @property
    def fp(self) -> tuple[int, ...]:
        """Predicted objects without a true one, at each threshold."""
        return tuple(self.n_predicted - n for n in self.tp)

    @property
    def fn(self) -> tuple[int, ...]:
        """True objects without a predicted one, at each threshold."""
        return tuple(self.n_true - n for n in self.tp)

    @property
    def ap(self) -> dict[str, float]:
        """TP / (TP + FP + FN) by threshold, 0 to 1."""
        return self._by_threshold(tp / (self.n_true + self.n_predicted - tp) if self._any else 1.0 for tp in self.tp)

    @property
    def f1(self) -> dict[str, float]:
        """2 TP / (2 TP + FP + FN) by threshold, 0 to 1."""
        return self._by_threshold(2 * tp / (self.n_true + self.n_predicted) if self._any else 1.0 for tp in self.tp)

    @property
    def pq(self) -> float:
        """Panoptic quality at .5: F1 times the mean IoU of the pairs, 0 to 1."""
        return 2 * self.iou_sum / (self.n_true + self.n_predicted) if self._any else 1.0

    @property
    def detected(self) -> int:
        """True objects that have a predicted one at IoU .5."""
        return self.tp[0]

    @property
    def missed(self) -> int:
        """True objects that have none."""
        return self.fn[0]

    @property
    def false_positives(self) -> int:
        """Predicted objects that have no true one."""
        return self.fp[0]

    @property
    def selection_score(self) -> float:
        """Mean AP over the IoU thresholds."""
        return float(np.mean(list(self.ap.values())))

    @property
    def selection_name(self) -> str:
        """What that figure is."""
        return "mean AP"

    @property
    def sentence(self) -> str:
        """``detected 86 of 100, 9 false positives``."""
        return detected(self.detected, self.n_true, self.false_positives)

    def as_dict(self) -> dict[str, Any]:
        """All figures as plain values; thresholds are the keys "0.5" to "0.9"."""
        return {
            "ap": self.ap,
            "f1": self.f1,
            "pq": self.pq,
            "n_true": self.n_true,
            "n_predicted": self.n_predicted,
            "detected": self.detected,
            "missed": self.missed,
            "false_positives": self.false_positives,
        }

    @property
    def _any(self) -> bool:
        return self.n_true + self.n_predicted > 0

    def _by_threshold(self, values: Iterable[float]) -> dict[str, float]:
        return {str(t): v for t, v in zip(self.thresholds, values, strict=True)}
