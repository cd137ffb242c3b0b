"""Which images are meant by folders, patterns and lists."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_dojo.errors import DojoError
from napari_dojo.io import images
from napari_dojo.io.selection import Selection


@pytest.fixture
def plate(tmp_path: Path) -> Path:
    for name in (
        "A1/f2.tif",
        "A1/f10.tif",
        "A1/f2_mask.tif",
        "B2/deep/f1.tif",
        "top.tif",
        ".hidden/f.tif",
        "out/r.tif",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    images.write(tmp_path / "B2" / "z.zarr", np.zeros((4, 4), np.uint8), "YX")
    (tmp_path / "A1" / "notes.csv").touch()
    return tmp_path


def names(selection: Selection, base: Path) -> list[str]:
    return [p.relative_to(base).as_posix() for p in selection.files(base, base / "out")]


def test_a_folder_with_its_subfolders(plate: Path) -> None:
    """Without hidden ones, results, masks beside their images, and the insides of Zarrs."""
    assert names(Selection(("",)), plate) == ["top.tif", "A1/f2.tif", "A1/f10.tif", "B2/z.zarr", "B2/deep/f1.tif"]
    assert names(Selection(("",), subfolders=False), plate) == ["top.tif"]


def test_patterns_include_and_exclude(plate: Path) -> None:
    assert names(Selection(("**/*.tif",), exclude=("*F10*",)), plate) == ["A1/f2.tif", "B2/deep/f1.tif", "top.tif"]
    assert names(Selection(("",), include=("A1/*",)), plate) == ["A1/f2.tif", "A1/f10.tif"]
    assert names(Selection(("A1", "A1/f2.tif", "top.tif")), plate) == ["A1/f2.tif", "A1/f10.tif", "top.tif"]


def test_a_list_names_paths_from_its_folder(plate: Path) -> None:
    (plate / "B2" / "list.txt").write_text("# mine\n../A1/f10.tif\n\ndeep/f1.tif\n")
    assert names(Selection(("B2/list.txt",)), plate) == ["B2/../A1/f10.tif", "B2/deep/f1.tif"]


def test_nothing_is_one_sentence(plate: Path) -> None:
    with pytest.raises(DojoError, match="all 5 images that were found are excluded"):
        Selection(("",), include=("x*",)).files(plate, plate / "out")
    with pytest.raises(DojoError, match="does not exist"):
        Selection(("C3",)).files(plate)
    with pytest.raises(DojoError, match="No images are named"):
        Selection(()).files(plate)
    with pytest.raises(
        DojoError, match=r"All images in B2 lie in the folder of the results, .*B2, and count as results"
    ):
        Selection(("B2",)).files(plate, plate / "B2")
