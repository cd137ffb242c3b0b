"""Pictures of the Classroom panel: ``python docs/screenshots_classroom.py FOLDER [--only NAME ...] [--small]``.

Each exercise at its start, while it plays, and solved; slow motion; the representation; large type; the code; objects of an
image; in dark and light, at 1280 x 800 and at 1024 x 768. Those that the pages show are copied to ``docs/pictures`` by
``--keep``. Without a display: ``xvfb-run -a -s "-screen 0 1600x1000x24" python docs/screenshots_classroom.py FOLDER``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

SIZES = {"1280x800": (1280, 800), "1024x768": (1024, 768)}
THEMES = ("dark", "light")
# What docs/*.md show, by the name of the taken picture.
KEPT = {
    "spiral-solved-dark-1280x800": "classroom-spiral-solved-dark",
    "parabola-solved-light-1280x800": "classroom-parabola-solved-light",
    "slow-motion-light-1280x800": "classroom-slow-motion-light",
    "representation-dark-1280x800": "classroom-representation-dark",
    "objects-light-1280x800": "classroom-objects-light",
    "images-dark-1280x800": "classroom-digits-dark",
    "large-type-light-1024x768": "classroom-large-type-light",
}


class Stage:
    """A viewer with an open Classroom, and pictures of it."""

    def __init__(self, folder: Path, sizes: tuple[str, ...]) -> None:
        import napari

        from napari_dojo.widgets.classroom import ClassroomPanel
        from napari_dojo.widgets.common.panel import open_panel

        self.folder, self.sizes = folder, sizes
        self.viewer = napari.Viewer(show=True)
        self.viewer.window.resize(1280, 800)
        self.panel: Any = open_panel(self.viewer, ClassroomPanel, "Classroom")
        self.wait(lambda: self.panel.canvas.there, 5)
        self.wait(seconds=0.5)

    def wait(self, until: Callable[[], bool] = lambda: False, seconds: float = 1.0) -> bool:
        """Let the window live until something holds, or so long."""
        from qtpy.QtWidgets import QApplication

        end = time.monotonic() + seconds
        while not until() and time.monotonic() < end:
            QApplication.processEvents()
            time.sleep(0.01)
        return bool(until())

    def picture(self, name: str, sizes: tuple[str, ...] = ()) -> None:
        """Take it in both themes and all sizes."""
        window = self.viewer.window._qt_window
        for size in sizes or self.sizes:
            self.viewer.window.resize(*SIZES[size])
            for theme in THEMES:
                self.viewer.theme = theme
                self.wait(seconds=0.4)
                window.grab().save(str(self.folder / f"{name}-{theme}-{size}.png"))
        self.viewer.window.resize(1280, 800)
        self.viewer.theme = "dark"
        self.wait(seconds=0.2)

    def choose(self, name: str) -> None:
        """Begin an exercise."""
        box = self.panel.exercise.box
        box.setCurrentIndex(box.findData(name))
        box.activated.emit(box.currentIndex())
        self.panel.lesson.start_over()
        self.wait(seconds=0.2)

    def solve(self) -> None:
        """Set the solution and learn to its end, as fast as it can."""
        panel = self.panel
        panel.exercise.solve()
        panel.play.slider.setValue(panel.play.slider.maximum())
        panel.play.play_button.click()
        self.wait(lambda: not panel.player.playing, 60)
        self.wait(seconds=0.3)

    def tab(self, title: str) -> None:
        """Turn to a page below the net."""
        tabs = self.panel.tabs
        number = next(k for k in range(3) if tabs.button(k).text() == title)
        tabs.turn(number)
        self.wait(seconds=0.2)
        self.show(tabs)

    def show(self, widget: Any) -> None:
        """Scroll the panel to one of its parts."""
        from qtpy.QtWidgets import QScrollArea

        self.panel.findChild(QScrollArea).ensureWidgetVisible(widget, 0, 0)

    def close(self) -> None:
        self.panel.end()
        self.viewer.close()


def exercise(stage: Stage, name: str) -> None:
    """Start, while it plays, solved."""
    stage.choose(name)
    stage.picture(f"{name}-start")
    panel = stage.panel
    panel.play.slider.setValue(3)
    panel.play.play_button.click()
    stage.wait(seconds=1.5)
    stage.picture(f"{name}-playing")
    panel.player.pause()
    stage.solve()
    stage.picture(f"{name}-solved")


def slow_motion(stage: Stage) -> None:
    """The parabola's net: sums, loss, gradients, new weights."""
    stage.choose("parabola")
    stage.panel.lesson.set(hidden=(2,))
    stage.tab("Slow motion")
    slow = stage.panel.slow
    slow.of_box.setCurrentIndex(1)
    for kind in ("sum", "loss", "gradient", "update"):
        while stage.panel.lesson.stage is None or stage.panel.lesson.stage.kind != kind:
            slow.next_button.click()
        stage.wait(seconds=0.1)
        stage.picture("slow-motion" if kind == "gradient" else f"slow-motion-{kind}")
    slow.leave_button.click()
    stage.tab("Curves")


def representation(stage: Stage) -> None:
    """The solved spiral, as its last hidden layer sees it."""
    stage.choose("spiral")
    stage.solve()
    stage.tab("Representation")
    stage.picture("representation")
    stage.tab("Curves")


def large_type(stage: Stage) -> None:
    """For the projector."""
    stage.choose("parabola")
    stage.solve()
    stage.panel.exercise.large_action.trigger()
    stage.wait(seconds=0.4)
    stage.picture("large-type")
    stage.panel.exercise.large_action.trigger()
    stage.wait(seconds=0.3)


def code(stage: Stage) -> None:
    """The script in its window."""
    from qtpy.QtWidgets import QApplication

    stage.choose("parabola")
    stage.panel.code_button.click()
    stage.wait(seconds=0.3)
    window = next(w for w in QApplication.topLevelWidgets() if w.isVisible() and "code" in w.windowTitle())
    window.grab().save(str(stage.folder / "code.png"))
    window.close()


def folds(stage: Stage) -> None:
    """What folds hold, one after the other."""
    stage.choose("clusters")
    for key, fold in stage.panel.folds.items():
        fold.button.setChecked(True)
        stage.wait(seconds=0.2)
        stage.show(fold)
        stage.picture(f"fold-{key}", ("1280x800",))
        fold.button.setChecked(False)


def objects(stage: Stage) -> None:
    """Nuclei as points: four of each class, learned, and all coloured."""
    import numpy as np

    from napari_dojo.simulation.samples import nuclei

    for data, options, kind in nuclei():
        getattr(stage.viewer, f"add_{kind}")(data, **options)
    stage.choose("line")
    data = stage.panel.data
    stage.panel.folds["points"].button.setChecked(True)
    data.objects_fold.button.setChecked(True)
    source = data.objects
    stage.wait(lambda: source._objects is not None, 20)
    sizes = np.argsort(source._xy()[:, 0])
    for k, rows in enumerate((sizes[-4:], sizes[6:10])):
        source.class_buttons[k].click()
        for row in rows:
            source.give(int(row))
    stage.show(source)
    stage.viewer.reset_view()
    stage.picture("objects-given")
    stage.panel.lesson.set(learning_rate=0.5, batch_size=1)
    stage.panel.play.slider.setValue(stage.panel.play.slider.maximum())
    stage.panel.play.play_button.click()
    stage.wait(lambda: not stage.panel.player.playing, 30)
    stage.show(source)
    stage.picture("objects")
    data.objects_fold.button.setChecked(False)
    stage.panel.folds["points"].button.setChecked(False)


def images(stage: Stage) -> None:
    """Digits, solved, and one that is drawn; then the points again."""
    import numpy as np

    stage.panel.lesson.choose("digits")
    stage.wait(seconds=0.5)
    page = stage.panel.images
    page.lesson.start_over()
    stage.picture("images-start")
    page.exercise.solve()
    page.play.slider.setValue(page.play.slider.maximum())
    page.play.play_button.click()
    stage.wait(lambda: not page.player.playing, 120)
    page.draw()
    corners = ((8, 16), (8, 32), (24, 24), (40, 16))  # a seven
    for one, other in pairwise(corners):
        for part in np.linspace(0, 1, 12):
            at = tuple(round(a + (b - a) * part) for a, b in zip(one, other, strict=True))
            page.canvas.layers["Draw here"].paint(at, 1)
    stage.wait(lambda: page.lesson.cnn is not None, 2)
    stage.wait(seconds=0.3)
    stage.picture("images")
    page.exercise.large_action.trigger()
    stage.wait(seconds=0.4)
    stage.picture("images-large-type")
    page.exercise.large_action.trigger()
    page.lesson.choose("line")
    stage.wait(seconds=0.3)


OTHERS: dict[str, Callable[[Stage], None]] = {
    "slow-motion": slow_motion,
    "representation": representation,
    "large-type": large_type,
    "code": code,
    "folds": folds,
    "objects": objects,
    "images": images,
}


def take(folder: Path, only: list[str], sizes: tuple[str, ...]) -> None:
    """All pictures that are wanted, from one window."""
    from napari_dojo.playground.exercise import IMAGES, NAMES

    stage = Stage(folder, sizes)
    for name in only or [*(n for n in NAMES if n not in IMAGES), *OTHERS]:
        begun = time.monotonic()
        if name in OTHERS:
            OTHERS[name](stage)
        else:
            exercise(stage, name)
        print(f"{name}: {time.monotonic() - begun:.1f} s")
    assert "torch" not in sys.modules
    stage.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", default=[], help=f"exercises, and {', '.join(OTHERS)}")
    parser.add_argument("--small", action="store_true", help="at 1280 x 800 alone")
    parser.add_argument("--keep", action="store_true", help="copy those that the pages show to docs/pictures")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home:
        os.environ["NAPARI_DOJO_HOME"] = home
        os.environ["NAPARI_CONFIG"] = str(Path(home) / "settings.yaml")
        take(asked.folder, asked.only, ("1280x800",) if asked.small else tuple(SIZES))
    for name, kept in KEPT.items():
        if asked.keep and (asked.folder / f"{name}.png").exists():
            shutil.copyfile(asked.folder / f"{name}.png", Path(__file__).parent / "pictures" / f"{kept}.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
