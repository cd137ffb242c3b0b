"""What an earlier session left behind: painting that was not saved, and trainings that were cut off."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QBoxLayout, QFrame, QHBoxLayout, QLabel, QMessageBox, QPushButton, QVBoxLayout, QWidget

from napari_dojo.errors import DojoError
from napari_dojo.jobs.autosave import Draft, drafts, painted_in
from napari_dojo.jobs.runs import Run, sweep, unfinished
from napari_dojo.widgets.common.autosave import left_here
from napari_dojo.widgets.common.form import brief, described, sentence
from napari_dojo.widgets.common.latest import Latest
from napari_dojo.widgets.common.words import counted

__all__ = ["Unfinished"]

UNSAVED = {"labels": "Unsaved labels", "classes": "Unsaved object classes"}  # by kinds of drafts


class Unfinished(QFrame):
    """Offers the latest draft of a ``kind`` and, where ``runs``, the latest run; hidden where there is neither.

    ``draft_wanted`` : restore the autosave; ``run_wanted`` : resume training; ``changed`` : something was kept or discarded.
    """

    draft_wanted = Signal(object)
    run_wanted = Signal(object)
    changed = Signal()

    def __init__(self, viewer: Any, kind: str = "labels", runs: bool = True) -> None:
        super().__init__()
        self._viewer, self._kind, self._runs = viewer, kind, runs
        self._brief = False
        self.draft: Draft | None = None
        self.run: Run | None = None
        self._painted = ""
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(3)
        self.draft_line, self._draft_text = self._line(
            ("Continue", "Open the layers and the table as they were.", self._continue_draft),
            ("Discard", "Delete what was kept of this work.", self._discard_draft),
        )
        self.run_line, self._run_text = self._line(
            ("Continue", "Train on from where it was cut off.", self._continue_run),
            ("Keep", "Keep the best model so far, and end this training.", self._keep_run),
            ("Discard", "Delete this training and its model.", self._discard_run),
        )
        self._look = Latest(self)
        self._look.told.connect(self._found)
        self.setVisible(False)

    def refresh(self) -> None:
        """Look for what is there now, in a thread."""
        self._look.ask(_find, self._kind, left_here(self._viewer), self._runs)

    def be_brief(self, on: bool) -> None:
        """Take one line each; the rest is in the tooltip."""
        if on != self._brief:
            self._brief = on
            for line in (self.draft_line, self.run_line):
                layout = line.layout()
                if isinstance(layout, QBoxLayout):
                    layout.setDirection(QBoxLayout.Direction.LeftToRight if on else QBoxLayout.Direction.TopToBottom)
            self._say()

    def end(self) -> None:
        """The panel is closing."""
        self._look.forget()

    def _line(self, *buttons: tuple[str, str, Callable[[], None]]) -> tuple[QWidget, QLabel]:
        line = QWidget()
        column = QVBoxLayout(line)
        column.setContentsMargins(0, 0, 0, 4)
        column.setSpacing(2)
        text = sentence()
        column.addWidget(text, 1)
        row = QHBoxLayout()
        for label, tip, act in buttons:
            button = QPushButton(label)
            described(button, label, tip)
            button.clicked.connect(lambda _=False, act=act: act())
            row.addWidget(button)
        row.addStretch(1)
        column.addLayout(row)
        self._layout.addWidget(line)
        return line, text

    def _found(self, found: object) -> None:
        left = found if isinstance(found, LeftBehind) else LeftBehind()
        self.draft, self.run, self._painted = left.draft, left.run, left.painted
        self._say()
        if self.run is not None:
            keep = next(b for b in self.run_line.findChildren(QPushButton) if b.text() == "Keep")
            keep.setEnabled(self.run.card is not None)
            keep.setToolTip(
                "Keep the best model so far, and end this training."
                if self.run.card
                else "No model was saved yet: continue or discard it."
            )
        self.draft_line.setVisible(self.draft is not None)
        self.run_line.setVisible(self.run is not None)
        self.setVisible(self.draft is not None or self.run is not None)
        self.changed.emit()

    def _say(self) -> None:
        """What there is, or in brief its first words."""
        if self.draft is not None:
            when = f"{datetime.fromtimestamp(self.draft.when):%H:%M on %d %B}"
            what = f"{UNSAVED[self._kind]}: {brief(self.draft.title)}, {self._painted}, {when}. They open as they were."
            self._tell(self._draft_text, what)
        if self.run is not None:
            share = f"{self.run.share:.0%}" if self.run.share else "nothing saved yet"
            what = f"Unfinished training: {brief(self.run.model.name)}, {share}. Its images were kept."
            self._tell(self._run_text, what)

    def _tell(self, label: QLabel, text: str) -> None:
        label.setText(escape(text.partition(":")[0] if self._brief else text))
        label.setToolTip(escape(text) if self._brief else "")

    def _continue_draft(self) -> None:
        draft, self.draft = self.draft, None
        self.draft_line.setVisible(False)
        if draft is not None:
            self.draft_wanted.emit(draft)
        self.refresh()

    def _discard_draft(self) -> None:
        if self.draft is not None:
            what = UNSAVED[self._kind].lower()
            text = f"Discard the {what} of {self.draft.title} ({self._painted})? They cannot be brought back."
            if not self.ask(text):
                return
            self.draft.discard()
        self.refresh()

    def _continue_run(self) -> None:
        run, self.run = self.run, None
        self.run_line.setVisible(False)
        if run is not None:
            self.run_wanted.emit(run)

    def _keep_run(self) -> None:
        if self.run is not None:
            self.run.keep()
        self.refresh()

    def _discard_run(self) -> None:
        if self.run is not None:
            model = f"its model ({self.run.share:.0%} trained)" if self.run.card else "its images"
            if not self.ask(f"Discard the training {self.run.model.name} and {model}? They cannot be brought back."):
                return
            self.run.discard()
        self.refresh()

    def ask(self, text: str) -> bool:
        """Ask whether to discard something."""
        box = QMessageBox(QMessageBox.Icon.Question, "Discard", text, parent=self)
        discard = box.addButton("Discard", QMessageBox.ButtonRole.DestructiveRole)
        box.setDefaultButton(box.addButton("Keep", QMessageBox.ButtonRole.RejectRole))
        box.exec()
        return box.clickedButton() is discard


@dataclass(frozen=True, eq=False)
class LeftBehind:
    """The latest painting that was not saved, and the latest training that was cut off."""

    draft: Draft | None = None
    run: Run | None = None
    painted: str = ""  # what the painting holds, in words


def _find(kind: str, here: Collection[Path], runs: bool) -> LeftBehind:
    """What an earlier session left, or this one unless it lies ``here``; what can no longer be used is swept away."""
    try:
        sweep()
        draft = next((d for d in drafts() if d.kind == kind and d.folder not in here), None)
        run = next(iter(unfinished()), None) if runs else None
        return LeftBehind(draft, run, "" if draft is None else _painted(draft))
    except (OSError, DojoError):
        return LeftBehind()


def _painted(draft: Draft) -> str:
    """What a draft holds: "24 objects"."""
    objects, layers = painted_in(draft.read())
    what = counted(objects, "object") + (" or classes" if draft.kind == "labels" else "")
    return f"{what} in {layers} layers" if layers > 1 else what
