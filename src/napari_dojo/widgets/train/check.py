"""The check before training: what was understood, what is wrong and what to do, live as the choices change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from qtpy.QtCore import QObject, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from napari_dojo.device import Device, probe
from napari_dojo.models.card import read_card
from napari_dojo.settings import TrainSettings, checked
from napari_dojo.tasks import Finding, Task
from napari_dojo.training.prepare import Setup, prepare
from napari_dojo.training.start import AUTO, NONE
from napari_dojo.widgets.common.form import described, sentence
from napari_dojo.widgets.common.later import later
from napari_dojo.widgets.common.latest import Latest
from napari_dojo.widgets.common.training_data import LARGEST, Material

__all__ = ["Asked", "Check", "Findings", "Seen", "best_device", "look_at"]

ORDER = ("error", "warning", "ok")
DELAY = 350  # ms after the last change
best_device = cache(probe)


@dataclass(frozen=True, eq=False)
class Seen:
    """What the check shows; ``setup`` None where there was too much to look at."""

    findings: tuple[Finding, ...]
    setup: Setup | None = None


@dataclass(frozen=True, eq=False)
class Asked:
    """What a person chose; ``device`` None while it is not known yet; ``start`` "auto", "none" or the path of a model."""

    task: Task
    material: Material
    options: dict[str, Any]
    settings: dict[str, Any]
    start: str = NONE
    device: Device | None = None


def look_at(asked: Asked) -> Seen:
    """Look at the data; takes a while, call it in a thread.

    Raises
    ------
    DojoError : where they cannot be trained on.
    """
    if asked.material.pixels > LARGEST:
        told = () if asked.device is None else (Finding("ok", asked.device.sentence),)
        return Seen((Finding("ok", "Large images: they are checked when training starts."), *told))
    options: Any = checked(asked.task.options, asked.options)
    dataset, notes = asked.material.dataset(asked.task, options)
    start: Any = asked.start if asked.start == AUTO else None if asked.start == NONE else read_card(asked.start)
    setup = prepare(dataset, asked.task, options, checked(TrainSettings, asked.settings), asked.device, start)
    return Seen((*setup.findings, *(Finding("warning", note) for note in notes)), setup)


class Check(QObject):
    """Looks at the data in a thread, a moment after the last change.

    ``due`` : it is time to ``look`` at what is chosen now; ``looked`` : a Seen, or the exception that came; ``probed`` : the
    Device that was asked for.
    """

    due = Signal()
    looked = Signal(object)
    probed = Signal(object)

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._device: tuple[str, Device | None] = ("", None)
        self._soon = later(self, DELAY, self.due)
        self._looking, self._probing = Latest(self), Latest(self)
        self._looking.told.connect(self.looked)
        self._probing.told.connect(self._probed)

    def later(self) -> None:
        """Something changed: what was found no longer holds."""
        self._soon.start()

    def forget(self) -> None:
        """Drop what is being looked at."""
        self._looking.forget()

    def stop(self) -> None:
        """Look no more until the next change."""
        self._soon.stop()
        self.forget()

    def end(self) -> None:
        """The panel is closing."""
        self.stop()
        self._probing.forget()

    def look(self, asked: Asked) -> None:
        """Look at the data; the device is asked for once, and the check then repeated with it."""
        wanted = asked.settings["device"]
        if self._device[0] != wanted:
            self._device = (wanted, None)
            self._probing.ask(best_device, wanted)
        self._looking.ask(look_at, replace(asked, device=self._device[1]))

    def _probed(self, found: object) -> None:
        self._device = (self._device[0], found if isinstance(found, Device) else None)
        if isinstance(found, Device):
            self.probed.emit(found)
        self.later()


class Findings(QWidget):
    """Lines with a sign, the worst first, each with its fixes as buttons. ``fix`` says which was pressed."""

    fix = Signal(object, object)  # Fix, Finding

    def __init__(self, marked: Callable[[str, str], str], lines: int = 4) -> None:
        super().__init__()
        self._marked = marked
        self._shown: tuple[Finding, ...] = ()
        self._brief, self._lines = False, lines
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(2)
        self._reserve()
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
        self.setAccessibleName("Check before the start")

    def _reserve(self) -> None:
        """Room for the usual lines, so that nothing jumps."""
        self.setMinimumHeight((1 if self._brief else self._lines) * (self.fontMetrics().lineSpacing() + 2))

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is shown."""
        return self._shown

    def text(self) -> str:
        """All lines."""
        return "\n".join(f"{'✓' if f.level == 'ok' else '!'} {f.text}" for f in self._shown)

    def button(self, label: str) -> QPushButton | None:
        """The fix with this label, if it is offered."""
        return next((b for b in self.findChildren(QPushButton) if b.text() == label and not b.isHidden()), None)

    def be_brief(self, on: bool) -> None:
        """Of what is fine say only the first; the rest is in the tooltip."""
        if on != self._brief:
            self._brief = on
            self._reserve()
            self.recolour()

    def show_findings(self, findings: Sequence[Finding]) -> None:
        """Show these in the place of what was there."""
        ordered = tuple(sorted(findings, key=lambda f: ORDER.index(f.level)))
        with suppress(ValueError):  # fixes may hold arrays, which do not compare: they are shown again
            if ordered == self._shown:
                return
        self._shown = ordered
        while (item := self._layout.takeAt(0)) is not None:
            if (old := item.widget()) is not None:
                old.hide()
                old.setParent(None)
                old.deleteLater()
        for finding in ordered:
            if finding.level != "ok":
                self._layout.addWidget(self._line(finding))
        fine = [f for f in ordered if f.level == "ok"]
        if fine:
            good = len(fine) == len(ordered)  # a tick beside an open question would say that all is well
            text = ". ".join(f.text.rstrip(".") for f in fine) + "."
            fixes = tuple(fix for f in fine for fix in f.fixes)
            short = f"{fine[0].text.rstrip('.')} ..." if self._brief and len(fine) > 1 else text
            self._layout.addWidget(self._line(Finding("ok", text, fixes), sign=good, shown=short))

    def recolour(self) -> None:
        """Take the theme's colours, and show all again."""
        shown, self._shown = self._shown, ()
        self.show_findings(shown)

    def _line(self, finding: Finding, sign: bool = True, shown: str = "") -> QWidget:
        line = QWidget()
        grid = QGridLayout(line)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(6)
        grid.setVerticalSpacing(1)
        grid.setColumnStretch(1, 1)
        mark = QLabel(self._marked(finding.level, "") if sign else "")
        mark.setFixedWidth(14)
        mark.setAlignment(Qt.AlignmentFlag.AlignTop)
        text = sentence(shown or finding.text)
        text.setToolTip(finding.text)
        grid.addWidget(mark, 0, 0)
        grid.addWidget(text, 0, 1)
        if finding.fixes:
            row = QHBoxLayout()
            row.setSpacing(8)
            for fix in finding.fixes:
                button = QPushButton(fix.label)
                described(button, fix.label, f"{fix.label}: {finding.text}")
                button.clicked.connect(lambda _=False, fix=fix: self.fix.emit(fix, finding))
                row.addWidget(button)
            row.addStretch(1)
            grid.addLayout(row, 1, 1)
        return line
