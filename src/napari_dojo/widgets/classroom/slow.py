"""One update in slow motion, stage by stage, with text and values."""

from __future__ import annotations

from html import escape

from qtpy.QtCore import Qt, QTimer, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QPlainTextEdit,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_dojo.playground.glossary import explain
from napari_dojo.widgets.classroom.canvas import Canvas
from napari_dojo.widgets.classroom.lesson import Lesson
from napari_dojo.widgets.common.form import described, narrow, sentence

__all__ = ["SlowMotion"]

LINES = 5  # of the text of a stage
BEAT = 1800  # ms between two stages in auto mode
BEGIN = (
    "One update, stage by stage: sums and activations (forward pass), loss, gradients (back-propagation), new weights."
)
WORDS = {
    "input": "Inputs",
    "sum": "Weighted sums",
    "activation": "Activations",
    "loss": "Loss",
    "slope": "Gradients at the units",
    "gradient": "Gradients of the weights",
    "update": "New weights",
    "done": "Done",
}


class SlowMotion(QWidget):
    """Shows the stages of an update.

    Signals
    -------
    begun : the user asked for a stage; playing should pause.
    """

    begun = Signal()

    def __init__(self, lesson: Lesson, canvas: Canvas) -> None:
        super().__init__()
        self._lesson, self._canvas = lesson, canvas
        self._number = 0  # of the stage
        self.of_box = QComboBox()
        self.of_box.addItem("mini-batch")
        self.of_box.addItem("one point")
        tip = "The points of the update: the next mini-batch, or one training point (selected on the canvas, or the first)."
        described(self.of_box, "Points", f"{tip} {explain('mini-batch')}")
        narrow(self.of_box)
        self.of_box.setMinimumWidth(60)
        self.next_button, self.auto_button, self.leave_button = QPushButton("Next stage"), QToolButton(), QToolButton()
        self.auto_button.setText("auto")
        self.auto_button.setCheckable(True)
        self.leave_button.setText("leave")
        described(self.next_button, "Next stage", "Go to the next stage (M).")
        described(self.auto_button, "Auto", "Go to the next stage automatically.")
        described(self.leave_button, "Leave", "End slow motion. Before the new weights are set, nothing changes.")
        self.text = sentence(BEGIN, LINES)
        self.text.setTextFormat(Qt.TextFormat.PlainText)
        self.figures = QPlainTextEdit()
        self.figures.setReadOnly(True)
        self.figures.setMinimumHeight(72)
        self.figures.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)
        self.figures.setLineWrapMode(QPlainTextEdit.LineWrapMode.WidgetWidth)
        described(self.figures, "Values", "The values of this stage, for the first point if there are several.")
        row = QHBoxLayout()
        row.setSpacing(3)
        row.addWidget(self.next_button, 1)
        for button in (self.auto_button, self.leave_button):
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            row.addWidget(button)
        row.addWidget(self.of_box, 1)
        self.next_button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addLayout(row)
        layout.addWidget(self.text)
        layout.addWidget(self.figures, 1)
        self._timer = QTimer(self)
        self._timer.setInterval(BEAT)
        self._timer.timeout.connect(self.next)
        self.next_button.clicked.connect(self.next)
        self.auto_button.toggled.connect(self._auto)
        self.leave_button.clicked.connect(lesson.leave_slow)
        lesson.staged.connect(self.refresh)
        lesson.changed.connect(self.refresh)
        self.refresh()

    def next(self) -> None:
        """Go to the next stage."""
        self.begun.emit()
        point = None
        if self.of_box.currentIndex() == 1:
            point = self._canvas.selected_training_point() or 0
        self._number += 1
        self._lesson.next_stage(point)

    def refresh(self) -> None:
        """Show the stage."""
        stage = self._lesson.stage
        why = self._lesson.problem or (str(self._lesson.session.ended) if self._lesson.session.diverged else "")
        self.next_button.setEnabled(not why)
        self.next_button.setToolTip(f"<qt>{escape(why)}</qt>" if why else "Go to the next stage (M).")
        self.leave_button.setEnabled(stage is not None)
        self.of_box.setEnabled(stage is None or stage.kind == "done")
        self.next_button.setText("Next stage" if stage is not None else "Start")
        if stage is None or stage.kind == "input":
            self._number = int(stage is not None)
        if stage is None:
            self.text.setText(BEGIN)
            self.figures.setPlainText("")
            self.auto_button.setChecked(False)
            return
        layers = len(self._lesson.session.net.layers)
        where = "" if stage.layer < 0 else f", layer {stage.layer + 1} of {layers}"
        # Forward and back two stages a layer, one for its new weights; inputs, loss and the end.
        self.text.setText(f"{self._number}/{5 * layers + 3} {WORDS[stage.kind]}{where}. {stage.text}")
        self.figures.setPlainText("\n".join(stage.lines))
        if stage.kind == "done":
            self.auto_button.setChecked(False)

    def _auto(self, on: bool) -> None:
        if on:
            self._timer.start()
            self.next()
        else:
            self._timer.stop()

    def end(self) -> None:
        """Stop when the panel closes."""
        self._timer.stop()
