"""A head on the features of objects: from a few objects whose class is known to the class of all others.

The head is the geometric mean of extra trees and of logistic regression: trees are better from few examples, the
regression from many, and the mean is about as good as the better one of both (LOG.md).
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_dojo.metrics.classes import wilson

__all__ = [
    "Count",
    "Examples",
    "Prediction",
    "nearest",
    "predictions",
    "projected",
    "scaled",
]

Floats = NDArray[np.float64]
TREES, OF_FEATURES = 100, 0.5  # trees, and the share of the features that each split looks at
STRENGTH = 1.0  # C of the regression: less is smoother
LEAST = 3  # examples that each class needs before cross-validation says anything
FOLDS = 5
TAIL = 1.0  # percentile of a feature at both ends that is clipped, so that one odd object sets no scale
FLOOR = 1e-3  # of a probability before the mean is taken
TEMPERATURES = np.geomspace(0.25, 2.5, 31)
CAUTION = 3.0  # how much more likely a temperature other than 1 has to be


@dataclass(frozen=True, eq=False)
class Examples:
    """Objects whose class a person has shown: rows (K,) of the features, and class numbers (K,), 0 .. ``classes`` - 1."""

    rows: NDArray[np.int64]
    classes: NDArray[np.int64]
    names: tuple[str, ...]

    def per_class(self) -> NDArray[np.int64]:
        """How many examples each class has, (classes,)."""
        return np.bincount(self.classes, minlength=len(self.names))

    @property
    def checkable(self) -> bool:
        """Whether two classes have enough examples for cross-validation."""
        return bool(np.count_nonzero(self.per_class() >= LEAST) > 1)


@dataclass(frozen=True)
class Count:
    """How many objects have a class: those predicted and shown, how many of them were shown, and the 95 % interval."""

    found: int
    shown: int
    low: int
    high: int


@dataclass(frozen=True, eq=False)
class Prediction:
    """The classes of all objects.

    Attributes
    ----------
    examples : what was shown.
    probability : (N, classes), rows add up to 1; 1 for the class of an example.
    checked : (K, classes) probabilities of the examples in cross-validation, NaN for those of a class with too few; None
        before it, or where fewer than two classes have enough.
    temperature : that probabilities were calibrated with; below 1 they were made more certain.
    """

    examples: Examples
    probability: Floats
    checked: Floats | None = None
    temperature: float = 1.0

    @property
    def best(self) -> NDArray[np.int64]:
        """(N,) the likeliest class."""
        return np.asarray(self.probability.argmax(axis=1))

    @property
    def certainty(self) -> Floats:
        """(N,) the probability of the likeliest class."""
        return np.asarray(self.probability.max(axis=1))

    def classes(self, threshold: float) -> NDArray[np.int64]:
        """(N,) the likeliest class; -1, unsure, where its probability is below ``threshold``."""
        return np.where(self.certainty >= threshold, self.best, -1)

    @property
    def confusion(self) -> NDArray[np.int64] | None:
        """Examples by their class (rows) and the one that cross-validation gave them; None where there is none."""
        if self.checked is None:
            return None
        n, tested = len(self.examples.names), np.isfinite(self.checked).all(axis=1)
        pairs = self.examples.classes[tested] * n + self.checked[tested].argmax(axis=1)
        return np.bincount(pairs, minlength=n * n).reshape(n, n)

    @property
    def accuracy(self) -> float | None:
        """Share of the examples that cross-validation gave their class; None where there is none."""
        confusion = self.confusion
        return None if confusion is None else float(np.trace(confusion) / max(1, confusion.sum()))

    def confused(self, true: int, predicted: int) -> NDArray[np.int64]:
        """Rows (n,) of the examples of one class that cross-validation gave another (or the same)."""
        if self.checked is None:
            return np.zeros(0, np.int64)
        tested = np.isfinite(self.checked).all(axis=1)
        given = np.where(tested, np.nan_to_num(self.checked).argmax(axis=1), -1)
        return self.examples.rows[(self.examples.classes == true) & (given == predicted)]

    def counts(self, threshold: float, among: NDArray[np.bool_] | None = None) -> list[Count]:
        """The count of each class; ``threshold`` as in `classes`; ``among`` : which objects (N,) are counted, None: all.

        The interval follows from Wilson's of precision and recall in cross-validation: at least the objects that are
        surely right, at most those and the ones that were probably missed. Without cross-validation it is all or none.
        """
        found, confusion, names = self.classes(threshold), self.confusion, self.examples.names
        among = np.ones(len(found), bool) if among is None else among
        mine = among[self.examples.rows]
        shown, found = np.bincount(self.examples.classes[mine], minlength=len(names)), found[among]
        known = self.examples.per_class()
        counts = []
        for k in range(len(names)):
            n = int((found == k).sum())
            others = max(0, n - int(shown[k]))
            low, high = 0.0, float(len(found) - shown.sum())
            if confusion is not None and known[k]:
                low = others * wilson(confusion[k, k], confusion[:, k].sum())[0]
                recall = wilson(confusion[k, k], confusion[k].sum())[0]
                high = min(high, (others + shown[k]) / max(recall, 1e-9) - shown[k])
            counts.append(Count(n, int(shown[k]), round(low) + int(shown[k]), round(max(high, low)) + int(shown[k])))
        return counts


def scaled(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Features (N, F) with mean 0 and deviation 1 over all objects, their tails clipped."""
    if not len(values):
        return values
    low, high = np.percentile(values, (TAIL, 100 - TAIL), axis=0)
    clipped = np.clip(values, low, high)
    deviation = clipped.std(axis=0)
    return np.asarray((clipped - clipped.mean(axis=0)) / np.where(deviation > 1e-9, deviation, 1), np.float32)


def predictions(x: NDArray[np.float32], examples: Examples, temperature: float = 1.0) -> Iterator[Prediction | None]:
    """The classes of all objects, at once, and again with cross-validation where there are enough examples.

    None comes after each fold, so that the work can be stopped.

    Parameters
    ----------
    x : (N, F) features as `scaled` gives them.
    examples : of two classes or more; else nothing is yielded.
    temperature : of the last prediction, so that the first one here is like it.
    """
    if np.count_nonzero(examples.per_class()) < 2:
        return
    raw = _probability(x[examples.rows], examples.classes, x, len(examples.names))
    yield Prediction(examples, _known(_calibrated(raw, temperature), examples), None, temperature)
    if examples.checkable:
        checked = yield from _cross_validated(x, examples)
        fitted = _temperature(checked, examples.classes)
        yield Prediction(examples, _known(_calibrated(raw, fitted), examples), _calibrated(checked, fitted), fitted)


def _cross_validated(x: NDArray[np.float32], examples: Examples) -> Generator[None, None, Floats]:
    """Probabilities (K, classes) of each example by a head that was trained without it and others; see `Prediction.checked`.

    Yields after each fold.
    """
    enough = examples.per_class() >= LEAST
    classes = examples.classes
    fold = np.zeros(len(classes), np.int64)
    for k in range(len(enough)):
        mine = np.flatnonzero(classes == k)
        fold[mine] = np.arange(len(mine)) % FOLDS if enough[k] else -1
    found = np.full((len(classes), len(enough)), np.nan)
    for f in range(FOLDS):
        test = fold == f
        if test.any():
            train, rows = ~test, examples.rows
            found[test] = _probability(x[rows[train]], classes[train], x[rows[test]], len(enough))
            yield
    return found


def nearest(x: NDArray[np.float32], row: int, among: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Which of the rows ``among`` look most like one row of ``x`` (N, F): at most ``count``, the most alike first."""
    distance = ((x[among] - x[row]) ** 2).sum(axis=1)
    return np.asarray(among[np.argsort(distance, kind="stable")[:count]])


def projected(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Two principal components of features, (N, 2): objects that look alike lie close together."""
    from sklearn.decomposition import PCA

    if min(x.shape) < 2 or not np.ptp(x, axis=0).any():  # one object or feature, or objects that are all alike
        return np.zeros((len(x), 2), np.float32)
    return np.asarray(PCA(2, random_state=0).fit_transform(x), np.float32)


def _probability(x: NDArray[np.float32], y: NDArray[np.int64], on: NDArray[np.float32], n: int) -> Floats:
    """Probabilities (rows of ``on``, n) by a head trained on features ``x`` of classes ``y``; 0 for classes without examples."""
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.linear_model import LogisticRegression

    heads = (
        ExtraTreesClassifier(TREES, max_features=OF_FEATURES, class_weight="balanced", random_state=0),
        LogisticRegression(C=STRENGTH, class_weight="balanced", max_iter=300),
    )
    mean = np.mean([np.log(head.fit(x, y).predict_proba(on) + FLOOR) for head in heads], axis=0)
    out = np.zeros((len(on), n))
    out[:, np.unique(y)] = np.exp(mean)
    return np.asarray(out / out.sum(axis=1, keepdims=True))


def _calibrated(probability: Floats, temperature: float) -> Floats:
    p = probability ** (1 / temperature)
    return np.asarray(p / p.sum(axis=-1, keepdims=True))


def _temperature(checked: Floats, classes: NDArray[np.int64]) -> float:
    """What makes probabilities of cross-validation likeliest (Guo et al. 2017); few examples leave it near 1."""
    tested = np.isfinite(checked).all(axis=1)

    def loss(t: float) -> float:
        p = _calibrated(checked[tested], t)[np.arange(tested.sum()), classes[tested]]
        return float(CAUTION * np.log(t) ** 2 - np.log(np.maximum(p, 1e-9)).sum())

    return float(min(TEMPERATURES, key=loss))


def _known(probability: Floats, examples: Examples) -> Floats:
    """With the examples' own classes."""
    out = probability.copy()
    out[examples.rows] = np.eye(len(examples.names))[examples.classes]
    return out
