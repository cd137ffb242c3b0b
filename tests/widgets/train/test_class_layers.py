"""Classes of image layers: what was typed stays with its layer."""

from __future__ import annotations

import numpy as np
import pytest

from napari_dojo.widgets.train.class_layers import ClassLayerRows

pytestmark = pytest.mark.gui


def test_the_class_that_was_typed_stays_with_a_layer_that_is_renamed(qtbot, viewer):
    for name in ("a", "b"):
        viewer.add_image(np.eye(8), name=name)
    rows = ClassLayerRows(viewer)
    qtbot.addWidget(rows)
    _, _, edit = rows._lines[0]
    edit.setText("healthy")
    edit.textEdited.emit("healthy")
    viewer.layers["a"].name = "control 7"
    rows.refresh()
    assert [(x.name, named) for x, named in rows.rows] == [("control 7", "healthy"), ("b", "b")]
