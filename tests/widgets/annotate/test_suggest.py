"""The section "Next": places one after the other, with a box around them."""

from __future__ import annotations

import numpy as np
import pytest

from napari_dojo.inference.places import Place
from napari_dojo.widgets.annotate.panel import AnnotatePanel
from napari_dojo.widgets.annotate.suggest import _frame
from napari_dojo.widgets.common.panel import open_panel

pytestmark = pytest.mark.gui


def test_places_one_after_the_other(qtbot, viewer):
    labels = np.zeros((3, 256, 256), np.int32)
    for n, (y, x) in enumerate(((30, 30), (30, 220), (220, 30), (220, 220)), 1):
        labels[:, y : y + 12, x : x + 12] = n
    viewer.add_image(np.zeros(labels.shape, np.float32), name="cells")
    layer = viewer.add_labels(labels, name="found")
    panel = open_panel(viewer, AnnotatePanel, "Annotate")
    panel.choose(layer)
    qtbot.waitUntil(lambda: panel.editing.tally.objects == 4)
    section, seen = panel.suggest, []

    def boxes():
        return [x for x in viewer.layers if x.name == "found next place"]

    for k in range(8):
        section.button.click()
        qtbot.waitUntil(lambda k=k: section.text.text().startswith(f"{k + 1} of 8"))
        frame = np.argwhere(boxes()[0].data)
        middle = (frame.min(0) + frame.max(0)) / 2 + [0, 0.5, 0.5]
        seen.append(tuple(middle))
        camera = getattr(viewer, "scene", viewer).camera
        assert np.allclose(camera.center[1:], middle[1:])
        assert viewer.dims.current_step[0] == middle[0]
        assert (
            layer.data[int(middle[0])][
                tuple(slice(a, b + 1) for a, b in zip(frame.min(0)[1:], frame.max(0)[1:], strict=True))
            ]
            > 0
        ).any()
    assert len(set(seen)) == 8
    assert {place[0] for place in seen[:3]} == {0, 1, 2}  # each plane before a second place in one
    assert section.text.text().endswith("Nothing is accepted yet: places are spread evenly.")
    assert len(boxes()) == 1
    assert viewer.layers.selection.active is layer
    section.hide_button.click()
    assert not boxes()

    panel.editing.accept_box(tuple(slice(0, n) for n in labels.shape))
    section.button.click()
    qtbot.waitUntil(lambda: section.text.text() == "All of it is accepted already.")


def test_all_edges_of_a_large_box_are_drawn():
    frame = _frame((3, 400, 400), (1,), Place(1, (50, 60), (256, 256)))
    assert not frame[[0, 2]].any()
    assert frame[1].sum() == 256**2 - (256 - 6) ** 2  # 3 px: at a zoom below 1, napari leaves out single lines
    assert _frame((90, 90), (), Place(0, (5, 5), (64, 64))).sum() == 64**2 - 62**2
