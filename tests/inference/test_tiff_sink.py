"""Predictions as files in a folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_dojo.errors import DojoError
from napari_dojo.inference.tiff_sink import TiffSink, folder_for


def files(folder: Path, tables: bool = False) -> TiffSink:
    return TiffSink(tuple(folder / "in" / f"{name}.tif" for name in "abc"), folder / "out", tables=tables)


def test_how_many_predictions_are_there(tmp_path: Path) -> None:
    assert files(tmp_path).existing == 0
    (tmp_path / "out").mkdir()
    for name in ("a.tif", "a.csv", "b.csv"):
        (tmp_path / "out" / name).write_text("")
    assert files(tmp_path).existing == 1
    assert files(tmp_path, tables=True).existing == 2


def test_a_file_of_several_images_is_left_until_all_are_there(tmp_path: Path) -> None:
    given, out = tmp_path / "in.tif", tmp_path / "out"
    with tifffile.TiffWriter(given, ome=True) as tif:
        for _ in range(3):
            tif.write(np.zeros((5, 6), np.uint8))
    sink = TiffSink((given,), out)
    out.mkdir()
    assert sink.left() == (0,)
    for k in (1, 2):
        (out / f"in_image{k}.tif").write_text("")
    assert sink.left() == (0,)
    with pytest.raises(DojoError, match="exists already"):
        sink.place(0, 1)
    assert replace(sink, resumed=True).place(0, 1) == out / "in_image1.tif"
    (out / "in_image3.tif").write_text("")
    assert sink.left() == ()


def test_predictions_lie_beside_what_was_given(tmp_path: Path) -> None:
    assert folder_for(tmp_path / "in", "m") == tmp_path / "in_m"
    assert folder_for(tmp_path / "in" / "a.ome.tif", "m") == tmp_path / "in" / "a_m"
    assert folder_for(tmp_path / "in" / "*.tif", "m") == tmp_path / "in" / "all_m"
