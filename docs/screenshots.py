"""Pictures of all panels in all states, from the running program on sample data, dark and light.

``python docs/screenshots.py FOLDER [--minutes 0.4] [--only train-ready tour] [--keep]``; ``--keep`` also writes those
that the docs show to ``docs/pictures``. Without a display: ``xvfb-run -a -s "-screen 0 1600x1000x24" python ...``.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path

SIZE, DOCK = (1280, 800), 340  # px
LARGEST = 120_000  # bytes of a picture of the docs
CHOSEN = (
    *("train-ready-dark", "train-running-dark", "train-running-light", "train-done-light", "train-warning-dark"),
    *("train-paint-dark", "train-classes-dark", "apply-done-dark", "apply-folder-light", "compare-dark", "tour-dark"),
    *("denoise-residual-dark", "denoise-resolution-dark", "translate-ready-dark", "upscale-ready-dark"),
    *("palm-support-dark", "annotate-dark", "annotate-live-dark", "batch-done-dark"),
    *("inside-dark", "classify-dark", "classify-why-light"),
)
STATES = {}  # by their names in the files


def state(prepare):
    """A state of a panel: ``prepare(stage)`` brings it about in a new viewer."""
    STATES[prepare.__name__.replace("_", "-")] = prepare
    return prepare


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=0.4, help="how long the models of the pictures are trained")
    parser.add_argument("--only", nargs="+", choices=STATES, metavar="NAME", help=", ".join(STATES))
    parser.add_argument("--keep", action="store_true", help="write those of the docs to docs/pictures, too")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    failed = []
    with tempfile.TemporaryDirectory() as home:
        os.environ["NAPARI_CONFIG"] = str(Path(home) / "settings.yaml")
        for name in asked.only or STATES:
            os.environ["NAPARI_DOJO_HOME"] = str(Path(home) / name)  # no state knows of another
            with contextlib.closing(Stage(asked.minutes)) as stage:
                try:
                    STATES[name](stage)
                except Exception:
                    traceback.print_exc()
                    failed.append(name)
                stage.picture(asked.folder, name)
    if asked.keep:
        keep(asked.folder)
    if failed:
        print(f"did not come about: {', '.join(failed)}")
    assert "torch" not in sys.modules
    return len(failed)


def keep(folder: Path) -> None:
    """Write the pictures of the docs, with 256 colours, which halves them, or fewer."""
    from PIL import Image

    for name in CHOSEN:
        if (folder / f"{name}.png").exists():
            there = Path(__file__).parent / "pictures" / f"{name}.png"
            full = Image.open(folder / f"{name}.png").convert("RGB")
            for colours in (256, 160, 100, 64):
                full.quantize(colours, kmeans=1, dither=Image.Dither.NONE).save(there, optimize=True)
                if there.stat().st_size < LARGEST:
                    break
            print(f"{there.name}: {there.stat().st_size / 1000:.0f} kB")


class Stage:
    """A viewer of its own, and what a person does in it."""

    def __init__(self, minutes: float) -> None:
        import napari

        self.minutes = minutes
        self.viewer = napari.Viewer(show=True)
        self.others = []
        self.window = self.viewer.window._qt_window
        self.window.resize(*SIZE)
        self.rest(0.3)

    def rest(self, seconds: float) -> None:
        """Let the program work for so long."""
        from qtpy.QtWidgets import QApplication

        end = time.monotonic() + seconds
        while time.monotonic() < end:
            QApplication.processEvents()
            time.sleep(0.01)

    def wait(self, until, seconds: float = 60) -> None:
        """Let the program work until something is so."""
        end = time.monotonic() + seconds
        while not until():
            if time.monotonic() > end:
                raise TimeoutError(f"not so after {seconds} s, line {until.__code__.co_firstlineno}")
            self.rest(0.05)

    def open(self, title: str):
        """A panel, as wide as it must be."""
        from napari_dojo.widgets.annotate.panel import AnnotatePanel
        from napari_dojo.widgets.apply.panel import ApplyPanel
        from napari_dojo.widgets.batch.panel import BatchPanel
        from napari_dojo.widgets.classify.panel import ClassifyPanel
        from napari_dojo.widgets.common.panel import open_panel
        from napari_dojo.widgets.compare.panel import ComparePanel
        from napari_dojo.widgets.inside.panel import InsidePanel
        from napari_dojo.widgets.train.panel import TrainPanel

        kinds = {
            "Look inside": InsidePanel,
            "Batch": BatchPanel,
            "Classify": ClassifyPanel,
            "Train": TrainPanel,
            "Apply": ApplyPanel,
            "Annotate": AnnotatePanel,
            "Compare": ComparePanel,
        }
        panel = open_panel(self.viewer, kinds[title], title)
        self.narrow()
        return panel

    def narrow(self) -> None:
        """Make the docks at the right as wide as they must be, and the image as large as it can be."""
        from qtpy.QtCore import Qt
        from qtpy.QtWidgets import QDockWidget

        right = Qt.DockWidgetArea.RightDockWidgetArea
        docks = [d for d in self.window.findChildren(QDockWidget) if self.window.dockWidgetArea(d) == right]
        self.window.resizeDocks(docks, [DOCK] * len(docks), Qt.Orientation.Horizontal)
        self.rest(0.2)
        self.viewer.reset_view()

    def sample(self, name: str, kinds: tuple[str, ...] = ("image", "labels"), black: float = 0) -> list:
        """Add the layers of one of our samples, ``black`` % of the pixels black; those that were added."""
        import numpy as np

        from napari_dojo.simulation import samples

        layers = [(data, options, kind) for data, options, kind in getattr(samples, name)() if kind in kinds]
        added = [getattr(self.viewer, f"add_{kind}")(data, **options) for data, options, kind in layers]
        for layer in added:
            if layer._type_string == "image" and black:  # noise makes large files
                layer.contrast_limits = np.percentile(layer.data, (black, 100))
        return added

    def files(self, name: str) -> Path:
        """A folder with the images and labels of one of our sets of files, where a person might have it."""
        from napari_dojo.simulation.samples import folder

        return Path(shutil.copytree(folder(name), Path(os.environ["NAPARI_DOJO_HOME"]) / "plate 3"))

    def train(self, minutes: float | None = None):
        """The Train panel with a training that was started."""
        if not len(self.viewer.layers):
            self.sample("nuclei_train")
        panel = self.open("Train")
        self.wait(panel.start_button.isEnabled)
        panel.minutes_box.setValue(minutes or self.minutes)
        panel.start_button.click()
        return panel

    def kill(self, runner) -> None:
        """Kill its job, as a system short of memory does, until it is given up."""
        while runner.busy:
            if runner.job is not None and runner.job.alive:
                runner.job._process.kill()
            self.rest(0.2)

    def picture(self, folder: Path, name: str) -> None:
        """What the window looks like now, dark and light."""
        for theme in ("dark", "light"):
            self.viewer.theme = theme
            self.rest(0.5)
            self.window.grab().save(str(folder / f"{name}-{theme}.png"))
        print(f"{name}: {self.window.width()} x {self.window.height()}", flush=True)

    def close(self) -> None:
        """Close all, without a question about trainings."""
        from napari_dojo.widgets.common.queue import desk

        for viewer in (*self.others, self.viewer):
            for training in list(desk().trainings):
                if training.runner.job is not None:
                    training.runner.job._process.kill()
            desk().close(viewer)
            viewer.close()
        self.rest(0.2)


# Train


@state
def train_empty(stage: Stage) -> None:
    panel = stage.open("Train")
    stage.wait(lambda: panel.findings.findings)


@state
def train_image(stage: Stage) -> None:
    stage.sample("nuclei", ("image",))
    panel = stage.open("Train")
    stage.wait(lambda: "Labels are needed" in panel.findings.text())


@state
def train_paint(stage: Stage) -> None:
    import numpy as np

    from napari_dojo.simulation.samples import nuclei

    (image,) = stage.sample("nuclei", ("image",), black=68)
    panel = stage.open("Train")
    stage.viewer.layers.selection.active = image
    panel.labels_button.click()
    truth, drawn = nuclei()[1][0], stage.viewer.layers.selection.active
    whole = [n for n in np.unique(truth[40:300, 40:300]) if n and not (truth == n)[300:].any()]
    for number, n in enumerate(whole[:24], 1):
        drawn.data_setitem(np.nonzero(truth == n), number)
    drawn.selected_label = 25
    stage.wait(lambda: "24 objects" in panel.findings.text() and "steps" in panel.findings.text())


@state
def train_ready(stage: Stage) -> None:
    stage.sample("nuclei_train")
    panel = stage.open("Train")
    stage.wait(lambda: panel.start_button.isEnabled() and "steps" in panel.findings.text())


@state
def train_warning(stage: Stage) -> None:
    _, labels = stage.sample("nuclei", black=66)
    labels.data = (labels.data > 0).astype("uint8") * 255
    labels.name = "nuclei: mask"
    panel = stage.open("Train")
    stage.wait(lambda: panel.findings.button("Number them") and "steps" in panel.findings.text())


@state
def train_corner(stage: Stage) -> None:
    _, labels = stage.sample("nuclei")
    corner = labels.data.copy()
    corner[220:], corner[:, 240:] = 0, 0
    labels.data = corner
    panel = stage.open("Train")
    stage.wait(lambda: panel.findings.button("Draw the region") and "steps" in panel.findings.text())


@state
def train_classes(stage: Stage) -> None:
    stage.sample("cells_strokes", black=12)
    panel = stage.open("Train")
    panel.task_box.setCurrentIndex(panel.task_box.findData("semantic"))
    stage.wait(lambda: len(panel.classes.names()) == 3 and "steps" in panel.findings.text())


@state
def train_channels(stage: Stage) -> None:
    from napari_dojo.widgets.common.rows import Row

    body, nuclei, labels = stage.sample("cells")
    box = [[20, 20], [20, 380], [400, 380], [400, 20]]
    place = {"scale": body.scale, "units": body.units}
    region = stage.viewer.add_shapes([box], name="annotated", edge_color="#F0E442", face_color="#F0E44218", **place)
    panel = stage.open("Train")
    panel.rows.set_rows([Row((body, nuclei), labels, region)])
    stage.wait(lambda: "2 channels" in panel.findings.text() and "steps" in panel.findings.text())


@state
def train_folder(stage: Stage) -> None:
    panel = stage.open("Train")
    panel.data.source_box.setCurrentIndex(panel.data.source_box.findData("files"))
    panel.data.folder.images.edit.setText(str(stage.files("nuclei_train") / "images"))
    stage.wait(lambda: panel.start_button.isEnabled() and "steps" in panel.findings.text())


@state
def train_advanced(stage: Stage) -> None:
    stage.sample("nuclei_train")
    panel = stage.open("Train")
    panel.advanced.button.setChecked(True)
    stage.wait(panel.start_button.isEnabled)


@state
def train_running(stage: Stage) -> None:
    panel = stage.train(3 * stage.minutes)
    stage.wait(lambda: panel.progress.training.preview.layer)
    stage.rest(stage.minutes * 60)


@state
def train_paused(stage: Stage) -> None:
    panel = stage.train(5)
    stage.wait(lambda: panel.progress.score.text())
    panel.progress.pause_button.click()
    stage.rest(1)


@state
def train_waiting(stage: Stage) -> None:
    import napari

    from napari_dojo.simulation.samples import nuclei_train
    from napari_dojo.widgets.train.panel import TrainPanel

    other = napari.Viewer(show=False)
    stage.others.append(other)
    for data, options, kind in nuclei_train():
        getattr(other, f"add_{kind}")(data, **options)
    first = TrainPanel(other)
    stage.wait(first.start_button.isEnabled)
    first.start_button.click()
    stage.wait(lambda: first.progress.training.runner.job)
    stage.train()
    first.end()


@state
def train_done(stage: Stage) -> None:
    panel = stage.train()
    stage.wait(panel.progress.after.isEnabled, 60 * stage.minutes + 90)


@state
def train_failed(stage: Stage) -> None:
    panel = stage.train()
    stage.wait(lambda: panel.progress.score.text())
    stage.kill(panel.progress.training.runner)
    stage.wait(lambda: panel.unfinished.run)


@state
def train_unfinished(stage: Stage) -> None:
    from napari_dojo.widgets.common.queue import desk

    panel = stage.train()
    stage.wait(lambda: panel.progress.score.text())
    stage.kill(panel.progress.training.runner)
    stage.viewer.window.remove_dock_widget(panel)
    desk().close(stage.viewer)  # the next session knows nothing of this training
    stage.viewer.layers.clear()
    stage.rest(0.5)
    panel = stage.open("Train")
    stage.wait(lambda: panel.unfinished.run and panel.findings.findings)


@state
def train_draft(stage: Stage) -> None:
    stage.sample("nuclei", ("image",))
    panel = stage.open("Train")
    panel.labels_button.click()
    labels = stage.viewer.layers.selection.active
    for number, place in enumerate(((100, 100), (200, 240), (330, 90)), 1):
        labels.paint(place, number)
        stage.rest(0.1)
    stage.wait(lambda: panel.autosave.draft.written)
    stage.viewer.window.remove_dock_widget(panel)
    stage.viewer.layers.clear()
    stage.rest(0.5)
    panel = stage.open("Train")
    stage.wait(lambda: panel.unfinished.draft)


# Apply


def applying(stage: Stage, times: int = 1):
    """The Apply panel with test images, ``times`` as large each way, and what it says that is ready."""
    import numpy as np

    (image,) = stage.sample("nuclei_test", ("image",))
    if times > 1:
        image.data = np.tile(image.data, (1, times, times))
    panel = stage.open("Apply")
    panel.refresh_models()
    stage.wait(panel.apply_button.isEnabled)
    stage.viewer.reset_view()
    return panel


@state
def apply_empty(stage: Stage) -> None:
    stage.open("Apply")


@state
def apply_ready(stage: Stage) -> None:
    applying(stage)


@state
def apply_unfit(stage: Stage) -> None:
    stage.sample("skimage_tissue")
    stage.open("Apply")


@state
def apply_running(stage: Stage) -> None:
    panel = applying(stage, 8)
    panel.apply_button.click()
    stage.wait(lambda: panel.progress.maximum() > 0 and panel.progress.value() > 0)


@state
def apply_done(stage: Stage) -> None:
    panel = applying(stage)
    panel.apply_button.click()
    stage.wait(lambda: panel.count.text())
    stage.narrow()


@state
def apply_table(stage: Stage) -> None:
    apply_done(stage)
    panel = stage.open("Apply")
    stage.wait(lambda: panel.outcome.table_button.isEnabled())
    panel.outcome.table_button.click()
    stage.rest(1)
    stage.narrow()


@state
def apply_folder(stage: Stage, done: bool = False) -> None:
    from napari_dojo.widgets.apply.image_box import Group

    here = stage.files("nuclei_test")
    panel = stage.open("Apply")
    panel.image_box.choose(Group.FOLDER)
    panel.batch.images.edit.setText(str(here / "images"))
    panel.batch.predictions.edit.setText(str(here / "found nuclei"))
    panel.batch.tables.setChecked(True)
    stage.wait(panel.apply_button.isEnabled)
    if done:
        panel.apply_button.click()
        stage.wait(lambda: "are done" in panel.message.text())


@state
def apply_folder_done(stage: Stage) -> None:
    apply_folder(stage, done=True)


# Batch

BATCH = b"""recipe: 1
steps:
- predict: {model: denoise-fluorescence, enabled: false}
- predict: {model: nuclei-fluorescence}
- filter: {border: true, area_px: {min: 30}}
- measure
- export
"""


@state
def batch_empty(stage: Stage) -> None:
    stage.open("Batch")
    stage.rest(1)


@state
def batch_ready(stage: Stage):
    import numpy as np

    from napari_dojo.io import images
    from napari_dojo.recipes.recipe import parsed
    from napari_dojo.simulation.microscope import simulate

    folder = Path(os.environ["NAPARI_DOJO_HOME"]) / "plate1"
    for k in range(24):
        scene = simulate("nuclei", (320, 320), k)
        images.write(
            folder / f"{'AB'[k // 12]}{k // 6 % 2 + 1}" / f"field_{k % 6 + 1}.tif", scene.image, "YX", (0.5, 0.5), "um"
        )
    (folder / "A2" / "field_7.tif").write_text("no image")
    images.write(folder / "B2" / "overview.tif", np.stack([scene.image] * 2), "CYX")
    panel = stage.open("Batch")
    panel.show_recipe(parsed(BATCH))
    panel.files.add(str(folder))
    stage.wait(panel.run_button.isEnabled)
    return panel


@state
def batch_running(stage: Stage):
    panel = batch_ready(stage)
    panel.run_button.click()
    stage.wait(lambda: panel.results.rowCount() > 7 and "left" in panel.progress.text())
    return panel


@state
def batch_done(stage: Stage) -> None:
    panel = batch_running(stage)
    stage.wait(lambda: not panel.runner.busy, 120)
    stage.wait(panel.run_button.isEnabled)
    panel.results_view.selectRow(3)
    stage.wait(lambda: len(stage.viewer.layers) == 2)
    stage.narrow()


@state
def apply_failed(stage: Stage) -> None:
    panel = applying(stage, 8)
    panel.apply_button.click()
    stage.wait(lambda: panel.runner.job is not None and panel.runner.job.alive)
    stage.kill(panel.runner)
    stage.rest(1)


# predicted images


def choose_task(panel, task: str) -> None:
    """Choose the task."""
    panel.task_box.setCurrentIndex(panel.task_box.findData(task))


def image_training(stage: Stage, task: str, sample: str, until=None):
    """The Train panel with a task that predicts images, its sample, and a training that runs until then."""
    stage.sample(sample, ("image",))
    panel = stage.open("Train")
    choose_task(panel, task)
    stage.wait(lambda: "step" in panel.findings.text())
    stage.narrow()
    if until is not None:
        started(stage, panel, until)
    return panel


def started(stage: Stage, panel, until) -> None:
    """Train until then."""
    panel.minutes_box.setValue(stage.minutes)
    panel.start_button.click()
    stage.wait(lambda: until(panel), 60 * stage.minutes + 90)


def trained(panel) -> bool:
    """Whether a training is done."""
    return panel.apply_button.isEnabled()


def judged(stage: Stage, panel, button: str):
    """The Apply panel with a prediction of the trained model, and what one of the buttons below says of it."""
    panel.progress.preview_box.setChecked(False)
    panel.apply_button.click()
    apply = stage.open("Apply")
    stage.wait(apply.apply_button.isEnabled)
    apply.apply_button.click()
    stage.wait(lambda: apply.results.shown and not apply.results.reading, 120)
    getattr(apply.outcome.reliability, button).click()
    stage.wait(lambda: "." in apply.outcome.reliability.text.text().replace("...", ""), 120)
    stage.narrow()
    stage.rest(0.5)
    return apply


@state
def denoise_ready(stage: Stage) -> None:
    image_training(stage, "denoise", "noisy_pair")


@state
def denoise_running(stage: Stage) -> None:
    image_training(
        stage, "denoise", "noisy_pair", lambda panel: stage.viewer.layers[-1].name.endswith("(current prediction)")
    )
    stage.rest(2)


@state
def denoise_residual(stage: Stage) -> None:
    judged(stage, image_training(stage, "denoise", "noisy_pair", trained), "residual_button")


@state
def denoise_resolution(stage: Stage) -> None:
    judged(stage, image_training(stage, "denoise", "noisy_pair", trained), "resolution_button")


@state
def alone_lines(stage: Stage) -> None:
    image_training(stage, "noise2void", "line_noise")


@state
def alone_one_click(stage: Stage) -> None:
    from napari_dojo.widgets import actions

    stage.sample("noisy_single", ("image",))
    actions.DENOISE_MINUTES = stage.minutes
    actions.denoise_layer(stage.viewer)
    stage.wait(lambda: any("predicted" in layer.name for layer in stage.viewer.layers), 60 * stage.minutes + 120)
    stage.narrow()


@state
def translate_ready(stage: Stage) -> None:
    image_training(stage, "translate", "label_free")


@state
def translate_done(stage: Stage) -> None:
    image_training(stage, "translate", "label_free", trained)


@state
def upscale_ready(stage: Stage) -> None:
    stage.sample("filaments", ("image",))
    panel = stage.open("Train")
    choose_task(panel, "upscale")
    stage.wait(lambda: "step" in panel.findings.text())
    panel.choices.set_options({"degrade": "microscope"})
    stage.wait(lambda: "as a coarse microscope" in panel.findings.text())
    panel.findings.button("Show an example").click()
    stage.rest(1)
    stage.narrow()


@state
def upscale_z(stage: Stage) -> None:
    stage.sample("thin_stack", ("image",))
    panel = stage.open("Train")
    choose_task(panel, "upscale")
    panel.choices.set_options({"factor": 4, "along": "Z"})
    stage.wait(lambda: "step" in panel.findings.text())
    stage.narrow()


@state
def palm_support(stage: Stage) -> None:
    sparse, wide, dense = stage.sample("localisations")
    dense.visible = sparse.visible = wide.visible = True
    panel = stage.open("Train")
    choose_task(panel, "translate")
    from napari_dojo.widgets.common.rows import Row

    panel.rows.set_rows([Row((sparse, wide), dense)])
    panel.choices.set_options({"localisations": True})
    stage.wait(lambda: "step" in panel.findings.text())
    started(stage, panel, trained)
    judged(stage, panel, "support_button")


# Look inside


@state
def inside(stage: Stage) -> None:
    (image,) = stage.sample("nuclei", ("image",))
    panel = stage.open("Look inside")
    panel.model_box.choose("nuclei-fluorescence")
    stage.wait(panel.look_button.isEnabled)
    panel.look()
    stage.wait(lambda: "parameters" in panel.message.text())
    stage.viewer.dims.set_current_step(0, 5)
    panel.field_button.setChecked(True)
    panel.show_field([n // 2 for n in image.data.shape[-2:]])
    stage.viewer.reset_view()
    stage.narrow()


# Compare


def compared(stage: Stage, truth, result) -> None:
    """The Compare panel with two compared layers."""
    panel = stage.open("Compare")
    stage.wait(panel.compare_button.isEnabled)
    panel.choose(truth, result)
    panel.compare()
    stage.wait(lambda: panel.found.text())
    stage.narrow()


@state
def compare_empty(stage: Stage) -> None:
    stage.open("Compare")


@state
def compare(stage: Stage) -> None:
    from napari_dojo.metrics.baselines import otsu_watershed

    image, truth = stage.sample("nuclei", black=66)
    result = stage.viewer.add_labels(
        otsu_watershed(image.data[None]), name="Otsu and watershed", scale=image.scale, units=image.units
    )
    compared(stage, truth, result)


@state
def compare_classes(stage: Stage) -> None:
    import numpy as np
    import tifffile
    from scipy.ndimage import median_filter

    from napari_dojo.simulation.samples import folder

    *_, strokes = stage.sample("cells_strokes")
    truth = tifffile.imread(folder("cells") / "truth" / "cells.tif").astype(np.int32)
    rough = median_filter(np.roll(truth, 4, 0), 15)
    look = {"scale": strokes.scale, "units": strokes.units, "features": strokes.features, "colormap": strokes.colormap}
    compared(
        stage, *(stage.viewer.add_labels(x, name=name, **look) for x, name in ((truth, "truth"), (rough, "rough")))
    )


@state
def compare_images(stage: Stage) -> None:
    from scipy.ndimage import gaussian_filter

    (clean,) = stage.sample("nuclei", ("image",))
    look = {"scale": clean.scale, "units": clean.units, "contrast_limits": clean.contrast_limits}
    compared(stage, clean, stage.viewer.add_image(gaussian_filter(clean.data, 2), name="smoothed", **look))


# Annotate


@state
def annotate_empty(stage: Stage) -> None:
    stage.sample("nuclei", ("image",))
    stage.open("Annotate")


@state
def annotate(stage: Stage) -> None:
    """A prediction with corrected and accepted objects, and a line that is being drawn."""
    import numpy as np
    from scipy import ndimage

    from napari_dojo.metrics.baselines import otsu_watershed
    from napari_dojo.widgets.annotate.gestures import TOOLS, Gesture
    from napari_dojo.widgets.common.layers import provenance

    (image,) = stage.sample("nuclei", ("image",), black=66)
    found = otsu_watershed(image.data[None])
    made = provenance("result", image.name, task="instances", model="Otsu and watershed")
    labels = stage.viewer.add_labels(
        found, name=f"{image.name} nuclei", metadata=made, scale=image.scale, units=image.units
    )
    panel = stage.open("Annotate")
    stage.wait(lambda: panel.editing.tally.objects)
    sizes = np.bincount(found.ravel())[1:]
    order = np.argsort(-sizes)
    centres = np.array(ndimage.center_of_mass(found > 0, found, order + 1))
    sight = panel.editing.sight()
    for centre in centres[1:9]:
        TOOLS["Accept"].act(panel.editing, Gesture(centre[None], sight))
    panel.tools.take("Split")
    row, column = centres[0]
    line = np.array([(row - 20 + k, column + 3 * np.sin(k / 6)) for k in range(41)])
    TOOLS["Split"].act(panel.editing, Gesture(line, sight))
    labels.selected_label = 1
    stage.wait(lambda: panel.editing.tally.accepted > 8)
    stage.narrow()


@state
def annotate_live(stage: Stage) -> None:
    """Strokes on eight nuclei and on background, and the live layer."""
    import numpy as np

    from napari_dojo.metrics.baselines import otsu_watershed
    from napari_dojo.simulation.strokes import strokes

    (image,) = stage.sample("nuclei", ("image",))
    found = otsu_watershed(image.data[None])
    panel = stage.open("Annotate")
    panel.find_box.setCurrentIndex(panel.find_box.findData("objects"))
    panel.find_box.activated.emit(panel.find_box.currentIndex())
    labels = panel.editing.labels
    for k, number in enumerate(np.random.default_rng(1).permutation(np.unique(found)[1:])[:8]):
        labels.data_setitem(np.nonzero(strokes((found == number).astype(np.int32), 0.0, k)), k + 2)
        labels.data_setitem(np.nonzero(strokes((found == 0).astype(np.int32), 0.0, k)), 1)
    stage.wait(lambda: panel.live.shown[1] is not None)
    stage.narrow()


def classifying(stage: Stage, each: int = 4):
    """The Classify panel with some cells of four types shown."""
    import numpy as np

    from napari_dojo.simulation.cell_types import CELL_TYPES, mixed_cells

    cells = mixed_cells((512, 512), 3)
    image = stage.viewer.add_image(cells.image[0], name="cells")
    image.contrast_limits = np.percentile(image.data, (1, 99.8))
    stage.viewer.add_labels(cells.labels, name="nuclei")
    panel = stage.open("Classify")
    stage.wait(lambda: panel.live.objects is not None)
    for k, name in enumerate(CELL_TYPES):
        if k >= len(panel.live.classes.names):
            panel.live.step(panel.live.classes.add())
        panel.live.step(panel.live.classes.rename(k, name))
        panel.live.give([(0, int(v) + 1) for v in np.flatnonzero(cells.types == k)[:each]], k)
    stage.wait(lambda: not panel.live.busy and panel.live.seen is not None and panel.live.seen.final)
    stage.narrow()
    return panel


@state
def classify_empty(stage: Stage) -> None:
    stage.sample("nuclei", ("image",))
    stage.open("Classify")


@state
def classify(stage: Stage) -> None:
    """Cells of four types, of which four each were shown."""
    panel = classifying(stage)
    panel._visit(int(panel.gallery.pictures.shown[2]))
    panel.gallery_fold.ensurePolished()


@state
def classify_why(stage: Stage) -> None:
    """The confusion matrix, and objects by likeness."""
    panel = classifying(stage, 6)
    panel.gallery_fold.button.setChecked(False)
    panel.why_fold.button.setChecked(True)
    stage.rest(1.0)
    panel._visit(5)


@state
def classify_network(stage: Stage) -> None:
    """A network trained on the shown cells, and why one of them has its class."""
    panel = classifying(stage, 8)
    panel.gallery_fold.button.setChecked(False)
    panel.network.minutes.setValue(max(0.5, stage.minutes))
    panel.network.train()
    stage.wait(lambda: not panel.network.busy, 400)
    panel._visit(int(panel.live.objects.rows()[0, 6]))
    panel.network.explain()
    stage.wait(lambda: panel.network.layer is not None)


# Tour


def toured(stage: Stage):
    """The tour as Open Sample brings it."""
    from napari_dojo.widgets.tour.panel import TourPanel

    def found():
        return next((w for w in stage.viewer.window.dock_widgets.values() if isinstance(w, TourPanel)), None)

    stage.viewer.open_sample("napari-dojo", "two_minute_tour")
    stage.wait(found)
    stage.rest(0.5)
    return found()


@state
def tour_first(stage: Stage) -> None:
    toured(stage)
    stage.viewer.reset_view()


@state
def tour(stage: Stage) -> None:
    panel = toured(stage)

    def go_on() -> bool:
        if panel.button.isEnabled() and panel.button.text() != "Stop and keep":
            panel.button.click()
        return panel.button.text() == "Stop and keep"

    stage.wait(lambda: go_on(), 120)
    stage.narrow()


@state
def tour_last(stage: Stage) -> None:
    panel = toured(stage)
    for _ in panel.walk.steps:
        panel.skip_button.click()


if __name__ == "__main__":
    sys.exit(main())
