"""How well predicted classes of pixels agree with the annotated ones: accuracy, IoU and Dice from a confusion matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_dojo.metrics.base import same_size

__all__ = ["CategoryCounts", "ClassCounts", "wilson"]

Z = 1.96  # standard errors of an interval of 95 %


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
    ) -> Self:
        """Compare two class images (*S), or two single class numbers.

        Parameters
        ----------
        truth, predicted : class numbers; pixels whose true number is none of ``classes`` are not annotated.
        classes : names of the classes 1, 2, ...; or names by number, ``{0: "background", 1: "cell"}``.
        region : bool (*S); pixels outside of it do not count.
        """
        t, p = np.asarray(truth), np.asarray(predicted)
        same_size(t, p)
        named = dict(classes) if isinstance(classes, Mapping) else dict(enumerate(classes, 1))
        n = len(named)
        if n == 0:
            raise ValueError("at least one class is needed")
        if region is not None:
            same_size(t, np.asarray(region), "annotated region")
            t, p = t[np.asarray(region, bool)], p[np.asarray(region, bool)]
        rows, columns = (_places(a.reshape(-1), list(named)) for a in (t, p))
        counts = np.bincount(rows * (n + 1) + columns, minlength=(n + 1) ** 2).reshape(n + 1, n + 1)
        return cls(tuple(named.values()), tuple(tuple(int(v) for v in row) for row in counts[:n]))

    def __add__(self, other: ClassCounts) -> ClassCounts:
        if self.classes != other.classes:
            raise ValueError(f"scores of different classes cannot be pooled: {self.classes}, {other.classes}")
        return type(self)(self.classes, tuple(tuple(map(int, row)) for row in self._array + other._array))

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
    def selection_score(self) -> float:
        """Mean IoU over the classes."""
        return float(self.mean_iou)

    @property
    def selection_name(self) -> str:
        """What that figure is."""
        return "mean IoU"

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


@dataclass(frozen=True)
class CategoryCounts(ClassCounts):
    """Images or objects by their true and their predicted class; those that were called unsure are in the last column."""

    @property
    def f1(self) -> dict[str, float]:
        """F1 of each class that is there; 0 to 1."""
        return self.dice

    @property
    def mean_f1(self) -> float:
        """Mean of ``f1``: every class counts alike, however rare."""
        return sum(self.f1.values()) / len(self.f1) if self.f1 else 0.0

    @property
    def unsure(self) -> int:
        """How many were given no class."""
        return int(self._array[:, -1].sum())

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the accuracy (Wilson)."""
        return wilson(int(self._square.trace()), self.pixels)

    @property
    def selection_score(self) -> float:
        """Mean F1 over the classes."""
        return self.mean_f1

    @property
    def selection_name(self) -> str:
        """What that figure is."""
        return "mean F1"

    @property
    def sentence(self) -> str:
        """``57 of 60 right (95.0 %, 95 % interval 86 to 98 %), mean F1 0.95``."""
        more = f", {self.unsure} unsure" if self.unsure else ""
        right = int(self._square.trace())
        low, high = self.interval
        share = f"{100 * self.accuracy:.1f} %, 95 % interval {100 * low:.0f} to {100 * high:.0f} %"
        return f"{right:,} of {self.pixels:,} right ({share}), mean F1 {self.mean_f1:.2f}{more}"

    def as_dict(self) -> dict[str, Any]:
        """All figures as plain values; ``confusion`` is square, true by predicted class; ``f1`` the mean over classes."""
        return {
            "accuracy": self.accuracy,
            "accuracy_interval": list(self.interval),
            "f1": self.mean_f1,
            "f1_of_class": self.f1,
            "confusion": self._square.tolist(),
            "classes": list(self.classes),
            "scored": self.pixels,
            "unsure": self.unsure,
        }


def wilson(hits: float, trials: float) -> tuple[float, float]:
    """The 95 % interval of a share of which ``hits`` of ``trials`` were seen (Wilson 1927); 0 to 1 without trials."""
    if trials <= 0:
        return 0.0, 1.0
    p, z2 = hits / trials, Z * Z
    middle = (p + z2 / (2 * trials)) / (1 + z2 / trials)
    half = Z / (1 + z2 / trials) * np.sqrt(p * (1 - p) / trials + z2 / (4 * trials**2))
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))


def _places(values: NDArray[Any], numbers: list[int]) -> NDArray[np.int64]:
    """The place of each value in ``numbers``, or their count where it is none of them."""
    order = np.argsort(numbers)
    ascending = np.asarray(numbers)[order]
    near = np.minimum(np.searchsorted(ascending, values), len(numbers) - 1)
    return np.where(ascending[near] == values, order[near], len(numbers))
