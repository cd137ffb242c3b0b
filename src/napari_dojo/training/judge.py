"""How good the network is while it is trained: scores on validation and test crops, the baseline, tuning, calibration."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo.data.batches import Source
from napari_dojo.data.resample import on_grid_of
from napari_dojo.data.resident import Crops
from napari_dojo.data.split import Crop
from napari_dojo.device import Device
from napari_dojo.events import Control, result_of
from napari_dojo.inference.predict import decoded
from napari_dojo.inference.predictor import Predictor
from napari_dojo.inference.tta import orientations
from napari_dojo.metrics.base import Score, pool
from napari_dojo.models.card import Card
from napari_dojo.nets import Network
from napari_dojo.settings import at_scale, fields_of
from napari_dojo.tasks import Task

__all__ = ["Judge", "figures", "some_crops"]

CALIBRATED = 500_000  # pixels on which errors are compared with the uncertainty
TUNED = 1.5e6  # pixels on which decodings are compared
SHARPEST, SOFTEST = 4.0, 8.0  # temperatures that are tried: 1 / the first to the second
GAIN = 0.003  # by which a decoding must be better to replace the one before


@dataclass(frozen=True, eq=False)
class Judge:
    """Crops whose ground truth is known, and how results are scored on them.

    ``card`` says how the network's maps become a result.
    """

    task: Task
    options: Any
    card: Card
    device: Device
    sources: tuple[Source, ...]

    def predict(self, net: Network) -> list[NDArray[np.float32]]:
        """Maps (K, *S) of each crop: of labels over as many views as a prediction, of images, which take eight, of one."""
        kind, predictor = self.task.result, self.predictor(net)
        views = 1 if kind.intensities else self._orientations(predictor, kind.tta)
        pairs = zip(self._inputs, self.sources, strict=True)
        return [result_of(predictor.maps(x, source.norm, views=views)) for x, source in pairs]

    def predictor(self, net: Network) -> Predictor:
        """The network as its model applies it."""
        return Predictor(net, self.device, maps=self.task.supervision.decoded, lowered=not self.task.result.intensities)

    def _orientations(self, predictor: Predictor, wanted: int) -> int:
        return orientations(wanted, predictor.stride, predictor.scale, self.task.augmentation(self.options).quarter)

    def score(self, maps: Sequence[NDArray[np.float32]], decoding: Any) -> Score:
        """The pooled score of the crops' maps (K, *S), decoded so."""
        pairs = zip(self.sources, maps, strict=False)
        return pool([self._score(self.decoded(m, decoding, source), source) for source, m in pairs])

    def baseline(self) -> dict[str, Any]:
        """Figures of the task's baseline, and its name as "method"."""
        inputs = [self.card.own(np.asarray(x)) for x in self._inputs]
        results, method = self.task.baseline(inputs, [self.truth(s) for s in self.sources], self.options)
        score = pool([self._score(found, source) for source, found in zip(self.sources, results, strict=True)])
        return {**figures(score), "method": method}

    def tuned(
        self, maps: Sequence[NDArray[np.float32]], decoding: Any, also: Callable[[Any], float] = lambda decoding: 0.0
    ) -> Any:
        """The decoding that scores best on validation: each value that declares ``trials``, one after the other.

        ``also`` : a further score of a decoding, which counts against another one, but alone speaks for none.
        """
        few = replace(self, sources=tuple(_first(self.sources, TUNED)))
        best, here, there = decoding, few.score(maps, decoding).selection_score, also(decoding)
        for field in reversed(fields_of(type(decoding))):
            for value in field.option.trials:
                candidate = replace(best, **{field.name: value})
                gain = few.score(maps, candidate).selection_score - here
                if gain <= GAIN:
                    continue
                other = also(candidate)
                if gain + other - there > GAIN:
                    best, here, there = candidate, here + gain, other
        return best

    def calibration(self, net: Network) -> tuple[float, list[list[float]]] | None:
        """From the deviation between flipped and rotated predictions to the expected error: a factor, and ten points.

        None where predictions do not deviate.
        """
        predictor, deviation, error = self.predictor(net), [], []
        count = self._orientations(predictor, 8)
        for x, source in zip(self._inputs, _first(self.sources, CALIBRATED), strict=False):
            mean, spread = result_of(predictor.averaged(x, source.norm, 1.0, Control(), count))
            deviation.append(spread.ravel())
            error.append(np.abs(mean - self.card.prediction_numbers(source.norm).apply(self.truth(source))).ravel())
        s, e = np.concatenate(deviation), np.concatenate(error)
        power = float(np.mean(s.astype(np.float64) ** 2))
        if power <= 0:
            return None
        factor = float(np.sqrt(np.mean(e.astype(np.float64) ** 2) / power))
        tenths = np.array_split(np.argsort(s), 10)
        return factor, [[float(factor * s[k].mean()), float(np.sqrt((e[k] ** 2).mean()))] for k in tenths if len(k)]

    def temperature(self, maps: Sequence[NDArray[np.float32]]) -> float:
        """What logits (K,) of the crops are to be divided by, so that probabilities are as often right as they say.

        Guo et al. 2017, arXiv:1706.04599; targets are smoothed by one crop in all, so that few crops that are all right do
        not make it infinitely sure.
        """
        import torch
        from torch.nn.functional import cross_entropy

        values = torch.tensor([float(self.truth(source)) for source in self.sources])
        ones = torch.ones(len(values))
        crops = Crops(ones[:, None, None, None], values, None, torch.eye(2).expand(len(values), 2, 2), ones, None)
        _, ranks, _ = self.task.supervision.targets(crops, self.options, torch.Generator())
        logits, ranks = torch.from_numpy(np.stack(maps)), ranks[:, 0].long()
        tried = np.exp(np.linspace(np.log(1 / SHARPEST), np.log(SOFTEST), 80))
        smoothed = 1 / (len(values) + 2)
        losses = [float(cross_entropy(logits / t, ranks, label_smoothing=smoothed)) for t in tried]
        return float(tried[int(np.argmin(losses))])

    def decoded(self, maps: NDArray[np.float32], decoding: Any, source: Source) -> NDArray[Any]:
        """Maps (K, *S) of a crop as a result, (*S) or (K, *S), in its units; a decoding counts pixels of the images, and crops are scaled."""
        scaled = at_scale(decoding, self.card.zoom ** len(self.card.spatial))
        return decoded(self.card, maps, source.norm, scaled)

    def truth(self, source: Source) -> NDArray[Any]:
        """The ground truth of a crop, (*S) or (K, *S); where nobody gave it, the input."""
        return self.card.own(np.asarray(source.x)) if source.y is None else np.asarray(source.y)

    @cached_property
    def _inputs(self) -> tuple[Any, ...]:
        """The images of the crops (C, *S), with the noise that training adds: a score is of what will be predicted."""
        degraded = self.task.supervision.degraded(self.options)
        if degraded is None:
            return tuple(source.x for source in self.sources)
        return tuple(
            s.norm.invert(degraded(s.norm.apply(np.asarray(s.x)), np.random.default_rng(k)))
            for k, s in enumerate(self.sources)
        )

    def _score(self, result: NDArray[Any], source: Source) -> Score:
        truth = self.truth(source)
        return self.task.score(result, truth, on_grid_of(truth, source.region), self.options)


def figures(score: Score) -> dict[str, Any]:
    """A score as plain values: its sentence, the figure that selects the model and its name, and all others."""
    selection = {"selection_score": score.selection_score, "measure": score.selection_name}
    return {"sentence": score.sentence, **selection, **score.as_dict()}


def some_crops(
    crops: Sequence[Crop],
    pixels: float,
    seed: int,
    strata: Callable[[Crop], NDArray[Any] | None] = lambda crop: None,
) -> list[Crop]:
    """Randomly chosen crops that hold about ``pixels`` in all; large ones are cut to their middle.

    ``strata`` gives the numbers (*S) of what should be in them where a crop has it, such as classes; 0: nothing. For one
    that those crops lack, a part around its middle pixel is added.
    """
    chosen: list[Crop] = []
    edge = int(max(pixels / 2, 65536) ** (1 / len(crops[0].box))) if crops else 0
    for i in np.random.default_rng(seed).permutation(len(crops)):
        chosen.append(_cut(crops[i], [(a + b) // 2 for a, b in crops[i].box], edge))
        if sum(c.volume for c in chosen) >= pixels:
            break
    if sum(c.volume for c in chosen) < sum(c.volume for c in crops):
        there = {n for c in chosen for n in _numbers(strata(c))}
        for crop in crops:
            for n in _numbers(found := strata(crop)) - there:
                places = np.argwhere(found == n)
                middle = [start + int(at) for (start, _), at in zip(crop.box, places[len(places) // 2], strict=True)]
                chosen.append(_cut(crop, middle, edge))
                there |= _numbers(strata(chosen[-1]))
    return chosen


def _numbers(strata: NDArray[Any] | None) -> set[int]:
    return set() if strata is None else {int(n) for n in np.unique(strata)} - {0}


def _cut(crop: Crop, middle: Sequence[int], edge: int) -> Crop:
    """The part of a crop around a pixel, of this edge at most."""
    starts = [max(a, min(m - edge // 2, b - edge)) for (a, b), m in zip(crop.box, middle, strict=True)]
    return replace(crop, box=tuple((a, min(a + edge, b)) for a, (_, b) in zip(starts, crop.box, strict=True)))


def _first(sources: Iterable[Source], pixels: float) -> list[Source]:
    """The first sources, of at least ``pixels`` in all where there are that many."""
    taken: list[Source] = []
    for source in sources:
        taken.append(source)
        if sum(float(np.prod(s.size)) for s in taken) > pixels:
            break
    return taken
