"""Kills while a person paints or corrects: how many seconds of work are lost, by the panel's own autosave; see `_torture_kills`."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np

from napari_dojo.jobs.autosave import drafts
from napari_dojo.paths import runs_folder

MOST = 10.0  # seconds of work that may be lost
EDITS, PAUSE = 2000, 0.1  # one after the other, seconds between two
EDGE = 200  # px
LOADING = 90.0  # seconds that napari may take to load


class Annotating:
    """Strokes in an empty Labels layer, or objects of a prediction that are deleted, one after the other, until a kill."""

    def __init__(self, folder: Path, correcting: bool) -> None:
        self.correcting = correcting
        self._file = folder / f"edits-{correcting}.npy"
        self.lost: list[float] = []
        self._gone = 0.0

    @property
    def times(self) -> Any:
        """When each edit was made, seconds of the clock; 0: not yet. Shared with the process that is killed."""
        if not self._file.exists():
            np.save(self._file, np.zeros(EDITS + 1))
        return np.load(self._file, mmap_mode="r+")

    def work(self) -> None:
        """The panel's parts in a viewer without a window."""
        os.environ["QT_QPA_PLATFORM"] = "offscreen"
        from napari.components import ViewerModel
        from qtpy.QtWidgets import QApplication

        from napari_dojo.widgets.annotate.editing import Editing
        from napari_dojo.widgets.annotate.gestures import TOOLS, Gesture
        from napari_dojo.widgets.common.autosave import Autosave
        from napari_dojo.widgets.common.layers import provenance
        from napari_dojo.widgets.common.rows import Row

        app, model, times = QApplication([]), ViewerModel(), self.times
        image = model.add_image(np.zeros((EDGE, EDGE), np.float32), name="cells")
        about = provenance("result", "cells") if self.correcting else {}
        layer = model.add_labels(self._first(), name="mine", metadata=about)
        editing = Editing(model, layer)
        editing.image = image
        autosave = Autosave(model, lambda: ([Row((image,), layer, editing.accepted)], {"task": "instances"}))
        for k in range(1, EDITS + 1):
            place = np.array([(k - 1) // (EDGE // 4) * 4 + 1, (k - 1) % (EDGE // 4) * 4 + 1])
            if self.correcting:
                TOOLS["Delete"].act(editing, Gesture(place[None].astype(float), editing.sight()))
            else:
                layer.data_setitem(tuple(place[:, None]), k)
            times[k] = time.monotonic()
            until = time.monotonic() + PAUSE
            while time.monotonic() < until:
                app.processEvents()
                time.sleep(0.002)
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

    def kill(self, moments: random.Random) -> bool:
        """Kill it up to 20 seconds after the first edit; False where there was none."""
        shutil.rmtree(runs_folder(), ignore_errors=True)
        self._file.unlink(missing_ok=True)
        times = self.times
        child = os.fork()
        if child == 0:
            try:
                self.work()
            finally:
                os._exit(1)
        end = time.monotonic() + LOADING
        while not times[1] and time.monotonic() < end:
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 20))
        os.kill(child, signal.SIGKILL)
        self._gone = time.monotonic()
        os.waitpid(child, 0)
        return bool(times[1])

    def verdict(self) -> str:
        """What is lost of the edits that were made; only figures above `MOST` are wrong."""
        times = np.array(self.times)
        made = int(np.count_nonzero(times))
        if not made:
            return ""
        found = drafts()
        labels = found[0].read().layers[self._key(found[0])].data if found else None
        kept = 0 if labels is None else self._kept(np.asarray(labels))
        lost = self._gone - times[kept + 1] if kept < made else 0.0
        self.lost.append(float(lost))
        return f"{lost:.1f} s of work are lost" if lost > MOST else ""

    @staticmethod
    def _key(draft: Any) -> str:
        return next(k for k, layer in draft.read().layers.items() if layer.name == "mine")

    def _kept(self, labels: Any) -> int:
        """How many edits the saved labels hold."""
        if not self.correcting:
            return int(labels.max())
        left = np.unique(labels)
        left = left[left > 0]
        return int(left.min()) - 1 if len(left) else EDITS

    def completed(self) -> str:
        """Nothing is left behind."""
        for draft in drafts():
            draft.claim()
            draft.discard()
        return ""
