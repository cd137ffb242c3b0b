"""Shipped model: train nuclei-fluorescence anew on the public nuclei and the simulator, and judge it.

It replaces the model in the package only where --write is given.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from _common import DATA, ROOT, dojo, instance_scores, rounded
from _shipped import remember, tested
from numpy.typing import NDArray

from napari_dojo.evaluation.evaluate import evaluate_model
from napari_dojo.inference.predict import predict
from napari_dojo.io.datasets import DatasetFiles, read_dataset
from napari_dojo.io.images import write
from napari_dojo.io.pairing import list_inputs
from napari_dojo.models.bundle import load, save
from napari_dojo.models.cover import overlay
from napari_dojo.simulation.microscope import random_nuclei
from napari_dojo.training.held import REMEMBERED

NAME = "nuclei-fluorescence"
SHIPPED = ROOT / "src" / "napari_dojo" / "models" / "shipped" / NAME
DESCRIPTION = (
    "Finds nuclei in 2-D fluorescence images (DAPI, Hoechst, fluorescent histones), 8 to 60 px in diameter, and takes "
    "other sizes with --diameter. Trained on the 447 fluorescence images of the 2018 Data Science Bowl that StarDist "
    "chose (BBBC038, CC0) and on nuclei of napari-dojo's own simulator. It was shown no stained tissue, no phase "
    "contrast and no volumes; check it on your own images before you count."
)


def gather(data: Path, simulated: int, edge: int, folder: Path) -> tuple[Path, Path]:
    """Real and simulated training images, and their labels, in one folder each."""
    images, masks = folder / "images", folder / "masks"
    for source, target in ((data / "train" / "images", images), (data / "train" / "masks", masks)):
        target.mkdir(parents=True)
        for path in list_inputs(source):
            shutil.copy2(path, target / path.name)
    for seed in range(simulated):
        scene = random_nuclei(seed, (edge, edge))
        write(images / f"simulated_{seed:04d}.tif", scene.image, "YX")
        write(masks / f"simulated_{seed:04d}.tif", scene.labels, "YX", labels=True)
    return images, masks


def size_of(model: Path) -> float:
    """MB of what is packed: all but the run."""
    files = [p for p in model.rglob("*") if p.is_file() and "run" not in p.relative_to(model).parts]
    return sum(p.stat().st_size for p in files) / 1e6


def finished(model: Path, data: Path) -> None:
    """Give the model its test image and cover from the simulator, and its score from the official test part.

    No image of the training data is packed; and validation says too much of a model that started from another one,
    which had learned from some of these images. It gets a memory of the simulated images that it was trained on.
    """
    bundle, scene = load(model), random_nuclei(2, (256, 256))
    pairs, _ = read_dataset(DatasetFiles(str(data / "test" / "images"), str(data / "test" / "masks")))
    card = replace(tested(bundle.card, evaluate_model(bundle, pairs)), parent=None)
    cover = overlay(scene.image[None], predict(bundle, scene.image, "YX"))
    save(replace(bundle, card=card), model, scene.image[None, :128, :128], cover)
    remember(model, fields())


def fields() -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Simulated images that it was trained on, and their labels."""
    for seed in range(REMEMBERED):
        scene = random_nuclei(seed, (256, 256))
        yield scene.image[None], scene.labels


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA / "dsb2018_fluo")
    parser.add_argument("--minutes", type=float, default=120.0)
    parser.add_argument("--simulated", type=int, default=60, help="simulated images beside the real ones")
    parser.add_argument("--edge", type=int, default=256, help="of the simulated images, px")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--width", type=int, default=48, help="feature maps of the finest level")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, help="keep the model, with its run, here (may be gone on with --resume)")
    parser.add_argument("--start", type=Path, help="go on from this model instead of from nothing")
    parser.add_argument("--learning-rate", type=float, default=0.0, help="0: automatic")
    parser.add_argument("--resume", action="store_true", help="go on with the training that lies in --out")
    parser.add_argument("--finish", action="store_true", help="do not train: judge the model in the package again")
    parser.add_argument("--write", action="store_true", help=f"put it into {SHIPPED.relative_to(ROOT)}")
    args = parser.parse_args()
    if args.finish:
        finished(SHIPPED, args.data)
        return
    with tempfile.TemporaryDirectory(prefix="dojo-shipped-") as name:
        folder = Path(name)
        model = args.out or folder / NAME
        images, masks = gather(args.data, args.simulated, args.edge, folder / "data")
        rate = ("--learning-rate", args.learning_rate)
        budget = ("--minutes", f"{args.minutes:g}", "--test", 0, "--seed", args.seed, "--device", args.device, *rate)
        net = () if args.start or args.resume else ("--width", args.width, "--start", "none")
        about = ("--name", NAME, "--description", DESCRIPTION, "--license", "CC0-1.0")
        resume = ("--resume",) if args.resume else ()
        start = ("--start", args.start) if args.start else ()
        dojo(
            "train",
            "instances",
            "--input",
            images,
            "--target",
            masks,
            *budget,
            *net,
            *about,
            *resume,
            *start,
            "--out",
            model,
        )
        test = args.data / "test"
        seconds = dojo("predict", model, test / "images", "--device", "cpu", "--out", folder / "labels")
        counts = instance_scores(test / "masks", folder / "labels")
        size = size_of(model)
        if args.write:
            fresh = SHIPPED.with_name(f".{NAME}.new")
            shutil.rmtree(fresh, ignore_errors=True)
            shutil.copytree(model, fresh, ignore=shutil.ignore_patterns("run", ".*"))
            finished(fresh, args.data)
            shutil.rmtree(SHIPPED, ignore_errors=True)
            fresh.rename(SHIPPED)
    print(f"{size:.2f} MB; test: {counts.sentence}")
    ap = rounded(counts.ap)
    print(
        json.dumps({"megabytes": round(size, 2), "ap": ap, "predict_seconds": round(seconds, 1), "written": args.write})
    )


if __name__ == "__main__":
    main()
