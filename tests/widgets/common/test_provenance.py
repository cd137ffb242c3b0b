"""Which layers a model made, and what makes them a person's."""

from __future__ import annotations

import numpy as np
import pytest

from napari_dojo.widgets.common.layers import add_quietly, provenance
from napari_dojo.widgets.common.provenance import is_prediction, is_uncorrected, made, mark_corrected, model_of


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


@pytest.mark.gui
def test_a_stroke_makes_a_prediction_a_persons(viewer):
    layer = add_quietly(viewer, np.zeros((20, 20), np.int32), "found", metadata=provenance("result", "a"))
    layer.data = np.ones((20, 20), np.int32)  # decoded again
    assert is_uncorrected(layer.metadata)
    layer.paint((5, 5), 3)
    assert not is_uncorrected(layer.metadata)
