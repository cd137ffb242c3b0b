"""Train a model: check, plan, learn, judge, keep. Every event goes to the caller and into the run's folder."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_dojo import device as devices
from napari_dojo import nets
from napari_dojo.data.batches import Batches, Recipe, Source
from napari_dojo.data.dataset import Crop, Dataset, Sample, Split
from napari_dojo.data.normalize import Normalization, Rule
from napari_dojo.data.resample import resize, resize_labels
from napari_dojo.errors import DojoError
from napari_dojo.events import (
    Control,
    Done,
    Event,
    Failed,
    Message,
    Started,
    StoppedError,
    Validated,
    encode,
    result_of,
)
from napari_dojo.inference import tta
from napari_dojo.inference.predict import decoded, predict_sample
from napari_dojo.inference.predictor import Predictor
from napari_dojo.io.atomic import replacing, write_safely
from napari_dojo.metrics.domain_shift import profile, seen
from napari_dojo.models import bundle as bundles
from napari_dojo.models.bundle import Bundle
from napari_dojo.models.card import Card, read_card
from napari_dojo.settings import TrainSettings
from napari_dojo.tasks import TASKS, Summary, Task
from napari_dojo.training.loop import Budget, Learner, Work, fit
from napari_dojo.training.plan import Plan, plan_for
from napari_dojo.training.resume import check_resumed, fingerprint

__all__ = ["Target", "train_steps"]

CALIBRATED = 500_000  # pixels on which errors are held against the uncertainty
LOOKED_AT = 24  # training images whose looks are remembered
JUDGED = 600_000.0  # pixels that are judged per minute of training on a CPU; a check then takes about 0.5 s


@dataclass(frozen=True)
class Target:
    """Where a training goes, and what it is called.

    Attributes
    ----------
    out : the model's folder; ``out/run`` holds what is needed to resume.
    resume : continue the unfinished run in it; ``overwrite`` : replace it.
    name, description, license, authors : for the model card.
    began : time.monotonic() at which the budget starts to count.
    """

    out: Path
    resume: bool = False
    overwrite: bool = False
    name: str = ""
    description: str = ""
    license: str | None = None
    authors: tuple[str, ...] = ()
    began: float | None = None


def train_steps(
    dataset: Dataset,
    task: Task | str,
    target: Target,
    settings: TrainSettings | None = None,
    options: Any = None,
    start: Bundle | None = None,
    control: Control | None = None,
) -> Iterator[Event]:
    """Train a model on pairs and save it; with ``start``, fine-tune a trained one.

    Yields events, the last of which is Done with the model's folder. Asking for no more pauses; closing the generator
    loses what came after the last saved state.

    Raises
    ------
    DojoError : where the data, the choices or the folder do not allow it, before anything is written.
    """
    task = TASKS[task] if isinstance(task, str) else task
    settings, control = settings or TrainSettings(), control or Control()
    target = replace(target, began=time.monotonic() if target.began is None else target.began)
    facts = task.check(dataset, options or task.options())
    if facts.errors:
        raise DojoError(facts.errors[0])
    dataset = task.prepare(dataset, facts.options)
    _check_free(target)
    training = _Training(dataset, task, target, settings, facts, start, control)
    if target.resume:
        check_resumed(target.out, task.name, training.fingerprint)
    log = _Log(target.out / "run" / "events.jsonl")
    for event in training.steps():
        log.write(event, training.saved)
        yield event


class _Log:
    """Events, one line of JSON each; single steps are left out. Nothing is written before the first state is saved."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._waiting = ""

    def write(self, event: Event, saved: bool) -> None:
        if type(event).__name__ != "Step":
            self._waiting += encode(event) + "\n"
        if saved and self._waiting:
            with _writing(self._path):
                self._path.parent.mkdir(parents=True, exist_ok=True)
                with self._path.open("a") as f:
                    f.write(self._waiting)
            self._waiting = ""


class _Training:
    """One training: everything decided before the first step, and what the loop asks for."""

    def __init__(
        self,
        dataset: Dataset,
        task: Task,
        target: Target,
        settings: TrainSettings,
        facts: Summary,
        start: Bundle | None,
        control: Control,
    ) -> None:
        self.task, self.target, self.settings, self.facts, self.control = task, target, settings, facts, control
        self.start = start
        self.options = facts.options
        self.split: Split = dataset.split(settings.validation, settings.test, settings.seed)
        self.device = devices.choose(settings.device)
        self.rule = start.card.rule if start else Rule()
        if getattr(facts.options, "each", False):
            self.rule = replace(self.rule, frames="each")
        self.plan = self._plan(dataset)
        self.dataset, self.split = _zoomed(dataset, self.split, self.plan.zoom, task.target == "labels")
        self.fingerprint = fingerprint(self.dataset, self.split)
        self.card = self._card()
        self.run = target.out / "run"
        self.saved = False
        self.norms = {i: item.normalization(self.rule) for i, item in enumerate(self.dataset.samples)}
        share = JUDGED * (self.plan.minutes or 3.0) * (1 if self.device.kind == "cpu" else 4)
        judged = self.split.validation or self.split.training
        self.judged = self._sources(_some(judged, float(np.clip(share, 3e5, 4e6)), settings.seed))
        self.tested = self._sources(_some(self.split.test, float(np.clip(share, 3e5, 4e6)), settings.seed))
        self.baseline: dict[str, Any] | None = None
        self.best_maps: list[NDArray[np.float32]] = []
        self.last_maps: list[NDArray[np.float32]] = []
        self.last_score: dict[str, Any] = {}

    def steps(self) -> Iterator[Event]:
        """The whole training."""
        said = [Message("warning", w) for w in self.facts.warnings]
        yield Started(self._told())
        yield from said
        torch.manual_seed(self.settings.seed)
        bundle, skipped = _fresh(self.card, self.start)
        if skipped:
            yield Message(
                "info", "The number of outputs differs from that of the start model: its last layer is reinitialized."
            )
        learner = Learner(bundle.net, devices.prepare(self.device), self.plan.learning_rate)
        if self.target.resume and (self.run / "state.pt").exists():
            self._go_on(learner)
            yield Message("info", f"Resuming after step {learner.step}.")
        budget = Budget(
            self.target.began or time.monotonic(),
            None if self.plan.minutes else self.plan.steps,
            self.plan.minutes,
            reserve=min(4.0, 0.05 * 60 * (self.plan.minutes or 2.0)),
            last_checks=2 if self.tested else 1,
        )
        sources = self._sources(self.split.training)
        with self._batches(sources, learner.step) as batches:
            intensity = self.task.intensity if self.settings.augment else None
            work = Work(batches, self._loss, intensity, self._check, self._keep)
            first = learner.step
            yield from fit(learner, work, budget, self.device, self.control, self.settings.seed)
        if learner.step == first and self.control.stop:
            yield Failed("Stopped before the first step: nothing was saved.")
            return
        yield self._finish(learner)

    @property
    def scale(self) -> tuple[int, ...]:
        """Output pixels per input pixel of the net, for each spatial axis; empty: 1."""
        return tuple(self.card.net_options.get("scale", ()))

    def _sources(self, parts: Sequence[Crop]) -> list[Source]:
        labels, found = self.task.target == "labels", []
        for k, p in enumerate(parts):
            item, norm = self.dataset.samples[p.item], self.norms[p.item]
            target = None if labels else self.card.answers(norm)
            found.append(Source.of(item, p, norm, labels, self.settings.seed + k, target, self.scale))
        return found

    def _batches(self, sources: Sequence[Source], first: int) -> Batches:
        workers = 1 if self.device.kind == "cpu" else max(1, min(8, self.device.cores - 1))
        return Batches(sources, self._recipe(), self.plan.batch, self.settings.seed, first, workers)

    def _loss(self, out: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        return self.task.loss(out, target, weight, self.options)

    def _plan(self, dataset: Dataset) -> Plan:
        card = self.start.card if self.start else None
        if card and card.task not in (self.task.name, *self.task.starts):
            raise DojoError(
                f"The model to start from ({card.name}) is for {card.task}; these data are for {self.task.name}. "
                "Start from another model, or from nothing."
            )
        return plan_for(dataset, self.split, self.facts, self.device, self.settings, card)

    def _card(self) -> Card:
        dataset, target, plan = self.dataset, self.target, self.plan
        decoding = self.facts.decoding or self.task.decoding()
        return Card(
            name=target.name or target.out.name,
            task=self.task.name,
            options=asdict(self.options),
            decoding=asdict(decoding),
            net="unet",
            net_options={**plan.net, **self._net()},
            axes=dataset.axes,
            spatial=dataset.spatial,
            channels=dataset.channels,
            reach=dataset.reach,
            channel_names=dataset.channel_names,
            target=self._target_numbers(),
            maps=self.task.names(self.options),
            rule=self.rule,
            pixel_size=dataset.pixel_size,
            unit=dataset.unit,
            diameter=self.facts.diameter,
            zoom=plan.zoom,
            finer=self.task.finer(self.options),
            description=target.description,
            license=target.license,
            authors=target.authors,
            split={
                "how": self.split.how,
                **{k: len(getattr(self.split, k)) for k in ("training", "validation", "test")},
            },
            data={
                "images": len(dataset.samples),
                "objects": self.facts.objects,
                "fingerprint": self.fingerprint,
                "excluded": [asdict(e) for e in dataset.excluded],
                "seen": self._seen(),
            },
            parent=self.start.card.name if self.start else None,
        )

    def _net(self) -> dict[str, Any]:
        """The network arguments that the task needs, or those of the model to fine-tune."""
        if self.start is None:
            return self.task.net(self.options, self.dataset)
        known = self.start.card.net_options
        return {k: known[k] for k in ("scale", "direct", "norm", "smooth") if k in known}

    def _target_numbers(self) -> Normalization | None:
        """What brings answers into the targets' units, measured on all that is learned from; None where the input's do."""
        if self.task.target != "image" or not self.task.own_units:
            return None
        measured = [self.rule.measure(self.dataset.samples[i].y) for i in sorted({p.item for p in self.split.training})]
        low = np.median([m.offset for m in measured], 0)
        high = np.median([np.add(m.offset, m.scale) for m in measured], 0)
        return Normalization(tuple(map(float, low)), tuple(float(s) or 1.0 for s in high - low))

    def _seen(self) -> dict[str, list[float]]:
        """What training images look like, for tasks whose answers are images."""
        if not self.task.result.intensities:
            return {}
        items = [self.dataset.samples[i] for i in sorted({p.item for p in self.split.training})]
        some = items[:: max(1, -(-len(items) // LOOKED_AT))]
        return seen(profile(item.normalization(self.rule).apply(item.x)) for item in some)

    def _told(self) -> dict[str, Any]:
        plan = asdict(self.plan)
        how = (
            f"Validation: {self.split.how}"
            if self.split.validation
            else "No validation: scores come from the training images"
        )
        return {
            **plan,
            "sentence": f"{self.device.sentence}: {self.plan.sentence}",
            "device": self.device.sentence,
            "split": how,
            "findings": [{"level": f.level, "text": f.text} for f in self.facts.findings],
        }

    def _check(self, net: Any, step: int, train_loss: float) -> tuple[Validated, float]:
        """Judge the averaged net on validation."""
        predictor = Predictor(net, self.device)
        maps, counts = [], None
        decoding = self.task.decoding(**self.card.decoding)
        for source in self.judged:
            out = self._maps(predictor, source)
            maps.append(out)
            one = self._score(self._answer(out, decoding, source), source)
            counts = one if counts is None else counts + one
        if self.baseline is None:
            self.baseline = self._baseline()
        self.last_maps, self.last_score = maps, self._scored(counts)
        loss = self._loss_of(net)
        preview = self._preview(predictor, decoding)
        told = Validated(
            step, train_loss, loss if self.split.validation else None, self.last_score, self.baseline, preview
        )
        return told, -loss if self.task.target == "none" else self.task.selection_score(counts)

    def _maps(self, predictor: Predictor, source: Source) -> NDArray[np.float32]:
        return result_of(predictor.maps(source.x, source.norm))

    def _answer(self, maps: NDArray[np.float32], decoding: Any, source: Source) -> NDArray[Any]:
        return decoded(self.card, maps, source.norm, decoding)

    def _truth(self, source: Source) -> NDArray[Any]:
        """What is right; where nobody says it, the input."""
        return self.card.own(np.asarray(source.x)) if source.y is None else np.asarray(source.y)

    def _score(self, result: NDArray[Any], source: Source) -> Any:
        return self.task.score(result, self._truth(source), source.region, self.options)

    def _baseline(self) -> dict[str, Any]:
        counts = None
        inputs = [self.card.own(np.asarray(s.x)) for s in self.judged]
        answers, method = self.task.baseline(inputs, [self._truth(s) for s in self.judged], self.options)
        for source, found in zip(self.judged, answers, strict=True):
            one = self._score(found, source)
            counts = one if counts is None else counts + one
        return {**self._scored(counts), "method": method}

    def _scored(self, counts: Any) -> dict[str, Any]:
        if counts is None:
            return {}
        figure = {"headline": self.task.selection_score(counts), "measure": self.task.measure}
        return {"sentence": counts.sentence, **figure, **counts.as_dict()}

    def _loss_of(self, net: Any) -> float:
        """On a batch of what is judged, always the same one."""
        with Batches(self.judged, replace(self._recipe(), augment=False), self.plan.batch, 1) as batches:
            batch = next(batches)
        device = next(net.parameters()).device
        with torch.inference_mode():
            x, y, w = (t.to(device) for t in (batch.x, batch.target, batch.weight))
            return float(self._loss(net(x).float(), y, w))

    def _recipe(self) -> Recipe:
        task, options = self.task, self.options
        diameter = self.facts.diameter * self.plan.zoom if self.facts.diameter else None
        return Recipe(
            size=self.plan.patch,
            example=lambda x, y, region, rng: task.example(x, y, region, options, rng),
            margin=task.margin(diameter),
            resample=task.resample,
            quarter=task.quarter(self.options),
            augment=self.settings.augment,
            aimed=0.6 if self.facts.annotated > 0.5 else 0.9,
            labels=task.target == "labels",
            scale=self.scale,
        )

    def _preview(self, predictor: Predictor, decoding: Any) -> str | None:
        look = (self.control.look or {}).get("image")
        if not look or not Path(look).exists():
            return None
        x = np.load(look, mmap_mode="r")
        if x.ndim - 1 != len(self.card.spatial) or len(x) != self.card.channels:
            return None  # it learns from planes of the stack that is looked at
        try:
            found = result_of(predict_sample(self.card, predictor, x, self.control, decoding))
        except StoppedError:
            return None
        path = self.run / f"preview-{Path(look).stem.rpartition('-')[2]}.npy"
        try:
            with replacing(path, found.nbytes) as part, part.open("wb") as file:
                np.save(file, found)
        except DojoError:  # a preview is not worth a training
            return None
        return str(path)

    def _keep(self, learner: Learner, better: bool) -> None:
        """The state, and where it is better the model."""
        if not self.saved and self.target.overwrite:
            _make_room(self.target.out)
        self.saved = True
        buffer = io.BytesIO()
        torch.save(learner.state(), buffer)
        about = {
            "task": self.task.name,
            "settings": asdict(self.settings),
            "options": asdict(self.options),
            "target": str(self.target.out),
            "data": self.fingerprint,
        }
        write_safely(self.run / "settings.json", json.dumps(about, indent=1).encode())
        write_safely(self.run / "state.pt", buffer.getvalue())
        if better:
            self.best_maps = self.last_maps
            self._save(learner, learner.average)

    def _save(self, learner: Learner, net: Any, cover: NDArray[np.uint8] | None = None) -> None:
        self.card = replace(
            self.card,
            score={**self.last_score, "from": "validation" if self.split.validation else "training"},
            baseline=self.baseline or {},
            training={
                "steps": learner.step,
                "seconds": round(learner.seconds, 1),
                "device": self.device.sentence,
                "batch": self.plan.batch,
                "patch": list(self.plan.patch),
                "learning_rate": self.plan.learning_rate,
                "seed": self.settings.seed,
            },
        )
        bundles.save(Bundle(self.card, _on_cpu(net)), self.target.out, self._sample(net), cover)

    def _sample(self, net: nets.UNet) -> NDArray[Any]:
        """A raw piece of a training image for the model's own test."""
        x = self.dataset.samples[self.split.training[0].item].x
        size = [
            max(2 * s, min(128 if len(net.stride) == 2 else 32, n) // s * s)
            for s, n in zip(net.stride, x.shape[1:], strict=True)
        ]
        part = np.asarray(x[(slice(None), *(slice(0, n) for n in size))])
        more = [(0, 0)] + [(0, n - m) for n, m in zip(size, part.shape[1:], strict=True)]
        return np.pad(part, more, mode="edge")

    def _go_on(self, learner: Learner) -> None:
        path = self.run / "state.pt"
        try:
            learner.load(torch.load(path, map_location=learner.device, weights_only=True))
        except Exception as e:
            raise DojoError(
                f"The unfinished run in {self.run} cannot be read ({type(e).__name__}). Train with --overwrite."
            ) from e
        if (self.target.out / "rdf.yaml").exists():
            saved = read_card(self.target.out)
            self.card = replace(self.card, decoding=saved.decoding, score=saved.score)
            self.baseline = saved.baseline or None

    def _finish(self, learner: Learner) -> Event:
        """Choose how to decode, score the test part, and write the model for good."""
        best = bundles.load(self.target.out)
        if not self.control.stop and self.best_maps:
            learner.best = self._tune(learner.best)
        self.last_score = {k: v for k, v in self.card.score.items() if k != "from"}
        if self.tested and not self.control.stop:
            predictor = Predictor(best.net, self.device)
            decoding = self.task.decoding(**self.card.decoding)
            counts = None
            for source in self.tested:
                one = self._score(self._answer(self._maps(predictor, source), decoding, source), source)
                counts = one if counts is None else counts + one
            self.card = replace(self.card, data={**self.card.data, "test": self._scored(counts)})
        if self.task.result.intensities and self.task.target != "none" and not self.control.stop:
            self._calibrate(Predictor(best.net, self.device))
        self._keep(learner, False)
        self._save(learner, best.net, self._cover(best))
        facts = {
            "rising": learner.rising,
            "behind": self._behind(),
            "steps": learner.step,
            "seconds": round(learner.seconds, 1),
            "score": self.card.score,
            "test": self.card.data.get("test"),
            "baseline": self.baseline or {},
            "score_from": self.card.score.get("from"),
            "sentence": self.card.score.get("sentence", ""),
            "excluded": self.card.data["excluded"],
        }
        return Done(str(self.target.out), facts)

    def _behind(self) -> str:
        """A warning if there is a ground truth and the saved model is not better than the baseline."""
        score, held = ((s or {}).get("headline") for s in (self.card.score, self.baseline))
        if self.task.target == "none" or score is None or held is None or score > held:
            return ""
        return "It is not better than the baseline. Train longer or add images."

    def _tune(self, best: float) -> float:
        """Choose the decoding; returns the main score, with which a resumed run is compared."""
        before = self.task.decoding(**self.card.decoding)
        seen, examples = 0.0, []
        for source, maps in zip(self.judged, self.best_maps, strict=False):
            examples.append((maps, self._truth(source), source.region))
            seen += float(np.prod(source.size))
            if seen > 1.5e6:
                break
        tuned = self.task.tune(examples, before, self.options)
        if tuned == before:
            return best
        counts = None
        for source, maps in zip(self.judged, self.best_maps, strict=False):
            one = self._score(self._answer(maps, tuned, source), source)
            counts = one if counts is None else counts + one
        score = {**self._scored(counts), "from": self.card.score.get("from")}
        self.card = replace(self.card, decoding=asdict(tuned), score=score)
        return self.task.selection_score(counts)

    def _calibrate(self, predictor: Predictor) -> None:
        """How large errors are where answers to the turned image differ by so much: a factor, and ten points of the curve."""
        spread: list[NDArray[np.float32]] = []
        error: list[NDArray[np.float32]] = []
        for source in self.judged:
            if sum(map(np.size, spread)) > CALIBRATED:
                break
            quarter = self.task.quarter(self.options)
            count = tta.orientations(8, predictor.stride, predictor.scale, quarter)
            maps_of = partial(predictor.maps, norm=source.norm)
            mean, deviation = result_of(tta.averaged(maps_of, source.x, count))
            numbers = self.card.answers(source.norm)
            truth = numbers.apply(self._truth(source))
            spread.append(deviation.ravel())
            error.append(np.abs(mean - truth).ravel())
        s, e = np.concatenate(spread), np.concatenate(error)
        power = float(np.mean(s.astype(np.float64) ** 2))
        if power <= 0:
            return
        factor = float(np.sqrt(np.mean(e.astype(np.float64) ** 2) / power))
        tenths = np.array_split(np.argsort(s), 10)
        curve = [[float(factor * s[k].mean()), float(np.sqrt((e[k] ** 2).mean()))] for k in tenths if len(k)]
        self.card = replace(self.card, calibration=factor, data={**self.card.data, "calibration": curve})

    def _cover(self, best: Bundle) -> NDArray[np.uint8] | None:
        """A corner of a judged image with the answer's outlines, or beside the answer."""
        from napari_dojo.models.cover import beside, overlay

        source = self.judged[0]
        if len(source.size) != 2:
            return None
        box = tuple(slice(0, min(n, 256)) for n in source.size)
        small = replace(source, x=source.x[(slice(None), *box)])
        maps = self._maps(Predictor(best.net, self.device), small)
        found = self._answer(maps, self.task.decoding(**self.card.decoding), small)
        shown = self.card.own(np.asarray(small.x))
        return beside(shown, found) if self.task.result.intensities else overlay(shown, found)


def _fresh(card: Card, start: Bundle | None) -> tuple[Bundle, bool]:
    """A net to begin with, and whether some of the start's layers did not fit."""
    bundle = Bundle.new(card)
    if start is None:
        return bundle, False
    old, new = start.net.state_dict(), bundle.net.state_dict()
    fits = {k: v for k, v in old.items() if k in new and v.shape == new[k].shape}
    if start.card.task == "semantic" and start.card.options.get("classes") != card.as_dict()["options"].get("classes"):
        fits = {k: v for k, v in fits.items() if not k.startswith("head")}
    bundle.net.load_state_dict(fits, strict=False)
    return bundle, len(fits) < len(new)


def _on_cpu(net: nets.UNet) -> nets.UNet:
    from copy import deepcopy

    return deepcopy(net).cpu().eval()


def _zoomed(dataset: Dataset, split: Split, zoom: float, labels: bool) -> tuple[Dataset, Split]:
    """Images and boxes at the net's scale."""
    if zoom == 1:
        return dataset, split

    def larger(n: int) -> int:
        return max(1, round(n * zoom))

    def item(old: Sample) -> Sample:
        size = tuple(larger(n) for n in old.size)
        y = old.y
        if y is not None:
            y = resize_labels(np.asarray(y), size) if labels else resize(np.asarray(y), size)
        region = None if old.region is None else resize_labels(old.region, size)
        return replace(old, x=resize(np.asarray(old.x), size), y=y, region=region)

    def part(old: Crop) -> Crop:
        return replace(old, box=tuple((round(a * zoom), max(round(a * zoom) + 1, round(b * zoom))) for a, b in old.box))

    training, validation, test = (tuple(map(part, p)) for p in (split.training, split.validation, split.test))
    return replace(dataset, samples=tuple(map(item, dataset.samples))), Split(training, validation, test, split.how)


def _some(parts: Sequence[Crop], pixels: float, seed: int) -> list[Crop]:
    """A random choice of the parts that holds about ``pixels``; large ones are cut to their middle."""
    order = np.random.default_rng(seed).permutation(len(parts))
    chosen: list[Crop] = []
    seen = 0.0
    for i in order:
        part = parts[i]
        dims = len(part.box)
        edge = int(max(pixels / 2, 65536) ** (1 / dims))
        box = tuple((a + max(0, (b - a - edge) // 2), b - max(0, (b - a - edge + 1) // 2)) for a, b in part.box)
        chosen.append(replace(part, box=box))
        seen += chosen[-1].volume
        if seen >= pixels:
            break
    return chosen


def _check_free(target: Target) -> None:
    """Refuse to write over something unless it is a model that may be replaced."""
    out = target.out
    if target.resume or not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not target.overwrite:
        raise DojoError(
            f"{out} exists already. Choose another name, continue with --resume, or replace it with --overwrite."
        )
    if not (out.is_dir() and ((out / "rdf.yaml").exists() or (out / "run").is_dir())):
        raise DojoError(f"{out} is not a model, so it is not replaced. Choose another name.")


def _make_room(out: Path) -> None:
    """Remove the older model; only once there is something to put in its place."""
    import shutil

    if out.is_dir():
        with _writing(out):
            shutil.rmtree(out)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """What the system refuses becomes a sentence."""
    try:
        yield
    except OSError as e:
        raise DojoError(f"{path} cannot be written: {e.strerror or e}. Make room or choose another folder.") from e
