"""The child's side of a job: does what the request in its folder asks, and says how it goes."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from napari_dojo.device import keep_memory, patient
from napari_dojo.errors import DojoError, explained
from napari_dojo.events import Control, Done, Event, Failed, Message
from napari_dojo.jobs.image_requests import InsideRequest, ObjectsRequest, PredictFiles, PredictImages
from napari_dojo.jobs.requests import LiveRequest, RecipeRequest
from napari_dojo.jobs.train_requests import TrainRequest

__all__ = ["events_of", "main"]

PATIENCE = 20  # seconds that a child may take to end once its parent is gone


def main(folder: Path, say: Callable[[Event], None], commands: IO[str]) -> None:
    """Do what the folder asks; commands are lines of JSON, and their end ends the process."""
    keep_memory()
    patient()
    control, gate = Control(), _Gate()
    threading.Thread(target=_obey, args=(commands, control, gate), daemon=True).start()
    try:
        for event in events_of(folder, control):
            say(event)
            gate.wait(control)
    except Exception as e:
        if not isinstance(e, (DojoError, MemoryError, OSError)):
            traceback.print_exc()
            say(Failed(f"{explained(e)} Details are in {folder / 'errors.txt'}."))
        else:
            say(Failed(explained(e), getattr(e, "code", "")))


def events_of(folder: Path, control: Control) -> Iterator[Event]:
    """Do what the folder asks, in this process; DojoError where it cannot be done."""
    kind = json.loads((folder / "request.json").read_text(encoding="utf-8"))["kind"]
    yield from WORK[kind](folder, control)


class _Gate:
    """Open while the job may continue."""

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
    time.sleep(PATIENCE)
    os._exit(1)


def _train(folder: Path, control: Control) -> Iterator[Event]:
    began = time.monotonic()
    from napari_dojo.settings import checked
    from napari_dojo.tasks import TASKS
    from napari_dojo.training.train import Target, train_steps

    request = TrainRequest.read(folder)
    task = TASKS[request.task]
    options: Any = checked(task.options, request.options)
    dataset, notes = request.dataset(folder, task.layout(options))
    yield from (Message("warning", note) for note in notes)
    if request.curve:
        from napari_dojo.training.curve import curve_steps

        yield from curve_steps(dataset, task, request.settings, options, request.start, control)
        return
    target = Target(request.out, request.resume, name=request.name, began=began, corrections=request.corrections)
    yield from train_steps(dataset, task, target, request.settings, options, request.start, control)


def _predict(request: PredictImages | PredictFiles, folder: Path, control: Control) -> Iterator[Event]:
    from napari_dojo.inference.apply import apply
    from napari_dojo.inference.predict import Ready
    from napari_dojo.models.bundle import load
    from napari_dojo.models.card import decoding_of

    sources, sink = request.sources(folder), request.sink(folder)
    bundle = load(request.model)
    decoding = decoding_of(bundle.card, request.decoding)
    yield from apply(Ready.of(bundle, request.settings, decoding), sources, sink, control)


def _recipe(folder: Path, control: Control) -> Iterator[Event]:
    from napari_dojo.recipes.run import run

    request = RecipeRequest.read(folder)
    yield from run(request.recipe, request.overwrite, control)


def _live(folder: Path, control: Control) -> Iterator[Event]:
    from napari_dojo.inference.live import live_steps

    yield from live_steps(folder, control)
    yield Done("")


def _inside(folder: Path, control: Control) -> Iterator[Event]:
    """Write kernels and feature maps as ``.npy`` files; the facts describe them."""
    import numpy as np

    from napari_dojo.inference.geometry import resolve
    from napari_dojo.inference.inside import look
    from napari_dojo.models.bundle import load
    from napari_dojo.settings import PredictSettings

    request = InsideRequest.read(folder)
    bundle = load(request.model)
    image = resolve(bundle.card, request.image.source(folder).read(), PredictSettings())
    x = np.asarray(image.axes.sample(image.array, 0))
    norm = image.numbers or bundle.card.rule.measure(x)
    found = look(bundle.net, norm.apply(norm.clean(x)[0]))
    np.save(folder / "kernels.npy", found.kernels)
    for number, maps in enumerate(found.maps):
        np.save(folder / f"maps-{number}.npy", maps)
    facts = {
        "stages": [asdict(stage) for stage in found.stages],
        "effective": list(found.effective),
        "radius": list(bundle.net.receptive_radius),
        "parameters": sum(p.numel() for p in bundle.net.parameters()),
        "zoom": image.zoom,
    }
    yield Done(str(folder), facts)


def _objects(folder: Path, control: Control) -> Iterator[Event]:
    """Write the classes of objects, or why one of them has its class, as ``.npz`` files; the facts name the classes."""
    import numpy as np

    from napari_dojo.inference.geometry import resolve
    from napari_dojo.inference.occlusion import explained
    from napari_dojo.inference.predict import Ready, predict_image
    from napari_dojo.models.bundle import load
    from napari_dojo.settings import PredictSettings
    from napari_dojo.tasks.classify import probabilities

    request = ObjectsRequest.read(folder)
    ready = Ready.of(load(request.model))
    for k, stored in enumerate(request.images):
        image = resolve(ready.card, stored.source(folder).read(), PredictSettings())
        if request.why is not None:
            why = explained(ready, image, *request.why)
            place = {"start": np.array(why.start), "stop": np.array(why.stop)}
            found: dict[str, Any] = {"importance": why.importance, "probability": why.probability, **place}
        else:
            told = yield from predict_image(ready, image, control)
            assert told.objects is not None
            assert told.maps is not None
            found = {"objects": told.objects, "values": told.array, "probability": probabilities(told.maps)}
        np.savez(folder / f"classes-{k}.npz", **found)
    yield Done(str(folder), {"classes": list(ready.options.classes)})


WORK: dict[str, Callable[[Path, Control], Iterator[Event]]] = {
    TrainRequest.kind: _train,
    InsideRequest.kind: _inside,
    ObjectsRequest.kind: _objects,
    RecipeRequest.kind: _recipe,
    LiveRequest.kind: _live,
    PredictImages.kind: lambda folder, control: _predict(PredictImages.read(folder), folder, control),
    PredictFiles.kind: lambda folder, control: _predict(PredictFiles.read(folder), folder, control),
}
