"""Show the code: network and training loop as a script, to read, copy and save."""

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
from napari_dojo.widgets.classroom.lesson import BaseLesson
from napari_dojo.widgets.common.form import described

__all__ = ["CodeWindow", "TextWindow"]

SCRIPTS = {"PyTorch": torch_script, "Keras": keras_script}


class TextWindow(QWidget):
    """A window with a read-only text."""

    def __init__(self, title: str, text: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent, Qt.WindowType.Window)
        self.setWindowTitle(title)
        self.resize(760, 680)
        self.text = QPlainTextEdit(text)
        self.text.setReadOnly(True)
        described(self.text, title, "Text to read and copy.")
        self.column = QVBoxLayout(self)
        self.column.addWidget(self.text, 1)


class CodeWindow(TextWindow):
    """The script of a lesson; it is updated when the lesson changes."""

    def __init__(self, lesson: BaseLesson, parent: QWidget | None = None) -> None:
        super().__init__("Dojo: the code", parent=parent)
        self._lesson = lesson
        self.box = QComboBox()
        self.box.addItems(list(SCRIPTS))
        described(self.box, "Library", "The script uses PyTorch or Keras.")
        self.text.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        self.text.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        described(self.text, "Script", "The script generates the same points and gives the same scores.")
        self.copy_button, self.save_button = QPushButton("Copy"), QPushButton("Save...")
        described(self.copy_button, "Copy", "Copy the script to the clipboard.")
        described(self.save_button, "Save", "Save the script to a file.")
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
        """Update the script when the window is shown."""
        super().showEvent(event)
        self.refresh()

    def refresh(self, *_: Any) -> None:
        """Update the script if the window is visible."""
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
        self.said.setText("Copied to the clipboard.")

    def _ask_save(self) -> None:
        start = f"{self._lesson.exercise.name or 'net'}_{self.box.currentText().lower()}.py"
        name, _ = QFileDialog.getSaveFileName(self, "Save the script", start, "Python (*.py)")
        if name:
            self.save(Path(name))

    def save(self, path: Path) -> None:
        """Save the script; errors are shown in the window."""
        try:
            path.write_text(self.text.toPlainText(), encoding="utf-8")
            self.said.setText(f"Saved {path.name}")
        except OSError as error:
            self.said.setText(explained(error))
