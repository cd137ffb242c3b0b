"""Clicks on objects in a real viewer: how right the classes of the others are, how soon they are there, and what blocks the window.

Part of ``classify.py --only clicks``. Needs a display; without one: ``xvfb-run -a -s "-screen 0 1600x1000x24" python ...``.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from gui_heartbeat import Heartbeat

from napari_dojo.simulation.cell_types import CELL_TYPES, MixedCells, mixed_cells

EACH, SEEDS = 5, 5  # clicks for each type, fields
MANY, TILE = 5000, 1024  # objects of the large field, px of the fields it is made of
TIMED = 10  # clicks


def wait(until: Callable[[], object], most: float) -> None:
    """Let the window work until something is so."""
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + most
    while not until():
        assert time.monotonic() < end, f"not so after {most} s"
        QApplication.processEvents()
        time.sleep(0.001)


def rest(seconds: float) -> None:
    """Let the window work for some time."""
    end = time.monotonic() + seconds
    wait(lambda: time.monotonic() > end, seconds + 60)


@contextmanager
def opened(image: Any, labels: Any) -> Iterator[tuple[Any, Any]]:
    """A viewer with a field of cells, and the Classify panel with a class for each type, whose objects are measured."""
    import napari

    from napari_dojo.widgets.classify.panel import ClassifyPanel
    from napari_dojo.widgets.common.panel import open_panel

    viewer = napari.Viewer()
    viewer.window.resize(1280, 800)
    viewer.add_image(image, name="cells")
    viewer.add_labels(labels, name="objects")
    panel = open_panel(viewer, ClassifyPanel, "Classify")
    wait(lambda: panel.live.objects is not None, 300)
    while len(panel.live.classes.names) < len(CELL_TYPES):
        panel.rows.added.emit()
    rest(1)
    try:
        yield viewer, panel
    finally:
        viewer.close()
        rest(0.3)


def click(panel: Any, row: int, kind: int) -> None:
    """Choose a class by its key, and click an object."""
    live = panel.live
    sample, label = live.objects.key(row)
    box = tuple(slice(a, b) for a, b in zip(live.objects.start[row], live.objects.stop[row], strict=True))
    inside = np.argwhere(np.asarray(live.measured.labels[box]) == label)
    place = inside[len(inside) // 2] + live.objects.start[row]
    panel.picking.key.emit(kind + 1)
    panel.picking.clicked.emit(live.subject.world_of(sample, place), 1)


def settle(panel: Any, clicks: int, most: float = 120) -> None:
    """Wait until the last classes after so many clicks are there."""
    live = panel.live

    def there() -> bool:
        return not live.busy and live.seen is not None and live.seen.final and len(live.seen.examples.rows) == clicks

    wait(there, most)


def chosen(types: Any, seed: int) -> list[tuple[int, int]]:
    """Objects that are clicked, by their row, and their types in turn."""
    rng = np.random.default_rng(seed)
    of_type = [rng.permutation(np.flatnonzero(types == k))[:EACH] for k in range(len(CELL_TYPES))]
    return [(int(rows[i]), k) for i in range(EACH) for k, rows in enumerate(of_type)]


def accuracy(seed: int) -> float:
    """Of the objects that were not clicked, how many get their class."""
    scene = mixed_cells((TILE, TILE), seed)
    with opened(scene.image[0], scene.labels) as (_, panel):
        clicks = chosen(scene.types, seed)
        for row, kind in clicks:
            click(panel, row, kind)
        settle(panel, len(clicks))
        prediction = panel.live.seen.prediction
        others = np.ones(len(scene.types), bool)
        others[prediction.examples.rows] = False
        return float((prediction.best == scene.types)[others].mean())


def large() -> MixedCells:
    """About 5,000 cells: fields side by side."""
    fields, objects = [], 0
    while objects < MANY:
        fields.append(mixed_cells((TILE, TILE), 100 + len(fields), most=MANY - objects))
        objects += len(fields[-1].types)
    wide = int(np.ceil(np.sqrt(len(fields))))
    size = (-(-len(fields) // wide) * TILE, wide * TILE)
    image, labels = np.zeros((1, *size), np.uint16), np.zeros(size, np.int32)
    before = 0
    for k, field in enumerate(fields):
        box = tuple(slice(i * TILE, (i + 1) * TILE) for i in divmod(k, wide))
        image[0][box] = field.image[0]
        labels[box] = np.where(field.labels, field.labels + before, 0)
        before += len(field.types)
    return MixedCells(image, labels, np.concatenate([f.types for f in fields]), fields[0].pixel_size)


def timed(scene: MixedCells) -> dict[str, Any]:
    """Seconds from a click to the first and to the last classes, and the blocks of the window."""
    began = time.perf_counter()
    with opened(scene.image[0], scene.labels) as (viewer, panel):
        measured = time.perf_counter() - began
        panel.gallery_fold.button.setChecked(True)
        panel.why_fold.button.setChecked(True)
        clicks = chosen(scene.types, 0)
        rng = np.random.default_rng(1)
        more = [(int(r), int(scene.types[r])) for r in rng.permutation(len(scene.types))[:TIMED]]
        told: list[tuple[float, bool]] = []
        for row, kind in clicks:
            click(panel, row, kind)
        settle(panel, len(clicks))
        rest(2)
        panel.live.predicted.connect(lambda: told.append((time.perf_counter(), panel.live.seen.final)))
        heart = Heartbeat(viewer.window._qt_window)
        heart.on = True
        first, last = [], []
        for n, (row, kind) in enumerate(more, len(clicks) + 1):
            told.clear()
            at = time.perf_counter()
            click(panel, row, kind)
            settle(panel, n)
            first.append(told[0][0] - at)
            last.append(told[-1][0] - at)
            rest(1)  # the features of the layer are written
        heart.on = False
        heart.show(6)
        return {
            "objects": len(scene.types),
            "opened_s": round(measured, 2),
            "click_to_answer_s": round(statistics.median(first), 3),
            "click_to_final_s": round(statistics.median(last), 3),
            **heart.facts(),
        }


def clicks(folder: Path, seeds: int = SEEDS) -> dict[str, Any]:
    """All of it; ``folder`` holds what the program keeps."""
    os.environ["NAPARI_DOJO_HOME"] = str(folder)
    os.environ["NAPARI_CONFIG"] = str(folder / "settings.yaml")
    found = [accuracy(seed) for seed in range(seeds)]
    print("accuracies", [round(a, 3) for a in found], flush=True)
    return {"accuracy": round(float(np.mean(found)), 4), **timed(large())}
