"""Trainings of this program: one is running, the others are queued. They live on when their panel is closed."""

from __future__ import annotations

import re
import weakref
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QApplication, QMessageBox

from napari_dojo.events import Done, Event, Failed, Message, Started, Step, Tried, Validated
from napari_dojo.jobs.claims import claim, release
from napari_dojo.jobs.runs import Run
from napari_dojo.paths import models_folder
from napari_dojo.widgets.common.closing import watch_window
from napari_dojo.widgets.common.later import later
from napari_dojo.widgets.common.preview import Preview
from napari_dojo.widgets.common.run import Runner
from napari_dojo.widgets.common.single import single
from napari_dojo.widgets.common.training_data import Layers, Material

__all__ = ["Desk", "Training", "desk", "free_name", "resumed"]

MOST = 6000  # events that are kept for a panel that opens later


class Training(QObject):
    """One requested training: queued, running or over.

    ``said`` gives each event; ``history`` those so far, single steps thinned out. ``material`` is None for a run that
    is continued after a crash. ``choices`` are those of the panel that started it, for one that opens later.
    """

    said = Signal(object)

    def __init__(
        self,
        viewer: Any,
        folder: Path,
        model: Path,
        make: Callable[[], Path],
        material: Material | None,
        choices: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.folder, self.model = folder, model
        self.viewer, self.material = viewer, material
        self.choices = dict(choices or {})
        self.state = "waiting"
        self.history: list[Event] = []
        self.runner = Runner(self)
        self.runner.said.connect(self._heard)
        self.preview = Preview(viewer, self.runner, folder, material if isinstance(material, Layers) else None)
        self._make = make
        self._stopped = False
        self.watched = False  # a panel shows it

    @property
    def name(self) -> str:
        """Of the model."""
        return self.model.name

    @property
    def kept(self) -> bool:
        """Whether a model was saved already, which stays when it ends now."""
        run = Run.read(self.folder)
        return run is not None and run.card is not None

    @property
    def gone(self) -> bool:
        """Whether it was stopped before there was a model: nothing has its name."""
        return self.state == "over" and self._stopped and not self.kept

    @property
    def end(self) -> Event | None:
        """The last event, Done or Failed."""
        last = self.history[-1] if self.history else None
        return last if isinstance(last, (Done, Failed)) else None

    def begin(self) -> None:
        """It is its turn."""
        self.state = "working"
        self.preview.begin()
        self.runner.start(self._make)

    def again(self, minutes: float) -> None:
        """Train for more minutes after the end."""
        run = Run.read(self.folder)
        spent = self.end.facts.get("seconds", 0.0) / 60 if isinstance(self.end, Done) else 0.0
        if run is not None:
            self._make = lambda: run.again(round(spent + minutes, 2))
            self.state, self.history = "waiting", [e for e in self.history if isinstance(e, (Step, Tried, Validated))]

    def stop(self) -> None:
        """Keep the best model and end; one that waits ends at once."""
        self._stopped = True
        if self.state == "waiting":
            self._heard(Failed("Stopped before it began."))
        self.runner.stop()

    def close(self, patience: float = 5.0) -> None:
        """End it for sure; what it has saved stays, the rest of a finished run is deleted."""
        cut_off = self.state == "working"
        if cut_off:
            self.runner.close(patience)
            self.state = "over"
        self.preview.end()
        run = Run.read(self.folder)
        if run is not None and (cut_off or isinstance(self.end, Done)) and run.card is not None:
            run.keep()
        elif run is not None and cut_off:
            run.discard()  # it was stopped before there was a model
        else:
            release(self.folder)
        self.viewer = self.material = None  # nobody else may keep their layers
        self.preview.forget()
        del self._make

    def _heard(self, event: Event) -> None:
        self.history.append(event)
        if len(self.history) > MOST:
            steps = [e for e in self.history if isinstance(e, Step)]
            thin = {id(e) for e in steps[::2]}
            self.history = [e for e in self.history if id(e) not in thin]
        if isinstance(event, (Tried, Validated)):
            self.preview.show(event.preview)
        elif isinstance(event, (Message, Started)):  # before the first check, so that this has a preview
            self.preview.follow()
        if isinstance(event, (Done, Failed)):
            self.state = "over"
            self.preview.end()
            if isinstance(event, Failed):
                self._failed()
            if not self.watched:
                self._notify(event)
        self.said.emit(event)

    def _failed(self) -> None:
        """Offer the run again, but not one that was stopped before there was a model."""
        run = Run.read(self.folder)
        if self._stopped and run is not None and run.card is None:
            run.discard()
        release(self.folder)

    def _notify(self, event: Done | Failed) -> None:
        """Tell the end of a training that no panel shows."""
        from napari.utils.notifications import show_info, show_warning

        if isinstance(event, Done):
            show_info(f"Training has ended: {self.name} is saved, and can be applied.")
        else:
            show_warning(f"{self.name}: {event.sentence}")


class Desk(QObject):
    """The queue. ``changed`` says that a training came, began or ended."""

    changed = Signal()

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.setObjectName("napari-dojo desk")
        self.trainings: list[Training] = []
        self._next = later(self, 0, self._turn)

    def of(self, viewer: Any) -> Training | None:
        """The latest training of a viewer."""
        return next((t for t in reversed(self.trainings) if t.viewer is viewer), None)

    def before(self, training: Training) -> Training | None:
        """The one that a waiting training waits for: the last that began or will begin before it."""
        at = self.trainings.index(training) if training in self.trainings else len(self.trainings)
        return next((t for t in reversed(self.trainings[:at]) if t.state != "over"), None)

    def add(self, training: Training) -> None:
        """Let a training have its turn; what is over in its viewer is put away."""
        for old in [
            t for t in self.trainings if t.viewer is training.viewer and t.state == "over" and t is not training
        ]:
            self._drop(old)
        if training in self.trainings:
            self.trainings.remove(training)  # for more minutes it waits behind the others
        else:
            training.setParent(self)
            training.said.connect(self._heard)
            self._watch(training.viewer)
        self.trainings.append(training)
        self._turn()

    def close(self, viewer: Any) -> None:
        """End the trainings of a viewer; their models are kept."""
        for training in [t for t in self.trainings if t.viewer is viewer]:
            self._drop(training)
        self._turn()

    def ask(self, names: str, kept: bool, window: Any = None) -> bool:
        """Ask whether to stop the trainings because the window closes; ``kept`` : each has a model that is kept then."""
        then = (
            "Stop it, keep the best model so far, and close?" if kept else "No model is saved yet. Stop it and close?"
        )
        text = f"The training of {names} is not finished. {then}"
        box = QMessageBox(QMessageBox.Icon.Question, "Training is running", text, parent=window)
        stop = box.addButton("Stop and keep" if kept else "Stop", QMessageBox.ButtonRole.AcceptRole)
        box.addButton("Continue training", QMessageBox.ButtonRole.RejectRole)
        box.exec()
        box.deleteLater()  # else the window keeps it
        return box.clickedButton() is stop

    def may_close(self, viewer: Any) -> bool:
        """Whether the window may close; asks where a training would end by that."""
        busy = [t for t in self.trainings if t.viewer is viewer and t.state != "over"]
        if not busy:
            return True
        return self.ask(" and ".join(t.name for t in busy), all(t.kept for t in busy), viewer.window._qt_window)

    def _watch(self, viewer: Any) -> None:
        watch = watch_window(viewer)
        if not watch.may_close:
            known = weakref.ref(viewer)  # a connection would hold the viewer for ever
            watch.may_close.append(lambda: self.may_close(known()))
            watch.closing.connect(lambda: self.close(known()))

    def _drop(self, training: Training) -> None:
        self.trainings.remove(training)
        training.said.disconnect(self._heard)
        training.close()
        training.deleteLater()
        self.changed.emit()

    def _heard(self, event: Event) -> None:
        if isinstance(event, (Done, Failed)):
            self._next.start()

    def _turn(self) -> None:
        if not any(t.state == "working" for t in self.trainings):
            waiting = next((t for t in self.trainings if t.state == "waiting"), None)
            if waiting is not None:
                waiting.begin()
        self.changed.emit()


def desk() -> Desk:
    """The desk of this program."""
    app = QApplication.instance()
    assert app is not None
    return single(app, Desk, lambda: Desk(app))


def free_name(wanted: str) -> str:
    """A name for a model that no folder has yet: "nuclei", then "nuclei-2"."""
    stem = re.sub(r"[^\w.-]+", "-", wanted.strip()).strip("-._") or "model"
    name, k = stem, 2
    taken = {t.name for t in desk().trainings if not t.gone}
    while (models_folder() / name).exists() or name in taken:
        name, k = f"{stem}-{k}", k + 1
    return name


def resumed(viewer: Any, run: Run) -> Training:
    """The training of a run that was interrupted, now this program's."""
    claim(run.folder)
    return Training(viewer, run.folder, run.model, run.again, None, _choices_of(run))


def _choices_of(run: Run) -> dict[str, Any]:
    """What a run was started with, as the panel keeps it."""
    request = run.request
    settings = asdict(request.settings)
    return {
        "task": request.task,
        "options": request.options,
        "settings": settings,
        "minutes": settings["minutes"],
        "start": request.start,
        "name": run.model.name,
    }
