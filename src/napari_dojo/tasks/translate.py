"""Translate: one kind of image predicted from another, such as a stain from transmitted light.

(In silico labelling: Christiansen et al. 2018, Cell 173:792; label-free prediction: Ounkomol et al. 2018, Nature
Methods 15:917.) An input may have many channels or planes; several targets come out of one net.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from numpy.typing import NDArray

from napari_dojo.data.augment import Intensity
from napari_dojo.data.dataset import Dataset, Layout
from napari_dojo.data.kinds import IMAGE
from napari_dojo.metrics.images import ImageScores
from napari_dojo.settings import Option
from napari_dojo.tasks.base import Finding, Summary, Task, size_findings
from napari_dojo.tasks.denoise import ImageDecoding, decode, tune
from napari_dojo.tasks.images import best_linear, frame_findings, moved, place_findings, plain_example, score_images

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["TRANSLATE", "TranslateOptions"]


@dataclass(frozen=True)
class TranslateOptions:
    """What is fixed when a translation is learned. ``channels`` follows from the targets."""

    outputs: Annotated[
        tuple[str, ...], Option("Names", "Names of the predicted channels, in their order.", advanced=True)
    ] = ()
    error: Annotated[
        Literal["absolute", "squared", "structure"],
        Option(
            "Error",
            "What is made small: the squared error, which also shows what is only likely; the absolute error, which leaves "
            "that dark; or the absolute error of the image and of its edges.",
            advanced=True,
        ),
    ] = "squared"
    neighbours: Annotated[
        int,
        Option(
            "Neighbours",
            "Number of context planes above and below each (or frames before and after); 0: none.",
            0,
            8,
            advanced=True,
        ),
    ] = 0
    register: Annotated[
        bool, Option("Correct shifts", "Align each target with its image before training.", advanced=True)
    ] = False
    localisations: Annotated[
        bool,
        Option(
            "Localisations",
            "The first channel holds single-molecule localisations: the result includes a map of how well they support it.",
            advanced=True,
        ),
    ] = False
    channels: int = 1


def check(dataset: Dataset, options: TranslateOptions) -> Summary:
    """Do images and targets belong together."""
    channels = len(dataset.samples[0].y)
    findings = [
        *size_findings(dataset),
        *place_findings(dataset, options.register, alike=False),
        *frame_findings(dataset, each=True),
    ]
    names = options.outputs
    if names and len(names) != channels:
        text = f"{len(names)} names were given for {channels} predicted channel{'s' if channels > 1 else ''}."
        findings.append(Finding("error", text))
    elif channels > 1:
        findings.append(Finding("ok", f"{channels} images are predicted at once"))
    names = names if len(names) == channels else _names(channels)
    return Summary(
        replace(options, channels=channels, outputs=names), channels, tuple(findings), decoding=ImageDecoding()
    )


def prepare(dataset: Dataset, options: TranslateOptions) -> Dataset:
    """Targets on their inputs."""
    return moved(dataset) if options.register else dataset


def example(
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    region: NDArray[np.bool_] | None,
    options: TranslateOptions,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Input and target as they are."""
    return plain_example(x, y, region)


def loss(out: Tensor, target: Tensor, weight: Tensor, options: TranslateOptions) -> Tensor:
    """Mean absolute or squared error, or the absolute error of the image and of its slopes."""
    from napari_dojo.nets.losses import edges, l1, l2

    if options.error == "squared":
        return l2(out, target, weight)
    return l1(out, target, weight) + (edges(out, target, weight) if options.error == "structure" else 0)


def selection_score(counts: ImageScores) -> float:
    """Mean Pearson's r."""
    return counts.pearson


def _names(channels: int) -> tuple[str, ...]:
    return tuple(f"image {k + 1}" for k in range(channels))


TRANSLATE = Task(
    name="translate",
    title="Predict another image",
    sentence="From one kind of image, such as phase contrast, it predicts another, such as a fluorescent stain.",
    target="image",
    result=IMAGE,
    options=TranslateOptions,
    decoding=ImageDecoding,
    check=check,
    channels=lambda options: options.channels,
    names=lambda options: options.outputs or _names(options.channels),
    margin=lambda diameter: 0,
    example=example,
    loss=loss,
    decode=decode,
    score=score_images,
    selection_score=selection_score,
    measure="Pearson r",
    asks="image to predict",
    baseline=best_linear,
    tune=tune,
    layout=lambda options: Layout(labels=False, planes=True, reach=options.neighbours),
    resample=False,
    intensity=Intensity(gain=0.1, offset=0.05, gamma=0.0, noise=0.02),
    prepare=prepare,
    own_units=True,
    support_map=lambda options: options.localisations,
    turns=8,
)
