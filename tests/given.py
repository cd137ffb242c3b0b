"""What a person gives beside an image of discs, by kind of target: the tests of all tasks make their data here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dojo.data.kinds import CATEGORY, CLASSES, IMAGE, LABELS, Kind
from napari_dojo.tasks import TASKS

# kind -> (labels of discs int32 (*S), a clean image of them (*S * scale), a number) -> the target
GIVEN: dict[Kind, Callable[[NDArray[np.int32], NDArray[np.float32], int], Any]] = {
    LABELS: lambda labels, clean, number: labels,
    CLASSES: lambda labels, clean, number: (labels > 0).astype(np.uint8) + 1,
    IMAGE: lambda labels, clean, number: clean,
    CATEGORY: lambda labels, clean, number: np.asarray(number, np.int32),
}


def target_of(name: str, labels: NDArray[np.int32], clean: NDArray[np.float32], number: int = 1, **options: Any) -> Any:
    """The target of a task for labels of discs and a clean image of them, both (*S); ``number`` : of a category."""
    task = TASKS[name]
    layout = task.layout(task.options(**options))
    return GIVEN[layout.kind](labels, finer(clean, layout.scale("ZYX"[-labels.ndim :])), number)


def finer(image: NDArray[np.float32], scale: tuple[int, ...]) -> NDArray[np.float32]:
    """The image with each pixel repeated."""
    for axis, n in enumerate(scale):
        image = np.repeat(image, n, axis)
    return image
