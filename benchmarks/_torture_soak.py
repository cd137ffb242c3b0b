"""A long session in one viewer: trainings, predictions, layers that come and go; memory, processes and threads: see `torture`."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

TRAININGS, PREDICTIONS = 30, 60
TINY = {"steps": 2, "patch": 64, "batch": 1, "depth": 2, "width": 4}


def run(folder: Path, minutes: float) -> dict[str, Any]:
    """Two predictions after each training, until all are done or the time is over; figures first and last."""
    import napari
    from qtpy.QtWidgets import QApplication

    from napari_dojo.simulation.microscope import simulate
    from napari_dojo.widgets.apply.panel import ApplyPanel
    from napari_dojo.widgets.common.panel import open_panel
    from napari_dojo.widgets.train.panel import TrainPanel

    def wait(until: Callable[[], bool], most: float) -> bool:
        end = time.monotonic() + most
        while not until() and time.monotonic() < end:
            QApplication.processEvents()
            time.sleep(0.002)
        return bool(until())

    viewer = napari.Viewer()
    scene = simulate("nuclei", (128, 128), 0, diameter=18)
    viewer.add_image(scene.image, name="cells")
    viewer.add_labels(scene.labels, name="cells labels")
    train, apply = open_panel(viewer, TrainPanel, "Train"), open_panel(viewer, ApplyPanel, "Apply")
    train.settings.set_values(TINY)
    end = time.monotonic() + 60 * minutes
    facts: dict[str, Any] = {"trainings": 0, "predictions": 0, "layers": 0, "broken": []}
    alone = _alone(viewer, wait)
    watched = [_state()]
    while facts["trainings"] < TRAININGS and time.monotonic() < end:
        _train(train, wait, facts)
        for _ in range(PREDICTIONS // TRAININGS):
            _predict(viewer, apply, wait, facts)
        for k in range(3):
            viewer.add_image(np.random.default_rng(k).random((256, 256)), name=f"passing {k}")
            wait(lambda: False, 0.05)
        for layer in [x for x in viewer.layers if x.name not in ("cells", "cells labels")]:
            viewer.layers.remove(layer)
            facts["layers"] += 1
        wait(lambda: False, 0.3)
        gc.collect()
        watched.append(_state())
        print(facts["trainings"], facts["predictions"], watched[-1], facts["broken"][-1:], flush=True)
    viewer.close()
    wait(lambda: False, 3)
    warm = watched[min(3, len(watched) - 1)]  # after what is loaded once
    return {
        **facts,
        "MB a layer of napari alone": alone,
        "opened": watched[0],
        "after three": warm,
        "last": watched[-1],
        "closed": _state(),
    }


def _alone(viewer: Any, wait: Callable[..., bool]) -> float:
    """MB that napari keeps of each layer that is added and removed, without any work of ours."""
    before = 0.0
    for k in range(40):
        layer = viewer.add_image(np.random.default_rng(k).random((256, 256)), name="passing")
        wait(lambda: False, 0.05)
        viewer.layers.remove(layer)
        gc.collect()
        before = _state()["MB"] if k == 9 else before
    return round((_state()["MB"] - before) / 30, 2)


def _train(train: Any, wait: Callable[..., bool], facts: dict[str, Any]) -> None:
    train.check.later()
    if not wait(train.start_button.isEnabled, 60):
        facts["broken"].append(f"training cannot start: {train.findings.text()}")
        return
    train.start()
    training = train.progress.training
    if not wait(lambda: training.state == "over", 120) or not (training.model / "rdf.yaml").exists():
        facts["broken"].append(f"training {facts['trainings']}: {train.progress.message.text()}")
    facts["trainings"] += 1


def _predict(viewer: Any, apply: Any, wait: Callable[..., bool], facts: dict[str, Any]) -> None:
    apply.refresh_models()
    viewer.layers.selection.active = viewer.layers["cells"]
    if not wait(apply.apply_button.isEnabled, 60):
        facts["broken"].append(f"cannot apply: {apply.apply_button.toolTip()}")
        return
    apply.apply_button.click()
    if not wait(lambda: not apply.runner.busy and not apply.results.reading, 120):
        facts["broken"].append(f"prediction {facts['predictions']} did not end")
    facts["predictions"] += 1


def _state() -> dict[str, float]:
    """Memory of the window's process in MB, its processes, threads and open files."""
    import psutil

    me = psutil.Process()
    return {
        "MB": round(me.memory_info().rss / 1e6, 1),
        "processes": len(me.children(recursive=True)),
        "threads": threading.active_count(),
        "files": me.num_fds() if hasattr(me, "num_fds") else 0,
    }
