"""A first user's walk through the panels: ``python benchmarks/walk.py FOLDER [--data PATH] [--only nuclei stack ...]``.

A real viewer, 1280 x 800, real images, real menus, boxes and buttons that are clicked with the mouse. A picture of each step,
dark and light, is written to FOLDER, and ``walk.json``: of each part the clicks (which controls) and the seconds until there are
labels, or a cleaned image. A part whose images are not in ``--data`` is skipped.

Needs a display; without one: ``xvfb-run -a -s "-screen 0 1280x800x24" python benchmarks/walk.py FOLDER``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from _common import DATA

SIZE = (1280, 800)
PARTS: dict[str, Callable[[Walk], None]] = {}  # by name


class MissingError(Exception):
    """The images of a part are not there."""


class Walk:
    """A person at a viewer: what is opened, clicked and seen."""

    def __init__(self, name: str, asked: argparse.Namespace) -> None:
        import napari

        self.name, self.data, self.minutes, self.folder = name, asked.data, asked.minutes, asked.folder
        self.viewer = napari.Viewer()
        self.window = self.viewer.window._qt_window
        self.window.resize(*SIZE)
        self.clicked: list[str] = []
        self.facts: dict[str, Any] = {}
        self.step = 0
        self.rest(0.5)

    # what is there

    def images(self, *parts: str) -> list[Path]:
        """The TIFFs of a folder of the data, in order."""
        found = sorted(self.data.joinpath(*parts).glob("*.tif"))
        if not found:
            raise MissingError(str(self.data.joinpath(*parts)))
        return found

    def array(self, *parts: str) -> Any:
        """One TIFF of the data."""
        import tifffile

        path = self.data.joinpath(*parts)
        if not path.exists():
            raise MissingError(str(path))
        return tifffile.imread(path)

    def panel(self, title: str) -> Any:
        """An open panel."""
        from napari_dojo.widgets.common.panel import Panel

        panels = [w for w in self.viewer.window.dock_widgets.values() if isinstance(w, Panel)]
        return next(w for w in panels if type(w).__name__ == f"{title}Panel")

    # what a person does

    def menu(self, *titles: str) -> None:
        """Click through the menus to an entry."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        menu: Any = self.window.menuBar()
        for title in titles:
            action = next((a for a in menu.actions() if title in a.text().replace("&", "")), None)
            assert action is not None, f"no {title!r} among {[a.text() for a in menu.actions()]}"
            QTest.mouseClick(menu, Qt.MouseButton.LeftButton, pos=menu.actionGeometry(action).center())
            self.clicked.append(f"menu {title}")
            self.rest(0.2)
            menu = action.menu()

    def click(self, button: Any, what: str = "") -> None:
        """Click a button that is seen and can be pressed."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        assert not button.visibleRegion().isEmpty(), f"{button.text()} is not in sight"
        assert button.isEnabled(), f"{button.text()}: {button.toolTip()}"
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)
        self.clicked.append(what or button.text())
        self.rest(0.1)

    def choose(self, box: Any, text: str) -> None:
        """Open a box and click an entry."""
        from qtpy.QtCore import QPoint, Qt
        from qtpy.QtTest import QTest

        row = box.findText(text)
        assert row >= 0, f"no {text!r} among {[box.itemText(i) for i in range(box.count())]}"
        QTest.mouseClick(box, Qt.MouseButton.LeftButton, pos=QPoint(box.width() - 8, box.height() // 2))
        self.rest(0.2)
        view = box.view()
        view.scrollTo(box.model().index(row, 0))
        place = view.visualRect(box.model().index(row, 0)).center()
        QTest.mouseMove(view.viewport(), place)
        self.rest(0.3)  # a click at once is taken for the release of the one that opened it
        QTest.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=place)
        self.clicked += [f"box {box.accessibleName()}", f"choice {text}"]
        self.rest(0.1)
        assert box.currentText() == text, f"{box.currentText()!r} is chosen instead of {text!r}"

    def select(self, layer: Any) -> None:
        """Click a layer in the list of layers."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        view = self.viewer.window._qt_viewer.layers
        row = len(self.viewer.layers) - 1 - self.viewer.layers.index(layer)
        rect = view.visualRect(view.model().index(row, 0))
        QTest.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=rect.center())
        self.clicked.append(f"layer {layer.name}")
        self.rest(0.1)

    def stroke(self, row: int, columns: Any) -> None:
        """Paint along a row of the image, with the mouse."""
        from qtpy.QtCore import QPoint, Qt
        from qtpy.QtTest import QTest

        canvas = self.viewer.window._qt_viewer.canvas.native
        camera = getattr(self.viewer, "scene", self.viewer).camera
        y, x = (np.array(camera.center)[-2:] - (row, 0)) * camera.zoom
        places = [
            QPoint(round(canvas.width() / 2 - x + c * camera.zoom), round(canvas.height() / 2 - y)) for c in columns
        ]
        QTest.mouseMove(canvas, places[0])
        QTest.mousePress(canvas, Qt.MouseButton.LeftButton, pos=places[0])
        for place in places[1:]:
            QTest.mouseMove(canvas, place)
            self.rest(0.02)
        QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=places[-1])
        self.rest(0.05)

    def value(self, bar: Any, value: float) -> None:
        """Move a slider of a panel."""
        bar.value = value
        self.rest(0.1)

    # what a person sees

    def rest(self, seconds: float) -> None:
        """Let the program work for so long."""
        from qtpy.QtWidgets import QApplication

        end = time.monotonic() + seconds
        while time.monotonic() < end:
            QApplication.processEvents()
            time.sleep(0.01)

    def wait(self, until: Callable[[], Any], seconds: float = 600) -> float:
        """Let the program work until something is so; how long it took."""
        began = time.monotonic()
        while not until():
            if time.monotonic() - began > seconds:
                self.look("not-so")
                raise TimeoutError(f"{self.name}, step {self.step}: not so after {seconds} s")
            self.rest(0.02)
        return time.monotonic() - began

    def look(self, what: str) -> None:
        """A picture of the window, dark and light."""
        self.step += 1
        for theme in ("light", "dark"):
            self.viewer.theme = theme
            self.rest(1)
            self.window.grab().save(str(self.folder / f"{self.name}-{self.step:02d}-{what}-{theme}.png"))

    def close(self) -> None:
        """Close the window, with what still runs."""
        from napari_dojo.widgets.common.queue import desk

        desk().close(self.viewer)
        self.viewer.close()
        self.rest(0.3)

    # what several parts do

    def train(self, look: bool = True) -> None:
        """Open Train from the menu, start, and wait until the model is there."""
        self.menu("Plugins", "Dojo", "Train")
        train = self.panel("Train")
        self.wait(lambda: train.start_button.isEnabled() and "steps" in train.findings.text())
        self.look("train-ready") if look else None
        train.minutes_box.setValue(self.minutes)
        self.click(train.start_button)
        training = train.progress.training
        self.facts["first_score_s"] = round(self.wait(lambda: training.preview.layer is not None), 1)
        self.rest(2)
        self.look("training") if look else None
        self.wait(lambda: training.state == "over", 60 * self.minutes + 120)
        self.rest(0.5)
        self.look("trained") if look else None

    def results(self) -> list[Any]:
        """Layers that the Apply panel has finished."""
        apply = self.panel("Apply")
        return list(apply.results.layers) if not apply.runner.busy else []


def part(walk: Callable[[Walk], None]) -> Callable[[Walk], None]:
    """A part of the walk, named by its function."""
    PARTS[walk.__name__.replace("_", "-")] = walk
    return walk


@part
def shipped(walk: Walk) -> None:
    """A new image of nuclei and the shipped model."""
    new = walk.images("dsb2018_fluo", "test", "images")[0]
    walk.viewer.open(new, layer_type="image", name="new image")
    began = time.monotonic()
    walk.menu("Layers", "Segment", "Segment nuclei")
    walk.wait(lambda: walk.results())
    walk.facts["labels_s"] = round(time.monotonic() - began, 1)
    walk.facts["clicks"] = list(walk.clicked)
    walk.rest(1)
    walk.look("segmented")
    apply = walk.panel("Apply")
    walk.click(apply.outcome.table_button)
    walk.rest(1)
    walk.look("table")


@part
def nuclei(walk: Walk) -> None:
    """Four annotated images teach a model, a fifth is segmented with it, corrected, and compared."""
    names = [p for p in walk.images("dsb2018_fluo", "train", "images") if walk.array(p).shape == (360, 360)][:40:10]
    for k, path in enumerate(names, 1):
        walk.viewer.open(path, layer_type="image", name=f"field {k}")
        mask = path.parents[1] / "masks" / path.name
        walk.viewer.open(mask, layer_type="labels", name=f"field {k} labels")
    walk.look("opened")
    walk.train()
    new = next(p for p in walk.images("dsb2018_fluo", "test", "images") if walk.array(p).shape == (360, 360))
    walk.viewer.open(new, layer_type="image", name="new image")
    train, began = walk.panel("Train"), time.monotonic()
    walk.click(train.apply_button)
    apply = walk.panel("Apply")
    walk.rest(0.5)
    walk.look("apply")
    if apply.image_box.currentText() != "new image":
        walk.choose(apply.image_box, "new image")
    walk.click(apply.apply_button)
    walk.wait(lambda: walk.results())
    walk.facts["labels_s"] = round(time.monotonic() - began, 1)
    walk.facts["clicks"] = list(walk.clicked)
    walk.rest(1)
    walk.look("applied")
    walk.value(apply.sliders.slider("threshold"), 0.8)
    walk.rest(1.5)
    walk.look("slider")
    (result,) = apply.results.layers
    result.data_setitem((np.arange(20, 60), np.arange(20, 60)), int(result.data.max()) + 1)
    walk.value(apply.sliders.slider("threshold"), 0.3)
    walk.rest(1.5)
    walk.look("slider-after-painting")
    walk.viewer.open(new.parents[1] / "masks" / new.name, layer_type="labels", name="truth")
    walk.menu("Plugins", "Dojo", "Compare")
    compare = walk.panel("Compare")
    walk.rest(1)
    walk.look("compare")
    if compare.compare_button.isEnabled():
        walk.click(compare.compare_button)
        walk.rest(3)
        walk.look("compared")


@part
def paint(walk: Walk) -> None:
    """A new Labels layer on one image: what the panel says while little is painted."""
    path = next(p for p in walk.images("dsb2018_fluo", "train", "images") if walk.array(p).shape == (520, 696))
    walk.viewer.open(path, layer_type="image", name="cells")
    walk.menu("Plugins", "Dojo", "Train")
    train = walk.panel("Train")
    walk.wait(lambda: "Labels are needed" in train.findings.text())
    walk.look("needs-labels")
    walk.click(train.labels_button)
    walk.rest(1)
    walk.look("new-labels")
    truth = walk.array(path.parents[1] / "masks" / path.name)
    middle = truth[100:-100, 150:-150]  # what is in sight
    for number in [n for n in np.unique(middle)[1:] if (middle == n).sum() == (truth == n).sum()][:10]:
        rows = np.flatnonzero((truth == number).any(1))
        for row in rows[4:-3:6]:
            columns = np.flatnonzero(truth[row] == number)
            walk.stroke(row, (columns[3:-3:4] if len(columns) > 8 else columns[len(columns) // 2 :][:1]))
        walk.rest(1.2)  # a pause, as between two objects
    walk.rest(2)
    walk.look("ten-painted")


@part
def stack(walk: Walk) -> None:
    """Membranes in a stack of an electron microscope: strokes of two classes in one plane, then all planes."""
    paths = walk.images("isbi2012_membrane", "train", "images")[:6]
    planes = np.stack([walk.array(p) for p in paths])
    masks = np.stack([walk.array(p.parents[1] / "masks" / p.name) for p in paths])
    walk.viewer.add_image(planes, name="membranes")
    walk.menu("Plugins", "Dojo", "Train")
    train = walk.panel("Train")
    walk.rest(1)
    walk.choose(train.task_box, train.task_box.itemText(train.task_box.findData("semantic")))
    walk.rest(0.5)
    walk.look("needs-labels")
    walk.click(train.labels_button)
    drawn = walk.viewer.layers.selection.active
    rows = np.zeros(planes.shape[1:], bool)
    rows[40:470:50] = True
    for number, wanted in ((1, masks == 0), (2, masks == 1)):
        chosen = np.nonzero(wanted[:2] & rows)
        drawn.data_setitem(chosen, number)
    walk.rest(2)
    walk.look("strokes")
    walk.wait(train.start_button.isEnabled)
    train.minutes_box.setValue(walk.minutes)
    walk.click(train.start_button)
    training = train.progress.training
    walk.wait(lambda: training.preview.layer is not None)
    walk.rest(1)
    walk.look("training")
    walk.wait(lambda: training.state == "over", 60 * walk.minutes + 120)
    walk.rest(0.5)
    walk.look("trained")
    walk.click(train.apply_button)
    apply = walk.panel("Apply")
    walk.rest(0.5)
    walk.look("apply")
    began = time.monotonic()
    walk.click(apply.apply_button)
    walk.wait(lambda: walk.results())
    walk.facts["labels_s"] = round(time.monotonic() - began, 1)
    walk.facts["clicks"] = list(walk.clicked)
    walk.rest(1)
    walk.look("applied")


@part
def volume(walk: Walk) -> None:
    """Nuclei in a volume: the shipped model plane by plane, and a model of its own labels."""
    image = walk.array("nuclei3d_small", "stardist_img3d.tif")
    labels = walk.array("nuclei3d_small", "stardist_mask3d.tif")
    walk.viewer.add_image(image, name="volume")
    walk.viewer.dims.set_current_step(0, 15)
    began = time.monotonic()
    walk.menu("Layers", "Segment", "Segment nuclei")
    walk.wait(lambda: walk.results())
    walk.facts["labels_s"] = round(time.monotonic() - began, 1)
    walk.facts["clicks"] = list(walk.clicked)
    walk.rest(1)
    walk.look("segmented")
    walk.viewer.dims.ndisplay = 3
    walk.rest(1)
    walk.look("segmented-3d")
    walk.viewer.dims.ndisplay = 2
    walk.viewer.layers.remove(walk.results()[0])
    walk.viewer.add_labels(labels, name="volume labels")
    walk.train()
    walk.click(walk.panel("Train").apply_button)
    walk.rest(0.5)
    walk.look("apply")
    walk.click(walk.panel("Apply").apply_button)
    walk.wait(lambda: walk.results())
    walk.rest(1)
    walk.look("applied")


@part
def noisy(walk: Walk) -> None:
    """A noisy image: one click, then wait."""
    path = walk.images("w2s_denoise", "test", "noisy")[0]
    walk.viewer.open(path, layer_type="image", name="noisy")
    began = time.monotonic()
    walk.menu("Layers", "Filter", "Denoise this layer")
    walk.rest(3)
    walk.look("started")
    walk.wait(lambda: any("current prediction" in x.name for x in walk.viewer.layers))
    walk.facts["first_s"] = round(time.monotonic() - began, 1)
    walk.rest(1)
    walk.look("preview")
    walk.wait(lambda: any("predicted" in x.name for x in walk.viewer.layers), 300)
    walk.facts["result_s"] = round(time.monotonic() - began, 1)
    walk.facts["clicks"] = list(walk.clicked)
    walk.rest(1)
    walk.look("denoised")


@part
def classes(walk: Walk) -> None:
    """Nuclei of a new image, segmented with the shipped model, get the classes large and small from six clicks."""
    from qtpy.QtCore import Qt
    from qtpy.QtTest import QTest

    walk.viewer.open(walk.images("dsb2018_fluo", "test", "images")[0], layer_type="image", name="new image")
    walk.menu("Layers", "Segment", "Segment nuclei")
    walk.wait(lambda: walk.results())
    walk.menu("Plugins", "Dojo", "Classify")
    panel = walk.panel("Classify")
    walk.wait(lambda: panel.live.objects is not None)
    walk.rest(1)
    walk.look("measured")
    canvas, camera = walk.viewer.window._qt_viewer.canvas.native, getattr(walk.viewer, "scene", walk.viewer).camera
    objects = panel.live.objects
    order, began = np.argsort(objects.size), time.monotonic()
    for k, rows in enumerate((order[-3:], order[4:7])):
        walk.click(panel.rows.rows[k].swatch, f"class {k + 1}")
        for row in rows:
            at = np.argwhere(np.asarray(panel.live.measured.labels) == objects.label[row])
            place = at[np.argmin(((at - at.mean(0)) ** 2).sum(1))]
            y, x = (place - np.array(camera.center)[-2:]) * camera.zoom + (canvas.height() / 2, canvas.width() / 2)
            QTest.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=canvas.rect().center() + _offset(canvas, y, x))
            walk.clicked.append(f"object {objects.label[row]}")
            walk.rest(0.3)
    walk.wait(lambda: not panel.live.busy and panel.live.seen is not None and panel.live.seen.final)
    walk.facts["classes_s"] = round(time.monotonic() - began, 1)
    walk.facts["clicks"] = list(walk.clicked)
    walk.rest(1)
    walk.look("classified")
    panel.why_fold.button.setChecked(True)
    walk.click(panel.unsure_button) if panel.unsure_button.isEnabled() else None
    walk.rest(1)
    walk.look("unsure")


def _offset(canvas: Any, y: float, x: float) -> Any:
    """From the middle of the canvas to a place in it."""
    from qtpy.QtCore import QPoint

    return QPoint(round(x), round(y)) - canvas.rect().center()


@part
def places(walk: Walk) -> None:
    """Where to annotate next: the panel proposes a place."""
    for k, path in enumerate(walk.images("dsb2018_fluo", "test", "images")[:2], 1):
        walk.viewer.open(path, layer_type="image", name=f"field {k}")
    walk.menu("Plugins", "Dojo", "Annotate")
    panel = walk.panel("Annotate")
    walk.rest(1)
    walk.look("opened")
    walk.click(panel.new_button)
    walk.rest(1)
    walk.click(panel.suggest.button)
    walk.rest(3)
    walk.look("suggested")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="for the pictures and walk.json")
    parser.add_argument("--data", type=Path, default=DATA, help="with dsb2018_fluo, isbi2012_membrane, ...")
    parser.add_argument("--minutes", type=float, default=1.5, help="of each training")
    parser.add_argument("--only", nargs="+", choices=PARTS, metavar="PART", help=", ".join(PARTS))
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    kept = asked.folder / "walk.json"
    facts = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    for name in asked.only or PARTS:
        with tempfile.TemporaryDirectory() as home:
            os.environ["NAPARI_DOJO_HOME"] = home
            os.environ["NAPARI_CONFIG"] = str(Path(home) / "settings.yaml")
            with closing(Walk(name, asked)) as walk:
                try:
                    PARTS[name](walk)
                except MissingError as missing:
                    walk.facts["skipped"] = f"{missing} is not there"
                facts[name] = {**walk.facts, "count": len(walk.facts.get("clicks", []))}
        print(name, json.dumps(facts[name]), flush=True)
        kept.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(facts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
