"""The points of a lesson: a generated set, points drawn by hand, a table, or the objects of an image."""

from __future__ import annotations

from collections.abc import Collection
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from qtpy.QtCore import QSize, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_dojo.errors import explained
from napari_dojo.playground.glossary import explain
from napari_dojo.playground.points import KINDS, read_csv
from napari_dojo.playground.settings import MOST_CLASSES, PointSet, Setup
from napari_dojo.widgets.classroom.canvas import Canvas
from napari_dojo.widgets.classroom.colours import CLASSES
from napari_dojo.widgets.classroom.controls import ChoicesForm, fields_named
from napari_dojo.widgets.classroom.lesson import Lesson
from napari_dojo.widgets.common.form import Fold, calm, described

__all__ = ["DataSection"]

COMMON = ("kind", "training", "validation", "test", "noise", "label_noise", "zscore")
OBJECTS = "napari_dojo.widgets.classroom.objects"


class DataSection(QWidget):
    """The controls for the points of a lesson.

    Signals
    -------
    aside : show the user's layers instead of the points.
    """

    aside = Signal(bool)

    def __init__(self, viewer: Any, lesson: Lesson, canvas: Canvas) -> None:
        super().__init__()
        self._viewer, self._lesson, self._canvas = viewer, lesson, canvas
        self.objects: Any = None
        self._taken: Any = None  # the rows of the points that came from objects
        self._exercise = lesson.exercise
        self.form = ChoicesForm(lesson, fields_named(*COMMON[:4], "classes", "formula", *COMMON[4:]), _that_matter)
        kinds = self.form.editor("kind")
        assert isinstance(kinds, QComboBox)
        for k in range(kinds.count()):
            kinds.setItemData(k, KINDS[kinds.itemData(k)].sentence, Qt.ItemDataRole.ToolTipRole)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addWidget(self.form)
        layout.addLayout(self._seed_row())
        layout.addLayout(self._look_row())
        self.own = QWidget()
        self._build_own()
        layout.addWidget(self.own)
        if find_spec(OBJECTS) is not None:
            self.objects_holder = QWidget()
            QVBoxLayout(self.objects_holder).setContentsMargins(0, 0, 0, 0)
            self.objects_fold = Fold("Objects of an image", self.objects_holder)
            self.objects_fold.button.toggled.connect(self._open_objects)
            layout.addWidget(self.objects_fold)
        lesson.changed.connect(self.refresh)
        lesson.moved.connect(self._colour_objects)
        canvas.edited.connect(self._edited)
        self.refresh()

    def _seed_row(self) -> QHBoxLayout:
        self.seed_box = QSpinBox()
        self.seed_box.setRange(0, 2**31 - 1)
        self.seed_box.setKeyboardTracking(False)
        self.seed_box.setPrefix("seed ")
        described(self.seed_box, "Seed", explain("seed"))
        calm(self.seed_box)
        self.csv_button = QPushButton("Open table...")
        described(self.csv_button, "Open table", "Load points from a CSV file with the columns x, y and class.")
        row = QHBoxLayout()
        row.addWidget(self.seed_box, 1)
        row.addWidget(self.csv_button, 1)
        self.seed_box.valueChanged.connect(lambda value: self._lesson.set(seed=value))
        self.csv_button.clicked.connect(self._ask_csv)
        return row

    def _look_row(self) -> QHBoxLayout:
        """How the canvas shows the points."""
        self.hard_box, self.ring_box = QCheckBox("hard decisions"), QCheckBox("mark wrong points")
        described(
            self.hard_box,
            "Hard decisions",
            f"Show the predicted class instead of the probability. {explain('decision')}",
        )
        described(self.ring_box, "Mark wrong points", "Draw a black ring around each misclassified point.")
        row = QHBoxLayout()
        row.addWidget(self.hard_box)
        row.addWidget(self.ring_box)
        self.hard_box.toggled.connect(lambda on: self._canvas.set_look(hard=on))
        self.ring_box.toggled.connect(lambda on: self._canvas.set_look(ringed=on))
        return row

    def _build_own(self) -> None:
        self.draw_button, self.clear_button = QPushButton("Draw points"), QPushButton("Clear")
        self.classes = QButtonGroup(self)
        buttons, colours = QHBoxLayout(self.own), QHBoxLayout()
        column = QVBoxLayout()
        buttons.setContentsMargins(0, 0, 0, 0)
        colours.setSpacing(2)
        top = QHBoxLayout()
        top.addWidget(self.draw_button, 1)
        top.addWidget(self.clear_button)
        for k in range(MOST_CLASSES):
            button = QPushButton()
            picture = QPixmap(12, 12)
            picture.fill(QColor(CLASSES[k]))
            button.setIcon(QIcon(picture))
            button.setIconSize(QSize(12, 12))
            button.setCheckable(True)
            button.setMinimumWidth(20)
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            tip = "New points get this class; selected points change to it."
            described(button, f"Class {k}", f"Class {k}. {tip}")
            self.classes.addButton(button, k)
            colours.addWidget(button, 1)
        first = self.classes.button(0)
        assert first is not None
        first.setChecked(True)
        column.addLayout(top)
        column.addLayout(colours)
        buttons.addLayout(column)
        self.draw_button.clicked.connect(self.draw)
        self.clear_button.clicked.connect(self._canvas.begin_drawing)
        self.classes.idClicked.connect(self._canvas.set_class)

    def refresh(self) -> None:
        """Show the settings of the lesson."""
        lesson = self._lesson
        if lesson.exercise is not self._exercise:
            self._exercise = lesson.exercise
            if self.objects is not None:
                self.objects_fold.button.setChecked(False)
        may, numbers = lesson.may("kind"), not lesson.wanted.points.n_classes
        hidden = lesson.exercise.hidden
        self.own.setVisible("kind" not in hidden)
        why = "" if may else " The points are locked in this exercise."
        self.draw_button.setEnabled(may)
        tip = "Start with an empty plane and add points with napari's tool (+). You can also move and delete points."
        described(self.draw_button, "Draw points", tip + why)
        self.clear_button.setEnabled(may and lesson.wanted.points.kind == "custom")
        described(self.clear_button, "Clear", f"Delete all points.{why}")
        self.csv_button.setEnabled(may)
        for button in self.classes.buttons():
            button.setEnabled(may and not numbers)
        self.seed_box.setVisible("seed" not in hidden)
        self.seed_box.setEnabled(lesson.may("seed"))
        self.seed_box.blockSignals(True)
        self.seed_box.setValue(lesson.wanted.seed)
        self.seed_box.blockSignals(False)
        box = self.form.editor("kind")
        assert isinstance(box, QComboBox)
        box.setToolTip(KINDS[lesson.wanted.points.kind].sentence)

    # custom points

    def draw(self) -> None:
        """Start with an empty plane, to draw points in."""
        self.objects_fold.button.setChecked(False)
        self._canvas.enter()
        self._canvas.begin_drawing()

    def _edited(self, rows: tuple[tuple[float, float, float], ...]) -> None:
        """Take over points that were changed on the canvas; a generated set becomes custom points."""
        self._lesson.set_rows(rows, **self._plain())

    def _plain(self) -> dict[str, Any]:
        """Custom points have no noise settings."""
        return {} if self._lesson.wanted.points.kind == "custom" else {"noise": None, "label_noise": 0.0}

    def _ask_csv(self) -> None:
        name, _ = QFileDialog.getOpenFileName(
            self, "Points from a table", str(Path.home()), "Tables (*.csv *.tsv *.txt)"
        )
        if name:
            self.read(Path(name))

    def read(self, path: Path) -> None:
        """Load points from a table; errors are shown as a message."""
        try:
            rows, _ = read_csv(path)
        except Exception as error:  # whatever the file is
            self._lesson.said.emit("error", explained(error))
            return
        self._lesson.set_rows(rows, zscore=True, **self._plain())

    # objects of an image

    def _open_objects(self, on: bool) -> None:
        """Open the section for objects, and show the image instead of the points."""
        if on and self.objects is None:
            from napari_dojo.widgets.classroom.objects import ObjectsSource

            self.objects = ObjectsSource(self._viewer)
            layout = self.objects_holder.layout()
            assert layout is not None
            layout.addWidget(self.objects)
            self.objects.points.connect(self._take_objects)
        self.aside.emit(on)

    def _take_objects(self, points: PointSet) -> None:
        self._taken = points.rows
        self._lesson.set(
            kind=points.kind,
            training=points.training,
            validation=points.validation,
            test=points.test,
            zscore=points.zscore,
            rows=points.rows,
            **self._plain(),
        )

    def _colour_objects(self) -> None:
        """Colour the objects by their predicted classes, if the network was trained on them."""
        session = self._lesson.session
        if self.objects is None or not self.objects_fold.button.isChecked() or self._lesson.problem:
            return
        if session.updates and session.setup.points.rows == self._taken:
            self.objects.show_prediction(session.decide)

    def end(self) -> None:
        """The panel is closing."""
        if self.objects is not None:
            self.objects.end()


def _that_matter(setup: Setup) -> Collection[str]:
    """The options that apply to a kind of points."""
    kind = setup.points.kind
    if kind == "custom":
        return ("kind", "training", "validation", "test", "zscore")
    return (*COMMON, *({"clusters": ("classes",), "formula": ("formula",)}.get(kind, ())))
