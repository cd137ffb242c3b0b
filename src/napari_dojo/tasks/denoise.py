"""Denoise with pairs: a noisy image and a clean one of the same place (CARE: Weigert et al. 2018, Nature Methods 15:1090).

Where both are noisy, the network learns the mean of what the target may be, which is the clean image just as well
(Noise2Noise: Lehtinen et al. 2018, arXiv:1803.04189).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Literal

from napari_dojo.data.dataset import Dataset, Layout
from napari_dojo.data.kinds import IMAGE
from napari_dojo.settings import Option
from napari_dojo.tasks.alignment import as_bright, moved, without_saturated
from napari_dojo.tasks.base import Summary, Target
from napari_dojo.tasks.findings import size_findings
from napari_dojo.tasks.image_findings import both_noisy, frame_findings, noise_findings, place_findings, target_findings
from napari_dojo.tasks.images import (
    CONTEXT,
    FRAMES,
    LOSS,
    REGISTER,
    RESTORATION,
    ImageDecoding,
    image_names,
    image_task,
    noise_of,
    some,
)

__all__ = ["DENOISE", "DenoiseOptions"]


@dataclass(frozen=True)
class DenoiseOptions:
    """What is fixed at training. ``channels`` follows from the images."""

    context: Annotated[int, CONTEXT] = 0
    loss: Annotated[
        Literal["automatic", "absolute", "squared"],
        Option("Loss", f"{LOSS} Automatic: squared where targets are as noisy as the images.", advanced=True),
    ] = "automatic"
    register: Annotated[bool, REGISTER] = False
    frames: Annotated[Literal["whole", "each"], FRAMES] = "whole"
    channels: int = 1


def summarize(dataset: Dataset, options: DenoiseOptions) -> Summary:
    """Whether images and targets belong together, and what noise there is."""
    looked = some(dataset.samples)
    noisy = noise_of(looked, lambda i: dataset.own(i.x))
    clean = noise_of(looked, lambda i: i.y)
    findings = [
        *size_findings(dataset),
        *target_findings(dataset, alike=True),
        *place_findings(dataset, options.register),
        *noise_findings(noisy, clean),
        *frame_findings(dataset, options.frames),
    ]
    channels = len(dataset.samples[0].y)
    if options.loss == "automatic":
        options = replace(options, loss="squared" if both_noisy(noisy, clean) else "absolute")
    return Summary(
        replace(options, channels=channels),
        image_names(channels),
        ImageDecoding(),
        tuple(findings),
        frames=options.frames,
        hints=RESTORATION,
    )


def prepare(dataset: Dataset, options: DenoiseOptions) -> Dataset:
    """Targets aligned with their inputs and as bright as these, saturated pixels excluded."""
    dataset = moved(dataset) if options.register else dataset
    return as_bright(without_saturated(dataset, lambda sample: sample.y))


DENOISE = image_task(
    name="denoise",
    title="Denoise (with pairs)",
    sentence="Removes noise. Trained on pairs of noisy and clean images.",
    target=Target(IMAGE, "clean image"),
    options=DenoiseOptions,
    layout=lambda options: Layout(IMAGE, context=options.context),
    summarize=summarize,
    prepare=prepare,
)
