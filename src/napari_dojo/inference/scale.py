"""The scale at which a model sees an image whose objects may be larger than those that it was trained on."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo.boxes import middle
from napari_dojo.data.normalize import Normalization
from napari_dojo.data.resample import resize_labels
from napari_dojo.data.units import sizes_tell
from napari_dojo.events import Control, Event, Message, result_of
from napari_dojo.inference.geometry import Input
from napari_dojo.inference.samples import Ready, Sample, decoded, is_blank
from napari_dojo.inference.tta import Disagreement
from napari_dojo.metrics.objects import InstanceCounts
from napari_dojo.settings import at_scale

__all__ = ["at_own_scale", "scale_is_open"]

STEPS = tuple(2.0 ** (k / 2) for k in range(-4, 1))  # of the usual scale, the last of them
USUAL = len(STEPS) - 1
CALM = 0.48  # disagreement of two views, up to which the scale is not in doubt
EDGE = 512  # px of the part of an image that the network sees at each scale
SURE = 0.7  # agreement of the usual scale with the next smaller one from which on no other one is tried
MARGIN = 0.3  # by which the agreement at another scale has to be better
FEWEST = 3  # objects in which two scales agree, for another one than the usual one to be taken
LOOKED_AT = 16  # samples of a series of which the middle may be blank
COMPARED = 3  # of the thresholds of `InstanceCounts`, at which predictions are compared


def at_own_scale(
    ready: Ready, image: Input, control: Control, known: Sample | None = None
) -> Generator[Event, None, Input]:
    """The image with the zoom at which the objects that a model detects change least from one scale to the next.

    A network detects objects of the sizes that it was trained on. Of larger ones it detects pieces: others where the image is flipped, and
    others at each scale, but the same objects at all scales at which it knows their size. So where two views of the image
    disagree, objects in its middle are detected at several scales, and those of neighbouring scales are compared: average
    precision at an IoU of .5 to .7. The usual scale is kept unless another one is better by `MARGIN`, or a diameter or pixel
    sizes say what it is.

    Parameters
    ----------
    known : what is predicted for its only sample at the usual scale; None: not computed yet.

    Yields a Message where the scale changes.

    Raises
    ------
    StoppedError : where ``control`` says so.
    """
    if not scale_is_open(ready, image):
        return image
    views = _Views(ready, image, control)
    if views.blank or not views.doubtful(known) or views.agreement(USUAL - 1) >= SURE:
        return image
    scores = {k: views.score(k) + (MARGIN if k == USUAL else 0.0) for k in range(len(STEPS))}
    best = max(scores, key=lambda k: scores[k])
    if best == USUAL:
        return image
    yield Message(
        "warning",
        f"Objects look larger than those that the model was trained on: the image is scaled by {STEPS[best]:.2g}. "
        "If the result is wrong, give a diameter.",
    )
    return replace(image, zoom=image.zoom * STEPS[best])


def scale_is_open(ready: Ready, image: Input) -> bool:
    """Whether nobody says the scale of planes with objects; that of volumes is not looked for, which would take too long."""
    card = ready.card
    said = bool(ready.settings.diameter and card.diameter) or sizes_tell(image.pixel_size, card.pixel_size)
    return ready.task.result.objects and len(image.axes.spatial) == 2 and not said


@dataclass(frozen=True, eq=False)
class _Views:
    """What a model detects in the middle of an image at each scale, numbered as `STEPS`."""

    ready: Ready
    image: Input
    control: Control
    _found: dict[int, NDArray[Any]] = field(default_factory=dict)
    _alike: dict[int, InstanceCounts] = field(default_factory=dict)

    def doubtful(self, known: Sample | None) -> bool:
        """Whether two views at the usual scale disagree; True where there is one only. ``known`` : of the whole sample."""
        part = self._part(USUAL)
        if known is not None:
            self._found[USUAL] = known.values[part]
            return known.disagreement is None or known.disagreement >= CALM
        told, count = Disagreement(), self.ready.orientations
        self._found[USUAL] = self._predicted(USUAL, part, count, told)
        return count == 1 or told.mean >= CALM

    def score(self, k: int) -> float:
        """The mean agreement of a scale with its neighbours, 0 to 1; 0 where they share too few objects to tell."""
        pairs = [i for i in (k - 1, k) if 0 <= i < len(STEPS) - 1]
        return float(np.mean([self.agreement(i) if self._counts(i).detected >= FEWEST else 0.0 for i in pairs]))

    def agreement(self, k: int) -> float:
        """Of what is detected at scale ``k`` with what is at the next larger one, 0 to 1; 1 where nothing is."""
        return float(np.mean(list(self._counts(k).ap.values())[:COMPARED]))

    def _counts(self, k: int) -> InstanceCounts:
        if k not in self._alike:
            smaller, larger = self._detected(k), self._detected(k + 1)
            size = [min(pair) for pair in zip(smaller.shape, larger.shape, strict=True)]
            self._alike[k] = InstanceCounts.of(*(a[middle(a.shape, size)] for a in (smaller, larger)))
        return self._alike[k]

    def _detected(self, k: int) -> NDArray[Any]:
        """Labels (*s) of the middle at this scale, in the pixels of the image."""
        if k not in self._found:
            self._found[k] = self._predicted(k, self._part(k))
        return self._found[k]

    def _part(self, k: int) -> tuple[slice, ...]:
        return middle(self._size, round(EDGE / self._zoom(k)))

    def _predicted(
        self, k: int, part: tuple[slice, ...], views: int = 1, told: Disagreement | None = None
    ) -> NDArray[Any]:
        x = np.asarray(self._sample[(slice(None), *part)])
        clean, zoom = x if self.image.clean else self._norm.clean(x)[0], self._zoom(k)
        asked = self.ready.predictor.maps(
            clean, self._norm, zoom, self.control, None, views, back=False, disagreement=told
        )
        decoding = at_scale(self.ready.decoding, zoom ** len(self._size))
        found = decoded(self.ready.card, result_of(asked), self._norm, decoding, self.control)
        return resize_labels(found, x.shape[1:])

    def _zoom(self, k: int) -> float:
        return self.image.zoom * STEPS[k]

    @cached_property
    def _size(self) -> tuple[int, ...]:
        return self.image.axes.size(self.image.array.shape)

    @cached_property
    def _sample(self) -> Any:
        """The one in the middle, or the nearest whose middle shows something; (C, *S), perhaps lazy; None: there is none."""
        axes, array = self.image.axes, self.image.array
        count, part = axes.count(array.shape), (slice(None), *self._part(USUAL))
        nearest = sorted(range(count), key=lambda i: abs(i - count // 2))[:LOOKED_AT]
        samples = (axes.sample(array, i) for i in nearest)
        return next((x for x in samples if not is_blank(x[part])), None)

    @property
    def blank(self) -> bool:
        """Whether the image shows nothing to tell a scale by."""
        return self._sample is None

    @cached_property
    def _norm(self) -> Normalization:
        return self.image.numbers or self.ready.card.rule.measure(self._sample)
