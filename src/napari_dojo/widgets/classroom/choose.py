"""How to choose: output layer and loss for a kind of problem, with the reason."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QSpinBox, QVBoxLayout, QWidget

from napari_dojo.playground.advice import choose
from napari_dojo.playground.glossary import explain
from napari_dojo.playground.settings import MOST_CLASSES, TITLES
from napari_dojo.widgets.classroom.lesson import Lesson
from napari_dojo.widgets.common.form import calm, described, sentence

__all__ = ["HowToChoose"]

PROBLEMS = ("two classes", "several classes", "a number")
ASK = "What do you want to predict? Output activation, loss and number of outputs follow from that."


class HowToChoose(QWidget):
    """The course's table as three buttons."""

    def __init__(self, lesson: Lesson) -> None:
        super().__init__()
        self._lesson = lesson
        self.buttons = {problem: QPushButton(problem) for problem in PROBLEMS}
        row = QHBoxLayout()
        row.setSpacing(3)
        for problem, button in self.buttons.items():
            described(button, f"Predict {problem}", f"{ASK} {explain('output activation')}")
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            button.clicked.connect(lambda *_, p=problem: self.choose(p))
            row.addWidget(button, 1)
        self.outputs_box = QSpinBox()
        self.outputs_box.setRange(1, MOST_CLASSES)
        self.outputs_box.setPrefix("outputs ")
        described(self.outputs_box, "Outputs", f"One, or one per class. {explain('outputs')}")
        calm(self.outputs_box)
        self.text = sentence(ASK, 3)
        self.text.setTextFormat(Qt.TextFormat.PlainText)
        self.notes = sentence()
        self.notes.setTextFormat(Qt.TextFormat.PlainText)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addWidget(self.text)
        layout.addLayout(row)
        layout.addWidget(self.outputs_box)
        layout.addWidget(self.notes)
        self.outputs_box.valueChanged.connect(self._set_outputs)
        lesson.changed.connect(self.refresh)
        self.refresh()

    def choose(self, problem: str) -> None:
        """Set output layer and loss for a problem, and show the reason."""
        lesson = self._lesson
        choice = choose(problem, max(2, lesson.wanted.points.n_classes))
        done = lesson.set(output=choice.output, loss=choice.loss, outputs=choice.outputs)
        if done:
            neurons = "1 neuron" if choice.outputs == 1 else f"{choice.outputs} neurons"
            self.text.setText(
                f"{TITLES.get(choice.output, choice.output)}, {TITLES[choice.loss]}, {neurons}. {choice.why}"
            )

    def refresh(self) -> None:
        """Follow the lesson: enable the controls, and show warnings about the current choices."""
        lesson = self._lesson
        for button in self.buttons.values():
            button.setEnabled(all(lesson.may(name) for name in ("output", "loss", "outputs")))
        self.outputs_box.blockSignals(True)
        self.outputs_box.setValue(lesson.wanted.net.outputs)
        self.outputs_box.blockSignals(False)
        self.outputs_box.setEnabled(lesson.may("outputs"))
        notes = "\n".join(lesson.session.notes)
        self.notes.setText(notes)
        self.notes.setVisible(bool(notes))

    def _set_outputs(self, outputs: int) -> None:
        """Set one output, or as many as there are classes."""
        before, classes = self._lesson.wanted.net.outputs, self._lesson.wanted.points.n_classes
        self._lesson.set(outputs=classes if outputs > before and classes > 1 else 1)
