"""How long the window is blocked while a net learns: ``python benchmarks/gui_heartbeat.py [--seconds 60] [--trainings 0]``.

A timer beats every 5 ms in a real viewer with a 2048 x 2048 image while a training with live preview runs for a
minute; a thread notes where the window's thread is when a beat is late. Then Stop, and the window is closed.
Needs a display; without one: ``xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/gui_heartbeat.py``.

The last line is JSON: ``worst_block_ms`` (the longest time without a beat, but for ``first_painting_ms``, the one in
which napari adds the preview's layer and paints it for the first time), ``ours_ms`` (the longest time of it in
our own code), ``stop_s``, ``left_behind`` (processes and files), ``opens_s`` of each panel, ``memory_mb`` before and
after ``--trainings`` short trainings in one viewer. ``--decode 4096`` measures something else: a result of so many px a
side is decoded again by a slider that is moved twice. ``shows_s``: until its progress is seen; ``next_s``: from the second
move until that decoding has begun; ``decode_s``: of the whole one; and the blocks of the window meanwhile.
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

BEAT = 0.005  # s


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument(
        "--trainings", type=int, default=0, help="so many short trainings in one viewer, for its memory"
    )
    parser.add_argument("--decode", type=int, default=0, metavar="SIZE", help="measure decoding again, not training")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["NAPARI_DOJO_HOME"] = home
        os.environ["NAPARI_CONFIG"] = str(Path(home) / "settings.yaml")
        told = decode(asked.decode) if asked.decode else measure(asked.seconds, asked.size, asked.trainings, Path(home))
    print(json.dumps(told))
    return 0


class Heartbeat:
    """Beats in the window's thread; remembers late beats and what was at work then."""

    def __init__(self, parent) -> None:
        from qtpy.QtCore import QTimer

        self.main = threading.get_ident()
        self.last = time.perf_counter()
        self.late: list[tuple[float, list[str]]] = []  # ms, stacks seen
        self.seen: list[str] = []
        self.on = False
        self.file = tempfile.TemporaryFile()  # noqa: SIM115
        self.timer = QTimer(parent)
        self.timer.setInterval(int(BEAT * 1000))
        self.timer.timeout.connect(self.beat)
        self.timer.start()
        threading.Thread(target=self.watch, daemon=True).start()

    def beat(self) -> None:
        now = time.perf_counter()
        late = now - self.last
        if self.on and late > 0.02:
            self.late.append((1000 * late, self.seen))
        self.seen = []
        self.last = now

    def watch(self) -> None:
        while True:
            time.sleep(BEAT)
            if time.perf_counter() - self.last > 2 * BEAT:
                self.seen.append(self.stack())

    def stack(self) -> str:
        """Where the window's thread is, outermost first; a frame held by this thread would keep Qt's painters alive."""
        file = self.file.fileno()
        os.lseek(file, 0, os.SEEK_SET)
        faulthandler.dump_traceback(file, all_threads=True)
        text = os.pread(file, os.lseek(file, 0, os.SEEK_CUR), 0).decode()
        for thread in text.split("\n\n"):
            first, *calls = thread.splitlines()
            if f"{self.main:#018x}" in first:
                return "\n".join(reversed(calls))
        return ""

    def worst(self, first: bool = False) -> float:
        """The longest late beat in ms, of those with napari's first painting of a new layer or of the others."""
        return max((ms for ms, stacks in self.late if any("add_layer" in s for s in stacks) == first), default=0.0)

    def worst_of_ours(self) -> tuple[float, str]:
        """The longest time in our code in one late beat, by the share of looks whose innermost known frame is ours."""
        best, where = 0.0, ""
        for ms, stacks in self.late:
            mine = [s for s in stacks if owner(s) == "ours"]
            share = ms * len(mine) / max(1, len(stacks))
            if share > best:
                best, where = share, mine[-1]
        return best, where


def owner(stack: str) -> str:
    """Who is at work: the innermost of napari, vispy, Qt's painting and us."""
    files = [line.split('"')[1] for line in stack.splitlines() if line.strip().startswith("File ")]
    for file in reversed(files):
        if "napari_dojo" in file:
            return "ours"
        if any(f"{os.sep}{name}{os.sep}" in file for name in ("napari", "vispy", "psygnal", "pyqtgraph", "superqt")):
            return "napari"
    return "qt"


def measure(seconds: float, size: int, trainings: int, home: Path) -> dict:
    import napari
    import psutil
    from qtpy.QtWidgets import QApplication

    from napari_dojo.simulation.microscope import simulate
    from napari_dojo.widgets.apply.panel import ApplyPanel
    from napari_dojo.widgets.common.panel import open_panel
    from napari_dojo.widgets.compare.panel import ComparePanel
    from napari_dojo.widgets.train.panel import TrainPanel
    from napari_dojo.widgets.train.queue import desk

    viewer = napari.Viewer()
    viewer.window.resize(1280, 800)

    def wait(until, most: float) -> bool:
        end = time.monotonic() + most
        while not until() and time.monotonic() < end:
            QApplication.processEvents()
            time.sleep(0.001)
        return bool(until())

    wait(lambda: False, 1)
    opens = {}
    for kind, title in ((TrainPanel, "Train"), (ApplyPanel, "Apply"), (ComparePanel, "Compare")):
        began = time.perf_counter()
        panel = open_panel(viewer, kind, title)
        QApplication.processEvents()
        opens[title] = round(time.perf_counter() - began, 3)
        train = panel if kind is TrainPanel else train  # noqa: F821
    open_panel(viewer, TrainPanel, "Train")
    scene = simulate("nuclei", (512, 512), 0, diameter=24)
    times = -(-size // 512)
    viewer.add_image(np.tile(scene.image, (times, times))[:size, :size], name="large")
    labels = np.concatenate(
        [
            np.concatenate([np.where(scene.labels, scene.labels + 1000 * (i * times + j), 0) for j in range(times)], 1)
            for i in range(times)
        ]
    )
    viewer.add_labels(labels[:size, :size], name="large labels")
    assert wait(lambda: train.start_button.isEnabled() and "steps" in train.findings.text(), 120), train.findings.text()
    train.minutes_box.setValue(max(2.0, seconds / 30))
    heart = Heartbeat(viewer.window._qt_window)
    heart.on = True
    train.start_button.click()
    training = train.progress.training
    wait(lambda: training.preview.layer is not None, 120)
    print(f"first preview after {sum(1 for _ in training.history)} events")
    wait(lambda: False, seconds)
    heart.on = False
    began = time.monotonic()
    train.progress.stop_button.click()
    assert wait(train.progress.after.isEnabled, 60), train.progress.message.text()
    stop = time.monotonic() - began
    assert (training.model / "rdf.yaml").exists()
    memory = repeated(trainings, train, wait) if trainings else []
    print("memory", memory, flush=True)
    ours, where = heart.worst_of_ours()
    for ms, stacks in sorted(heart.late, key=lambda x: -x[0])[:5]:
        print(f"late by {ms:.0f} ms, {[owner(s) for s in stacks]}")
        print("\n".join(stacks[len(stacks) // 2].splitlines()[-6:]) if stacks else "(nothing seen)")
    print(f"longest of ours {ours:.0f} ms\n" + "\n".join(where.splitlines()[-6:]))
    children = psutil.Process().children(recursive=True)
    light = "torch" not in sys.modules
    viewer.close()
    wait(lambda: False, 0.5)
    psutil.wait_procs(children, timeout=3)
    alive = [c for c in children if c.is_running() and c.status() != psutil.STATUS_ZOMBIE]
    runs = [p for p in (home / "runs").rglob("*") if p.is_file()]
    stray = [p for p in (home / "models").rglob("*") if p.is_file() and p.parent.name == "run" and p.suffix != ".jsonl"]
    for path in (*alive, *runs, *stray):
        print("left behind:", path)
    assert light, "torch was loaded in the window's process"
    assert not desk().trainings
    return {
        "worst_block_ms": round(heart.worst(), 1),
        "first_painting_ms": round(heart.worst(first=True), 1),
        "ours_ms": round(ours, 1),
        "late_beats": len(heart.late),
        "stop_s": round(stop, 2),
        "left_behind": len(alive) + len(runs) + len(stray),
        "opens_s": opens,
        **({"memory_mb": memory} if memory else {}),
    }


def decode(size: int) -> dict:
    """Move a slider twice over a result of the shipped model: one of 512 x 512 px, many times side by side."""
    import napari
    from qtpy.QtWidgets import QApplication

    from napari_dojo.inference.sinks import Stored
    from napari_dojo.simulation.microscope import simulate
    from napari_dojo.widgets.apply import results as module
    from napari_dojo.widgets.apply.panel import ApplyPanel
    from napari_dojo.widgets.common.panel import open_panel

    viewer = napari.Viewer()
    viewer.window.resize(1280, 800)

    def wait(until, most: float) -> float:
        began = time.monotonic()
        while not until():
            assert time.monotonic() - began < most
            QApplication.processEvents()
            time.sleep(0.001)
        return time.monotonic() - began

    image = simulate("nuclei", (512, 512), 0, diameter=24).image
    viewer.add_image(image, name="small")
    apply = open_panel(viewer, ApplyPanel, "Apply")
    apply.choose_model("nuclei-fluorescence")
    wait(apply.apply_button.isEnabled, 60)
    apply.apply_button.click()
    wait(lambda: apply.results.layers and not apply.results.busy, 120)
    small = apply.results.shown[0]
    times = -(-size // 512)
    tiled = lambda a: np.tile(np.asarray(a), (*(1 for _ in a.shape[:-2]), times, times))  # noqa: E731
    large = viewer.add_image(tiled(image), name="large")
    apply.image_box.choose(large)
    work = apply.request.work(apply.outcome.values)
    work.folder.mkdir(parents=True)
    for name, array in (("maps-0.npy", small.kept.maps), ("prediction-0.npy", small.layer.data)):
        np.save(work.folder / name, tiled(array))
    apply.outcome.take(work.folder, work.run, [Stored(0, "large", "YX", "prediction-0.npy", None, "maps-0.npy")])
    wait(lambda: [x.name for x in apply.results.layers] == ["large nuclei-fluorescence"], 120)
    wait(lambda: not apply.results.busy, 120)
    begun: list[float] = []
    steps = module.decode_steps

    def timed(*given):
        begun.append(time.monotonic())
        return steps(*given)

    module.decode_steps = timed
    heart = Heartbeat(viewer.window._qt_window)
    heart.on = True
    slider = apply.sliders.slider("threshold")
    slider.value = 0.6
    shows = wait(lambda: apply.progress.format().startswith("Updating"), 120)
    moved = time.monotonic()
    slider.value = 0.7
    wait(lambda: len(begun) == 2, 120)
    again = begun[1] - moved
    taken = wait(lambda: not apply.results.busy, 300)
    heart.on = False
    facts = {"size": size, "shows_s": shows, "next_s": again, "decode_s": taken, "worst_block_ms": heart.worst()}
    for ms, stacks in sorted(heart.late, key=lambda x: -x[0])[:3]:
        print(f"late by {ms:.0f} ms, {[owner(s) for s in stacks]}")
        print("\n".join(stacks[len(stacks) // 2].splitlines()[-8:]) if stacks else "(nothing seen)")
    viewer.close()
    return {k: round(v, 2) for k, v in {**facts, "ours_ms": heart.worst_of_ours()[0]}.items()}


def repeated(count: int, train, wait) -> list[float]:
    """Memory of the window's process in MB after each of some short trainings."""
    import psutil

    train.settings.set_values({"steps": 4, "patch": 64, "batch": 2, "depth": 2, "width": 4})
    found = []
    for _ in range(count):
        train.check.later()
        wait(train.start_button.isEnabled, 60)
        train.start()
        training = train.progress.training
        assert wait(lambda training=training: training.state == "over", 120)
        gc.collect()
        found.append(round(psutil.Process().memory_info().rss / 1e6, 1))
    return found


if __name__ == "__main__":
    sys.exit(main())
