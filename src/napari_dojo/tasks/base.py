"""What a task must answer. The rest of the house asks these questions and knows no task by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_dojo.data.augment import Intensity
from napari_dojo.data.axes import Axes
from napari_dojo.data.dataset import ONE_TO_ONE, Dataset, Layout
from napari_dojo.data.kinds import Kind

__all__ = [
    "Finding",
    "Fix",
    "Hints",
    "Summary",
    "Task",
    "annotated_box",
    "corner_findings",
    "size_findings",
    "swap_findings",
]

BRIGHTER = Intensity()
LISTED = 20  # excluded images whose reasons are listed


@dataclass(frozen=True)
class Fix:
    """A fix that the window can apply with one click; the task says it in plain values and functions.

    Attributes
    ----------
    label : on the button.
    kind : "relabel" (``value``: function of a whole labels array that gives a new one), "region" (``value``: function
        of it that gives the annotated box, slices, as a first guess), "swap" (image and labels change places),
        "option" (``value``: name and value of an option of the task), "task" (``value``: the name of another task),
        "leave out" (the items are not learned from), "show" (``value``: function of an image (C, *S) that gives one to
        look at) or "fine" (what was asked is as it should be).
    samples : names of the items concerned; empty: all.
    """

    label: str
    kind: Literal["relabel", "region", "swap", "option", "task", "leave out", "show", "fine"]
    samples: tuple[str, ...] = ()
    value: Any = None


@dataclass(frozen=True)
class Finding:
    """One line of the check before training: ``level`` is "ok", "warning" or "error" (training cannot start)."""

    level: Literal["ok", "warning", "error"]
    text: str
    fixes: tuple[Fix, ...] = ()


@dataclass(frozen=True)
class Hints:
    """What a task would like of the plan; 0 leaves it to the plan.

    Attributes
    ----------
    width : feature maps of the finest level, on a CPU.
    patch : edge of the patches in a plane, px.
    pixels : input pixels of one update, on a CPU.
    levels : of the net.
    rate : the largest learning rate.
    fine : work on the pixels, not on cells of 2 x 2.
    """

    width: int = 0
    patch: int = 0
    pixels: int = 0
    levels: int = 0
    rate: float = 0.0
    fine: bool = False


@dataclass(frozen=True)
class Summary:
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
    painted : (label number, name, annotated pixels) of each class; empty for tasks without classes.
    decoding : values of the task's decoding that follow from the data.
    wish : what the task would like of the plan.
    """

    options: Any
    outputs: int
    findings: tuple[Finding, ...] = ()
    objects: int = 0
    diameter: float | None = None
    thickness: float | None = None
    annotated: float = 1.0
    painted: tuple[tuple[int, str, int], ...] = ()
    decoding: Any = None
    wish: Hints = field(default_factory=Hints)

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
    layout : options -> what targets are and how they lie to the inputs.
    finer : options -> output pixels per input pixel along the axes where they are not 1.
    margin : diameter in px or None -> px that ``example`` needs around a patch.
    example : (x, y, region, options, rng) -> (x, target (K', *S), weight (1, *S)), all float32 and with the margin on.
    loss : (out (N, K, *S), target (N, K', *S), weight (N, 1, *S), options) -> scalar.
    decode : (maps, decoding, options) -> labels int32 (*S), or an image float32.
    score : (result, truth, region, options) -> counts that add up with + and tell all by as_dict(). Where nobody gives
        a truth, it is the input.
    headline : counts -> the figure that chooses the model, larger is better; without a truth, the loss chooses it.
    measure : what that figure is, with its unit.
    baseline : (inputs, truths, options) -> the predictions of a method without deep learning, and its name.
    tune : (list of (maps, truth, region), decoding, options) -> the decoding that does best on them.
    resample : whether patches may be turned by any angle and scaled.
    quarter : (options) -> whether an image that is turned by a quarter is one more of its kind.
    intensity : how inputs are changed while it learns; None: not at all.
    prepare : (pairs, options) -> the pairs as they are learned from.
    net : (options, pairs) -> arguments of the net that the task needs.
    views : (options, axes) -> the axes as which an image is answered, one after the other; the answer is their mean.
    starts : other tasks whose models this one can fine-tune.
    support_map : (options) -> whether the first channel holds localisations, so that support of a prediction can be shown.
    turns : in how many ways (1 to 8) an image is flipped and turned for an answer, unless a person says otherwise.
    asks : what a target is called in the window.
    alone : it can be learned from inputs without targets, too.
    own_units : target images have units of their own; else they are in the input's.
    """

    name: str
    title: str
    sentence: str
    target: Literal["labels", "image", "class", "none"]
    result: Kind
    options: type
    decoding: type
    check: Callable[[Dataset, Any], Summary]
    channels: Callable[[Any], int]
    names: Callable[[Any], tuple[str, ...]]
    margin: Callable[[float | None], int]
    example: Callable[..., tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]]
    loss: Callable[..., Any]
    decode: Callable[[NDArray[np.float32], Any, Any], NDArray[Any]]
    score: Callable[..., Any]
    selection_score: Callable[[Any], float]
    measure: str
    baseline: Callable[[Sequence[NDArray[Any]], Sequence[NDArray[Any]], Any], tuple[list[NDArray[Any]], str]]
    tune: Callable[..., Any]
    layout: Callable[[Any], Layout] = lambda options: ONE_TO_ONE
    finer: Callable[[Any], dict[str, int]] = lambda options: {}
    resample: bool = True
    quarter: Callable[[Any], bool] = lambda options: True
    intensity: Intensity | None = BRIGHTER
    prepare: Callable[[Dataset, Any], Dataset] = lambda dataset, options: dataset
    net: Callable[[Any, Dataset], dict[str, Any]] = lambda options, dataset: {}
    views: Callable[[Any, Axes], tuple[Axes, ...]] = lambda options, axes: (axes,)
    starts: tuple[str, ...] = ()
    own_units: bool = False
    alone: bool = False
    asks: str = "labels"
    support_map: Callable[[Any], bool] = lambda options: False
    turns: int = 1


def size_findings(dataset: Dataset) -> tuple[Finding, ...]:
    """What holds for the images of any task: how many, how large, and which carry no signal."""
    found = []
    sizes = [" x ".join(map(str, item.size)) for item in dataset.samples]
    kinds = sorted(set(sizes), key=sizes.count, reverse=True)
    what = ", ".join(kinds[:3]) + (", ..." if len(kinds) > 3 else "")
    n = len(sizes)
    found.append(
        Finding(
            "ok",
            f"{n} image{'s' if n > 1 else ''} of {what} px, {dataset.channels} channel{'s' if dataset.channels > 1 else ''}",
        )
    )
    found += _excluded_findings(dataset)
    tiny = [i.name for i in dataset.samples if min(i.size) < 8 and i.size[-1] < 16]
    if len(tiny) == n:
        found.append(
            Finding("error", f"The images are too small to learn from ({kinds[0]} px). At least 16 x 16 px are needed.")
        )
    flat = [i.name for i in dataset.samples if isinstance(i.x, np.ndarray) and _is_constant(i.x)]
    if len(flat) == n:
        found.append(Finding("error", "All images are constant, so there is nothing to see. Choose other images."))
    elif flat:
        found.append(
            Finding(
                "warning",
                f"{flat[0]} is constant and teaches nothing."
                if len(flat) == 1
                else f"{len(flat)} images are constant and teach nothing, {flat[0]} among them.",
                (Fix("Leave out", "leave out", tuple(flat)),),
            )
        )
    broken = [
        i.name
        for i in dataset.samples
        if isinstance(i.x, np.ndarray) and i.x.dtype.kind == "f" and not np.isfinite(i.x).all()
    ]
    if broken:
        found.append(
            Finding(
                "warning",
                f"{broken[0]}{f' and {len(broken) - 1} more images hold' if len(broken) > 1 else ' holds'} NaN or infinite values; they are read as 0 and as the extremes.",
            )
        )
    return tuple(found)


def _excluded_findings(dataset: Dataset) -> list[Finding]:
    """What is not used, and why; of many, the last ones by name only."""
    listed, more = dataset.excluded[:LISTED], dataset.excluded[LISTED:]
    found = [Finding("warning", f"Excluded: {e.reason}") for e in listed]
    if more:
        found.append(Finding("warning", f"Excluded, too ({len(more)}): {', '.join(e.name for e in more)}."))
    return found


def swap_findings(dataset: Dataset) -> tuple[Finding, ...]:
    """Images that look like labels, with labels that look like images.

    Labels are flat pieces: most neighbours are equal. Images are not, unless they are.
    """
    swapped = [
        i.name
        for i in dataset.samples
        if i.y is not None and _roughness(np.asarray(i.y)) > 0.5 and _roughness(np.asarray(i.x[0])) < 0.3
    ]
    if not swapped:
        return ()
    text = f"Image and labels of {swapped[0]} look swapped: the labels differ from pixel to pixel, the image is flat."
    return (Finding("error", text, (Fix("Swap them", "swap", tuple(swapped)),)),)


def corner_findings(dataset: Dataset, diameter: float = 0.0) -> tuple[Finding, ...]:
    """Images of which less than half holds labels: is the rest empty, or not yet annotated?

    ``diameter`` px is the margin that an object may need around it.
    """
    found: dict[str, str] = {}
    for item in dataset.samples:
        box = None if item.region is not None or item.y is None else annotated_box(np.asarray(item.y), diameter)
        if box is None:
            continue
        plane = list(zip(box, item.size, strict=True))[-2:]
        if np.prod([(s.stop - s.start) / n for s, n in plane]) < 0.5:
            found.setdefault(item.name, _where(plane))
    if not found:
        return ()
    first, where = next(iter(found.items()))
    more = f" (and of {len(found) - 1} more)" if len(found) > 1 else ""
    fixes = (
        Fix("Draw the region", "region", tuple(found), lambda y: annotated_box(y, diameter)),
        Fix("It is empty", "fine"),
    )
    text = f"Labels only in the {where} of {first}{more}: is the rest empty? If not, draw the region in which every object is labelled."
    return (Finding("warning", text, fixes),)


def annotated_box(y: NDArray[Any], margin: float = 0.0) -> tuple[slice, ...] | None:
    """The smallest box (one slice for each axis) that holds all labels and a margin in px; None where all are 0."""
    box = []
    for axis, n in enumerate(y.shape):
        where = np.flatnonzero((y > 0).any(axis=tuple(a for a in range(y.ndim) if a != axis)))
        if not len(where):
            return None
        box.append(slice(max(0, int(where[0] - margin)), min(n, int(where[-1] + 1 + margin))))
    return tuple(box)


def _where(plane: Sequence[tuple[slice, int]]) -> str:
    """In words where a box (y, x) lies in an image."""
    words = []
    for (box, n), (low, high) in zip(plane, (("upper", "lower"), ("left", "right")), strict=True):
        middle = (box.start + box.stop) / 2 / n
        words.append(low if middle < 0.4 else high if middle > 0.6 else "")
    return (" ".join(w for w in words if w) or "middle") + " part"


def _roughness(a: NDArray[Any], edge: int = 512) -> float:
    """Share of horizontal neighbours that differ, 0 to 1, in the middle of an array (*S)."""
    part = a[tuple(slice(max(0, (n - edge) // 2), (n + edge) // 2) for n in a.shape)]
    return float(np.mean(part[..., 1:] != part[..., :-1])) if part.shape[-1] > 1 else 0.0


def _is_constant(x: NDArray[Any]) -> bool:
    low, high = x.min(), x.max()
    return bool(low == high) or not np.isfinite(x).any()
