"""The loss curve: training and validation over the steps, in the theme's colours."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import QTimer

__all__ = ["LossPlot", "theme_colours"]

TRAINING, VALIDATION = "#56B4E9", "#E69F00"  # Okabe-Ito


def theme_colours(viewer: Any) -> dict[str, str]:
    """Colours of the viewer's theme by name: background, text, secondary, warning, current."""
    from napari.utils.theme import get_theme

    theme = get_theme(viewer.theme)
    colours = {k: getattr(theme, k).as_hex() for k in ("background", "text", "secondary", "warning", "current")}
    # "#abc" is not understood everywhere
    return {k: "#" + "".join(2 * c for c in v[1:]) if len(v) == 4 else v for k, v in colours.items()}


class LossPlot(pg.PlotWidget):
    """How wrong the net is, over the steps. Small, and there from the start."""

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(150)
        self._soon.timeout.connect(self.redraw)
        self.setFixedHeight(104)
        self.setMouseEnabled(False, False)
        self.setMenuEnabled(False)
        self.hideButtons()
        self.setAccessibleName("Loss curve")
        self.setToolTip(
            "Loss: how wrong the net is, lower is better. It is scored on images it learns from (training) and on others (validation)."
        )
        self._training = self.plot(pen=pg.mkPen(TRAINING, width=1.5), name="training")
        self._validation = self.plot(
            pen=pg.mkPen(VALIDATION, width=1.5),
            symbol="o",
            symbolSize=4,
            symbolBrush=VALIDATION,
            symbolPen=VALIDATION,
            name="validation",
        )
        axis = self.getAxis("left")
        axis.setWidth(30)
        axis.enableAutoSIPrefix(False)
        self.getAxis("bottom").enableAutoSIPrefix(False)
        self.reset()
        self.recolour()
        viewer.events.theme.connect(self.recolour)

    def reset(self) -> None:
        """Forget the curves."""
        self._losses: list[tuple[int, float]] = []
        self._judged: list[tuple[int, float]] = []
        self.redraw()

    def add(self, step: int, loss: float) -> None:
        """One step's loss; shown smoothed at the next `redraw`."""
        before = self._losses[-1][1] if self._losses else loss
        self._losses.append((step, loss if not np.isfinite(before) else 0.85 * before + 0.15 * loss))
        if len(self._losses) > 4000:
            self._losses = self._losses[::2]

    def judge(self, step: int, loss: float) -> None:
        """One check's loss on validation."""
        self._judged.append((step, loss))

    def redraw(self) -> None:
        """Show what was added."""
        for curve, points in ((self._training, self._losses), (self._validation, self._judged)):
            xy = np.asarray(points, float).reshape(-1, 2)
            curve.setData(xy[:, 0], xy[:, 1])

    def redraw_soon(self) -> None:
        """Show it when the events at hand are through."""
        if not self._soon.isActive():
            self._soon.start()

    def recolour(self, event: Any = None) -> None:
        """Take the colours of the viewer's theme."""
        colours = theme_colours(self._viewer)
        self.setBackground(colours["background"])
        for name in ("left", "bottom"):
            self.getAxis(name).setPen(colours["secondary"])
            self.getAxis(name).setTextPen(colours["text"])
        self.setTitle(
            f'<span style="color:{TRAINING}">━</span> training loss &nbsp; '
            f'<span style="color:{VALIDATION}">●</span> validation loss',
            color=colours["text"],
            size="8pt",
        )
        title = self.plotItem.titleLabel
        title.setMaximumHeight(18)
        self.plotItem.layout.setRowFixedHeight(0, 18)

    def end(self) -> None:
        """Listen no more."""
        self._soon.stop()
        self._viewer.events.theme.disconnect(self.recolour)
