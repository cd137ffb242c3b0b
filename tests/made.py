"""What a task makes of one patch that is neither flipped nor rotated."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_dojo.data.resident import Crops
from napari_dojo.tasks.base import Task


def made(
    task: Task, x: NDArray[Any], y: Any, region: Any, options: Any, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Input (C, *S), target (K, *S) and weight (1, *S) of a normalised patch and its annotation."""
    record = task.supervision.record(y, region, options)
    dims = x.ndim - 1
    kind = None if task.target is None else task.target.kind
    image = y if kind is not None and (kind.intensities or not kind.dense) else None
    crops = Crops(
        torch.from_numpy(np.array(x, np.float32))[None],
        None if image is None else torch.from_numpy(np.array(image, np.float32))[None],
        None if record is None else torch.from_numpy(record)[None],
        torch.eye(dims)[None],
        torch.ones(1),
        None,
    )
    found = task.supervision.targets(crops, options, torch.Generator().manual_seed(seed))
    a, b, c = (t[0].numpy() for t in found)
    return a, b, c
