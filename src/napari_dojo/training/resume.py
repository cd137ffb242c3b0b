"""What a run was trained on, so that it is never resumed on something else."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_dojo.data.dataset import Dataset
from napari_dojo.data.split import Split
from napari_dojo.errors import DojoError
from napari_dojo.models.card import Card
from napari_dojo.training.plan import Plan

__all__ = ["check_resumed", "fingerprint", "kept_plan", "start_of"]


def fingerprint(dataset: Dataset, split: Split) -> dict[str, str]:
    """What tells these data from others: hashes of the images, of the targets, and of the split into parts.

    Images and targets are hashed on a grid of at most about 64 places along each axis, with names and sizes.
    """
    images, targets = (hashlib.blake2b(digest_size=12) for _ in range(2))
    for item in dataset.samples:
        images.update(repr((item.name, item.size)).encode() + _grid(item.x, len(item.size)))
        for y in (item.y, item.region):
            targets.update(repr(None if y is None else np.shape(y)).encode() + _grid(y, len(item.size)))
    parts = {k: [(p.item, p.box) for p in getattr(split, k)] for k in ("training", "validation", "test")}
    divided = hashlib.blake2b(repr(parts).encode(), digest_size=12)
    return {"images": images.hexdigest(), "targets": targets.hexdigest(), "split": divided.hexdigest()}


def kept_plan(out: Path, plan: Plan) -> Plan | None:
    """The plan with the scale, and the batch and the width that were timed, of the run in a model's folder; None where none lies there."""
    try:
        about: dict[str, Any] = json.loads((out / "run" / "settings.json").read_text(encoding="utf-8"))
        kept = about["plan"]
        return replace(plan, zoom=float(kept["zoom"]), batch=int(kept["batch"]), width=int(kept["width"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def check_resumed(out: Path, task: str, data: dict[str, str]) -> None:
    """Refuse to resume the run in a model's folder on other data, or where a finished model has no run.

    Raises
    ------
    DojoError : naming what differs.
    """
    run = out / "run"
    if not (run / "state.pt").exists():
        if (out / "rdf.yaml").exists():
            raise DojoError(
                f"{out} holds a model, but no run that can be resumed. Train another one that starts from it."
            )
        return
    try:
        about: dict[str, Any] = json.loads((run / "settings.json").read_text(encoding="utf-8"))
        known = about["data"]
        differs = "task" if about["task"] != task else next((k for k in data if data[k] != known[k]), "")
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise DojoError(
            f"The run in {run} does not say what it was trained on, so it is not resumed. Overwrite it, or train under another name."
        ) from e
    if differs:
        how = {"split": "the split into training, validation and test parts is another one (seed, shares or roles)"}
        why = how.get(differs, f"the {differs} {'is' if differs == 'task' else 'are'} not the same")
        raise DojoError(
            f"The run in {out} cannot be resumed: {why}. Resume it as it was started, or train another model that "
            "starts from this one."
        )


def start_of(out: Path) -> Card | None:
    """The model that the run in a model's folder was started from; None: from nothing, or it does not say so."""
    try:
        card = json.loads((out / "run" / "settings.json").read_text(encoding="utf-8")).get("start")
    except (OSError, ValueError, AttributeError):
        return None  # `check_resumed` refuses it
    return None if card is None else Card.from_dict(card, "the run's start")


def _grid(array: Any, dims: int) -> bytes:
    """The values of an array on a coarse grid of its last ``dims`` axes; empty for None."""
    if array is None:
        return b""
    size = np.shape(array)[-dims:]
    step = tuple(slice(None, None, max(1, n // 64)) for n in size)
    return np.ascontiguousarray(np.asarray(array[(..., *step)])).tobytes()
