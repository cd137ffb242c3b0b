"""Long work in a child process: started, listened to, told to stop or pause, and ended for sure.

``python -m napari_dojo.jobs FOLDER`` does what ``FOLDER/request.json`` asks, writes one event a line to its output,
reads one command a line from its input, and ends when that closes. Arrays cross as ``.npy`` files in the folder.
This is the parent's side, which needs neither torch nor Qt; `napari_dojo.jobs.worker` is the child's.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_dojo.events import Done, Event, Failed, Message, decode
from napari_dojo.jobs.claims import claim
from napari_dojo.jobs.runs import Run
from napari_dojo.jobs.train_requests import TrainRequest

__all__ = ["Job"]

ENDED = "The job ended without a result"


class Job:
    """One child process.

    A child that the system kills (out of memory) is started once more from its last saved state with half the batch.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.finished = False
        self._told: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._process: subprocess.Popen[str] | None = None
        self._listener: threading.Thread | None = None
        self._again = False
        self._stopped = False
        self._paused = False

    @property
    def alive(self) -> bool:
        """Whether the child runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the child, at low priority."""
        claim(self.folder)
        flags = getattr(subprocess, "BELOW_NORMAL_PRIORITY_CLASS", 0)
        with (self.folder / "errors.txt").open("a") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "napari_dojo.jobs", str(self.folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                encoding="utf-8",
                creationflags=flags,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        self._listener = threading.Thread(target=self._listen, args=(self._process,), daemon=True, name="job")
        self._listener.start()

    def events(self) -> list[Event]:
        """What was said since the last call; never waits. The last of all is Done or Failed."""
        found: list[Event] = []
        while not self.finished:
            try:
                event = self._told.get_nowait()
            except queue.Empty:
                break
            if event is None:
                event = self._silent()
                if event is None:
                    break
            found.append(event)
            self.finished = isinstance(event, (Done, Failed))
        return found

    def stop(self) -> None:
        """Keep what is there and end."""
        self._stopped = True
        self._say({"stop": True})

    def pause(self) -> None:
        """Wait after the current step."""
        self._paused = True
        self._say({"pause": True})

    def resume(self) -> None:
        """Continue after a pause."""
        self._paused = False
        self._say({"pause": False})

    def look(self, path: Path | None, outline: bool = False) -> None:
        """Predict this image, ``.npy`` (C, *S), at each check; of labels the outlines alone, where that is asked."""
        self._say({"look": None if path is None else {"image": str(path), "outline": outline}})

    def ask(self, look: dict[str, Any]) -> None:
        """Predict what a live preview wants, see `napari_dojo.inference.live.live_steps`."""
        self._say({"look": look})

    def close(self, patience: float = 2.0) -> None:
        """End the child for sure: asked to stop, after ``patience`` seconds killed."""
        process = self._process
        if process is None:
            return
        self._stopped = True
        with contextlib.suppress(OSError, ValueError):
            if process.stdin:
                process.stdin.close()
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
        if self._listener:
            self._listener.join()

    def _say(self, command: dict[str, Any]) -> None:
        process = self._process
        if process is None or process.stdin is None:
            return
        with contextlib.suppress(OSError, ValueError):  # it may have ended by itself
            process.stdin.write(json.dumps(command) + "\n")
            process.stdin.flush()

    def _listen(self, process: subprocess.Popen[str]) -> None:
        with process:  # closes its pipes
            for line in process.stdout or ():
                with contextlib.suppress(ValueError, TypeError):
                    self._told.put(decode(line))
        self._told.put(None)

    def _silent(self) -> Event | None:
        """The child ended without Done or Failed: start it once more, or say why."""
        code = self._process.returncode if self._process else 0
        killed = code == -getattr(signal, "SIGKILL", 9)
        if killed and not self._stopped and not self._again:
            run = Run.read(self.folder)
            if run is not None and (run.model / "run" / "state.pt").exists():
                self._again = True
                _with_half_the_batch(run).write(self.folder)
                self.start()
                if self._paused:
                    self.pause()
                return Message(
                    "warning",
                    "The system ended the job, most likely because memory ran out. It continues from its last saved state "
                    "with half the batch size.",
                )
        if self._stopped:
            return Failed("Stopped.")
        if killed:
            return Failed(f"The system ended the job, most likely because memory ran out. {self._remedy()}")
        return Failed(f"{ENDED} (code {code}). Details are in {self.folder / 'errors.txt'}.")

    def _remedy(self) -> str:
        if Run.read(self.folder) is not None:
            return "What was saved is kept: close other programs and continue."
        return "Nothing was added: close other programs and try again, or choose a smaller part."


def _with_half_the_batch(run: Run) -> TrainRequest:
    """The same training from its last saved state with half the batch size."""
    card, settings = run.card, run.request.settings
    batch = settings.batch or (card.training.get("batch") if card else None) or 8
    return replace(run.request, resume=True, settings=replace(settings, batch=max(1, batch // 2)))
