"""What a task must answer. The rest of the house asks these questions and knows no task by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_dojo.pairs import Pairs

__all__ = ["Facts", "Finding", "Task", "size_findings"]


@dataclass(frozen=True)
class Finding:
    """One line of the check before training: ``level`` is "ok", "warning" or "error" (training cannot start)."""

    level: Literal["ok", "warning", "error"]
    text: str


@dataclass(frozen=True)
class Facts:
    """What was understood of the training data.

    Attributes
    ----------
    options : the task's options, completed from the data (classes, diameter).
    outputs : K, the maps that the net makes.
    findings : what to tell the user, worst last.
    objects : number of labelled objects.
    diameter : their median diameter in px (of a disc or ball of the same size); None where there are no objects.
    thickness : median of the largest inscribed diameter, px; thin objects need a net that works on the pixels.
    annotated : share of the pixels with an annotation, 0 to 1.
    decoding : values of the task's decoding that follow from the data.
    """

    options: Any
    outputs: int
    findings: tuple[Finding, ...] = ()
    objects: int = 0
    diameter: float | None = None
    thickness: float | None = None
    annotated: float = 1.0
    decoding: Any = None

    @property
    def errors(self) -> tuple[str, ...]:
        """Why training cannot start."""
        return tuple(f.text for f in self.findings if f.level == "error")

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should look at."""
        return tuple(f.text for f in self.findings if f.level == "warning")


@dataclass(frozen=True)
class Task:
    """One kind of problem, answered by plain functions. Arrays: ``x`` (C, *S), ``maps`` (K, *S).

    Attributes
    ----------
    name, title, sentence : for flags, menus and people.
    target : what a person gives; ``result`` : what comes back.
    options : frozen dataclass of what is fixed at training; ``decoding`` : of what may change after prediction.
    check : (pairs, options) -> Facts.
    channels : options -> K; ``names`` : options -> what each map is.
    scale : options -> output pixels per input pixel, one figure for all axes.
    margin : diameter in px or None -> px that ``example`` needs around a patch.
    example : (x, y, region, options, rng) -> (x, target (K', *S), weight (1, *S)), all float32 and with the margin on.
    loss : (out (N, K, *S), target (N, K', *S), weight (N, 1, *S), options) -> scalar.
    decode : (maps, decoding, options) -> labels int32 (*S), or an image float32.
    score : (result, truth, region, options) -> counts that add up with + and tell all by as_dict().
    headline : counts -> the figure that chooses the model, larger is better.
    baseline : (x, options, truths) -> the answer without learning.
    tune : (list of (maps, truth, region), decoding, options) -> the decoding that does best on them.
    resample : whether patches may be turned by any angle and scaled.
    """

    name: str
    title: str
    sentence: str
    target: Literal["labels", "image", "class", "none"]
    result: Literal["labels", "image", "class"]
    options: type
    decoding: type
    check: Callable[[Pairs, Any], Facts]
    channels: Callable[[Any], int]
    names: Callable[[Any], tuple[str, ...]]
    margin: Callable[[float | None], int]
    example: Callable[..., tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]]
    loss: Callable[..., Any]
    decode: Callable[[NDArray[np.float32], Any, Any], NDArray[Any]]
    score: Callable[..., Any]
    headline: Callable[[Any], float]
    baseline: Callable[..., NDArray[Any]]
    tune: Callable[..., Any]
    scale: Callable[[Any], int] = lambda options: 1
    resample: bool = True


def size_findings(pairs: Pairs) -> tuple[Finding, ...]:
    """What holds for the images of any task: how many, how large, and which carry no signal."""
    found = []
    sizes = [" x ".join(map(str, item.size)) for item in pairs.items]
    kinds = sorted(set(sizes), key=sizes.count, reverse=True)
    what = ", ".join(kinds[:3]) + (", ..." if len(kinds) > 3 else "")
    n = len(sizes)
    found.append(
        Finding(
            "ok",
            f"{n} image{'s' if n > 1 else ''} of {what} px, {pairs.channels} channel{'s' if pairs.channels > 1 else ''}",
        )
    )
    tiny = [i.name for i in pairs.items if min(i.size) < 8 and i.size[-1] < 16]
    if len(tiny) == n:
        found.append(
            Finding("error", f"The images are too small to learn from ({kinds[0]} px). At least 16 x 16 px are needed.")
        )
    flat = [i.name for i in pairs.items if isinstance(i.x, np.ndarray) and _is_constant(i.x)]
    if len(flat) == n:
        found.append(Finding("error", "All images are constant, so there is nothing to see. Choose other images."))
    elif flat:
        found.append(
            Finding(
                "warning",
                f"{flat[0]} is constant and teaches nothing."
                if len(flat) == 1
                else f"{len(flat)} images are constant and teach nothing, {flat[0]} among them.",
            )
        )
    broken = [
        i.name
        for i in pairs.items
        if isinstance(i.x, np.ndarray) and i.x.dtype.kind == "f" and not np.isfinite(i.x).all()
    ]
    if broken:
        found.append(
            Finding(
                "warning",
                f"{len(broken)} image{'s hold' if len(broken) > 1 else ' holds'} NaN or infinite values, {broken[0]} among them; they are read as 0 and as the extremes.",
            )
        )
    return tuple(found)


def _is_constant(x: NDArray[Any]) -> bool:
    low, high = x.min(), x.max()
    return bool(low == high) or not np.isfinite(x).any()
