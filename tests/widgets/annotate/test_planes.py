"""Suggest a plane: along the slider's axis, from above and from the side, and frames of a series."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_dojo.widgets.annotate.editing import Editing
from napari_dojo.widgets.annotate.planes import PlaneSection
from napari_dojo.widgets.common.layers import provenance
from napari_dojo.widgets.common.numbering import STROKES

pytestmark = pytest.mark.gui

SIZE = (16, 40, 48)


@pytest.fixture
def section(qtbot):
    """A section for labels over an image of a bright block that fades in the middle plane; all is let go of at the end."""
    model, made = ViewerModel(), []

    def make(labels, metadata=None):
        image = np.random.default_rng(0).normal(0, 0.05, labels.shape).astype(np.float32)
        image[..., 10:30, 10:30] += 1
        if image.ndim == 3:
            image[8, 10:30, 10:30] -= 0.6
        layer = model.add_image(image)
        labels_layer = model.add_labels(labels, metadata=metadata or {})
        editing = Editing(model, labels_layer)
        editing.image = layer
        widget = PlaneSection(model)
        qtbot.addWidget(widget)
        widget.use(editing)
        made.append((widget, editing))
        return widget, editing, model

    yield make
    for widget, editing in made:
        widget.end()
        editing.close()


def strokes(*planes):
    labels = np.zeros(SIZE, np.int32)
    labels[list(planes)] = 1
    labels[list(planes), 10:30, 10:30] = 2
    return labels


def test_it_leads_to_the_plane_that_is_least_sure(qtbot, section):
    widget, _, model = section(strokes(0, 15), {STROKES: "objects"})
    assert widget.button.text() == "Suggest a plane"
    widget.button.click()
    qtbot.waitUntil(lambda: widget.text.text().startswith("Plane 8. The least sure"))
    assert model.dims.current_step[0] == 8


def test_planes_with_whole_objects_count_and_sides_have_planes(qtbot, section):
    labels = strokes(0) - 1
    labels[labels < 0] = 0
    widget, _, model = section(labels)
    model.dims.order = (1, 0, 2)  # from the side
    model.dims.set_point(1, 2)
    first = model.dims.current_step[0]
    widget.button.click()
    qtbot.waitUntil(lambda: widget.text.text().startswith("Plane"))
    at = model.dims.current_step
    assert at[0] == first  # the slider of Y is moved, not that of Z
    assert not 10 <= at[1] < 30  # those are annotated


def test_frames_and_images(qtbot, section):
    widget, _, _ = section(0 * strokes(0), provenance("result", "image", axes="TYX"))
    assert widget.button.text() == "Suggest a frame"
    widget.button.click()
    qtbot.waitUntil(lambda: "the middle of the largest gap between annotated frames" in widget.text.text())
    widget, _, _ = section(strokes(0)[0])
    assert widget.isHidden()


def test_all_planes_are_annotated(qtbot, section):
    widget, editing, _ = section(strokes(*range(16)), {STROKES: "objects"})
    widget.button.click()
    qtbot.waitUntil(lambda: widget.text.text() == "All planes are annotated already.")
    editing.image = None
    widget.button.click()
    assert widget.text.text() == "Choose the image that the labels lie on."
