"""What a task is: a frozen value of plain functions. The rest of the program knows no task by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import pi
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_dojo.data.augment import Intensity
from napari_dojo.data.dataset import Dataset, Layout, Sample
from napari_dojo.data.holding import Pieces
from napari_dojo.data.kinds import Kind
from napari_dojo.data.normalize import Normalization
from napari_dojo.metrics.base import Score

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from napari_dojo.data.resident import Crops

__all__ = [
    "Augmentation",
    "Completion",
    "Degradation",
    "Example",
    "Finding",
    "Fix",
    "Hints",
    "Summary",
    "Supervision",
    "Target",
    "Task",
    "as_given",
]


@dataclass(frozen=True)
class Fix:
    """A fix that the window applies at one click; the task says it in plain values and functions.

    Attributes
    ----------
    label : on the button.
    kind, value : what it does, and with what.
        "relabel": a function of a whole labels array that gives a new one; "region": one that gives the annotated box (slices) as a
        first guess; "show": a function of an image (C, *S) that gives one to look at; "option": name and value of an option of the
        task; "task": the name of another task; "mark": places (n, dims) px by sample; "try", "start": the path of a model that is
        applied, or fine-tuned.
        Without a value: "swap": image and labels change places; "exclude": the samples are not trained on; "correct", "take": a
        prediction is corrected, or taken as it is; "fine": what was asked is as it should be.
    samples : names of the samples concerned; empty: all.
    """

    label: str
    kind: Literal[
        "relabel",
        "region",
        "swap",
        "option",
        "task",
        "exclude",
        "correct",
        "take",
        "show",
        "mark",
        "try",
        "start",
        "fine",
    ]
    samples: tuple[str, ...] = ()
    value: Any = None


@dataclass(frozen=True)
class Finding:
    """One line of the check before training: ``level`` is "ok", "warning" or "error" (training cannot start).

    ``code`` tells findings apart that a window treats differently; "" for all others.
    """

    level: Literal["ok", "warning", "error"]
    text: str
    fixes: tuple[Fix, ...] = ()
    code: str = ""


@dataclass(frozen=True)
class Target:
    """What a person gives beside an input.

    Attributes
    ----------
    kind : what it is.
    word : what it is called, in the singular or as a mass noun: "labels", "clean image".
    optional : a model can be trained from inputs alone, too.
    own_units : its intensities have units of their own; else they are in the input's.
    doubts : (dataset, options) -> sentences, where targets do not look annotated as the options say.
    """

    kind: Kind
    word: str
    optional: bool = False
    own_units: bool = False
    doubts: Callable[[Dataset, Any], list[str]] = lambda dataset, options: []


@dataclass(frozen=True)
class Augmentation:
    """How crops are changed while training.

    Attributes
    ----------
    resample : they are rotated by any angle and scaled; else only flipped and rotated by quarter turns.
    quarter : an image rotated by 90 degrees is one more image of its kind (not so where noise comes in lines).
    intensity : how the intensities of inputs are changed; None: not at all.
    zoom : largest change of size, as a half width of the logarithm.
    flips : they are flipped.
    angle : largest angle that they are rotated by, in radians.
    shift : largest shift of crops that show all of a sample, as a share of their edge.
    """

    resample: bool = True
    quarter: bool = True
    intensity: Intensity | None = field(default_factory=Intensity)
    zoom: float = 0.3
    flips: bool = True
    angle: float = pi
    shift: float = 0.0


@dataclass(frozen=True)
class Hints:
    """What a task would like of the plan; 0 leaves it to the plan.

    Attributes
    ----------
    network : the network's name in `napari_dojo.nets`.
    arguments : of the network, where the task needs them.
    width : feature maps of the finest level, on a CPU.
    patch : edge of the patches in a plane, px.
    pixels : input pixels of one update, on a CPU.
    levels : of the network.
    fine : work on the pixels, not on cells of 2 x 2.
    validation : share of the images for validation, where a person does not choose it; None: the usual.
    rate : largest learning rate of a new network.
    folds : parts of a cross-validation, where a person does not choose what is for validation; 0: none.
    """

    network: str = "unet"
    arguments: Mapping[str, Any] = field(default_factory=dict)
    width: int = 0
    patch: int = 0
    pixels: int = 0
    levels: int = 0
    fine: bool = False
    validation: float | None = None
    rate: float = 0.0
    folds: int = 0


@dataclass(frozen=True)
class Summary:
    """What was understood of the training data.

    Attributes
    ----------
    options : the task's options, completed from the data (classes, diameter).
    maps : names of the K maps that the network predicts.
    decoding : the task's decoding, completed from the data.
    findings : what to tell the user, worst last.
    objects : number of labelled objects.
    diameter : their median diameter in px (of a disc or ball of the same size); None where there are no objects.
    thickness : median of the largest inscribed diameter, px; thin objects need a network that works on the pixels.
    annotated : share of the pixels with an annotation, 0 to 1.
    painted : (label number, name, annotated pixels) of each class; empty for tasks without classes.
    frames : "whole" measures the intensities of a series once, "each" frame by frame.
    shared : the numbers that normalise all images, where their brightness tells something; None: each has its own.
    hints : what the task would like of the plan.
    """

    options: Any
    maps: tuple[str, ...]
    decoding: Any
    findings: tuple[Finding, ...] = ()
    objects: int = 0
    diameter: float | None = None
    thickness: float | None = None
    annotated: float = 1.0
    painted: tuple[tuple[int, str, int], ...] = ()
    frames: Literal["whole", "each"] = "whole"
    shared: Normalization | None = None
    hints: Hints = field(default_factory=Hints)

    @property
    def errors(self) -> tuple[str, ...]:
        """Why training cannot start."""
        return tuple(f.text for f in self.findings if f.level == "error")

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should look at."""
        return tuple(f.text for f in self.findings if f.level == "warning")


@dataclass(frozen=True, eq=False)
class Example:
    """A training part whose annotation is completed.

    Attributes
    ----------
    x : (C, *S) float32, normalised; ``y``, ``region`` : as a person gave them, (*S).
    maps : what the network predicts for it, (K, *S); None before it has learned anything.
    """

    x: NDArray[np.float32]
    y: NDArray[Any]
    region: NDArray[np.bool_] | None
    maps: NDArray[np.float32] | None


@dataclass(frozen=True)
class Completion:
    """How annotation that leaves much open is completed, so that it can be trained on.

    Attributes
    ----------
    complete : (all training parts, options) -> of each the targets (*S), and where they are known, bool (*S).
    at : shares of the training after which that is done again, with the maps of the averaged network.
    """

    complete: Callable[[Sequence[Example], Any], list[tuple[NDArray[Any], NDArray[np.bool_]]]]
    at: tuple[float, ...]


Degradation = Callable[[NDArray[np.float32], np.random.Generator], NDArray[np.float32]]


@dataclass(frozen=True)
class Supervision:
    """How what a person gave becomes what the network is to predict.

    Attributes
    ----------
    record : (y, region, options) -> what is kept with each pixel of a sample, (R, *S) of one byte each, made once for the
        whole sample and cut with it; None: nothing, and all of the sample is known. ``region`` (*S) or None.
    targets : (crops, options, random) -> (x (N, C, *S), target (N, K', *S), weight (N, 1, *S)), float32, for a whole batch
        on its device; crops come flipped, rotated and scaled.
    decoded : how many of the first maps `Task.decode` uses, the others being there for training alone; 0: all.
    completion : options -> how annotation is completed before records are made of it; None: it is complete.
    pieces : (sample, options) -> what of the annotation belongs together where some of it is held out; None: it cannot be.
    degraded : options -> (x (C, *S), random) -> x as `targets` degrades it for training, for validation; None: it does not.
    """

    record: Callable[[Any, NDArray[np.bool_] | None, Any], NDArray[Any] | None]
    targets: Callable[[Crops, Any, Generator], tuple[Tensor, Tensor, Tensor]]
    decoded: int = 0
    completion: Callable[[Any], Completion | None] = lambda options: None
    pieces: Callable[[Sample, Any], Pieces] | None = None
    degraded: Callable[[Any], Degradation | None] = lambda options: None


@dataclass(frozen=True)
class Task:
    """One kind of problem, answered by plain functions. Arrays: ``x`` (C, *S), ``maps`` (K, *S), float32.

    Attributes
    ----------
    name, title, sentence : for flags, menus and people.
    target : what a person gives; None where a model is trained from inputs alone.
    result : what comes back.
    options : frozen dataclass of what is fixed at training; ``decoding`` : of what may change after prediction.
    layout : options -> how targets lie to inputs, and predictions to images.
    augmentation : options -> how crops are changed while training.
    summarize : (dataset, options) -> Summary.
    prepare : (dataset, options) -> the dataset as it is trained on.
    supervision : how targets are made for whole batches.
    loss : (out (N, K, *S), target (N, K', *S), weight (N, 1, *S), options) -> scalar tensor.
    decode : (maps, decoding, options) -> labels int32 (*S), or an image float32 (K, *S).
    score : (result, ground truth, region, options) -> a `napari_dojo.metrics.base.Score`. Without a target, the ground
        truth is the input.
    baseline : (inputs, ground truths, options) -> results of a method that is not trained, and the method's name.
    """

    name: str
    title: str
    sentence: str
    target: Target | None
    result: Kind
    options: type
    decoding: type
    layout: Callable[[Any], Layout]
    augmentation: Callable[[Any], Augmentation]
    summarize: Callable[[Dataset, Any], Summary]
    prepare: Callable[[Dataset, Any], Dataset]
    supervision: Supervision
    loss: Callable[..., Tensor]
    decode: Callable[[NDArray[np.float32], Any, Any], NDArray[Any]]
    score: Callable[[NDArray[Any], NDArray[Any], Any, Any], Score]
    baseline: Callable[[Sequence[NDArray[Any]], Sequence[NDArray[Any]], Any], tuple[list[NDArray[Any]], str]]


def as_given(dataset: Dataset, options: Any) -> Dataset:
    """A task's ``prepare`` that changes nothing."""
    return dataset
