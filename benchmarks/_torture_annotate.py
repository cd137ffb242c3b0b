"""Kills while a person paints, corrects or retrains: how many seconds of work are lost, by the program's own saving.

Several processes at a time, two trainings among them, each with a user folder of its own; all are forked from one that has loaded
napari and torch.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from napari_dojo.jobs.autosave import drafts

MOST = 10.0  # seconds of work that may be lost
EDITS, PAUSE = 2000, 0.1  # one after the other, seconds between two
EDGE = 200  # px
LOADING = 90.0  # seconds until the first edit, at most
LATEST = 20.0  # seconds after it at which the process is killed, at most
TOGETHER, TRAININGS = 8, 2  # processes at a time, and trainings among them
TURNS = (
    ("painting", "correcting", "painting", "retraining", "painting") + ("correcting", "painting") * 2 + ("retraining",)
)


@dataclass
class Editing:
    """Strokes in an empty Labels layer, or objects of a prediction that are deleted, one after the other."""

    folder: Path
    correcting: bool

    def work(self, times: Any) -> None:
        """The panel's parts in a viewer without a window."""
        os.environ["QT_QPA_PLATFORM"] = "offscreen"
        from napari.components import ViewerModel
        from qtpy.QtWidgets import QApplication

        from napari_dojo.widgets.annotate.editing import Editing as Edited
        from napari_dojo.widgets.annotate.gestures import TOOLS, Gesture
        from napari_dojo.widgets.common.autosave import Autosave
        from napari_dojo.widgets.common.layers import provenance
        from napari_dojo.widgets.common.rows import Row

        app, model = QApplication([]), ViewerModel()
        image = model.add_image(np.zeros((EDGE, EDGE), np.float32), name="cells")
        about = provenance("result", "cells") if self.correcting else {}
        layer = model.add_labels(self._first(), name="mine", metadata=about)
        edited = Edited(model, layer)
        edited.image = image
        autosave = Autosave(model, lambda: ([Row((image,), layer, edited.accepted)], {"task": "instances"}))
        for k in range(1, EDITS + 1):
            place = np.array([(k - 1) // (EDGE // 4) * 4 + 1, (k - 1) % (EDGE // 4) * 4 + 1])
            if self.correcting:
                TOOLS["Delete"].act(edited, Gesture(place[None].astype(float), edited.sight()))
            else:
                layer.data_setitem(tuple(place[:, None]), k)
            times[k] = time.monotonic()
            until = time.monotonic() + PAUSE
            while time.monotonic() < until:
                app.processEvents()
                time.sleep(0.005)
        autosave.end(keep=True)

    def _first(self) -> Any:
        labels = np.zeros((EDGE, EDGE), np.int32)
        if self.correcting:
            numbers = np.arange(1, EDITS + 1)
            rows, columns = (numbers - 1) // (EDGE // 4) * 4, (numbers - 1) % (EDGE // 4) * 4
            for a in range(2):
                for b in range(2):
                    labels[rows + a, columns + b] = numbers
        return labels

    def kept(self) -> int:
        """How many edits the draft holds."""
        found = drafts()
        if not found:
            return 0
        layers = found[0].read().layers.values()
        labels = np.asarray(next(layer.data for layer in layers if layer.name == "mine"))
        if not self.correcting:
            return int(labels.max())
        left = np.unique(labels)
        left = left[left > 0]
        return int(left.min()) - 1 if len(left) else EDITS


@dataclass
class Retraining:
    """A training from a base model on what is accepted; its steps count as edits."""

    folder: Path
    base: Path

    def work(self, times: Any) -> None:
        """Train until the kill, ten steps a second at most; by one thread, as others need the cores, too."""
        os.environ["OMP_NUM_THREADS"] = "1"
        from _torture_kills import LONG, scene

        from napari_dojo.data.dataset import Dataset, Sample
        from napari_dojo.events import Step
        from napari_dojo.models.bundle import load
        from napari_dojo.training.train import Target, train_steps

        x, y = scene(1)
        data = Dataset((Sample("cells", x[None], y, np.arange(y.size).reshape(y.shape) < 0.6 * y.size),))
        settings = LONG.__class__(**{**vars(LONG), "steps": 10 * EDITS, "validation": 0.0, "test": 0.0})
        target = Target(self.folder / "model", corrections=True)
        for event in train_steps(data, "instances", target, settings, start=load(self.base)):
            if isinstance(event, Step) and event.step <= EDITS:
                times[event.step] = time.monotonic()
                time.sleep(PAUSE)

    def kept(self) -> int:
        """The step from which it would be resumed."""
        import torch

        path = self.folder / "model" / "run" / "state.pt"
        return int(torch.load(path, weights_only=True)["step"]) if path.exists() else 0


@dataclass
class Killed:
    """One process, from its start to the figure: ``times`` of each edit are shared with it."""

    name: str
    work: Editing | Retraining
    home: Path
    after: float  # seconds from the first edit to the kill
    child: int = 0
    gone: float = 0.0
    began: float = 0.0

    def start(self) -> None:
        """Fork it."""
        self.began = time.monotonic()
        self.home.mkdir(parents=True)
        np.save(self.home / "times.npy", np.zeros(EDITS + 1))
        self.times = np.load(self.home / "times.npy", mmap_mode="r+")
        self.child = os.fork()
        if self.child == 0:
            try:
                os.environ["NAPARI_DOJO_HOME"] = str(self.home)
                self.work.work(self.times)
            finally:
                os._exit(1)

    def look(self) -> bool:
        """Kill it where it is time; whether it is gone."""
        now = time.monotonic()
        first = float(self.times[1])
        if self.gone or (now < first + self.after if first else now < self.began + LOADING):
            return bool(self.gone)
        os.kill(self.child, signal.SIGKILL)
        self.gone = time.monotonic()
        os.waitpid(self.child, 0)
        return True

    def lost(self) -> float:
        """Seconds of work."""
        made = int(np.count_nonzero(self.times))
        if not made:
            raise RuntimeError("it did not begin")
        with _home(self.home):
            kept = self.work.kept()
        return float(self.gone - self.times[kept + 1]) if kept < made else 0.0


@contextmanager
def _home(folder: Path) -> Iterator[None]:
    """What lies in another user folder."""
    before = os.environ["NAPARI_DOJO_HOME"]
    os.environ["NAPARI_DOJO_HOME"] = str(folder)
    try:
        yield
    finally:
        os.environ["NAPARI_DOJO_HOME"] = before


def run(kills: int, folder: Path, seed: int = 0, only: Sequence[str] = ()) -> dict[str, Any]:
    """Kill that often while painting (half of them), correcting and retraining, or ``only`` these; figures, with what was broken."""
    import napari.components  # noqa: F401
    from _torture_hostile import model

    for module in ("napari_dojo.training.train", "napari_dojo.widgets.annotate.gestures"):
        import_module(module)

    began, moments = time.monotonic(), random.Random(seed)
    turns = [name for name in TURNS if name in (only or TURNS)]
    names = [turns[k % len(turns)] for k in range(kills)]
    base = model(folder / "base") if "retraining" in names else folder
    waiting = []
    for k, name in enumerate(names):
        home = folder / f"home-{k}"
        work = Retraining(home, base) if name == "retraining" else Editing(home, name == "correcting")
        waiting.append(Killed(name, work, home, moments.uniform(0, LATEST)))
    lost: dict[str, list[float]] = {name: [] for name in turns}
    broken: list[str] = []
    for k, one in enumerate(_killed(waiting)):
        try:
            lost[one.name].append(one.lost())
            said = f"{lost[one.name][-1]:.1f} s lost of {one.after:.1f}"
            if lost[one.name][-1] > MOST:
                broken.append(f"kill {k + 1}, {one.name}: {said}")
        except Exception as e:
            said = repr(e)
            broken.append(f"kill {k + 1}, {one.name}: {said}")
        print(f"kill {k + 1}, {one.name}: {said}", flush=True)
    figures = {f"{name}_lost_s": round(max(found, default=0.0), 1) for name, found in lost.items()}
    counts: dict[str, Any] = {name: len(found) for name, found in lost.items()}
    seconds = round(time.monotonic() - began)
    return {"kills": sum(counts.values()), **counts, **figures, "seconds": seconds, "broken": broken}


def _killed(waiting: list[Killed]) -> Iterator[Killed]:
    """Each of them once it is gone; they start as soon as there is a place."""
    running: list[Killed] = []
    while waiting or running:
        for one in list(waiting):
            trainings = sum(isinstance(r.work, Retraining) for r in running)
            full = (
                trainings >= TRAININGS
                if isinstance(one.work, Retraining)
                else len(running) - trainings >= TOGETHER - TRAININGS
            )
            if not full:
                waiting.remove(one)
                one.start()
                running.append(one)
        gone = [one for one in running if one.look()]
        running = [one for one in running if not one.gone]
        yield from gone
        time.sleep(0.02)
