"""Channels: chosen by number or name, and the one that grey colours hold."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest

from napari_dojo.data.channels import chosen, grey
from napari_dojo.errors import DojoError

STACK = np.arange(3 * 4 * 5).reshape(3, 4, 5)
NAMES = ("DAPI", "GFP", "Cy5, far")


@pytest.mark.parametrize(("channel", "at"), [("1", 0), ("3", 2), ("gfp", 1), ("Cy5, far", 2), (" 2 ", 1)])
def test_one_channel_is_taken_out(channel: str, at: int) -> None:
    for array, axes in ((STACK, "CYX"), (np.moveaxis(STACK, 0, -1), "YXC"), (da.from_array(STACK), "CYX")):
        data, left, names = chosen(array, axes, channel, NAMES)
        np.testing.assert_array_equal(np.asarray(data), STACK[at])
        assert (left, names) == ("YX", (NAMES[at],))


def test_several_channels_keep_their_axis_in_the_order_given() -> None:
    data, axes, names = chosen(STACK, "CYX", "3,DAPI", NAMES)
    np.testing.assert_array_equal(data, STACK[[2, 0]])
    assert (axes, names) == ("CYX", ("Cy5, far", "DAPI"))


def test_one_channel_needs_no_axis() -> None:
    assert chosen(STACK, "ZYX", "1")[1] == "ZYX"
    with pytest.raises(DojoError, match=r"a\.tif has no channel '2'\. It has 1 channel;"):
        chosen(STACK, "ZYX", "2", file="a.tif")


@pytest.mark.parametrize("channel", ["0", "4", "RFP", "1,RFP", ""])
def test_a_channel_that_is_not_there(channel: str) -> None:
    with pytest.raises(DojoError, match=r"a\.tif has no channel .* It has 3 channels: DAPI, GFP"):
        chosen(STACK, "CYX", channel, NAMES, file="a.tif")


def test_grey_in_colours() -> None:
    plane = np.random.default_rng(0).integers(0, 200, (6, 7)).astype(np.uint8)
    none, other = np.zeros_like(plane), plane.T[:6, :6].repeat(2, 1)[:, :7]
    for colours in ((plane,) * 3, (none, none, plane), (plane, none, plane), (plane + 2, plane, plane)):
        found = grey(np.dstack(colours), "YXC")
        assert found is not None
        assert np.abs(found.astype(int) - plane).max() <= 2
    assert grey(np.dstack((plane, other, none)), "YXC") is None
    assert grey(np.dstack((plane, plane, 255 - plane)), "YXC") is None
    assert (grey(np.dstack((none, none, none)), "YXC") == 0).all()
