"""300 files in nested folders, 7 of them broken, in the Batch panel: ``python benchmarks/batch.py [--files 300] [--size 256]``.

A recipe (nuclei-fluorescence, filter, measure, export) runs in a real viewer, is stopped after a third, and continued. Meanwhile a
timer beats every 5 ms. Needs a display; without one: ``xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/batch.py``.

The last line is JSON: ``seconds`` of both runs, ``results``, ``skipped`` with ``reasons``, ``rows`` of the table and ``objects`` in
all label images (the same number), ``stopped_at``, ``done_twice`` (results that the second run wrote again), ``exit_code`` of
the same recipe on the command line afterwards, ``worst_block_ms`` (the longest time without a beat), ``ours_ms`` (of it in
our own code), ``worst_block_browsing_ms`` (while ten rows are clicked, without napari's first painting of a layer).
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile
from gui_heartbeat import Heartbeat

STEPS = b"""recipe: 1
steps:
- predict: {model: nuclei-fluorescence}
- filter: {border: true, area_px: {min: 30}}
- measure
- export: {rois: true}
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=300)
    parser.add_argument("--size", type=int, default=256)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["NAPARI_DOJO_HOME"] = home
        os.environ["NAPARI_CONFIG"] = str(Path(home) / "settings.yaml")
        plate = Path(home) / "plate"
        make(plate, asked.files, asked.size)
        print(json.dumps(measured(plate)))
    return 0


def make(plate: Path, files: int, size: int) -> None:
    """Images in nested folders; the last 7 of them broken, each in its own way."""
    from napari_dojo.io import images
    from napari_dojo.simulation.microscope import simulate

    scenes = [simulate("nuclei", (size, size), seed).image for seed in range(12)]
    good = files - 7
    for k in range(good):
        images.write(plate / f"day{k % 3}" / f"well{k % 20}" / f"f{k}.tif", scenes[k % 12], "YX", (0.5, 0.5), "um")
    bad = plate / "day1" / "bad"
    bad.mkdir(parents=True)
    whole = next(plate.rglob("*.tif")).read_bytes()
    (bad / "empty.tif").touch()
    (bad / "text.tif").write_text("no image")
    (bad / "cut.tif").write_bytes(whole[: len(whole) // 2])
    (bad / "noise.tif").write_bytes(os.urandom(5000))
    tifffile.imwrite(bad / "complex.tif", np.zeros((9, 9), np.complex64))
    images.write(bad / "channels.tif", np.stack([scenes[0]] * 2), "CYX")
    tifffile.imwrite(bad / "unnamed.tif", np.zeros((3, 4, 9, 9), np.uint8), photometric="minisblack", metadata=None)


def measured(plate: Path) -> dict:
    import napari
    from qtpy.QtWidgets import QApplication

    from napari_dojo.recipes.recipe import parsed
    from napari_dojo.widgets.batch.panel import BatchPanel
    from napari_dojo.widgets.common.panel import open_panel

    viewer = napari.Viewer()
    viewer.window.resize(1280, 800)

    def wait(until, most: float = 600) -> None:
        end = time.monotonic() + most
        while not until():
            assert time.monotonic() < end, f"{panel.message.text()} {panel.found.text()} {panel.progress.text()}"
            QApplication.processEvents()
            time.sleep(0.001)

    panel = open_panel(viewer, BatchPanel, "Batch")
    panel.show_recipe(parsed(STEPS))
    panel.files.add(str(plate))
    wait(panel.run_button.isEnabled)
    beat = Heartbeat(viewer.window._qt_window)
    total = panel._explained.images
    out = Path(panel.recipe.folder)
    wait(lambda: time.perf_counter() - beat.last < 0.01)
    beat.on = True
    began = time.monotonic()
    panel.run_button.click()
    wait(lambda: panel.results.rowCount() >= total // 3)
    panel.stop_button.click()
    wait(lambda: not panel.runner.busy)
    first = {p: p.stat().st_mtime_ns for p in out.rglob("*.tif")}
    stopped_at = panel.results.rowCount()
    wait(panel.run_button.isEnabled)
    panel.run_button.click()
    wait(lambda: not panel.runner.busy)
    seconds = time.monotonic() - began
    wait(panel.run_button.isEnabled)
    beat.show(1)
    told = beat.facts()
    beat.late.clear()
    for k in range(0, 10):
        panel.results_view.selectRow(k)
        wait(lambda: len(viewer.layers) == 2)
        end = time.monotonic() + 0.3
        wait(lambda end=end: time.monotonic() > end)
    told["worst_block_browsing_ms"] = round(beat.worst())
    beat.on = False
    panel.save_recipe(out / "again.yaml")
    again = [sys.executable, "-m", "napari_dojo", "run", str(out / "again.yaml")]
    code = subprocess.run(again, capture_output=True).returncode
    found = {"seconds": round(seconds, 1), **counted(out), "stopped_at": stopped_at, "exit_code": code}
    done_twice = sum(p.stat().st_mtime_ns != at for p, at in first.items())
    viewer.close()
    return {**found, "done_twice": done_twice, **told, "torch_in_window": "torch" in sys.modules}


def counted(out: Path) -> dict:
    """What lies in the folder of the results."""
    labels = list(out.rglob("*.tif"))
    objects = sum(len(np.unique(tifffile.imread(p))) - 1 for p in labels)
    with (out / "objects.csv").open(newline="") as file:
        rows = sum(1 for _ in csv.DictReader(file))
    with (out / "skipped.csv").open(newline="") as file:
        reasons = [f"{r['image']}: {r['reason']}" for r in csv.DictReader(file)]
    return {"results": len(labels), "skipped": len(reasons), "rows": rows, "objects": objects, "reasons": reasons}


if __name__ == "__main__":
    raise SystemExit(main())
