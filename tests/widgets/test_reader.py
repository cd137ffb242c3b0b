"""OME-Zarr and microscopes' files, opened in napari by this plugin."""

from __future__ import annotations

import numpy as np
import pytest
import zarr
from napari.layers import Layer

from napari_dojo.io import images
from napari_dojo.io.formats.ome_zarr import Layout, create
from napari_dojo.widgets.common.layers import array_of, likely_axes, source_of
from napari_dojo.widgets.reader import get_reader


def opened(path):
    return [Layer.create(*layer) for layer in get_reader(str(path))(str(path))]


@pytest.fixture
def store(qtbot, tmp_path):
    """An image of two channels with labels."""
    x = np.random.default_rng(0).integers(0, 4000, (2, 700, 650)).astype(np.uint16)
    path = tmp_path / "cells.zarr"
    images.write(path, x, "CYX", (0.5, 0.5), "um", channel_names=["DAPI", "GFP"])
    labels = create(path, Layout("YX", (700, 650), (512, 512), "uint32", (0.5, 0.5), "um", labels="nuclei"))
    labels[:10] = 3
    return path, x


def test_channels_and_labels_are_layers_with_their_place(store):
    path, x = store
    dapi, gfp, labels = opened(path)
    assert [layer.name for layer in (dapi, gfp, labels)] == ["cells DAPI", "cells GFP", "cells nuclei"]
    assert [layer.multiscale for layer in (dapi, labels)] == [True, False]
    np.testing.assert_array_equal(np.asarray(gfp.data[0]), x[1])
    assert labels._type_string == "labels"
    assert tuple(dapi.scale) == (0.5, 0.5)
    assert source_of(gfp).unit == "um"
    assert likely_axes(gfp) == "YX"
    low, high = gfp.contrast_limits
    assert 0 <= low < high <= 4000
    np.testing.assert_array_equal(array_of(gfp)[5:9, :7].compute(), x[1, 5:9, :7])


def test_a_plain_array_is_an_image(qtbot, tmp_path):
    array = zarr.create_array(str(tmp_path / "a.zarr"), shape=(4, 60, 50), chunks=(1, 32, 32), dtype="uint8")
    array[2] = 9
    (layer,) = opened(tmp_path / "a.zarr")
    np.testing.assert_array_equal(np.asarray(layer.data[2]), 9)


def test_a_folder_that_is_no_zarr_is_left_to_others(tmp_path):
    assert get_reader(str(tmp_path)) is None


def test_it_is_what_napari_uses(store, qtbot, viewer):
    pytest.importorskip("npe2")
    from npe2 import PluginManager

    manager = PluginManager.instance()
    manager.discover()
    ids = [r.command for r in manager.iter_compatible_readers([str(store[0])])]
    assert "napari-dojo.read" in ids
