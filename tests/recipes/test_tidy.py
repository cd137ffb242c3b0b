"""One table over all images."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_dojo.inference.tables import write_csv
from napari_dojo.recipes.tidy import joined, rows_of, write_skipped


def test_columns_that_some_images_lack_are_empty_there(tmp_path: Path) -> None:
    one = rows_of(
        {"index": np.array([3]), "area_px": np.array([9]), "class": np.array(["a"], object)}, "x, y.tif", True
    )
    two = rows_of({"index": np.array([1]), "area_um2": np.array([0.5]), "area_px": np.array([2])}, "b.tif", True)
    parts = [tmp_path / "1.csv", tmp_path / "2.csv"]
    for part, table in zip(parts, (one, two), strict=True):
        write_csv(part, table)
    assert joined(parts, tmp_path / "all.csv") == 2
    assert (tmp_path / "all.csv").read_text().splitlines() == [
        "image,object,class,area_px,area_um2",
        '"x, y.tif",3,a,9,',
        "b.tif,1,,2,0.5",
    ]


def test_classes_keep_their_number(tmp_path: Path) -> None:
    assert list(rows_of({"index": np.array([1]), "class": np.array(["a"], object)}, "x", False)) == [
        "image",
        "class",
        "index",
    ]


def test_a_table_of_skipped_images_goes_when_none_is(tmp_path: Path) -> None:
    path = tmp_path / "skipped.csv"
    write_skipped(path, [("a.tif", 'it is "broken", truly')])
    assert path.read_text().splitlines() == ["image,reason", 'a.tif,"it is ""broken"", truly"']
    write_skipped(path, [])
    write_skipped(path, [])
    assert not path.exists()
