"""Tools that listen to the mouse on the canvas: these tests are in napari's own window."""

from __future__ import annotations

import pytest


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer(show=False)
