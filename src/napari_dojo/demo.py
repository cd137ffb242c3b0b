"""The demo: train, predict, evaluate and view the result on sample data."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from napari_dojo.errors import DojoError
from napari_dojo.simulation.samples import folder

__all__ = ["demo"]


def demo(run: Callable[[list[str]], int], out: Path, minutes: float = 1.5, *, headless: bool = False) -> int:
    """Train on five simulated images of nuclei, apply the model to two others, and evaluate it.

    Writes into ``out``: the model, the labels, ``scores.csv``, figures, and an overlay for each test image. Files of an
    earlier demo are replaced. ``run`` runs one napari-dojo command and returns its exit code. Opens the viewer with the
    result unless ``headless``.
    """
    out.mkdir(parents=True, exist_ok=True)
    model = out / "nuclei-demo"
    if model.exists() and not (model / "run").exists():
        raise DojoError(f"{model} exists and was not made by a demo. Choose another folder with --out.")
    train, test = folder("nuclei_train"), folder("nuclei_test")
    for step in (
        [
            "train",
            "instances",
            "--input",
            f"{train / 'images'}",
            "--target",
            f"{train / 'labels'}",
            "--out",
            f"{model}",
            "--overwrite",
            "--minutes",
            f"{minutes}",
        ],
        ["predict", f"{model}", f"{test / 'images'}", "--out", f"{out / 'labels'}", "--overwrite"],
        [
            "evaluate",
            f"{model}",
            "--input",
            f"{test / 'images'}",
            "--target",
            f"{test / 'labels'}",
            "--out",
            f"{out}",
            "--overwrite",
        ],
    ):
        print("\n$ napari-dojo " + " ".join(step))
        code = run(step)
        if code:
            return code
    pictures = _pictures(test, out)
    print(f"Scores and pictures are in {out}: {', '.join(p.name for p in pictures)}.")
    if not headless and _has_display():
        _show(test, out)
    return 0


def _pictures(test: Path, out: Path) -> list[Path]:
    """For each test image: the predicted objects (matched, missed, false positive), enlarged twice."""
    from napari_dojo.io import images
    from napari_dojo.models.cover import overlay

    found = []
    for path in sorted((test / "images").glob("*.tif")):
        x = np.asarray(images.read(path).data)[None]
        labels = np.asarray(images.read(out / "labels" / path.name, labels=True).data)
        truth = np.asarray(images.read(test / "labels" / path.name, labels=True).data)
        picture = overlay(
            np.kron(x, np.ones((1, 2, 2))), np.kron(labels, np.ones((2, 2), int)), np.kron(truth, np.ones((2, 2), int))
        )
        found.append(out / f"{path.stem}.png")
        images.write(found[-1], picture, "YXC")
    return found


def _has_display() -> bool:
    return sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _show(test: Path, out: Path) -> None:
    """Open the viewer with the first test image and its labels."""
    import subprocess

    first = sorted((test / "images").glob("*.tif"))[0]
    subprocess.run(
        [sys.executable, "-m", "napari_dojo.widgets.show", str(first), str(out / "labels" / first.name)], check=False
    )
