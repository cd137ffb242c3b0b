"""The family of tasks whose results are images: one factory, and what all of its members share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_dojo.data.dataset import Sample
from napari_dojo.data.kinds import IMAGE
from napari_dojo.data.noise import Noise, measure_noise
from napari_dojo.metrics.image_baselines import best_filter
from napari_dojo.metrics.images import ImageScores
from napari_dojo.settings import Option
from napari_dojo.tasks.base import Augmentation, Hints, Supervision, Task, as_given

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from napari_dojo.data.resident import Crops

__all__ = [
    "CONTEXT",
    "FRAMES",
    "LOSS",
    "REGISTER",
    "RESTORATION",
    "ImageDecoding",
    "image_names",
    "image_targets",
    "image_task",
    "noise_of",
    "region_record",
    "regression_loss",
    "score_images",
    "some",
]

LOOKED_AT = 12  # samples, evenly spread over all of them
# Intensities keep their meaning through a network without batch norm; many small steps: see LOG.md.
RESTORATION = Hints(arguments={"norm": False}, width=24, patch=64, pixels=8 * 64 * 64)

# Options that several tasks declare in the same words
CONTEXT = Option(
    "Context frames",
    "Number of frames or planes before and after each that are also input of the network; 0: none.",
    0,
    3,
    advanced=True,
)
FRAMES = Option(
    "Brightness",
    "Measure the brightness of a series once, or of each frame by itself (bleaching, flicker).",
    advanced=True,
    words=("whole series", "each frame"),
)
LOSS = "Loss that training minimizes: the absolute error gives sharper edges, the squared error the mean of what is likely."
REGISTER = Option("Correct shifts", "Shift each target onto its image before training.", advanced=True)

T = TypeVar("T")


@dataclass(frozen=True)
class ImageDecoding:
    """Nothing about an image can be changed after prediction."""


def image_task(**more: Any) -> Task:
    """A task whose result is an image; ``more`` : what it does differently, and fields without a common value."""
    common: dict[str, Any] = {
        "result": IMAGE,
        "decoding": ImageDecoding,
        "augmentation": no_intensity,
        "prepare": as_given,
        "supervision": Supervision(region_record, image_targets),
        "loss": regression_loss,
        "decode": decode,
        "score": score_images("psnr"),
        "baseline": best_filter,
    }
    return Task(**{**common, **more})


def image_names(channels: int) -> tuple[str, ...]:
    """Names of predicted channels that nobody named."""
    return tuple(f"image {k + 1}" for k in range(channels))


def some(samples: Sequence[T], most: int = LOOKED_AT) -> Sequence[T]:
    """At most about ``most`` of the samples, evenly spread."""
    return samples[:: max(1, -(-len(samples) // most))]


def noise_of(samples: Iterable[Sample], of: Callable[[Sample], Any]) -> list[Noise]:
    """The noise of each channel of some images; constant ones are skipped."""
    found = [measure_noise(c) for sample in samples for c in np.asarray(of(sample))]
    return [n for n in found if n.span > 0]


def no_intensity(options: Any) -> Augmentation:
    """Flips and quarter turns alone: intensities are what is predicted."""
    return Augmentation(resample=False, intensity=None)


def region_record(y: Any, region: NDArray[np.bool_] | None, options: Any) -> NDArray[np.uint8] | None:
    """1 where the annotation counts, (1, *S); None: everywhere."""
    return None if region is None else region[None].astype(np.uint8)


def image_targets(crops: Crops, options: Any, random: Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Input (N, C, *S) and target image (N, K, *S) as they are; all pixels of the region have weight 1."""
    assert crops.y is not None
    return crops.x, crops.y, crops.known()


def regression_loss(out: Tensor, target: Tensor, weight: Tensor, options: Any) -> Tensor:
    """Mean squared or absolute error, as ``options.loss`` says."""
    from napari_dojo.nets.losses import l1, l2

    return (l2 if options.loss == "squared" else l1)(out, target, weight)


def decode(maps: NDArray[np.float32], decoding: ImageDecoding, options: Any) -> NDArray[np.float32]:
    """The maps are the image."""
    return maps


def score_images(
    selected: Literal["psnr", "pearson"],
) -> Callable[[NDArray[Any], NDArray[Any], Any, Any], ImageScores]:
    """A task's ``score``: PSNR, SSIM and Pearson's r of images (K, *S), of which one selects the model."""

    def score(result: NDArray[Any], truth: NDArray[Any], region: Any, options: Any) -> ImageScores:
        return ImageScores.of(truth, result, region, selected=selected)

    return score
