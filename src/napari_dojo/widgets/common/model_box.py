"""The box of models: those that fit come first, the others are marked and say why not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QWidget

from napari_dojo.data.units import unit_text
from napari_dojo.models.card import Card
from napari_dojo.models.library import Model
from napari_dojo.tasks import TASKS
from napari_dojo.widgets.common.form import NameBox, described, narrow, sentence
from napari_dojo.widgets.common.words import counted

__all__ = ["ModelBox", "model_details", "model_words"]

ORIGINS = {"own": "", "shipped": " (shipped)", "lab": " (lab)"}  # in the order of the box


class ModelBox(NameBox):
    """A choice among models, remembered by their folder; ``none`` : words for the choice of no model, the first entry.

    Attributes
    ----------
    lost : the model that was chosen and is no longer there, until another is chosen; else empty.
    note : says so, to be laid out below the box; hidden where nothing is to be said.
    """

    def __init__(self, parent: QWidget | None = None, none: str = "") -> None:
        super().__init__(parent)
        self._none = none
        described(self, "Model", "Shipped models, your own, and those of your lab.")
        narrow(self)
        self._models: list[Model | None] = []
        self.lost = ""
        self.note = sentence()
        self.note.setAccessibleName("What became of the chosen model")
        self.note.hide()
        self.activated.connect(self._activated)
        self.currentIndexChanged.connect(self._changed)

    def _activated(self, *_: Any) -> None:
        self._lose("")

    def _changed(self, *_: Any) -> None:
        self._lose(self.lost)

    def _lose(self, name: str) -> None:
        self.lost = name
        now = "no model" if self.chosen is None else self.chosen.name
        self.note.setText(f"! The model {name} is no longer there. Chosen instead: {now}." if name else "")
        self.note.setVisible(bool(name))

    @property
    def chosen(self) -> Model | None:
        """The chosen model."""
        i = self.currentIndex()
        return self._models[i] if 0 <= i < len(self._models) else None

    def holds(self, model: Model | None) -> bool:
        """Whether this model is the chosen one; after `fill`, whether it is still there."""
        return model is not None and self.chosen is not None and self.chosen.path == model.path

    def fill(self, models: Sequence[Model], why: Callable[[Card], str]) -> None:
        """List these models, those first of which ``why`` has nothing to say; what is chosen stays. Says nothing.

        The user's own come before shipped ones, and these in the order of the tasks.
        """
        reasons = [(model, why(model.card)) for model in models]
        origins, tasks = list(ORIGINS), list(TASKS)
        listed = sorted(reasons, key=lambda p: (bool(p[1]), origins.index(p[0].origin), tasks.index(p[0].card.task)))
        before = self.chosen
        path = before.path if before else None
        self.blockSignals(True)
        self.clear()
        self._models = [*([None] if self._none else []), *(model for model, _ in listed)]
        if self._none:
            self.addItem(self._none)
        for model, reason in listed:
            self.addItem(("✗ " if reason else "") + model.name + ORIGINS[model.origin])
            tip = f"Does not fit: {reason}" if reason else model_details(model.card)
            self.setItemData(self.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        lost = self.lost
        if not self.choose(path):
            lost = before.name if before else lost
            self.setCurrentIndex(0 if self._models else -1)
        self._lose(lost)
        self.blockSignals(False)

    def choose(self, path_or_name: str | Path | None) -> bool:
        """Choose a model by its folder or name; whether it is there."""
        wanted = str(path_or_name or "")
        for i, model in enumerate(self._models):
            if model is not None and wanted in (str(model.path), model.name):
                self.setCurrentIndex(i)
                self._lose("")
                return True
        return False


def model_words(card: Card) -> str:
    """What a model is and how good it is beside the baseline, as rich text."""
    return "<br>".join(escape(line) for line in _lines(card))


def _lines(card: Card) -> Iterator[str]:
    what = card.description.strip().split("\n")[0] or TASKS[card.task].sentence
    yield what if len(what) <= 110 else what[:106].rsplit(" ", 1)[0].rstrip(",;:") + " ..."
    score = card.data.get("test") or card.score
    if isinstance(score, dict) and score.get("sentence"):
        part = "test" if card.data.get("test") else card.score.get("from", "validation")
        yield f"{str(part).capitalize()}: {score['sentence']}"
    if card.baseline.get("sentence"):
        yield f"Baseline: {card.baseline['sentence']}"


def model_details(card: Card) -> str:
    """All that a person may want to know of a model, for a tooltip."""
    kind = "volumes" if card.spatial == "ZYX" else "planes"
    lines = [card.description.strip() or TASKS[card.task].sentence, ""]
    lines.append(f"For {kind} of {counted(card.channels, 'channel')}")
    images, objects = (card.data.get(k) for k in ("images", "objects"))
    if images:
        lines.append(f"Trained on {counted(images, 'image')}" + (f", {counted(objects, 'object')}" if objects else ""))
    if card.diameter:
        physical = ""
        if card.pixel_size and card.unit:
            physical = f" ({card.diameter * card.pixel_size[-1]:.3g} {unit_text(card.unit)})"
        lines.append(f"Objects about {card.diameter:.0f} px in diameter{physical}; other sizes by Diameter")
    ap = (card.data.get("test") or card.score).get("ap", {}).get("0.5")
    if ap is not None:
        lines.append(f"Average precision at IoU .5: {ap:.2f}")
    return "\n".join(lines).strip()
