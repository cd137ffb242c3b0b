"""Whether the things in some images lie in every direction, or have an upright one. numpy alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["upright"]


def upright(images: NDArray[Any], classes: Sequence[int]) -> float:
    """How much of what differs between images and their flipped and rotated versions is the same in all of a class, 0 to 1.

    Where things lie in any direction, an image and its mirror image differ randomly, so differences cancel out in the
    mean over a class. Where they have an upright position (digits), the mean differs as well. The share is estimated
    without bias, so it is about 0, in few images also below, where there is no such position.

    Parameters
    ----------
    images : (n, C, *S), normalised, the last two axes of one length; ``classes`` : (n,).
    """
    plane = (-2, -1)
    changes = [
        lambda x: np.flip(x, -1),
        lambda x: np.flip(x, -2),
        lambda x: np.rot90(x, 1, plane),
        lambda x: np.rot90(x, 2, plane),
    ]
    return max((_systematic(images - change(images), np.asarray(classes)) for change in changes), default=0.0)


def _systematic(difference: NDArray[Any], classes: NDArray[Any]) -> float:
    """The share of the power of differences (n, ...) that their mean over each class has."""
    flat = difference.reshape(len(difference), -1).astype(np.float64)
    shared = total = 0.0
    for value in np.unique(classes):
        ours = flat[classes == value]
        n = len(ours)
        if n < 2:
            continue
        power = float((ours**2).sum(1).mean())
        shared += n * (n * float((ours.mean(0) ** 2).sum()) - power) / (n - 1)
        total += n * power
    return shared / total if total > 0 else 0.0
