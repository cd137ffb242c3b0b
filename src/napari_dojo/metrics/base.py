"""What every score can do. A score is a small frozen value of one image.

Scores of several images are pooled with ``+`` (see `pool`), so that every object and every pixel counts once, whatever
image it lies in. No score is ever NaN or infinite.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from operator import add
from typing import Any, Protocol, TypeVar

from numpy.typing import NDArray

from napari_dojo.errors import DojoError

__all__ = ["Score", "pool", "same_size"]


class Score(Protocol):
    """What every score can do."""

    def __add__(self, other: Any, /) -> Any:
        """The score of both together."""

    @property
    def sentence(self) -> str:
        """The score in words that need no course, without a full stop."""

    @property
    def selection_score(self) -> float:
        """The figure that selects the best model; larger is better."""

    @property
    def selection_name(self) -> str:
        """What that figure is, with its unit."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""


AnyScore = TypeVar("AnyScore", bound=Score)


def pool(scores: Iterable[AnyScore]) -> AnyScore:
    """One score of many images; ValueError where there are none."""
    found = list(scores)
    if not found:
        raise ValueError("no scores to pool")
    return reduce(add, found)


def same_size(truth: NDArray[Any], other: NDArray[Any], what: str = "prediction") -> None:
    """DojoError that names both sizes where the ground truth and ``other`` differ in shape."""
    if truth.shape != other.shape:
        raise DojoError(
            f"The ground truth and the {what} must have the same size: ground truth {truth.shape}, {what} {other.shape}. "
            "Choose the two that belong together."
        )
