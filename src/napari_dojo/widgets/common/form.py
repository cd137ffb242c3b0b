"""What panels are built from beside magicgui's widgets: folds, name boxes, paths, wrapped text, the layout of forms."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import takewhile
from math import ceil
from operator import eq
from pathlib import Path

from qtpy.QtCore import QEvent, QObject, QSettings, QSize, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QFontMetrics, QPaintEvent, QTextDocument
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QStackedWidget,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_dojo.paths import home

__all__ = [
    "NARROW",
    "NO_ARROW",
    "STEADY",
    "TIGHT",
    "Fold",
    "NameBox",
    "PathEdit",
    "ProgressBar",
    "brief",
    "calm",
    "described",
    "form_layout",
    "job_strip",
    "memory",
    "narrow",
    "sentence",
    "shortened",
    "side_by_side",
    "tight",
]

# napari's leaves more room around the text, and gives a disabled one a border of 1 px.
NARROW = "QComboBox { padding: 3px 0px 3px 4px; } QComboBox:disabled { padding: 2px 0px 2px 3px; }"
STEADY = "QPushButton:disabled { padding: 3px; } "  # as high as enabled: napari gives it a border of 1 px
TIGHT = "padding: 0px 7px;"  # of a label without room above and below, see `tight`
LONG = re.compile(r"""<[^>]*>|[^\s<>"'/\\:;&=-]{25,}""")  # a tag, which stays as it is, or a name that is broken
BREAK = "\u200b"  # where a line may end
NO_ARROW = "QToolButton::menu-indicator { image: none; }"


class Fold(QWidget):
    """A heading that shows or hides what belongs to it; under a ``key``, whether it is open is remembered."""

    def __init__(self, title: str, body: QWidget, key: str = "", is_open: bool = False) -> None:
        super().__init__()
        self._key = key
        self.button = QToolButton()
        self.button.setText(title)
        self.button.setCheckable(True)
        self.button.setAutoRaise(True)
        self.button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.button.setArrowType(Qt.ArrowType.RightArrow)
        self.button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.button.setStyleSheet("QToolButton { border: none; background: transparent; text-align: left; }")
        described(self.button, title, f"Show or hide: {title}")
        self.body = body
        body.setVisible(False)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.button)
        layout.addWidget(body)
        self.button.toggled.connect(self._show)
        self.button.setChecked(memory().value(f"open/{key}", is_open, bool) if key else is_open)
        self.button.toggled.connect(self._remember)

    def _remember(self, on: bool) -> None:
        if self._key:
            memory().setValue(f"open/{self._key}", on)

    def _show(self, on: bool) -> None:
        self.button.setArrowType(Qt.ArrowType.DownArrow if on else Qt.ArrowType.RightArrow)
        self.body.setVisible(on)


class NameBox(QComboBox):
    """A choice among names, of which long ones lose their middle: what tells them apart stands at their ends."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        narrow(self)

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802
        """Draw the box, and of the name what there is room for."""
        option, style = QStyleOptionComboBox(), self.style()
        self.initStyleOption(option)
        if style is None:
            return
        field = style.subControlRect(
            QStyle.ComplexControl.CC_ComboBox, option, QStyle.SubControl.SC_ComboBoxEditField, self
        )
        text = option.currentText if self.currentIndex() >= 0 else self.placeholderText()
        others = (self.itemText(i) for i in range(self.count()))
        option.currentText = shortened(text or "", others, option.fontMetrics, field.width() - 2)
        painter = QStylePainter(self)
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)


def shortened(name: str, others: Iterable[str], metrics: QFontMetrics, width: int) -> str:
    """What there is room for of a name: its ends, or where these are those of another name, too, the part that differs."""
    middle = Qt.TextElideMode.ElideMiddle
    short = metrics.elidedText(name, middle, width)
    if short == name:
        return name
    alike = [x for x in others if x != name and metrics.elidedText(x, middle, width) == short]
    if not alike:
        return short
    at = max(sum(takewhile(bool, map(eq, name, x))) for x in alike)  # letters that are the same from the start on
    while at and name[at - 1].isdigit():  # a number is shown from its start
        at -= 1
    return metrics.elidedText(f"…{name[at:]}", Qt.TextElideMode.ElideRight, width)


def brief(name: str, most: int = 30) -> str:
    """A name for a sentence: a long one loses its middle, because a label breaks lines only between words."""
    kept = most // 2
    return name if len(name) <= most else f"{name[:kept]}…{name[-kept:]}"


class PathEdit(QWidget):
    """A folder, typed or browsed for. ``changed`` says that it is another one."""

    changed = Signal()

    def __init__(self, name: str, tip: str) -> None:
        super().__init__()
        self.edit = QLineEdit()
        described(self.edit, name, tip)
        self.button = QPushButton("...")
        self.button.setFixedWidth(28)
        described(self.button, f"Browse: {name}", f"Choose a folder. {tip}")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(3)
        row.addWidget(self.edit, 1)
        row.addWidget(self.button)
        self.edit.textChanged.connect(lambda *_: self.changed.emit())
        self.button.clicked.connect(self._browse)

    @property
    def path(self) -> str:
        """What stands in it; empty where nothing does."""
        return self.edit.text().strip()

    def ask(self) -> str:
        """Let a person choose a folder; empty where they did not."""
        return QFileDialog.getExistingDirectory(self, self.edit.accessibleName(), self.path or str(Path.home()))

    def _browse(self) -> None:
        if chosen := self.ask():
            self.edit.setText(chosen)


def memory() -> QSettings:
    """What panels remember from one session to the next."""
    return QSettings(str(home() / "panels.ini"), QSettings.Format.IniFormat)


class _Calm(QObject):
    """Lets the wheel scroll the panel, unless the field was chosen first."""

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802
        if (
            event is not None
            and event.type() == QEvent.Type.Wheel
            and isinstance(watched, QWidget)
            and not watched.hasFocus()
        ):
            event.ignore()
            return True
        return False


def calm(editor: QWidget) -> None:
    """Keep the wheel from changing a field that was not chosen."""
    editor.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    editor.installEventFilter(_Calm(editor))


def narrow(box: QComboBox) -> None:
    """Let a box be as wide as there is room, however long its texts are; the wheel does not change it."""
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(6)
    box.setStyleSheet(NARROW)
    box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    calm(box)


def described(widget: QWidget, name: str, tip: str) -> None:
    """Give a control its accessible name and its tooltip."""
    widget.setAccessibleName(name)
    widget.setToolTip(tip)


def _broken(text: str) -> str:
    """A long name with places where a line may end; a tag as it is."""
    return text if text.startswith("<") else BREAK.join(re.findall(".{1,8}", text))


class _Sentence(QLabel):
    """A label that wraps, also within long names, and is never lower than some lines of its font, whether its text is plain or rich."""

    def __init__(self, text: str, lines: int) -> None:
        super().__init__()
        self._text = ""
        self.setText(text)
        self._lines = lines
        self._room: tuple[str, int] = ("", 0)  # the font, and px of the lines in it
        self.setWordWrap(True)

    def text(self) -> str:
        """As it was set."""
        return self._text

    def setText(self, text: str | None) -> None:  # noqa: N802
        """Show this; Qt breaks lines between words alone, and a name may be wider than the panel."""
        self._text = text or ""
        super().setText(LONG.sub(lambda found: _broken(found[0]), self._text))

    def heightForWidth(self, width: int) -> int:  # noqa: N802
        """What the text needs, at least the room for all lines."""
        return max(super().heightForWidth(width), self._least())

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """As narrow as any panel."""
        return QSize(10, self._least())

    def sizeHint(self) -> QSize:  # noqa: N802
        """As low as it may be: the height for its width counts, not that for a width that Qt would like."""
        return QSize(super().sizeHint().width(), self._least())

    def _least(self) -> int:
        """The height of all lines in the font as it is now: a theme changes it after the label was made."""
        font = self.font()
        if self._room[0] != font.key():
            page = QTextDocument()
            page.setDocumentMargin(0)
            page.setDefaultFont(font)
            page.setHtml("<br>".join("x" * self._lines))
            plain = self._lines * self.fontMetrics().lineSpacing()
            self._room = font.key(), max(plain, ceil(page.size().height()))
        return self._room[1]


def sentence(text: str = "", lines: int = 1) -> QLabel:
    """A label that wraps, with room for ``lines`` lines from the start."""
    label = _Sentence(text, lines)
    label.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
    return label


def tight(label: QLabel) -> QLabel:
    """The label without room above and below its text; Qt's indent is there on all sides."""
    label.setIndent(0)
    label.setStyleSheet(TIGHT)
    return label


def form_layout(parent: QWidget | None = None) -> QFormLayout:
    """One column of labels, one of fields, no margins."""
    layout = QFormLayout()
    if parent is not None:
        parent.setLayout(layout)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setVerticalSpacing(3)
    layout.setHorizontalSpacing(8)
    layout.setLabelAlignment(Qt.AlignmentFlag.AlignLeft)
    layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    return layout


def side_by_side(*widgets: QWidget, stretch: int = 0) -> QWidget:
    """Widgets in a row; ``stretch`` : times that the first is as wide as the others, where there is room."""
    line, row = QWidget(), QHBoxLayout()
    row.setContentsMargins(0, 0, 0, 0)
    for k, widget in enumerate(widgets):
        row.addWidget(widget, 0 if not stretch else 1 if k else stretch)
    line.setLayout(row)
    return line


class ProgressBar(QProgressBar):
    """How far a job is.

    Each change of any widget composes the whole window with napari's canvas, tens of milliseconds without a graphics card. So it is
    painted once for a change, and never moves by itself, as bars without an end do.
    """

    def tell(self, done: int, total: int, text: str) -> None:
        """Show ``done`` of ``total``, and a text."""
        if (done, max(1, total), text) == (self.value(), self.maximum(), self.format()):
            return
        self.setUpdatesEnabled(False)  # each of these would paint
        self.setRange(0, max(1, total))
        self.setValue(done)
        self.setFormat(text)
        self.setUpdatesEnabled(True)


def job_strip(start: QWidget, running: QWidget, tip: str) -> tuple[QStackedWidget, ProgressBar, QLabel]:
    """What starts a job, in whose place is what stops it while it runs; its progress, explained by ``tip``; what happened."""
    buttons = QStackedWidget()
    buttons.addWidget(start)
    buttons.addWidget(running)
    buttons.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
    progress = ProgressBar()
    progress.setFormat("")
    described(progress, "Progress", tip)
    message = sentence(lines=3)
    message.setAccessibleName("What happened")
    message.setTextInteractionFlags(Qt.TextInteractionFlag.TextBrowserInteraction)
    message.setOpenExternalLinks(True)
    return buttons, progress, message
