"""Accepted objects as tests of a retrained model: which it gets right that the model before did not, and the other way round."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_dojo.metrics.base import same_size
from napari_dojo.metrics.matching import Comparison, Verdict
from napari_dojo.metrics.strokes import BACKGROUND, MOST, in_own_objects

__all__ = ["Changed", "Checked", "classes_fixed_and_broken", "fixed_and_broken", "strokes_fixed_and_broken"]


@dataclass(frozen=True)
class Changed:
    """An object that is right in one of two predictions only.

    Attributes
    ----------
    number : of the accepted object; 0 for a predicted one where no object is accepted (a false positive).
    place : a pixel of it.
    """

    number: int
    place: tuple[int, ...]


@dataclass(frozen=True)
class Checked:
    """What a retraining changed for accepted objects.

    Attributes
    ----------
    fixed, broken : wrong before and right after, and the other way round.
    objects : how many accepted objects were checked; ``before``, ``after`` : how many of them were right.
    """

    fixed: tuple[Changed, ...]
    broken: tuple[Changed, ...]
    objects: int
    before: int
    after: int

    @property
    def lost(self) -> bool:
        """Whether more was broken than fixed."""
        return len(self.broken) > len(self.fixed)

    @property
    def sentence(self) -> str:
        """``accepted 58 · fixed 14 · broke 2``."""
        return self.counted("accepted")

    def counted(self, what: str) -> str:
        """The same for ``what`` is checked: ``strokes 20 · fixed 3 · broke 1``."""
        return f"{what} {self.objects:,} · fixed {len(self.fixed):,} · broke {len(self.broken):,}"

    def __add__(self, other: Checked) -> Checked:
        return Checked(
            self.fixed + other.fixed,
            self.broken + other.broken,
            self.objects + other.objects,
            self.before + other.before,
            self.after + other.after,
        )


def fixed_and_broken(
    labels: ArrayLike,
    before: ArrayLike,
    after: ArrayLike,
    accepted: ArrayLike | None = None,
    threshold: float = 0.5,
    apart: int = 0,
) -> Checked:
    """Check the predictions of two models on accepted objects.

    An accepted object is one of which at least half is accepted. It is right where a predicted one has this IoU with all of
    it. A predicted object where the accepted place holds none is wrong, too: it is fixed where it is gone, and broken where
    it is new.

    Parameters
    ----------
    labels : accepted objects (*S), 0 is background; before, after : the predictions (*S) of the old and the new model.
    accepted : (*S), above 0 where labels are accepted; None: everywhere.
    apart : the number of leading axes whose planes have separate objects (frames).

    Raises
    ------
    DojoError : where the sizes differ.
    """
    region = None if accepted is None else _of_whole_objects(np.asarray(labels), np.asarray(accepted) > 0, apart)
    old, new = (Comparison.of(labels, p, apart, region) for p in (before, after))
    was, now = (c.at(threshold).true == Verdict.MATCHED for c in (old, new))
    numbers = _numbers(np.asarray(labels), old)
    fixed = [Changed(numbers[i], old.point(i)) for i in np.flatnonzero(~was & now).tolist()]
    broken = [Changed(numbers[i], old.point(i)) for i in np.flatnonzero(was & ~now).tolist()]
    gone, new_ones = (_false_positives(c, threshold) for c in (old, new))
    fixed += _only_in(gone, new_ones, threshold)
    broken += _only_in(new_ones, gone, threshold)
    return Checked(tuple(fixed), tuple(broken), len(was), int(was.sum()), int(now.sum()))


def _of_whole_objects(labels: NDArray[Any], accepted: NDArray[np.bool_], apart: int) -> NDArray[np.bool_]:
    """Accepted places (*S) with all of each object of which at least half is accepted, and with nothing of the others.

    Else the edge of a place would cut an object and its partner in two halves, of which one counts and the other does not.
    """
    same_size(labels, accepted, "annotated region")
    found = accepted.copy()
    for at in np.ndindex(labels.shape[:apart]):
        there = labels[at] > 0
        numbers, which = np.unique(labels[at][there], return_inverse=True)
        inside = np.bincount(which, accepted[at][there], len(numbers))
        found[at][there] = (2 * inside >= np.bincount(which, minlength=len(numbers)))[which]
    return found


def strokes_fixed_and_broken(
    strokes: ArrayLike, before: ArrayLike, after: ArrayLike, accepted: ArrayLike | None = None, apart: int = 0
) -> Checked:
    """The same for strokes (*S; 0 not annotated, 1 background, 2.. objects).

    A stroke is right where most of it lies in one predicted object, of which no other stroke holds a part; each connected
    stroke of the background where most of it lies in none. ``accepted`` : only strokes there count.
    """
    return _by_pieces(_stroke_pieces, strokes, (before, after), accepted, apart)


def classes_fixed_and_broken(
    labels: ArrayLike, before: ArrayLike, after: ArrayLike, accepted: ArrayLike | None = None, apart: int = 0
) -> Checked:
    """The same for classes (*S; 0 not annotated): each connected part of one class is right where most of it has that class."""
    return _by_pieces(_class_pieces, labels, (before, after), accepted, apart)


@dataclass(frozen=True)
class _Piece:
    """A stroke, where it is, and in which of the predictions it is right."""

    number: int
    place: tuple[int, ...]
    right: tuple[bool, ...]


Pieces = Callable[[NDArray[Any], Sequence[NDArray[Any]]], list[_Piece]]


def _by_pieces(
    pieces: Pieces, labels: ArrayLike, predictions: Sequence[ArrayLike], accepted: ArrayLike | None, apart: int
) -> Checked:
    """Check the pieces of each plane along the leading axes by themselves."""
    y = np.asarray(labels)
    y = y if accepted is None else np.where(np.asarray(accepted) > 0, y, 0)
    found = [np.asarray(p) for p in predictions]
    for prediction in found:
        same_size(y, prediction)
    there = [
        _Piece(piece.number, (*at, *piece.place), piece.right)
        for at in np.ndindex(y.shape[:apart])
        for piece in pieces(y[at], [p[at] for p in found])
    ]
    fixed = [Changed(p.number, p.place) for p in there if not p.right[0] and p.right[1]]
    broken = [Changed(p.number, p.place) for p in there if p.right[0] and not p.right[1]]
    was, now = (sum(p.right[k] for p in there) for k in (0, 1))
    return Checked(tuple(fixed), tuple(broken), len(there), was, now)


def _stroke_pieces(strokes: NDArray[Any], predictions: Sequence[NDArray[Any]]) -> list[_Piece]:
    own = [set(in_own_objects(strokes, p).tolist()) for p in predictions]
    objects = np.where(strokes > BACKGROUND, strokes, 0)
    found = [_Piece(n, place, tuple(n in o for o in own)) for n, place, _ in _parts(objects)]
    ground = _connected(strokes == BACKGROUND)
    for _, place, where in _parts(ground):
        outside = tuple(bool((p[where] == 0).mean() >= MOST) for p in predictions)
        found.append(_Piece(0, place, outside))
    return found


def _class_pieces(labels: NDArray[Any], predictions: Sequence[NDArray[Any]]) -> list[_Piece]:
    return [
        _Piece(int(value), place, tuple(bool((p[where] == value).mean() >= MOST) for p in predictions))
        for value in np.unique(labels[labels > 0])
        for _, place, where in _parts(_connected(labels == value))
    ]


def _connected(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    from scipy.ndimage import label

    return np.asarray(label(mask, np.ones((3,) * mask.ndim))[0], np.int32)


def _parts(labels: NDArray[Any]) -> Iterator[tuple[int, tuple[int, ...], tuple[NDArray[np.intp], ...]]]:
    """Each number, a pixel in its middle, and all its pixels."""
    flat = np.flatnonzero(labels)
    order = flat[np.argsort(labels.ravel()[flat], kind="stable")]
    numbers, starts = np.unique(labels.ravel()[order], return_index=True)
    for n, pixels in zip(numbers.tolist(), np.split(order, starts[1:]), strict=False):
        where = np.unravel_index(pixels, labels.shape)
        yield n, tuple(int(a[len(a) // 2]) for a in where), where


def _numbers(labels: NDArray[Any], compared: Comparison) -> Sequence[int]:
    """The numbers of the true objects, as they are in the labels."""
    return [int(labels[compared.point(i)]) for i in range(len(compared.overlap.true))]


def _false_positives(compared: Comparison, threshold: float) -> NDArray[np.int32]:
    """Predicted objects that touch no true one, 1..n (*S)."""
    verdicts = compared.at(threshold)
    wrong = verdicts.predicted == Verdict.FALSE_POSITIVE
    wrong[compared.overlap.columns] = False  # what meets an accepted object is that one's mistake
    numbers = np.append(np.cumsum(wrong) * wrong, 0).astype(np.int32)
    lengths = np.diff(compared.starts, append=int(np.prod(compared.shape)))
    return np.repeat(numbers[compared.columns], lengths).reshape(compared.shape)


def _only_in(here: NDArray[np.int32], there: NDArray[np.int32], threshold: float) -> list[Changed]:
    """Objects without a partner in another labelling."""
    compared = Comparison.of(here, there)
    alone = np.flatnonzero(compared.at(threshold).true != Verdict.MATCHED)
    return [Changed(0, compared.point(int(i))) for i in alone]
