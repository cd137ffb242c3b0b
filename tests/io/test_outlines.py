"""Outlines as labels: ImageJ, QuPath, tables and Cellpose; stacks, holes, overlaps, and what is no outline."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from roifile import ROI_TYPE, ImagejRoi, roiwrite

from napari_dojo.data.axes import Axes
from napari_dojo.errors import DojoError
from napari_dojo.io.outlines import read_labels, read_outlines
from napari_dojo.io.rois import write_rois

SQUARE = [(2, 1), (7, 1), (7, 4), (2, 4)]  # x, y


def box(x0: int = 2, y0: int = 1, x1: int = 7, y1: int = 4, shape: tuple[int, int] = (8, 10)) -> np.ndarray:
    mask = np.zeros(shape, np.uint16)
    mask[y0:y1, x0:x1] = 1
    return mask


def geojson(path: Path, *geometries: dict[str, Any], collection: bool = True) -> Path:
    features = [{"type": "Feature", "geometry": g, "properties": {}} for g in geometries]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features} if collection else features))
    return path


def polygon(*rings: Any, **more: Any) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": [[*map(list, ring), list(ring[0])] for ring in rings], **more}


def labels(path: Path, shape: tuple[int, ...] = (8, 10), axes: str = "YX") -> np.ndarray:
    found, notes = read_labels(path, shape, axes)
    assert notes == ()
    return found


@pytest.mark.parametrize(("shape", "axes"), [((40, 50), "YX"), ((3, 40, 50), "ZYX"), ((2, 3, 40, 50), "TZYX")])
def test_what_we_write_comes_back_exactly(tmp_path: Path, shape: tuple[int, ...], axes: str) -> None:
    rng = np.random.default_rng(0)
    given = np.kron(rng.integers(0, 5, (*shape[:-2], 8, 10)), np.ones((5, 5), int)).astype(np.uint16)
    given[..., 3, 4] = 0  # holes, pieces and corners that touch
    given[given == 4] = 60_000
    write_rois(tmp_path / "a.zip", given, Axes(axes))
    np.testing.assert_array_equal(labels(tmp_path / "a.zip", shape, axes), given)


def test_shapes_of_imagej(tmp_path: Path) -> None:
    rectangle = ImagejRoi(roitype=ROI_TYPE.RECT, left=2, top=1, right=7, bottom=4, name="0003-0005")
    rectangle.tofile(tmp_path / "a.roi")
    np.testing.assert_array_equal(labels(tmp_path / "a.roi"), box())
    oval = ImagejRoi(roitype=ROI_TYPE.OVAL, left=1, top=1, right=31, bottom=21)
    oval.tofile(tmp_path / "o.roi")
    y, x = np.mgrid[:40, :40] + 0.5
    disc = ((x - 16) / 15) ** 2 + ((y - 11) / 10) ** 2 < 1
    assert (labels(tmp_path / "o.roi", (40, 40)) > 0).sum() == pytest.approx(disc.sum(), rel=0.01)
    curved = ImagejRoi(roitype=ROI_TYPE.RECT, left=0, top=0, right=20, bottom=20)
    k = 10 * 0.5523
    words = [0, 20, 10, 3, 20, 10 + k, 10 + k, 20, 10, 20, 3, 10 - k, 20, 0, 10 + k, 0, 10]
    words += [3, 0, 10 - k, 10 - k, 0, 10, 0, 3, 10 + k, 0, 20, 10 - k, 20, 10, 4]
    curved.multi_coordinates = np.asarray(words, np.float32)
    curved.shape_roi_size = len(words)
    curved.tofile(tmp_path / "c.roi")
    assert (labels(tmp_path / "c.roi", (20, 20)) > 0).sum() == pytest.approx(np.pi * 100, rel=0.02)


def test_where_a_roi_lies_in_a_stack(tmp_path: Path) -> None:
    one = ImagejRoi.frompoints(np.asarray(SQUARE), name="a")
    one.position = 2
    every = ImagejRoi.frompoints(np.add(SQUARE, (0, 4)), name="b")
    in_z = ImagejRoi.frompoints(np.add(SQUARE, (3, 0)), name="c")
    in_z.z_position = 3
    beyond = ImagejRoi.frompoints(np.asarray(SQUARE), name="d")
    beyond.position = 9
    roiwrite(tmp_path / "a.zip", [one, every, in_z, beyond], mode="w")
    found, notes = read_labels(tmp_path / "a.zip", (3, 8, 10), "ZYX")
    assert [np.unique(plane).tolist() for plane in found] == [[0, 2], [0, 1, 2], [0, 2, 3]]
    assert notes == ("a.zip: 1 outline lies outside of the image and was left out.",)
    found, _ = read_labels(tmp_path / "a.zip", (8, 10), "YX")  # a plane has no place in it
    assert set(np.unique(found)) == {0, 2, 3, 4}


def test_qupath(tmp_path: Path) -> None:
    hole = [(3, 2), (5, 2), (5, 3), (3, 3)]
    expected = box()
    expected[2:3, 3:5] = 0
    two = {
        "type": "MultiPolygon",
        "coordinates": [polygon(SQUARE, hole)["coordinates"], polygon([(8, 6), (9, 6), (9, 8), (8, 8)])["coordinates"]],
    }
    expected[6:8, 8:9] = 1
    for collection in (True, False):
        path = geojson(tmp_path / "a.geojson", two, {"type": "Point", "coordinates": [1, 1]}, collection=collection)
        np.testing.assert_array_equal(labels(path), expected)
    path = geojson(tmp_path / "z.geojson", polygon(SQUARE), polygon(SQUARE, plane={"c": -1, "z": 2, "t": 0}))
    found = labels(path, (3, 8, 10), "ZYX")
    np.testing.assert_array_equal(found, np.stack([box(), 0 * box(), 2 * box()]))


@pytest.mark.parametrize("sign", [",", ";", "\t"])
def test_a_table_of_corners(tmp_path: Path, sign: str) -> None:
    rows = ["Label,X,Y", *(f"{n},{x + dx},{y}" for n, dx in ((7, 0), (9, 3)) for x, y in SQUARE)]
    (tmp_path / "a.csv").write_text("\n".join(rows).replace(",", sign), encoding="utf-8-sig")
    found, notes = read_labels(tmp_path / "a.csv", (8, 10), "YX")
    np.testing.assert_array_equal(found, np.maximum(7 * box(), 9 * box(5, 1, 10, 4)))
    assert notes == ("a.csv: 1 outline overlap others; the later ones lie on top.",)


def test_shapes_as_napari_saves_them(tmp_path: Path) -> None:
    rows = ["index,shape-type,vertex-index,axis-0,axis-1,axis-2"]
    rows += [f"0,polygon,{i},1.0,{y - 0.5},{x - 0.5}" for i, (x, y) in enumerate(SQUARE)]
    (tmp_path / "a.csv").write_text("\n".join(rows))
    np.testing.assert_array_equal(labels(tmp_path / "a.csv", (2, 8, 10), "TYX"), np.stack([0 * box(), box()]))


def test_the_outlines_of_cellpose(tmp_path: Path) -> None:
    rim = [(x, y) for y in range(1, 4) for x in range(2, 7) if y in (1, 3) or x in (2, 6)]
    order = sorted(rim, key=lambda p: np.arctan2(p[1] - 2, p[0] - 4))
    (tmp_path / "a_cp_outlines.txt").write_text(",".join(f"{x},{y}" for x, y in order) + "\n")
    np.testing.assert_array_equal(labels(tmp_path / "a_cp_outlines.txt"), box())


def test_overlaps_are_said_and_touching_rims_are_not(tmp_path: Path) -> None:
    def square(x0: float, x1: float) -> dict[str, Any]:
        return polygon([(x0, 0), (x1, 0), (x1, 40), (x0, 40)])

    found, notes = read_labels(geojson(tmp_path / "a.geojson", square(0, 30), square(29, 60)), (40, 60), "YX")
    assert notes == ()
    assert (found[:, 29] == 2).all()
    found, notes = read_labels(geojson(tmp_path / "a.geojson", square(5, 9), square(0, 60)), (40, 60), "YX")
    assert notes == ("a.geojson: 1 outline overlap others; the later ones lie on top.",)
    assert (found == 2).all()


def test_numbers_need_room(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("label,x,y\n" + "\n".join(f"70000,{x},{y}" for x, y in SQUARE))
    found = labels(tmp_path / "a.csv")
    assert (found.dtype, found.max()) == (np.uint32, 70_000)


def test_what_is_no_outline_is_one_sentence_with_the_name(tmp_path: Path) -> None:
    geojson(tmp_path / "points.geojson", {"type": "Point", "coordinates": [1, 2]})
    geojson(tmp_path / "far.geojson", polygon([(100, 100), (110, 100), (110, 110)]))
    (tmp_path / "table.csv").write_text("file,role\na.tif,test\n")
    (tmp_path / "one.csv").write_text("label,x,y\n1,3,4\n2,5,6\n")
    (tmp_path / "broken.geojson").write_text("{")
    (tmp_path / "broken.zip").write_bytes(b"PK\3\4 no more")
    (tmp_path / "broken.roi").write_bytes(b"Iout")
    (tmp_path / "text.txt").write_text("hello")
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as z:
        z.writestr("rdf.yaml", "name: model")
    for name, said in {
        "points.geojson": "holds no closed outline",
        "far.geojson": r"None of the 1 outlines in far\.geojson encloses a pixel of its image \(YX, 8 x 10\)",
        "table.csv": r"is no table of outlines: .* it has file, role\.",
        "one.csv": "holds no closed outline",
        "broken.geojson": "cannot be read as outlines",
        "broken.zip": "cannot be read as outlines",
        "broken.roi": "cannot be read as outlines",
        "text.txt": "cannot be read as outlines",
        "model.zip": "holds no closed outline",
        "missing.zip": "does not exist",
        "a.tif": "ends otherwise",
    }.items():
        with pytest.raises(DojoError, match=said) as caught:
            read_labels(tmp_path / name, (8, 10), "YX")
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


def test_names_that_are_no_numbers_are_numbered(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as z:
        for i, name in enumerate(("5", "5", "0001-0002")):
            z.writestr(f"{i}.roi", ImagejRoi.frompoints(np.asarray(SQUARE), name=name).tobytes())
    assert [outline.label for outline in read_outlines(tmp_path / "a.zip")] == [1, 2, 3]
