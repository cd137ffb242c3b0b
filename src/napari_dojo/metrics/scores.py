"""How well a result agrees with the truth: objects, classes of pixels, images.

Each score is a small frozen value of one image. Scores of several images are pooled with ``+`` (see `pool`), so that
every object and every pixel counts once, whatever image it lies in. No score is ever NaN or infinite.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_dojo.errors import DojoError

__all__ = [
    "ClassCounts",
    "ImageScores",
    "InstanceCounts",
    "Matches",
    "Overlap",
    "ResidualScores",
    "Score",
    "match",
    "overlap",
    "pearson",
    "pool",
    "psnr",
    "residual_correlation",
    "runs",
    "ssim",
]

BEST_PSNR = 100.0  # dB; stands for "identical", which has no finite value


class Score(Protocol):
    """What every score can do."""

    def __add__(self, other: Any, /) -> Any:
        """The score of both together."""

    @property
    def sentence(self) -> str:
        """The score in words that need no course, without a full stop."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""


AnyScore = TypeVar("AnyScore", bound=Score)


def pool(scores: Iterable[AnyScore]) -> AnyScore:
    """One score of many images; ValueError where there are none."""
    found = list(scores)
    if not found:
        raise ValueError("no scores to pool")
    return reduce(add, found)


# objects ------------------------------------------------------------------------------------------------------------


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

    def iou_matrix(self) -> Any:
        """The same as a sparse matrix (n_true, n_predicted)."""
        from scipy.sparse import csr_array

        return csr_array((self.iou, (self.rows, self.columns)), shape=(len(self.true), len(self.predicted)))

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
    truth, predicted : (*S), one number per object in any order and with gaps, 0 (and NaN) = background; any dtype.
    region : bool (*S), where the truth is complete. Objects are cut to it, and those that lie mostly (more than half)
        outside of it are left out, on both sides.

    Raises
    ------
    DojoError : where the sizes differ.
    """
    t, p = _labels(truth), _labels(predicted)
    inside = np.ones(1, bool) if region is None else np.asarray(region, bool)
    _same_size(t, p)
    if region is not None:
        _same_size(t, inside, "annotated region")
    t, p, inside, lengths = runs(t, p, np.broadcast_to(inside, t.shape))
    true, t_index, t_sizes = _objects(t, inside, lengths)
    found, p_index, p_sizes = _objects(p, inside, lengths)
    both = np.flatnonzero(inside & (t_index >= 0) & (p_index >= 0))
    code, which = np.unique(t_index[both] * len(found) + p_index[both], return_inverse=True)
    pixels = _sums(which, lengths[both], len(code))
    rows, columns = np.divmod(code, max(1, len(found)))
    return Overlap(true, found, t_sizes, p_sizes, rows, columns, pixels)


def match(truth: ArrayLike, predicted: ArrayLike, threshold: float = 0.5, region: ArrayLike | None = None) -> Matches:
    """Pair the objects of two label images one to one: `overlap`, then `Overlap.match`."""
    return overlap(truth, predicted, region).match(threshold)


def _labels(labels: ArrayLike) -> NDArray[Any]:
    array = np.asarray(labels)
    return np.nan_to_num(array, nan=0.0) if array.dtype.kind == "f" else array


def _same_size(truth: NDArray[Any], other: NDArray[Any], what: str = "prediction") -> None:
    if truth.shape != other.shape:
        raise DojoError(
            f"The truth and the {what} must have the same size: truth {truth.shape}, {what} {other.shape}. "
            "Choose the two that belong together."
        )


def runs(*arrays: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    """Neighbouring pixels along the last axis that are equal in all arrays, as one: their values, and how many.

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
    kept = (numbers != 0) & (2 * within >= whole)
    place = np.where(kept, np.cumsum(kept) - 1, -1)
    return numbers[kept], place[index], within[kept]


def _sums(index: NDArray[np.int64], amounts: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    return np.bincount(index, weights=amounts, minlength=n).astype(np.int64)


@dataclass(frozen=True)
class InstanceCounts:
    """Objects found, missed and invented, at several IoU thresholds (StarDist's definition).

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
    def found(self) -> int:
        """True objects that have a predicted one at IoU .5."""
        return self.tp[0]

    @property
    def missed(self) -> int:
        """True objects that have none."""
        return self.fn[0]

    @property
    def invented(self) -> int:
        """Predicted objects that have no true one."""
        return self.fp[0]

    @property
    def sentence(self) -> str:
        """``found 86 of 100, 9 invented``."""
        return f"found {self.found:,} of {self.n_true:,}, {self.invented:,} invented"

    def as_dict(self) -> dict[str, Any]:
        """All figures as plain values; thresholds are the keys "0.5" to "0.9"."""
        return {
            "ap": self.ap,
            "f1": self.f1,
            "pq": self.pq,
            "n_true": self.n_true,
            "n_predicted": self.n_predicted,
            "found": self.found,
            "missed": self.missed,
            "invented": self.invented,
        }

    @property
    def _any(self) -> bool:
        return self.n_true + self.n_predicted > 0

    def _by_threshold(self, values: Iterable[float]) -> dict[str, float]:
        return {str(t): v for t, v in zip(self.thresholds, values, strict=True)}


# classes ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ClassCounts:
    """Annotated pixels by their true and their predicted class.

    Where nothing is annotated nothing can be judged: every figure is then 0.

    Attributes
    ----------
    classes : names.
    confusion : pixels, a row for each true class, a column for each predicted one and a last one for pixels that were
        predicted as none of them.
    """

    classes: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]

    @classmethod
    def of(
        cls,
        truth: ArrayLike,
        predicted: ArrayLike,
        classes: Sequence[str] | Mapping[int, str],
        region: ArrayLike | None = None,
    ) -> ClassCounts:
        """Compare two class images (*S), or two single class numbers.

        Parameters
        ----------
        truth, predicted : class numbers; pixels whose true number is none of ``classes`` are not annotated.
        classes : names of the classes 1, 2, ...; or names by number, ``{0: "background", 1: "cell"}``.
        region : bool (*S); pixels outside of it do not count.
        """
        t, p = np.asarray(truth), np.asarray(predicted)
        _same_size(t, p)
        named = dict(classes) if isinstance(classes, Mapping) else dict(enumerate(classes, 1))
        n = len(named)
        if n == 0:
            raise ValueError("at least one class is needed")
        if region is not None:
            _same_size(t, np.asarray(region), "annotated region")
            t, p = t[np.asarray(region, bool)], p[np.asarray(region, bool)]
        rows, columns = (_places(a.reshape(-1), list(named)) for a in (t, p))
        counts = np.bincount(rows * (n + 1) + columns, minlength=(n + 1) ** 2).reshape(n + 1, n + 1)
        return cls(tuple(named.values()), tuple(tuple(int(v) for v in row) for row in counts[:n]))

    def __add__(self, other: ClassCounts) -> ClassCounts:
        if self.classes != other.classes:
            raise ValueError(f"scores of different classes cannot be pooled: {self.classes}, {other.classes}")
        return ClassCounts(self.classes, tuple(tuple(map(int, row)) for row in self._array + other._array))

    @property
    def pixels(self) -> int:
        """Number of annotated pixels."""
        return int(self._array.sum())

    @property
    def accuracy(self) -> float:
        """Share of the annotated pixels that have the right class, 0 to 1."""
        return float(self._square.trace() / max(1, self.pixels))

    @property
    def iou(self) -> dict[str, float]:
        """Intersection over union of each class that is there, in the truth or in the prediction; 0 to 1."""
        return self._each(1)

    @property
    def dice(self) -> dict[str, float]:
        """Dice coefficient (which is F1) of each class that is there; 0 to 1."""
        return self._each(2)

    @property
    def mean_iou(self) -> float:
        """Mean of ``iou``."""
        values = list(self.iou.values())
        return sum(values) / len(values) if values else 0.0

    @property
    def sentence(self) -> str:
        """``93.1 % of the annotated pixels right, mean IoU 0.78``."""
        return f"{100 * self.accuracy:.1f} % of the annotated pixels right, mean IoU {self.mean_iou:.2f}"

    def as_dict(self) -> dict[str, Any]:
        """All figures as plain values; ``confusion`` is square, true by predicted class."""
        return {
            "accuracy": self.accuracy,
            "mean_iou": self.mean_iou,
            "iou": self.iou,
            "dice": self.dice,
            "confusion": self._square.tolist(),
            "classes": list(self.classes),
            "pixels": self.pixels,
        }

    @property
    def _array(self) -> NDArray[np.int64]:
        return np.asarray(self.confusion, np.int64)

    @property
    def _square(self) -> NDArray[np.int64]:
        return self._array[:, :-1]

    def _each(self, weight: int) -> dict[str, float]:
        """``w TP / (w TP + FP + FN)``: 1 gives the IoU, 2 the Dice coefficient."""
        right = self._square.diagonal()
        wrong = self._array.sum(1) + self._square.sum(0) - 2 * right
        parts = zip(self.classes, weight * right, weight * right + wrong, strict=True)
        return {name: float(above / below) for name, above, below in parts if below > 0}


def _places(values: NDArray[Any], numbers: list[int]) -> NDArray[np.int64]:
    """The place of each value in ``numbers``, or their count where it is none of them."""
    order = np.argsort(numbers)
    ascending = np.asarray(numbers)[order]
    near = np.minimum(np.searchsorted(ascending, values), len(numbers) - 1)
    return np.where(ascending[near] == values, order[near], len(numbers))


# images -------------------------------------------------------------------------------------------------------------


def psnr(
    truth: ArrayLike, predicted: ArrayLike, data_range: float | None = None, region: ArrayLike | None = None
) -> float:
    """Peak signal-to-noise ratio in dB.

    Parameters
    ----------
    truth, predicted : of one shape and unit, any dtype. Pixels whose truth is not finite do not count; a prediction
        that is not finite counts as 0.
    data_range : largest less smallest possible value; None takes that of the truth.
    region : bool, of the same shape; pixels outside of it do not count.

    Returns
    -------
    -100 to 100, which stands for "identical". A truth without range (constant, empty) gives 100 where the
    prediction equals it, else 0.
    """
    t, p, inside = _images(truth, predicted, region)
    t, p = t[inside], p[inside]
    span = _span(t) if data_range is None else float(data_range)
    if span <= 0:
        return BEST_PSNR if t.size and np.array_equal(t, p) else 0.0
    with np.errstate(all="ignore"):
        error = float(np.mean((t / span - p / span) ** 2)) if t.size else 1.0
        return float(np.clip(-10 * np.log10(error), -BEST_PSNR, BEST_PSNR))


def pearson(truth: ArrayLike, predicted: ArrayLike, region: ArrayLike | None = None) -> float:
    """Pearson's correlation r, -1 to 1; 0 where one of the two is constant. See `psnr` for the arguments."""
    t, p, inside = _images(truth, predicted, region)
    a, b = (_centred(v[inside]) for v in (t, p))
    below = float(np.sqrt((a @ a) * (b @ b)))
    return float(np.clip((a @ b) / below, -1, 1)) if below > 0 else 0.0


def ssim(
    truth: ArrayLike, predicted: ArrayLike, data_range: float | None = None, region: ArrayLike | None = None
) -> float:
    """Structural similarity with Gaussian weights of 1.5 pixels (Wang et al. 2004), at most 1.

    Parameters
    ----------
    truth, predicted : (*S), one channel in 2-D or 3-D; see `psnr`.
    data_range, region : see `psnr`. The surroundings of a pixel reach a few pixels beyond ``region``.

    Returns
    -------
    A truth without range gives 1 where the prediction equals it, else 0.
    """
    from skimage.metrics import structural_similarity

    t, p, inside = _images(truth, predicted, region)
    span = _span(t[inside]) if data_range is None else float(data_range)
    if span <= 0 or not inside.any():
        return float(inside.any() and np.array_equal(t[inside], p[inside]))
    low, known = float(t[inside].min()), np.isfinite(np.asarray(truth, np.float64))
    t, p = (np.atleast_1d(np.squeeze(np.where(known, v, low))) / span for v in (t, p))
    side = min(11, *t.shape)  # 11 pixels is what a Gaussian of 1.5 reaches
    side -= 1 - side % 2
    with np.errstate(all="ignore"):
        gaussian = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "win_size": side}
        value, local = structural_similarity(t, p, data_range=1.0, full=True, **gaussian)
    if not inside.all():
        value = local[np.atleast_1d(np.squeeze(inside))].mean()
    return float(value) if np.isfinite(value) else 0.0


def _images(
    truth: ArrayLike, predicted: ArrayLike, region: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Both as finite float64, and the pixels that count."""
    t, p = np.asarray(truth, np.float64), np.asarray(predicted, np.float64)
    _same_size(t, p)
    inside = np.isfinite(t)
    if region is not None:
        _same_size(t, np.asarray(region), "annotated region")
        inside &= np.asarray(region, bool)
    t, p = (np.nan_to_num(v, nan=0.0, posinf=0.0, neginf=0.0) for v in (t, p))
    return t, p, inside


def _span(values: NDArray[np.float64]) -> float:
    return float(np.ptp(values)) if values.size else 0.0


def _centred(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Less their mean and scaled to at most 1, so that no square overflows; zeros where all are the same."""
    if values.size == 0 or values.min() == values.max():
        return np.zeros(values.shape)
    values = values / np.abs(values).max()
    values = values - values.mean()
    out: NDArray[np.float64] = values / np.abs(values).max()
    return out


@dataclass(frozen=True)
class ImageScores:
    """Mean PSNR (dB), SSIM and Pearson's r of so many images."""

    images: int = 0
    psnr: float = 0.0
    ssim: float = 0.0
    pearson: float = 0.0

    @classmethod
    def of(cls, truth: ArrayLike, predicted: ArrayLike, region: ArrayLike | None = None) -> ImageScores:
        """Compare two images (C, *S): each channel with its own range, then their mean. ``region`` is bool (*S)."""
        t, p = np.asarray(truth), np.asarray(predicted)
        _same_size(t, p)
        if t.ndim < 3 or len(t) == 0:
            raise ValueError(f"images (C, *S) are needed, with two or three spatial axes; got {t.shape}")
        each = [
            (psnr(a, b, region=region), ssim(a, b, region=region), pearson(a, b, region=region))
            for a, b in zip(t, p, strict=True)
        ]
        return cls(1, *(float(v) for v in np.mean(each, axis=0)))

    def __add__(self, other: ImageScores) -> ImageScores:
        n = self.images + other.images
        a, b = self.images / max(1, n), other.images / max(1, n)
        return ImageScores(
            n,
            a * self.psnr + b * other.psnr,
            a * self.ssim + b * other.ssim,
            a * self.pearson + b * other.pearson,
        )

    @property
    def sentence(self) -> str:
        """``PSNR 31.2 dB, SSIM 0.86, Pearson r 0.95``."""
        return f"PSNR {self.psnr:.1f} dB, SSIM {self.ssim:.2f}, Pearson r {self.pearson:.2f}"

    def as_dict(self) -> dict[str, Any]:
        """All figures as plain values."""
        return {"psnr": self.psnr, "ssim": self.ssim, "pearson": self.pearson}


# residuals ----------------------------------------------------------------------------------------------------------


def residual_correlation(residual: ArrayLike, reach: int = 1) -> NDArray[np.float64]:
    """Autocorrelation of what was taken away, in the plane: (2 reach + 1, 2 reach + 1), 1 in the middle.

    Pure noise of a camera gives 0 everywhere else; structure that was taken away too shows as a hill.

    Parameters
    ----------
    residual : (..., Y, X); planes are pooled. Values that are not finite count as the mean.
    reach : px to each side.
    """
    r = np.asarray(residual, np.float64)
    r = r.reshape(-1, *r.shape[-2:])
    r = r - np.mean(r[np.isfinite(r)]) if np.isfinite(r).any() else np.zeros_like(r)
    r = np.nan_to_num(r, nan=0.0, posinf=0.0, neginf=0.0)
    h, w = r.shape[1:]
    power, out = float((r * r).mean()), np.zeros((2 * reach + 1,) * 2)
    out[reach, reach] = 1.0
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            if (dy, dx) == (0, 0) or abs(dy) >= h or abs(dx) >= w or power <= 0:
                continue
            a = r[:, max(0, dy) : h + min(0, dy), max(0, dx) : w + min(0, dx)]
            b = r[:, max(0, -dy) : h + min(0, -dy), max(0, -dx) : w + min(0, -dx)]
            out[reach + dy, reach + dx] = float((a * b).mean()) / power
    return np.clip(out, -1, 1)


@dataclass(frozen=True)
class ResidualScores:
    """What a denoised image took away, judged without a truth; means over so many images.

    Attributes
    ----------
    removed : standard deviation of what was taken away over that of the noise measured in the image; 1 is all of it.
    correlation : of neighbours in what was taken away; 0 for noise alone.
    """

    images: int = 0
    removed: float = 0.0
    correlation: float = 0.0

    @classmethod
    def of(cls, given: ArrayLike, result: ArrayLike) -> ResidualScores:
        """Judge an image (C, *S) by what it was made from, of the same shape."""
        from napari_dojo.data.noise import measure_noise

        x, y = np.asarray(given, np.float64), np.asarray(result, np.float64)
        _same_size(x, y)
        found = []
        for a, b in zip(x, y, strict=True):
            noise, residual = measure_noise(a), np.nan_to_num(a - b, nan=0.0, posinf=0.0, neginf=0.0)
            expected = float(np.sqrt(np.mean(noise.variance(b)))) if noise.span > 0 else 0.0
            around = residual_correlation(residual)
            found.append((float(residual.std()) / expected if expected > 0 else 0.0, (around[1, 2] + around[2, 1]) / 2))
        return cls(1, *(float(v) for v in np.mean(found, axis=0)))

    def __add__(self, other: ResidualScores) -> ResidualScores:
        n = self.images + other.images
        a, b = self.images / max(1, n), other.images / max(1, n)
        return ResidualScores(n, a * self.removed + b * other.removed, a * self.correlation + b * other.correlation)

    @property
    def whiteness(self) -> float:
        """1 for noise alone, 0 where neighbours are the same."""
        return 1 - abs(self.correlation)

    @property
    def sentence(self) -> str:
        """``97 % of the estimated noise taken away; neighbours in it correlate by 0.02``."""
        return f"{100 * self.removed:.0f} % of the estimated noise taken away; neighbours in it correlate by {self.correlation:.2f}"

    def as_dict(self) -> dict[str, Any]:
        """All figures as plain values."""
        return {"removed": self.removed, "correlation": self.correlation, "whiteness": self.whiteness}
