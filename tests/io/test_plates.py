"""Plates: their fields are images, results mirror their wells, tables say where each object is."""

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_dojo.errors import DojoError
from napari_dojo.io import images
from napari_dojo.io.datasets import outputs
from napari_dojo.io.pairing import list_inputs
from napari_dojo.io.plates import Field, field_of, fields_in, is_plate
from napari_dojo.io.selection import Selection
from napari_dojo.recipes.tidy import names_of, rows_of


def plate(path, version, wells=("A/1", "B/12"), fields=2):
    """An OME-Zarr plate with a small image in each field."""

    def described(folder, about):
        folder.mkdir(parents=True, exist_ok=True)
        if version == "0.4":
            (folder / ".zgroup").write_text('{"zarr_format": 2}')
            (folder / ".zattrs").write_text(json.dumps(about))
        else:
            attributes = {"ome": {"version": "0.5", **about}}
            (folder / "zarr.json").write_text(
                json.dumps({"zarr_format": 3, "node_type": "group", "attributes": attributes})
            )

    described(path, {"plate": {"name": "screen 7", "wells": [{"path": w} for w in wells]}})
    for k, well in enumerate(wells):
        described(path / well, {"well": {"images": [{"path": str(i)} for i in range(fields)]}})
        for i in range(fields):
            images.write(path / "new.zarr", np.full((12, 10), 10 * k + i, np.uint8), "YX", (0.5, 0.5), "um")
            (path / "new.zarr").rename(path / well / str(i))
    return path


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_the_fields_of_a_plate_are_images(tmp_path, version):
    path = plate(tmp_path / "screen.zarr", version)
    assert is_plate(path)
    found = list_inputs(path)
    assert [p.relative_to(path).as_posix() for p in found] == ["A/1/0", "A/1/1", "B/12/0", "B/12/1"]
    assert [int(images.read(p).data[0, 0]) for p in found] == [0, 1, 10, 11]
    assert found == list_inputs(tmp_path) == Selection((str(tmp_path),)).files()
    assert Selection((str(path),), include=("*/B/*",)).files() == found[2:]
    assert field_of(found[3]) == Field("screen 7", "B12", "1")
    assert names_of(found) == ["A/1/0", "A/1/1", "B/12/0", "B/12/1"]


def test_results_mirror_wells_even_of_one(tmp_path):
    path = plate(tmp_path / "screen.zarr", "0.5", wells=("C/3",))
    made = outputs(list_inputs(path), tmp_path / "out")
    assert [p.relative_to(tmp_path / "out").as_posix() for p in made] == ["C/3/0.tif", "C/3/1.tif"]
    assert names_of(list_inputs(path)) == ["C/3/0", "C/3/1"]


def test_a_plate_without_its_images_is_said(tmp_path):
    path = plate(tmp_path / "screen.zarr", "0.4", fields=0)
    with pytest.raises(DojoError, match="names 2 wells, but no image"):
        fields_in(path)


@pytest.mark.parametrize(
    ("path", "where"),
    [
        ("plate1/B03/f1.tif", Field("plate1", "B03", "f1")),
        ("plate1/b/3/f1.ome.tif", Field("plate1", "B3", "f1")),
        ("plate1/Well_C12/f1.tif", Field("plate1", "C12", "f1")),
        ("mice/control/f1.tif", None),
        ("2026/11/f1.tif", None),
        ("Q1/f1.tif", None),
    ],
)
def test_folders_named_after_wells_are_wells(tmp_path, path, where):
    assert field_of(tmp_path / path) == where


def test_the_table_says_where_an_object_is():
    table = {"index": np.array([1, 2]), "area_px": np.array([5.0, 6.0])}
    rows = rows_of(table, "A/1/0", True, Field("screen 7", "A1", "0"))
    assert list(rows) == ["plate", "well", "field", "image", "object", "area_px"]
    assert list(rows["well"]) == ["A1", "A1"]
    assert list(rows_of(table, "a.tif", True)) == ["image", "object", "area_px"]
