"""Simulated noise with the truth: one image that teaches itself, noise in lines, volumes against planes, empty fields."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from _common import arguments, dojo, measure_parts, report

from napari_dojo.data.optics import Camera
from napari_dojo.io.images import read, write
from napari_dojo.metrics.images import psnr
from napari_dojo.simulation.microscope import simulate
from napari_dojo.simulation.scenes import expose, line_noise, random_light
from napari_dojo.tasks.images import best_filter

KINDS = ("nuclei", "cells", "filaments", "bacteria", "spots")


def first(image: np.ndarray, dims: int) -> np.ndarray:
    """The first channel where there are several."""
    return image if image.ndim == dims else image[0]


def train_and_apply(folder: Path, task: str, x: np.ndarray, axes: str, *more: object) -> np.ndarray:
    """Train on one image (with its target in ``folder/clean``, where there is one), and apply to ``folder/other`` or it."""
    write(folder / "noisy" / "image.tif", x, axes)
    target = ("--target", folder / "clean") if task == "denoise" else ()
    dojo("train", task, "--input", folder / "noisy", *target, "--axes", axes, *more, "--out", folder / "model")
    given = folder / "other" if (folder / "other").exists() else folder / "noisy"
    dojo("predict", folder / "model", given, "--axes", axes, "--out", folder / "out")
    return np.asarray(read(folder / "out" / "image.tif").data)


def one_image(folder: Path, minutes: float) -> dict[str, Any]:
    """Five images of 1024 x 1024, each denoised as the menu does it, beside the best filter."""
    rows, how = [], ("--minutes", minutes, "--start", "denoise-fluorescence")
    for k, kind in enumerate(KINDS):
        scene = simulate(kind, (1024, 1024), k, photons=20)
        x, y = (first(a, 2).astype(np.float32) for a in (scene.image, scene.clean))
        began = time.perf_counter()
        found = train_and_apply(folder / kind, "noise2void", x, "YX", *how)
        seconds = time.perf_counter() - began
        (held,), name = best_filter([x[None]], [y[None]], None)
        row = {"kind": kind, "psnr": psnr(y, found), "filter": psnr(y, held[0]), "name": name, "noisy": psnr(y, x)}
        rows.append(
            {k: round(v, 2) if isinstance(v, float) else v for k, v in row.items()} | {"seconds": round(seconds)}
        )
    return {"images": rows, "gain": round(float(np.mean([r["psnr"] - r["filter"] for r in rows])), 2)}


def lines(folder: Path, minutes: float) -> dict[str, Any]:
    """Noise that neighbours in a row share, with and without the line mask."""
    rng = np.random.default_rng(0)
    y = first(simulate("cells", (512, 512), 3).clean, 2)
    span = float(np.ptp(y))
    x = line_noise(y + rng.normal(0, 0.03 * span, y.shape), 0.15 * span, rng)
    from napari_dojo.data.dataset import Dataset
    from napari_dojo.data.noise import measure_noise
    from napari_dojo.tasks import TASKS

    task = TASKS["noise2void"]
    said = [f.text for f in task.summarize(Dataset.of([x]), task.options()).findings if "line mask" in f.text]
    masked = train_and_apply(folder / "masked", "noise2void", x, "YX", "--minutes", minutes, "--lines", "x")
    plain = train_and_apply(folder / "plain", "noise2void", x, "YX", "--minutes", minutes)
    figures = {"noisy": psnr(y, x), "plain": psnr(y, plain), "lines": psnr(y, masked)}
    return {k: round(v, 2) for k, v in figures.items()} | {
        "said": said,
        "correlation": [round(c, 2) for c in measure_noise(x).correlation],
    }


def volumes(folder: Path, minutes: float) -> dict[str, Any]:
    """Stacks with pairs: a 3-D net against a 2-D one that sees plane by plane, for the same minutes."""
    figures = {}
    scenes = [simulate("nuclei", (32, 192, 192), k, photons=8, anisotropy=2.0) for k in range(5)]
    for axes in ("ZYX", "TYX"):
        place = folder / axes
        for k, scene in enumerate(scenes[:4]):
            write(place / "in" / f"{k}.tif", scene.image, axes)
            write(place / "clean" / f"{k}.tif", scene.clean, axes)
        write(place / "other" / "image.tif", scenes[4].image, axes)
        budget = ("--minutes", minutes, "--axes", axes, "--out", place / "model")
        dojo("train", "denoise", "--input", place / "in", "--target", place / "clean", *budget)
        dojo("predict", place / "model", place / "other", "--axes", axes, "--out", place / "out")
        found = np.asarray(read(place / "out" / "image.tif").data)
        figures["volume" if axes == "ZYX" else "planes"] = round(psnr(scenes[4].clean, found), 2)
    return {"noisy": round(psnr(scenes[4].clean, scenes[4].image), 2), **figures}


def empty(folder: Path, minutes: float) -> dict[str, Any]:
    """A field whose right half holds nothing: how much of the noise is left there (standard deviation)."""
    light = random_light(5, (512, 512))
    light[:, 256:] = 0.05
    made = expose(light, 30, Camera(), np.random.default_rng(0))
    noise = float((made.image - made.clean)[:, 288:].std())
    found = {"noise2void": train_and_apply(folder / "alone", "noise2void", made.image, "YX", "--minutes", minutes)}
    dojo("predict", "denoise-fluorescence", folder / "alone" / "noisy", "--axes", "YX", "--out", folder / "shipped")
    found["shipped"] = np.asarray(read(folder / "shipped" / "image.tif").data)
    left = {k: round(float(v[:, 288:-32].std()) / noise, 4) for k, v in found.items()}
    return left | {
        f"{k}_bias": round(float((v - made.clean).mean()) / float(np.ptp(made.clean)), 5) for k, v in found.items()
    }


PARTS = {"one_image": (one_image, 1.4), "lines": (lines, 3.0), "volumes": (volumes, 5.0), "empty": (empty, 2.0)}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--minutes", type=float, help="of each training (default: as the part has it)")
    args = parser.parse_args()

    def measured(part: str, folder: Path) -> dict[str, Any]:
        measure, minutes = PARTS[part]
        return measure(folder, args.minutes or minutes)

    report(measure_parts(args.only, measured), args.save)


if __name__ == "__main__":
    main()
