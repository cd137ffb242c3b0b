"""The folders of jobs: new ones, those that a crash left behind, and their end."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from napari_dojo.errors import DojoError
from napari_dojo.jobs.claims import claimed
from napari_dojo.jobs.train_requests import TrainRequest
from napari_dojo.models.card import Card, read_card
from napari_dojo.models.kept import KEPT
from napari_dojo.paths import runs_folder

__all__ = ["Run", "run_folder", "sweep", "unfinished"]

SETTLED = 60.0  # seconds after which a folder without a request gets none any more


def run_folder(name: str) -> Path:
    """A new name in the folder of runs; creates nothing."""
    stem = f"{datetime.now():%Y%m%d-%H%M%S}-{name}"
    path, k = runs_folder() / stem, 2
    while path.exists():
        path, k = runs_folder() / f"{stem}-{k}", k + 1
    return path


@dataclass(frozen=True)
class Run:
    """A training that was asked for and may have been cut off."""

    folder: Path
    request: TrainRequest

    @staticmethod
    def read(folder: Path) -> Run | None:
        """The run of a folder; None where it is no training or cannot be read."""
        try:
            return Run(folder, TrainRequest.read(folder))
        except (OSError, ValueError, KeyError, TypeError, DojoError):
            return None

    @property
    def model(self) -> Path:
        """The folder of its model, which may not exist yet."""
        return self.request.out

    @property
    def card(self) -> Card | None:
        """Of the best model so far; None where nothing was saved yet."""
        try:
            return read_card(self.model)
        except DojoError:
            return None

    @property
    def share(self) -> float:
        """How far it came, 0 to 1."""
        card, settings = self.card, self.request.settings
        if card is None:
            return 0.0
        for asked, done in ((settings.steps, "steps"), ((settings.minutes or 0) * 60, "seconds")):
            if asked:
                return float(min(1.0, card.training.get(done, 0) / asked))
        return 0.0

    def again(self, minutes: float | None = None) -> Path:
        """Ask for the same training from its last saved state, in all for ``minutes`` where given; its folder."""
        settings = self.request.settings
        if minutes is not None:
            settings = replace(settings, minutes=minutes, steps=None, epochs=None)
        replace(self.request, resume=True, settings=settings).write(self.folder)
        return self.folder

    def keep(self) -> None:
        """Keep the best model; what only a resumed run needs is deleted."""
        for path in (self.model / "run").glob("*"):
            if path.is_file() and path.name not in KEPT:
                path.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def discard(self) -> None:
        """Delete the run and its model."""
        shutil.rmtree(self.model, ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)


def unfinished() -> list[Run]:
    """Trainings that nobody works on and that were neither kept nor discarded, the latest first."""
    found = [Run.read(p) for p in _folders() if not claimed(p)]
    return [run for run in found if run is not None]


def sweep() -> None:
    """Delete what predictions of processes that are gone left behind, and what was cut off before it was asked."""
    for path in _folders():
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            if _is_refuse(path) and not claimed(path):
                shutil.rmtree(path, ignore_errors=True)


def _is_refuse(folder: Path) -> bool:
    """Whether nobody can want the folder of a process that is gone."""
    request = folder / "request.json"
    if request.exists():
        return bool(json.loads(request.read_text())["kind"] != TrainRequest.kind)
    return not (folder / "draft.json").exists() and time.time() - folder.stat().st_mtime > SETTLED


def _folders() -> list[Path]:
    folder = runs_folder()
    return sorted((p for p in folder.iterdir() if p.is_dir()), reverse=True) if folder.is_dir() else []
