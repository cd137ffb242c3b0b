"""What a training is fed with: parts of the samples as sources, how patches of them are made, and batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from napari_dojo.data.batches import Batches, Patches, Source
from napari_dojo.data.dataset import Dataset
from napari_dojo.data.normalize import Normalization
from napari_dojo.data.split import Crop, Split
from napari_dojo.data.streamed import weight_of
from napari_dojo.device import Device
from napari_dojo.events import result_of
from napari_dojo.inference.predictor import Predictor
from napari_dojo.models.card import Card
from napari_dojo.nets import Network
from napari_dojo.tasks import Example, Task
from napari_dojo.training.judge import Judge, some_crops
from napari_dojo.training.learner import Learner
from napari_dojo.training.plan import Plan, own_zoom
from napari_dojo.training.prepare import Setup
from napari_dojo.training.resume import fingerprint
from napari_dojo.training.world import World

__all__ = ["Feed", "Scaled"]

JUDGED = 600_000.0  # pixels that are validated on per minute of training on a CPU; a check then takes about 0.5 s
REHEARSED = 0.45  # share of the patches that come from the memory
VARIED = 0.4  # share of the patches whose size is changed widely where a new network has few images
ON_GPU = 4  # times as many
FITTING = 0.4  # share of the free memory that images may take which are mapped from files
RESIDENT = 0.5  # share of the device's usable memory that samples may take; larger data are streamed


@dataclass(frozen=True, eq=False)
class Scaled:
    """The samples at the network's scale, how they are divided, and the numbers that each is normalised by.

    ``norms`` : of the images as they are, which a prediction measures, too: scaling changes their noise; ``stay`` : images in
    files do not fit in memory.
    ``fingerprint`` : what tells them from others, see `napari_dojo.training.resume.fingerprint`.
    """

    dataset: Dataset
    split: Split
    norms: tuple[Normalization, ...]
    fingerprint: dict[str, str]
    stay: bool = False

    @staticmethod
    def of(setup: Setup) -> Scaled:
        """Those of a setup."""
        norms = tuple(sample.normalization(setup.rule) for sample in setup.dataset.samples)
        dataset, split = setup.scaled(norms)
        return Scaled(dataset, split, norms, fingerprint(dataset, split), _do_not_fit(dataset))


@dataclass(frozen=True, eq=False)
class Feed:
    """What of the samples goes into the network, and how.

    ``card`` is that of the model, of which the numbers of the targets and the scale of its output count; ``memory`` : parts
    of what its start was trained on, which are trained on again.
    """

    setup: Setup
    samples: Scaled
    card: Card
    memory: tuple[Source, ...] = ()

    @property
    def task(self) -> Task:
        """What is trained."""
        return self.setup.task

    @property
    def options(self) -> Any:
        """Of the task."""
        return self.setup.options

    @property
    def plan(self) -> Plan:
        """What a training will do."""
        assert self.setup.plan is not None
        return self.setup.plan

    @property
    def device(self) -> Device:
        """That computes."""
        assert self.setup.device is not None
        return self.setup.device

    @property
    def scale(self) -> tuple[int, ...]:
        """Output pixels per input pixel of the network, for each spatial axis; empty: 1."""
        return tuple(self.card.net_options.get("scale", ()))

    def sources(self, crops: Sequence[Crop]) -> list[Source]:
        """Parts of the samples, with their targets."""
        kind, found = self.task.layout(self.options).kind, []
        for k, crop in enumerate(crops):
            sample, norm = self.samples.dataset.samples[crop.item], self.samples.norms[crop.item]
            target = self.card.prediction_numbers(norm) if kind.intensities else None
            about = (self.setup.settings.seed + k, target, self.scale, self.samples.stay)
            found.append(Source.of(sample, crop, norm, kind, *about))
        return found

    def completed(self, sources: Sequence[Source], net: Network | None = None) -> list[Source]:
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
            replace(source, y=y, region=known, anchors=kind.places(y, known, self.setup.settings.seed + k))
            for k, (source, (y, known)) in enumerate(found)
        ]

    def patches(self) -> Patches:
        """How patches are made."""
        task, options = self.task, self.options
        augmentation = task.augmentation(options)
        return Patches(
            size=self.plan.patch,
            record=lambda y, region: task.supervision.record(y, region, options),
            targets=lambda crops, random: task.supervision.targets(crops, options, random),
            intensity=augmentation.intensity,
            resample=augmentation.resample,
            quarter=augmentation.quarter,
            augment=self.setup.settings.augment,
            zoom=augmentation.zoom,
            wide=VARIED if self.plan.few and task.result.objects else 0.0,
            flips=augmentation.flips,
            angle=augmentation.angle,
            shift=augmentation.shift,
            aimed=0.6 if self.setup.summary.annotated > 0.5 else 0.9,
            kind=task.layout(options).kind,
            scale=self.scale,
        )

    def training_sources(self, net: Network | None = None) -> list[Source]:
        """Those that are trained on; partial annotation is completed by what the network predicts, or without one."""
        found = self.completed(self.sources(self.samples.split.training), net)
        return [*found, *self._rehearsed(found)]

    def _rehearsed(self, found: Sequence[Source]) -> list[Source]:
        """The memory, drawn as often as `REHEARSED` says, however much is annotated now."""
        kind, seed = self.task.layout(self.options).kind, self.setup.settings.seed
        known = [replace(s, anchors=kind.places(s.y, s.region, seed + k)) for k, s in enumerate(self.memory)]
        whole, more = (sum(weight_of(s) for s in part) for part in (found, known))
        return [replace(s, weight=REHEARSED / (1 - REHEARSED) * whole / more) for s in known]

    def batches(self, learner: Learner, net: Network | None, world: World) -> Batches:
        """From the step of a learner that comes next, this process's share of them; ``net`` completes annotation."""
        memory = int(self.device.memory * RESIDENT)
        patches, share = self.patches(), (world.rank, world.size)
        made = (self.training_sources(net), patches, self.plan.batch, self.setup.settings.seed)
        return Batches(*made, learner.step, learner.device, memory, share)

    def loss(self, out: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """The task's."""
        return self.task.loss(out, target, weight, self.options)

    def judge(self, crops: Sequence[Crop]) -> Judge:
        """Scores a network on as much of these parts as there is time for; on the same places at whatever scale it sees them."""
        share = JUDGED * (self.plan.minutes or 3.0) * (1 if self.device.kind == "cpu" else ON_GPU)
        scale = self.plan.zoom / own_zoom(self.setup.summary.diameter)
        pixels = float(np.clip(share, 3e5, 4e6)) * scale ** len(self.plan.patch)
        chosen = some_crops(crops, pixels, self.setup.settings.seed, self._strata)
        return Judge(self.task, self.options, self.card, self.device, tuple(self.sources(chosen)))

    def _strata(self, crop: Crop) -> NDArray[Any] | None:
        """Which classes, or that objects, lie where in a crop, (*S); None where that does not matter."""
        sample, kind = self.samples.dataset.samples[crop.item], self.task.layout(self.options).kind
        if sample.y is None or not kind.dense:
            return None
        region = None if sample.region is None else sample.region[crop.slices]
        return kind.strata(np.asarray(sample.y[crop.slices]), region, [v for v, *_ in self.setup.summary.painted])

    def example(self) -> NDArray[Any]:
        """A raw crop (C, *S) of a training image for the model's own test, S multiples of the network's stride."""
        x = self.samples.dataset.samples[self.samples.split.training[0].item].x
        most = 128 if len(self.plan.stride) == 2 else 32
        size = [max(2 * s, min(most, n) // s * s) for s, n in zip(self.plan.stride, x.shape[1:], strict=True)]
        crop = np.asarray(x[(slice(None), *(slice(0, n) for n in size))])
        more = [(0, 0)] + [(0, n - m) for n, m in zip(size, crop.shape[1:], strict=True)]
        return np.pad(crop, more, mode="edge")


def _do_not_fit(dataset: Dataset) -> bool:
    """Whether images that are mapped from files would take too much of the free memory: cleaning copies them."""
    import psutil

    mapped = sum(sample.x.nbytes for sample in dataset.samples if isinstance(sample.x, np.memmap))
    return bool(mapped > FITTING * psutil.virtual_memory().available)
