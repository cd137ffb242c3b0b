"""What each of several processes does for test_world.py: ``srun --ntasks 2 python together.py FOLDER``.

Each process writes what it found to ``FOLDER/RANK.json``. The functions are also called by the test, in one process.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray

from napari_dojo.data.batches import Batches, Patches, Source
from napari_dojo.data.dataset import Dataset, Sample
from napari_dojo.data.kinds import LABELS
from napari_dojo.data.normalize import Normalization
from napari_dojo.data.split import Crop
from napari_dojo.device import Device
from napari_dojo.events import Control, Event, Message, Step, Validated
from napari_dojo.models.bundle import load
from napari_dojo.nets.losses import binary_cross_entropy, soft_dice
from napari_dojo.nets.unet import UNet
from napari_dojo.settings import TrainSettings
from napari_dojo.training.learner import Learner, Stepper
from napari_dojo.training.loop import Budget, Work, fit, follow
from napari_dojo.training.train import Target, train_steps
from napari_dojo.training.world import World, join

CPU = Device("cpu", "CPU", 10**9, 1)
SETTINGS = TrainSettings(steps=3, batch=2, patch=32, width=8, depth=2, device="cpu", augment=False)


def record(y: Any, region: Any) -> Any:
    """Where there is something."""
    return (y > 0)[None].astype(np.uint8)


def batches(batch: int, world: World, seen: list[Any]) -> Batches:
    """Of one image, half of which is not known; what was drawn is appended to ``seen``."""
    rng = np.random.default_rng(5)
    y = np.kron(rng.integers(0, 2, (6, 6)), np.ones((8, 8), int))
    x = (y + rng.normal(0, 0.1, y.shape)).astype(np.float32)

    def targets(crops: Any, random: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        seen.append(crops.x.double().sum((1, 2, 3)).tolist())
        return crops.x, crops.record.float(), (crops.x > 0).float()  # parts know more than others

    source = Source.of(Sample("a", x[None], y), Crop(0, ((0, 48), (0, 48))), Normalization((0.0,), (1.0,)), LABELS)
    return Batches([source], Patches((16, 16), record, targets), batch, 0, share=(world.rank, world.size))


def loss(out: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """One part of which is not a mean over patches."""
    return binary_cross_entropy(out, target, weight) + soft_dice(out.sigmoid(), target, weight)


def learned(
    world: World, batch: int, norm: bool = True, steps: int = 5, fn: Any = loss, stopped: bool = False
) -> dict[str, Any]:
    """A short training: its losses, its last weights, and what this process saw of it."""
    torch.manual_seed(world.rank)  # the first one's weights count
    seen: list[Any] = []
    kept: list[tuple[int, bool]] = []
    learner = Learner(UNet(1, 1, (1, 1), ((2, 2),), 8, norm=norm), CPU, 1e-3, world=world)
    learner.lowered = False
    learner.agree()
    made, control = batches(batch, world, seen), Control()

    def check(net: Any, step: int, train_loss: float) -> tuple[Validated, float]:
        return Validated(step, train_loss, None, {}, {}), 1.0

    work = Work(made, fn, check, lambda learner, better: kept.append((learner.step, better)))
    said: list[Event] = []
    if world.rank:
        follow(learner, work, _Late(2) if stopped else control)
    else:
        for event in fit(learner, work, Budget(0.0, steps=steps), control):
            said.append(event)
    weights = torch.cat([p.detach().flatten() for p in learner.net.parameters()]).tolist()
    return {
        "losses": [e.loss for e in said if isinstance(e, Step)],
        "messages": [e.text for e in said if isinstance(e, Message)],
        "weights": weights,
        "average": [v.sum().item() for v in learner.average.state_dict().values()],
        "seen": seen,
        "kept": kept,
        "steps": learner.step,
        "batch": made.batch,
    }


class _Late(Control):
    """Asks for a stop when it was looked at a few times."""

    def __init__(self, times: int) -> None:
        self.times = times

    @property
    def stop(self) -> bool:  # type: ignore[override]
        """Whether to stop."""
        self.times -= 1
        return self.times < 0


def scarce(world: World, most: int) -> Any:
    """A loss for which the last process has memory for few patches only."""

    def found(out: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        if world.rank == world.size - 1 and len(out) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return loss(out, target, weight)

    return found


def discs() -> tuple[list[NDArray[Any]], list[NDArray[Any]]]:
    """Four images with their labels."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:64, :64]
    labels = [np.zeros((64, 64), np.int32) for _ in range(4)]
    for image in labels:
        for k, (r, c) in enumerate(rng.uniform(8, 56, (5, 2)), 1):
            image[(rows - r) ** 2 + (columns - c) ** 2 < 36] = k
    return [((y > 0) + rng.normal(0, 0.2, y.shape)).astype(np.float32) for y in labels], labels


def trained(out: Path, batch: int, world: World) -> dict[str, Any]:
    """Three steps, then three more of the resumed run: the events of each, and the model's weights."""
    said: list[list[str]] = []
    losses: list[float] = []
    for steps in (3, 6):
        settings = replace(SETTINGS, batch=batch, steps=steps)
        with patch.object(Stepper, "_pays", lambda *_: False):  # the same precision everywhere
            events = list(train_steps(Dataset.of(*discs()), "instances", Target(out, resume=steps > 3), settings))
        said.append([type(e).__name__ for e in events])
        losses += [e.loss for e in events if isinstance(e, Step)]
    net = load(out).net.state_dict() if world.rank == 0 else {}
    return {"said": said, "losses": losses, "net": {k: v.tolist() for k, v in net.items()}}


def main(folder: Path) -> None:
    """All of it in one of several processes."""
    world = join("cpu")
    found = {
        "rank": world.rank,
        "size": world.size,
        "shared": world.shared(world.rank),
        "all": world.all(world.rank == 0),
        "plain": learned(world, 2, norm=False),
        "normed": learned(world, 2),
        "stopped": learned(world, 2, steps=10**6, stopped=True),
        "scarce": learned(world, 4, fn=scarce(world, 1)),
        "trained": trained(folder / "model", 2, world),
    }
    (folder / f"{world.rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
