"""Say what something is: one class for a whole image, a frame, or an object."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import pi
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_dojo.data.augment import Intensity
from napari_dojo.data.dataset import Dataset, Layout, Sample, Series
from napari_dojo.data.kinds import CATEGORY
from napari_dojo.data.normalize import Normalization, Rule
from napari_dojo.data.resample import fitted
from napari_dojo.metrics.classes import CategoryCounts
from napari_dojo.metrics.orientation import upright
from napari_dojo.settings import Option
from napari_dojo.tasks.base import Augmentation, Finding, Fix, Hints, Summary, Supervision, Target, Task
from napari_dojo.tasks.findings import size_findings

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from napari_dojo.data.resident import Crops

__all__ = ["CLASSIFY", "ClassifyDecoding", "ClassifyOptions", "probabilities"]

LARGEST = {2: 128, 3: 32}  # px along an axis that images are brought to
SMALLEST = 8
LOOKED_AT = 600  # images whose orientation and brightness are compared
COARSE = 16  # px that they are brought to for that
UPRIGHT = 0.1  # share of the differences between images and mirror images from which on there is an upright position
MIXED = 1.5  # ratio of the largest images to the smallest from which on they are of mixed sizes
STEADY = 1.5  # ratio of brightness between images of a class up to which it counts
RATE = 1e-3  # largest learning rate of a new network
FEW = 10  # images of a class, from which on it can be learned
LITTLE, FOLDS = 25, 5  # images of the rarest class, below which there is cross-validation, and its parts
UNEVEN = 10.0  # images of the most frequent class for one of the rarest, from which on a warning is given
ORIENTATIONS = 8  # flipped and rotated versions that a prediction is the mean of, where orientation is free
SMOOTHED = 0.05  # of the probability that targets give to all classes alike


@dataclass(frozen=True)
class ClassifyOptions:
    """Options that are fixed at training. ``values``, ``classes``, ``shape``, ``upright``, ``enlarged``, ``weights`` and
    ``side`` are found in the data: numbers and names of the classes, the size that images are brought to, whether
    orientation matters, whether small ones are enlarged, how much a sample of each class counts, and px of the image that
    the crop of an object shows (0: whole images).
    """

    orientation: Annotated[
        Literal["auto", "matters", "free"],
        Option(
            "Orientation",
            "Whether orientation distinguishes classes, as with digits; free: objects lie in every direction. Automatic: it "
            "matters where the training images have an upright position in common.",
            words=("automatic", "matters", "free"),
        ),
    ] = "auto"
    brightness: Annotated[
        Literal["auto", "matters", "ignored"],
        Option(
            "Brightness",
            "Whether brightness and colour tell classes apart, so that all images are normalised by the same numbers; "
            "ignored: each image separately. Automatic: it matters where the images of each class are of similar brightness.",
            advanced=True,
            words=("automatic", "matters", "ignored"),
        ),
    ] = "auto"
    sizes: Annotated[
        Literal["auto", "pad", "resize"],
        Option(
            "Small images",
            "Images smaller than the network's size keep their scale and are padded with their background level (pad), or "
            "are enlarged to it (resize).",
            advanced=True,
            words=("automatic", "keep their scale", "are enlarged"),
        ),
    ] = "auto"
    size: Annotated[
        int, Option("Size", "Edge length that images are brought to; 0: automatic.", 0, 1024, "px", advanced=True)
    ] = 0
    folds: Annotated[
        int,
        Option(
            "Cross-validation",
            "Number of parts of the images (or objects), each of which is predicted by a model that was trained on the others, "
            "for a score from all of them; the saved model is trained on all. It takes half of the time. 0: automatic, 5 "
            "where a class has few; 1: none.",
            0,
            20,
            "parts",
            advanced=True,
        ),
    ] = 0
    values: tuple[int, ...] = ()
    classes: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()
    upright: bool = False
    enlarged: bool = False
    weights: tuple[float, ...] = ()
    side: float = 0.0


@dataclass(frozen=True)
class ClassifyDecoding:
    """How probabilities become a class."""

    unsure: Annotated[
        float,
        Option(
            "Unsure below",
            "Images or objects whose most likely class has a lower probability get the class unsure.",
            0,
            1,
        ),
    ] = 0.0


def layout(options: ClassifyOptions) -> Layout:
    """Categories by name; the size of crops around objects once it is known."""
    return Layout(CATEGORY, classes=options.classes, size=options.shape, side=options.side)


def summarize(dataset: Dataset, options: ClassifyOptions) -> Summary:
    """Which classes there are, how often, at what size, and what would go wrong."""
    counts = Counter(int(np.asarray(s.y)) for s in dataset.samples if s.y is not None)
    counts.pop(0, None)
    values = tuple(sorted(counts))
    names = tuple(_name(v, options.classes or dataset.class_names) for v in values)
    shape, mixed = _shape(dataset, options)
    padded = options.sizes == "pad" or (options.sizes == "auto" and not (mixed and not dataset.side))
    shared = None if dataset.side else _shared(dataset, options)
    turned = _upright(dataset, options, shape, shared)
    weights = tuple((max(counts.values()) / counts[v]) ** 0.5 for v in values)
    found = replace(
        options,
        values=values,
        classes=names,
        shape=shape,
        upright=turned,
        enlarged=not padded,
        weights=weights,
        side=dataset.side,
    )
    findings = [*size_findings(dataset), *_class_findings(counts, names, dataset)]
    findings += _said(dataset, found, mixed, shared is not None)
    return Summary(
        found,
        names or ("none",),
        ClassifyDecoding(),
        tuple(sorted(findings, key=lambda f: ("ok", "warning", "error").index(f.level))),
        objects=len(dataset.samples) if dataset.side else 0,
        painted=tuple((v, n, counts[v]) for v, n in zip(values, names, strict=True)),
        shared=shared,
        hints=replace(_hints(shape, padded, turned), folds=_folds(counts, options)),
    )


def _hints(shape: tuple[int, ...], padded: bool, upright: bool) -> Hints:
    """A network that sees the whole image."""
    flat = len(shape) == 2
    arguments = {"size": list(shape), "padded": padded, "orientations": 1 if upright else ORIENTATIONS}
    fine = max(shape) < 32
    return Hints(
        "classifier",
        arguments,
        width=32,
        patch=max(shape) if flat else 0,
        pixels=0 if flat else int(np.prod(shape)) * 16,
        levels=4 if max(shape) >= 32 else 3,
        fine=fine,
        rate=RATE,
    )


def _folds(counts: Counter[int], options: ClassifyOptions) -> int:
    """Parts of a cross-validation: those asked for, else some where the rarest class has too few for a validation part."""
    several = [n for n in counts.values() if n > 1]
    if options.folds == 1 or len(several) < 2:
        return 0
    wanted = options.folds or (FOLDS if min(several) < LITTLE else 0)
    return min(wanted, sum(several))


def _name(value: int, names: Sequence[str]) -> str:
    return names[value - 1] if 0 < value <= len(names) else f"class {value}"


def _shape(dataset: Dataset, options: ClassifyOptions) -> tuple[tuple[int, ...], bool]:
    """The size that images are brought to, px, and whether they are of mixed sizes."""
    sizes = np.array([s.size for s in dataset.samples])
    usual = np.percentile(sizes, 90, axis=0)
    low, high = np.percentile(sizes.max(1), [5, 95])
    most = LARGEST[sizes.shape[1]]
    if options.size:
        usual, most = np.full(sizes.shape[1], float(options.size)), options.size
    elif usual[-2:].max() > most:
        usual[-2:] *= most / usual[-2:].max()
    return tuple(_rounded(min(n, most)) for n in usual), bool(high > MIXED * low)


def _rounded(n: float) -> int:
    """A number of px that the levels of a network halve without a rest."""
    step = 8 if n <= 32 else 16
    return max(SMALLEST, int(np.ceil(n / step - 1e-9)) * step)


def _some(dataset: Dataset) -> list[int]:
    """Samples that are looked at: all, or of many an even part."""
    return list(range(0, len(dataset.samples), max(1, -(-len(dataset.samples) // LOOKED_AT))))


def _shared(dataset: Dataset, options: ClassifyOptions) -> Normalization | None:
    """The numbers that normalise all images, where brightness matters; None: each has its own."""
    if options.brightness == "ignored":
        return None
    samples = [s for s in (dataset.samples[i] for i in _some(dataset)) if s.y is not None]
    if not samples:
        return None
    each = [Rule().measure(np.asarray(s.x)) for s in samples]
    tops = np.array([np.add(m.offset, m.scale) for m in each])
    spans = np.array([m.scale for m in each])
    types = {np.dtype(s.x.dtype) for s in samples}
    classes = np.array([int(np.asarray(s.y)) for s in samples])
    parts = [values[classes == k] for values in (tops, spans) for k in np.unique(classes)]
    alike = len(types) == 1 and all(_steady(values) for values in parts)
    if options.brightness == "matters" or alike:
        low = np.median([m.offset for m in each], 0)
        scale = np.median(tops, 0) - low
        return Normalization(tuple(map(float, low)), tuple(float(s) if s > 0 else 1.0 for s in scale))
    return None


def _steady(values: NDArray[Any]) -> bool:
    """Whether figures (n, C) of images differ little from image to image, in each channel."""
    low, high = np.percentile(values, [5, 95], axis=0)
    return bool((high <= STEADY * np.maximum(low, 1e-9)).all())


def _upright(dataset: Dataset, options: ClassifyOptions, shape: tuple[int, ...], shared: Normalization | None) -> bool:
    """Whether flips and rotations would show something else."""
    if options.orientation != "auto":
        return options.orientation == "matters"
    samples = [s for s in (dataset.samples[i] for i in _some(dataset)) if s.y is not None]
    if not samples:
        return False
    coarse = (*(min(n, COARSE) for n in shape[:-2]), *(min(COARSE, max(shape[-2:])),) * 2)
    rule = Rule(shared=shared)
    images = np.stack([fitted(s.normalization(rule).apply(np.asarray(s.x)), coarse, False) for s in samples])
    return upright(images, [int(np.asarray(s.y)) for s in samples]) > UPRIGHT


def _class_findings(counts: Counter[int], names: Sequence[str], dataset: Dataset) -> list[Finding]:
    """What is wrong with the number of images of each class."""
    what = "object" if dataset.side else "image"
    if not counts:
        return [
            Finding(
                "error",
                f"No {what} has a class. Put the images of each class into a folder of its name, and choose the folder "
                "of these folders.",
            )
        ]
    if len(counts) == 1:
        text = f"There is only one class, {names[0]}. Add {what}s of a second class."
        return [Finding("error", text)]
    listed = ", ".join(f"{n} ({counts[v]:,})" for v, n in zip(sorted(counts), names, strict=True))
    found = [Finding("ok", f"{len(counts)} classes: {listed}")]
    single = [n for v, n in zip(sorted(counts), names, strict=True) if counts[v] == 1]
    few = [n for v, n in zip(sorted(counts), names, strict=True) if 1 < counts[v] < FEW]
    if single:
        text = f"Only one {what} of {', '.join(single)}: add more, or leave the class out. No score can tell of it."
        found.append(Finding("warning", text, (Fix("Leave it", "fine"),)))
    if few:
        text = f"Fewer than {FEW} {what}s of {', '.join(few)}: add more for a model that can be relied on."
        found.append(Finding("warning", text, (Fix("Leave it", "fine"),)))
    most, least = max(counts.values()), min(counts.values())
    if most > UNEVEN * least:
        rare = names[sorted(counts).index(min(counts, key=lambda v: counts[v]))]
        text = f"{rare} is {most / least:.0f} times rarer than the most frequent class; its {what}s count more in training."
        found.append(Finding("warning", text, (Fix("Leave it", "fine"),)))
    return found


def _said(dataset: Dataset, found: ClassifyOptions, mixed: bool, shared: bool) -> list[Finding]:
    """What is done with the images before the network sees them."""
    size = " x ".join(map(str, found.shape))
    what = f"Crops of {found.side:g} px around each object are" if dataset.side else "Images are"
    how = f"{what} brought to {size} px"
    if mixed and not dataset.side:
        how += "; they are of mixed sizes, and small ones " + ("are enlarged" if found.enlarged else "keep their scale")
    turns = (
        "no flips and rotations in training, because the images have an upright position"
        if found.upright
        else "flipped and rotated by any angle in training"
    )
    said = [Finding("ok", f"{how}; {turns}", code="sizes")]
    if dataset.side:
        return said
    light = "all by the same numbers, so that brightness counts" if shared else "each by its own numbers"
    said.append(Finding("ok", f"Intensities are normalised {light}"))
    types = sorted({str(s.x.dtype) for s in dataset.samples})
    if len(types) > 1 and set(types) & {"uint8", "uint16"}:
        text = f"The images are of several data types ({', '.join(types)}); each is normalised by its own numbers."
        said.append(Finding("warning", text, (Fix("Leave it", "fine"),)))
    return said


def prepare(dataset: Dataset, options: ClassifyOptions) -> Dataset:
    """All images at the size that the network takes, cleaned and normalised as they are; those without a class are excluded."""
    known, rule = set(options.values), Rule(shared=None if dataset.side else _shared(dataset, options))

    def sample(old: Sample) -> Sample:
        made = replace(old, region=None, whole=old.whole or Series([old.x]))
        if old.size == options.shape:
            return made
        x, norm = np.asarray(old.x), made.normalization(rule)
        x = norm.invert(norm.apply(x if old.clean else norm.clean(x)[0]))
        return replace(made, x=fitted(x, options.shape, not options.enlarged), clean=True)

    samples = (s for s in dataset.samples if s.y is not None and int(np.asarray(s.y)) in known)
    return replace(dataset, samples=tuple(map(sample, samples)))


def augmentation(options: ClassifyOptions) -> Augmentation:
    """Small changes of place, size and brightness; where orientation is free also flips and all angles."""
    light = Intensity(gain=0.15, offset=0.05, gamma=0.15, noise=0.04)
    angle, zoom = (pi / 15, 0.1) if options.upright else (pi, 0.15)
    return Augmentation(intensity=light, zoom=zoom, flips=not options.upright, angle=angle, shift=0.15)


def targets(crops: Crops, options: ClassifyOptions, random: Generator) -> tuple[Tensor, Tensor, Tensor]:
    """The rank 0..K-1 of each patch's class, and how much it counts, each (N, 1)."""
    import torch

    from napari_dojo.device import constant

    assert crops.y is not None
    values = constant(tuple(options.values), torch.float32, crops.y.device)
    same = crops.y[:, None] == values[None]
    each = constant(tuple(options.weights), torch.float32, crops.y.device)
    return crops.x, same.float().argmax(1, keepdim=True).float(), (same * each).sum(1, keepdim=True)


def loss(out: Tensor, target: Tensor, weight: Tensor, options: ClassifyOptions) -> Tensor:
    """Cross-entropy with smoothed targets (Szegedy et al. 2016, arXiv:1512.00567); rare classes count more."""
    from torch.nn.functional import cross_entropy

    from napari_dojo.nets.pooled import total

    each = cross_entropy(out, target[:, 0].long(), reduction="none", label_smoothing=SMOOTHED)
    return total(each * weight[:, 0]) / total(weight).clamp(min=1e-6)


def probabilities(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits (..., K) as probabilities."""
    high = np.asarray(maps, np.float32)
    shown = np.exp(high - high.max(-1, keepdims=True))
    return np.asarray(shown / shown.sum(-1, keepdims=True), np.float32)


def decode(maps: NDArray[np.float32], decoding: ClassifyDecoding, options: ClassifyOptions) -> NDArray[np.int32]:
    """The number of the most likely class; 0 where it is less likely than is asked for: (K,) -> ()."""
    chance = probabilities(maps)
    best = int(np.argmax(chance))
    return np.asarray(options.values[best] if chance[best] >= decoding.unsure else 0, np.int32)


def score(result: NDArray[Any], truth: NDArray[Any], region: Any, options: ClassifyOptions) -> CategoryCounts:
    """Whether the class is right."""
    named = dict(zip(options.values, options.classes, strict=True))
    return CategoryCounts.of(np.ravel(truth)[0], np.ravel(result)[0], named)


def baseline(
    inputs: Sequence[NDArray[Any]], truths: Sequence[NDArray[Any]], options: ClassifyOptions
) -> tuple[list[NDArray[Any]], str]:
    """The most frequent class of the truths for each."""
    (value, _), *_ = Counter(int(np.ravel(t)[0]) for t in truths).most_common(1)
    return [np.asarray(value, np.int32) for _ in inputs], "most frequent class"


CLASSIFY = Task(
    name="classify",
    title="Say what it is",
    sentence="Each image, or each object, gets one of your classes.",
    target=Target(CATEGORY, "classes", optional=True),
    result=CATEGORY,
    options=ClassifyOptions,
    decoding=ClassifyDecoding,
    layout=layout,
    augmentation=augmentation,
    summarize=summarize,
    prepare=prepare,
    supervision=Supervision(lambda y, region, options: None, targets),
    loss=loss,
    decode=decode,
    score=score,
    baseline=baseline,
)
