"""One training: what the loop asks for, and what is saved of it, from its first step to the finished model."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_dojo.data.batches import Batches, Source
from napari_dojo.events import Control, Done, Event, Failed, Message, Started, Step, Validated
from napari_dojo.models import bundle as bundles
from napari_dojo.models.bundle import Bundle
from napari_dojo.models.card import Card, decoding_of
from napari_dojo.models.cover import picture
from napari_dojo.models.watched import Watched
from napari_dojo.nets import Network
from napari_dojo.settings import at_scale
from napari_dojo.training.checks import Checks, as_good
from napari_dojo.training.corrections import BOLD, averaged, memory_for, old_test
from napari_dojo.training.feed import Feed, Scaled
from napari_dojo.training.held import REMEMBERED, keep_held, keep_memory
from napari_dojo.training.judge import Judge, figures
from napari_dojo.training.learner import Learner
from napari_dojo.training.loop import Budget, Work, fit, follow
from napari_dojo.training.pace import timed_plan
from napari_dojo.training.plan import Plan
from napari_dojo.training.prepare import Setup
from napari_dojo.training.recorder import Recorder, Target, card_of
from napari_dojo.training.resume import kept_plan
from napari_dojo.training.world import World

__all__ = ["Training"]

QUICK = 0.03  # share of a trial that one check on the way may take
RECALLED = 1 / 3  # weight of a memory's score for its decoding: it moves three times as far as that of other images
RIPE = 300  # steps before which a network knows less of objects than what its targets were made by
NOTHING = -10.0  # in all maps where no object is found
NO_BETTER = "The model is no better than the baseline: train longer, or on more images."
AS_GOOD = "The baseline is as good as the model: a simple method is enough for images like these."


@dataclass(frozen=True, eq=False)
class _Best:
    """The best weights before they are saved: those of a start, or of its trial."""

    net: Network
    step: int
    event: Validated
    maps: list[NDArray[np.float32]]


class Training:
    """One training, from a setup.

    ``like`` : a training on the same data, with which it shares what is the same; ``crossed`` : the score of a
    cross-validation; ``why`` : it starts from what it does, in words.
    """

    feed: Feed
    checks: Checks
    learner: Learner
    batches: Batches

    def __init__(
        self,
        setup: Setup,
        target: Target,
        start: Bundle | None,
        control: Control,
        world: World,
        like: Training | None = None,
    ) -> None:
        self.target, self.start, self.control, self.world = target, start, control, world
        self.task, self.options, self.settings = setup.task, setup.options, setup.settings
        assert setup.plan is not None
        assert setup.device is not None
        self.device = setup.device
        self.plan: Plan = world.shared(_settled_plan(setup, target, world, like) if world.rank == 0 else setup.plan)
        self.setup = setup = replace(setup, plan=self.plan)
        if like is not None and (like.plan.zoom, like.setup.rule) != (self.plan.zoom, setup.rule):
            like = None
        samples = like.feed.samples if like else Scaled.of(setup)
        self.split = samples.split
        self.card = card_of(setup, samples.dataset, samples.split, target, samples.fingerprint)
        memory = self._memory()
        if memory and not self.settings.learning_rate:
            self.plan = replace(self.plan, learning_rate=BOLD)
            self.setup = setup = replace(setup, plan=self.plan)
        self.feed = Feed(setup, samples, self.card, memory)
        self.recorder = Recorder(target, setup, self.feed.example(), samples.fingerprint)
        self.improved = True  # the last check was better than all before
        self.checks = Checks(self.feed, control, target.run, like.checks if like else None)
        self.test = self.feed.judge(samples.split.test) if samples.split.test else None
        self.best: _Best | None = None  # not saved yet
        self.best_maps: list[NDArray[np.float32]] = []
        self.why = ""
        self.crossed: dict[str, Any] = {}
        self.paused = 0.0  # seconds of its trial
        self.halfway: float | None = None  # validation loss after half of its trial
        self._notes: list[Event] = []
        self._like = like

    def begin(self) -> None:
        """Make the learner and its batches; a start is measured before any training."""
        self.learner, fits = self._learner()
        self._fits = fits
        learner = self.learner
        if not fits:
            text = "The classes differ from those of the model to start from: its last layer is new."
            self._notes.append(Message("info", text))
        if self.feed.memory:
            said = f"Rehearses {len(self.feed.memory)} parts of the images of {self._remembered}, so that they are not lost."
            self._notes.append(Message("info", said))
        if self.target.resume and (self.target.run / "state.pt").exists():
            self._resume(learner)
            self._notes.append(Message("info", f"Resumed after step {learner.step}."))
        elif self.start is not None and fits:
            self._measure()
        learner.agree()
        like, self._like = self._like, None
        same = [
            (t.plan.patch, t.plan.batch, t.plan.few, t.world.size, t._remembered, t._completed_by)
            for t in (like, self)
            if t is not None
        ]
        self.batches = like.batches if like is not None and same[0] == same[1] else self._batches()

    def attempt(
        self, seconds: float, steps: int, most: float = float("inf")
    ) -> Generator[float | Validated, None, None]:
        """Train for so long (0: the other rules), and measure; yields the share that is done, and checks.

        There is one at the end, and others on the way where they take little of the time. Ends at its half where the
        validation loss is more than ``most`` then.
        """
        learner, quick, began = self.learner, Control(), time.monotonic()
        often = bool(seconds) and self.checks.took <= QUICK * seconds
        work = replace(self._work(self.batches), check=self._check if often else _unchecked, keep=self._hold)
        longest = 1.5 * seconds if steps and seconds else seconds
        for event in fit(learner, work, replace(self._budget(), began=began), quick):
            over = (steps and learner.step >= steps) or (longest and learner.seconds >= longest)
            quick.stop = self.control.stop or bool(over)
            if isinstance(event, Step):
                done = learner.step / steps if steps else min(1.0, learner.seconds / seconds)
                if done >= 0.5 and self.halfway is None:
                    self.halfway = self.checks.loss(learner.average)
                    quick.stop = quick.stop or self.halfway > most
                yield done
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
        """The maps (K, *S) of each crop of validation by the network as it is now."""
        return self.checks.judge.predict(self.learner.average)

    def agreement(self) -> float:
        """The score of the start as it is; its decoding counts pixels of the images that it was trained on."""
        assert self.start is not None
        judge, start = self.checks.judge, self.start.card
        decoding = at_scale(decoding_of(start), (start.zoom / self.card.zoom) ** len(start.spatial))
        return judge.score(judge.predict(self.start.net), decoding).selection_score

    @property
    def hopeless(self) -> bool:
        """Whether its start is no nearer to the targets, before any training, than a new network.

        Loss tells it where scores cannot: a model of dark objects finds as little among bright ones as a new network does
        (AP 0), but is sure of it, and takes longer to learn than one that knows nothing.

        Where annotation is partial, the loss has targets of a classifier, which may be wrong where the start is right. So no start is
        hopeless that agrees with the annotation as well as the baseline, and better than a network that finds nothing.
        """
        known = self.checked.validation_loss if self.checked is not None and self.start is not None else None
        new = Bundle.new(self.card).net.to(self.learner.device).eval()
        if known is None or known < self.checks.loss(new):
            return False
        if not self._partial:
            return True
        nothing = [np.full_like(maps, NOTHING) for maps in self.checks.maps]
        found = self.checks.judge.score(nothing, self.checks.decoding).selection_score
        return self.reached <= found or self.reached < (self.baseline or {}).get("selection_score", 0.0)

    def leave(self, better: Training) -> None:
        """Another one continues."""
        if self.batches is not better.batches:
            self.batches.close()

    @property
    def checked(self) -> Validated | None:
        """The last check."""
        return self.checks.last

    @property
    def baseline(self) -> dict[str, Any] | None:
        """The baseline's score, None before the first check."""
        return self.checks.baseline

    @property
    def took(self) -> float:
        """Seconds of the last check."""
        return self.checks.took

    @property
    def validation(self) -> Judge:
        """What it is scored on."""
        return self.checks.judge

    @property
    def reached(self) -> float:
        """The best score so far; the last one where the last weights are kept."""
        chosen = not self._unchosen or self.task.target is None
        return self.learner.best if chosen else float(self.checks.score["selection_score"])

    @property
    def figure(self) -> str:
        """The best score so far, with its name and unit."""
        if self.task.target is None:
            return f"validation loss {-self.reached:.3g}"
        name, _, unit = str(self.checks.score.get("measure", "score")).partition(", ")
        digits = ".1f" if unit else ".3f"
        return f"{name} {self.reached:{digits}} {unit}".rstrip()

    @property
    def best_step(self) -> int:
        """The step that had the best score so far."""
        return self.best.step if self.best else self.learner.step

    def steps(self) -> Iterator[Event]:
        """The whole training, or what is left of it after a trial."""
        yield Started(self._told())
        meant = "outside" if self.target.corrections else None  # what is not accepted is not to be used
        found = [f for f in self.setup.summary.findings if f.level == "warning" and f.code != meant]
        yield from [Message("warning", f.text) for f in found]
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

    def _memory(self) -> tuple[Source, ...]:
        """Of a retraining on corrections: what its start was trained on."""
        if self.start is None or not self.target.corrections or self._partial:
            return ()
        return memory_for(self.start, self.card)

    @property
    def _partial(self) -> bool:
        """Whether the annotation leaves much open, so that it is completed."""
        return self.task.supervision.completion(self.options) is not None

    @property
    def _remembered(self) -> str:
        """The start whose memory is rehearsed; empty: none is."""
        return self.start.card.name if self.start is not None and self.feed.memory else ""

    @property
    def _completed_by(self) -> str:
        """The start whose predictions complete annotation that is partial; empty: there is none, or nothing to complete."""
        return self.start.card.name if self._partial and self.start is not None and self._fits else ""

    def follow(self) -> None:
        """The part of a process that is not the first: to make the same steps."""
        learner, self._fits = self._learner()
        learner.agree()
        self.learner = learner
        with self._batches() as batches:
            follow(learner, self._work(batches), self.control)

    def _learner(self) -> tuple[Learner, bool]:
        """A new one, and whether all of the start's layers fit."""
        torch.manual_seed(self.settings.seed)
        bundle, fits = _initial(self.card, self.start)
        return Learner(bundle.net, self.device, self.plan.learning_rate, self.plan.steps, self.world), fits

    def _batches(self) -> Batches:
        """From the step that comes next."""
        knows = self.learner.step or (self.start is not None and self._fits)
        return self.feed.batches(self.learner, self.learner.average if knows else None, self.world)

    def _work(self, batches: Batches) -> Work:
        completion = self.task.supervision.completion(self.options)
        alone = self.world.size == 1  # several processes would have to do it at the same step
        shares = completion.at if completion is not None and alone else ()

        def renew(net: Network) -> None:
            if self.learner.step >= RIPE:
                batches.renew(self.feed.training_sources(net))

        return Work(batches, self.feed.loss, self._check, self._keep, renew, shares)

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
            self.best = _Best(deepcopy(self._settled(learner.average)), learner.step, self.checked, self.checks.maps)

    def _check(self, net: Network, step: int, train_loss: float) -> tuple[Validated, float]:
        """Score the averaged network on validation."""
        told, figure = self.checks.check(self._settled(net), step, train_loss)
        self.improved = figure > self.learner.best
        return told, float(step) if self._unchosen else as_good(figure, self.learner.best, self.checks.score)

    @property
    def _unchosen(self) -> bool:
        """Whether there is nothing to choose weights by, so that the last ones are kept.

        After a cross-validation all is trained on. Of what a person corrected, most is what the start predicted and they
        accepted: nothing agrees with that as well as the start itself. And strokes that are trained on tell little of objects.
        """
        return bool(self.crossed) or ((self.target.corrections or self._partial) and not self.split.validation)

    def _settled(self, net: Network) -> Network:
        """The network that is scored and saved: of a retraining on corrections without a memory, a mean of it and its start.

        With a memory, nothing has to be given up.
        """
        if self.start is None or not self.target.corrections:
            return net
        plain = self._partial or self.feed.memory or not self._fits
        return net if plain else averaged(net, self.start.net)

    def _keep(self, learner: Learner, better: bool) -> None:
        """Save the model where it is better, and then the state, which says how good the model is that lies there."""
        best, self.best = self.best, None
        if better:
            self.best_maps = self.checks.maps
            self._save(learner, self._settled(learner.average))
        elif best is not None:
            self.best_maps, self.checks.score = best.maps, best.event.score
            self._save(learner, best.net)
        self.recorder.state(learner)

    def _save(self, learner: Learner, net: Network, cover: NDArray[np.uint8] | None = None) -> None:
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
        score = self.crossed or {**self.checks.score, "from": "validation" if self.split.validation else "training"}
        self.card = replace(self.card, score=score, baseline=self.checks.baseline or {}, training=training)
        self.recorder.model(self.card, net, cover)

    @property
    def _seconds(self) -> float:
        """That were spent, those of a cross-validation among them."""
        return round(self.learner.seconds + self.crossed.get("seconds", 0.0), 1)

    def _resume(self, learner: Learner) -> None:
        saved = self.recorder.resume(learner)
        if saved is not None:
            self.card = replace(self.card, decoding=saved.decoding, score=saved.score)
            self.checks.decoding, self.checks.baseline = decoding_of(self.card), saved.baseline or None
        self.checks.watched = Watched.read(self.target.out)

    def _finish(self, learner: Learner) -> Event:
        """Tune the decoding, score the test crops, and save the model for good."""
        best = bundles.load(self.target.out)
        if not self.best_maps and self.checked is not None and not self.control.stop:  # it was found before a resume
            self.best_maps = self.checks.judge.predict(best.net)
        if not self.control.stop and self.best_maps:
            learner.best = self._tune(best.net, learner.best)
            if self.crossed or (not best.net.dense and self.split.validation):
                best.net.sharpen(1 / (self.crossed.get("temperature") or self.checks.judge.temperature(self.best_maps)))
        self.checks.score = {k: v for k, v in self.card.score.items() if k != "from"}
        if not self.control.stop:
            self._test(best)
        self._keep(learner, False)
        self._save(learner, best.net, self._cover(best))
        beside = {}
        if self.start is not None and self.target.corrections and not self.control.stop:
            beside = old_test(self.start, replace(best, card=self.card), self.device)
        self._keep_parts()
        if self.checks.watched is not None:
            self.checks.watched.write(self.target.run)
        facts = {
            "rising": self.improved and not self._unchosen,
            "warning": self._warning(),
            "steps": learner.step,
            "seconds": self._seconds,
            "score": self.card.score,
            "test": self.card.data.get("test"),
            "baseline": self.checks.baseline or {},
            "score_from": self.card.score.get("from"),
            "sentence": self.card.score.get("sentence", ""),
            "excluded": self.card.data["excluded"],
            "start": self.why,
            **({"old_test": beside} if beside else {}),
        }
        return Done(str(self.target.out), facts)

    def _test(self, best: Bundle) -> None:
        """Score on what training never saw, and how large errors are to be expected."""
        if self.test is not None:
            score = self.test.score(self.test.predict(best.net), self.checks.decoding)
            self.card = replace(self.card, data={**self.card.data, "test": figures(score)})
        if self.task.result.intensities and self.task.target is not None:
            found = self.checks.judge.calibration(best.net)
            if found is not None:
                data = {**self.card.data, "calibration": found[1]}
                self.card = replace(self.card, calibration=found[0], data=data)

    def _keep_parts(self) -> None:
        """Keep some of what was not trained on, and some of what was, for the models that begin from this one."""
        judge = self.test or (self.checks.judge if self.split.validation else None)
        labelled = self.task.target is not None and self.task.target.kind.drawn
        if judge is not None and labelled and not self._partial:
            keep_held(self.target.run, judge.sources)
        if labelled and not self._partial and not self.target.corrections:
            crops = self.split.training
            keep_memory(self.target.run, self.feed.sources(crops[:: max(1, -(-len(crops) // REMEMBERED))]))

    def _cover(self, best: Bundle) -> NDArray[np.uint8] | None:
        """A corner of a validation image with its result; None for volumes."""
        source = self.checks.judge.sources[0]
        if len(source.size) != 2:
            return None
        small = replace(source, x=source.x[:, :256, :256])
        judge = replace(self.checks.judge, sources=(small,))
        found = judge.decoded(judge.predict(best.net)[0], self.checks.decoding, small)
        return picture(self.task.result, self.card.own(np.asarray(small.x)), found)

    def _warning(self) -> str:
        """That the saved model is no better than the baseline, where there is a ground truth to tell."""
        score, held = ((s or {}).get("selection_score") for s in (self.card.score, self.checks.baseline))
        if not self.setup.scored or self.task.target is None or score is None or held is None or score > held:
            return ""
        return AS_GOOD if score == held > 0 else NO_BETTER

    def _tune(self, net: Network, best: float) -> float:
        """Choose the decoding; the selection score, with which resumed runs compare."""
        judge, before = self.checks.judge, self.checks.decoding
        known = replace(judge, sources=self.feed.memory)
        maps = known.predict(net) if known.sources else []
        tuned = judge.tuned(
            self.best_maps, before, lambda d: RECALLED * known.score(maps, d).selection_score if maps else 0.0
        )
        if tuned == before:
            return best
        score = judge.score(self.best_maps, tuned)
        told = {**figures(score), "from": self.card.score.get("from")}
        self.checks.decoding = tuned
        self.card = replace(self.card, decoding=asdict(tuned), score=told)
        return score.selection_score


def _unchecked(net: Network, step: int, train_loss: float) -> tuple[Validated, float]:
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


def _settled_plan(setup: Setup, target: Target, world: World, like: Training | None) -> Plan:
    """The one of the run that is resumed, with the batch that a person asks for now, or of a training from the same start;
    else the one that suits the device.
    """
    plan, device = setup.plan, setup.device
    assert plan is not None
    assert device is not None
    if like is not None and like.world.size == world.size and like.setup.start == setup.start:
        return like.plan
    kept = kept_plan(target.out, plan) if target.resume else None
    if kept is not None and setup.settings.batch:
        return replace(kept, batch=plan.batch)
    return kept or timed_plan(setup, device)
