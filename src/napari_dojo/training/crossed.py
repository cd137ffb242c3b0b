"""Cross-validation: where there are few samples, each is predicted by a network that was trained on the others."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_dojo.data.batches import Source
from napari_dojo.events import Control, Event, Message, Progress
from napari_dojo.training.judge import Judge, figures
from napari_dojo.training.loop import Budget
from napari_dojo.training.plan import Plan

__all__ = ["CROSSED", "cross_validated"]

CROSSED = "cross-validation"  # where a score is from
SHARE = 0.5  # of the minutes, for all parts together


class Part(Protocol):
    """A training on all but one part of the samples."""

    plan: Plan

    @property
    def validation(self) -> Judge:
        """What it is scored on: the part that is left out."""
        ...

    def complete(self, budget: Budget) -> Iterator[float]:
        """Train from the first step to the last without saving anything; yields the share that is done."""
        ...

    def predicted(self) -> list[NDArray[np.float32]]:
        """The maps of the part that was left out."""
        ...


def cross_validated(
    parts: int, make: Callable[[int], Part], began: float, control: Control
) -> Generator[Event, None, dict[str, Any]]:
    """The score of all parts together as plain values, with ``temperature``, ``folds`` and ``seconds``; empty where it was stopped.

    Parameters
    ----------
    make : the number of a part -> the training that leaves it out.
    began : time.monotonic() from which on ``seconds`` are counted.
    """
    yield Message("info", f"Cross-validation in {parts} parts ...")
    sources: list[Source] = []
    maps: list[NDArray[np.float32]] = []
    judge: Judge | None = None
    for k in range(parts):
        part = make(k)
        minutes = part.plan.minutes
        budget = Budget(
            time.monotonic(),
            None if minutes else part.plan.steps,
            SHARE * minutes / parts if minutes else None,
            reserve=0.0,
            last_checks=0,
        )
        for share in part.complete(budget):
            yield Progress(round(100 * (k + min(1.0, share))), 100 * parts)
        if control.stop:
            return {}
        judge = part.validation
        maps += part.predicted()
        sources += judge.sources
    assert judge is not None
    everything = replace(judge, sources=tuple(sources))
    found = figures(everything.score(maps, judge.task.decoding(**judge.card.decoding)))
    yield Message("info", f"Cross-validation in {parts} parts: {found['sentence']}.")
    about = {"temperature": everything.temperature(maps), "folds": parts, "seconds": time.monotonic() - began}
    return {**found, **about, "from": CROSSED}
