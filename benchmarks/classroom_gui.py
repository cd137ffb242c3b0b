"""How the Classroom moves: ``python benchmarks/classroom_gui.py [--seconds 10] [--hidden 8,8,8] [--tab curves]``.

A net learns on 500 points of the spiral in a real viewer of 1280 x 800. Needs a display; without one:
``xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/classroom_gui.py``.

The last line is JSON: ``opens_s`` (the panel is there) and ``shows_s`` (its layers are on the canvas, too), both in a
viewer that has had a layer before; ``frames_s`` (frames of the canvas a second, while the net changed in each),
``ours_ms`` (median and worst CPU time of our own code in a frame: maps, surface, painting the net, curves; without
learning and without napari), ``learning_ms`` (median slice of learning), ``tick_ms`` (median and longest
time that a tick held the window, napari's part of it included), ``updates_s`` (updates of the weights a second).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--hidden", default="8,8,8")
    parser.add_argument("--tab", default="curves", choices=("curves", "slow", "representation"))
    parser.add_argument("--ringed", action="store_true", help="with rings around wrong points")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["NAPARI_DOJO_HOME"] = home
        os.environ["NAPARI_CONFIG"] = str(Path(home) / "settings.yaml")
        told = measure(asked.seconds, asked.hidden, ("curves", "slow", "representation").index(asked.tab), asked.ringed)
    print(json.dumps(told))
    return 0


class Clock:
    """Adds up the time within some functions, frame by frame."""

    def __init__(self) -> None:
        self.now: dict[str, float] = {}
        self.frames: list[dict[str, float]] = []

    def wrap(self, owner: object, method: str, name: str, sign: int = 1) -> None:
        """Time a method; with a sign of -1 the time is taken off, as it is somebody else's within ours."""
        inner = getattr(owner, method)

        clock = time.thread_time if name == "ours" else time.perf_counter

        def timed(*args, **kwargs):
            began = clock()
            try:
                return inner(*args, **kwargs)
            finally:
                self.now[name] = self.now.get(name, 0.0) + sign * 1000 * (clock() - began)

        setattr(owner, method, timed)

    def frame(self) -> None:
        """The next frame begins."""
        self.frames.append(self.now)
        self.now = {}


def measure(seconds: float, hidden: str, tab: int, ringed: bool) -> dict:
    import napari
    from qtpy.QtCore import Qt
    from qtpy.QtWidgets import QApplication, QDockWidget

    from napari_dojo.widgets.classroom import ClassroomPanel
    from napari_dojo.widgets.classroom.curves import _Curve
    from napari_dojo.widgets.classroom.netview import NetView
    from napari_dojo.widgets.classroom.play import SPEEDS, Player
    from napari_dojo.widgets.classroom.representation import _Plane
    from napari_dojo.widgets.common.panel import open_panel

    viewer = napari.Viewer()
    viewer.window.resize(1280, 800)

    def wait(s: float, until=lambda: False) -> None:
        end = time.monotonic() + s
        while time.monotonic() < end and not until():
            QApplication.processEvents()
            time.sleep(0.0005)

    viewer.add_image(np.zeros((64, 64)), name="mine", contrast_limits=(0, 1))
    wait(1)
    clock = Clock()
    for owner, method, name in (
        (NetView, "paintEvent", "ours"),
        (_Plane, "paintEvent", "ours"),
        (_Curve, "redraw", "ours"),
        (_Curve, "paintEvent", "ours"),
        (Player, "_tick", "tick"),
    ):
        clock.wrap(owner, method, name)
    began = time.perf_counter()
    panel = open_panel(viewer, ClassroomPanel, "Classroom")
    QApplication.processEvents()
    opens = time.perf_counter() - began
    wait(5, lambda: panel.canvas.there)
    shows = time.perf_counter() - began
    dock = next(d for d in viewer.window._qt_window.findChildren(QDockWidget) if d.isAncestorOf(panel))
    viewer.window._qt_window.resizeDocks([dock], [340], Qt.Orientation.Horizontal)
    panel.lesson.set(
        kind="spiral", training=500, validation=0, test=0, zscore=True, activation="tanh", optimizer="adam",
        hidden=tuple(map(int, hidden.split(","))), learning_rate=0.01, batch_size=16, epochs=100_000,
    )  # fmt: skip
    panel.tabs.turn(tab)
    panel.canvas.set_look(ringed=ringed)
    wait(1)
    clock.wrap(panel.lesson, "learn", "learning")
    clock.wrap(panel.lesson, "learned", "ours")
    for layer in (panel.canvas.surface, panel.canvas.points):
        clock.wrap(layer, "refresh", "ours", -1)  # napari's part of our frame
    drawn: list[float] = []
    scene = viewer.window._qt_viewer.canvas._scene_canvas
    scene.events.draw.connect(lambda *_: (drawn.append(time.perf_counter()), clock.frame()))
    panel.player.speed = len(SPEEDS) - 1
    panel.play.play_button.click()
    wait(1)
    drawn.clear()
    clock.frames.clear()
    updates = panel.lesson.session.updates
    wait(seconds)
    spent = drawn[-1] - drawn[0]
    updates = panel.lesson.session.updates - updates
    panel.player.pause()
    moving = [f for f in clock.frames if "learning" in f]
    ours = sorted(f.get("ours", 0.0) for f in moving)
    ticks = sorted(f.get("tick", 0.0) for f in moving)
    assert "torch" not in sys.modules, "torch was loaded in the window's process"
    told = {
        "opens_s": round(opens, 3),
        "shows_s": round(shows, 3),
        "frames_s": round(len(moving) / spent, 1),
        "ours_ms": [round(median(ours), 1), round(ours[-1], 1)],
        "learning_ms": round(median(f["learning"] for f in moving), 1),
        "tick_ms": [round(median(ticks), 1), round(ticks[-1], 1)],
        "updates_s": round(updates / spent),
        "parameters": panel.lesson.session.setup.net.parameters,
    }
    panel.end()
    viewer.close()
    return told


if __name__ == "__main__":
    sys.exit(main())
