"""Loop: a whole step over the bare network's, streamed over resident data, tiled prediction over bare forward passes."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_dojo import device as devices
from napari_dojo import nets
from napari_dojo.data.augment import Intensity
from napari_dojo.data.batches import Batch, Batches, Patches, Source
from napari_dojo.data.dataset import Dataset
from napari_dojo.data.kinds import LABELS
from napari_dojo.data.normalize import Rule
from napari_dojo.data.split import split_of
from napari_dojo.data.streamed import needed
from napari_dojo.device import Device
from napari_dojo.events import Control, Event, Validated, encode, result_of
from napari_dojo.inference.predictor import Predictor
from napari_dojo.inference.tiles import padded
from napari_dojo.nets.unet import fuse
from napari_dojo.settings import TrainSettings
from napari_dojo.simulation.microscope import simulate
from napari_dojo.tasks import TASKS
from napari_dojo.training.learner import Learner
from napari_dojo.training.loop import Budget, Work, fit
from napari_dojo.training.optimizer import Optimizer
from napari_dojo.training.plan import Data, make_plan

STEADY = 5  # first steps of a block, which are not timed


class Setting:
    """Simulated nuclei, and the net that the plan gives them: 8 patches of 128 x 128."""

    def __init__(self, images: int, device: Device) -> None:
        scenes = [simulate("nuclei", (256, 256), seed) for seed in range(images)]
        self.dataset = pairs = Dataset.of([s.image for s in scenes], [s.labels for s in scenes])
        self.task = TASKS["instances"]
        facts = self.task.summarize(pairs, self.task.options())
        self.options, self.outputs = facts.options, len(facts.maps)
        data = Data(((256, 256),) * images, 1, len(facts.maps), facts.diameter, facts.thickness)
        self.plan = make_plan(data, device, TrainSettings(minutes=10.0, patch=128, batch=8))
        parts = split_of(pairs.samples, 0.0, 0.0, 0).training
        self.sources = [
            Source.of(i, p, i.normalization(Rule()), LABELS) for i, p in zip(pairs.samples, parts, strict=True)
        ]
        self.patches = self.patches_for(self.plan.patch)

    def patches_for(self, patch: tuple[int, ...]) -> Patches:
        """How patches of this size are made."""
        made = self.task.supervision
        return Patches(
            patch,
            lambda y, region: made.record(y, region, self.options),
            lambda crops, random: made.targets(crops, self.options, random),
            Intensity(),
        )

    def loss(self, out: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """The task's loss."""
        return self.task.loss(out, target, weight, self.options)

    def net(self) -> torch.nn.Module:
        """The same weights each time."""
        torch.manual_seed(0)
        return nets.build("unet", **self.plan.net, in_channels=1, out_channels=self.outputs)


class Loop:
    """Our steps: `napari_dojo.training.loop.fit` with patches, augmentation, targets, averaged weights and events on disk."""

    def __init__(self, setting: Setting, device: Device, log: Path, memory: int | None = None) -> None:
        where = devices.prepare(device)
        self._batches = Batches(setting.sources, setting.patches, setting.plan.batch, 0, device=where, memory=memory)
        self.learner = Learner(setting.net(), device, setting.plan.learning_rate)
        work = Work(self._batches, setting.loss, self._no_check, lambda learner, better: None)
        budget = Budget(time.monotonic(), steps=10**7)
        self._events: Iterator[Event] = fit(self.learner, work, budget, Control())
        self._log = log.open("w", encoding="utf-8")

    @staticmethod
    def _no_check(net: torch.nn.Module, step: int, loss: float) -> tuple[Validated, float]:
        return Validated(step, loss, None, {}, {}), 0.0

    def step(self) -> None:
        """One event, written down as the job does."""
        self._log.write(encode(next(self._events)) + "\n")
        self._log.flush()

    def close(self) -> None:
        """End the log and the threads."""
        self._batches.close()
        self._log.close()


def bare_step(setting: Setting, device: Device, batch: Batch, lowered: bool) -> Callable[[], None]:
    """Forward, loss, backward and step of the net alone on one batch that lies there, as precise as ours."""
    where = devices.prepare(device)
    net = setting.net().to(where, memory_format=torch.channels_last).train()
    optimizer = Optimizer(net, setting.plan.learning_rate, where)
    scale, fine = torch.ones((), device=where), torch.ones((), dtype=torch.bool, device=where)
    x, target, weight = (t.to(where) for t in (batch.x, batch.target, batch.weight))

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast(where.type, torch.bfloat16, enabled=lowered):
            out = net(x)
        loss = setting.loss(out.float(), target, weight)
        loss.backward()
        optimizer.step(scale, fine)
        float(loss.detach())

    return step


def timed(step: Callable[[], None], count: int) -> float:
    """Median milliseconds of the steps of a block, its first ones left out."""
    times = []
    for _ in range(count):
        began = time.perf_counter()
        step()
        times.append(time.perf_counter() - began)
    return 1000 * median(times[min(STEADY, count - 1) :])


def training(setting: Setting, device: Device, blocks: int, steps: int) -> dict[str, Any]:
    """Blocks of whole and of bare steps in turns."""
    with tempfile.TemporaryDirectory() as folder:
        batch = next(Batches(setting.sources, setting.patches, setting.plan.batch, 1, device=devices.prepare(device)))
        loop = Loop(setting, device, Path(folder) / "events.jsonl")
        try:
            timed(loop.step, steps)  # warms up, and decides how precise steps are
            bare = bare_step(setting, device, batch, bool(loop.learner.lowered))
            timed(bare, steps)
            pairs = []
            for _ in range(blocks):
                pairs.append((timed(loop.step, steps), timed(bare, steps)))
        finally:
            loop.close()
    return {**_compared("train", pairs), "bfloat16": bool(loop.learner.lowered)}


def streaming(setting: Setting, device: Device, blocks: int, steps: int) -> dict[str, Any]:
    """Blocks of steps with all samples on the device, and with a third of the memory that they need, in turns."""
    third = needed(setting.sources, setting.patches.kind, (1,) * len(setting.plan.patch)) // 3
    with tempfile.TemporaryDirectory() as folder:
        loops = [Loop(setting, device, Path(folder) / f"{k}.jsonl", memory) for k, memory in enumerate((third, None))]
        try:
            for loop in loops:
                timed(loop.step, steps)
            pairs = [(timed(loops[0].step, steps), timed(loops[1].step, steps)) for _ in range(blocks)]
        finally:
            for loop in loops:
                loop.close()
    return _compared("streamed", pairs)


def prediction(setting: Setting, device: Device, edge: int, repeats: int) -> dict[str, Any]:
    """A whole tiled image and its bare tiles in turns."""
    scene = simulate("nuclei", (512, 512), 1).image
    times = -(-edge // 512)
    x = np.tile(scene, (times, times))[None, :edge, :edge]
    norm = Rule().measure(x)
    net = setting.net().eval()
    predictor = Predictor(net, device)
    where = devices.prepare(device)
    layout = torch.contiguous_format if where.type == "mps" else torch.channels_last
    alone = fuse(deepcopy(net)).to(where, memory_format=layout)
    tiles = predictor.tiles(x.shape[1:])
    parts = [_part(norm.apply(x[(slice(None), *(slice(a, b) for a, b in t.read))]), predictor.stride) for t in tiles]

    def whole() -> None:
        result_of(predictor.maps(x, norm))

    def bare() -> None:
        with torch.inference_mode(), torch.autocast(where.type, torch.float16, enabled=device.mixed):
            for part in parts:
                alone(part.to(where)).cpu()

    pairs = []
    for i in range(repeats + 1):
        found = (_once(whole), _once(bare))
        if i:  # the first warms up
            pairs.append(found)
    return {**_compared("predict", pairs), "tiles": len(tiles)}


def _part(x: NDArray[np.float32], stride: tuple[int, ...]) -> torch.Tensor:
    part = torch.from_numpy(np.ascontiguousarray(padded(x, stride)))[None]
    return part.contiguous(memory_format=torch.channels_last)


def _once(run: Callable[[], None]) -> float:
    began = time.perf_counter()
    run()
    return 1000 * (time.perf_counter() - began)


def _compared(what: str, pairs: list[tuple[float, float]]) -> dict[str, Any]:
    """Median of the ratios of neighbouring blocks, and the milliseconds."""
    return {
        f"{what}_ratio": round(median(a / b for a, b in pairs), 3),
        f"{what}_ms": round(median(a for a, _ in pairs), 1),
        f"{what}_bare_ms": round(median(b for _, b in pairs), 1),
        f"{what}_extra_ms": round(median(a - b for a, b in pairs), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=12, help="of training steps, each kind")
    parser.add_argument("--steps", type=int, default=15, help="per block")
    parser.add_argument("--images", type=int, default=12)
    parser.add_argument("--edge", type=int, default=2048, help="of the image to predict, px")
    parser.add_argument("--repeats", type=int, default=5, help="of the prediction")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    device = devices.choose(args.device)
    setting = Setting(args.images, device)
    kept = {k: asdict(setting.plan)[k] for k in ("patch", "batch", "stem", "width")}
    print(f"{device.sentence}; {kept}")
    found = training(setting, device, args.blocks, args.steps)
    found |= streaming(setting, device, max(1, args.blocks // 2), args.steps)
    found |= prediction(setting, device, args.edge, args.repeats)
    ratios = {k: found[k] for k in ("train_ratio", "streamed_ratio", "predict_ratio")}
    print(json.dumps(ratios | found))


if __name__ == "__main__":
    main()
