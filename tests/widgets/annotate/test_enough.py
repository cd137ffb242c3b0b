"""The section "Enough?": what more annotation would bring, and a person's own agreement."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_dojo.widgets.annotate.editing import Editing
from napari_dojo.widgets.annotate.enough import EnoughSection, agreement
from napari_dojo.widgets.common.numbering import STROKES

pytestmark = pytest.mark.gui


def squares(edge=48):
    y = np.zeros((edge, edge), np.int32)
    for k in range(16):
        row, column = 12 * (k % 4), 12 * (k // 4)
        y[row + 3 : row + 9, column + 3 : column + 9] = k + 1
    return y


def section_of(qtbot, **place):
    """The section for 16 squares over their image, in a viewer without a window."""
    model = ViewerModel()
    y = squares()
    x = (y > 0) + np.random.default_rng(0).normal(0, 0.1, y.shape).astype(np.float32)
    image = model.add_image(x, name="image", **place)
    editing = Editing(model, model.add_labels(y, name="cells", **place))
    editing.image = image
    widget = EnoughSection(model)
    qtbot.addWidget(widget)
    widget.use(editing)
    return widget, editing, model


@pytest.fixture
def section(qtbot):
    widget, editing, model = section_of(qtbot)
    yield widget, editing, model
    widget.end()
    editing.close()


def test_a_part_is_annotated_again(section):
    widget, editing, model = section
    widget.again_button.click()
    assert widget.again_button.text() == "Compare"
    again = model.layers["cells again"]
    assert not again.data.any()
    assert [x.name for x in model.layers if x.visible] == ["cells again: image", "cells again"]
    assert (model.layers.selection.active, again.mode) == (again, "paint")
    start = np.rint(np.asarray(again.translate)).astype(int)
    part = tuple(slice(a, a + n) for a, n in zip(start, again.data.shape, strict=True))
    widget.again_button.click()
    assert widget.text.text().startswith("Nothing is annotated again yet")
    again.data[:] = editing.data[part]
    widget.again_button.click()
    assert widget.text.text().startswith("You agree with yourself at an AP of 1.00")
    assert [x.name for x in model.layers] == ["image", "cells"]
    assert all(x.visible for x in model.layers)


def test_a_part_lies_where_it_was_cut(qtbot):
    widget, editing, model = section_of(
        qtbot, scale=(0.5, 0.5), rotate=30, translate=(7, 9), units=("micrometer",) * 2, affine=np.diag([2.0, 3.0, 1.0])
    )
    widget.again_button.click()
    for name in ("cells again", "cells again: image"):
        layer = model.layers[name]
        assert layer.units == editing.labels.units
        start = np.array(editing.labels.world_to_data(layer.data_to_world((0, 0))))
        np.testing.assert_allclose(start, start.round(), atol=1e-6)
        np.testing.assert_allclose(layer.data_to_world((3, 5)), editing.labels.data_to_world(start + np.array([3, 5])))
    widget.end()
    editing.close()


def test_a_removed_copy_ends_it(section):
    widget, _, model = section
    widget.again_button.click()
    model.layers.remove("cells again")
    assert widget.again_button.text() == "Annotate a part again"
    assert [x.name for x in model.layers if x.visible] == ["image", "cells"]


def test_strokes_on_objects_are_not_compared(section):
    widget, editing, _ = section
    editing.labels.metadata[STROKES] = "objects"
    widget.use(editing)
    assert not widget.again_button.isEnabled()


def test_agreement_in_words():
    y = squares()
    fewer = np.where(y > 12, 0, y)
    assert agreement(y, fewer, False) == (
        "You agree with yourself at an AP of 0.75 (IoU .5; 16 and 12 objects): a model cannot be expected to beat this."
    )
    classes = 1 + (y > 0)
    assert "a mean IoU of 1.00" in agreement(classes, np.where(y > 8, 0, classes), True)


def test_what_more_would_bring_is_found_by_short_trainings(qtbot, section):
    widget, _, _ = section
    widget.settings = {"steps": 5, "width": 4, "depth": 2, "batch": 1, "patch": 16, "device": "cpu"}
    widget.gain_button.click()
    assert widget.gain_button.text() == "Stop"
    qtbot.waitUntil(lambda: widget.text.text().startswith("Mean AP with 12 objects"), timeout=180_000)
    assert "5 more objects: " in widget.text.text()
    assert widget.gain_button.text() == "How much would more help?"
    widget.gain_button.click()
    widget.gain_button.click()
    assert widget.text.text() == "Stopped."


def test_objects_that_are_annotated_again_get_a_number_each(section):
    widget, editing, model = section
    model.layers.selection.active = editing.labels
    widget.again_button.click()
    again = model.layers["cells again"]
    for place in ((2.0, 2.0), (40.0, 40.0)):
        event = SimpleNamespace(position=again.data_to_world(place))
        for press in list(again.mouse_drag_callbacks):
            if press.__module__.endswith("numbering"):
                press(again, event)
        again.paint(place, again.selected_label)
    assert len(np.unique(again.data)) == 3
    widget.again_button.click()
    assert model.layers.selection.active is editing.labels  # its keys work again
