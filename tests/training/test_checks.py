"""Which of several checks is as good as the best one."""

from __future__ import annotations

import pytest

from napari_dojo.metrics.classes import CategoryCounts
from napari_dojo.training.checks import as_good
from napari_dojo.training.judge import figures


def score(right: int, wrong: int) -> CategoryCounts:
    """Images of two classes, of which some are right."""
    names = {1: "a", 2: "b"}
    one, other = CategoryCounts.of(1, 1, names), CategoryCounts.of(2, 1, names)
    found = one
    for each in [one] * (right - 1) + [other] * wrong:
        found = found + each
    return found


@pytest.mark.parametrize(("figure", "kept"), [(0.95, 0.95), (0.9, 0.9), (0.89, 0.9), (0.85, 0.85)])
def test_few_images_more_or_fewer_do_not_count(figure: float, kept: float) -> None:
    told = figures(score(81, 9))  # 90 images: the standard error is 3 %
    assert as_good(figure, 0.9, told) == kept
    assert as_good(figure, float("-inf"), told) == figure


def test_scores_without_an_interval_are_compared_as_they_are() -> None:
    assert as_good(0.899, 0.9, {}) == 0.899
