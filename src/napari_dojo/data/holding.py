"""Annotation that is held out for a while: some of the objects or strokes, each whole, to compare trainings on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo.data.dataset import Dataset, Sample
from napari_dojo.data.split import Crop, Split

__all__ = ["Held", "Pieces", "hold_out"]

EVERY = 5  # th piece is held out
FEWEST = 2  # pieces on either side
AROUND = 2  # px around a piece that go with it


@dataclass(frozen=True, eq=False)
class Pieces:
    """What belongs together in the annotation of a sample.

    Attributes
    ----------
    numbers : (*S), of the pieces; 0: none.
    strata : the stratum of each number; of every stratum some pieces are held out.
    """

    numbers: NDArray[np.int64]
    strata: dict[int, int]


@dataclass(frozen=True, eq=False)
class Held:
    """A dataset, some of whose annotation is held out.

    Attributes
    ----------
    dataset : each sample twice: for training without what is held out, and for validation with nothing else.
    split : its training and validation.
    pieces, of : how many pieces are held out, and of how many.
    """

    dataset: Dataset
    split: Split
    pieces: int
    of: int


def hold_out(dataset: Dataset, pieces: Callable[[Sample], Pieces], seed: int = 0) -> Held | None:
    """Hold out every fifth piece of each stratum, chosen at random; None where there are too few of all."""
    found = [pieces(sample) for sample in dataset.samples]
    strata: dict[int, list[tuple[int, int]]] = {}
    for i, there in enumerate(found):
        for number, stratum in there.strata.items():
            strata.setdefault(stratum, []).append((i, number))
    rng, held = np.random.default_rng(seed), list[tuple[int, int]]()
    for members in strata.values():
        if len(members) >= 2 * FEWEST:
            order = rng.permutation(len(members))
            held += [members[k] for k in order[: max(FEWEST, len(members) // EVERY)]]
    if not held:
        return None
    training, validation = [], []
    for i, (sample, there) in enumerate(zip(dataset.samples, found, strict=True)):
        known = np.ones(sample.size, bool) if sample.region is None else sample.region
        out = _near(there.numbers, [n for k, n in held if k == i])
        training.append(replace(sample, region=known & ~out, role="training"))
        if out.any():
            validation.append(replace(sample, region=known & out, role="validation"))
    samples = (*training, *validation)
    crops = [Crop(k, tuple((0, n) for n in s.size)) for k, s in enumerate(samples)]
    split = Split(tuple(crops[: len(training)]), tuple(crops[len(training) :]), (), "annotation that is held out")
    of = sum(len(members) for members in strata.values())
    return Held(replace(dataset, samples=samples), split, len(held), of)


def _near(numbers: NDArray[Any], held: list[int]) -> NDArray[np.bool_]:
    """The pieces, and what is not annotated or background closely around them."""
    from scipy.ndimage import binary_dilation

    mine = np.isin(numbers, held)
    if not mine.any():
        return np.asarray(mine)
    return np.asarray(mine | (binary_dilation(mine, iterations=AROUND) & (numbers == 0)))
