"""Parts of images that are kept beside a model, for the models that begin from it.

On those that it never trained on (held out), a later model is scored, too; those that it was trained on (its memory), a
retraining on corrections rehearses, so that it does not lose what the model knew.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo.boxes import middle
from napari_dojo.data.batches import Source
from napari_dojo.data.normalize import Normalization
from napari_dojo.io.atomic import write_safely
from napari_dojo.models.kept import HELD, MEMORY

__all__ = ["REMEMBERED", "held_of", "keep_held", "keep_memory", "memory_of"]

MOST = 12  # parts that are held out
EDGE = 256  # px of such a part of an image
REMEMBERED, PATCH = 24, 128  # parts of a memory, and their edge in images, px
EDGE_OF_VOLUMES = 64  # px of both in volumes


def keep_held(run: Path, sources: Sequence[Source]) -> None:
    """Write the middles of some parts with labels into the folder of a run.

    Raises
    ------
    DojoError : where the disk is full.
    """
    step = max(1, -(-len(sources) // MOST))
    _keep(run / HELD, sources[::step], EDGE)


def keep_memory(run: Path, sources: Sequence[Source]) -> None:
    """Write the middles of what a model was trained on, at most `REMEMBERED` parts, into the folder of a run.

    Raises
    ------
    DojoError : where the disk is full.
    """
    _keep(run / MEMORY, sources[:REMEMBERED], PATCH)


def held_of(model: Path) -> list[Source]:
    """The parts that were held out and kept beside a model; empty where there are none, or they cannot be read."""
    return _parts(model / "run" / HELD)


def memory_of(model: Path) -> list[Source]:
    """The memory beside a model; empty where there is none, or it cannot be read."""
    return _parts(model / "run" / MEMORY)


def _keep(path: Path, sources: Sequence[Source], most: int) -> None:
    found: dict[str, Any] = {}
    for k, source in enumerate(sources):
        edge = most if len(source.size) == 2 else EDGE_OF_VOLUMES
        box = middle(source.size, edge)
        found[f"x{k}"] = np.asarray(source.x[(slice(None), *box)])
        found[f"y{k}"] = np.asarray(source.y)[box]
        found[f"norm{k}"] = np.array([source.norm.offset, source.norm.scale])
        if source.region is not None:
            found[f"region{k}"] = source.region[box]
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **found)
    write_safely(path, buffer.getvalue())


def _parts(path: Path) -> list[Source]:
    if not path.is_file():
        return []
    try:
        with np.load(path, allow_pickle=False) as file:
            return [_source(file, name[1:]) for name in file.files if name.startswith("x")]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return []


def _source(file: Mapping[str, NDArray[Any]], k: str) -> Source:
    offset, scale = (tuple(map(float, row)) for row in file[f"norm{k}"])
    x, y = file[f"x{k}"], file[f"y{k}"]
    region = file.get(f"region{k}")
    return Source(x, y, region, Normalization(offset, scale), np.zeros((0, y.ndim), np.int32))
