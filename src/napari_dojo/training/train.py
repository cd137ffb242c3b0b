"""Train a model: prepare, find the start, train. Every event goes to the caller and into the run's folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal, TypeVar

from napari_dojo import device as devices
from napari_dojo.data.dataset import Dataset
from napari_dojo.data.split import Split
from napari_dojo.errors import DojoError, FullDiskError
from napari_dojo.events import (
    Control,
    Event,
    Message,
    Progress,
    changed,
)
from napari_dojo.models import bundle as bundles
from napari_dojo.models.bundle import Bundle
from napari_dojo.models.card import Card, read_card
from napari_dojo.models.library import Model, find
from napari_dojo.settings import TrainSettings
from napari_dojo.tasks import TASKS, Task
from napari_dojo.training.crossed import CROSSED, cross_validated
from napari_dojo.training.prepare import Setup, prepare
from napari_dojo.training.recorder import Target
from napari_dojo.training.resume import check_resumed, kept_plan, start_of
from napari_dojo.training.run import Training
from napari_dojo.training.start import AUTO, NONE, Start
from napari_dojo.training.trials import find_start
from napari_dojo.training.world import World, join

__all__ = ["Target", "train_steps"]

UNSURE = 0.02  # of agreement between a start and labels: no reason for a scale


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
    bundle, auto = (_kept_start(target, start), False) if resumed else _given(start)
    card: Card | Literal["auto"] | None = bundle.card if bundle else "auto" if auto else None
    setup = prepare(
        dataset, task, options or task.options(), settings, device, start_of(target.out) if resumed else card
    )
    if setup.summary.errors:
        raise DojoError(setup.summary.errors[0])
    if resumed:
        setup = _at_the_kept_scale(setup, target)
    if world.rank == 0:
        target.check_free()

    def make(
        model: Model | None, like: Training | None, among: World | None = None, split: Split | None = None
    ) -> Training:
        found, given = bundle if model is None else bundles.load(model.path), setup if among else setup.trial
        decided = given if model is None or found is None else given.starting_from(found.card)
        decided = decided if split is None else replace(decided, split=split)
        made = partial(Training, target=target, start=found, control=control, world=among or World(), like=like)
        return made(decided) if found is None or resumed else _at_the_scale_of(found, decided, made)

    training, before = yield from _begun(make, setup, target, control, world)
    if training is None:
        return
    yield from _recorded(training, before, target)


def _recorded(training: Training, before: Sequence[Event], target: Target) -> Iterator[Event]:
    """The events of a training, recorded after those of what came before it."""
    try:
        for event in before:
            training.recorder.event(event)
        for event in training.steps():
            training.recorder.event(event)
            yield event
    except FullDiskError as error:  # of a file beside the model: a person knows the model's folder
        raise FullDiskError(target.out, error.nbytes) from error


def _begun(
    make: Callable[..., Training], setup: Setup, target: Target, control: Control, world: World
) -> Generator[Event, None, tuple[Training | None, list[Event]]]:
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

        def part(k: int) -> Training:
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


def _at_the_scale_of(start: Bundle, setup: Setup, made: Callable[[Setup], Training]) -> Training:
    """The training with objects brought to the size of the start's, or as they are if the start then agrees no worse with the labels.

    A network knows objects of more than one size, and what a person corrects was predicted at one of the two scales.
    """
    plain = setup.starting_from(start.card, resize=False)
    usual = made(setup)
    if plain.plan == setup.plan or start.card.task != setup.task.name:
        return usual
    other = made(plain)
    if other.plan.zoom == usual.plan.zoom:  # that of the same training before
        return usual
    first = usual.world.rank == 0
    as_they_are = usual.world.shared(first and other.agreement() > max(UNSURE, usual.agreement() - UNSURE))
    return other if as_they_are else usual


def _at_the_kept_scale(setup: Setup, target: Target) -> Setup:
    """The setup of a run that is resumed: objects stay as they are where they did, see `_at_the_scale_of`."""
    if setup.start is None or setup.plan is None:
        return setup
    plain, kept = setup.starting_from(setup.start, resize=False), kept_plan(target.out, setup.plan)
    return plain if kept and plain.plan and kept.zoom == plain.plan.zoom else setup


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


def _kept_start(target: Target, start: Bundle | Start) -> Bundle | None:
    """The start of a retraining on corrections that is resumed, which is part of every model that it saves; None for others.

    None, too, where that model is gone or is another one by now.
    """
    card = start_of(target.out)
    if card is None or not target.corrections:
        return None
    try:
        found, _ = _given(card.name if start in (None, NONE, AUTO) else start)
    except DojoError:
        return None
    return found if found is not None and found.card.as_dict() == card.as_dict() else None


T = TypeVar("T")


def _kept(steps: Generator[Event, None, T], events: list[Event]) -> Generator[Event, None, T]:
    """The same events, those that a log keeps added to ``events``."""

    def keep(event: Event) -> Event:
        if not isinstance(event, Progress):
            events.append(event)
        return event

    return (yield from changed(steps, keep))
