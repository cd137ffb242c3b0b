"""The table of measurements, of points, too."""

from __future__ import annotations

import numpy as np
import pytest

from napari_dojo.widgets.common.table import Measurements

pytestmark = pytest.mark.gui


def test_a_row_leads_to_its_point(qtbot, viewer):
    viewer.add_image(np.zeros((40, 60)))
    points = viewer.add_points([[5, 6], [20, 30]], scale=(2, 2), features={"class": ["a", "b"]})
    table = Measurements(viewer)
    qtbot.addWidget(table)
    table.show_layers([points])
    model = table.view.model()
    assert [model.index(row, 0).data() for row in range(2)] == ["a", "b"]
    table.view.setCurrentIndex(model.index(1, 0))
    camera = getattr(viewer, "scene", viewer).camera  # napari 0.9 moved it
    assert tuple(camera.center)[-2:] == (40, 60)
    viewer.layers.remove(points)
    assert model.rowCount() == 0
    table.end()
