"""Long work in a child process: started, listened to, told to stop or pause, and ended for sure.

``python -m napari_dojo.jobs FOLDER`` does what ``FOLDER/request.json`` asks, writes one event a line to its output,
reads one command a line from its input, and ends when that closes. Arrays cross as ``.npy`` files in the folder.
This side of it needs neither torch nor Qt.
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
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from napari_dojo.errors import DojoError
from napari_dojo.events import Control, Done, Event, Failed, Said, decode, encode

__all__ = ["Job", "predict_request", "train_request"]

SILENT = "The job ended without a word"


class Job:
    """The parent's side of one child process.

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

    @property
    def alive(self) -> bool:
        """Whether the child runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the child, at low priority."""
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
        self._say({"pause": True})

    def go_on(self) -> None:
        """Go on after a pause."""
        self._say({"pause": False})

    def look(self, path: Path | None) -> None:
        """Predict this image, ``.npy`` (C, *S), at each check."""
        self._say({"look": None if path is None else {"image": str(path)}})

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
        """The child ended without Done or Failed: once more, or say why."""
        code = self._process.returncode if self._process else 0
        killed = code == -getattr(signal, "SIGKILL", 9)
        if killed and not self._stopped and not self._again and (self.folder / "request.json").exists():
            request = json.loads((self.folder / "request.json").read_text())
            state = Path(request.get("out", self.folder)) / "run" / "state.pt"
            if request["kind"] == "train" and state.exists():
                self._again = True
                _again_with_less(self.folder, request)
                self.start()
                return Said(
                    "warning",
                    "The system ended the job, most likely because memory ran out. It goes on from its last saved state with half the batch.",
                )
        if self._stopped:
            return Failed("Stopped.")
        if killed:
            return Failed(
                "The system ended the job, most likely because memory ran out. What was saved is kept: close other programs and continue."
            )
        return Failed(f"{SILENT} (code {code}). Details are in {self.folder / 'errors.txt'}.")


def train_request(
    folder: Path,
    task: str,
    inputs: Sequence[Any],
    targets: Sequence[Any] | None,
    *,
    axes: str,
    out: Path,
    options: dict[str, Any] | None = None,
    settings: dict[str, Any] | None = None,
    **more: Any,
) -> Path:
    """Write what a training needs into a run folder.

    Parameters
    ----------
    inputs, targets : arrays as they lie; labels have the inputs' axes without C.
    out : the model's folder.
    more : names, roles (lists); regions (arrays or None); start (a model's path); resume, volumes (bool); pixel_size,
        unit; name of the model.
    """
    folder.mkdir(parents=True, exist_ok=True)
    regions = more.pop("regions", ()) or ()
    request = {
        "kind": "train",
        "task": task,
        "inputs": _stored(folder, "input", inputs),
        "targets": None if targets is None else _stored(folder, "target", targets),
        "regions": _stored(folder, "region", regions),
        "axes": axes,
        "out": str(out),
        "options": options or {},
        "settings": settings or {},
        **{k: str(v) if isinstance(v, Path) else v for k, v in more.items()},
    }
    (folder / "request.json").write_text(json.dumps(request))
    return folder


def predict_request(
    folder: Path,
    model: Path,
    arrays: Sequence[Any],
    *,
    axes: Sequence[str],
    names: Sequence[str],
    settings: dict[str, Any] | None = None,
    pixel_sizes: Sequence[Sequence[float] | None] = (),
    keep_maps: bool = True,
) -> Path:
    """Write what a prediction needs into a run folder; Done.facts then names the results."""
    folder.mkdir(parents=True, exist_ok=True)
    request = {
        "kind": "predict",
        "model": str(model),
        "inputs": _stored(folder, "input", arrays),
        "axes": list(axes),
        "names": list(names),
        "settings": settings or {},
        "pixel_sizes": [None if p is None else list(p) for p in pixel_sizes] or [None] * len(arrays),
        "keep_maps": keep_maps,
    }
    (folder / "request.json").write_text(json.dumps(request))
    return folder


def main(folder: Path, say: Callable[[Event], None], commands: IO[str]) -> None:
    """The child's side: do what the folder asks and say how it goes."""
    control, gate = Control(), _Gate()
    threading.Thread(target=_obey, args=(commands, control, gate), daemon=True).start()
    try:
        request = json.loads((folder / "request.json").read_text())
        for event in KINDS[request["kind"]](request, folder, control):
            say(event)
            gate.wait(control)
    except DojoError as e:
        say(Failed(str(e)))
    except MemoryError:
        say(Failed("The memory was too small for this. Choose smaller images or pieces, or close other programs."))
    except OSError as e:
        say(
            Failed(
                f"{e.filename or 'A file'} cannot be read or written: {e.strerror or e}. Make room or choose another folder."
            )
        )
    except Exception as e:
        import traceback

        traceback.print_exc()
        say(
            Failed(
                f"Something went wrong that should not ({type(e).__name__}: {e}). Details are in {folder / 'errors.txt'}."
            )
        )


class _Gate:
    """Open while the job may go on."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()

    def wait(self, control: Control) -> None:
        while not control.stop and not self.open.wait(0.1):
            pass


def _obey(commands: IO[str], control: Control, gate: _Gate) -> None:
    """Read commands until the parent is gone; then stop, and end for sure after a while."""
    for line in commands:
        with contextlib.suppress(ValueError):
            told = json.loads(line)
            if told.get("stop"):
                control.stop = True
            if "look" in told:
                control.look = told["look"]
            if "pause" in told:
                (gate.open.clear if told["pause"] else gate.open.set)()
    control.stop = True
    gate.open.set()
    time.sleep(20)
    os._exit(1)


def _train(request: dict[str, Any], folder: Path, control: Control) -> Iterator[Event]:
    began = time.monotonic()
    from napari_dojo.axes import Axes
    from napari_dojo.bundle import load
    from napari_dojo.pairs import Pairs
    from napari_dojo.settings import TrainSettings, checked
    from napari_dojo.tasks import TASKS
    from napari_dojo.train import Target, train_steps

    task = TASKS[request["task"]]
    inputs = _loaded(folder, request["inputs"])
    targets = None if request["targets"] is None else _loaded(folder, request["targets"])
    volumes = bool(request.get("volumes", True))
    pairs = Pairs.of(
        inputs,
        targets,
        Axes.resolve(inputs[0].shape, request["axes"], volumes=volumes),
        labels=task.target == "labels",
        names=request.get("names") or (),
        roles=request.get("roles") or (),
        regions=_loaded(folder, request["regions"]),
        pixel_size=tuple(request["pixel_size"]) if request.get("pixel_size") else None,
        unit=request.get("unit"),
    )
    target = Target(Path(request["out"]), bool(request.get("resume")), name=request.get("name", ""), began=began)
    options = {k: tuple(v) if isinstance(v, list) else v for k, v in request["options"].items()}
    start = load(request["start"]) if request.get("start") else None
    settings = checked(TrainSettings, request["settings"])
    yield from train_steps(pairs, task, target, settings, checked(task.options, options), start, control)


def _predict(request: dict[str, Any], folder: Path, control: Control) -> Iterator[Event]:
    began = time.monotonic()
    from napari_dojo.bundle import load
    from napari_dojo.predict import Result, predict_steps
    from napari_dojo.settings import PredictSettings, checked

    bundle = load(request["model"])
    settings = checked(PredictSettings, request["settings"])
    results = []
    asked = zip(
        _loaded(folder, request["inputs"]), request["axes"], request["names"], request["pixel_sizes"], strict=True
    )
    for i, (array, axes, name, pixel_size) in enumerate(asked):
        keep = request["keep_maps"]
        for event in predict_steps(bundle, array, axes, settings, control, pixel_size=pixel_size, keep_maps=keep):
            if not isinstance(event, Result):
                yield event
                continue
            np.save(folder / f"result-{i}.npy", event.array)
            if event.maps is not None:
                np.save(folder / f"maps-{i}.npy", event.maps)
            results.append(
                {
                    "name": name,
                    "labels": f"result-{i}.npy",
                    "maps": f"maps-{i}.npy" if keep else None,
                    "axes": event.axes.names,
                }
            )
    if control.stop and len(results) < len(request["inputs"]):
        yield Failed("Stopped: nothing was changed.")
        return
    yield Done(str(folder), {"results": results, "seconds": round(time.monotonic() - began, 2)})


KINDS: dict[str, Callable[[dict[str, Any], Path, Control], Iterator[Event]]] = {"train": _train, "predict": _predict}


def _stored(folder: Path, name: str, arrays: Sequence[Any]) -> list[str | None]:
    names: list[str | None] = []
    try:
        for i, array in enumerate(arrays):
            if array is None:
                names.append(None)
                continue
            np.save(folder / f"{name}-{i}.npy", np.asarray(array))
            names.append(f"{name}-{i}.npy")
    except OSError as e:
        raise DojoError(
            f"The run cannot be written to {folder}: {e.strerror or e}. Make room or choose another folder."
        ) from e
    return names


def _loaded(folder: Path, names: Sequence[str | None]) -> list[Any]:
    return [None if n is None else np.load(folder / n, mmap_mode="r") for n in names]


def _again_with_less(folder: Path, request: dict[str, Any]) -> None:
    from napari_dojo.card import read_card

    batch = request["settings"].get("batch") or 8
    with contextlib.suppress(DojoError):
        batch = read_card(request["out"]).training.get("batch", batch)
    request = {**request, "resume": True, "settings": {**request["settings"], "batch": max(1, batch // 2)}}
    (folder / "request.json").write_text(json.dumps(request))


if __name__ == "__main__":
    with contextlib.suppress(AttributeError, OSError):
        os.nice(5)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    output = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # what libraries print goes to errors.txt

    def said(event: Event) -> None:
        """Write one event; a parent that is gone ends the child."""
        try:
            output.write(encode(event) + "\n")
        except BrokenPipeError:
            os._exit(1)

    main(Path(sys.argv[1]), said, sys.stdin)
