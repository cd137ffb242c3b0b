"""Pictures of the panels on sample data, dark and light: ``python docs/screenshots.py FOLDER [--minutes 0.4]``.

Needs a display; without one: ``xvfb-run -a -s "-screen 0 1600x1000x24" python docs/screenshots.py FOLDER``.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=0.4, help="how long the model of the pictures is trained")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home:
        os.environ["NAPARI_DOJO_HOME"] = home
        os.environ["NAPARI_CONFIG"] = str(Path(home) / "settings.yaml")
        take(asked.folder, asked.minutes)
    return 0


def take(folder: Path, minutes: float) -> None:
    """Open a viewer, use the panels, and save what it looks like."""
    import napari
    from qtpy.QtWidgets import QApplication

    from napari_dojo.samples import nuclei_test, nuclei_train
    from napari_dojo.widgets.apply import ApplyPanel
    from napari_dojo.widgets.panel import open_panel
    from napari_dojo.widgets.train import TrainPanel

    viewer = napari.Viewer(show=True)
    viewer.window.resize(1280, 800)

    def wait(until, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while not until() and time.monotonic() < end:
            QApplication.processEvents()
            time.sleep(0.01)
        return bool(until())

    def picture(name: str) -> None:
        for theme in ("dark", "light"):
            viewer.theme = theme
            wait(lambda: False, 0.5)
            viewer.window._qt_window.grab().save(str(folder / f"{name}-{theme}.png"))
        viewer.theme = "dark"

    def width(panel, pixels: int = 340) -> None:
        from qtpy.QtCore import Qt
        from qtpy.QtWidgets import QDockWidget

        dock = next(
            d
            for d in viewer.window._qt_window.findChildren(QDockWidget)
            if d.widget() is panel.parent() or d.widget() is panel or d.isAncestorOf(panel)
        )
        viewer.window._qt_window.resizeDocks([dock], [pixels], Qt.Orientation.Horizontal)

    train = open_panel(viewer, TrainPanel, "Train")
    width(train)
    wait(lambda: False, 0.6)
    picture("train-empty")
    for data, options, kind in nuclei_train():
        getattr(viewer, f"add_{kind}")(data, **options)
    wait(train.start_button.isEnabled, 10)
    width(train)
    picture("train-ready")
    train.minutes_box.setValue(minutes)
    train.start_button.click()
    begun = time.monotonic()
    wait(lambda: bool(train.score.text()), 60)
    print(f"first score after {time.monotonic() - begun:.1f} s")
    wait(lambda: False, max(2.0, minutes * 60 * 0.5))
    picture("train-running")
    wait(lambda: not train.apply_button.isHidden(), 120)
    picture("train-done")
    viewer.layers.clear()
    for data, options, kind in nuclei_test():
        if kind == "image":
            getattr(viewer, f"add_{kind}")(data, **options)
    train.apply_button.click()
    apply = open_panel(viewer, ApplyPanel, "Apply")
    width(apply)
    wait(apply.apply_button.isEnabled, 10)
    picture("apply-ready")
    apply.apply_button.click()
    wait(lambda: bool(apply.count.text()), 60)
    width(apply)
    picture("apply-done")
    assert "torch" not in sys.modules
    viewer.close()


if __name__ == "__main__":
    sys.exit(main())
