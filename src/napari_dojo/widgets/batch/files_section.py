"""Which images: folders, files, patterns and lists, a line each; what is included and excluded; where results go."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QTextOption
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QHBoxLayout,
    QLineEdit,
    QPlainTextEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_dojo.inference.tiff_sink import folder_for
from napari_dojo.io.selection import Selection
from napari_dojo.recipes.recipe import Recipe
from napari_dojo.widgets.common.form import Fold, PathEdit, described, form_layout

__all__ = ["FilesSection"]

LINES = 3  # of the box of images
PATTERNS = "patterns for names or paths, separated by commas, such as *_dapi.tif"


class FilesSection(QWidget):
    """Images and the folder of the results. ``changed`` says that something else is chosen."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.images = QPlainTextEdit()
        described(
            self.images,
            "Images",
            "Folders, files, patterns (plate1/**/*.tif) or lists (.txt), one a line. Subfolders count, too.",
        )
        self.images.setPlaceholderText("a folder, file or pattern, one a line")
        self.images.setTabChangesFocus(True)
        self.images.setWordWrapMode(QTextOption.WrapMode.WrapAnywhere)
        self.images.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.images.setMinimumWidth(100)
        self.images.setFixedHeight(int((LINES + 0.9) * self.images.fontMetrics().lineSpacing()) + 12)
        self.folder_button, self.files_button = QPushButton("+ folder"), QPushButton("+ files")
        described(self.folder_button, "Add a folder", "Add a folder of images, with its subfolders.")
        described(self.files_button, "Add files", "Add image files.")
        self.include, self.exclude = QLineEdit(), QLineEdit()
        described(self.include, "Include", f"Only these images: {PATTERNS}. Empty: all.")
        described(self.exclude, "Exclude", f"Without these images: {PATTERNS}.")
        for edit, text in ((self.include, "all"), (self.exclude, "none, or *_overview*")):
            edit.setPlaceholderText(text)
        self.subfolders = QCheckBox("with subfolders")
        described(self.subfolders, "With subfolders", "Images in subfolders of a folder count, too.")
        self.subfolders.setChecked(True)
        self.axes = QLineEdit()
        described(
            self.axes, "Axes", "What the dimensions of the images are, such as ZYX or CYX. Empty: as the files say."
        )
        self.axes.setPlaceholderText("as the files say")
        self.out = PathEdit(
            "Results folder", "Where results go. It is created if it does not exist; subfolders are kept."
        )
        self._lay_out()
        for edit in (self.include, self.exclude, self.axes):
            edit.textChanged.connect(lambda *_: self.changed.emit())
        self.images.textChanged.connect(self._images_changed)
        self.out.changed.connect(self.changed)
        self.subfolders.toggled.connect(lambda *_: self.changed.emit())
        self.folder_button.clicked.connect(self._add_folder)
        self.files_button.clicked.connect(self._add_files)

    def _lay_out(self) -> None:
        buttons, beside = QWidget(), QHBoxLayout()
        beside.setContentsMargins(0, 0, 0, 0)
        for widget in (self.folder_button, self.files_button):
            beside.addWidget(widget)
        beside.addStretch(1)
        buttons.setLayout(beside)
        more = QWidget()
        form = form_layout(more)
        form.addRow("", self.subfolders)
        form.addRow("Include", self.include)
        form.addRow("Exclude", self.exclude)
        form.addRow("Axes", self.axes)
        self.fold = Fold("Which of these images", more)
        main = form_layout()
        main.addRow("Images", self.images)
        main.addRow("", buttons)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(3)
        column.addLayout(main)
        column.addWidget(self.fold)

    @property
    def selection(self) -> Selection:
        """The images."""
        lines = [line.strip() for line in self.images.toPlainText().splitlines()]
        include, exclude = (_split(edit.text()) for edit in (self.include, self.exclude))
        return Selection(tuple(filter(None, lines)), include, exclude, self.subfolders.isChecked())

    @property
    def usual_out(self) -> str:
        """Where results go unless a person says otherwise: beside the first images."""
        inputs = self.selection.inputs
        return str(folder_for(inputs[0], "results")) if inputs else ""

    def show_recipe(self, recipe: Recipe) -> None:
        """Show what a recipe says, with relative paths from its folder."""

        def full(path: str) -> str:
            return str((recipe.base / Path(path).expanduser()).absolute())

        self.images.setPlainText("\n".join(map(full, recipe.files.inputs)))
        self.include.setText(", ".join(recipe.files.include))
        self.exclude.setText(", ".join(recipe.files.exclude))
        self.subfolders.setChecked(recipe.files.subfolders)
        self.axes.setText(recipe.axes or "")
        out = full(recipe.out) if recipe.out else ""
        self.out.edit.setText(out if out != self.usual_out else "")  # the usual one follows the images
        self.fold.button.setChecked(
            bool(recipe.files.include or recipe.files.exclude or recipe.axes or not recipe.files.subfolders)
        )

    def add(self, *paths: str) -> None:
        """Add lines."""
        there = self.images.toPlainText().rstrip("\n")
        self.images.setPlainText("\n".join([*([there] if there else []), *paths]))

    def colour(self, background: str) -> None:
        """Give the box of images the background that other fields have; napari's theme leaves it out."""
        self.images.setStyleSheet(f"QPlainTextEdit {{ background-color: {background}; border-radius: 2px; }}")

    def _images_changed(self) -> None:
        self.out.edit.setPlaceholderText(self.usual_out)
        self.changed.emit()

    def _add_folder(self) -> None:
        if chosen := QFileDialog.getExistingDirectory(self, "Folder of images", str(Path.home())):
            self.add(chosen)

    def _add_files(self) -> None:
        chosen, _ = QFileDialog.getOpenFileNames(self, "Images", str(Path.home()))
        if chosen:
            self.add(*chosen)


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())
