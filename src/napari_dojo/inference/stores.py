"""Predictions as OME-Zarr, written block by block: made or resumed, finished with lower resolutions, shown while they fill."""

from __future__ import annotations

import json
import shutil
from collections.abc import Generator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_dojo import __version__
from napari_dojo.data.axes import Axes
from napari_dojo.errors import DojoError
from napari_dojo.events import Control, Event, Filling, Message, Progress
from napari_dojo.inference.blocks import Engine, Room, Work, in_blocks, in_threads, refusal
from napari_dojo.inference.geometry import Input
from napari_dojo.inference.journal import Journal, recorded
from napari_dojo.inference.samples import Ready
from napari_dojo.inference.sinks import UNFINISHED
from napari_dojo.io.formats.ome_zarr import Layout, create, opened, remove, there, write_levels
from napari_dojo.io.pairing import is_zarr

__all__ = ["free_name", "predict_to_store", "room_of", "work_for"]

PROVISIONAL = "provisional.zarr"


def predict_to_store(
    ready: Ready,
    image: Input,
    store: Path,
    control: Control,
    engine: Engine = in_threads,
    overwrite: bool = False,
    shown: int | None = None,
) -> Generator[Event, None, Axes]:
    """Predict an image block by block into an OME-Zarr, or resume that; the axes of the prediction.

    While it is unfinished, a folder with the same name and ``.unfinished`` lies beside it. Objects and classes go to
    ``labels/<model>``, beside an image where the store holds one; images are the store's image. What the model says of images
    that do not fit it is checked before.

    Parameters
    ----------
    shown : the number of the image, where somebody looks at the prediction while it is made: Filling says how.

    Raises
    ------
    DojoError : the prediction is there, an unfinished one is of other work, or the image cannot be predicted block by block.
    StoppedError : where ``control`` says so; the same call resumes.
    """
    work = work_for(ready, image, store)
    room, layout = room_of(work, store, overwrite)
    journal = room.journal
    if journal is not None and journal.done:
        yield Message(
            "info", f"{image.name}: resumed, {len(journal.done)} of {len(work.blocks)} blocks are done already."
        )
    if shown is not None:
        preview = _Preview.of(work, room, layout, _unfinished(store))
        room = replace(room, seen=preview.fill)
        yield Filling(shown, preview.paths, layout.axes, str(store))
    yield from in_blocks(work, room, engine, control)
    for done, count in write_levels(store, layout):
        control.check()
        yield Progress(done, count)
    shutil.rmtree(_unfinished(store))
    return Axes(layout.axes, room.axes.spatial)


def free_name(ready: Ready, image: Input, store: Path) -> Path:
    """The name of a store that is free, or of an unfinished prediction of the same: this one, or with a number after it."""
    k, found = 1, store
    while True:
        work = work_for(ready, image, found)
        unfinished = recorded(_unfinished(found))
        if unfinished == _about(work) or not (unfinished or there(found, _layout(work))):
            return found
        k += 1
        found = store.with_name(f"{store.stem} ({k}){store.suffix}")


@dataclass(frozen=True, eq=False)
class _Preview:
    """Lower resolutions of what is written, every second pixel, so that it can be looked at while it is unfinished."""

    work: Work
    room: Room
    layout: Layout
    levels: tuple[Any, ...]
    paths: list[str]

    @staticmethod
    def of(work: Work, room: Room, layout: Layout, folder: Path) -> _Preview:
        """Opened, or made with what is there already."""
        import zarr

        first = str(room.working.store_path).removeprefix("file://")
        names = [folder / f"preview-{k}.zarr" for k in range(1, layout.levels)]
        new = not all(name.exists() for name in names)
        levels = []
        for k, name in enumerate(names, 1):
            if new:
                chunks = tuple(min(n, c) for n, c in zip(layout.level(k), layout.chunks, strict=True))
                made = {"shape": layout.level(k), "chunks": chunks, "dtype": room.working.dtype, "fill_value": 0}
                levels.append(zarr.create_array(str(name), **made, overwrite=True))
            else:
                levels.append(zarr.open_array(str(name), mode="r+"))
        preview = _Preview(work, room, layout, tuple(levels), [first, *map(str, names)])
        for i in sorted(room.journal.done) if new and room.journal is not None else ():
            preview.fill(i)
        return preview

    def fill(self, i: int) -> None:
        """Block ``i`` has been written."""
        key = self.work.where(self.room.working, self.room.axes, i)
        flat = [a in "YX" for a in self.layout.axes]
        values = np.asarray(self.room.working[key])
        starts = [s.start for s in key]
        for level in self.levels:
            skip = [s % 2 if f else 0 for s, f in zip(starts, flat, strict=True)]
            values = values[tuple(slice(o, None, 2 if f else 1) for o, f in zip(skip, flat, strict=True))]
            starts = [(s + o) // (2 if f else 1) for s, o, f in zip(starts, skip, flat, strict=True)]
            if values.size:
                level[tuple(slice(s, s + n) for s, n in zip(starts, values.shape, strict=True))] = values


def work_for(ready: Ready, image: Input, store: Path) -> Work:
    """The work on an image, cut into blocks as in an unfinished prediction that is there."""
    if why := refusal(ready, image):
        raise DojoError(
            f"{image.name} cannot be predicted block by block, as it would have to be for {store.name}. {why}."
        )
    before = recorded(_unfinished(store))
    image = replace(image, zoom=float(before.get("zoom", image.zoom)))
    return Work.of(ready, image, float(before.get("pixels of a block", 0)))


def room_of(work: Work, store: Path, overwrite: bool = False) -> tuple[Room, Layout]:
    """Where the blocks go: made, or opened where they are resumed; DojoError, see `predict_to_store`."""
    import zarr

    layout, folder = _layout(work), _unfinished(store)
    if overwrite:
        shutil.rmtree(folder, ignore_errors=True)
        remove(store, layout)
    if there(store, layout) and not folder.exists():
        what = (
            f"{store} holds labels called {layout.labels!r}" if layout.labels and is_zarr(store) else f"{store} exists"
        )
        raise DojoError(f"{what} already. Choose another name, or overwrite it.")
    journal = Journal(folder, _about(work))
    axes = Axes(layout.axes, work.places.views[0][1].spatial)
    if not journal.done:
        final = create(store, layout)
        provisional = folder / PROVISIONAL
        working = final
        if work.joins:
            working = zarr.create_array(
                str(provisional), shape=layout.shape, chunks=layout.chunks, dtype="int32", fill_value=0, overwrite=True
            )
        return Room(final, working, axes, journal), layout
    final = opened(store, layout)
    working = zarr.open_array(str(folder / PROVISIONAL), mode="r+") if work.joins else final
    return Room(final, working, axes, journal), layout


def _unfinished(store: Path) -> Path:
    return store.with_name(store.name + UNFINISHED)


def _layout(work: Work) -> Layout:
    ready, image, places = work.ready, work.image, work.places
    card, kind = ready.card, ready.task.result
    named = places.axes.names
    axes = "".join(a for a in "TCZYX" if a in named)
    shape = tuple(places.shape[named.index(a)] for a in axes)
    chunks = tuple(min(n, work.chunk) if a in places.axes.spatial else 1 for a, n in zip(axes, shape, strict=True))
    labels = card.name if kind.drawn else ""
    names = tuple(card.maps) if kind.intensities and len(card.maps) > 1 else ()
    about = f"{card.task} of {image.name} (predicted by {card.name}), napari-dojo {__version__}"
    dtype = np.dtype(places.dtype if kind.intensities else np.uint32).name
    size = card.predicted_size(image.pixel_size)
    return Layout(axes, shape, chunks, dtype, size, image.unit, names, labels, about)


def _about(work: Work) -> dict[str, Any]:
    """What makes an unfinished prediction the same one."""
    ready, image = work.ready, work.image
    settings = {k: v for k, v in asdict(ready.settings).items() if k not in ("device", "tile")}
    numbers = None if image.numbers is None else asdict(image.numbers)
    about = {
        "model": [ready.card.name, ready.predictor.fingerprint],
        "settings": [settings, asdict(ready.decoding)],
        "image": [image.name, list(image.array.shape), str(image.array.dtype), image.axes.names, numbers],
        "zoom": image.zoom,
        "pixels of a block": work.pixels,
        "version": __version__,
    }
    plain: dict[str, Any] = json.loads(json.dumps(about))
    return plain
