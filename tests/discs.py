"""The smallest training data that can be learned."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def discs(seed: int = 0, n: int = 3) -> tuple[list[NDArray[np.uint16]], list[NDArray[np.int32]]]:
    """Images (96, 96) of bright discs of radius 7 and their labels."""
    rng = np.random.default_rng(seed)
    yy, xx = np.indices((96, 96))
    images, labels = [], []
    for _ in range(n):
        y = np.zeros((96, 96), np.int32)
        for k, (cy, cx) in enumerate([(a, b) for a in (16, 48, 80) for b in (16, 48, 80)], 1):
            y[(yy - cy) ** 2 + (xx - cx) ** 2 <= 49] = k
        images.append((100 + 400 * (y > 0) + rng.normal(0, 20, y.shape)).astype(np.uint16))
        labels.append(y)
    return images, labels
