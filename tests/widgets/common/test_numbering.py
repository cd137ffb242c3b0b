"""The number that a stroke paints with."""

from __future__ import annotations

import numpy as np
import pytest

from napari_dojo.widgets.common.layers import new_labels
from napari_dojo.widgets.common.numbering import next_number


@pytest.fixture
def labels():
    y = np.zeros((60, 60), int)
    y[10:20, 10:20], y[40:50, 40:50] = 1, 2
    return y


@pytest.mark.parametrize(
    ("place", "number", "before", "wanted"),
    [
        ((45, 45), 2, 2, 2),  # continued
        ((10, 50), 2, 2, 3),  # elsewhere: a new object
        ((10, 50), 1, 2, 1),  # a person has chosen it
        ((10, 50), 5, None, 5),
        ((10, 50), 0, 0, 0),  # the eraser
        ((-3, 70), 2, 2, 3),
    ],
)
def test_a_stroke_elsewhere_is_a_new_object(labels, place, number, before, wanted):
    assert next_number(labels, place, 5, number, before) == wanted


def test_of_a_volume_the_plane_counts(labels):
    volume = np.stack([labels, labels * 0])
    assert next_number(volume, (0, 45, 45), 5, 2, 2) == 2
    assert next_number(volume, (1, 45, 45), 5, 2, 2) == 3


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.uint64])
def test_the_largest_number_of_a_type_leaves_room(labels, dtype):
    full = labels.astype(dtype)
    full[30, 30] = np.iinfo(dtype).max
    assert next_number(full, (10, 50), 5, 2, 2) == 3
    assert next_number(-labels, (10, 50), 5, 2, 2) == 1


@pytest.mark.gui
def test_painting_with_the_mouse(viewer):
    layer = new_labels(viewer, viewer.add_image(np.zeros((60, 60)), name="a"))
    layer.brush_size = 5
    for place in ((10, 10), (11, 11), (40, 40)):
        event = type("Event", (), {"position": place, "type": "mouse_press"})()
        layer.mouse_drag_callbacks[0](layer, event)
        layer.paint(place, layer.selected_label)
    assert (layer.data[10, 10], layer.data[11, 11], layer.data[40, 40]) == (1, 1, 2)
    assert viewer.status == "Object 2"
