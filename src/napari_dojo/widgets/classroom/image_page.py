"""The part of the Classroom panel for exercises on images: a convolutional network beside a dense one."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from napari_dojo.widgets.classroom.controls import ChoicesForm, fields_named
from napari_dojo.widgets.classroom.curves import Curves
from napari_dojo.widgets.classroom.exercises import ExerciseBox
from napari_dojo.widgets.classroom.image_canvas import ImageCanvas
from napari_dojo.widgets.classroom.image_lesson import ImageLesson
from napari_dojo.widgets.classroom.play import Player, PlayRow
from napari_dojo.widgets.classroom.progress import Progress
from napari_dojo.widgets.classroom.reading import Networks, Reading

__all__ = ["ImagePage"]

COLUMNS = (("kernels", "pooling", "optimizer", "epochs"), ("hidden", "shifts", "learning_rate", "batch_size"))


class ImagePage(QWidget):
    """Exercise, controls, networks and curves of a lesson on images; its canvas comes and goes with it."""

    def __init__(self, viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.lesson = ImageLesson(parent=self)
        self.player = Player(self.lesson, self)
        self.canvas = ImageCanvas(viewer, self.lesson, self)
        self.exercise = ExerciseBox(self.lesson)
        self.play = PlayRow(self.lesson, self.player)
        self.progress = Progress(viewer, self.lesson, self.player)
        self.reading = Reading(viewer, self.lesson)
        self.networks = Networks(self.lesson)
        self.forms = [ChoicesForm(self.lesson, fields_named(*names)) for names in COLUMNS]
        self.curves = Curves(viewer, self.lesson, dense=True)
        self._gone = False  # whether the user removed a layer of the classroom
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        for widget in (self.exercise, self.play, self.progress, self.reading):
            layout.addWidget(widget)
        choices = QHBoxLayout()
        choices.setSpacing(6)
        for form, share in zip(self.forms, (3, 2), strict=True):  # the first has words in its boxes, the second numbers
            choices.addWidget(form, share)
        layout.addLayout(choices)
        layout.addWidget(self.networks)
        layout.addWidget(self.curves)
        self.reading.draw.connect(self.draw)
        self.canvas.lost.connect(self._lost)
        self.player.turned.connect(self._restore)

    def enter(self) -> None:
        """Show the lesson on the canvas."""
        self.canvas.enter()

    def step_aside(self) -> None:
        """Pause, and leave the canvas to others."""
        self.player.pause()
        self.canvas.step_aside()

    def draw(self) -> None:
        """Draw an image on the canvas."""
        if not self.canvas.front:
            self.canvas.enter()
        self.canvas.begin_drawing()

    def end(self) -> None:
        """Stop everything and remove the layers."""
        self.player.pause()
        self.progress.end()
        self.curves.end()
        self.canvas.leave()

    def _lost(self) -> None:
        self._gone = True
        self.progress.said("warning", "A layer of the classroom was removed. Press Play or Draw to restore it.")

    def _restore(self) -> None:
        if self._gone:
            self._gone = False
            self.progress.clear()
            self.canvas.show()
