"""The model of the classroom on images: the lesson, and the image that both networks read."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from napari_dojo.playground.exercise import Exercise, load
from napari_dojo.playground.image_session import ImageSession
from napari_dojo.playground.image_settings import Content, ImageSetup
from napari_dojo.playground.images import SHIFT, read_as, shifted
from napari_dojo.widgets.classroom.lesson import BaseLesson

__all__ = ["ImageLesson"]

Image = NDArray[np.float64]


class ImageLesson(BaseLesson):
    """A lesson on images.

    Signals
    -------
    seen : the networks read another image, or the same one with other weights.

    Attributes
    ----------
    shift : (down, right), px by which the image is shifted, at most 2 to each side.
    number : which validation image is read; None: the drawing.
    known : the true class of what is read; None for a drawing, and where nothing is read.
    cnn, dense : the probabilities of the classes that both networks give, (classes,); None while nothing is drawn.
    """

    KIND = ImageSetup
    seen = Signal()
    session: ImageSession
    wanted: ImageSetup

    def __init__(self, exercise: Exercise | None = None, parent: QObject | None = None) -> None:
        self.shift = (0, 0)
        self.number: int | None = 0
        self.cnn: Image | None = None
        self.dense: Image | None = None
        self._whole: Image | None = None  # (Y, X), not shifted
        self._drawn: NDArray[np.bool_] | None = None
        super().__init__(exercise or load("digits"), parent)
        self.changed.connect(self._look_again)
        self.moved.connect(self.read)
        self._look_again()

    @property
    def content(self) -> Content:
        """What the images show."""
        return self.session.setup.images.shown

    @property
    def image(self) -> Image:
        """What the networks read, (Y, X) from 0 to 1."""
        if self._whole is None:
            return np.zeros((self.content.side, self.content.side))
        moved: Image = shifted(self._whole[None, :, :, None], np.array([self.shift]))[0, :, :, 0]
        return moved

    @property
    def known(self) -> int | None:
        """The true class."""
        if self.number is None:
            return None
        return int(self.session.data.value[self.session.data.part("validation")][self.number])

    def next_image(self, step: int = 1) -> None:
        """Read the next validation image."""
        count = self.session.data.counts[1]
        if count:
            self.number = (-1 if self.number is None else self.number + step) % count
            self._look_again()

    def read_drawing(self, drawn: NDArray[np.bool_]) -> None:
        """Read a drawing (Y, X), made to look like the images; a digit is centred and scaled."""
        self.number = None
        self._drawn = drawn
        self._whole = read_as(self.session.setup.images.content, drawn)
        self.read()

    def move(self, down: int, right: int) -> None:
        """Shift the image by some pixels; (0, 0): back to the middle."""
        if (down, right) == (0, 0):
            self.shift = (0, 0)
        else:
            y, x = (int(np.clip(s + d, -SHIFT, SHIFT)) for s, d in zip(self.shift, (down, right), strict=True))
            self.shift = (y, x)
        self.read()

    def read(self) -> None:
        """Let both networks read the image again."""
        if self._whole is None:
            self.session.read(self.image)  # empty feature maps
            self.cnn = self.dense = None
        else:
            self.cnn, self.dense = self.session.read(self.image)
        self.seen.emit()

    def _look_again(self) -> None:
        """The images may be others."""
        where = self.session.data.part("validation")
        if self.number is None and self._drawn is not None:
            self._whole = read_as(self.session.setup.images.content, self._drawn)
        if self.number is not None and self.session.data.counts[1]:
            self.number %= self.session.data.counts[1]
            self._whole = self.session.data.x[where][self.number, :, :, 0]
        self.read()
