"""Shipped models of images: train one on the project's simulator alone, and judge it on real noise (w2s).

It replaces the model in the package only where --write is given.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from _common import DATA, ROOT, in_words
from _shipped import tested
from scipy import ndimage
from skimage.restoration import richardson_lucy

from napari_dojo.data.dataset import Dataset
from napari_dojo.data.optics import bin_pixels
from napari_dojo.data.resample import cubic
from napari_dojo.evaluation.evaluate import evaluate_model
from napari_dojo.events import Message, Started, Validated
from napari_dojo.inference.predict import predict
from napari_dojo.io.datasets import DatasetFiles, read_dataset
from napari_dojo.io.images import read, write
from napari_dojo.io.pairing import list_inputs
from napari_dojo.metrics.base import pool
from napari_dojo.metrics.images import ImageScores
from napari_dojo.models.bundle import load, save
from napari_dojo.models.cover import beside
from napari_dojo.settings import TrainSettings
from napari_dojo.simulation.microscope import simulate
from napari_dojo.simulation.scenes import random_scene
from napari_dojo.tasks import TASKS
from napari_dojo.training.train import Target, train_steps

SHOWN = (
    "Trained on napari-dojo's own simulator alone (nuclei, cells, bacteria, filaments, spots, networks, clouds; any gain, "
    "offset and read noise). It was shown no real image, no line noise, no compression and no volumes; look at "
)


@dataclass(frozen=True)
class Recipe:
    """How a shipped model is made: its task, the upsampling factor of its predictions, and what it says of itself."""

    task: str
    factor: int
    description: str


MODELS = {
    "denoise-fluorescence": Recipe(
        "denoise",
        1,
        "Removes the noise of 2-D fluorescence images without any training: camera noise of 1 to 1,000 photons in bright "
        f"pixels, independent from pixel to pixel. {SHOWN}the residual before you trust it, or fine-tune it on your own "
        "images.",
    ),
    "upscale-2x-fluorescence": Recipe(
        "upscale",
        2,
        "Gives 2-D fluorescence images twice as many pixels along X and Y, without the noise, and without any training: "
        "camera noise of 1 to 1,000 photons in bright pixels, independent from pixel to pixel, pixels that just miss the "
        f"microscope's detail. {SHOWN}your image beside its prediction before you trust it, or fine-tune it on your own images.",
    ),
}


def scenes(recipe: Recipe, count: int, edge: int) -> Dataset:
    """Pictures of ``edge`` px and what they would be without noise, in as many pixels as the model gives."""
    made = [random_scene(seed, (edge, edge), recipe.factor) for seed in range(count)]
    kept = [s for s in made if np.ptp(s.image) > 0]
    task = TASKS[recipe.task]
    names = [f"scene {k}" for k in range(len(kept))]
    return Dataset.of([s.image for s in kept], [s.clean for s in kept], layout=task.layout(task.options()), names=names)


def coarse(source: Path, factor: int, out: Path) -> Path:
    """The images of a folder with so many times fewer pixels along both axes."""
    if factor == 1:
        return source
    for path in list_inputs(source):
        write(out / f"{path.stem}.tif", bin_pixels(np.asarray(read(path).data, np.float32), factor, "mean"), "YX")
    return out


def without_model(images: Path, clean: Path, factor: int, methods: dict[str, Callable[[Any], Any]]) -> dict[str, Any]:
    """Scores of images that are interpolated, then treated by each of some methods."""
    found: dict[str, list[ImageScores]] = {name: [] for name in methods}
    for path in list_inputs(images):
        large = cubic(np.asarray(read(path).data, np.float32)[None], (factor, factor))[0]
        right = np.asarray(read(clean / path.name).data, np.float32)[None]
        for name, method in methods.items():
            found[name].append(ImageScores.of(right, method(large)[None]))
    return {name: in_words(pool(scores)) for name, scores in found.items()}


def lucy(width: float, turns: int) -> Callable[[Any], Any]:
    """Richardson-Lucy deconvolution with a Gaussian of ``width`` px."""
    at = np.arange(-int(4 * width) - 1, int(4 * width) + 2)
    psf = np.exp(-(at[:, None] ** 2 + at**2) / (2 * width**2))

    def method(image: Any) -> Any:
        low, high = float(image.min()), float(image.max())
        return low + (high - low) * richardson_lucy((image - low) / (high - low), psf / psf.sum(), turns, clip=False)

    return method


def held_against(recipe: Recipe, data: Path, folder: Path) -> dict[str, Any]:
    """What bicubic interpolation and Richardson-Lucy give on the test images; Lucy's settings are those best on training images."""
    noisy, clean = data / "train" / "noisy", data / "train" / "clean"
    few = folder / "few"
    for path in list_inputs(noisy)[::12]:
        (few / "noisy").mkdir(parents=True, exist_ok=True)
        shutil.copy(path, few / "noisy" / path.name)
    tried = {f"{w:g} {n}": lucy(w, n) for w in (1.0, 1.5, 2.0, 3.0, 4.0) for n in (2, 5, 10, 20)}
    scores = without_model(coarse(few / "noisy", recipe.factor, few / "coarse"), clean, recipe.factor, tried)
    best = max(scores, key=lambda k: scores[k]["psnr"])
    methods: dict[str, Callable[[Any], Any]] = {"bicubic": lambda x: x, "richardson_lucy": tried[best]}
    methods["gaussian"] = lambda x: ndimage.gaussian_filter(x, 2.0)
    test = coarse(data / "test" / "noisy", recipe.factor, folder / "test")
    return {**without_model(test, data / "test" / "clean", recipe.factor, methods), "lucy_width_turns": best}


def finished(model: Path, recipe: Recipe, data: Path, folder: Path) -> dict[str, float]:
    """Give the model its test image and cover from the simulator, and its score from real noise that it never saw."""
    bundle, shown = load(model), simulate("filaments", (256, 256), 11, photons=15).image
    if recipe.factor > 1:
        shown = np.rint(bin_pixels(shown, recipe.factor, "mean")).astype(np.uint16)
    task = TASKS[recipe.task]
    given = DatasetFiles(
        str(coarse(data / "test" / "noisy", recipe.factor, folder / "noisy")), str(data / "test" / "clean")
    )
    report = evaluate_model(bundle, read_dataset(given, task.layout(task.options()))[0])
    card = tested(bundle.card, report)
    large = np.kron(shown, np.ones((recipe.factor,) * 2, shown.dtype))
    cover = beside(large[None], predict(bundle, shown, "YX")[None])
    save(replace(bundle, card=card), model, shown[None, :128, :128], cover)
    return in_words(report.pooled)  # type: ignore[arg-type]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", choices=MODELS)
    parser.add_argument("--data", type=Path, default=DATA / "w2s_denoise")
    parser.add_argument("--minutes", type=float, default=40.0)
    parser.add_argument("--scenes", type=int, default=4000)
    parser.add_argument("--edge", type=int, default=144, help="of the scenes, px")
    parser.add_argument("--out", type=Path, help="keep the model, with its run, here (may be gone on with --resume)")
    parser.add_argument("--resume", action="store_true", help="go on with the training that lies in --out")
    parser.add_argument("--write", action="store_true", help="put it into the package")
    args = parser.parse_args()
    recipe, shipped = MODELS[args.model], ROOT / "src" / "napari_dojo" / "models" / "shipped" / args.model
    with tempfile.TemporaryDirectory(prefix="dojo-shipped-") as name:
        model = args.out or Path(name) / args.model
        pairs = scenes(recipe, args.scenes, args.edge)
        about = {"name": args.model, "description": recipe.description, "license": "CC0-1.0"}
        target = Target(model, resume=args.resume, began=time.monotonic(), **about)
        settings = TrainSettings(minutes=args.minutes, test=0.0, validation=0.04, device="cpu")
        for event in train_steps(pairs, recipe.task, target, settings):
            if isinstance(event, (Started, Message, Validated)):
                print(getattr(event, "text", None) or getattr(event, "score", {}).get("sentence", event), flush=True)
        fresh = Path(name) / "fresh"
        shutil.copytree(model, fresh, ignore=shutil.ignore_patterns("run", ".*"))
        facts: dict[str, Any] = {"w2s": finished(fresh, recipe, args.data, Path(name))}
        if recipe.factor > 1:
            facts["without_model"] = held_against(recipe, args.data, Path(name))
        size = sum(p.stat().st_size for p in fresh.iterdir()) / 1e6
        if args.write:
            shutil.rmtree(shipped, ignore_errors=True)
            shutil.copytree(fresh, shipped)
    print(json.dumps({"megabytes": round(size, 2), **facts, "written": args.write}))


if __name__ == "__main__":
    main()
