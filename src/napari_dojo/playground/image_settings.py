"""The settings of a classroom session on images: a convolutional network beside a dense one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal

from napari_dojo.errors import DojoError
from napari_dojo.playground.settings import BaseSetup, Learning, units_of
from napari_dojo.settings import Option

__all__ = ["CONTENTS", "KERNEL", "Architecture", "Cnn", "Content", "ImageLearning", "ImageSet", "ImageSetup"]

KERNEL = 3  # px of a kernel along each side
MOST_KERNELS, MOST_LAYERS = 32, 3


@dataclass(frozen=True)
class Content:
    """What images show: a word for one of it, the names of the classes, px along each side, and how many images there are."""

    word: str
    classes: tuple[str, ...]
    side: int
    count: int


CONTENTS = {
    "digits": Content("digit", tuple("0123456789"), 12, 1797),
    "cells": Content("cell", ("smooth", "granular", "spindle", "lobed"), 16, 1200),
}


@dataclass(frozen=True)
class ImageSet:
    """The images: handwritten digits, 8 x 8 px in the middle of 12 x 12, or simulated cells of four types, 16 x 16 px."""

    content: Annotated[Literal["digits", "cells"], Option("Images", "What the images show.")] = "digits"
    training: Annotated[int, Option("Training", "Number of images that the weights are fitted to.", 10, 1797)] = 1197
    validation: Annotated[
        int,
        Option("Validation", "Number of images used to compare settings; no weight is fitted to them.", 0, 500),
    ] = 300
    test: Annotated[int, Option("Test", "Number of images for the final score.", 0, 500)] = 300

    def __post_init__(self) -> None:
        if self.training + self.validation + self.test > self.shown.count:
            raise DojoError(
                f"There are {self.shown.count} images; {self.training} + {self.validation} + {self.test} are more. "
                "Use fewer for training."
            )

    @property
    def shown(self) -> Content:
        """What the images show."""
        return CONTENTS[self.content]


@dataclass(frozen=True)
class Cnn:
    """The architecture of both networks. Each convolution layer is 3 x 3 with ReLU; the output is softmax."""

    kernels: Annotated[
        tuple[int, ...],
        Option(
            "Kernels",
            f"Number of kernels of each convolution layer, such as 8,16; up to {MOST_LAYERS} layers of {MOST_KERNELS}.",
        ),
    ] = (8, 16)
    pooling: Annotated[
        Literal["max", "global", "none"],
        Option("Pooling", "How feature maps become smaller."),
    ] = "max"
    hidden: Annotated[
        tuple[int, ...], Option("Dense network", "Units of each hidden layer of the dense network, such as 17.")
    ] = (17,)

    def __post_init__(self) -> None:
        object.__setattr__(self, "kernels", _kernels(self.kernels))
        object.__setattr__(self, "hidden", units_of(self.hidden))


@dataclass(frozen=True)
class Architecture(Cnn):
    """Both networks for images of a certain size and number of classes."""

    side: int = CONTENTS["digits"].side
    classes: int = len(CONTENTS["digits"].classes)

    @property
    def sides(self) -> tuple[int, ...]:
        """The side length of the feature maps of each convolution layer, before pooling."""
        return tuple(self.side >> (i if self.pooling == "max" else 0) for i in range(len(self.kernels)))

    @property
    def features(self) -> int:
        """Numbers that the output layer of the convolutional network receives."""
        side = {"max": self.sides[-1] // 2, "global": 1, "none": self.side}[self.pooling]
        return self.kernels[-1] * side**2

    @property
    def convolutions(self) -> tuple[tuple[int, int], ...]:
        """(input channels, kernels) of each convolution layer."""
        return tuple(pairwise((1, *self.kernels)))

    @property
    def dense_widths(self) -> tuple[tuple[int, int], ...]:
        """(inputs, units) of each layer of the dense network."""
        return tuple(pairwise((self.side**2, *self.hidden, self.classes)))

    @property
    def parameters(self) -> int:
        """The number of weights and biases of the convolutional network."""
        shared = sum(KERNEL**2 * before * kernels + kernels for before, kernels in self.convolutions)
        return shared + self.features * self.classes + self.classes

    @property
    def work(self) -> int:
        """Multiplications for one image, of both networks."""
        layers = zip(self.convolutions, self.sides, strict=True)
        convolved = sum(KERNEL**2 * before * kernels * side**2 for (before, kernels), side in layers)
        return convolved + self.features * self.classes + self.dense_parameters

    @property
    def dense_parameters(self) -> int:
        """The number of weights and biases of the dense network."""
        return sum(before * units + units for before, units in self.dense_widths)


@dataclass(frozen=True)
class ImageLearning(Learning):
    """How both networks are trained."""

    loss: Annotated[Literal["categorical_cross_entropy"], Option("Loss", "The function that training minimizes.")] = (
        "categorical_cross_entropy"
    )
    optimizer: Annotated[
        Literal["sgd", "momentum", "rmsprop", "adam"],
        Option("Optimizer", "How a gradient becomes a change of the weights."),
    ] = "adam"
    learning_rate: Annotated[float, Option("Learning rate", "The step size of the optimizer.", 0, 1e12)] = 0.005
    epochs: Annotated[int, Option("Epochs", "Number of passes through all training images.", 1, 100_000)] = 15
    dropout: Annotated[float, Option("Dropout", "These networks have none.", 0, 0)] = 0.0
    shifts: Annotated[
        int,
        Option(
            "Random shifts", "Shift each training image by up to this many pixels, at random, in each update.", 0, 2
        ),
    ] = 0


@dataclass(frozen=True)
class ImageSetup(BaseSetup):
    """All settings of a session on images."""

    PARTS: ClassVar = ("images", "net", "learning")

    images: ImageSet = field(default_factory=ImageSet)
    net: Cnn = field(default_factory=Cnn)
    learning: ImageLearning = field(default_factory=ImageLearning)
    seed: int = 0
    attempt: int = 0

    @property
    def architecture(self) -> Architecture:
        """Both networks for these images."""
        shown = self.images.shown
        return Architecture(**vars(self.net), side=shown.side, classes=len(shown.classes))

    @property
    def parameters(self) -> int:
        """The number of weights and biases of the convolutional network."""
        return self.architecture.parameters

    @property
    def work(self) -> int:
        """Multiplications for one image, of both networks."""
        return self.architecture.work

    @property
    def all_parameters(self) -> int:
        """The number of weights and biases of both networks."""
        return self.architecture.parameters + self.architecture.dense_parameters


def _kernels(given: Iterable[Any]) -> tuple[int, ...]:
    """One to three numbers of kernels."""
    texts = [str(n).strip() for n in given]
    kernels = tuple(int(t) for t in texts if t.isdecimal() and 1 <= int(t) <= MOST_KERNELS)
    if len(kernels) != len(texts) or not 1 <= len(kernels) <= MOST_LAYERS:
        raise DojoError(
            f"Kernels must be one to {MOST_LAYERS} whole numbers from 1 to {MOST_KERNELS}, such as 8,16; "
            f"got {','.join(texts)[:60]}."
        )
    return kernels
