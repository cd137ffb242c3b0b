"""One retraining from the Annotate panel: the training, the new model on the annotated images, and what it fixed and broke."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from napari_dojo.data.edits import kept
from napari_dojo.errors import DojoError, explained
from napari_dojo.events import Done, Event, Failed, Progress
from napari_dojo.inference.sinks import Stored
from napari_dojo.jobs.runs import run_folder
from napari_dojo.models.card import read_card
from napari_dojo.models.library import Model
from napari_dojo.paths import models_folder
from napari_dojo.settings import PredictSettings
from napari_dojo.tasks import TASKS
from napari_dojo.widgets.annotate.annotated import Annotated, Tested
from napari_dojo.widgets.common.background import discard
from napari_dojo.widgets.common.inputs import Asked, Run, write_request
from napari_dojo.widgets.common.latest import Latest
from napari_dojo.widgets.common.queue import Training, desk, free_name
from napari_dojo.widgets.common.run import Runner

__all__ = ["Outcome", "Retraining", "Wish"]


@dataclass(frozen=True)
class Wish:
    """How a person wants it: minutes, what to start from (see `napari_dojo.training.start.Start`), more settings."""

    minutes: float
    start: str
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a retraining gave.

    Attributes
    ----------
    annotated : what it was trained on, whose first row is shown.
    model : the new one; ``old`` : the one before it, where there is one.
    facts : of the training's end.
    labels : for the first row (labels layer's axes): the prediction, in which what is accepted stays as it is.
    tested : what is accepted, with both models.
    """

    annotated: Annotated
    model: Model
    old: Model | None
    facts: dict[str, Any]
    labels: NDArray[np.int32]
    tested: Tested

    @property
    def lost(self) -> bool:
        """Whether the old model is the better one on what is accepted."""
        return self.tested.compared and self.tested.all.lost


class Retraining(QObject):
    """Does one at a time. ``said`` : (what is happening, how far it is, 0 to 1); ``ended`` : an Outcome, or why there is none."""

    said = Signal(str, float)
    ended = Signal(object)
    heard = Signal(object)  # each event of the training

    def __init__(self, viewer: Any, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self.training: Training | None = None
        self._annotated: Annotated | None = None
        self._old: Model | None = None
        self._new: Model | None = None
        self._facts: dict[str, Any] = {}
        self._found: dict[bool, list[NDArray[Any] | None]] = {}  # by the old model (False) and by the new one
        self._asked: tuple[Run, Path] | None = None
        self._runner = Runner(self)
        self._runner.said.connect(self._applied)
        self._reading = Latest(self)
        self._reading.told.connect(self._read)

    @property
    def busy(self) -> bool:
        """Whether one is queued or running."""
        return self._annotated is not None

    def start(self, annotated: Annotated, old: Model | None, wish: Wish) -> None:
        """Train on all that is annotated, from the base model; ``old`` : the model that it has to beat."""
        self._annotated, self._old, self._new = annotated, old, None
        material, how = annotated.material, annotated.how
        model = models_folder() / free_name(f"{material.name}-retrained")
        folder, task = run_folder(model.name), TASKS[how.task]
        more: dict[str, Any] = {
            "out": model,
            "name": model.name,
            "options": dict(how.options),
            "settings": {"minutes": wish.minutes, "validation": 0.0, "test": 0.0, **wish.settings},
            "start": wish.start,
            "corrections": True,
        }
        shown = {k: more[k] for k in ("options", "settings", "start", "name")}
        choices = {"task": how.task, "minutes": wish.minutes, **shown}
        make = lambda: material.request(folder, task, **more)  # noqa: E731
        training = Training(self._viewer, folder, model, make, material, choices)
        training.preview.on = False
        training.watched = True
        training.said.connect(self._trained)
        self.training = training
        self.said.emit("Starting ...", 0.0)
        desk().add(training)

    def stop(self) -> None:
        """Keep the best model so far and apply it; while it is applied, end without."""
        if self.training is not None and self.training.state != "over":
            self.training.stop()
        elif self._runner.busy:
            self._runner.stop()

    def close(self) -> None:
        """The panel is closing; a training continues."""
        self._reading.forget()
        self._leave()
        self._clear_folder()
        self._runner.close()
        self._annotated = None

    def _leave(self) -> None:
        training, self.training = self.training, None
        if training is not None:
            training.said.disconnect(self._trained)
            training.watched = False

    def _trained(self, event: Event) -> None:
        training = self.training
        if training is None:
            return
        self.heard.emit(event)
        if isinstance(event, Failed):
            self._leave()
            self._end(event.sentence)
        elif isinstance(event, Done):
            path, self._facts = Path(event.result), event.facts
            self._leave()
            try:
                card = read_card(path)
            except DojoError as error:
                self._end(str(error))
                return
            self._new = Model(path.name, path, card, "own")
            self._found = {}
            self._apply(self._new)

    def _apply(self, model: Model) -> None:
        """Predict all annotated images."""
        assert self._annotated is not None
        try:
            asked = tuple(Asked.of(row.images[0], self._annotated.axes, model.card) for row in self._annotated.rows)
        except DojoError as error:
            if model is self._new:
                self._end(str(error))
            else:
                self._check()  # the old one is for other images
            return
        run, folder = Run(model, asked, PredictSettings(), {}), run_folder("apply")
        self._asked = run, folder
        self._say_applying(model, 0.0)
        self._runner.start(lambda: write_request(folder, run))

    def _say_applying(self, model: Model, share: float) -> None:
        which = "the new model" if model is self._new else "the old model to compare"
        self.said.emit(f"Applying {which} ...", share)

    def _applied(self, event: Event) -> None:
        if self._asked is None:
            return
        run, folder = self._asked
        if isinstance(event, Progress):
            self._say_applying(run.model, event.done / max(1, event.total))
        elif isinstance(event, Failed):
            self._clear_folder()
            self._end(event.sentence)
        elif isinstance(event, Done):
            results = [Stored(**r) for r in event.facts["results"]]
            self._reading.ask(_predictions, folder, results, run)

    def _read(self, found: Any) -> None:
        if isinstance(found, Exception):
            self._clear_folder()
            self._end(explained(found))
            return
        if isinstance(found, Outcome):
            self._end(found)
            return
        assert self._asked is not None
        new = self._asked[0].model is self._new
        self._clear_folder()
        self._found[new] = found
        if new and self._old is not None:
            self._apply(self._old)
        else:
            self._check()

    def _check(self) -> None:
        """Compare both with what is accepted, in a thread."""
        assert self._annotated is not None
        assert self._new is not None
        nothing: list[NDArray[Any] | None] = [None] * len(self._annotated.rows)
        before = self._found.get(False, nothing)
        self.said.emit("Checking what is accepted ...", 1.0)
        self._reading.ask(_outcome, self._annotated, self._new, self._old, self._facts, before, self._found[True])

    def _clear_folder(self) -> None:
        if self._asked is not None:
            discard(self._asked[1])
            self._asked = None

    def _end(self, what: Outcome | str) -> None:
        self._annotated, self._found = None, {}
        self.ended.emit(what)


def _predictions(folder: Path, found: Sequence[Stored], run: Run) -> list[NDArray[Any] | None]:
    """The labels of each image; None for one that the model could not be applied to."""
    there: list[NDArray[Any] | None] = [None] * len(run.asked)
    for stored in found:
        there[stored.index] = np.array(np.load(folder / str(stored.prediction), mmap_mode="r"))
    return there


def _outcome(
    annotated: Annotated,
    model: Model,
    old: Model | None,
    facts: dict[str, Any],
    before: Sequence[NDArray[Any] | None],
    after: Sequence[NDArray[Any] | None],
) -> Outcome:
    """What came of it.

    Raises
    ------
    DojoError : the new model could not be applied to one of the images.
    """
    if any(found is None for found in after):
        raise DojoError("The new model could not be applied to all annotated images; it is saved.")
    new = [np.asarray(found) for found in after if found is not None]
    shown, row = new[0], annotated.rows[0]
    if not annotated.kind and row.region is not None:
        shown = kept(np.array(row.target.data), np.array(row.region.data), shown)
    return Outcome(annotated, model, old, facts, np.asarray(shown, np.int32), annotated.check(before, new))
