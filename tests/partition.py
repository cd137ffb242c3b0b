"""Whether two labellings have the same objects."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def same_objects(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Whatever their numbers are."""
    pairs = np.unique(np.stack([np.ravel(a), np.ravel(b)]), axis=1)
    return len(np.unique(a)) == len(np.unique(b)) == pairs.shape[1]
