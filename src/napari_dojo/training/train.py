"""Train a model: prepare, train, validate, save. Every event goes to the caller and into the run's folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_dojo import device as devices
from napari_dojo.data.batches import Batch, Batches, Patches, Source
from napari_dojo.data.dataset import Dataset
from napari_dojo.data.normalize import Normalization
from napari_dojo.data.objects import outlined
from napari_dojo.data.split import Crop, Split
from napari_dojo.device import Device
from napari_dojo.errors import DojoError
from napari_dojo.events import (
    Control,
    Done,
    Event,
    Failed,
    Message,
    Progress,
    Started,
    Step,
    StoppedError,
    Validated,
    changed,
    result_of,
)
from napari_dojo.inference.linking import same_numbers
from napari_dojo.inference.predict import predict_sample
from napari_dojo.inference.predictor import Predictor
from napari_dojo.io.atomic import replacing
from napari_dojo.models import bundle as bundles
from napari_dojo.models.bundle import Bundle
from napari_dojo.models.card import Card, decoding_of, options_of, read_card
from napari_dojo.models.cover import picture
from napari_dojo.models.library import Model, find
from napari_dojo.models.watched import Watched
from napari_dojo.settings import TrainSettings
from napari_dojo.tasks import TASKS, Example, Task
from napari_dojo.training.crossed import CROSSED, cross_validated
from napari_dojo.training.held import held_of, keep_held
from napari_dojo.training.judge import Judge, figures, some_crops
from napari_dojo.training.learner import Learner
from napari_dojo.training.loop import Budget, Work, fit, follow
from napari_dojo.training.pace import timed_plan
from napari_dojo.training.plan import Plan
from napari_dojo.training.prepare import Setup, prepare
from napari_dojo.training.recorder import Recorder, Target, card_of
from napari_dojo.training.resume import check_resumed, fingerprint, kept_plan, start_of
from napari_dojo.training.start import AUTO, NONE, Start
from napari_dojo.training.trials import find_start
from napari_dojo.training.world import World, join

__all__ = ["Target", "train_steps"]

JUDGED = 600_000.0  # pixels that are validated on per minute of training on a CPU; a check then takes about 0.5 s
ON_GPU = 4  # times as many
RESIDENT = 0.5  # share of the device's usable memory that samples may take; larger data are streamed
QUICK = 0.03  # share of a trial that one check on the way may take
KEPT = 0.65  # share of the start's weights in a model that was trained on corrections
RIPE = 300  # steps before which a network knows less of objects than what its targets were made by
NO_BETTER = "The model is no better than the baseline: train longer, or on more images."


def train_steps(
    dataset: Dataset,
    task: Task | str,
    target: Target,
    settings: TrainSettings | None = None,
    options: Any = None,
    start: Bundle | Start = None,
    control: Control | None = None,
) -> Iterator[Event]:
    """Train a model on a dataset and save it.

    Yields events, the last of which is Done with the model's folder. Not asking for the next one pauses; closing the
    generator loses what came after the last saved state. Where several processes train together, the first one yields them
    and writes the files; the others yield nothing.

    Parameters
    ----------
    start : a model to fine-tune, or its name or folder; None or "none": a new one; "auto": whichever of the models that
        fit, or a new one, proves best (see `napari_dojo.training.start.Comparison`). A resumed run keeps its start.

    Raises
    ------
    DojoError : the data, the choices or the folder do not allow it; raised before anything is written.
    """
    task = TASKS[task] if isinstance(task, str) else task
    settings, control = settings or TrainSettings(), control or Control()
    target = replace(target, began=time.monotonic() if target.began is None else target.began)
    world = join(settings.device)
    device = world.device(devices.choose(settings.device))
    resumed = target.resume and (target.run / "state.pt").exists()
    bundle, auto = (None, False) if resumed else _given(start)
    card: Card | Literal["auto"] | None = bundle.card if bundle else "auto" if auto else None
    setup = prepare(
        dataset, task, options or task.options(), settings, device, start_of(target.out) if resumed else card
    )
    if setup.summary.errors:
        raise DojoError(setup.summary.errors[0])
    if world.rank == 0:
        target.check_free()

    def make(
        model: Model | None, like: _Training | None, among: World | None = None, split: Split | None = None
    ) -> _Training:
        found, given = bundle if model is None else bundles.load(model.path), setup if among else setup.trial
        decided = given if model is None or found is None else given.starting_from(found.card)
        decided = decided if split is None else replace(decided, split=split)
        made = partial(_Training, target=target, start=found, control=control, world=among or World(), like=like)
        return _at_the_scale_of(found, decided, made) if target.corrections and found is not None else made(decided)

    training, before = yield from _begun(make, setup, target, control, world)
    if training is None:
        return
    for event in before:
        training.recorder.event(event)
    for event in training.steps():
        training.recorder.event(event)
        yield event


def _begun(
    make: Callable[..., _Training], setup: Setup, target: Target, control: Control, world: World
) -> Generator[Event, None, tuple[_Training | None, list[Event]]]:
    """The training before its first step, or after the trial that it won, and the events of finding it.

    None in a process that is not the first, after it has made all steps with the first.
    """
    before: list[Event] = []
    best, why, crossed = None, "", _crossed_before(target)
    if setup.comparison.models and world.rank == 0:
        if target.resume:
            check_resumed(target.out, setup.task.name, {})
        trial = partial(make, split=setup.folds[0]) if setup.folds else make
        best, why = yield from _kept(find_start(trial, setup.comparison, control), before)
        before.append(Message("info", why))
        yield before[-1]
    name = world.shared(best and best.start and best.start.card.name)
    chosen = next((m for m in setup.comparison.models if m.card.name == name), None)
    again = setup.comparison.held is not None or (setup.folds and not crossed)
    if best is not None and again:  # what won begins once more, with all of the annotation
        best.batches.close()
        best = None
    if setup.folds and not crossed:

        def part(k: int) -> _Training:
            return make(chosen, None, split=setup.folds[k])

        found = cross_validated(len(setup.folds), part, target.began or time.monotonic(), control)
        crossed = yield from _kept(found, before)
    training = best
    if training is None or world.size > 1:
        training = make(chosen, best, world)
        training.crossed = crossed
        if world.rank:
            training.follow()
            return None, before
        if target.resume:
            check_resumed(target.out, setup.task.name, training.recorder.data)
        training.begin()
        if best is not None:
            best.leave(training)
    training.why = why
    return training, before


def _at_the_scale_of(start: Bundle, setup: Setup, made: Callable[[Setup], _Training]) -> _Training:
    """The training, or the same without bringing objects to the size of the start's: where the start then agrees better with the labels.

    What a person corrects was predicted at one of the two scales, and is found at that.
    """
    usual, plain = made(setup), setup.starting_from(start.card, resize=False)
    if plain.plan == setup.plan:
        return usual
    other = made(plain)
    return other if other.agreement() >= usual.agreement() else usual


def _crossed_before(target: Target) -> dict[str, Any]:
    """The score of the cross-validation before a run that is resumed; empty where there was none."""
    if not (target.resume and (target.out / "rdf.yaml").exists()):
        return {}
    score = read_card(target.out).score
    return score if score.get("from") == CROSSED else {}


def _given(start: Bundle | Start) -> tuple[Bundle | None, bool]:
    """The model to start from, and whether it is to be found out."""
    if isinstance(start, Bundle) or start in (None, NONE, AUTO):
        return start if isinstance(start, Bundle) else None, start == AUTO
    return bundles.load(find(start)), False


T = TypeVar("T")


def _kept(steps: Generator[Event, None, T], events: list[Event]) -> Generator[Event, None, T]:
    """The same events, those that a log keeps added to ``events``."""

    def keep(event: Event) -> Event:
        if not isinstance(event, Progress):
            events.append(event)
        return event

    return (yield from changed(steps, keep))


@dataclass(frozen=True, eq=False)
class _Best:
    """The best weights before they are saved: those of a start, or of its trial."""

    net: Any
    step: int
    event: Validated
    maps: list[NDArray[np.float32]]


class _Training:
    """One training: what the loop asks for, from a setup.

    ``like`` : a training on the same data, with which it shares what is the same.
    """

    dataset: Dataset
    split: Split
    norms: dict[int, Normalization]
    recorder: Recorder
    learner: Learner
    batches: Batches

    def __init__(
        self,
        setup: Setup,
        target: Target,
        start: Bundle | None,
        control: Control,
        world: World,
        like: _Training | None = None,
    ) -> None:
        self.setup, self.target, self.start, self.control, self.world = setup, target, start, control, world
        self.task, self.options, self.settings = setup.task, setup.options, setup.settings
        assert setup.plan is not None
        assert setup.device is not None
        self.device: Device = setup.device
        self.plan: Plan = world.shared(self._settled_plan(like) if world.rank == 0 else setup.plan)
        self.setup = setup = replace(setup, plan=self.plan)
        if like is not None and (like.plan.zoom, like.setup.rule) != (self.plan.zoom, setup.rule):
            like = None
        self.dataset, self.split = (like.dataset, like.split) if like else setup.scaled()
        self.norms = (
            like.norms if like else {i: s.normalization(setup.rule) for i, s in enumerate(self.dataset.samples)}
        )
        data = like.recorder.data if like else fingerprint(self.dataset, self.split)
        self.card = card_of(setup, self.dataset, self.split, target, data)
        self.recorder = Recorder(target, setup, self._sample(), data)
        self.validation = self._judge(self.split.validation or self.split.training)
        self.test = self._judge(self.split.test) if self.split.test else None
        self.baseline: dict[str, Any] | None = like.baseline if like else None
        self.best_maps: list[NDArray[np.float32]] = []
        self.last_maps: list[NDArray[np.float32]] = []
        self.last_score: dict[str, Any] = {}
        self._notes: list[Event] = []
        self.best: _Best | None = None  # not saved yet
        self.why = ""  # it started from what it did
        self.crossed: dict[str, Any] = {}  # the score of a cross-validation
        self.checked: Validated | None = None  # the last one
        self._held: Batch | None = like._held if like else None  # of validation, for its loss
        self._like = like
        self._number: int = like._number + 1 if like else 0  # of the trial: each has its own previews
        self.paused = 0.0  # seconds of its trial
        self.watched: Watched | None = None
        self.took: float = like.took if like else 0.0  # seconds of the last check

    def begin(self) -> None:
        """Make the learner and its batches; a start is measured before any training."""
        self.learner, fits = self._learner()
        self._fits = fits
        learner = self.learner
        if not fits:
            text = "The classes differ from those of the model to start from: its last layer is new."
            self._notes.append(Message("info", text))
        if self.target.resume and (self.target.run / "state.pt").exists():
            self._resume(learner)
            self._notes.append(Message("info", f"Resumed after step {learner.step}."))
        elif self.start is not None and fits:
            self._measure()
        learner.agree()
        like, self._like = self._like, None
        same = [(t.plan.patch, t.plan.batch, t.world.size) for t in (like, self) if t is not None]
        self.batches = like.batches if like is not None and same[0] == same[1] else self._batches(learner)

    def attempt(self, seconds: float, steps: int) -> Generator[float | Validated, None, None]:
        """Train for so long (0: the other rules), and measure; yields the share that is done, and checks.

        There is one at the end, and others on the way where they take little of the time.
        """
        learner, quick, began = self.learner, Control(), time.monotonic()
        often = bool(seconds) and self.took <= QUICK * seconds
        work = replace(self._work(self.batches), check=self._check if often else _unchecked, keep=self._hold)
        most = 1.5 * seconds if steps and seconds else seconds
        for event in fit(learner, work, replace(self._budget(), began=began), quick):
            over = (steps and learner.step >= steps) or (most and learner.seconds >= most)
            quick.stop = self.control.stop or bool(over)
            if isinstance(event, Step):
                yield learner.step / steps if steps else min(1.0, learner.seconds / seconds)
            elif isinstance(event, Validated) and event is self.checked:
                yield event
        self.paused = time.monotonic() - began - learner.seconds
        if not self.control.stop and (self.checked is None or self.checked.step < learner.step):
            self._measure()
            assert self.checked is not None
            yield self.checked

    def complete(self, budget: Budget) -> Iterator[float]:
        """Train from the first step to the last without saving anything; yields the share that is done."""
        self.begin()
        work = replace(self._work(self.batches), check=_unchecked, keep=lambda learner, better: None)
        with self.batches:
            for event in fit(self.learner, work, budget, self.control):
                if isinstance(event, Step):
                    yield event.step / max(1, event.steps or 1)

    def predicted(self) -> list[NDArray[np.float32]]:
        """The maps of validation by the network as it is now."""
        return self.validation.predict(self.learner.average)

    def agreement(self) -> float:
        """The score of the start as it is."""
        assert self.start is not None
        maps = self.validation.predict(self.start.net)
        return self.validation.score(maps, decoding_of(self.start.card)).selection_score

    def leave(self, better: _Training) -> None:
        """Another one continues."""
        if self.batches is not better.batches:
            self.batches.close()

    @property
    def figure(self) -> str:
        """The best score so far."""
        if self.task.target is None:
            return f"validation loss {-self.learner.best:.3g}"
        name, _, unit = str(self.last_score.get("measure", "score")).partition(", ")
        digits = ".1f" if unit else ".3f"
        return f"{name} {self.learner.best:{digits}} {unit}".rstrip()

    @property
    def best_step(self) -> int:
        """The step that had the best score so far."""
        return self.best.step if self.best else self.learner.step

    def steps(self) -> Iterator[Event]:
        """The whole training, or what is left of it after a trial."""
        yield Started(self._told())
        yield from [Message("warning", w) for w in self.setup.summary.warnings]
        yield from [Message("warning", f.text) for f in self.setup.findings if f.code in ("no score", "one side")]
        yield from self._notes
        learner, tried = self.learner, self.learner.step > 0 and self.best is not None
        if self.best is not None:
            yield self.best.event
        if tried:
            learner.seconds = time.monotonic() - (self.target.began or time.monotonic()) - self.paused  # of all trials
            self._keep(learner, False)
        first = learner.step
        with self.batches as batches:
            budget = replace(self._budget(), began=time.monotonic()) if tried or self.crossed else self._budget()
            yield from fit(learner, self._work(batches), budget, self.control)
        if learner.step == first and self.control.stop and not tried:
            yield Failed("Stopped before the first step: nothing was saved.")
            return
        yield self._finish(learner)

    def follow(self) -> None:
        """The part of a process that is not the first: to make the same steps."""
        learner, self._fits = self._learner()
        learner.agree()
        with self._batches(learner) as batches:
            follow(learner, self._work(batches), self.control)

    def _learner(self) -> tuple[Learner, bool]:
        """A new one, and whether all of the start's layers fit."""
        torch.manual_seed(self.settings.seed)
        bundle, fits = _initial(self.card, self.start)
        return Learner(bundle.net, self.device, self.plan.learning_rate, self.plan.steps, self.world), fits

    def _settled_plan(self, like: _Training | None) -> Plan:
        """The one of the run that is resumed, with the batch that a person asks for now, or of a training from the same start;
        else the one that suits the device.
        """
        plan = self.setup.plan
        assert plan is not None
        if like is not None and like.world.size == self.world.size and like.setup.start == self.setup.start:
            return like.plan
        kept = kept_plan(self.target.out, plan) if self.target.resume else None
        if kept is not None and self.settings.batch:
            return replace(kept, batch=plan.batch)
        return kept or timed_plan(self.setup, self.device)

    def _batches(self, learner: Learner) -> Batches:
        """From the step that comes next; this process's share of them."""
        learned = learner.average if learner.step or (self.start is not None and self._fits) else None
        sources = self._completed(self._sources(self.split.training), learned)
        memory = int(self.device.memory * RESIDENT)
        patches, share = self._patches(), (self.world.rank, self.world.size)
        step, where = learner.step, learner.device
        return Batches(sources, patches, self.plan.batch, self.settings.seed, step, where, memory, share, ahead=True)

    def _work(self, batches: Batches) -> Work:
        completion = self.task.supervision.completion(self.options)
        alone = self.world.size == 1  # several processes would have to do it at the same step
        shares = completion.at if completion is not None and alone else ()

        def renew(net: Any) -> None:
            if self.learner.step >= RIPE:
                batches.renew(self._completed(self._sources(self.split.training), net))

        return Work(batches, self._loss, self._check, self._keep, renew, shares)

    def _completed(self, sources: Sequence[Source], net: Any = None) -> list[Source]:
        """The same parts, with annotation that is partial completed by what a network predicts, or without one."""
        completion = self.task.supervision.completion(self.options)
        if completion is None:
            return list(sources)
        predictor = None if net is None else Predictor(net, self.device)
        examples = []
        for source in sources:
            maps = None if predictor is None else result_of(predictor.maps(source.x, source.norm))
            examples.append(Example(source.norm.apply(source.x), np.asarray(source.y), source.region, maps))
        kind = self.task.layout(self.options).kind
        found = zip(sources, completion.complete(examples, self.options), strict=True)
        return [
            replace(source, y=y, region=known, anchors=kind.places(y, known, self.settings.seed + k))
            for k, (source, (y, known)) in enumerate(found)
        ]

    def _budget(self) -> Budget:
        minutes = self.plan.minutes
        if minutes and self.crossed:
            minutes = max(0.1 * minutes, minutes - self.crossed["seconds"] / 60)
        return Budget(
            self.target.began or time.monotonic(),
            None if minutes else self.plan.steps,
            minutes,
            reserve=min(4.0, 0.05 * 60 * (minutes or 2.0)),
            last_checks=2 if self.test else 1,
        )

    def _judge(self, crops: Sequence[Crop]) -> Judge:
        share = JUDGED * (self.plan.minutes or 3.0) * (1 if self.device.kind == "cpu" else ON_GPU)
        chosen = some_crops(crops, float(np.clip(share, 3e5, 4e6)), self.settings.seed, self._strata)
        return Judge(self.task, self.options, self.card, self.device, tuple(self._sources(chosen)))

    def _strata(self, crop: Crop) -> NDArray[Any] | None:
        """Which classes, or that objects, lie where in a crop, (*S); None where that does not matter."""
        sample, kind = self.dataset.samples[crop.item], self.task.layout(self.options).kind
        if sample.y is None:
            return None
        if not kind.dense:
            return None
        region = None if sample.region is None else sample.region[crop.slices]
        return kind.strata(np.asarray(sample.y[crop.slices]), region, [v for v, *_ in self.setup.summary.painted])

    @property
    def scale(self) -> tuple[int, ...]:
        """Output pixels per input pixel of the network, for each spatial axis; empty: 1."""
        return tuple(self.card.net_options.get("scale", ()))

    def _sources(self, crops: Sequence[Crop]) -> list[Source]:
        kind, found = self.task.layout(self.options).kind, []
        for k, crop in enumerate(crops):
            sample, norm = self.dataset.samples[crop.item], self.norms[crop.item]
            target = self.card.prediction_numbers(norm) if kind.intensities else None
            found.append(Source.of(sample, crop, norm, kind, self.settings.seed + k, target, self.scale))
        return found

    def _loss(self, out: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        return self.task.loss(out, target, weight, self.options)

    def _told(self) -> dict[str, Any]:
        how = f"Validation: {self.split.how}" if self.split.validation else "No validation: scores come from training"
        if self.crossed:
            how = f"Cross-validation in {self.crossed['folds']} parts: {self.crossed['sentence']}"
        return {
            **asdict(self.plan),
            "sentence": f"{self.device.sentence}: {self.plan.sentence}",
            "device": self.device.sentence,
            "split": how,
            "validated": bool(self.split.validation),
            "scored": self.setup.scored,
            "findings": [{"level": f.level, "text": f.text} for f in self.setup.summary.findings],
            "start": self.why,
        }

    def _measure(self) -> None:
        """Score the network as it is now; it is kept in memory where it is the best so far."""
        learner = self.learner
        _, value = self._check(learner.average, learner.step, learner.loss)
        learner.rising = value >= learner.best
        learner.best = max(learner.best, value)
        self._hold(learner, learner.rising)

    def _hold(self, learner: Learner, better: bool) -> None:
        """Keep the best weights in memory, where they are those that were scored last."""
        if better and self.checked is not None and self.checked.step == learner.step:
            self.best = _Best(deepcopy(self._settled(learner.average)), learner.step, self.checked, self.last_maps)

    def _check(self, net: Any, step: int, train_loss: float) -> tuple[Validated, float]:
        """Score the averaged network on validation."""
        decoding = self.task.decoding(**self.card.decoding)
        began = time.monotonic()
        net = self._settled(net)
        self.last_maps = self.validation.predict(net)
        score = self.validation.score(self.last_maps, decoding)
        self.took = time.monotonic() - began
        if self.baseline is None:
            self.baseline = self.validation.baseline()
        self.last_score = figures(score)
        self._watch(step, decoding)
        loss = self._validation_loss(net)
        shown = loss if self.split.validation else None
        preview = self._preview(net, decoding)
        self.checked = Validated(step, train_loss, shown, self.last_score, self.baseline, preview)
        if self._unchosen:
            return self.checked, float(step)
        return self.checked, -loss if self.task.target is None else score.selection_score

    def _watch(self, step: int, decoding: Any) -> None:
        """Keep what the network makes of a part of the first validation image, see `Watched`."""
        if not self.task.result.dense:
            return
        source = self.validation.sources[0]
        if self.watched is None:
            image = np.asarray(source.x[(slice(None), *Watched.box(source.size))])
            self.watched = Watched(image, not self.task.result.intensities)
        maps = self.last_maps[0][(slice(None), *Watched.box(source.size, self.scale))]
        name, _, unit = str(self.last_score["measure"]).partition(", ")
        figure = f"{name} {self.last_score['selection_score']:.3g} {unit}".rstrip()
        result = self.validation.decoded(maps, decoding, source)
        if self.task.result.objects and self.watched.results:
            result = same_numbers(self.watched.results[-1], result)
        self.watched = self.watched.after(step, figure, result)

    @property
    def _unchosen(self) -> bool:
        """Whether there is nothing to choose weights by, so that the last ones are kept.

        After a cross-validation all is trained on. Of what a person corrected, most is what the start predicted and they
        accepted: nothing agrees with that as well as the start itself. And strokes that are trained on tell little of objects.
        """
        partial = self.target.corrections or self.task.supervision.completion(self.options) is not None
        return bool(self.crossed) or (partial and not self.split.validation)

    def _settled(self, net: Any) -> Any:
        """The network that is scored and saved: of a retraining on corrections, a mean of it and its start.

        The weights between the two keep most of what was learned, and of what the start knew before (Wortsman et al.
        2022, CVPR: robust fine-tuning of zero-shot models).
        """
        start, completed = self.start, self.task.supervision.completion(self.options)
        if start is None or not (self.target.corrections and self._fits) or completed is not None:
            return net
        found, old = deepcopy(net), start.net.to(next(net.parameters()).device).state_dict()
        with torch.no_grad():
            for name, value in found.state_dict().items():
                if value.is_floating_point():
                    value.lerp_(old[name].to(value.dtype), KEPT)
        return found

    def _validation_loss(self, net: Any) -> float:
        """On a batch of validation crops, always the same one."""
        device = next(net.parameters()).device
        if self._held is None or self._held.x.device != device:
            patches = replace(self._patches(), augment=False)
            sources = self._completed(self.validation.sources)
            self._held = next(Batches(sources, patches, self.plan.batch, 1, device=device))
        with torch.inference_mode():
            return float(self._loss(net(self._held.x).float(), self._held.target, self._held.weight))

    def _patches(self) -> Patches:
        task, options = self.task, self.options
        augmentation = task.augmentation(options)
        return Patches(
            size=self.plan.patch,
            record=lambda y, region: task.supervision.record(y, region, options),
            targets=lambda crops, random: task.supervision.targets(crops, options, random),
            intensity=augmentation.intensity,
            resample=augmentation.resample,
            quarter=augmentation.quarter,
            augment=self.settings.augment,
            zoom=augmentation.zoom,
            flips=augmentation.flips,
            angle=augmentation.angle,
            shift=augmentation.shift,
            aimed=0.6 if self.setup.summary.annotated > 0.5 else 0.9,
            kind=task.layout(options).kind,
            scale=self.scale,
        )

    def _preview(self, net: Any, decoding: Any) -> str | None:
        """The prediction for what the user looks at, as the path of a ``.npy``; None where nothing is to be shown."""
        wish = self.control.look or {}
        look = wish.get("image")
        if not net.dense or not look or not Path(look).exists():
            return None
        x = np.load(look, mmap_mode="r")
        if x.ndim - 1 != len(self.card.spatial) or len(x) != self.card.channels:
            return None  # it is trained on planes of the stack that is looked at
        try:
            found = result_of(predict_sample(self.card, Predictor(net, self.device), x, self.control, decoding))
        except StoppedError:
            return None
        found = outlined(found) if wish.get("outline") and not self.task.result.intensities else found
        path = self.target.run / f"preview{self._number or ''}-{Path(look).stem.rpartition('-')[2]}.npy"
        try:
            with replacing(path, found.nbytes) as part, part.open("wb") as file:
                np.save(file, found)
        except DojoError:  # a preview is not worth a training
            return None
        return str(path)

    def _keep(self, learner: Learner, better: bool) -> None:
        """Save the state, and where it is better the model."""
        self.recorder.state(learner)
        best, self.best = self.best, None
        if better:
            self.best_maps = self.last_maps
            self._save(learner, self._settled(learner.average))
        elif best is not None:
            self.best_maps, self.last_score = best.maps, best.event.score
            self._save(learner, best.net)

    def _save(self, learner: Learner, net: Any, cover: NDArray[np.uint8] | None = None) -> None:
        training = {
            "steps": learner.step,
            "seconds": self._seconds,
            "device": self.device.sentence,
            "batch": self.plan.batch,
            "patch": list(self.plan.patch),
            "learning_rate": self.plan.learning_rate,
            "seed": self.settings.seed,
            **({"start": self.why} if self.why else {}),
        }
        score = self.crossed or {**self.last_score, "from": "validation" if self.split.validation else "training"}
        self.card = replace(self.card, score=score, baseline=self.baseline or {}, training=training)
        self.recorder.model(self.card, net, cover)

    @property
    def _seconds(self) -> float:
        """That were spent, those of a cross-validation among them."""
        return round(self.learner.seconds + self.crossed.get("seconds", 0.0), 1)

    def _sample(self) -> NDArray[Any]:
        """A raw crop of a training image for the model's own test, its sides multiples of the network's stride."""
        x = self.dataset.samples[self.split.training[0].item].x
        most = 128 if len(self.plan.stride) == 2 else 32
        size = [max(2 * s, min(most, n) // s * s) for s, n in zip(self.plan.stride, x.shape[1:], strict=True)]
        crop = np.asarray(x[(slice(None), *(slice(0, n) for n in size))])
        more = [(0, 0)] + [(0, n - m) for n, m in zip(size, crop.shape[1:], strict=True)]
        return np.pad(crop, more, mode="edge")

    def _resume(self, learner: Learner) -> None:
        saved = self.recorder.resume(learner)
        if saved is not None:
            self.card = replace(self.card, decoding=saved.decoding, score=saved.score)
            self.baseline = saved.baseline or None
        self.watched = Watched.read(self.target.out)

    def _finish(self, learner: Learner) -> Event:
        """Tune the decoding, score the test crops, and save the model for good."""
        best = bundles.load(self.target.out)
        if not self.control.stop and self.best_maps:
            learner.best = self._tune(learner.best)
            if self.crossed or (not best.net.dense and self.split.validation):
                best.net.sharpen(1 / (self.crossed.get("temperature") or self.validation.temperature(self.best_maps)))
        self.last_score = {k: v for k, v in self.card.score.items() if k != "from"}
        if not self.control.stop:
            self._test(best)
        self._keep(learner, False)
        self._save(learner, best.net, self._cover(best))
        old_test = self._old_test(best)
        self._keep_held()
        if self.watched is not None:
            self.watched.write(self.target.run)
        facts = {
            "rising": learner.rising and not self._unchosen,
            "warning": self._warning(),
            "steps": learner.step,
            "seconds": self._seconds,
            "score": self.card.score,
            "test": self.card.data.get("test"),
            "baseline": self.baseline or {},
            "score_from": self.card.score.get("from"),
            "sentence": self.card.score.get("sentence", ""),
            "excluded": self.card.data["excluded"],
            "start": self.why,
            **({"old_test": old_test} if old_test else {}),
        }
        return Done(str(self.target.out), facts)

    def _test(self, best: Bundle) -> None:
        """Score on what training never saw, and how large errors are to be expected."""
        if self.test is not None:
            score = self.test.score(self.test.predict(best.net), self.task.decoding(**self.card.decoding))
            self.card = replace(self.card, data={**self.card.data, "test": figures(score)})
        if self.task.result.intensities and self.task.target is not None:
            found = self.validation.calibration(best.net)
            if found is not None:
                data = {**self.card.data, "calibration": found[1]}
                self.card = replace(self.card, calibration=found[0], data=data)

    def _keep_held(self) -> None:
        """Keep some of what was not trained on, for the models that begin from this one."""
        judge = self.test or (self.validation if self.split.validation else None)
        labelled = self.task.target is not None and self.task.result.dense and not self.task.result.intensities
        if judge is not None and labelled and self.task.supervision.completion(self.options) is None:
            keep_held(self.target.run, judge.sources)

    def _old_test(self, best: Bundle) -> dict[str, Any]:
        """Of a retraining on corrections: how it and its start do on what the start never trained on."""
        if self.start is None or not self.target.corrections or self.control.stop:
            return {}
        old, name = self.start.card, self.start.card.name
        try:
            sources = held_of(find(name))
        except DojoError:
            sources = []
        known = (old.data.get("test") or old.score).get("sentence")
        if not sources or old.zoom != self.card.zoom:
            text = (
                f"{name} on its own test images: {known}. They are not here to score the new model on." if known else ""
            )
            return {"model": name, "sentence": text} if text else {}
        scores = []
        for card, net in ((old, self.start.net), (self.card, best.net)):
            judge = Judge(self.task, options_of(card), card, self.device, tuple(sources))
            scores.append(judge.score(judge.predict(net), decoding_of(card)))
        before, after = scores
        text = f"Test images of {name}: {after.sentence}; before: {before.sentence}."
        return {"model": name, "sentence": text, "before": figures(before), "after": figures(after)}

    def _cover(self, best: Bundle) -> NDArray[np.uint8] | None:
        """A corner of a validation image with its result; None for volumes."""
        source = self.validation.sources[0]
        if len(source.size) != 2:
            return None
        small = replace(source, x=source.x[:, :256, :256])
        judge = replace(self.validation, sources=(small,))
        found = judge.decoded(judge.predict(best.net)[0], self.task.decoding(**self.card.decoding), small)
        return picture(self.task.result, self.card.own(np.asarray(small.x)), found)

    def _warning(self) -> str:
        """That the saved model is no better than the baseline, where there is a ground truth to tell."""
        score, held = ((s or {}).get("selection_score") for s in (self.card.score, self.baseline))
        if not self.setup.scored or self.task.target is None or score is None or held is None or score > held:
            return ""
        return NO_BETTER

    def _tune(self, best: float) -> float:
        """Choose the decoding; the selection score, with which resumed runs compare."""
        before = self.task.decoding(**self.card.decoding)
        tuned = self.validation.tuned(self.best_maps, before)
        if tuned == before:
            return best
        score = self.validation.score(self.best_maps, tuned)
        told = {**figures(score), "from": self.card.score.get("from")}
        self.card = replace(self.card, decoding=asdict(tuned), score=told)
        return score.selection_score


def _unchecked(net: Any, step: int, train_loss: float) -> tuple[Validated, float]:
    """The check of a trial, which is scored at its end alone."""
    return Validated(step, train_loss, None, {}, {}), float("-inf")


def _initial(card: Card, start: Bundle | None) -> tuple[Bundle, bool]:
    """The network to begin with, and whether all of the start's layers fit."""
    bundle = Bundle.new(card)
    if start is None:
        return bundle, True
    old, new = start.net.state_dict(), bundle.net.state_dict()
    fits = {k: v for k, v in old.items() if k in new and v.shape == new[k].shape}
    if start.card.maps != card.maps:  # other classes than the start's
        fits = {k: v for k, v in fits.items() if not k.startswith("head")}
    bundle.net.load_state_dict(fits, strict=False)
    return bundle, len(fits) == len(new)
