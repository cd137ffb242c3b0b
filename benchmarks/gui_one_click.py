"""One click: Denoise this layer in a real viewer, on simulated images with truth: when it is better to the eye, and when done.

Needs a display; without one: ``xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/gui_one_click.py``.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from _common import keep

KINDS = ("nuclei", "cells", "filaments", "bacteria", "spots")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--edge", type=int, default=1024, help="of the images, px")
    parser.add_argument("--save", metavar="NAME", help="write results/NAME.json, too")
    args = parser.parse_args()
    rows = []
    for k, kind in enumerate(KINDS):
        if kind in args.kinds:
            with tempfile.TemporaryDirectory() as home:
                os.environ["NAPARI_DOJO_HOME"] = home
                os.environ["NAPARI_CONFIG"] = str(Path(home) / "settings.yaml")
                rows.append({"kind": kind, **measure(kind, k, args.edge)})
            print(json.dumps(rows[-1]), flush=True)
    if args.save:
        keep(args.save, {"rows": rows})
    print(json.dumps(rows))


def measure(kind: str, seed: int, edge: int) -> dict[str, Any]:
    """Press it and wait: PSNR of the first live picture (of the plane or part that it shows) and of the result, and when they came."""
    import napari
    from qtpy.QtWidgets import QApplication

    from napari_dojo.metrics.images import psnr
    from napari_dojo.simulation.microscope import simulate
    from napari_dojo.tasks.images import best_filter
    from napari_dojo.widgets.actions import denoise_layer

    scene = simulate(kind, (edge, edge), seed, photons=20)
    x, y = (np.asarray(a if a.ndim == 2 else a[0], np.float32) for a in (scene.image, scene.clean))
    (held,), _ = best_filter([x[None]], [y[None]], None)
    viewer = napari.Viewer()
    viewer.add_image(x, name="noisy")
    began = time.monotonic()

    def layer_when(told: Callable[[Any], bool]) -> tuple[Any, float]:
        while time.monotonic() - began < 300:
            QApplication.processEvents()
            time.sleep(0.002)
            for layer in viewer.layers:
                if told(layer):
                    return layer, round(time.monotonic() - began, 1)
        raise SystemExit(f"nothing came for {kind}")

    denoise_layer(viewer)
    first, seen = layer_when(lambda layer: "(current prediction)" in layer.name)
    corner = np.maximum(np.rint(first.translate).astype(int), 0)
    part = tuple(slice(a, a + n) for a, n in zip(corner, first.data.shape, strict=True))
    shown = psnr(y[part], np.asarray(first.data))
    noisy, filtered = psnr(y[part], x[part]), psnr(y[part], held[0][part])
    last, done = layer_when(lambda layer: "predicted" in layer.name)
    result, rival = psnr(y, np.asarray(last.data)), psnr(y, held[0])
    viewer.close()
    figures = {"first_s": seen, "noisy": noisy, "first_filter": filtered, "first": shown}
    figures |= {"done_s": done, "filter": rival, "result": result}
    return {k: round(v, 2) for k, v in figures.items()}


if __name__ == "__main__":
    main()
