"""The network in the panel: its diagram, the number of layers and parameters, and editing of weights."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QPainter
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QLabel,
    QSizePolicy,
    QStackedWidget,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_dojo.playground.counts import parameter_sum
from napari_dojo.playground.glossary import explain
from napari_dojo.playground.net import LARGEST
from napari_dojo.playground.settings import MOST_LAYERS
from napari_dojo.widgets.classroom.lesson import Lesson, unit_name
from napari_dojo.widgets.classroom.netview import Link, NetView
from napari_dojo.widgets.common.form import calm, described, narrow

__all__ = ["NetSection"]

NEW_UNITS = 4  # of a layer that is added


class NetSection(QWidget):
    """Shows and edits the network of a lesson.

    Signals
    -------
    shown : layer and unit of the neuron whose output to show on the canvas, or None.
    """

    shown = Signal(object)

    def __init__(self, viewer: Any, lesson: Lesson) -> None:
        super().__init__()
        self._lesson = lesson
        self.view = NetView(viewer, lesson)
        self.holder = QWidget()  # the place of the diagram, also while it is in a separate window
        self.window_: _Window | None = None
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(self._head())
        inside = QVBoxLayout(self.holder)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.addWidget(self.view)
        layout.addWidget(self.holder)
        layout.addWidget(self._foot())
        self.view.unit_picked.connect(self._unit_picked)
        self.view.link_picked.connect(self._link_picked)
        lesson.changed.connect(self.refresh)
        lesson.moved.connect(self._show_value)
        self.refresh()

    def _head(self) -> QHBoxLayout:
        self.less_button, self.more_button, self.detach_button = QToolButton(), QToolButton(), QToolButton()
        self.less_button.setText("−")
        self.more_button.setText("+")
        self.detach_button.setText("⇱")
        self.detach_button.setCheckable(True)
        described(
            self.detach_button, "Separate window", "Show the network in a separate window, for example on a projector."
        )
        self.layers, self.sum = QLabel(), _Elided()
        self.layers.setToolTip(explain("hidden layers"))
        row = QHBoxLayout()
        row.setSpacing(3)
        title = QLabel("layers")
        title.setToolTip(explain("hidden layers"))
        for widget in (title, self.less_button, self.layers, self.more_button):
            row.addWidget(widget)
        row.addWidget(self.sum, 1)
        row.addWidget(self.detach_button)
        self.less_button.clicked.connect(lambda: self._layers(-1))
        self.more_button.clicked.connect(lambda: self._layers(1))
        self.detach_button.toggled.connect(self.detach)
        return row

    def _foot(self) -> QStackedWidget:
        self.name = QLabel()
        self.link_box = QComboBox()
        described(self.link_box, "Weight or bias", f"{explain('weight')} {explain('bias')}")
        narrow(self.link_box)
        self.value_box = QDoubleSpinBox()
        self.value_box.setDecimals(4)
        self.value_box.setRange(-LARGEST, LARGEST)
        self.value_box.setSingleStep(0.1)
        self.value_box.setKeyboardTracking(False)
        self.value_box.setMinimumWidth(100)
        calm(self.value_box)
        chosen = QWidget()
        row = QHBoxLayout(chosen)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        row.addWidget(self.name)
        row.addWidget(self.link_box, 1)
        row.addWidget(self.value_box, 1)
        self.link_box.activated.connect(self._link_chosen)
        self.value_box.valueChanged.connect(self._set_value)
        self.foot = QStackedWidget()
        ask = QLabel("Click a neuron or a connection.")
        ask.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.foot.addWidget(ask)
        self.foot.addWidget(chosen)
        self.foot.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        return self.foot

    # what is shown

    def refresh(self) -> None:
        """Show the lesson's network."""
        net = self._lesson.session.setup.net
        n, may = len(net.hidden), self._lesson.may("hidden")
        self.layers.setText(str(n))
        self.sum.setText(parameter_sum(net))
        self.sum.setToolTip(f"Parameters: {parameter_sum(net)}. {explain('parameters')}")
        why = "" if may else " Locked in this exercise."
        self.less_button.setEnabled(may and n > 0)
        self.more_button.setEnabled(may and n < MOST_LAYERS)
        described(self.less_button, "Fewer layers", f"Remove the last hidden layer.{why}")
        described(self.more_button, "More layers", f"Add a hidden layer of {NEW_UNITS} units.{why}")
        self._show_unit()

    def _show_unit(self) -> None:
        """Show the selected neuron with its bias and weights to choose from."""
        unit, link = self.view.unit, self.view.link
        if link is not None:
            unit = (link.layer, link.unit)
        names = ["bias"]
        if unit is not None and unit[0] >= 0:
            names += [f"from {name}" for name in self._lesson.session.setup.net.sources(unit[0])]
        self.link_box.blockSignals(True)
        self.link_box.clear()
        for row, text in enumerate(names):
            self.link_box.addItem(text, row - 1 if row else None)
        chosen = link.before if link is not None else None
        self.link_box.setCurrentIndex(0 if chosen is None else chosen + 1)
        self.link_box.blockSignals(False)
        self.foot.setCurrentIndex(int(unit is not None))
        self.name.setText("" if unit is None else unit_name(self._lesson, *unit))
        link, may = self.chosen, self._lesson.may("weights")
        self.link_box.setEnabled(link is not None)
        self.value_box.setEnabled(link is not None and may)
        tip = "The value. Type another to set it by hand."
        if not may:
            tip = "Weights cannot be set by hand in this exercise."
        described(self.value_box, "Value", tip if link is not None else "Click a neuron or a connection first.")
        self._show_value()

    @property
    def chosen(self) -> Link | None:
        """The selected weight or bias."""
        if self.view.link is not None:
            return self.view.link
        if self.view.unit is not None and self.view.unit[0] >= 0:
            return Link(self.view.unit[0], self.link_box.currentData(), self.view.unit[1])
        return None

    def _show_value(self) -> None:
        """Show the selected value, unless the user is typing another."""
        link, edit = self.chosen, self.value_box.lineEdit()
        if link is None or (self.value_box.hasFocus() and edit is not None and edit.isModified()):
            return
        layer = self._lesson.session.net.layers[link.layer]
        value = layer.biases[link.unit] if link.before is None else layer.weights[link.before, link.unit]
        self.value_box.blockSignals(True)
        self.value_box.setValue(float(value))
        self.value_box.blockSignals(False)

    # actions

    def _layers(self, by: int) -> None:
        hidden = self._lesson.session.setup.net.hidden
        self._lesson.set(hidden=(*hidden, NEW_UNITS) if by > 0 else hidden[:-1])

    def _unit_picked(self, layer: int, unit: int) -> None:
        self._show_unit()
        self.shown.emit((layer, unit) if layer >= -1 else None)

    def _link_picked(self, link: Link) -> None:
        self._show_unit()

    def _link_chosen(self, *_: Any) -> None:
        link = self.chosen
        if link is not None:
            before = self.link_box.currentData()
            self.view.link = Link(link.layer, before, link.unit) if before is not None else None
            if before is None and self.view.unit is None:
                self.view.unit = (link.layer, link.unit)
            self.view.update()
        self._show_value()

    def _set_value(self, value: float) -> None:
        link = self.chosen
        if link is not None:
            self._lesson.set_weight(link.layer, link.before, link.unit, value)

    def detach(self, on: bool) -> None:
        """Show the diagram in a separate window, or in the panel again."""
        if on and self.window_ is None:
            self.window_ = _Window(self)
            self.window_.closed.connect(lambda: self.detach_button.setChecked(False))
            self.window_.take(self.view)
        elif not on and self.window_ is not None:
            window, self.window_ = self.window_, None
            layout = self.holder.layout()
            assert layout is not None
            layout.addWidget(self.view)
            self.view.enlarge(False)
            window.close()
            window.deleteLater()

    def end(self) -> None:
        """The panel is closing."""
        self.detach(False)


class _Elided(QLabel):
    """A label that elides its beginning, so that its end is visible."""

    def __init__(self) -> None:
        super().__init__()
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def paintEvent(self, event: Any) -> None:  # noqa: N802
        """Show as much of the text as fits."""
        painter = QPainter(self)
        painter.setPen(self.palette().color(self.foregroundRole()))
        text = self.fontMetrics().elidedText(self.text(), Qt.TextElideMode.ElideLeft, self.width() - 4)
        painter.drawText(
            self.rect().adjusted(0, 0, -2, 0), Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, text
        )
        painter.end()


class _Window(QWidget):
    """The separate window of the network diagram."""

    closed = Signal()

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent, Qt.WindowType.Window)
        self.setWindowTitle("Dojo: network")
        self._column = QVBoxLayout(self)

    def take(self, view: NetView) -> None:
        """Show the diagram in this window."""
        self._column.addWidget(view)
        view.enlarge(True)
        view.show()
        self.resize(720, 480)
        self.show()

    def closeEvent(self, event: Any) -> None:  # noqa: N802
        """Return the diagram to the panel."""
        self.closed.emit()
        super().closeEvent(event)
