"""Which layers a model made, and what makes them a person's."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image, Labels

from napari_dojo.widgets.common.accepted import accepted_layer
from napari_dojo.widgets.common.layers import add_quietly, provenance
from napari_dojo.widgets.common.provenance import (
    is_prediction,
    is_uncorrected,
    made,
    made_from,
    mark_corrected,
    model_of,
)


def test_of_metadata():
    mine: dict = {"note": 1}
    theirs = provenance("result", "a", model="nuclei")
    preview = provenance("preview", "a")
    assert [is_prediction(m) for m in (mine, theirs, preview)] == [False, True, False]
    assert [is_uncorrected(m) for m in (mine, theirs, preview)] == [False, True, False]
    assert [model_of(m) for m in (mine, theirs, preview)] == ["", "nuclei", ""]
    assert made({"napari_dojo": "of another plugin"}) == {}
    for metadata in (mine, theirs, preview):
        mark_corrected(metadata)
    assert "napari_dojo" not in mine
    assert "corrected" not in made(preview)
    assert is_prediction(theirs)
    assert not is_uncorrected(theirs)


def test_what_is_made_from_a_layer_is_found_under_any_name():
    image, other = Image(np.zeros((4, 4)), name="a"), Image(np.zeros((4, 4)), name="b")
    shown = Image(np.zeros((4, 4)), metadata=provenance("honesty", image, what="residual"))
    left = Image(np.zeros((4, 4)), metadata=provenance("honesty", "a", what="residual"))  # of an earlier session
    layers = [image, other, shown, left]
    assert made_from(image, layers, "honesty", what="residual") == [shown, left]
    image.name, other.name = "c", "a"
    assert made_from(image, layers, "honesty", what="residual") == [shown]
    assert made_from(image, layers, "honesty", what="support") == []
    assert made_from(image, [other, shown], "honesty") == [shown]  # the layer itself is gone


def test_what_is_accepted_belongs_to_labels_under_any_name():
    labels = Labels(np.zeros((4, 4), np.int32), name="cells")
    other = Labels(np.zeros((4, 4), np.int32), name="b")
    accepted = Labels(np.zeros((4, 4), np.uint8), metadata=provenance("accepted", labels))
    labels.name, other.name = "nuclei", "cells"  # while no panel is open
    assert accepted_layer([other, labels, accepted], labels) is accepted
    assert accepted_layer([other, labels, accepted], other) is None


@pytest.mark.gui
def test_a_stroke_makes_a_prediction_a_persons(viewer):
    layer = add_quietly(viewer, np.zeros((20, 20), np.int32), "found", metadata=provenance("result", "a"))
    layer.data = np.ones((20, 20), np.int32)  # decoded again
    assert is_uncorrected(layer.metadata)
    layer.paint((5, 5), 3)
    assert not is_uncorrected(layer.metadata)
