"""THE preparation: from a dataset and choices to all that is decided before the first step. No torch.

The check in the panel, the command line and the trainer call it, so that what is shown is what is done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from tempfile import TemporaryFile, gettempdir
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_dojo.data.coverage import numbers_in
from napari_dojo.data.dataset import Dataset, Sample
from napari_dojo.data.holding import Held, hold_out
from napari_dojo.data.normalize import Normalization, Rule
from napari_dojo.data.resample import resize, resize_labels
from napari_dojo.data.split import Crop, Split, folds, split_by_class, split_of
from napari_dojo.device import Device
from napari_dojo.errors import DojoError
from napari_dojo.models.card import Card
from napari_dojo.settings import TrainSettings
from napari_dojo.tasks import Finding, Summary, Task, may_start_from
from napari_dojo.training.plan import Plan, plan_for
from napari_dojo.training.start import AUTO, DECIDED, Comparison, comparison, fitting

__all__ = ["Setup", "prepare"]

FITTING = 0.4  # share of the free memory that scaled images may take
FEW_STEPS = 50  # with which hardly anything is learned


@dataclass(frozen=True, eq=False)
class Setup:
    """A training before its first step.

    Attributes
    ----------
    task, settings, device : as chosen; ``options`` are the task's, completed from the data.
    dataset : as it is trained on, not yet scaled by the plan's zoom (see `scaled`).
    summary : what was understood of the data as they were given.
    split, plan : None where the summary has errors; ``plan`` also while the device is not known.
    start : the card of the model to start from.
    rule : how intensities are normalised.
    comparison : of models with nothing, by which the start is found; without models where it is decided.
    scored : whether a score means something; False where training and validation cannot hold the same classes, or
        objects at all. Then all is trained on, unless a person said otherwise.
    folds : of a cross-validation, whose score is that of the model, which is then trained on all; empty: there is none.
    """

    task: Task
    settings: TrainSettings
    device: Device | None
    dataset: Dataset
    summary: Summary
    split: Split | None
    plan: Plan | None
    start: Card | None
    rule: Rule
    scored: bool = True
    folds: tuple[Split, ...] = ()
    comparison: Comparison = DECIDED

    @property
    def options(self) -> Any:
        """The task's options, completed from the data."""
        return self.summary.options

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What the user reads before the start: the data, the split and the plan."""
        found = list(self.summary.findings)
        if self.split is not None:
            names = [name for _, name, _ in self.summary.painted]
            found.append(_crossed_finding(self) if self.folds else _split_finding(self.split, self.scored, names))
        if self.comparison.models:
            found.append(self.comparison.finding)
        if self.plan is not None and self.device is not None:
            found.append(Finding("ok", f"{self.device.sentence}: {self.plan.long}"))
            if self.plan.minutes and self.plan.steps < FEW_STEPS and self.settings.batch:
                text = f"Only {self.plan.long}: a smaller batch than {self.plan.batch}, or more time, gives a better model."
                found.append(Finding("warning", text))
        return tuple(found)

    def starting_from(self, start: Card | None, *, resize: bool = True) -> Setup:
        """The same training with this start, decided; ``resize`` : see `napari_dojo.training.plan.plan_for`.

        Raises
        ------
        DojoError : the model is for other data.
        """
        rule, plan = _rule(start, self.summary), None
        if self.device is not None and self.split is not None:
            plan = plan_for(self.dataset, self.split, self.summary, self.device, self.settings, start, resize=resize)
        return replace(self, start=start, rule=rule, plan=plan, comparison=DECIDED)

    @property
    def trial(self) -> Setup:
        """The same with the annotation that starts are compared with: without validation, some is held out for that."""
        held = self.comparison.held
        return self if held is None else replace(self, dataset=held.dataset, split=held.split)

    def scaled(self, norms: Sequence[Normalization]) -> tuple[Dataset, Split]:
        """The dataset and its split at the network's scale; ``norms`` : the numbers of each sample as it is.

        Raises
        ------
        DojoError : the data have errors.
        """
        if self.split is None or self.plan is None:
            raise DojoError(next(iter(self.summary.errors), "The device is not known yet."))
        return _zoomed(self.dataset, self.split, norms, self.plan.zoom, self.task)


def prepare(
    dataset: Dataset,
    task: Task,
    options: Any,
    settings: TrainSettings,
    device: Device | None,
    start: Card | Literal["auto"] | None = None,
) -> Setup:
    """Decide everything that a training needs; takes as long as the task's preparation of the data.

    Parameters
    ----------
    options : the task's; ``device`` None plans nothing yet.
    start : the model to start from; "auto": whichever of those that fit, or nothing, proves best (``comparison``).

    Raises
    ------
    DojoError : a start that does not fit, or data that cannot be split. Errors in the data are findings of the setup.
    """
    auto, start = start == AUTO, None if isinstance(start, str) else start
    if start is not None and not may_start_from(task, start.task):
        raise DojoError(
            f"The model to start from ({start.name}) is for {start.task}; these data are for {task.name}. "
            "Choose another model, or start from nothing."
        )
    summary = task.summarize(dataset, options)
    setup = Setup(task, settings, device, dataset, summary, None, None, start, _rule(start, summary))
    if summary.errors:
        return setup
    ready = task.prepare(dataset, summary.options)
    split, scored = _split(ready, task, summary, settings)
    folds = () if device is not None and device.together > 1 else _folds(ready, summary, settings)
    if folds:
        split = split_by_class(ready.samples, 0.0, settings.test, settings.seed)
    decided = replace(setup, dataset=ready, split=split, scored=scored, folds=folds).starting_from(start)
    fit = fitting(task, ready, summary, settings) if auto else ()
    if not fit:
        return decided
    held: Held | bool
    scores, held = scored and task.target is not None, scored and bool(split.validation or folds)
    pieces = task.supervision.pieces
    if not held and scores and pieces is not None:
        held = hold_out(ready, lambda sample: pieces(sample, summary.options), settings.seed) or False
    how = comparison(fit, scores, held, settings, decided.plan)
    if device is not None and device.together > 1:
        how = how.without_trials("several processes train together", scores)
    return replace(decided, comparison=how)


def _rule(start: Card | None, summary: Summary) -> Rule:
    """How intensities are normalised."""
    return replace(start.rule if start else Rule(shared=summary.shared), frames=summary.frames)


def _split(dataset: Dataset, task: Task, summary: Summary, settings: TrainSettings) -> tuple[Split, bool]:
    """The split, and whether a score on its validation part means something."""
    kind, numbers = task.layout(summary.options).kind, [value for value, *_ in summary.painted]
    if not kind.dense:
        return split_by_class(dataset.samples, settings.validation, settings.test, settings.seed), True
    found = [None if s.y is None else kind.strata(s.y, s.region, numbers) for s in dataset.samples]
    strata = [s for s in found if s is not None] if all(s is not None for s in found) else []
    validation = summary.hints.validation if settings.validation is None else settings.validation
    split = split_of(dataset.samples, validation, settings.test, settings.seed, strata=strata)
    if not (strata and split.validation):
        return split, True
    if kind.scores(len(numbers_in(strata)) - len(split.one_sided)):
        return split, True
    if all(sample.role == "automatic" for sample in dataset.samples):
        rest = split_of(dataset.samples, 0.0, settings.test, settings.seed)
        split = replace(rest, how="nothing: no part would hold the same classes", one_sided=split.one_sided)
    return split, False


def _folds(dataset: Dataset, summary: Summary, settings: TrainSettings) -> tuple[Split, ...]:
    """The splits of a cross-validation; none where a person says what is for validation."""
    roles = any(sample.role != "automatic" for sample in dataset.samples)
    if not summary.hints.folds or roles or settings.validation is not None:
        return ()
    whole = split_by_class(dataset.samples, 0.0, settings.test, settings.seed)
    found = folds(dataset.samples, whole, summary.hints.folds, settings.seed)
    return found if len(found) > 1 else ()


def _crossed_finding(setup: Setup) -> Finding:
    assert setup.split is not None
    text = (
        f"Cross-validation in {len(setup.folds)} parts: each is predicted by a model that was trained on the others. "
        f"The model that is saved is trained on all {len(setup.split.training)}"
    )
    return Finding("ok", text, code="folds")


def _split_finding(split: Split, scored: bool, names: Sequence[str]) -> Finding:
    """How the data are split; ``names`` of the classes."""
    one_sided = ", ".join(names[v - 1] for v in split.one_sided) if names else "objects"
    if not scored:
        text = f"No score is possible: {one_sided} would be only in training or only in validation. Label or add more."
        return Finding("warning", text, code="no score")
    if not split.validation:
        text = "No part is left for validation: scores come from the training images. Add an image, or a larger one."
        return Finding("warning", text, code="no validation")
    if split.one_sided:
        text = (
            f"Scores say nothing about {one_sided}, which is only in training or only in validation. Label or add more."
        )
        return Finding("warning", text, code="one side")
    held = split.training + split.validation
    whole = split.test or len(held) == len({crop.item for crop in held})
    test = f", {len(split.test)} for test" if split.test else ""
    crops = f" ({len(split.training)} for training, {len(split.validation)} for validation{test})" if whole else ""
    return Finding("ok", f"Validation: {split.how}{crops}")


@dataclass
class _Room:
    """Bytes of memory for scaled images; those that come when it is used up go to the disk for as long as they are used."""

    bytes: float

    @classmethod
    def of_memory(cls) -> _Room:
        """A share of what is free."""
        import psutil

        return cls(FITTING * psutil.virtual_memory().available)

    def kept(self, array: NDArray[Any]) -> NDArray[Any]:
        """The array, or the same in a file that nobody else sees; DojoError where there is no room there either."""
        self.bytes -= array.nbytes
        if self.bytes >= 0 or not array.ndim:
            return array
        try:
            with TemporaryFile() as file:
                np.ascontiguousarray(array).tofile(file)
                return np.memmap(file, array.dtype, "r", shape=array.shape)
        except OSError as e:
            raise DojoError(
                f"The scaled images fit neither in memory nor in {gettempdir()} ({e.strerror or e}). Make room there, or train on fewer images."
            ) from e


def _zoomed(
    dataset: Dataset, split: Split, norms: Sequence[Normalization], zoom: float, task: Task
) -> tuple[Dataset, Split]:
    """Samples are cleaned before they are scaled, as for a prediction: scaling blurs padding and hot pixels."""
    if zoom == 1:
        return dataset, split
    kind = task.layout(task.options()).kind

    room = _Room.of_memory()

    def sample(old: Sample, norm: Normalization) -> Sample:
        size = tuple(max(1, round(n * zoom)) for n in old.size)
        x, padding = norm.clean(np.asarray(old.x))
        region = old.region
        if padding is not None:
            imaged = ~np.all(padding, 0)
            region = np.asarray(imaged if region is None else imaged & region)
        y = None if old.y is None else kind.resize(old.y, size)
        region = None if region is None else resize_labels(region, size)
        x = room.kept(resize(norm.invert(norm.apply(x)), size))
        return replace(old, x=x, y=None if y is None else room.kept(y), region=region, clean=True)

    def crop(old: Crop) -> Crop:
        return replace(old, box=tuple((round(a * zoom), max(round(a * zoom) + 1, round(b * zoom))) for a, b in old.box))

    training, validation, test = (tuple(map(crop, crops)) for crops in (split.training, split.validation, split.test))
    samples = tuple(map(sample, dataset.samples, norms))
    return replace(dataset, samples=samples), replace(split, training=training, validation=validation, test=test)
