"""Semantic: each pixel gets a class; a few strokes are enough to train."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_dojo.data.dataset import Dataset, Layout, Sample
from napari_dojo.data.holding import Pieces
from napari_dojo.data.kinds import CLASSES
from napari_dojo.metrics.classes import ClassCounts
from napari_dojo.settings import Option
from napari_dojo.tasks.base import Augmentation, Finding, Fix, Summary, Supervision, Target, Task, as_given
from napari_dojo.tasks.findings import corner_findings, size_findings, swap_findings
from napari_dojo.tasks.label_defects import edge_findings, label_shift_findings

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from napari_dojo.data.resident import Crops

__all__ = ["SEMANTIC", "SemanticDecoding", "SemanticOptions"]

MOST = 255  # classes
MARGIN = 512  # px around a block of a large image that are looked at for small regions at most
BANDS = 5  # of each class and image, of which one in five is held out
MANY = 20  # classes; beyond it they are probably objects
_ZERO_IS_BACKGROUND = Fix("0 is background", "option", value=("zero", "background"))
_OBJECTS = Fix("Find objects instead", "task", value="instances")


@dataclass(frozen=True)
class SemanticOptions:
    """What is fixed at training. ``values`` are the label numbers of the classes, found in the data."""

    zero: Annotated[
        Literal["unlabelled", "background"],
        Option(
            "Label 0",
            "The meaning of label 0: not annotated, or a class (fully annotated images).",
            words=("not annotated", "background"),
            of_data=True,
        ),
    ] = "unlabelled"
    classes: Annotated[tuple[str, ...], Option("Classes", "Names of the classes, in the order of their numbers.")] = ()
    values: tuple[int, ...] = ()


@dataclass(frozen=True)
class SemanticDecoding:
    """How maps become classes."""

    minimum_area: Annotated[
        float, Option("Minimum area", "Smaller regions take the class around them.", 0, 1e9, "px", counted=True)
    ] = 0.0

    @property
    def margin(self) -> int:
        """How far around a place its class depends on the maps, px: whether a region is small shows within its area."""
        return min(MARGIN, 2 * ceil(self.minimum_area)) if self.minimum_area > 1 else 0


def summarize(dataset: Dataset, options: SemanticOptions) -> Summary:
    """Find the classes and how much of them is painted."""
    inside = _inside(dataset)
    counts = _painted(inside, options)
    values = options.values or tuple(sorted(counts))
    painted = sum(counts.values()) / max(sum(np.size(item.y) for item in dataset.samples), 1)
    findings = [*size_findings(dataset), *swap_findings(dataset), *edge_findings(dataset, classes=True)]
    findings += _class_findings(values, options)
    names = _names(options, values)
    if len(names) != len(values):
        numbers = ", ".join(map(str, values))
        said = f"{len(names)} class names were given, but the labels have {len(values)} classes: {numbers}."
        findings.append(Finding("error", said, (Fix("Rename them", "option", value=("classes", ())),)))
        names = _names(replace(options, classes=()), values)
    if 1 < len(values) <= MOST:
        findings += _zero_findings(inside, options)
        if options.zero == "background":
            findings += [*corner_findings(dataset), *label_shift_findings(dataset)]
    for v, name in zip(values, names, strict=True):
        if 0 < counts.get(v, 0) < 50:
            findings.append(Finding("warning", f"{name} has only {counts[v]} annotated pixels; paint more of it."))
    if counts and len(values) <= MOST:
        shares = [counts.get(v, 0) / sum(counts.values()) for v in values]
        share = ", ".join(f"{name} {part:.0%}" for name, part in zip(names, shares, strict=True))
        findings.append(Finding("ok", f"{painted:.1%} of the pixels annotated: {share}"))
    return Summary(
        replace(options, values=values, classes=names),
        names if len(values) > 1 else (*names, "other"),
        SemanticDecoding(),
        tuple(findings),
        annotated=painted,
        painted=tuple((v, name, counts.get(v, 0)) for v, name in zip(values, names, strict=True)),
    )


def _zero_findings(inside: Mapping[int, int], options: SemanticOptions) -> list[Finding]:
    """Where label 0 probably means the other of its two meanings; ``inside`` : see `_inside`."""
    zero = inside.get(0, 0) / max(sum(inside.values()), 1)
    if options.zero == "unlabelled" and 0 < zero < 0.8:
        text = f"0 covers {zero:.0%} of the pixels and counts as not annotated. Or is it the background?"
        return [Finding("warning", text, (_ZERO_IS_BACKGROUND, Fix("Not annotated", "fine")))]
    if options.zero == "background" and zero > 0.9 and sum(v > 0 for v in inside) > 1:
        text = f"0 covers {zero:.0%} of the pixels and counts as background. Or is it not annotated?"
        fix = Fix("Not annotated", "option", value=("zero", "unlabelled"))
        return [Finding("warning", text, (fix, Fix("Background", "fine")))]
    return []


def doubts(dataset: Dataset, options: SemanticOptions) -> list[str]:
    """Whether label 0 of a ground truth, said to be the background, is no class of the model, or probably not annotated."""
    if options.zero == "unlabelled":
        return []
    inside = _inside(dataset)
    if 0 not in inside:
        return []
    if 0 not in options.values:
        return ["0 is said to be the background, but it is no class of the model: these pixels are not scored."]
    found = _zero_findings(inside, options)
    return [f"{finding.text} Then say so with --zero unlabelled." for finding in found]


def _inside(dataset: Dataset) -> dict[int, int]:
    """Pixels of each label number in the regions, 0 among them."""
    counts: dict[int, int] = {}
    for item in dataset.samples:
        y = np.asarray(item.y)
        found, n = np.unique(y if item.region is None else y[item.region], return_counts=True)
        for v, k in zip(found, n, strict=True):
            counts[int(v)] = counts.get(int(v), 0) + int(k)
    return counts


def _painted(inside: Mapping[int, int], options: SemanticOptions) -> dict[int, int]:
    """Annotated pixels of each label number."""
    return {v: n for v, n in inside.items() if v or options.zero == "background"}


def _class_findings(values: Sequence[int], options: SemanticOptions) -> list[Finding]:
    """What is wrong with the number of classes."""
    n = len(values)
    if n == 0:
        more = "Paint at least two classes, or say that 0 is the background."
        return [Finding("error", f"Nothing is annotated: all labels are 0, which means not annotated. {more}")]
    if n == 1:
        why = "" if options.zero == "background" else ", or say that 0 is the background"
        more = f"Paint a second class (the background is a class like the others){why}."
        fixes = () if options.zero == "background" else (_ZERO_IS_BACKGROUND,)
        return [Finding("error", f"Only one class is annotated (number {values[0]}). {more}", fixes)]
    if n > MOST:
        more = "as classes that is too many. Are these objects? Then find every object instead."
        return [Finding("error", f"The labels hold {n} different values; {more}", (_OBJECTS,))]
    if n > MANY:
        more = "Are these objects? Then find every object instead."
        return [Finding("warning", f"The labels hold {n} different values. {more}", (_OBJECTS, Fix("Classes", "fine")))]
    return []


def record(y: NDArray[Any], region: NDArray[np.bool_] | None, options: SemanticOptions) -> NDArray[np.uint8]:
    """The class 1..K of each pixel, 0 where it is not known: (*S) -> (1, *S)."""
    index, known = _index(y, options.values)
    if region is not None:
        known = known & region
    return np.where(known, index + 1, 0)[None].astype(np.uint8)


def targets(crops: Crops, options: SemanticOptions, random: Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Class index 0..K-1 and where it is known, each (N, 1, *S)."""
    assert crops.record is not None
    known = crops.record > 0
    return crops.x, (crops.record.float() - 1).clamp_(min=0), known.float()


def pieces(sample: Sample, options: SemanticOptions) -> Pieces:
    """Each class in five bands of equal size across the image: strokes may be few and long."""
    index, known = _index(np.asarray(sample.y), options.values)
    known = known if sample.region is None else known & sample.region
    numbers, strata = np.zeros(known.shape, np.int64), {}
    for k in range(len(options.values)):
        mine = np.flatnonzero(known & (index == k))
        for band, pixels in enumerate(np.array_split(mine, BANDS)):
            if len(pixels):
                numbers.ravel()[pixels] = 1 + BANDS * k + band
                strata[1 + BANDS * k + band] = k
    return Pieces(numbers, strata)


def loss(out: Tensor, target: Tensor, weight: Tensor, options: SemanticOptions) -> Tensor:
    """Cross-entropy and half of soft Dice over the annotated pixels."""
    from torch.nn.functional import one_hot

    from napari_dojo.nets.losses import cross_entropy, soft_dice

    hot = one_hot(target[:, 0].long(), out.shape[1]).movedim(-1, 1).to(out.dtype)
    return cross_entropy(out, target, weight) + 0.5 * soft_dice(out.softmax(1), hot, weight)


def decode(maps: NDArray[np.float32], decoding: SemanticDecoding, options: SemanticOptions) -> NDArray[np.int32]:
    """The class with the largest logit, as its label number; (K, *S) -> (*S)."""
    index = np.argmax(maps, axis=0)
    if decoding.minimum_area > 1:
        index = _without_specks(index, maps, decoding.minimum_area)
    return np.asarray(options.values, np.int32)[index]


def score(result: NDArray[Any], truth: NDArray[Any], region: Any, options: SemanticOptions) -> ClassCounts:
    """Confusion of the annotated pixels."""
    if options.zero == "unlabelled":
        region = (truth != 0) if region is None else region & (truth != 0)
    return ClassCounts.of(truth, result, dict(zip(options.values, options.classes, strict=True)), region)


def baseline(
    inputs: Sequence[NDArray[Any]], truths: Sequence[NDArray[Any]], options: SemanticOptions
) -> tuple[list[NDArray[Any]], str]:
    """The most frequent class of the truths, everywhere."""
    frequent = np.zeros(len(options.values), np.int64)
    for truth in truths:
        index, known = _index(truth, options.values)
        known = known & (truth != 0) if options.zero == "unlabelled" else known
        frequent += np.bincount(index[known].ravel(), minlength=len(frequent))
    value = options.values[int(np.argmax(frequent))]
    return [np.full(x.shape[1:], value, np.int32) for x in inputs], "most frequent class"


def _names(options: SemanticOptions, values: Sequence[int]) -> tuple[str, ...]:
    if options.classes:
        return options.classes
    return tuple("background" if v == 0 else f"class {v}" for v in values)


def _index(y: NDArray[Any], values: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Class index 0..K-1 of each pixel (0 where unknown), and where it is known."""
    wanted = np.asarray(values)
    index = np.searchsorted(wanted, y).clip(0, len(wanted) - 1)
    known = wanted[index] == y
    return np.where(known, index, 0), known


def _without_specks(index: NDArray[Any], maps: NDArray[np.float32], smallest: float) -> NDArray[Any]:
    from scipy import ndimage as ndi

    small = np.zeros(index.shape, bool)
    for k in range(len(maps)):
        pieces, _ = ndi.label(index == k)
        few = np.bincount(pieces.ravel()) < smallest
        few[0] = False
        small |= few[pieces]
    if not small.any() or small.all():
        return index
    nearest = ndi.distance_transform_edt(small, return_distances=False, return_indices=True)
    return index[tuple(nearest)]


SEMANTIC = Task(
    name="semantic",
    title="Sort pixels into classes",
    sentence="Each pixel gets one of your classes.",
    target=Target(CLASSES, "labels", doubts=doubts),
    result=CLASSES,
    options=SemanticOptions,
    decoding=SemanticDecoding,
    layout=lambda options: Layout(CLASSES),
    augmentation=lambda options: Augmentation(),
    summarize=summarize,
    prepare=as_given,
    supervision=Supervision(record, targets, pieces=pieces),
    loss=loss,
    decode=decode,
    score=score,
    baseline=baseline,
)
