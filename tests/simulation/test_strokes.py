from __future__ import annotations

import numpy as np

from napari_dojo.simulation.microscope import simulate
from napari_dojo.simulation.strokes import strokes


def test_strokes_lie_in_their_class() -> None:
    classes = simulate("cells", (96, 96), 1, diameter=28).classes
    drawn = strokes(classes, 0.05, seed=1)
    assert np.array_equal(drawn[drawn > 0], classes[drawn > 0])
    for value in (1, 2, 3):
        share = (drawn == value).sum() / (classes == value).sum()
        assert 0.03 < share < 0.2
    assert np.array_equal(drawn, strokes(classes, 0.05, seed=1))
    assert not np.array_equal(drawn, strokes(classes, 0.05, seed=2))


def test_thin_classes_and_volumes_get_strokes_and_what_is_unknown_does_not() -> None:
    classes = np.zeros((6, 20, 20), np.uint8)
    classes[:, :, :1], classes[:, :, 10:] = 1, 2
    drawn = strokes(classes, 0.01)
    assert {int(v) for v in np.unique(drawn)} == {0, 1, 2}
    assert not drawn[classes == 0].any()
