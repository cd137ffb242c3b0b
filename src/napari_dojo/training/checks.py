"""Checks on the way: the network is scored on validation, its preview is shown, and what it makes of a place is kept."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_dojo.data.batches import Batch, Batches
from napari_dojo.data.objects import outlined
from napari_dojo.errors import DojoError
from napari_dojo.events import Control, StoppedError, Validated, result_of
from napari_dojo.inference.linking import same_numbers
from napari_dojo.inference.predict import predict_sample
from napari_dojo.io.atomic import replacing
from napari_dojo.models.watched import Watched
from napari_dojo.nets import Network
from napari_dojo.training.feed import Feed
from napari_dojo.training.judge import Judge, figures

__all__ = ["Checks", "as_good"]


class Checks:
    """What is found by looking at a network from time to time.

    ``like`` : the checks of a training on the same data, with which they share what is the same; ``folder`` : for previews.

    Attributes
    ----------
    judge : scores on validation, or on training crops where there is none.
    decoding : by which maps become a result.
    baseline : its score, None before the first check.
    last : the last check; ``score`` its figures, ``maps`` what the network predicted, ``took`` its seconds.
    watched : what the network made of one place, check by check.
    """

    def __init__(self, feed: Feed, control: Control, folder: Path, like: Checks | None = None) -> None:
        self._feed, self._control, self._folder = feed, control, folder
        split = feed.samples.split
        self.judge: Judge = feed.judge(split.validation or split.training)
        self.decoding: Any = feed.task.decoding(**feed.card.decoding)
        self.baseline: dict[str, Any] | None = like.baseline if like else None
        self.last: Validated | None = None
        self.score: dict[str, Any] = {}
        self.maps: list[NDArray[np.float32]] = []
        self.took: float = like.took if like else 0.0
        self.watched: Watched | None = None
        self._batch: Batch | None = like._batch if like else None  # of validation, for its loss
        self._number: int = like._number + 1 if like else 0  # of the trial: each has its own previews

    def check(self, net: Network, step: int, train_loss: float) -> tuple[Validated, float]:
        """Score a network; what is said of it, and the figure that is larger for better ones."""
        task, began = self._feed.task, time.monotonic()
        self.maps = self.judge.predict(net)
        score = self.judge.score(self.maps, self.decoding)
        self.took = time.monotonic() - began
        if self.baseline is None:
            self.baseline = self.judge.baseline()
        self.score = figures(score)
        self._watch(step)
        loss = self.loss(net)
        shown = loss if self._feed.samples.split.validation else None
        self.last = Validated(step, train_loss, shown, self.score, self.baseline, self._preview(net))
        return self.last, -loss if task.target is None else score.selection_score

    def loss(self, net: Network) -> float:
        """On a batch of validation crops, always the same one."""
        feed, device = self._feed, next(net.parameters()).device
        if self._batch is None or self._batch.x.device != device:
            patches = replace(feed.patches(), augment=False)
            sources = feed.completed(self.judge.sources)
            self._batch = next(Batches(sources, patches, feed.plan.batch, 1, device=device))
        with torch.inference_mode():
            return float(feed.loss(net(self._batch.x).float(), self._batch.target, self._batch.weight))

    def _watch(self, step: int) -> None:
        """Keep what the network makes of a part of the first validation image, see `Watched`."""
        result = self._feed.task.result
        if not (result.drawn or result.intensities):
            return
        source = self.judge.sources[0]
        if self.watched is None:
            image = np.asarray(source.x[(slice(None), *Watched.box(source.size))])
            self.watched = Watched(image, result.drawn)
        maps = self.maps[0][(slice(None), *Watched.box(source.size, self._feed.scale))]
        name, _, unit = str(self.score["measure"]).partition(", ")
        figure = f"{name} {self.score['selection_score']:.3g} {unit}".rstrip()
        found = self.judge.decoded(maps, self.decoding, source)
        if result.objects and self.watched.results:
            found = same_numbers(self.watched.results[-1], found)
        self.watched = self.watched.after(step, figure, found)

    def _preview(self, net: Network) -> str | None:
        """The prediction for what the user looks at, as the path of a ``.npy``; None where nothing is to be shown."""
        card, wish = self._feed.card, self._control.look or {}
        look = wish.get("image")
        if not net.dense or not look or not Path(look).exists():
            return None
        x = np.load(look, mmap_mode="r")
        if x.ndim - 1 != len(card.spatial) or len(x) != card.channels:
            return None  # it is trained on planes of the stack that is looked at
        try:
            found = result_of(predict_sample(card, self.judge.predictor(net), x, self._control, self.decoding))
        except StoppedError:
            return None
        found = outlined(found) if wish.get("outline") and self._feed.task.result.drawn else found
        path = self._folder / f"preview{self._number or ''}-{Path(look).stem.rpartition('-')[2]}.npy"
        try:
            with replacing(path, found.nbytes) as part, part.open("wb") as file:
                np.save(file, found)
        except DojoError:  # a preview is not worth a training
            return None
        return str(path)


def as_good(figure: float, best: float, score: Mapping[str, Any]) -> float:
    """The figure of a check; the best one until then where it is lower by less than the standard error of the accuracy.

    So the later of such weights are kept, which were trained for longer and at a lower rate: of 90 images three more or
    fewer that are right do not tell which network is better.
    """
    low, high = score.get("accuracy_interval", (0.0, 0.0))
    return best if best > figure > best - (high - low) / 4 else figure
