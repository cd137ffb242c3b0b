"""What a training starts from: nothing, a model that a person names, or whichever of those that fit does best. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import log
from pathlib import Path
from typing import Literal

from napari_dojo.data.dataset import Dataset
from napari_dojo.data.holding import Held
from napari_dojo.data.normalize import Rule
from napari_dojo.metrics.domain_shift import outside, profile_of
from napari_dojo.models.card import Card
from napari_dojo.models.library import Model, models
from napari_dojo.settings import TrainSettings
from napari_dojo.tasks import Finding, Summary, Task, may_start_from
from napari_dojo.training.plan import MINUTES, Plan

__all__ = ["AUTO", "DECIDED", "NONE", "Comparison", "Start", "comparison", "fitting", "possible_starts"]

Start = Path | str | None  # AUTO, NONE (or None), or a model by its name or folder

AUTO, NONE = "auto", "none"
MOST = 2  # models that are compared with nothing
SHARE, LONGEST, SHORTEST = 0.08, 120.0, 40.0  # of the time for each trial, at most so long; no trials in less time
FEWEST = 20  # steps of a trial, a tenth of all; no trials where it is less


@dataclass(frozen=True)
class Comparison:
    """How a training finds out what to start from.

    Attributes
    ----------
    models : what is compared with nothing; empty where nothing is to be found out.
    by : "trials" trains with each for a while, and the best validation score wins; "baseline" takes the best of them
        before any training if it is better than the task's baseline; "nothing" cannot tell, and starts from nothing.
    why : where there are no trials, the reason.
    seconds, steps : of each trial; 0 where the other rules.
    scores : the baseline's score can be compared with; so it is, too, where a check takes longer than a trial.
    held : what trials are made with where there is no validation: the winner then begins again, with all of the annotation.
    """

    models: tuple[Model, ...] = ()
    by: Literal["trials", "baseline", "nothing"] = "nothing"
    why: str = ""
    seconds: float = 0.0
    steps: int = 0
    scores: bool = False
    held: Held | None = None

    @property
    def names(self) -> str:
        """Of the models."""
        return " and ".join(model.name for model in self.models)

    def without_trials(self, why: str, scores: bool) -> Comparison:
        """The same where there is no time or validation for them; ``scores`` : the baseline's can be compared with."""
        return Comparison(self.models, "baseline" if scores else "nothing", why)

    @property
    def finding(self) -> Finding:
        """What the check says of it."""
        if self.by == "trials":
            long = f"{self.seconds:.0f} s" if self.seconds else f"{self.steps:,} steps"
            text = f"Starts that are compared first, {long} each: nothing, {self.names}"
            if self.held is not None:
                text += f" (on {self.held.pieces} of {self.held.of} annotated places, which are held out for it)"
            return Finding("ok", text, code="start")
        if self.by == "baseline":
            best = f"the better of {self.names}" if len(self.models) > 1 else self.names
            text = f"Starts from {best} if it beats the baseline before any training ({self.why})"
            return Finding("ok", text, code="start")
        return Finding("ok", f"Starts from nothing: {self.names} cannot be compared with it ({self.why})", code="start")


DECIDED = Comparison()


def possible_starts(task: Task, channels: int, spatial: str, upsampling: Mapping[str, int]) -> list[Model]:
    """Models that a training of the task on such images can be started from."""
    return [
        model
        for model in models()
        if may_start_from(task, model.card.task)
        and (model.card.channels, model.card.spatial) == (channels, spatial)
        and model.card.upsampling == dict(upsampling)
    ]


def fitting(task: Task, dataset: Dataset, summary: Summary, settings: TrainSettings) -> tuple[Model, ...]:
    """The shipped and own models that are compared with a new one, the most alike first; ``dataset`` as it is trained on.

    Where there are more than are compared, one is a person's own, whatever looks more alike, and one is shipped.
    """
    there = possible_starts(task, dataset.channels, dataset.spatial, task.layout(summary.options).upsampling)
    there = [m for m in there if m.origin != "lab" and not m.card.data.get("corrections")]
    fit = [m for m in there if _fits(m.card, task, dataset, summary, settings)]
    if len(fit) > 1:
        x = dataset.samples[0].x
        seen = profile_of(x, Rule().measure(x)) if task.result.intensities else {}
        fit.sort(key=lambda m: _distance(m.card, summary.diameter, seen))
        nearest = [next((m for m in fit if m.origin == origin), fit[0]) for origin in ("own", "shipped")]
        fit.sort(key=lambda m: m not in nearest)
    return tuple(fit[:MOST])


def comparison(
    fit: tuple[Model, ...], scores: bool, held: Held | bool, settings: TrainSettings, plan: Plan | None
) -> Comparison:
    """How models are compared with nothing: by trials where there is validation and time for them.

    ``scores`` : the task's scores say how good a model is before any training; ``plan`` None where it is not known yet;
    ``held`` : annotation that is held out for trials, or whether there is validation.
    """
    steps = (plan.steps if plan else settings.steps) or 0
    counted = bool(settings.steps or settings.epochs)
    seconds = 0.0 if counted else 60 * (settings.minutes or MINUTES)
    trial = steps // 10 if counted else 0
    why = "" if held else "no validation"
    if not why and (trial < FEWEST if counted else seconds < SHORTEST):
        why = "the training is short"
    if not why:
        kept = None if isinstance(held, bool) else held
        return Comparison(fit, "trials", "", min(LONGEST, SHARE * seconds), trial, scores, kept)
    return Comparison(fit).without_trials(why, scores)


def _fits(card: Card, task: Task, dataset: Dataset, summary: Summary, settings: TrainSettings) -> bool:
    """Whether a model's score can be compared with that of a new one, and its network is one that was asked for."""
    net = card.net_options
    plain = task.target is not None or (card.rule == Rule(frames=card.rule.frames) and card.zoom == 1)  # losses compare
    return (
        plain
        and (card.net, card.context, card.maps) == (summary.hints.network, dataset.context, summary.maps)
        and settings.width in (0, net.get("width"))
        and settings.depth in (0, 1 + len(net.get("pools", ())))
    )


def _distance(card: Card, diameter: float | None, seen: Mapping[str, float]) -> float:
    """How far these data are from those of a model: by the size of objects, and by how intensities look."""
    size = abs(log(diameter / card.diameter)) if diameter and card.diameter else 0.0
    return size + (outside(card.data.get("seen") or {}, seen) if seen else 0.0)
