from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image, Labels

from napari_dojo.data.axes import Axes
from napari_dojo.errors import DojoError
from napari_dojo.widgets.common.layers import axes_choices, likely_axes, moved, placement, result_placement, source_of

pytestmark = pytest.mark.filterwarnings("ignore:Non-orthogonal slicing:UserWarning")  # napari's, for rotated volumes


def corners(layer):
    """World coordinates of an odd point, through all transforms."""
    return np.asarray(layer.data_to_world(np.arange(1, layer.ndim + 1) * 3.0))


TURNED = {"scale": (2.0, 0.5, 0.5), "translate": (5, 6, 7), "rotate": (10, 20, 30), "shear": (0.1, 0.2, 0.3)}


def test_a_result_lies_where_its_image_lies():
    affine = np.eye(4)
    affine[:3, 3] = 1, 2, 3
    affine[0, 1] = 0.2
    image = Image(np.zeros((4, 6, 8)), affine=affine, units=("um",) * 3, axis_labels=("z", "y", "x"), **TURNED)
    result = Labels(np.zeros((4, 6, 8), int), **result_placement(image, Axes("ZYX", "ZYX")))
    np.testing.assert_allclose(corners(result), corners(image))
    assert [str(u) for u in result.units] == ["micrometer"] * 3
    assert result.axis_labels == ("z", "y", "x")


def test_a_result_has_no_channel_axis():
    image = Image(np.zeros((2, 6, 8)), scale=(1, 0.5, 0.25), translate=(9, 1, 2), rotate=30)
    flat = Labels(np.zeros((6, 8), int), **result_placement(image, Axes("CYX")))
    np.testing.assert_allclose(corners(flat), np.asarray(image.data_to_world((0, 3, 6)))[1:])


def test_colours_are_no_dimension():
    image = Image(np.zeros((6, 8, 3), np.uint8), scale=(0.5, 0.25), rgb=True)
    source = source_of(image)
    assert source.axes.names == "YXC"
    result = Labels(np.zeros((6, 8), int), **result_placement(image, source.axes))
    np.testing.assert_allclose(result.scale, (0.5, 0.25))


def test_transparency_is_no_channel_as_in_files():
    data = np.arange(4 * 5 * 4, dtype=np.uint8).reshape(4, 5, 4)
    source = source_of(Image(data, rgb=True), "YXC")
    np.testing.assert_array_equal(source.array, data[..., :3])


def test_a_part_lies_in_its_place():
    image = Image(np.zeros((4, 6, 8)), **TURNED)
    part = Labels(np.zeros((1, 2, 2), int), **moved(placement(image, [0, 1, 2]), (1, 2, 3)))
    np.testing.assert_allclose(part.data_to_world((1, 1, 1)), image.data_to_world((2, 3, 4)))


@pytest.mark.parametrize(
    ("scale", "units", "size", "unit"),
    [
        ((1, 1), None, None, None),
        ((0.5, 0.25), ("um", "um"), (0.5, 0.25), "um"),
        ((50, 50), ("nm", "nm"), (0.05, 0.05), "um"),
        ((0.5, 0.5), None, (0.5, 0.5), None),
    ],
)
def test_pixel_size(scale, units, size, unit):
    source = source_of(Image(np.zeros((6, 8)), scale=scale, units=units))
    assert source.unit == unit
    assert source.pixel_size == (None if size is None else pytest.approx(size))


def test_axes_are_offered():
    image = Image(np.zeros((9, 6, 8)))
    assert [names for names, _ in axes_choices(image)] == ["ZYX", "TYX", "CYX"]
    assert likely_axes(Image(np.zeros((3, 6, 8)), rgb=False)) == "CYX"
    assert likely_axes(Image(np.zeros((9, 6, 8)), axis_labels=("t", "y", "x"))) == "TYX"
    assert axes_choices(Image(np.zeros((6, 8)))) == (("YX", ""),)


def test_multiscale_takes_the_finest():
    image = Image([np.zeros((64, 64)), np.zeros((32, 32))], multiscale=True)
    assert source_of(image).array.shape == (64, 64)


def test_wrong_axes_are_refused():
    with pytest.raises(DojoError, match="name 2 dimensions"):
        source_of(Image(np.zeros((2, 6, 8))), "YX")
