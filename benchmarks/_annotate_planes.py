"""Stacks of which a few planes are annotated: how much of the full annotation's AP a model trained on them reaches."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo.data.dataset import Dataset, Sample
from napari_dojo.events import Control, result_of
from napari_dojo.inference.geometry import Image, resolve
from napari_dojo.inference.predict import Ready, predict_image
from napari_dojo.io.images import Picture
from napari_dojo.metrics.base import pool
from napari_dojo.metrics.objects import InstanceCounts
from napari_dojo.models import bundle as bundles
from napari_dojo.settings import TrainSettings
from napari_dojo.simulation.microscope import simulate
from napari_dojo.tasks import TASKS
from napari_dojo.training import train

ANISOTROPY = 3.0
SIZE = (24, 96, 96)
STACKS, TEST = 4, 2
WAYS = {"xy": (0, 0, 0), "each": (0, 1, 2), "xz": (1, 1, 1)}  # the axes across which the annotated planes lie

Stack = tuple[NDArray[np.float32], NDArray[np.int32]]  # an image and its ground truth (Z, Y, X)


@dataclass(frozen=True)
class Effort:
    """How long is trained, and on what: ``minutes`` where ``steps`` is 0."""

    steps: int = 0
    minutes: float = 15.0
    width: int = 0
    batch: int = 0
    kind: str = "nuclei"


def stacks(kind: str, count: int, seed: int) -> list[Stack]:
    """Simulated stacks whose planes lie three pixels apart."""
    made = [simulate(kind, SIZE, seed + k, anisotropy=ANISOTROPY, photons=60.0, diameter=24.0) for k in range(count)]
    return [(np.asarray(s.image, np.float32), np.asarray(s.labels, np.int32)) for s in made]


def planes(truth: NDArray[np.int32], way: str, seed: int) -> NDArray[np.bool_]:
    """Which planes a person has annotated: three of them, evenly spread."""
    rng, known = np.random.default_rng(seed), np.zeros(truth.shape, bool)
    across = WAYS[way]
    for axis in sorted(set(across)):
        n, size = across.count(axis), truth.shape[axis]
        middles = (np.arange(n) + 0.5) * size / n + rng.uniform(-0.1, 0.1, n) * size
        for at in middles.astype(int):
            known[(slice(None),) * axis + (int(at),)] = True
    return known


def as_strokes(truth: NDArray[np.int32], known: NDArray[np.bool_]) -> NDArray[np.int32]:
    """0 where nothing is annotated, 1 on background, 2 and above in objects."""
    return np.where(known, truth + 1, 0).astype(np.int32)


def dataset(found: Sequence[Sample]) -> Dataset:
    return Dataset(tuple(found), "ZYX", pixel_size=(0.3 * ANISOTROPY, 0.3, 0.3))


def trained(found: Dataset, options: Any, effort: Effort, seed: int, folder: Path) -> Ready:
    """A model from nothing but this annotation."""
    long = {"steps": effort.steps} if effort.steps else {"minutes": effort.minutes}
    settings = TrainSettings(
        **long,
        width=effort.width or None,
        batch=effort.batch or None,
        validation=0.0,
        test=0.0,
        seed=seed,
        device="cpu",
    )
    for event in train.train_steps(found, "instances", train.Target(folder), settings, options=options):
        if type(event).__name__ in ("Started", "Validated", "Failed"):
            print(event if type(event).__name__ == "Failed" else getattr(event, "score", ""), flush=True)
    return Ready.of(bundles.load(folder))


def predicted(ready: Ready, x: NDArray[np.float32]) -> NDArray[np.int32]:
    """The objects of a stack."""
    image = resolve(ready.card, Image("image", Picture(x, (0.3 * ANISOTROPY, 0.3, 0.3)), "ZYX"), ready.settings)
    return np.asarray(result_of(predict_image(ready, image, Control())).array)


def annotated(found: Sequence[Stack], way: str) -> Dataset:
    """Complete labels ("full"), or planes: as strokes, or as labels that are known there alone ("region")."""
    samples = []
    for k, (x, y) in enumerate(found):
        if way == "full":
            samples.append(Sample(f"stack {k}", x[None], y))
        else:
            known = planes(y, way.removesuffix(" region"), k)
            if way.endswith(" region"):
                samples.append(Sample(f"stack {k}", x[None], np.where(known, y, 0), known))
            else:
                samples.append(Sample(f"stack {k}", x[None], as_strokes(y, known)))
    return dataset(samples)


def simulate_planes(effort: Effort, ways: Sequence[str], seed: int = 0) -> dict[str, Any]:
    """AP at an IoU of .5 of held-out stacks after each annotation, and its share of that after full annotation."""
    found, test = stacks(effort.kind, STACKS, seed), stacks(effort.kind, TEST, seed + 1000)
    ap: dict[str, float] = {}
    seconds: dict[str, int] = {}
    for way in ways:
        strokes = way != "full" and not way.endswith(" region")
        options = TASKS["instances"].options(annotation="strokes" if strokes else "complete")
        began = time.process_time()
        with TemporaryDirectory() as name:
            ready = trained(annotated(found, way), options, effort, seed, Path(name) / "model")
            score = pool([InstanceCounts.of(y, predicted(ready, x)) for x, y in test])
        ap[way] = round(float(score.as_dict()["ap"]["0.5"]), 4)
        seconds[way] = round(time.process_time() - began)
        print(way, score.as_dict()["ap"], seconds[way], "s", flush=True)
    shares = {way: round(value / ap["full"], 3) for way, value in ap.items() if way != "full" and ap.get("full")}
    return {"ap": ap, "share_of_full": shares, "processor_s": seconds, "kind": effort.kind}
