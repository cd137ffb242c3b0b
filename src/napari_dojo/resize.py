"""Images and maps on another grid: antialiased when they get smaller, linear when larger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["resize", "resize_labels"]


def resize(x: NDArray[np.float32], size: Sequence[int]) -> NDArray[np.float32]:
    """(C, *S) -> (C, *size), float32; the outer edges stay where they are."""
    from scipy.ndimage import gaussian_filter
    from skimage.transform import resize as to

    x = np.asarray(x, np.float32)
    if tuple(x.shape[1:]) == tuple(size):
        return x
    shrink = [max(0.0, (n / m - 1) / 2) for n, m in zip(x.shape[1:], size, strict=True)]
    done = [
        to(
            gaussian_filter(c, shrink) if any(shrink) else c,
            size,
            order=1,
            mode="edge",
            anti_aliasing=False,
            preserve_range=True,
        )
        for c in x
    ]
    return np.stack(done).astype(np.float32)


def resize_labels(y: NDArray[Any], size: Sequence[int]) -> NDArray[Any]:
    """(*S) -> (*size): the label at the nearest place."""
    if tuple(y.shape) == tuple(size):
        return y
    at = [np.minimum(((np.arange(m) + 0.5) * n / m).astype(int), n - 1) for n, m in zip(y.shape, size, strict=True)]
    return y[np.ix_(*at)]
