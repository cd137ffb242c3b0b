"""How a training in the classroom goes: epochs and updates in one line, and below it the most important message."""

from __future__ import annotations

from html import escape
from typing import Any

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QLabel, QSizePolicy, QVBoxLayout, QWidget

from napari_dojo.playground.counts import split_words, update_sum
from napari_dojo.playground.glossary import explain
from napari_dojo.widgets.classroom.lesson import BaseLesson
from napari_dojo.widgets.classroom.play import SPEEDS, Player
from napari_dojo.widgets.common.form import sentence
from napari_dojo.widgets.common.panel import marked
from napari_dojo.widgets.common.plot import theme_colours

__all__ = ["Progress"]

STATUS = 180  # ms between updates of the status line
SAFE_RATE = 0.05


class Progress(QWidget):
    """Status line and message of a lesson.

    Attributes
    ----------
    status, message : the two labels.
    """

    def __init__(self, viewer: Any, lesson: BaseLesson, player: Player) -> None:
        super().__init__()
        self._viewer, self._lesson, self._player = viewer, lesson, player
        self._remark = ("", "")  # the latest message: level and text
        self.status = QLabel()
        self.status.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.message = sentence()
        self.message.setAccessibleName("Message")
        self.message.setTextInteractionFlags(Qt.TextInteractionFlag.TextBrowserInteraction)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.status)
        layout.addWidget(self.message)
        self._timer = QTimer(self)
        self._timer.setInterval(STATUS)
        self._timer.timeout.connect(self._show_status)
        self.message.linkActivated.connect(self._fix)
        lesson.said.connect(self.said)
        lesson.changed.connect(self.refresh)
        lesson.moved.connect(self._moved)
        player.turned.connect(self._turned)
        self.refresh()

    def end(self) -> None:
        """Update no more."""
        self._timer.stop()

    def refresh(self) -> None:
        """Show status and message as they are now."""
        self._show_status()
        self._say()

    def clear(self) -> None:
        """Forget the latest message."""
        self._remark = ("", "")
        self._say()

    def said(self, level: str, text: str) -> None:
        """Show a message ("ok", "warning" or "error") until the next one."""
        self._remark = (level, text)
        self._say()

    def _moved(self) -> None:
        if not self._player.playing:
            self.refresh()

    def _turned(self) -> None:
        """Playing started or stopped."""
        if self._player.playing:
            self._remark = ("", "")
            self._timer.start()
        else:
            self._timer.stop()
        self.refresh()

    def _say(self) -> None:
        """Show the most important message: a problem, the latest event, why training ended, or a warning."""
        lesson, session = self._lesson, self._lesson.session
        level, text, more = "", "", ""
        if self._remark[0] == "error":
            level, text = self._remark
        elif lesson.problem:
            level, text = "warning" if lesson.pending else "error", lesson.problem
        elif self._remark[1]:
            level, text = self._remark
        elif session.ended:
            level, text, more = "error" if session.diverged else "ok", str(session.ended), self._fix_link()
        elif lesson.remarks:
            level, text = "warning", lesson.remarks[0]
        elif self._done():
            level, text = "ok", f"Finished {session.epochs:,} epochs. Press Play to continue."
        # A tick in the normal font size, so that nothing below moves.
        shown = f"✓ {escape(text)}" if level == "ok" else marked(self._viewer, level, text) + more if text else ""
        if self.message.text() != shown:
            self.message.setText(shown)

    def _fix_link(self) -> str:
        """A link that fixes the problem, if one click can."""
        if not self._lesson.session.diverged or not self._lesson.may("learning_rate"):
            return ""
        return f' <a href="rate" style="color:{theme_colours(self._viewer)["text"]}">Use {self._smaller():g}.</a>'

    def _smaller(self) -> float:
        """The learning rate that the session suggests after divergence."""
        return float(min(self._lesson.wanted.learning.learning_rate / 10, SAFE_RATE))

    def _fix(self, link: str) -> None:
        self._lesson.set(learning_rate=self._smaller())

    def _done(self) -> bool:
        session = self._lesson.session
        return not self._player.playing and bool(session.epochs >= session.setup.learning.epochs)

    def _show_status(self) -> None:
        session = self._lesson.session
        n, batch = session.data.counts[0], session.setup.learning.batch_size
        epochs = f"epoch {session.epochs:,} of {session.setup.learning.epochs:,}"
        updates = f"{session.updates:,} update{'' if session.updates == 1 else 's'}"
        words = split_words(session.data.counts, session.word)
        text = words if self._lesson.drawn and not session.updates else f"{epochs}, {updates}"
        if self.status.text() != text:
            self.status.setText(text)
            tip = f"Updates per epoch: {update_sum(n, batch)}. {explain('epoch')} {explain('update')}"
            self.status.setToolTip(f"{words}. {tip} Speed: {SPEEDS[self._player.speed][0]}.")
