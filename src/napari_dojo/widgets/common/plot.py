"""Small curves in the theme's colours: the loss, and the score beside what no learning reaches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import Qt
from qtpy.QtGui import QFont

from napari_dojo.metrics.resolution import THRESHOLD, RingCorrelation
from napari_dojo.widgets.common.form import described
from napari_dojo.widgets.common.later import later

__all__ = ["STARTS", "TRAINING", "VALIDATION", "LossPlot", "Plot", "RingPlot", "ScorePlot", "theme_colours"]

TRAINING, VALIDATION = "#56B4E9", "#E69F00"  # Okabe-Ito
STARTS = ("#009E73", "#CC79A7", "#56B4E9")  # of starts that are compared before a training, in their order


def theme_colours(viewer: Any) -> dict[str, str]:
    """Colours of the viewer's theme by name: background, foreground, text, secondary, warning, current."""
    from napari.utils.theme import get_theme

    theme = get_theme(viewer.theme)
    names = ("background", "foreground", "text", "secondary", "warning", "current")
    colours = {k: getattr(theme, k).as_hex() for k in names}
    # "#abc" is not understood everywhere
    return {k: "#" + "".join(2 * c for c in v[1:]) if len(v) == 4 else v for k, v in colours.items()}


class _Axis(pg.AxisItem):
    """An axis whose figures fit beside a small plot: pyqtgraph hides those that do not."""

    def __init__(self, orientation: str, steps: bool = False) -> None:
        """``steps`` : they are whole numbers from 0 on."""
        super().__init__(orientation)
        self._steps = steps
        self.enableAutoSIPrefix(False)
        self.setStyle(tickTextOffset=2)
        font = QFont()
        font.setPointSize(7)
        self.setTickFont(font)

    def tickStrings(self, values: Sequence[float], scale: float, spacing: float) -> list[str]:  # noqa: N802
        """``25k`` for 25000; no figure between two steps."""
        return ["" if self._steps and (v < 0 or v % 1) else _short(v) for v in (scale * round(x, 9) for x in values)]


def _short(value: float) -> str:
    return f"{value / 1000:.6g}k" if abs(value) >= 10_000 else f"{value:.5g}"


class Plot(pg.PlotWidget):
    """A small plot, there from the start, that follows the theme.

    Parameters
    ----------
    viewer : of the theme.
    name, tip : accessible name and tooltip.
    legend : (colour or None for the theme's text, sign, words) of each curve, above the plot.
    steps : the horizontal axis counts steps.
    """

    def __init__(
        self, viewer: Any, name: str, tip: str, legend: tuple[tuple[str | None, str, str], ...], steps: bool = False
    ) -> None:
        super().__init__(axisItems={"left": _Axis("left"), "bottom": _Axis("bottom", steps)})
        self._viewer, self._legend = viewer, legend
        self._soon = later(self, 150, self.redraw)
        self.setFixedHeight(96)
        self.setMinimumWidth(60)
        self.setMouseEnabled(False, False)
        self.setMenuEnabled(False)
        self.hideButtons()
        described(self, name, tip)
        self.getAxis("left").setWidth(36)
        self.recolour()
        viewer.events.theme.connect(self.recolour)

    def redraw(self) -> None:
        """Show what was added; for plots that receive points one by one."""

    def blank(self, on: bool) -> None:
        """Show no figures on the axes while there is nothing to read."""
        for axis in map(self.getAxis, ("left", "bottom")):
            if axis.style["showValues"] is on:
                axis.setStyle(showValues=not on)

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
        words = (f'<span style="color:{c or colours["text"]}">{sign}</span> {text}' for c, sign, text in self._legend)
        self.setTitle(" ".join(words), color=colours["text"], size="7pt")
        self.plotItem.titleLabel.setMaximumHeight(18)
        self.plotItem.layout.setRowFixedHeight(0, 18)

    def end(self) -> None:
        """Listen no more."""
        self._soon.stop()
        self._viewer.events.theme.disconnect(self.recolour)


class LossPlot(Plot):
    """How wrong the net is, over the steps."""

    def __init__(self, viewer: Any) -> None:
        tip = (
            "Loss: how wrong predictions are; lower is better. Measured on images it learns from (training) "
            "and on others (validation)."
        )
        legend = ((None, "", "loss:"), (TRAINING, "━", "train"), (VALIDATION, "●", "valid."))
        super().__init__(viewer, "Loss curve", tip, legend, steps=True)
        self._training = self.plot(pen=pg.mkPen(TRAINING, width=1.5))
        self._validation = self.plot(pen=pg.mkPen(VALIDATION, width=1.5), **_dots(VALIDATION))
        self.reset()

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
        self.blank(not (self._losses or self._judged))


class ScorePlot(Plot):
    """How good the model is at each check, and what no learning reaches; before it, the starts that were compared."""

    def __init__(self, viewer: Any) -> None:
        tip = "Score: how good the model is at each check, higher is better; the dashed line is the baseline."
        super().__init__(viewer, "Score curve", tip, ((VALIDATION, "●", "score"),), steps=True)
        self._curve = self.plot(pen=pg.mkPen(VALIDATION, width=1.5), **_dots(VALIDATION))
        self._line = pg.InfiniteLine(
            angle=0,
            pen=pg.mkPen("#888888", width=1.5, style=Qt.PenStyle.DashLine),
            label="baseline",
            labelOpts={"position": 0.6, "color": "#888888", "anchors": [(0.5, 0), (0.5, 1)]},
        )
        self.addItem(self._line)
        self._starts = [self.plot(pen=pg.mkPen(c, width=1.5), **_dots(c)) for c in STARTS]
        self.reset()

    def reset(self) -> None:
        """Forget the curves."""
        self._scores: list[tuple[int, float]] = []
        self._tried: dict[str, list[tuple[int, float]]] = {}
        self._line.setVisible(False)
        self.redraw()

    def add(self, step: int, score: float) -> None:
        """One check's score."""
        self._scores.append((step, score))

    def baseline(self, baseline: float | None) -> None:
        """What no learning reaches, where that is known."""
        if baseline is not None:
            self._line.setValue(baseline)
            self._line.setVisible(True)

    def add_start(self, start: str, step: int, score: float) -> str:
        """One check of a start that is compared with others; the colour of its curve."""
        self._tried.setdefault(start, []).append((step, score))
        return STARTS[list(self._tried).index(start) % len(STARTS)]

    def name(self, measure: str) -> None:
        """Say what the score is."""
        legend = ((VALIDATION, "●", measure),)
        if legend != self._legend:
            self._legend = legend
            self.recolour()

    def redraw(self) -> None:
        """Show what was added and the line, from 0 on, or from the smallest where scores are no shares."""
        tried = [*self._tried.values(), *([] for _ in STARTS)][: len(STARTS)]
        curves = list(zip([self._curve, *self._starts], [self._scores, *tried], strict=True))
        for curve, points in curves:
            curve.setData(*np.asarray(points, float).reshape(-1, 2).T)
        line = [float(self._line.value())] if self._line.isVisible() else []
        values = np.array([score for _, points in curves for _, score in points] + line)
        self.blank(len(values) == len(line))
        values = values[np.isfinite(values)]
        if not len(values):
            return
        low, top = float(values.min()), float(values.max())
        if top <= 1:
            low, top = min(low, 0.0), max(top, 0.1)
        room = 0.1 * ((top - low) or 1.0)
        self.setYRange(low - (room if low else 0.0), top + room, padding=0)


class RingPlot(Plot):
    """The detail that two images share, over its fineness."""

    def __init__(self, viewer: Any) -> None:
        tip = (
            "Fourier ring correlation: how much of the detail of each fineness two images share. Where it falls below "
            "1/7 (dashed), detail ends; to the right is finer."
        )
        super().__init__(viewer, "Shared detail", tip, ((TRAINING, "━", "shared detail, by cycles per px"),))
        self.setXRange(0, 0.5, padding=0.02)
        self.setYRange(0, 1, padding=0.05)
        self._curve = self.plot(pen=pg.mkPen(TRAINING, width=1.5))
        self.addItem(pg.InfiniteLine(THRESHOLD, angle=0, pen=pg.mkPen("#888888", style=Qt.PenStyle.DashLine)))

    def show_rings(self, rings: RingCorrelation | None) -> None:
        """Show this curve, or none."""
        self._curve.setData(*((), ()) if rings is None else (rings.frequency, rings.smooth))


def _dots(colour: str) -> dict[str, Any]:
    return {"symbol": "o", "symbolSize": 4, "symbolBrush": colour, "symbolPen": colour}
