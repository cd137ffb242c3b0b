"""Classes of the objects of results, given by a second model in another job, as ``predict MODEL --then CLASSIFIER`` gives them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from napari_dojo.data.objects import painted
from napari_dojo.events import Done, Event, Failed
from napari_dojo.inference.geometry import Image, numbers_of
from napari_dojo.inference.tables import named_objects
from napari_dojo.io.images import Picture
from napari_dojo.jobs.image_requests import objects_request
from napari_dojo.jobs.runs import run_folder
from napari_dojo.models.card import Card
from napari_dojo.models.library import Model
from napari_dojo.widgets.apply.results import Results, Shown
from napari_dojo.widgets.common.background import discard
from napari_dojo.widgets.common.kinds import look_of
from napari_dojo.widgets.common.later import later
from napari_dojo.widgets.common.layers import add_quietly, placement, provenance
from napari_dojo.widgets.common.run import BRIEFLY, Runner

__all__ = ["ObjectClasses"]

PAUSE = 300  # ms after the last change of the results
OPACITY = 0.5


@dataclass(frozen=True, eq=False)
class _Asked:
    """A job: the model, the results, each with the mark of its labels, and the folder."""

    model: Model
    results: tuple[tuple[Shown, int], ...]
    folder: Path

    def write(self) -> Path:
        """Write the request; takes as long as the images are large."""
        images = [_image(shown, self.model.card) for shown, _ in self.results]
        return objects_request(self.folder, self.model.path, images)


class ObjectClasses(QObject):
    """Keeps a layer with the classes of each result, and their columns, as the chosen classifier says.

    ``said`` gives a sentence as rich text, ``failed`` one that something did not work, ``changed``: classes are being given, or were.
    """

    said = Signal(str)
    failed = Signal(str)
    changed = Signal()

    def __init__(self, viewer: Any, results: Results, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer, self._results = viewer, results
        self._model: Model | None = None
        self._asked: _Asked | None = None
        self.runner = Runner(self)
        self.runner.said.connect(self._heard)
        self._soon = later(self, PAUSE, self._ask)
        results.changed.connect(self.follow)

    @property
    def busy(self) -> bool:
        """Whether classes are still to come."""
        return self._soon.isActive() or self._asked is not None

    def use(self, model: Model | None) -> None:
        """Give classes by this model from now on; None: none."""
        self._model = model
        self.follow()

    def follow(self) -> None:
        """Give classes to results that have none, or whose labels have changed since."""
        due = [s for s in self._results.shown if s.classified != self._key(s)]
        for shown in due:
            self._put_away(shown)
        self._soon.stop()
        if due and self._model is not None and self._asked is None:
            self._soon.start()

    def end(self) -> None:
        """The panel is closing; the layers stay."""
        self._soon.stop()
        asked, self._asked = self._asked, None
        self.runner.close(BRIEFLY)
        if asked is not None:
            discard(asked.folder, wait=True)

    def _key(self, shown: Shown) -> tuple[str, int] | None:
        """What classes depend on."""
        return None if self._model is None else (str(self._model.path), shown.mark)

    def _ask(self) -> None:
        model = self._model
        due = tuple((s, s.mark) for s in self._results.shown if s.classified != self._key(s))
        if model is None or not due or self._asked is not None:
            return
        if self._results.busy:
            self._soon.start()
            return
        self._asked = asked = _Asked(model, due, run_folder("objects"))
        self.runner.start(asked.write)
        self.changed.emit()

    def _heard(self, event: Event) -> None:
        asked = self._asked
        if asked is None or not isinstance(event, Done | Failed):
            return
        self._asked = None
        if isinstance(event, Failed):
            for shown, mark in asked.results:
                shown.classified = (str(asked.model.path), mark)  # it is not tried again
            self.failed.emit(event.sentence)
        else:
            self._take(asked)
        discard(asked.folder)
        self.changed.emit()
        self.follow()

    def _take(self, asked: _Asked) -> None:
        counts: Counter[str] = Counter()
        for k, (shown, mark) in enumerate(asked.results):
            if shown not in self._results.shown or shown.layer not in self._viewer.layers or shown.mark != mark:
                continue
            with np.load(asked.folder / f"classes-{k}.npz") as found:
                values, objects, chances = found["values"], found["objects"], found["probability"]
            shown.classified = (str(asked.model.path), mark)
            shown.classes = named_objects(asked.model.card, values, chances, objects)
            self._show(shown, asked.model, values.reshape(-1), objects)
            counts.update(name for name, _ in shown.classes.values())
        if counts:
            listed = ", ".join(f"{name} ({n:,})" for name, n in counts.most_common())
            self.said.emit(escape(f"Classes by {asked.model.name}: {listed}."))
        self._results.measure()  # with their columns

    def _show(self, shown: Shown, model: Model, values: NDArray[np.int32], objects: NDArray[np.int64]) -> None:
        """A layer of the classes over the labels, which are hidden: their colours would mix."""
        axes = shown.axes.without_channels()
        picture = painted(np.asarray(shown.layer.data), axes, objects, values)
        layer = shown.class_layer
        if layer is not None and layer in self._viewer.layers:
            self._viewer.layers.remove(layer)
        dress = {**look_of(model.card).dress(model.card), "opacity": OPACITY}
        made = provenance("classes", shown.asked.name, model=model.name, axes=axes.names)
        name, place = f"{shown.layer.name} classes ({model.name})", placement(shown.layer, range(shown.layer.ndim))
        shown.class_layer = add_quietly(self._viewer, picture, name, metadata=made, **dress, **place)
        shown.layer.visible = False

    def _put_away(self, shown: Shown) -> None:
        """Hide classes that are not those of the labels any more; they are replaced by the next ones."""
        layer, shown.classes = shown.class_layer, None
        if layer is None or layer not in self._viewer.layers:
            return
        if self._model is None:
            self._viewer.layers.remove(layer)
            shown.class_layer = shown.classified = None
            self._results.measure()
        if layer.visible or self._model is None:
            layer.visible, shown.layer.visible = False, True


def _image(shown: Shown, card: Card) -> Image:
    """What the job gets: the image, or its part, with the numbers of the whole, and the labels as they are."""
    asked = shown.asked
    numbers = None if asked.box is None else numbers_of(card, asked.array, asked.axes, asked.box)
    picture = Picture(asked.image, None, pixel_size=asked.pixel_size, unit=asked.unit)
    return Image(asked.name, picture, asked.axes.names, numbers, labels=np.asarray(shown.layer.data))
