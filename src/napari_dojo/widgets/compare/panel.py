"""The Compare panel: how well a result agrees with the truth, and where it does not."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np
from napari.viewer import Viewer  # napari reads the annotation to hand the viewer in
from numpy.typing import NDArray
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QPushButton,
    QStackedWidget,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_dojo.data.axes import Axes
from napari_dojo.errors import explained
from napari_dojo.evaluation.compare import THRESHOLDS, Compared
from napari_dojo.metrics.classes import ClassCounts
from napari_dojo.metrics.matching import Comparison, Verdict, Verdicts
from napari_dojo.widgets.common.camera import look_at
from napari_dojo.widgets.common.form import described, form_layout, narrow, sentence
from napari_dojo.widgets.common.latest import Latest
from napari_dojo.widgets.common.layers import add_quietly, array_of, axes_choices, placement, provenance
from napari_dojo.widgets.common.options import slider
from napari_dojo.widgets.common.panel import Panel, open_panel, plain_viewer
from napari_dojo.widgets.common.pick import LayerBox, paired, shapes_of
from napari_dojo.widgets.common.plot import RingPlot
from napari_dojo.widgets.compare.objects import COLOURS, ApPlot, Legend
from napari_dojo.widgets.compare.pair import (
    Asked,
    Painted,
    candidates,
    comparable,
    compared,
    differently_placed,
    known_kind,
    likely_pair,
    paint,
    results_of,
)
from napari_dojo.widgets.compare.profile import Profile
from napari_dojo.widgets.compare.words import class_table

__all__ = ["ComparePanel", "compare_layers"]

KINDS = (
    ("automatic", "What the layers' makers and values say."),
    ("objects", "Each number is one object."),
    ("classes", "Each number is a class, as in semantic segmentation."),
)
CHANGED = "{} has changed since. Compare again."


def compare_layers(viewer: Viewer) -> None:
    """Compare the two selected layers in the Compare panel."""
    from napari.utils.notifications import show_warning

    viewer = plain_viewer(viewer)
    chosen = [x for x in candidates(viewer.layers) if x in viewer.layers.selection]
    panel = open_panel(viewer, ComparePanel, "Compare")
    pair = likely_pair(chosen) if len(chosen) == 2 else None
    if pair is None:
        show_warning(
            "Two layers of labels, or two images, of the same size are needed. "
            "Select both in the layer list (Ctrl and click), and try again."
        )
        return
    panel.choose(*pair)
    panel.compare()


class ComparePanel(Panel):
    """Compare a result with the truth.

    Parameters
    ----------
    napari_viewer : the viewer; given by napari.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self._result: Compared | None = None
        self._verdicts: Verdicts | None = None
        self._compared: tuple[Any, ...] = ()
        self._painted: tuple[Any, ...] = ()
        self._notes: tuple[str, ...] = ()
        self._jumped: dict[Verdict, int] = {}
        self._busy = self._touched = self._why_shown = self._fresh = False
        self._edited = ""  # the name of a compared layer that has changed since
        self._choose()
        self._show()
        self.column.addStretch(1)
        self.align()
        self._work = Latest(self)
        self._work.told.connect(self._told)
        self.watch.changed.connect(self.refresh)
        self.watch.painted.connect(self._resized)
        self.refresh()
        self.lead(self.compare_button)

    # what is shown

    def _choose(self) -> None:
        self._form = form_layout()
        self.truth_box = LayerBox("Ground truth", "What is right: labels made by hand, or the clean image.")
        self.result_box = LayerBox("Result", "The result to compare. Layers of the same kind and size are listed.")
        self.swap_button = QToolButton()
        self.swap_button.setText("⇅")
        described(self.swap_button, "Swap", "Swap ground truth and result.")
        self.third_box, self.how_box = QComboBox(), QComboBox()
        self.region_box = LayerBox("Only inside", "Compare only inside the shapes of this layer.")
        described(self.third_box, "Third axis", "Volumes are compared as a whole, images of a series one by one.")
        described(self.how_box, "Compare as", "Objects are found or missed; classes share pixels.")
        for how, tip in KINDS:
            self.how_box.addItem(how, how)
            self.how_box.setItemData(self.how_box.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        for box in (self.third_box, self.how_box):
            narrow(box)
        for box in (self.third_box, self.region_box, self.how_box):
            box.activated.connect(self._forget)
        second = QHBoxLayout()
        second.setSpacing(4)
        second.addWidget(self.result_box)
        second.addWidget(self.swap_button)
        self._form.addRow("Ground truth", self.truth_box)
        self._form.addRow("Result", second)
        self._form.addRow("Third axis", self.third_box)
        self._form.addRow("Only inside", self.region_box)
        self._form.addRow("Compare as", self.how_box)
        self.column.addLayout(self._form)
        self.truth_box.currentIndexChanged.connect(self._truth_changed)
        self.result_box.currentIndexChanged.connect(self._pair_changed)
        self.truth_box.picked.connect(self._touch)
        self.result_box.picked.connect(self._touch)
        self.swap_button.clicked.connect(self._swap)

    def _show(self) -> None:
        self.compare_button = QPushButton("Compare")
        self.message = sentence(lines=4)
        self.message.setAccessibleName("What happened")
        self.found = sentence(lines=3)
        self.found.setStyleSheet("font-weight: bold;")
        self.found.setAccessibleName("What was found")
        self.figures = sentence(lines=1)
        self.figures.setAccessibleName("Figures")
        self.table = sentence()
        self.table.setAccessibleName("Table")
        self.pages = QStackedWidget()
        self.pages.addWidget(self._objects_page())
        self.pages.addWidget(self._images_page())
        for widget in (self.compare_button, self.message, self.found, self.pages):
            self.column.addWidget(widget)
        self.compare_button.clicked.connect(self.compare)

    def _objects_page(self) -> QWidget:
        tip = "Two objects are partners from this share of common pixels on: intersection over union (IoU)."
        self.threshold = slider("IoU threshold", tip, THRESHOLDS[0], THRESHOLDS[-1], 0.05)
        self.threshold.value = 0.5
        self.plot = ApPlot(self.viewer)
        self.legend = Legend()
        page = QWidget()
        layout = QVBoxLayout(page)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        form = form_layout()
        form.addRow("IoU threshold", self.threshold.native)
        layout.addWidget(self.figures)
        layout.addLayout(form)
        layout.addWidget(self.legend)
        layout.addWidget(self.plot)
        layout.addStretch(1)
        self.threshold.changed.connect(self._judge)
        self.legend.clicked.connect(self._jump)
        return page

    def _images_page(self) -> QWidget:
        self.rings, self.profile = RingPlot(self.viewer), Profile(self.viewer)
        self.images_only = QWidget()
        inner = QVBoxLayout(self.images_only)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.setSpacing(4)
        for widget in (self.rings, self.profile):
            inner.addWidget(widget)
        page = QWidget()
        layout = QVBoxLayout(page)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.table)
        layout.addWidget(self.images_only)
        layout.addStretch(1)
        return page

    # what is chosen

    def choose(self, truth: Any, result: Any) -> None:
        """Choose two layers of one kind and size."""
        self._touch()
        self.refresh()
        self.truth_box.choose(truth)
        self.result_box.choose(result)

    def refresh(self) -> None:
        """Follow the viewer's layers; what was chosen stays."""
        lost = [x.name for x in self._compared if x not in self.viewer.layers] if self._busy else []
        found = candidates(self.viewer.layers)
        pair = likely_pair(found) or (None, None)
        if not (self._touched or self._compared):
            _empty(self.truth_box)
            _empty(self.result_box)
        self.truth_box.fill(found, pair[0])
        self._fill_regions()
        self._list_results()
        self.profile.follow()
        if any(x not in self.viewer.layers for x in self._painted):
            self._painted = ()
        if lost:
            self._failed(f"{lost[0]} was removed while it was compared. Choose another layer.")

    def _resized(self) -> None:
        """Layers that are chosen may have got data of other sizes."""
        truth, result = self.truth_box.layer, self.result_box.layer
        if truth is not None and (result is None or not comparable(truth, result)):
            self._list_results()

    def _touch(self) -> None:
        self._touched = True

    def _swap(self) -> None:
        self.choose(self.result_box.layer, self.truth_box.layer)

    def _truth_changed(self, *_: Any) -> None:
        _empty(self.result_box)  # another truth has another partner
        self._list_results()

    def _list_results(self) -> None:
        truth, found = self.truth_box.layer, candidates(self.viewer.layers)
        fitting = [x for x in found if truth is not None and comparable(truth, x)]
        likely = [pair for pair in [likely_pair(found)] if pair and pair[0] is truth]
        likely = likely or paired([truth], results_of(fitting) or fitting, comparable)
        self.result_box.fill(fitting, likely[0][1] if likely else None)
        self._pair_changed()

    def _pair_changed(self, *_: Any) -> None:
        truth, result = self.truth_box.layer, self.result_box.layer
        labels = truth is None or truth._type_string == "labels"
        chosen = self.third_box.currentData()
        choices = [] if truth is None else [c for c in axes_choices(truth) if not labels or "C" not in c[0]]
        self.third_box.clear()
        for names, words in choices:
            self.third_box.addItem(words, names)
        self.third_box.setCurrentIndex(max(0, self.third_box.findData(chosen)))
        self._show_row(self.third_box, len(choices) > 1)
        self._show_row(self.how_box, labels)
        self.images_only.setVisible(not labels)
        self.swap_button.setEnabled(result is not None)
        if self._compared and not (self._compared[0] is truth and self._compared[1] is result):
            self._forget()
        self._say_why()

    def _show_row(self, field: QWidget, on: bool) -> None:
        field.setVisible(on)
        label = self._form.labelForField(field)
        if label is not None:
            label.setVisible(on)

    def _fill_regions(self) -> None:
        shapes = shapes_of(self.viewer.layers)
        self.region_box.fill(shapes, nothing="everywhere")
        self._show_row(self.region_box, bool(shapes))

    def _say_why(self) -> None:
        """Say why Compare cannot be pressed, where it cannot."""
        truth, result = self.truth_box.layer, self.result_box.layer
        why = ""
        if truth is None:
            why = "Open two layers to compare: two of labels, or two images (File > Open, or File > Open Sample)."
        elif result is None:
            what = "layer of labels" if truth._type_string == "labels" else "image"
            size = " x ".join(map(str, array_of(truth).shape))
            why = f"There is no other {what} as large as {truth.name} ({size} px). Open one, or choose another ground truth."
        self.compare_button.setEnabled(not why and not self._busy)
        self.compare_button.setText("Comparing ..." if self._busy else "Compare")
        described(self.compare_button, "Compare", why or "Compare the result with the ground truth.")
        if why or self._why_shown:
            self.message.setText(self.marked("error", why) if why else "")
        self._why_shown = bool(why)
        if self._result is None:
            self.pages.setCurrentIndex(int(truth is not None and truth._type_string == "image"))

    def _forget(self, *_: Any) -> None:
        """What was found is not of what is chosen now."""
        self._work.forget()
        self._follow(False)
        self._result, self._verdicts, self._compared, self._busy = None, None, (), False
        for label in (self.found, self.figures, self.table, self.message):
            label.setText("")
        self.legend.show_counts(None)
        self.plot.show_curve((), ())
        self.rings.show_rings(None)
        self._say_why()

    # the work

    def compare(self) -> None:
        """Compare the two chosen layers."""
        self._forget()
        if not self.compare_button.isEnabled():
            return
        truth, names = self.truth_box.layer, self.third_box.currentData()
        axes = Axes.resolve(array_of(truth).shape, names) if names else None
        self._compared = (truth, self.result_box.layer)
        how = known_kind(*self._compared, self.how_box.currentData())
        asked = Asked(*self._compared, axes, how, self.region_box.layer)
        self._busy = self._fresh = True
        self._edited = ""
        self._follow(True)
        self._say_why()
        self._work.ask(compared, asked)

    def _told(self, told: Any) -> None:
        """A comparison, a picture of its verdicts, or an error."""
        if any(x not in self.viewer.layers for x in self._compared):
            return  # `refresh` is about to say it
        if isinstance(told, Painted):
            self._judged(told.verdicts, told.image)
            return
        self._busy = False
        self._say_why()
        if isinstance(told, Exception):
            self._failed(explained(told))
            return
        self._result = told
        edited = (CHANGED.format(self._edited),) if self._edited else ()
        self._notes = differently_placed(*self._compared) + told.notes + edited
        self._tell()
        self._present()

    def _failed(self, text: str) -> None:
        self.message.setText(self.marked("error", text))
        self.warn(text)

    def _tell(self, hint: str = "") -> None:
        lines = [self.marked("warning", note) for note in self._notes]
        self.message.setText("<br>".join(lines + [f"<span>{escape(hint)}</span>"] * bool(hint)))

    def _present(self) -> None:
        """Show what was found."""
        assert self._result is not None
        found = self._result.found
        self.pages.setCurrentIndex(int(not isinstance(found, Comparison)))
        if isinstance(found, Comparison):
            self.plot.show_curve(THRESHOLDS, self._result.curve)
            self._judge()
            return
        self.found.setText(found.sentence)
        numbers = self._result.numbers
        table = class_table(found, self._compared[0], numbers) if isinstance(found, ClassCounts) else ""
        shared = f" Shared: {self._result.rings.sentence}." if self._result.rings is not None else ""
        self.table.setText(table + escape(self._result.basis + shared))
        self.rings.show_rings(self._result.rings)

    # verdicts

    def _judge(self, *_: Any) -> None:
        """Judge the objects at the threshold, and paint that."""
        if self._result is not None and isinstance(self._result.found, Comparison):
            self._work.ask(paint, self._result.found, round(self.threshold.value, 2))

    def _judged(self, verdicts: Verdicts, image: NDArray[np.uint8]) -> None:
        self._verdicts, self._jumped = verdicts, {}
        self.found.setText(verdicts.sentence)
        self.figures.setText(
            f"precision {verdicts.precision:.2f}, recall {verdicts.recall:.2f}, "
            f"F1 {verdicts.f1:.2f}, AP {verdicts.ap:.2f}"
        )
        missed, fp = len(verdicts.true) - verdicts.tp, len(verdicts.predicted) - verdicts.tp
        self.figures.setToolTip(
            f"Precision: share of the result's objects that have a partner ({verdicts.tp} of {len(verdicts.predicted)}). "
            f"Recall: share of the ground truth's ({verdicts.tp} of {len(verdicts.true)}). F1 is their harmonic mean. "
            f"AP = {verdicts.tp} / ({verdicts.tp} + {missed} + {fp}): all objects without a partner count, "
            "also those of splits and mergers."
        )
        self.legend.show_counts(verdicts)
        self.plot.mark(verdicts.threshold, verdicts.ap)
        self._paint_layer(image, verdicts.threshold)

    def _paint_layer(self, image: NDArray[np.uint8], threshold: float) -> None:
        """Show the verdicts in the layer of these two; a layer that a person removed comes back by Compare only."""
        truth, result = self._compared
        layer = next(iter(self._painted), None) if self._painted[1:] == self._compared else None
        if layer is not None and layer in self.viewer.layers and layer.data.shape == image.shape:
            layer.data = image
        elif self._fresh:
            layer = add_quietly(
                self.viewer,
                image,
                f"ground truth vs {result.name}",
                metadata=provenance("comparison", truth, result=result.name),
                colormap={None: "transparent", 0: "transparent", **{int(v): c for v, c in COLOURS.items()}},
                features={"index": [int(v) for v in Verdict], "verdict": [v.words for v in Verdict]},
                **placement(truth, range(truth.ndim)),
            )
            self._painted = (layer, truth, result)
            truth.visible = result.visible = False  # their colours would mix with those of the verdicts
            jump = " Click a line below to go to such an object." if image.any() else ""
            self._tell(f'Added the layer "{layer.name}" and hid the two it compares.{jump}')
        else:
            return
        self._fresh = False
        layer.metadata["napari_dojo"]["threshold"] = threshold

    def _jump(self, verdict: Verdict) -> None:
        """Bring the next object with this verdict into the middle of the view."""
        found = self._result.found if self._result else None
        if self._verdicts is None or not isinstance(found, Comparison):
            return
        truth, result = self._compared
        places = self._verdicts.places(verdict)
        k = self._jumped[verdict] = (self._jumped.get(verdict, -1) + 1) % len(places)
        i, fp = int(places[k]), verdict == Verdict.FALSE_POSITIVE
        point = found.point(i, predicted=fp)
        size = (found.overlap.predicted_sizes if fp else found.overlap.true_sizes)[i]
        number = int(np.asarray(array_of(result if fp else truth)[point]))
        width = 2 * np.sqrt(size / np.pi) * float(np.abs(np.asarray(truth.scale)[-2:]).max())
        look_at(self.viewer, truth.data_to_world(point), width)
        side = "result" if fp else "ground truth"
        self.message.setText(
            f"{verdict.words.capitalize()}, {k + 1} of {len(places)}: object {number} of the {side}, {size:,} px."
        )

    # what was compared is watched

    def _follow(self, on: bool) -> None:
        for layer in self._compared:
            for name in ("data", "paint"):
                emitter = getattr(layer.events, name, None)
                if emitter is not None:
                    (emitter.connect if on else emitter.disconnect)(self._changed)

    def _changed(self, event: Any = None) -> None:
        self._edited = event.source.name
        if self._result is not None:
            self._notes = (CHANGED.format(self._edited),)
            self._tell()

    def end(self) -> None:
        """The panel is closing."""
        self._work.forget()
        self._follow(False)
        for plot in (self.plot, self.rings, self.profile):
            plot.end()
        super().end()


def _empty(box: LayerBox) -> None:
    """Forget what was chosen, quietly."""
    box.blockSignals(True)
    box.clear()
    box.blockSignals(False)
