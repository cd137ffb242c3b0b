"""Accepted objects as tests of a retrained model: which it gets right that the model before did not, and the other way round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_dojo.metrics.matching import Comparison, Verdict

__all__ = ["Changed", "Checked", "fixed_and_broken"]


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
        return f"accepted {self.objects:,} · fixed {len(self.fixed):,} · broke {len(self.broken):,}"

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

    An accepted object is right where a predicted one has this IoU with it. A predicted object where the accepted place holds
    none is wrong, too: it is fixed where it is gone, and broken where it is new.

    Parameters
    ----------
    labels : accepted objects (*S), 0 is background; before, after : the predictions (*S) of the old and the new model.
    accepted : (*S), above 0 where labels are accepted; None: everywhere.
    apart : the number of leading axes whose planes have separate objects (frames).

    Raises
    ------
    DojoError : where the sizes differ.
    """
    region = None if accepted is None else np.asarray(accepted) > 0
    old, new = (Comparison.of(labels, p, apart, region) for p in (before, after))
    was, now = (c.at(threshold).true == Verdict.MATCHED for c in (old, new))
    numbers = _numbers(np.asarray(labels), old)
    fixed = [Changed(numbers[i], old.point(i)) for i in np.flatnonzero(~was & now).tolist()]
    broken = [Changed(numbers[i], old.point(i)) for i in np.flatnonzero(was & ~now).tolist()]
    gone, new_ones = (_false_positives(c, threshold) for c in (old, new))
    fixed += _only_in(gone, new_ones, threshold)
    broken += _only_in(new_ones, gone, threshold)
    return Checked(tuple(fixed), tuple(broken), len(was), int(was.sum()), int(now.sum()))


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
