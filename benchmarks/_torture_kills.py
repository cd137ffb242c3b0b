"""Kills at random moments of training, saving, predicting a folder and autosave: see `torture`.

Each work is done by a forked process, which gets SIGKILL; what it left must be whole, and the work must be completed after it.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from _torture_hostile import model
from _torture_inputs import discs

from napari_dojo.data.dataset import Dataset
from napari_dojo.errors import DojoError
from napari_dojo.inference.apply import apply
from napari_dojo.inference.predict import Ready, predict
from napari_dojo.inference.sources import FileSource
from napari_dojo.inference.tiff_sink import TiffSink
from napari_dojo.io import images
from napari_dojo.jobs.autosave import Draft, Layer, Row, Work, drafts
from napari_dojo.models.bundle import load
from napari_dojo.paths import runs_folder
from napari_dojo.settings import TrainSettings
from napari_dojo.training.train import Target, train_steps

LONG = TrainSettings(steps=300, width=4, depth=2, batch=1, patch=16, device="cpu")
SIZE = (64, 64)


def killed(work: Callable[[], object], seconds: float, folder: Path | None = None) -> bool:
    """Do the work in a process, and kill that after a while, or, with a folder, as soon as a file is being written there then.

    False where it had ended by itself.
    """
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    began = time.monotonic()
    while os.waitpid(child, os.WNOHANG)[0] == 0:
        gone = time.monotonic() - began
        if gone > seconds and (folder is None or any(folder.rglob(".*.part*")) or gone > seconds + 5):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return True
        time.sleep(0.0005)
    return False


def scene(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """An image of discs and its labels."""
    y = discs(SIZE, seed)
    return np.random.default_rng(seed).normal(100, 10, SIZE).astype(np.float32) + 300 * (y > 0), y


class Training:
    """A training that is killed and resumed."""

    def __init__(self, folder: Path, aimed: bool) -> None:
        self.out, self.aimed = folder / f"model-{aimed}", aimed
        pairs = [scene(k) for k in range(3)]
        self.data = Dataset.of([x for x, _ in pairs], [y for _, y in pairs])

    def train(self) -> None:
        for _ in train_steps(self.data, "instances", Target(self.out, resume=True), LONG):
            pass

    def kill(self, moments: random.Random) -> bool:
        """Kill it once; from the start again where it was done."""
        if killed(self.train, moments.uniform(0, 1.5), self.out if self.aimed else None):
            return True
        shutil.rmtree(self.out)
        return False

    def verdict(self) -> str:
        """What is wrong with what is there; empty: nothing."""
        if not (self.out / "rdf.yaml").exists():
            return ""
        predict(load(self.out), scene(9)[0])
        return ""

    def completed(self) -> str:
        """Complete it, and look again."""
        self.train()
        left = [p.name for p in self.out.rglob(".*")]
        return self.verdict() or (f"left behind: {left}" if left else "")


class Prediction:
    """A folder that is predicted."""

    def __init__(self, folder: Path) -> None:
        self.out = folder / "predicted"
        self.inputs = tuple(folder / f"in_{k}.tif" for k in range(6))
        for k, path in enumerate(self.inputs):
            images.write(path, scene(k)[0], "YX")
        self.bundle = load(model(folder / "good"))
        self.right = [predict(self.bundle, scene(k)[0]) for k in range(6)]

    def predict(self) -> None:
        sink = TiffSink(self.inputs, self.out, overwrite=True, tables=True)
        for _ in apply(Ready.of(self.bundle), [FileSource(p) for p in self.inputs], sink):
            pass

    def kill(self, moments: random.Random) -> bool:
        return killed(self.predict, moments.uniform(0, 0.6))

    def verdict(self) -> str:
        for k, path in enumerate(self.inputs):
            made = self.out / path.name
            if made.exists() and not np.array_equal(images.read(made, labels=True).data, self.right[k]):
                return f"{made.name} is not what was predicted"
            table = made.with_suffix(".csv")
            if table.exists() and len(table.read_text().strip().splitlines()) != 1 + self.right[k].max():
                return f"{table.name} is not whole"
        return ""

    def completed(self) -> str:
        self.predict()
        whole = all((self.out / p.name).exists() for p in self.inputs)
        return self.verdict() or ("" if whole else "a prediction is missing")


class Autosave:
    """Labels that are painted and kept."""

    def __init__(self) -> None:
        self.painted = 0

    def paint(self) -> None:
        draft = Draft.new()
        image = Layer("image", "cells", scene(0)[0], {})
        for k in range(1, 10_000):
            labels = Layer("labels", "mine", np.full((200, 200), k, np.int32), {}, version=k)
            draft.write(Work("cells", (Row(("i",), "l", None, "automatic"),), {"k": k}, {"i": image, "l": labels}))

    def kill(self, moments: random.Random) -> bool:
        shutil.rmtree(runs_folder(), ignore_errors=True)
        return killed(self.paint, moments.uniform(0, 0.5))

    def verdict(self) -> str:
        found = drafts()
        if not found:
            there = list(runs_folder().glob("*/draft.json"))
            return f"a draft is not offered: {there}" if there else ""
        work = found[0].read()
        labels = work.layers["l"].data
        if labels is None or not (labels == work.choices["k"]).all():
            return "the labels are not those that were kept"
        self.painted += 1
        return ""

    def completed(self) -> str:
        for draft in drafts():
            draft.claim()
            draft.discard()
        return ""


def run(kills: int, folder: Path, seed: int = 0, talk: bool = True, only: Sequence[str] = ()) -> dict[str, Any]:
    """Kill each work in turn, or ``only`` these; figures, with what was broken."""
    moments, told, broken = random.Random(seed), Counter[str](), list[str]()
    works: dict[str, Any] = {
        "training": Training(folder, False),
        "saving": Training(folder, True),
        "predicting": Prediction(folder),
        "autosave": Autosave(),
    }
    if only:
        works = {name: works[name] for name in only}
    names = list(works)
    for i in range(kills):
        name = names[i % len(names)]
        work: Any = works[name]
        for _ in range(20):
            if hit := work.kill(moments):
                break
        told[name] += hit
        found = _looked(work.verdict)
        if found:
            broken.append(f"kill {i + 1}, {name}: {found}")
        if talk:
            print(f"kill {i + 1}, {name}: {found or 'whole'}", flush=True)
    for name, work in works.items():
        if found := _looked(work.completed):
            broken.append(f"{name}, completed: {found}")
    figures: dict[str, Any] = {"kills": sum(told.values()), **told}
    for work in works.values():
        if isinstance(work, Autosave):
            figures["drafts read"] = work.painted
    return {**figures, "broken": broken}


def _looked(look: Callable[[], str]) -> str:
    try:
        return look()
    except DojoError as e:
        return str(e)
    except Exception as e:
        return repr(e)
