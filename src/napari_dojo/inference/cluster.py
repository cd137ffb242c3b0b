"""Predictions on several processes and machines, by dask.distributed: blocks of a large image, or files of a folder.

Each worker holds the model once, reads what it needs by itself and writes what it made, so that the scheduler sees nothing but
numbers. Paths must mean the same on all machines. What a lost worker was doing is done again by another one.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import psutil

from napari_dojo.data.axes import Axes
from napari_dojo.data.normalize import Normalization
from napari_dojo.device import KEPT, cores, give_back
from napari_dojo.errors import DojoError, explained
from napari_dojo.events import Control, Done, Event, Message, Progress, Skipped
from napari_dojo.inference.blocks import Open, Room, Work
from napari_dojo.inference.geometry import resolve
from napari_dojo.inference.samples import Ready
from napari_dojo.inference.sources import PARTLY, FileSource
from napari_dojo.inference.tiff_sink import TiffSink
from napari_dojo.settings import PredictSettings

__all__ = ["Cluster", "Order", "connected"]

PROGRAM = 0.35e9  # bytes that a worker takes without any image, and the process that spreads the work, about
LESS = 0.25e9  # bytes that a block takes less where its worker shares the memory of this machine with others
USABLE = 0.9  # share of the free memory of this machine that its workers may take
WAIT = 60  # s for the first worker of a scheduler
TRIES = 3  # workers that may be lost over the same block before it is given up


@dataclass(frozen=True)
class Order:
    """A model and how it is applied, as plain values that are sent to workers; ``model`` : a folder that all of them see."""

    model: str
    settings: PredictSettings
    decoding: Any


@dataclass(frozen=True)
class _Image:
    """An image that a worker opens by itself."""

    path: str
    axes: str | None
    number: int
    numbers: Normalization | None
    zoom: float
    pixels: float


@dataclass(frozen=True, eq=False)
class Cluster:
    """Connected workers, and what they do: blocks of an image (an `Engine`), or whole files; ``local`` : of this machine."""

    client: Any
    order: Order
    local: bool = False

    def sized(self, ready: Ready) -> Ready:
        """A model with the blocks that suit the workers: those of this machine share its memory, and need that of a program each.

        Raises
        ------
        DojoError : they do not fit.
        """
        if not self.local:
            return ready
        free, count = USABLE * psutil.virtual_memory().available, len(self._workers)
        most = (free - PROGRAM) / count - PROGRAM
        predictor = ready.predictor.with_smaller_blocks(LESS, most)
        if (needed := self._together(predictor.block_memory)) > free:
            raise DojoError(
                f"{count} worker{'s' * (count > 1)} would need about {needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB can be "
                "used. Choose fewer, or leave --scheduler out."
            )
        return replace(ready, predictor=predictor)

    def sentence(self, block: float) -> str:
        """How many workers there are, what memory each has, and where they can be watched; ``block`` : bytes for one."""
        there = self._workers
        memory, needed = min(w["memory_limit"] for w in there.values()) / 1e9, (PROGRAM + block) / 1e9
        limit = f"at most {memory:.1f} GB of memory each, of which" if memory else "of which each"
        workers, together = f"{len(there)} worker{'s' * (len(there) != 1)}", self._together(block) / 1e9
        here = f", and all processes together {together:.1f} GB" if self.local else ""
        return f"{workers}, {limit} a block takes about {needed:.1f} GB{here}. Dashboard: {self.client.dashboard_link or 'none'}."

    @property
    def _workers(self) -> dict[str, Any]:
        """What is known of each."""
        found: dict[str, Any] = self.client.scheduler_info(n_workers=-1)["workers"]
        return found

    def _together(self, block: float) -> float:
        """Bytes of all processes, this one included."""
        return PROGRAM + len(self._workers) * (PROGRAM + block)

    def blocks(self, work: Work, room: Room, todo: Sequence[int], control: Control) -> Iterator[tuple[int, Open]]:
        """The engine of a cluster: blocks are computed by workers, and written by them."""
        image = work.image
        if image.path is None:
            raise DojoError("Only images in files are predicted on a cluster: its workers read them by themselves.")
        given = _Image(str(image.path), image.named, max(0, image.number - 1), image.numbers, image.zoom, work.pixels)
        where = (room.working, room.axes)
        give_back()  # of the look at the image
        yield from self._done(lambda i: (_block, self.order, given, where, i), todo, control)
        self.client.run(_forget, on_error="ignore")  # this process needs memory for the end

    def files(
        self, sink: TiffSink, axes: str | None, control: Control, todo: Sequence[int] | None = None
    ) -> Iterator[Event]:
        """Apply the model to files of a sink, each on one worker; events as those of `napari_dojo.inference.apply`.

        ``todo`` : which of them; None: all, none of which may have a prediction yet.
        """
        if todo is None:
            sink.check()
            todo = range(len(sink.inputs))
        began, count = time.monotonic(), len(todo)
        facts: dict[int, dict[str, Any]] = {}
        yield Progress(0, count)
        for i, found in self._done(lambda i: (_file, self.order, sink, axes, i), todo, control):
            facts[i] = found
            yield from (Message("warning", text) for text in found["warnings"])
            yield from (Skipped(text, sink.inputs[i].name, text) for text in found["skipped"])
            yield Progress(len(facts), count)
        results = [{**r, "index": i} for i in sorted(facts) for r in facts[i]["results"]]
        skipped = [text for i in sorted(facts) for text in facts[i]["skipped"]]
        if not results:
            raise DojoError(f"None of the {count} images could be done. The first: {skipped[0]}")
        about: dict[str, Any] = {"results": results, "skipped": skipped, "images": len(results) + len(skipped)}
        yield Done(sink.where, about | {"stopped": len(facts) < count, "seconds": round(time.monotonic() - began, 2)})

    def _done(
        self, task: Callable[[int], tuple[Any, ...]], todo: Sequence[int], control: Control
    ) -> Iterator[tuple[int, Any]]:
        """The number and the result of each task, in the order in which they are done."""
        from distributed import KilledWorker, as_completed

        futures = {}
        for i in todo:
            function, *rest = task(i)
            futures[self.client.submit(function, *rest, pure=False, retries=0)] = i
        try:
            for future in as_completed(list(futures), loop=self.client.loop):
                control.check()
                yield futures[future], self._result(future, KilledWorker)
                futures.pop(future)
        except (OSError, TimeoutError) as e:
            raise DojoError(
                f"The connection to the scheduler was lost ({type(e).__name__}). Start it again, and give the same command: "
                "it resumes."
            ) from e
        finally:
            if self.client.status == "running":
                self.client.cancel(list(futures), reason="stopped")

    def _result(self, future: Any, killed: type[Exception]) -> Any:
        if future.status == "cancelled" or self.client.status != "running":
            raise DojoError(
                "The scheduler is gone, or has forgotten this work. Start it again, and give the same command: it resumes."
            )
        try:
            return future.result()
        except killed as e:
            raise DojoError(
                f"{TRIES} workers ended over the same part, most likely because their memory was too small. Give them more, or "
                "choose smaller blocks (--tile 1024), and give the same command: it resumes."
            ) from e


@contextmanager
def connected(scheduler: str, order: Order) -> Iterator[Cluster]:
    """Workers of ``local:N`` processes of this machine, which end with it, or those of a scheduler at an address.

    Raises
    ------
    DojoError : distributed is not installed, the name is none, or nobody answers.
    """
    try:
        import dask
        from distributed import Client, LocalCluster
    except ImportError as e:
        raise DojoError(
            "Prediction on several processes or machines needs dask.distributed. Install it: pip install 'napari-dojo[cluster]'."
        ) from e
    local = re.fullmatch(r"local:([1-9]\d*)", scheduler)
    if not local and "://" not in scheduler:
        raise DojoError(
            f"A scheduler is local:N, N processes of this machine, or an address such as tcp://10.0.0.5:8786; got {scheduler!r}."
        )
    if not local:
        logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # its traces say what our sentence says
        try:
            with Client(scheduler, set_as_default=False, timeout=WAIT) as client:
                client.wait_for_workers(1, timeout=WAIT)
                yield Cluster(client, order)
            return
        except (OSError, TimeoutError) as e:
            raise DojoError(
                f"No scheduler with workers answers at {scheduler}. Start one, or check the address."
            ) from e
    many = int(local[1])
    threads = str(max(1, cores() // many))
    environment = KEPT | {f"{name}_NUM_THREADS": threads for name in ("OMP", "MKL", "OPENBLAS")}
    with (
        dask.config.set(
            {"distributed.nanny.pre-spawn-environ": environment, "distributed.scheduler.allowed-failures": TRIES}
        ),
        LocalCluster(n_workers=many, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield Cluster(client, order, local=True)
        logging.getLogger("distributed.nanny").setLevel(logging.ERROR)  # on a busy machine processes end slowly


# on a worker --------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _ready(order: Order) -> Ready:
    """The model, once in each worker; of several GPUs, the one of its number."""
    from napari_dojo.models.bundle import load

    _choose_gpu()
    return Ready.of(load(Path(order.model)), order.settings, order.decoding)


def _choose_gpu() -> None:
    import torch
    from distributed import get_worker

    if torch.cuda.is_available() and torch.cuda.device_count() > 1:
        name = str(get_worker().name)
        torch.cuda.set_device(int(name) % torch.cuda.device_count() if name.isdecimal() else 0)


@lru_cache(maxsize=2)
def _work(order: Order, given: _Image) -> Work:
    ready = _ready(order)
    image = FileSource(Path(given.path), given.axes, lazy_above=PARTLY).read(given.number)
    found = resolve(ready.card, replace(image, numbers=given.numbers), ready.settings)
    return Work.of(ready, replace(found, zoom=given.zoom), given.pixels)


def _block(order: Order, given: _Image, where: tuple[Any, Axes], i: int) -> Open:
    """Compute and write a block; what is open in it."""
    import dask

    with dask.config.set(scheduler="synchronous"):  # of the image; not the cluster's
        work = _work(order, given)
        values, parts = work.compute(i, Control())
        work.put(*where, i, values)
    return parts


def _forget() -> None:
    """Give back the memory of what was done."""
    _work.cache_clear()
    _ready.cache_clear()
    give_back()


def _file(order: Order, sink: TiffSink, axes: str | None, i: int) -> dict[str, Any]:
    """Do one file; its results as plain values, or why there is none."""
    import dask

    from napari_dojo.inference.apply import apply
    from napari_dojo.inference.tiff_sink import Some

    warnings: list[str] = []
    done: dict[str, Any] = {"results": [], "skipped": []}
    with dask.config.set(scheduler="synchronous"):
        try:
            done = _facts(apply(_ready(order), [FileSource(sink.inputs[i], axes)], Some(sink, (i,))), warnings)
        except (DojoError, MemoryError) as e:
            name, why = sink.inputs[i].name, explained(e)
            done["skipped"] = [why if why.startswith(name) else f"{name}: {why}"]
    return {"results": done["results"], "skipped": done["skipped"], "warnings": warnings}


def _facts(events: Iterator[Event], warnings: list[str]) -> dict[str, Any]:
    """Those of the last event; the texts of warnings before it are added to a list."""
    facts: dict[str, Any] = {"results": [], "skipped": []}
    for event in events:
        if isinstance(event, Message) and event.level == "warning":
            warnings.append(event.text)
        elif isinstance(event, Done):
            facts = event.facts
    return facts
