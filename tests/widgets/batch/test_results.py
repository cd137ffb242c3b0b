"""Results of a run as layers: one after the other in the same layers, other kinds in new ones."""

from __future__ import annotations

import numpy as np
import pytest

from napari_dojo.io.images import Picture
from napari_dojo.widgets.batch.results import Opened, show
from napari_dojo.widgets.common.provenance import is_uncorrected

pytestmark = pytest.mark.gui


def opened(name, top, axes="YX", size=None, **more):
    data = np.full((4, 5, 6)[-len(axes) :], top, np.uint16)
    data[..., 0] = 0
    picture = Picture(data, axes, pixel_size=size, unit=size and "um")
    return Opened(name, picture, Picture((data > 0).astype(np.int32), axes), True, **more)


def test_the_same_layers_show_the_next_image(viewer):
    mine = viewer.add_image(np.zeros((4, 5)), name="mine")
    show(viewer, opened("a", 10, size=(0.5, 0.25)))
    before = list(viewer.layers)
    before[1].colormap = "green"
    show(viewer, opened("b", 5000))
    assert list(viewer.layers) == before
    assert [layer.name for layer in before] == ["mine", "b", "b: labels"]
    assert before[1].data.max() == 5000
    assert tuple(before[1].contrast_limits) == (0, 5000)
    assert before[1].scale.tolist() == before[2].scale.tolist() == [1, 1]
    assert before[1].colormap.name == "green"
    show(viewer, opened("stack", 7, "ZYX"))
    assert [layer.name for layer in viewer.layers] == ["mine", "stack", "stack: labels"]
    assert [layer.ndim for layer in viewer.layers] == [2, 3, 3]
    assert viewer.layers[0] is mine
    show(viewer, opened("alone", 7, "ZYX")._replace(result=None))
    assert [layer.name for layer in viewer.layers] == ["mine", "alone"]


def test_a_result_that_a_person_has_painted_in_stays(viewer):
    show(viewer, opened("a", 10))
    labels = viewer.layers["a: labels"]
    assert is_uncorrected(labels.metadata)  # no ground truth
    labels.data_setitem((np.array([0]), np.array([0])), 7)
    show(viewer, opened("b", 20))
    assert [(x.name, x.visible) for x in viewer.layers] == [("a: labels", False), ("b", True), ("b: labels", True)]
    assert labels.data[0, 0] == 7
    assert not is_uncorrected(labels.metadata)
    show(viewer, opened("c", 30))
    assert [x.name for x in viewer.layers] == ["a: labels", "c", "c: labels"]
    assert viewer.layers[2].metadata["napari_dojo"]["image"] == "c"
