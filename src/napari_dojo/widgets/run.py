"""A job in its child process, looked at ten times a second; says what it said as a Qt signal."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer, Signal  # type: ignore[attr-defined]

from napari_dojo.events import Done, Failed

if TYPE_CHECKING:
    from pathlib import Path

    from napari_dojo.jobs import Job

__all__ = ["Runner", "run_folder", "time_left"]


class Runner(QObject):
    """One job at a time. ``said`` gives each event; the last of a job is Done or Failed."""

    said = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._held: list[Job] = []
        self._busy = False
        self.paused = False
        self._timer = QTimer(self)
        self._timer.setInterval(100)
        self._timer.timeout.connect(self._poll)
        self.destroyed.connect(_closer(self._held))

    @property
    def job(self) -> Job | None:
        """The job at work."""
        return self._held[0] if self._busy and self._held else None

    def start(self, folder: Path) -> None:
        """Start the job that this folder describes."""
        from napari_dojo.jobs import Job

        self.close()
        job = Job(folder)
        self._held.append(job)
        job.start()
        self._busy = True
        self._timer.start()

    def stop(self) -> None:
        """Keep what is there and end."""
        if self.job is not None:
            self.go_on()
            self.job.stop()

    def pause(self) -> None:
        """Wait until told to go on."""
        if self.job is not None and not self.paused:
            self.paused = True
            self.job.pause()

    def go_on(self) -> None:
        """Go on after a pause."""
        if self.job is not None and self.paused:
            self.paused = False
            self.job.go_on()

    def look(self, path: Path | None) -> None:
        """Tell the job what to show in previews."""
        if self.job is not None:
            self.job.look(path)

    def close(self) -> None:
        """End the job for sure, and forget it."""
        self._timer.stop()
        self._busy = self.paused = False
        _closer(self._held)()

    def _poll(self) -> None:
        job = self._held[0] if self._held else None
        if job is None or (not self._busy and not job.alive):
            self.close()
            return
        for event in job.events() if self._busy else ():
            if not self._busy:
                return
            if isinstance(event, (Done, Failed)):
                self._busy = self.paused = False  # the child ends by itself; nobody waits for it
            self.said.emit(event)


def _closer(held: list[Any]) -> Callable[..., None]:
    def close(*_: Any) -> None:
        while held:
            with contextlib.suppress(Exception):  # the window is closing: nothing may stop it
                held.pop().close()

    return close


def run_folder(name: str) -> Path:
    """A new name in the folder of runs; creates nothing."""
    from datetime import datetime

    from napari_dojo.home import runs_folder

    stem = f"{datetime.now():%Y%m%d-%H%M%S}-{name}"
    path, k = runs_folder() / stem, 2
    while path.exists():
        path, k = runs_folder() / f"{stem}-{k}", k + 1
    return path


def time_left(seconds: float | None) -> str:
    """The time left in words: "2 min 10 s left"."""
    if seconds is None:
        return ""
    whole = max(0, round(seconds))
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    if hours:
        return f"{hours} h {minutes} min left"
    return f"{minutes} min {rest} s left" if minutes else f"{rest} s left"
