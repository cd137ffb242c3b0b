"""How a training goes: its buttons, the time left, the curves, the scores and what happened."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QCheckBox,
    QGridLayout,
    QHBoxLayout,
    QMenu,
    QPushButton,
    QSizePolicy,
    QStackedWidget,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_dojo.events import Done, Event, Failed, Message, Progress, Started, Step, Tried, Validated
from napari_dojo.widgets.common.form import NO_ARROW, ProgressBar, described, sentence, tight
from napari_dojo.widgets.common.panel import Panel
from napari_dojo.widgets.common.plot import LossPlot, ScorePlot
from napari_dojo.widgets.common.queue import Training
from napari_dojo.widgets.common.run import share_done, time_left

__all__ = ["ProgressSection"]

START = "Train on the images above. Your layers are not changed."
NO_SCORE = "not possible: training and validation would hold different classes"
STOP = "End the training now and keep the best model so far."


class ProgressSection(QWidget):
    """Shows one training. The panel that holds it connects the buttons, and is notified when the training is ``over``."""

    over = Signal(object)  # Done or Failed
    paused = Signal()  # or gone on

    def __init__(self, panel: Panel) -> None:
        super().__init__()
        self._panel = panel
        self._training: Training | None = None
        self._warnings: list[str] = []
        self._starts: dict[str, str] = {}  # those that were compared, and how far each came, in words
        self._where = "validation"
        self._minutes: float | None = None
        self._replaying = False
        self._scored = True
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        self._make_buttons()
        self.progress = ProgressBar()
        self.progress.tell(0, 1000, "")
        described(self.progress, "Progress", "How far the training is.")
        self.losses, self.scores = LossPlot(panel.viewer), ScorePlot(panel.viewer)
        self.scores.setXLink(self.losses)
        curves = QHBoxLayout()
        curves.setSpacing(2)
        for plot in (self.losses, self.scores):
            curves.addWidget(plot, 1)
        self.preview_box = QCheckBox("Show current prediction")
        tip = (
            "A layer with a quick prediction for the visible part of the active image, updated at each validation: normalised by "
            "this part alone and without averaging flipped views, so the final prediction differs a little."
        )
        described(self.preview_box, "Show current prediction", tip)
        self.preview_box.setChecked(True)
        self.preview_box.toggled.connect(self._preview_turned)
        self.message = sentence(lines=3)
        self.message.setAccessibleName("What happened")
        for widget in (self.buttons, self.after, self.progress):
            panel.footer.addWidget(widget)
        layout.addWidget(self.message)
        layout.addLayout(curves)
        layout.addLayout(self._make_scores())
        layout.addWidget(self.preview_box)

    def _make_buttons(self) -> None:
        self.start_button = QPushButton("Start training")
        described(self.start_button, "Start training", START)
        self.apply_button = QPushButton("Apply")
        described(self.apply_button, "Apply this model", "Open the Apply panel with the model that was trained.")
        self.more_button = QPushButton("Train 5 more minutes")
        tip = "Continue from where it ended, with the same images and labels."
        described(self.more_button, "Train 5 more minutes", tip)
        self.copy_button = QToolButton()
        self.copy_button.setText("Copy ▾")
        self.copy_button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        described(
            self.copy_button, "Copy", "The same training as a command or as Python, with its images saved as files."
        )
        menu: Any = QMenu(self.copy_button)
        self.copy_command = menu.addAction("Copy as command")
        self.copy_python = menu.addAction("Copy as Python")
        self.copy_button.setMenu(menu)
        self.copy_button.setStyleSheet(NO_ARROW)
        self.pause_button = QPushButton("Pause")
        described(self.pause_button, "Pause", "Pause training; the time does not run meanwhile.")
        self.stop_button = QPushButton("Stop and keep")
        described(self.stop_button, "Stop and keep", STOP)
        self.pause_button.clicked.connect(self._pause)
        self.stop_button.clicked.connect(self._stop)
        self.buttons = QStackedWidget()
        for parts in ((self.start_button,), (self.pause_button, self.stop_button)):
            page = QWidget()
            row = QHBoxLayout(page)
            row.setContentsMargins(0, 0, 0, 0)
            for button in parts:
                row.addWidget(button, 1)
            self.buttons.addWidget(page)
        self.buttons.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.after = QWidget()
        row = QHBoxLayout(self.after)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.apply_button, 1)
        row.addWidget(self.more_button, 2)
        row.addWidget(self.copy_button)
        self.after.setEnabled(False)

    def _make_scores(self) -> QGridLayout:
        grid = QGridLayout()
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(8)
        grid.setVerticalSpacing(1)
        grid.setColumnMinimumWidth(0, 80)  # "Validation"
        grid.setColumnStretch(1, 1)
        self.score_name, self.baseline_name, self.test_name = (sentence(n) for n in ("Validation", "Baseline", "Test"))
        self.score, self.baseline, self.test = sentence(), sentence(), sentence()
        pairs = ((self.score_name, self.score), (self.baseline_name, self.baseline), (self.test_name, self.test))
        for i, pair in enumerate(pairs):
            for j, widget in enumerate(pair):
                grid.addWidget(tight(widget), i, j)
        self.baseline_name.setToolTip("The score of a simple method on the same images.")
        self.test_name.setToolTip("On images that nothing saw before the end.")
        self.test_name.setVisible(False)
        self._name_score("validation")
        return grid

    # which training

    @property
    def training(self) -> Training | None:
        """The one that is shown."""
        return self._training

    @property
    def busy(self) -> bool:
        """Whether it is queued or running."""
        return self._training is not None and self._training.state != "over"

    @property
    def rising(self) -> bool:
        """Whether what is shown ended while it was still getting better."""
        end = self._training.end if self._training is not None else None
        return isinstance(end, Done) and bool(end.facts.get("rising"))

    def show_training(self, training: Training, minutes: float | None) -> None:
        """Show this one from now on, with all that it said before."""
        self.leave()
        self._training, self._minutes, self._warnings = training, minutes, []
        self._starts = {}
        for plot in (self.losses, self.scores):
            plot.reset()
        for label in (self.score, self.test, self.baseline):
            label.setText("")
        self.test_name.setVisible(False)
        self.message.setText("Starting ...")
        self.progress.setValue(0)
        self.progress.setFormat("Starting ...")
        self.preview_box.setChecked(training.preview.on)
        self.turn(training.state != "over")
        self._replaying = True
        for event in list(training.history):
            self._heard(event)
        self._replaying = False
        training.said.connect(self._heard)
        training.watched = True

    def leave(self) -> None:
        """Stop showing it; it continues."""
        if self._training is not None:
            self._training.said.disconnect(self._heard)
            self._training.watched = False
            self._training = None

    def waits_for(self, name: str) -> None:
        """Say that another training comes first."""
        self.progress.setFormat("Waiting")
        self.stop_button.setText("Cancel")
        self.stop_button.setToolTip("Take this training out of the queue.")
        self.message.setText(
            escape(f"Another training ({name}) is running. This one is queued and starts when it has ended.")
        )

    def turn(self, running: bool) -> None:
        """Show the buttons of a running training or those to start one."""
        self.buttons.setCurrentIndex(int(running))
        paused = self._training is not None and self._training.runner.paused
        self.pause_button.setText("Resume" if paused else "Pause")
        self.stop_button.setText("Stop and keep")
        self.stop_button.setToolTip(STOP)
        self.stop_button.setEnabled(running)
        self.pause_button.setEnabled(False)  # until it has begun
        if running:
            self.after.setEnabled(False)

    def reduce(self, on: bool) -> None:
        """Show the bar and the button to stop alone; or all."""
        parts: tuple[QWidget, ...] = (self.message, self.losses, self.scores, self.preview_box, self.after)
        for widget in (*parts, self.score_name, self.score, self.baseline_name, self.baseline):
            widget.setVisible(not on)

    def end(self) -> None:
        """The panel is closing."""
        self.leave()
        for plot in (self.losses, self.scores):
            plot.end()

    # what it says

    def _heard(self, event: Event) -> None:
        if isinstance(event, Started):
            self._began(event)
        elif isinstance(event, Step):
            self._stepped(event)
        elif isinstance(event, Validated):
            self._checked(event)
        elif isinstance(event, Tried):
            self._tried(event)
        elif isinstance(event, Progress):
            self._compared(event)
        elif isinstance(event, Message) and event.level == "info":
            self.message.setText(escape(event.text))
        elif isinstance(event, Message):
            self._warnings.append(event.text)
            self.message.setText("<br>".join(self._panel.marked("warning", w) for w in self._warnings[-2:]))
        elif isinstance(event, Done):
            self._done(event)
        elif isinstance(event, Failed):
            self._failed(event.sentence)

    def _compared(self, event: Progress) -> None:
        """Before the start: models that fit and a new one are compared, or there is a cross-validation."""
        self.pause_button.setEnabled(self.stop_button.isEnabled())
        text = "Comparing starts ..." if self._starts else "Before training ..."
        self.progress.tell(int(1000 * event.done / event.total), 1000, text)

    def _tried(self, event: Tried) -> None:
        """A start that is compared with others was scored."""
        self.progress.setFormat("Comparing starts ...")
        self._show_score(event)
        if "selection_score" in event.score:
            colour = self.scores.add_start(event.start, event.step, event.score["selection_score"])
            self._starts[event.start] = (
                f'<span style="color:{colour}">●</span> {escape(event.start)} {escape(event.figure)}'
            )
            self.scores.baseline(event.baseline.get("selection_score"))
            self.scores.name(event.score.get("measure", "score"))
            self.scores.redraw_soon()
        self.message.setText("Comparing starts: " + ", ".join(self._starts.values()))

    def _began(self, event: Started) -> None:
        told = (event.plan.get("start"), event.plan.get("sentence"))
        self.message.setText("<br>".join(escape(text) for text in told if text))
        self.progress.setFormat("Training ...")
        self.stop_button.setText("Stop and keep")
        self.stop_button.setToolTip(STOP)
        self.pause_button.setEnabled(self.stop_button.isEnabled())
        split = str(event.plan.get("split", ""))
        self._minutes = event.plan.get("minutes")
        self._name_score("validation" if event.plan.get("validated", True) else "training", split)
        self._scored = bool(event.plan.get("scored", True))

    def _name_score(self, where: str, split: str = "") -> None:
        validation = where == "validation"
        self.score_name.setText("Validation" if validation else "Training images")
        seen = "These images are not used for training, but to choose the best model." if validation else ""
        self.score_name.setToolTip(f"{split or 'How good the model is now.'} {seen}".strip())

    def _stepped(self, event: Step) -> None:
        self.losses.add(event.step, event.loss)
        self.losses.redraw_soon()
        left = event.seconds_left
        paused = self._training is not None and self._training.runner.paused
        if left is None or paused:
            return
        self.progress.tell(int(1000 * share_done(event, self._minutes)), 1000, time_left(left))

    def _checked(self, event: Validated) -> None:
        if event.validation_loss is not None:
            self.losses.judge(event.step, event.validation_loss)
            self.losses.redraw_soon()
        if "selection_score" in event.score and self._scored:
            self.scores.add(event.step, event.score["selection_score"])
            self.scores.baseline(event.baseline.get("selection_score"))
            self.scores.name(event.score.get("measure", "score"))
            self.scores.redraw_soon()
        if not self._scored:
            self.score.setText(NO_SCORE)
            return
        self._show_score(event)

    def _show_score(self, event: Validated | Tried) -> None:
        """The score of the last check beside its baseline."""
        for label, score in ((self.score, event.score), (self.baseline, event.baseline)):
            label.setText(score.get("sentence", ""))
            label.setToolTip(_figures(score))
        if method := event.baseline.get("method"):
            tip = f"The score of a simple method ({method}) on the same images."
            self.baseline_name.setToolTip(tip)

    def _done(self, event: Done) -> None:
        self.turn(False)
        for plot in (self.losses, self.scores):
            plot.redraw()
        self.progress.setValue(1000)
        steps = event.facts.get("steps")
        self.progress.setFormat(f"Done: {steps:,} step{'' if steps == 1 else 's'}" if steps else "Done")
        rising = " It was still improving: more time would help." if event.facts.get("rising") else ""
        text = escape(f"Saved as {Path(event.result).name}.{rising}")
        if event.facts.get("warning"):
            self._warnings.append(event.facts["warning"])
        if self._warnings:
            text += "<br>" + self._panel.marked("warning", self._warnings[-1])
        self.message.setText(text)
        self.message.setToolTip(event.result)
        if event.facts.get("sentence") and self._scored:
            self.score.setText(event.facts["sentence"])
        test = event.facts.get("test") or {}
        self.test_name.setVisible(bool(test))
        self.test.setText(test.get("sentence", ""))
        self.test.setToolTip(_figures(test))
        self.after.setEnabled(True)
        if not self._replaying:
            self.over.emit(event)

    def _failed(self, text: str) -> None:
        self.turn(False)
        self.progress.setFormat("")
        self.progress.setValue(0)
        self.message.setText(self._panel.marked("error", text))
        if not self._replaying:
            self.over.emit(Failed(text))

    # what a person does

    def _pause(self) -> None:
        if self._training is None:
            return
        runner = self._training.runner
        if runner.paused:
            runner.resume()
        else:
            runner.pause()
        self.pause_button.setText("Resume" if runner.paused else "Pause")
        self.progress.setFormat("Paused" if runner.paused else "Training ...")
        self.paused.emit()

    def _stop(self) -> None:
        self.stop_button.setEnabled(False)
        self.pause_button.setEnabled(False)
        self.stop_button.setText("Stopping ...")
        if self._training is not None:
            self._training.stop()

    def _preview_turned(self, on: bool) -> None:
        if self._training is not None:
            self._training.preview.turn(on)


def _figures(score: dict[str, Any]) -> str:
    """Figures for a tooltip."""

    def short(value: Any) -> str:
        if isinstance(value, dict):
            return ", ".join(f"{k}: {short(v)}" for k, v in value.items() if not isinstance(v, (list, dict)))
        return f"{value:.3g}" if isinstance(value, float) else str(value)

    return "\n".join(f"{k}: {short(v)}" for k, v in score.items() if k != "sentence" and not isinstance(v, list))
