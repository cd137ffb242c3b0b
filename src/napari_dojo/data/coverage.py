"""Splits inside images whose validation can be scored: each class, or objects at all, in training and in validation.

A stratum is a number that should lie on both sides: a class of pixels, or 1 for objects. ``strata`` holds an array
(*S) for each sample, with the numbers where they count and 0 elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
from numpy.typing import NDArray

from napari_dojo.boxes import Box, slices

__all__ = ["balanced", "numbers_in", "on_both_sides"]

FEWEST = 0.02  # of the pixels of a stratum, that make a side worth something
CELLS = 12  # along an axis, at most


def numbers_in(strata: Sequence[NDArray[np.integer]]) -> tuple[int, ...]:
    """All strata there are in arrays (*S), ascending, without 0."""
    return tuple(sorted({int(v) for s in strata for v in np.flatnonzero(np.bincount(s.ravel()))} - {0}))


def on_both_sides(
    strata: Sequence[NDArray[np.integer]],
    training: Sequence[tuple[int, Box]],
    validation: Sequence[tuple[int, Box]],
    fewest: float = 0.0,
) -> tuple[int, ...]:
    """The strata of which more than a share of ``fewest`` lies in either side; boxes as (sample, box)."""
    numbers = numbers_in(strata)
    total = sum((_count(s, numbers) for s in strata), np.zeros(len(numbers), int))
    sides = []
    for boxes in (training, validation):
        parts = (_count(strata[i][slices(box)], numbers) for i, box in boxes)
        sides.append(sum(parts, np.zeros(len(numbers), int)))
    both = np.minimum(*sides)
    return tuple(n for n, k, t in zip(numbers, both, total, strict=True) if k > fewest * t)


def balanced(
    strata: Sequence[NDArray[np.integer]], groups: Sequence[str], share: float, smallest: int
) -> tuple[list[tuple[int, Box]], list[tuple[int, Box]]]:
    """Boxes for training and for validation, so that as many strata as possible lie in both.

    The images are cut across one axis; samples of a group and a size are cut at the same places. Between the sides
    lies a gap.

    Parameters
    ----------
    share : of each stratum that validation should hold, about.
    smallest : edge of a box, px.
    """
    numbers = numbers_in(strata)
    best: tuple[tuple[int, float], list[_Cut]] | None = None
    for rank, cells in product(range(strata[0].ndim), (round(1 / share), CELLS)):
        cuts = _cuts(strata, groups, numbers, rank, cells, smallest)
        rating = _choose(cuts, share)
        if best is None or rating > best[0]:
            best = rating, cuts
    assert best is not None
    sizes = [s.shape for s in strata]
    training = [box for cut in best[1] for box in cut.boxes(cut.training(), sizes, min(smallest, 16))]
    return training, [box for cut in best[1] for box in cut.boxes(cut.held, sizes, min(smallest, 16))]


@dataclass
class _Cut:
    """How the samples of one group are cut across an axis; ``held`` (n,) is True where validation lies."""

    samples: list[int]
    axis: int
    profile: NDArray[np.int64]  # (strata, n) pixels
    edges: list[int]
    held: NDArray[np.bool_]

    def training(self, held: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
        """Where training lies: away from validation by a gap."""
        held = self.held if held is None else held
        gap = min(16, len(held) // 16)
        near = np.convolve(held, np.ones(2 * gap + 1), "same") > 0
        return ~near

    def boxes(self, mask: NDArray[np.bool_], sizes: Sequence[tuple[int, ...]], least: int) -> Iterator[tuple[int, Box]]:
        """The boxes of each sample where a mask (n,) is True along the axis, of ``least`` px or more."""
        spans = [(a, b) for a, b in _runs(mask) if b - a >= least]
        for i, span in product(self.samples, spans):
            yield i, tuple(span if axis == self.axis else (0, n) for axis, n in enumerate(sizes[i]))

    def with_cell(self, k: int) -> NDArray[np.bool_]:
        """``held`` with one more cell."""
        held = self.held.copy()
        held[self.edges[k] : self.edges[k + 1]] = True
        return held


def _cuts(
    strata: Sequence[NDArray[np.integer]],
    groups: Sequence[str],
    numbers: Sequence[int],
    rank: int,
    cells: int,
    smallest: int,
) -> list[_Cut]:
    together: dict[tuple[str, tuple[int, ...]], list[int]] = {}
    for i, group in enumerate(groups):
        together.setdefault((group, strata[i].shape), []).append(i)
    found = []
    for (_, shape), samples in together.items():
        axis = int(np.argsort(shape, kind="stable")[::-1][rank])
        n = shape[axis]
        count = max(1, min(cells, n // min(smallest, 32)))
        edges = [round(k * n / count) for k in range(count + 1)]
        others = tuple(a for a in range(len(shape)) if a != axis)
        profile = np.array([sum((strata[i] == v).sum(axis=others) for i in samples) for v in numbers])
        found.append(_Cut(samples, axis, profile.reshape(len(numbers), n), edges, np.zeros(n, bool)))
    return found


def _choose(cuts: Sequence[_Cut], share: float) -> tuple[int, float]:
    """Hold cells back until validation has its share of every stratum; how many lie on both sides, and how well."""
    total = np.maximum(sum(cut.profile.sum(1) for cut in cuts), 1)

    def rating(changed: _Cut | None = None, held: NDArray[np.bool_] | None = None) -> tuple[int, float]:
        inside, outside = np.zeros(len(total)), np.zeros(len(total))
        for cut in cuts:
            mask = held if cut is changed and held is not None else cut.held
            inside += cut.profile @ mask
            outside += cut.profile @ cut.training(mask)
        both = (inside > FEWEST * total) & (outside > FEWEST * total)
        worth = np.minimum(inside / total, share) / share - np.maximum(0.5 - outside / total, 0)
        return int(both.sum()), float(worth.sum())

    now = rating()
    while True:
        options = [(rating(cut, held), k, j) for k, cut in enumerate(cuts) for j, held in _more(cut)]
        if not options or max(options)[0] <= now:
            return now
        now, k, j = max(options)
        cuts[k].held = cuts[k].with_cell(j)


def _more(cut: _Cut) -> list[tuple[int, NDArray[np.bool_]]]:
    """The cells that may be held back next."""
    cells = [j for j in range(len(cut.edges) - 1) if not cut.held[cut.edges[j]]]
    return [(j, cut.with_cell(j)) for j in cells] if len(cells) > 1 else []


def _runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Where a mask (n,) is True, as (start, stop)."""
    edges = np.flatnonzero(np.diff(np.r_[False, mask, False]))
    return [(int(a), int(b)) for a, b in list(pairwise(edges))[::2]]


def _count(stratum: NDArray[np.integer], numbers: Sequence[int]) -> NDArray[np.int64]:
    return np.array([np.count_nonzero(stratum == v) for v in numbers], np.int64)
