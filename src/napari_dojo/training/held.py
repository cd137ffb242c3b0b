"""Parts of images that a training never trained on, kept beside its model: a later model is scored on them, too."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_dojo.boxes import middle
from napari_dojo.data.batches import Source
from napari_dojo.data.normalize import Normalization
from napari_dojo.io.atomic import write_safely
from napari_dojo.models.kept import HELD

__all__ = ["held_of", "keep_held"]

MOST = 12  # parts
EDGE = 256  # px of a part of an image, and 64 of a part of a volume
EDGE_OF_VOLUMES = 64


def keep_held(run: Path, sources: Sequence[Source]) -> None:
    """Write the middles of some parts with labels into the folder of a run.

    Raises
    ------
    DojoError : where the disk is full.
    """
    step = max(1, -(-len(sources) // MOST))
    found: dict[str, Any] = {}
    for k, source in enumerate(sources[::step]):
        edge = EDGE if len(source.size) == 2 else EDGE_OF_VOLUMES
        box = middle(source.size, edge)
        found[f"x{k}"] = np.asarray(source.x[(slice(None), *box)])
        found[f"y{k}"] = np.asarray(source.y)[box]
        found[f"norm{k}"] = np.array([source.norm.offset, source.norm.scale])
        if source.region is not None:
            found[f"region{k}"] = source.region[box]
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **found)
    write_safely(run / HELD, buffer.getvalue())


def held_of(model: Path) -> list[Source]:
    """The parts that were kept beside a model; empty where there are none, or they cannot be read."""
    path = model / "run" / HELD
    if not path.is_file():
        return []
    try:
        with np.load(path, allow_pickle=False) as file:
            return [_source(file, name[1:]) for name in file.files if name.startswith("x")]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return []


def _source(file: Any, k: str) -> Source:
    offset, scale = (tuple(map(float, row)) for row in file[f"norm{k}"])
    x, y = file[f"x{k}"], file[f"y{k}"]
    region = file[f"region{k}"] if f"region{k}" in file.files else None
    return Source(x, y, region, Normalization(offset, scale), np.zeros((0, y.ndim), np.int32))
