"""Digits of scikit-learn and simulated cells as images, shifted and split, and drawings made to look like them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_dojo.errors import DojoError
from napari_dojo.playground.activations import Array
from napari_dojo.playground.image_settings import CONTENTS, ImageSet

__all__ = ["DIGIT", "SHIFT", "Images", "cells", "digits", "draw_images", "placed", "read_as", "shifted"]

DIGIT = 8  # px of a digit along each side
MARGIN = (CONTENTS["digits"].side - DIGIT) // 2
SHIFT = 2  # px by which an image is shifted at most
LIGHT = 0.7  # brightness of a drawn cell
FINE = 32  # px along each side of the bitmaps that the digits were made of, 4 x 4 px each


@dataclass(frozen=True)
class Images:
    """Images (n, Y, X, 1) from 0 to 1, and their classes (n,), in the order training, validation, test."""

    x: Array
    value: NDArray[np.intp]
    counts: tuple[int, int, int]
    classes: int

    def part(self, name: str) -> slice:
        """Where "training", "validation" or "test" lies."""
        n = self.counts
        return {
            "training": slice(0, n[0]),
            "validation": slice(n[0], n[0] + n[1]),
            "test": slice(n[0] + n[1], sum(n)),
        }[name]


@cache
def digits() -> tuple[Array, NDArray[np.intp]]:
    """The 1797 handwritten digits of scikit-learn (Alpaydin and Kaynak 1998): (n, 8, 8) from 0 to 1, and (n,).

    Read from scikit-learn's file, because importing `sklearn.datasets` takes a second.
    """
    spec = find_spec("sklearn")
    if spec is None or spec.origin is None:
        raise DojoError(
            "The digits come with scikit-learn, which is not installed. Install it: pip install scikit-learn"
        )
    table = np.loadtxt(Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz", delimiter=",")
    return table[:, :-1].reshape(-1, DIGIT, DIGIT) / 16, table[:, -1].astype(np.intp)


@cache
def cells() -> tuple[Array, NDArray[np.intp]]:
    """Simulated cells of four types, as `scripts/make_samples.py` made them: (n, 16, 16) from 0 to 1, and (n,)."""
    with np.load(str(files("napari_dojo") / "sample_data" / "cell_types.npz")) as found:
        return found["images"] / 255, found["types"].astype(np.intp)


def draw_images(chosen: ImageSet, rng: np.random.Generator) -> Images:
    """Images in random order; digits lie in the middle of theirs."""
    x, value = _CONTENTS[chosen.content]()
    counts = (chosen.training, chosen.validation, chosen.test)
    order = rng.permutation(len(value))[: sum(counts)]
    return Images(x[order], value[order], counts, len(chosen.shown.classes))


def _digits() -> tuple[Array, NDArray[np.intp]]:
    small, value = digits()
    return placed(small), value


def _cells() -> tuple[Array, NDArray[np.intp]]:
    x, value = cells()
    return x[..., None], value


_CONTENTS = {"digits": _digits, "cells": _cells}


def placed(small: Array) -> Array:
    """Digits (n, 8, 8) in the middle of images: (n, 12, 12, 1)."""
    return np.pad(small, ((0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN)))[..., None]


def shifted(x: Array, by: NDArray[np.intp]) -> Array:
    """Images (n, Y, X, 1), each shifted down and to the right by ``by`` (n, 2) px, at most `SHIFT`; 0 comes in."""
    far = np.pad(x, ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0)))
    where = SHIFT - by[:, :, None] + np.arange(x.shape[1])  # (n, 2, Y)
    moved: Array = far[np.arange(len(x))[:, None, None], where[:, 0, :, None], where[:, 1, None, :]]
    return moved


def read_as(content: str, drawn: NDArray[np.bool_]) -> Array | None:
    """A drawing (Y, X) as one of the images, (Y, X) from 0 to 1; None if nothing is drawn."""
    if content == "digits":
        small = normalized(drawn)
        return None if small is None else placed(small[None])[0, :, :, 0]
    side = CONTENTS[content].side
    y, x = (n // side for n in drawn.shape)
    found: Array = LIGHT * drawn[: y * side, : x * side].reshape(side, y, side, x).mean((1, 3))
    return found if found.any() else None


def normalized(drawn: NDArray[np.bool_]) -> Array | None:
    """A drawing (Y, X) as a digit (8, 8) from 0 to 1, centred and scaled; None if nothing is drawn.

    As the digits of scikit-learn were made: scaled to 32 x 32 px, then the drawn pixels in blocks of 4 x 4 px are counted.
    """
    rows, columns = np.flatnonzero(drawn.any(1)), np.flatnonzero(drawn.any(0))
    if not len(rows):
        return None
    size = np.array([rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1])
    middle = np.array([rows[0] + rows[-1], columns[0] + columns[-1]]) / 2
    at = (np.arange(FINE) - (FINE - 1) / 2) * size.max() / FINE  # px from the middle
    y, x = (np.rint(m + at).astype(int) for m in middle)
    there = (y >= 0) & (y < drawn.shape[0]), (x >= 0) & (x < drawn.shape[1])
    fine = np.zeros((FINE, FINE))
    fine[np.ix_(*there)] = drawn[np.ix_(y[there[0]], x[there[1]])]
    fine *= np.outer(*(np.abs(at) <= s / 2 for s in size))  # nothing beside the drawing
    block = FINE // DIGIT
    small: Array = fine.reshape(DIGIT, block, DIGIT, block).mean((1, 3))
    return small
