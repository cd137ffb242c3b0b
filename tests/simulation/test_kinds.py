from __future__ import annotations

import numpy as np

from napari_dojo.simulation.microscope import simulate


def test_a_field_without_gaps_is_all_cells() -> None:
    """Where no pixel is background, no cell is taken for it."""
    scene = simulate("cells", (12, 12), 1, diameter=60, density=1.0, lobes=0.0)
    assert (scene.labels > 0).all()
    assert np.array_equal(scene.classes > 1, scene.labels > 0)
