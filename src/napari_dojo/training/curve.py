"""How much more annotation would bring: short trainings on parts of it, each scored on objects that none of them has seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo.data.dataset import Dataset, Sample
from napari_dojo.data.kinds import renumbered
from napari_dojo.errors import DojoError
from napari_dojo.events import Control, Done, Event, Failed, Progress, Step, result_of
from napari_dojo.inference.geometry import Image, resolve
from napari_dojo.inference.predict import Ready, predict_image
from napari_dojo.io.images import Picture
from napari_dojo.metrics.base import Score, pool
from napari_dojo.metrics.learning_curve import Curve
from napari_dojo.models.bundle import load
from napari_dojo.models.card import options_of
from napari_dojo.settings import TrainSettings, fields_of_data
from napari_dojo.tasks import Task
from napari_dojo.training.start import Start
from napari_dojo.training.train import Target, train_steps

__all__ = ["FEWEST", "curve_steps", "parts_of"]

FEWEST = 12  # objects, from which on their parts can be compared
HELD_OUT = 0.25  # of the objects, for the score
SHARES = (0.25, 0.25, 0.5, 0.5, 1.0)  # of the others, that are trained on


@dataclass(frozen=True, eq=False)
class Parts:
    """The annotation in parts: for each sample the object that every annotated pixel is nearest to (*S), 0 where unknown.

    ``numbers`` : (sample, object) of all; the objects of a sample are counted from 1. ``strokes`` : what is not chosen is not
    annotated, but may be trained on; else it lies outside of the region.
    """

    nearest: tuple[NDArray[np.int32], ...]
    numbers: tuple[tuple[int, int], ...]
    strokes: bool = False

    def dataset(self, whole: Dataset, chosen: Sequence[tuple[int, int]]) -> Dataset:
        """Only these objects, with the background that is nearest to them."""
        samples = []
        for k, sample in enumerate(whole.samples):
            mine = [n for i, n in chosen if i == k]
            if mine and self.strokes:
                y = np.where(np.isin(self.nearest[k], mine), np.asarray(sample.y), 0)
                samples.append(replace(sample, y=y, role="training"))
            elif mine:
                samples.append(replace(sample, region=np.isin(self.nearest[k], mine), role="training"))
        return replace(whole, samples=tuple(samples))


def parts_of(dataset: Dataset, objects: bool, strokes: bool = False) -> Parts:
    """Which object each annotated pixel is nearest to.

    Parameters
    ----------
    objects : each number is an object; else each connected part of a class is one.
    strokes : number 1 is background.
    """
    from scipy import ndimage

    nearest, numbers = [], []
    for k, sample in enumerate(dataset.samples):
        y = np.asarray(sample.y) if sample.region is None else np.where(sample.region, np.asarray(sample.y), 0)
        own = _numbered(y, objects, int(strokes))
        near = ndimage.distance_transform_edt(own == 0, return_distances=False, return_indices=True)
        cells = own[tuple(near)] if own.any() else own
        nearest.append(cells if sample.region is None else np.where(sample.region, cells, 0))
        numbers += [(k, n) for n in range(1, int(own.max(initial=0)) + 1)]
    return Parts(tuple(nearest), tuple(numbers), strokes)


def curve_steps(
    dataset: Dataset,
    task: Task,
    settings: TrainSettings,
    options: Any,
    start: Start = None,
    control: Control | None = None,
) -> Iterator[Event]:
    """Train on a quarter, a half and all of the annotation, and say what more would bring.

    Yields Progress in hundredths; the last event is Done with ``objects``, ``scores`` and ``measure`` as facts. ``settings.minutes`` (or
    steps) are those of all trainings together.

    Raises
    ------
    DojoError : too few objects are annotated.
    """
    control = control or Control()
    parts = parts_of(dataset, task.result.objects, task.supervision.completion(options) is not None)
    if len(parts.numbers) < FEWEST:
        raise DojoError(
            f"Only {len(parts.numbers)} objects are annotated; {FEWEST} are needed to compare parts of them."
        )
    rng = np.random.default_rng(settings.seed)
    numbers = [parts.numbers[i] for i in rng.permutation(len(parts.numbers))]
    held = max(3, round(HELD_OUT * len(numbers)))
    test, rest = numbers[:held], numbers[held:]
    counts, scores, measure = [], [], ""
    short = _short(settings, len(SHARES))
    for k, share in enumerate(SHARES):
        chosen = [rest[i] for i in rng.permutation(len(rest))[: max(2, round(share * len(rest)))]]
        with TemporaryDirectory(prefix="dojo-curve-") as name:
            folder = Path(name) / "model"
            part = parts.dataset(dataset, chosen)
            yield from _progress(train_steps(part, task, Target(folder), short, options, start, control), k)
            if control.stop:
                yield Failed("Stopped.")
                return
            score = _scored(Ready.of(load(folder)), parts.dataset(dataset, test), task, options)
        counts.append(len(chosen))
        scores.append(float(score.selection_score))
        measure = score.selection_name
    yield Done("", {"objects": counts, "scores": scores, "measure": measure, "gain": _gain(counts, scores)})


def _progress(events: Iterator[Event], k: int) -> Iterator[Event]:
    """The progress of training ``k`` as that of all; DojoError where it fails."""
    for event in events:
        if isinstance(event, Failed):
            raise DojoError(event.sentence)
        if isinstance(event, Step) and event.steps:
            yield Progress(round(100 * (k + event.step / event.steps) / len(SHARES)), 100)


def _gain(counts: Sequence[int], scores: Sequence[float]) -> dict[str, float]:
    """What about half as many more objects would bring, as plain values."""
    curve = Curve(tuple(counts), tuple(scores))
    more = max(5, 5 * round(curve.most / 10))
    gain = curve.gain(more)
    return {"more": more, "likely": gain.likely, "low": gain.low, "high": gain.high}


def _short(settings: TrainSettings, count: int) -> TrainSettings:
    """The same for one of several trainings, without images for validation."""
    steps = None if settings.steps is None else max(1, settings.steps // count)
    minutes = None if settings.minutes is None else max(0.05, settings.minutes / count)
    return replace(settings, steps=steps, minutes=minutes, validation=0.0, test=0.0)


def _scored(ready: Ready, test: Dataset, task: Task, options: Any) -> Score:
    found = []
    for sample in test.samples:
        result = _predicted(ready, sample, test)
        found.append(task.score(result, np.asarray(sample.y), sample.region, _as_trained(ready, options)))
    return pool(found)


def _as_trained(ready: Ready, options: Any) -> Any:
    """The options that the training has completed, with those that say how the data are annotated."""
    given = asdict(options)
    own = {f.name: given[f.name] for f in fields_of_data(type(options))}
    return replace(options_of(ready.card), **own)


def _predicted(ready: Ready, sample: Sample, whole: Dataset) -> NDArray[Any]:
    """By the numbers that it is trained with: those of its series."""
    picture = Picture(np.asarray(sample.x), "C" + whole.spatial, pixel_size=sample.pixel_size or whole.pixel_size)
    image = Image(sample.name, picture, numbers=sample.normalization(ready.card.rule), in_context=True)
    return np.asarray(result_of(predict_image(ready, resolve(ready.card, image, ready.settings), Control())).array)


def _numbered(y: NDArray[Any], objects: bool, background: int) -> NDArray[np.int32]:
    """Objects above ``background``, or connected parts of each class, as 1..n."""
    from skimage.measure import label

    if objects:
        return renumbered(np.where(y > background, y, 0))
    return np.asarray(label(y, connectivity=1), np.int32)
