"""Regions for ImageJ: read back, they cover exactly the objects' pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from roifile import ROI_TYPE, ImagejRoi, roiread
from skimage.draw import polygon2mask

from napari_dojo.data.axes import Axes
from napari_dojo.errors import DojoError
from napari_dojo.io.rois import outlines, write_rois
from napari_dojo.simulation.microscope import simulate

SHAPES = {
    "one pixel": ["#"],
    "a bar": ["####"],
    "a corner": ["##.", "#..", "#.."],
    "touching at a corner": ["#.", ".#"],
    "the other way": [".#", "#."],
    "two pieces": ["#.#", "#.#"],
    "a hole": ["###", "#.#", "###"],
    "two holes that touch": ["####", "#.##", "##.#", "####"],
    "a ring in a ring": ["#####", "#...#", "#.#.#", "#...#", "#####"],
    "open at a corner": [".##", "#.#", "###"],
}


def mask_of(name: str) -> np.ndarray:
    return np.array([[c == "#" for c in row] for row in SHAPES[name]])


def filled(lines: list[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """Pixels whose centre the lines enclose an odd number of times, as ImageJ fills."""
    inside = np.zeros(shape, bool)
    for line in lines:
        inside ^= polygon2mask(shape, line[:, ::-1] - 0.5)
    return inside


@pytest.mark.parametrize("name", SHAPES)
def test_outlines_enclose_exactly_the_pixels(name: str) -> None:
    mask = mask_of(name)
    lines = outlines(mask)
    np.testing.assert_array_equal(filled(lines, mask.shape), mask)
    for line in lines:  # only corners, and each step straight
        steps = np.diff(np.concatenate([line, line[:1]]), axis=0)
        assert ((steps != 0).sum(1) == 1).all()
        turned = steps[:, 0] != 0
        assert (turned[1:] != turned[:-1]).all()


def test_what_touches_at_a_corner_is_one_line_and_a_hole_turns_the_other_way() -> None:
    assert len(outlines(mask_of("touching at a corner"))) == 1
    assert len(outlines(mask_of("two pieces"))) == 2
    outer, hole = outlines(mask_of("a hole"))

    def area(line: np.ndarray) -> float:
        x, y = line.T
        return float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2)

    assert (area(outer), area(hole)) == (9, -1)


def masks_of(roi: ImagejRoi, shape: tuple[int, ...]) -> np.ndarray:
    return filled(roi.coordinates(multi=True), shape)


def test_a_zip_read_back_covers_each_object(tmp_path: Path) -> None:
    labels = simulate("nuclei", (150, 170), 3, diameter=18).labels
    labels = np.where(labels == 2, 40000, labels)
    n = write_rois(tmp_path / "a.zip", labels, Axes("YX"))
    rois = roiread(tmp_path / "a.zip")
    numbers = np.unique(labels)[1:]
    assert len(rois) == n == len(numbers)
    assert {int(roi.name) for roi in rois} == set(numbers)
    for roi in rois:
        np.testing.assert_array_equal(masks_of(roi, labels.shape), labels == int(roi.name))
        ys, xs = np.nonzero(labels == int(roi.name))
        assert (roi.top, roi.left, roi.bottom, roi.right) == (ys.min(), xs.min(), ys.max() + 1, xs.max() + 1)
        assert (roi.position, roi.z_position, roi.t_position) == (0, 0, 0)


def test_holes_and_pieces_are_paths(tmp_path: Path) -> None:
    labels = np.zeros((12, 14), np.uint8)
    labels[1:4, 2:5] = mask_of("a hole")
    labels[6:8, 6:9] = 2 * mask_of("two pieces")
    write_rois(tmp_path / "a.zip", labels, Axes("YX"))
    for roi in roiread(tmp_path / "a.zip"):
        assert roi.roitype == ROI_TYPE.RECT
        assert roi.composite
        np.testing.assert_array_equal(masks_of(roi, labels.shape), labels == int(roi.name))


def test_stacks_have_a_region_for_each_plane(tmp_path: Path) -> None:
    labels = np.zeros((5, 10, 12), np.uint16)
    labels[1:4, 2:6, 3:8] = 9
    labels[3, 8, 8] = 2
    assert write_rois(tmp_path / "z.zip", labels, Axes("ZYX", "ZYX")) == 4
    rois = {roi.name: roi for roi in roiread(tmp_path / "z.zip")}
    assert sorted(rois) == ["2-z4", "9-z2", "9-z3", "9-z4"]
    for roi in rois.values():
        np.testing.assert_array_equal(
            masks_of(roi, labels.shape[1:]), labels[roi.position - 1] == int(roi.name.split("-")[0])
        )
    series = np.stack([labels, np.zeros_like(labels), labels])
    write_rois(tmp_path / "t.zip", series, Axes("TZYX", "ZYX"))
    places = {(roi.t_position, roi.z_position) for roi in roiread(tmp_path / "t.zip")}
    assert places == {(t, z) for t in (1, 3) for z in (2, 3, 4)}


def test_nothing_to_write_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DojoError, match="no object to write"):
        write_rois(tmp_path / "a.zip", np.zeros((4, 4), int), Axes("YX"))
    (tmp_path / "b.zip").mkdir()
    with pytest.raises(DojoError, match="a folder of this name"):
        write_rois(tmp_path / "b.zip", np.ones((4, 4), int), Axes("YX"))
    assert [p.name for p in tmp_path.iterdir()] == ["b.zip"]


@pytest.mark.parametrize("names", ["TZYX", "ZTYX"])
def test_regions_of_volumes_have_the_class_of_their_frame(tmp_path: Path, names: str) -> None:
    labels = np.zeros((2, 2, 8, 8), np.int32)
    labels[..., 2:5, 2:5] = 1
    write_rois(tmp_path / "a.zip", labels, Axes(names, "ZYX"), [{1: "early"}, {1: "late"}])
    found = {roi.name for roi in roiread(tmp_path / "a.zip")}
    assert len(found) == 4
    assert all(name.endswith("early" if "t1" in name else "late") for name in found)
