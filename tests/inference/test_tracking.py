"""Objects followed through a series, and the files of it."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import zarr

from napari_dojo.data.axes import Axes
from napari_dojo.errors import DojoError
from napari_dojo.inference.tracking import series_axes, track, write_geff

TYX = Axes("TYX")


def series(frames=6, missing=()):
    """Three squares that move to the right by 4 px a frame; their numbers are others in each frame."""
    rng = np.random.default_rng(0)
    labels = np.zeros((frames, 60, 80), np.uint16)
    for t in range(frames):
        numbers = rng.permutation(np.arange(1, 50))[:3]
        for k, n in enumerate(numbers):
            if (t, k) not in missing:
                labels[t, 5 + 18 * k : 13 + 18 * k, 5 + 4 * t : 13 + 4 * t] = n
    return labels


def numbers_along(labels):
    """The number in the middle of each square (frames, 3)."""
    return np.array([[labels[t, 9 + 18 * k, 9 + 4 * t] for k in range(3)] for t in range(len(labels))])


def test_each_object_keeps_its_number_and_the_labels_stay():
    labels = series()
    before = labels.copy()
    tracked = track(labels, TYX)
    assert (
        numbers_along(tracked.labels).tolist() == [[1, 2, 3]] * 6
        or len(np.unique(numbers_along(tracked.labels), axis=0)) == 1
    )
    assert np.array_equal(tracked.labels > 0, labels > 0)
    assert np.array_equal(labels, before)
    assert tracked.sentence == "3 tracks through 6 frames, 3 of them through all"
    assert tracked.tracks.shape == (18, 4)
    mine = tracked.tracks[tracked.tracks[:, 0] == 1]
    assert mine[:, 1].tolist() == [0, 1, 2, 3, 4, 5]
    assert np.allclose(np.diff(mine[:, 3]), 4)
    assert tracked.table["index"][0] == labels[0][tuple(np.rint(mine[0, 2:]).astype(int))]


def test_an_object_may_be_missed_in_one_frame_but_not_jump():
    tracked = track(series(missing=((2, 1),)), TYX)
    assert tracked.count == 3
    assert len(tracked.tracks) == 17
    assert track(series(), TYX, longest=3).count == 18


def test_frames_without_objects():
    labels = series()
    labels[0] = labels[-1] = labels[3] = 0
    tracked = track(labels, TYX)
    assert set(tracked.tracks[:, 1].astype(int)) == {1, 2, 4}
    with pytest.raises(DojoError, match="no objects"):
        track(np.zeros((3, 8, 8), int), TYX)


def test_volumes_and_their_planes():
    labels = np.zeros((3, 6, 20, 40), np.int32)
    for t in range(3):
        labels[t, 1:3, 5:10, 5 + 3 * t : 10 + 3 * t] = t + 1
        labels[t, 4:6, 5:10, 5 + 3 * t : 10 + 3 * t] = t + 9
    tracked = track(labels, Axes("TZYX", "ZYX"), pixel_size=(4, 1, 1), unit="um")
    assert tracked.count == 2
    assert tracked.tracks.shape == (6, 5)


@pytest.mark.parametrize(
    ("names", "ndim", "found"), [("ZYX", 3, "TYX"), ("TYX", 3, "TYX"), ("ZCYX", 4, "TZYX"), ("TZYX", 4, "TZYX")]
)
def test_time_comes_first(names, ndim, found):
    assert series_axes(names, ndim).names == found


def test_one_image_is_no_series():
    with pytest.raises(DojoError, match="one image"):
        series_axes("YX", 2)


def test_without_laptrack_a_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "laptrack", None)
    with pytest.raises(DojoError, match=r'pip install "napari-dojo\[tracking\]"'):
        track(series(2), TYX)


def test_the_graph_as_geff(tmp_path):
    tracked = track(series(missing=((2, 1),)), TYX)
    write_geff(tmp_path / "a.geff", tracked, TYX, (0.5, 0.5), "um")
    root = zarr.open_group(tmp_path / "a.geff", mode="r")
    about = root.attrs["geff"]
    assert [(a["name"], a["type"], a.get("unit")) for a in about["axes"]] == [
        ("t", "time", None), ("y", "space", "micrometer"), ("x", "space", "micrometer")
    ]  # fmt: skip
    x, frame, number = (root[f"nodes/props/{n}/values"][:] for n in ("x", "t", "track"))
    assert np.allclose(x, tracked.tracks[:, 3] / 2)
    edges = root["edges/ids"][:]
    assert len(edges) == 17 - 3
    assert (number[edges[:, 0]] == number[edges[:, 1]]).all()
    assert (frame[edges[:, 0]] < frame[edges[:, 1]]).all()
    with pytest.raises(DojoError, match="exists already"):
        write_geff(tmp_path / "a.geff", tracked, TYX, None, None)
