"""Translate: one kind of image predicted from another, such as a stain from transmitted light.

(In silico labelling: Christiansen et al. 2018, Cell 173:792; label-free prediction: Ounkomol et al. 2018, Nature
Methods 15:917.) An input may have many channels or planes; several targets come out of one net.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal

from napari_dojo.data.augment import Intensity
from napari_dojo.data.dataset import Dataset, Layout
from napari_dojo.data.kinds import IMAGE
from napari_dojo.metrics.image_baselines import best_linear
from napari_dojo.settings import Option
from napari_dojo.tasks.alignment import moved
from napari_dojo.tasks.base import Augmentation, Finding, Summary, Target
from napari_dojo.tasks.findings import size_findings
from napari_dojo.tasks.image_findings import frame_findings, place_findings, target_findings
from napari_dojo.tasks.images import (
    CONTEXT,
    LOSS,
    REGISTER,
    ImageDecoding,
    image_names,
    image_task,
    regression_loss,
    score_images,
)

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["TRANSLATE", "TranslateOptions"]


@dataclass(frozen=True)
class TranslateOptions:
    """What is fixed at training. ``channels`` follows from the targets."""

    outputs: Annotated[
        tuple[str, ...], Option("Names", "Names of the predicted channels, in their order.", advanced=True)
    ] = ()
    loss: Annotated[
        Literal["absolute", "squared", "structure"],
        Option("Loss", f"{LOSS} Structure: the absolute error of the image and of its edges.", advanced=True),
    ] = "squared"
    context: Annotated[
        int,
        replace(
            CONTEXT, help="Number of planes or frames to each side that are also input of the network; 0: none.", high=8
        ),
    ] = 0
    register: Annotated[bool, REGISTER] = False
    localisations: Annotated[
        bool,
        Option(
            "Localisations",
            "The first channel holds single-molecule localisations: the prediction comes with a map of where they support it.",
            advanced=True,
        ),
    ] = False
    channels: int = 1


def summarize(dataset: Dataset, options: TranslateOptions) -> Summary:
    """Whether images and targets belong together."""
    channels = len(dataset.samples[0].y)
    findings = [
        *size_findings(dataset),
        *target_findings(dataset, alike=False),
        *place_findings(dataset, options.register, alike=False),
        *frame_findings(dataset, "each"),
    ]
    names = options.outputs
    if names and len(names) != channels:
        text = f"{len(names)} names were given for {channels} predicted channel{'s' if channels > 1 else ''}."
        findings.append(Finding("error", text))
    elif channels > 1:
        findings.append(Finding("ok", f"{channels} images are predicted at once"))
    names = names if len(names) == channels else image_names(channels)
    return Summary(replace(options, channels=channels, outputs=names), names, ImageDecoding(), tuple(findings))


def loss(out: Tensor, target: Tensor, weight: Tensor, options: TranslateOptions) -> Tensor:
    """Mean absolute or squared error, or the absolute error of the image and of its gradients."""
    from napari_dojo.nets.losses import edges

    found = regression_loss(out, target, weight, options)
    return found + edges(out, target, weight) if options.loss == "structure" else found


TRANSLATE = image_task(
    name="translate",
    title="Predict another image",
    sentence="Predicts one kind of image, such as a fluorescent stain, from another, such as phase contrast.",
    target=Target(IMAGE, "image to predict", own_units=True),
    options=TranslateOptions,
    layout=lambda options: Layout(IMAGE, planes=True, context=options.context, support_map=options.localisations),
    augmentation=lambda options: Augmentation(False, True, Intensity(gain=0.1, offset=0.05, gamma=0.0, noise=0.02)),
    summarize=summarize,
    prepare=lambda dataset, options: moved(dataset) if options.register else dataset,
    loss=loss,
    score=score_images("pearson"),
    baseline=best_linear,
)
