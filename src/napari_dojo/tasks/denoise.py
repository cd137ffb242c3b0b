"""Denoise with pairs: a noisy image and a clean one of the same place (CARE: Weigert et al. 2018, Nature Methods 15:1090).

Where both are noisy, it learns the mean of what the target may be, which is the clean image just as well
(Noise2Noise: Lehtinen et al. 2018, arXiv:1803.04189).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_dojo.data.dataset import Dataset, Layout
from napari_dojo.data.kinds import IMAGE
from napari_dojo.metrics.images import ImageScores
from napari_dojo.settings import Option
from napari_dojo.tasks.base import Hints, Summary, Task, size_findings
from napari_dojo.tasks.images import (
    as_bright,
    best_filter,
    both_noisy,
    frame_findings,
    moved,
    noise_findings,
    noise_of,
    own,
    place_findings,
    plain_example,
    score_images,
    some,
    without_saturated,
)

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["DENOISE", "WISH", "DenoiseOptions", "ImageDecoding"]

WISH = Hints(width=24, patch=64, pixels=8 * 64 * 64)  # many small steps: see LOG.md


@dataclass(frozen=True)
class DenoiseOptions:
    """What is fixed when denoising is learned. ``channels`` follows from the images."""

    neighbours: Annotated[
        int,
        Option(
            "Neighbours",
            "Number of frames or planes before and after each that help to separate noise from signal; 0: none.",
            0,
            3,
            advanced=True,
        ),
    ] = 0
    error: Annotated[
        Literal["automatic", "absolute", "squared"],
        Option(
            "Error",
            "The loss: the absolute error, which trains faster, or the squared error, which noisy targets need.",
            advanced=True,
        ),
    ] = "automatic"
    register: Annotated[
        bool, Option("Correct shifts", "Align each target with its image before training.", advanced=True)
    ] = False
    each: Annotated[
        bool,
        Option("Scale each", "Measure the brightness of each image of a series by itself.", advanced=True),
    ] = False
    channels: int = 1


@dataclass(frozen=True)
class ImageDecoding:
    """Nothing about an image can be changed afterwards."""


def check(dataset: Dataset, options: DenoiseOptions) -> Summary:
    """Do images and targets belong together, and what noise is there."""
    looked = some(dataset.samples)
    noisy = noise_of(looked, dataset, lambda i: own(i.x, dataset))
    clean = noise_of(looked, dataset, lambda i: i.y)
    findings = [
        *size_findings(dataset),
        *place_findings(dataset, options.register),
        *noise_findings(noisy, clean),
        *frame_findings(dataset, options.each),
    ]
    channels = len(dataset.samples[0].y)
    if options.error == "automatic":
        options = replace(options, error="squared" if both_noisy(noisy, clean) else "absolute")
    return Summary(replace(options, channels=channels), channels, tuple(findings), decoding=ImageDecoding(), wish=WISH)


def prepare(dataset: Dataset, options: DenoiseOptions) -> Dataset:
    """Targets on their inputs, as bright as these, without what is saturated."""
    dataset = moved(dataset) if options.register else dataset
    return as_bright(without_saturated(dataset, lambda item: item.y))


def example(
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    region: NDArray[np.bool_] | None,
    options: DenoiseOptions,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Input and target as they are."""
    return plain_example(x, y, region)


def loss(out: Tensor, target: Tensor, weight: Tensor, options: Any) -> Tensor:
    """Mean squared or absolute error."""
    from napari_dojo.nets.losses import l1, l2

    return (l2 if options.error == "squared" else l1)(out, target, weight)


def decode(maps: NDArray[np.float32], decoding: ImageDecoding, options: Any) -> NDArray[np.float32]:
    """The maps are the image."""
    return maps


def selection_score(counts: ImageScores) -> float:
    """Mean PSNR in dB."""
    return counts.psnr


def tune(examples: Sequence[Any], decoding: ImageDecoding, options: Any) -> ImageDecoding:
    """Nothing to choose."""
    return decoding


def net(options: Any, dataset: Dataset) -> dict[str, Any]:
    """Intensities keep their meaning through the net, which adds to nothing."""
    return {"norm": False}


def layout(options: Any) -> Layout:
    """Images beside images."""
    return Layout(labels=False, reach=options.neighbours)


DENOISE = Task(
    name="denoise",
    title="Denoise (with pairs)",
    sentence="Noisy images become like the clean ones that you show it.",
    target="image",
    result=IMAGE,
    options=DenoiseOptions,
    decoding=ImageDecoding,
    check=check,
    channels=lambda options: options.channels,
    names=lambda options: tuple(f"image {k + 1}" for k in range(options.channels)),
    margin=lambda diameter: 0,
    example=example,
    loss=loss,
    decode=decode,
    score=score_images,
    selection_score=selection_score,
    measure="PSNR, dB",
    asks="clean image",
    baseline=best_filter,
    tune=tune,
    layout=layout,
    resample=False,
    intensity=None,
    prepare=prepare,
    net=net,
    starts=("noise2void",),
    turns=8,
)
