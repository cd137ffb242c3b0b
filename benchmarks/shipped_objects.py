"""Shipped models of objects: train one on the project's simulator alone, for trainings to start from, and judge it on real nuclei.

It replaces the model in the package only where --write is given.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from _common import DATA, ROOT, dojo
from _shipped import remember, tested
from numpy.typing import NDArray

from napari_dojo.evaluation.evaluate import evaluate_model
from napari_dojo.inference.predict import predict
from napari_dojo.io.datasets import DatasetFiles, read_dataset
from napari_dojo.io.images import write
from napari_dojo.models.bundle import load, save
from napari_dojo.models.cover import overlay
from napari_dojo.simulation.objects import ObjectField, random_objects, random_stained
from napari_dojo.training.held import REMEMBERED

EDGE = 256  # of the fields, px
DIAMETER = 24.0  # px in the network: objects much larger or smaller are brought to it
SHOWN = (
    "Trained on napari-dojo's own simulator alone: it has seen no real image and no volumes. Train from it on a few images "
    "of your own; do not rely on its objects without that."
)


@dataclass(frozen=True)
class Recipe:
    """How a shipped model is made: its fields, how many, and what it says of itself."""

    field: Callable[[int, Sequence[int]], ObjectField]
    fields: int
    minutes: float  # on two cores
    description: str


MODELS = {
    "objects-grey": Recipe(
        random_objects,
        2000,
        60.0,
        "Finds objects of 6 to 60 px in 2-D images with one channel: nuclei, cells, bacteria and other things with an "
        f"outline, in fluorescence, phase contrast or bright field, light or dark. {SHOWN}",
    ),
    "objects-stained": Recipe(
        random_stained,
        2200,
        53.0,
        f"Finds nuclei and cells of 10 to 42 px in 2-D images of stained tissue in colour, whatever the stain. {SHOWN}",
    ),
}


def written(recipe: Recipe, folder: Path) -> tuple[Path, Path]:
    """Folders with the fields and their labels, which are made where there are none."""
    images, masks = folder / "images", folder / "masks"
    for seed in range(0 if images.exists() else recipe.fields):
        made = recipe.field(seed, (EDGE, EDGE))
        if made.labels.any():
            write(images / f"{seed:04d}.tif", made.image, "YXC"[: made.image.ndim])
            write(masks / f"{seed:04d}.tif", made.labels, "YX", labels=True)
    return images, masks


def fields(recipe: Recipe) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Simulated images that it was trained on, and their labels."""
    made = (recipe.field(seed, (EDGE, EDGE)) for seed in range(recipe.fields))
    for field in islice((f for f in made if f.labels.any()), REMEMBERED):
        yield field.image[None] if field.image.ndim == 2 else field.image.transpose(2, 0, 1), field.labels


def finished(model: Path, name: str, data: Path) -> dict[str, Any]:
    """Give the model its name, test image, cover and memory; where it has one channel, its score on real nuclei."""
    recipe = MODELS[name]
    bundle, shown = load(model), recipe.field(100_003, (EDGE, EDGE)).image
    axes = "YXC"[: shown.ndim]
    seen = shown[None] if shown.ndim == 2 else shown.transpose(2, 0, 1)
    about = {"name": name, "description": recipe.description, "license": "CC0-1.0", "parent": None}
    card = replace(bundle.card, diameter=DIAMETER / bundle.card.zoom, **about)
    if bundle.card.channels == 1:
        pairs, _ = read_dataset(DatasetFiles(str(data / "test" / "images"), str(data / "test" / "masks")))
        card = tested(card, evaluate_model(bundle, pairs))
    save(replace(bundle, card=card), model, seen[:, :128, :128], overlay(seen, predict(bundle, shown, axes)))
    remember(model, fields(recipe))
    return dict(card.score)


def trained(args: argparse.Namespace, folder: Path) -> Path:
    """A model of the fields: the first half of the time sees objects as they are, the second enlarged to the diameter."""
    recipe, model = MODELS[args.model], folder / args.model
    images, masks = written(recipe, args.fields or folder)
    minutes, start = args.minutes or recipe.minutes, args.start
    about = ("train", "instances", "--input", images, "--target", masks, "--test", 0, "--device", "cpu")
    if start is None:
        minutes, start = minutes / 2, folder / "first"
        how = ("--start", "none", "--width", args.width, "--diameter", DIAMETER, "--minutes", f"{minutes:g}")
        dojo(*about, *how, "--out", start)
    dojo(*about, "--start", start, "--learning-rate", 0.003, "--minutes", f"{minutes:g}", "--out", model)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", choices=MODELS)
    parser.add_argument("--data", type=Path, default=DATA / "dsb2018_fluo")
    parser.add_argument("--minutes", type=float, help="60 and 53 by default")
    parser.add_argument("--start", type=Path, help="leave out the first half: go on from this model")
    parser.add_argument("--fields", type=Path, help="the fields are or will be in this folder")
    parser.add_argument("--width", type=int, default=32, help="feature maps of the finest level")
    parser.add_argument("--model-at", type=Path, help="do not train: take the model that lies in this folder")
    parser.add_argument("--finish", action="store_true", help="do not train: judge the model in the package again")
    parser.add_argument("--write", action="store_true", help="put it into the package")
    args = parser.parse_args()
    shipped = ROOT / "src" / "napari_dojo" / "models" / "shipped" / args.model
    if args.finish:
        print(json.dumps(finished(shipped, args.model, args.data)))
        return
    with tempfile.TemporaryDirectory(prefix="dojo-shipped-") as name:
        model = args.model_at or trained(args, Path(name))
        fresh = Path(name) / "fresh"
        shutil.copytree(model, fresh, ignore=shutil.ignore_patterns("run", ".*"))
        score = finished(fresh, args.model, args.data)
        size = sum(p.stat().st_size for p in fresh.iterdir()) / 1e6
        if args.write:
            shutil.rmtree(shipped, ignore_errors=True)
            shutil.copytree(fresh, shipped)
    print(json.dumps({"megabytes": round(size, 2), "score": score, "written": args.write}))


if __name__ == "__main__":
    main()
