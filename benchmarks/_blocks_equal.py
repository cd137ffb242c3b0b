"""Whether objects found block by block are those of the whole image: nuclei, long bacteria, one object larger than a block, a stack."""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from _common import ROOT, dojo

KINDS = ("nuclei", "bacteria", "giant", "stack")
STEPS = {"bacteria": 100, "stack": 50}  # of training
SAMPLES = {"bacteria": "bacteria", "stack": "nuclei_3d"}
TILE = {"nuclei": 1024, "bacteria": 1024, "giant": 1024, "stack": 5656}  # edge of a square with the pixels of a block


def equal(kind: str, edge: int, models: Path) -> dict[str, Any]:
    """The objects of both, and whether they are the same; ``models`` : where trained ones are kept."""
    from napari_dojo.events import Control, result_of
    from napari_dojo.inference.blocks import Work
    from napari_dojo.inference.predict import predict_image
    from napari_dojo.inference.samples import Ready
    from napari_dojo.inference.stores import predict_to_store
    from napari_dojo.io import images
    from napari_dojo.settings import PredictSettings

    bundle, x = model(kind, models), picture(kind, edge)
    at_once = Ready.of(bundle, PredictSettings(device="cpu"))
    if kind != "stack":
        at_once = replace(at_once, predictor=at_once.predictor.for_blocks(1e12))
    by_blocks = Ready.of(bundle, PredictSettings(device="cpu", tile=TILE[kind]))
    began = time.process_time()
    wanted = result_of(predict_image(at_once, given(at_once, x), Control())).array
    between = time.process_time()
    work = Work.of(by_blocks, given(by_blocks, x))
    with tempfile.TemporaryDirectory() as folder:
        result_of(predict_to_store(by_blocks, given(by_blocks, x), Path(folder) / "out.zarr", Control()))
        found = np.asarray(images.read(Path(folder) / "out.zarr", labels=True).data)
    ended = time.process_time()
    pairs = np.unique(np.stack([wanted.ravel(), found.ravel()]), axis=1)
    return {
        "shape": list(x.shape),
        "blocks": len(work.blocks),
        "objects": [int(len(np.unique(a)) - 1) for a in (wanted, found)],
        "identical": len(np.unique(wanted)) == len(np.unique(found)) == pairs.shape[1],
        "pixels_that_differ": int(differing(wanted, found)),
        "most_blocks_of_an_object": most_blocks(found, work),
        "processor_seconds": [round(between - began, 1), round(ended - between, 1)],
    }


def differing(wanted: np.ndarray, found: np.ndarray) -> int:
    """Pixels outside of the pairs of objects that have the most in common."""
    pairs, counts = np.unique(np.stack([wanted.ravel(), found.ravel()]), axis=1, return_counts=True)
    best = np.zeros(int(wanted.max()) + 1, np.int64)
    np.maximum.at(best, pairs[0], counts)
    return wanted.size - int(best.sum())


def most_blocks(found: np.ndarray, work: Any) -> int:
    """How many blocks the object in most of them lies in."""
    there = np.zeros(int(found.max()) + 1, int)
    for block in work.blocks:
        there[np.unique(found[tuple(slice(a, b) for a, b in block.core)])] += 1
    return int(there[1:].max(initial=0))


def given(ready: Any, x: np.ndarray) -> Any:
    from napari_dojo.inference.geometry import Image, resolve
    from napari_dojo.io.images import Picture

    axes = "ZYX"[-x.ndim :]
    return resolve(ready.card, Image("image", Picture(x, axes), axes), ready.settings)


def model(kind: str, folder: Path) -> Any:
    from napari_dojo.models.bundle import load
    from napari_dojo.models.library import find

    if kind in ("nuclei", "giant"):
        return load(find("nuclei-fluorescence")) if kind == "nuclei" else _bright()
    if not (folder / kind).exists():
        sample = ROOT / "src" / "napari_dojo" / "sample_data" / SAMPLES[kind]
        where = ("--input", sample / "images", "--target", sample / "labels", "--out", folder / kind)
        dojo("train", "instances", *where, "--steps", STEPS[kind])
    return load(folder / kind)


def _bright() -> Any:
    """The shipped network with what is bright as objects, and the smoothed brightness as their distance: it has no size to know."""
    import torch

    from napari_dojo.models.bundle import Bundle, load
    from napari_dojo.models.library import find
    from napari_dojo.nets.base import Network

    class Bright(Network):
        stride, receptive_radius, scale, out_channels = (16, 16), (20, 20), (1, 1), 2

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = torch.nn.functional.avg_pool2d(x.double(), 41, 1, 20, count_include_pad=False).float()
            return torch.cat([20 * (y - 0.3), y], 1)

    card = load(find("nuclei-fluorescence")).card
    return Bundle(replace(card, maps=("inside", "distance")), Bright().eval())


def picture(kind: str, edge: int) -> np.ndarray:
    """uint16, made of a few tiles of the simulator, each pixel with noise."""
    from napari_dojo.simulation.microscope import simulate

    size = (min(edge, 512),) * 2 if kind == "stack" else (edge, edge)
    rng = np.random.default_rng(0)
    if kind == "stack":
        tiles = [np.asarray(simulate("nuclei", (64, 128, 128), seed=s).image) for s in range(3)]
        x = np.block(
            [[[tiles[int(rng.integers(3))] for _ in range(size[1] // 128)] for _ in range(size[0] // 128)]] * 2
        )
    else:
        drawn = "bacteria" if kind == "bacteria" else "nuclei"
        tiles = [np.asarray(simulate(drawn, (1024, 1024), seed=s).image) for s in range(3)]
        rows = [
            [np.rot90(tiles[int(rng.integers(3))], int(rng.integers(4))) for _ in range(-(-edge // 1024))]
            for _ in range(-(-edge // 1024))
        ]
        x = np.block(rows)[:edge, :edge]
    x = x.astype(np.float32)
    if kind == "bacteria":
        _draw_long(x, rng)
    if kind == "giant":
        far = np.hypot(*(np.indices(size, np.float32) - np.array([[[edge * 0.55]], [[edge * 0.45]]], np.float32)))
        top = np.percentile(x, 99.8)
        x = np.where(far < 0.38 * edge, top * (0.7 + 0.1 * np.sin(far / 90)), x)
    return np.clip(x + rng.normal(0, 3, x.shape), 0, 65535).astype(np.uint16)


def _draw_long(x: np.ndarray, rng: np.random.Generator) -> None:
    """Thin waves through all of the image, as bright and thick as bacteria."""
    top, along = np.percentile(x, 99), np.arange(x.shape[1])
    for start in range(60, x.shape[0] - 60, 150):
        middle = start + 40 * np.sin(along / rng.uniform(60, 200) + rng.uniform(0, 6))
        for offset in range(-9, 10):
            at = np.clip(np.round(middle + offset).astype(int), 0, x.shape[0] - 1)
            x[at, along] = np.maximum(x[at, along], top * np.exp(-((offset / 4.5) ** 4)))


if __name__ == "__main__":
    print(equal(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])))
