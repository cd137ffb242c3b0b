"""A job in its child process, looked at ten times a second; says what it said as a Qt signal."""

from __future__ import annotations

import contextlib
import queue
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal  # type: ignore[attr-defined]

from napari_dojo.errors import explained
from napari_dojo.events import Done, Failed, Progress, Step
from napari_dojo.jobs.job import Job
from napari_dojo.widgets.common.background import in_background

__all__ = ["BRIEFLY", "PATIENCE", "Runner", "time_left"]

PATIENCE, BRIEFLY = 2.0, 0.5  # s that a job has to keep what it has when its panel closes; one that keeps nothing


class _Making:
    """A request that is being written in a thread: the run's folder, or the error, when it is done."""

    def __init__(self, make: Callable[[], Path]) -> None:
        self.wanted = True
        self._told: queue.SimpleQueue[Path | Exception] = queue.SimpleQueue()
        in_background("request", self._run, make)

    def _run(self, make: Callable[[], Path]) -> None:
        try:
            folder = make()
        except Exception as error:
            self._told.put(error)
            return
        if self.wanted:
            self._told.put(folder)
        else:
            shutil.rmtree(folder, ignore_errors=True)

    def result(self) -> Path | Exception | None:
        """None while it is being written."""
        try:
            return self._told.get_nowait()
        except queue.Empty:
            return None


class Runner(QObject):
    """One job at a time. ``said`` gives each event; the last of a job is Done or Failed.

    ``busy`` is True from `start` to that last event; ``every`` : ms between two looks at it.
    """

    said = Signal(object)

    def __init__(self, parent: QObject | None = None, every: int = 100) -> None:
        super().__init__(parent)
        self._held: list[Job] = []
        self._leaving: list[Job] = []  # have said all, and end by themselves
        self._making: _Making | None = None
        self.busy = False
        self.paused = False
        self._timer = QTimer(self)
        self._timer.setInterval(every)
        self._timer.timeout.connect(self._poll)

    @property
    def job(self) -> Job | None:
        """The running job; None also while its request is being written."""
        return self._held[0] if self.busy and self._held else None

    def start(self, make: Callable[[], Path]) -> None:
        """Start the job of the folder that ``make`` writes; it is called in a thread."""
        if self.busy:
            self.close()
        self._leaving += self._held
        self._held.clear()
        self.busy = True
        self._making = _Making(make)
        self._timer.start()

    def stop(self) -> None:
        """Keep what is there and end."""
        if self._making is not None:
            self._forget()
            self._say(Failed("Stopped before it began."))
        elif self.job is not None:
            self.resume()
            self.job.stop()

    def pause(self) -> None:
        """Wait until resumed."""
        if self.job is not None and not self.paused:
            self.paused = True
            self.job.pause()

    def resume(self) -> None:
        """Resume after a pause."""
        if self.job is not None and self.paused:
            self.paused = False
            self.job.resume()

    def look(self, path: Path | None, outline: bool = False) -> None:
        """Tell the job what to show in previews, see `Job.look`."""
        if self.job is not None:
            self.job.look(path, outline)

    def close(self, patience: float = PATIENCE) -> None:
        """End the job for sure, and forget it; what it has not kept after ``patience`` seconds is lost."""
        self._timer.stop()
        self._forget()
        self.busy = self.paused = False
        self._leaving += self._held
        self._held.clear()
        while self._leaving:
            with contextlib.suppress(Exception):  # the window is closing: nothing may stop it
                self._leaving.pop().close(patience)

    def _forget(self) -> None:
        if self._making is not None:
            self._making.wanted = False
            self._making = None

    def _say(self, event: Any) -> None:
        if isinstance(event, (Done, Failed)):
            self.busy = self.paused = False  # the child ends by itself; nobody waits for it
        self.said.emit(event)

    def _poll(self) -> None:
        for ended in [job for job in self._leaving if not job.alive]:
            self._leaving.remove(ended)
            ended.close()
        if self._making is not None:
            self._begin(self._making.result())
            return
        job = self._held[0] if self._held else None
        if job is None or (not self.busy and not job.alive):
            if not self._leaving:
                self.close()
            return
        told = list(job.events()) if self.busy else []
        last = max((i for i, event in enumerate(told) if isinstance(event, Progress)), default=0)
        for i, event in enumerate(told):
            if not self.busy:
                return
            if i == last or not isinstance(event, Progress):  # a bar is painted each time that it is set
                self._say(event)

    def _begin(self, made: Path | Exception | None) -> None:
        if made is None:
            return
        self._making = None
        try:
            if isinstance(made, Exception):
                raise made
            job = Job(made)
            job.start()
            self._held.append(job)
        except Exception as error:
            self._say(Failed(explained(error)))


def share_done(step: Step, minutes: float | None = None) -> float:
    """How far a training is, 0 to 1: of its minutes where they are given, else of its steps."""
    if minutes and step.seconds_left is not None:
        share = 1 - step.seconds_left / (60 * minutes)
    else:
        share = step.step / step.steps if step.steps else 0.0
    return min(1.0, max(0.0, share))


def time_left(seconds: float | None) -> str:
    """The time left in words: "2 min 10 s left"."""
    if seconds is None:
        return ""
    whole = max(0, round(seconds))
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    if hours:
        return f"{hours} h {minutes} min left"
    return f"{minutes} min {rest} s left" if minutes else f"{rest} s left"
