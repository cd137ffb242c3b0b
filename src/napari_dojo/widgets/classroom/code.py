"""Show the code: the very net and loop as a script, to read, copy and save."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QFontDatabase, QGuiApplication
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_dojo.errors import DojoError, explained
from napari_dojo.playground.scripts import keras_script, torch_script
from napari_dojo.widgets.classroom.lesson import Lesson
from napari_dojo.widgets.common.form import described

__all__ = ["CodeWindow", "TextWindow"]

SCRIPTS = {"PyTorch": torch_script, "Keras": keras_script}


class TextWindow(QWidget):
    """A text to read in a window of its own."""

    def __init__(self, title: str, text: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent, Qt.WindowType.Window)
        self.setWindowTitle(title)
        self.resize(760, 680)
        self.text = QPlainTextEdit(text)
        self.text.setReadOnly(True)
        described(self.text, title, "To read and to copy from.")
        self.column = QVBoxLayout(self)
        self.column.addWidget(self.text, 1)


class CodeWindow(TextWindow):
    """The script of a lesson; it follows the lesson."""

    def __init__(self, lesson: Lesson, parent: QWidget | None = None) -> None:
        super().__init__("Dojo: the code", parent=parent)
        self._lesson = lesson
        self.box = QComboBox()
        self.box.addItems(list(SCRIPTS))
        described(self.box, "Library", "The same net in PyTorch, or as in the course in Keras.")
        self.text.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        self.text.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        described(self.text, "Script", "It draws the same points, and comes to the same numbers.")
        self.copy_button, self.save_button = QPushButton("Copy"), QPushButton("Save...")
        described(self.copy_button, "Copy", "Put the script into the clipboard.")
        described(self.save_button, "Save", "Write the script to a file.")
        self.said = QLabel()
        row = QHBoxLayout()
        row.addWidget(self.box)
        row.addWidget(self.copy_button)
        row.addWidget(self.save_button)
        row.addWidget(self.said, 1)
        self.column.insertLayout(0, row)
        self.box.currentIndexChanged.connect(self.refresh)
        self.copy_button.clicked.connect(self._copy)
        self.save_button.clicked.connect(self._ask_save)
        lesson.changed.connect(self.refresh)

    def showEvent(self, event: Any) -> None:  # noqa: N802
        """Somebody looks."""
        super().showEvent(event)
        self.refresh()

    def refresh(self, *_: Any) -> None:
        """Write the script anew, if somebody looks."""
        if not self.isVisible():
            return
        try:
            script = SCRIPTS[self.box.currentText()](self._lesson.session.setup)
        except DojoError as error:
            script = f"# {error}\n"
        self.said.setText("")
        if script != self.text.toPlainText():
            self.text.setPlainText(script)

    def _copy(self) -> None:
        board = QGuiApplication.clipboard()
        if board is not None:
            board.setText(self.text.toPlainText())
        self.said.setText("It is in the clipboard.")

    def _ask_save(self) -> None:
        start = f"{self._lesson.exercise.name or 'net'}_{self.box.currentText().lower()}.py"
        name, _ = QFileDialog.getSaveFileName(self, "Save the script", start, "Python (*.py)")
        if name:
            self.save(Path(name))

    def save(self, path: Path) -> None:
        """Write the script; what went wrong is said."""
        try:
            path.write_text(self.text.toPlainText(), encoding="utf-8")
            self.said.setText(f"Written: {path.name}")
        except OSError as error:
            self.said.setText(explained(error))
