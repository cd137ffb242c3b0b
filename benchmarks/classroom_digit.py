"""How soon a drawn digit is read: ``python benchmarks/classroom_digit.py [--strokes 8]``. Needs a display.

Strokes with the mouse in a real viewer of 1280 x 800. The last line is JSON: ``read_s`` and ``cpu_s`` (median and worst time from the end of
a stroke until both networks have read the digit: wall clock, and processor time of this process, which other programs do not lengthen),
``shown_s`` (until the bars of both are painted, wall clock), and ``first_s`` (of the first stroke).
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

HERE = Path(__file__).resolve().parent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strokes", type=int, default=8)
    parser.add_argument("--profile", action="store_true", help="print where the time of the first stroke goes")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["NAPARI_DOJO_HOME"] = home
        os.environ["NAPARI_CONFIG"] = str(Path(home) / "settings.yaml")
        found = measure(asked.strokes, asked.profile)
    wall, cpu, shown = zip(*found, strict=True)
    facts = {
        "read_s": [median(wall), max(wall)],
        "cpu_s": [median(cpu), max(cpu)],
        "shown_s": [median(shown), max(shown)],
    }
    facts["first_s"] = [wall[0], cpu[0]]
    print(json.dumps({k: [round(v, 4) for v in pair] for k, pair in facts.items()}))
    return 0


def measure(strokes: int, profile: bool) -> list[tuple[float, float, float]]:
    """Wall and processor time of each stroke until it is read, and wall time until that is seen, s."""
    import napari
    from qtpy.QtCore import Qt
    from qtpy.QtTest import QTest
    from qtpy.QtWidgets import QApplication

    from napari_dojo.widgets.classroom.panel import ClassroomPanel
    from napari_dojo.widgets.classroom.reading import Bars
    from napari_dojo.widgets.common.panel import open_panel

    def rest(seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            QApplication.processEvents()
            time.sleep(0.005)

    sys.path.insert(0, str(HERE.parent / "tests"))
    from person import Person

    viewer = napari.Viewer(show=True)
    viewer.window.resize(1280, 800)
    panel = open_panel(viewer, ClassroomPanel, "Classroom")
    rest(0.5)
    box = panel.exercise.box
    box.setCurrentIndex(box.findData("digits"))
    box.activated.emit(box.currentIndex())
    rest(1.0)
    page = panel.images
    page.reading.draw_button.click()
    rest(1.0)
    person, times, read = Person(None, viewer), [], []
    page.lesson.seen.connect(lambda: read.append((time.perf_counter(), time.process_time())))
    painted: list[float] = []
    paint = Bars.paintEvent

    def painting(bars, event):
        paint(bars, event)
        painted.append(time.perf_counter())

    Bars.paintEvent = painting
    for k in range(strokes):
        x = 4 + 2 * k
        points = [person.at(4 + y / 2, x) for y in range(0, 30, 3)]
        QTest.mousePress(person.canvas, Qt.MouseButton.LeftButton, pos=points[0])
        for point in points[1:]:
            QTest.mouseMove(person.canvas, point)
            rest(0.02)
        rest(0.5)
        read.clear()
        began = time.perf_counter(), time.process_time()
        profiler = _profiler(profile and k == 0)
        QTest.mouseRelease(person.canvas, Qt.MouseButton.LeftButton, pos=points[-1])
        while not read and time.perf_counter() - began[0] < 5:
            QApplication.processEvents()
        if profiler is not None:
            profiler.disable()
            profiler.print_stats("cumulative")
        painted.clear()
        while read and not painted and time.perf_counter() - began[0] < 5:
            QApplication.processEvents()
        if read and painted:
            times.append((read[0][0] - began[0], read[0][1] - began[1], painted[0] - began[0]))
        rest(0.3)
    viewer.close()
    return times


def _profiler(wanted: bool):
    if not wanted:
        return None
    import cProfile

    made = cProfile.Profile()
    made.enable()
    return made


if __name__ == "__main__":
    sys.exit(main())
