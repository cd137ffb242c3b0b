"""Classes: digits by 5-fold cross-validation beside a dense network, and kinds of simulated cells beside other programs' ways.

`--only digits`: scikit-learn's 8 x 8 digits, also moved by one pixel; the dense network has as many weights. `--only cells`: four
kinds of cells from 200 labelled objects, judged on fresh fields; beside a random forest and gradient boosting on regionprops, and
Piximi's SimpleCNN, rebuilt from its description. `--only blood`: a stand-in for good and bad red blood cells, in which stain, light and focus differ more than the classes do; `--each 20`: few of them.
`--only clicks`: 20 clicks on objects in a real viewer (a display is needed), and 5,000 objects: how soon and how smoothly classes come.
"""

from __future__ import annotations

import csv
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from _classify_blood import written_cells
from _common import arguments, dojo, measure_parts, report, table
from numpy.typing import NDArray

from napari_dojo.io.images import write

PARTS = ("digits", "cells", "blood")
CLICKS = "clicks"  # needs a display, so it is measured only when asked for
MOVES = ((0, 1), (0, -1), (1, 0), (-1, 0))  # by one pixel
FIELD = (512, 512)
LABELLED, FRESH = 200, 1000  # objects
EDGE = 48  # px of the crops that Piximi's network sees
Images = NDArray[np.floating[Any]]


def budget(args: Any) -> tuple[object, ...]:
    """How long a training may take."""
    return ("--steps", args.steps) if args.steps else ("--minutes", f"{args.minutes:g}")


def read_classes(path: Path) -> dict[tuple[str, str], str]:
    """The class of each file and label in a ``classes.csv``."""
    with open(path, newline="", encoding="utf-8") as file:
        return {(row["file"], row.get("label", "")): row["class"] for row in csv.DictReader(file)}


# digits -------------------------------------------------------------------------------------------------------------


def moved(images: Images, step: tuple[int, int]) -> Images:
    """Images moved by some pixels; what comes in is 0."""
    out = np.zeros_like(images)
    (y, x), (h, w) = step, images.shape[1:]
    out[:, max(y, 0) : h + min(y, 0), max(x, 0) : w + min(x, 0)] = images[
        :, max(-y, 0) : h + min(-y, 0), max(-x, 0) : w + min(-x, 0)
    ]
    return out


def digits(args: Any, folder: Path) -> dict[str, Any]:
    """Accuracies of both networks, pooled over the folds."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import StratifiedKFold

    data = load_digits()
    x, y = data.images.astype(np.float32), data.target
    folds = list(StratifiedKFold(5, shuffle=True, random_state=0).split(x, y))[: args.folds]
    right: dict[str, list[float]] = {k: [] for k in ("ours", "ours moved", "dense", "dense moved")}
    weights, seconds = 0, []
    for k, (training, test) in enumerate(folds):
        sets = {"as they are": x[test], **{f"moved {i}": moved(x[test], step) for i, step in enumerate(MOVES)}}
        found, count, took = classified_digits(args, folder / str(k), x[training], y[training], sets)
        ours = [float((values == y[test]).mean()) for values in found]
        beside = dense(count, x[training], y[training], list(sets.values()), k)
        theirs = [float((values == y[test]).mean()) for values in beside]
        for name, (plain, *rest) in (("ours", ours), ("dense", theirs)):
            right[name].append(plain)
            right[f"{name} moved"].append(float(np.mean(rest)))
        weights = count
        seconds.append(took)
        print(f"fold {k}: { ({n: round(v[-1], 4) for n, v in right.items()}) }", flush=True)
    mean = {n: round(float(np.mean(v)), 4) for n, v in right.items()}
    rows = [("network", "accuracy", "moved by 1 px")]
    rows += [(n, f"{mean[n]:.4f}", f"{mean[f'{n} moved']:.4f}") for n in ("ours", "dense")]
    print(table(rows))
    return {**mean, "weights": weights, "folds": len(folds), "seconds_per_fold": round(float(np.mean(seconds)), 1)}


def classified_digits(
    args: Any, folder: Path, x: Images, y: NDArray[Any], sets: dict[str, Images]
) -> tuple[list[NDArray[Any]], int, float]:
    """What our network says of each set, how many weights it has, and how long its training took."""
    from napari_dojo.models.bundle import load

    for i, (image, digit) in enumerate(zip(x, y, strict=True)):
        write(folder / "images" / str(digit) / f"{i}.tif", image.astype(np.uint8), "YX")
    took = dojo(
        "train", "classify", "--input", folder / "images", "--out", folder / "model", *budget(args), "--test", 0
    )
    found = []
    for name, images in sets.items():
        for i, image in enumerate(images):
            write(folder / name / f"{i}.tif", image.astype(np.uint8), "YX")
        dojo("predict", folder / "model", folder / name, "--out", folder / f"{name} classes")
        told = read_classes(folder / f"{name} classes" / "classes.csv")
        found.append(np.array([int(told[f"{i}.tif", ""]) for i in range(len(images))]))
    net = load(folder / "model").net
    return found, sum(p.numel() for p in net.parameters()), took


def dense(weights: int, x: Images, y: NDArray[Any], sets: Sequence[Images], seed: int) -> list[NDArray[Any]]:
    """What a dense network with about so many weights says: two hidden layers of one width, the best of 200 epochs on validation."""
    from torch import nn

    inputs, outputs = x[0].size, int(y.max()) + 1
    b = inputs + outputs + 2
    units = max(4, round((-b + (b * b + 4 * weights) ** 0.5) / 2))
    layers = (nn.Linear(inputs, units), nn.ReLU(), nn.Linear(units, units), nn.ReLU(), nn.Linear(units, outputs))
    flat = [(s.reshape(len(s), -1) / 16).astype(np.float32) for s in (x, *sets)]
    return plain(lambda: nn.Sequential(*layers), flat[0], y, flat[1:], seed, epochs=200)


def plain(
    make: Callable[[], Any],
    x: Images,
    y: NDArray[Any],
    sets: Sequence[Images],
    seed: int,
    epochs: int,
    validation: float = 0.15,
) -> list[NDArray[Any]]:
    """Train a network as in a textbook: Adam, batches of 32, cross-entropy, the epoch that is best on validation."""
    import torch
    from torch.nn.functional import cross_entropy

    torch.manual_seed(seed)
    net = make()
    order = np.random.default_rng(seed).permutation(len(x))
    held = max(1, round(validation * len(x)))
    xs, ys = torch.from_numpy(np.ascontiguousarray(x)), torch.from_numpy(np.asarray(y, np.int64))
    out, ours = order[:held], order[held:]
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    best, kept = -1.0, {}
    for _ in range(epochs):
        net.train()
        for part in np.array_split(np.random.permutation(ours), max(1, len(ours) // 32)):
            optimizer.zero_grad()
            cross_entropy(net(xs[part]), ys[part]).backward()
            optimizer.step()
        net.eval()
        with torch.no_grad():
            logits = net(xs[out])
        score = float((logits.argmax(1) == ys[out]).float().mean()) - 1e-3 * float(cross_entropy(logits, ys[out]))
        if score > best:
            best, kept = score, {k: v.clone() for k, v in net.state_dict().items()}
    net.load_state_dict(kept)
    with torch.no_grad():
        return [net(torch.from_numpy(np.ascontiguousarray(s))).argmax(1).numpy() for s in sets]


# cells --------------------------------------------------------------------------------------------------------------


def fields(folder: Path, objects: int, seed: int) -> list[Any]:
    """Fields with so many objects in all, written as images, labels and ``classes.csv``."""
    from napari_dojo.simulation.cell_types import mixed_cells

    found: list[Any] = []
    lines, left = [("file", "label", "class")], objects
    while left > 0:
        cells = mixed_cells(FIELD, seed + len(found), most=left)
        name = f"field{len(found)}.tif"
        write(folder / "images" / name, cells.image[0], "YX")
        write(folder / "labels" / name, cells.labels, "YX", labels=True)
        lines += [(name, str(k), kind) for k, kind in enumerate(cells.names(), 1)]
        left -= len(cells.types)
        found.append(cells)
    with open(folder / "classes.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(lines)
    return found


def cells(args: Any, folder: Path) -> dict[str, Any]:
    """Accuracy of each way on fresh objects, and how long it took to learn."""
    (folder / "train").mkdir()
    (folder / "fresh").mkdir()
    known, fresh = fields(folder / "train", LABELLED, 1000 * args.seed), fields(folder / "fresh", FRESH, 7000)
    truth = np.concatenate([c.types for c in fresh])
    y = np.concatenate([c.types for c in known])
    ways: dict[str, dict[str, float]] = {"napari-dojo": our_cells(args, folder)}
    tables = [np.concatenate([features(c) for c in part]) for part in (known, fresh)]
    for name, model in forests():
        began = time.perf_counter()
        model.fit(tables[0], y)
        took = time.perf_counter() - began
        right = float((model.predict(tables[1]) == truth).mean())
        ways[name] = {"accuracy": round(right, 4), "seconds": round(took, 1)}
    ways["Piximi's SimpleCNN, rebuilt"] = piximi(known, fresh, y, truth)
    rows = [
        ("way", "accuracy", "seconds"),
        *((n, f"{w['accuracy']:.3f}", f"{w['seconds']:.0f}") for n, w in ways.items()),
    ]
    print(table(rows))
    return {"labelled": len(y), "fresh": len(truth), "ways": ways}


def our_cells(args: Any, folder: Path) -> dict[str, float]:
    """The command line: train on the labelled objects, give the fresh ones their classes."""
    train, fresh = folder / "train", folder / "fresh"
    data = ("--input", train / "images", "--target", train / "labels", "--classes", train / "classes.csv")
    took = dojo("train", "classify", *data, "--out", folder / "model", *budget(args), "--test", 0)
    dojo("predict", folder / "model", fresh / "images", "--target", fresh / "labels", "--out", folder / "found")
    told, truth = read_classes(folder / "found" / "classes.csv"), read_classes(fresh / "classes.csv")
    right = np.mean([told.get(key) == kind for key, kind in truth.items()])
    return {"accuracy": round(float(right), 4), "seconds": round(took, 1)}


def features(cells: Any) -> NDArray[np.float64]:
    """What scikit-image measures of each object (n, F)."""
    from skimage.measure import regionprops_table

    names = ("area", "axis_major_length", "axis_minor_length", "eccentricity", "solidity", "extent", "perimeter")
    names += ("intensity_mean", "intensity_min", "intensity_max", "intensity_std", "moments_hu")
    found = regionprops_table(cells.labels, cells.image[0].astype(np.float64), properties=names)
    return np.stack([np.asarray(v, np.float64) for v in found.values()], 1)


def forests() -> list[tuple[str, Any]]:
    """The heads that other programs put on such features."""
    from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier

    return [
        ("random forest on regionprops", RandomForestClassifier(300, random_state=0)),
        ("gradient boosting on regionprops", GradientBoostingClassifier(random_state=0)),
    ]


def piximi(known: Sequence[Any], fresh: Sequence[Any], y: NDArray[Any], truth: NDArray[Any]) -> dict[str, float]:
    """Piximi's SimpleCNN, after the codelab that it names: 8 and 16 maps of 5 x 5, each pooled by 2, one dense layer."""
    from torch import nn

    from napari_dojo.data.objects import crops_of

    def crops(part: Sequence[Any]) -> Images:
        found = [crops_of(c.image, c.labels, range(1, len(c.types) + 1), EDGE, side=EDGE) for c in part]
        each = np.concatenate(found)
        return (each / each.max(axis=(1, 2, 3), keepdims=True)).astype(np.float32)

    def make() -> Any:
        size = ((EDGE - 4) // 2 - 4) // 2
        first = (nn.Conv2d(1, 8, 5), nn.ReLU(), nn.MaxPool2d(2))
        return nn.Sequential(
            *first, nn.Conv2d(8, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16 * size**2, 4)
        )

    began = time.perf_counter()
    (found,) = plain(make, crops(known), y, [crops(fresh)], 0, epochs=100)
    return {"accuracy": round(float((found == truth).mean()), 4), "seconds": round(time.perf_counter() - began, 1)}


# blood --------------------------------------------------------------------------------------------------------------


def blood(args: Any, folder: Path) -> dict[str, Any]:
    """Accuracy on 1,000 fresh cells after training on ``--each`` of each class."""
    written_cells(folder / "train", args.each, 1000 * args.seed)
    written_cells(folder / "fresh", 500, 7)
    took = dojo("train", "classify", "--input", folder / "train", "--out", folder / "model", *budget(args))
    dojo("predict", folder / "model", folder / "fresh", "--out", folder / "found")
    told = read_classes(folder / "found" / "classes.csv")
    right = np.mean([kind == Path(file).stem.rstrip("0123456789") for (file, _), kind in told.items()])
    return {"each": args.each, "accuracy": round(float(right), 4), "seconds": round(took, 1)}


def main() -> None:
    parser = arguments(__doc__, minutes=1.0)
    parser.add_argument("--only", choices=(*PARTS, CLICKS))
    parser.add_argument("--folds", type=int, default=5, help="of the digits, how many are measured")
    parser.add_argument("--steps", type=int, help="of each training, instead of minutes")
    parser.add_argument("--seed", type=int, default=1, help="of the labelled cells")
    parser.add_argument("--each", type=int, default=300, help="blood cells of each class that are trained on")
    args = parser.parse_args()
    if args.only == CLICKS:
        from _classify_clicks import clicks

        with tempfile.TemporaryDirectory() as folder:
            report(clicks(Path(folder)), args.save)
        return
    ways = {"digits": digits, "cells": cells, "blood": blood}
    parts = (args.only,) if args.only else PARTS
    report(measure_parts(parts, lambda part, folder: ways[part](args, folder)), args.save)


if __name__ == "__main__":
    main()
