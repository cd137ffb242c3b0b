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
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from napari_dojo.data.axes import Axes
from napari_dojo.data.dataset import Dataset, Layout
from napari_dojo.data.normalize import Normalization
from napari_dojo.errors import DojoError, explained
from napari_dojo.events import Control, Done, Event, Failed, Message, Progress, decode
from napari_dojo.inference.apply import Files, among, apply_steps
from napari_dojo.io.atomic import replacing
from napari_dojo.io.datasets import DatasetFiles, read_dataset
from napari_dojo.jobs.runs import Run, claim

__all__ = ["Job", "predict_files_request", "predict_request", "train_files_request", "train_request"]

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

    def go_on(self) -> None:
        """Resume after a pause."""
        self._paused = False
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
                if self._paused:
                    self.pause()
                return Message(
                    "warning",
                    "The system ended the job, most likely because memory ran out. It resumes from its last saved state with half the batch size.",
                )
        if self._stopped:
            return Failed("Stopped.")
        if killed:
            return Failed(f"The system ended the job, most likely because memory ran out. {self._remedy()}")
        return Failed(f"{SILENT} (code {code}). Details are in {self.folder / 'errors.txt'}.")

    def _remedy(self) -> str:
        if Run.read(self.folder) is not None:
            return "What was saved is kept: close other programs and continue."
        return "Nothing was added: close other programs and try again, or choose a smaller part."


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
    with _begun(folder):
        data = {
            "inputs": _stored(folder, "input", inputs),
            "targets": None if targets is None else _stored(folder, "target", targets),
            "regions": _stored(folder, "region", more.pop("regions", ()) or ()),
            "axes": axes,
        }
        return _written(folder, data, task=task, out=out, options=options or {}, settings=settings or {}, **more)


def train_files_request(folder: Path, task: str, given: DatasetFiles, *, out: Path, **more: Any) -> Path:
    """The same for files, which the job reads; ``more`` : options, settings, start, resume, name."""
    with _begun(folder):
        more = {"options": {}, "settings": {}, **more}
        return _written(folder, {"files": asdict(given)}, task=task, out=out, **more)


@contextlib.contextmanager
def _begun(folder: Path) -> Iterator[None]:
    """Make a run's folder, and claim it before anybody can find it unclaimed; it goes where its request fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        claim(folder)
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _written(folder: Path, data: dict[str, Any], **more: Any) -> Path:
    plain = {k: str(v) if isinstance(v, Path) else v for k, v in more.items()}
    (folder / "request.json").write_text(json.dumps({"kind": "train", **data, **plain}))
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
    norms: Sequence[Normalization | None] = (),
    decoding: dict[str, Any] | None = None,
    keep_maps: bool = True,
) -> Path:
    """Write what a prediction needs into a run folder.

    Done.facts then holds ``results`` (of each: ``index`` in ``arrays``, ``name``, ``answer``, ``maps``, ``spread``, ``axes``;
    maps are None where they are not wanted or there is no room for them), ``skipped``, ``images``, ``stopped``, ``seconds``.

    Parameters
    ----------
    norms : the numbers of the whole image, for an array that is a part of one; else None.
    decoding : values in place of the model's own.
    """
    with _begun(folder):
        request = {
            "kind": "predict",
            "model": str(model),
            "inputs": _stored(folder, "input", arrays),
            "axes": list(axes),
            "names": list(names),
            "settings": settings or {},
            "pixel_sizes": [None if p is None else list(p) for p in pixel_sizes] or [None] * len(arrays),
            "norms": [None if n is None else asdict(n) for n in norms] or [None] * len(arrays),
            "decoding": decoding or {},
            "keep_maps": keep_maps,
        }
        (folder / "request.json").write_text(json.dumps(request))
        return folder


def predict_files_request(
    folder: Path,
    model: Path,
    files: Files,
    *,
    settings: dict[str, Any] | None = None,
    decoding: dict[str, Any] | None = None,
) -> Path:
    """The same for files, which the job reads; it says what `napari_dojo.inference.apply.apply_steps` says."""
    with _begun(folder):
        about = {**asdict(files), "inputs": [str(p) for p in files.inputs], "out": str(files.out)}
        request = {"kind": "predict_files", "model": str(model), "files": about}
        request |= {"settings": settings or {}, "decoding": decoding or {}}
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
    except Exception as e:
        if not isinstance(e, (DojoError, MemoryError, OSError)):
            traceback.print_exc()
            say(Failed(f"{explained(e)} Details are in {folder / 'errors.txt'}."))
        else:
            say(Failed(explained(e)))


class _Gate:
    """Set while the job may run."""

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
    from napari_dojo.models.bundle import load
    from napari_dojo.settings import TrainSettings, checked
    from napari_dojo.tasks import TASKS
    from napari_dojo.training.train import Target, train_steps

    task = TASKS[request["task"]]
    options: Any = {k: tuple(v) if isinstance(v, list) else v for k, v in request["options"].items()}
    options = checked(task.options, options)
    layout = task.layout(options)
    pairs, notes = (
        read_dataset(DatasetFiles(**request["files"]), layout)
        if "files" in request
        else _pairs(request, folder, layout)
    )
    yield from (Message("warning", note) for note in notes)
    target = Target(Path(request["out"]), bool(request.get("resume")), name=request.get("name", ""), began=began)
    start = load(request["start"]) if request.get("start") else None
    settings = checked(TrainSettings, request["settings"])
    yield from train_steps(pairs, task, target, settings, options, start, control)


def _pairs(request: dict[str, Any], folder: Path, layout: Layout) -> tuple[Dataset, list[str]]:
    """The arrays of a request."""
    inputs = _loaded(folder, request["inputs"])
    pairs = Dataset.of(
        inputs,
        None if request["targets"] is None else _loaded(folder, request["targets"]),
        Axes.resolve(inputs[0].shape, request["axes"], volumes=bool(request.get("volumes", True))),
        layout=layout,
        names=request.get("names") or (),
        roles=request.get("roles") or (),
        regions=_loaded(folder, request["regions"]),
        unit=request.get("unit"),
        **{k: tuple(request[k]) for k in ("pixel_size", "target_pixel_size", "channel_names") if request.get(k)},
    )
    return pairs, []


def _predict(request: dict[str, Any], folder: Path, control: Control) -> Iterator[Event]:
    began = time.monotonic()
    from napari_dojo import device
    from napari_dojo.inference.predict import Predictor, Result, predict_steps

    bundle, settings, decoding = _model(request)
    predictor = Predictor(bundle.net, device.choose(settings.device), settings.tile)
    results: list[dict[str, Any]] = []
    bad: list[str] = []
    arrays = _loaded(folder, request["inputs"])
    asked = zip(arrays, request["axes"], request["names"], request["pixel_sizes"], request["norms"], strict=True)
    for i, (array, axes, name, pixel_size, norm) in enumerate(asked):
        given: dict[str, Any] = {"decoding": decoding, "pixel_size": pixel_size, "predictor": predictor}
        given["norm"] = None if norm is None else Normalization(tuple(norm["offset"]), tuple(norm["scale"]))
        given["keep_maps"] = request["keep_maps"] and _room_for_maps(folder, array, predictor.outputs)
        given["room"] = _Room(folder / f"result-{i}.npy")
        try:
            for event in predict_steps(bundle, array, axes, settings, control, **given):
                if isinstance(event, Progress):
                    yield among(event, i, len(arrays))
                elif isinstance(event, Message) and not control.stop:
                    yield Message(event.level, f"{name}: {event.text}")
                elif isinstance(event, Result):
                    about = {"index": i, "name": name, "axes": event.axes.names}
                    results.append({**about, **_kept(folder, i, event)})
        except DojoError as e:
            if len(arrays) == 1:
                raise
            bad.append(f"{name}: {e}")
        if control.stop:
            break
    if not results and not control.stop:
        raise DojoError(f"None of the {len(arrays)} images could be done. The first: {bad[0]}")
    if not results:
        yield Failed("Stopped: nothing was changed.")
        return
    yield from (Message("warning", f"Left out: {sentence}") for sentence in bad)
    facts = {"results": results, "skipped": bad, "images": len(arrays)}
    facts["stopped"] = len(results) + len(bad) < len(arrays)
    yield Done(str(folder), {**facts, "seconds": round(time.monotonic() - began, 2)})


def _predict_files(request: dict[str, Any], folder: Path, control: Control) -> Iterator[Event]:
    about = request["files"]
    files = Files(**{**about, "inputs": tuple(Path(p) for p in about["inputs"]), "out": Path(about["out"])})
    bundle, settings, decoding = _model(request)
    yield from apply_steps(bundle, files, settings, decoding, control)


def _model(request: dict[str, Any]) -> tuple[Any, Any, Any]:
    """The bundle that a request names, how it is applied, and how its maps are decoded."""
    from napari_dojo.models.bundle import load
    from napari_dojo.models.card import decoding_of
    from napari_dojo.settings import PredictSettings, checked
    from napari_dojo.tasks import TASKS

    bundle = load(request["model"])
    own = asdict(decoding_of(bundle.card))
    decoding: Any = checked(TASKS[bundle.card.task].decoding, {**own, **request["decoding"]})
    return bundle, checked(PredictSettings, request["settings"]), decoding


def _room_for_maps(folder: Path, array: Any, outputs: int) -> bool:
    """Whether maps of this image fit in memory and on the disk, with room left for others."""
    import psutil

    needed = 4.0 * outputs * np.prod(array.shape)
    return bool(needed < 0.3 * psutil.virtual_memory().available and needed < 0.5 * shutil.disk_usage(folder).free)


@dataclass(frozen=True)
class _Room:
    """Where an answer is written, sample by sample: a ``.npy`` file."""

    path: Path

    def __call__(self, axes: Axes, shape: tuple[int, ...], dtype: Any) -> Any:
        try:
            return np.lib.format.open_memmap(self.path, "w+", dtype, shape)
        except OSError as e:
            raise DojoError(f"The result cannot be written to {self.path.parent}: {e.strerror or e}. Make room.") from e


def _kept(folder: Path, index: int, result: Any) -> dict[str, str | None]:
    """The names of the files that a result is stored in; the answer is there already."""
    result.array.flush()
    names: dict[str, str | None] = {"answer": f"result-{index}.npy", "maps": None, "spread": None}
    for what in ("maps", "spread"):
        if (array := getattr(result, what)) is not None:
            names[what] = f"{what}-{index}.npy"
            np.save(folder / f"{what}-{index}.npy", array)
    return names


KINDS: dict[str, Callable[[dict[str, Any], Path, Control], Iterator[Event]]] = {
    "train": _train,
    "predict": _predict,
    "predict_files": _predict_files,
}


def _stored(folder: Path, name: str, arrays: Sequence[Any]) -> list[str | None]:
    names = [None if array is None else f"{name}-{i}.npy" for i, array in enumerate(arrays)]
    for file, array in zip(names, arrays, strict=True):
        if file is not None:
            _save(folder / file, np.asarray(array))
    return names


def _save(path: Path, array: Any) -> None:
    """Write an array; DojoError where the disk is full."""
    with replacing(path, array.nbytes) as part, part.open("wb") as file:
        np.save(file, array)


def _loaded(folder: Path, names: Sequence[str | None]) -> list[Any]:
    return [None if n is None else np.load(folder / n, mmap_mode="r") for n in names]


def _again_with_less(folder: Path, request: dict[str, Any]) -> None:
    from napari_dojo.models.card import read_card

    batch = request["settings"].get("batch") or 8
    with contextlib.suppress(DojoError):
        batch = read_card(request["out"]).training.get("batch", batch)
    request = {**request, "resume": True, "settings": {**request["settings"], "batch": max(1, batch // 2)}}
    (folder / "request.json").write_text(json.dumps(request))
