"""A plain loop in torch with our network, targets and loss: what many would write themselves. Run by peers.py, with our Python.

A DataLoader with two workers cuts, flips and rotates (by quarter turns) one patch after the other and makes its targets;
AdamW with a cosine schedule; float32; the last weights count. What napari-dojo does beyond that is its engine.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from math import cos, pi
from typing import Any

import numpy as np
import tifffile
import torch
from _peer import arguments
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from napari_dojo import __version__, nets
from napari_dojo.data.normalize import Rule
from napari_dojo.data.resident import Crops
from napari_dojo.device import choose
from napari_dojo.events import result_of
from napari_dojo.inference.predictor import Predictor
from napari_dojo.settings import TrainSettings
from napari_dojo.tasks import TASKS
from napari_dojo.training.plan import Data, make_plan

RATE, WARM_UP = 3e-3, 50
MAPS = 7  # of instances in 2-D: inside, depth, boundary, direction and centre


class Patches(IterableDataset[tuple[Tensor, Tensor, Tensor]]):
    """Random patches with their targets, without end."""

    def __init__(self, images: list[NDArray[np.float32]], labels: list[NDArray[Any]], size: int, options: Any) -> None:
        self._images, self._labels, self._size, self._options = images, labels, size, options
        self._task = TASKS["instances"]
        self._records: dict[int, Any] = {}  # of the images that were drawn; each worker has its own

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        worker = get_worker_info()
        seed = worker.id if worker is not None else 0
        rng, random = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
        while True:
            i = int(rng.integers(len(self._images)))
            if i not in self._records:
                self._records[i] = self._task.supervision.record(self._labels[i], None, self._options)
            x, record = self._images[i], self._records[i]
            a, b = (int(rng.integers(max(1, n - self._size + 1))) for n in x.shape)
            place = (slice(a, a + self._size), slice(b, b + self._size))
            turns, flip = int(rng.integers(4)), bool(rng.integers(2))
            yield self._made(x[place], record[(slice(None), *place)], turns, flip, random)

    def _made(
        self, x: Any, record: Any, turns: int, flip: bool, random: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        more = [(0, self._size - n) for n in x.shape]
        x, record = np.pad(x, more, "symmetric"), np.pad(record, [(0, 0), *more], "symmetric")
        matrix = np.eye(2)
        for _ in range(turns):
            x, record = np.rot90(x, axes=(-2, -1)), np.rot90(record, axes=(-2, -1))
            matrix = np.array([[0.0, -1.0], [1.0, 0.0]]) @ matrix
        if flip:
            x, record = x[::-1], record[:, ::-1]
            matrix = np.diag([-1.0, 1.0]) @ matrix
        crops = Crops(
            torch.from_numpy(np.ascontiguousarray(x))[None, None],
            None,
            torch.from_numpy(np.ascontiguousarray(record))[None],
            torch.from_numpy(matrix).float()[None],
            torch.ones(1),
            None,
        )
        found = self._task.supervision.targets(crops, self._options, random)
        return found[0][0], found[1][0], found[2][0]


def main() -> None:
    args = arguments(__doc__)
    began = time.monotonic()
    task, device = TASKS["instances"], choose("cpu")
    paths = sorted((args.train / "images").iterdir())
    raw = [tifffile.imread(p) for p in paths]
    labels = [tifffile.imread(args.train / "masks" / p.name).astype(np.int32) for p in paths]
    diameter = float(np.median([2 * np.sqrt(np.bincount(y[y > 0]).max() / np.pi) for y in labels if y.any()]))
    options = replace(task.options(), diameter=diameter, dims=2)
    data = Data(tuple(y.shape for y in labels), 1, MAPS, diameter)
    plan = make_plan(data, device, TrainSettings(minutes=args.minutes))
    torch.manual_seed(0)
    net = nets.build("unet", **plan.net, in_channels=1, out_channels=MAPS)
    patches = Patches([_normalised(x) for x in raw], labels, plan.patch[0], options)
    optimizer = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=1e-3)
    steps, until = 0, 60 * args.minutes
    for x, target, weight in DataLoader(patches, batch_size=plan.batch, num_workers=2):
        share = (time.monotonic() - began) / until
        if share >= 1 and steps:
            break
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, (steps + 1) / WARM_UP) * (0.01 + 0.99 * 0.5 * (1 + cos(pi * min(1.0, share))))
        optimizer.zero_grad()
        loss = task.loss(net(x), target, weight, options)
        loss.backward()
        optimizer.step()
        steps += 1
    trained = time.monotonic() - began
    print(
        json.dumps({"version": __version__, "steps": steps, "train_seconds": trained, **_predicted(net, args, options)})
    )


def _predicted(net: Any, args: Any, options: Any) -> dict[str, float]:
    """Write the labels of the test images; the seconds that took."""
    args.out.mkdir(parents=True, exist_ok=True)
    task, began = TASKS["instances"], time.monotonic()
    predictor = Predictor(net.eval(), choose("cpu"), maps=task.supervision.decoded, lowered=True)
    for path in sorted((args.test / "images").iterdir()):
        x = tifffile.imread(path)[None]
        # views as ours, so that only the training differs
        maps = result_of(predictor.maps(x, Rule().measure(x), views=task.result.tta))
        labels = task.decode(maps, task.decoding(), options)
        tifffile.imwrite(args.out / f"{path.stem}.tif", labels.astype(np.int32))
    return {"predict_seconds": time.monotonic() - began}


def _normalised(x: NDArray[Any]) -> NDArray[np.float32]:
    return Rule().measure(x[None]).apply(x[None])[0].astype(np.float32)


if __name__ == "__main__":
    main()
