"""The classes of the objects of one layer, live: measured in a thread, predicted after each click, painted on a layer."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from napari_dojo.data.axes import Axes
from napari_dojo.errors import explained
from napari_dojo.objects.classes import Classes, History, Key
from napari_dojo.objects.features import Objects
from napari_dojo.widgets.classify.colours import CLASS_COLOURS, UNSURE_COLOUR
from napari_dojo.widgets.classify.columns import classes_in, with_classes
from napari_dojo.widgets.classify.subject import UNSURE, MeasuredObjects, Seen, Subject, classified, measured
from napari_dojo.widgets.common.later import later
from napari_dojo.widgets.common.latest import Latest
from napari_dojo.widgets.common.layers import add_quietly, placement, provenance, result_placement

__all__ = ["HERE", "LiveClasses", "class_layer"]

PAUSE = 400  # ms after the last change of the labels until they are measured again
WRITE = 500  # ms after the last prediction until it is written into the layer's features
HERE = 11  # the number of the object that is looked at, in the layer of classes
HERE_COLOUR = "#FFFFFF"
EDITS = ("paint", "labels_update", "data", "set_data")
SURE = 0.6


class LiveClasses(QObject):
    """Objects, what was shown of them, and what follows.

    ``measuring``: the objects are measured. ``ready``: they were; ``shown``: other objects were shown, or classes have
    other names; ``predicted``: classes of all objects are known; ``failed``: a sentence.

    Attributes
    ----------
    subject, measured, seen : None before there is one.
    layer : of the classes; None before the first object was shown.
    """

    measuring = Signal()
    ready = Signal()
    shown = Signal()
    predicted = Signal()
    failed = Signal(str)

    def __init__(self, viewer: Any, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self.subject: Subject | None = None
        self.measured: MeasuredObjects | None = None
        self.seen: Seen | None = None
        self.layer: Any = None
        self.history = History()
        self.threshold = SURE
        self.here: int | None = None  # the row of the object that is looked at
        self._measurer, self._head = Latest(self), Latest(self)
        self._measurer.told.connect(self._measured)
        self._head.stepped.connect(self._seen)
        self._head.told.connect(self._headed)
        self._again, self._writer = later(self, PAUSE, self._measure), later(self, WRITE, self.write)

    @property
    def classes(self) -> Classes:
        """What was shown."""
        return self.history.now

    @property
    def objects(self) -> Objects | None:
        """The objects, once they are measured."""
        return None if self.measured is None else self.measured.objects

    @property
    def busy(self) -> bool:
        """Whether a prediction is still to come."""
        return self._measurer.busy or self._head.busy or self._again.isActive()

    def take(self, subject: Subject | None, classes: Classes | None = None) -> None:
        """Work on these layers, or on none; what is shown starts with ``classes``, else with those in the layer's features."""
        if self._writer.isActive():
            self.write()
        self._let_go()
        self.subject = subject
        if subject is None:
            self.history = History(self.classes)
        else:
            named = classes or classes_in(subject.layer, subject.axes)
            self.history = History(named or (Classes(self.classes.names) if self.classes.shown else self.classes))
            for name in EDITS:
                if hasattr(subject.layer.events, name):
                    getattr(subject.layer.events, name).connect(self._edited)
            self._measure()
        self.shown.emit()

    def close(self) -> None:
        """Listen no more; the layers stay."""
        if self._writer.isActive():
            self.write()
        self._let_go()
        self.subject = None

    def _let_go(self) -> None:
        self._again.stop()
        self._writer.stop()
        self._measurer.forget()
        self._head.forget()
        if self.subject is not None:
            for name in EDITS:
                if hasattr(self.subject.layer.events, name):
                    getattr(self.subject.layer.events, name).disconnect(self._edited)
        self.measured, self.seen, self.layer, self.here = None, None, None, None

    # what a person shows

    def give(self, keys: Iterable[Key], to: int | None) -> None:
        """Show objects for a class; None: take that back."""
        self.step(self.classes.give(keys, to))

    def step(self, new: Classes) -> None:
        """Other classes, or other objects shown for them."""
        if self.history.take(new):
            self._stepped()

    def undo(self) -> None:
        """Undo the last step."""
        self.history.undo()
        self._stepped()

    def redo(self) -> None:
        """Do the step again that was undone."""
        self.history.redo()
        self._stepped()

    def _stepped(self) -> None:
        self.shown.emit()
        self.ask()

    def set_threshold(self, threshold: float) -> None:
        """Objects whose class is less probable than this are unsure."""
        self.threshold = threshold
        if self.seen is not None and self.seen.final and not self._head.busy:
            self._head.ask(self.seen.at, threshold)
        else:
            self.ask()

    # the work

    def _edited(self, event: Any = None) -> None:
        self._again.start()

    def _measure(self) -> None:
        if self.subject is not None:
            if self.measured is None:
                self.measuring.emit()
            self._measurer.ask(measured, self.subject, self.measured)

    def _measured(self, told: Any) -> None:
        if isinstance(told, Exception):
            self.failed.emit(explained(told))
        elif isinstance(told, MeasuredObjects) and told.subject is self.subject:
            before, self.measured, self.here = self.seen, told, None
            self.seen = None
            self.ready.emit()
            if before is not None or self.classes.shown:
                self.ask()

    def ask(self) -> None:
        """Predict the classes of all objects."""
        if self.measured is not None:
            before = self.seen.prediction if self.seen is not None else None
            temperature = 1.0 if before is None else before.temperature
            examples = self.classes.examples(self.measured.objects)
            self._head.ask(classified, self.measured, examples, temperature, self.threshold)

    def _headed(self, told: Any) -> None:
        if isinstance(told, Exception):
            self.failed.emit(explained(told))
        elif isinstance(told, Seen):  # with another threshold
            self._seen(told)

    def _seen(self, seen: Seen) -> None:
        if seen.measured is not self.measured:
            return
        self.seen = seen
        self._show()
        self._writer.start()
        self.predicted.emit()

    # the layer of classes

    def _show(self) -> None:
        """Paint the classes; the layer is made with the first object that is shown."""
        if self.seen is None or self.subject is None:
            return
        if self.layer is None or self.layer not in self._viewer.layers:
            if not self.seen.numbers.any():
                return
            name = f"{self.subject.layer.name} classes"
            self.layer = class_layer(self._viewer, self.subject, self.seen.picture, name)
            if self.subject.layer._type_string == "labels":
                self.subject.layer.visible = False  # its colours would mix with those of the classes
        elif self.layer.data.shape == self.seen.picture.shape:
            self.layer.data[...] = self.seen.picture
        if self.here is not None:
            self._mark(self.here)
        self.layer.refresh(extent=False)

    def look_at(self, row: int | None) -> None:
        """Show which object is looked at: it is white."""
        old, self.here = self.here, row
        if old == row or self.layer is None or self.seen is None or self.layer not in self._viewer.layers:
            return
        if old is not None and old < len(self.seen.numbers):
            self._mark(old, int(self.seen.numbers[old]))
        if row is not None:
            self._mark(row)
        self.layer.refresh(extent=False)

    def _mark(self, row: int, number: int = HERE) -> None:
        """Paint one object."""
        m = self.measured
        if m is None or row >= len(m.objects):
            return
        axes, (sample, label) = m.subject.axes.without_channels(), m.objects.key(row)
        box = tuple(slice(a, b) for a, b in zip(m.objects.start[row], m.objects.stop[row], strict=True))
        mine = np.asarray(axes.sample(m.labels, sample)[0][box]) == label
        axes.sample(self.layer.data, sample)[0][box][mine] = number

    # the columns of the layer

    def write(self) -> None:
        """Write class and probability into the features of the layer; nothing before something was shown."""
        if self.seen is not None and self.subject is not None:
            with suppress(RuntimeError):
                self.subject.layer.features = with_classes(self.subject, self.seen)


def class_layer(viewer: Any, subject: Subject, picture: NDArray[Any], name: str, **more: Any) -> Any:
    """A new layer of classes over the objects of a subject, in the colours of the rows, where there are that many; ``more`` :
    features, say.
    """
    labels = subject.layer._type_string == "labels"
    first, own = subject.images[0], Axes(subject.own)
    where = placement(subject.layer, range(subject.layer.ndim)) if labels else result_placement(first, own)
    colours: dict[int | None, str] = {None: "transparent", 0: "transparent", UNSURE: UNSURE_COLOUR}
    colours.update({k: colour for k, colour in enumerate(CLASS_COLOURS, 1)})
    colours[HERE] = HERE_COLOUR
    made = provenance("classes", subject.layer, axes=subject.axes.without_channels().names)
    look = {"metadata": made, "opacity": 0.5, **where, **more}
    if picture.max(initial=0) <= HERE:  # else napari's own colours
        look["colormap"] = colours
    return add_quietly(viewer, picture.copy(), name, **look)
