"""How reliable a predicted image is: its residual, its resolution, and where localisations do not support it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_dojo.boxes import middle
from napari_dojo.data.axes import Axes
from napari_dojo.errors import explained
from napari_dojo.events import Done, Event, Failed
from napari_dojo.inference.geometry import Image
from napari_dojo.inference.sinks import Stored
from napari_dojo.io.images import Picture
from napari_dojo.jobs.image_requests import predict_request
from napari_dojo.jobs.runs import run_folder
from napari_dojo.metrics.reliability import REACH, Residual, Resolution, halves
from napari_dojo.metrics.resolution import THRESHOLD, ring_correlation
from napari_dojo.models.card import options_of
from napari_dojo.simulation.smlm import DOUBT, support
from napari_dojo.tasks import TASKS
from napari_dojo.widgets.apply.results import Results, Shown
from napari_dojo.widgets.common.background import discard
from napari_dojo.widgets.common.form import described, sentence
from napari_dojo.widgets.common.latest import Latest
from napari_dojo.widgets.common.layers import add_quietly, placement, provenance
from napari_dojo.widgets.common.plot import TRAINING, VALIDATION, Plot
from napari_dojo.widgets.common.provenance import made_from
from napari_dojo.widgets.common.run import BRIEFLY, Runner

__all__ = ["ReliabilitySection"]

EDGE = 1024  # px of an image whose resolution is measured, in its middle
Sample = tuple[NDArray[Any], NDArray[Any]]


class ReliabilitySection(QWidget):
    """Looks at the first predicted image of the last run. ``failed`` says why something did not work."""

    failed = Signal(str)

    def __init__(self, viewer: Any, results: Results) -> None:
        super().__init__()
        self._viewer, self._results = viewer, results
        self._of: Shown | None = None  # what the text and the plots are of
        self._folder: Path | None = None
        self._halves: Sample | None = None
        self.residual_button = QPushButton("Residual")
        self.resolution_button = QPushButton("Resolution")
        self.support_button = QPushButton("Support")
        tips = {
            self.residual_button: "Image minus prediction as a layer: structure in it was removed by mistake.",
            self.resolution_button: "How fine the detail is, before and after: the model is applied to two noisy halves of the image.",
            self.support_button: "Where fewer molecules were localised than the prediction lets one expect.",
        }
        self.text = sentence(lines=2)
        self.text.setAccessibleName("Reliability")
        self.left, self.right = ReliabilityPlot(viewer), ReliabilityPlot(viewer)
        buttons, plots, column = QHBoxLayout(), QHBoxLayout(), QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(QLabel("Reliability"))
        self._tips = tips
        for button, tip in tips.items():
            described(button, button.text(), tip)
            buttons.addWidget(button)
        for plot in (self.left, self.right):
            plots.addWidget(plot, 1)
            plot.hide()
        for part in (buttons, plots):
            column.addLayout(part)
        column.addWidget(self.text)
        self._work = Latest(self)
        self._work.told.connect(self._told)
        self._runner = Runner(self)
        self._runner.said.connect(self._heard)
        self.residual_button.clicked.connect(self._residual)
        self.resolution_button.clicked.connect(self._resolution)
        self.support_button.clicked.connect(self._support)
        results.changed.connect(self.refresh)
        self.refresh()

    @property
    def shown(self) -> Shown | None:
        """The first prediction that is an image."""
        return next((s for s in self._results.shown if TASKS[s.card.task].result.intensities), None)

    def refresh(self) -> None:
        """Offer what can be looked at; what was said of another prediction goes."""
        shown = self.shown
        if shown is not self._of:
            self._of = shown
            self._clear()
        self.setVisible(shown is not None)
        if shown is None:
            return
        same = shown.card.target is None and not shown.card.upsampling
        why = "" if same else "The result has another unit or size than the image."
        for button in (self.residual_button, self.resolution_button):
            button.setEnabled(same and not self._runner.busy)
            button.setToolTip(why or self._tips[button])
        self.support_button.setVisible(TASKS[shown.card.task].layout(options_of(shown.card)).support_map)

    def end(self) -> None:
        """The panel is closing."""
        self._work.forget()
        self._runner.close(BRIEFLY)
        self._forget()
        for plot in (self.left, self.right):
            plot.end()

    def _clear(self) -> None:
        self._work.forget()
        self._forget()
        self._runner.stop()
        self.text.setText("")
        for plot in (self.left, self.right):
            plot.hide()

    # what is asked

    def _residual(self) -> None:
        if self.shown is not None:
            self.text.setText("Looking ...")
            self._work.ask(_residual_of, self.shown)

    def _support(self) -> None:
        if self.shown is not None:
            self.text.setText("Looking ...")
            self._work.ask(_support_of, self.shown)

    def _resolution(self) -> None:
        shown = self.shown
        if shown is None or self._runner.busy:
            return
        self._forget()
        folder = self._folder = run_folder("resolution")
        self.text.setText("Applying the model to two halves of the light ...")
        self.resolution_button.setEnabled(False)

        def make() -> Path:
            x = _cut(_sample(shown)[0], EDGE)
            self._halves = halves(x[0])
            pair = [x.astype(np.float32) for _ in range(2)]
            for image, half in zip(pair, self._halves, strict=True):
                image[0] = half
            many, axes = shown.card.channels, f"C{shown.asked.axes.spatial}"
            pair = [np.concatenate([p] * (many // len(p))) for p in pair]  # context frames: the image itself
            pictures = [Picture(p, axes) for p in pair]
            images = [Image(f"half {k + 1}", p, in_context=True) for k, p in enumerate(pictures)]
            return predict_request(folder, model, images, maps=False)

        model = Path(shown.layer.metadata["napari_dojo"]["path"])
        self._runner.start(make)

    # what is found

    def _heard(self, event: Event) -> None:
        if isinstance(event, Done) and self._folder is not None and self._halves is not None:
            files = [self._folder / str(Stored(**r).prediction) for r in event.facts["results"]]
            self._work.ask(_resolution_of, self._halves, files)
        elif isinstance(event, Failed) and self._folder is not None:  # else it was of another prediction
            self._forget()
            self.text.setText(event.sentence)
        if isinstance(event, (Done, Failed)):
            self.refresh()

    def _told(self, found: Any) -> None:
        if isinstance(found, Exception):
            self.text.setText("")
            self.failed.emit(explained(found))
        elif isinstance(found, Resolution):
            self._forget()
            self._show_resolution(found)
        else:
            shown, values = found
            if isinstance(values, Residual):
                self._show_residual(shown, values)
            else:
                self._add(shown, "support", values, "viridis", (0.0, 1.0))
                doubt = float((values < DOUBT).mean())
                self.left.hide()
                self.right.hide()
                self.text.setText(
                    f"{doubt:.1%} of the image is predicted without enough localisations (below {DOUBT:g} in the layer)."
                )

    def _show_residual(self, shown: Shown, found: Residual) -> None:
        wide = float(np.percentile(np.abs(found.values), 99.5)) or 1.0
        self._add(shown, "residual", found.values, "gray", (-wide, wide))
        lags, middle = np.arange(-REACH, REACH + 1), np.arange(2 * REACH + 1) != REACH
        along = (found.correlation[REACH], found.correlation[:, REACH])
        curves = [(lags[middle], line[middle]) for line in along]
        self.left.show_curves("px apart", curves, (("x", TRAINING), ("y", VALIDATION)))
        curves = [(found.levels, found.means), (found.levels, found.deviations), (found.levels, found.expected)]
        names = (("mean", TRAINING), ("deviation", VALIDATION), ("noise", None))
        self.right.show_curves("", curves, names)
        self.left.show()
        self.right.show()
        self.text.setText(found.sentence)

    def _show_resolution(self, found: Resolution) -> None:
        curves = [(c.frequency, c.smooth) for c in (found.before, found.after)]
        line = np.array([0, 0.5]), np.array([THRESHOLD] * 2)
        names = (("before", VALIDATION), ("after", TRAINING), ("1/7", None))
        self.left.show_curves("shared detail, by cycles per px", [*curves, line], names)
        self.left.show()
        self.right.hide()
        self.text.setText(found.sentence)

    def _add(self, shown: Shown, what: str, data: NDArray[Any], colours: str, limits: tuple[float, float]) -> None:
        """A layer over the prediction; an older one of this kind is replaced."""
        if shown.layer not in self._viewer.layers:
            return
        for old in made_from(shown.layer, self._viewer.layers, "honesty", what=what):
            self._viewer.layers.remove(old)
        made = provenance("honesty", shown.layer, what=what)
        place = placement(shown.layer, range(shown.layer.ndim - data.ndim, shown.layer.ndim))
        name = f"{shown.layer.name} {what}"
        add_quietly(self._viewer, data, name, "image", metadata=made, colormap=colours, contrast_limits=limits, **place)

    def _forget(self) -> None:
        folder, self._folder = self._folder, None
        if folder is not None:
            discard(folder)


class ReliabilityPlot(Plot):
    """A few curves, and what they are."""

    def __init__(self, viewer: Any) -> None:
        tip = (
            "Residual: the correlation of its pixels by distance (0: noise), its mean (0: no structure was removed "
            "by mistake) and its deviation at each intensity, with the noise of the image. Resolution: how much of the "
            "detail at each spatial frequency two independent predictions share; it ends where the curve falls below 1/7."
        )
        super().__init__(viewer, "Reliability, curves", tip, ())
        self.setFixedHeight(96)

    def show_curves(self, title: str, curves: list[tuple[Any, Any]], names: tuple[tuple[str, str | None], ...]) -> None:
        """Show these, in the colours of their names."""
        self.plotItem.clear()
        words = ((None, "", title),) if title else ()
        self._legend = (*words, *((colour, "━" if colour else "┅", name) for name, colour in names))
        self.recolour()
        for (x, y), (_, colour) in zip(curves, names, strict=True):
            pen = pg.mkPen(
                colour or "#888888", width=1.5, style=Qt.PenStyle.SolidLine if colour else Qt.PenStyle.DashLine
            )
            self.plotItem.plot(np.asarray(x, float), np.asarray(y, float), pen=pen)


def _sample(shown: Shown) -> Sample:
    """The first sample of the image, (C, *S), and the prediction for it (*S), of the layer's channel."""
    axes: Axes = shown.asked.axes
    x = np.asarray(Axes(axes.names, axes.spatial).sample(np.asarray(shown.asked.image), 0))
    return x, np.asarray(axes.without_channels().sample(np.asarray(shown.layer.data), 0)[0])


def _cut(x: NDArray[Any], edge: int) -> NDArray[Any]:
    key: tuple[Any, ...] = (..., *middle(x.shape[-2:], edge))
    return x[key]


def _residual_of(shown: Shown) -> tuple[Shown, Residual]:
    """Of the whole layer, plane by plane where it is a series."""
    axes = shown.asked.axes
    image = np.asarray(shown.asked.image)
    if "C" in axes.names:
        image = np.take(image, min(shown.channel, image.shape[axes.names.index("C")] - 1), axes.names.index("C"))
    return shown, Residual.of(image, np.asarray(shown.layer.data))


def _support_of(shown: Shown) -> tuple[Shown, NDArray[np.float32]]:
    x, y = _sample(shown)
    return shown, support(x[0], y)


def _resolution_of(pair: Sample, files: list[Path]) -> Resolution:
    predictions = [np.load(f) for f in files]
    predictions = [p if p.ndim == pair[0].ndim else p[0] for p in predictions]
    return Resolution(ring_correlation(*pair), ring_correlation(*predictions))
