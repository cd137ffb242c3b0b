"""What the panels share: a scrolled column, the theme, and their end."""

from __future__ import annotations

from html import escape
from itertools import pairwise
from typing import Any

from qtpy.QtCore import QCoreApplication, QEvent, QSize, Qt, QTimer
from qtpy.QtWidgets import (
    QDockWidget,
    QFormLayout,
    QLabel,
    QMainWindow,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from napari_dojo.widgets.common.closing import watch_window
from napari_dojo.widgets.common.form import STEADY, Fold
from napari_dojo.widgets.common.pick import LayerWatch
from napari_dojo.widgets.common.plot import theme_colours

__all__ = ["Panel", "marked", "open_panel", "plain_viewer", "raised"]


BAR = 16  # px of a scroll bar
LINE = 10  # px between the middles of controls of one line
WIDTH = 350  # px, that a panel has when it opens
NARROW = 340  # px below which fields may need the room of labels
# px that labels have at least where a longer one is there: usually, and where there is no room
LABELS = {False: 110, True: 64}


def plain_viewer(viewer: Any) -> Any:
    """The viewer itself, where napari hands a proxy of it to plugins."""
    return getattr(viewer, "__wrapped__", viewer)


class Panel(QWidget):
    """A dock panel, 340 px wide or more."""

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self.viewer = plain_viewer(viewer)
        self.setMinimumWidth(320)
        self.column = QVBoxLayout()
        self.column.setContentsMargins(8, 6, 8, 6)
        self.column.setSpacing(4)
        inner = QWidget()
        inner.setLayout(self.column)
        area = QScrollArea()
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.setWidgetResizable(True)
        area.setFrameShape(QScrollArea.Shape.NoFrame)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setWidget(inner)
        self._area, self._scrolled = area, inner
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(area)
        self.footer = QVBoxLayout()  # what never scrolls out
        self.footer.setContentsMargins(8, 0, 8, 6)
        self.footer.setSpacing(4)
        outer.addLayout(self.footer)
        self.setStyleSheet(STEADY)
        self.watch = LayerWatch(self.viewer, self)
        self._leading: QPushButton | None = None
        self._aligned = self._narrow = False
        self.viewer.events.theme.connect(self._recolour)
        watch_window(self.viewer).closing.connect(self.end)
        self._docked = self._opened = False
        self._ended = False

    def sizeHint(self) -> QSize:  # noqa: N802
        """As narrow as is good to read."""
        return QSize(WIDTH, super().sizeHint().height())

    def end(self) -> None:
        """Listen no more; the panel is closing."""
        if not self._ended:
            self._ended = True
            self.watch.close()
            self.viewer.events.theme.disconnect(self._recolour)

    def closeEvent(self, event: Any) -> None:  # noqa: N802
        """The panel is closed."""
        self.end()
        super().closeEvent(event)

    def showEvent(self, event: Any) -> None:  # noqa: N802
        """Fonts have their size now."""
        super().showEvent(event)
        self.align()
        if self._opened:  # napari's menu shows a dock after it has put it in its place
            self._opened = False
            QTimer.singleShot(0, self._tab)

    def hideEvent(self, event: Any) -> None:  # noqa: N802
        """Closed by napari's menu, which also opens it again."""
        super().hideEvent(event)
        dock = self.parent()
        self._opened |= isinstance(dock, QDockWidget) and dock.isHidden()

    def event(self, event: QEvent | None) -> bool:
        """Napari takes a panel out of its dock when that is closed."""
        if event is not None and event.type() == QEvent.Type.ParentChange:
            if self._docked and self.parent() is None:
                self.end()
            if not self._docked and isinstance(self.parent(), QDockWidget):
                self._opened = True
                QTimer.singleShot(0, self._tab)  # napari is about to put the dock in its place
            self._docked = self.parent() is not None
        return bool(super().event(event))

    def _tab(self) -> None:
        """Lie among the tabs of the other panels of this side, before them, whatever opened this one."""
        dock = self.parent()
        window = dock.parent() if isinstance(dock, QDockWidget) else None
        if not isinstance(dock, QDockWidget) or not isinstance(window, QMainWindow) or dock.isFloating():
            return
        beside = [d for d in window.findChildren(QDockWidget) if d is not dock and _in_the_way(window, dock, d)]
        if beside and dock not in window.tabifiedDockWidgets(beside[0]):
            window.tabifyDockWidget(beside[0], dock)
        dock.raise_()

    def align(self) -> None:
        """Let the fields of all forms begin at one edge; those of folds, which have longer names, begin at theirs."""
        folds = [fold.findChildren(QFormLayout) for fold in self.findChildren(Fold)]
        folded = {form for forms in folds for form in forms}
        for forms in ([form for form in self.findChildren(QFormLayout) if form not in folded], *folds):
            labels = [w for f in forms for r in range(f.rowCount()) if (w := _label(f, r)) is not None]
            for label in labels:
                _at_least(label, 0)
            shown = (w for w in labels if (not w.isHidden() if forms in folds else w.isVisibleTo(self)))
            width = max((w.sizeHint().width() for w in shown), default=0)
            for label in labels:
                _at_least(label, min(width, LABELS[self._narrow]))
        self._aligned = True

    def resizeEvent(self, event: Any) -> None:  # noqa: N802
        """Where a narrow panel would be cut off, labels get less room, and fields no longer begin at one edge."""
        super().resizeEvent(event)
        width = event.size().width()
        narrow = width < NARROW and (self._narrow or self.column.minimumSize().width() > width - BAR)
        if self._aligned and narrow != self._narrow:
            self._narrow = narrow
            self.align()

    def tab_stops(self) -> list[QWidget]:
        """The visible controls that Tab reaches, from top to bottom and left to right; those below the scrolled part last."""
        found = [w for w in self.findChildren(QWidget) if w.isVisibleTo(self) and w.focusProxy() is None]
        found = [w for w in found if w.focusPolicy() & Qt.FocusPolicy.TabFocus and w.accessibleName()]
        scrolled = [w for w in found if self._scrolled.isAncestorOf(w)]
        return [*_by_eye(scrolled, self._scrolled), *_by_eye([w for w in found if w not in scrolled], self)]

    def focusNextPrevChild(self, forward: bool) -> bool:  # noqa: N802
        """Tab was pressed: follow what is shown now, with the rows and folds that were added and opened since."""
        self.order_tabs()
        return super().focusNextPrevChild(forward)

    def order_tabs(self) -> None:
        """Let Tab follow the eye."""
        for a, b in pairwise(self.tab_stops()):
            QWidget.setTabOrder(a, b)

    def lead(self, button: QPushButton | None) -> None:
        """Make this button look like the natural next step, and no other."""
        colours = theme_colours(self.viewer)
        self._leading = button
        for other in self.findChildren(QPushButton):
            style = (
                f"QPushButton:enabled {{ background-color: {colours['current']}; font-weight: bold; }}"
                if other is button
                else ""
            )
            if other.styleSheet() != style:
                other.setStyleSheet(style)

    def _recolour(self, event: Any = None) -> None:
        self.lead(self._leading)

    def settle(self) -> None:
        """Give widgets that came, went or have another text their places now, or they are painted once in too little room."""
        if self.isVisible():
            QCoreApplication.sendPostedEvents(None, QEvent.Type.LayoutRequest.value)

    def reveal(self, part: QWidget) -> None:
        """Scroll no more than needed to show a part of the panel, as it lies once all has its place."""
        if self.isVisible():
            self.settle()
            self._area.ensureWidgetVisible(part, 0, 0)

    def warn(self, text: str) -> None:
        """A notification of one sentence."""
        from napari.utils.notifications import show_warning

        show_warning(text)

    def warn_failed(self, text: str) -> None:
        """A notification of why a job gave nothing; a person who stopped it knows."""
        if not text.startswith("Stopped"):
            self.warn(text)

    def marked(self, level: str, text: str) -> str:
        """A finding as rich text, with a sign before it."""
        return marked(self.viewer, level, text)


def _by_eye(found: list[QWidget], inside: QWidget) -> list[QWidget]:
    """Widgets from top to bottom and left to right."""
    middles = {w: w.mapTo(inside, w.rect().center()) for w in found}
    lines: list[list[QWidget]] = []
    for w in sorted(found, key=lambda w: middles[w].y()):
        if not lines or middles[w].y() > middles[lines[-1][0]].y() + LINE:
            lines.append([])
        lines[-1].append(w)
    return [w for line in lines for w in sorted(line, key=lambda w: middles[w].x())]


def marked(viewer: Any, level: str, text: str) -> str:
    """A finding as rich text in the viewer's colours, with a sign before it."""
    colours = theme_colours(viewer)
    if level == "ok":
        return f'<span style="font-size: large"><b>✓</b></span> {escape(text)}'
    sign, colour = ("!", colours["warning"]) if level == "warning" else ("✗", "#D55E00")
    return f'<span style="color:{colour}"><b>{sign}</b></span> {escape(text)}'


def _in_the_way(window: QMainWindow, dock: QDockWidget, other: QDockWidget) -> bool:
    """Whether another dock takes its height from one."""
    same = window.dockWidgetArea(other) == window.dockWidgetArea(dock)
    return same and not other.isHidden() and not other.isFloating()


def _label(form: QFormLayout, row: int) -> QLabel | None:
    item = form.itemAt(row, QFormLayout.ItemRole.LabelRole)
    widget = item.widget() if item is not None else None
    return widget if isinstance(widget, QLabel) else None


def _at_least(label: QLabel, width: int) -> None:
    """Let a label be as wide as this or wider; Qt remembers how wide it would like to be with another minimum."""
    label.setMinimumWidth(width)
    label.setIndent(label.indent())  # so that it forgets


def open_panel(viewer: Any, kind: type[Panel], title: str) -> Any:
    """The panel of this kind in the viewer, opened where there is none."""
    viewer = plain_viewer(viewer)
    for widget in viewer.window.dock_widgets.values():
        if isinstance(widget, kind):
            raised(widget)
            return widget
    panel = kind(viewer)
    name = f"{title} (Dojo)"  # as napari's menu calls it, which then finds this one instead of opening another
    viewer.window.add_dock_widget(panel, name=name, area="right", tabify=True)
    raised(panel)
    return panel


def raised(panel: QWidget) -> None:
    """Bring a docked widget before the others of its place."""
    dock = panel.parent()
    if isinstance(dock, QWidget):
        dock.show()
        dock.raise_()
