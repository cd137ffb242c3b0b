"""The two-minute tour: seven steps through the panels; one button can do each of them for the user."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from html import escape
from typing import Any
from weakref import ref

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QBoxLayout, QDockWidget, QHBoxLayout, QMainWindow, QPushButton, QVBoxLayout

from napari_dojo.errors import explained
from napari_dojo.events import Done, Failed, Validated
from napari_dojo.simulation.samples import Layer, nuclei_test, nuclei_train
from napari_dojo.widgets.actions import NUCLEI
from napari_dojo.widgets.apply.panel import ApplyPanel
from napari_dojo.widgets.common.form import described, sentence
from napari_dojo.widgets.common.later import later
from napari_dojo.widgets.common.panel import Panel, open_panel
from napari_dojo.widgets.common.provenance import made
from napari_dojo.widgets.common.queue import Training, desk
from napari_dojo.widgets.common.rows import Row
from napari_dojo.widgets.compare.panel import ComparePanel
from napari_dojo.widgets.train.panel import TrainPanel

__all__ = ["Prompt", "TourPanel", "Walk", "sample"]

MINUTES = 0.7  # of training
EVERY = 300  # ms between two checks whether the step is done
SEEN = 3  # checks for which a finished step shows "Done" before the next step
STRIP = 96  # px, its height below the image
WIDE = 560  # px from which the buttons are beside the text
WAIT = "Please wait"


def sample() -> list[Layer]:
    """Images and labels of nuclei for the tour; opens the tour."""
    from napari import current_viewer

    viewer = current_viewer()
    if viewer is not None:
        tour = later(viewer.window._qt_window, 0, lambda: open_panel(viewer, TourPanel, "Tour").begin())
        tour.start()  # the layers are added when this function has returned
    return _marked(nuclei_train(), "training")


@dataclass(frozen=True)
class Prompt:
    """The text of a step and the action of its button; ``act`` is None while the user has to wait."""

    text: str
    button: str
    act: Callable[[], None] | None = None


class Walk:
    """The steps of the tour, which look at the layers and panels of a viewer, whoever made them.

    Each step returns the prompt to show, or None when it is done.
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._place = self._slider()
        before = desk().of(viewer)
        self._before = ref(before) if before is not None and before.state == "over" else lambda: None
        self._values: dict[str, Any] = {}
        self.steps: tuple[tuple[str, Callable[[], Prompt | None]], ...] = (
            ("Look at the images", self.look),
            ("Open the Train panel", self.open),
            ("Start training", self.start),
            ("Watch the training", self.watch),
            ("Apply the model to new images", self.apply),
            ("Adjust the threshold", self.decide),
            ("Compare with the ground truth", self.compare),
        )

    # the steps

    def look(self) -> Prompt | None:
        """Done when the slider was moved."""
        if (prompt := self._without_images()) is not None:
            return prompt
        if self._slider() != self._place:
            return None
        text = (
            "These are five simulated images of nuclei with labels: each nucleus has its own number, shown as a colour. "
            "Move the slider below the image to see all five."
        )
        return Prompt(text, "Move it for me", self._move_slider)

    def open(self) -> Prompt | None:
        """Done when the Train panel is open."""
        if (prompt := self._without_images()) is not None or self._panel(TrainPanel) is not None:
            return prompt
        text = "The Train panel trains a model on these pairs of image and labels: Plugins > Dojo > Train."
        return Prompt(text, "Open Train", self._open_train)

    def start(self) -> Prompt | None:
        """Done when training is running or has given a model."""
        training = self.training
        if training is not None and not isinstance(training.end, Failed):
            return None
        if (prompt := self.open()) is not None:
            return prompt
        train = self._panel(TrainPanel)
        if train.start_button.isEnabled():
            failed = f"{training.end.sentence} " if training is not None and isinstance(training.end, Failed) else ""
            text = (
                "The Train panel has paired images and labels; the line with ✓ summarizes them. "
                "Press Start training: less than a minute is enough here."
            )
            return Prompt(failed + text, "Start for me", train.start_button.click)
        if any(f.level == "error" for f in train.findings.findings):
            return Prompt(
                "Training cannot start with these settings. The Train panel shows the reason in red.",
                "Set it up",
                self._set_train,
            )
        return Prompt("The Train panel is checking the images ...", WAIT)

    def watch(self) -> Prompt | None:
        """Done when training has ended with a model."""
        training = self.training
        if training is None or isinstance(training.end, Failed):
            return self.start()
        if isinstance(training.end, Done):
            return None
        if training.state == "waiting":
            return Prompt("Training is queued. It starts when the running one has ended.", WAIT)
        if training.runner.paused:
            return Prompt(
                "Training is paused.", "Resume", self._on_panel(training, "pause_button", training.runner.resume)
            )
        labels, checked = self._layer("training", "labels"), _last_check(training)
        if checked is None:
            return Prompt(
                "Training is running. In a few seconds, a layer with the current prediction replaces the labels ...",
                WAIT,
            )
        if labels is not None and labels.visible and training.preview.layer is not None:  # the user is painting them
            text = "Hide the labels to see the current prediction: click their eye icon in the layer list."
            return Prompt(text, "Hide the labels", lambda: setattr(labels, "visible", False))
        text = (
            f"Validation: {checked.score.get('sentence', '')}. Baseline without deep learning: "
            f"{checked.baseline.get('sentence', '')}. "
        )
        if checked.score.get("selection_score", 1) < checked.baseline.get("selection_score", 0):
            return Prompt(text + "The model will soon be better than that ...", WAIT)
        if self._stopping(training):
            return Prompt(text + "The best model is saved.", "Stopping ...")
        act = self._on_panel(training, "stop_button", training.stop)
        return Prompt(text + "Stop when you are satisfied, or wait until the time is over.", "Stop and keep", act)

    def apply(self) -> Prompt | None:
        """Done when Apply has results for the test images."""
        panel, test = self._panel(ApplyPanel), self._layer("test", "image")
        if panel is None or test is None:
            return Prompt(self._saved() + "Now apply it to two new images.", "Open Apply", self._open_apply)
        if panel.runner.busy or panel.results.reading:
            return Prompt("Prediction is running ...", WAIT)
        if any(made(x.metadata).get("image") == test.name for x in panel.results.layers):
            return None
        if panel.apply_button.isEnabled() and panel.image_box.layer is test:
            text = "Model and images are selected. Press Apply: the result is a new layer."
            return Prompt(self._saved() + text, "Apply for me", panel.apply_button.click)
        return Prompt("Another image is selected in the Apply panel.", "Set it up", self._open_apply)

    def decide(self) -> Prompt | None:
        """Done when a slider of Apply was moved and released."""
        if (prompt := self.apply()) is not None:
            return prompt
        panel = self._panel(ApplyPanel)
        before, self._values = self._values, panel.sliders.values()
        run = panel.results.run
        if run is not None and self._values != run.values and self._values == before:
            return None
        text = (
            f"{panel.count.text()}. Move the Probability slider in Apply: pixels below this probability are background. "
            "The objects are updated at once, without another prediction."
        )
        return Prompt(text, "Move it for me", self._move_threshold)

    def compare(self) -> Prompt | None:
        """Done when the result was compared with the ground truth."""
        test, truth = self._layer("test", "image"), self._layer("test", "labels")
        name = None if test is None else test.name
        results = [
            x
            for x in self._viewer.layers
            if made(x.metadata).get("kind") == "result" and made(x.metadata).get("image") == name
        ]
        if any(made(x.metadata).get("result") in [r.name for r in results] for x in self._viewer.layers):
            return None
        if not results:
            return self.apply()
        if truth is None:
            return Prompt("The labels of the test images were removed.", "Open them again", self._open_tests)
        text = (
            "How good is the result? The ground truth of these images is known. Compare shows which objects are matched, "
            "missed or false positives."
        )

        def act() -> None:
            panel = open_panel(self._viewer, ComparePanel, "Compare")
            panel.choose(truth, results[-1])
            panel.compare()

        return Prompt(text, "Compare for me", act)

    # layers and panels

    @property
    def training(self) -> Training | None:
        """The latest training in this viewer, unless it ended before the tour."""
        found = desk().of(self._viewer)
        return None if found is not None and found.state == "over" and found is self._before() else found

    def _layer(self, part: str, kind: str) -> Any:
        """A layer of the tour: images or labels for training or test; None if it was removed."""
        found = (x for x in reversed(self._viewer.layers) if x.metadata.get("tour") == part)
        return next((x for x in found if x._type_string == kind), None)

    def _panel(self, kind: type[Panel]) -> Any:
        """The open panel of this class, or None."""
        return next((w for w in self._viewer.window.dock_widgets.values() if isinstance(w, kind)), None)

    def _slider(self) -> tuple[int, ...]:
        """The positions of the sliders below the image."""
        dims = self._viewer.dims
        return tuple(dims.current_step[axis] for axis in dims.not_displayed)

    def _without_images(self) -> Prompt | None:
        if self._layer("training", "image") is not None and self._layer("training", "labels") is not None:
            return None
        text = "The tour needs its images and labels of nuclei."
        return Prompt(text, "Open them", lambda: self._add(nuclei_train(), "training"))

    def _saved(self) -> str:
        training = self.training
        if training is None or not isinstance(training.end, Done):
            return f"There is no trained model yet, so the shipped model {NUCLEI} is used. "
        return "The model is saved. "

    def _on_panel(self, training: Training, button: str, otherwise: Callable[[], None]) -> Callable[[], None]:
        """Click a button of the Train panel if it shows this training, else call ``otherwise``."""
        train = self._panel(TrainPanel)
        shown = train is not None and train.progress.training is training
        return getattr(train.progress, button).click if shown else otherwise

    def _stopping(self, training: Training) -> bool:
        train = self._panel(TrainPanel)
        shown = train is not None and train.progress.training is training
        return shown and not train.progress.stop_button.isEnabled()

    # actions of the buttons

    def _add(self, layers: Iterable[Layer], part: str, visible: bool = True) -> None:
        for data, options, kind in _marked(layers, part):
            getattr(self._viewer, f"add_{kind}")(data, **options, visible=visible or kind == "image")
        self._place = self._slider()

    def _move_slider(self) -> None:
        dims = self._viewer.dims
        dims.ndisplay = 2
        axis = dims.not_displayed[-1]
        dims.set_current_step(axis, (dims.current_step[axis] + 1) % int(dims.nsteps[axis]))

    def _open_train(self) -> None:
        open_panel(self._viewer, TrainPanel, "Train")
        self._set_train()

    def _set_train(self) -> None:
        """Set up the Train panel for the images of the tour and a short training time."""
        train = self._panel(TrainPanel)
        if train is None or train.progress.busy:
            return
        train.task_box.setCurrentIndex(train.task_box.findData("instances"))
        train.data.source_box.setCurrentIndex(train.data.source_box.findData("layers"))
        train.rows.set_rows([Row((self._layer("training", "image"),), self._layer("training", "labels"))])
        train.data.third_box.setCurrentIndex(train.data.third_box.findData("TYX"))
        train.start_box.setCurrentIndex(0)
        train.minutes_box.setValue(MINUTES)

    def _open_tests(self) -> None:
        """Show only the test images; their labels are hidden."""
        for layer in self._viewer.layers:
            layer.visible = False
        if self._layer("test", "image") is None or self._layer("test", "labels") is None:
            self._add(nuclei_test(), "test", visible=False)
        test = self._layer("test", "image")
        test.visible = True
        self._viewer.layers.selection.active = test
        for axis in self._viewer.dims.not_displayed:
            self._viewer.dims.set_current_step(axis, 0)  # there are fewer test images

    def _open_apply(self) -> None:
        self._open_tests()
        training = self.training
        panel = open_panel(self._viewer, ApplyPanel, "Apply")
        panel.refresh_models()
        panel.choose_model(training.model if training is not None and isinstance(training.end, Done) else NUCLEI)
        panel.request.refresh()
        panel.image_box.choose(self._layer("test", "image"))

    def _move_threshold(self) -> None:
        panel = self._panel(ApplyPanel)
        name = next(iter(panel.sliders.values()))  # Probability, for instances
        slider = panel.sliders.slider(name)
        low, high = slider.range
        slider.value = low + (high - low) * (0.8 if slider.value < (low + high) * 0.65 else 0.3)


class TourPanel(Panel):
    """Guides the user through the panels with sample images.

    Parameters
    ----------
    napari_viewer : the viewer; given by napari.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self.title, self.text = sentence(), sentence(lines=3)
        self.title.setAccessibleName("Step")
        self.text.setAccessibleName("What to do")
        self.button, self.back_button = QPushButton(), QPushButton("Back")
        self.skip_button, self.close_button = QPushButton("Skip this step"), QPushButton("Close")
        described(self.back_button, "Back", "Go back to the previous step.")
        described(self.skip_button, "Skip this step", "Go to the next step.")
        described(self.close_button, "Close the tour", "Close the tour. Layers and panels are kept.")
        self._lay_out()
        self._placing = later(self, 0, self._place)
        self._window: QMainWindow | None = None  # the window in which it was placed
        self.button.clicked.connect(self._press)
        self.back_button.clicked.connect(lambda: self._go(self.at - 1))
        self.skip_button.clicked.connect(lambda: self._go(self.at + 1))
        self.close_button.clicked.connect(self._close)
        self._timer = QTimer(self)
        self._timer.setInterval(EVERY)
        self._timer.timeout.connect(self.look)
        self.begin()
        self._timer.start()

    def _lay_out(self) -> None:
        said, buttons, row = QVBoxLayout(), QVBoxLayout(), QHBoxLayout()
        said.addWidget(self.title)
        said.addWidget(self.text, 1)
        for button in (self.back_button, self.skip_button, self.close_button):
            row.addWidget(button)
        buttons.addWidget(self.button)
        buttons.addLayout(row)
        buttons.addStretch(1)
        self._box = QBoxLayout(QBoxLayout.Direction.TopToBottom)
        self._box.addLayout(said, 1)
        self._box.addLayout(buttons)
        self.column.addLayout(self._box)
        self.column.addStretch(1)

    def begin(self) -> None:
        """Start with the first step."""
        self.walk = Walk(self.viewer)
        self.at = self._farthest = 0
        self._go(0)

    def look(self) -> None:
        """Update the step: show what to do, or that it is done."""
        if self.at == len(self.walk.steps):
            text = (
                "Now use your own images: open them, press + new labels in Train, label some objects, and start training. "
                "With Start from, you can fine-tune an existing model. "
                "Tutorial: From 5 annotated images to a model in 10 minutes."
            )
            self._show(Prompt(text, "Close the tour", self._close))
            return
        prompt = self.walk.steps[self.at][1]()
        if prompt is not None:
            self._seen = 0
            self._show(prompt)
            return
        self._seen += 1
        if self.at == self._farthest and self._seen > SEEN:  # do not leave a step to which the user went back
            self._go(self.at + 1)
        else:
            self._show(Prompt("✓ Done.", "Next", lambda: self._go(self.at + 1)))

    def _show(self, prompt: Prompt) -> None:
        self._prompt = prompt
        self.text.setText(escape(prompt.text))
        self.button.setText(prompt.button)
        self.button.setEnabled(prompt.act is not None)
        described(self.button, prompt.button, f"{prompt.button}: do this step automatically.")
        if self._leading is not self.button:
            self.lead(self.button)

    def _press(self) -> None:
        act = self._prompt.act
        if act is None:
            return
        try:
            act()
        except Exception as error:  # the tour continues after any error, and Skip leads past it
            self.warn(explained(error))
        if not self._ended:
            self.look()

    def _go(self, step: int) -> None:
        steps = self.walk.steps
        self.at = min(max(0, step), len(steps))
        self._farthest = max(self._farthest, self.at)
        self._seen = 0
        last = self.at == len(steps)
        title = "End of the tour" if last else f"{self.at + 1} of {len(steps)}: {steps[self.at][0]}"
        self.title.setText(f"<b>{title}</b>")
        self.back_button.setEnabled(self.at > 0)
        self.skip_button.setEnabled(not last)
        self.look()

    def _close(self) -> None:
        self._timer.stop()
        QTimer.singleShot(0, self._leave)  # not inside the handler of its button

    def _leave(self) -> None:
        if not self._ended:
            self.viewer.window.remove_dock_widget(self)

    # placement

    def showEvent(self, event: Any) -> None:  # noqa: N802
        """Place the panel after it was shown for the first time."""
        super().showEvent(event)
        if self._window is None:
            self._placing.start()

    def _place(self) -> None:
        """Place the panel below the image, where it hides no other panel and does not shrink those at the right."""
        dock = self.parent()
        window = dock.parent() if isinstance(dock, QDockWidget) else None
        if isinstance(dock, QDockWidget) and isinstance(window, QMainWindow) and not self._ended:
            self._window, self._corner = window, window.corner(Qt.Corner.BottomRightCorner)
            window.setCorner(Qt.Corner.BottomRightCorner, Qt.DockWidgetArea.RightDockWidgetArea)
            window.addDockWidget(Qt.DockWidgetArea.BottomDockWidgetArea, dock)
            window.resizeDocks([dock], [STRIP], Qt.Orientation.Vertical)

    def resizeEvent(self, event: Any) -> None:  # noqa: N802
        """Place the buttons beside the text if there is room, else below."""
        super().resizeEvent(event)
        wide = self.width() >= WIDE
        self._box.setDirection(QBoxLayout.Direction.LeftToRight if wide else QBoxLayout.Direction.TopToBottom)

    def end(self) -> None:
        """Stop the timers and restore the window when the panel closes."""
        self._timer.stop()
        self._placing.stop()
        if self._window is not None and not self._ended:
            self._window.setCorner(Qt.Corner.BottomRightCorner, self._corner)
        super().end()


def _marked(layers: Iterable[Layer], part: str) -> list[Layer]:
    """Tag layers in their metadata, so that the tour recognizes them after renaming."""
    return [
        (data, {**options, "metadata": {**options["metadata"], "tour": part}}, kind) for data, options, kind in layers
    ]


def _last_check(training: Training) -> Validated | None:
    return next((e for e in reversed(training.history) if isinstance(e, Validated)), None)
