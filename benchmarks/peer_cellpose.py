"""Cellpose 3, trained from scratch for some minutes: run by peers.py in an environment of its own, without napari-dojo."""

from __future__ import annotations

import json
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from _peer import arguments


class TimeUp(Exception):  # noqa: N818
    """The minutes are over."""


def main() -> None:
    args = arguments(__doc__)
    began = time.monotonic()

    from importlib.metadata import version

    import numpy as np
    import tifffile
    from cellpose import models, train

    paths = sorted((args.train / "images").iterdir())
    x = [tifffile.imread(p) for p in paths]
    y = [tifffile.imread(args.train / "masks" / p.name).astype(np.int32) for p in paths]
    kept = args.keep / "cellpose" if args.keep else None
    there = kept is not None and kept.exists()
    model = models.CellposeModel(gpu=False, pretrained_model=str(kept) if there else None)
    steps = 0

    def count(net, inputs) -> None:
        nonlocal steps
        if net.training:  # cellpose trains by epochs alone: the clock ends it before the next step
            if time.monotonic() - began > 60 * args.minutes:
                raise TimeUp
            steps += 1

    hook = model.net.register_forward_pre_hook(count)
    with tempfile.TemporaryDirectory() as folder, suppress(TimeUp):
        if there:
            raise TimeUp
        # cellpose's own values for a training from scratch; epochs of 80 images, so that its warm-up of
        # ten epochs is 100 steps and not the whole training
        train.train_seg(
            model.net, train_data=x, train_labels=y, channels=[0, 0], SGD=True, learning_rate=0.1, weight_decay=1e-4,
            batch_size=8, n_epochs=10_000, nimg_per_epoch=80, save_path=folder, save_every=10_000,
        )  # fmt: skip
    hook.remove()
    model.net.eval()
    if kept is not None and not there:
        kept.parent.mkdir(parents=True, exist_ok=True)
        model.net.save_model(str(kept))
    trained = time.monotonic() - began
    args.out.mkdir(parents=True, exist_ok=True)
    # for speed, images are not scaled, as by Cellpose's model of nuclei, whose mean diameter is 17 px
    diameter = float((model.net.diam_mean if kept else model.net.diam_labels).item())
    began = time.monotonic()
    for path in sorted((args.test / "images").iterdir()):
        labels = model.eval(tifffile.imread(path), channels=[0, 0], diameter=diameter)[0]
        tifffile.imwrite(args.out / f"{path.stem}.tif", labels.astype(np.uint16))
    predicted = time.monotonic() - began
    facts = {"version": version("cellpose"), "steps": steps, "train_seconds": trained, "predict_seconds": predicted}
    if (args.test / "masks").exists():
        facts["masks_seconds"] = sum(seconds_for(path, diameter) for path in sorted((args.test / "masks").iterdir()))
    print(json.dumps(facts))


def seconds_for(path: Path, diameter: float) -> float:
    """What Cellpose takes to make masks of flows, with those that the true objects of an image have, as after a long training."""
    import numpy as np
    import tifffile
    import torch
    from cellpose import dynamics

    labels = tifffile.imread(path).astype(np.int32)
    flows = dynamics.labels_to_flows([labels], device=torch.device("cpu"))[0]
    began = time.monotonic()
    dynamics.resize_and_compute_masks(
        5 * flows[2:4].astype(np.float32),
        np.where(labels > 0, 5, -5).astype(np.float32),
        niter=int(200 * diameter / 30),
    )
    return time.monotonic() - began


if __name__ == "__main__":
    main()
