"""A training session on images: a convolutional network and a dense one, trained side by side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_dojo.playground.activations import Array
from napari_dojo.playground.convolution import ImageNet, Pair
from napari_dojo.playground.image_settings import ImageSetup
from napari_dojo.playground.images import Images, draw_images, shifted
from napari_dojo.playground.losses import loss_gradient, point_losses
from napari_dojo.playground.trainer import Record, Score, Trainer

__all__ = ["STEPS", "ImageRecord", "ImageSession"]

LOSS = "categorical_cross_entropy"
STEPS = np.array(
    [(0, 1), (1, 0), (0, -1), (-1, 0)]
)  # right, down, left, up: in turn for images that are shifted by 1 px
MOST_SCORED = 300  # training images that are scored after each epoch


@dataclass(frozen=True)
class ImageRecord(Record):
    """The scores after an epoch: of the convolutional network, and on validation those of the dense one and on shifted images.

    ``shifted`` and ``dense_shifted`` : each validation image is shifted by 1 px to one of four sides, so that about a
    quarter goes to each.
    """

    dense: Score | None = None
    shifted: Score | None = None
    dense_shifted: Score | None = None


class ImageSession(Trainer[ImageSetup]):
    """Both networks see the same mini-batches. Scores, goals and the end of training are those of the convolutional one."""

    word = "images"
    data: Images
    net: Pair
    history: list[ImageRecord]  # type: ignore[assignment]

    def _draw(self, setup: ImageSetup) -> None:
        rng = np.random.default_rng(setup.seed)
        self.data = draw_images(setup.images, rng)
        self._x, self._targets = self.data.x, np.eye(self.data.classes)[self.data.value]
        self.setup, self._after_data = setup, rng.bit_generator.state

    def _network(self, rng: np.random.Generator) -> Pair:
        return Pair(self.setup.architecture, rng)

    def change(self, setup: ImageSetup) -> None:
        """Change the settings during training. Other images or networks reset it; all other settings do not."""
        before, self.setup = self.setup, setup
        others = (setup.images, setup.seed) != (before.images, before.seed)
        if others:
            self._draw(setup)
        if others or (setup.net, setup.attempt) != (before.net, before.attempt):
            self.reset()
            return
        self._keep_on(before.learning, False)

    def next_batch(self) -> tuple[Array, Array]:
        """Images, (n, Y, X, 1), and targets, (n, classes), of the next mini-batch, shifted at random if that is set."""
        x, target = super().next_batch()
        far = self.setup.learning.shifts
        if far:
            x = shifted(x, self._rng.integers(-far, far + 1, (len(x), 2)))
        return x, target

    def _backward(self, x: Array, target: Array) -> None:
        for net in self.net.nets:
            net.backward(loss_gradient(LOSS, "softmax", net.forward(x), target))

    # scores

    def _scores(self) -> ImageRecord:
        training, validation = self._score("training"), self._score("validation")
        where = self.data.part("validation")
        moved = by_one(self._x[where])
        rest = [
            self._of(net, x, where)
            for net, x in ((self.net.dense, self._x[where]), (self.net.cnn, moved), (self.net.dense, moved))
        ]
        return ImageRecord(self.epochs, training, validation, *rest)

    def _score(self, part: str) -> Score | None:
        where = self.data.part(part)
        if part == "training":
            where = slice(0, min(where.stop, MOST_SCORED))
        return self._of(self.net.cnn, self._x[where], where)

    def score(self, part: str) -> Score | None:
        """The score on "training" or "validation" after the last epoch, or on "test" (which counts as one look)."""
        last = self.history[-1]
        known = {"training": last.training, "validation": last.validation}
        return known[part] if part in known else super().score(part)

    def test_scores(self) -> dict[str, Score | None]:
        """On the test images: of both networks, also with the images shifted by 1 px. This counts as one look."""
        self.looks += 1
        where = self.data.part("test")
        whole = self._x[where]
        moved = by_one(whole)
        return {
            "cnn": self._of(self.net.cnn, whole, where),
            "dense": self._of(self.net.dense, whole, where),
            "cnn_shifted": self._of(self.net.cnn, moved, where),
            "dense_shifted": self._of(self.net.dense, moved, where),
        }

    def _of(self, net: ImageNet, x: Array, where: slice) -> Score | None:
        if not len(x):
            return None
        with np.errstate(all="ignore"):
            p = net.forward(x)
            loss = float(point_losses(LOSS, "softmax", net.sums, p, self._targets[where]).mean())
        return Score(len(x), loss, float((p.argmax(1) == self.data.value[where]).mean()), None)

    @property
    def own_figures(self) -> dict[str, float | None]:
        """Parameters, layers and kernels of the convolutional network, and its accuracy on shifted validation images."""
        shape, last = self.setup.architecture, self.history[-1].shifted
        return {
            "parameters": shape.parameters,
            "layers": len(shape.kernels),
            "units": sum(shape.kernels),
            "shifted": last.accuracy if last else None,
        }

    def read(self, image: Array) -> tuple[Array, Array]:
        """The probabilities, (classes,), that the convolutional and the dense network give an image (Y, X).

        The feature maps of the image are then the outputs of the networks' stages.
        """
        with np.errstate(all="ignore"):
            one, other = (net.forward(image[None, :, :, None])[0] for net in self.net.nets)
        return one, other


def by_one(x: Array) -> Array:
    """Images shifted by 1 px, in turn to the right, down, to the left and up."""
    by: NDArray[np.intp] = STEPS[np.arange(len(x)) % len(STEPS)]
    return shifted(x, by)
