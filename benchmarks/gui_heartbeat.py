"""How long the window is blocked while a net learns: ``python benchmarks/gui_heartbeat.py [--seconds 60] [--trainings 0]``.

A timer beats every 5 ms in a real viewer with a 2048 x 2048 image while a training with live preview runs for a
minute; a thread notes where the window's thread is when a beat is late. Then Stop, and the window is closed.
Needs a display; without one: ``xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/gui_heartbeat.py``.

The last line is JSON: ``worst_block_ms`` (the longest time without a beat, but for ``first_painting_ms``, the one in
which napari adds the preview's layer and paints it for the first time), ``ours_ms`` (the longest time of it in
our own code), ``worst_but_for_waiting_ms`` (the longest, less the time in which the window's thread waited for a core) and
``ours_cpu_ms`` (the most CPU time in our code in one block), which other programs change less, ``worst_but_for_collecting_ms`` (less the
time in which Python's garbage collector looked through all that napari holds, about 0.2 s each time), ``stop_s``, ``left_behind`` (processes and files), ``opens_s`` of each panel, ``memory_mb`` before and
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
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Look:
    """Where the window's thread was, outermost call first, and the ms of CPU that it had taken since the last look."""

    stack: str
    cpu: float


@dataclass(frozen=True)
class Late:
    """A late beat: ms until it came, those in which the window's thread had to wait for a core, those in which it worked, and
    what was seen meanwhile."""

    ms: float
    waited: float
    cpu: float
    looks: list[Look]
    collected: float = 0.0  # ms of it in Python's garbage collector, which looks through all that napari holds

    @property
    def owners(self) -> list[str]:
        """Who was at work at each look."""
        return [owner(look.stack) for look in self.looks]

    def ours(self, cpu: bool = False) -> float:
        """The ms of it (or the ms of CPU) in our own code, by the share of the looks."""
        mine = [owner(look.stack) == "ours" for look in self.looks]
        if not cpu:
            return self.ms * sum(mine) / max(1, len(mine))
        return sum(look.cpu for look, own in zip(self.looks, mine, strict=True) if own)


class Heartbeat:
    """Beats in the window's thread; remembers late beats and what was at work then.

    Beside other programs a beat is late because the window's thread has to wait for a core; that is counted apart (Linux).
    """

    def __init__(self, parent) -> None:
        from qtpy.QtCore import QTimer

        self.main = threading.get_ident()
        self.last = time.perf_counter()
        self.cpu, self.waited = time.thread_time(), waited()
        self.clock = time.pthread_getcpuclockid(self.main)
        self.looked = self.cpu  # the CPU time of the window's thread at the last look
        self.late: list[Late] = []
        self.seen: list[Look] = []
        self.on = False
        self.collected = self.collecting = 0.0  # s since the last beat; when a collection began
        gc.callbacks.append(self._collects)
        self.file = tempfile.TemporaryFile()  # noqa: SIM115
        self.timer = QTimer(parent)
        self.timer.setInterval(int(BEAT * 1000))
        self.timer.timeout.connect(self.beat)
        self.timer.start()
        threading.Thread(target=self.watch, daemon=True).start()

    def beat(self) -> None:
        now, cpu, without = time.perf_counter(), time.thread_time(), waited()
        if self.on and now - self.last > 0.02:
            spent = (1000 * (a - b) for a, b in ((now, self.last), (without, self.waited), (cpu, self.cpu)))
            self.late.append(Late(*spent, self.seen, 1000 * self.collected))
        self.seen, self.collected = [], 0.0
        self.last, self.waited, self.cpu, self.looked = now, without, cpu, cpu

    def _collects(self, phase: str, info: dict) -> None:
        if threading.get_ident() == self.main:
            now = time.perf_counter()
            self.collected += now - self.collecting if phase == "stop" else 0.0
            self.collecting = now

    def watch(self) -> None:
        while True:
            time.sleep(BEAT)
            if time.perf_counter() - self.last > 2 * BEAT:
                stack, cpu = self.stack(), time.clock_gettime(self.clock)
                self.seen.append(Look(stack, 1000 * (cpu - self.looked)))
                self.looked = cpu

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
        return max((late.ms for late in self._of(first)), default=0.0)

    def worst_but_for_waiting(self) -> float:
        """As `worst`, less the time in which other programs had the core."""
        return max((late.ms - late.waited for late in self._of(False)), default=0.0)

    def worst_of_ours(self, cpu: bool = False) -> tuple[float, str]:
        """The longest time (or the most CPU time) in our code in one late beat, in ms, and where that was last."""
        late = max(self.late, key=lambda x: x.ours(cpu), default=None)
        if late is None or not late.ours(cpu):
            return 0.0, ""
        return late.ours(cpu), [x.stack for x in late.looks if owner(x.stack) == "ours"][-1]

    def facts(self) -> dict[str, float]:
        """What is reported of it, in ms."""
        found = {
            "worst_block_ms": self.worst(),
            "ours_ms": self.worst_of_ours()[0],
            "worst_but_for_waiting_ms": self.worst_but_for_waiting(),
            "ours_cpu_ms": self.worst_of_ours(cpu=True)[0],
            "worst_but_for_collecting_ms": max((x.ms - x.collected for x in self._of(False)), default=0.0),
        }
        return {name: round(value, 1) for name, value in found.items()}

    def show(self, most: int) -> None:
        """Print the longest late beats, and where our code took longest."""
        for late in sorted(self.late, key=lambda x: x.waited - x.ms)[:most]:
            print(
                f"late by {late.ms:.0f} ms, {late.waited:.0f} of them without a core, {late.cpu:.0f} at work, {late.collected:.0f} collecting garbage, {late.owners}"
            )
            middle = late.looks[len(late.looks) // 2].stack if late.looks else "(nothing seen)"
            print("\n".join(middle.splitlines()[-8:]), flush=True)
        ours, where = self.worst_of_ours(cpu=True)
        print(f"longest of ours {ours:.0f} ms of CPU\n" + "\n".join(where.splitlines()[-6:]), flush=True)

    def _of(self, first: bool) -> list[Late]:
        return [x for x in self.late if any("add_layer" in look.stack for look in x.looks) == first]


def waited() -> float:
    """Seconds in which this thread could have worked but had no core, where the system says so (Linux)."""
    try:
        return int(Path(f"/proc/self/task/{threading.get_native_id()}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0


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

    from napari_dojo.models.kept import KEPT
    from napari_dojo.simulation.microscope import simulate
    from napari_dojo.widgets.apply.panel import ApplyPanel
    from napari_dojo.widgets.common.panel import open_panel
    from napari_dojo.widgets.common.queue import desk
    from napari_dojo.widgets.compare.panel import ComparePanel
    from napari_dojo.widgets.train.panel import TrainPanel

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
    heart.show(5)
    children = psutil.Process().children(recursive=True)
    light = "torch" not in sys.modules
    viewer.close()
    wait(lambda: False, 0.5)
    psutil.wait_procs(children, timeout=3)
    alive = [c for c in children if c.is_running() and c.status() != psutil.STATUS_ZOMBIE]
    runs = [p for p in (home / "runs").rglob("*") if p.is_file()]
    stray = [p for p in (home / "models").rglob("*") if p.is_file() and p.parent.name == "run" and p.name not in KEPT]
    for path in (*alive, *runs, *stray):
        print("left behind:", path)
    assert light, "torch was loaded in the window's process"
    assert not desk().trainings
    return {
        **heart.facts(),
        "first_painting_ms": round(heart.worst(first=True), 1),
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
    facts = {"size": size, "shows_s": shows, "next_s": again, "decode_s": taken}
    heart.show(3)
    viewer.close()
    return {k: round(v, 2) for k, v in facts.items()} | heart.facts()


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
